#!/bin/bash
# SPDX-License-Identifier: MIT
# PostgreSQL under writes: its dump captured as a stream, and its data folder
# between pg_backup_start and pg_backup_stop. Both are restored and hold what
# was committed.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
need_root
need runuser
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || skip "PostgreSQL is not installed"
id postgres >/dev/null 2>&1 || skip "there is no user postgres"
export PATH=$bin:$PATH
pg=$work/pg
mkdir "$pg"
chown postgres "$pg"
chmod 0755 "$work"
fresh_repo

as() {
	(cd "$pg" && runuser -u postgres -- "$@")
}

start() { # DATA
	as pg_ctl -s -w -t 60 -D "$1" -l "$pg/log" \
		-o "-k $pg -c listen_addresses= -c fsync=off" start >"$out" 2>&1 || {
		tail -n 20 "$pg/log" >&2
		fail "PostgreSQL does not start on $1"
	}
}

sql() { # DATABASE STATEMENT
	as psql -X -q -A -t -h "$pg" -d "$1" -c "$2"
}

before_cleanup() {
	local data
	for data in "$pg"/*/postmaster.pid; do
		[ ! -e "$data" ] || as pg_ctl -s -m immediate -D "${data%/*}" stop || true
	done
}

as initdb -D "$pg/data" -A trust -N --no-locale -E UTF8 >"$out" 2>&1 || fail "initdb"
start "$pg/data"
as createdb -h "$pg" shop
sql shop 'create table orders (id serial primary key, text text);
	create table parts (id serial primary key, part_of int, text text)'
transaction="with o as (insert into orders (text) select repeat(md5(random()::text), 20)
	from generate_series(1, 20) returning id)
	insert into parts (part_of, text) select id, md5(id::text) from o, generate_series(1, 2)"
for _ in 1 2 3; do sql shop "$transaction"; done
(while sql shop "$transaction" 2>/dev/null; do sleep 0.02; done) &
writer=$!

# Whole transactions, at least those of the beginning.
judge() { # DATABASE
	local orders parts
	orders=$(sql "$1" 'select count(*) from orders')
	parts=$(sql "$1" 'select count(*) from parts')
	[ "$orders" -ge 60 ] || fail "$1 holds $orders orders only"
	equal "parts in $1" $((2 * orders)) "$parts"
	equal "orders modulo transactions in $1" 0 $((orders % 20))
}

dump="runuser -u postgres -- pg_dump -h $pg shop"
snap --stdin-name /dumps/shop.sql --stdin-command "cd $pg && $dump"
snap --stdin-name /dumps/shop.sql --stdin-command "cd $pg && $dump"
as createdb -h "$pg" again
"$yore" cat latest:/dumps/shop.sql | as psql -X -q -h "$pg" -d again >"$out" 2>"$err" ||
	fail "the dump cannot be loaded"
judge again
count=$(record_count)
expect_exit 1 "$yore" snapshot --stdin-name /dumps/shop.sql --stdin-command "cd $pg && $dump-no"
said 'does not exist'
equal "records" "$count" "$(record_count)"

# A base backup: the session that begins it has to live until its end, which
# tells the label file; it waits for that on a fifo.
mkfifo "$pg/go"
chown postgres "$pg/go"
cat >"$pg/before" <<END
cd $pg
rm -f backup_label begun
(sh -c 'echo "select pg_backup_start('"'yore'"', true);"
	echo "\\\\! touch $pg/begun"
	cat $pg/go
	echo "select labelfile from pg_backup_stop(false);"' |
	runuser -u postgres -- psql -X -q -A -t -h $pg -d postgres >$pg/stopped 2>&1) &
for i in \$(seq 100); do [ ! -e $pg/begun ] || exit 0; sleep 0.1; done
exit 1
END
cat >"$pg/after" <<END
echo "select 'stopping';" >$pg/go
for i in \$(seq 100); do ! grep -q 'START WAL' $pg/stopped || exit 0; sleep 0.1; done
exit 1
END
snap "$pg/data" --exclude postmaster.pid --exclude postmaster.opts \
	--before "sh $pg/before" --after "sh $pg/after"
case $(snapshot_label) in
hook | smeared) ;; # its files change while they are read: the log of changes repairs that
*) fail "the snapshot's label is $(snapshot_label)" ;;
esac
kill "$writer"
wait "$writer" 2>/dev/null || true
# The log of changes up to the end of the backup is to be there: from a second snapshot.
sql postgres 'select pg_switch_wal()' >/dev/null
expect_exit 0 "$yore" restore "latest:$pg/data" --to "$pg/restored"
snap "$pg/data/pg_wal"
expect_exit 0 "$yore" restore "latest:$pg/data/pg_wal" --to "$pg/restored/data"
as pg_ctl -s -m fast -w -D "$pg/data" stop
sed -n '/START WAL/,$p' "$pg/stopped" >"$pg/restored/data/backup_label"
chown postgres "$pg/restored/data/backup_label"
start "$pg/restored/data"
judge shop
as pg_ctl -s -m fast -w -D "$pg/restored/data" stop
as pg_checksums -c -D "$pg/restored/data" >"$out" 2>"$err" || grep -q 'not enabled' "$err" ||
	fail "pg_checksums"
check

#!/bin/bash
# SPDX-License-Identifier: MIT
# An SQLite database in WAL mode, captured while it is written: from a btrfs
# snapshot, and by a hook that makes a copy. What is restored passes SQLite's
# own check and holds whole transactions only.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
need_root
need sqlite3 python3
loop_mount btrfs 300 "$work/disk"
btrfs -q subvolume create "$work/disk/app"
db=$work/disk/app/shop.db
fresh_repo

cat >"$work/writer.py" <<'END'
import sqlite3, sys, os
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("pragma busy_timeout=10000")
db.execute("create table orders (id integer primary key, text blob)")
db.execute("create table parts (id integer primary key, part_of integer, text blob)")
n = 0
while True:
	n += 1
	db.execute("begin")
	db.execute("insert into orders values (?, ?)", (n, os.urandom(2000)))
	for _ in range(3):
		db.execute("insert into parts (part_of, text) values (?, ?)", (n, os.urandom(3000)))
	if n > 20:
		db.execute("delete from parts where part_of = ?", (n - 20,))
		db.execute("delete from orders where id = ?", (n - 20,))
	db.execute("commit")
	if n == 30:
		open(sys.argv[1] + ".begun", "w").close()
END
python3 "$work/writer.py" "$db" &
writer=$!
for _ in $(seq 100); do [ ! -e "$db.begun" ] || break; sleep 0.1; done
[ -e "$db.begun" ] || fail "the writer did not begin"

# Sound, of whole transactions, and newer than the last.
last=0
judge() { # DATABASE
	local orders newest
	equal "integrity of $1" ok "$(sqlite3 "$1" 'pragma integrity_check')"
	equal "orders without parts in $1" 0 "$(sqlite3 "$1" 'select count(*) from orders
		where (select count(*) from parts where part_of = orders.id) != 3')"
	orders=$(sqlite3 "$1" 'select count(*) from orders')
	equal "orders in $1" 20 "$orders"
	equal "parts in $1" 60 "$(sqlite3 "$1" 'select count(*) from parts')"
	newest=$(sqlite3 "$1" 'select max(id) from orders')
	[ "$newest" -gt "$last" ] || fail "$1 is not newer: $newest after $last"
	last=$newest
}

for i in 1 2 3; do
	snap --method btrfs "$work/disk/app"
	equal "its label" frozen "$(label "$db")"
	expect_exit 0 "$yore" restore "latest:$work/disk/app" --to "$work/restored-$i"
	[ -s "$work/restored-$i/app/shop.db-wal" ] || fail "no write-ahead log: nothing was tried"
	judge "$work/restored-$i/app/shop.db"
done

snap --method plain "$work/disk/app" --before "sqlite3 $db '.timeout 10000' '.backup $db.copy'" \
	--after "rm $db.copy"
equal "the copy's label" hook "$(label "$db.copy")"
expect_exit 0 "$yore" restore "latest:$db.copy" --to "$work/restored"
judge "$work/restored/shop.db.copy"
[ ! -e "$db.copy" ] || fail "the copy is still there"
kill -0 "$writer" || fail "the writer ended"
kill "$writer"

#!/bin/bash
# SPDX-License-Identifier: MIT
# LMDB's file truncated, flipped or deleted: noticed and rebuilt, and the list
# of snapshots is the same.
# Usage: index-damage.sh YORE [--long]
. "$(dirname "$(realpath "$0")")/fault-lib.sh"

begin
for i in 1 2 3; do
	change_source "$i"
	snapshot || exit 1
done
ids >"$work/expected"
index=$work/repo/index/data.mdb
size=$(stat -c %s "$index")

same() { # after what
	sound "$1"
	cmp -s "$work/expected" "$work/listed" || {
		not_ok "$1: another list of snapshots"
		cat "$work/ids-errors"
	}
}

flip() { # offset
	byte=$(od -An -tu1 -j "$1" -N 1 "$index" | tr -d ' ')
	printf "\\$(printf %03o $((byte ^ 165)))" |
		dd of="$index" bs=1 seek="$1" conv=notrunc status=none
}

for n in 0 1 4096 $((size / 2)) $((size - 4096)); do
	truncate -s "$n" "$index"
	same "truncated to $n bytes"
done
rm "$index"
same "deleted"
rm -r "$work/repo/index"
same "deleted with its folder"
head -c "$size" /dev/urandom >"$index"
same "overwritten"
head -c 9000 /dev/urandom >"$work/repo/index/lock.mdb"
same "with a lock file of nonsense"

# A repair beside another user of the index (here: a lock alone).
users=$work/repo/index/users
flock -s "$users" "$yore" repair >"$work/repair" 2>&1 || {
	not_ok "repair beside another user says"
	cat "$work/repair"
}
truncate -s $((size / 2)) "$index"
flock -s "$users" "$yore" repair >"$work/repair" 2>&1
[ $? = 11 ] || {
	not_ok "repair of a damaged index beside another user says"
	cat "$work/repair"
}
same "truncated beside another user"

flips=40
[ $long = 1 ] && flips=1000
for i in $(seq 1 $flips); do
	size=$(stat -c %s "$index")
	at=$(((RANDOM * 32768 + RANDOM) % size))
	# Most of all the first bytes of pages, where LMDB keeps what it trusts.
	[ $((i % 2)) = 0 ] && at=$((at / 4096 * 4096 + RANDOM % 64))
	flip $at
	same "flipped at byte $at"
done
# Behind the back of the mark of a clean end: the same size and time. Damage may
# be named, by its exit code; no command may crash, and a repair helps.
flip_secretly() {
	touch -r "$index" "$work/time"
	size=$(stat -c %s "$index")
	at=$(((RANDOM * 32768 + RANDOM) % size))
	flip $at
	touch -r "$work/time" "$index"
}

works() { # what was done, exit code
	[ "$2" = 0 ] || [ "$2" = 20 ] || {
		not_ok "secretly flipped at byte $at: $1 ends with $2"
		cat "$work/errors"
	}
}

repair() {
	"$yore" repair >"$work/repair" 2>&1 || {
		not_ok "secretly flipped at byte $at: repair says"
		cat "$work/repair"
	}
}

for i in $(seq 1 $((flips * 3 / 4))); do
	flip_secretly
	"$yore" check >"$work/errors" 2>&1
	works check $?
	repair
	same "secretly flipped at byte $at, repaired"
done
for i in $(seq 1 $((flips * 3 / 4))); do
	flip_secretly
	"$yore" snapshots --json >"$work/listing" 2>"$work/errors"
	status=$?
	works snapshots $status
	[ $status = 0 ] && listed_ids <"$work/listing" | sort >"$work/listed" &&
		! cmp -s "$work/expected" "$work/listed" &&
		not_ok "secretly flipped at byte $at: another list of snapshots"
	echo "secret $i" >"$work/source/number"
	snapshot
	status=$?
	works snapshot $status
	if [ $status != 0 ]; then
		repair
		snapshot || {
			not_ok "secretly flipped at byte $at, repaired: snapshot says"
			cat "$work/errors"
		}
	fi
	"$yore" check >"$work/errors" 2>&1
	status=$?
	works check $status
	[ $status = 0 ] || repair
	ids >"$work/expected"
	sort "$work/acknowledged" | cmp -s - "$work/expected" ||
		not_ok "secretly flipped at byte $at: another list of snapshots afterwards"
	same "secretly flipped at byte $at, after a snapshot"
done
# Keys behind which look-ups go wrong while a listing still passes: the least byte of every
# sequence, in leaves and in branches.
for i in $(seq 1 $((long ? 400 : 120))); do
	"$yore" snapshot "$work/source" --tag "many$i" --json >/dev/null 2>"$work/errors" ||
		not_ok "snapshot $i of many: $(cat "$work/errors")"
done
ids >"$work/expected"
host=$(ls "$work/repo/records")
touch -r "$index" "$work/time"
cp "$index" "$work/good"
perl -0777 -ne 'BEGIN { $host = pack("H*", shift) } print $-[0], "\n" while /\Q$host\E\0{6}/g' \
	"$host" "$index" >"$work/places"
[ "$(wc -l <"$work/places")" -gt 120 ] || not_ok "keys of records were not found in the index"
while read -r key; do
	at=$((key + 23))
	flip $at
	touch -r "$work/time" "$index"
	"$yore" snapshots --json >"$work/listing" 2>"$work/errors"
	status=$?
	works snapshots $status
	[ $status = 0 ] && listed_ids <"$work/listing" | sort >"$work/listed" &&
		! cmp -s "$work/expected" "$work/listed" &&
		not_ok "key of a record flipped at byte $at: another list of snapshots"
	cat "$work/good" >"$index"
	touch -r "$work/time" "$index"
done <"$work/places"
rm -r "$work/repo/index"
change_source 4
snapshot || not_ok "no snapshot can be taken afterwards"
newest_equals_source "afterwards"

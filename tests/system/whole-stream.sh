#!/bin/bash
# SPDX-License-Identifier: MIT
# A program's output is captured as one file: whole or not at all, without
# storing again what its last version had, and carried along.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
fresh_repo
echo one >"$source/file"
snap "$source"

# A hundred mebibytes, then with a twentieth of a percent of them changed, then the same again.
head -c 104857600 /dev/urandom >"$work/dump"
snap --stdin-name dump.sql <"$work/dump"
cp "$work/dump" "$work/changed"
for at in 5000 11111 17777 23456; do
	head -c 10000 /dev/urandom |
		dd of="$work/changed" bs=4096 seek=$at conv=notrunc status=none
done
snap --stdin-name dump.sql < <(cat "$work/changed")
at_most "stored of the second" 300000 "$(number new_bytes)"
snap --stdin-name /dump.sql < <(cat "$work/changed")
at_most "stored of the third" 20000 "$(number new_bytes)"
"$yore" cat latest:/dump.sql | cmp - "$work/changed" || fail "the stream differs"
equal "its label" steady "$(label /dump.sql)"
equal "mode" 0600 "$("$yore" ls --json latest:/dump.sql | grep -o '"mode": *"[0-7]*"' |
	grep -o '[0-7]*"$' | tr -d '"')"

# Later snapshots carry it along, and never look for it.
snap "$source"
snap
equal "sources absent" 0 "$(number absent)"
"$yore" cat latest:/dump.sql | cmp - "$work/changed" || fail "the stream was not carried along"

# Also where its folder is captured again.
snap --stdin-name "$source/list" < <(echo listed)
snap "$source"
equal "a stream in a captured folder" listed "$("$yore" cat "latest:$source/list")"
check

# A program that fails, or is killed half-way, leaves no snapshot.
count=$(record_count)
expect_exit 1 "$yore" snapshot --stdin-name dump.sql \
	--stdin-command 'head -c 3000000 /dev/urandom; echo the disk is full >&2; exit 4'
said 'exit status 4; it said: the disk is full'
expect_exit 1 "$yore" snapshot --stdin-name dump.sql \
	--stdin-command 'echo begun; exec 2>&-; kill -9 $$'
said 'killed by signal 9'
expect_exit 1 "$yore" snapshot --stdin-name dump.sql --hook-timeout 300ms \
	--stdin-command 'echo begun; exec sleep 60'
said 'time limit'
equal "records" "$count" "$(record_count)"
"$yore" snapshot --stdin-name dump.sql --stdin-command 'echo begun; exec sleep 60' \
	>"$out" 2>"$err" &
sleep 0.5
kill -TERM $!
wait $! && fail "interrupted, yet good"
equal "records" "$count" "$(record_count)"
expect_exit 0 "$yore" snapshot --stdin-name dump.sql --stdin-command 'echo $YORE_SOURCE'
equal "the command's output" /dump.sql "$("$yore" cat latest:/dump.sql)"
equal "its label" hook "$(label /dump.sql)"

# Nothing came: taken, but told.
expect_exit 3 "$yore" snapshot --stdin-name empty </dev/null
said 'empty'
equal "an empty stream" "" "$("$yore" cat latest:/empty)"

# Not together with paths, and not in the place of something else.
expect_exit 2 "$yore" snapshot --stdin-name x "$source" </dev/null
expect_exit 2 "$yore" snapshot --stdin-command true
expect_exit 1 "$yore" snapshot --stdin-name "$source/file" </dev/null
expect_exit 1 "$yore" snapshot --stdin-name "$source" </dev/null
expect_exit 1 "$yore" snapshot --stdin-name ../x </dev/null
expect_exit 1 "$yore" snapshot /dump.sql
said 'stdin-name'
check

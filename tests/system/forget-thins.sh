#!/bin/bash
# SPDX-License-Identifier: MIT
# forget: thins by policy, says what it would do, and what stays is whole.
. "$(dirname "$0")/lib.sh"
[ -n "${MAKE_SNAPSHOTS:-}" ] || skip "MAKE_SNAPSHOTS is not set"
if [ -w /dev/shm ]; then # hundreds of commits wait for a disk
	memory=$(mktemp -d /dev/shm/yore-test.XXXXXX)
	export YORE_REPOSITORY=$memory/repo
	before_cleanup() { rm -rf "$memory"; }
fi
count() { "$yore" snapshots --names | wc -l; }

fresh_repo
echo a >"$source/a"
"$yore" -q snapshot "$source" --tag pinned >"$out" 2>"$err" || fail snapshot
"$yore" -q snapshot >"$out" 2>"$err" || fail snapshot
# One an hour from 2040 on, 300 of them: the clock of this machine has no say.
first=2209032000
"$MAKE_SNAPSHOTS" 300 $first 3600 >"$out" 2>"$err" || fail "make snapshots"
equal "snapshots" 302 "$(count)"

# Dry run: a line for each, nothing done.
expect_exit 0 "$yore" forget --keep 'all for 12h, daily for 5d' -n
said 'all for 12h'
said 'daily for 5d'
said 'latest'
said 'forget '
equal "lines that keep" "$(grep -c '  keep ' "$out")" "$(sed -n 's/.*and keep \([0-9]*\)/\1/p' "$out")"
kept=$(grep -c '  keep ' "$out")
equal "nothing was done" 302 "$(count)"
expect_exit 0 "$yore" --json forget --keep 'all for 12h, daily for 5d' -n
python3 - "$out" "$kept" <<'PY' || fail "the JSON of a dry run"
import json, sys
plan = json.load(open(sys.argv[1]))
assert plan["dry_run"] is True
assert len(plan["snapshots"]) == 302
assert sum(s["keep"] for s in plan["snapshots"]) == int(sys.argv[2])
assert plan["snapshots"][-1]["rule"] == "latest" and plan["snapshots"][-1]["expires"] is None
PY

# The same, done. What was tagged stays; so do the newest twelve hours.
"$yore" snapshots --names | tail -n 13 >"$work/newest"
expect_exit 0 "$yore" forget --keep 'all for 12h, daily for 5d'
equal "kept" "$kept" "$(count)"
"$yore" snapshots --names | tail -n 13 | cmp -s - "$work/newest" || fail "the newest went"
expect_exit 0 "$yore" cat "latest:$source/a"
"$yore" snapshots --tag pinned --names | grep -q @ || fail "the tagged one went"
equal "record files" $((kept + 1)) "$(find "$YORE_REPOSITORY/records" -type f | wc -l)"
check
expect_exit 0 "$yore" forget --keep 'all for 12h, daily for 5d'
equal "again, nothing" "$kept" "$(count)"

# Counts, and a policy that names tags.
expect_exit 0 "$yore" forget --keep-last 3 --keep-daily 2
at_most "kept by counts" 6 "$(count)"
# By name: the newest and pinned ones refuse.
"$MAKE_SNAPSHOTS" 3 $((first + 3600000)) 3600 >"$out" 2>"$err" || fail "make snapshots"
expect_exit 1 "$yore" forget latest
said 'always stays'
expect_exit 1 "$yore" forget pinned
said 'pins it'
one=$("$yore" snapshots --names | tail -n 2 | head -n 1)
before=$(count)
expect_exit 0 "$yore" forget "$one"
equal "one less" $((before - 1)) "$(count)"
expect_exit 1 "$yore" ls "$one"
expect_exit 0 "$yore" --json forget pinned --force
equal "forgotten" 1 "$(number forgotten)"
equal "two less" $((before - 2)) "$(count)"

# Nothing says what to keep: nothing goes.
printf '[retention]\nkeep =\n' >"$YORE_CONFIG"
expect_exit 2 "$yore" forget
said 'nothing says what to keep'
printf '[retention]\nkeep = last 1\n' >"$YORE_CONFIG"
expect_exit 0 "$yore" forget
equal "the configured policy" 1 "$(count)"
: >"$YORE_CONFIG"
expect_exit 0 "$yore" forget
equal "the usual policy" 1 "$(count)"
expect_exit 2 "$yore" forget --keep hourli
said 'unknown rule'
expect_exit 2 "$yore" forget --keep-last 0
expect_exit 2 "$yore" forget latest --keep-last 2
expect_exit 0 "$yore" forget --keep-last 1 --prune
check --data
not_said ALARM

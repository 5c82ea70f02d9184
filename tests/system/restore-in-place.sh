#!/bin/bash
# SPDX-License-Identifier: MIT
# restore --in-place: over the original, after a safety snapshot that undoes it.
. "$(dirname "$0")/lib.sh"

state() { (cd "$source" && find . -printf '%p %y %m %s %T@\n' | sort && find . -type f -exec cat {} +); }

mkdir -p "$source/a/deep"
echo one >"$source/a/file"
echo keep >"$source/a/deep/keep"
ln -s file "$source/a/link"
chmod 640 "$source/a/file"
"$yore" init >"$out" 2>"$err"
"$yore" -q snapshot "$source" --tag good >"$out" 2>"$err"
good=$(state)

# Damage: changed, gone, new.
echo two-two >"$source/a/file"
rm "$source/a/deep/keep" "$source/a/link"
echo new >"$source/a/new"
bad=$(state)

# Saying so changes nothing, and takes no snapshot.
"$yore" restore "good:$source/a" --in-place -n >"$out" 2>"$err" || fail "dry run"
grep -q "a/file" "$out" || fail "the dry run does not name what it would write"
[ "$(state)" = "$bad" ] || fail "the dry run changed something"
[ "$("$yore" snapshots --names | wc -l)" = 1 ] || fail "the dry run took a snapshot"

# An overlay: what the snapshot does not have stays.
"$yore" restore "good:$source/a" --in-place >"$out" 2>"$err" || fail "restore in place"
[ "$(cat "$source/a/file")" = one ] || fail "file was not restored"
[ "$(cat "$source/a/deep/keep")" = keep ] || fail "keep was not restored"
[ "$(readlink "$source/a/link")" = file ] || fail "link was not restored"
[ "$(cat "$source/a/new")" = new ] || fail "an overlay removed what was new"
undo=$(sed -n "s/.*to undo it: yore restore '\([^']*\)'.*/\1/p" "$err")
[ -n "$undo" ] || fail "how to undo it is not said"

# The safety snapshot has the bad state, reason and tag; undoing brings it back.
"$yore" snapshots --json >"$out"
grep -q before-restore "$out" || fail "the safety snapshot has no tag"
"$yore" restore "$undo" --in-place --delete >"$out" 2>"$err" || fail "undo"
[ "$(state)" = "$bad" ] || fail "undoing does not give what was there"

# With --delete all is as it was; and the newest moment is what it was before the safety snapshot.
"$yore" --json restore "good:$source" --in-place --delete >"$out" 2>"$err" || fail "with --delete"
grep -q '"safety": *"@' "$out" || fail "the safety snapshot is not in the JSON"
[ "$(state)" = "$good" ] || fail "not as it was"
echo three >"$source/a/file"
"$yore" -q snapshot >"$out" 2>"$err"
echo four >"$source/a/file"
"$yore" restore "latest:$source/a/file" --in-place >"$out" 2>"$err" || fail "latest in place"
[ "$(cat "$source/a/file")" = three ] || fail "latest meant the safety snapshot"

# Everything, by no path at all; nothing beside the sources is touched.
echo beside >"$work/beside"
rm -r "$source/a"
"$yore" restore good --in-place --delete >"$out" 2>"$err" || fail "everything in place"
[ "$(cat "$source/a/file")" = one ] || fail "everything in place restored nothing"
[ "$(cat "$work/beside")" = beside ] || fail "it deleted what was beside the source"

# A source that is gone altogether comes back.
rm -r "$source"
"$yore" restore "good:$source" --in-place >"$out" 2>"$err" || fail "a source that is gone"
[ "$(cat "$source/a/file")" = one ] || fail "a source that was gone is not back"

# No safety snapshot, nothing restored: here the repository cannot be written to.
before=$("$yore" snapshots --names | wc -l)
"$yore" restore "good:$source/a" --in-place --no-safety >"$out" 2>"$err" || fail "--no-safety"
[ "$("$yore" snapshots --names | wc -l)" = "$before" ] || fail "--no-safety took a snapshot"

# What excludes leave out is in no snapshot: --delete stops.
"$yore" -q snapshot "$source" --exclude '*.tmp' >"$out" 2>"$err"
echo precious >"$source/a/x.tmp"
! "$yore" restore "good:$source" --in-place --delete >"$out" 2>"$err" || fail "excludes and --delete"
grep -q "excludes" "$err" || fail "no word about excludes"
[ -e "$source/a/x.tmp" ] || fail "an excluded file was deleted"

# A symlink in the way leads nowhere.
mv "$source/a" "$work/elsewhere"
ln -s "$work/elsewhere" "$source/a"
! "$yore" restore "good:$source/a/file" --in-place >"$out" 2>"$err" || fail "through a symlink"
grep -q "is a way to" "$err" || fail "no word about the symlink"

# Usage.
set +e
"$yore" restore good --in-place --to /tmp >"$out" 2>"$err"
[ $? = 2 ] || fail "--to and --in-place"
"$yore" restore good >"$out" 2>"$err"
[ $? = 2 ] || fail "neither --to nor --in-place"
"$yore" restore "good:/nowhere" --in-place >"$out" 2>"$err"
[ $? = 1 ] || fail "a path that is not there"
exit 0

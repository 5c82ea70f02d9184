#!/bin/bash
# SPDX-License-Identifier: MIT
# What somebody uses in a mount is not forgotten; what only the kernel
# remembers is let go of, and whoever works in the mount notices nothing.
. "$(dirname "$0")/lib.sh"
need_fuse

names() { "$yore" snapshots --names; }

fresh_repo
mkdir -p "$source/d/e"
for i in 1 2 3 4; do
	echo "content $i" >"$source/d/e/file"
	"$yore" -q snapshot "$source" >"$out" 2>"$err" || fail snapshot
done
mapfile -t all < <(names)
mount_it
here=$mnt/.snapshots

# Looked through, from end to end, under several names: no reason to stay.
ls -R "$here/${all[0]}" >/dev/null
cat "$here/${all[0]}$source/d/e/file" >"$out"
ls -R "$mnt/${all[0]}" >/dev/null
find "$mnt/@today" >/dev/null
expect_exit 0 "$yore" forget "${all[0]}"
! names | grep -qxF -- "${all[0]}" || fail "it is still there"
[ ! -e "$here/${all[0]}" ] || fail "the mount still shows it"

# A working directory and an open file are uses.
exec 7<"$here/${all[1]}$source/d/e/file"
cd "$here/${all[2]}$source/d/e"
expect_exit 3 "$yore" forget "${all[1]}" "${all[2]}"
said 'in use'
equal "content of an open file" "content 2" "$(cat <&7)"
equal "content below the working directory" "content 3" "$(cat file)"
equal "the working directory" "$here/${all[2]}$source/d/e" "$(/bin/pwd -P)"
equal "still listed" 3 "$(names | wc -l)"
ls .. >/dev/null || fail "the folder above the working directory is gone"

# In the snapshot's root itself.
cd "$here/${all[2]}"
expect_exit 3 "$yore" forget "${all[2]}"
equal "the working directory" "$here/${all[2]}" "$(/bin/pwd -P)"
equal "content below the root" "content 3" "$(cat ".$source/d/e/file")"

# Left, they go at the next forget.
cd /
exec 7<&-
expect_exit 0 "$yore" forget "${all[1]}" "${all[2]}"
equal "only the newest is left" "${all[3]}" "$(names)"
equal "what is left" "content 4" "$(cat "$mnt/latest$source/d/e/file")"
unmount_it
check
not_said ALARM

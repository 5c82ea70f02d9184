#!/bin/bash
# SPDX-License-Identifier: MIT
# Sources that come and go: not there yet, unmounted and mounted again, a bind
# mount, a symlink in the place of the folder; and what fails beside them (a
# hook, a program, a reload in a hurry) holds up nobody else.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_root
need_fuse

disk=$work/disk link=$work/link bound=$work/bound later=$work/later/deep swapped=$work/swapped
mkdir "$disk" "$bound" "$swapped" "$work/real"
truncate -s 16M "$work/image"
mkfs.ext4 -q "$work/image"
mount -o loop "$work/image" "$disk" 2>/dev/null || skip "no loop device"
echo disk >"$disk/file"
echo real >"$work/real/file"
mkdir "$disk/in"
mv "$disk/file" "$disk/in"
ln -s "$disk/in" "$link"
mount --bind "$work/real" "$bound"
echo folder >"$swapped/file"

sources() {
	quick
	printf '[source %s]\npath = %s\n' a "$source" disk "$link" bound "$bound" \
		later "$later" swapped "$swapped" ours "$mnt" repository "$YORE_REPOSITORY"
	printf '[source hooked]\npath = %s\nbefore = echo x >>%s; exit 3\n' "$work/hooked" \
		"$work/hook-ran"
	printf '[source held]\npath = %s\nbefore = echo before $YORE_SOURCE >>%s\n' \
		"$work/held" "$work/held-log"
	printf 'after = echo after >>%s\n' "$work/held-log"
	printf '[source dump]\npath = /dump\ncommand = cat %s\nevery = 1s\n' "$work/dump"
	printf '[source broken]\npath = /broken\ncommand = echo no such database >&2; exit 5\n'
	printf 'every = 1h\n'
}

told() { # REGEX: in what the daemon publishes
	"$yore" --json status 2>/dev/null | tr -d '\n' | grep -Eq "$1"
}

fresh_repo
mkdir "$work/hooked" "$work/held"
echo held >"$work/held/file"
echo one >"$source/file"
echo dumped >"$work/dump"
sources >"$YORE_CONFIG"
foreground
within 15 "a source beside one that is missing" is one "$mnt/latest$source/file"
within 5 "its own mount is named" grep -q "mnt: is yore's own" "$work/daemon.err"
within 5 "its own repository is named" grep -q "repo: is yore's own" "$work/daemon.err"
within 15 "a bind mount" is real "$mnt/latest$bound/file"
within 15 "its own disk" is disk "$mnt/latest$disk/in/file"
within 15 "a program's output" is dumped "$mnt/latest/dump"
within 15 "a source with hooks" is held "$mnt/latest$work/held/file"
equal "its hooks" "before $work/held after" "$(head -n 2 "$work/held-log" | tr '\n' ' ' | sed 's/ $//')"
within 15 "what is missing is told" told "\"path\": *\"$later\"[^}]*\"absent\": *true"
within 15 "what fails is told" told 'broken.*its program'
[ ! -e "$mnt/latest/broken" ] || fail "half of a program's output was captured"

# It comes.
mkdir -p "$later"
echo late >"$later/file"
within 30 "a source that came later" is late "$mnt/latest$later/file"

# The program runs again.
echo again >"$work/dump"
within 15 "the program's next output" is again "$mnt/latest/dump"

# Unmounted: what was there stays.
umount "$disk"
within 30 "absent" told "\"path\": *\"$disk/in\"[^}]*\"absent\": *true"
echo two >"$source/file"
within 15 "the others go on" is two "$mnt/latest$source/file"
kill -HUP "$daemon" # the symlink to it leads nowhere now
echo after >"$source/file"
within 15 "a reload meanwhile" is after "$mnt/latest$source/file"
is disk "$mnt/latest$disk/in/file" || fail "an unmounted source was captured as empty"
mount -o loop "$work/image" "$disk"
echo back >"$disk/in/file"
within 30 "mounted again" is back "$mnt/latest$disk/in/file"
within 30 "not absent any more" told "\"path\": *\"$disk/in\"[^}]*\"absent\": *false"

# A symlink in its place: what it leads to is protected, and noticed.
mv "$swapped" "$work/elsewhere"
ln -s elsewhere "$swapped"
within 30 "the folder that a source leads to by now" is folder "$mnt/latest$work/elsewhere/file"
echo through >"$swapped/file"
within 10 "a change of it" is through "$mnt/latest$work/elsewhere/file"
rm "$swapped"
mv "$work/elsewhere" "$swapped"
echo folder again >"$swapped/file"
within 30 "the folder again" is "folder again" "$mnt/latest$swapped/file"

# The failing hook ran a few times, and not with every change beside it.
at_most "runs of a failing hook" 12 "$(wc -l <"$work/hook-ran")"
[ ! -e "$mnt/latest$work/hooked" ] || fail "captured in spite of its hook"
within 5 "a left out source is named" told 'hooked.*was left out'

# Gone from the configuration and back before it was noticed.
cp "$YORE_CONFIG" "$work/all"
grep -v "$later" "$work/all" >"$YORE_CONFIG.new" || true
sed -i '/source later/d' "$YORE_CONFIG.new"
mv "$YORE_CONFIG.new" "$YORE_CONFIG"
kill -HUP "$daemon"
cp "$work/all" "$YORE_CONFIG"
kill -HUP "$daemon"
echo three >"$source/file"
within 15 "after two reloads" is three "$mnt/latest$source/file"
is late "$mnt/latest$later/file" || fail "a source that is back was dropped"
stop "$daemon"
check

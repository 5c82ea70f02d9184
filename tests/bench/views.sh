#!/bin/bash
# SPDX-License-Identifier: MIT
# views.sh YORE [SNAPSHOTS]: how long .versions, .deleted and .diff take over many
# snapshots (1,000) of 100,000 files, three changes each. Takes some minutes to
# make them; prints milliseconds and the daemon's memory.
set -eu
yore=$(realpath "${1:?name the yore program}")
snapshots=${2:-1000}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/yore-views.XXXXXX")
export HOME=$work/home YORE_KEY_FOLDER=$work/keys YORE_REPOSITORY=$work/repo TZ=UTC
src=$work/s
mnt=$work/m
mkdir -p "$HOME" "$src" "$mnt"
trap '"$yore" -q umount "$mnt" 2>/dev/null || true; rm -rf "$work"' EXIT

for a in {0..9}/{0..9}/{0..9}; do
	mkdir -p "$src/$a"
	(cd "$src/$a" && seq -f 'f%.0f.txt' 100 | xargs touch)
done
"$yore" init >/dev/null 2>&1
"$yore" -q snapshot "$src"
RANDOM=1
for ((i = 2; i <= snapshots; i++)); do
	echo "$i" >"$src/3/4/5/target.odt"
	echo "$i" >"$src/$((RANDOM % 10))/$((RANDOM % 10))/$((RANDOM % 10))/f$((RANDOM % 100 + 1)).txt"
	echo "$i" >"$src/5/$((i % 10))/new$i"
	rm -f "$src/5/$((i % 10))/new$((i - 40))"
	"$yore" -q snapshot "$src"
done

fresh() {
	"$yore" -q umount "$mnt" 2>/dev/null || true
	"$yore" -q mount "$mnt"
}

timed() { # WHAT command...
	local what=$1 start
	shift
	start=$(date +%s%N)
	"$@" >"$work/out"
	printf '%-52s %6d ms %6d lines\n' "$what" $((($(date +%s%N) - start) / 1000000)) \
		"$(wc -l <"$work/out")"
}

memory() {
	local p
	for p in /proc/[0-9]*; do
		tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -qx -- "$mnt" || continue
		awk '/VmHWM/ { print "the daemon at its largest:", $2, "KiB" }' "$p/status"
	done
}

first=@$("$yore" snapshots --names | head -n 1 | tr -d @)
fresh
timed "versions of a file that always changed, just mounted" ls "$mnt/.versions$src/3/4/5/target.odt"
timed "again" ls "$mnt/.versions$src/3/4/5/target.odt"
timed "with attributes" ls -l "$mnt/.versions$src/3/4/5/target.odt"
timed "versions of another file" ls "$mnt/.versions$src/1/2/3/f7.txt"
timed "names that ever were in a folder" ls "$mnt/.versions$src/5/5"
memory
fresh
timed "versions of a file that never changed, just mounted" ls "$mnt/.versions$src/7/7/7/f77.txt"
fresh
timed "all that was deleted, just mounted" find "$mnt/.deleted$src"
memory
fresh
timed "all that changed since the first, just mounted" find "$mnt/.diff/$first..@latest"
memory
timed "yore history" "$yore" history "$src/3/4/5/target.odt" 2>/dev/null

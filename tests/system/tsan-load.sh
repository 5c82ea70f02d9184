#!/bin/bash
# SPDX-License-Identifier: MIT
# Everything at once: snapshots of a tree with hard links, big and small files;
# a mount under eight readers while more snapshots are made; restore; check.
# Right bytes and clean ends with any build; with one under ThreadSanitizer
# (-Db_sanitize=thread) every race that it reports fails the test.
#   YORE_LOAD_FILES   how many small files (default 3000)
#   YORE_LOAD_SECONDS how long the readers read (default 15)

# ThreadSanitizer's memory layout has no sure place for the index's map of 1 TiB
# when addresses are random.
if [ -z "${YORE_LOAD_AGAIN:-}" ] && grep -q __tsan_init "$1" && setarch -R true 2>/dev/null; then
	export YORE_LOAD_AGAIN=1
	exec setarch -R "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need_fuse
files=${YORE_LOAD_FILES:-3000}
seconds=${YORE_LOAD_SECONDS:-15}
export TSAN_OPTIONS="halt_on_error=0 exitcode=66 second_deadlock_stack=1 log_path=$work/race"

# Reports go to files: a daemon's stderr is nobody's.
races() {
	! ls "$work"/race.* >/dev/null 2>&1 && return
	head -n 120 "$work"/race.* >&2
	[ -z "${YORE_LOAD_KEEP:-}" ] || cp "$work"/race.* "$YORE_LOAD_KEEP/"
	fail "$(cat "$work"/race.* | grep -c '^WARNING: ThreadSanitizer') reports of ThreadSanitizer"
}

make_tree() {
	local i folder
	for ((i = 0; i < files; i++)); do
		folder=$source/d$((i / 100))/e$((i / 10 % 10))
		[ $((i % 10)) != 0 ] || mkdir -p "$folder"
		head -c $((i * 37 % 20000)) /dev/urandom >"$folder/f$i"
	done
	for ((i = 0; i < files; i += 50)); do
		ln "$source/d$((i / 100))/e$((i / 10 % 10))/f$i" "$source/link$i"
	done
	head -c 40000000 /dev/urandom >"$source/big"
	cp "$source/big" "$source/image"
	truncate -s 1G "$source/sparse"
	printf data | dd of="$source/sparse" bs=1M seek=700 conv=notrunc status=none
}

change_tree() { # NUMBER
	local i
	for ((i = $1; i < files; i += 97)); do
		echo "change $1" >>"$source/d$((i / 100))/e$((i / 10 % 10))/f$i"
	done
	for ((i = 0; i < 40; i++)); do
		printf 'block %d %d' "$1" "$i" | dd of="$source/image" bs=4096 \
			seek=$((RANDOM % 9000)) conv=notrunc status=none
	done
	mkdir -p "$source/new$1"
	cp "$source/link0" "$source/new$1/"
}

random_reads() { # FILE ORIGINAL: 4 KiB at random places, the same in both
	local at
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		at=$((RANDOM % 9000))
		cmp -s <(dd if="$1" bs=4096 skip=$at count=1 status=none) \
			<(dd if="$2" bs=4096 skip=$at count=1 status=none) || return 1
	done
}

reader() { # NUMBER
	local here=$1 end=$((SECONDS + seconds))
	while [ $SECONDS -lt $end ]; do
		case $here in
		0) find "$mnt/$first" -ls >/dev/null ;;
		1) grep -r -l change "$mnt/$first" >/dev/null || true ;;
		2 | 3) cmp "$work/big" "$mnt/$first$source/big" ;;
		4) random_reads "$mnt/$first$source/big" "$work/big" ;;
		5) tar cf - -C "$mnt/latest/" . 2>/dev/null | wc -c >/dev/null ;;
		6) ls -lR "$mnt/" "$mnt/.snapshots/" >/dev/null ;;
		*) cat "$mnt"/.snapshots/*"$source/link0" "$mnt/.yore/status.json" >/dev/null
			stat "$mnt/@today" "$mnt/@1min-ago" >/dev/null 2>&1 || true ;;
		esac || return 1
	done
}

fresh_repo
make_tree
cp "$source/big" "$work/big"
"$yore" -q snapshot "$source" || fail "first snapshot"
races
cp -a "$source" "$work/first"
mount_it
first=.snapshots/$(ls "$mnt/.snapshots" | head -n 1)
pids=
for n in 0 1 2 3 4 5 6 7; do
	reader $n &
	pids="$pids $!"
done
for n in 1 2 3; do
	change_tree $n
	"$yore" -q snapshot || fail "snapshot $n beside the readers"
done
for pid in $pids; do
	wait "$pid" || fail "a reader failed"
done
races
expect_exit 0 "$yore" -q restore "latest:$source" --to "$work/back"
same_trees "restored" "$source" "$work/back/source"
expect_exit 0 "$yore" -q restore "${first#.snapshots/}:$source" --to "$work/back1"
same_trees "restored first" "$work/first" "$work/back1/source"
check --data
races
unmount_it
for _ in 1 2 3 4 5 6 7 8 9 10; do
	pgrep -f -- "$mnt" >/dev/null || break
	sleep 0.5
done
races

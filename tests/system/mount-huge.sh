#!/bin/bash
# SPDX-License-Identifier: MIT
# A directory of very many entries lists whole, from any place in it, within
# bounded memory. 200,000 entries; a million with YORE_TEST_LONG=1.
# Very many small files: in memory where that is possible.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
n=200000
[ "${YORE_TEST_LONG:-0}" = 0 ] || n=1000000

mount_probe() {
	if [ -z "${MOUNT_PROBE:-}" ]; then
		MOUNT_PROBE=$work/mount_probe
		"${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 \
			"$here/mount_probe.c" -o "$MOUNT_PROBE" || skip "cannot build mount_probe"
	fi
	"$MOUNT_PROBE" "$@"
}

daemon_pid() {
	local p
	for p in /proc/[0-9]*; do
		tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -x -- "$mnt" >/dev/null || continue
		case $(cat "$p/comm" 2>/dev/null) in yore*) echo "${p#/proc/}"; return ;; esac
	done
	return 1
}

mkdir "$source/huge"
(cd "$source/huge" && seq -f 'an-entry-of-a-huge-directory-%07.0f' "$n" | xargs touch)
fresh_repo
"$yore" -q snapshot "$source"
mount_it
huge=$(readlink -f "$mnt/latest")$source/huge

for round in first second; do
	start=$(now)
	count=$(ls -f "$huge" | wc -l)
	echo "$round listing of $n entries: $(now | awk -v s="$start" '{ printf "%.2f s", $1 - s }')"
	equal "names" $((n + 2)) "$count"
done
ls -f "$huge" | sort -u | wc -l >"$out"
equal "different names" $((n + 2)) "$(cat "$out")"
equal "names by telldir and seekdir" $((n + 2)) "$(mount_probe seekdir "$huge")"
[ -f "$huge/an-entry-of-a-huge-directory-0000777" ] || fail "a name in it is not found"
[ ! -e "$huge/an-entry" ] || fail "a name that is not there is found"
start=$(now)
equal "files found" "$n" "$(find "$huge" -type f | wc -l)"
echo "find -type f: $(now | awk -v s="$start" '{ printf "%.2f s", $1 - s }')"

memory=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(daemon_pid)/status")
echo "peak memory of the mount: $memory MiB"
# What a sanitizer keeps aside is not ours.
grep -q __asan_init "$yore" || grep -q __tsan_init "$yore" ||
	at_most "MiB of memory" 400 "$memory"
unmount_it

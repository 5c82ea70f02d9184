#!/bin/bash
# SPDX-License-Identifier: MIT
# Idle, the daemon costs next to nothing and writes nothing; its threads leave
# the machine to others, those of the mount do not; reading leaves the page
# cache as it was; a rate that is set is kept.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_root
need_fuse
need fincore ionice

# A disk of its own: nobody else changes anything there.
truncate -s 64M "$work/image"
mkfs.ext4 -q "$work/image"
mount -o loop "$work/image" "$source" 2>/dev/null || skip "no loop device"
fresh_repo
{
	quick
	printf '[limits]\nnice = 7\nio = idle\nread-rate = 4M\n[source a]\npath = %s\n' "$source"
} >"$YORE_CONFIG"

cached() { # FILE: bytes of it in the page cache
	fincore -bnro res "$1"
}

head -c 8000000 /dev/urandom >"$source/cold"
head -c 400000 /dev/urandom >"$source/warm"
sync -f "$source"
echo 1 >/proc/sys/vm/drop_caches
cat "$source/warm" >/dev/null
equal "in the cache before" 0 "$(cached "$source/cold")"
warm=$(cached "$source/warm")
began=$(date +%s%N)
foreground
within 30 "a first snapshot" cmp -s "$source/warm" "$mnt/latest$source/warm"
took=$((($(date +%s%N) - began) / 1000000))
[ $took -ge 1500 ] || fail "8.4 MB were read in $took ms, at 4 MiB/s"
at_most "ms for 8.4 MB at 4 MiB/s" 10000 $took
equal "of the cold file in the cache" 0 "$(cached "$source/cold")"
equal "of the warm file in the cache" "$warm" "$(cached "$source/warm")"

# Idle: 10 ms in a second would be one percent.
cpu() {
	awk '{ print $14 + $15 }' "/proc/$daemon/stat"
}
records=$(record_count)
sleep 1
before=$(cpu)
sleep 5
after=$(cpu)
ticks=$(getconf CLK_TCK)
at_most "CPU ms in 5 idle s" 50 $(((after - before) * 1000 / ticks))
equal "records while nothing changes" "$records" "$(record_count)"

for task in "/proc/$daemon/task"/*; do
	thread=$(cat "$task/comm") nice=$(awk '{ print $19 }' "$task/stat")
	class=$(ionice -p "${task##*/}")
	case $thread in
	yore-protect | yore-watch | yore-upkeep | yore-report)
		equal "nice value of $thread" 7 "$nice"
		equal "I/O class of $thread" idle "$class"
		;;
	*)
		equal "nice value of $thread, which serves readers" 0 "$nice"
		[ "$class" != idle ] || fail "$thread, which serves readers, has the idle class"
		;;
	esac
done
stop "$daemon"

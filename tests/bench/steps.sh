# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # what they share is set by compare
#
# Sourced by compare: one timed step, a program's mount, and the cycle of one
# program over one corpus. Every sample is a line of $results:
#
#   program  corpus  step  field  value
#
# with field wall, cpu, rss (of the step), daemon_cpu, daemon_rss (of the mount
# that served it), size, rate, iops, p50, p99. A value of ">75" ran into its
# limit of 75 s; "fail" is what it says. What failed is on standard error.

STEP_PID='' MOUNT_PID='' MOUNT_POINT=''
TICKS=$(getconf CLK_TCK)
RACY_SECONDS=2.2 # changes younger than this are read again by whoever is careful
RANDOM_SECONDS=5

say() { echo "compare: $*" >&2; }
now_us() { echo "${EPOCHREALTIME//[.,]/}"; }
seconds() { awk -v us="$1" 'BEGIN { printf "%.3f\n", us / 1e6 }'; }
is_number() { [[ $1 =~ ^[0-9]+([.][0-9]+)?$ ]]; }

record() { # step field value
	printf '%s\t%s\t%s\t%s\t%s\n' "$PROGRAM" "$CORPUS" "$1" "$2" "$3" >>"$results"
}

peer() { "$here/peer" "$PROGRAM" "$@"; }

can_drop() { [ "$quick" = 0 ] && [ "$(id -u)" = 0 ]; }

# Empty the page cache where that is wanted and allowed.
go_cold() {
	can_drop || return 0
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

go_warm() {
	find "$folder" -type f -print0 | xargs -0 cat >/dev/null
	can_drop || return 0
	sync # what an earlier step wrote is not this one's to wait for
}

# Run a command within $1 seconds: sets WALL, CPU, RSS. Ends with its status.
timed() { # limit command...
	local limit=$1 status=0 user system kib from
	shift
	rm -f "$run/time"
	from=$(now_us)
	timeout -k 5 "$limit" /usr/bin/time -q -o "$run/time" -f '%U %S %M' "$@" \
		>"$run/out" 2>"$run/err" 9>&- &
	STEP_PID=$!
	wait "$STEP_PID" || status=$?
	STEP_PID=''
	WALL=$(seconds $(($(now_us) - from))) CPU=fail RSS=fail
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		WALL=">$limit"
		return "$status"
	fi
	read -r user system kib < <(tail -n 1 "$run/time")
	CPU=$(awk -v a="$user" -v b="$system" 'BEGIN { printf "%.2f", a + b }')
	RSS=$(awk -v k="$kib" 'BEGIN { printf "%.0f", k / 1024 }')
	[ "$status" = 0 ] && return 0
	WALL=fail
	say "$PROGRAM on $CORPUS failed with $status: $*: $(tail -n 3 "$run/err" | tr '\n' ' ')"
	return "$status"
}

# Time a command and record its three figures.
step() { # name limit command...
	local name=$1 status=0
	shift
	timed "$@" || status=$?
	record "$name" wall "$WALL"
	if is_number "$WALL"; then
		record "$name" cpu "$CPU"
		record "$name" rss "$RSS"
	fi
	return "$status"
}

repository_mib() {
	du -s --apparent-size -B1 "$BENCH_REPO" | awk '{ printf "%.1f", $1 / 1048576 }'
}

# Throw a folder away. ext4 passes over the inodes deleted in the last minutes
# one by one whenever it makes a file (cp -a of 4,500 files: 0.4 CPU seconds, 2.5
# after as many were deleted), so where there are many they wait until the end.
discard() { # path
	local n_files free
	[ -e "$1" ] || return 0
	n_files=$(find "$1" -type f -printf . | wc -c)
	free=$(df --output=avail -B1M "$scratch" | tail -n 1)
	if [ "$n_files" -lt 500 ] || [ "$free" -lt 8192 ]; then
		rm -rf "$1"
		return 0
	fi
	mkdir -p "$scratch/trash"
	mv "$1" "$(mktemp -d "$scratch/trash/XXXXXXXX")/"
}

# ---- the mount ----

daemon_pids() {
	local pid=$1 child
	echo "$pid"
	while read -rd ' ' child; do
		daemon_pids "$child"
	done < <(cat "/proc/$pid"/task/*/children 2>/dev/null)
}

# CPU seconds that the mount's processes have used.
daemon_cpu() {
	local pid total=0 stat ticks
	[ -n "$MOUNT_PID" ] || { echo 0; return; }
	for pid in $(daemon_pids "$MOUNT_PID"); do
		stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
		# The name in parentheses may hold spaces: count from behind it.
		read -ra ticks <<<"${stat##*) }"
		total=$((total + ticks[11] + ticks[12]))
	done
	awk -v t="$total" -v hz="$TICKS" 'BEGIN { printf "%.2f", t / hz }'
}

daemon_rss() {
	local pid
	for pid in $(daemon_pids "$MOUNT_PID"); do
		awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true
	done | awk '{ kib += $1 } END { printf "%.0f", kib / 1024 }'
}

# A step through the mount: also what its daemon spent.
mount_step() { # name command...
	local name=$1 before status=0
	shift
	before=$(daemon_cpu)
	step "$name" "$mount_limit" "$@" || status=$?
	if [ -n "$MOUNT_PID" ]; then
		record "$name" daemon_cpu \
			"$(awk -v a="$before" -v b="$(daemon_cpu)" 'BEGIN { printf "%.2f", b - a }')"
		record "$name" daemon_rss "$(daemon_rss)"
	fi
	return "$status"
}

# Mount afresh. Sets ROOT, the newest snapshot's files. Records "ready".
mount_up() {
	local from probe
	go_cold
	if [ "$PROGRAM" = raw ]; then
		ROOT=$folder
		return 0
	fi
	MOUNT_POINT=$run/mnt
	mkdir -p "$MOUNT_POINT"
	ROOT=$(peer root "$MOUNT_POINT" "$CORPUS")
	probe=$ROOT/$(find "$folder" -mindepth 1 -maxdepth 1 -printf '%f\n' -quit)
	from=$(now_us)
	"$here/peer" "$PROGRAM" mount "$MOUNT_POINT" >"$run/mount.log" 2>&1 9>&- &
	MOUNT_PID=$!
	# Its own process, so that a mount which never answers can be left.
	# shellcheck disable=SC2016 # for the inner shell
	if ! timeout -k 5 "$mount_limit" bash -c \
		'until [[ -e $1 ]]; do kill -0 "$2" || exit 1; sleep 0.001; done' _ \
		"$probe" "$MOUNT_PID" 2>/dev/null; then
		say "$PROGRAM: no mount of $CORPUS: $(tail -n 2 "$run/mount.log" | tr '\n' ' ')"
		record ready wall fail
		mount_down
		return 1
	fi
	record ready wall "$(seconds $(($(now_us) - from)))"
}

mount_down() {
	local i
	[ -n "$MOUNT_PID" ] || return 0
	for i in 1 2 3 4 5 6; do
		mountpoint -q "$MOUNT_POINT" || break
		if [ "$(id -u)" = 0 ]; then
			timeout -k 1 10 umount "$MOUNT_POINT" 2>/dev/null && break
		else
			timeout -k 1 10 fusermount3 -u "$MOUNT_POINT" 2>/dev/null && break
		fi
		sleep 0.3
	done
	for ((i = 0; i < 50; i++)); do
		kill -0 "$MOUNT_PID" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$MOUNT_PID" 2>/dev/null || true
	wait "$MOUNT_PID" 2>/dev/null || true
	if mountpoint -q "$MOUNT_POINT"; then
		umount -l "$MOUNT_POINT" 2>/dev/null || fusermount3 -uz "$MOUNT_POINT" || true
	fi
	MOUNT_PID=''
}

# shellcheck disable=SC2016 # for the inner shells
{
	FIND='find "$1" -type f | wc -l'
	STAT='find "$1" -printf "%s %T@ %m %u\n" | wc -l'
	TAR='tar -C "$1" -cf - . | wc -c' # GNU tar reads nothing when it writes to /dev/null
	CAT='dd if="$1" of=/dev/null bs=1M status=none'
	TAR_ZSTD='tar -cf - "$1" | zstd -q -1 -T2 >"$2"'
}

mount_names() {
	local i n_files
	mount_up || return 0
	n_files=$(find "$folder" -type f | wc -l)
	if mount_step find_first bash -c "$FIND" _ "$ROOT"; then
		[ "$(cat "$run/out")" = "$n_files" ] ||
			say "$PROGRAM: find saw $(cat "$run/out") of $n_files files"
		for i in 1 2 3; do
			mount_step find_again bash -c "$FIND" _ "$ROOT" || break
		done
	fi
	if mount_step stat_first bash -c "$STAT" _ "$ROOT"; then
		mount_step stat_again bash -c "$STAT" _ "$ROOT" || true
	fi
	mount_down
	mount_up || return 0
	mount_step tar_first bash -c "$TAR" _ "$ROOT" || true
	mount_down
}

# The rate of the step just timed, of a file's bytes.
record_rate() { # step file
	is_number "$WALL" || return 0
	record "$1" rate "$(awk -v n="$(stat -c %s "$2")" -v s="$WALL" \
		'BEGIN { printf "%.0f", n / 1048576 / (s > 0 ? s : 0.001) }')"
}

mount_big_file() {
	local file i figures
	file=$(cd "$folder" && find . -type f | LC_ALL=C sort | sed -n 1p)
	mount_up || return 0
	if mount_step cat_first bash -c "$CAT" _ "$ROOT/$file"; then
		record_rate cat_first "$folder/$file"
		for i in 1 2; do
			mount_step cat_again bash -c "$CAT" _ "$ROOT/$file" || break
			record_rate cat_again "$folder/$file"
		done
	fi
	mount_down
	mount_up || return 0
	if mount_step random "$helpers/random_read" "$ROOT/$file" "$RANDOM_SECONDS" 7; then
		read -ra figures <"$run/out"
		record random iops "${figures[0]}"
		record random p50 "${figures[1]}"
		record random p99 "${figures[2]}"
	fi
	mount_down
}

mount_steps() {
	if [ "$CORPUS" = tree ]; then
		mount_names
	else
		mount_big_file
	fi
}

# ---- changes of the corpora, taken back afterwards ----

change_tree() {
	local name
	hundred_files "$run/hundred"
	tar -C "$folder" -cpf "$scratch/saved.tar.new" -T "$run/hundred"
	mv "$scratch/saved.tar.new" "$scratch/saved.tar"
	while IFS= read -r name; do
		echo "one changed line" >>"$folder/$name"
	done <"$run/hundred"
}

change_vm() {
	mv "$folder/disk.img" "$corpora/vm/first.img"
	mv "$corpora/vm/next.img" "$folder/disk.img"
}

# Also after a run that was killed.
revert_changes() {
	if [ -e "$scratch/saved.tar" ]; then
		tar -C "$corpora/tree/tree" -xpf "$scratch/saved.tar"
		rm -f "$scratch/saved.tar"
	fi
	if [ -e "$corpora/vm/first.img" ]; then
		[ -e "$corpora/vm/next.img" ] ||
			mv "$corpora/vm/vm/disk.img" "$corpora/vm/next.img"
		mv "$corpora/vm/first.img" "$corpora/vm/vm/disk.img"
	fi
}

# ---- the cycle ----

fresh_repository() {
	discard "$BENCH_REPO"
	rm -rf "$BENCH_CACHE"
	mkdir -p "$BENCH_CACHE"
	timed 60 "$here/peer" "$PROGRAM" init
}

restore_step() { # name
	discard "$run/restored"
	mkdir -p "$run/restored"
	step "$1" "$limit" "$here/peer" "$PROGRAM" restore "$run/restored" "$CORPUS" || return 0
	# Also whether it brought back what was there.
	diff -rq --no-dereference "$(peer restored "$run/restored" "$CORPUS")" "$folder" \
		>"$run/diff" 2>&1 || say "$PROGRAM: what it restored of $CORPUS differs: $(
			head -n 1 "$run/diff"
		)"
	discard "$run/restored"
}

change_step() {
	local before
	declare -F "change_$CORPUS" >/dev/null || return 0
	before=$(repository_mib)
	"change_$CORPUS"
	sleep "$RACY_SECONDS"
	go_warm
	step change "$limit" "$here/peer" "$PROGRAM" backup 9 "$CORPUS" || true
	record change size "$(awk -v a="$before" -v b="$(repository_mib)" \
		'BEGIN { printf "%.2f", b - a }')"
	revert_changes
}

cycle() {
	local i
	if can_drop; then
		fresh_repository || return 0
		go_cold
		step first_cold "$limit" "$here/peer" "$PROGRAM" backup 1 "$CORPUS" || return 0
	fi
	fresh_repository || return 0
	go_warm
	step first_warm "$limit" "$here/peer" "$PROGRAM" backup 1 "$CORPUS" || return 0
	record repository size "$(repository_mib)"
	sleep "$RACY_SECONDS"
	if can_drop; then
		go_cold
		step same_cold "$limit" "$here/peer" "$PROGRAM" backup 2 "$CORPUS" || return 0
	fi
	go_warm
	for i in 3 4 5; do
		sleep 1.1 # some name a backup by the second
		step same_warm "$limit" "$here/peer" "$PROGRAM" backup "$i" "$CORPUS" || break
	done
	if can_drop; then
		go_cold
		restore_step restore_cold
	fi
	restore_step restore_warm
	mount_steps
	change_step
}

# No backup program: what copying and packing cost, and the files themselves
# where the others show a mount.
cycle_raw() {
	if can_drop; then
		go_cold
		step copy_cold "$limit" cp -a "$CORPUS" "$run/copy" || true
		discard "$run/copy"
		go_cold
		step packed_cold "$limit" bash -c "$TAR_ZSTD" _ "$CORPUS" "$run/packed" || true
	fi
	go_warm
	step copy_warm "$limit" cp -a "$CORPUS" "$run/copy" || true
	discard "$run/copy"
	step packed_warm "$limit" bash -c "$TAR_ZSTD" _ "$CORPUS" "$run/packed" || true
	record packed size "$(stat -c %s "$run/packed" | awk '{ printf "%.1f", $1 / 1048576 }')"
	mount_steps
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# A daemon left to itself for long: a busy tree, snapshots, thinning, collection
# and readers. At the end its memory and descriptors are flat, the repository is
# bounded, what it shows equals the tree, and every stored byte is sound.
# Usage: soak.sh YORE [SECONDS]; the environment's MUTATOR changes the tree.
. "$(dirname "$0")/lib.sh"
need_fuse
seconds=${2:-1800}
mutator=${MUTATOR:?the program that changes a tree}

cat >"$YORE_CONFIG" <<END
[snapshot]
quiet = 500ms
longest = 3s
[retention]
keep = all for 20s, every 5s for 1min, every 30s for 5min, every 5min
collect-every = 30s
[mount]
path = $mnt
# Small, so that it is full soon: what grows after that grows for ever.
cache-size = 16M
[source tree]
path = $source
exclude = *.tmp
END
# What is sampled of the daemon: resident KiB without the mapped index, and descriptors.
sample() {
	local anonymous descriptors
	anonymous=$(awk '/^RssAnon/ { print $2 }' "/proc/$daemon/status")
	descriptors=$(find "/proc/$daemon/fd" -mindepth 1 2>/dev/null | wc -l)
	echo "$SECONDS $anonymous $descriptors $(repository_bytes) $(pack_count) $(record_count)" \
		>>"$work/samples"
}

# Somebody who looks: lists, reads, and stays a while in an old snapshot.
reader() {
	local at
	while :; do
		for at in "$mnt"/.snapshots/*; do
			(cd "$at" 2>/dev/null && find . -type f -print0 | head -z -n 200 |
				xargs -0 cat >/dev/null 2>&1) || true
			sleep 0.5
		done
		ls -lR "$mnt/latest/" >/dev/null 2>&1 || true
		sleep 1
	done
}

highest() { # FIELD FROM TO: of the samples in this part
	sed -n "$2,$3p" "$work/samples" | awk -v f="$1" '$f > m { m = $f } END { print m + 0 }'
}

fresh_repo
"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
for _ in $(seq 100); do mountpoint -q "$mnt" && break || sleep 0.1; done
mountpoint -q "$mnt" || fail "the daemon does not mount: $(cat "$work/daemon.err")"
reader &
end=$((SECONDS + seconds))
round=0
while [ $SECONDS -lt $end ]; do
	"$mutator" "$source/tree" $((round += 1)) 10 200 >/dev/null || fail "the mutator"
	kill -0 $daemon 2>/dev/null || fail "the daemon died: $(tail -n 5 "$work/daemon.err")"
	sample
	[ $((round % 7)) != 0 ] || sleep 8 # a quiet moment
done
kill %2 2>/dev/null || true

for _ in $(seq 300); do
	diff -r --no-dereference "$source" "$mnt/latest$source" >"$work/differs" 2>&1 && break
	sleep 0.1
done
[ ! -s "$work/differs" ] || fail "the newest snapshot is not the tree: $(head "$work/differs")"
kill -TERM $daemon
wait $daemon || fail "the daemon's exit code is $?"
check --data
expect_exit 0 "$yore" prune
check --data
tree=$(du -sb "$source" | cut -f1)
echo "tree: $tree bytes; repository after a last prune: $(repository_bytes)"
at_most "bytes of the repository" $((4 * tree + 2000000)) "$(repository_bytes)"

n=$(wc -l <"$work/samples")
echo "seconds, anonymous KiB, descriptors, repository bytes, packs, records:"
sed -n "1p;$((n / 4))p;$((n / 2))p;$((n * 3 / 4))p;${n}p" "$work/samples"
half=$((n / 2))
# Memory, descriptors, packs, records; the tree itself grows for a while.
for field in 2 3 5 6; do
	before=$(highest $field $((n / 6 + 1)) $half)
	after=$(highest $field $((half + 1)) "$n")
	# A fifth more, and a little that does not count: nothing that grows with time.
	at_most "field $field in the second half" $((before * 6 / 5 + 20)) "$after"
done

#!/bin/bash
# SPDX-License-Identifier: MIT
# A restore that is killed leaves only whole files, and the next one does what is left.
# Usage: restore-resume.sh YORE
set -eu
yore=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo"
mkdir -p "$HOME" "$work/source"
fail() {
	echo "restore-resume: $*" >&2
	exit 1
}

cd "$work/source"
for d in $(seq 1 60); do
	mkdir "d$d"
	for f in $(seq 1 40); do
		head -c $((f * 997)) /dev/urandom >"d$d/f$f"
	done
done
head -c 60000000 /dev/urandom >large
cd "$work"
"$yore" init >/dev/null
"$yore" snapshot "$work/source" >/dev/null

count() {
	if [ -d "$1" ]; then find "$1" -type f ! -name '.yore-*' | wc -l; else echo 0; fi
}

# Kill it as soon as it has written something but not all; slower machines need another try.
all=$(count source)
interrupted=no
for _ in $(seq 1 20); do
	rm -rf to
	"$yore" restore "latest:$work/source" --to to --threads 1 >/dev/null 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null && [ "$(count to)" -lt 50 ]; do :; done
	kill -9 $pid 2>/dev/null || true
	wait $pid 2>/dev/null || true
	left=$(count to)
	if [ "$left" -gt 0 ] && [ "$left" -lt "$all" ]; then
		interrupted=yes
		break
	fi
done
[ "$interrupted" = yes ] || { echo "restore-resume: too fast to interrupt" >&2; exit 77; }

# Whatever has its name is whole.
(cd to/source && find . -type f ! -name '.yore-*' -print0) |
	while IFS= read -r -d '' name; do
		cmp -s "source/$name" "to/source/$name" || fail "half-written: $name"
	done
# A file is renamed with its time already set, so a whole one is not written again.
touch marker
sleep 0.1
"$yore" restore "latest:$work/source" --to to --json >result 2>/dev/null || fail "second run: exit $?"
written=$(sed -n 's/.*"written": *\([0-9]*\).*/\1/p' result)
[ "$written" = $((all - left)) ] || fail "$left were there, $all in all, but $written written"
[ "$(find to -type f -newercm marker | wc -l)" -le $((all - left)) ] || fail "whole files were touched"
diff -r source to/source || fail "contents differ"
find to -name '.yore-*' | grep -q . && fail "a temporary file is left"
"$yore" restore "latest:$work/source" --to to --json >result
[ "$(sed -n 's/.*"written": *\([0-9]*\).*/\1/p' result)" = 0 ] || fail "the third run wrote something"
echo "restore-resume: ok"

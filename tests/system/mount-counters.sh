#!/bin/bash
# SPDX-License-Identifier: MIT
# What the kernel may keep it does not ask for again, whoever looks; and what
# many readers want at once is decoded once.
# Very many small files: in memory where that is possible.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need setpriv

other() { # command... as somebody who owns nothing here
	setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
}

# One number of the mount's own counters.
counter() { # KEY
	cat "$mnt/.yore/status.json" >"$out"
	grep -Eo "\"$1\": [0-9]+" "$out" | grep -Eo '[0-9]+$'
}

chunks() {
	"$yore" --json status >"$out"
	number chunks
}

# 100,000 entries: 10 times 10 folders of 1,000, some with ACLs.
for a in 0 1 2 3 4 5 6 7 8 9; do
	mkdir -p "$source/$a"/{0,1,2,3,4,5,6,7,8,9}
done
for d in "$source"/?/?; do
	(cd "$d" && seq -f 'entry-%04.0f' 1000 | xargs touch)
done
if command -v setfacl >/dev/null && setfacl -m u:12345:r "$source/1/1/entry-0001" 2>"$err"; then
	for d in "$source"/?/5; do
		setfacl -m u:12345:rx "$d"
		setfacl -m u:12345:r,g:12345:- "$d"/entry-00??
	done
else
	echo "no ACLs here: tried without"
fi
fresh_repo
"$yore" -q snapshot "$source"
before=$(chunks)
mkdir "$work/big"
head -c 67108864 /dev/urandom >"$work/big/file"
chmod 755 "$work/big"
"$yore" -q snapshot "$work/big"
n_chunks=$(($(chunks) - before))
mount_it
exact=$mnt/$(readlink "$mnt/latest")

other ls -lR "$exact$source" >"$work/first"
equal "entries listed" 100000 "$(grep -c entry- "$work/first")"
counter requests >/dev/null
a=$(counter requests)
b=$(counter requests)
own=$((b - a)) # what asking itself costs
other ls -lR "$exact$source" >"$work/second"
c=$(counter requests)
cmp -s "$work/first" "$work/second" || fail "the second listing differs"
echo "requests: $a for the first ls -lR of 100,000 entries, $((c - b - own)) for the second"
at_most "requests of the second listing" 9 $((c - b - own))

# 32 readers of one cold file.
a=$(counter cache_decodes)
for i in $(seq 32); do
	other cmp "$exact$work/big/file" "$work/big/file" &
	readers[i]=$!
done
for i in $(seq 32); do
	wait "${readers[i]}" || fail "a reader got something else"
done
b=$(counter cache_decodes)
echo "decoded: $((b - a)) objects for 32 readers of a file of $n_chunks chunks and nodes"
at_most "decoded objects" $((n_chunks + 16)) $((b - a))
unmount_it

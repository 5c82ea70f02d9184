#!/bin/bash
# SPDX-License-Identifier: MIT
# The tools that people use work in the mount as in the tree that was captured.
# What is not installed is named and left out.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse

have() {
	command -v "$1" >/dev/null || { echo "left out: $1 is not installed"; return 1; }
}

mount_probe() {
	if [ -z "${MOUNT_PROBE:-}" ]; then
		MOUNT_PROBE=$work/mount_probe
		"${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 \
			"$here/mount_probe.c" -o "$MOUNT_PROBE" || skip "cannot build mount_probe"
	fi
	"$MOUNT_PROBE" "$@"
}

as() { # UID GID command...
	local uid=$1 gid=$2
	shift 2
	setpriv --reuid "$uid" --regid "$gid" --clear-groups -- "$@"
}

same() { # WHAT: what the last two commands, run by `both`, said is equal
	cmp -s "$work/live" "$work/old" && return
	diff "$work/live" "$work/old" | head -n 10 >&2
	fail "$1 differs"
}

both() { # WHAT command... ("." is the tree)
	local what=$1
	shift
	# Sorted: names come in another order.
	(cd "$source" && { "$@" 2>&1 || true; } | sort) >"$work/live"
	(cd "$old" && { "$@" 2>&1 || true; } | sort) >"$work/old"
	same "$what"
}

# ---- a tree with a bit of everything ----

mkdir -p "$source"/{a/b/c,empty,rights}
printf 'needle in a\n' >"$source/a/hay"
printf 'x' >"$source/a/b/$(printf 'new\nline')"
ln "$source/a/hay" "$source/a/b/c/hard"
ln -s ../hay "$source/a/b/soft"
ln -s /nowhere "$source/a/dangling"
mkfifo "$source/a/fifo"
head -c 3000000 /dev/urandom >"$source/big"
truncate -s 20M "$source/sparse"
printf 'data' | dd of="$source/sparse" bs=1 seek=5242880 conv=notrunc status=none
head -c 300000 /dev/urandom | dd of="$source/sparse" bs=65536 seek=160 conv=notrunc status=none
truncate -s 1M "$source/hole-only"
touch -d '1969-07-20 20:17:40.5' "$source/a/hay"
chown 12345:23456 "$source/a/b"
acl=no
! have setfacl || ! setfacl -m u:12345:rwx,g:23456:-,d:u:12345:r "$source/a/b/c" 2>"$err" || acl=yes
! have setfattr || setfattr -n user.colour -v blue "$source/a/hay" 2>"$err" || true

# Rights: every mode for owner, group and others, some with ACLs.
for mode in 000 400 040 004 444 755 705 640 100 010 001 620; do
	printf '%s' "$mode" >"$source/rights/file-$mode"
	mkdir "$source/rights/dir-$mode"
	printf '%s' "$mode" >"$source/rights/dir-$mode/in"
	chown -R 12345:23456 "$source/rights/file-$mode" "$source/rights/dir-$mode"
	chmod "$mode" "$source/rights/file-$mode" "$source/rights/dir-$mode"
done
if [ $acl = yes ]; then
	for mode in 640 705; do
		cp -a "$source/rights/file-$mode" "$source/rights/acl-$mode"
		setfacl -m u:34567:r,u:12345:-,g:45678:r "$source/rights/acl-$mode"
		cp -a "$source/rights/dir-$mode" "$source/rights/acl-dir-$mode"
		setfacl -m u:34567:rx,g:45678:- "$source/rights/acl-dir-$mode"
	done
fi

if have git; then
	export GIT_CONFIG_GLOBAL=$HOME/gitconfig GIT_CONFIG_NOSYSTEM=1
	git config --file "$GIT_CONFIG_GLOBAL" safe.directory '*'
	git config --file "$GIT_CONFIG_GLOBAL" user.email nobody@example.org
	git config --file "$GIT_CONFIG_GLOBAL" user.name Nobody
	git init -q "$source/work-tree"
	printf 'one\n' >"$source/work-tree/one"
	printf 'two\n' >"$source/work-tree/two"
	git -C "$source/work-tree" add .
	git -C "$source/work-tree" commit -q -m first
	printf 'changed\n' >"$source/work-tree/two"
	printf 'new\n' >"$source/work-tree/three"
fi
if have sqlite3; then
	sqlite3 "$source/db" 'CREATE TABLE t (n, w); CREATE INDEX i ON t (w);
		WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
		INSERT INTO t SELECT x, hex(x * 7919) FROM c;'
fi

fresh_repo
"$yore" -q snapshot "$source"
mount_it
old=$(readlink -f "$mnt/latest")$source

# ---- looking ----

both "ls -la" bash -c 'ls -la --time-style=full-iso a a/b a/b/c rights work-tree | grep -v ^total'
both "find" find . -printf '%p %y %m %U %G %s %T@ %n %l\n'
both "grep -r" grep -rs --devices=skip needle . --include=hay --include=hard
both "du --apparent-size" du -a --apparent-size a big
tar cf - -C "$old" . | tar df - -C "$source" >"$out" 2>"$err" || fail "tar: what it read differs"
if have rsync; then
	expect_exit 0 rsync -aHAXn --checksum --delete --itemize-changes "$source/" "$old/"
	equal "rsync's differences there" "" "$(cat "$out")"
	expect_exit 0 rsync -aHAXn --checksum --delete --itemize-changes "$old/" "$source/"
	equal "rsync's differences back" "" "$(cat "$out")"
	expect_exit 0 rsync -aHAX "$old/" "$work/synced/"
	expect_exit 0 rsync -aHAXn --checksum --delete --itemize-changes "$source/" "$work/synced/"
	equal "what rsync copied differs in" "" "$(cat "$out")"
fi
if [ $acl = yes ]; then
	both "getfacl" getfacl -Rpn .
	both "getfattr" getfattr -Rhd -m - a
fi

# ---- holes ----

for f in sparse hole-only big; do
	mount_probe holes "$old/$f" >"$work/old" || fail "SEEK_HOLE in $f"
	cp --sparse=never "$old/$f" "$work/full"
	cmp "$work/full" "$source/$f" || fail "$f differs"
	rm "$work/full"
done
# Data lies where the source has some; holes may begin later (they are cut in blocks).
equal "stretches of data in sparse" 2 "$(mount_probe holes "$old/sparse" | wc -l)"
equal "stretches of data in hole-only" 0 "$(mount_probe holes "$old/hole-only" | wc -l)"
equal "the one of big" 0-3000000 "$(mount_probe holes "$old/big")"
cp -a --sparse=always "$old" "$work/copied"
same_trees "what cp -a copied" "$source" "$work/copied"
at_most "blocks of the sparse copy" "$(($(stat -c %b "$source/sparse") + 512))" \
	"$(stat -c %b "$work/copied/sparse")"

# ---- mmap, git, SQLite ----

mount_probe mmap "$old/big" "$source/big" || fail "mmap shows something else"
mount_probe mmap "$old/sparse" "$source/sparse" || fail "mmap of holes shows something else"
if [ -d "$source/work-tree" ]; then
	both "git status" git --no-optional-locks -C work-tree status --porcelain
	grep -q 'M two' "$work/old" || fail "git status in the mount: $(cat "$work/old")"
	both "git log" git -C work-tree log --stat
	both "git diff" git --no-optional-locks -C work-tree diff
	expect_exit 0 git -C "$old/work-tree" fsck --no-progress
fi
if [ -f "$source/db" ]; then
	for how in 'mode=ro' 'mode=ro&immutable=1'; do
		expect_exit 0 sqlite3 "file:$old/db?$how" \
			"PRAGMA integrity_check; SELECT count(*), sum(n) FROM t; SELECT n FROM t WHERE w = hex(7919 * 77);"
		equal "SQLite with $how" "ok 20000|200010000 77" "$(tr '\n' ' ' <"$out" | sed 's/ $//')"
	done
fi

# ---- who may do what: access(2), as in the tree itself ----

can() { # in "." for the user it runs as
	local f r
	for f in rights/* rights/dir-*/in rights/acl-dir-*/in a/b a/b/c; do
		r=
		[ ! -r "$f" ] || r=r
		# Nothing can be written, whatever the modes say; root's own rights are not asked.
		[ ! -x "$f" ] || r=${r}x
		[ ! -e "$f" ] || r=${r}e
		[ ! -f "$f" ] || ! cat "$f" >/dev/null 2>&1 || r=${r}c
		[ ! -d "$f" ] || ! ls "$f" >/dev/null 2>&1 || r=${r}l
		echo "$f $r"
	done
}
if have setpriv; then
	export -f can
	for who in '12345 12345' '12345 23456' '23456 23456' '34567 34567' '45678 45678' \
		'65534 65534' '54321 0'; do
		# shellcheck disable=SC2086
		both "what user and group $who may do" as $who bash -c can
		# shellcheck disable=SC2086
		as $who ls "$mnt" "$mnt/.snapshots" >/dev/null || fail "$who cannot list the root"
		# shellcheck disable=SC2086
		! as $who ls "$mnt/.yore" >/dev/null 2>&1 || fail "$who looks into .yore"
	done
	grep -q 'e' "$work/old" || fail "nobody sees anything"
	! as 12345 12345 touch "$old/rights/file-755" 2>/dev/null || fail "something was written"
fi

# ---- in use, killed ----

exec 9<"$old/big"
expect_exit 11 "$yore" umount "$mnt"
said "in use"
said "\b$$\b"
exec 9<&-
for p in /proc/[0-9]*; do
	tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -x -- "$mnt" >/dev/null || continue
	case $(cat "$p/comm" 2>/dev/null) in yore*) kill -9 "${p#/proc/}" ;; esac
done
# What the kernel has kept it may still show; what it has not is gone.
for i in $(seq 50); do
	case $(ls "$mnt/@never-asked-for-$i" 2>&1 || true) in *'not connected'*) break ;; esac
	sleep 0.1
done
[ "$i" -lt 50 ] || fail "the mount outlives its program"
mount_it
cmp "$old/big" "$source/big" || fail "after a kill it is not the same"
equal "mounts" 1 "$(grep -c " $mnt " /proc/mounts)"
unmount_it

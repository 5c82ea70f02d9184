#!/bin/bash
# SPDX-License-Identifier: MIT
# Every kind of object, attribute, name and depth comes back as it was.
# Usage: restore-everything.sh YORE
set -eu
yore=$(realpath "$1")
work=$(mktemp -d)
clean() {
	command -v chattr >/dev/null && chattr -i "$work/source/immutable" 2>/dev/null
	find "$work/to" -maxdepth 8 -name immutable -exec chattr -i {} + 2>/dev/null
	rm -rf "$work"
}
trap 'clean || true' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo"
mkdir -p "$HOME" "$work/source"
fail() {
	echo "restore-everything: $*" >&2
	exit 1
}

cd "$work/source"
echo text >plain
: >empty
echo secret >private && chmod 0600 private
echo setid >setid && chmod 06755 setid
mkdir folder sticky && chmod 01777 sticky && chmod 0511 folder
ln -s "no/such target" dangling
ln -s plain good-link
mkfifo -m 0640 pipe
mkdir links && echo linked >links/one && ln links/one links/two && ln links/one three
touch -d '1931-05-06 07:08:09.123456789 UTC' before-1970
touch -h -d '2100-01-02 03:04:05.000000001 UTC' dangling
touch -d '2155-01-02 03:04:05.5 UTC' after-2038
: >$'new\nline' && : >$'tab\tquote"\\' && : >'  spaces  ' && : >-dash && : >'*'
printf x >"$(printf 'bad-utf8-\377\376')"
: >"$(printf '%0255d' 7)"
truncate -s 64M sparse
printf middle | dd of=sparse bs=1 seek=33000000 conv=notrunc status=none
head -c 3000000 /dev/urandom >noise
head -c 9000000 /dev/zero >zeros
mkdir many && (cd many && seq 1 3000 | xargs touch)
if command -v setfattr >/dev/null; then
	setfattr -n user.note -v "a value" plain 2>/dev/null || true
	setfattr -n user.big -v "$(head -c 3000 /dev/zero | tr '\0' b)" noise 2>/dev/null || true
	setfattr -n user.folder -v yes many 2>/dev/null || true
fi
if command -v setfacl >/dev/null; then
	setfacl -m u:12345:rw,g:54321:r plain 2>/dev/null || true
	setfacl -d -m u:12345:rwx many 2>/dev/null || true
fi
if [ "$(id -u)" = 0 ]; then
	chown 1234:5678 private links/one && chown -h 4321:8765 dangling
	mknod device c 1 3 2>/dev/null || true
	cp /bin/true capable
	setcap cap_net_raw+ep capable 2>/dev/null || true
	echo kept >immutable && chattr +i immutable 2>/dev/null || true
fi
# A path far beyond PATH_MAX, made and left step by step.
(
	mkdir deep && cd deep
	name=$(printf 'd%.0s' $(seq 1 200))
	for _ in $(seq 1 40); do mkdir "$name" && cd -P "./$name"; done
	echo bottom >bottom
) || fail "cannot make a deep tree"
touch -d '2001-02-03 04:05:06.7 UTC' folder sticky links
cd "$work"

"$yore" init >/dev/null
"$yore" snapshot "$work/source" >/dev/null
"$yore" restore "latest:$work/source" --to "$work/to" >/dev/null || fail "restore: exit $?"

# Everything but ctime, atime, inode and device numbers of both trees, name by name.
describe() {
	(cd "$1" && find . -printf '%P\0%y %m %U %G %s %T@ %n %l\0' | tr '\n\0' '\001\n' |
		paste - - | LC_ALL=C sort | sed -E '/\td /s/^([^\t]*\td [^ ]* [^ ]* [^ ]*) [0-9]+ ([^ ]*) .*/\1 \2/')
}
describe source >before && describe to/source >after
cmp before after || { diff before after | head >&2; fail "attributes differ"; }
# (diff and rsync cannot go as deep; find above did.)
[ "$(find to/source/deep -name bottom | wc -l)" = 1 ] || fail "the deep file is missing"
if command -v rsync >/dev/null; then
	difference=$(rsync -aHAXn --checksum --delete --itemize-changes --exclude=/deep \
		source/ to/source/)
	[ -z "$difference" ] || fail "rsync sees: $difference"
fi
[ "$(stat -c %i to/source/links/one)" = "$(stat -c %i to/source/three)" ] || fail "hard links"
[ "$(du -k to/source/sparse | cut -f1)" -lt 4096 ] || fail "the sparse file is not sparse"
if command -v getcap >/dev/null && [ -e source/capable ]; then
	[ "$(cd source && getcap capable)" = "$(cd to/source && getcap capable)" ] || fail "capabilities"
fi
if [ -e source/immutable ] && command -v lsattr >/dev/null; then
	[ "$(lsattr source/immutable | cut -c5)" = "$(lsattr to/source/immutable | cut -c5)" ] ||
		fail "file flags"
fi
find to -name '.yore-*' | grep -q . && fail "a temporary file is left"
echo "restore-everything: ok"

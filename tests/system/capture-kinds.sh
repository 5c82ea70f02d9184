#!/bin/bash
# SPDX-License-Identifier: MIT
# Every kind of file, name, depth and attribute: in the mount and restored as it was.
# Usage: capture-kinds.sh YORE
. "$(dirname -- "$0")/lib.sh"
need_root
need_fuse

before_cleanup() {
	find "$work" -xdev -maxdepth 4 \( -name 'flag-*' -o -name flagged \) -exec chattr -f -i -a {} + 2>/dev/null
}

cd "$source"
echo text >plain && : >empty && echo secret >private && chmod 0600 private
echo setid >setid && chmod 06755 setid
head -c 5000000 /dev/urandom >noise
mkdir folder sticky && chmod 01777 sticky && chmod 0511 folder
ln -s 'no/such target' dangling && ln -s plain link
ln -s "$(head -c 4000 /dev/zero | tr '\0' x)" long-link
mkfifo -m 0640 pipe
mknod character c 1 3 && mknod block b 7 200 && mknod large c 4095 1000000
perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "socket", Listen => 1) or die' ||
	python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' || skip "cannot make a socket"

: >$'new\nline' && : >$'tab\tquote"\\' && : >'  spaces  ' && : >-dash && : >'*'
printf x >"$(printf 'bad-utf8-\377\376')"
: >"$(printf '%0255d' 7)"
mkdir "$(printf '%0255d' 8)"

mkdir links && echo linked >links/one && ln links/one links/two && ln links/one three
ln -P link also-link && ln pipe also-pipe
head -c 300000 /dev/urandom >links/big && ln links/big big-too

truncate -s 64M sparse && printf middle | dd of=sparse bs=1 seek=33000000 conv=notrunc status=none
truncate -s 300M hole
head -c 9000000 /dev/zero >zeros
head -c 65536 /dev/zero >zeros-small

setfattr -n user.note -v 'a value' plain
setfattr -n user.empty plain
setfattr -n trusted.secret -v 0x00ff01 plain
setfattr -n security.test -v seen plain
setfattr -n user.big -v "$(head -c 3000 /dev/zero | tr '\0' b)" noise
setfattr -n user.folder -v yes folder
setfattr -h -n trusted.on-link -v yes link
setfattr -n trusted.on-device -v yes character
setfattr -n trusted.on-pipe -v yes pipe
if command -v setfacl >/dev/null; then
	setfacl -m u:12345:rw,g:54321:r plain
	setfacl -d -m u:12345:rwx folder
	setfacl -m u:12345:--x folder
fi
cp /bin/true capable
if command -v setcap >/dev/null; then setcap cap_net_raw+ep capable; fi

chown 1234:5678 private links/one && chown -h 4321:8765 dangling && chown 70000:4000000000 pipe
touch -d '1931-05-06 07:08:09.123456789 UTC' before-1970
touch -d '1969-12-31 23:59:59.999999999 UTC' just-before-1970
touch -d '2155-01-02 03:04:05.5 UTC' after-2038
touch -h -d '2100-01-02 03:04:05.000000001 UTC' dangling
touch -d '2001-02-03 04:05:06.7 UTC' folder sticky links pipe character

# A path far beyond PATH_MAX, and a deep chain of short names, made step by step.
(
	mkdir deep && cd deep
	component=$(printf 'd%.0s' {1..200})
	for _ in {1..40}; do mkdir "$component" && cd -P "./$component"; done
	echo bottom >bottom && setfattr -n user.depth -v 40 bottom
) || fail "cannot make a deep path"
(
	mkdir chain && cd chain
	for _ in {1..600}; do mkdir s && cd -P ./s; done
	echo bottom >bottom
) || fail "cannot make a long chain"

mkdir flagged
echo kept >flagged/flag-i && echo kept >flagged/flag-a && echo kept >flagged/flag-d
chattr +i flagged/flag-i && chattr +a flagged/flag-a && chattr +d flagged/flag-d
chattr +A flagged
[[ $(lsattr -d flagged/flag-i) == *i* ]] || fail "no file flags here"
cd "$work"

fresh_repo
expect_exit 0 "$yore" --json snapshot "$source"
equal errors 0 "$(number errors)"
check --data

mount_it
same_trees "source and mount" "$source" "$mnt/latest$source" -f
equal "hole in the mount" "$(stat -c %s "$source/hole")" "$(stat -c %s "$mnt/latest$source/hole")"
unmount_it

expect_exit 0 "$yore" restore "latest:$source" --to "$work/to"
same_trees "source and restored" "$source" "$work/to/source"
allocated=$(du -k "$work/to/source/sparse" | cut -f 1)
at_most "allocated KiB of the restored sparse file" 1024 "$allocated"
allocated=$(du -k "$work/to/source/hole" | cut -f 1)
at_most "allocated KiB of the restored hole" 64 "$allocated"

# Nothing in it is read again, but for the file from the future: that one can always be changing.
settle
snap
before=$(pack_count)
snap
equal "files read again" 1 "$(number files_read)"
equal packs "$before" "$(pack_count)"

# Attributes alone change: seen, contents not lost.
chattr -i "$source/flagged/flag-i" && chattr +i "$source/plain"
setfattr -x user.folder "$source/folder" && setfattr -n trusted.on-pipe -v no "$source/pipe"
chmod 0700 "$source/sticky" && chown 1:1 "$source/noise"
snap
chattr -i "$source/plain"
mount_it
chattr +i "$source/plain"
same_trees "after changes of attributes" "$source" "$mnt/latest$source" -f
chattr -i "$source/plain"
unmount_it
check

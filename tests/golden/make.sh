#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make.sh YORE: makes the stored repository of the present format version:
#
#   v1.tar.gz  repo/ (config, keys, packs, records, as a replica holds them),
#              keys/ (the machine key), recovery-code
#   v1.sums    what its two snapshots restore to
#
# Run once for each format version, never again for an old one: what is stored
# must be what that version's program wrote. Needs root, for owners and devices.
set -euo pipefail
yore=$(realpath "${1:?name the yore program}")
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source-path=SCRIPTDIR source=sums.sh
. "$here/sums.sh"
umask 022
export TZ=UTC LC_ALL=C
unset YORE_PASSWORD YORE_PASSWORD_FILE YORE_PASSWORD_COMMAND YORE_CONFIG CREDENTIALS_DIRECTORY

# The path is stored in the records, so it is always the same one.
work=/tmp/yore-golden
mkdir "$work" # fails if somebody else has it
trap 'rm -rf "$work"' EXIT
export YORE_REPOSITORY=$work/repo YORE_KEY_FOLDER=$work/keys
source=$work/source

# Lines that compress well and differ from one another.
lines() { # FIRST LAST
	seq -f 'line %.0f of a file that was there' "$1" "$2"
}

mkdir -p "$source/dir/inner" "$source/empty"
echo "Hello from the past." >"$source/hello"
: >"$source/nothing"
lines 1 12000 >"$source/big"                       # several pieces
for i in $(seq 0 19); do                           # a list of pieces and holes
	lines "$i" "$((i + 99))" | dd of="$source/sparse" bs=128K seek="$i" conv=notrunc status=none
done
truncate -s 8G "$source/sparse"
for i in $(seq 1 40); do lines "$i" "$((i + 3))" >"$source/dir/file-$i"; done
ln "$source/hello" "$source/dir/hard-link"
ln -s ../hello "$source/dir/symlink"
mkfifo -m 0620 "$source/fifo"
mknod -m 0600 "$source/null" c 1 3
echo odd >"$source/"$'new\nline'
echo bytes >"$source/"$'\xff\xfe'
echo long >"$source/$(printf 'n%.0s' $(seq 255))"
setfattr -n user.colour -v blue "$source/hello"
setfacl -m u:1000:rw "$source/nothing"
chown 1000:2000 "$source/dir/inner"
chmod 1751 "$source/dir/inner"
find "$source" -exec touch -h -d '2024-05-01 14:30:00.123456789' {} +
touch -d '1965-03-02 01:02:03.000000004' "$source/nothing"
touch -d '2040-01-01 00:00:00' "$source/dir/file-1"

"$yore" init | sed -n 's/^recovery code *//p' >"$work/recovery-code"
YORE_PASSWORD="a password of old" "$yore" key add --label golden >/dev/null
"$yore" -q snapshot --tag first "$source" >/dev/null
mkdir "$work/first"
cp -a "$source" "$work/first/"

sleep 3 # past the window in which entries are read again
printf 'changed here' | dd of="$source/big" bs=1 seek=200000 conv=notrunc status=none
echo "Hello again." >"$source/dir/file-2"
rm "$source/dir/file-3"
touch -d '2024-05-02 10:00:00' "$source/big" "$source/dir/file-2" "$source/dir"
"$yore" -q snapshot --tag second >/dev/null
"$yore" check --data >&2

{
	sums first "$work/first/source"
	sums second "$source"
} >"$here/v1.sums"
rm -rf "$YORE_REPOSITORY/index" "$YORE_REPOSITORY/local" "$YORE_REPOSITORY/tmp"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime='2024-05-01 00:00:00' \
	-cf - repo keys recovery-code | gzip -9n >"$here/v1.tar.gz"

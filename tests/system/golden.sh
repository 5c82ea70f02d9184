#!/bin/bash
# SPDX-License-Identifier: MIT
# A stored repository of every format version opens with each of its keys, is
# whole to the last byte, and restores to what was captured.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
need getfattr setfacl
need_root # owners and a device node
. "$here/../golden/sums.sh"
export LC_ALL=C

for tar in "$here"/../golden/v*.tar.gz; do
	version=$(basename "$tar" .tar.gz)
	rm -rf "$work/repo" "$work/keys" "$work/to"
	tar -C "$work" -xzf "$tar"

	expect_exit 0 "$yore" check --data
	said 'everything is whole'
	expect_exit 0 "$yore" snapshots --names
	equal "$version: snapshots" 2 "$(wc -l <"$out")"
	for tag in first second; do
		expect_exit 0 "$yore" restore "$tag:/tmp/yore-golden/source" --to "$work/to/$tag"
		sums "$tag" "$work/to/$tag/source"
	done >"$work/sums"
	diff "$here/../golden/$version.sums" "$work/sums" >"$work/difference" ||
		fail "$version: restored something else: $(head -n 6 "$work/difference")"

	# Each kind of key alone.
	code=$(cat "$work/recovery-code")
	rm -rf "$work/keys"
	YORE_PASSWORD=$code expect_exit 0 "$yore" snapshots
	YORE_PASSWORD="a password of old" expect_exit 0 "$yore" snapshots
	YORE_PASSWORD="another" expect_exit 12 "$yore" snapshots
done

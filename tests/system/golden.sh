#!/bin/bash
# SPDX-License-Identifier: MIT
# A stored repository of every format version opens with each of its keys, is
# whole to the last byte, and restores to what was captured. A reader that was
# written from the manual alone finds the same bytes in it.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
need getfattr setfacl
need_root # owners and a device node
# shellcheck source=../golden/sums.sh
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

	if python3 -c 'import hashlib, hmac, subprocess' 2>/dev/null && command -v zstd >/dev/null; then
		key=$(find "$work/keys" -name '????????????????????????????????')
		expect_exit 0 python3 "$here/../golden/second_reader.py" "$work/repo" "$key"
		grep -v sparse "$work/sums" | grep -oE '\b[0-9a-f]{64}\b' | sort -u >"$work/hashes"
		equal "$version: files found by the second reader" "$(wc -l <"$work/hashes")" \
			"$(grep -oE '\b[0-9a-f]{64}\b' "$out" | sort -u | grep -cxFf "$work/hashes")"
	fi

	# Each kind of key alone.
	code=$(cat "$work/recovery-code")
	rm -rf "$work/keys"
	YORE_PASSWORD=$code expect_exit 0 "$yore" snapshots
	YORE_PASSWORD="a password of old" expect_exit 0 "$yore" snapshots
	YORE_PASSWORD="another" expect_exit 12 "$yore" snapshots
done

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# spdx.sh ROOT: every source file says at its top under which licence it is.
# Where git knows the tree only its files count: no build folders, no scratch.
cd "$1" || exit 1
bad=0

files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard
	else
		find . -type f -not -path './build*' | sed 's|^\./||'
	fi
}

list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
files >"$list"

while IFS= read -r file; do
	[ -f "$file" ] || continue
	case $file in
	*.c | *.h | *.sh | meson.build | */meson.build | man/*.[1-8]) ;;
	# Scripts without an ending.
	.ci/run | tools/* | tests/bench/*) head -c 2 "$file" | grep -q '^#!' || continue ;;
	*) continue ;;
	esac
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' && continue
	echo "$file: no SPDX line at its top"
	bad=1
done <"$list"
exit $bad

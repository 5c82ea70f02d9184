# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced: what a tree holds, one line a fact, in a form that does not depend
# on the file system it lies on.

# sums LABEL FOLDER: attributes of every object, then the hash of every file.
sums() {
	(
		cd "$2" || exit
		find . -mindepth 1 \( -type d -printf "$1 %y %m %U:%G %T@ - %p\0" -o \
			-printf "$1 %y %m %U:%G %n %T@ %s %l %p\0" \) | LC_ALL=C sort -z | tr '\n\0' '?\n'
		find . -type f ! -name sparse -print0 | LC_ALL=C sort -z | xargs -0 sha256sum |
			sed "s/^/$1 /"
		# 8 GiB of nearly nothing: its beginning, and that the rest is a hole.
		head -c 4M sparse | sha256sum | sed "s/^/$1 sparse /"
		[ "$(du -k sparse | cut -f 1)" -lt 4096 ] && echo "$1 sparse is sparse"
		getfattr -d -m '^user\.|^system\.posix' -e hex hello nothing | sed "/^$/d; s/^/$1 /"
	)
}

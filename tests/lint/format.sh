#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh ROOT: all C code is as clang-format with .clang-format leaves it.
cd "$1" || exit 1
command -v clang-format >/dev/null || exit 77
find store snapshots sync fs tools tests -name '*.[ch]' -print0 |
	xargs -0 clang-format --dry-run -Werror

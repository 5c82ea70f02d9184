#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cppcheck.sh ROOT: cppcheck over all of the program's sources. Exit 77 without it.
#
# Switched off: memleak and resourceLeak, since it cannot see cleanup attributes
# and reports every early return (AddressSanitizer covers leaks); missingInclude,
# since the system's headers are left out; unknownMacro, of libraries. Exceptions
# stand as "cppcheck-suppress" beside what they are about.
command -v cppcheck >/dev/null || exit 77
cd "$1" || exit 1
find store snapshots fs tools -name '*.c' -print | sort |
	nice -n 10 cppcheck --file-list=- --std=c11 --language=c -j2 --quiet \
		--enable=warning,performance,portability --inline-suppr \
		--suppress=memleak --suppress=resourceLeak --suppress=missingInclude --suppress=unknownMacro \
		--suppress=unmatchedSuppression -D_GNU_SOURCE -I. --error-exitcode=1

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# man.sh ROOT: the manual pages are clean mdoc.
cd "$1" || exit 1
command -v mandoc >/dev/null || exit 77
bad=0
for page in man/*.[1-8]; do
	# STYLE messages are taste, and a reference to another package's page is none of ours.
	mandoc -Tlint -W warning "$page" || bad=1
done
exit $bad

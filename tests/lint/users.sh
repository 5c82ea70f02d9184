#!/bin/sh
# SPDX-License-Identifier: MIT
#
# users.sh ROOT: each outside library has one user, which translates its types
# and errors; the tests may look past it.
cd "$1" || exit 1
bad=0

# only HEADERS FILES: both extended regular expressions.
only() {
	hits=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*<($1)" \
		store snapshots sync fs tools --include='*.[ch]' | grep -vE "^($2):")
	[ -z "$hits" ] && return 0
	echo "only $2 may include <$1>"
	echo "$hits"
	bad=1
}

only '(sodium|sodium/.*)\.h|openssl/' 'store/crypto\.c'
only '(zstd|zstd_errors|zdict)\.h' 'store/compress\.c'
only 'lmdb\.h' 'store/chunk_index[a-z_]*\.[ch]'
only 'fuse|linux/fuse\.h' 'fs/[a-z_]+\.[ch]'
only 'curl/' 'sync/transfer[a-z_]*\.[ch]'
only 'expat\.h' 'sync/xml\.c'
only 'jansson\.h' 'tools/[a-z_]+\.[ch]'
exit $bad

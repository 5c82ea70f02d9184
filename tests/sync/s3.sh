#!/bin/bash
# SPDX-License-Identifier: MIT
#
# s3.sh REMOTE_CHECK: the S3 remote against a real server, Ceph's RADOS gateway:
# the whole contract, over http and https, in a path and in the host's name;
# append-only; wrong credentials, bucket and authority; a server that hangs.
set -u
check=$1
here=$(dirname "$(realpath "$0")")
port=${S3_PORT:-21360}
folder=$(mktemp -d "${TMPDIR:-/tmp}/s3-XXXXXX")
server=$here/../servers/ceph-rgw
trap '"$server" stop "$folder/server" "$port"; rm -rf "$folder"' EXIT

for program in ceph-mon ceph-osd radosgw; do
	command -v "$program" >/dev/null || { echo "SKIP: $program is not installed"; exit 77; }
done

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# Must succeed, or must fail and say TEXT.
works() { # WHAT URL
	echo "== $1"
	"$check" "$2" || fail "$1"
}
refused() { # WHAT URL TEXT
	echo "== $1"
	"$check" "$2" >"$folder/out" 2>&1 && fail "$1: it worked"
	grep -q -- "$3" "$folder/out" || fail "$1: it said: $(cat "$folder/out")"
}

"$server" start "$folder/server" "$port" || fail "the server does not start"
settings=$("$server" env "$folder/server" "$port") || fail "no settings"
eval "$settings"
export REMOTE_ACCESS_KEY=$S3_ACCESS_KEY REMOTE_SECRET_KEY=$S3_SECRET_KEY REMOTE_REGION=$S3_REGION

works "http, path style, below a prefix" "$S3_URL/pre/fix"
(
	export REMOTE_CA=$S3_CA REMOTE_VIRTUAL_HOST=1
	works "https, virtual-host style, no prefix" "$S3_TLS_URL"
) || exit 1
(
	export REMOTE_APPEND_ONLY=1
	works "append-only" "$S3_URL/append only"
) || exit 1
(
	export REMOTE_SECRET_KEY=not-the-secret
	refused "wrong secret key" "$S3_URL" "the secret key is not that of the access key"
) || exit 1
(
	export REMOTE_ACCESS_KEY=nobody
	refused "unknown access key" "$S3_URL" "the access key is not known"
) || exit 1
refused "no such bucket" "${S3_URL}-missing" "there is no such bucket"
refused "unknown authority" "$S3_TLS_URL" "certificate or key is not accepted"
(
	export REMOTE_STALL_MS=1000
	kill -STOP "$S3_OSD_PID"
	refused "a server that hangs" "$S3_URL/hung" "Connection timed out"
	kill -CONT "$S3_OSD_PID"
) || exit 1
works "the same, once it goes on" "$S3_URL/hung"
echo "all of it"

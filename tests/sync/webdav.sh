#!/bin/bash
# SPDX-License-Identifier: MIT
#
# webdav.sh REMOTE_CHECK REMOTE_TOOL: a WebDAV remote on nginx, over TLS: the
# whole contract, wrong credentials and authority, a folder that vanishes, a
# full disk, and a server that is killed in the middle of a put.
source "$(dirname "$0")/remote-lib.sh"
need nginx openssl curl
[ -e /usr/lib/nginx/modules/ngx_http_dav_ext_module.so ] ||
	{ echo "SKIP: libnginx-mod-http-dav-ext is not installed"; exit 77; }
port=${WEBDAV_PORT:-21340}
root=$work/root

before_cleanup() {
	"$servers/webdav-nginx" stop "$work/server" "$port"
}

start_server() {
	local settings
	WEBDAV_ROOT=$root "$servers/webdav-nginx" start "$work/server" "$port" ||
		fail "the server does not start"
	settings=$("$servers/webdav-nginx" env "$work/server" "$port")
	eval "$settings"
	server_pid=$WEBDAV_PID
	url=$WEBDAV_URL
	export REMOTE_PASSWORD=$WEBDAV_PASSWORD REMOTE_CA=$WEBDAV_CA
}

mkdir "$root"
start_server
works "in a folder of its own, which the probe makes" "$url/my%20files"
(
	export REMOTE_APPEND_ONLY=1
	works "append-only" "$url/my%20files"
)

echo "== what was given up a day ago is swept, what is younger is not"
part=0123456789abcdef0123456789abcdef
mkdir -p "$root/swept/tmp"
echo part | tee "$root/swept/tmp/$part" >"$root/swept/tmp/$part.0000000012"
touch -d '25 hours ago' "$root/swept/tmp/"*
echo part >"$root/swept/tmp/young"
does "$url/swept" probe >/dev/null
[ "$(ls "$root/swept/tmp")" = young ] || fail "left: $(ls "$root/swept/tmp")"

echo "== errors have their meaning"
echo object >"$work/object"
(
	export REMOTE_PASSWORD=wrong
	answers EACCES "$url" put packs/a "$work/object"
	answers EACCES "$url" list packs/
	answers EACCES "$url" probe
)
(
	unset REMOTE_CA
	answers EKEYREJECTED "$url" head packs/a
)
answers ETIMEDOUT "davs://localhost:9" head packs/a
[ -z "$(ls "$root/packs" 2>/dev/null)" ] || fail "something was written"

echo "== a folder that has vanished is missing, not empty, and put does not make it"
mkdir "$root/disk"
answers ok "$url/disk" put config "$work/object"
answers ENOENT "$url/disk" head packs/a
mv "$root/disk" "$root/away"
for command in "head packs/a" "put packs/a $work/object" "remove packs/a" "list packs/" \
	"get packs/a $work/back"; do
	# shellcheck disable=SC2086
	answers EREMOTEIO "$url/disk" $command
done
[ ! -e "$root/disk" ] || fail "the folder was made"
mkdir "$root/disk"
REMOTE_KNOWN=1 answers EREMOTEIO "$url/disk" head packs/a
REMOTE_KNOWN=1 answers EREMOTEIO "$url/disk" list ""

echo "== a server that is killed"
kill_in_the_middle "$root"

if [ "$(id -u)" = 0 ] && mkdir "$root/small" && mount -t tmpfs -o size=8m none "$root/small"; then
	echo "== a full disk"
	url=$url/small
	full_disk "$root/small" EREMOTEIO # nginx says no more than "500"
fi
echo "all of it"

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# sftp.sh REMOTE_CHECK REMOTE_TOOL: an SFTP remote on OpenSSH: the whole
# contract, also below the home folder; wrong keys on either side; a folder that
# vanishes, a full disk, and a server that is killed in the middle of a put.
source "$(dirname "$0")/remote-lib.sh"
need ssh-keygen
[ -x /usr/sbin/sshd ] || { echo "SKIP: openssh-server is not installed"; exit 77; }
port=${SFTP_PORT:-21350}
root=$work/root
at_home=

before_cleanup() {
	"$servers/sftp-sshd" stop "$work/server" "$port"
	[ -z "$at_home" ] || rm -rf "$at_home"
}

start_server() {
	local settings
	SFTP_ROOT=$root "$servers/sftp-sshd" start "$work/server" "$port" ||
		fail "the server does not start"
	settings=$("$servers/sftp-sshd" env "$work/server" "$port")
	eval "$settings"
	server_pid=$SFTP_PID
	url=$SFTP_URL
	export REMOTE_KEY_FILE=$SFTP_KEY REMOTE_KNOWN_HOSTS=$SFTP_KNOWN_HOSTS
}

mkdir "$root"
start_server
works "in a folder of its own, which the probe makes" "$url/my%20%22files%27"
[ -d "$root/my \"files'/check" ] || fail "the folder has another name"
echo object >"$work/object"

echo "== below the home folder"
at_home=$(mktemp -d "$(getent passwd "$(id -un)" | cut -d: -f6)/remote-test-XXXXXX")
home_url=${url%%"$root"}/~/${at_home##*/}
answers ok "$home_url" put packs/00/a "$work/object"
cmp "$at_home/packs/00/a" "$work/object" || fail "it lies elsewhere"
answers ok "$home_url" remove packs/00/a
does "$home_url/sub" probe | grep -q "^ok " || fail "no folder is made below home"

echo "== what was given up a day ago is swept, what is younger is not"
part=0123456789abcdef0123456789abcdef
mkdir -p "$root/swept/tmp"
echo part | tee "$root/swept/tmp/$part" >"$root/swept/tmp/$part.0000000012"
touch -d '25 hours ago' "$root/swept/tmp/"*
echo part >"$root/swept/tmp/young"
does "$url/swept" probe >/dev/null
[ "$(ls "$root/swept/tmp")" = young ] || fail "left: $(ls "$root/swept/tmp")"

echo "== errors have their meaning"
(
	export REMOTE_KEY_FILE=$SFTP_WRONG_KEY
	answers EACCES "$url" put packs/a "$work/object"
	answers EACCES "$url" probe
)
(
	export REMOTE_KNOWN_HOSTS=$SFTP_WRONG_HOSTS
	answers EKEYREJECTED "$url" put packs/a "$work/object"
	export REMOTE_KNOWN_HOSTS=$work/none
	answers EKEYREJECTED "$url" put packs/a "$work/object"
	: >"$work/none"
	answers EKEYREJECTED "$url" put packs/a "$work/object"
)
answers ETIMEDOUT "sftp://127.0.0.1:9/x" head packs/a
[ ! -e "$root/packs" ] || fail "something was written"

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
	full_disk "$root/small" ENOSPC
fi
echo "all of it"

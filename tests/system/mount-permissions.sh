#!/bin/sh
# SPDX-License-Identifier: MIT
# In a mount for all users, modes and ACLs decide as they did.
. "$(dirname "$0")/mount-lib.sh"

[ "$(id -u)" = 0 ] || { echo "SKIP: not root"; exit 77; }
command -v setpriv >/dev/null || { echo "SKIP: no setpriv"; exit 77; }
as() { # uid, command...
	id=$1
	shift
	setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
}

mkdir "$src/open" "$src/closed"
printf 'all\n' >"$src/open/all"
printf 'mine\n' >"$src/open/mine"
printf 'in\n' >"$src/closed/in"
chown 12345:12345 "$src/open/mine" "$src/closed"
chmod 600 "$src/open/mine"
chmod 700 "$src/closed"
printf 'denied\n' >"$src/open/acl"
chmod 644 "$src/open/acl"
acl=no
if command -v setfacl >/dev/null && setfacl -m u:23456:- "$src/open/acl" 2>/dev/null; then
	setfacl -m u:12345:r "$src/closed" 2>/dev/null || :
	acl=yes
fi
start "$src"
old="$mnt/latest$src"

check "anybody reads what is open" as 23456 cmp -s "$old/open/all" "$old/open/all"
check "the owner reads his" as 12345 cmp -s "$old/open/mine" "$old/open/mine"
cat "$old/open/mine" >/dev/null # now it is cached
check "others do not, cached or not" refuses as 23456 cat "$old/open/mine"
check "the owner enters his folder" as 12345 cmp -s "$old/closed/in" "$old/closed/in"
check "others do not" refuses as 23456 ls "$old/closed"
check "nor through an alias" refuses as 23456 ls "$mnt/@today$src/closed"
check "nobody but root looks into .yore" refuses as 12345 ls "$mnt/.yore"
check "nothing can be written" refuses touch "$old/open/all"
if [ $acl = yes ]; then
	check "an ACL denies" refuses as 23456 cat "$old/open/acl"
	check "and nobody else" as 12345 cmp -s "$old/open/acl" "$old/open/acl"
	check "it is listed" sh -c "getfacl -pn '$old/open/acl' 2>/dev/null | grep -q 'user:23456:---'"
fi
check "nosuid,nodev,ro" grep -q " $mnt fuse.yore ro,nosuid,nodev" /proc/mounts
"$yore" -q umount "$mnt"

#!/bin/bash
# SPDX-License-Identifier: MIT
# A user without rights mounts his own repository, through fusermount3, in a
# mount namespace of the test's own with a /dev/fuse that he may open.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need unshare setpriv fusermount3 mknod
[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not set-user-ID"

user=$work/user
mkdir -p "$user/home" "$user/tree/closed" "$user/mnt"
echo content >"$user/tree/file"
echo secret >"$user/tree/closed/secret"
cat >"$work/session" <<'END'
set -eu
fail() { echo "$*" >&2; exit 1; }
export HOME=$user/home XDG_DATA_HOME=$user/home/data XDG_CONFIG_HOME=$user/home/config
unset YORE_REPOSITORY YORE_KEY_FOLDER
"$yore" init >/dev/null 2>&1 || fail "init"
"$yore" -q snapshot "$user/tree" || fail "snapshot"
# Where fuse.conf does not allow it, all users are refused, with what to do about it.
if "$yore" -q mount "$user/mnt" -o allow_other 2>"$user/said"; then
	"$yore" -q umount "$user/mnt"
else
	grep -q user_allow_other "$user/said" || fail "allow_other: $(cat "$user/said")"
fi
"$yore" -q mount "$user/mnt" || fail "mount"
old=$(readlink -f "$user/mnt/latest")$user/tree
cmp "$old/file" "$user/tree/file" || fail "content"
# His own mount shows him everything, whatever the modes were.
[ "$(cat "$old/closed/secret")" = secret ] || fail "what is his he may read"
grep -q '"requests"' "$user/mnt/.yore/status.json" || fail "status.json"
cp -a "$old" "$user/copy" || fail "cp -a"
diff -r "$user/tree" "$user/copy" || fail "the copy"
"$yore" umount "$user/mnt" || fail "umount"
! grep -q " $user/mnt " /proc/mounts || fail "still mounted"
"$yore" -q mount || fail "mount at ~/backups"
[ -d "$user/home/backups/latest/" ] || fail "~/backups"
"$yore" umount || fail "umount of ~/backups"
END
chown -R 65534:65534 "$user"
export user yore
mknod -m 666 "$work/fuse" c 10 229 2>"$err" || skip "no device can be made here"
: <"$work/fuse" 2>"$err" || skip "devices cannot be opened in $work"
unshare -m --propagation private bash -c '
	mount --bind "$1/fuse" /dev/fuse && shift &&
	exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=+all \
		-- bash "$1"' - "$work" "$work/session" >"$out" 2>"$err" ||
	fail "the user's session"

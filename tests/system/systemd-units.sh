#!/bin/bash
# SPDX-License-Identifier: MIT
# systemd takes the unit files as they are, and none of them hides the mount.
. "$(dirname "$0")/lib.sh"
need systemd-analyze

units=$here/../../systemd
mkdir -p "$work/system" "$work/user" "$work/etc"
# verify wants the program to be there.
for unit in yore.service yore@.service; do
	sed "s|@bindir@|${yore%/*}|" "$units/$unit.in" >"$work/system/$unit"
done
sed "s|@bindir@|${yore%/*}|" "$units/user/yore.service.in" >"$work/user/yore.service"
cp "$units/backups.mount" "$work/system/"
! grep -rn '@[a-z]*@' "$work/system" "$work/user" || fail "a name was not filled in"

verify() { # --system or --user, file
	expect_exit 0 env XDG_RUNTIME_DIR="$work" systemd-analyze "$1" --man=no verify "$2"
	# Only what is about this file: the machine's own units may have trouble, too.
	! grep -F "$(basename "$2")" "$err" || fail "systemd complains about $2"
}
verify --system "$work/system/yore.service"
cp "$work/system/yore@.service" "$work/system/yore@photos.service"
verify --system "$work/system/yore@photos.service"
verify --system "$work/system/backups.mount"
verify --user "$work/user/yore.service"

# A mistake would have been found.
sed 's/^Type=notify/Type=nonsense/' "$work/system/yore.service" >"$work/system/wrong.service"
systemd-analyze --system --man=no verify "$work/system/wrong.service" >"$out" 2>"$err" || true
said 'wrong.service.*nonsense'

# What systemd.exec(5) says makes a mount namespace.
if grep -EHn '^(Private(Tmp|Devices|Mounts|Users)|Protect(System|Home|Kernel[A-Za-z]*|ControlGroups|Proc|Hostname)|ProcSubset|ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|ExecPaths|NoExecPaths|TemporaryFileSystem|Bind[A-Za-z]*Paths|Root(Directory|Image)|Mount(Flags|APIVFS)|DynamicUser)=' \
	"$work"/system/*.service "$work"/user/*.service; then
	fail "a unit has a mount namespace: nobody would see the mount"
fi
! grep -E '^(NoNewPrivileges|SystemCall[A-Za-z]*|Restrict[A-Za-z]*|LockPersonality)=' \
	"$work/user/yore.service" || fail "fusermount3 could not mount for a user"

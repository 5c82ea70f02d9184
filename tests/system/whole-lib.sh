# SPDX-License-Identifier: MIT
# Sourced by the tests of whole moments (bash), after lib.sh: file systems of
# their own on loop devices, and labels.

# Make a file system in a file and mount it. Skips where no loop device can be had.
loop_mount() { # KIND MEBIBYTES MOUNTPOINT
	local kind=$1 image=$work/$1-${3##*/}.img
	need "mkfs.$kind" losetup
	truncate -s "$2M" "$image"
	"mkfs.$kind" -q "$image" >"$out" 2>&1 || fail "mkfs.$kind"
	mkdir -p "$3"
	mount -o loop "$image" "$3" 2>"$err" || skip "cannot mount a $kind image: $(head -n 1 "$err")"
}

# The label by which the latest snapshot knows a path.
label() { # PATH
	"$yore" ls --json "latest:$1" | grep -o '"consistency": *"[a-z]*"' | head -n 1 |
		sed 's/.*: *"//; s/"$//'
}

# The label of the latest snapshot.
snapshot_label() {
	"$yore" snapshots --json | tr -d '\n' | sed 's/.*"seq"/"seq"/' |
		grep -o '"consistency": *"[a-z]*"' | head -n 1 | sed 's/.*: *"//; s/"$//'
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# Days and moments follow TZ, over a change of clocks too. MAKE_SNAPSHOTS names
# the helper.
. "$(dirname "$0")/lib.sh"
need_fuse
[ -n "${MAKE_SNAPSHOTS:-}" ] || skip "MAKE_SNAPSHOTS is not set"
[ -e /usr/share/zoneinfo/Pacific/Auckland ] || skip "no time zones are installed"

make() { # UTC...
	local when
	for when; do
		"$MAKE_SNAPSHOTS" 1 "$(date -u -d "$when" +%s)" 1 || fail "make $when"
	done
}

# The moment in the mount is the snapshot of that exact name.
means() { # MOMENT EXACT
	[ -d "$mnt/$1" ] || fail "TZ=$TZ: $1 is not there"
	equal "TZ=$TZ: $1" "$(stat -c %i "$mnt/.snapshots/$2")" "$(stat -c %i "$mnt/$1")"
}

absent() { # MOMENT
	[ ! -e "$mnt/$1" ] || fail "TZ=$TZ: $1 is there"
}

days() {
	ls "$mnt" | grep -v latest | grep -v "@$today" | tr '\n' ' ' | sed 's/ $//'
}

mount_in() { # ZONE
	export TZ=$1
	today=$(date -d "@$taken" +%Y-%m-%d)
	mount_it
}

echo content >"$source/file"
fresh_repo
snap "$source"
taken=$(date +%s)
# In Auckland: the clocks go back on the 7th at 14:00Z; in Berlin: forward on March 31st at 01:00Z.
make 2024-03-30T22:30:00Z 2024-03-31T00:30:00Z 2024-03-31T01:30:00Z 2024-03-31T22:30:00Z \
	2024-04-06T11:30:00Z 2024-04-06T13:30:00Z 2024-04-06T14:30:00Z 2024-04-07T11:30:00Z \
	2024-04-07T12:30:00Z

mount_in UTC
equal "days in UTC" "@2024-03-30 @2024-03-31 @2024-04-06 @2024-04-07" "$(days)"
means @2024-04-06 @2024-04-06T14-30-00Z
means @2024-04-07 @2024-04-07T12-30-00Z
means @2024-04-06T13-30 @2024-04-06T13-30-00Z
means @2024-04-06T13:30Z @2024-04-06T13-30-00Z
absent @2024-03-29
unmount_it

mount_in Pacific/Auckland
equal "days in Auckland" "@2024-03-31 @2024-04-01 @2024-04-07 @2024-04-08" "$(days)"
means @2024-04-07 @2024-04-07T11-30-00Z
means @2024-04-08 @2024-04-07T12-30-00Z
means @2024-04-06 @2024-03-31T22-30-00Z
# Half past two came twice: the later one.
means @2024-04-07T02-30 @2024-04-06T14-30-00Z
means @2024-04-07T01-30 @2024-04-06T11-30-00Z
means @2024-04-06T13-30Z @2024-04-06T13-30-00Z
unmount_it

mount_in Europe/Berlin
equal "days in Berlin" "@2024-03-30 @2024-03-31 @2024-04-01 @2024-04-06 @2024-04-07" "$(days)"
means @2024-03-30 @2024-03-30T22-30-00Z
# A day of 23 hours: its last snapshot before midnight in summer time.
means @2024-03-31 @2024-03-31T01-30-00Z
means @2024-04-01 @2024-03-31T22-30-00Z
means @2024-03-31T01-30 @2024-03-31T00-30-00Z
# Half past two was left out: the instant of the change.
means @2024-03-31T02-30 @2024-03-31T00-30-00Z
means @2024-03-31T03-30 @2024-03-31T01-30-00Z
expect_exit 0 "$yore" ls "2024-03-31:$source"
said file
unmount_it

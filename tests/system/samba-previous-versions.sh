#!/bin/bash
# SPDX-License-Identifier: MIT
# Windows' "Previous Versions" over the mount: Debian's smbd with shadow_copy2
# lists what .snapshots lists, and reads it.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need smbd smbclient setsid
smb=$work/smb
mkdir -p "$smb"/{lock,state,cache,private,run,ncalrpc,log}

before_cleanup() {
	[ -z "${smbd:-}" ] || kill "$smbd" 2>/dev/null || true
}

write_config() { # PORT
	cat >"$smb/smb.conf" <<-CONF
		[global]
		server role = standalone server
		interfaces = 127.0.0.1/8
		bind interfaces only = yes
		smb ports = $1
		disable netbios = yes
		lock directory = $smb/lock
		state directory = $smb/state
		cache directory = $smb/cache
		private dir = $smb/private
		pid directory = $smb/run
		ncalrpc dir = $smb/ncalrpc
		passdb backend = tdbsam:$smb/private/passdb.tdb
		log file = $smb/log/smbd.log
		load printers = no
		printing = bsd
		printcap name = /dev/null
		disable spoolss = yes
		map to guest = bad user
		guest account = root
		rpc start on demand helpers = no

		[share]
		path = $source
		guest ok = yes
		read only = no
		vfs objects = shadow_copy2
		shadow:mountpoint = /
		shadow:basedir = /
		shadow:snapdir = $mnt/.snapshots
		shadow:format = @%Y-%m-%dT%H-%M-%SZ
		shadow:localtime = no
		shadow:sort = desc
	CONF
}

client() { # command for smbclient
	smbclient -N -s "$smb/smb.conf" -p "$port" //127.0.0.1/share -c "$1" >"$out" 2>"$err"
}

# A port that nobody has, below those of outgoing connections.
start_smbd() {
	local try
	for try in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 12000))
		write_config "$port"
		# Apart: at its end it signals its whole process group.
		setsid smbd --foreground --no-process-group --configfile="$smb/smb.conf" \
			--log-basename="$smb/log" >"$smb/log/out" 2>&1 </dev/null &
		smbd=$!
		for _ in $(seq 50); do
			! client ls || return 0
			kill -0 "$smbd" 2>/dev/null || break
			sleep 0.1
		done
		kill "$smbd" 2>/dev/null || true
	done
	fail "smbd does not start: $(tail -n 5 "$smb/log/out")"
}

gmt() { # of a snapshot's name: as SMB says it
	echo "$1" | sed -E 's/^@([0-9]+)-([0-9]+)-([0-9]+)T([0-9]+)-([0-9]+)-([0-9]+)Z$/@GMT-\1.\2.\3-\4.\5.\6/'
}

mkdir "$source/doc"
echo one >"$source/doc/r.txt"
echo gone >"$source/doc/lost.txt"
fresh_repo
"$yore" -q snapshot "$source"
sleep 1.1
echo two, longer >"$source/doc/r.txt"
rm "$source/doc/lost.txt"
"$yore" -q snapshot "$source"
"$yore" -q snapshot "$source"
mount_it
first=$(ls "$mnt/.snapshots" | sort | head -n 1)
second=$(ls "$mnt/.snapshots" | sort | sed -n 2p)
echo three >"$source/doc/r.txt"
start_smbd

client 'allinfo doc/r.txt' || fail "allinfo"
said "$(gmt "$first")"
said "$(gmt "$second")"
[ "$(grep -c '^@GMT' "$out")" -ge 2 ] || fail "not every version is listed"
client "get doc/r.txt $work/got" || fail "get"
equal "now" three "$(cat "$work/got")"
client "get $(gmt "$first")/doc/r.txt $work/got" || fail "get of the first"
equal "the first" one "$(cat "$work/got")"
client "get $(gmt "$second")/doc/r.txt $work/got" || fail "get of the second"
equal "the second" "two, longer" "$(cat "$work/got")"
client "get $(gmt "$first")/doc/lost.txt $work/got" || fail "get of what is deleted"
equal "deleted since" gone "$(cat "$work/got")"
client "ls $(gmt "$first")/doc/*" || fail "ls of the first"
said 'lost\.txt'
client "ls $(gmt "$second")/doc/*" || fail "ls of the second"
not_said 'lost\.txt'
! client "put $work/got $(gmt "$first")/doc/new.txt" || fail "a snapshot was written to"
client "del $(gmt "$first")/doc/r.txt" || true
client "get $(gmt "$first")/doc/r.txt $work/got" || fail "get after writing"
equal "still the first" one "$(cat "$work/got")"

# A snapshot taken while the share is in use is listed, too.
sleep 1.1
"$yore" -q snapshot "$source"
third=$(gmt "$(ls "$mnt/.snapshots" | sort | tail -n 1)")
for _ in $(seq 50); do
	client 'allinfo doc/r.txt' || fail "allinfo"
	! grep -q "$third" "$out" || break
	sleep 0.1
done
said "$third"
kill "$smbd"
wait "$smbd" 2>/dev/null || true
smbd=
unmount_it

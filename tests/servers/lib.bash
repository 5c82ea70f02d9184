# SPDX-License-Identifier: MIT
# Sourced by the starters of real servers beside it; never run.
#
#   STARTER install          put the Debian packages in, starting no service
#   STARTER start DIR PORT   a fresh server on 127.0.0.1; returns once it answers
#   STARTER env DIR PORT     what its clients need, as shell assignments
#   STARTER stop DIR PORT    end its processes (by their ids), remove DIR
#
# DIR must be absent or empty, and is made to belong to the server: its files,
# log/ and run/NAME.pid. Ports below 32768 are safe from outgoing connections.
#
# A starter sets `packages` and `daemons` (in the order in which they are to
# end), defines server_launch, server_answers and server_env, and ends with
# `starter_main "$@"`. It finds `dir` (absolute) and `port` set.
# shellcheck shell=bash disable=SC2034,SC2154

set -euo pipefail
umask 077
starter=${0##*/}
answer_seconds=${YORE_SERVER_SECONDS:-60}

starter_fail() {
	echo "$starter: $*" >&2
	exit 1
}

# Clock ticks from boot to the birth of a process; fails when it is none that lives. With it a
# process is told from a later one of the same id.
birth_of() { # PID
	local line
	line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	line=${line##*) } # the name before it may hold anything
	[ "${line%% *}" != Z ] || return 1
	cut -d' ' -f20 <<<"$line"
}

# Run a daemon that outlives its starter.
daemon() { # NAME COMMAND...
	local name=$1 pid
	shift
	setsid "$@" </dev/null >>"$dir/log/$name.log" 2>&1 &
	pid=$!
	echo "$pid $(birth_of "$pid" || echo gone)" >"$dir/run/$name.pid"
}

daemon_lives() { # NAME
	local pid birth
	[ -f "$dir/run/$1.pid" ] || return 1
	read -r pid birth <"$dir/run/$1.pid"
	[ "$(birth_of "$pid")" = "$birth" ]
}

# A process, and all that descend from it.
family_of() { # PID
	local child
	echo "$1"
	# shellcheck disable=SC2013
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		family_of "$child"
	done
}

wait_until() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

all_gone() { # PID...
	local pid
	for pid; do
		! birth_of "$pid" >/dev/null || return 1
	done
}

daemon_end() { # NAME
	local pid rest pids
	daemon_lives "$1" || return 0
	read -r pid rest <"$dir/run/$1.pid"
	mapfile -t pids < <(family_of "$pid")
	kill -CONT "${pids[@]}" 2>/dev/null || true # a test may have stopped it
	kill -TERM "${pids[@]}" 2>/dev/null || true
	wait_until 5 all_gone "${pids[@]}" && return 0
	kill -KILL "${pids[@]}" 2>/dev/null || true
	wait_until 5 all_gone "${pids[@]}" || starter_fail "$1 (${pids[*]}) does not end"
}

server_stop() {
	local name
	[ -f "$dir/run/$starter" ] || return 0
	for name in "${daemons[@]}"; do
		daemon_end "$name"
	done
	rm -rf "$dir"
}

server_start() {
	local name
	server_stop
	mkdir -p "$dir"
	rmdir "$dir" 2>/dev/null || starter_fail "$dir holds files of others"
	mkdir -p "$dir/run" "$dir/log"
	: >"$dir/run/$starter"
	trap 'tail -n 5 "$dir"/log/* >&2; server_stop; starter_fail "did not start"' EXIT
	server_launch
	wait_until "$answer_seconds" server_answers
	for name in "${daemons[@]}"; do
		daemon_lives "$name"
	done
	trap - EXIT
}

# An authority of our own, and a certificate for this machine by it: tls/{ca,server}.pem, .key
tls_make() {
	local new=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
	mkdir -p "$dir/tls"
	openssl req -x509 "${new[@]}" -days 30 -subj '/CN=private test authority' \
		-keyout "$dir/tls/ca.key" -out "$dir/tls/ca.pem" 2>/dev/null
	openssl req "${new[@]}" -subj '/CN=localhost' \
		-keyout "$dir/tls/server.key" -out "$dir/tls/server.csr" 2>/dev/null
	echo 'subjectAltName = DNS:localhost, DNS:s3.localhost, DNS:*.s3.localhost, IP:127.0.0.1' \
		>"$dir/tls/names"
	openssl x509 -req -in "$dir/tls/server.csr" -days 30 -CA "$dir/tls/ca.pem" \
		-CAkey "$dir/tls/ca.key" -CAcreateserial -extfile "$dir/tls/names" \
		-out "$dir/tls/server.pem" 2>/dev/null
}

# Services that come with packages are kept from starting, as everywhere in Debian, by a policy.
server_install() {
	local policy=/usr/sbin/policy-rc.d
	export DEBIAN_FRONTEND=noninteractive
	if [ ! -e "$policy" ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 0755 "$policy"
	fi
	apt-get install -y --no-install-recommends "${packages[@]}" ||
		{ apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; }
}

starter_main() {
	case "${1-} $#" in
	"install 1")
		server_install
		return
		;;
	"start 3" | "stop 3" | "env 3") ;;
	*)
		echo "usage: $starter install | start DIR PORT | env DIR PORT | stop DIR PORT" >&2
		exit 2
		;;
	esac
	dir=$(realpath -m "$2")
	port=$3
	"server_$1"
}

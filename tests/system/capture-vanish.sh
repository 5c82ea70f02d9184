#!/bin/bash
# SPDX-License-Identifier: MIT
# Files that come and go meanwhile are no failure; unreadable ones are named and keep their last state.
# Usage: capture-vanish.sh YORE
. "$(dirname -- "$0")/lib.sh"
need_root
need setpriv
for i in {1..300}; do echo "stays $i" >"$source/stays$i"; done
fresh_repo

churn() { # NUMBER
	local i=0 d
	while :; do
		d=$source/churn$1/$((i % 7))
		mkdir -p "$d/a/b"
		for k in {1..20}; do echo "$i $k" >"$d/f$k"; echo "$k" >"$d/a/b/g$k"; done
		head -c 100000 /dev/zero | tr '\0' "$((i % 10))" >"$d/big"
		ln -f "$d/big" "$d/a/hard"
		rm -rf "$source/churn$1/$(((i + 3) % 7))"
		i=$((i + 1))
	done
}
churn 1 2>/dev/null &
churn 2 2>/dev/null &
for round in {1..12}; do
	expect_exit 0 "$yore" --json snapshot "$source"
	equal "errors in round $round" 0 "$(number errors)"
done
for job in $(jobs -p); do kill "$job"; done
wait 2>/dev/null || true
check --data
snap
expect_exit 0 "$yore" restore "latest:$source" --to "$work/to"
same_trees "when it is quiet again" "$source" "$work/to/source"

# Unreadable, as another user with a repository of his own.
user=$work/user
mkdir -p "$user"
cp -r "$source" "$user/data" && rm -rf "$user/data"/churn*
chown -R 65534:65534 "$user"
as_user() {
	env HOME="$user" XDG_CONFIG_HOME="$user/config" XDG_DATA_HOME="$user/share" \
		YORE_KEY_FOLDER="$user/keys" YORE_REPOSITORY="$user/repo" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
case $yore in
/root/*) cp "$yore" "$work/yore" && chmod 755 "$work/yore" && program=$work/yore ;;
*) program=$yore ;;
esac
as_user test -x "$program" || { cp "$yore" "$work/yore" && chmod 755 "$work/yore" && program=$work/yore; }
mkdir "$user/data/closed" && echo inside >"$user/data/closed/inside" && chown -R 65534:65534 "$user/data/closed"
expect_exit 0 as_user "$program" init
expect_exit 0 as_user "$program" snapshot "$user/data"

chown 0:0 "$user/data/stays7" "$user/data/closed"
chmod 0600 "$user/data/stays7" && chmod 0700 "$user/data/closed"
echo new >"$user/data/stays7"
echo unseen >"$user/data/never-read" && chmod 0600 "$user/data/never-read"
echo fresh >"$user/data/stays8" && chown 65534 "$user/data/stays8"
expect_exit 3 as_user "$program" snapshot
said "$user/data/stays7.*(cannot be read|denied)"
said "$user/data/never-read.*(cannot be read|denied)"
said "$user/data/closed.*(cannot be read|denied)"
not_said 'data/stays9'
equal "last known contents" "stays 7" "$(as_user "$program" cat "latest:$user/data/stays7")"
equal "last known contents in a closed folder" inside "$(as_user "$program" cat "latest:$user/data/closed/inside")"
equal "a changed file beside it" fresh "$(as_user "$program" cat "latest:$user/data/stays8")"
expect_exit 1 as_user "$program" cat "latest:$user/data/never-read"
expect_exit 3 as_user "$program" snapshot
equal "last known contents, again" "stays 7" "$(as_user "$program" cat "latest:$user/data/stays7")"
equal "in a closed folder, again" inside "$(as_user "$program" cat "latest:$user/data/closed/inside")"

chown -R 65534:65534 "$user/data"
expect_exit 0 as_user "$program" snapshot
equal "contents when it can be read again" new "$(as_user "$program" cat "latest:$user/data/stays7")"
equal "a file seen for the first time" unseen "$(as_user "$program" cat "latest:$user/data/never-read")"
expect_exit 0 as_user "$program" check --data

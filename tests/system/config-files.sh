#!/bin/bash
# SPDX-License-Identifier: MIT
# Configuration as a user meets it: what holds and why, what is wrong and where,
# and which files are read, for root (by -c) and for a user by XDG.
. "$(dirname "$0")/lib.sh"

conf=$work/etc/yore.conf
mkdir -p "$work/etc/conf.d"
unset YORE_REPOSITORY
y() { "$yore" -c "$conf" "$@"; }

# A file that is named must be there; with YORE_CONFIG as well.
expect_exit 1 y config show
said "yore.conf: there is no such file"
expect_exit 1 env YORE_CONFIG="$conf" "$yore" config check
said "no such file"

# Everything has a default, and says that it is one.
: >"$conf"
expect_exit 0 y config
said '^quiet = 2s +# default$'
expect_exit 0 y config check
said 'the configuration is fine: 1 file, 0 sources'

# Where each value comes from; a later file wins.
cat >"$conf" <<END
[repository]
path = $work/of file

[snapshot]
quiet = 1s
[source docs]
path = $source
exclude = *.o
    /cache/
END
printf '[snapshot]\nquiet = 3s\n' >"$work/etc/conf.d/10-slow.conf"
expect_exit 0 y config show
said "^path = $work/of file +# $conf:2$"
said "^quiet = 3s +# $work/etc/conf.d/10-slow.conf:2$"
said "^    /cache/ +# $conf:8$"
expect_exit 0 env YORE_REPOSITORY="$work/of env" "$yore" -c "$conf" config show
said "^path = $work/of env +# YORE_REPOSITORY$"
expect_exit 0 env YORE_REPOSITORY="$work/of env" "$yore" -c "$conf" -r "$work/o" config show
said "^path = $work/o +# -r$"
expect_exit 0 y config show --json
said '"section":"snapshot","key":"quiet","value":"3s","origin":"file"'

# The repository of the file is the one that commands use.
expect_exit 0 y init
[ -f "$work/of file/config" ] || fail "init went elsewhere"
expect_exit 0 y snapshot "$source"
expect_exit 0 y status
said "of file"

# What is wrong, each with its line and what would be right; -r works all the same.
cat >"$work/etc/conf.d/20-bad.conf" <<END
[snapshot]
qiet = 2s
longest = soon

[sorce x]
END
bad=$work/etc/conf.d/20-bad.conf
for command in "config show" "config check" status sources; do
	# shellcheck disable=SC2086
	expect_exit 1 y $command
	said "$bad:2: unknown key 'qiet'; did you mean 'quiet'"
	said "$bad:3: longest = soon: it wants a time such as"
	said "$bad:5: unknown section \[sorce\]; did you mean \[source NAME\]"
done
expect_exit 1 y --json config check
said '"ok": *false'
expect_exit 0 y -r "$work/of file" snapshots
rm "$bad"

# A file of somebody else could have commands run as whoever runs yore.
chmod o+w "$conf"
expect_exit 1 y config check
said "everybody may write to it"
chmod o-w "$conf"

# Not an error, but told.
printf '[source gone]\npath = %s/gone\n' "$work" >"$work/etc/conf.d/30-gone.conf"
expect_exit 0 y config check
said "30-gone.conf:2: warning: $work/gone is not there now"

# umount without a mountpoint means the configured one.
printf '[mount]\npath =\n' >"$work/etc/conf.d/40-mount.conf"
expect_exit 2 y umount
said "mounts nowhere"

# Without any file, and as a user whose file is in the XDG folder.
[ "$(id -u)" = 0 ] || exit 0
need setpriv
user=$work/user
mkdir -p "$user/config/yore/conf.d" "$user/tree"
printf '[snapshot]\nlongest = 5s\n' >"$user/config/yore/conf.d/a.conf"
chown -R 65534:65534 "$user"
as_user() {
	setpriv --reuid 65534 --regid 65534 --clear-groups env -u YORE_CONFIG -u YORE_KEY_FOLDER \
		HOME="$user" XDG_CONFIG_HOME="$user/config" XDG_DATA_HOME="$user/data" "$yore" "$@"
}
expect_exit 0 as_user config show
said "^longest = 5s +# $user/config/yore/conf.d/a.conf:2$"
said "^path = $user/data/yore +# default$"
said "^path = $user/backups +# default$"
expect_exit 0 as_user protect "$user/tree"
said "as \[source tree\] in $user/config/yore/conf.d/50-protect.conf"
said "there is no repository at $user/data/yore yet"
expect_exit 0 as_user init
expect_exit 0 as_user sources
said "waiting .* $user/tree  \[tree\]"
# Root's file is none of his to change.
expect_exit 1 as_user -c "$conf" protect "$user/tree"

#!/bin/bash
# SPDX-License-Identifier: MIT
# Whatever goes wrong: a message that says what, the right exit code, and a repository that is whole.
# Usage: bad-input.sh YORE
. "$(dirname -- "$0")/lib.sh"
need b2sum perl setpriv setsid

rows=0
# One row: what it is about, the exit code, what the message must match, the command. Afterwards
# the repository must still be whole, and no command may have changed what it holds.
row() { # NAME CODE REGEX command...
	local label=$1 code=$2 regex=$3 got=0
	shift 3
	rows=$((rows + 1))
	"$@" >"$out" 2>"$err" </dev/null || got=$?
	[ "$got" = "$code" ] || fail "$label: exit $got, wanted $code: $*"
	[ -z "$regex" ] || grep -Eq -- "$regex" "$err" || fail "$label: no message matches '$regex'"
	[ "$(wc -l <"$err")" -le 6 ] || fail "$label: too many words"
	! grep -Eiq 'assert|abort|backtrace|errno [0-9]' "$err" || fail "$label: a message for programmers"
	"$yore" check >"$work/check.out" 2>&1 || { cp "$work/check.out" "$err"; fail "$label: damaged the repository"; }
	equal "$label: snapshots" "$snapshots" "$("$yore" snapshots --names | wc -l)"
}

# A copy of the repository in which something can be broken.
broken() {
	rm -rf "$work/broken"
	cp -a "$YORE_REPOSITORY" "$work/broken"
}

# As a user without rights, with a place of his own.
as_user() {
	env HOME="$work/user" setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

export YORE_PASSWORD=right-one
fresh_repo
unset YORE_PASSWORD
echo contents >"$source/file"
mkdir "$work/user" "$work/empty" "$work/full" && : >"$work/full/file"
expect_exit 0 "$yore" snapshot "$source" --tag good
snapshots=1
program=$work/program
cp "$yore" "$program" && chmod 755 "$program"
no_keys="env YORE_KEY_FOLDER=$work/no-keys"
run="$yore" # so that rows read well

# Words.
row "no command" 2 '' bash -c "'$run' 2>/dev/null"
row "unknown command" 2 "unknown command 'snapshto'; did you mean 'snapshot'" "$run" snapshto
row "unknown command, nothing near" 2 "unknown command 'xyzzy'.*--help" "$run" xyzzy
row "unknown option" 2 "unknown option '--exlude'; did you mean '--exclude'.*snapshot --help" "$run" snapshot --exlude x "$source"
row "unknown letter" 2 "unknown option '-Z'" "$run" snapshots -Z
row "value missing" 2 "'--tag' wants a value" "$run" snapshot "$source" --tag
row "value too many" 2 "takes no value" "$run" snapshot --dry-run=yes "$source"
row "word too many" 2 "unexpected word 'extra'" "$run" status extra
row "bad tag" 2 "'2024-05-01' cannot be a tag" "$run" snapshot "$source" --tag 2024-05-01
row "exclude without a path" 2 "PATH" "$run" snapshot --exclude x
row "restore without a target" 2 "--to DIR" "$run" restore latest
row "a share of nothing" 2 "1% to 100%" "$run" check --data=0
row "dots in a path" 2 "'\.\.'" "$run" ls "latest:/etc/../tmp"
row "a URL for a repository" 2 "folder on this machine" "$run" -r sftp://host/x status

# Moments and paths.
row "unknown moment" 1 "no snapshot for the moment '2001-01-01'.*yore snapshots" "$run" ls 2001-01-01:/
row "no moment" 1 "is no moment|no snapshot" "$run" ls "what?:/"
row "unknown tag" 1 "no snapshot for the moment 'nosuchtag'|is no moment" "$run" restore nosuchtag --to "$work/to"
row "unknown id" 1 "no snapshot" "$run" cat "0123456789abcdef:/x"
row "unknown path" 1 "no /no/such in the snapshot @" "$run" cat latest:/no/such
row "unknown host" 1 "no snapshots of a host 'elsewhere'" "$run" --host elsewhere snapshots
[ ! -e "$work/to" ] || fail "a failed restore left its target"

# Keys.
row "wrong password" 12 "wrong password for $YORE_REPOSITORY" $no_keys YORE_PASSWORD=wrong "$run" snapshots
row "wrong password in a file" 12 "wrong password" $no_keys YORE_PASSWORD_FILE=<(echo no) "$run" status
row "empty password" 12 "empty" $no_keys YORE_PASSWORD= "$run" snapshots
row "password file missing" 12 "$work/nowhere" $no_keys YORE_PASSWORD_FILE="$work/nowhere" "$run" snapshots
row "password command fails" 12 "YORE_PASSWORD_COMMAND" $no_keys YORE_PASSWORD_COMMAND=false "$run" snapshots
row "missing key" 12 "no key for $YORE_REPOSITORY.*missing.*YORE_PASSWORD" setsid -w $no_keys "$run" snapshots
row "right password" 0 '' $no_keys YORE_PASSWORD=right-one "$run" snapshots
cp -a "$YORE_KEY_FOLDER" "$work/keys-open" && chmod 644 "$work/keys-open"/*
row "key that others can read" 12 "can be read by others.*chmod 600" setsid -w env YORE_KEY_FOLDER="$work/keys-open" "$run" status
cp -a "$YORE_KEY_FOLDER" "$work/keys-damaged" && for f in "$work/keys-damaged"/*; do echo nonsense >"$f"; done
row "damaged key" 12 "is damaged and is not used" setsid -w env YORE_KEY_FOLDER="$work/keys-damaged" "$run" status
row "init again" 1 "there is a repository at .* already" "$run" init
row "init in a folder with files" 1 "holds files that are not yore's" "$run" -r "$work/full" init
row "init in a file" 1 "is not a folder" "$run" -r "$source/file" init
row "init with an empty password" 2 "password is empty" env YORE_PASSWORD= "$run" -r "$work/new" init
[ ! -e "$work/new/config" ] || fail "a refused init made something"

# Repositories.
row "no repository" 10 "no repository at $work/nothing.*init" "$run" -r "$work/nothing" snapshots
row "an empty folder" 10 "$work/empty is no yore repository" "$run" -r "$work/empty" snapshot "$source"
row "a file" 10 "no repository at $source/file" "$run" -r "$source/file" check
broken && echo 'url = https://example.org' >"$work/broken/config"
row "foreign config" 10 "is not a yore repository" "$run" -r "$work/broken" snapshots
broken && printf '\007' | dd of="$work/broken/config" bs=1 seek=16 conv=notrunc status=none
size=$(stat -c %s "$work/broken/config")
head -c $((size - 32)) "$work/broken/config" >"$work/config"
b2sum -l 256 "$work/config" | cut -d ' ' -f 1 | sed 's/../\\x&/g' >"$work/sum"
printf '%b' "$(cat "$work/sum")" >>"$work/config" && cp "$work/config" "$work/broken/config"
row "newer format" 1 "newer format.*install a newer yore" "$run" -r "$work/broken" snapshots
broken && perl -e 'open(my $f, "+<", $ARGV[0]); read($f, my $all, 4096); substr($all, 30, 1) ^= "\x10"; seek($f, 0, 0); print $f $all' "$work/broken/config"
row "damaged config" 20 "config of the repository .* is damaged.*replica" "$run" -r "$work/broken" snapshots
broken && : >"$work/broken/config"
row "empty config" 20 "config of the repository .* is damaged" "$run" -r "$work/broken" mount "$mnt"
broken && for f in "$work/broken/keys"/*; do head -c 20 "$f" >"$work/cut" && cp "$work/cut" "$f"; done
row "damaged key slots" 12 "key files .* are damaged.*replica" setsid -w env YORE_PASSWORD=right-one YORE_KEY_FOLDER="$work/no-keys" "$run" -r "$work/broken" status
broken && rm -r "$work/broken/index"/*
row "index deleted" 0 '' "$run" -r "$work/broken" check --data
broken && for f in $(find "$work/broken/packs" -type f); do rm "$f"; done
row "packs deleted" 20 "damaged|missing|not there" "$run" -r "$work/broken" check

# Sources and targets.
row "missing source" 1 "$work/missing" "$run" snapshot "$work/missing"
row "missing exclude file" 1 "exclude file $work/missing" "$run" snapshot "$source" --exclude-file "$work/missing"
row "restore into a file" 1 "$source/file" "$run" restore latest --to "$source/file"
row "output that cannot be written" 1 "cannot write the output" bash -c "'$run' snapshots >/dev/full"
row "cat that cannot be written" 1 "No space|cannot write" bash -c "'$run' cat 'latest:$source/file' >/dev/full"

if [ "$(id -u)" = 0 ]; then
	# Rights: another user's repository.
	row "no permission" 1 "no permission to read the repository|[Pp]ermission denied" as_user "$program" snapshots
	row "no right to make one" 1 "[Pp]ermission denied" as_user env YORE_KEY_FOLDER="$work/user/keys" "$program" -r "$work/user-repo" init

	# A read-only file system: looking works, writing says why not.
	mkdir "$work/ro" && mount --bind "$YORE_REPOSITORY" "$work/ro" && mount -o remount,bind,ro "$work/ro"
	row "read-only: snapshot" 1 "read-only file system" "$run" -r "$work/ro" snapshot
	row "read-only: key add" 1 "[Rr]ead-only file system" env YORE_PASSWORD=next "$run" -r "$work/ro" key add
	row "read-only: repair" 1 "read-only file system" "$run" -r "$work/ro" repair
	row "read-only: snapshots" 0 '' "$run" -r "$work/ro" snapshots
	row "read-only: check" 0 '' "$run" -r "$work/ro" check --data
	row "read-only: cat" 0 '' "$run" -r "$work/ro" cat "latest:$source/file"
	umount "$work/ro"

	# A full disk: said, nothing lost, and it goes on when there is room.
	mkdir "$work/small" && mount -t tmpfs -o size=4m none "$work/small"
	head -c 12000000 /dev/urandom >"$work/big"
	expect_exit 0 "$yore" -r "$work/small/repo" init
	expect_exit 0 "$yore" -r "$work/small/repo" snapshot "$source"
	row "full disk: snapshot" 1 "[Nn]o space left" "$run" -r "$work/small/repo" snapshot "$work/big"
	row "full disk: check" 0 '' "$run" -r "$work/small/repo" check --data
	row "full disk: cat" 0 '' "$run" -r "$work/small/repo" cat "latest:$source/file"
	row "full disk: restore" 1 "[Nn]o space left|not restored" bash -c \
		"mkdir -p '$work/small/to' && head -c 4m /dev/zero >'$work/small/fill' 2>/dev/null; '$run' restore latest:'$source' --to '$work/small/to' && exit 1 || [ \$? = 1 -o \$? = 3 ] && exit 1"
	rm -rf "$work/small/fill" "$work/small/to"
	mount -o remount,size=64m "$work/small"
	row "room again: snapshot" 0 '' "$run" -r "$work/small/repo" snapshot "$work/big"
	row "room again: check" 0 '' "$run" -r "$work/small/repo" check --data
	row "init on a full disk" 1 "[Nn]o space left" bash -c \
		"head -c 64m /dev/zero >'$work/small/fill' 2>/dev/null; '$run' -r '$work/small/other' init"
	[ ! -e "$work/small/other/config" ] || fail "init on a full disk made half a repository"
	umount "$work/small"
fi

# Mounts.
row "mount point not there" 1 "mountpoint $work/gone is not there.*mkdir" "$run" mount "$work/gone"
row "mount point not empty" 1 "$work/full (is not empty|holds files)" "$run" mount "$work/full"
row "mount point a file" 1 "$source/file.*([Nn]ot a directory|not a folder)" "$run" mount "$source/file"
row "umount of no mount" 1 "$mnt" "$run" umount "$mnt"
row "unknown mount option" 2 "no_such_option" "$run" mount "$mnt" -o no_such_option
if [ "$(id -u)" = 0 ] && [ -w /dev/fuse ]; then
	expect_exit 0 "$yore" -q mount "$mnt"
	row "two mounts on one point" 11 "$mnt is mounted already.*umount|something is mounted at $mnt already" "$run" mount "$mnt"
	row "busy umount" 11 "$mnt.*(busy|use)" bash -c "cd '$mnt/latest' && '$run' umount '$mnt'"
	expect_exit 0 "$yore" umount "$mnt"
	chown 65534:65534 "$work/user" && mkdir "$work/user/mnt" && chown 65534 "$work/user/mnt"
	own="as_user env YORE_KEY_FOLDER=$work/user/keys YORE_REPOSITORY=$work/user/repo"
	expect_exit 0 $own "$program" init
	[ "$(stat -c %a /dev/fuse)" = 666 ] ||
		row "no permission for /dev/fuse" 1 "/dev/fuse.*(may not be opened|denied)|no permission to mount.*/dev/fuse" $own "$program" mount "$work/user/mnt"
	mkdir "$work/dev"
	row "no /dev/fuse" 1 "no FUSE|/dev/fuse" unshare -m bash -c "mount -t tmpfs none '$work/dev' && mknod '$work/dev/null' c 1 3 &&
		mknod '$work/dev/urandom' c 1 9 && mount --move '$work/dev' /dev && exec '$run' mount '$mnt'"
fi

# Ctrl-C in every long command: at some moment it comes while there is work.
head -c 150000000 /dev/urandom >"$source/large"
expect_exit 0 "$yore" snapshot
snapshots=2
interrupted() { # NAME REGEX before command...: is stopped at some moment, never fails otherwise
	local label=$1 regex=$2 before=$3 delay got hit=0
	shift 3
	for delay in 0.02 0.04 0.08 0.12 0.2 0.3; do
		got=0
		eval "$before"
		timeout --preserve-status -s INT "$delay" "$@" >"$out" 2>"$err" </dev/null || got=$?
		case $got in
		0 | 3) continue ;;
		130) ;;
		*) fail "$label after $delay s: exit $got" ;;
		esac
		# Before it has caught the signal it is ended by it, without a word.
		[ -s "$err" ] || continue
		# Of a command that has not begun the session says it.
		grep -Eq -- "$regex|interrupted while .* was being opened; run it again" "$err" || fail "$label after $delay s: no message matches '$regex'"
		hit=$((hit + 1))
		"$yore" check >/dev/null 2>"$err" || fail "$label after $delay s: damaged the repository"
	done
	rows=$((rows + 1))
	echo "interrupted $label: $hit of 6 at work"
	[ "$hit" -gt 0 ] || [ "$label" = repair ] || fail "$label was never interrupted at work"
}
interrupted snapshot 'interrupted; no snapshot was taken' \
	'head -c 150000000 /dev/urandom >"$source/large"' "$run" snapshot
"$yore" snapshots --names >"$out"
snapshots=$(wc -l <"$out")
expect_exit 0 "$yore" snapshot # goes on from there
snapshots=$((snapshots + 1))
equal "contents after interruptions" "$(sha256sum <"$source/large")" "$("$yore" cat "latest:$source/large" | sha256sum)"
interrupted restore 'interrupted' 'rm -rf "$work/to"' "$run" restore "latest:$source" --to "$work/to"
expect_exit 0 "$yore" restore "latest:$source" --to "$work/to"
cmp "$source/large" "$work/to/source/large" || fail "restored after interruptions"
interrupted check 'interrupted; the check changes nothing' true "$run" check --data
interrupted repair 'interrupted; run it again' true "$run" repair --data
interrupted init 'interrupted; no repository was made' 'rm -rf "$work/inited"' \
	env YORE_PASSWORD=slow "$run" -r "$work/inited" init
got=0
rm -rf "$work/inited"
YORE_PASSWORD=slow timeout --preserve-status -s INT 0.04 "$yore" -r "$work/inited" init >/dev/null 2>&1 || got=$?
[ "$got" = 0 ] || expect_exit 0 "$yore" -r "$work/inited" init
check --data
echo "$rows rows"

#!/bin/bash
# SPDX-License-Identifier: MIT
# Whether anything protects is loud: in status, in its exit status, in metrics,
# in the mount's root; a change that waits for too long is told to a command.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3

configure() { # QUIET LONGEST STALE
	cat >"$YORE_CONFIG" <<-END
		[snapshot]
		quiet = $1
		longest = $2
		[mount]
		path = $mnt
		[alerts]
		on-alert = cat >>$work/heard
		stale-after = $3
		[source one]
		path = $source
	END
}

within() { # SECONDS WHAT command...: becomes true in time
	local n=$(($1 * 20)) what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ $((n -= 1)) -gt 0 ] || fail "not in time: $what"
		sleep 0.05
	done
}

is() { # WANTED FILE
	[ "$(cat "$2" 2>/dev/null)" = "$1" ]
}

exits() { # CODE command...
	local want=$1 got=0
	shift
	"$@" >/dev/null 2>&1 || got=$?
	[ "$got" = "$want" ]
}

asked() { # KEY...: a member of the last JSON answer
	python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if key.lstrip("-").isdigit() else key]
print(json.dumps(value) if not isinstance(value, str) else value)' "$@" <"$out"
}

metrics_of() { # command...: read strictly, into $out
	"$@" >"$work/metrics" 2>"$err" || fail "no metrics: $*"
	python3 "$here/openmetrics.py" <"$work/metrics" >"$out" 2>"$err" || fail "metrics are malformed"
}

# Nothing is to be protected: that is no alarm.
fresh_repo
expect_exit 0 "$yore" status --check
said '^OK: no source is configured'
expect_exit 1 "$yore" alert test
said 'no alert command is configured'
expect_exit 2 "$yore" status --check --metrics

# Something is, and nothing does it.
configure 300ms 2s 1h
expect_exit 22 "$yore" status --check
said '^STALE: NOTHING PROTECTS: 1 source is configured, but no daemon runs'
equal "lines of the check" 1 "$(wc -l <"$out")"
expect_exit 0 "$yore" status
said 'NOTHING PROTECTS'
expect_exit 0 "$yore" --json status
equal "state" stopped "$(asked protection state)"
metrics_of "$yore" status --metrics
said "^yore_protection\{yore_protection='stopped'\} 1$"

# The command that alerts go to.
expect_exit 0 "$yore" alert test
said 'the test alert was taken'
grep -q '"event":"test"' "$work/heard" || fail "the test event did not come"
rm "$work/heard"

# Something does it.
printf '[source two]\npath = "%s"\n' "$work/plain" >>"$YORE_CONFIG"
mkdir "$work/plain"
echo one >"$source/file"
"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
within 10 "the first snapshot" is one "$mnt/latest$source/file"
said_ok() {
	"$yore" status --check | grep -q '^OK: 2 sources protected; last captured'
}
within 10 "all is well" said_ok
up_to_date() {
	[ "$("$yore" status | grep -c 'up to date, captured .* ago')" = 2 ]
}
within 10 "both are up to date" up_to_date
expect_exit 0 "$yore" status
said "^source +$source$"
said '^ +(fanotify|inotify|poll): '
said '^collection +idle'
"$yore" --json status >"$out"
equal "state" on "$(asked protection state)"
equal "daemon" "$daemon" "$(asked protection daemon)"
equal "source" "$source" "$(asked protection report sources 0 path)"
equal "stale seconds" 3600 "$(asked protection report stale_after_seconds)"
cp "$mnt/.yore/status.json" "$out"
equal "state in the mount" on "$(asked protection state)"
metrics_of "$yore" status --metrics
said "^yore_source_files\{source='$source'\} 1$"
said '^yore_daemon_up\{\} 1$'
cut -d' ' -f1 "$out" >"$work/names"
metrics_of cat "$mnt/.yore/metrics"
cut -d' ' -f1 "$out" | diff "$work/names" - || fail "the mount's metrics are others"
equal "size of the metrics" "$(wc -c <"$work/metrics")" "$(wc -c <"$mnt/.yore/metrics")"
[ ! -e "$mnt/PROTECTION-HAS-STOPPED.txt" ] || fail "a banner without reason"

# Any name is a label: the daemon's report with another path in it.
odd_path() {
	python3 - "$YORE_REPOSITORY/local/protection.json" <<-'END'
		import json, os, sys
		report = json.load(open(sys.argv[1]))
		path = b'/odd "\\ \xff\n{name}'
		report['sources'][0]['path'] = path.decode(errors='replace')
		report['sources'][0]['path_hex'] = path.hex()
		with open(sys.argv[1] + '.new', 'w') as new:
		    json.dump(report, new)
		os.rename(sys.argv[1] + '.new', sys.argv[1])
	END
	metrics_of "$yore" status --metrics
	grep -qF "yore_source_files{source='/odd \"\\\\ �\\n{name}',source_hex='2f6f646420225c20ff0a7b6e616d657d'} 1" "$out"
}
within 10 "an odd name" odd_path # the daemon may have reported just then

# A change waits for too long.
configure 1h 2h 1s
kill -HUP $daemon
reread() {
	"$yore" --json status >"$out" && [ "$(asked protection report stale_after_seconds)" = 1 ] &&
		[ "$(asked protection report sources 0 pending)" = null ]
}
within 10 "the new configuration" reread
echo two >"$source/file"
within 10 "stale" exits 22 "$yore" status --check
expect_exit 22 "$yore" status --check
said "^STALE: changes below $source have waited for a snapshot for "
within 15 "the alert" grep -q '"event":"begin"' "$work/heard"
cp "$work/heard" "$out"
equal "condition" behind "$(asked condition)"
equal "object" "$source" "$(asked object)"
"$yore" --json status >"$out"
equal "active alert" behind "$(asked alerts 0 condition)"
within 15 "the banner" test -e "$mnt/PROTECTION-HAS-STOPPED.txt"
grep -q "changes below $source" "$mnt/PROTECTION-HAS-STOPPED.txt" || fail "the banner does not say why"
ls "$mnt" >"$out"
said '^PROTECTION-HAS-STOPPED.txt$'

# It goes on, and the banner goes away.
configure 300ms 2s 1h
kill -HUP $daemon
within 10 "a snapshot again" is two "$mnt/latest$source/file"
within 10 "all is well again" exits 0 "$yore" status --check
banner_is_gone() {
	[ ! -e "$mnt/PROTECTION-HAS-STOPPED.txt" ] && ! ls "$mnt" | grep -q PROTECTION
}
within 15 "no banner" banner_is_gone

# The daemon dies.
kill -KILL $daemon
wait $daemon 2>/dev/null || true
expect_exit 22 "$yore" status --check
said 'NOTHING PROTECTS.* may be in no snapshot'
expect_exit 0 "$yore" status
said 'when a daemon last reported'
umount -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt"

# What a verification found stays an alarm.
report=$YORE_REPOSITORY/local/protection.json
: >"$YORE_CONFIG"
sed -i 's/"verify_errors":0/"verify_errors":2/' "$report"
expect_exit 20 "$yore" status --check
said '^DAMAGED: verification found 2 errors'

# A report that is none costs only itself.
for text in '' '{' '{"format":1}' '[[[[' 'null'; do
	printf '%s' "$text" >"$report"
	expect_exit 0 "$yore" status --check
	expect_exit 0 "$yore" --json status
	equal "report" null "$(asked protection report)"
done

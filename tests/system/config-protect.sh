#!/bin/bash
# SPDX-License-Identifier: MIT
# protect, unprotect and sources: one file of their own, in which all else is
# kept; a source goes with the snapshot that unprotect takes.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work/etc"
export YORE_CONFIG=$work/etc/yore.conf
: >"$YORE_CONFIG"
own=$work/etc/conf.d/50-protect.conf
fresh_repo
mkdir -p "$source/docs/inner" "$source/other/docs" "$source/by hand" "$source/[x] \"q\""
echo one >"$source/docs/file"
echo two >"$source/by hand/file"

expect_exit 0 "$yore" sources
said "nothing is protected yet"

# A section named after the path; excludes and flags as given.
expect_exit 0 "$yore" protect "$source/docs/" -e '*.o' -e ' lead' -x --exclude-caches
said "protected $source/docs as \[source docs\] in $own"
said "no daemon protects it now; 'yore mount' starts one"
equal "mode" 644 "$(stat -c %a "$own")"
expect_exit 0 "$yore" --json config show
said "\"key\":\"exclude\",\"value\":\"\*.o.n.. lead.n\",\"origin\":\"file\",\"from\":\"$own\""
said '"name":"docs","key":"one-file-system","value":"yes"'
said '"name":"docs","key":"exclude-caches","value":"yes"'

# Names are unique; strange ones and symlinks are no trouble.
ln -s "$source/other" "$work/link"
expect_exit 0 "$yore" protect "$work/link/docs" "$source/[x] \"q\""
said "protected $source/other/docs as \[source docs-2\]"
said "as \[source _x_ _q_\]"
expect_exit 0 "$yore" config check
expect_exit 2 "$yore" protect --name 'a]b' "$source/docs"
expect_exit 1 "$yore" protect --name docs "$source/by hand"
said "a source named 'docs' already"

# Again: nothing happens; with options they replace those of before.
before=$(cat "$own")
expect_exit 0 "$yore" protect "$source/docs"
said "is protected already"
equal "the file" "$before" "$(cat "$own")"
expect_exit 0 "$yore" protect "$source/docs" -e '*.tmp'
expect_exit 0 "$yore" --json config show
said '"name":"docs","key":"exclude","value":".\.tmp'
said '"name":"docs","key":"one-file-system","value":"no"'

# What makes no sense.
expect_exit 0 "$yore" protect "$source/docs/inner"
said "inner lies in $source/docs, which is protected already"
expect_exit 0 "$yore" unprotect "$source/docs/inner"
before=$(cat "$own")
expect_exit 1 "$yore" protect "$source/by hand" "$source/missing"
said "missing: .*; nothing was changed"
expect_exit 1 "$yore" protect "$YORE_REPOSITORY/packs"
said "is the repository"
equal "the file after refusals" "$before" "$(cat "$own")"

# What others wrote into the file stays, comments of a section go with the next one.
cat >>"$own" <<END

# mine
[snapshot]
quiet = 4s
END
expect_exit 0 "$yore" unprotect "$source/other/docs" "$source/[x] \"q\""
grep -q '^# mine$' "$own" || fail "a comment is gone"
expect_exit 0 "$yore" config show
said "^quiet = 4s"
not_said "docs-2"
equal "leftovers" 1 "$(find "$work/etc/conf.d" -type f | wc -l)"

# A source of by-hand snapshots, and what is configured: both are listed.
snap "$source/docs" "$source/by hand"
expect_exit 0 "$yore" sources
said "present .* 1 .* $source/docs  \[docs\] $own:"
said "present .* $source/by hand  \(taken by hand\)"
expect_exit 0 "$yore" sources --json
said "\"path\":\"$source/by hand\",\"state\":\"present\",\"configured\":false"

# Taken from the next snapshot on; older ones keep it.
expect_exit 0 "$yore" unprotect "$source/by hand"
said "no longer protected: $source/by hand"
expect_exit 0 "$yore" sources
not_said "by hand"
expect_exit 1 "$yore" cat "latest:$source/by hand/file"
first=$("$yore" snapshots --names | head -n 1)
expect_exit 0 "$yore" cat "$first:$source/by hand/file"
said two
expect_exit 0 "$yore" cat "latest:$source/docs/file"
expect_exit 0 "$yore" unprotect "$source/docs"
expect_exit 0 "$yore" sources
said "nothing is protected yet"
check

# What is not protected, and what stands in another file.
expect_exit 1 "$yore" unprotect "$source/docs"
said "is not protected"
printf '[source mine]\npath = %s\n' "$source/docs" >"$YORE_CONFIG"
expect_exit 1 "$yore" unprotect "$source/docs"
said "take it away there"
said "$YORE_CONFIG:2"
expect_exit 1 "$yore" protect "$source/docs" -e x
said "$YORE_CONFIG:2; change it there"

# Many at once: none is lost.
for i in 1 2 3 4 5 6; do
	mkdir "$source/many$i"
	"$yore" -q protect "$source/many$i" &
	jobs[i]=$!
done
for i in 1 2 3 4 5 6; do wait "${jobs[i]}" || fail "protect many$i"; done
equal "sections" 6 "$(grep -c '^\[source many' "$own")"

# A running daemon learns of both by itself; a second one does not protect, too.
printf '[snapshot]\nquiet = 200ms\n[mount]\npath =\n' >"$YORE_CONFIG"
"$yore" mount -f >"$work/daemon.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
	[ ! -s "$YORE_REPOSITORY/local/daemon" ] || break
	sleep 0.1
done
equal "the note" "$daemon" "$(head -n 1 "$YORE_REPOSITORY/local/daemon" | tr -d '\0')"
expect_exit 0 "$yore" protect "$source/docs"
not_said "no daemon"
for _ in $(seq 150); do
	"$yore" sources >"$out"
	! grep -Eq "^present .* $source/docs " "$out" || break
	sleep 0.1
done
said "^present .* $source/docs  \[docs\]"
expect_exit 1 "$yore" mount -f
said "another daemon protects with this repository already"
expect_exit 0 "$yore" unprotect "$source/docs"
"$yore" sources >"$out"
not_said "$source/docs "
kill "$daemon"
wait "$daemon" || fail "the daemon: $(cat "$work/daemon.log")"
"$yore" sources >"$out"
not_said "$source/docs "
said "$source/many6 "

#!/bin/bash
# SPDX-License-Identifier: MIT
# snapshots, ls, cat, find, diff and status tell the truth, for people and as JSON.
# Usage: look.sh YORE
. "$(dirname -- "$0")/lib.sh"

# The last answer is one valid JSON value; with jq, it answers a question about it.
valid_json() {
	if command -v jq >/dev/null; then
		jq -e . "$out" >/dev/null 2>&1 || [ "$(jq -c . "$out" 2>/dev/null)" = '[]' ] || fail "no JSON"
	elif command -v python3 >/dev/null; then
		python3 -m json.tool "$out" >/dev/null || fail "no JSON"
	fi
	[ ! -s "$err" ] || fail "JSON came with words on stderr"
}
asks() { # WHAT WANTED FILTER
	command -v jq >/dev/null || return 0
	equal "$1" "$2" "$(jq -r "$3" "$out")"
}

fresh_repo
# Before there is anything.
expect_exit 0 "$yore" snapshots
said 'no snapshots yet'
expect_exit 0 "$yore" --json snapshots
valid_json
asks "snapshots of none" 0 length
expect_exit 0 "$yore" --json status
valid_json
asks "snapshots in the status" 0 .snapshots
expect_exit 1 "$yore" ls
said 'no snapshots yet'

mkdir -p "$source/docs/old" "$source/bin"
echo one >"$source/docs/report.txt" && echo keep >"$source/docs/keep.txt"
echo old >"$source/docs/old/Report.TXT" && echo exe >"$source/bin/tool" && chmod 755 "$source/bin/tool"
ln -s docs/report.txt "$source/link" && mkfifo "$source/pipe"
: >"$source/"$'evil\nname\e[31m' && : >"$source/$(printf 'bad\377')" && : >"$source/ümlaut"
touch -d '2020-02-03 04:05:06.789 UTC' "$source/docs/keep.txt"
settle
snap "$source" --tag first --tag two-tags
first=$(grep -Eo '"name": *"@[^"]*"' "$out" | cut -d '"' -f 4)
valid_json
asks "files" 7 .files
asks "directories" 4 .directories
asks "others" 2 .others
asks "tags" first,two-tags '.tags | join(",")'
echo two! >"$source/docs/report.txt" && rm "$source/bin/tool" && echo new >"$source/bin/new"
chmod 600 "$source/docs/keep.txt" && rm "$source/pipe" && mkdir "$source/pipe"
sleep 1.1
snap
second=$(grep -Eo '"name": *"@[^"]*"' "$out" | cut -d '"' -f 4)

# snapshots, log
expect_exit 0 "$yore" snapshots
equal "lines" 3 "$(wc -l <"$out")"
said "^$first .*first,two-tags"
expect_exit 0 "$yore" log --names
equal names "$first $second" "$(tr '\n' ' ' <"$out" | sed 's/ $//')"
expect_exit 0 "$yore" snapshots --tag first --names
equal "with a tag" "$first" "$(cat "$out")"
expect_exit 0 "$yore" snapshots --tag none
said 'no snapshot has that tag'
expect_exit 0 "$yore" --json snapshots
valid_json
asks "number of snapshots" 2 length
asks "keys" true '[.[0] | has("id", "seq", "name", "time", "host", "tags", "files", "bytes", "new_bytes")] | all'
asks "name" "$first" '.[0].name'
asks "order" true '.[0].seq < .[1].seq'
asks "time" true '.[0].time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")'
id=$(grep -Eo '"id": *"[0-9a-f]{64}"' "$out" | head -n 1 | cut -d '"' -f 4)

# Every way to say when: name, tag, id, latest, now; and what is none.
for moment in "$first" first "${id:0:12}" "${first#@}" @first; do
	equal "contents at $moment" one "$("$yore" cat "$moment:$source/docs/report.txt")"
done
for moment in latest @latest today now 0s-ago; do
	"$yore" cat "$moment:$source/docs/report.txt" >"$out" 2>"$err" || { [ "$moment" = now ] && continue; fail "$moment"; }
	equal "contents at $moment" 'two!' "$(cat "$out")"
done
equal "a path alone" 'two!' "$("$yore" cat "$source/docs/report.txt")"
equal "two files" 'onekeep' "$("$yore" cat "first:$source/docs/report.txt" "first:$source/docs/keep.txt" | tr -d '\n')"
expect_exit 1 "$yore" cat "first:$source/docs"
expect_exit 1 "$yore" cat "first:$source/bin/new"
said "$source/bin/new"

# ls
expect_exit 0 "$yore" ls "first:$source/docs"
equal "ls" "keep.txt old/ report.txt " "$(tr '\n' ' ' <"$out")"
expect_exit 0 "$yore" ls -l "first:$source"
said '^lrwxrwxrwx .*link -> docs/report.txt'
said '^prw.* pipe'
expect_exit 0 "$yore" ls -l "latest:$source/docs/keep.txt"
said '^-rw------- .*2020-02-03 04:05:06'
expect_exit 0 "$yore" ls "latest:$source"
equal "raw names into a pipe" 1 "$(grep -c $'^name\e\\[31m$' "$out")"
if command -v script >/dev/null; then
	script -qec "'$yore' ls 'latest:$source'" /dev/null >"$out" 2>"$err" </dev/null || fail "ls on a terminal"
	! grep -aq $'\e\\[31m' "$out" || fail "a terminal escape came through"
	equal "lines of ls on a terminal" 7 "$(wc -l <"$out")"
fi
expect_exit 0 "$yore" ls -R "latest:$source"
said 'Report.TXT'
expect_exit 0 "$yore" --json ls -R "first:$source"
valid_json
asks "symlink" docs/report.txt '.[] | select(.type == "symlink").target'
asks "size" 4 ".[] | select(.path | endswith(\"docs/report.txt\")).size"
asks "time" 2020-02-03T04:05:06.789000000Z ".[] | select(.path | endswith(\"docs/keep.txt\")).mtime"
asks "types" 'directory fifo file symlink' '[.[].type] | unique | join(" ")'
expect_exit 1 "$yore" ls "latest:$source/nothing"
said "no $source/nothing"

# find
expect_exit 0 "$yore" find report.txt
equal "versions of a name" 2 "$(grep -c 'docs/report.txt$' "$out")"
said "^$first:$source/docs/report.txt$"
"$yore" cat "$(head -n 1 "$out")" >/dev/null || fail "what find prints cannot be given to cat"
expect_exit 0 "$yore" find -i 'report.txt'
equal "without case" 3 "$(grep -ci 'report.txt$' "$out")"
expect_exit 0 "$yore" find '*/bin/*' --below "$source"
said 'bin/tool$'
said 'bin/new$'
expect_exit 0 "$yore" find tool --since "$second"
not_said 'bin/tool$'
expect_exit 0 "$yore" --json find '*.txt'
valid_json
asks "found" 4 'map(select(.path | endswith(".txt"))) | length'
expect_exit 0 "$yore" --json find no-such-name-anywhere
valid_json
asks "found nothing" 0 length

# diff
expect_exit 0 "$yore" diff "$first" "$second"
said "^M $source/docs/report.txt$"
said "^\\+ $source/bin/new$"
said "^- $source/bin/tool$"
said "^m $source/docs/keep.txt$"
said "^T $source/pipe"
not_said 'Report.TXT'
expect_exit 0 "$yore" diff "$second" "$first" "$source/bin"
said "^- $source/bin/new$"
not_said docs
expect_exit 0 "$yore" diff latest latest
said 'no difference'
expect_exit 0 "$yore" --json diff "$first" latest
valid_json
asks "changes" 'added metadata modified removed type' '[.[].change] | unique | sort | join(" ")'
asks "before" 4 '.[] | select(.change == "modified" and (.path | endswith("report.txt"))).before.size'
asks "after" 5 '.[] | select(.change == "modified" and (.path | endswith("report.txt"))).after.size'
expect_exit 1 "$yore" diff first latest "$source/never"
said 'neither'

# status
expect_exit 0 "$yore" status
said "$YORE_REPOSITORY"
said '^latest .*ago'
said 'key recovery --confirm'
expect_exit 0 "$yore" --json status
valid_json
asks "snapshots" 2 .snapshots
asks "latest" "$second" .latest.name
asks "warning" recovery-code-unconfirmed '.warnings[0]'
check

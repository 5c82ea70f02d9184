#!/bin/bash
# SPDX-License-Identifier: MIT
# What was forgotten gives its space back, many small packs become few, and every snapshot that
# remains equals the tree that it was taken of.
# Usage: prune-frees.sh YORE
. "$(dirname -- "$0")/lib.sh"
versions=$work/versions
mkdir "$versions" "$source/inner"
fresh_repo
for i in {1..40}; do head -c $((i * 400)) /dev/urandom >"$source/inner/f$i"; done
for i in {1..14}; do
	echo "version $i" >"$source/number"
	head -c 3000 /dev/urandom >"$source/inner/f$i"
	[ $((i % 4)) != 0 ] || head -c 2000000 /dev/urandom >"$source/large"
	cp -a "$source" "$versions/$i"
	snap "$source"
	number seq >"$versions/$i.seq"
	grep -Eo '"name": *"[^"]*"' "$out" | head -n 1 | grep -Eo '@[^"]*' >"$versions/$i.name"
done
before=$(repository_bytes)
packs=$(pack_count)

# Nothing is forgotten yet: nothing may be lost, but packs are merged.
expect_exit 0 "$yore" prune
said 'packs  '
at_most "packs after merging" $((packs / 2)) "$(pack_count)"
check --data

remaining="2 7 13 14"
for i in {1..14}; do
	case " $remaining " in
	*" $i "*) ;;
	*) expect_exit 0 "$yore" forget "$(cat "$versions/$i.name")" ;;
	esac
done
expect_exit 0 "$yore" prune --dry-run --json
dry=$(number packs_freed)
middle=$(repository_bytes)
equal "bytes after a dry run" "$middle" "$(repository_bytes)"
expect_exit 0 "$yore" prune --json
at_most "packs that a dry run names" "$(number packs_freed)" "$dry"
at_most "bytes now" $((before * 3 / 4)) "$(repository_bytes)"
check --data
for i in $remaining; do
	rm -rf "$work/to"
	expect_exit 0 "$yore" restore "$(cat "$versions/$i.name"):$source" --to "$work/to"
	diff -r "$versions/$i" "$work/to/source" || fail "version $i differs"
done

# It comes to rest, and what is stored again is found again.
expect_exit 0 "$yore" prune
expect_exit 0 "$yore" prune --json
equal "packs freed when there is nothing to do" 0 "$(number packs_freed)"
equal "packs rewritten when there is nothing to do" 0 "$(number packs_rewritten)"
snap "$source"
at_most "bytes of a snapshot of what is there" 60000 "$(number new_bytes)"
cp -a "$versions/3/." "$source/"
snap "$source"
check --data

# Index lost: it is built anew from what prune left.
rm -rf "$YORE_REPOSITORY/index"
check --data

# What it refuses.
expect_exit 2 "$yore" prune --max-rewrite much
expect_exit 2 "$yore" prune --sparse 101
expect_exit 2 "$yore" prune now
(
	exec 9>>"$YORE_REPOSITORY/local/collect"
	flock 9
	expect_exit 11 "$yore" prune
	said 'wait'
)

# A record that nobody forgot is missing: nothing is deleted, whoever else was forgotten.
record=$(find "$YORE_REPOSITORY/records" -name "*$(printf %016x "$(cat "$versions/7.seq")")-*")
mv "$record" "$work/record"
expect_exit 0 "$yore" forget "$(cat "$versions/2.name")"
bytes=$(repository_bytes)
expect_exit 20 "$yore" prune
said 'the record is missing'
equal "bytes with a record missing" "$bytes" "$(repository_bytes)"
mv "$work/record" "$record"
expect_exit 0 "$yore" prune
check --data

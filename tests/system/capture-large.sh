#!/bin/bash
# SPDX-License-Identifier: MIT
# A huge sparse file, generations of edits to a big one, and huge directories stay within bounds.
# Usage: capture-large.sh YORE (YORE_TEST_LONG=1: a directory of a million entries)
# Very many small files: in memory where that is possible.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname -- "$0")/lib.sh"
need perl
fresh_repo

seconds() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b - a }'
}

# 1 TB with 4 MiB of data in 16 places: its holes cost nothing.
if truncate -s 1000G "$source/huge" 2>/dev/null; then
	for i in {0..15}; do
		dd if=/dev/urandom of="$source/huge" bs=64K count=4 seek=$((i * 950000 + 17)) conv=notrunc status=none
	done
	start=$(now)
	snap "$source/huge"
	took=$(seconds "$start" "$(now)")
	echo "1 TB sparse file: $took s, $(number bytes_read) bytes read, $(number new_bytes) new"
	at_most "seconds for a sparse file" 20 "${took%.*}"
	at_most "bytes read of it" 16777216 "$(number bytes_read)"
	at_most "bytes stored of it" 6000000 "$(number new_bytes)"
	dd if=/dev/urandom of="$source/huge" bs=4K count=1 seek=123456789 conv=notrunc status=none
	start=$(now)
	snap
	took=$(seconds "$start" "$(now)")
	echo "again, with 4 KiB more: $took s, $(number bytes_read) bytes read, $(number new_bytes) new"
	at_most "bytes stored of a small edit" 600000 "$(number new_bytes)"
	start=$(now)
	expect_exit 0 "$yore" restore "latest:$source/huge" --to "$work/to"
	echo "restored in $(seconds "$start" "$(now)") s"
	same_trees "the sparse file" "$source/huge" "$work/to/huge"
	at_most "KiB that the restored one takes" 16384 "$(du -k "$work/to/huge" | cut -f 1)"
	rm -rf "$work/to" "$source/huge"
	expect_exit 0 "$yore" snapshot --accept "$source/huge"
fi

# Ten generations of edits to 2 % of a file's 4 KiB blocks, and some inserted bytes.
generations=$source/generations
mkdir "$generations"
file=$generations/image
head -c 134217728 /dev/urandom >"$file"
settle
snap "$generations"
first=$(number new_bytes)
edit='
	my ($name, $seed) = @ARGV;
	srand($seed);
	open(my $f, "+<", $name) or die;
	open(my $r, "<", "/dev/urandom") or die;
	my $blocks = int((-s $name) / 4096);
	my %done;
	while (keys %done < $blocks / 50) {
		my $b = int(rand($blocks));
		next if $done{$b}++;
		read($r, my $bytes, 4096);
		seek($f, $b * 4096, 0);
		print $f $bytes;
	}
	close($f);
	print 4096 * keys %done, "\n";
'
before=$(repository_bytes)
for generation in {1..10}; do
	changed=$(perl -e "$edit" "$file" "$generation")
	settle
	start=$(now)
	snap
	took=$(seconds "$start" "$(now)")
	after=$(repository_bytes)
	grown=$((after - before))
	before=$after
	echo "generation $generation: $changed bytes changed, grew $grown, $took s, $(number bytes_read) bytes read"
	at_most "growth of generation $generation" $((changed * 135 / 100 + 1048576)) "$grown"
	at_most "bytes read in generation $generation" 134217728 "$(number bytes_read)"
	cp --reflink=auto "$file" "$work/generation$generation"
	rm -f "$work/generation$((generation - 2))"
done
rm -rf "$work/to"
start=$(now)
expect_exit 0 "$yore" restore "latest:$file" --to "$work/to"
echo "first: $first bytes; the tenth restored in $(seconds "$start" "$(now)") s"
cmp "$file" "$work/to/image" || fail "the tenth generation differs"
seq=$("$yore" snapshots --names | tail -n 2 | head -n 1)
"$yore" cat "$seq:$file" | cmp - "$work/generation9" || fail "the ninth generation differs"

# A mebibyte inserted near the front moves everything behind it: only that is new.
{ head -c 10000000 "$file"; head -c 1048576 /dev/urandom; tail -c +10000001 "$file"; } >"$work/shifted"
cat "$work/shifted" >"$file" && rm "$work/shifted"
settle
snap
grown=$(($(repository_bytes) - before))
echo "1 MiB inserted: grew $grown"
at_most "growth by an insertion" 4194304 "$grown"
"$yore" cat "latest:$file" | cmp - "$file" || fail "contents after an insertion differ"
rm -rf "$work/to" "$work"/generation* "$generations"
expect_exit 0 "$yore" snapshot --accept "$generations"

# A huge directory.
entries=100000
[ -z "${YORE_TEST_LONG:-}" ] || entries=1000000
mkdir "$source/many"
perl -e 'my ($d, $n) = @ARGV; for my $i (1 .. $n) { open(my $f, ">", "$d/entry-$i") or die; print $f $i if $i % 10 == 0; }' \
	"$source/many" "$entries"
settle
start=$(now)
snap "$source/many"
echo "$entries entries: $(seconds "$start" "$(now)") s, $(number new_bytes) new"
equal "entries captured" "$entries" "$(number files)"
start=$(now)
snap
echo "again: $(seconds "$start" "$(now)") s"
equal "files read again" 0 "$(number files_read)"
echo changed >"$source/many/entry-77777"
before=$(repository_bytes)
snap
grown=$(($(repository_bytes) - before))
echo "one changed: grew $grown"
at_most "growth by one entry" 200000 "$grown"
equal "entries listed" "$entries" "$("$yore" ls "latest:$source/many" | wc -l)"
rm "$source/many/entry-55"
snap
equal "entries after one was deleted" $((entries - 1)) "$(number files)"
check

# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # set by who sources this
#
# Sourced by compare and parameters: three corpora from what any Debian 12
# machine has, made once below $corpora and kept.
#
#   tree/tree   about 73,000 small real files, none of 16 MiB or more
#   media/media 1 GiB that neither compresses nor repeats
#   vm/vm       1 GiB of programs and libraries in one image, disk.img
#   vm/next.img its successor: 2 % of the 4 KiB blocks rewritten, 1 MiB inserted
#
# $shrink is 1, or 16 for a quick run. $helpers holds corpus_bytes.

MIB=1048576

build_helpers() { # where to, and the helpers
	local to=$1 name
	shift
	mkdir -p "$to"
	for name; do
		[ "$to/$name" -nt "$here/$name.c" ] ||
			"${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 \
				-I "$here/../.." -o "$to/$name" "$here/$name.c"
	done
}

list_files() { # folder..., without their leading /
	local folder
	for folder; do
		[ ! -d "/$folder" ] || (cd / && find "$folder" -xdev -type f -size -32768 -print0)
	done 2>/dev/null | LC_ALL=C sort -zu
}

# A seeded choice of n of the files listed on standard input.
choose() { # n
	LC_ALL=C shuf -z -n "$1" --random-source=<("$helpers/corpus_bytes" noise $((64 * MIB)) 1) |
		LC_ALL=C sort -z
}

corpus_tree() { # where to
	local list=$1.list wanted=$((73000 / shrink)) links=$((4000 / shrink)) folder
	list_files usr/share usr/include usr/lib/python3 usr/lib/python3.11 usr/lib/gcc >"$list"
	# A smaller machine: everything below /usr.
	[ "$(tr -dc '\0' <"$list" | wc -c)" -ge 73000 ] || list_files usr >"$list"
	choose "$wanted" <"$list" >"$list.chosen"
	for folder in usr/share usr/lib; do
		(cd / && find "$folder" -xdev -type l -print0 2>/dev/null)
	done | LC_ALL=C sort -z | choose "$links" >>"$list.chosen"
	mkdir -p "$1"
	tar -C / --null --verbatim-files-from -T "$list.chosen" -cf - 2>/dev/null |
		tar -C "$1" -xpf -
	rm -f "$list" "$list.chosen"
}

corpus_media() { # where to
	local i
	mkdir -p "$1"
	for i in 1 2 3 4; do
		"$helpers/corpus_bytes" noise $((256 * MIB / shrink)) "$i" >"$1/clip$i.bin"
	done
}

corpus_vm() { # where to
	local list=$1.list
	mkdir -p "$1"
	(
		cd /
		find usr/bin usr/lib/*-linux-gnu usr/lib/gcc -type f 2>/dev/null | LC_ALL=C sort
		find usr/lib usr/share -type f 2>/dev/null | LC_ALL=C sort
	) | awk '!seen[$0]++' >"$list"
	# head ends the pipe when it has enough.
	(tar -C / --mtime=@0 --owner=0 --group=0 --numeric-owner --verbatim-files-from \
		-T "$list" -cf - 2>/dev/null || true) | head -c $((1024 * MIB / shrink)) \
		>"$1/disk.img"
	rm -f "$list"
	"$helpers/corpus_bytes" edit "$1/disk.img" "$1/../next.img" 2 2
}

make_corpora() {
	local name
	for name in tree media vm; do
		[ ! -d "$corpora/$name" ] || continue
		echo "making the corpus $name" >&2
		rm -rf "${corpora:?}/$name.new"
		mkdir -p "$corpora/$name.new"
		"corpus_$name" "$corpora/$name.new/$name"
		mv "$corpora/$name.new" "$corpora/$name"
	done
}

# A hundred files, spread evenly over the tree.
hundred_files() { # names of files of the tree, relative to it
	(
		cd "$corpora/tree/tree" || exit
		find . -type f -size +0 | LC_ALL=C sort >"$1.all"
		awk -v n="$(wc -l <"$1.all")" \
			'int(NR * 100 / n) > int((NR - 1) * 100 / n)' "$1.all" >"$1"
		rm -f "$1.all"
	)
}

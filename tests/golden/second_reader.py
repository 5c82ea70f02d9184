#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second reader of repositories, written from yore-format(5) alone.

    second_reader.py REPO MACHINE_KEY_FILE

Prints, for every record in order, one line per object: record, mode, owner,
size, mtime, what it is, path; for a regular file the SHA-256 of its bytes.
Slow and simple, in nothing but Python and the zstd program: it is here to
prove that the manual says enough.
"""
import hashlib
import hmac
import os
import stat
import struct
import subprocess
import sys

MASK = 0xffffffff


# ---- ciphers (RFC 8439, and XChaCha20's longer nonce) ----

def quarter(s, a, b, c, d):
    for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK
        v = s[z] ^ s[x]
        s[z] = ((v << n) | (v >> (32 - n))) & MASK


def rounds(state):
    s = list(state)
    for _ in range(10):
        for i in range(4):
            quarter(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def start(key, tail):
    return struct.unpack("<16I", b"expand 32-byte k" + key + tail)


def stream(key, nonce, n, counter):
    out = b""
    while len(out) < n:
        state = start(key, struct.pack("<I", counter) + nonce)
        words = ((a + b) & MASK for a, b in zip(rounds(state), state))
        out += struct.pack("<16I", *words)
        counter += 1
    return out[:n]


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    acc = 0
    for at in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((acc + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def open_aead(key, nonce, ad, sealed):
    text, tag = sealed[:-16], sealed[-16:]
    padded = b"".join(x + bytes(-len(x) % 16) for x in (ad, text))
    padded += struct.pack("<QQ", len(ad), len(text))
    assert hmac.compare_digest(poly1305(stream(key, nonce, 32, 0), padded), tag), "wrong tag"
    n = int.from_bytes(text, "little") ^ int.from_bytes(stream(key, nonce, len(text), 1), "little")
    return n.to_bytes(len(text), "little")


def unwrap(key, ad, wrapped):
    s = rounds(start(key, wrapped[:16]))
    subkey = struct.pack("<8I", *(s[:4] + s[12:]))
    return open_aead(subkey, bytes(4) + wrapped[16:24], ad, wrapped[24:])


def unseal(key, n, ad, sealed):
    return open_aead(key, bytes(4) + struct.pack("<Q", n), ad, sealed)


def B(data, key=b""):
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def derive(key, context, n):
    return hashlib.blake2b(digest_size=32, key=key, salt=struct.pack("<Q", n) + bytes(8),
                           person=context + bytes(8)).digest()


def unpack(codec, stored, raw_n):
    if codec == 1:
        stored = subprocess.run(["zstd", "-dqc"], input=stored, stdout=subprocess.PIPE,
                                check=True).stdout
    assert len(stored) == raw_n, "wrong length"
    return stored


class Reader:
    """Numbers out of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), "too short"
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "little")

    def varint(self):
        v = shift = 0
        while True:
            byte = self.number(1)
            v |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return v

    def zigzag(self):
        v = self.varint()
        return v >> 1 ^ -(v & 1)

    def blob(self):
        return self.take(self.varint())

    def end(self):
        assert self.at == len(self.data), "bytes left over"


class Repository:
    def __init__(self, path, machine_key):
        self.path = path
        self.config = self.read("config")
        self.check_config()
        binding = B(b"yore config binding v1\n\0" + self.config)
        self.keys = None
        for name in os.listdir(path + "/keys"):
            self.keys = self.keys or self.open_slot(self.read("keys/" + name), binding, machine_key)
        assert self.keys, "no slot fits"
        self.objects = {}
        for host in os.listdir(path + "/packs"):
            for xx in os.listdir(f"{path}/packs/{host}"):
                for pack in os.listdir(f"{path}/packs/{host}/{xx}"):
                    self.read_pack(bytes.fromhex(host), pack,
                                   self.read(f"packs/{host}/{xx}/{pack}"))

    def read(self, name):
        with open(self.path + "/" + name, "rb") as f:
            return f.read()

    def check_config(self):
        c = self.config
        assert c[:16] == b"yore repository\n" and len(c) == 128 and B(c[:96]) == c[96:]
        assert c[16:20] == bytes([1, 0, 0, 0]) and c[37] == 1
        self.id, self.hash = c[20:36], c[36]

    def H(self, p, data):
        if self.hash == 1:
            return hmac.new(self.keys[p], data, "sha256").digest()
        return B(data, self.keys[p])

    @staticmethod
    def open_slot(slot, binding, machine_key):
        assert len(slot) == 297 and slot[:9] == b"yore-key\1" and B(slot[:265]) == slot[265:]
        kek = B(b"yore-kek" + slot[9:10] + slot[24:40], machine_key)
        if slot[9] != 3 or derive(kek, b"yorecmit", 1) != slot[40:72]:
            return None
        keys = unwrap(derive(kek, b"yorewrap", 1), slot[:72] + binding, slot[72:152])
        assert keys[:4] == bytes([1, 0, 0, 0]) and keys[4:8] == slot[12:16]
        working = {p: derive(keys[8:], b"yorekeys", p) for p in range(1, 10)}
        unwrap(working[9], slot[:152] + binding, slot[152:265])
        return working

    def read_pack(self, host, name, data):
        assert hashlib.sha256(data).hexdigest() == name
        assert data[:10] == b"yorepack\1\1" and data[16:48] == self.id + host
        assert data[-8:] == b"yorepend" and data[-144:-16] == data[:128]
        key = unwrap(self.keys[5], data[:48], data[48:120])
        table_n, n = struct.unpack("<II", data[-16:-8])
        table_at = len(data) - 144 - table_n
        ad = b"yore pack table\n" + self.id + host + struct.pack("<IIII", 1, data[10], table_n, n)
        table = Reader(unseal(key, table_at, ad, data[table_at:table_at + table_n]))
        ids = [table.take(32) for _ in range(n)]
        stored = [table.number(4) for _ in range(n)]
        raw = [table.number(4) for _ in range(n)]
        types = [table.number(1) for _ in range(n)]
        codecs = [table.number(1) for _ in range(n)]
        table.end()
        at = 128
        for line in zip(ids, types, codecs, raw, stored):
            self.read_object(host, key, data, at, line)
            at += 64 + line[4] + 16
        assert at == table_at

    def read_object(self, host, key, data, at, line):
        oid, kind, codec, raw_n, stored_n = line
        tail = self.id + host + struct.pack("<I", 1)
        head = unseal(key, at, b"yore object head" + tail + bytes(4), data[at:at + 64])
        sizes = struct.pack("<BBHII", kind, codec, 0, raw_n, stored_n)
        assert head == oid + sizes + bytes(4)
        body = data[at + 64:at + 64 + stored_n + 16]
        body = unseal(key, at + 64, b"yore object body" + tail + sizes + oid, body)
        plain = unpack(codec, body, raw_n)
        assert self.H(kind, plain) == oid, "an id that is not the hash"
        self.objects[kind, oid] = plain

    # ---- contents ----

    def piece(self, r, chunks):
        """(id, length, extents) of the piece at r; a hole has no extents."""
        head = r.varint()
        if head == 0:
            return bytes(32), r.varint(), []
        form, length, pid = head & 3, head >> 2, r.take(32)
        if form == 1:
            return pid, length, [(pid, 0, length)]
        extents, left = [], length
        n = r.varint() if form == 3 else 1
        for i in range(n):
            chunk, offset = chunks[r.varint()], r.varint()
            part = r.varint() if i + 1 < n else left
            extents.append((chunk, offset, part))
            left -= part
        assert left == 0 and form in (2, 3)
        return pid, length, extents

    @staticmethod
    def node(data):
        """Level, chunk table, totals and items of a node's frame."""
        r = Reader(data)
        assert r.number(1) == 1
        level, count, n_chunks = r.number(1), r.number(2), r.number(2)
        return r, level, count, [r.take(32) for _ in range(n_chunks)]

    @staticmethod
    def items(r, count):
        rest = r.take(len(r.data) - r.at)
        body, offsets = rest[:-2 * count], struct.unpack(f"<{count}H", rest[-2 * count:])
        ends = offsets[1:] + (len(body),)
        return [Reader(body[a:b]) for a, b in zip(offsets, ends)]

    def list_pieces(self, oid, want_level=None):
        r, level, count, chunks = self.node(self.objects[3, oid])
        assert want_level in (None, level)
        if level == 0:
            for item in self.items(r, count):
                yield self.piece(item, chunks)
                item.end()
            return
        r.take(24)
        for _ in range(count):
            child = r.take(32)
            r.take(24)
            yield from self.list_pieces(child, level - 1)
        r.end()

    def content(self, r, chunks):
        """Content id and pieces."""
        n = r.varint()
        if n == 17:
            cid, root, length = r.take(32), r.take(32), r.varint()
            pieces = list(self.list_pieces(root))
            assert sum(p[1] for p in pieces) == length
        else:
            pieces = [self.piece(r, chunks) for _ in range(n)]
            single = n == 1 and pieces[0][2]
            cid = bytes(32) if n == 0 else pieces[0][0] if single else r.take(32)
        if len(pieces) > 1 or (pieces and not pieces[0][2]):
            acc = bytes(32)
            for pid, length, _ in pieces:
                acc = self.H(3, acc + pid + struct.pack("<Q", length))
            assert acc == cid, "a content id that is not the hash"
        return cid, pieces

    def describe(self, pieces):
        """Size and a hash of everything but holes, whose lengths are hashed instead."""
        size, digest = 0, hashlib.sha256()
        for pid, length, extents in pieces:
            data = b"".join(self.objects[1, c][o:o + n] for c, o, n in extents)
            if extents:
                assert self.H(1, data) == pid, "a piece whose id is not the hash"
            size += length
            digest.update(data if extents else b"hole %d" % length)
        return size, digest.hexdigest()

    # ---- trees ----

    def entry(self, r, chunks):
        e = {"name": r.take(r.number(1)), "mode": r.number(2)}
        fields, e["ino"] = r.number(2), r.varint()
        e["mtime"] = (r.zigzag(), r.number(4))
        for bit in (5, 6):
            if fields >> bit & 1:
                r.zigzag()
                if fields >> 7 & 1:
                    r.number(4)
        e["uid"] = r.varint() if fields & 1 else 0
        e["gid"] = r.varint() if fields & 2 else e["uid"]
        e["nlink"] = r.varint() if fields & 4 else 1
        if fields & 8:
            r.varint()
        size = r.varint() if fields & 16 else None
        flags = 0
        if fields >> 9 & 1:
            flags = r.varint()
            r.varint(), r.varint()
        e["xattrs"] = r.blob() if fields >> 8 & 1 else b""
        if flags & 4:
            e["xattrs"] = self.objects[1, e["xattrs"]]
        kind = stat.S_IFMT(e["mode"])
        e["what"] = "-"
        if kind == stat.S_IFREG:
            size, e["what"] = self.describe(self.content(r, chunks)[1])
        elif kind == stat.S_IFLNK:
            e["what"] = repr(r.blob())
            size = len(e["what"]) - 3 if size is None else size
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            e["what"] = f"{r.varint()}:{r.varint()}"
        e["tree"] = r.take(32) if fields >> 10 & 1 else bytes(32)
        e["size"] = size or 0
        r.end()
        return e

    def directory(self, oid, want_level=None):
        if oid == bytes(32):
            return
        r, level, count, chunks = self.node(self.objects[2, oid])
        assert want_level in (None, level)
        if level:
            r.number(8)
        for item in self.items(r, count):
            if level == 0:
                yield self.entry(item, chunks)
                continue
            item.take(item.number(1))
            yield from self.directory(item.take(32), level - 1)

    def walk(self, e, path):
        print(f"{e['mode']:o} {e['uid']}:{e['gid']} {e['nlink']} {e['size']} "
              f"{e['mtime'][0]}.{e['mtime'][1]:09} {e['what']} {e['xattrs'].hex()} {path!r}")
        last = b""
        for child in self.directory(e["tree"]):
            assert child["name"] > last, "names out of order"
            last = child["name"]
            self.walk(child, path + b"/" + last)

    # ---- records ----

    def record(self, host, name):
        data = self.read(f"records/{host}/{name}")
        assert hashlib.sha256(data).hexdigest() == name[17:]
        seq = struct.pack("<Q", int(name[:16], 16))
        assert data[:53] == b"yorerecd\1" + bytes([1, 0, 0, 0]) + self.id + bytes.fromhex(host) + seq
        part = unwrap(self.keys[6], data[:53], data[53:])
        return Reader(unpack(part[4], part[5:], int.from_bytes(part[:4], "little")))

    def show(self, host, name):
        r = self.record(host, name)
        kind, previous, moment = r.number(1), r.take(32), r.zigzag()
        r.zigzag(), r.varint(), r.blob(), r.blob()
        tags = [r.blob().decode() for _ in range(r.varint())]
        for _ in range(r.varint()):
            r.varint(), r.take(16)
        sources = []
        for _ in range(r.varint()):
            sources.append(r.blob())
            r.blob(), r.varint(), r.number(1), r.zigzag(), r.zigzag(), r.varint(), r.number(1)
            for _ in range(5):
                r.varint()
        root = Reader(r.blob())
        for _ in range(r.varint()):
            r.take(32), r.varint(), r.number(1)
        for _ in range(6):
            r.varint()
        for _ in range(r.varint()):
            r.varint(), r.varint()
        r.end()
        print(f"record {name[:16]} kind {kind} moment {moment} tags {tags} sources {sources}")
        assert root.number(1) == 1
        chunks = [root.take(32) for _ in range(root.varint())]
        self.walk(self.entry(root, chunks), b"")
        return previous


def main():
    with open(sys.argv[2]) as f:
        repository = Repository(sys.argv[1], bytes.fromhex(f.read().strip()))
    for host in sorted(os.listdir(sys.argv[1] + "/records")):
        last = bytes(32)
        for name in sorted(os.listdir(f"{sys.argv[1]}/records/{host}")):
            assert repository.show(host, name) == last, "the chain of records is broken"
            last = bytes.fromhex(name[17:])


main()

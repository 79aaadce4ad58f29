#!/usr/bin/env python3
"""Writes catalogs.txt: trees whose catalogs are right, and many that lie (docs/TREE.md). Shares no code with the crate.

usage: catalogs.py > catalogs.txt
"""
import copy
import struct


def cbor_head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for extra, (width, code) in enumerate([(1, ">B"), (2, ">H"), (4, ">I"), (8, ">Q")]):
        if value < 1 << (8 * width):
            return bytes([major << 5 | (24 + extra)]) + struct.pack(code, value)
    raise ValueError(value)


def cbor(value):
    if isinstance(value, Raw):
        return value.bytes
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value)) + value.encode()
    if isinstance(value, int):
        return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)
    return cbor_head(4, len(value)) + b"".join(map(cbor, value))


class Raw:
    def __init__(self, data):
        self.bytes = data


def octal(value, width):
    return b"%0*o\0" % (width - 1, value)


def block(name, typeflag, size, mode=0o644, link=b"", mtime=0, uid=0):
    head = name.ljust(100, b"\0") + octal(mode, 8) + octal(uid, 8) + octal(0, 8) + octal(size, 12) + octal(mtime, 12)
    tail = typeflag + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + octal(0, 8) + octal(0, 8) + bytes(167)
    total = sum(head) + 8 * 32 + sum(tail)
    return head + b"%06o\0 " % total + tail


class Member:
    """A member, and the entry of it: a list that a lie changes."""

    def __init__(self, path, kind=b"0", data=b"", link=b"", mode=0o644):
        name = path + b"/" if kind == b"5" else path
        self.header = block(name, kind, len(data), mode, link)
        self.data = data
        self.entry = [path, kind[0], 512, len(data), mode, 0, 0, 0, 0, 0]
        if kind in (b"1", b"2"):
            self.entry.append(link)

    def bytes(self):
        return self.header + self.data + bytes(-len(self.data) % 512)


class Tree:
    """A tree whose every number can be another than it should be."""

    def __init__(self, members, page_len=4096):
        self.members = members
        self.archive = b"".join(m.bytes() for m in members) + bytes(1024)
        self.pages = [[m.entry for m in members[at : at + page_len]] for at in range(0, len(members), page_len)]
        key = lambda n: b"" if members[n].entry[0] == b"." else members[n].entry[0].replace(b"/", b"\0")
        self.index = sorted(range(len(members)), key=key)
        self.tail = {}
        self.record = {}
        self.page_bytes = {}

    def plaintext(self):
        out = self.archive
        tar_len = len(out)
        records, entry, header, data = [], 0, 0, 0
        for number, page in enumerate(self.pages):
            records.append([len(out), entry, header, data])
            out += self.page_bytes.get(number, cbor(page))
            for it in page:
                entry += 1
                size = it[3] if isinstance(it[3], int) else 0
                header += it[2] + size + -size % 512
                data += size
        index_at = len(out)
        out += b"".join(struct.pack("<I", number) for number in self.index)
        directory_at = len(out)
        for (number, column), value in self.record.items():
            records[number][column] = value
        out += b"".join(struct.pack("<QQQQ", *record) for record in records)
        tail = dict(magic=b"CFDTREE\0", version=1, flags=0, pages=len(self.pages), tar_len=tar_len,
                    entries=sum(map(len, self.pages)), index=index_at, directory=directory_at, len=len(out) + 64, zeros=0)
        tail.update(self.tail)
        return out + struct.pack("<8sHHIQQQQQQ", *tail.values())


def members():
    return [Member(b".", b"5", mode=0o755), Member(b"a", data=b"x" * 700), Member(b"d", b"5", mode=0o755),
            Member(b"d/e", data=b"y"), Member(b"d-f"), Member(b"l", b"2", link=b"../out"), Member(b"m", b"1", link=b"d/e")]


VECTORS = []


def vector(name, expect, about, tree):
    data = tree if isinstance(tree, bytes) else tree.plaintext()
    VECTORS.append((name, expect, about, data))


def lie(name, about, change, expect="catalog", page_len=4096, of=members):
    tree = Tree(of(), page_len)
    replaced = change(tree)
    vector(name, expect, about, replaced if isinstance(replaced, bytes) else tree)


def entry(number, column, value):
    def change(tree):
        tree.pages[0][number][column] = value
    return change


def tail(**values):
    return lambda tree: tree.tail.update(values)


def record(number, column, value):
    return lambda tree: tree.record.update({(number, column): value})


def added(*more):
    return lambda: members() + list(more)


def index(*numbers):
    def change(tree):
        tree.index = list(numbers)
    return change


def raw_page(make):
    def change(tree):
        tree.page_bytes[0] = make(tree.pages[0])
    return change


# Right.
lie("good", "a tree of every common kind", lambda tree: None, "ok")
lie("good-two-a-page", "the same in pages of two entries", lambda tree: None, "ok", 2)
lie("good-empty", "a tree without members", lambda tree: None, "ok", of=lambda: [])
lie("good-other-order", "members in another order than their paths'", lambda tree: None, "ok",
    of=lambda: [Member(b"b"), Member(b"a/c"), Member(b"a", b"5", mode=0o755), Member(b"a/b")])
lie("good-no-parents", "directories that are no members", lambda tree: None, "ok", of=lambda: [Member(b"x/y/z")])
lie("good-changed", "a file that changed while it was read", entry(1, 9, 1), "ok")
lie("good-gone", "a file that was gone when it was read", entry(1, 9, 3), "ok")
lie("good-long-end", "an archive that ends with many zeros",
    lambda tree: setattr(tree, "archive", tree.archive + bytes(9216)), "ok")
vector("good-no-catalog", "plain-file", "an archive that left the profile",
       b"any bytes" + struct.pack("<8sHHIQQQQQQ", b"CFDTREE\0", 1, 1, 0, 9, 0, 9, 9, 73, 0))

# Tails.
vector("short", "catalog", "63 bytes", bytes(63))
lie("tail-magic", "another magic (T5.1)", tail(magic=b"CFDTREE1"))
lie("tail-version", "version 2 (T5.3)", tail(version=2))
lie("tail-flags", "an unknown flag (T5.1)", tail(flags=2))
lie("tail-zeros", "bytes where zeros belong (T5.1)", tail(zeros=1))
lie("tail-flag-with-entries", "no catalog, and entries (T5.4)", tail(flags=1))
lie("tail-len", "another length (T5.1)", tail(len=5000))
lie("tail-entries-more", "an entry more than there is (T5.2)", tail(entries=8))
lie("tail-entries-fewer", "an entry less (T5.2)", tail(entries=6))
lie("tail-entries-beyond", "more entries than there may be (T3.1)", tail(entries=2**62))
lie("tail-pages-more", "a page more than there is (T5.2)", tail(pages=2))
lie("tail-pages-none", "entries without pages (T5.2)", tail(pages=0))
lie("tail-pages-beyond", "more pages than there may be (T3.1)", tail(pages=2**32 - 1))
lie("tail-tar-len-more", "an archive that reaches into the pages (T5.2)", tail(tar_len=5632))
lie("tail-tar-len-less", "an archive that ends earlier (T4.3)", tail(tar_len=512))
lie("tail-tar-len-huge", "an archive beyond all numbers (T5.2)", tail(tar_len=2**64 - 1))
lie("tail-index", "the name index elsewhere (T5.2)", tail(index=5121))
lie("tail-directory", "the page directory elsewhere (T5.2)", tail(directory=0))
lie("cut", "the last byte missing", lambda tree: tree.plaintext()[:-1])
lie("added", "a byte behind the tail", lambda tree: tree.plaintext() + b"\0")

# Page directory.
lie("record-first-at", "the first page elsewhere (T4.3)", record(0, 0, 5000))
lie("record-first-entry", "a first entry of 1 (T4.3)", record(0, 1, 1))
lie("record-first-header", "a first header at 512: a gap at the beginning (T4.3)", record(0, 2, 512))
lie("record-first-data", "data before the first entry (T4.3)", record(0, 3, 1))
lie("record-page-gap", "a page that begins later (T4.3)", record(1, 0, 5200), page_len=2)
lie("record-page-back", "a page before the one before it (T4.3)", record(2, 0, 5120), page_len=2)
lie("record-page-beyond", "a page behind all bytes (T4.3)", record(1, 0, 2**63), page_len=2)
lie("record-entry", "another first entry (T4.3)", record(1, 1, 3), page_len=2)
lie("record-entry-same", "a page of no entries (T3.1)", record(1, 1, 0), page_len=2)
lie("record-header-gap", "a gap between two pages' members (T3.4)", record(1, 2, 2560), page_len=2)
lie("record-header-overlap", "two pages' members overlap (T3.4)", record(1, 2, 1536), page_len=2)
lie("record-header-beyond", "a header behind the archive (T3.4)", record(1, 2, 2**63), page_len=2)
lie("record-data", "other bytes of data before a page (T4.3)", record(1, 3, 699), page_len=2)

# Entries.
lie("entry-size-less", "a file smaller than it is: the next header is not where it should be (T6.3)", entry(1, 3, 100), "header")
lie("entry-size-in-padding", "a file smaller than it is, in the same room (T6.3)", entry(1, 3, 699), "header")
lie("entry-size-more", "a file that reaches over the next ones, and the last over the end (T3.4)", entry(1, 3, 5000))
lie("entry-size-beyond", "a size beyond all numbers (T3.2)", entry(1, 3, 2**64 - 1))
lie("entry-size-sum", "sizes whose sum is beyond all numbers (T3.4)", lambda tree: [entry(1, 3, 2**63 - 1)(tree),
    entry(3, 3, 2**63 - 1)(tree), entry(4, 3, 2**63 - 1)(tree)] and None)
lie("entry-directory-size", "a directory with bytes (T3.2)", entry(2, 3, 1))
lie("entry-header-0", "a header of no bytes (T3.2)", entry(1, 2, 0))
lie("entry-header-odd", "a header of 513 bytes (T3.2)", entry(1, 2, 513))
lie("entry-header-1024", "a header of 1,024 bytes (T3.2)", entry(1, 2, 1024))
lie("entry-header-long", "a header longer than may be (T3.2)", entry(1, 2, 1050112))
lie("entry-header-1536", "a header that takes the data's room (T6.3)", lambda tree: [entry(1, 2, 1536)(tree),
    entry(1, 3, 0)(tree)] and None, "header")
lie("entry-type", "a type that is none (T3.2)", entry(1, 1, 55))
lie("entry-type-other", "a FIFO that its header calls a file (T6.3)", entry(4, 1, 54), "header")
lie("entry-mode", "a mode beyond 07777 (T3.2)", entry(1, 4, 0o10000))
lie("entry-mode-other", "another mode than the header's (T6.3)", entry(1, 4, 0o4755), "header")
lie("entry-owner", "an owner that means none (T3.2)", entry(1, 5, 2**32 - 1))
lie("entry-owner-other", "another owner than the header's (T6.3)", entry(1, 5, 1000), "header")
lie("entry-seconds-other", "another time than the header's (T6.3)", entry(1, 7, -1), "header")
lie("entry-nanos", "a second of nanoseconds (T3.2)", entry(1, 8, 10**9))
lie("entry-flags", "an unknown flag (T4.6)", entry(1, 9, 4))
lie("entry-flags-gone", "a file that was gone and has not changed (T4.6)", entry(1, 9, 2))
lie("entry-flags-directory", "a directory that changed while it was read (T4.6)", entry(2, 9, 1))
lie("entry-link-out", "a hard link out of the tree (T2.2)", entry(6, 10, b"../e"))
lie("entry-link-none", "a hard link to what is not there (T2.2)", entry(6, 10, b"e"), "name")
lie("entry-link-directory", "a hard link to a directory (T2.2)", entry(6, 10, b"d"), "name")
lie("entry-link-itself", "a hard link to itself (T2.2)", entry(6, 10, b"m"), "name")
lie("entry-link-later", "a hard link to a later member (T2.2)", lambda tree: None, "name",
    of=lambda: [Member(b"a", b"1", link=b"b"), Member(b"b")])
lie("entry-link-link", "a hard link to a hard link (T2.2)", lambda tree: None, "name",
    of=added(Member(b"n", b"1", link=b"m")))
lie("entry-link-other", "another target than the header's (T6.3)", entry(5, 10, b"in"), "header")
lie("entry-symlink-empty", "a symbolic link to nothing (T3.2)", entry(5, 10, b""))
lie("entry-symlink-nul", "a symbolic link with a NUL (T3.2)", entry(5, 10, b"a\0b"))
lie("entry-link-of-file", "a file with a link (T3.2)", lambda tree: tree.pages[0][1].append(b"x"))
lie("entry-no-link", "a symbolic link without one (T3.2)", lambda tree: tree.pages[0][5].pop())
lie("entry-short", "an entry of nine elements (T3.2)", lambda tree: tree.pages[0][1].pop())

# Paths.
for at, path in enumerate([b"/etc/passwd", b"../a", b"d/../../a", b"", b"d//a", b"./a", b"a/", b"a\0b", b"n" * 256, b"d/" * 2047 + b"ab"]):
    lie(f"path-{at}", "a path that is none (T2.1)", entry(1, 0, path))
lie("path-root-file", "a root that is a file (T1.9)", lambda tree: None, of=lambda: [Member(b".")])
lie("path-other", "another path than the header's (T6.3)", entry(1, 0, b"b"), "header")
lie("path-twice", "a path twice (T2.2)", lambda tree: None, "name", of=added(Member(b"m")))
lie("path-twice-apart", "a path twice, far apart (T2.2)", lambda tree: None, "name", of=added(Member(b"a")))
lie("path-below-file", "a member below a file (T2.2)", lambda tree: None, "name", of=added(Member(b"a/b")))
lie("path-below-symlink", "a member below a symbolic link (T2.2)", lambda tree: None, "name", of=added(Member(b"l/passwd")))
lie("path-below-file-deep", "a member deep below a file (T2.2)", lambda tree: None, "name", of=added(Member(b"a/b/c/d")))
lie("path-order", "a name index in the order of bytes, not of paths (T2.3)", index(0, 1, 2, 4, 3, 5, 6))

# Name index.
lie("index-twice", "a number twice (T4.1)", index(0, 1, 2, 3, 4, 5, 5), "name")
lie("index-beyond", "a number of no entry (T4.1)", index(0, 1, 2, 3, 4, 5, 7))
lie("index-unsorted", "numbers in no order (T4.1)", index(6, 5, 4, 3, 2, 1, 0))
lie("index-other-order", "members in another order, numbers not (T4.1)", index(0, 1),
    of=lambda: [Member(b"b"), Member(b"a")])

# CBOR.
lie("cbor-empty", "a page of no entries (T3.1)", raw_page(lambda page: b"\x80"))
lie("cbor-no-array", "a page that is a number", raw_page(lambda page: b"\x07"))
lie("cbor-map", "a page that is a map", raw_page(lambda page: b"\xa1\x00\x00"))
lie("cbor-trailing", "a byte behind the entries (T3.3)", raw_page(lambda page: cbor(page) + b"\0"))
lie("cbor-cut", "a page that is cut off", raw_page(lambda page: cbor(page)[:-1]))
lie("cbor-indefinite", "an array of no definite length (T3.3)", raw_page(lambda page: b"\x9f" + cbor(page)[1:] + b"\xff"))
lie("cbor-long-number", "a number longer than it need be (T3.3)", entry(1, 5, Raw(b"\x18\x00")))
lie("cbor-text-path", "a path that is a text (T3.2)", entry(1, 0, "a"))
lie("cbor-tag", "a path with a tag", entry(1, 0, Raw(b"\xc0\x41a")))
lie("cbor-negative-size", "a size below 0", entry(1, 3, Raw(b"\x20")))
lie("cbor-huge-array", "an array of 2^64 - 1 entries", raw_page(lambda page: b"\x9b" + b"\xff" * 8))
lie("cbor-huge-bytes", "a path of 2^63 bytes", entry(1, 0, Raw(b"\x5b\x80" + bytes(7))))
lie("cbor-deep", "arrays within arrays", raw_page(lambda page: b"\x81" * 10000))
lie("cbor-null", "an owner that is null", entry(1, 5, Raw(b"\xf6")))
lie("cbor-float", "seconds that are a float", entry(1, 7, Raw(b"\xf9\x00\x00")))

# Archives.
def changed_archive(at, data):
    def change(tree):
        tree.archive = tree.archive[:at] + data + tree.archive[at + len(data):]
    return change

lie("archive-end", "bytes in the archive's end (T3.4)", changed_archive(5119, b"x"), "header")
lie("archive-checksum", "a header with a wrong checksum (T1.5)", changed_archive(512, b"b"), "header")
lie("archive-short-end", "an archive with one block of zeros (T3.4)",
    lambda tree: setattr(tree, "archive", tree.archive[:-512]))


def text(data):
    """Lines of hexadecimal digits, and of counts of zeros."""
    out, at = [], 0
    while at < len(data):
        zeros = len(data) - at - len(data[at:].lstrip(b"\0"))
        if zeros >= 16:
            out.append(f"zeros {zeros}")
            at += zeros
            continue
        end = data.find(bytes(16), at)
        end = min(at + 60, end if end > at else len(data))
        same = len(data) - at - len(data[at:].lstrip(data[at : at + 1]))
        if same >= 64:
            out.append(f"byte {data[at]:02x} {same}")
            at += same
            continue
        out.append(data[at:end].hex())
        at = end
    return "\n".join(out)


print("# Made by catalogs.py. README.md says how to read it.")
for name, expect, about, data in VECTORS:
    print(f"\nname: {name}\nexpect: {expect}\nabout: {about}\nlen: {len(data)}\n{text(data)}")

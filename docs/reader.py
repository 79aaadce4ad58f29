#!/usr/bin/env python3
"""A reader of Cofferdam streams, written from FORMAT.md alone, in another language than the engine.

    pip install cryptography blake3 zstandard
    python3 docs/reader.py docs/vectors                 # what it says of every vector, beside what it is to say
    python3 docs/reader.py --key HEX sealed.cfd > out   # of one stream, under a caller's key of a kind-2 slot

It holds a stream in memory and is in no hurry. Clauses of FORMAT stand where they are kept. It shows that the format can be read without the
code of this repository; to restore something, use the program. What it prints of a sealed directory is an archive and a catalog: see TREE.md.
"""

import base64
import hashlib
import hmac
import re
import struct
import sys
from pathlib import Path

import blake3
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DATA, DIGEST, TERMINATOR, TABLE = 1, 2, 3, 4
PAGE_ENTRIES = 4096
MAGIC = b"\x89CFD\r\n\x1a\n"


class Fault(Exception):
    """A class of FORMAT section 14, and why."""

    def __init__(self, verdict, why):
        super().__init__(f"{verdict}: {why}")
        self.verdict = verdict


def want(condition, why, verdict="damaged"):
    if not condition:
        raise Fault(verdict, why)


# Primitives (sections 1 and 10).


def label(name):
    return b"cofferdam/v1/" + name.encode() + b"\0"


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def extract(salt, key):
    return hmac256(salt, key)


def expand(prk, info, length):
    out = block = b""
    while len(out) < length:
        block = hmac256(prk, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def opened(cipher, nonce, text, aad=b""):
    """The plaintext, or None."""
    try:
        return cipher.decrypt(nonce, text, aad)
    except InvalidTag:
        return None


class Bytes:
    """The sealed stream from some offset on."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def need(self, count, what):
        """Refuses, as F14.1 wants it, what is not complete; passes over nothing."""
        want(len(self.data) - self.at >= count, f"the input ends in {what} at {self.at}", "truncated")
        return self.data[self.at : self.at + count]

    def take(self, count, what):
        found = self.need(count, what)
        self.at += count
        return found


class Preamble:
    """Section 4."""

    def __init__(self, data):
        head = data[:8]
        want(MAGIC.startswith(head), "another magic", "not a stream")
        want(len(data) >= 4096, "less than a preamble", "truncated")
        (version, self.suite, self.digest, self.flags, self.frame_len, self.frames_max, reserved) = struct.unpack(
            "<HBBIIIQ", data[8:32]
        )
        self.l, reserved_too = struct.unpack("<I12s", data[112:128])
        self.pre = data[:128]
        self.compressed = bool(self.flags & 1)
        want(version == 1, "version", "unsupported")
        want(self.suite in (1, 2), "suite", "unsupported")
        want(self.digest in (1, 2, 3), "digest", "unsupported")
        want(self.flags & ~1 == 0, "flags", "unsupported")
        want(4096 <= self.frame_len <= 4 << 20, "frame_len", "limit")
        want(self.frame_len % 4096 == 0, "frame_len")
        want(self.frames_max > 0, "frames_per_segment")
        want(self.frame_len * self.frames_max <= 1 << 30, "segment length", "limit")
        want(self.l > 0 and self.l % 4096 == 0, "L")
        want(self.l <= 256 << 10, "L", "limit")
        want(reserved == 0 and not any(reserved_too) and not any(data[128:4096]), "reserved bytes")
        self.origin = 4096 + 2 * self.l

    def hash(self, data):
        return blake3.blake3(data).digest() if self.digest == 1 else sha256(data)

    def aead(self, key):
        return AESGCM(key) if self.suite == 1 else ChaCha20Poly1305(key)


class Keys:
    """What F10.1 derives from the stream key."""

    def __init__(self, preamble, stream_key):
        prk = extract(preamble.pre[48:80], stream_key)
        derive = lambda name: expand(prk, label(name) + preamble.pre[:48], 32)
        self.stream, self.commitment, self.keys = derive("stream"), derive("commit"), derive("keys")
        self.index, self.plain = derive("index"), derive("plain")


# The key area (section 5).


class KeyCopy:
    def __init__(self, preamble, data):
        self.preamble, self.data = preamble, data
        magic, self.generation, slots_len, self.slot_count, reserved = struct.unpack("<8sQIH10s", data[:32])
        self.is_older = magic == b"CFDKEYS\0"
        # F5.1.
        self.usable = magic == b"CFDKEY1\0" and slots_len <= preamble.l - 96 and not any(reserved)
        if self.usable:
            self.used, self.mac = data[: 32 + slots_len], data[-64:-32]
            self.usable = not any(data[32 + slots_len : -64]) and sha256(self.used + self.mac) == data[-32:]

    def slots(self):
        """F5.2: all of them, well formed, or a fault."""
        want(self.slot_count <= 16, "slot_count", "limit")
        slots, rest = [], self.used[32:]
        for _ in range(self.slot_count):
            want(len(rest) >= 8, "a slot beyond slots_len")
            kind, reserved, length = struct.unpack("<HHI", rest[:8])
            want(len(rest) - 8 >= length, "a slot beyond slots_len")
            want(reserved == 0, "reserved bytes of a slot")
            slots.append((kind, rest[8 : 8 + length]))
            rest = rest[8 + length :]
        want(not rest, "bytes after the last slot")
        return [SLOTS.get(kind, UnknownSlot)(self.preamble, body) for kind, body in slots]

    def has_right_mac(self, keys):
        want_mac = hmac256(keys.keys, label("keys-mac") + self.preamble.pre + self.used)
        return hmac.compare_digest(want_mac, self.mac)

    def open(self, secrets):
        """F5.13: the keys that the commitment is of."""
        slots = self.slots()
        steps = sum(1 << slot.factor for slot in slots if slot.factor and slot.factor <= 20)
        fault, has_opened = None, False
        for slot in slots:
            for secret in secrets:
                try:
                    stream_key = slot.open(secret, too_many_steps=steps > 1 << 22)
                except Fault as found:
                    fault = fault or found
                    continue
                if stream_key is None:
                    continue
                keys = Keys(self.preamble, stream_key)
                if hmac.compare_digest(keys.commitment, self.preamble.pre[80:112]):
                    return keys
                has_opened = True
        want(not has_opened, "no slot yields the committed key")
        raise fault or Fault("no key", "no slot opens")


class UnknownSlot:
    factor = None

    def __init__(self, preamble, body):
        pass

    def open(self, secret, too_many_steps):
        return None


class WrappedKey(UnknownSlot):
    def __init__(self, preamble, body):
        want(len(body) == 80, "a wrapped key of another length")
        self.preamble, self.body = preamble, body

    def open(self, secret, too_many_steps):
        if secret[0] != "key":
            return None
        info = label("slot2") + self.preamble.pre[:80]
        key = expand(extract(self.body[:32], secret[1]), info, 44)
        return opened(AESGCM(key[:32]), key[32:], self.body[32:])


class ExternalKey(UnknownSlot):
    def __init__(self, preamble, body):
        want(len(body) >= 2, "no name")
        name_len = struct.unpack("<H", body[:2])[0]
        want(0 < name_len <= len(body) - 2, "a name beyond its slot")
        want(name_len <= 255, "name", "limit")
        try:
            body[2 : 2 + name_len].decode()
        except UnicodeDecodeError:
            raise Fault("damaged", "a name that is no text") from None


class AgeFile(UnknownSlot):
    """F5.7 to F5.20."""

    def __init__(self, preamble, body):
        lines = re.split(b"\n", body)
        end = next((at for at, line in enumerate(lines) if line.startswith(b"---")), len(lines))
        want(sum(line.startswith(b"-> ") for line in lines[:end]) <= 256, "stanzas", "limit")
        self.parse(body)
        self.is_alone = len(self.stanzas) == 1
        self.scrypt = [args for args, _ in self.stanzas if args[0] == b"scrypt"]
        if self.is_alone and self.scrypt and len(self.scrypt[0]) == 3 and re.fullmatch(rb"[1-9][0-9]*", self.scrypt[0][2]):
            self.factor = int(self.scrypt[0][2])

    def parse(self, body):
        rest = body
        stanzas = []

        def line():
            nonlocal rest
            found, newline, rest = rest.partition(b"\n")
            want(newline, "no age header")
            return found

        want(line() == b"age-encryption.org/v1", "no age header")
        while True:
            first = line()
            if first.startswith(b"--- "):
                self.mac = from_base64(first[4:])
                want(len(first) == 47, "MAC of an age header")
                break
            want(re.fullmatch(rb"->( [\x21-\x7e]+)+", first), "a stanza of an age header")
            text = b""
            while True:
                part = line()
                want(len(part) <= 64, "a line of an age header")
                text += part
                from_base64(part)
                if len(part) < 64:
                    break
            stanzas.append((first[3:].split(b" "), from_base64(text)))
        want(stanzas, "an age header without stanzas")
        self.stanzas, self.payload = stanzas, rest
        self.header = body[: len(body) - len(rest) - 44 - 1]

    def open(self, secret, too_many_steps):
        kind, value = secret
        is_for_passphrases = self.is_alone and self.scrypt
        if kind not in ("identity", "passphrase") or (
            not (self.scrypt and not self.is_alone) and (kind == "passphrase") != bool(is_for_passphrases)
        ):
            return None
        if self.factor:
            want(self.factor <= 20, "scrypt work factor", "limit")
            want(not too_many_steps, "scrypt over all slots", "limit")
        want(len(self.payload) >= 16, "an age file that ends in its nonce")
        want(not self.scrypt or self.is_alone, "a scrypt stanza beside others")
        file_key = self.by_passphrase(value) if kind == "passphrase" else self.by_identity(value)
        if file_key is None:
            return None
        mac_key = expand(extract(bytes(32), file_key), b"header", 32)
        want(hmac.compare_digest(hmac256(mac_key, self.header), self.mac), "MAC of an age header")
        key = expand(extract(self.payload[:16], file_key), b"payload", 32)
        stream_key = opened(ChaCha20Poly1305(key), bytes(11) + b"\1", self.payload[16:])
        want(stream_key is not None and len(stream_key) == 32, "payload of an age file")
        return stream_key

    def by_passphrase(self, passphrase):
        args, body = self.stanzas[0]
        want(self.factor is not None, "a scrypt stanza that age does not take")
        salt = from_base64(args[1])
        want(len(salt) == 16 and len(body) == 32, "a scrypt stanza that age does not take")
        salt = b"age-encryption.org/v1/scrypt" + salt
        key = hashlib.scrypt(passphrase, salt=salt, n=1 << self.factor, r=8, p=1, maxmem=(1 << 31) - 1, dklen=32)
        return opened(ChaCha20Poly1305(key), bytes(12), body)

    def by_identity(self, identity):
        secret = X25519PrivateKey.from_private_bytes(identity)
        public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        for args, body in self.stanzas:
            if args[0] != b"X25519":
                continue
            want(len(args) == 2, "an X25519 stanza")
            share = from_base64(args[1])
            want(len(share) == 32 and len(body) == 32, "an X25519 stanza")
            try:
                shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
            except ValueError:
                raise Fault("damaged", "a share of low order") from None
            key = expand(extract(share + public, shared), b"age-encryption.org/v1/X25519", 32)
            file_key = opened(ChaCha20Poly1305(key), bytes(12), body)
            if file_key is not None:
                return file_key
        return None


SLOTS = {1: AgeFile, 2: WrappedKey, 3: ExternalKey}


def from_base64(text):
    """Canonical, without padding."""
    want(re.fullmatch(rb"[A-Za-z0-9+/]*", text) and len(text) % 4 != 1, "base64")
    data = base64.b64decode(text + b"=" * (-len(text) % 4))
    want(base64.b64encode(data).rstrip(b"=") == text, "base64")
    return data


def key_area(preamble, data, secrets, verifying):
    """F5.12 to F5.17: the keys, or None for a reader that has no secrets."""
    length = preamble.l
    area = Bytes(data, 4096).need(2 * length, "the key area")
    copies = [KeyCopy(preamble, area[:length]), KeyCopy(preamble, area[length:])]
    usable = [copy for copy in copies if copy.usable]
    if not usable:
        raise Fault("unsupported" if any(copy.is_older for copy in copies) else "damaged", "no key copy")
    taken = max(usable, key=lambda copy: copy.generation)  # The first of two that are alike.
    other = copies[1] if taken is copies[0] else copies[0]
    if secrets is None:
        keys = None
        taken.slots()
    else:
        keys = taken.open(secrets)
    if keys and not taken.has_right_mac(keys):
        want(other.usable, "MAC of the key area")
        keys = other.open(secrets)
        want(other.has_right_mac(keys), "MAC of the key area")
        want(not verifying, "a damaged key copy")
        return keys
    if verifying:
        want(other.usable, "a damaged key copy")
        try:
            other.slots()
        except Fault:
            raise Fault("damaged", "a damaged key copy") from None
        want(keys is None or other.has_right_mac(keys), "a damaged key copy")
        want(other.generation != taken.generation or other.data == taken.data, "two key copies")
    return keys


# Metadata (section 6).


def metadata(preamble, keys, wire):
    """The record, and what it says."""
    head = wire.need(32, "the metadata")
    body_len, reserved = struct.unpack("<I12s", head[16:])
    want(body_len >= 16, "length of the metadata")
    want(body_len <= 65552, "length of the metadata", "limit")
    want(not any(reserved), "reserved bytes of the metadata")
    record = wire.take(32 + body_len, "the metadata")
    if keys is None:
        return record, None
    key = expand(keys.stream, label("metadata") + head, 44)
    text = opened(preamble.aead(key[:32]), key[32:], record[32:])
    want(text is not None, "tag of the metadata")
    pairs = []
    while text:
        want(len(text) >= 6, "an entry of the metadata")
        key_len, value_len = struct.unpack("<HI", text[:6])
        want(len(text) - 6 >= key_len + value_len, "an entry of the metadata")
        pair = (text[6 : 6 + key_len], text[6 + key_len : 6 + key_len + value_len])
        want(not pairs or pairs[-1][0] < pair[0], "order of the metadata")
        pairs.append(pair)
        text = text[6 + key_len + value_len :]
    return record, pairs


# Segments (sections 7, 8 and 11).


class Segment:
    """One segment, read from front to back: S2.1 to S2.4."""

    def __init__(self, preamble, keys, wire, index, plaintext_offset, chain):
        self.preamble, self.keys, self.wire = preamble, keys, wire
        self.begin = wire.at
        self.header = wire.take(48, "a segment header")
        expected = struct.pack("<8sQQII", b"CFDSEG1\0", index, plaintext_offset, 0, 0)
        want(self.header[:32] == expected, f"segment header {index}")
        if keys:
            derived = expand(keys.stream, label("segment") + self.header, 44)
            self.aead, self.base = preamble.aead(derived[:32]), derived[32:]
        self.index, self.plaintext_offset = index, plaintext_offset
        self.plaintext, self.plaintext_len, self.body_lens = [], 0, []
        self.fragments, self.plain_fragments = [], []
        is_short = False
        while True:
            kind, flags, _, _, plaintext_len, body_len = self.peek()
            if kind != DATA:
                break
            want(not is_short, "a frame after a short one")
            self.data(flags, plaintext_len, body_len)
            is_short = plaintext_len < preamble.frame_len
        if preamble.compressed:
            self.table()
        self.close(chain)
        self.wire_len = wire.at - self.begin

    def peek(self):
        kind, flags, reserved, index, plaintext_len, body_len = struct.unpack(
            "<BBHIII", self.wire.need(16, "a frame header")
        )
        kinds = (DATA, TABLE if self.preamble.compressed else DIGEST)
        want(kind in kinds and reserved == 0 and index == len(self.body_lens), "a frame header")
        return kind, flags, reserved, index, plaintext_len, body_len

    def nonce(self, kind, index):
        mask = bytes(7) + bytes([kind]) + struct.pack("<I", index)
        return bytes(a ^ b for a, b in zip(self.base, mask))

    def check_tag(self, record, kind, index):
        if self.keys:
            text = opened(self.aead, self.nonce(kind, index), record[-16:], record[:-16])
            want(text is not None, f"a tag of segment {self.index}")

    def data(self, flags, plaintext_len, body_len):
        preamble, index = self.preamble, len(self.body_lens)
        want(flags & ~(1 if preamble.compressed else 0) == 0, "flags of a frame")
        want(index < preamble.frames_max, "too many frames")
        want(0 < plaintext_len <= preamble.frame_len, "length of a frame")
        is_right = 17 <= body_len < plaintext_len + 16 if flags else body_len == plaintext_len + 16
        want(is_right, "length of a frame's body")
        frame = self.wire.take(16 + body_len, "a frame")
        if self.keys:
            text = opened(self.aead, self.nonce(DATA, index), frame[16:], frame[:16])
            want(text is not None, f"tag of frame {index} of segment {self.index}")
            text = decompressed(text, plaintext_len) if flags else text
            if preamble.compressed:
                plain = label("plain-frame") + struct.pack("<I", index) + text
                self.plain_fragments.append(blake3.blake3(plain, key=self.keys.plain).digest())
            self.plaintext.append(text)
        self.fragments.append(frame[-16:] if preamble.digest == 3 else preamble.hash(label("frame") + frame))
        self.plaintext_len += plaintext_len
        self.body_lens.append(body_len)

    def table(self):
        count = len(self.body_lens)
        want(self.wire.need(16, "a TABLE") == frame_header(TABLE, count, 4 * count + 16), "a TABLE's header")
        record = self.wire.take(32 + 4 * count, "a TABLE")
        self.check_tag(record, TABLE, count)
        want(record[16:-16] == struct.pack(f"<{count}I", *self.body_lens), "a TABLE")
        tags = self.preamble.digest == 3
        self.fragments.append(record[-16:] if tags else self.preamble.hash(label("frame") + record))

    def close(self, chain):
        count, compressed, hash = len(self.body_lens), self.preamble.compressed, self.preamble.hash
        digest_len = 96 if compressed else 64
        header = self.wire.need(16, "a DIGEST")
        want(header == frame_header(DIGEST, count, digest_len - 16), "a DIGEST's header")
        both = self.wire.take(digest_len + 80, "closing frames")
        digest, terminator = both[:digest_len], both[digest_len:]
        self.digest, self.plain = digest[16:48], digest[48:80] if compressed else b""
        if compressed and self.keys:
            plain = label("plain") + self.header + b"".join(self.plain_fragments) + struct.pack("<I", count)
            want(blake3.blake3(plain, key=self.keys.plain).digest() == self.plain, "a plaintext digest")
        fragments = b"".join(self.fragments)
        parts = [label("digest"), self.preamble.pre[:112], self.header, fragments, self.plain, struct.pack("<I", count)]
        want(hmac.compare_digest(hash(b"".join(parts)), self.digest), f"digest of segment {self.index}")
        self.check_tag(digest, DIGEST, count)
        want(terminator[:16] == frame_header(TERMINATOR, count + 1, 64), "a TERMINATOR's header")
        found, flags, plaintext_len, before = struct.unpack("<IIQ32s", terminator[16:64])
        want(found == count and flags & ~1 == 0 and plaintext_len == self.plaintext_len, "a TERMINATOR")
        want(before == chain, f"chain of segment {self.index}")
        self.check_tag(terminator, TERMINATOR, count + 1)
        self.is_last = bool(flags)
        want(count > 0 or self.is_last, "an empty segment that is not the last")
        self.chain = hash(label("chain") + both)

    def entry(self, origin):
        """Section 9."""
        fields = (self.begin - origin, self.wire_len, self.plaintext_offset, self.plaintext_len, len(self.body_lens))
        return struct.pack("<QQQII", *fields) + self.header[32:] + self.digest + self.plain


def frame_header(kind, index, body_len):
    return struct.pack("<BBHIII", kind, 0, 0, index, 0, body_len)


def decompressed(text, plaintext_len):
    """F8.10."""
    want(len(text) > 5 and text[:4] == b"\x28\xb5\x2f\xfd", "no zstd frame")
    descriptor = text[4]
    want(descriptor & 0x3F == 0x20, "a zstd frame's descriptor")
    size_len = 1 << (descriptor >> 6)
    want(len(text) > 5 + size_len, "a zstd frame's header")
    content = int.from_bytes(text[5 : 5 + size_len], "little") + (256 if size_len == 2 else 0)
    want(content == plaintext_len, "a zstd frame's content size")
    try:
        with zstandard.ZstdDecompressor().stream_reader(text) as stream:
            found = stream.read(plaintext_len + 1)
        want(len(found) == plaintext_len, "what a zstd frame holds")
        whole = zstandard.ZstdDecompressor().decompressobj()
        want(whole.decompress(text) == found and whole.eof and not whole.unused_data, "a zstd frame's end")
    except zstandard.ZstdError:
        raise Fault("damaged", "no zstd frame") from None
    return found


# Readers (section 13).


class Opened:
    """What a reader says of a good stream."""

    def __init__(self, plaintext, pairs, stream_digest):
        self.plaintext, self.pairs, self.stream_digest = plaintext, pairs, stream_digest


def begin(data, secrets, verifying):
    preamble = Preamble(data)
    want(secrets is not None or preamble.digest != 3, "tags without a key", "unsupported")  # F13.12
    keys = key_area(preamble, data, secrets, verifying)
    wire = Bytes(data, preamble.origin)
    record, pairs = metadata(preamble, keys, wire)
    chain = preamble.hash(label("stream") + preamble.pre[:112] + record)
    return preamble, keys, wire, pairs, chain


def sequential(data, secrets, verifying=False):
    """S1 to S4; without secrets the keyless reader of F13.13."""
    preamble, keys, wire, pairs, chain = begin(data, secrets, verifying)
    origin, plaintext, index, offset, directory, entries = preamble.origin, [], 0, 0, b"", []
    is_last = False
    while not is_last:
        segment = Segment(preamble, keys, wire, index, offset, chain)
        plaintext += segment.plaintext
        index, offset, chain, is_last = index + 1, offset + segment.plaintext_len, segment.chain, segment.is_last
        entries.append(segment.entry(origin))
        if is_last or index % PAGE_ENTRIES == 0:
            number, count = (index - 1) // PAGE_ENTRIES, len(entries)
            page = struct.pack("<8sIIQQ", b"CFDIDX1\0", number, count, PAGE_ENTRIES * number, 0) + b"".join(entries)
            at = wire.at
            found = wire.take(len(page) + 32, "an index page")
            mac = hmac256(keys.index, label("page") + page) if keys else found[-32:]
            want(found == page + mac, f"index page {number}")
            directory += struct.pack("<Q", at - origin) + mac
            entries = []
    directory_offset = wire.at - origin
    want(wire.take(len(directory), "the directory") == directory, "the directory")
    pages = len(directory) // 40
    wire_len = directory_offset + len(directory) + 112
    footer = struct.pack("<8sIIQQQQ", b"CFDEND1\0", pages, 0, directory_offset, index, offset, wire_len) + chain
    found = wire.take(112, "the footer")
    mac = hmac256(keys.index, label("footer") + directory + footer) if keys else found[-32:]
    want(found == footer + mac, "the footer")
    want(wire.at == len(data), "bytes after the footer")
    return Opened(b"".join(plaintext), pairs, chain)


def random_access(data, secrets):
    """F13.7 to F13.9, of every segment."""
    preamble, keys, wire, pairs, chain = begin(data, secrets, False)
    origin, footer = preamble.origin, data[max(wire.at, len(data) - 112) :]
    if len(footer) < 112:
        return sequential(data, secrets)
    fields = struct.unpack("<8sIIQQQQ", footer[:48])
    magic, pages, reserved, directory_offset, segments, plaintext_len, wire_len = fields
    is_footer = magic == b"CFDEND1\0" and reserved == 0 and 1 <= segments <= 1 << 32 and pages <= 1 << 20
    is_footer = is_footer and pages == -(-segments // PAGE_ENTRIES) and wire_len == len(data) - origin
    if not is_footer or directory_offset + 40 * pages + 112 != wire_len:
        return sequential(data, secrets)  # F13.11
    directory = data[origin + directory_offset :][: 40 * pages]
    mac = hmac256(keys.index, label("footer") + directory + footer[:80])
    want(hmac.compare_digest(mac, footer[80:]), "MAC of the footer")
    most = segments * preamble.frame_len * preamble.frames_max if preamble.compressed else wire_len
    want(plaintext_len <= most, "the footer's plaintext_len")
    plaintext, offset, index = [], 0, 0
    for number in range(pages):
        count = min(PAGE_ENTRIES, segments - PAGE_ENTRIES * number)
        page_at, page_mac = struct.unpack("<Q32s", directory[40 * number :][:40])
        size = 112 if preamble.compressed else 80
        end = page_at + 64 + size * count
        want(end <= directory_offset and (number + 1 < pages or end == directory_offset), "place of a page")
        page = data[origin + page_at : origin + end]
        head = struct.pack("<8sIIQQ", b"CFDIDX1\0", number, count, PAGE_ENTRIES * number, 0)
        want(page[:32] == head and page[-32:] == page_mac, f"index page {number}")
        want(hmac256(keys.index, label("page") + page[:-32]) == page_mac, f"MAC of index page {number}")
        for place in range(count):
            entry = page[32 + size * place :][:size]
            begins, length, _, entry_len, _ = struct.unpack("<QQQII", entry[:32])
            want(begins == wire.at - origin and begins + length <= page_at, "place of a segment")
            # No byte beyond the segment is there for it; what is missing is damage here (F13.4).
            part = Bytes(data[: origin + begins + length], origin + begins)
            try:
                segment = Segment(preamble, keys, part, index, offset, chain)
            except Fault as fault:
                raise Fault("damaged", fault) from None
            want(segment.entry(origin) == entry, f"entry of segment {index}")
            want(segment.is_last == (index + 1 == segments), "LAST")
            plaintext += segment.plaintext
            index, offset, chain = index + 1, offset + entry_len, segment.chain
            wire.at = origin + begins + length
        want(wire.at - origin == page_at, "place of a page")
        wire.at = origin + end
    want(offset == plaintext_len and chain == footer[48:80], "the footer")
    return Opened(b"".join(plaintext), pairs, chain)


# The vectors.


def bech32_identity(text):
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    five = [alphabet.index(letter) for letter in text.lower().rpartition("1")[2][:-6]]
    bits = "".join(f"{value:05b}" for value in five)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, 256, 8))


class Vector:
    def __init__(self, path):
        head, _, self.stream = path.read_bytes().partition(b"\n\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\n")]
        self.fields = {name: value for name, value in lines}
        self.pairs = [tuple(map(bytes.fromhex, value.split("="))) for name, value in lines if name == "metadata"]
        if "base" in self.fields:
            self.stream = bytearray(Vector(path.parent / self.fields["base"]).stream)
            if "len" in self.fields:
                del self.stream[int(self.fields["len"]) :]
            for offset, patch in (value.split("=") for name, value in lines if name == "patch"):
                patch = bytes.fromhex(patch)
                self.stream[int(offset) : int(offset) + len(patch)] = patch
            self.stream = bytes(self.stream)
        makers = {"key": bytes.fromhex, "identity": bech32_identity, "passphrase": str.encode}
        self.secrets = [(name, makers[name](value)) for name, value in lines if name in makers]

    def disagreements(self):
        readers = {
            "sequential": lambda: sequential(self.stream, self.secrets),
            "keyless": lambda: sequential(self.stream, None, verifying=True),
            "random-access": lambda: random_access(self.stream, self.secrets),
            "verify": lambda: sequential(self.stream, self.secrets, verifying=True),
        }
        for name, reader in readers.items():
            due = self.fields.get(name, self.fields["sequential"])
            try:
                found = reader()
                verdict, why = "success", "success"
            except Fault as fault:
                verdict, why = fault.verdict, str(fault)
            if verdict != due:
                yield f"{name}: {why}, and is to be {due}"
            elif verdict == "success" and name != "keyless":
                yield from self.differences(name, found)

    def differences(self, name, found):
        due = [self.fields[of] for of in ("plaintext-sha256", "plaintext-len", "stream-digest")]
        is_right = due == [sha256(found.plaintext).hex(), str(len(found.plaintext)), found.stream_digest.hex()]
        if not is_right or found.pairs != self.pairs:
            yield f"{name}: other plaintext, digest or metadata"


def main(arguments):
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if arguments[:1] == ["--key"] and len(arguments) == 3:
        stream = Path(arguments[2]).read_bytes()
        sys.stdout.buffer.write(sequential(stream, [("key", bytes.fromhex(arguments[1]))]).plaintext)
        return 0
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.exit(__doc__)
    paths = sorted(Path(arguments[0]).glob("*.cfdv"))
    faults = [(path, fault) for path in paths for fault in Vector(path).disagreements()]
    for path, fault in faults:
        print(f"{path.name}: {fault}")
    print(f"{len(paths)} vectors, {len({path for path, _ in faults})} of them read otherwise than they are to be")
    return 1 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

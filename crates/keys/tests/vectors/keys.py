#!/usr/bin/env python3
"""Computes keys.txt from FORMAT's "Keys" and "MACs" alone: RFC 5869 and RFC 2104 written out on hashlib and hmac,
AES-GCM from the `cryptography` package. Run: python3 keys.py > keys.txt"""
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(key, info, length):
    output, block, count = b"", b"", 0
    while len(output) < length:
        count += 1
        block = mac(key, block + info + bytes([count]))
        output += block
    return output[:length]


def label(name):
    return b"cofferdam/v1/" + name + b"\0"


stream_key = bytes(range(32))
preamble = bytes((7 * i + 3) % 256 for i in range(128))
salt, context = preamble[48:80], preamble[:48]
root = mac(salt, stream_key)
stream, commit, keys, index, plain, journal = (
    expand(root, label(name) + context, 32) for name in (b"stream", b"commit", b"keys", b"index", b"plain", b"journal")
)
header = bytes((5 * i + 1) % 256 for i in range(48))
record_head = bytes((11 * i + 2) % 256 for i in range(32))
journal_id = bytes(range(100, 116))
copy = bytes(i % 251 for i in range(4096 - 64))
page = bytes(i % 241 for i in range(112))
directory = bytes(range(8))
footer_head = bytes((3 * i) % 256 for i in range(80))

wrapping_key = bytes(range(64, 96))
slot_salt = bytes(range(128, 160))
slot = expand(mac(slot_salt, wrapping_key), label(b"slot2") + preamble[:80], 44)

for name, value in {
    "stream_key": stream_key,
    "preamble": preamble,
    "commitment": commit,
    "segment_header": header,
    "segment": expand(stream, label(b"segment") + header, 44),
    "record_head": record_head,
    "metadata": expand(stream, label(b"metadata") + record_head, 44),
    "copy": copy,
    "key_area_mac": mac(keys, label(b"keys-mac") + preamble + copy),
    "page": page,
    "page_mac": mac(index, label(b"page") + page),
    "directory": directory,
    "footer_head": footer_head,
    "footer_mac": mac(index, label(b"footer") + directory + footer_head),
    "plaintext_key": plain,
    "journal_id": journal_id,
    "journal_bytes": page,
    "journal_mac": mac(expand(journal, label(b"journal") + journal_id, 32), page),
    "wrapping_key": wrapping_key,
    "wrapped": slot_salt + AESGCM(slot[:32]).encrypt(slot[32:], stream_key, b""),
}.items():
    print(f"{name} {value.hex()}")

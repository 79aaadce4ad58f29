"""Makes plan.txt, receipt.txt, publishing.txt, committed.txt and the like for an object beside it, by docs/PARTS.md and not by this crate.

python3 crates/parts/tests/records.py; it needs the package `blake3`.
"""

import hashlib
import hmac
import pathlib

import blake3

KEY = bytes(range(32))
PLAN = "plan 00112233445566778899aabbccddeeff"
ZEROS, TWOS, THREES = (digit * 64 for digit in "023")


def mac(message):
    return hmac.new(KEY, message.encode(), hashlib.sha256)


def record(name, *lines):
    text = "".join(f"{line}\n" for line in lines)
    (pathlib.Path(__file__).parent / name).write_text(f"{text}mac {mac(text).hexdigest()}\n")


def piece(data):
    key = mac(f"cofferdam-pieces 1\n{PLAN}\n").digest()
    return f"piece {len(data)} {blake3.blake3(data, key=key).hexdigest()}"


part = bytes(at // 7 % 256 for at in range(2 << 20))
record(
    "plan.txt",
    "cofferdam-plan 1",
    PLAN,
    "stream " + "11" * 16,
    f"digest {THREES}",
    "source s3://backups/db%20of%20may.cfd",
    "target /srv/db%25",
    "exists refuse",
    "mode 0640",
    "modified -2.500000000",
    "parts 2",
    f"part 0 0 2 0 2097152 {ZEROS} {TWOS}",
    f"part 1 2 3 2097152 2097153 {TWOS} {THREES}",
)
record(
    "receipt.txt",
    "cofferdam-receipt 1",
    PLAN,
    "part 0",
    "attempt " + "ab" * 16,
    "segments 0 2",
    "plaintext 0 2097152",
    f"chain {ZEROS} {TWOS}",
    "pieces 2",
    piece(part[: 1 << 20]),
    piece(part[1 << 20 :]),
)
record(
    "receipt-file.txt",
    "cofferdam-receipt 1",
    PLAN,
    "part 0",
    "attempt " + "ab" * 16,
    "segments 0 2",
    "plaintext 0 2097152",
    f"chain {ZEROS} {TWOS}",
    "file 4711 2097152 1764529200123456789",
    "pieces 2",
    piece(part[: 1 << 20]),
    piece(part[1 << 20 :]),
)
# Of a tree: bytes 4096 to 1052672 of the part are a file of their own, and so are 65536 bytes of another one, from its byte 65536 + 512 on.
record(
    "receipt-members.txt",
    "cofferdam-receipt 1",
    PLAN,
    "part 0",
    "attempt " + "ab" * 16,
    "segments 0 2",
    "plaintext 0 2097152",
    f"chain {ZEROS} {TWOS}",
    "file 4711 983040 1764529200123456789",
    "members 2",
    "member 4096 1052672 0 4712 1764529200123456780",
    "member 2031616 2097152 512 4713 1764529200123456790",
    "pieces 4",
    piece(part[:4096]),
    piece(part[4096:1052672]),
    piece(part[1052672:2031616]),
    piece(part[2031616:]),
)
record("publishing.txt", "cofferdam-publishing 1", PLAN, "inode 12345", "created 1700000000123456789")
record("committed.txt", "cofferdam-committed 1", PLAN, f"digest {THREES}", "length 2097153")

# An object: pieces of the store's own numbers, 6 MiB and 5 MiB of the first part, and a byte.
long_part = bytes(at // 7 % 256 for at in range(11 << 20))
record(
    "plan-object.txt",
    "cofferdam-plan 1",
    PLAN,
    "stream " + "11" * 16,
    f"digest {THREES}",
    "source /srv/db.cfd",
    "target s3://restored/db%2520of%2520may",
    "exists replace",
    "upload VXBsb2FkIElE%20%25",
    "attempt " + "44" * 16,
    'version "9b2cf535f27731c974343645a3985328"',
    "parts 2",
    f"part 0 0 2 0 11534336 {ZEROS} {TWOS}",
    f"part 1 2 3 11534336 11534337 {TWOS} {THREES}",
    "numbers 0 1 3 6291456",
    "numbers 1 3 4 16777216",
)
record(
    "receipt-object.txt",
    "cofferdam-receipt 1",
    PLAN,
    "part 0",
    "attempt " + "ab" * 16,
    "segments 0 2",
    "plaintext 0 11534336",
    f"chain {ZEROS} {TWOS}",
    "pieces 2",
    piece(long_part[: 6 << 20]),
    piece(long_part[6 << 20 :]),
    'tag "a54357aff0632cce46d942af68356b38"',
    'tag "0c78aef83f66abc1fa1e8477f296d394"',
)
record("completing.txt", "cofferdam-completing 1", PLAN)

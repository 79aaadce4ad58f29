"""Makes manifest.txt beside it, by docs/MANIFEST.md and not by this crate.

python3 crates/parts/tests/manifest.py; it needs nothing but Python.
"""

import hashlib
import pathlib


def word(data):
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in data)


shards = {
    b"users": ("s3://backups/users.cfd", 5),
    b"Orders of may": ("orders%.cfd", 1 << 40),
    b"\xff\x00shard".replace(b"\x00", b""): ("/srv/backups/raw.cfd", 0),
}
lines = ["cofferdam-manifest 1", "sequence 17", f"shards {len(shards)}"]
for name in sorted(shards):
    source, length = shards[name]
    digest = hashlib.sha256(name).hexdigest()
    lines.append(f"shard {word(name)} {digest} {length} {word(source.encode())}")
(pathlib.Path(__file__).parent / "manifest.txt").write_text("".join(f"{line}\n" for line in lines))

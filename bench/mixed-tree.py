"""A tree like a database's: mixed-tree.py DIRECTORY makes it, always the same: 24 files of 64 MiB, and 8,000 of up to 128 KiB in 80 directories. 2 GiB that do not compress."""

import random
import sys
from pathlib import Path

root, drawn = Path(sys.argv[1]), random.Random(18)
root.mkdir()
for number in range(24):
    (root / f"{number:06}.sst").write_bytes(drawn.randbytes(64 << 20))
for number in range(8000):
    directory = root / f"{number % 80:02}"
    directory.mkdir(exist_ok=True)
    (directory / f"{number:06}").write_bytes(drawn.randbytes(drawn.randrange(128 << 10)))

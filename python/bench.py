"""What Python costs beside Rust: bench.py RUST

RUST is the program that `cargo bench -p cofferdam-capi --bench cost --no-run` builds, which has the same loops in Rust. Samples take turns, each in a process
of its own; the ratio is the median of those of the rounds. It knows no bound: bench/RESULTS.md has what came of it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cofferdam

KEY = bytes([7]) + bytes(31)
READ_LEN = 64 << 10
ROUNDS = 15
WARM_UP_READS = 200


def open_many(sealed, length, calls):
    """CPU seconds per call, of all threads."""
    memory = bytearray(b"\1") * length
    cofferdam.restore_into(sealed, memory, KEY)
    before = time.process_time()
    for _ in range(calls):
        cofferdam.restore_into(sealed, memory, KEY)
    return (time.process_time() - before) / calls


def read_many(sealed, count, way):
    """Bytes per second of reads at places that are drawn, as the program in Rust draws them."""
    buffer = bytearray(READ_LEN)
    with cofferdam.open(sealed, KEY) as reader:
        read = {"pread_into": lambda at: reader.pread_into(at, buffer), "pread": lambda at: reader.pread(at, READ_LEN)}[way]
        places, drawn, begun = reader.size - READ_LEN, 1, time.perf_counter()
        for number in range(count + WARM_UP_READS):
            if number == WARM_UP_READS:
                begun = time.perf_counter()
            drawn = (drawn * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            read((drawn >> 33) % places)
        return count * READ_LEN / (time.perf_counter() - begun)


def figure(*command):
    return float(subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout)


def row(name, rust, python, scale):
    """A line of a table: both medians, and the median of the ratios."""
    pairs = [(figure(*rust), figure(*python)) for _ in range(ROUNDS + 1)][1:]
    ratios = [ours / theirs for theirs, ours in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    theirs, ours = (statistics.median(pair[side] for pair in pairs) * scale for side in (0, 1))
    print(f"| {name} | {theirs:.3f} | {ours:.3f} | {statistics.median(ratios):.3f} | {low:.2f} to {high:.2f} |", flush=True)


def compare(rust, only):
    # Without the folder of this file in the path: the package there has no extension module.
    ours = [sys.executable, "-P", __file__]
    with tempfile.TemporaryDirectory(dir=os.environ.get("COFFERDAM_BENCH_DIRECTORY")) as folder:
        sealed = Path(folder, "sealed")
        print("| plaintext | calls per sample | Rust, CPU ms per call | Python, CPU ms per call | Python to Rust | quartiles |\n|---|---|---|---|---|---|")
        for mib, calls in [(1, 200), (16, 30), (64, 10), (256, 3)]:
            if only and str(mib) not in only:
                continue
            cofferdam.seal(os.urandom(mib << 20), sealed, KEY, force=True)
            arguments = [sealed, mib << 20, calls]
            row(f"{mib} MiB | {calls}", [rust, "rust", *arguments], [*ours, "--open", *arguments], 1e3)
        if only and "reads" not in only:
            return
        print("\n| reads of 64 KiB, drawn | reads per sample | Rust, MB/s | Python, MB/s | Python to Rust | quartiles |\n|---|---|---|---|---|---|")
        cofferdam.seal(os.urandom(256 << 20), sealed, KEY, force=True)
        for way in ["pread_into", "pread"]:
            count = 4000
            row(f"`{way}` | {count}", [rust, "rust-reads", sealed, count], [*ours, "--reads", sealed, count, way], 1e-6)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--open", sealed, length, calls]:
            print(open_many(sealed, int(length), int(calls)))
        case ["--reads", sealed, count, way]:
            print(read_many(sealed, int(count), way))
        case [rust, *only]:
            compare(rust, only)

"""Seals a file for a new key, and restores it: seal_and_restore.py FILE

It leaves beside FILE the key (FILE.key, for its owner alone), the sealed stream (FILE.cfd) and what was restored of it (FILE.restored).
"""

import os
import sys
from pathlib import Path

import cofferdam


def main(file: Path) -> None:
    key, sealed, restored = (Path(f"{file}{end}") for end in [".key", ".cfd", ".restored"])
    identity = cofferdam.Identity.generate()
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(identity.file_text())

    # Who seals needs the public half alone.
    said = cofferdam.seal(file, sealed, identity.recipient, metadata={"name": file.name}, progress=tell)
    print(f"sealed {said.plaintext_len} bytes; pin: {said.stream_digest}")

    # All of it, and of the stream that was pinned, or an error and no target. The same call resumes what was interrupted.
    try:
        done = cofferdam.restore(sealed, restored, key, expect_digest=said.stream_digest, progress=tell)
    except cofferdam.Error as error:
        sys.exit(f"{error.kind}: {error}")
    print(f"restored {done.plaintext_len} bytes of {done.metadata[b'name'].decode()}")


def tell(progress: cofferdam.Progress) -> None:
    print(f"{progress.committed} of {progress.total} bytes", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

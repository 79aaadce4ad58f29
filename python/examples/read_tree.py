"""Looks into a sealed directory without restoring it: read_tree.py SEALED IDENTITY [PATH] lists it, or prints the file at PATH."""

import shutil
import sys

import cofferdam


def main() -> None:
    sealed, identity, *paths = sys.argv[1:]
    with cofferdam.open(sealed, identity) as reader:
        tree = reader.tree()
        if paths:
            with tree.open(paths[0]) as member:
                shutil.copyfileobj(member, sys.stdout.buffer)
            return
        for entry in tree:
            # Names may be any bytes: what is no text, or steers a terminal, is escaped.
            link = f" -> {entry.link!r}" if entry.link else ""
            print(f"{entry.type:9} {entry.mode:04o} {entry.size:>12} {entry.path!r}{link}")


if __name__ == "__main__":
    main()

"""Prints rows of a sealed table whose lines are all of one length, and restores nothing: read_table.py SEALED KEY FIRST COUNT

SEALED is a file, or a URL such as s3://bucket/table.csv.cfd. Only the frames that these rows lie in are fetched and opened.
"""

import sys

import cofferdam


def main(sealed: str, key: str, first: int, count: int) -> None:
    with cofferdam.open(sealed, key) as table:
        row_len = len(table.readline())
        rows = table.pread(row_len * first, row_len * count)
    sys.stdout.buffer.write(rows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

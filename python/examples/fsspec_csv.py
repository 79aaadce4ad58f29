"""Adds up a column of a sealed CSV file, through fsspec: fsspec_csv.py URL KEY COLUMN

URL is what fsspec takes, with `cofferdam://` or `cofferdam::` before it: cofferdam://s3://bucket/table.csv.cfd, cofferdam::file:///table.csv.cfd. Programs
that open their files through fsspec, such as pandas, dask and pyarrow, take the same.
"""

import csv
import sys

import fsspec


def main(url: str, key: str, column: str) -> None:
    with fsspec.open(url, "rt", newline="", cofferdam={"identity": key}) as table:
        print(sum(float(row[column]) for row in csv.DictReader(table)))


if __name__ == "__main__":
    main(*sys.argv[1:])

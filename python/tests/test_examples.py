"""The examples, as they are run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cofferdam

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = [f"{number:06},{number * 7 % 1000:03}\n" for number in range(50_000)]
TABLE = "number,val\n" + "".join(ROWS)


def run(name, *arguments, **environment):
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})


@pytest.fixture
def key(tmp_path):
    identity = cofferdam.Identity.generate()
    path = tmp_path / "key.txt"
    path.write_text(identity.file_text())
    cofferdam.seal(TABLE.encode(), tmp_path / "table.csv.cfd", identity.recipient)
    return path


def test_a_file_is_sealed_and_restored(tmp_path):
    file = tmp_path / "db"
    file.write_bytes(os.urandom(5 << 20))
    ran = run("seal_and_restore.py", file)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "db.restored").read_bytes() == file.read_bytes()
    assert (tmp_path / "db.key").stat().st_mode & 0o777 == 0o600
    assert ran.stdout.splitlines()[-1] == f"restored {5 << 20} bytes of db"
    # The second time: the key is not replaced, since the first stream needs it.
    again = run("seal_and_restore.py", file)
    assert again.returncode != 0 and "FileExistsError" in again.stderr


def test_rows_of_a_table_are_read_in_place(tmp_path, key):
    ran = run("read_table.py", tmp_path / "table.csv.cfd", key, 30_001, 3)
    assert ran.stdout == "".join(ROWS[30_000:30_003]), ran.stderr


def test_a_sealed_directory_is_looked_into(tmp_path, key):
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o755)
    (tree / os.fsdecode(b"\xff")).write_text("any bytes")
    (tree / "link").symlink_to("a\nb")
    cofferdam.seal(tree, tmp_path / "tree.cfd", key.read_text().split("public key: ")[1].split()[0], state_dir=tmp_path / "state")
    listed = run("read_tree.py", tmp_path / "tree.cfd", key)
    lines = [line.split(None, 3) for line in listed.stdout.splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines] == [
        ("directory", "0", "'.'"),
        ("symlink", "0", "'link' -> 'a\\nb'"),
        ("file", "9", "'\\udcff'"),
    ], listed.stderr
    assert run("read_tree.py", tmp_path / "tree.cfd", key, os.fsdecode(b"\xff")).stdout == "any bytes"
    missing = run("read_tree.py", tmp_path / "tree.cfd", key, "nothing")
    assert missing.returncode != 0 and "NotFoundError" in missing.stderr


def test_a_column_is_added_up_through_fsspec(tmp_path, key):
    pytest.importorskip("fsspec")
    expected = float(sum(number * 7 % 1000 for number in range(50_000)))
    ran = run("fsspec_csv.py", f"cofferdam::file://{tmp_path}/table.csv.cfd", key, "val")
    assert ran.stdout == f"{expected}\n", ran.stderr

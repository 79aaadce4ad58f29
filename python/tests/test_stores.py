"""A store of objects: a server of S3 that the step `python` has started. What is expected is what was put there, and what the server says."""

import io
import os
import random
import tarfile
import urllib.error
import urllib.request
import uuid

import pytest

import cofferdam

BUCKET = os.environ.get("COFFERDAM_TEST_BUCKET")
pytestmark = pytest.mark.skipif(BUCKET is None, reason="COFFERDAM_TEST_BUCKET names no bucket of a test server")
PLAIN = random.Random(11).randbytes((5 << 20) + 3)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.txt"
    path.write_text(cofferdam.Identity.generate().file_text())
    return path


@pytest.fixture
def name():
    return f"python-{uuid.uuid4()}.cfd"


def recipient(key):
    line = next(line for line in key.read_text().splitlines() if line.startswith("# public key: "))
    return line.removeprefix("# public key: ")


def test_an_object_is_sealed_read_in_place_and_restored(tmp_path, key, name):
    url = f"s3://{BUCKET}/{name}"
    said = cofferdam.seal(PLAIN, url, recipient(key))
    # Who may read without a signature gets the very bytes.
    with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT']}/{BUCKET}/{name}") as answer:
        stored = answer.read()
    assert len(stored) == said.wire_len and cofferdam.verify(stored, key).stream_digest == said.stream_digest
    with cofferdam.open(url, key) as reader:
        rng = random.Random(5)
        for at in [0, len(PLAIN) - 1, *(rng.randrange(len(PLAIN)) for _ in range(20))]:
            assert reader.pread(at, 70_000) == PLAIN[at : at + 70_000]
        assert reader.read(10) == PLAIN[:10]
    assert cofferdam.inspect(url).plaintext_len == len(PLAIN)
    cofferdam.restore(url, tmp_path / "restored", key, expect_digest=said.stream_digest)
    assert (tmp_path / "restored").read_bytes() == PLAIN
    with pytest.raises(cofferdam.TargetExistsError):
        cofferdam.seal(b"another", url, recipient(key))
    assert cofferdam.verify(url, key).stream_digest == said.stream_digest


def test_an_object_that_is_not_there_or_not_ours_is_said_at_once(key, name, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        cofferdam.open(f"s3://{BUCKET}/{name}", key)
    assert isinstance(caught.value, cofferdam.NotFoundError) and name in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError) as caught:
        cofferdam.open(f"s3://{BUCKET}/{name}", key)
    assert isinstance(caught.value, cofferdam.DeniedError) and caught.value.kind == "denied"


def test_fsspec_reads_an_object_without_a_package_for_the_store(key, name):
    fsspec = pytest.importorskip("fsspec")
    url = f"s3://{BUCKET}/{name}"
    cofferdam.seal(PLAIN, url, recipient(key))
    with fsspec.open(f"cofferdam://{url}", identity=str(key)) as file:
        file.seek(1 << 20)
        assert file.read(100) == PLAIN[1 << 20 : (1 << 20) + 100]
    fs = fsspec.filesystem("cofferdam", target_protocol="s3", identity=str(key))
    assert fs.cat_file(url, -7) == PLAIN[-7:]
    # As s3fs names it.
    assert fs.cat_file(f"{BUCKET}/{name}", 5, 9) == PLAIN[5:9]
    assert fs.info(url)["size"] == len(PLAIN) and fs.exists(url) and fs.isfile(url)
    assert not fs.exists(f"s3://{BUCKET}/not-{name}")
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"s3://{BUCKET}/not-{name}")
    ranges = fs.cat_ranges([url, url], [0, 1000], [10, 1010])
    assert ranges == [PLAIN[:10], PLAIN[1000:1010]]


def test_what_is_restored_into_a_buffer_comes_from_the_store(key, name):
    url = f"s3://{BUCKET}/{name}"
    # Its length is not known: parts of 64 MiB are held.
    cofferdam.seal(io.BytesIO(PLAIN), url, recipient(key), memory=256 << 20)
    buffer = bytearray(len(PLAIN))
    cofferdam.restore_into(url, buffer, key)
    assert buffer == PLAIN
    with pytest.raises(cofferdam.LimitError):
        cofferdam.restore_into(url, bytearray(len(PLAIN) - 1), key)


def test_a_directory_is_sealed_looked_into_and_restored(tmp_path, key, name):
    tree, url = tmp_path / "tree", f"s3://{BUCKET}/{name}"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "large").write_bytes(PLAIN)
    (tree / "b").write_bytes(b"small")
    said = cofferdam.seal(tree, url, recipient(key), state_dir=tmp_path / "state")
    assert (said.tree.files, said.tree.directories) == (2, 2)
    with cofferdam.open(url, key) as reader:
        listed = reader.tree()
        assert [(entry.path, entry.size) for entry in listed] == [(".", 0), ("a", 0), ("a/large", len(PLAIN)), ("b", 5)]
        member = listed.open("a/large")
        assert member.pread(1 << 20, 1000) == PLAIN[1 << 20 : (1 << 20) + 1000] and listed.open("b").read() == b"small"
    assert cofferdam.verify(url, key).stream_digest == said.stream_digest
    assert cofferdam.restore_paths(url, tmp_path / "some", "b", key).files == 1
    restored = cofferdam.restore(url, tmp_path / "restored", key, expect_digest=said.stream_digest)
    assert restored.tree.files == 2 and (tmp_path / "restored/a/large").read_bytes() == PLAIN
    # An object of a tree that is restored to the store is its plaintext, which begins with its archive.
    copy = f"s3://{BUCKET}/copy-{name}"
    cofferdam.restore(url, copy, key)
    with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT']}/{BUCKET}/copy-{name}") as answer, tarfile.open(fileobj=answer, mode="r|") as tar:
        assert [member.name.removeprefix("./").rstrip("/") for member in tar] == [".", "a", "a/large", "b"]


def test_a_plan_for_an_object_is_run_part_by_part_and_given_up_or_committed(tmp_path, key, name):
    from cofferdam import parts

    def stored():
        try:
            with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT']}/{BUCKET}/{name}") as answer:
                return answer.read()
        except urllib.error.HTTPError:
            return None

    url, sealed = f"s3://{BUCKET}/{name}", tmp_path / "a.cfd"
    cofferdam.seal(PLAIN, sealed, recipient(key))
    for plan, ends in [(tmp_path / "first", parts.give_up), (tmp_path / "second", parts.commit)]:
        made = parts.plan(plan, sealed, url, 1, key)
        assert (made.target, len(made), made.plaintext_len) == (url, 1, len(PLAIN))
        assert parts.plan(plan, sealed, url, 1, key).was_there and parts.read(plan).id == made.id
        with pytest.raises(cofferdam.PartsMissingError):
            parts.commit(plan)
        assert [parts.run_part(plan, 0, key), parts.run_part(plan, 0, key)] == ["written", "written before"]
        assert stored() is None
        ends(plan)
        assert not list(tmp_path.glob(".*"))
    assert stored() == PLAIN
    assert parts.commit(plan).was_there and parts.state(plan).committed
    with pytest.raises(cofferdam.JournalMismatchError):
        parts.commit(tmp_path / "first")
    with pytest.raises(cofferdam.UsageError):
        parts.plan(tmp_path / "third", sealed, io.BytesIO(), 1, key)

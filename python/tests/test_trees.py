"""Trees as the installed package has them. What is expected comes from elsewhere: `os.walk` and `os.lstat`, `tarfile`, the `cofferdam` program."""

import filecmp
import io
import itertools
import os
import random
import stat
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

import cofferdam

PROGRAM = os.environ.get("COFFERDAM_PROGRAM")
MIB = 1 << 20
TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
}


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """Plans are kept where nobody else writes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))


@pytest.fixture
def identity():
    return cofferdam.Identity.generate()


@pytest.fixture
def key(tmp_path, identity):
    path = tmp_path / "key.txt"
    path.write_text(identity.file_text())
    path.chmod(0o600)
    return path


@pytest.fixture
def tree(tmp_path):
    """Every kind of member that needs no root, and names of every kind."""
    root = tmp_path / "tree"
    (root / "base" / "1").mkdir(parents=True)
    (root / "empty directory").mkdir(mode=0o700)
    (root / "base" / "1" / "large").write_bytes(random.Random(3).randbytes(5 * MIB + 7))
    (root / "base" / "empty").write_bytes(b"")
    (root / "base-old").write_bytes(b"sorts after what is in base")
    os.link(root / "base" / "1" / "large", root / "second name")
    (root / "link").symlink_to("base/1/large")
    (root / "dangling").symlink_to("/nowhere")
    with (root / "sparse").open("wb") as file:
        file.truncate(3 * MIB)
        file.seek(2 * MIB)
        file.write(b"data")
    os.mkfifo(root / "fifo", 0o640)
    for name in [b"\xff\xfe no text", b"new\nline", b"n" * 255, "größe".encode()]:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    (root / "base" / "empty").chmod(0o400)
    os.utime(root / "base-old", ns=(0, -1_234_567_891))
    os.utime(root / "base" / "1", ns=(0, 1_700_000_000_123_456_789))
    return root


def members(root):
    """Each path below `root`, and "." of it itself, with what `lstat` says."""
    found = {".": os.lstat(root)}
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = os.lstat(path)
    return found


def looks(root):
    """What has to be the same of two trees: content, and attributes but for those that a copy cannot have."""
    found, inodes = {}, {}
    for path, of in members(root).items():
        whole = os.path.join(root, path)
        kind = stat.S_IFMT(of.st_mode)
        content = Path(whole).read_bytes() if kind == stat.S_IFREG else os.readlink(whole) if kind == stat.S_IFLNK else None
        names = inodes.setdefault(of.st_ino, path) if of.st_nlink > 1 and kind == stat.S_IFREG else path
        found[path] = (of.st_mode, of.st_uid, of.st_gid, of.st_mtime_ns, content, names)
    return found


def counts(root):
    found = members(root).values()
    kinds = [stat.S_IFMT(of.st_mode) for of in found]
    files = {of.st_ino for of in found if stat.S_ISREG(of.st_mode)}
    return {
        "files": len(files),
        "directories": kinds.count(stat.S_IFDIR),
        "symlinks": kinds.count(stat.S_IFLNK),
        "hard_links": kinds.count(stat.S_IFREG) - len(files),
        "others": kinds.count(stat.S_IFIFO),
    }


def said(counted):
    return {name: getattr(counted, name) for name in ["files", "directories", "symlinks", "hard_links", "others"]}


def program(*arguments):
    if PROGRAM is None:
        pytest.skip("COFFERDAM_PROGRAM names no program")
    return subprocess.run([PROGRAM, *arguments], capture_output=True, check=True).stdout


def sealed(source, identity, **options):
    out = io.BytesIO()
    cofferdam.seal(source, out, identity, **options)
    return out.getvalue()


def archive(format=tarfile.PAX_FORMAT, **contents):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_a_directory_comes_back_as_it_was_whatever_the_ends_are(tmp_path, tree, identity):
    expected = looks(tree)
    out = io.BytesIO()
    for number, target in enumerate([tmp_path / "a.cfd", str(tmp_path / "b.cfd"), out]):
        reported = cofferdam.seal(tree, target, identity.recipient)
        assert said(reported.tree) == counts(tree)
        assert (reported.tree.changed, reported.tree.changed_paths, reported.tree.no_catalog) == (0, [], None)
        assert set(reported.tree.left_out.values()) == {0}
        stream = out.getvalue() if target is out else Path(target).read_bytes()
        # 5 MiB that do not compress are in it by two names, and once; zeros take no room.
        assert 5 * MIB < len(stream) == reported.wire_len < 6 * MIB
        for way, source in enumerate([stream, io.BytesIO(stream), bytearray(stream)]):
            restored = tmp_path / f"restored {number} {way}"
            summary = cofferdam.restore(source, restored, identity)
            assert looks(restored) == expected and said(summary.tree) == counts(tree)
            assert set(summary.tree.left_out.values()) == {0} and summary.tree.old_tree is None
    # The comparison sees a byte, a mode, a time, a link that is a copy.
    (restored / "base-old").write_bytes(b"sorts after what is in basf")
    os.utime(restored / "base-old", ns=(0, -1_234_567_891))
    assert looks(restored) != expected
    assert os.listdir(tmp_path / "states" / "cofferdam") in ([], ["plans"])


def test_the_program_and_the_package_read_each_others_trees(tmp_path, tree, identity, key):
    cofferdam.seal(tree, tmp_path / "a.cfd", identity.recipient)
    program("restore", "-q", "-i", key, tmp_path / "a.cfd", tmp_path / "a")
    assert looks(tmp_path / "a") == looks(tree)
    program("seal", "-q", "--state-dir", tmp_path / "s", "-r", identity.recipient, "-o", tmp_path / "b.cfd", tree)
    cofferdam.restore(tmp_path / "b.cfd", tmp_path / "b", key)
    assert looks(tmp_path / "b") == looks(tree)


def test_entries_are_what_the_directory_has(tmp_path, tree, identity):
    expected = members(tree)
    with cofferdam.open(sealed(tree, identity), identity) as reader:
        listed = reader.tree()
        entries = {entry.path: entry for entry in listed}
        assert entries.keys() == expected.keys() and len(listed) == len(expected)
        for path, of in expected.items():
            entry, kind = entries[path], TYPES[stat.S_IFMT(of.st_mode)]
            whole = os.path.join(tree, path)
            if entry.type == "hard link":
                assert kind == "file" and os.path.samefile(whole, tree / entry.link) and entry.size == 0
            else:
                assert entry.type == kind and entry.size == (of.st_size if kind == "file" else 0)
                assert entry.link == (os.readlink(whole) if kind == "symlink" else None)
            assert (entry.uid, entry.gid, entry.mtime_ns, entry.changed) == (of.st_uid, of.st_gid, of.st_mtime_ns, False)
            assert entry.mode == stat.S_IMODE(of.st_mode) or kind == "symlink"
            found = listed.find(path)
            assert found.path == path and os.fspath(entry) == path and "Entry" in repr(entry)
        # Each directory before what is in it, and what is below it right behind.
        order = list(entries)
        assert order[0] == "." and order.index("base") + 4 == order.index("base-old")
        below = [entry.path for entry in listed.entries("base")]
        assert below == ["base", "base/1", "base/1/large", "base/empty"]
        for same in ["./base/", "/base", listed.find("base"), Path("base")]:
            assert [entry.path for entry in listed.entries(same)] == below
        assert [entry.path for entry in listed.entries("link")] == ["link"]
        assert listed.find("bas") is None and listed.find("base/1/large/x") is None
        with pytest.raises(FileNotFoundError) as caught:
            listed.entries("bas")
        assert isinstance(caught.value, cofferdam.NotFoundError)
        for wrong in ["../etc", "a//b", "a/./b", "a" * 256]:
            with pytest.raises(cofferdam.UsageError):
                listed.find(wrong)


def test_lists_are_whole_across_the_pieces_they_come_in(identity):
    names = [f"d{number % 3}/f{number:05}" for number in range(2503)]
    content = archive(**dict.fromkeys(names, b""))
    with cofferdam.open(sealed(content, identity, tar=True), identity) as reader:
        listed = reader.tree()
        assert [entry.path for entry in listed] == sorted(names)
        # A directory that is no member itself.
        assert [entry.path for entry in listed.entries("d1")] == sorted(name for name in names if name.startswith("d1/"))
        # As many iterators as one likes.
        one, other = iter(listed), iter(listed)
        assert all(a.path == b.path for a, b in itertools.zip_longest(one, other))


def test_a_list_of_long_names_in_any_order_is_whole(identity):
    """Above what is told at once, by number and by the length of names."""
    names = [f"{'n' * 240}{number:05}/" * 4 + f"{number:06}" for number in range(6000)]
    random.Random(4).shuffle(names)
    with cofferdam.open(sealed(archive(**dict.fromkeys(names, b"")), identity, tar=True), identity) as reader:
        assert [entry.path for entry in reader.tree()] == sorted(names)


def test_a_member_is_a_file(tmp_path, tree, identity):
    plain = (tree / "base/1/large").read_bytes()
    with cofferdam.open(sealed(tree, identity), identity) as reader:
        listed = reader.tree()
        for path in [entry.path for entry in listed if entry.type in ("file", "hard link")]:
            with listed.open(path) as member:
                assert isinstance(member, io.RawIOBase) and member.entry.path == path
                assert member.size == os.stat(tree / path).st_size and member.readall() == (tree / path).read_bytes()
        member = listed.open("base/1/large")
        assert member.pread(MIB - 1, 70_000) == plain[MIB - 1 : MIB - 1 + 70_000]
        assert member.pread(len(plain) - 3, 100) == plain[-3:] and member.pread(len(plain), 1) == member.pread(1 << 62, 1) == b""
        buffer = bytearray(b"\xee" * 10)
        assert member.pread_into(len(plain) - 4, buffer) == 4 and buffer == plain[-4:] + b"\xee" * 6
        assert member.seek(-5, io.SEEK_END) == len(plain) - 5 and member.read(10) == plain[-5:] and member.read(1) == b""
        with io.BufferedReader(listed.open("second name")) as buffered:
            buffered.seek(4 * MIB)
            assert buffered.read(9) == plain[4 * MIB : 4 * MIB + 9]
        with io.TextIOWrapper(listed.open(listed.find("base-old"))) as text:
            assert text.read() == "sorts after what is in base"
        member.close()
        with pytest.raises(ValueError):
            member.read(1)
        with pytest.raises(cofferdam.UsageError, match="not followed"):
            listed.open("link")
        for no_file in [".", "base", "fifo"]:
            with pytest.raises(cofferdam.UsageError):
                listed.open(no_file)
        with pytest.raises(FileNotFoundError):
            listed.open("base/2")


def test_a_file_object_gets_the_archive_that_tarfile_reads(tmp_path, tree, identity):
    out = io.BytesIO()
    cofferdam.restore(io.BytesIO(sealed(tree, identity)), out, identity)
    # To its end, and no catalog behind it.
    assert out.getvalue().endswith(bytes(1024)) and len(out.getvalue()) % 512 == 0
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        assert {name.removeprefix("./") for name in tar.getnames()} == members(tree).keys()
        tar.extractall(tmp_path / "extracted", filter="tar")
    different = filecmp.dircmp(tree, tmp_path / "extracted")
    assert not different.left_only and not different.right_only and not different.diff_files
    assert (tmp_path / "extracted/base/1/large").read_bytes() == (tree / "base/1/large").read_bytes()


def test_an_archive_is_sealed_as_the_tree_that_it_is(tmp_path, identity):
    contents = {"a": b"1", "b/c": bytes(100_000), "long/" * 60 + "name": b"2"}
    content = archive(**contents)
    reported = cofferdam.seal(io.BytesIO(content), tmp_path / "a.cfd", identity, tar=True)
    assert reported.tree.files == 3 and reported.tree.no_catalog is None and reported.tree.left_out is None
    out = io.BytesIO()
    cofferdam.restore(tmp_path / "a.cfd", out, identity)
    assert out.getvalue() == content
    cofferdam.restore(tmp_path / "a.cfd", tmp_path / "a", identity)
    assert {name: (tmp_path / "a" / name).read_bytes() for name in contents} == contents
    # Outside of what a catalog can say: it is one file.
    odd = archive(tarfile.GNU_FORMAT, **{"x" * 200: b"3"})
    reported = cofferdam.seal(odd, tmp_path / "b.cfd", identity, tar=True)
    assert reported.tree.files == 0 and reported.tree.no_catalog
    assert cofferdam.restore(tmp_path / "b.cfd", tmp_path / "b", identity).tree is None
    assert (tmp_path / "b").read_bytes() == odd
    with cofferdam.open(tmp_path / "b.cfd", identity) as reader, pytest.raises(cofferdam.UsageError, match="no catalog"):
        reader.tree()
    for broken in [content[:-2000], b"no archive, " * 100]:
        with pytest.raises(cofferdam.StorageError):
            cofferdam.seal(broken, tmp_path / "c.cfd", identity, tar=True)
        assert not (tmp_path / "c.cfd").exists()


def test_a_hard_link_to_a_symbolic_link_is_no_file(identity):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link in [("a", tarfile.SYMTYPE, "elsewhere"), ("b", tarfile.LNKTYPE, "a")]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
    with cofferdam.open(sealed(out.getvalue(), identity, tar=True), identity) as reader:
        assert [(entry.type, entry.link) for entry in reader.tree()] == [("symlink", "elsewhere"), ("hard link", "a")]
        with pytest.raises(cofferdam.UsageError, match="no file"):
            reader.tree().open("b")


def test_globs_choose_what_is_sealed_and_a_string_is_one_glob(tmp_path, tree, identity):
    def paths(**options):
        with cofferdam.open(sealed(tree, identity, **options), identity) as reader:
            return {entry.path for entry in reader.tree()}

    everything = members(tree).keys()
    assert paths(exclude="base/") == {path for path in everything if path != "base" and not path.startswith("base/")}
    assert paths(exclude=["large", "/link"]) == everything - {"base/1/large", "link"}
    directories = {".", "base", "base/1", "empty directory"}
    assert paths(include="base-*") == directories | {"base-old"}
    assert paths(include=("base-*", "empty"), exclude="base/") == {".", "empty directory", "base-old"}
    left_out = cofferdam.seal(tree, io.BytesIO(), identity, exclude="base/").tree.left_out
    assert left_out["by_globs"] == 1 and sum(left_out.values()) == 1
    for wrong in [{"exclude": "["}, {"exclude": 7}, {"include": [1]}, {"exclude": ""}]:
        with pytest.raises(cofferdam.UsageError):
            sealed(tree, identity, **wrong)
    for of_directories in [{"exclude": "a"}, {"include": ["a"]}, {"strict": True}, {"all_file_systems": True}]:
        for source in [b"bytes", tree / "base-old"]:
            with pytest.raises(cofferdam.UsageError, match="directories"):
                sealed(source, identity, **of_directories)
    with pytest.raises(cofferdam.UsageError, match="archive"):
        sealed(tree, identity, tar=True)
    with pytest.raises(cofferdam.UsageError):
        sealed(tree, identity, format="age")


class Changes(io.BytesIO):
    """Changes a file that is read later, and removes another, once something has been written."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def write(self, content):
        os.truncate(self.path, 1)
        self.path.with_name("c").unlink(missing_ok=True)
        return super().write(content)


def test_a_file_that_changes_is_flagged_or_refused(tmp_path, identity):
    tree = tmp_path / "changing"
    tree.mkdir()
    with (tree / "a").open("wb") as file:
        # A hole: its zeros take no room here.
        file.truncate(96 * MIB)
    bounds = {"threads": 1, "memory": 8 * MIB, "zstd": 0}
    for strict in [True, False]:
        (tree / "b").write_bytes(b"whole")
        (tree / "c").write_bytes(b"to go")
        out = Changes(tree / "b")
        if strict:
            with pytest.raises(cofferdam.SourceChangedError):
                cofferdam.seal(tree, out, identity, strict=True, **bounds)
            continue
        reported = cofferdam.seal(tree, out, identity, **bounds)
        assert (reported.tree.changed, reported.tree.changed_paths) == (2, ["b"])
        assert (reported.tree.gone, reported.tree.gone_paths) == (1, ["c"])
    with cofferdam.open(out.getvalue(), identity) as reader:
        assert [entry.path for entry in reader.tree() if entry.changed] == ["b", "c"]
        assert [entry.path for entry in reader.tree() if entry.gone] == ["c"]
        # What they have lost is zeros.
        assert reader.tree().open("b").readall() == b"w" + bytes(4)
        assert reader.tree().open("c").readall() == bytes(5)


def test_a_target_that_exists_is_refused_replaced_or_kept(tmp_path, tree, identity):
    stream, target = sealed(tree, identity), tmp_path / "target"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    before = looks(target)
    with pytest.raises(FileExistsError):
        cofferdam.restore(stream, target, identity)
    assert looks(target) == before
    restored = cofferdam.restore(stream, target, identity, force=True, keep_old=True)
    assert looks(target) == looks(tree) and restored.tree.old_tree == f"{target}.cofferdam-old"
    assert looks(restored.tree.old_tree) == before
    # The second time, and the third.
    assert cofferdam.restore(stream, target, identity, force=True).tree.old_tree is None
    again = cofferdam.restore(stream, target, identity, force=True, keep_old=True)
    assert looks(target) == looks(tree) and again.tree.old_tree.endswith("-old-2")
    # A file is no directory, whatever is asked for.
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(cofferdam.Error):
        cofferdam.restore(stream, tmp_path / "file", identity, force=True)
    assert (tmp_path / "file").read_bytes() == b"x"
    for together in [{"keep_old": True}, {"keep_old": True, "force": True, "into": True}, {"numeric_owner": True, "no_owner": True}]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.restore(stream, target, identity, **together)


def test_a_tree_is_moved_into_a_directory_that_exists(tmp_path, tree, identity):
    stream, target = sealed(tree, identity), tmp_path / "target"
    (target / "base").mkdir(parents=True)
    (target / "base" / "mine").write_bytes(b"stays")
    cofferdam.restore(stream, target, identity, into=True)
    assert (target / "base/mine").read_bytes() == b"stays" and (target / "base/1/large").stat().st_size == 5 * MIB + 7
    # What is there now is refused, or replaced.
    (target / "base-old").write_bytes(b"another")
    with pytest.raises(cofferdam.TargetExistsError):
        cofferdam.restore(stream, target, identity, into=True)
    assert (target / "base-old").read_bytes() == b"another"
    cofferdam.restore(stream, target, identity, into=True, force=True)
    assert (target / "base-old").read_bytes() == (tree / "base-old").read_bytes()
    assert (target / "base/mine").read_bytes() == b"stays"


def test_what_is_read_is_not_removed_with_the_directory_that_is_replaced(tmp_path, tree, identity):
    target = tmp_path / "target"
    target.mkdir()
    stream = target / "a.cfd"
    cofferdam.seal(tree, stream, identity)
    (target / "key.txt").write_text(identity.file_text())
    before = looks(target)
    for source, keys in [(stream, identity), (stream.read_bytes(), target / "key.txt"), (stream.read_bytes(), [str(target / "key.txt")])]:
        for call in [cofferdam.restore, lambda *ends, **how: cofferdam.restore_paths(ends[0], ends[1], "link", ends[2], **how)]:
            with pytest.raises(cofferdam.UsageError, match="removed with it"):
                call(source, target, keys, force=True)
            assert looks(target) == before
    kept = cofferdam.restore(stream, target, identity, force=True, keep_old=True).tree.old_tree
    assert looks(target) == looks(tree) and looks(kept) == before


def test_what_the_check_of_a_signature_reads_is_not_removed_either(tmp_path, tree, identity):
    target, secret = tmp_path / "target", tmp_path / "secret"
    target.mkdir()
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", secret], check=True)
    except FileNotFoundError:
        pytest.skip("there is no ssh-keygen")
    sealed = tmp_path / "a.cfd"
    line = f"cofferdam stream 1 blake3 {cofferdam.seal(tree, sealed, identity).stream_digest}\n"
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "stream@cofferdam", "-f", secret]
    signature = subprocess.run(sign, input=line.encode(), capture_output=True, check=True).stdout
    for place in [tmp_path, target]:
        (place / "a.sig").write_bytes(signature)
        (place / "trusted.pub").write_bytes(secret.with_suffix(".pub").read_bytes())
    before = looks(target)
    for keys, signed in itertools.product([tmp_path, target], [tmp_path, target]):
        how = {"force": True, "signed_by": keys / "trusted.pub", "signature": signed / "a.sig"}
        if keys != signed or keys == target:
            with pytest.raises(cofferdam.UsageError, match="removed with it"):
                cofferdam.restore(sealed, target, identity, **how)
            assert looks(target) == before
    # Both are elsewhere.
    cofferdam.restore(sealed, target, identity, force=True, signed_by=tmp_path / "trusted.pub", signature=tmp_path / "a.sig")
    assert looks(target) == looks(tree)


def test_paths_are_restored_alone(tmp_path, tree, identity):
    stream = sealed(tree, identity)
    restored = cofferdam.restore_paths(stream, tmp_path / "some", ["/base/1", "link"], identity)
    assert members(tmp_path / "some").keys() == {".", "base", "base/1", "base/1/large", "link"}
    assert said(restored) == counts(tmp_path / "some")
    assert filecmp.cmp(tmp_path / "some/base/1/large", tree / "base/1/large", shallow=False)
    # A hard link whose file is not chosen is that file.
    cofferdam.restore_paths(stream, tmp_path / "name", "second name", identity)
    assert filecmp.cmp(tmp_path / "name/second name", tree / "base/1/large", shallow=False)
    with pytest.raises(FileExistsError):
        cofferdam.restore_paths(stream, tmp_path / "some", "link", identity)
    cofferdam.restore_paths(stream, tmp_path / "some", "link", identity, force=True)
    assert members(tmp_path / "some").keys() == {".", "link"}
    for nothing in ["nothing", [], "[", 7]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.restore_paths(stream, tmp_path / "nothing", nothing, identity)
    with pytest.raises(cofferdam.UsageError):
        cofferdam.restore_paths(sealed(b"no tree", identity), tmp_path / "nothing", "a", identity)
    with pytest.raises(cofferdam.UsageError):
        cofferdam.restore_paths(io.BytesIO(stream), tmp_path / "nothing", "link", identity)
    assert not (tmp_path / "nothing").exists()


def test_what_is_no_tree_is_said(tmp_path, identity):
    plain = sealed(b"no tree", identity)
    with cofferdam.open(plain, identity) as reader, pytest.raises(cofferdam.UsageError, match="no tree"):
        reader.tree()
    aged = sealed(b"no tree either", identity, format="age")
    with cofferdam.open(aged, identity) as reader, pytest.raises(cofferdam.UsageError, match="no tree"):
        reader.tree()
    for stream in [plain, aged]:
        for option in ["into", "numeric_owner", "no_owner", "set_id", "devices"]:
            with pytest.raises(cofferdam.UsageError):
                cofferdam.restore(stream, tmp_path / "target", identity, **{option: True})
        with pytest.raises(cofferdam.UsageError):
            cofferdam.restore(stream, tmp_path / "target", identity, force=True, keep_old=True)
        assert not (tmp_path / "target").exists()
        restored = cofferdam.restore(stream, tmp_path / "target", identity)
        assert restored.tree is None and (tmp_path / "target").is_file()
        (tmp_path / "target").unlink()


def test_directory_options_are_refused_where_no_directory_is_made(tmp_path, tree, identity):
    stream = sealed(tree, identity)
    with pytest.raises(cofferdam.UsageError):
        cofferdam.restore(stream, io.BytesIO(), identity, set_id=True)
    with pytest.raises(cofferdam.UsageError):
        cofferdam.restore_paths(stream, io.BytesIO(), "link", identity)


def damaged(stream, share):
    flipped = bytearray(stream)
    flipped[int(len(flipped) * share)] ^= 1
    return bytes(flipped)


def test_damage_is_of_the_members_that_have_it(tmp_path, tree, identity):
    stream = damaged(sealed(tree, identity, zstd=0), 0.4)
    with cofferdam.open(stream, identity) as reader:
        listed, failed = reader.tree(), []
        for path in ["base/1/large", "sparse", "base-old"]:
            try:
                assert listed.open(path).readall() == (tree / path).read_bytes()
            except cofferdam.DamagedError as error:
                failed.append(path)
                assert error.segment is not None
        assert len(failed) == 1 and len(list(listed)) == len(members(tree))
    with pytest.raises(cofferdam.DamagedError):
        cofferdam.restore(stream, tmp_path / "target", identity)
    assert not (tmp_path / "target").exists()
    cofferdam.discard(tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["states", "tree"]


def test_that_bytes_are_a_tree_is_not_said_by_hand(identity):
    with pytest.raises(cofferdam.UsageError):
        sealed(b"x", identity, metadata={"cofferdam.content": "tar+catalog/1"})


def test_a_closed_reader_ends_what_it_has_given(tree, identity):
    reader = cofferdam.open(sealed(tree, identity), identity)
    listed = reader.tree()
    entries, member = iter(listed), listed.open("base-old")
    first = next(entries)
    reader.close()
    for use in [lambda: listed.find("link"), lambda: listed.entries(), lambda: listed.open("link"), lambda: member.read(1), reader.tree]:
        with pytest.raises(ValueError):
            use()
    # What has been told stays; whether more follow is not known.
    assert first.path == "."
    with pytest.raises(cofferdam.UsageError, match="closed"):
        list(entries)


def test_many_threads_read_one_tree(tree, identity):
    expected = {path: (tree / path).read_bytes() for path in ["base/1/large", "second name", "sparse", "base-old", "base/empty"]}
    wrong = []
    with cofferdam.open(sealed(tree, identity), identity, memory=4 * MIB) as reader:
        listed = reader.tree()
        shared = listed.open("base/1/large")

        def work(seed):
            drawn = random.Random(seed)
            for _ in range(30):
                path = drawn.choice(list(expected))
                if listed.open(path).readall() != expected[path] or listed.find(path).path != path:
                    wrong.append(path)
                at = drawn.randrange(5 * MIB)
                if shared.pread(at, 5000) != expected["base/1/large"][at : at + 5000]:
                    wrong.append(at)
            if len(list(listed)) != len(listed):
                wrong.append("the list")

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_forked_child_opens_its_own(tree, identity):
    stream = sealed(tree, identity)
    with cofferdam.open(stream, identity) as reader:
        listed = reader.tree()
        member = listed.open("base-old")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for use in [lambda: listed.find("link"), lambda: list(listed), lambda: member.read(1)]:
                    try:
                        use()
                        os._exit(2)
                    except cofferdam.UsageError:
                        pass
                with cofferdam.open(stream, identity) as own:
                    status = 0 if own.tree().open("base-old").read() == b"sorts after what is in base" else 3
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert member.read() == b"sorts after what is in base"


def unless_locked(call):
    """Makes the call again as long as one that was cancelled has not ended: after five seconds that is left to itself, and on a busy machine it may take longer."""
    deadline = time.monotonic() + 600
    while True:
        try:
            return call()
        except cofferdam.TargetLockedError:
            assert time.monotonic() < deadline, "what was cancelled does not end"
            time.sleep(0.05)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ZeroDivisionError])
def test_what_progress_raises_ends_a_sealing_and_a_restore(tmp_path, identity, raised):
    tree = tmp_path / "tree"
    tree.mkdir()
    # Seconds of work.
    (tree / "a").write_bytes(random.Random(5).randbytes(16 * MIB).hex().encode())

    def progress(_):
        raise raised

    slow = {"threads": 1, "memory": 16 * MIB, "progress": progress}
    with pytest.raises(raised):
        cofferdam.seal(tree, tmp_path / "a.cfd", identity, zstd=19, **slow)
    assert not (tmp_path / "a.cfd").exists()
    unless_locked(lambda: cofferdam.seal(tree, tmp_path / "a.cfd", identity, zstd=1))
    assert [path for path in (tmp_path / "states").rglob("*") if path.is_file()] == []
    # All or nothing, whenever it is that it is raised; and the second run comes to the same end.
    with pytest.raises(raised):
        cofferdam.restore(tmp_path / "a.cfd", tmp_path / "b", identity, **slow)
    if not (tmp_path / "b").exists():
        unless_locked(lambda: cofferdam.restore(tmp_path / "a.cfd", tmp_path / "b", identity))
    assert looks(tmp_path / "b") == looks(tree)


def test_an_interrupted_restore_is_resumed_by_the_same_call(tmp_path, identity):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(random.Random(6).randbytes(40 * MIB))
    cofferdam.seal(tree, tmp_path / "a.cfd", identity, zstd=0)
    (tmp_path / "cut.cfd").write_bytes(damaged((tmp_path / "a.cfd").read_bytes(), 0.9))
    with pytest.raises(cofferdam.DamagedError) as caught:
        cofferdam.restore(tmp_path / "cut.cfd", tmp_path / "b", identity)
    assert caught.value.resumable_bytes and not (tmp_path / "b").exists()
    restored = cofferdam.restore(tmp_path / "a.cfd", tmp_path / "b", identity)
    assert restored.resumed_bytes >= 16 * MIB and looks(tmp_path / "b") == looks(tree)


def test_the_plan_is_kept_where_only_this_user_writes(tmp_path, tree, identity, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(cofferdam.UsageError):
        sealed(tree, identity, state_dir=shared)
    sealed(tree, identity, state_dir=str(tmp_path / "own"))
    assert (tmp_path / "own").stat().st_mode & 0o077 == 0
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(cofferdam.UsageError, match="state_dir"):
        sealed(tree, identity)
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    with pytest.raises(cofferdam.UsageError, match="state_dir"):
        sealed(tree, identity)


def test_an_output_within_the_directory_is_refused(tmp_path, tree, identity):
    with pytest.raises(cofferdam.UsageError, match="contain it"):
        cofferdam.seal(tree, tree / "base" / "a.cfd", identity)
    assert not (tree / "base/a.cfd").exists()
    cofferdam.seal(tree, tree / "base" / "a.cfd", identity, exclude="/base")
    with pytest.raises(cofferdam.NotFoundError):
        cofferdam.seal(tmp_path / "not there", tmp_path / "a.cfd", identity)


def test_verify_looks_at_the_tree_too(tree, identity):
    stream = sealed(tree, identity)
    for source in [stream, io.BytesIO(stream)]:
        assert cofferdam.verify(source, identity).metadata[b"cofferdam.content"] == b"tar+catalog/1"
    assert cofferdam.verify(stream).metadata == {}

"""A restore by parts, as the installed package has it. What is expected comes from elsewhere: the input itself, the `cofferdam` program, the files."""

import doctest
import os
import pickle
import random
import shutil
import subprocess
import threading
import time

import pytest

import cofferdam
from cofferdam import parts

PROGRAM = os.environ.get("COFFERDAM_PROGRAM")
MIB = 1 << 20


@pytest.fixture(scope="module")
def plain():
    return random.Random(23).randbytes(17 * MIB + 5)


@pytest.fixture
def identity():
    return cofferdam.Identity.generate()


@pytest.fixture
def stream(tmp_path, identity, plain):
    """Three segments: of 8 MiB, of as many, and of the rest."""
    cofferdam.seal(plain, tmp_path / "a.cfd", identity.recipient)
    return tmp_path / "a.cfd"


def program(*arguments):
    if PROGRAM is None:
        pytest.skip("COFFERDAM_PROGRAM names no program")
    return subprocess.run([PROGRAM, *arguments], capture_output=True, check=True).stdout


def left_beside(target):
    return sorted(path.name for path in target.parent.glob(f".{target.name}*"))


def test_each_step_does_nothing_when_it_is_made_again(tmp_path, stream, identity, plain):
    plan, target = tmp_path / "plan", tmp_path / "target"
    made = parts.plan(plan, stream, target, 3, identity)
    assert (len(made), made.plaintext_len, made.was_there) == (3, len(plain), False)
    assert made.part_lens == [8 * MIB, 8 * MIB, MIB + 5]
    assert (made.sealed, made.target) == (str(stream), str(target))
    assert made.stream_digest == cofferdam.inspect(stream).stream_digest
    again = parts.plan(plan, stream, target, 3, identity)
    assert again.was_there and again.id == made.id == parts.read(plan).id
    assert parts.run_part(plan, 2, identity) == "written"
    assert parts.run_part(plan, 2, identity) == "written before"
    state = parts.state(plan)
    assert (state.committed, state.published, state.missing, state.strange) == (False, False, [0, 1], 0)
    with pytest.raises(cofferdam.PartsMissingError) as missing:
        parts.commit(plan)
    assert missing.value.parts == [0, 1] and missing.value.kind == "parts-missing" and "0, 1" in str(missing.value)
    over_the_wire = pickle.loads(pickle.dumps(missing.value))
    assert over_the_wire.parts == [0, 1] and str(over_the_wire) == str(missing.value)
    assert not target.exists()
    assert [parts.run_part(plan, part, identity) for part in range(2)] == ["written"] * 2
    committed = parts.commit(plan)
    assert (committed.was_there, committed.tree) == (False, None)
    assert target.read_bytes() == plain
    assert left_beside(target) == []
    before = target.stat()
    assert parts.commit(plan).was_there
    assert parts.run_part(plan, 0, identity) == "committed"
    state = parts.state(plan)
    assert (state.committed, state.published, state.missing) == (True, True, [])
    assert parts.give_up(plan) == "in place"
    assert target.stat() == before


def test_the_steps_go_together_with_those_of_the_program(tmp_path, stream, identity, plain):
    key = tmp_path / "key.txt"
    key.write_text(identity.file_text())
    key.chmod(0o600)
    program("restore", "-i", key, "--plan", tmp_path / "plan", "--parts", "3", stream, tmp_path / "target")
    parts.run_part(tmp_path / "plan", 0, key)
    program("restore", "-i", key, "--plan", tmp_path / "plan", "--part", "1")
    parts.run_part(tmp_path / "plan", 2, identity, sealed=stream.read_bytes())
    program("restore", "--plan", tmp_path / "plan", "--commit")
    assert (tmp_path / "target").read_bytes() == plain
    assert parts.commit(tmp_path / "plan").was_there


def test_what_is_wrong_is_said_by_its_kind(tmp_path, stream, identity, plain, monkeypatch):
    plan, target = tmp_path / "plan", tmp_path / "target"
    with pytest.raises(cofferdam.NotFoundError):
        parts.state(plan)
    with pytest.raises(cofferdam.UsageError, match="at least 1"):
        parts.plan(plan, stream, target, 0, identity)
    with pytest.raises(cofferdam.UsageError):
        parts.plan(plan, stream, target, 4, identity)
    with pytest.raises(cofferdam.UsageError, match="path or a URL"):
        parts.plan(plan, stream.read_bytes(), target, 2, identity)
    with pytest.raises(cofferdam.NoKeyError):
        parts.plan(plan, stream, target, 2, cofferdam.Identity.generate())
    assert not plan.exists()
    parts.plan(plan, stream, target, 2, identity)
    with pytest.raises(cofferdam.JournalMismatchError):
        parts.plan(plan, stream, target, 3, identity)
    with pytest.raises(cofferdam.UsageError):
        parts.run_part(plan, 2, identity)
    with pytest.raises(cofferdam.NoKeyError):
        parts.run_part(plan, 0, cofferdam.Identity.generate())
    other = tmp_path / "b.cfd"
    cofferdam.seal(plain, other, identity.recipient)
    with pytest.raises(cofferdam.DigestMismatchError):
        parts.run_part(plan, 0, identity, sealed=other)
    (tmp_path / "other.key").write_text("ab" * 32 + "\n")
    (tmp_path / "other.key").chmod(0o600)
    with pytest.raises(cofferdam.JournalMismatchError):
        parts.commit(plan, plan_key=tmp_path / "other.key")
    monkeypatch.setenv("COFFERDAM_PLAN_KEY", str(tmp_path / "other.key"))
    with pytest.raises(cofferdam.JournalMismatchError):
        parts.commit(plan)
    assert parts.read(plan, plan_key=f"{plan}.key").part_lens
    monkeypatch.delenv("COFFERDAM_PLAN_KEY")
    assert not target.exists()
    assert parts.give_up(plan) == "removed"
    assert parts.give_up(plan) == "nothing found"
    assert left_beside(target) == []
    for call in [parts.state, parts.commit, lambda plan: parts.run_part(plan, 0, identity)]:
        with pytest.raises(cofferdam.JournalMismatchError, match="given up"):
            call(plan)


def test_a_part_that_is_cancelled_leaves_no_receipt_and_is_run_again(tmp_path, stream, identity, plain):
    plan, target = tmp_path / "plan", tmp_path / "target"
    parts.plan(plan, stream, target, 1, identity)

    class Enough(Exception):
        pass

    class Slow:
        """A source that brings little once the first segment is there: what is not yet there when it is cancelled is not waited for."""

        def __init__(self):
            self.content = stream.read_bytes()
            self.size = len(self.content)

        def read_at(self, offset, length):
            time.sleep(2 if 9 * MIB < offset < self.size - MIB else 0)
            return self.content[offset : offset + length]

    def enough(_):
        raise Enough

    with pytest.raises(Enough):
        parts.run_part(plan, 0, identity, sealed=Slow(), threads=1, progress=enough)
    assert parts.state(plan).missing == [0]
    parts.run_part(plan, 0, identity)
    parts.commit(plan, threads=1, compare=True)
    assert target.read_bytes() == plain


def test_a_state_that_is_asked_for_during_the_commit_is_one(tmp_path, stream, identity):
    plan, target = tmp_path / "plan", tmp_path / "target"
    parts.plan(plan, stream, target, 3, identity)
    for part in range(3):
        parts.run_part(plan, part, identity)
    # Many that are none: the directory goes while they are read.
    receipt = next(tmp_path.glob(".target.cofferdam-parts-*/receipt-0-*"))
    for number in range(2000):
        receipt.with_name(f"receipt-0-{number:032x}").write_bytes(receipt.read_bytes())
    assert parts.state(plan).strange == 2000
    committed, came = threading.Event(), []

    def ask():
        while not committed.is_set():
            came.append(parts.state(plan))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    raised = []
    threading.excepthook, before = lambda args: raised.append(args.exc_value), threading.excepthook
    try:
        for thread in threads:
            thread.start()
        parts.commit(plan)
        committed.set()
        for thread in threads:
            thread.join()
    finally:
        committed.set()
        threading.excepthook = before
    assert raised == [] and came and all(state.missing == [] for state in came)
    assert parts.state(plan).committed


def test_threads_run_parts_and_python_meanwhile(tmp_path, stream, identity, plain):
    plan, target = tmp_path / "plan", tmp_path / "target"
    parts.plan(plan, stream, target, 3, identity)
    ran = []
    threads = [threading.Thread(target=lambda part=part: ran.append(parts.run_part(plan, part, identity))) for part in [0, 1, 2, 0, 1, 2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 6 and set(ran) <= {"written", "written before"} and ran.count("written") >= 3
    parts.commit(plan)
    assert target.read_bytes() == plain


def test_every_name_is_documented_and_the_example_runs(tmp_path, monkeypatch):
    for name in parts.__all__:
        assert getattr(parts, name).__doc__, name
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(parts)
    assert result.attempted >= 8 and result.failed == 0


def listed(root):
    """What is in a directory, by the standard library."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(root.rglob("*"))
    }


def test_a_directory_is_made_and_the_plan_keeps_how(tmp_path):
    identity = cofferdam.Identity.generate()
    tree, sealed, plan, target = (tmp_path / name for name in ("tree", "tree.cfd", "plan", "target"))
    (tree / "inner").mkdir(parents=True)
    (tree / "large").write_bytes(random.Random(5).randbytes(20 << 20))
    (tree / "inner" / "small").write_bytes(b"small")
    (tree / "inner" / "small").chmod(0o640)
    (tree / "link").symlink_to("inner/small")
    cofferdam.seal(tree, sealed, identity.recipient)
    (target / "old").mkdir(parents=True)
    with pytest.raises(cofferdam.TargetExistsError):
        parts.plan(plan, sealed, target, 2, identity)
    with pytest.raises(cofferdam.UsageError):
        parts.plan(plan, sealed, target, 2, identity, keep_old=True)
    for inside in ({"plan_key": target / "key"}, {"plan": target / "plan"}):
        with pytest.raises(cofferdam.UsageError):
            parts.plan(**{"plan": plan, "sealed": sealed, "target": target, "parts": 2, "identities": identity, "force": True} | inside)
    assert len(parts.plan(plan, sealed, target, 2, identity, force=True, keep_old=True)) == 2
    with pytest.raises(cofferdam.JournalMismatchError):
        parts.plan(plan, sealed, target, 2, identity, force=True)
    assert [parts.run_part(plan, part, identity) for part in (1, 0)] == ["written", "written"]
    assert os.listdir(target) == ["old"]
    committed, again = parts.commit(plan), parts.commit(plan)
    assert (committed.was_there, again.was_there, again.tree) == (False, True, None)
    assert (committed.tree.files, committed.tree.directories, committed.tree.symlinks) == (2, 2, 1)
    assert listed(target) == listed(tree)
    assert os.listdir(tmp_path / "target.cofferdam-old") == ["old"] and left_beside(target) == []
    assert (committed.tree.old_tree, committed.tree.old_tree_not_removed) == (str(tmp_path / "target.cofferdam-old"), None)


def test_a_commit_of_a_directory_says_what_was_left_out(tmp_path):
    identity = cofferdam.Identity.generate()
    tree, sealed, plan, target = (tmp_path / name for name in ("tree", "tree.cfd", "plan", "target"))
    tree.mkdir()
    (tree / "program").write_bytes(b"#!/bin/sh\n")
    (tree / "program").chmod(0o6755)
    (tree / "text").write_bytes(b"text")
    cofferdam.seal(tree, sealed, identity.recipient)
    parts.plan(plan, sealed, target, 1, identity)
    parts.run_part(plan, 0, identity)
    committed = parts.commit(plan)
    assert {word: count for word, count in committed.tree.left_out.items() if count} == {"set_id_bits": 1}
    assert committed.tree.old_tree is None
    assert (target / "program").stat().st_mode & 0o7777 == 0o755


def killed_before_its_note(home, sealed, identity, call):
    """A plan for `home`/target whose commit, by the program, was killed as it made `call`, once the target was in place and before that was noted."""
    if PROGRAM is None or shutil.which("strace") is None:
        pytest.skip("COFFERDAM_PROGRAM names no program, or there is no strace")
    for when in range(1, 20):
        plan = home / f"plan-{when}"
        parts.plan(plan, sealed, home / "target", 1, identity)
        parts.run_part(plan, 0, identity)
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
        killed = subprocess.run([*strace, PROGRAM, "restore", "--plan", plan, "--commit"], capture_output=True)
        assert killed.returncode != 0 and not plan.with_name(f"{plan.name}.committed").exists(), f"no {call} is made in between"
        if parts.state(plan).published:
            return plan
        assert parts.give_up(plan) == "removed"
    raise AssertionError("it is not noted after it is published")


@pytest.mark.parametrize("is_tree, call", [(False, "linkat"), (True, "utimensat")], ids=["file", "directory"])
def test_a_target_that_is_in_place_and_not_noted_is_told_from_others(tmp_path, is_tree, call):
    identity = cofferdam.Identity.generate()
    tree, sealed, target = tmp_path / "tree", tmp_path / "a.cfd", tmp_path / "target"
    tree.mkdir()
    (tree / "inner").write_bytes(b"inner")
    cofferdam.seal(tree if is_tree else b"a file", sealed, identity.recipient)

    plan = killed_before_its_note(tmp_path, sealed, identity, call)
    state = parts.state(plan)
    assert (state.committed, state.published) == (False, True)
    again = parts.commit(plan)
    assert again.was_there and parts.state(plan).committed
    assert (again.tree.files if is_tree else again.tree) == (1 if is_tree else None)
    assert left_beside(target) == []

    for ends, word in [(lambda: None, "in place"), (lambda: target.rename(tmp_path / "elsewhere"), "may have been in place")]:
        for path in [*tmp_path.glob("plan*"), *([] if is_tree else [target])]:
            path.unlink()
        if is_tree:
            shutil.rmtree(target)
        plan = killed_before_its_note(tmp_path, sealed, identity, call)
        ends()
        assert parts.give_up(plan) == word
        assert parts.give_up(plan) == ("in place" if word == "in place" else "nothing found")
        assert left_beside(target) == []

"""What an attack on the package has found: keys in messages and pickles, calls that Ctrl-C does not end, children that hang, what lies there the second time."""

import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

import cofferdam


@pytest.fixture
def identity():
    return cofferdam.Identity.generate()


@pytest.fixture
def key(tmp_path, identity):
    path = tmp_path / "key.txt"
    path.write_text(identity.file_text())
    return path


def secret_of(identity):
    return next(line for line in identity.file_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))


def sealed(identity, plain):
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    return out.getvalue()


def heed_interrupts():
    """What a shell starts in the background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def child(script, *arguments):
    """A process that says `ready`, and what becomes of it once it has been interrupted."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=15)[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("spoil", [" {}".format, "\n{}".format, "\ufeff{}".format, "key: {}".format, str.lower])
def test_a_key_that_is_not_recognised_is_not_said_in_the_error(identity, spoil):
    secret = secret_of(identity)
    try:
        cofferdam.verify(sealed(identity, b"x"), spoil(secret))
    except cofferdam.Error as error:
        assert secret.lower() not in str(error).lower()


@pytest.mark.parametrize("spoil", [" {}".format, "# created: 2026-01-01\n{}\n".format, str.lower])
def test_no_form_of_a_key_is_pickled_by_the_file_system(identity, spoil):
    fsspec = pytest.importorskip("fsspec")
    secret = secret_of(identity)
    try:
        fs = fsspec.filesystem("cofferdam", fs=fsspec.filesystem("memory"), identity=spoil(secret))
    except cofferdam.UsageError:
        return
    assert secret.lower().encode() not in pickle.dumps(fs).lower()


def test_an_option_that_does_not_exist_is_refused_by_the_file_system():
    fsspec = pytest.importorskip("fsspec")
    with pytest.raises((TypeError, cofferdam.UsageError)):
        fsspec.filesystem("cofferdam", fs=fsspec.filesystem("memory"), identityy="key.txt")


BLOCKED = {
    "a pipe that says nothing": "read, _write = os.pipe(); cofferdam.restore(os.fdopen(read, 'rb'), sys.argv[1], identity)",
    "a pipe that nobody reads": "_read, write = os.pipe(); cofferdam.seal(os.urandom(5 << 20), os.fdopen(write, 'wb'), identity)",
    "an object that waits": "cofferdam.seal(type('Waits', (), {'read': lambda self, size: time.sleep(60) or b''})(), sys.argv[1], identity)",
}


@pytest.mark.parametrize("body", BLOCKED.values(), ids=BLOCKED)
def test_an_interrupt_ends_a_call_that_waits_for_an_object(tmp_path, body):
    script = f"""
import cofferdam, os, sys, threading, time
identity = cofferdam.Identity.generate()
threading.Timer(1.0, lambda: print("ready", flush=True)).start()
try:
    {body}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""
    assert child(script, tmp_path / "target").endswith("interrupted\n")


def test_a_child_forked_while_a_thread_opens_does_not_hang(tmp_path, identity, key):
    memory = pytest.importorskip("fsspec.implementations.memory")
    fsspec = pytest.importorskip("fsspec")

    class Slow(memory.MemoryFileSystem):
        protocol = "slow"
        cachable = False
        store: dict = {}

        def info(self, path, **options):
            if "slow" in path:
                time.sleep(2)
            return super().info(path, **options)

    inner = Slow()
    for name in ["/slow.cfd", "/quick.cfd"]:
        inner.pipe_file(name, sealed(identity, b"x" * 100_000))
    fs = fsspec.filesystem("cofferdam", fs=inner, identity=str(key))
    opens = threading.Thread(target=fs.cat_file, args=("/slow.cfd",))
    opens.start()
    time.sleep(0.5)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        os._exit(0 if len(fs.cat_file("/quick.cfd")) == 100_000 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    opens.join()


def test_a_file_that_was_replaced_is_read_anew_by_every_call(tmp_path, identity, key):
    fsspec = pytest.importorskip("fsspec")
    path = tmp_path / "a.cfd"
    path.write_bytes(sealed(identity, b"the old one"))
    fs, name = fsspec.core.url_to_fs(f"cofferdam::file://{path}", cofferdam={"identity": str(key)})
    assert fs.cat_file(name) == b"the old one"
    (tmp_path / "new").write_bytes(sealed(identity, b"and this is new"))
    (tmp_path / "new").replace(path)
    with fs.open(name) as file:
        assert file.read() == b"and this is new"
    assert fs.cat_file(name) == b"and this is new"
    assert fs.info(name)["size"] == len(b"and this is new")


def test_many_files_are_not_held_open(tmp_path, identity, key):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("cofferdam", target_protocol="file", identity=str(key))
    content = sealed(identity, b"x")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(150):
        path = tmp_path / f"{number}.cfd"
        path.write_bytes(content)
        fs.info(str(path))
    assert len(os.listdir("/proc/self/fd")) - before < 100

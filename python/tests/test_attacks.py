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


def test_a_daemon_thread_with_a_call_under_way_does_not_abort_the_program(tmp_path):
    script = """
import cofferdam, sys, threading, time
class Endless:
    def read(self, size):
        time.sleep(0.001)
        return bytes(size)
identity = cofferdam.Identity.generate()
threading.Thread(target=lambda: cofferdam.seal(Endless(), sys.argv[1], identity), daemon=True).start()
time.sleep(0.5)
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.cfd")], timeout=30).returncode == 0


def test_an_environment_that_is_no_text_does_not_keep_urls_from_being_opened(identity):
    script = """
import cofferdam
try:
    cofferdam.verify("http://127.0.0.1:1/a.cfd")
except cofferdam.Error as error:
    print(type(error).__name__)
"""
    environment = {**os.environb, b"NOT_TEXT": b"\xff"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr


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


def test_sizes_are_the_same_whoever_says_them(tmp_path, identity, key):
    fsspec = pytest.importorskip("fsspec")
    path = tmp_path / "a.cfd"
    path.write_bytes(sealed(identity, b"x" * 1000))
    fs = fsspec.filesystem("cofferdam", target_protocol="file", identity=str(key))
    # A size that is not known is None: a wrong one cuts what pyarrow and dask read.
    assert fs.ls(str(tmp_path / "a.cfd"))[0]["size"] in (1000, None)
    assert fs.find(str(tmp_path), detail=True)[str(path)]["size"] in (1000, None)


def test_stores_need_no_file_system_of_others(key):
    fsspec = pytest.importorskip("fsspec")
    # 127.0.0.1:1 answers nobody; what counts is that our own source has asked.
    with pytest.raises(cofferdam.Error):
        fsspec.open("cofferdam::http://127.0.0.1:1/a.cfd", cofferdam={"identity": str(key)}).open()


def test_the_file_system_makes_nothing(tmp_path, key):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("cofferdam", target_protocol="file", identity=str(key))
    for missing in [lambda: fs.cat_file(str(tmp_path / "none")), lambda: fs.open(str(tmp_path / "none"))]:
        with pytest.raises(FileNotFoundError):
            missing()
    with pytest.raises(Exception):
        fs.mkdir(str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_the_file_system_s_files_have_what_caches_ask_for(tmp_path, identity, key):
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "a.cfd").write_bytes(sealed(identity, b"a,b\n1,2\n"))
    url = f"blockcache::cofferdam::file://{tmp_path}/a.cfd"
    options = {"cofferdam": {"identity": str(key)}, "blockcache": {"cache_storage": str(tmp_path / "cache")}}
    with fsspec.open(url, **options) as file:
        assert file.read() == b"a,b\n1,2\n"


def test_wrong_numbers_are_wrong_usage(identity):
    stream = sealed(identity, b"abc")
    for wrong in [{"threads": -1}, {"memory": -1}, {"min_sequence": -1}, {"threads": 1 << 70}]:
        with pytest.raises(ValueError):
            cofferdam.verify(stream, identity, **wrong)
    with cofferdam.open(stream, identity) as reader:
        with pytest.raises(ValueError):
            reader.seek(0, 7)
        assert reader.pread(1 << 70, 5) == b""


def test_memory_of_numbers_is_sealed_as_its_bytes(identity):
    import array

    numbers = array.array("d", [1.5, -2.0])
    out = bytearray(16)
    cofferdam.restore_into(sealed(identity, numbers), out, identity)
    assert out == numbers.tobytes()


def test_a_buffer_too_small_is_the_same_error_from_wherever_the_stream_comes(identity):
    stream = sealed(identity, bytes(1000))
    for source in [stream, io.BytesIO(stream)]:
        with pytest.raises(cofferdam.LimitError):
            cofferdam.restore_into(source, bytearray(10), identity)


def test_an_error_says_its_kind_and_what_caused_it(identity):
    class Torn:
        def read(self, size):
            raise LookupError("the tape is torn")

    with pytest.raises(cofferdam.Error) as caught:
        cofferdam.seal(Torn(), io.BytesIO(), identity)
    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.kind

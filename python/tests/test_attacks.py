"""What an attack on the package has found: keys in messages and pickles, calls that Ctrl-C does not end, children that hang, what lies there the second time."""

import errno
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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
        return process.communicate(timeout=600)[0]
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
    "an object that waits": "cofferdam.seal(type('Waits', (), {'read': lambda self, size: time.sleep(3600) or b''})(), sys.argv[1], identity)",
}


@pytest.mark.parametrize("body", BLOCKED.values(), ids=BLOCKED)
def test_an_interrupt_ends_a_call_that_waits_for_an_object(tmp_path, body):
    script = f"""
import cofferdam, os, sys, threading, time
identity = cofferdam.Identity.generate()
try:
    threading.Timer(1.0, lambda: print("ready", flush=True)).start()
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
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.cfd")], timeout=600).returncode == 0
    assert not (tmp_path / "a.cfd").exists()


def test_a_daemon_thread_that_reads_does_not_abort_the_program(tmp_path, identity, key):
    (tmp_path / "a.cfd").write_bytes(sealed(identity, bytes(1 << 20)))
    script = """
import cofferdam, sys, threading, time
class Ranges:
    def __init__(self, path):
        self.content = open(path, "rb").read()
        self.size = len(self.content)
    def read_at(self, offset, length):
        time.sleep(0.001)
        return self.content[offset : offset + length]
def read(source):
    with cofferdam.open(source, sys.argv[2], memory=1 << 20) as reader:
        while True:
            for offset in range(0, 1 << 20, 5000):
                reader.pread(offset, 100)
for source in [sys.argv[1], Ranges(sys.argv[1])]:
    threading.Thread(target=read, args=(source,), daemon=True).start()
time.sleep(0.5)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a.cfd"), str(key)]
    for _ in range(3):
        assert subprocess.run(command, timeout=600).returncode == 0


def test_a_call_that_is_begun_while_the_program_ends_is_refused(tmp_path):
    script = """
import atexit, cofferdam, sys
def late():
    try:
        cofferdam.seal(b"x", sys.argv[1], cofferdam.Identity.generate())
    except cofferdam.CancelledError as error:
        print(error)
# What was registered later is called earlier.
atexit._clear()
atexit.register(late)
atexit.register(cofferdam._wait_for_calls)
"""
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.cfd")], capture_output=True, text=True, timeout=600)
    assert run.stdout == "the program is ending\n" and not (tmp_path / "a.cfd").exists(), run.stderr


def test_a_forked_child_does_not_wait_for_calls_of_its_parent(tmp_path):
    script = """
import cofferdam, os, sys, threading, time
class Endless:
    def read(self, size):
        time.sleep(0.001)
        return bytes(size)
identity = cofferdam.Identity.generate()
threading.Thread(target=lambda: cofferdam.seal(Endless(), sys.argv[1], identity), daemon=True).start()
time.sleep(0.5)
# Each would wait for three seconds; on a busy machine one that does not may take a second, but not every one.
for _ in range(10):
    child = os.fork()
    if child == 0:
        before = time.monotonic()
        cofferdam._wait_for_calls()
        os._exit(int(time.monotonic() - before > 1))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        os._exit(0)
os._exit(1)
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.cfd")], timeout=600).returncode == 0


def test_an_environment_that_is_no_text_does_not_keep_urls_from_being_opened(identity):
    # Port 1 answers nobody: what counts is that it was asked.
    script = """
import cofferdam
try:
    cofferdam.verify("s3://bucket/a.cfd", timeout=1)
except cofferdam.NoProgressError as error:
    print(error)
"""
    store = {b"AWS_ENDPOINT_URL": b"http://127.0.0.1:1", b"AWS_ALLOW_HTTP": b"true", b"AWS_ACCESS_KEY_ID": b"a", b"AWS_SECRET_ACCESS_KEY": b"b"}
    environment = {**os.environb, **store, b"NOT_TEXT": b"\xff", b"\xff": b"NOT_TEXT"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=600)
    assert run.returncode == 0 and b"for 1 s" in run.stdout, (run.stdout, run.stderr)


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
        signal.alarm(600)
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
    assert fs.info(str(path))["size"] == 1000 and fs.du(str(tmp_path / "a.cfd")) == 1000
    assert fs.ls(str(tmp_path / "a.cfd"))[0]["sealed_size"] == path.stat().st_size == fs.info(str(path))["sealed_size"]
    assert fs.find(str(tmp_path), detail=True)[str(path)]["size"] in (1000, None)


def test_stores_need_no_file_system_of_others(key):
    fsspec = pytest.importorskip("fsspec")
    # 127.0.0.1:1 answers nobody; what counts is that our own source has asked, though there is no aiohttp, which fsspec's would need.
    with pytest.raises(cofferdam.NoProgressError):
        fsspec.open("cofferdam://http://127.0.0.1:1/a.cfd", identity=str(key), timeout=1).open()
    fs = fsspec.filesystem("cofferdam", target_protocol="s3", identity=str(key))
    with pytest.raises(NotImplementedError, match="chain"):
        fs.ls("s3://bucket")


def test_the_file_system_makes_nothing(tmp_path, key):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("cofferdam", target_protocol="file", identity=str(key))
    for missing in [lambda: fs.cat_file(str(tmp_path / "none")), lambda: fs.open(str(tmp_path / "none"))]:
        with pytest.raises(FileNotFoundError):
            missing()
    kept = tmp_path / "kept"
    kept.mkdir()
    for refused in [
        lambda: fs.mkdir(str(tmp_path / "made")),
        lambda: fs.makedirs(str(tmp_path / "made")),
        lambda: fs.touch(str(tmp_path / "made")),
        lambda: fs.pipe_file(str(tmp_path / "made"), b"x"),
        lambda: fs.rmdir(str(kept)),
        lambda: fs.rm(str(kept), recursive=True),
        lambda: fs.cp_file(str(key), str(tmp_path / "made")),
    ]:
        with pytest.raises(cofferdam.UsageError, match="read here"):
            refused()
    assert kept.exists() and not (tmp_path / "made").exists()


def test_the_file_system_s_files_have_what_caches_ask_for(tmp_path, identity, key):
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "a.cfd").write_bytes(sealed(identity, b"a,b\n1,2\n"))
    url = f"blockcache::cofferdam::file://{tmp_path}/a.cfd"
    options = {"cofferdam": {"identity": str(key)}, "blockcache": {"cache_storage": str(tmp_path / "cache")}}
    for _ in range(2):
        with fsspec.open(url, **options) as file:
            assert file.read() == b"a,b\n1,2\n"
        with fsspec.open(url, **options) as file:
            file.seek(4)
            assert file.read(3) == b"1,2"
    blocks = [path for path in (tmp_path / "cache").iterdir() if path.name != "cache"]
    assert [path.read_bytes() for path in blocks] == [b"a,b\n1,2\n"]


def test_wrong_numbers_are_wrong_usage(identity):
    stream = sealed(identity, b"abc")
    for wrong in [{"threads": -1}, {"memory": -1}, {"min_sequence": -1}, {"threads": 1 << 70}, {"threads": 0}, {"timeout": 0}, {"timeout": float("nan")}]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.verify(stream, identity, **wrong)
    for wrong in [{"sequence": -1}, {"zstd": 1 << 40}, {"zstd": -5}, {"timeout": 1e300}]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.seal(b"x", io.BytesIO(), identity, **wrong)
    for wrong in [{"threads": "2"}, {"memory": 1.5}]:
        with pytest.raises(TypeError):
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
    filled = array.array("d", [0, 0])
    cofferdam.restore_into(sealed(identity, numbers), filled, identity)
    assert filled == numbers
    for source in [memoryview(bytes(10))[::2], memoryview(bytearray(10))[::-1]]:
        with pytest.raises(cofferdam.UsageError, match="one piece"):
            sealed(identity, source)
    assert cofferdam.verify(sealed(identity, array.array("d")), identity).plaintext_len == 0


def test_memory_that_is_read_is_not_copied_and_is_free_again_when_the_call_returns(tmp_path, identity):
    script = """
import cofferdam, resource, sys
plain = bytearray(200 << 20)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
identity = cofferdam.Identity.generate()
for name in ["a", "b"]:
    before = peak()
    cofferdam.seal(plain, sys.argv[1] + name, identity, memory=16 << 20, threads=2)
print(peak() - before < 100 << 20)
"""
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.cfd")], capture_output=True, text=True, timeout=600)
    assert run.stdout == "True\n", (run.stdout, run.stderr)
    plain = bytearray(os.urandom(3 << 20))
    for _ in range(50):
        out = io.BytesIO()
        cofferdam.seal(plain, out, identity)
        plain.append(1)
        stream = bytearray(out.getvalue())
        with cofferdam.open(stream, identity) as reader:
            assert reader.pread(0, 10) == plain[:10]
            with pytest.raises(BufferError):
                stream.append(1)
        stream.append(1)
        filled = bytearray(len(plain) - 1)
        cofferdam.restore_into(out.getvalue(), filled, identity)
        filled.append(plain[-1])
        assert filled == plain


def test_a_buffer_too_small_is_the_same_error_from_wherever_the_stream_comes(identity):
    stream = sealed(identity, bytes(1000))
    for source in [stream, io.BytesIO(stream)]:
        with pytest.raises(cofferdam.LimitError):
            cofferdam.restore_into(source, bytearray(10), identity)
        if isinstance(source, io.BytesIO):
            source.seek(0)
        assert cofferdam.restore_into(source, bytearray(1000), identity).plaintext_len == 1000


def test_an_error_says_its_kind_and_what_caused_it(identity):
    class Torn:
        def read(self, size):
            raise LookupError("the tape is torn")

    with pytest.raises(cofferdam.Error) as caught:
        cofferdam.seal(Torn(), io.BytesIO(), identity)
    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.kind == "io"

    class Full:
        def write(self, data):
            raise BlockingIOError("the drum is full")

    with pytest.raises(cofferdam.StorageError) as caught:
        cofferdam.restore(sealed(identity, b"x"), Full(), identity)
    assert isinstance(caught.value.__cause__, BlockingIOError)
    flipped = bytearray(sealed(identity, bytes(100_000)))
    flipped[len(flipped) // 2] ^= 1
    with pytest.raises(cofferdam.DamagedError) as caught:
        cofferdam.verify(flipped, identity)
    assert caught.value.kind == "damaged" and caught.value.place.startswith("segment 0") and caught.value.place in str(caught.value)


def test_what_the_system_says_is_an_os_error(tmp_path, identity):
    out = tmp_path / "a.cfd"
    for missing in [
        lambda: cofferdam.verify(tmp_path / "none", identity),
        lambda: cofferdam.open(tmp_path / "none", identity),
        lambda: cofferdam.seal(tmp_path / "none", out, identity),
        lambda: cofferdam.seal(b"x", out, tmp_path / "none"),
        lambda: cofferdam.restore(b"x", out, str(tmp_path / "none")),
    ]:
        with pytest.raises(FileNotFoundError) as caught:
            missing()
        assert isinstance(caught.value, cofferdam.StorageError) and caught.value.errno == errno.ENOENT
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(cofferdam.StorageError, match="no such directory"):
        cofferdam.seal(b"x", tmp_path / "none" / "a.cfd", identity)
    cofferdam.seal(b"x", out, identity)
    with pytest.raises(FileExistsError):
        cofferdam.seal(b"x", out, identity)


def test_an_error_survives_a_pickle(tmp_path, identity):
    for fails in [
        lambda: cofferdam.verify(tmp_path / "none", identity),
        lambda: cofferdam.verify(sealed(identity, b"x")[:-1], identity),
        lambda: cofferdam.verify(b"no stream of ours, and long enough", identity),
        lambda: cofferdam.verify(sealed(identity, b"x"), identity, min_sequence=-1),
    ]:
        with pytest.raises(cofferdam.Error) as caught:
            fails()
        error, again = caught.value, pickle.loads(pickle.dumps(caught.value))
        assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
        for name in ["kind", "place", "segment", "frame", "position", "resumable_bytes", "advice", "remedy"]:
            assert getattr(again, name) == getattr(error, name)
        if isinstance(error, OSError):
            assert again.errno == error.errno


def test_no_advice_names_what_only_rust_has():
    from cofferdam import _errors

    source = Path(__file__).parents[2] / "crates/stream/src/remedy.rs"
    sentences = " ".join(line.strip() for line in source.read_text().splitlines() if not line.strip().startswith("//"))
    sentences = sentences.replace("\\ ", "")
    names = lambda text: [name for name in text.split("`")[1::2] if "::" in name]
    assert len(names(sentences)) > 20
    assert names(_errors._in_words_of_python(sentences)) == []
    with pytest.raises(cofferdam.Error) as caught:
        cofferdam.metadata(b"age-encryption.org/v1\n-> X25519 a\nb\n--- c\n", bytes(32))
    assert "Opener" not in str(caught.value) and "Opener" not in (caught.value.advice or "")

"""The package as it is installed. What is expected comes from elsewhere: the input itself, the `cofferdam` program, `age`."""

import doctest
import hashlib
import io
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cofferdam

PROGRAM = os.environ.get("COFFERDAM_PROGRAM")
MIB = 1 << 20


@pytest.fixture
def identity():
    return cofferdam.Identity.generate()


@pytest.fixture(scope="module")
def plain():
    return random.Random(7).randbytes(9 * MIB + 77)


def program(*arguments):
    if PROGRAM is None:
        pytest.skip("COFFERDAM_PROGRAM names no program")
    return subprocess.run([PROGRAM, *arguments], capture_output=True, check=True).stdout


def test_what_is_sealed_is_restored_whatever_the_ends_are(tmp_path, identity, plain):
    (tmp_path / "plain").write_bytes(plain)
    for number, source in enumerate([tmp_path / "plain", str(tmp_path / "plain"), plain, bytearray(plain), io.BytesIO(plain)]):
        sealed = tmp_path / f"{number}.cfd"
        said = cofferdam.seal(source, sealed, identity.recipient)
        assert (said.plaintext_len, said.wire_len) == (len(plain), sealed.stat().st_size)
        content = sealed.read_bytes()
        for place in [lambda: sealed, lambda: content, lambda: io.BytesIO(content)]:
            target = tmp_path / "restored"
            restored = cofferdam.restore(place(), target, identity, force=True)
            assert target.read_bytes() == plain
            assert restored.stream_digest == said.stream_digest
            out = io.BytesIO()
            cofferdam.restore(place(), out, identity)
            assert out.getvalue() == plain
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    assert cofferdam.verify(out.getvalue(), identity).plaintext_len == len(plain)


def test_the_program_reads_what_is_sealed_here_and_the_other_way_round(tmp_path, identity, plain):
    key = tmp_path / "key.txt"
    key.write_text(identity.file_text())
    key.chmod(0o600)
    cofferdam.seal(plain, tmp_path / "a.cfd", identity.recipient, zstd=3)
    program("restore", "-q", "-i", key, tmp_path / "a.cfd", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == plain
    program("seal", "-q", "-r", identity.recipient, "-o", tmp_path / "b.cfd", tmp_path / "a")
    cofferdam.restore(tmp_path / "b.cfd", tmp_path / "b", str(key))
    assert (tmp_path / "b").read_bytes() == plain


def test_files_of_age_go_both_ways(tmp_path, identity, plain):
    key = tmp_path / "key.txt"
    key.write_text(identity.file_text())
    try:
        subprocess.run(["age", "-r", identity.recipient, "-o", tmp_path / "a.age"], input=plain, check=True)
    except FileNotFoundError:
        pytest.skip("there is no age")
    cofferdam.restore(tmp_path / "a.age", tmp_path / "a", key)
    assert (tmp_path / "a").read_bytes() == plain
    with cofferdam.open(tmp_path / "a.age", key) as reader:
        assert reader.pread(65_000, 2000) == plain[65_000:67_000]
    cofferdam.seal(plain, tmp_path / "b.age", identity.recipient, format="age")
    assert subprocess.run(["age", "-d", "-i", key, tmp_path / "b.age"], capture_output=True, check=True).stdout == plain


def test_a_buffer_is_filled_in_place(identity, plain):
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    sealed = out.getvalue()
    for room in [len(plain), len(plain) + 5]:
        buffer = bytearray(b"\xee" * room)
        assert cofferdam.restore_into(sealed, buffer, identity).plaintext_len == len(plain)
        assert buffer[: len(plain)] == plain and buffer[len(plain) :] == b"\xee" * (room - len(plain))
    with pytest.raises(cofferdam.LimitError, match=str(len(plain))):
        cofferdam.restore_into(sealed, bytearray(len(plain) - 1), identity)
    with pytest.raises(cofferdam.UsageError, match="written"):
        cofferdam.restore_into(sealed, plain, identity)
    with pytest.raises(cofferdam.UsageError, match="one piece"):
        cofferdam.restore_into(sealed, memoryview(bytearray(2 * len(plain)))[::2], identity)
    # A stream is not written over while it is read.
    both = bytearray(sealed) + bytearray(len(plain))
    for buffer in [both, memoryview(both)[:-1], memoryview(both)[len(sealed) - 1 :]]:
        with pytest.raises(cofferdam.UsageError, match="lies in the buffer"):
            cofferdam.restore_into(memoryview(both)[: len(sealed)], buffer, identity)
    cofferdam.restore_into(memoryview(both)[: len(sealed)], memoryview(both)[len(sealed) :], identity)
    assert both == sealed + plain
    empty = io.BytesIO()
    cofferdam.seal(b"", empty, identity)
    assert cofferdam.restore_into(empty.getvalue(), bytearray(), identity).plaintext_len == 0


def test_a_buffer_cannot_go_while_it_is_filled(identity, plain):
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    buffer = bytearray(len(plain))
    refused = []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            try:
                buffer.clear()
            except BufferError as error:
                refused.append(error)
            return super().read(size)

    cofferdam.restore_into(Slow(out.getvalue()), buffer, identity)
    assert refused and buffer == plain


def test_each_failure_has_its_class_and_leaves_the_target(tmp_path, identity, plain):
    sealed = tmp_path / "a.cfd"
    cofferdam.seal(plain, sealed, identity)
    target = tmp_path / "target"
    target.write_bytes(b"the old one")
    whole = sealed.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    other = cofferdam.Identity.generate()
    for content, key, kind in [
        (bytes(flipped), identity, cofferdam.DamagedError),
        (whole[:-1], identity, cofferdam.Error),
        (whole[: len(whole) // 2], identity, cofferdam.TruncatedError),
        (whole, other, cofferdam.NoKeyError),
        (b"nothing of ours, and long enough to be looked at", identity, cofferdam.NotAStreamError),
        (b"", identity, cofferdam.Error),
    ]:
        for source in [content, io.BytesIO(content)]:
            with pytest.raises(kind) as caught:
                cofferdam.restore(source, target, key, force=True)
            assert isinstance(caught.value, cofferdam.Error) and str(caught.value)
            assert target.read_bytes() == b"the old one"
            cofferdam.discard(target)
    with pytest.raises(cofferdam.TargetExistsError):
        cofferdam.restore(sealed, target, identity)
    with pytest.raises(cofferdam.DigestMismatchError):
        cofferdam.restore(sealed, target, identity, force=True, expect_digest="00" * 32)
    with pytest.raises(cofferdam.StaleError):
        cofferdam.verify(sealed, identity, min_sequence=3)
    with pytest.raises(cofferdam.StorageError):
        cofferdam.restore(tmp_path / "not there", target, identity, force=True)
    assert target.read_bytes() == b"the old one"


def test_an_interrupted_restore_is_resumed_by_the_same_call(tmp_path, identity):
    plain = random.Random(1).randbytes(40 * MIB)
    sealed, cut = tmp_path / "a.cfd", tmp_path / "cut.cfd"
    cofferdam.seal(plain, sealed, identity)
    cut.write_bytes(sealed.read_bytes())
    with cut.open("r+b") as file:
        file.seek(30 * MIB)
        file.write(bytes(100))
    with pytest.raises(cofferdam.DamagedError) as caught:
        cofferdam.restore(cut, tmp_path / "target", identity)
    assert caught.value.segment is not None and caught.value.position is not None
    assert not (tmp_path / "target").exists()
    restored = cofferdam.restore(sealed, tmp_path / "target", identity)
    assert (tmp_path / "target").read_bytes() == plain
    # The damage is behind 30 MiB: the segments before it were there.
    assert restored.resumed_bytes >= 16 * MIB and caught.value.resumable_bytes


def test_keys_are_what_they_look_like(tmp_path, identity, plain):
    listed = tmp_path / "recipients"
    listed.write_text(f"# ours\n{identity.recipient}\n")
    text = identity.file_text()
    secret = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    (tmp_path / "key.txt").write_text(text)
    wrapping, sealed = os.urandom(32), io.BytesIO()
    cofferdam.seal(plain[:1000], sealed, [listed, wrapping], passphrase=None)
    for key in [identity, secret, text, tmp_path / "key.txt", str(tmp_path / "key.txt"), wrapping, [cofferdam.Identity.generate(), wrapping]]:
        assert cofferdam.verify(sealed.getvalue(), key).plaintext_len == 1000
    assert secret not in repr(identity)
    for wrong in [b"short", 7, object(), "age1nothing"]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.seal(plain, io.BytesIO(), wrong)
    for wrong in [b"short", 7, object(), "AGE-SECRET-KEY-1NOTHING"]:
        with pytest.raises(cofferdam.UsageError):
            cofferdam.verify(sealed.getvalue(), wrong)
    with pytest.raises(cofferdam.UsageError):
        cofferdam.seal(plain, io.BytesIO(), [])
    # Without a key its digests are compared, and nothing is opened.
    assert cofferdam.verify(sealed.getvalue()).metadata == {}
    with pytest.raises(cofferdam.Error):
        cofferdam.restore(sealed.getvalue(), io.BytesIO())


def test_metadata_and_number(tmp_path, identity):
    cofferdam.seal(b"x", tmp_path / "a.cfd", identity, metadata={"host": "db1", b"\x00": b"\xff"}, sequence=7)
    read = cofferdam.metadata(tmp_path / "a.cfd", identity)
    assert read[b"host"] == b"db1" and read[b"\x00"] == b"\xff"
    verified = cofferdam.verify(tmp_path / "a.cfd", identity, min_sequence=7)
    assert verified.sequence == 7 and verified.metadata[b"host"] == b"db1"


def test_a_reader_is_a_file(identity, plain):
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    with cofferdam.open(out.getvalue(), identity) as reader:
        assert (reader.size, reader.seekable(), reader.tell()) == (len(plain), True, 0)
        buffered = io.BufferedReader(reader, 64 << 10)
        assert hashlib.sha256(buffered.read()).digest() == hashlib.sha256(plain).digest()
        rng = random.Random(3)
        for _ in range(200):
            at, count = rng.randrange(len(plain) + 10), rng.randrange(200_000)
            assert reader.pread(at, count) == plain[at : at + count]
            buffer = bytearray(count)
            assert buffer[: reader.pread_into(at, buffer)] == plain[at : at + count]
        assert reader.seek(-5, io.SEEK_END) == len(plain) - 5
        assert reader.read() == plain[-5:] and reader.read(1) == b""
        with pytest.raises(ValueError):
            reader.pread(-1, 5)
    with pytest.raises(ValueError):
        reader.read(1)
    flipped = bytearray(out.getvalue())
    flipped[len(flipped) // 2] ^= 1
    with cofferdam.open(bytes(flipped), identity) as reader:
        with pytest.raises(cofferdam.DamagedError):
            reader.read()


def test_threads_read_at_once(identity, plain):
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    wrong = []
    with cofferdam.open(out.getvalue(), identity) as reader:

        def read(seed):
            rng = random.Random(seed)
            for _ in range(50):
                at = rng.randrange(len(plain))
                if reader.pread(at, 70_000) != plain[at : at + 70_000]:
                    wrong.append(at)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert not wrong


def test_progress_is_told_here_and_an_exception_from_it_cancels(tmp_path, identity, plain):
    told, here = [], threading.get_ident()

    def tell(progress):
        assert threading.get_ident() == here
        told.append(progress.committed)

    cofferdam.seal(plain, tmp_path / "a.cfd", identity, progress=tell)
    assert told and told == sorted(told) and told[-1] <= len(plain)

    class Stop(Exception):
        pass

    def stop(progress):
        raise Stop

    class Endless:
        def read(self, size):
            return bytes(size)

    with pytest.raises(Stop):
        cofferdam.seal(Endless(), tmp_path / "b.cfd", identity, progress=stop)
    assert not (tmp_path / "b.cfd").exists()


def test_what_an_object_raises_is_said(tmp_path, identity):
    class Broken:
        def read(self, size):
            raise OSError("the tape is torn")

    with pytest.raises(cofferdam.StorageError, match="the tape is torn"):
        cofferdam.seal(Broken(), tmp_path / "a.cfd", identity)
    with pytest.raises(cofferdam.StorageError, match="bytes"):
        cofferdam.seal(io.StringIO("text"), tmp_path / "a.cfd", identity)
    assert not (tmp_path / "a.cfd").exists()


def test_an_interrupt_cancels_and_is_raised(tmp_path, identity):
    script = f"""
import cofferdam, time
class Endless:
    def read(self, size):
        print("reading", flush=True)
        time.sleep(0.01)
        return bytes(min(size, 65536))
try:
    cofferdam.seal(Endless(), {str(tmp_path / "a.cfd")!r}, {identity.recipient!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    # What a shell starts in the background ignores interrupts, and so would its children.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    assert child.stdout.readline() == "reading\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=600)[0].endswith("interrupted\n")
    assert child.returncode == 0 and not (tmp_path / "a.cfd").exists()


def _in_child(reader, path, key, queue):
    try:
        reader.pread(0, 1)
        queue.put("read")
    except cofferdam.UsageError as error:
        queue.put(str(error))
    with cofferdam.open(path, key) as anew:
        queue.put(anew.pread(0, 5))
    queue.put(cofferdam.verify(path, key).plaintext_len)


def test_a_forked_child_gets_an_error_and_not_a_hang(tmp_path, identity, plain):
    key = tmp_path / "key.txt"
    key.write_text(identity.file_text())
    cofferdam.seal(plain, tmp_path / "a.cfd", identity)
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    with cofferdam.open(tmp_path / "a.cfd", key) as reader:
        assert reader.pread(0, 5) == plain[:5]
        child = fork.Process(target=_in_child, args=(reader, tmp_path / "a.cfd", key, queue))
        child.start()
        assert "before the process forked" in queue.get(timeout=600)
        assert queue.get(timeout=600) == plain[:5]
        assert queue.get(timeout=600) == len(plain)
        child.join(60)
        assert child.exitcode == 0
        assert reader.pread(5, 5) == plain[5:10]


def test_fsspec_reads_what_lies_in_other_file_systems(tmp_path, identity, plain):
    fsspec = pytest.importorskip("fsspec")
    key = tmp_path / "key.txt"
    key.write_text(identity.file_text())
    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    (tmp_path / "a.cfd").write_bytes(out.getvalue())
    fsspec.filesystem("memory").pipe_file("/a.cfd", out.getvalue())
    for url in [f"cofferdam::file://{tmp_path}/a.cfd", "cofferdam::memory://a.cfd"]:
        with fsspec.open(url, cofferdam={"identity": str(key)}) as file:
            assert file.read() == plain
        fs, path = fsspec.core.url_to_fs(url, cofferdam={"identity": str(key)})
        assert fs.info(path)["size"] == len(plain)
        assert fs.cat_ranges([path, path], [5, 100_000], [10, 100_007]) == [plain[5:10], plain[100_000:100_007]]
        assert fs.cat_file(path, -3) == plain[-3:]
        pickled = pickle.dumps(fs)
        assert b"AGE-SECRET-KEY" not in pickled
        assert pickle.loads(pickled).cat_file(path, 0, 3) == plain[:3]
        with pytest.raises(cofferdam.UsageError):
            fs.open(path, "wb")
    with pytest.raises(cofferdam.UsageError):
        fsspec.filesystem("cofferdam", fs=fsspec.filesystem("memory"), identity="AGE-SECRET-KEY-1X")


def test_a_server_is_read_by_ranges(tmp_path, identity, plain):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    out = io.BytesIO()
    cofferdam.seal(plain, out, identity)
    sealed = out.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            begin, end = 0, len(sealed)
            if asked := self.headers.get("Range"):
                first, last = asked.removeprefix("bytes=").split("-")
                begin, end = int(first), min(int(last or end - 1) + 1, end)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(sealed)}")
            self.send_header("Content-Length", str(end - begin))
            self.send_header("ETag", '"a"')
            self.end_headers()
            self.wfile.write(sealed[begin:end])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/a.cfd"
    try:
        cofferdam.restore(url, tmp_path / "a", identity)
        assert (tmp_path / "a").read_bytes() == plain
        with cofferdam.open(url, identity) as reader:
            assert reader.pread(MIB, 10) == plain[MIB : MIB + 10]
    finally:
        server.shutdown()


def test_every_name_is_documented():
    for name in cofferdam.__all__:
        assert getattr(cofferdam, name).__doc__, name
    assert Path(cofferdam.__file__).with_name("py.typed").exists()


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(cofferdam)
    assert result.attempted >= 5 and result.failed == 0


def test_what_a_stream_says_of_itself(tmp_path, identity, plain):
    sealed = tmp_path / "a.cfd"
    said = cofferdam.seal(plain, sealed, identity.recipient, metadata={"a": "b"}, zstd=3)
    for source in [sealed, sealed.read_bytes()]:
        found = cofferdam.inspect(source)
        assert (found.plaintext_len, found.sealed_len, found.segments) == (len(plain), sealed.stat().st_size, said.segments)
        assert (found.stream_id, found.stream_digest) == (said.stream_id, said.stream_digest)
        # Beside it age may put a stanza that is there to be ignored.
        assert found.slots[0] == "X25519"
        assert found.is_compressed and found.suite in ("aes256gcm", "chacha20poly1305") and found.digest == "blake3" and not found.warnings
    wrapping = io.BytesIO()
    cofferdam.seal(plain[:10], wrapping, bytes(32))
    assert cofferdam.inspect(wrapping.getvalue()).slots == ["key"]
    cut = cofferdam.inspect(sealed.read_bytes()[:-1])
    assert (cut.segments, cut.plaintext_len, cut.stream_digest) == (None, None, None)
    with pytest.raises(cofferdam.NotAStreamError):
        cofferdam.inspect(b"no stream of ours, and long enough to be looked at")
    with pytest.raises(cofferdam.UsageError):
        cofferdam.inspect(io.BytesIO(sealed.read_bytes()))


def test_a_stream_has_to_be_signed_by_who_is_named(tmp_path, identity, plain):
    keys = {}
    for name in ["ours", "theirs"]:
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name]
        try:
            subprocess.run(made, check=True)
        except FileNotFoundError:
            pytest.skip("there is no ssh-keygen")
        keys[name] = tmp_path / f"{name}.pub"
    for name in ["a", "b"]:
        said = cofferdam.seal(plain, tmp_path / f"{name}.cfd", identity)
        # FORMAT F11.3.
        line = f"cofferdam stream 1 blake3 {said.stream_digest}\n".encode()
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "stream@cofferdam", "-f", tmp_path / "ours"]
        signed = subprocess.run(sign, input=line, capture_output=True, check=True).stdout
        (tmp_path / f"{name}.cfd.sig").write_bytes(signed)
    sealed, signature = tmp_path / "a.cfd", (tmp_path / "a.cfd.sig").read_bytes()
    text = keys["ours"].read_text()
    for named in [{"signed_by": keys["ours"]}, {"signed_by": str(keys["ours"])}, {"signed_by": text}, {"signed_by": text, "signature": signature}]:
        assert cofferdam.verify(sealed, identity, **named).plaintext_len == len(plain)
    out = bytearray(len(plain))
    cofferdam.restore_into(sealed.read_bytes(), out, identity, signed_by=text, signature=tmp_path / "a.cfd.sig")
    assert out == plain
    with cofferdam.open(sealed, identity, signed_by=text) as reader:
        assert reader.read(5) == plain[:5]
    calls = [
        lambda **named: cofferdam.restore(sealed, tmp_path / "out", identity, **named),
        lambda **named: cofferdam.verify(sealed, identity, **named),
        lambda **named: cofferdam.open(sealed, identity, **named),
        lambda **named: cofferdam.restore_into(sealed, out, identity, **named),
    ]
    wrong = [
        {"signed_by": keys["theirs"]},
        {"signed_by": text, "signature": tmp_path / "b.cfd.sig"},
        {"signed_by": text, "signature": b"no signature"},
    ]
    for call in calls:
        for named in wrong:
            with pytest.raises(cofferdam.NotSignedError):
                call(**named)
        for named in [{"signature": signature}, {"signed_by": "ssh-ed25519 nonsense"}, {"signed_by": 7}, {"signed_by": text, "signature": 7}]:
            with pytest.raises(cofferdam.UsageError):
                call(**named)
        with pytest.raises(FileNotFoundError):
            call(signed_by=text, signature=tmp_path / "none.sig")
    assert not (tmp_path / "out").exists()
    # Of a file of age there is no signature: it is refused, whatever lies beside it.
    aged = tmp_path / "a.age"
    cofferdam.seal(plain, aged, identity.recipient, format="age")
    for call in [cofferdam.verify, cofferdam.open, lambda *given, **named: cofferdam.restore(*given[:1], tmp_path / "out", *given[1:], **named)]:
        with pytest.raises(cofferdam.Error):
            call(aged, identity, signed_by=text, signature=signature)
        with pytest.raises(cofferdam.Error):
            call(aged, identity, expect_digest="00" * 32)
    assert not (tmp_path / "out").exists()
    with pytest.raises(cofferdam.UsageError, match="has to be given"):
        cofferdam.verify(sealed.read_bytes(), identity, signed_by=text)

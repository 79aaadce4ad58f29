"""A restore by the workers of a cluster of Dask, which are processes. What is expected comes from elsewhere: the input itself, and what `stat` says.

COFFERDAM_TEST_RUNS is how many seeded runs are made: 2 if it is not set.
"""

import contextlib
import hashlib
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import cofferdam
from cofferdam import parts

distributed = pytest.importorskip("distributed")
pytest.importorskip("dask")
import cofferdam.distributed as many  # noqa: E402

MIB = 1 << 20
#: Four segments: as many parts, each of 8 MiB.
PLAIN = random.Random(29).randbytes(32 * MIB)
#: What the seeded runs restore, in four parts.
LARGE = random.Random(30).randbytes(64 * MIB)
#: A bucket of a server of S3 that the step `python` has started; `AWS_…` say how it is reached.
BUCKET = os.environ.get("COFFERDAM_TEST_BUCKET")
RUNS = int(os.environ.get("COFFERDAM_TEST_RUNS", "2"))


class Server:
    """Serves one stream by ranges, and keeps those of all parts but the first waiting while it is told to."""

    def __init__(self, content):
        gate = self.gate = threading.Event()
        waiting = self.waiting = []
        gate.set()
        self.pause, self.size = 0, len(content)
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                begin, end = 0, len(content)
                if asked := self.headers.get("Range"):
                    first, last = asked.removeprefix("bytes=").split("-")
                    begin, end = int(first), min(int(last or end - 1) + 1, end)
                if 0.25 < begin / len(content) < 0.97:
                    waiting.append(begin)
                    gate.wait(900)
                    # What is asked for at once comes one after the other.
                    time.sleep(ours.pause * (1 if begin / len(content) < 0.4 else 3))
                self.send_response(206 if asked else 200)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
                self.send_header("Content-Length", str(end - begin))
                self.send_header("ETag", '"a"')
                self.end_headers()
                # Whoever has asked may be dead.
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content[begin:end])

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/a.cfd"

    def close(self):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class Place:
    """One stream, and where it is restored to."""

    def __init__(self, home, plain=PLAIN):
        self.home = home
        self.identity = cofferdam.Identity.generate()
        self.key = home / "key.txt"
        self.key.write_text(self.identity.file_text())
        self.key.chmod(0o600)
        self.sealed = home / "a.cfd"
        cofferdam.seal(plain, self.sealed, self.identity.recipient)
        self.plan = home / "plan"
        self.target = home / "target"

    def restore(self, client, sealed=None, **options):
        options = {"plan": self.plan, "identity": self.key, **options}
        target = options.pop("target", self.target)
        return many.restore(client, sealed or self.sealed, target, **options)

    def missing(self):
        return parts.state(self.plan).missing

    def left(self):
        return sorted(path.name for path in self.home.glob(".target*"))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def server(place):
    server = Server(place.sealed.read_bytes())
    yield server
    server.close()


def new_cluster():
    return distributed.LocalCluster(processes=True, n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0)


@pytest.fixture(scope="module")
def cluster():
    with new_cluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        # A test before this one may have killed some.
        client.wait_for_workers(2, timeout=600)
        yield client


def until(true, seconds=600):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.05)


def in_background(call):
    """A thread that makes the call, and a list of what it returns or raises."""
    came = []

    def run():
        try:
            came.append(call())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def close_when_planned(server):
    def told(progress):
        if progress.parts_done == 0:
            server.gate.clear()

    return told


def in_the_middle(client, place, server):
    """Waits until the first part has been run, and each of two workers is at another one, and waits for its bytes."""
    # A plan is there after its key.
    until(place.plan.exists)
    until(lambda: len({4 * begin // server.size for begin in server.waiting}) == 2)
    until(lambda: place.missing() == [1, 2, 3])
    assert all(client.run(is_busy).values())


def is_busy(dask_worker):
    return bool(dask_worker.active_threads)


def is_given_up(key, dask_worker):
    """Whether a worker knows that a task is no longer wanted."""
    task = dask_worker.state.tasks.get(key)
    return task is None or task.state in ("cancelled", "released", "forgotten")


def pids(client):
    return client.run(os.getpid)


def stamp(path):
    of = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), of.st_mtime_ns, of.st_ctime_ns, of.st_ino


def test_workers_restore_it_once_and_the_second_call_does_nothing(place, client):
    told = []
    restored = place.restore(client, progress=told.append)
    assert place.target.read_bytes() == PLAIN
    assert (restored.target, restored.plaintext_len, restored.parts) == (str(place.target), len(PLAIN), 4)
    assert restored.stream_digest == cofferdam.inspect(place.sealed).stream_digest and not restored.was_there
    assert [progress.parts_done for progress in told] == [0, 1, 2, 3, 4, 4]
    assert [progress.bytes_done for progress in told] == [n * 8 * MIB for n in [0, 1, 2, 3, 4, 4]]
    assert [progress.committed for progress in told] == [False] * 5 + [True]
    assert place.left() == []
    before = stamp(place.target)
    assert place.restore(client).was_there
    assert stamp(place.target) == before


def listed(root):
    """What is in a directory, by the standard library."""
    found = {}
    for path in sorted(root.rglob("*")):
        told = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (told.st_mode, told.st_mtime_ns, told.st_nlink, content)
    return found


def test_workers_restore_a_directory_in_place_of_another(place, client):
    tree, rng = place.home / "tree", random.Random(31)
    for number in range(200):
        directory = tree / f"{number % 9}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file {number}").write_bytes(rng.randbytes(rng.randrange(0, 200_000)))
    (tree / "large").write_bytes(rng.randbytes(20 * MIB))
    (tree / "large").chmod(0o600)
    (tree / "link").symlink_to("large")
    os.link(tree / "0" / "file 0", tree / "other name")
    sealed = place.home / "tree.cfd"
    cofferdam.seal(tree, sealed, place.identity.recipient)
    place.target.mkdir()
    (place.target / "old").write_bytes(b"old")
    with pytest.raises(cofferdam.TargetExistsError):
        place.restore(client, sealed)
    restored = place.restore(client, sealed, force=True, keep_old=True)
    assert restored.parts > 2 and not restored.was_there
    assert listed(place.target) == listed(tree) and place.left() == []
    assert (place.home / "target.cofferdam-old" / "old").read_bytes() == b"old"
    assert (restored.old_tree, restored.old_tree_not_removed) == (f"{place.target}.cofferdam-old", None)
    assert restored.left_out is not None and set(restored.left_out.values()) == {0}
    (place.target / "large").unlink()
    again = place.restore(client, sealed, force=True, keep_old=True)
    assert again.was_there and (again.left_out, again.old_tree) == (None, None)
    assert not (place.target / "large").exists()


def test_the_plan_that_is_there_says_how_many_parts(place, client):
    parts.plan(place.plan, place.sealed, place.target, 3, place.identity)
    with pytest.raises(cofferdam.JournalMismatchError):
        place.restore(client, parts=2)
    assert place.restore(client).parts == 3 and place.target.read_bytes() == PLAIN
    (place.home / "other").mkdir()
    other = Place(place.home / "other")
    # One thread, and four parts for it.
    assert other.restore(client, workers=[next(iter(pids(client)))]).parts == 4


CLIENT = """
import sys, cofferdam.distributed, distributed
address, sealed, target, plan, key = sys.argv[1:]
with distributed.Client(address) as client:
    cofferdam.distributed.restore(client, sealed, target, plan=plan, identity=key)
"""


def test_a_client_that_is_killed_is_followed_by_another_one(place, cluster, client, server):
    # What a plan needs of the stream is not in what is kept waiting.
    server.gate.clear()
    command = [sys.executable, "-c", CLIENT, cluster.scheduler_address, server.url, place.target, place.plan, place.key]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as child:
        in_the_middle(client, place, server)
        child.kill()
    thread, came = in_background(lambda: place.restore(client, server.url))
    server.gate.set()
    thread.join(600)
    assert isinstance(came[0], many.Restored) and not came[0].was_there
    assert place.target.read_bytes() == PLAIN and place.left() == []


def test_a_part_whose_worker_is_killed_is_run_again(place, client, server):
    thread, came = in_background(lambda: place.restore(client, server.url, progress=close_when_planned(server)))
    in_the_middle(client, place, server)
    os.kill(next(iter(pids(client).values())), signal.SIGKILL)
    assert not place.target.exists()
    server.gate.set()
    thread.join(600)
    assert isinstance(came[0], many.Restored) and place.target.read_bytes() == PLAIN
    assert place.left() == []


def test_parts_whose_workers_die_before_the_client_has_heard_of_them_are_asked_for_again(place, client):
    tasks = []

    def kill(progress):
        if progress.parts_done == 1 and not tasks:
            # All have been run, and what they returned is in the workers' memory alone; the client has taken one.
            until(lambda: place.missing() == [] and not any(client.processing().values()))
            tasks.extend(name for name in client.futures if "run_part" in name)
            for pid in pids(client).values():
                os.kill(pid, signal.SIGKILL)
            until(lambda: any(client.futures[name].status == "lost" for name in tasks))

    restored = place.restore(client, progress=kill)
    assert len(tasks) >= 3 and not restored.was_there
    assert place.target.read_bytes() == PLAIN and place.left() == []


async def give_up(address, dask_scheduler):
    """What a scheduler does with a worker that it has not heard of for too long; how long that is, is not waited for: a busy machine takes it, too."""
    await dask_scheduler.restart_workers([address], wait_for_workers=False, stimulus_id="not heard of")


@pytest.mark.skipif(BUCKET is None, reason="COFFERDAM_TEST_BUCKET names no bucket of a test server")
def test_an_object_is_made_by_workers_of_which_one_is_killed(place, client, server):
    name = f"dask-{uuid.uuid4()}"
    place.target = f"s3://{BUCKET}/{name}"

    def stored():
        # Who may read without a signature gets the very bytes.
        try:
            with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT']}/{BUCKET}/{name}") as answer:
                return answer.read()
        except urllib.error.HTTPError:
            return None

    thread, came = in_background(lambda: place.restore(client, server.url, progress=close_when_planned(server)))
    in_the_middle(client, place, server)
    os.kill(next(iter(pids(client).values())), signal.SIGKILL)
    assert stored() is None
    server.gate.set()
    thread.join(600)
    assert isinstance(came[0], many.Restored), came
    assert (came[0].target, came[0].parts, came[0].was_there) == (place.target, 4, False)
    assert stored() == PLAIN
    assert sorted(path.name for path in place.home.glob(".*")) == []
    # The second call does nothing, whatever has become of the object since; and another plan does not replace it unasked.
    assert place.restore(client, server.url).was_there
    with pytest.raises(cofferdam.TargetExistsError):
        place.restore(client, server.url, plan=place.home / "another")
    assert place.restore(client, server.url, plan=place.home / "third", force=True).parts == 4
    assert stored() == PLAIN


def test_a_worker_that_comes_back_after_the_commit_writes_nothing_of_the_target(place, server):
    # Without a nanny, which would end it: it stands for a machine that was cut off.
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
        contextlib.ExitStack() as stack,
    ):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        # What the tests have run there is of this module.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for _ in range(2):
            worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place.home, env=environment)
            stack.callback(worker.wait)
            stack.callback(worker.kill)
        client.wait_for_workers(2, timeout=600)
        thread, came = in_background(lambda: place.restore(client, server.url, progress=close_when_planned(server)))
        in_the_middle(client, place, server)
        address, paused = next(iter(pids(client).items()))
        os.kill(paused, signal.SIGSTOP)
        client.run_on_scheduler(give_up, address)
        server.gate.set()
        thread.join(600)
        assert isinstance(came[0], many.Restored) and place.target.read_bytes() == PLAIN
        assert address not in client.scheduler_info()["workers"]
        before, names = stamp(place.target), sorted(os.listdir(place.home))
        assert Path(f"/proc/{paused}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        os.kill(paused, signal.SIGCONT)
        # It has been waiting for bytes, has them now, and goes on to its end: then it hears that it has been given up, and ends.
        until(lambda: not _is_alive(paused))
        assert stamp(place.target) == before
        assert sorted(os.listdir(place.home)) == names and place.left() == []


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_clients_at_once_restore_it_once(place, cluster, client):
    with distributed.Client(cluster, set_as_default=False) as other:
        running = [in_background(lambda one=one: place.restore(one)) for one in (client, other)]
        for thread, _ in running:
            thread.join(600)
    came = [came[0] for _, came in running]
    assert sorted(one.was_there for one in came) == [False, True], came
    assert place.target.read_bytes() == PLAIN and place.left() == []


def set_identity(path):
    os.environ["COFFERDAM_IDENTITY"] = path


def forget_identity():
    os.environ.pop("COFFERDAM_IDENTITY", None)


def test_a_wrong_key_on_one_worker_is_said_at_once_and_what_was_done_stays(tmp_path, place, client):
    other = tmp_path / "other.txt"
    other.write_text(cofferdam.Identity.generate().file_text())
    right, wrong = pids(client)
    client.run(set_identity, str(place.key), workers=[right])
    client.run(set_identity, str(other), workers=[wrong])
    parts.plan(place.plan, place.sealed, place.target, 4, place.identity)
    with pytest.raises(cofferdam.NoKeyError):
        place.restore(client, identity=None, workers=[wrong])
    assert place.missing() == [0, 1, 2, 3]
    # One part, as of an earlier call.
    parts.run_part(place.plan, 3, place.identity)
    begun = time.monotonic()
    with pytest.raises(cofferdam.NoKeyError):
        # The plan is found, or made, by either of them; the parts are given to both.
        place.restore(client, identity=None)
    assert time.monotonic() - begun < 120 and not place.target.exists()
    client.run(set_identity, str(place.key), workers=[wrong])
    left, told = place.missing(), []
    place.restore(client, identity=None, progress=told.append)
    assert 3 not in left and told[0].parts_done >= 4 - len(left) >= 1
    assert place.target.read_bytes() == PLAIN


def test_a_target_that_exists_stays_unless_it_is_to_be_replaced(place, client):
    place.target.write_bytes(b"old")
    before = stamp(place.target)
    with pytest.raises(cofferdam.TargetExistsError):
        place.restore(client)
    assert stamp(place.target) == before and not place.plan.exists()
    seen = []
    place.restore(client, force=True, progress=lambda progress: seen.append((progress.committed, place.target.read_bytes() == b"old")))
    assert [old for committed, old in seen if not committed] == [True] * (len(seen) - 1)
    assert place.target.read_bytes() == PLAIN


def test_an_interrupt_ends_the_tasks_and_the_next_call_goes_on(place, client, server):
    def interrupt(progress):
        close_when_planned(server)(progress)
        if progress.parts_done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.restore(client, server.url, progress=interrupt)
    until(lambda: not any(client.processing().values()))
    server.gate.set()
    assert not place.target.exists() and 0 not in place.missing()
    told = []
    place.restore(client, server.url, progress=told.append)
    assert told[0].parts_done >= 1 and place.target.read_bytes() == PLAIN


def test_a_cancelled_task_ends_before_its_part_does(place, client, server):
    server.pause = 1.0
    tasks = []

    def cancel():
        until(lambda: server.waiting)
        tasks.extend(key for keys in client.processing().values() for key in keys)
        client.cancel([distributed.Future(key, client) for key in tasks], force=True)

    canceller, _ = in_background(cancel)
    with pytest.raises(cofferdam.CancelledError, match="given a task up"):
        place.restore(client, server.url, parts=1, progress=close_when_planned(server))
    canceller.join()
    assert len(tasks) == 1 and any(client.run(is_busy).values())
    until(lambda: all(client.run(is_given_up, tasks[0]).values()))
    server.gate.set()
    until(lambda: not any(client.run(is_busy).values()))
    assert place.missing() == [0]
    server.pause = 0
    place.restore(client, server.url)
    assert place.target.read_bytes() == PLAIN


def test_a_part_whose_file_is_damaged_is_run_again(place, client):
    def damage(progress):
        if progress.parts_done == 4 and not damaged:
            file = next(place.home.glob(".target.cofferdam-parts-*/part-2-*"))
            damaged.append(file.name)
            with file.open("r+b") as content:
                content.seek(4 * MIB)
                content.write(bytes(64))

    damaged = []
    restored = place.restore(client, progress=damage)
    assert damaged and not restored.was_there and place.target.read_bytes() == PLAIN


def everything_of(dask_scheduler):
    """All that a scheduler knows of its tasks, as bytes."""
    known = [bytes(repr(dask_scheduler.story(*dask_scheduler.tasks)), "utf-8")]
    for task in dask_scheduler.tasks.values():
        known.append(pickle.dumps(task.run_spec))
        known.append(bytes(f"{task.key} {task.run_spec!r} {task.annotations!r}", "utf-8"))
    return known


def test_no_key_is_in_what_the_scheduler_has(place, client, server):
    thread, came = in_background(lambda: place.restore(client, server.url, progress=close_when_planned(server)))
    in_the_middle(client, place, server)
    known = client.run_on_scheduler(everything_of)
    known.append(bytes(repr(client.get_scheduler_logs()), "utf-8"))
    known.append(bytes(repr(client.get_worker_logs(nanny=False)), "utf-8"))
    known.append(bytes(repr(client.get_events()), "utf-8"))
    server.gate.set()
    thread.join(600)
    assert isinstance(came[0], many.Restored)
    secret = next(line for line in place.key.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))
    plan_key = Path(f"{place.plan}.key").read_text().strip()
    everything = b"\n".join(known)
    # What is there is found: the names.
    assert str(place.key).encode() in everything and str(place.plan).encode() in everything
    assert secret.encode() not in everything and plan_key.encode() not in everything
    assert bytes.fromhex(plan_key) not in everything


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"identity": "AGE-SECRET-KEY-1QQQ"}, "arguments"),
        ({"identity": b"k" * 32}, "arguments"),
        ({"identity": cofferdam.Identity.generate()}, "arguments"),
        ({"sealed": "https://host/a.cfd?sig=sesame"}, "secret"),
        ({"sealed": "https://user:sesame@host/a.cfd"}, "secret"),
        ({"sealed": b"bytes"}, "path or a URL"),
        ({"target": "s3://user:sesame@bucket/a"}, "secret"),
        ({"target": "s3://bucket/a", "compare": True}, "compare"),
    ],
)
def test_secrets_are_no_arguments(place, client, options, word):
    with pytest.raises(cofferdam.UsageError, match=word) as refused:
        place.restore(client, **options)
    assert "sesame" not in str(refused.value) and "1QQQ" not in str(refused.value)
    assert not place.plan.exists()


def test_no_identity_is_said(place, client):
    client.run(forget_identity)
    with pytest.raises(cofferdam.UsageError, match="COFFERDAM_IDENTITY"):
        place.restore(client, identity=None)


class Lost(Exception):
    """A client that is no more."""


class Faults:
    """What happens in one run, and when, by its seed: an object that is told of progress."""

    def __init__(self, place, cluster, client, rng):
        self.place, self.cluster, self.client, self.rng = place, cluster, client, rng
        kinds = [self.kill, self.pause, self.cut_off, self.lose, self.damage, self.forget, self.double, self.forge]
        self.due = rng.choices(kinds, k=4)
        self.timers, self.cut_off_pids, self.done = [], [], []

    def __call__(self, progress):
        assert progress.committed or self.place.target.read_bytes() == b"old"
        if not progress.committed and self.due and self.rng.random() >= 0.4:
            fault = self.due.pop()
            self.done.append(fault.__name__)
            fault()

    def living(self):
        """Addresses and processes of the workers that have joined, as their nannies know them: one that has just been killed answers nothing."""
        known = [(nanny.worker_address, nanny.pid) for nanny in self.cluster.workers.values()]
        return [(address, pid) for address, pid in known if pid and pid not in self.cut_off_pids and address in self.cluster.scheduler.workers]

    def kill(self):
        if len(workers := self.living()) == 2:
            os.kill(self.rng.choice(workers)[1], signal.SIGKILL)

    def pause(self):
        if workers := self.living():
            pid = self.rng.choice(workers)[1]
            os.kill(pid, signal.SIGSTOP)
            self.timers.append(threading.Timer(self.rng.uniform(0.1, 3), resume, [pid]))
            self.timers[-1].start()

    def cut_off(self):
        """One that is at work is paused until all is done, and the scheduler gives it up: it stands for a machine that is cut off."""
        if len(workers := self.living()) == 2:
            at_work = self.client.processing()
            address, pid = self.rng.choice([worker for worker in workers if at_work.get(worker[0])] or workers)
            os.kill(pid, signal.SIGSTOP)
            self.cut_off_pids.append(pid)
            self.client.run_on_scheduler(forget_worker, address)

    def lose(self):
        raise Lost

    def damage(self):
        if attempts := self.attempt_files("part"):
            with contextlib.suppress(FileNotFoundError), self.rng.choice(attempts).open("r+b") as content:
                content.seek(self.rng.randrange(16 * MIB))
                content.write(bytes(32))

    def forget(self):
        for receipt in self.attempt_files("receipt")[:1]:
            receipt.unlink(missing_ok=True)

    def double(self):
        """One receipt under the names of another attempt and of another part."""
        for receipt in self.attempt_files("receipt")[:1]:
            attempt = receipt.name.rpartition("-")[2]
            for name in [f"{self.rng.randrange(4)}-{self.rng.randbytes(16).hex()}", f"{self.rng.randrange(4)}-{attempt}"]:
                with contextlib.suppress(FileNotFoundError, shutil.SameFileError):
                    shutil.copy(receipt, receipt.with_name(f"receipt-{name}"))

    def forge(self):
        """What another plan of the same stream, with a key of its own, has of a part."""
        home = self.place.home / f"other {len(self.done)}"
        home.mkdir()
        parts.plan(home / "plan", self.place.sealed, home / "target", 4, self.place.identity)
        parts.run_part(home / "plan", self.rng.randrange(4), self.place.identity)
        for attempts in self.place.home.glob(".target.cofferdam-parts-*"):
            for file in home.glob(".target.cofferdam-parts-*/*-*"):
                shutil.copy(file, attempts / file.name)

    def attempt_files(self, kind):
        return sorted(self.place.home.glob(f".target.cofferdam-parts-*/{kind}-*"))


def resume(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def forget_worker(address, dask_scheduler):
    """What it does with a worker that it has not heard of for too long, but that it tells nobody: how long that is, is not waited for."""
    await dask_scheduler.remove_worker(address, stimulus_id="not heard of", close=False)


@contextlib.contextmanager
def watched(target, old, new):
    """Looks again and again: what stands there is the one, and from some moment on the other."""
    ended, seen = threading.Event(), [old]

    def watch():
        while not ended.wait(0.02):
            if (content := target.read_bytes()) != seen[-1]:
                seen.append(content)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert [content == new for content in seen] == [False, True]


@pytest.mark.parametrize("seed", range(RUNS))
def test_the_target_is_old_or_new_whatever_happens(tmp_path, seed):
    place = Place(tmp_path, LARGE)
    place.target.write_bytes(b"old")
    # A nanny gives up a worker that dies while it starts: the next run has others.
    with new_cluster() as cluster, distributed.Client(cluster) as client, watched(place.target, b"old", LARGE):
        runs_to_its_end(place, cluster, client, seed)


def runs_to_its_end(place, cluster, client, seed):
    faults = Faults(place, cluster, client, random.Random(seed))
    try:
        for _ in range(5):
            client.wait_for_workers(1, timeout=600)
            try:
                place.restore(client, force=True, progress=faults, parts=4)
                break
            except Lost:
                pass
        for timer in faults.timers:
            timer.join()
        assert place.target.read_bytes() == LARGE
        until(lambda: not any(client.processing().values()))
        before = stamp(place.target)
    finally:
        for pid in faults.cut_off_pids:
            resume(pid)
    # They end by themselves once they hear that they were given up.
    until(lambda: not any(_is_alive(pid) for pid in faults.cut_off_pids))
    print(f"seed {seed}: {', '.join(faults.done)}")
    assert place.restore(client, force=True).was_there
    assert stamp(place.target) == before and place.left() == []

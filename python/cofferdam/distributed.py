"""One stream restored into one file, directory or object by the workers of a cluster of Dask (extra ``distributed``): :mod:`cofferdam.parts`, and tasks that make its calls.

    import cofferdam.distributed
    from distributed import Client

    with Client("tcp://scheduler:8786") as client:
        cofferdam.distributed.restore(client, "s3://backups/db.cfd", "/shared/db", plan="/shared/db.plan", identity="/etc/cofferdam/key.txt")

What passes through the scheduler are names and numbers of parts. No bytes do, and no keys: ``identity`` is the name of a file that each worker
has, or is left out, and each worker's own environment names it in ``COFFERDAM_IDENTITY``. Credentials of stores are in the workers' environment, too.

The workers share a file system with ``target`` and ``plan`` on it, under the same paths, and run as the same user. Where ``target`` is the URL of an object in a
store, small files alone are on that file system, beside ``plan``. The client needs neither those files nor a key.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client, as_completed
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.worker import get_worker

import cofferdam
from cofferdam import parts as _parts

__all__ = ["Progress", "Restored", "restore"]


@dataclass(frozen=True)
class Progress:
    """How far the whole is."""

    #: Parts that have been run, by whomever.
    parts_done: int
    #: Parts in all.
    parts: int
    #: Bytes of plaintext that are in the parts that have been run.
    bytes_done: int
    #: Bytes of plaintext in all.
    total: int
    #: Whether the target is in place.
    committed: bool


@dataclass(frozen=True)
class Restored:
    """What was restored."""

    #: The absolute path of the target, or its URL.
    target: str
    #: The stream's digest, in hexadecimal digits.
    stream_digest: str
    #: Bytes of plaintext.
    plaintext_len: int
    #: In how many parts.
    parts: int
    #: Whether this plan had been committed before: then nothing was done, whatever has become of the target since. If the worker that commits dies just after it has, Dask has another
    #: one do it, which finds it done: then this is true as well.
    was_there: bool
    #: Of a directory how many files lack what: as :class:`cofferdam.RestoredTree` has it. ``None`` of a file or an object, and where the plan had been committed before.
    left_out: dict[str, int] | None = None
    #: Where the directory is that was replaced, if it is still there.
    old_tree: str | None = None
    #: Why that could not be removed, where it was to be.
    old_tree_not_removed: str | None = None


def restore(
    client: Client,
    sealed: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    plan: str | os.PathLike[str],
    parts: int | None = None,
    plan_key: str | os.PathLike[str] | None = None,
    identity: str | os.PathLike[str] | None = None,
    force: bool = False,
    keep_old: bool = False,
    numeric_owner: bool = False,
    no_owner: bool = False,
    set_id: bool = False,
    devices: bool = False,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | os.PathLike[str] | None = None,
    signature: str | os.PathLike[str] | None = None,
    threads: int = 1,
    memory: int | None = None,
    timeout: float | None = None,
    workers: Sequence[str] | None = None,
    retries: int = 3,
    lock_timeout: float = 600.0,
    compare: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> Restored:
    """Restores ``sealed`` to ``target``, a file, of a tree a directory, or the URL of an object in a store, by the workers of ``client``, all or nothing: the target is as it was, or what was sealed.

    ``plan`` is where the plan is kept, ``plan_key`` its key: by default the file that ``COFFERDAM_PLAN_KEY`` names on the workers, or the plan's name with
    ``.key`` behind it. **The same call goes on** from what an earlier one has left, also one that was killed, and also while another one is at work. Once the plan has been
    committed it does nothing: for another restore, name another plan, or remove its files.

    ``parts`` is into how many the stream is cut: by default those of the plan that is there, or else four for each thread of the workers, and at most one for each
    segment; of an object each has 5 MiB at least, but for the last. Each task uses ``threads`` threads and at most ``memory`` bytes; where a worker has fewer threads than its machine has cores, give more. ``workers`` are
    those that may be asked, all by default. The other keywords are those of :func:`cofferdam.restore`.

    A part whose worker dies is run again by Dask, and one that fails for what may pass (storage, network, threads) ``retries`` times more. For whatever else the first failure
    is raised as it was on the worker, and the other tasks are cancelled: what has been run stays, for the next call. Where somebody else is
    committing, that is waited for, ``lock_timeout`` seconds at most. With ``compare`` the commit reads all of a file back, as :func:`cofferdam.parts.commit` does.

    ``progress`` is called with a :class:`Progress` on this thread, when a part has been run. What it raises, and Ctrl-C, cancels the tasks and is raised; a commit that has begun ends on
    its worker, with the target in place or as it was.

    Raises a kind of :exc:`cofferdam.Error`, or what Dask raises of itself.
    """
    if client.asynchronous:
        raise cofferdam.UsageError("the client is asynchronous: give another one, and call this on a thread of its own")
    target = _place(target, "target")
    if compare and "://" in target:
        raise cofferdam.UsageError("an object cannot be read back: leave `compare` out; the store is asked what it has")
    run = _Run(
        client,
        _Order(
            plan=_shared(plan),
            plan_key=None if plan_key is None else os.fspath(plan_key),
            identity=_file_name(identity),
            threads=threads,
            memory=memory,
            timeout=timeout,
            compare=compare,
        ),
        None if workers is None else list(workers),
        retries,
    )
    request = {
        "sealed": _place(sealed, "sealed"),
        "target": target,
        "force": force,
        "keep_old": keep_old,
        "numeric_owner": numeric_owner,
        "no_owner": no_owner,
        "set_id": set_id,
        "devices": devices,
        "expect_digest": expect_digest,
        "min_sequence": min_sequence,
        "signed_by": _signers(signed_by),
        "signature": signature if signature is None or isinstance(signature, bytes) else _shared(signature),
    }
    try:
        planned = run.one(_plan, request, parts, _parts_for(client, run.workers))
        restored = _finish(run, planned, lock_timeout, progress or (lambda _: None))
    except BaseException:
        run.cancel()
        raise
    return restored


@dataclass(frozen=True)
class _Order:
    """What every task is told. It has names, and no secret."""

    plan: str
    plan_key: str | None
    identity: str | None
    threads: int
    memory: int | None
    timeout: float | None
    compare: bool

    def key_file(self) -> str | None:
        return self.plan_key or os.environ.get("COFFERDAM_PLAN_KEY")

    def identity_file(self) -> str:
        named = self.identity or os.environ.get("COFFERDAM_IDENTITY")
        if named is None:
            raise cofferdam.UsageError("no identity: name a file of the workers by `identity`, or by COFFERDAM_IDENTITY in their environment")
        return named


@dataclass(frozen=True)
class _Planned:
    """What the client has to know of a plan."""

    target: str
    stream_digest: str
    part_lens: list[int]
    missing: list[int]
    committed: bool


@dataclass(frozen=True)
class _Committed:
    """What a commit says, as it goes from a worker to the client."""

    was_there: bool
    left_out: dict[str, int] | None = None
    old_tree: str | None = None
    old_tree_not_removed: str | None = None


class _Run:
    """Tasks of one call."""

    def __init__(self, client: Any, order: _Order, workers: list[str] | None, retries: int) -> None:
        self.client = client
        self.order = order
        self.workers = workers
        self.retries = retries
        # Dask's own types are of half of its calls.
        self._futures: dict[str, Any] = {}

    def one(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What one task returns, or raises."""
        for _, result in self.each([((), function, arguments)]):
            return result

    def parts(self, wanted: Iterable[int]) -> Iterable[int]:
        """Has these parts run, and tells of each that it has been."""
        for (part,), _ in self.each([((part,), _run_part, (part,)) for part in wanted]):
            yield part

    def each(self, tasks: Iterable[tuple[tuple[int, ...], Callable[..., Any], tuple[Any, ...]]]) -> Iterable[tuple[tuple[int, ...], Any]]:
        """Has each task run to its end, in any order, again where it fails for what may pass. Raises what the first one raises that cannot succeed."""
        tries: Counter[tuple[int, ...]] = Counter()
        asked = {}
        waiting: Any = _as_completed(loop=self.client.loop, raise_errors=False)
        for task in tasks:
            future = self._submit(task, 0.0)
            asked[future.key] = task
            waiting.add(future)
        while asked:
            future = next(waiting)
            if future.status in _NOT_ENDED:
                # It had ended, and its worker has died since, with what it returned: the scheduler has it run again.
                waiting.add(future)
                continue
            task = asked.pop(future.key)
            self._futures.pop(future.key, None)
            if future.status == "finished":
                yield task[0], future.result()
                continue
            if future.status != "error":
                # Cancelled by somebody else, or forgotten by a scheduler that was started anew.
                raise cofferdam.CancelledError("the scheduler has given a task up", advice="Make the same call again: it goes on from what was done.")
            error = future.exception()
            tries[task[0]] += 1
            if tries[task[0]] > self.retries or not _may_pass(error):
                raise error
            again = self._submit(task, _pause(tries[task[0]]))
            asked[again.key] = task
            waiting.add(again)

    def cancel(self) -> None:
        # Of a scheduler that is not there nothing can be had, and what is to be raised is something else.
        with contextlib.suppress(Exception):
            self.client.cancel(list(self._futures.values()), force=True)

    def _submit(self, task: tuple[tuple[int, ...], Callable[..., Any], tuple[Any, ...]], pause: float) -> Any:
        # A key of this call alone: two clients do not share what became of a task.
        name, function, arguments = task
        key = "-".join(["cofferdam", function.__name__.strip("_"), *map(str, name), uuid.uuid4().hex])
        future = self.client.submit(_task, function, self.order, key, pause, *arguments, key=key, workers=self.workers)
        self._futures[key] = future
        return future


def _finish(run: _Run, planned: _Planned, lock_timeout: float, tell: Callable[[Progress], object]) -> Restored:
    lens, missing = planned.part_lens, set(planned.missing)

    def reached(committed: bool = False) -> Progress:
        left = sum(lens[part] for part in missing)
        return Progress(len(lens) - len(missing), len(lens), sum(lens) - left, sum(lens), committed)

    tell(reached(planned.committed))
    committed = _Committed(was_there=True)
    rounds = 0
    since = time.monotonic()
    while not planned.committed:
        for part in run.parts(sorted(missing)):
            missing.discard(part)
            tell(reached())
            since = time.monotonic()
        try:
            committed = run.one(_commit)
            break
        except cofferdam.PartsMissingError as error:
            # Their files are not what their receipts say: the commit has removed them.
            rounds += 1
            if rounds > run.retries:
                raise
            missing.update(error.parts)
        except cofferdam.TargetLockedError:
            if time.monotonic() - since > lock_timeout:
                raise
            time.sleep(1.0)
    if not planned.committed:
        tell(reached(True))
    return Restored(
        planned.target,
        planned.stream_digest,
        sum(lens),
        len(lens),
        committed.was_there,
        committed.left_out,
        committed.old_tree,
        committed.old_tree_not_removed,
    )


def _task(function: Callable[..., Any], order: _Order, key: str, pause: float, *arguments: Any) -> Any:
    """On a worker."""
    time.sleep(pause)
    return function(order, key, *arguments)


def _plan(order: _Order, key: str, request: dict[str, Any], wanted: int | None, suggested: int) -> _Planned:
    def made(count: int) -> _parts.Plan:
        return _parts.plan(order.plan, parts=count, identities=order.identity_file(), plan_key=order.key_file(), timeout=order.timeout, **request)

    def found() -> int | None:
        try:
            return len(_parts.read(order.plan, plan_key=order.key_file()))
        except cofferdam.NotFoundError:
            return None

    count = wanted or found() or _at_most(suggested, request["sealed"], order.timeout)
    try:
        plan = made(count)
    except cofferdam.JournalMismatchError:
        # Somebody else has planned meanwhile, for as many workers as there were then.
        other = found()
        if wanted is not None or other is None or other == count:
            raise
        plan = made(other)
    state = _parts.state(order.plan, plan_key=order.key_file())
    return _Planned(plan.target, plan.stream_digest, plan.part_lens, state.missing, state.committed)


def _run_part(order: _Order, key: str, part: int) -> str:
    worker = get_worker()

    def check_wanted(_: cofferdam.Progress) -> None:
        # Dask ends no thread: a task that is cancelled has to look.
        task = worker.state.tasks.get(key)
        if task is None or task.state in ("cancelled", "released", "forgotten"):
            raise cofferdam.CancelledError("the task was cancelled")

    return _parts.run_part(
        order.plan,
        part,
        order.identity_file(),
        plan_key=order.key_file(),
        threads=order.threads,
        memory=order.memory,
        timeout=order.timeout,
        progress=check_wanted,
    )


def _commit(order: _Order, key: str) -> _Committed:
    committed = _parts.commit(order.plan, plan_key=order.key_file(), compare=order.compare)
    if committed.tree is None:
        return _Committed(committed.was_there)
    tree = committed.tree
    return _Committed(committed.was_there, tree.left_out, tree.old_tree, tree.old_tree_not_removed)


def _may_pass(error: BaseException) -> bool:
    """Whether the same task may succeed later, or elsewhere."""
    if isinstance(error, (cofferdam.NotFoundError, cofferdam.NoAccessError)):
        return False
    passing = (
        cofferdam.StorageError,
        cofferdam.NoProgressError,
        cofferdam.ExhaustedError,
        cofferdam.CancelledError,
        KilledWorker,
        CommClosedError,
    )
    return isinstance(error, passing)


def _pause(tries: int) -> float:
    """Seconds before the next try."""
    return float(min(2 ** (tries - 1), 30))


def _at_most(suggested: int, sealed: str, timeout: float | None) -> int:
    segments = cofferdam.inspect(sealed, timeout=timeout).segments
    return max(1, min(suggested, segments or 1, _PARTS_MAX))


def _parts_for(client: Any, workers: list[str] | None) -> int:
    threads: dict[str, int] = client.nthreads(workers)
    return _PARTS_PER_THREAD * max(1, sum(threads.values()))


def _place(given: str | os.PathLike[str], called: str) -> str:
    """Where workers find the stream, or put it."""
    if not isinstance(given, (str, os.PathLike)):
        raise cofferdam.UsageError(f"`{called}` is a path or a URL by which each worker finds it")
    name = os.fspath(given)
    scheme, is_url, rest = name.partition("://")
    if not is_url:
        return os.path.abspath(name)
    if "?" in rest or "@" in rest.partition("/")[0]:
        raise cofferdam.UsageError("the URL may have a secret in it, and tasks carry none: credentials are in the workers' environment")
    return name


def _shared(path: str | os.PathLike[str]) -> str:
    """The same for whoever is asked."""
    return os.path.abspath(os.fspath(path))


def _signers(signed_by: str | os.PathLike[str] | None) -> str | None:
    """The text of keys, or a file of them, which is the same for whoever is asked."""
    if signed_by is None or (isinstance(signed_by, str) and signed_by.lstrip().startswith(_KEY_BEGINNINGS)):
        return signed_by
    return _shared(signed_by)


def _file_name(identity: object) -> str | None:
    """What names a key, and is none."""
    if identity is None:
        return None
    name = os.fspath(identity) if isinstance(identity, (str, os.PathLike)) else None
    upper = str(name).upper()
    if not isinstance(name, str) or "AGE-" in upper or "PRIVATE KEY" in upper or "\n" in name:
        raise cofferdam.UsageError("`identity` is the name of a file that each worker has: keys are no arguments of tasks")
    return name


_as_completed: Any = as_completed
#: What the client calls a task that it will hear of again.
_NOT_ENDED = ("lost", "pending")
#: Enough that a worker that dies loses little.
_PARTS_PER_THREAD = 4
#: Of public keys as text.
_KEY_BEGINNINGS = ("ssh-", "ecdsa-", "sk-", "#")
#: The most that a plan has.
_PARTS_MAX = 10_000

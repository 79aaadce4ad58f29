"""Seals snapshots into encrypted, segmented streams, and restores them on all cores, all or nothing.

>>> import cofferdam
>>> identity = cofferdam.Identity.generate()
>>> sealed = cofferdam.seal(b"a snapshot", "db.cfd", identity.recipient)
>>> restored = cofferdam.restore("db.cfd", "db.restored", identity)
>>> with cofferdam.open("db.cfd", identity) as reader:
...     reader.seek(2)
...     reader.read()
2
b'snapshot'

A *source* is a path, a URL (``s3 gs az http https``), memory in one piece (``bytes``, a ``bytearray``, an array of numpy), which is not copied, a file
object, or an object with ``size`` and ``read_at(offset, length)``. A *target* is a path, the URL of an object in a store, or a file object. Credentials of stores come from
``os.environ``, under the names that the stores' own tools use.

A *recipient* is text such as ``age1…``, an :class:`Identity`, 32 bytes of a key, or a ``pathlib.Path`` of a file of recipients. An
*identity* is an :class:`Identity`, text such as ``AGE-SECRET-KEY-1…``, the name of a file of identities, or 32 bytes of a key. Either may be a list.

A directory is sealed as a *tree*, and restored as a directory. :meth:`Reader.tree` lists what is in one, and opens single files, without restoring it:

>>> import pathlib
>>> pathlib.Path("etc").mkdir()
>>> pathlib.Path("etc/fstab").write_text("none /tmp tmpfs")
15
>>> sealed = cofferdam.seal("etc", "etc.cfd", identity.recipient)
>>> sealed.tree.files
1
>>> with cofferdam.open("etc.cfd", identity) as reader:
...     for entry in reader.tree():
...         print(entry.type, entry.path, entry.size)
...     reader.tree().open("fstab").read(4)
directory . 0
file fstab 15
b'none'
>>> restored = cofferdam.restore("etc.cfd", "etc.new", identity)

Every call runs on threads of its own, with the interpreter free for others; ``progress`` is called on the thread that calls. Ctrl-C
cancels a call that runs on the main thread, and :exc:`KeyboardInterrupt` is raised once it has ended. When the program ends, calls that daemon
threads have under way are cancelled, and waited for.
"""

from __future__ import annotations

import atexit
import io
import os
from typing import TYPE_CHECKING, Any

from ._errors import (
    CancelledError,
    DamagedError,
    DeniedError,
    DigestMismatchError,
    DurabilityUnknownError,
    Error,
    ExhaustedError,
    JournalMismatchError,
    LimitError,
    NoAccessError,
    NoKeyError,
    NoProgressError,
    NotAStreamError,
    NotFoundError,
    NotSignedError,
    PartsMissingError,
    SourceChangedError,
    StaleError,
    StorageError,
    TargetExistsError,
    TargetLockedError,
    TruncatedError,
    UnprovenError,
    UnsupportedError,
    UsageError,
)
from ._native import (
    Entry,
    Identity,
    Inspection,
    Progress,
    Restored,
    RestoredTree,
    Sealed,
    SealedTree,
    _forked,
    _wait_for_calls,
    discard,
    inspect,
    metadata,
    open_reader as _open_reader,
    restore,
    restore_into,
    restore_paths,
    seal,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._types import Identities, Path, Source, WritableBuffer

# A thread that wants the interpreter once that has ended would take the process with it.
atexit.register(_wait_for_calls)
os.register_at_fork(after_in_child=_forked)

__all__ = [
    "CancelledError",
    "DamagedError",
    "DeniedError",
    "DigestMismatchError",
    "DurabilityUnknownError",
    "Entry",
    "Error",
    "ExhaustedError",
    "Identity",
    "Inspection",
    "JournalMismatchError",
    "LimitError",
    "Member",
    "NoAccessError",
    "NoKeyError",
    "NoProgressError",
    "NotAStreamError",
    "NotFoundError",
    "NotSignedError",
    "PartsMissingError",
    "Progress",
    "Reader",
    "Restored",
    "RestoredTree",
    "Sealed",
    "SealedTree",
    "SourceChangedError",
    "StaleError",
    "StorageError",
    "TargetExistsError",
    "TargetLockedError",
    "Tree",
    "TruncatedError",
    "UnprovenError",
    "UnsupportedError",
    "UsageError",
    "discard",
    "inspect",
    "metadata",
    "open",
    "restore",
    "restore_into",
    "restore_paths",
    "seal",
    "verify",
]


class _Plaintext(io.RawIOBase):
    """Bytes of a sealed stream, of which any can be read. What they are, `native` knows."""

    def __init__(self, native: Any) -> None:
        super().__init__()
        self._native = native
        self._position = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return int(self._native.size)

    def pread_into(self, offset: int, buffer: WritableBuffer) -> int:
        """Fills ``buffer`` from byte ``offset`` on, and returns how many bytes that are: fewer than it has at the end alone.

        Raises :exc:`DamagedError` where a frame that it needs is damaged, :exc:`StorageError`, and other kinds of :exc:`Error`.
        """
        self._check_open()
        if offset < 0:
            raise UsageError("an offset is not negative")
        return int(self._native.read_into(min(offset, self.size), buffer))

    def pread(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes from byte ``offset`` on: fewer at the end alone."""
        if length < 0:
            raise UsageError("a length is not negative")
        buffer = bytearray(max(0, min(length, self.size - offset)))
        count = self.pread_into(offset, buffer)
        return bytes(memoryview(buffer)[:count])

    def readinto(self, buffer: WritableBuffer) -> int:
        count = self.pread_into(self._position, buffer)
        self._position += count
        return count

    def readall(self) -> bytes:
        read = self.pread(self._position, max(0, self.size - self._position))
        self._position += len(read)
        return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        if whence not in starts:
            raise UsageError("whence is 0, 1 or 2")
        start = starts[whence]
        if start + offset < 0:
            raise UsageError("a position is not negative")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._native.close()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class Reader(_Plaintext):
    """The plaintext of a sealed stream, from any byte on: what :func:`open` returns.

    What it gives is authentic and at its place; that the stream is whole it does not say, which :func:`verify` does. :meth:`pread_into` and
    :meth:`pread` may be called from many threads at once, ``read`` and ``seek`` share one position. It belongs to the process that opened
    it: a forked child opens its own.
    """

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """The pairs that the stream was sealed with."""
        return dict(self._native.metadata)

    def tree(self) -> Tree:
        """The tree that the stream is, to look into. It can be used until the reader is closed.

        Raises :exc:`UsageError` where the stream is no tree, or one without a catalog, and :exc:`DamagedError` where it says that it is one, and is none.
        """
        self._check_open()
        return Tree(self._native.tree())


class Tree:
    """The members of a sealed tree, from its catalog: what :meth:`Reader.tree` returns.

    A path is one from the tree's directory on, ``"base/1/1259"``, or an :class:`Entry`; the directory itself is ``"."``. What it gives is authentic, as
    the reader's bytes are. Any number of threads may use it.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    def __len__(self) -> int:
        return len(self._native)

    def __iter__(self) -> Iterator[Entry]:
        return self.entries()

    def entries(self, path: Path = ".") -> Iterator[Entry]:
        """What is at ``path``, and all that is below it: each directory before what is in it. At most 65,536 are held in memory, and 4 MiB of
        their names.

        Raises :exc:`NotFoundError` where nothing is there.
        """
        count = 256
        return self._following(path, count, *self._native.batch(path, None, count))

    def _following(self, path: Path, count: int, batch: list[Entry], place: int) -> Iterator[Entry]:
        while batch:
            yield from batch
            # Whoever wants many pays less for each: an archive may have them in any order.
            count = min(4 * count, 1 << 16)
            batch, place = self._native.batch(path, place, count)

    def find(self, path: Path) -> Entry | None:
        """What is at ``path``; ``None`` where nothing is."""
        found: Entry | None = self._native.find(path)
        return found

    def open(self, path: Path) -> Member:
        """The file at ``path``, or the one that the hard link there is a name of. Symbolic links are not followed.

        Raises :exc:`NotFoundError` where nothing is there, :exc:`UsageError` where it is no file.
        """
        return Member(self._native.member(path))


class Member(_Plaintext):
    """A file of a sealed tree, from any byte on: what :meth:`Tree.open` returns. It can be read until the :class:`Reader` is closed, from many threads
    by :meth:`pread_into` and :meth:`pread`."""

    @property
    def entry(self) -> Entry:
        """What the tree says of it."""
        entry: Entry = self._native.entry
        return entry


def open(
    source: Source,
    identities: Identities | None = None,
    *,
    passphrase: str | None = None,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | Path | None = None,
    signature: bytes | Path | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
) -> Reader:
    """Opens ``source`` to be read from any byte on. Only the frames that a read needs are fetched and opened, and kept within ``memory`` bytes.

    The source needs offsets: a file, a URL, memory, or an object with ``read_at``. Files of age are read too, unless they are armored. What is read is
    authentic and at its place; that the rest of the stream is there it does not say. The arguments are those of :func:`restore`; ``expect_digest`` and
    ``signed_by`` are compared with the stream's index, before anything of it is used.

    Raises :exc:`NotFoundError`, :exc:`NoKeyError`, :exc:`NotAStreamError` and other kinds of :exc:`Error`.
    """
    return Reader(
        _open_reader(
            source,
            identities,
            passphrase=passphrase,
            expect_digest=expect_digest,
            min_sequence=min_sequence,
            signed_by=signed_by,
            signature=signature,
            threads=threads,
            memory=memory,
            timeout=timeout,
        )
    )

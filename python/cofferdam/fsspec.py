"""Sealed streams as files of `fsspec <https://filesystem-spec.readthedocs.io>`_, read-only: what is read is their plaintext, from any byte on.

``cofferdam://s3://bucket/table.parquet.cfd`` is read by Cofferdam's own source, as are ``gs az http https``, with credentials from the environment. No
package for that store is needed, and there are no listings.

``cofferdam::s3://bucket/table.parquet.cfd`` chains a file system of fsspec, which has to be installed. It lists and says what there is. Cofferdam's own
sources still read what they know, and local files; of other file systems, and of those that were given options of their own (``target_options``), the
ranges are read by their ``cat_ranges``.

``identity`` names a file of identities. It is a name and no key, so that what is pickled, or sent to a worker, is not one: the worker reads its own file.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, NoReturn

from fsspec.implementations.chained import ChainedFileSystem  # type: ignore[import-untyped]
from fsspec.registry import get_filesystem_class  # type: ignore[import-untyped]

import cofferdam

from ._native import open_reader

#: Protocols that Cofferdam reads by itself, and what it calls them.
_OWN = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "http": "", "https": ""}
_LOCAL = ("file", "local")
#: What every file system of fsspec may be told.
_OPTIONS = {"asynchronous", "listings_expiry_time", "loop", "max_paths", "skip_instance_cache", "use_listings_cache"}


class CofferdamFileSystem(ChainedFileSystem):  # type: ignore[misc]
    """Plaintext of sealed streams in another file system, or in a store, read-only.

    ``size`` of a file is the length of its plaintext where the stream has been opened for it (:meth:`info`), and ``None`` in listings; ``sealed_size`` is
    that of the sealed stream.
    """

    protocol = "cofferdam"
    root_marker = ""

    def __init__(
        self,
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        fs: Any = None,
        fo: str | None = None,
        identity: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        memory: int | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(f"cofferdam's file system has no option {sorted(unknown)[0]!r}")
        super().__init__(**options)
        named = str(identity).upper()
        if isinstance(identity, (bytes, bytearray)) or "AGE-" in named or "PRIVATE KEY" in named or "\n" in named:
            raise cofferdam.UsageError("`identity` is the name of a file: keys do not belong into what is pickled")
        self.fs = _inner(target_protocol, target_options) if fs is None else fs
        self.identity = None if identity is None else os.fspath(identity)
        self._reading: dict[str, Any] = {"threads": threads, "memory": memory, "timeout": timeout}
        self._target = target_protocol
        self._is_chained = fs is not None or target_protocol is not None
        self._has_options = bool(target_options or getattr(self.fs, "storage_options", None))
        protocols = target_protocol if self.fs is None else self.fs.protocol
        self._protocols = (protocols,) if isinstance(protocols, str) else tuple(protocols or ())

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return path.removeprefix("cofferdam::").removeprefix("cofferdam://")

    def _source(self, path: str) -> Any:
        if _is_own_url(path) and not self._has_options:
            return path
        if any(protocol in _LOCAL for protocol in self._protocols):
            return self._inner_of(path)._strip_protocol(path)
        own = next((_OWN[protocol] for protocol in self._protocols if protocol in _OWN), None)
        if own is not None and not self._has_options:
            return path if "://" in path or not own else f"{own}://{path}"
        return _Ranges(self._inner_of(path), path)

    def _has_listings(self, path: str) -> bool:
        return self.fs is not None and (self._is_chained or not _is_own_url(path))

    def _inner_of(self, path: str) -> Any:
        """The file system that lists and says what there is."""
        if not self._has_listings(path):
            raise NotImplementedError(f"{path}: Cofferdam reads it and lists nothing; chain a file system: cofferdam::{path}")
        return self.fs

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _File:
        if mode != "rb":
            _refuse()
        path = self._strip_protocol(path)
        return _File(path, open_reader(self._source(path), self.identity, **self._reading))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        with self._open(path) as reader:
            return _slice(reader, start, end)

    def cat_ranges(
        self, paths: Any, starts: Any, ends: Any, max_gap: int | None = None, on_error: str = "return", **options: Any
    ) -> list[Any]:
        """Each stream is opened once, here and now: what is read of it is of one state of it."""
        paths = [paths] if isinstance(paths, str) else list(paths)
        starts = list(starts) if isinstance(starts, (list, tuple)) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, (list, tuple)) else [ends] * len(paths)
        read: list[Any] = []
        with contextlib.ExitStack() as stack:
            readers: dict[str, cofferdam.Reader] = {}
            for path, start, end in zip(paths, starts, ends, strict=True):
                try:
                    if path not in readers:
                        readers[path] = stack.enter_context(self._open(path))
                    read.append(_slice(readers[path], start, end))
                except Exception as error:
                    if on_error != "return":
                        raise
                    read.append(error)
        return read

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if not self._has_listings(path):
            with self._open(path) as reader:
                return {"name": path, "type": "file", "size": reader.size}
        inner = self.fs.info(path, **options)
        if inner["type"] != "file":
            return dict(inner)
        with self._open(path) as reader:
            return {"name": inner["name"], "type": "file", "size": reader.size, "sealed_size": inner["size"]}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What the inner file system lists. No stream is opened for it, so the sizes of files are ``None``: :meth:`info` says them."""
        path = self._strip_protocol(path)
        listed = list(self._inner_of(path).ls(path, detail=detail, **options))
        return [_listed(entry) for entry in listed] if detail else listed

    def ukey(self, path: str) -> str:
        """Changes when the sealed stream does, as far as the inner file system can tell."""
        path = self._strip_protocol(path)
        return str(self._inner_of(path).ukey(path))

    def modified(self, path: str) -> Any:
        path = self._strip_protocol(path)
        return self._inner_of(path).modified(path)

    def created(self, path: str) -> Any:
        path = self._strip_protocol(path)
        return self._inner_of(path).created(path)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        _refuse()

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        _refuse()

    def rmdir(self, path: str) -> None:
        _refuse()

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        _refuse()

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        _refuse()

    def __reduce__(self) -> Any:
        inner = self.fs if self._is_chained else None
        return _made_again, (inner, self._target, self.identity, self._reading)


class _File(cofferdam.Reader):
    """A reader with what the caches of fsspec ask for. They set `cache`, and are read through then."""

    #: What is fetched at once: a frame.
    blocksize = 64 << 10
    cache: Any = None

    def __init__(self, path: str, native: Any) -> None:
        super().__init__(native)
        self.path = path

    @property
    def closed(self) -> bool:
        return super().closed

    @closed.setter
    def closed(self, _: bool) -> None:
        """They say so once more when they have called `close`."""

    def pread_into(self, offset: int, buffer: Any) -> int:
        if self.cache is None or offset < 0:
            return super().pread_into(offset, buffer)
        with memoryview(buffer).cast("B") as view:
            found = self.cache._fetch(min(offset, self.size), min(offset + len(view), self.size))
            view[: len(found)] = found
            return len(found)

    def _fetch_range(self, start: int, end: int) -> bytes:
        buffer = bytearray(max(0, min(end, self.size) - start))
        count = super().pread_into(start, buffer)
        return bytes(memoryview(buffer)[:count])


class _Ranges:
    """A file of another file system, as Cofferdam reads it."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        self.size: int = fs.info(path)["size"]

    def read_at(self, offset: int, length: int) -> bytes:
        read = self._fs.cat_ranges([self._path], [offset], [offset + length], on_error="raise")
        return bytes(read[0])


def _inner(protocol: str | None, options: dict[str, Any] | None) -> Any:
    """The file system behind; none where its package is missing, and Cofferdam reads that store by itself."""
    try:
        return get_filesystem_class(protocol or "file")(**(options or {}))
    except ImportError:
        if protocol not in _OWN or options:
            raise
        return None


def _made_again(fs: Any, target: str | None, identity: str | None, reading: dict[str, Any]) -> CofferdamFileSystem:
    return CofferdamFileSystem(target_protocol=target, fs=fs, identity=identity, **reading)


def _is_own_url(path: str) -> bool:
    scheme, found, _ = path.partition("://")
    return bool(found) and scheme in _OWN


def _listed(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["type"] != "file":
        return dict(entry)
    return {**entry, "size": None, "sealed_size": entry["size"]}


def _slice(reader: cofferdam.Reader, start: int | None, end: int | None) -> bytes:
    begin, stop, _ = slice(start, end).indices(reader.size)
    return reader.pread(begin, max(0, stop - begin))


def _refuse() -> NoReturn:
    raise cofferdam.UsageError("sealed streams are read here, and not written: mode \"rb\"")

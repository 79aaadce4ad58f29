"""Sealed streams as files of `fsspec <https://filesystem-spec.readthedocs.io>`_: ``cofferdam::s3://bucket/table.parquet.cfd``.

A path is that of the sealed stream, in the file system behind ``cofferdam::``; what is read is its plaintext, from any byte on. It is read-only. Streams in
``s3 gs az http https`` and on this machine are read by Cofferdam's own sources, with credentials from the environment; those of other file
systems by their ``cat_ranges``. Where the inner file system has been given options of its own (``target_options``), its own reads are used, too.

``identity`` names a file of identities. It is a name and no key, so that what is pickled, or sent to a worker, is not one: the worker reads its own file.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from fsspec.implementations.chained import ChainedFileSystem  # type: ignore[import-untyped]
from fsspec.registry import get_filesystem_class  # type: ignore[import-untyped]

import cofferdam

#: Protocols that Cofferdam reads by itself, and what it calls them.
_OWN = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "http": "", "https": ""}
_LOCAL = ("file", "local")
#: What every file system of fsspec may be told.
_OPTIONS = {"asynchronous", "listings_expiry_time", "loop", "max_paths", "skip_instance_cache", "use_listings_cache"}


class CofferdamFileSystem(ChainedFileSystem):  # type: ignore[misc]
    """Plaintext of sealed streams in another file system, read-only."""

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
        **options: Any,
    ) -> None:
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(f"cofferdam's file system has no option {sorted(unknown)[0]!r}")
        super().__init__(**options)
        if fs is None:
            fs = get_filesystem_class(target_protocol or "file")(**(target_options or {}))
        named = str(identity).upper()
        if isinstance(identity, (bytes, bytearray)) or "AGE-" in named or "PRIVATE KEY" in named or "\n" in named:
            raise cofferdam.UsageError("`identity` is the name of a file: keys do not belong into what is pickled")
        self.fs = fs
        self.identity = None if identity is None else os.fspath(identity)
        self._reading: dict[str, Any] = {"threads": threads, "memory": memory}
        self._has_options = bool(target_options)
        self._protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return path.removeprefix("cofferdam::").removeprefix("cofferdam://")

    def _source(self, path: str) -> Any:
        if any(protocol in _LOCAL for protocol in self._protocols):
            return self.fs._strip_protocol(path)
        own = next((_OWN[protocol] for protocol in self._protocols if protocol in _OWN), None)
        if own is not None and not self._has_options:
            return path if "://" in path or not own else f"{own}://{path}"
        return _Ranges(self.fs, path)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> cofferdam.Reader:
        if mode != "rb":
            raise cofferdam.UsageError("sealed streams are read here, and not written: mode \"rb\"")
        return cofferdam.open(self._source(self._strip_protocol(path)), self.identity, **self._reading)

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
        inner = self.fs.info(path, **options)
        if inner["type"] != "file":
            return dict(inner)
        with self._open(path) as reader:
            return {"name": inner["name"], "type": "file", "size": reader.size, "sealed_size": inner["size"]}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What the inner file system lists: the sizes are those of the sealed streams, none of which is opened."""
        return list(self.fs.ls(self._strip_protocol(path), detail=detail, **options))

    def __reduce__(self) -> Any:
        return _made_again, (self.fs, self.identity, self._reading)


def _made_again(fs: Any, identity: str | None, reading: dict[str, Any]) -> CofferdamFileSystem:
    return CofferdamFileSystem(fs=fs, identity=identity, **reading)


def _slice(reader: cofferdam.Reader, start: int | None, end: int | None) -> bytes:
    begin, stop, _ = slice(start, end).indices(reader.size)
    return reader.pread(begin, max(0, stop - begin))


class _Ranges:
    """A file of another file system, as Cofferdam reads it."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        self.size: int = fs.info(path)["size"]

    def read_at(self, offset: int, length: int) -> bytes:
        read = self._fs.cat_ranges([self._path], [offset], [offset + length], on_error="raise")
        return bytes(read[0])

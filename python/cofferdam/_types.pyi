# What calls take. There is no such module when the package runs: these names are for checkers of types alone.
from collections.abc import Sequence
from os import PathLike
from typing import Protocol, TypeAlias

from typing_extensions import Buffer

from ._native import Identity

class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...

class _Writable(Protocol):
    def write(self, data: bytes, /) -> int | None: ...

class _Ranges(Protocol):
    @property
    def size(self) -> int: ...
    def read_at(self, offset: int, length: int, /) -> bytes: ...

Path: TypeAlias = str | PathLike[str]
Source: TypeAlias = Path | Buffer | _Readable | _Ranges
Target: TypeAlias = Path | _Writable
WritableBuffer: TypeAlias = Buffer
_Recipient: TypeAlias = str | PathLike[str] | bytes | Identity
Recipients: TypeAlias = _Recipient | Sequence[_Recipient]
_Identity: TypeAlias = str | PathLike[str] | bytes | Identity
Identities: TypeAlias = _Identity | Sequence[_Identity]


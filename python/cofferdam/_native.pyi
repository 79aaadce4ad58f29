from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, final

from ._types import Identities, Path, Recipients, Source, Target, WritableBuffer

@final
class Identity:
    @staticmethod
    def generate(*, post_quantum: bool = False) -> Identity: ...
    @property
    def recipient(self) -> str: ...
    def file_text(self) -> str: ...

@final
class Progress:
    @property
    def committed(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def segments(self) -> int: ...
    @property
    def throughput(self) -> float | None: ...
    @property
    def eta(self) -> float | None: ...

@final
class Sealed:
    @property
    def stream_id(self) -> str: ...
    @property
    def segments(self) -> int: ...
    @property
    def plaintext_len(self) -> int: ...
    @property
    def wire_len(self) -> int: ...
    @property
    def stream_digest(self) -> str: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def resumed_bytes(self) -> int: ...

@final
class Restored:
    @property
    def stream_id(self) -> str: ...
    @property
    def segments(self) -> int: ...
    @property
    def plaintext_len(self) -> int: ...
    @property
    def stream_digest(self) -> str | None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def resumed_bytes(self) -> int: ...
    @property
    def metadata(self) -> dict[bytes, bytes]: ...
    @property
    def warnings(self) -> list[str]: ...

@final
class Inspection:
    @property
    def stream_id(self) -> str: ...
    @property
    def suite(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def is_compressed(self) -> bool: ...
    @property
    def frame_len(self) -> int: ...
    @property
    def segment_len(self) -> int: ...
    @property
    def metadata_len(self) -> int: ...
    @property
    def sealed_len(self) -> int: ...
    @property
    def segments(self) -> int | None: ...
    @property
    def plaintext_len(self) -> int | None: ...
    @property
    def stream_digest(self) -> str | None: ...
    @property
    def slots(self) -> list[str]: ...
    @property
    def warnings(self) -> list[str]: ...

@final
class Reader:
    @property
    def size(self) -> int: ...
    @property
    def metadata(self) -> dict[bytes, bytes]: ...
    def read_into(self, offset: int, buffer: WritableBuffer) -> int: ...
    def close(self) -> None: ...

_Told: TypeAlias = Callable[[Progress], Any]

def seal(
    source: Source,
    target: Target,
    recipients: Recipients | None = None,
    *,
    passphrase: str | None = None,
    metadata: Mapping[str | bytes, str | bytes] | None = None,
    sequence: int | None = None,
    zstd: int | None = None,
    format: Literal["cofferdam", "age"] = "cofferdam",
    force: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
    progress: _Told | None = None,
) -> Sealed: ...
def discard(target: Path) -> None: ...
def inspect(source: Source, *, timeout: float | None = None) -> Inspection: ...
def _forked() -> None: ...
def _wait_for_calls() -> None: ...
def restore(
    source: Source,
    target: Target,
    identities: Identities | None = None,
    *,
    passphrase: str | None = None,
    force: bool = False,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | Path | None = None,
    signature: bytes | Path | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
    progress: _Told | None = None,
) -> Restored: ...
def restore_into(
    source: Source,
    buffer: WritableBuffer,
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
    progress: _Told | None = None,
) -> Restored: ...
def verify(
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
    progress: _Told | None = None,
) -> Restored: ...
def metadata(
    source: Source, identities: Identities | None = None, *, passphrase: str | None = None, timeout: float | None = None
) -> dict[bytes, bytes]: ...
def open_reader(
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
) -> Reader: ...

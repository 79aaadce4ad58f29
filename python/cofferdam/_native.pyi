from collections.abc import Callable, Mapping, Sequence
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
    @property
    def tree(self) -> SealedTree | None: ...

@final
class SealedTree:
    @property
    def files(self) -> int: ...
    @property
    def directories(self) -> int: ...
    @property
    def symlinks(self) -> int: ...
    @property
    def hard_links(self) -> int: ...
    @property
    def others(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def changed_paths(self) -> list[str]: ...
    @property
    def gone(self) -> int: ...
    @property
    def gone_paths(self) -> list[str]: ...
    @property
    def left_out(self) -> dict[str, int] | None: ...
    @property
    def no_catalog(self) -> str | None: ...

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
    @property
    def tree(self) -> RestoredTree | None: ...

@final
class RestoredTree:
    @property
    def files(self) -> int: ...
    @property
    def directories(self) -> int: ...
    @property
    def symlinks(self) -> int: ...
    @property
    def hard_links(self) -> int: ...
    @property
    def others(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def left_out(self) -> dict[str, int]: ...
    @property
    def old_tree(self) -> str | None: ...
    @property
    def old_tree_not_removed(self) -> str | None: ...

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
    def tree(self) -> Tree: ...
    def close(self) -> None: ...

@final
class Entry:
    @property
    def path(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def mode(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def link(self) -> str | None: ...
    @property
    def changed(self) -> bool: ...
    @property
    def gone(self) -> bool: ...
    def __fspath__(self) -> str: ...

@final
class Tree:
    def __len__(self) -> int: ...
    def find(self, path: Path) -> Entry | None: ...
    def batch(self, path: Path, place: int | None, count: int) -> tuple[list[Entry], int]: ...
    def member(self, path: Path) -> Member: ...

@final
class Member:
    @property
    def entry(self) -> Entry: ...
    @property
    def size(self) -> int: ...
    def read_into(self, offset: int, buffer: WritableBuffer) -> int: ...
    def close(self) -> None: ...

_Told: TypeAlias = Callable[[Progress], Any]
_Globs: TypeAlias = str | Sequence[str]

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
    exclude: _Globs | None = None,
    include: _Globs | None = None,
    strict: bool = False,
    all_file_systems: bool = False,
    tar: bool = False,
    state_dir: Path | None = None,
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
    keep_old: bool = False,
    into: bool = False,
    numeric_owner: bool = False,
    no_owner: bool = False,
    set_id: bool = False,
    devices: bool = False,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | Path | None = None,
    signature: bytes | Path | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
    progress: _Told | None = None,
) -> Restored: ...
@final
class Plan:
    @property
    def id(self) -> str: ...
    @property
    def sealed(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def stream_digest(self) -> str: ...
    @property
    def plaintext_len(self) -> int: ...
    @property
    def part_lens(self) -> list[int]: ...
    @property
    def was_there(self) -> bool: ...
    def __len__(self) -> int: ...

@final
class State:
    @property
    def committed(self) -> bool: ...
    @property
    def published(self) -> bool: ...
    @property
    def missing(self) -> list[int]: ...
    @property
    def strange(self) -> int: ...

@final
class Committed:
    @property
    def was_there(self) -> bool: ...
    @property
    def tree(self) -> RestoredTree | None: ...

def plan_restore(
    plan: Path,
    sealed: Path,
    target: Path,
    parts: int,
    identities: Identities | None = None,
    *,
    plan_key: Path | None = None,
    passphrase: str | None = None,
    force: bool = False,
    keep_old: bool = False,
    numeric_owner: bool = False,
    no_owner: bool = False,
    set_id: bool = False,
    devices: bool = False,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | Path | None = None,
    signature: bytes | Path | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
) -> Plan: ...
def read_plan(plan: Path, *, plan_key: Path | None = None) -> Plan: ...
def run_part(
    plan: Path,
    part: int,
    identities: Identities | None = None,
    *,
    sealed: Source | None = None,
    plan_key: Path | None = None,
    passphrase: str | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
    progress: _Told | None = None,
) -> Literal["written", "written before", "committed"]: ...
def commit_plan(plan: Path, *, plan_key: Path | None = None, threads: int | None = None, compare: bool = False) -> Committed: ...
def state_of_plan(plan: Path, *, plan_key: Path | None = None) -> State: ...
def give_up_plan(
    plan: Path, *, plan_key: Path | None = None
) -> Literal["removed", "in place", "may have been in place", "nothing found"]: ...
def restore_paths(
    source: Source,
    target: Path,
    paths: _Globs,
    identities: Identities | None = None,
    *,
    passphrase: str | None = None,
    force: bool = False,
    keep_old: bool = False,
    into: bool = False,
    numeric_owner: bool = False,
    no_owner: bool = False,
    set_id: bool = False,
    devices: bool = False,
    expect_digest: str | None = None,
    min_sequence: int | None = None,
    signed_by: str | Path | None = None,
    signature: bytes | Path | None = None,
    threads: int | None = None,
    memory: int | None = None,
    timeout: float | None = None,
) -> RestoredTree: ...
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

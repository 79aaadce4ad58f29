"""What the calls of this package raise: one class a kind of failure, all of them :class:`Error`."""

from __future__ import annotations

import errno as _errno
import os
from typing import Any


class Error(Exception):
    """Why nothing was sealed, restored or verified.

    Its text says what happened, where, why, and what to do. After a restore or a seal that raises, the target is as it was, unless the class is
    :class:`DurabilityUnknownError`. What an object of yours has raised, a source's ``read`` for instance, is its ``__cause__``.
    """

    #: The kind of failure, for programs: the names of the command's ``--json``.
    kind: str = "io"
    #: The segment it happened in, from 0, where there is one.
    segment: int | None = None
    #: The frame of that segment, from 0.
    frame: int | None = None
    #: Where in the sealed stream, in bytes from its beginning.
    position: int | None = None
    #: Tentative bytes kept beside the target, from which the same call resumes; ``None`` if nothing is kept.
    resumable_bytes: int | None = None
    #: What can be done about it, as a sentence.
    advice: str | None = None
    #: The same, for programs: the name of the library's remedy.
    remedy: str | None = None

    def __init__(
        self,
        message: str,
        *,
        segment: int | None = None,
        frame: int | None = None,
        position: int | None = None,
        resumable_bytes: int | None = None,
        advice: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.segment = segment
        self.frame = frame
        self.position = position
        self.resumable_bytes = resumable_bytes
        self.advice = advice
        self.remedy = remedy

    @property
    def place(self) -> str | None:
        """Where in the stream it happened, in words: ``segment 3, frame 0, byte 4096``. ``None`` if it happened elsewhere."""
        places = {"segment": self.segment, "frame": self.frame, "byte": self.position}
        return ", ".join(f"{name} {number}" for name, number in places.items() if number is not None) or None

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> Any:
        code = self.errno if isinstance(self, OSError) else None
        return _made_again, (type(self), self.args[0], code, self.__dict__)


class StorageError(Error, OSError):
    """Reading, writing, or the machine failed. An :class:`OSError`, with the system's ``errno`` where there is one."""


class NotFoundError(StorageError, FileNotFoundError):
    """A file, a directory or an object is not there."""


class NoAccessError(StorageError, PermissionError):
    """The system does not let this process read or write a file."""


class UsageError(Error, ValueError):
    """The caller asked for something that is not possible."""

    kind = "usage"


class DamagedError(Error):
    """The sealed stream is damaged or was tampered with."""

    kind = "damaged"


class DigestMismatchError(Error):
    """The stream is not the one that was pinned."""

    kind = "digest-mismatch"


class NotSignedError(Error):
    """Nobody who was named has signed this stream."""

    kind = "not-signed"


class NoKeyError(Error):
    """None of the keys given opens the stream."""

    kind = "no-key"


class TruncatedError(Error):
    """The sealed stream ends too early."""

    kind = "truncated"


class TargetExistsError(Error, FileExistsError):
    """The target exists, and replacing it was not asked for: ``force=True``."""

    kind = "target-exists"


class LimitError(Error):
    """A size or count is beyond a limit."""

    kind = "limit"


class UnsupportedError(Error):
    """The stream has a feature that this release does not know."""

    kind = "unsupported"


class JournalMismatchError(Error):
    """What an interrupted call has left beside the target belongs to another stream, or is damaged."""

    kind = "other-journal"


class TargetLockedError(Error):
    """Another process is writing the same target."""

    kind = "target-held"


class DurabilityUnknownError(Error):
    """The target has been published; whether that survives a power cut is not known."""

    kind = "durability-unknown"


class NotAStreamError(Error):
    """The bytes are no sealed stream."""

    kind = "not-a-stream"


class UnprovenError(Error):
    """The stream has been opened to its end, and nothing proves that it is whole."""

    kind = "unproven"


class StaleError(Error):
    """The stream is older than ``min_sequence`` asks for."""

    kind = "stale"


class SourceChangedError(Error):
    """The source changed while it was read."""

    kind = "source-changed"


class DeniedError(Error, PermissionError):
    """The store or server does not let this caller read or write."""

    kind = "denied"


class NoProgressError(Error):
    """Nothing has come from afar for too long: ``timeout``."""

    kind = "no-progress"


class ExhaustedError(Error):
    """The system provided no thread or no memory."""

    kind = "exhausted"


class CancelledError(Error):
    """The call was cancelled."""

    kind = "interrupted"


class PartsMissingError(Error):
    """A plan cannot be committed yet: parts are to be run, or run again. The target is as it was."""

    kind = "parts-missing"
    #: Which, from 0.
    parts: list[int] = []

    def __init__(self, parts: list[int] | str) -> None:
        # Out of a pickle, its text comes first.
        text = parts if isinstance(parts, str) else f"{len(parts)} of the plan's parts are missing: {_listed(parts)}"
        super().__init__(text, advice="Run them, then commit again. The target is as it was.")
        self.parts = [] if isinstance(parts, str) else list(parts)


def _listed(parts: list[int]) -> str:
    """Not more of them than can be read."""
    return ", ".join(str(part) for part in parts[:20]) + (", …" if len(parts) > 20 else "")


#: The library's kinds.
_CLASSES: dict[str, type[Error]] = {
    "Io": StorageError,
    "Usage": UsageError,
    "Damaged": DamagedError,
    "DigestMismatch": DigestMismatchError,
    "NotSigned": NotSignedError,
    "NoKey": NoKeyError,
    "Truncated": TruncatedError,
    "TargetExists": TargetExistsError,
    "Limit": LimitError,
    "Unsupported": UnsupportedError,
    "JournalMismatch": JournalMismatchError,
    "TargetLocked": TargetLockedError,
    "DurabilityUnknown": DurabilityUnknownError,
    "NotAStream": NotAStreamError,
    "Unproven": UnprovenError,
    "Stale": StaleError,
    "SourceChanged": SourceChangedError,
    "Denied": DeniedError,
    "NoProgress": NoProgressError,
    "Exhausted": ExhaustedError,
    "Cancelled": CancelledError,
}
_OF_SYSTEM: dict[int | None, type[Error]] = {
    _errno.ENOENT: NotFoundError,
    _errno.EACCES: NoAccessError,
    _errno.EPERM: NoAccessError,
}
#: The library's sentences name its own calls; these are the same here.
_WORDS = [
    ("`IfExists::Replace`", "`force=True`"),
    ("`OnPartial::Discard`", "`cofferdam.discard`"),
    (
        "An opener that is told to (`Opener::foreign`) opens, verifies and converts it; the rest is for streams of ours.",
        "`restore`, `verify` and `open` take it; the other calls are for streams of ours.",
    ),
    ("`Identities::foreign_key`", "the command `cofferdam`"),
    ("`Foreign::AcceptUnproven`", "the command `cofferdam`"),
    ("`Opener::log`", "the command `cofferdam`"),
    ("`ObjectTarget::spool`", "the command `cofferdam`"),
    ("`ObjectTarget::len_max`", "the command `cofferdam`"),
]


def _in_words_of_python(text: str) -> str:
    for rust, python in _WORDS:
        text = text.replace(rust, python)
    return text


def _made(kind: str, message: str, code: int | None, fields: dict[str, Any]) -> Error:
    chosen = _CLASSES.get(kind, Error)
    if chosen is StorageError:
        chosen = _OF_SYSTEM.get(code, StorageError)
    if fields["advice"] is not None:
        fields["advice"] = _in_words_of_python(fields["advice"])
    return _with_code(chosen(_in_words_of_python(message), **fields), code)


def _with_code(error: Error, code: int | None) -> Error:
    if isinstance(error, OSError) and code is not None:
        error.errno = code
        error.strerror = os.strerror(code)
    return error


def _made_again(chosen: type[Error], message: str, code: int | None, fields: dict[str, Any]) -> Error:
    error = chosen(message)
    error.__dict__.update(fields)
    return _with_code(error, code)

"""What the calls of this package raise: one class a kind of failure, all of them :class:`Error`."""

from __future__ import annotations


class Error(Exception):
    """Why nothing was sealed, restored or verified.

    Its text says what happened, where, why, and what to do. After a restore or a seal that raises, the target is as it was, unless the class is
    :class:`DurabilityUnknownError`.
    """

    #: The segment it happened in, from 0, where there is one.
    segment: int | None
    #: The frame of that segment, from 0.
    frame: int | None
    #: Where in the sealed stream, in bytes from its beginning.
    position: int | None
    #: Tentative bytes kept beside the target, from which the same call resumes; ``None`` if nothing is kept.
    resumable_bytes: int | None
    #: What can be done about it, as a sentence.
    advice: str | None
    #: The same, for programs: the name of the library's remedy.
    remedy: str | None

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


class StorageError(Error):
    """Reading, writing, or the machine failed."""


class UsageError(Error, ValueError):
    """The caller asked for something that is not possible."""


class DamagedError(Error):
    """The sealed stream is damaged or was tampered with."""


class DigestMismatchError(Error):
    """The stream is not the one that was pinned."""


class NotSignedError(Error):
    """Nobody who was named has signed this stream."""


class NoKeyError(Error):
    """None of the keys given opens the stream."""


class TruncatedError(Error):
    """The sealed stream ends too early."""


class TargetExistsError(Error):
    """The target exists, and replacing it was not asked for: ``force=True``."""


class LimitError(Error):
    """A size or count is beyond a limit."""


class UnsupportedError(Error):
    """The stream has a feature that this release does not know."""


class JournalMismatchError(Error):
    """What an interrupted call has left beside the target belongs to another stream, or is damaged."""


class TargetLockedError(Error):
    """Another process is writing the same target."""


class DurabilityUnknownError(Error):
    """The target has been published; whether that survives a power cut is not known."""


class NotAStreamError(Error):
    """The bytes are no sealed stream."""


class UnprovenError(Error):
    """The stream has been opened to its end, and nothing proves that it is whole."""


class StaleError(Error):
    """The stream is older than ``min_sequence`` asks for."""


class SourceChangedError(Error):
    """The source changed while it was read."""


class DeniedError(Error):
    """The store or server does not let this caller read or write."""


class NoProgressError(Error):
    """Nothing has come from afar for too long."""


class ExhaustedError(Error):
    """The system provided no thread or no memory."""


class CancelledError(Error):
    """The call was cancelled."""

//! Owns what can go wrong with a request: the faults, and their kinds, which can be drawn by a seed.
//! Knows nothing of connections.

use std::time::Duration;

use super::plan::Request;

/// What goes wrong with one request. Offsets count bytes as they are sent, from the first of the head on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The server gets so many bytes of the request, then both connections end.
    CutRequest {
        /// How many.
        after: u64,
    },
    /// The client gets so many bytes of the answer, then both connections end.
    CutAnswer {
        /// How many.
        after: u64,
    },
    /// The server has done what was asked; the client sees the connection end before the first byte of an answer.
    LoseAnswer,
    /// The client gets so many bytes of the answer, and then none: the connection stays until the client leaves, or for so long.
    Stall {
        /// How many.
        after: u64,
        /// How long at most; then the rest follows.
        at_most: Duration,
    },
    /// The answer comes at a fraction of the speed.
    Trickle {
        /// How fast.
        bytes_per_second: u64,
    },
    /// The server is not asked; the client is told a status.
    Status {
        /// Such as 503.
        code: u16,
        /// What `Retry-After` says, in seconds.
        retry_after: Option<u32>,
    },
    /// The server's answer to a range is the whole object with status 200. The request goes without its range and its signature.
    WholeBody,
    /// `Content-Range` says a range that begins and ends a byte later.
    ShiftedRange,
    /// `Content-Range` says another length of the whole.
    OtherTotal,
    /// `Content-Length` says more (or less) than comes; the connection ends after what comes.
    WrongLength {
        /// By how much.
        by: i64,
    },
    /// The entity tag is a weak one.
    WeakTag,
    /// There is no entity tag.
    NoTag,
    /// The entity tag is another, as of an object that was replaced.
    OtherTag,
    /// The answer is that to another request target. The request goes without its signature.
    OtherTarget(String),
    /// A bit of the answer's body is another.
    Damage {
        /// Which byte of the body.
        at: u64,
    },
    /// The answer begins later.
    Delay(Duration),
}

/// The faults, without how much and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "those of `Fault`")]
pub enum FaultKind {
    CutRequest,
    CutAnswer,
    LoseAnswer,
    Stall,
    Trickle,
    Status,
    WholeBody,
    ShiftedRange,
    OtherTotal,
    WrongLength,
    WeakTag,
    NoTag,
    OtherTag,
    OtherTarget,
    Damage,
    Delay,
}

impl Fault {
    /// Which fault it is.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::CutRequest { .. } => FaultKind::CutRequest,
            Fault::CutAnswer { .. } => FaultKind::CutAnswer,
            Fault::LoseAnswer => FaultKind::LoseAnswer,
            Fault::Stall { .. } => FaultKind::Stall,
            Fault::Trickle { .. } => FaultKind::Trickle,
            Fault::Status { .. } => FaultKind::Status,
            Fault::WholeBody => FaultKind::WholeBody,
            Fault::ShiftedRange => FaultKind::ShiftedRange,
            Fault::OtherTotal => FaultKind::OtherTotal,
            Fault::WrongLength { .. } => FaultKind::WrongLength,
            Fault::WeakTag => FaultKind::WeakTag,
            Fault::NoTag => FaultKind::NoTag,
            Fault::OtherTag => FaultKind::OtherTag,
            Fault::OtherTarget(_) => FaultKind::OtherTarget,
            Fault::Damage { .. } => FaultKind::Damage,
            Fault::Delay(_) => FaultKind::Delay,
        }
    }
}

impl FaultKind {
    /// After what goes wrong in these ways, asking again may help.
    pub const PASSING: [FaultKind; 7] = [
        FaultKind::CutRequest,
        FaultKind::CutAnswer,
        FaultKind::LoseAnswer,
        FaultKind::Stall,
        FaultKind::Trickle,
        FaultKind::Status,
        FaultKind::Delay,
    ];

    /// These are of a server that errs, or of an object that is another.
    pub const ERRING: [FaultKind; 8] = [
        FaultKind::WholeBody,
        FaultKind::ShiftedRange,
        FaultKind::OtherTotal,
        FaultKind::WrongLength,
        FaultKind::WeakTag,
        FaultKind::NoTag,
        FaultKind::OtherTag,
        FaultKind::Damage,
    ];

    /// A fault of this kind, for `request`. None where none can be drawn: another target is nobody's guess.
    pub fn draw(self, numbers: &mut fastrand::Rng, request: &Request) -> Option<Fault> {
        // A cut in the head as often as further on.
        let len = request.range_len().unwrap_or(HEAD_LEN);
        let limit = if numbers.bool() { HEAD_LEN } else { HEAD_LEN + len };
        let after = numbers.u64(0..limit);
        Some(match self {
            FaultKind::CutRequest => {
                let len = request.content_len().unwrap_or(0);
                let limit = if numbers.bool() { HEAD_LEN } else { HEAD_LEN + len };
                Fault::CutRequest { after: numbers.u64(0..limit) }
            }
            FaultKind::CutAnswer => Fault::CutAnswer { after },
            FaultKind::LoseAnswer => Fault::LoseAnswer,
            FaultKind::Stall => Fault::Stall { after, at_most: STALL },
            FaultKind::Trickle => Fault::Trickle { bytes_per_second: numbers.u64(64 << 10..1 << 20) },
            FaultKind::Status => Fault::Status {
                code: [429, 500, 502, 503, 503, 504][numbers.usize(0..6)],
                retry_after: [None, Some(0), Some(1)][numbers.usize(0..3)],
            },
            FaultKind::WholeBody => Fault::WholeBody,
            FaultKind::ShiftedRange => Fault::ShiftedRange,
            FaultKind::OtherTotal => Fault::OtherTotal,
            FaultKind::WrongLength => {
                let by = numbers.i64(1..=1000);
                Fault::WrongLength { by: if numbers.bool() { by } else { -by } }
            }
            FaultKind::WeakTag => Fault::WeakTag,
            FaultKind::NoTag => Fault::NoTag,
            FaultKind::OtherTag => Fault::OtherTag,
            FaultKind::Damage => Fault::Damage { at: numbers.u64(0..len) },
            FaultKind::Delay => Fault::Delay(Duration::from_millis(numbers.u64(1..200))),
            FaultKind::OtherTarget => return None,
        })
    }
}

/// About how long the heads of stores' answers are.
const HEAD_LEN: u64 = 400;

/// Longer than a client under test waits for progress.
const STALL: Duration = Duration::from_secs(60);

//! Owns which ends a run may have, by what went wrong in it: the table that OPERATIONS promises to operators.
//! Runs nothing.

use std::collections::BTreeMap;

use cofferdam::ErrorKind;
use servers::FaultKind;

use crate::scenario::{Drawn, Scenario};
use crate::stores::Store;

/// Whether a restore's result may be there, identical.
pub(crate) fn may_succeed(drawn: &Drawn) -> bool {
    match drawn.scenario {
        Scenario::Changed | Scenario::Denied | Scenario::Silence => !drawn.is_reached(),
        _ => true,
    }
}

/// Whether a restore may have failed so.
pub(crate) fn may_fail(drawn: &Drawn, kind: ErrorKind, faults: &BTreeMap<FaultKind, u64>) -> bool {
    let any = |kinds: &[FaultKind]| kinds.iter().any(|kind| faults.contains_key(kind));
    match (drawn.scenario, kind) {
        (Scenario::Cancelled, ErrorKind::Cancelled) => true,
        (Scenario::Changed, ErrorKind::SourceChanged)
        | (Scenario::Denied, ErrorKind::Denied)
        | (Scenario::Silence, ErrorKind::NoProgress) => drawn.is_reached(),
        // Another tag or another length is another object.
        (Scenario::Erring, ErrorKind::SourceChanged) => any(&[
            FaultKind::OtherTag,
            FaultKind::OtherTotal,
            FaultKind::WeakTag,
            FaultKind::NoTag,
            FaultKind::WrongLength,
        ]),
        // A server that does not say which bytes it has sent is refused, in words.
        (Scenario::Erring, ErrorKind::Io) => any(&[FaultKind::ShiftedRange]),
        // What the network damages is seen by the stream's own authentication.
        (Scenario::Erring, ErrorKind::Damaged) => any(&[FaultKind::Damage]),
        _ => false,
    }
}

/// Whether an upload may have put its object in place.
pub(crate) fn may_upload(drawn: &Drawn, store: Store) -> bool {
    match drawn.scenario {
        // It cannot put parts together on a condition, and is looked at before.
        Scenario::Changed => store == Store::Gcs || !drawn.is_reached(),
        Scenario::Denied | Scenario::Silence => !drawn.is_reached(),
        _ => true,
    }
}

/// Whether an upload may have failed so.
pub(crate) fn may_fail_to_upload(drawn: &Drawn, kind: ErrorKind) -> bool {
    match (drawn.scenario, kind) {
        (Scenario::Cancelled, ErrorKind::Cancelled) => true,
        // The request that puts it in place may have been the one whose answer did not come.
        (Scenario::Cancelled, ErrorKind::DurabilityUnknown) => true,
        (Scenario::Silence, ErrorKind::DurabilityUnknown)
        | (Scenario::Changed, ErrorKind::TargetExists | ErrorKind::TargetLocked)
        | (Scenario::Denied, ErrorKind::Denied)
        | (Scenario::Silence, ErrorKind::NoProgress) => drawn.is_reached(),
        _ => false,
    }
}

/// Whether parts may be left at the store: those of an upload that could not be given up any more, and those of one that was begun
/// by a request whose answer was lost. Nobody knows its name then; `cofferdam uploads` lists it.
pub(crate) fn may_leave_parts(
    drawn: &Drawn,
    kind: Option<ErrorKind>,
    faults: &BTreeMap<FaultKind, u64>,
) -> bool {
    let losing = [FaultKind::LoseAnswer, FaultKind::CutAnswer, FaultKind::Stall];
    let has_no_way = matches!(drawn.scenario, Scenario::Denied | Scenario::Silence);
    let is_lost = drawn.scenario == Scenario::Outage || losing.iter().any(|kind| faults.contains_key(kind));
    kind.is_some() && has_no_way || kind == Some(ErrorKind::DurabilityUnknown) || is_lost
}

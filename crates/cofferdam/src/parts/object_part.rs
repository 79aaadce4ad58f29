//! An attempt at a part of an object: its segments to the numbers of the upload that are the part's, then the receipt.
//! What other attempts send under the same numbers are the same bytes; which of them the object has, the commit decides.

use ::parts::{PartExtent, PartReceipt, PieceHasher};
use object::ObjectRange;
use remote::upload::UploadFaultKind;
use sources::Source;

use super::PlannedRestore;
use super::attempts::{AttemptsDir, receipt_name};
use super::object::upload_gone;
use super::piece_sink::PieceSink;
use super::run_part::{attempt_name, not_planned, receipt_of};
use crate::object_target::{explain, fault_under};
use crate::{Error, Opener};

impl PlannedRestore {
    pub(super) fn attempt_sent(
        &self,
        opener: &Opener,
        part: u64,
        extent: &PartExtent,
        source: impl Source,
        attempts: &AttemptsDir,
    ) -> Result<(), Error> {
        let attempt = attempt_name()?;
        let (target, planned) = self.object()?;
        let cut = &planned.cuts[part as usize];
        let range = ObjectRange {
            first: (cut.numbers.start - 1) as usize,
            part_len: cut.piece_len as usize,
            len: extent.len(),
        };
        let upload = self.upload(&opener.resources.cancel)?;
        let (sink, sent) = target.range_sink(&opener.resources, upload, range)?;
        let hasher = PieceHasher::new(&self.key, self.plan.id());
        let (sink, pieces) = PieceSink::new(sink, hasher, cut.piece_len);
        let opened = self.expecting(opener)?.open_segments(extent.segments.clone(), source, sink);
        let opened = opened.map_err(|error| match self.is_of_another_stream(&error) {
            true => not_planned(),
            false => explain_sent(error),
        })?;
        let tags = sent.tags().unwrap_or_default().to_vec();
        let receipt = PartReceipt::sent(&self.plan, part, attempt, pieces.take(), tags);
        let receipt = receipt_of(&opened, extent, part, receipt)?;
        attempts.put(&receipt_name(part, attempt), receipt.to_text(&self.key).as_bytes())
    }
}

fn explain_sent(error: Error) -> Error {
    match fault_under(&error) {
        Some(fault) if fault.kind() == UploadFaultKind::UploadGone => upload_gone(),
        _ => explain(error),
    }
}

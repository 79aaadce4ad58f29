//! What `--json` says of the steps of a plan.
//! It takes none.

use std::path::Path;

use cofferdam::StreamDigest;
use cofferdam::parts::PlannedRestore;
use serde::Serialize;

use crate::printable::Name;
use crate::restored_tree::TreeRecord;
use crate::text::hex;

#[derive(Serialize)]
pub(super) struct PlanRecord {
    pub(super) event: &'static str,
    pub(super) plan: Name,
    pub(super) plan_id: String,
    pub(super) output: Name,
    pub(super) stream_id: String,
    pub(super) stream_digest: String,
    pub(super) parts: u64,
    pub(super) plaintext_len: u64,
    pub(super) was_there: bool,
    /// Of a plan that was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    /// Of planning: whether the plan has been committed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) committed: Option<bool>,
    /// Of a commit that has put a directory in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tree: Option<TreeRecord>,
}

impl PlanRecord {
    pub(super) fn new(
        event: &'static str,
        path: &Path,
        planned: &PlannedRestore,
        was_there: bool,
    ) -> PlanRecord {
        let plan = planned.plan();
        PlanRecord {
            event,
            plan: Name::from(path),
            plan_id: plan.id().to_string(),
            output: Name::from(plan.target().name()),
            stream_id: hex(&plan.content().stream_id),
            stream_digest: StreamDigest(plan.content().stream_digest).to_string(),
            parts: plan.parts().len() as u64,
            plaintext_len: plan.plaintext_len(),
            was_there,
            outcome: None,
            committed: None,
            tree: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct PartRecord {
    pub(super) event: &'static str,
    pub(super) plan: Name,
    pub(super) part: u64,
    pub(super) parts: u64,
    pub(super) state: &'static str,
    pub(super) plaintext_len: u64,
    pub(super) seconds: f64,
}

#[derive(Serialize)]
pub(super) struct StateRecord {
    pub(super) event: &'static str,
    pub(super) plan: Name,
    pub(super) output: Name,
    pub(super) parts: u64,
    pub(super) missing: Vec<u64>,
    pub(super) committed: bool,
    pub(super) published: bool,
    /// Of an object that is not asked.
    pub(super) there: Option<bool>,
    pub(super) strange: u64,
}

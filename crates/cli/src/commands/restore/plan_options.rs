//! What a step of a plan takes of the options of a restore: each is used, or refused, and none is passed over.
//! It runs no step.

use cofferdam::is_pipe;

use super::Restore;
use super::plan::no_target;
use crate::failure::Failure;
use crate::io_arg::End;
use crate::peer::Goal;
use crate::plan_args::Step;
use crate::sealed::Sealed;

impl Restore {
    /// What a step takes from the plan is not given again: it might be something else.
    pub(super) fn refuse_other_targets(&self) -> Result<(), Failure> {
        let is_planning = matches!(self.plan.step(), Some((_, Step::Plan(_))));
        if self.force && !is_planning {
            return Err(Failure::usage("--force: the plan says whether a target is replaced")
                .advise("Leave it out, or make another plan with it."));
        }
        if !is_planning {
            self.tree.refuse_planned()?;
        }
        #[cfg(feature = "signatures")]
        if self.shards.manifest {
            return Err(Failure::usage("--manifest: a plan is of one stream")
                .advise("Plan each large shard by itself, or restore the manifest without a plan."));
        }
        match &self.target {
            Goal::Here(End::Standard) if !is_planning => Ok(()),
            Goal::Here(End::Path(path)) if is_planning && !is_pipe(path) => {
                self.uploading.check_planned(&self.target)
            }
            Goal::There(_) if is_planning => self.uploading.check_planned(&self.target),
            _ if is_planning => Err(no_target()),
            _ => Err(Failure::usage("the plan has the target").advise("Leave TARGET out.")),
        }
    }

    /// What a step does not do, it does not take: whoever gives it believes that it has been done.
    pub(super) fn refuse_undone(&self, step: Step) -> Result<(), Failure> {
        let (is_planning, is_part) = (matches!(step, Step::Plan(_)), matches!(step, Step::Part(_)));
        let opens = is_planning || is_part;
        let works = opens || step == Step::Commit;
        let given = |option: &'static str, is_given: bool| is_given.then_some(option);
        // What is given of it, whether this step does it, and why not.
        let rows = [
            (given("--signed-by", self.signed_by.is_given()), opens, READS_NONE),
            (given("--min-sequence", self.expected.min_sequence().is_some()), opens, READS_NONE),
            (self.keys.first_given(), opens, READS_NONE),
            (self.rate.first_given(), opens, READS_NONE),
            (given("--memory", self.resources.memory().is_some()), opens, READS_NONE),
            (given("--threads", self.resources.threads().is_some()), works, COUNTS_NOTHING),
            (given("--metrics-file", self.resources.metrics_file().is_some()), works, COUNTS_NOTHING),
            (given("--compare", self.plan.compares_all()), step == Step::Commit, "the commit alone compares"),
            (given("--timeout", self.timeout.is_given()), step != Step::Status, ASKS_NO_STORE),
            (
                given("--spool", self.uploading.is_spool_given()),
                is_part,
                "parts are sent by --part, which takes it",
            ),
            (given("--no-preserve", self.staging.ignores_attributes()), is_planning, PLANNED),
            (given("--sparse", self.staging.is_sparse_given()), false, LEAVES_HOLES),
            (given("--accept-unproven", self.foreign.accepts_unproven()), false, "each part is proved"),
            (given("--foreign-key", self.foreign.is_given()), false, "no plan is of another tool's stream"),
            (self.protection.first_given(), false, "no plan is for a receiver"),
        ];
        match rows.into_iter().find_map(|(given, is_done, why)| Some((given.filter(|_| !is_done)?, why))) {
            None => Ok(()),
            Some((option, why)) => Err(of_no_use(option, why)),
        }
    }

    /// Of what a step waits for, once the plan has said what its target is.
    pub(super) fn refuse_useless_wait(&self, target: &Goal) -> Result<(), Failure> {
        match target {
            Goal::Here(_) if self.timeout.is_given() => Err(of_no_use("--timeout", ASKS_NO_STORE)),
            _ => Ok(()),
        }
    }

    pub(super) fn refuse_sealed(&self) -> Result<(), Failure> {
        match self.sealed {
            Sealed::Here(End::Standard) => Ok(()),
            _ => Err(Failure::usage(READS_NONE).advise("Leave SEALED out.")),
        }
    }
}

fn of_no_use(option: &str, why: &str) -> Failure {
    Failure::usage(format!("{option} is of no use: {why}")).advise("Leave the option out.")
}

const READS_NONE: &str = "this step reads no stream";
const COUNTS_NOTHING: &str = "this step restores nothing";
const ASKS_NO_STORE: &str = "this step asks no store";
const PLANNED: &str = "the plan says what a new target gets";
const LEAVES_HOLES: &str = "the commit makes the target, and leaves zeros out";

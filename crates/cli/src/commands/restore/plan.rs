//! The steps of a restore by many processes: planning, one part, the commit, how far it is, giving it up.
//! It turns options into calls; the library does the work, and what is between the processes is in files.

use std::ffi::OsString;
use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use cofferdam::parts::{
    GivenUp, Outcome, PartRun, PlanKeyFile, PlanTarget, Planned, PlannedRestore, open_key,
};
use cofferdam::{ErrorKind, InTheWay, Remedy, StreamDigest, TreeOutcome, descriptor_named};

use super::Restore;
use super::plan_record::{PartRecord, PlanRecord, StateRecord};
use crate::failure::{Failure, FailureKind};
use crate::interrupt;
use crate::io_arg::{End, MAKE_ROOM, has_cause, is_cut_off, is_out_of_room};
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::peer::Goal;
use crate::plan_args::Step;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::{Channel, Report};
use crate::restored_tree::TreeRecord;
use crate::sealed::Sealed;
use crate::size::Size;
use crate::text::{agree, count, pace};

impl Restore {
    /// One step of a plan.
    pub(super) fn run_step(&mut self, plan: &Path, step: Step, report: Report) -> Result<(), Failure> {
        self.refuse_other_targets()?;
        self.refuse_undone(step)?;
        match step {
            Step::Plan(parts) => self.make_plan(plan, parts, report),
            Step::Part(part) => self.run_part(plan, part, report),
            Step::Commit => self.commit(plan, report),
            Step::Status => self.tell_state(plan, report),
            Step::GiveUp => self.give_up(plan, report),
        }
    }

    fn make_plan(&mut self, plan: &Path, parts: NonZeroU64, report: Report) -> Result<(), Failure> {
        self.tree.check_planning()?;
        self.tree.check(&self.target)?;
        self.staging.check(&self.target)?;
        let described = self.described()?;
        let key_path = self.plan.key_path(plan)?;
        let mut files = self.files()?;
        files.writes("the plan", &End::Path(plan.to_owned()))?;
        files.writes("the plan's key", &End::Path(key_path.clone()))?;
        files.writes(NOTE, &End::Path(note_of(plan)))?;
        if let Goal::Here(End::Path(target)) = &self.target
            && self.force
            && target.is_dir()
        {
            self.refuse_key_within(target, &key_path)?;
        }
        self.resources.begin(RunInfo::opening(self.command), &files, report)?;
        self.refuse_same_object()?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "planning", Warnings::AtOnce);
        let outcome = TreeOutcome::default();
        let opener = self.tree.opener(self.opener(&cancel, watch.clone(), report)?, &outcome);
        let (opener, _) = self.signed_by.demand(opener, &self.sealed, &cancel, report)?;
        let source = self.sealed.source(&cancel, report)?;
        interrupt::roll_back_from_now_on();
        let key_name = Name::from(&*key_path);
        let key = PlanKeyFile::open_or_draw(key_path)?;
        let made = match &self.target {
            Goal::Here(End::Path(target)) => {
                PlannedRestore::create(plan, key, &opener, source, &described, target, parts)
            }
            #[cfg(feature = "remote")]
            Goal::There(url) => {
                let target = self.uploading.planned(url, report);
                PlannedRestore::create_for_object(plan, key, &opener, source, &described, &target, parts)
            }
            _ => return Err(no_target()),
        };
        let (planned, made) = made.map_err(|error| {
            Failure::from(error).of_input(&self.sealed).advise_also("The target is as it was.")
        })?;
        watch.finish();
        let mut record = PlanRecord::new("planned", plan, &planned, made == Planned::Before);
        let is_committed = made == Planned::Before && planned.state()?.is_committed;
        record.committed = Some(is_committed);
        let verb = match (made, is_committed) {
            (Planned::Now, _) => "planned",
            (_, false) => "planned before:",
            (_, true) => "committed before, and not restored again:",
        };
        let mut sentence = format!(
            "{verb} {} into {} in {}: {}",
            self.sealed,
            record.output,
            count(record.parts, "part"),
            Size(record.plaintext_len)
        );
        if record.parts < parts.get() {
            sentence.push_str("; a store takes none that is shorter than 5 MiB, but for the last");
        }
        if is_committed {
            let [key, note] = [key_name, Name::from(&*note_of(plan))];
            sentence.push_str(&format!(
                "\nto restore it again give the plan another name, or remove {}, {key} and {note}",
                record.plan
            ));
        }
        report.done(Channel::Stdout, &record, sentence, "the plan is in place")
    }

    fn run_part(&mut self, plan: &Path, part: u64, report: Report) -> Result<(), Failure> {
        let planned = self.planned(plan, report)?;
        // The plan says where the stream is, unless this machine finds it elsewhere.
        if matches!(self.sealed, Sealed::Here(End::Standard)) {
            let source = planned.plan().content().source.clone();
            self.sealed = Sealed::parse(source).map_err(|problem| {
                Failure::usage(format!("the plan's stream: {problem}")).advise("Give SEALED here.")
            })?;
            self.sealed.set_timeout(self.timeout);
        }
        self.resources.begin(RunInfo::opening(self.command), &self.part_files(plan)?, report)?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "restoring", Warnings::AtOnce);
        let opener = self.opener(&cancel, watch.clone(), report)?;
        let (opener, _) = self.signed_by.demand(opener, &self.sealed, &cancel, report)?;
        let begun = Instant::now();
        let source = self.sealed.source(&cancel, report)?;
        interrupt::roll_back_from_now_on();
        let run = planned.run_part(&opener, part, source);
        let run = run.map_err(|error| {
            let (is_final, is_full) = (is_final(error.kind()), is_out_of_room(&error));
            let failure = Failure::from(error).of_input(&self.sealed);
            match (is_final, is_full) {
                (true, _) => failure,
                (false, true) => failure.advise(format!("{MAKE_ROOM} A part touches no target.")),
                (false, false) => failure.advise_also(UNTOUCHED),
            }
        })?;
        watch.finish();
        let len = planned.plan().parts()[part as usize].len();
        let parts = planned.plan().parts().len() as u64;
        let (state, sentence) = match run {
            PartRun::Written => {
                ("written", format!("part {part} of {parts}: {}, {}", Size(len), pace(len, begun.elapsed())))
            }
            PartRun::AlreadyWritten => ("written before", format!("part {part} of {parts} was there before")),
            PartRun::AlreadyCommitted => {
                ("committed", format!("part {part} of {parts}: the plan has been committed"))
            }
        };
        let record = PartRecord {
            event: "part",
            plan: Name::from(plan),
            part,
            parts,
            state,
            plaintext_len: len,
            seconds: begun.elapsed().as_secs_f64(),
        };
        report.done(Channel::Stdout, &record, sentence, "the part is in place")
    }

    fn commit(&self, plan: &Path, report: Report) -> Result<(), Failure> {
        self.refuse_sealed()?;
        let planned = self.pinned(plan, report)?;
        self.refuse_useless_wait(&goal_of(&planned)?)?;
        let mut files = self.planned_files(plan)?;
        goal_of(&planned)?.name_files(&mut files)?;
        self.resources.name_files(&mut files)?;
        self.resources.begin(RunInfo::of(self.command), &files, report)?;
        let cancel = interrupt::install(report)?;
        interrupt::roll_back_from_now_on();
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.resources.threads().unwrap_or(processors);
        let committed = match self.plan.compares_all() {
            true => planned.commit_compared(threads, &cancel),
            false => planned.commit(threads, &cancel),
        };
        let target = goal_of(&planned)?;
        self.tell_target(&target);
        let (was_there, tree) = match committed.map_err(|error| not_committed(error, &planned, &target))? {
            Outcome::Published => (false, None),
            Outcome::TreePublished(restored) => (false, Some(TreeRecord::new(&restored))),
            Outcome::TreeFinished(restored) => (true, restored.as_ref().map(TreeRecord::new)),
            Outcome::AlreadyCommitted => (true, None),
            Outcome::Missing(parts) => return Err(missing(parts)),
            Outcome::Wrong(parts) => return Err(wrong(parts)),
        };
        // The target is in place, and what could not be removed beside it is no reason to fail.
        if let Ok(Some(left)) = planned.left_beside() {
            report.warning(format_args!("{} could not be removed: see what is in it", Name::from(&*left)));
        }
        tree.iter().for_each(|tree| tree.warn(report));
        let mut record = PlanRecord::new("committed", plan, &planned, was_there);
        record.tree = tree;
        let made = (Size(record.plaintext_len), count(record.parts, "part"));
        let output = &record.output;
        let mut sentence = match (was_there, &record.tree) {
            (true, None) => format!("{output} has been put in place before"),
            (true, Some(tree)) => format!("{output} has been put in place before: {}", tree.contents()),
            (false, None) => format!("committed {output}: {} in {}", made.0, made.1),
            (false, Some(tree)) => {
                format!("committed {output}: {}, {} in {}", tree.contents(), made.0, made.1)
            }
        };
        match record.tree.as_ref().and_then(TreeRecord::kept_old) {
            Some(old) => sentence.push_str(&format!("\nthe directory that was there is {old}")),
            None if was_there && record.tree.is_none() => sentence.extend(kept_somewhere(&planned)),
            None => {}
        }
        if was_there && is_there(&planned) == Some(false) {
            report.warning(format_args!("{output}{NOTHING_THERE}"));
        }
        report.done(Channel::Stdout, &record, sentence, target.done())
    }

    fn tell_state(&self, plan: &Path, report: Report) -> Result<(), Failure> {
        self.refuse_sealed()?;
        let planned = self.pinned(plan, report)?;
        let state = planned.state()?;
        let missing: Vec<u64> =
            (0..).zip(&state.has_receipt).filter(|(_, there)| !**there).map(|(part, _)| part).collect();
        let parts = state.has_receipt.len() as u64;
        let target = Name::from(planned.plan().target().name());
        let mut sentence = match (state.is_committed, missing.is_empty()) {
            (true, _) => format!("{target}: the plan has been committed, and has put it in place"),
            (false, _) if state.is_published => {
                format!("{target} is in place, which is not noted yet: commit again")
            }
            (false, true) if parts == 1 => format!("{target}: the one part has been run; commit it"),
            (false, true) => format!("{target}: all of {parts} parts have been run; commit them"),
            (false, false) => {
                let done = parts - missing.len() as u64;
                let run = agree(parts, "{part has|parts have} been run");
                format!("{target}: {done} of {parts} {run}; missing: {}", listed(&missing))
            }
        };
        let there = is_there(&planned);
        if state.is_committed && there == Some(false) {
            sentence.push_str(NOTHING_THERE);
        }
        if planned.object_url().is_some() && !state.is_committed {
            sentence.push_str("\nthis is what the receipts say; the commit asks the store what it has");
        }
        if state.strange > 0 {
            sentence.push_str(&format!("\n{} not of this plan", count(state.strange, "receipt")));
        }
        let record = StateRecord {
            event: "plan",
            plan: Name::from(plan),
            output: target,
            parts,
            missing,
            committed: state.is_committed,
            published: state.is_published,
            there,
            strange: state.strange,
        };
        report.answer(Channel::Stdout, &record, sentence)
    }

    fn give_up(&self, plan: &Path, report: Report) -> Result<(), Failure> {
        self.refuse_sealed()?;
        let planned = self.pinned(plan, report)?;
        self.refuse_useless_wait(&goal_of(&planned)?)?;
        let given_up = planned.give_up()?;
        let mut record = PlanRecord::new("given_up", plan, &planned, given_up == GivenUp::WasInPlace);
        record.outcome = Some(match given_up {
            GivenUp::WasInPlace => "in place",
            GivenUp::MayHaveBeenInPlace => "may have been in place",
            GivenUp::NothingFound => "nothing found",
            _ => "removed",
        });
        let (name, output) = (&record.plan, &record.output);
        let sentence = match given_up {
            GivenUp::WasInPlace => format!(
                "{output} has been put in place before; nothing is kept beside it any more{}",
                kept_somewhere(&planned).unwrap_or_default()
            ),
            GivenUp::MayHaveBeenInPlace => format!(
                "{name}: nothing is kept for it any more. A commit that was interrupted may have put {output} in place: look what stands there"
            ),
            GivenUp::NothingFound => format!(
                "{name}: nothing was found that is kept for it: it was given up before, or its file system is not mounted here, or its directory was moved"
            ),
            _ => format!("{name}: nothing is kept for it any more; {name} and its key can be removed"),
        };
        report.done(Channel::Stdout, &record, sentence, "the plan has been given up")
    }

    /// The same, if it is of the stream that is expected.
    fn pinned(&self, plan: &Path, report: Report) -> Result<PlannedRestore, Failure> {
        let planned = self.planned(plan, report)?;
        match self.expected.expect_digest {
            Some(expected) if expected != StreamDigest(planned.plan().content().stream_digest) => {
                Err(Failure::new(ErrorKind::DigestMismatch, "the planned stream is not the expected one")
                    .advise("Look which stream the plan is of: it is another one than the one that was pinned, or an older one."))
            }
            _ => Ok(planned),
        }
    }

    fn planned(&self, plan: &Path, report: Report) -> Result<PlannedRestore, Failure> {
        let key = open_key(self.plan.key_path(plan)?);
        // Who has mistyped the plan's name, or not mounted where it is, has no key of that name either.
        let is_absent = matches!(plan.metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let is_link = plan.is_symlink();
        let key = key.map_err(|error| {
            let (failure, plan) = (Failure::from(error), Name::from(plan));
            match (is_absent, is_link) {
                (true, true) => failure.of_part(format_args!("{plan} is a link that leads nowhere")),
                (true, false) => failure.of_part(format_args!("there is no plan at {plan}")),
                (false, _) => failure,
            }
        })?;
        let planned = PlannedRestore::open(plan, key)?;
        let target = goal_of(&planned)?;
        self.uploading.check_planned(&target)?;
        #[cfg(not(feature = "remote"))]
        let _ = report;
        match target {
            #[cfg(feature = "remote")]
            Goal::There(mut url) => {
                url.set_timeout(self.timeout);
                Ok(planned.with_object(self.uploading.planned(&url, report))?)
            }
            _ => Ok(planned),
        }
    }

    /// Whoever interrupts twice is told which object it may be.
    fn tell_target(&self, target: &Goal) {
        #[cfg(feature = "remote")]
        if let Goal::There(url) = target {
            interrupt::writes_object(url);
        }
        #[cfg(not(feature = "remote"))]
        let _ = target;
    }

    /// Where workers find the stream, from whatever directory. What is secret in a URL stays out of the plan.
    fn described(&self) -> Result<OsString, Failure> {
        match &self.sealed {
            Sealed::Here(End::Path(path)) if descriptor_named(path).is_some() => Err(Failure::usage(
                "a plan is for a stream that each part can read, not for an open file of this process",
            )
            .advise("Name a file or a URL.")),
            Sealed::Here(End::Path(path)) => std::path::absolute(path)
                .map(Into::into)
                .map_err(|error| Failure::io("this process's directory could not be found", error)),
            Sealed::Here(End::Standard) => {
                Err(Failure::usage("a plan is for a stream that each part can read, not for standard input")
                    .advise("Name a file or a URL."))
            }
            Sealed::There(url) => Ok(url.to_string().into()),
        }
    }

    /// A key in a directory that is replaced is gone when the plan is committed.
    fn refuse_key_within(&self, target: &Path, key: &Path) -> Result<(), Failure> {
        let beside = key.parent().filter(|parent| !parent.as_os_str().is_empty());
        cofferdam::refuse_within(target, beside.unwrap_or(Path::new("."))).map_err(|_| {
            Failure::usage("the plan's key would lie in the directory that is to be replaced")
                .advise("Name another file for it with --plan-key.")
        })
    }

    /// Those of the plan itself, after it has been made.
    fn planned_files(&self, plan: &Path) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        files.reads("the plan", &End::Path(plan.to_owned()))?;
        files.reads("the plan's key", &End::Path(self.plan.key_path(plan)?))?;
        files.writes(NOTE, &End::Path(note_of(plan)))?;
        Ok(files)
    }

    fn part_files(&self, plan: &Path) -> Result<NamedFiles, Failure> {
        let mut files = self.planned_files(plan)?;
        self.sealed.name_files(&mut files)?;
        self.keys.name_files(&mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        self.rate.name_files(&mut files)?;
        self.resources.name_files(&mut files)?;
        Ok(files)
    }
}

/// Where it is noted that the plan was committed.
fn note_of(plan: &Path) -> PathBuf {
    // Beside the plan, whatever link leads to it.
    let mut note = plan.canonicalize().unwrap_or_else(|_| plan.to_owned()).into_os_string();
    note.push(".committed");
    note.into()
}

/// Of a directory that was replaced and kept, where whoever has put the other one in place has not noted under which name.
fn kept_somewhere(planned: &PlannedRestore) -> Option<String> {
    let content = planned.plan().content();
    let keeps_old = content.replaces && content.tree.is_some_and(|tree| tree.keeps_old);
    keeps_old.then(|| {
        let old = Name::from(planned.plan().target().name());
        format!("\nif a directory was there, it is {old}.cofferdam-old, or that with a number")
    })
}

/// What a commit that failed means for the target.
fn not_committed(error: cofferdam::Error, planned: &PlannedRestore, target: &Goal) -> Failure {
    let is_replaced_by_force = matches!(error.remedy(), Some(Remedy::Replace(InTheWay::File)));
    match error.kind() {
        // What a plan that replaces does not, and what is no file, the error says.
        ErrorKind::TargetExists if planned.plan().content().replaces || !is_replaced_by_force => {
            Failure::from(error)
        }
        ErrorKind::TargetExists => Failure::from(error).advise(
            "The plan replaces no target: move that one away and commit again, or plan again with --force.",
        ),
        // A bucket that is gone: nothing stays there, and what to do it says.
        ErrorKind::Io
            if matches!(target, Goal::There(_)) && has_cause(&error, &[io::ErrorKind::NotFound]) =>
        {
            Failure::from(error)
        }
        kind if matches!(target, Goal::There(_)) && is_cut_off(kind) => {
            Failure::from(error).advise_also(SENT_STAYS)
        }
        _ => target.explain(error, "target"),
    }
}

/// Whether the same command ends so again.
fn is_final(kind: ErrorKind) -> bool {
    use ErrorKind::{
        Damaged, DigestMismatch, JournalMismatch, Limit, NoKey, NotAStream, NotSigned, Stale, Truncated,
        Unsupported, Usage,
    };
    matches!(
        kind,
        Damaged
            | DigestMismatch
            | JournalMismatch
            | Limit
            | NoKey
            | NotAStream
            | NotSigned
            | Stale
            | Truncated
            | Unsupported
            | Usage
    )
}

pub(super) fn no_target() -> Failure {
    Failure::usage("a plan is for a file, a directory or an object as TARGET")
        .advise("Give SEALED, and a TARGET: a path, or s3://BUCKET/KEY.")
}

/// What the plan makes.
fn goal_of(planned: &PlannedRestore) -> Result<Goal, Failure> {
    match planned.plan().target() {
        PlanTarget::Path(path) => Ok(Goal::Here(End::Path(path.clone()))),
        PlanTarget::Object { url, .. } => {
            Goal::parse(url.into()).map_err(|problem| Failure::usage(format!("the plan's target: {problem}")))
        }
    }
}

fn missing(parts: Vec<u64>) -> Failure {
    let what = format!("{} missing: {}", count(parts.len() as u64, "part"), listed(&parts));
    Failure::new(FailureKind::PartsMissing, what)
        .advise(agree(parts.len() as u64, "Run {it|them}, then this again. The target is as it was."))
        .of_parts(parts, Vec::new())
}

/// They had been run: whoever runs them again is to look who has changed them, too.
fn wrong(parts: Vec<u64>) -> Failure {
    let what = format!(
        "{} missing: {}: what had been written of it was changed or removed after its receipt, and nothing of it is kept",
        count(parts.len() as u64, "part"),
        listed(&parts)
    );
    Failure::new(FailureKind::PartsMissing, what)
        .advise(agree(
            parts.len() as u64,
            "Look at the storage, and at who can write there. Run {it|them}, then this again. The target is as it was.",
        ))
        .of_parts(parts.clone(), parts)
}

/// Whether anything has the target's name; not known of an object, which no store is asked for.
fn is_there(planned: &PlannedRestore) -> Option<bool> {
    match planned.plan().target() {
        PlanTarget::Path(path) => match path.symlink_metadata() {
            Ok(_) => Some(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        },
        PlanTarget::Object { .. } => None,
    }
}

/// Numbers, as ranges where several follow each other; not more of those than can be read.
fn listed(parts: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for part in parts {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *part => *last = *part,
            _ => ranges.push((*part, *part)),
        }
    }
    let shown = ranges.iter().take(RANGES_SHOWN).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if ranges.len() > RANGES_SHOWN {
        text.push_str(", …");
    }
    text
}

/// Also where a commit before this one may have put the object in place: the next one finds that out.
const SENT_STAYS: &str = "This commit has put nothing in place, and what was sent stays at the store. Commit again, or give the plan up.";
const NOTE: &str = "the note that the plan is committed";
const NOTHING_THERE: &str = "; nothing is there any more: to restore it again make a plan of another name, or remove this one's files";
const UNTOUCHED: &str = "A part touches no target; run the same command again.";
/// More ranges than this are not read by anybody; `--json` has all of them.
const RANGES_SHOWN: usize = 20;

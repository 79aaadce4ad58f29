//! A suite that holds any sink against the numbered contract of [`StreamingSink`].
//! Knows nothing of a sink but the trait, and what its owner shows of the target.
//!
//! Functions named by the number of the rule they look at. Rules 1, 2 and 4 bind the engine, and so does most of rule 21; rules 11 and 12 need a
//! fault to be seen: they have no function here. What a sink keeps for the next one is seen only of a sink under test that can
//! be opened again: [`SinkUnderTest::reopening`].
//!
//! To run it on a sink of your own, give it a closure that makes a fresh sink over a target of its own each time,
//! and a closure that looks at that target from outside:
//!
//! ```
//! use local::MemorySink;
//! use testing::conformance::{SinkUnderTest, check_all};
//! use std::sync::OnceLock;
//!
//! let violations = check_all(&mut || {
//!     let (sink, contents) = MemorySink::new();
//!     let published = OnceLock::new();
//!     SinkUnderTest::new(sink, move || {
//!         if let Some(bytes) = contents.take() {
//!             let _ = published.set(bytes);
//!         }
//!         published.get().cloned()
//!     })
//! });
//! assert!(violations.is_empty(), "{violations:?}");
//! ```
//!
//! [`report`] tells the same rule by rule, for a table.

mod broken_off;
mod gone;
mod report;
mod resume;
mod trial;

use std::fmt;

use self::trial::{
    Committed, End, MODES, Mode, TRIAL_LEN, Trial, WRONG, accept, bytes, checkpoint, expect, roll_back,
    write_in_disorder, write_segment, write_with_hole,
};
pub use self::{
    report::{Outcome, ReportRow, report},
    resume::{
        rule_07_a_roll_back_after_a_resume_keeps_what_was_resumed,
        rule_09_a_resumed_stream_is_measured_like_any_other, rule_09_leftovers_do_not_count_as_written,
        rule_10_discard_takes_the_progress_away, rule_15_a_published_stream_is_no_progress,
        rule_16_a_durable_checkpoint_survives,
        rule_18_a_discarded_checkpoint_does_not_come_back_over_other_bytes,
        rule_18_a_proof_may_reach_less_far_than_the_checkpoint, rule_18_a_resumed_stream_is_whole,
        rule_18_starting_over_forgets_everything, rule_19_kept_bytes_read_back,
        rule_20_claims_that_are_not_confirmed_do_not_count, rule_20_confirmed_bytes_are_published,
        rule_20_what_is_not_kept_is_not_confirmed,
    },
};
use contract::StreamingSink;

/// A fresh sink, and a look at its target.
pub struct SinkUnderTest {
    sink: Box<dyn StreamingSink>,
    target: Box<dyn Fn() -> Option<Vec<u8>>>,
    reopen: Option<Reopen>,
    hands_on: bool,
}

/// Makes another sink over the same target.
type Reopen = Box<dyn FnMut() -> Result<Box<dyn StreamingSink>, String>>;

impl SinkUnderTest {
    /// `target` gives the bytes that anyone would find at the target now, or `None` where there is no target. It is
    /// called before, between and after the calls on `sink`, also when `sink` is gone.
    pub fn new(sink: impl StreamingSink + 'static, target: impl Fn() -> Option<Vec<u8>> + 'static) -> Self {
        Self { sink: Box::new(sink), target: Box::new(target), reopen: None, hands_on: false }
    }

    /// Of a sink whose target is somebody else's, who would take what is published for proved: rule 21.
    #[must_use]
    pub fn handing_on(mut self) -> Self {
        self.hands_on = true;
        self
    }

    /// Of a sink that can resume: `reopen` makes another sink over the same target, as the user who runs the same command
    /// again does. It is called only while no other sink over that target is there, after a drop, a discard or a publish. An
    /// error breaks a rule, except after a publish: a target that exists may be refused.
    #[must_use]
    pub fn reopening<S, E>(mut self, mut reopen: impl FnMut() -> Result<S, E> + 'static) -> Self
    where
        S: StreamingSink + 'static,
        E: fmt::Display,
    {
        self.reopen = Some(Box::new(move || match reopen() {
            Ok(sink) => Ok(Box::new(sink)),
            Err(error) => Err(error.to_string()),
        }));
        self
    }
}

/// Makes a [`SinkUnderTest`] over a target that no earlier one has touched.
pub type Fresh<'a> = &'a mut dyn FnMut() -> SinkUnderTest;

/// A rule that a sink does not keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The number of the rule in the contract.
    pub rule: u8,
    /// What the sink did.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rule {}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Violation {}

/// Runs every rule, and gives what was broken: nothing for a sink that keeps the contract.
pub fn check_all(fresh: Fresh<'_>) -> Vec<Violation> {
    RULES.iter().filter_map(|rule| (rule.check)(fresh).err()).collect()
}

/// Rule 3: pieces at offsets, in no order and from several threads, make the same stream as pieces in order.
///
/// # Errors
/// The rule is broken.
pub fn rule_03_offsets_place_the_bytes(fresh: Fresh<'_>) -> Result<(), Violation> {
    for segments in STREAMS {
        let mut under_test = fresh();
        let Some(writer) = under_test.sink.positioned() else { return Ok(()) };
        let stream = bytes(segments.iter().sum());
        write_in_disorder(3, &writer, &stream)?;
        for _ in *segments {
            accept(3, "a commit after positioned writes", under_test.sink.commit_segment(&checkpoint()))?;
        }
        accept(3, "publish after positioned writes", under_test.sink.publish(stream.len() as u64))?;
        drop(under_test.sink);
        expect(3, (under_test.target)() == Some(stream), || {
            format!(
                "positioned writes of a stream in segments of {segments:?} bytes were published as others"
            )
        })?;
    }
    Ok(())
}

/// Rule 5: nobody sees what was written to a private sink and not published.
///
/// # Errors
/// The rule is broken.
pub fn rule_05_writes_are_private(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut trial) = Trial::start(fresh, mode, 5)? else { continue };
        trial.write()?;
        trial.expect_untouched("a write is seen at the target")?;
    }
    Ok(())
}

/// Rule 6: nobody sees what was committed to a private sink and not published.
///
/// # Errors
/// The rule is broken.
pub fn rule_06_commits_are_private(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut trial) = Trial::start(fresh, mode, 6)? else { continue };
        trial.write()?;
        trial.commit()?;
        trial.expect_untouched("a commit is seen at the target")?;
    }
    Ok(())
}

/// Rule 7: a segment that was rolled back leaves nothing, and begins again at the same place. Of a sink whose bytes
/// are seen only an empty segment is rolled back: the engine writes it none before their digest is verified.
///
/// # Errors
/// The rule is broken.
pub fn rule_07_a_roll_back_leaves_nothing(fresh: Fresh<'_>) -> Result<(), Violation> {
    for written in [&[0][..], &[2 * TRIAL_LEN], &[1, 2 * TRIAL_LEN]] {
        let SinkUnderTest { mut sink, target, .. } = fresh();
        let stream = bytes(TRIAL_LEN);
        let (first, second) = stream.split_at(TRIAL_LEN / 2);
        accept(7, "the first segment", write_segment(&mut *sink, 0, 0, first))?;
        let at = first.len() as u64;
        for len in written {
            roll_back(&mut *sink, 1, at, *len)?;
        }
        accept(7, "the same segment again", write_segment(&mut *sink, 1, at, second))?;
        accept(7, "publish after a roll back", sink.publish(TRIAL_LEN as u64))?;
        drop(sink);
        expect(7, target() == Some(stream), || {
            format!("segments of {written:?} bytes were rolled back, and it shows in what was published")
        })?;
    }
    Ok(())
}

/// Rule 8: publish gives the target exactly the stream, whatever its segments, and also when it is empty.
///
/// # Errors
/// The rule is broken.
pub fn rule_08_publish_gives_the_whole_stream(fresh: Fresh<'_>) -> Result<(), Violation> {
    for segments in STREAMS {
        let SinkUnderTest { mut sink, target, .. } = fresh();
        let stream = bytes(segments.iter().sum());
        let mut at = 0;
        for (index, len) in (0..).zip(*segments) {
            let segment = &stream[at..at + len];
            accept(8, "a segment", write_segment(&mut *sink, index, at as u64, segment))?;
            at += len;
        }
        accept(8, "publish", sink.publish(at as u64))?;
        drop(sink);
        expect(8, target() == Some(stream), || {
            format!("a stream in segments of {segments:?} bytes was published as another, or not at all")
        })?;
    }
    Ok(())
}

/// Rule 9: a length that is not exactly what was written, and a stream with a hole, are not published.
///
/// # Errors
/// The rule is broken.
pub fn rule_09_publish_refuses_what_was_not_written(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        for len in [0, TRIAL_LEN - 1, TRIAL_LEN + 1, 2 * TRIAL_LEN] {
            let Some(mut trial) = Trial::start_any(fresh, mode, 9)? else { continue };
            trial.write()?;
            trial.commit()?;
            trial.expect_refused(len)?;
        }
    }
    let Some(trial) = Trial::start_any(fresh, Mode::Positioned, 9)? else { return Ok(()) };
    let Some(writer) = trial.writer.clone() else { return Ok(()) };
    write_with_hole(9, &*writer, 0, &bytes(TRIAL_LEN))?;
    trial.expect_refused(TRIAL_LEN)?;
    // As many bytes as the length says, and one of them lies elsewhere.
    let Some(trial) = Trial::start_any(fresh, Mode::Positioned, 9)? else { return Ok(()) };
    let Some(writer) = trial.writer.clone() else { return Ok(()) };
    write_with_hole(9, &*writer, 0, &bytes(TRIAL_LEN + 1))?;
    trial.expect_refused(TRIAL_LEN)
}

/// Rule 10: what was discarded leaves the target as it was.
///
/// # Errors
/// The rule is broken.
pub fn rule_10_discard_leaves_nothing(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut trial) = Trial::start(fresh, mode, 10)? else { continue };
        trial.write()?;
        trial.commit()?;
        accept(10, "discard", trial.sink.discard())?;
        trial.expect_untouched("a discard changed the target")?;
        trial.drop_sink();
        trial.expect_untouched("a drop after a discard changed the target")?;
    }
    Ok(())
}

/// Rule 13: a private sink that is dropped before publish, with a segment open or with all of them committed,
/// leaves the target as it was.
///
/// # Errors
/// The rule is broken.
pub fn rule_13_drop_leaves_the_target_as_it_was(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        for committed in [Committed::No, Committed::Yes] {
            let Some(mut trial) = Trial::start(fresh, mode, 13)? else { continue };
            trial.write()?;
            if committed == Committed::Yes {
                trial.commit()?;
            }
            trial.drop_sink();
            trial.expect_untouched("a drop before publish changed the target")?;
        }
    }
    Ok(())
}

/// Rule 14: a handle that outlives publish, discard or the sink writes nothing and says so.
///
/// # Errors
/// The rule is broken.
pub fn rule_14_a_handle_that_stays_behind_is_dead(fresh: Fresh<'_>) -> Result<(), Violation> {
    for end in [End::Publish, End::Discard, End::Drop] {
        let Some(mut trial) = Trial::start_any(fresh, Mode::Positioned, 14)? else { return Ok(()) };
        let Some(writer) = trial.writer.clone() else { return Ok(()) };
        trial.write()?;
        trial.commit()?;
        match end {
            End::Publish => accept(14, "publish", trial.sink.publish(TRIAL_LEN as u64))?,
            End::Discard => accept(14, "discard", trial.sink.discard())?,
            End::Drop => trial.drop_sink(),
        }
        let before = (trial.target)();
        let late = writer.write_all_at(TRIAL_LEN as u64, &[WRONG; 10]);
        expect(14, late.is_err(), || format!("a write after {end:?} was taken"))?;
        trial.drop_sink();
        expect(14, (trial.target)() == before, || format!("a write after {end:?} changed the target"))?;
    }
    Ok(())
}

/// Rule 15: over a fresh target there is nothing to go on from.
///
/// # Errors
/// The rule is broken.
pub fn rule_15_a_fresh_target_has_no_commit(fresh: Fresh<'_>) -> Result<(), Violation> {
    let last = accept(15, "last_commit", fresh().sink.last_commit())?;
    expect(15, last.is_none(), || "last_commit of a fresh target gives a commit".into())
}

/// Rule 17: the capabilities are the same before, during and after a stream.
///
/// # Errors
/// The rule is broken.
pub fn rule_17_the_capabilities_do_not_change(fresh: Fresh<'_>) -> Result<(), Violation> {
    // The target stays: a sink may depend on its other side.
    let SinkUnderTest { mut sink, target: _target, .. } = fresh();
    let before = sink.capabilities();
    let same = |sink: &dyn StreamingSink| {
        let now = sink.capabilities();
        expect(17, now == before, || format!("the capabilities were {before:?} and are {now:?}"))
    };
    accept(17, "a segment", write_segment(&mut *sink, 0, 0, &bytes(TRIAL_LEN)))?;
    same(&*sink)?;
    accept(17, "publish", sink.publish(TRIAL_LEN as u64))?;
    same(&*sink)
}

/// Rule 21: a sink that hands its bytes to somebody else says that only what is proved may be published.
///
/// # Errors
/// The rule is broken.
pub fn rule_21_what_is_handed_on_has_to_be_proved(fresh: Fresh<'_>) -> Result<(), Violation> {
    let under_test = fresh();
    let says_so = under_test.sink.capabilities().proved_only;
    expect(21, says_so || !under_test.hands_on, || {
        "the target is somebody else's, and the sink takes what is not proved".into()
    })
}

/// A function of the suite, and what a sink must offer for it to see anything.
struct Rule {
    number: u8,
    promise: &'static str,
    needs: Need,
    check: fn(Fresh<'_>) -> Result<(), Violation>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// A handle to write at offsets.
    Positions,
    /// Tentative bytes that nobody sees.
    Privacy,
    /// A target that another sink can be opened over.
    Reopening,
    /// The same, and kept bytes.
    Kept,
    /// The same, and kept bytes behind a gap count once they are confirmed.
    Confirming,
    /// A target that is somebody else's.
    HandingOn,
}

macro_rules! rules {
    ($($number:literal $needs:ident $check:ident $promise:literal)*) => {
        [$(Rule { number: $number, promise: $promise, needs: Need::$needs, check: $check }),*]
    };
}

const RULES: [Rule; 26] = rules![
    3 Positions rule_03_offsets_place_the_bytes "pieces at offsets, from several threads, make the stream"
    5 Privacy rule_05_writes_are_private "nobody sees what was written and not published"
    6 Privacy rule_06_commits_are_private "nobody sees what was committed and not published"
    7 Nothing rule_07_a_roll_back_leaves_nothing "a segment rolled back leaves nothing, and begins again"
    7 Reopening rule_07_a_roll_back_after_a_resume_keeps_what_was_resumed "a rollback after a resume keeps what was there"
    8 Nothing rule_08_publish_gives_the_whole_stream "publish gives exactly the stream, also an empty one"
    9 Nothing rule_09_publish_refuses_what_was_not_written "a length or a hole that was not written is refused"
    9 Reopening rule_09_leftovers_do_not_count_as_written "leftovers after the checkpoint do not count as written"
    9 Reopening rule_09_a_resumed_stream_is_measured_like_any_other "lengths and holes are refused in a resumed stream, too"
    10 Privacy rule_10_discard_leaves_nothing "discard leaves the target as it was"
    10 Reopening rule_10_discard_takes_the_progress_away "discard removes the progress"
    13 Privacy rule_13_drop_leaves_the_target_as_it_was "a drop leaves the target as it was"
    14 Positions rule_14_a_handle_that_stays_behind_is_dead "a handle that outlives its sink writes nothing"
    15 Nothing rule_15_a_fresh_target_has_no_commit "a fresh target has no progress"
    15 Reopening rule_15_a_published_stream_is_no_progress "a published stream is no progress"
    16 Reopening rule_16_a_durable_checkpoint_survives "a durable checkpoint survives a drop"
    17 Nothing rule_17_the_capabilities_do_not_change "the capabilities do not change"
    18 Reopening rule_18_a_resumed_stream_is_whole "a resumed stream is published whole"
    18 Reopening rule_18_starting_over_forgets_everything "starting over leaves nothing of the earlier attempt"
    18 Reopening rule_18_a_discarded_checkpoint_does_not_come_back_over_other_bytes "a discarded checkpoint does not come back"
    18 Kept rule_18_a_proof_may_reach_less_far_than_the_checkpoint "resumes before the checkpoint if the proof ends there"
    19 Kept rule_19_kept_bytes_read_back "kept bytes read back up to the checkpoint"
    20 Confirming rule_20_confirmed_bytes_are_published "kept bytes behind a gap are published once confirmed"
    20 Confirming rule_20_claims_that_are_not_confirmed_do_not_count "kept bytes behind a gap count only once confirmed"
    20 Confirming rule_20_what_is_not_kept_is_not_confirmed "bytes that are not kept are not confirmed"
    21 HandingOn rule_21_what_is_handed_on_has_to_be_proved "what others take for proved is published only when it is"
];

/// Segment lengths of the streams that are published.
const STREAMS: &[&[usize]] =
    &[&[], &[0], &[1], &[TRIAL_LEN], &[7, 4_096, 1, 0], &[65_536, 65_537, 65_535], &[1 << 20, (1 << 20) + 1]];

#[cfg(test)]
mod tests;

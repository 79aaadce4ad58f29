//! The rules about what an earlier sink over the same target left: checkpoints, kept bytes, resuming.
//! Knows nothing of how it was kept. Sinks that cannot be opened again pass unseen.

use std::io;

use super::{
    Fresh, Violation,
    broken_off::{BrokenOff, DURABLE, SEGMENTS, end_of},
    trial::{MODES, Mode, accept, expect, roll_back},
};

/// Rule 7: a roll back in a stream that goes on takes back its own segment alone, empty or not, once or again.
///
/// # Errors
/// The rule is broken.
pub fn rule_07_a_roll_back_after_a_resume_keeps_what_was_resumed(fresh: Fresh<'_>) -> Result<(), Violation> {
    for written in [&[0][..], &[LONG_LEN], &[1, LONG_LEN]] {
        let Some(mut broken) = BrokenOff::start(fresh, Mode::Ordered, 7)? else { return Ok(()) };
        let next = broken.resume()?;
        for len in written {
            roll_back(&mut *broken.sink, next as u64, end_of(next) as u64, *len)?;
        }
        broken.finish(next)?;
    }
    Ok(())
}

/// Rule 9: of a stream that goes on, too, a length that is not what was written, and a hole, are not published.
///
/// # Errors
/// The rule is broken.
pub fn rule_09_a_resumed_stream_is_measured_like_any_other(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        for len in [end_of(SEGMENTS) - 1, end_of(SEGMENTS) + 1] {
            let Some(mut broken) = BrokenOff::start(fresh, mode, 9)? else { continue };
            let next = broken.resume()?;
            (next..SEGMENTS).try_for_each(|segment| broken.write_segment(segment))?;
            broken.expect_refused(len)?;
        }
    }
    let Some(mut broken) = BrokenOff::start(fresh, Mode::Positioned, 9)? else { return Ok(()) };
    let next = broken.resume()?;
    if broken.write_rest_with_hole(next)? { broken.expect_refused(end_of(SEGMENTS)) } else { Ok(()) }
}

/// Rule 9: after a resume, what an earlier attempt left behind the checkpoint does not count as written.
///
/// # Errors
/// The rule is broken.
pub fn rule_09_leftovers_do_not_count_as_written(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 9)? else { continue };
        broken.resume()?;
        broken.expect_refused(end_of(SEGMENTS))?;
    }
    Ok(())
}

/// Rule 10: a discard, before or after the resume, takes the progress away and leaves the target as it was.
///
/// # Errors
/// The rule is broken.
pub fn rule_10_discard_takes_the_progress_away(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let before_or_after_resume =
            [BrokenOff::last_commit, |broken: &mut BrokenOff| broken.resume().map(Some)];
        for begin in before_or_after_resume {
            let Some(mut broken) = BrokenOff::start(fresh, mode, 10)? else { continue };
            begin(&mut broken)?;
            accept(10, "discard", broken.sink.discard())?;
            broken.crash()?;
            let last = broken.last_commit()?;
            expect(10, last.is_none(), || format!("after a discard, last_commit gives {last:?} segments"))?;
            broken.become_another();
            broken.finish(0)?;
        }
    }
    Ok(())
}

/// Rule 15: a stream that was published is nothing to go on from.
///
/// # Errors
/// The rule is broken.
pub fn rule_15_a_published_stream_is_no_progress(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 15)? else { continue };
        let next = broken.resume()?;
        broken.finish(next)?;
        let Some(mut sink) = broken.reopen_published() else { continue };
        let last = accept(15, "last_commit after a publish", sink.last_commit())?;
        expect(15, last.is_none(), || "last_commit of a published stream gives a commit".into())?;
    }
    Ok(())
}

/// Rules 13 and 16: after `make_durable`, a drop, or two, leave the checkpoint or a later one. Without `make_durable` in the
/// sink's offer, a commit does.
///
/// # Errors
/// The rule is broken.
pub fn rule_16_a_durable_checkpoint_survives(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 16)? else { continue };
        expect_checkpoint(&mut broken, DURABLE, "after a drop")?;
        broken.crash()?;
        expect_checkpoint(&mut broken, DURABLE, "after a drop of a sink that was only asked")?;
        broken.crash()?;
        let next = broken.resume()?;
        broken.crash()?;
        expect_checkpoint(&mut broken, DURABLE, "after a drop of a sink that had resumed")?;
        broken.crash()?;
        broken.resume()?;
        if next < SEGMENTS {
            broken.write_segment(next)?;
            broken.make_durable(next + 1)?;
            broken.crash()?;
            expect_checkpoint(&mut broken, next + 1, "after another segment and a drop")?;
        }
    }
    Ok(())
}

/// Rule 18: a stream that goes on where an earlier attempt stopped is published as one.
///
/// # Errors
/// The rule is broken.
pub fn rule_18_a_resumed_stream_is_whole(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 18)? else { continue };
        let next = broken.resume()?;
        broken.finish(next)?;
    }
    Ok(())
}

/// Rule 18: a stream that starts over is published with nothing of the earlier attempt in it.
///
/// # Errors
/// The rule is broken.
pub fn rule_18_starting_over_forgets_everything(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 18)? else { continue };
        start_over(&mut broken)?;
        broken.become_another();
        broken.finish(0)?;
    }
    Ok(())
}

/// Rule 18: after starting over and a drop, with nothing or something of another stream committed, the earlier checkpoint is
/// gone, and whatever checkpoint is there stands for its own stream's bytes.
///
/// # Errors
/// The rule is broken.
pub fn rule_18_a_discarded_checkpoint_does_not_come_back_over_other_bytes(
    fresh: Fresh<'_>,
) -> Result<(), Violation> {
    for mode in MODES {
        for segments in [0, 1] {
            let Some(mut broken) = BrokenOff::start(fresh, mode, 18)? else { continue };
            start_over(&mut broken)?;
            broken.become_another();
            (0..segments).try_for_each(|segment| broken.write_segment(segment))?;
            broken.crash()?;
            let last = broken.last_commit()?;
            expect(18, last.is_none() || !broken.is_first(), || {
                "after starting over and a drop, last_commit gives a checkpoint from before".into()
            })?;
            let next = broken.resume()?;
            broken.finish(next)?;
        }
    }
    Ok(())
}

/// Rule 18: a sink that offers kept bytes goes on where the engine's proof of them ends, also before the checkpoint.
///
/// # Errors
/// The rule is broken.
pub fn rule_18_a_proof_may_reach_less_far_than_the_checkpoint(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 18)? else { continue };
        if broken.last_commit()?.is_some() && broken.sink.resumable().is_some() {
            broken.resume_at(DURABLE - 1)?;
            broken.finish(DURABLE - 1)?;
        }
    }
    Ok(())
}

/// Rule 19: kept bytes reach up to the checkpoint, read back as they were written, and end where they say.
///
/// # Errors
/// The rule is broken.
pub fn rule_19_kept_bytes_read_back(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some(mut broken) = BrokenOff::start(fresh, mode, 19)? else { continue };
        let marked = broken.last_commit()?.unwrap_or(0);
        let Some(kept) = broken.sink.resumable() else { continue };
        let len = kept.len();
        expect(19, len >= end_of(marked) as u64, || {
            format!("{len} bytes are kept, and the checkpoint stands for {}", end_of(marked))
        })?;
        let proven = broken.proven(&*kept);
        expect(19, proven >= marked, || {
            format!("the checkpoint stands for {marked} segments, {proven} read back as they were written")
        })?;
        let beyond = kept.read_exact_at(len.saturating_sub(1), &mut [0; 2]);
        let ended = beyond.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
        expect(19, ended, || format!("reading beyond the end of the kept bytes gave {beyond:?}"))?;
    }
    Ok(())
}

/// Rule 20: kept segments behind one that is written again are published as they are once they have been confirmed, also
/// where another sink goes on in between.
///
/// # Errors
/// The rule is broken.
pub fn rule_20_confirmed_bytes_are_published(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        for bad in 0..DURABLE {
            for crashes in [false, true] {
                let Some((mut broken, proven)) = start_kept(fresh, mode)? else { continue };
                broken.resume_at(bad)?;
                broken.write_segment(bad)?;
                (bad + 1..proven).try_for_each(|segment| broken.confirm_segment(segment))?;
                if crashes {
                    broken.make_durable(proven)?;
                    broken.crash()?;
                    let last = broken.last_commit()?;
                    expect(20, last.is_some_and(|last| last >= proven), || {
                        format!(
                            "{proven} segments were made durable, some confirmed, and last_commit gives {last:?}"
                        )
                    })?;
                    let next = broken.resume()?;
                    broken.finish(next)?;
                } else {
                    broken.finish(proven)?;
                }
            }
        }
    }
    Ok(())
}

/// Rule 20: kept segments behind one that is written again do not count as written by themselves.
///
/// # Errors
/// The rule is broken.
pub fn rule_20_claims_that_are_not_confirmed_do_not_count(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        let Some((mut broken, proven)) = start_kept(fresh, mode)? else { continue };
        broken.resume_at(0)?;
        broken.write_segment(0)?;
        broken.expect_refused(end_of(proven))?;
    }
    Ok(())
}

/// Rule 20: a segment that reaches beyond the kept bytes is not confirmed.
///
/// # Errors
/// The rule is broken.
pub fn rule_20_what_is_not_kept_is_not_confirmed(fresh: Fresh<'_>) -> Result<(), Violation> {
    for mode in MODES {
        for beyond in [1, 1 << 40] {
            let Some((mut broken, _)) = start_kept(fresh, mode)? else { continue };
            let len = broken.sink.resumable().map_or(0, |kept| kept.len());
            broken.resume_at(DURABLE)?;
            let at = end_of(DURABLE) as u64;
            let confirmed = broken.sink.confirm_segment(DURABLE as u64, at, len.saturating_sub(at) + beyond);
            expect(20, confirmed.is_err(), || format!("{beyond} bytes more were confirmed than are kept"))?;
        }
    }
    Ok(())
}

/// Of a sink that confirms, and offers kept bytes behind a checkpoint, with the number of segments that stand there.
fn start_kept(fresh: Fresh<'_>, mode: Mode) -> Result<Option<(BrokenOff, usize)>, Violation> {
    let Some(mut broken) = BrokenOff::start(fresh, mode, 20)? else { return Ok(None) };
    let marked = broken.last_commit()?;
    let confirms = broken.sink.capabilities().confirms;
    let kept = broken.sink.resumable().filter(|_| marked.is_some() && confirms);
    Ok(kept.map(|kept| broken.proven(&*kept)).map(|proven| (broken, proven)))
}

/// Longer than what is written again.
const LONG_LEN: usize = 100 * 1024;

fn expect_checkpoint(broken: &mut BrokenOff, least: usize, when: &str) -> Result<(), Violation> {
    let last = broken.last_commit()?;
    expect(16, last.is_some_and(|last| last >= least), || {
        format!("{least} segments were made durable, and {when} last_commit gives {last:?}")
    })
}

fn start_over(broken: &mut BrokenOff) -> Result<(), Violation> {
    match (broken.last_commit()?, broken.sink.resumable()) {
        (None, None) => Ok(()),
        (Some(_), _) | (_, Some(_)) => broken.resume_at(0),
    }
}

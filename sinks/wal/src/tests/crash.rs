//! A process that is killed at every step: of writing, of publishing, of replaying, and of replaying again.
//! Expects of what is found only what the calls had promised when the process went.

use contract::{CommitError, StreamingSink};

use super::{
    super::{CommitPoint, Opened, WalSink},
    recorded_disk::RecordedDisk,
    stream::{LOG, Reached, Stream, TARGET, checkpoint, open, try_open},
};

const OLD: &[u8] = b"the old contents, which are longer than the new ones so that a cut shows";

/// What the process knew when it went.
#[derive(Default)]
struct Known {
    /// Segments whose commit had returned `Ok`.
    committed: usize,
    published: bool,
}

/// Writes the stream as the engine does, with a segment that is rolled back and a group made durable.
fn run(disk: &RecordedDisk, stream: &Stream, known: &mut Known) -> Result<(), CommitError> {
    let Opened::Ready(mut sink) = try_open(disk).map_err(std::io::Error::from)? else { panic!("finished") };
    for index in 0..stream.segments.len() {
        if index == 1 {
            sink.begin_segment(1, stream.segments[1].start as u64)?;
            sink.write_tentative(stream.segments[1].start as u64, b"not these")?;
            sink.rollback_segment()?;
        }
        stream.write(&mut sink, index, index + 1)?;
        known.committed = index + 1;
        if index == 2 {
            sink.durability().unwrap().make_durable(&checkpoint(2))?;
        }
    }
    sink.publish(stream.bytes.len() as u64)?;
    known.published = true;
    Ok(())
}

/// The whole is brought to its end, whatever was left.
fn bring_to_its_end(disk: &RecordedDisk, stream: &Stream) -> Result<(), CommitError> {
    match try_open(disk).map_err(std::io::Error::from)? {
        Opened::Finished(finished) => Ok(finished.replay()?),
        Opened::Ready(mut sink) => stream.complete(&mut sink),
    }
}

#[test]
fn killed_at_every_step_the_log_goes_on_from_its_last_commit_to_the_same_bytes() {
    let stream = Stream::new();
    for steps in 0.. {
        let disk = RecordedDisk::new();
        disk.put(TARGET, OLD);
        disk.stop_after(steps);
        let mut known = Known::default();
        let done = run(&disk, &stream, &mut known);
        disk.start_again();
        let reached = Reached::of(&disk);
        match reached {
            // A commit may have become one in the step that was the last.
            Reached::Commit(last) => {
                let count = usize::from(last) + 1;
                assert!(
                    [known.committed, known.committed + 1].contains(&count),
                    "{steps} steps: {reached:?}"
                );
            }
            Reached::Nothing => assert_eq!(known.committed, 0, "{steps} steps"),
            Reached::Finish(len) => assert_eq!(len, stream.bytes.len() as u64),
            Reached::NoLog => {
                let complete = disk.bytes(TARGET).as_ref() == Some(&stream.bytes);
                assert!(complete || known.committed == 0, "{steps} steps");
            }
        }
        let is_decided = matches!(reached, Reached::Finish(_) | Reached::NoLog);
        assert!(is_decided || disk.bytes(TARGET).unwrap() == OLD, "{steps} steps: the target is touched");
        if done.is_ok() {
            assert!(known.published && reached == Reached::NoLog);
            assert_eq!(disk.bytes(TARGET).unwrap(), stream.bytes);
            println!("killed at each of {steps} steps");
            return;
        }
        bring_to_its_end(&disk, &stream).unwrap();
        assert_eq!(disk.bytes(TARGET).unwrap(), stream.bytes, "{steps} steps");
        assert_eq!(disk.bytes(LOG), None, "{steps} steps");
    }
}

#[test]
fn killed_at_every_step_of_the_way_back_the_next_one_finds_it() {
    let stream = Stream::new();
    let mut pairs = 0;
    for first in 0.. {
        let disk = RecordedDisk::new();
        disk.put(TARGET, OLD);
        disk.stop_after(first);
        let done = run(&disk, &stream, &mut Known::default());
        if done.is_ok() {
            println!("killed in {pairs} pairs of steps");
            assert!(pairs > 500);
            return;
        }
        for second in 0.. {
            let again = RecordedDisk::new();
            for name in [TARGET, LOG] {
                if let Some(bytes) = disk.bytes(name) {
                    again.put(name, &bytes);
                }
            }
            again.stop_after(second);
            let done = bring_to_its_end(&again, &stream);
            pairs += 1;
            again.start_again();
            if done.is_ok() {
                break;
            }
            bring_to_its_end(&again, &stream).unwrap();
            assert_eq!(again.bytes(TARGET).unwrap(), stream.bytes, "{first}, then {second} steps");
            assert_eq!(again.bytes(LOG), None);
        }
    }
}

#[test]
fn a_replay_that_breaks_off_anywhere_is_run_again_to_the_same_bytes() {
    let stream = Stream::of(b"replayed", &[40, 33, 1]);
    for old in [OLD, b"short", b""] {
        for steps in 0.. {
            let disk = RecordedDisk::new();
            disk.put(TARGET, old);
            let mut sink = super::ready(&disk, b"");
            stream.write(&mut sink, 0, 3).unwrap();
            sink.publish(74).unwrap();
            drop(sink);
            assert_eq!(disk.bytes(TARGET).unwrap(), old, "publish is not a replay where the log is kept");
            disk.start_again();
            let Ok(Opened::Finished(finished)) = try_open(&disk) else { panic!("the log is not finished") };
            assert_eq!((finished.attempt_id().as_bytes(), finished.stream_len()), (b"".as_slice(), 74));
            disk.stop_after(steps);
            let done = finished.replay();
            disk.start_again();
            if done.is_err() {
                bring_to_its_end(&disk, &Stream::of(b"replayed", &[40, 33, 1])).unwrap();
            }
            assert_eq!(disk.bytes(TARGET).unwrap(), stream.bytes, "{steps} steps");
            assert_eq!(disk.bytes(LOG), None);
            if done.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_log_that_starts_over_forgets_everything_at_once_or_nothing() {
    let (stream, other) = (Stream::new(), Stream::of(b"OTHER", &[6, 6]));
    for steps in 0.. {
        let disk = RecordedDisk::new();
        let mut sink = open(&disk);
        stream.write(&mut sink, 0, 3).unwrap();
        drop(sink);
        disk.start_again();
        let mut sink = open(&disk);
        disk.stop_after(steps);
        let done = sink.resume_at(0, 0);
        drop(sink);
        disk.start_again();
        let reached = Reached::of(&disk);
        assert!(matches!(reached, Reached::Commit(2) | Reached::Nothing | Reached::NoLog), "{reached:?}");
        if done.is_err() {
            continue;
        }
        let mut sink = open(&disk);
        assert_eq!(sink.last_commit().unwrap(), None);
        other.write(&mut sink, 0, 2).unwrap();
        sink.publish(12).unwrap();
        assert_eq!(disk.bytes(TARGET).unwrap(), other.bytes);
        return;
    }
}

#[test]
fn a_commit_that_was_durable_is_found_and_one_more_epoch_is_drawn_by_each_opening() {
    let stream = Stream::new();
    let disk = RecordedDisk::new();
    for count in 0..4 {
        let mut sink: WalSink = open(&disk);
        let last = sink.last.as_ref().map(|CommitPoint { segment, end, .. }| (*segment, *end));
        let expected = [None, Some((0, 12)), Some((1, 20)), Some((2, 20))];
        assert_eq!(last, expected[count]);
        assert_eq!(sink.epoch.0, count as u64 + 1);
        stream.write(&mut sink, count, count + 1).unwrap();
        drop(sink);
        disk.start_again();
    }
    bring_to_its_end(&disk, &stream).unwrap();
    assert_eq!(disk.bytes(TARGET).unwrap(), stream.bytes);
}

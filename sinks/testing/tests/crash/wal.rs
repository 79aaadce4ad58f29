//! A restore into a log that is replayed into a file, or a block device.
//! Knows nothing of how the sink sees to what must hold.

use std::{ffi::OsStr, sync::Arc};

use contract::{AttemptId, StreamingSink};
use fastrand::Rng;
use storage::Storage;
use testing::simulation::{Done, Failure, Promises, SimulatedDisk, Trial};
use wal::{AtPublish, DeviceTarget, FileTarget, Finished, Opened, ReplayTarget, WalError, WalSink};

use super::{Stream, TARGET};

const LOG: &str = "log";
const LABEL: &[u8] = b"this stream, this target";

/// A stream appended to a log, durable in groups, and replayed.
pub(crate) struct LogRestore {
    stream: Stream,
    target: TargetIs,
    old: Vec<u8>,
    piece_len: usize,
    /// Segments that become durable together.
    group: usize,
    resume: Resume,
    /// What a finished log that is found is held against before it is replayed.
    proof: Proof,
    /// Whether each second segment is rolled back once, and written again.
    rolls_back: bool,
}

/// Where a second attempt goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resume {
    AfterTheCheckpoint,
    /// As an engine does whose proof does not reach as far as the checkpoint.
    OneBefore,
    FromTheStart,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TargetIs {
    File,
    /// Of a length that does not change, and with bytes behind the stream that stay.
    Device,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    Nothing,
    /// The stream once more, as of somebody who has not put the log there.
    Stream,
}

impl LogRestore {
    pub(crate) fn new(number: u64) -> LogRestore {
        let mut rng = Rng::with_seed(number);
        let stream = Stream::random(&mut rng);
        let target = rng.choice([TargetIs::File, TargetIs::Device]).unwrap();
        let old_len = match target {
            TargetIs::File => rng.choice([0, 22, 3000]).unwrap(),
            TargetIs::Device => stream.bytes.len() + rng.choice([0, 1, 700]).unwrap(),
        };
        LogRestore {
            stream,
            target,
            proof: rng.choice([Proof::Nothing, Proof::Stream]).unwrap(),
            old: vec![b'.'; old_len],
            piece_len: rng.usize(100..600),
            group: rng.usize(1..=3),
            resume: rng
                .choice([Resume::AfterTheCheckpoint, Resume::OneBefore, Resume::FromTheStart])
                .unwrap(),
            rolls_back: rng.u8(..3) == 0,
        }
    }

    fn write(&self, mut sink: WalSink, from: usize, promises: &Promises) -> Result<Done, Failure> {
        let keeper = sink.durability().unwrap();
        for index in from..self.stream.segments() {
            let at = self.stream.segment(index).start as u64;
            if self.rolls_back && index % 2 == 1 {
                sink.begin_segment(index as u64, at)?;
                sink.write_tentative(at, b"not to be")?;
                sink.rollback_segment()?;
            }
            sink.begin_segment(index as u64, at)?;
            for (at, piece) in self.stream.pieces(index, self.piece_len) {
                sink.write_tentative(at, piece)?;
            }
            let checkpoint = self.stream.checkpoint(index + 1);
            sink.commit_segment(&checkpoint)?;
            if (index + 1) % self.group == 0 {
                keeper.make_durable(&checkpoint)?;
                promises.make(index as u64 + 1);
            }
        }
        sink.publish(self.stream.len())?;
        promises.make(self.stream.segments() as u64);
        Ok(Done::Now)
    }

    /// What stands at the target once all is done.
    fn new_contents(&self) -> Vec<u8> {
        let behind = match self.target {
            TargetIs::File => &[][..],
            TargetIs::Device => &self.old[self.stream.bytes.len()..],
        };
        [&self.stream.bytes, behind].concat()
    }

    fn is_done(&self, storage: &dyn Storage) -> Result<bool, Failure> {
        let Some(file) = storage.open(OsStr::new(TARGET))? else { return Ok(false) };
        let expected = self.new_contents();
        if file.len()? != expected.len() as u64 {
            return Ok(false);
        }
        let mut found = vec![0; expected.len()];
        file.read_exact_at(&mut found, 0)?;
        Ok(found == expected)
    }

    fn replay_target(&self, storage: &Arc<dyn Storage>) -> Result<Box<dyn ReplayTarget>, Failure> {
        let name = OsStr::new(TARGET);
        Ok(match self.target {
            TargetIs::File => Box::new(FileTarget::new(storage.clone(), name)),
            TargetIs::Device => {
                let device = storage.open(name)?.ok_or_else(|| Failure::wrong("the device is gone"))?;
                Box::new(DeviceTarget::over(device, self.old.len() as u64))
            }
        })
    }

    /// Has a finished log replayed.
    fn finish(&self, mut finished: Finished) -> Result<Done, Failure> {
        if self.proof == Proof::Nothing {
            finished.replay()?;
            return Ok(Done::Now);
        }
        let kept = finished.resumable().ok_or_else(|| Failure::wrong("a finished log has nothing"))?;
        let mut found = vec![0; self.stream.bytes.len()];
        kept.read_exact_at(0, &mut found)?;
        if found != self.stream.bytes || kept.len() != self.stream.len() {
            return Err(Failure::wrong("a finished log holds another stream"));
        }
        finished.resume_at(0, 0)?;
        for index in 0..self.stream.segments() {
            finished.begin_segment(index as u64, self.stream.segment(index).start as u64)?;
            for (at, piece) in self.stream.pieces(index, self.piece_len) {
                finished.write_tentative(at, piece)?;
            }
            finished.commit_segment(&self.stream.checkpoint(index + 1))?;
        }
        finished.publish(self.stream.len())?;
        Ok(Done::Now)
    }

    fn found(&self, sink: &mut WalSink, promises: &Promises) -> Result<usize, Failure> {
        let found = sink.last_commit()?.map_or(Ok(0), |checkpoint| self.stream.counted(&checkpoint))?;
        match found as u64 >= promises.made() {
            true => Ok(found),
            false => {
                let promised = promises.made();
                Err(Failure::wrong(format!("P3: {promised} segments were durable, and {found} are there")))
            }
        }
    }
}

impl Trial for LogRestore {
    fn disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        disk.put(TARGET, &self.old);
        disk
    }

    fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
        // The log goes last: where there is none, and the target is whole, all is done.
        if storage.id_at(OsStr::new(LOG))?.is_none() && self.is_done(&*storage)? {
            return Ok(Done::Before);
        }
        let target = self.replay_target(&storage)?;
        let attempt_id = AttemptId::new(LABEL).ok_or_else(|| Failure::wrong("the label is too long"))?;
        let opened = WalSink::open(storage, OsStr::new(LOG), &attempt_id, AtPublish::Replay(target));
        match opened.map_err(refused)? {
            Opened::Finished(finished) if *finished.attempt_id() != attempt_id => {
                Err(Failure::wrong("the label has changed"))
            }
            Opened::Finished(finished) => self.finish(finished),
            Opened::Ready(mut sink) => {
                let mut found = self.found(&mut sink, promises)?;
                if self.resume != Resume::AfterTheCheckpoint && found > 0 {
                    promises.withdraw();
                    found = if self.resume == Resume::OneBefore { found - 1 } else { 0 };
                }
                if sink.last_commit()?.is_some() {
                    sink.resume_at(found as u64, self.stream.end_of(found) as u64)?;
                }
                self.write(sink, found, promises)
            }
        }
    }

    /// Between the log's end and the replay's the target may be a mixture: then the log is there.
    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
        let found = disk.contents(TARGET);
        if found.as_ref() == Some(&self.new_contents()) {
            return Ok(());
        }
        let is_old = found.as_ref() == Some(&self.old);
        match (done, is_old, disk.contents(LOG)) {
            (true, ..) => Err("the target is not the new one after a publish".into()),
            (false, true, _) | (false, false, Some(_)) => Ok(()),
            (false, false, None) => {
                Err("P2: the target is a mixture, and no log says what is missing".into())
            }
        }
    }
}

/// What a crash leaves is never damage.
fn refused(error: WalError) -> Failure {
    match error {
        WalError::Io { .. } => Failure::Refused(error.to_string()),
        error => Failure::Wrong(error.to_string()),
    }
}

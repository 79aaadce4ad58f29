//! Power cuts before every step, and every call that fails, on the simulated disk.
//! Expects of each disk that is left what the calls had promised by then.

use std::{ffi::OsStr, io, sync::Arc};

use contract::{CommitError, StreamingSink};
use parking_lot::Mutex;
use storage::Storage;
use testing::simulation::{Fault, FaultPlan, HookedStorage, SimulatedDisk, Times};

use super::{
    super::{AtPublish, FileTarget, Opened, Reader, WalSink},
    stream::{LOG, Stream, TARGET, attempt_id, checkpoint},
};

const OLD: &[u8] = b"the old contents, which are longer than the new ones so that a cut shows";
const SEED: u64 = 3;
/// Every so many states, the way back is cut as well.
const DEEP_EVERY: usize = 97;

/// What the writer was told.
#[derive(Clone, Copy, Default, Debug)]
struct Told {
    committed: usize,
    /// Segments that `make_durable` has returned `Ok` for.
    durable: usize,
    /// Publish has begun.
    publishing: bool,
    published: bool,
}

fn open_on(storage: Arc<dyn Storage>) -> io::Result<Opened> {
    let target = FileTarget::new(storage.clone(), OsStr::new(TARGET));
    Ok(WalSink::open(storage, OsStr::new(LOG), &attempt_id(b"label"), AtPublish::Replay(Box::new(target)))?)
}

fn run(storage: Arc<dyn Storage>, stream: &Stream, told: &Mutex<Told>) -> Result<(), CommitError> {
    let Opened::Ready(mut sink) = open_on(storage)? else { panic!("finished") };
    let durability = sink.durability().unwrap();
    for index in 0..stream.segments.len() {
        stream.write(&mut sink, index, index + 1)?;
        told.lock().committed = index + 1;
        if index != 1 {
            durability.make_durable(&checkpoint(index as u8))?;
            told.lock().durable = index + 1;
        }
    }
    told.lock().publishing = true;
    sink.publish(stream.bytes.len() as u64)?;
    told.lock().published = true;
    Ok(())
}

fn bring_to_its_end(storage: Arc<dyn Storage>, stream: &Stream) -> Result<(), CommitError> {
    match open_on(storage)? {
        Opened::Finished(finished) => Ok(finished.replay()?),
        Opened::Ready(mut sink) => stream.complete(&mut sink),
    }
}

/// Whether the disk keeps what the writer was told.
fn check(disk: &SimulatedDisk, stream: &Stream, told: Told, what: &str) {
    let target = disk.contents(TARGET).expect("nobody removes the target");
    // A crash never leaves what is taken for damage.
    let reader = Reader::open(disk, OsStr::new(LOG)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let finished = reader.as_ref().is_some_and(|reader| reader.finished().is_some());
    let kept = reader.as_ref().and_then(Reader::last_commit).map_or(0, |last| last.segment as usize + 1);
    if target == stream.bytes && told.publishing {
        return;
    }
    assert!(!told.published, "{what}: published, and the target is not the stream");
    assert!(kept >= told.durable, "{what}: {kept} segments kept, {told:?}");
    assert!(kept <= told.committed + 1, "{what}: {kept} segments kept, {told:?}");
    assert!(finished || target == OLD, "{what}: the target is touched and the log does not say how to go on");
}

fn expect_whole(disk: &SimulatedDisk, stream: &Stream, what: &str) {
    assert!(disk.contents(TARGET).unwrap() == stream.bytes, "{what}: the target is not the stream");
    assert_eq!(disk.contents(LOG), None, "{what}: the log stays");
}

/// Cuts the power before every step of a call on a disk, and gives each disk that is left.
fn at_every_step(
    disk: &SimulatedDisk,
    mut look: impl FnMut(&SimulatedDisk, &str) + Send + 'static,
) -> Arc<dyn Storage> {
    let looking = disk.clone();
    let look = Mutex::new(move |disk: &SimulatedDisk, what: &str| look(disk, what));
    Arc::new(HookedStorage::new(Arc::new(disk.clone()), move |call| {
        if call.operation.changes() {
            for state in looking.crash_states(SEED) {
                (*look.lock())(&state.disk, &format!("before {:?}, {state}", call.operation));
            }
        }
        None
    }))
}

#[test]
fn power_lost_before_any_step_and_again_on_the_way_back_keeps_every_promise() {
    let stream = Arc::new(Stream::of(b"power is lost at ", &[7, 0, 6]));
    let told = Arc::new(Mutex::new(Told::default()));
    let counts = Arc::new(Mutex::new((0_usize, 0_usize)));
    let disk = SimulatedDisk::new();
    disk.put(TARGET, OLD);
    let storage = at_every_step(&disk, {
        let (stream, told, counts) = (stream.clone(), told.clone(), counts.clone());
        move |left, what| {
            let told = *told.lock();
            check(left, &stream, told, what);
            counts.lock().0 += 1;
            let number = counts.lock().0;
            if number.is_multiple_of(DEEP_EVERY) {
                let (told, inner, counts) = (cut_again(told), stream.clone(), counts.clone());
                let deeper = at_every_step(left, move |left, deep| {
                    check(left, &inner, told, deep);
                    bring_to_its_end(Arc::new(left.clone()), &inner).unwrap();
                    expect_whole(left, &inner, deep);
                    counts.lock().1 += 1;
                });
                bring_to_its_end(deeper, &stream).unwrap();
            } else {
                bring_to_its_end(Arc::new(left.clone()), &stream).unwrap();
            }
            expect_whole(left, &stream, what);
        }
    });
    run(storage, &stream, &told).unwrap();
    assert!(told.lock().published);
    for state in disk.crash_states(SEED) {
        expect_whole(&state.disk, &stream, "after publish");
    }
    let (states, deep) = *counts.lock();
    println!("{states} crash states, {deep} of a second crash");
    assert!(states > 1_000 && deep > 2_000);
}

/// What holds while somebody brings a log to its end, of which nothing more is promised than what is on the disk.
fn cut_again(told: Told) -> Told {
    Told { committed: usize::MAX - 1, publishing: true, ..told }
}

#[test]
fn whatever_call_fails_and_however_often_the_next_process_brings_the_stream_to_its_end() {
    let stream = Stream::new();
    let mut injured = 0;
    for (fault, times) in
        Fault::ALL.into_iter().flat_map(|fault| [(fault, Times::Once), (fault, Times::ForEver)])
    {
        for first in 1.. {
            let what = format!("call {first}, {fault:?}, {times:?}");
            let disk = SimulatedDisk::new();
            disk.put(TARGET, OLD);
            let plan = Arc::new(FaultPlan::new(first, fault, times));
            let told = Mutex::new(Told::default());
            let done = run(Arc::new(disk.failing(plan.clone())), &stream, &told);
            let told = told.into_inner();
            if plan.calls() < first {
                break;
            }
            injured += 1;
            // What is no error must not become one.
            assert!(done.is_ok() || fault != Fault::Short, "{what}: {done:?}");
            for state in disk.crash_states(SEED) {
                check(&state.disk, &stream, told, &format!("{what}, {state}"));
            }
            if done.is_ok() {
                expect_whole(&disk, &stream, &what);
                continue;
            }
            // A sync that failed leaves what no later sync settles: the way back is cut at every step as well.
            let storage: Arc<dyn Storage> = match (fault, times) {
                (Fault::Io, Times::Once) => at_every_step(&disk, {
                    let (told, stream, what) = (cut_again(told), Stream::new(), what.clone());
                    move |left, deep| check(left, &stream, told, &format!("{what}, then {deep}"))
                }),
                _ => Arc::new(disk.clone()),
            };
            bring_to_its_end(storage, &stream).unwrap_or_else(|error| panic!("{what}: {error}"));
            for state in disk.crash_states(SEED) {
                expect_whole(&state.disk, &stream, &format!("{what}, brought to its end, {state}"));
            }
        }
    }
    println!("{injured} calls failed");
    assert!(injured > 200);
}

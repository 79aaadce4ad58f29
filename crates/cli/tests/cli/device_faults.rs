//! A restore onto a block device that is killed, runs out of room, or meets a failing device; and logs that somebody has put there.
//! Expects that the same command brings it to its end, and that nothing is replayed that is not the stream.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::Instant;

use crate::device_place::{Device, Mount, OLD, command, restore};
use crate::injected::injected_at;
use crate::place::{Place, Ran, SEGMENT_LEN, end_of, plaintext};
use crate::programs::has;

const SEGMENTS: usize = 300;
const DEVICE_LEN: usize = 8 << 20;
/// Kills before, in and behind every phase.
const KILLS: u32 = 24;
/// What a device is given of the stream, a megabyte at a time.
const WRITES: usize = (SEGMENTS * SEGMENT_LEN).div_ceil(1 << 20);

fn expected(place: &Place) -> Vec<u8> {
    let mut bytes = place.read("plain");
    bytes.resize(DEVICE_LEN, OLD);
    bytes
}

fn restarted(place: &Place, device: &Device, new: &[u8]) {
    restore(place, device, &[]).assert_done();
    assert!(device.read() == new);
    assert!(!place.path("log").exists());
    device.make_old(DEVICE_LEN);
}

/// As old, as new, or as the log has it still.
fn check_killed(place: &Place, device: &Device, new: &[u8]) {
    let found = device.read();
    let (is_old, is_new) = (found.iter().all(|byte| *byte == OLD), found == new);
    assert!(is_old || is_new || place.path("log").exists(), "a mixture, and no log");
}

#[test]
fn killed_at_any_moment_the_same_command_brings_it_to_its_end() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let new = expected(&place);
    let begun = Instant::now();
    restarted(&place, &device, &new);
    let whole = begun.elapsed();
    for number in 0..KILLS {
        let mut child = place.spawn(command(&device));
        thread::sleep(whole * number / KILLS);
        child.kill().unwrap();
        child.wait().unwrap();
        check_killed(&place, &device, &new);
        restarted(&place, &device, &new);
    }
}

#[test]
fn killed_while_the_device_is_written_the_log_stays_and_finishes() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let new = expected(&place);
    let kill_before = |write: usize| {
        let fault = format!("pwrite64:signal=KILL:when={write}");
        let killed = injected_at(&place, &[device.name()], &[&fault], &command(&device)).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
        let found = device.read();
        assert!(found[0] == new[0] && found != new, "it is a mixture before write {write}");
        assert!(place.path("log").exists(), "before write {write}");
    };
    for write in 2..=WRITES {
        kill_before(write);
        // Once more on the way back, and gone on with after that.
        kill_before(2 + WRITES - write);
        restarted(&place, &device, &new);
    }
}

#[test]
fn a_log_without_room_is_refused_before_the_first_byte_or_ends_where_the_room_does() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let Some(mount) = Mount::tmpfs(&place, "small", "1m") else { return };
    let mut into = command(&device);
    into[5] = "small/log";
    place.run(into).assert_failed(1, "no room for");
    assert!(!place.path("small/log").exists());
    into[6] = "-";
    let fed = |into: [&str; 8]| place.run_fed(into, place.read("sealed.cfd"));
    fed(into).assert_failed(1, "This run has not written to the device.");
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
    assert!(place.path("small/log").exists(), "what had committed is kept");
    mount.resize("16m");
    fed(into).assert_done();
    assert!(device.read() == expected(&place));
    assert!(!place.path("small/log").exists());
}

/// A device that does not take all of it: the file behind it lies where there is no room for that.
struct Failing {
    place: Place,
    device: Device,
    mount: Mount,
}

impl Failing {
    /// After a restore that ended there: the log is complete, and the device a mixture.
    fn new() -> Option<Failing> {
        let place = Place::with_sealed(SEGMENTS);
        let mount = Mount::tmpfs(&place, "small", "2m")?;
        fs::File::create(place.path("small/image")).unwrap().set_len(DEVICE_LEN as u64).unwrap();
        let device = Device::attach(&place.path("small/image"), &[])?;
        let ran = restore(&place, &device, &[]);
        ran.assert_failed(10, "a mixture of old and new");
        assert!(ran.stderr.contains("run this again"), "{}", ran.stderr);
        assert!(place.path("log").exists());
        Some(Failing { place, device, mount })
    }

    fn mend(&self) {
        self.mount.resize("32m");
    }

    fn assert_finishes(&self, ran: &Ran) {
        ran.assert_done();
        let plain = self.place.read("plain");
        assert!(self.device.read()[..plain.len()] == plain);
        assert!(!self.place.path("log").exists());
    }
}

#[test]
fn a_device_that_fails_leaves_the_log_and_the_same_command_finishes() {
    let Some(failing) = Failing::new() else { return };
    // Still so: it is tried from the start, and ends the same.
    restore(&failing.place, &failing.device, &[]).assert_failed(10, "a mixture of old and new");
    failing.mend();
    failing.assert_finishes(&restore(&failing.place, &failing.device, &[]));
}

#[test]
fn a_finished_log_is_replayed_from_a_pipe_too_and_given_up_only_by_restart() {
    let Some(failing) = Failing::new() else { return };
    failing.mend();
    let place = &failing.place;
    // Without the stream nothing vouches for the log.
    fs::rename(place.path("sealed.cfd"), place.path("away.cfd")).unwrap();
    assert_eq!(restore(place, &failing.device, &[]).code, 1);
    assert!(place.path("log").exists());
    let mut piped = command(&failing.device);
    piped[6] = "-";
    failing.assert_finishes(&place.run_fed(piped, place.read("away.cfd")));

    let Some(failing) = Failing::new() else { return };
    failing.mend();
    failing.assert_finishes(&restore(&failing.place, &failing.device, &["--restart"]));
}

#[test]
fn a_log_that_somebody_has_put_there_is_not_replayed() {
    let Some(failing) = Failing::new() else { return };
    failing.mend();
    let (place, device) = (&failing.place, &failing.device);
    let log = place.read("log");
    let before = device.read();
    let put = |bytes: &[u8]| {
        fs::write(place.path("log"), bytes).unwrap();
        fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    // In the first record, in one behind, and in the very last, each with a checksum that is right.
    let records = data_records(&log);
    for at in [records[0], records[records.len() / 2], *records.last().unwrap()] {
        let mut forged = log.clone();
        forged[at + HEAD_LEN] ^= 1;
        close_record(&mut forged, at);
        put(&forged);
        restore(place, device, &[]).assert_failed(8, "what it has is another");
        let mut piped = command(device);
        piped[6] = "-";
        place.run_fed(piped, place.read("sealed.cfd")).assert_failed(8, "what it has is another");
        assert!(place.read("log") == forged);
    }
    // A log of the same stream for another device, of which this one was told to be the one: the MAC.
    let mut renamed = log.clone();
    renamed[16 + 72] ^= 1;
    let crc = crc32(&renamed[..508]);
    renamed[508..512].copy_from_slice(&crc.to_le_bytes());
    put(&renamed);
    restore(place, device, &[]).assert_failed(8, "to another device");
    let mut unsigned = log.clone();
    unsigned[16 + 104] ^= 1;
    let crc = crc32(&unsigned[..508]);
    unsigned[508..512].copy_from_slice(&crc.to_le_bytes());
    put(&unsigned);
    restore(place, device, &[]).assert_failed(8, "fails authentication");
    // A log of a storage engine's own, say.
    let mut strange = log.clone();
    strange[16] ^= 1;
    let crc = crc32(&strange[..508]);
    strange[508..512].copy_from_slice(&crc.to_le_bytes());
    put(&strange);
    restore(place, device, &[]).assert_failed(8, "not of a restore that this release");
    restore(place, device, &["--restart"]).assert_failed(8, "is not of a restore, and is not removed");
    assert!(place.read("log") == strange);
    // Bytes that are no longer what their checksum says.
    let mut damaged = log.clone();
    damaged[records[0] + HEAD_LEN] ^= 1;
    put(&damaged);
    restore(place, device, &[]).assert_failed(8, "the log is damaged at byte 12288");
    assert!(device.read() == before, "nothing of all that was replayed");
    put(&log);
    failing.assert_finishes(&restore(place, device, &[]));
}

/// A stream of the same length for the same recipient, in a log that says that it is of the first.
#[test]
fn a_log_of_one_stream_that_is_called_anothers_is_not_replayed() {
    let Some(failing) = Failing::new() else { return };
    failing.mend();
    let (place, device) = (&failing.place, &failing.device);
    let first = place.read("log");
    let before = device.read();
    fs::rename(place.path("sealed.cfd"), place.path("first.cfd")).unwrap();
    let other: Vec<u8> = plaintext(SEGMENTS * SEGMENT_LEN - 5).iter().map(|byte| byte ^ 0x55).collect();
    fs::write(place.path("other"), other).unwrap();
    place.seal("other", "sealed.cfd").assert_done();
    restore(place, device, &[]).assert_failed(8, "another stream");
    // The other one's records behind the first one's header.
    let mut forged = first.clone();
    for at in data_records(&first) {
        forged[at + HEAD_LEN..at + HEAD_LEN + body_len(&first, at)].iter_mut().for_each(|byte| *byte ^= 0x55);
        close_record(&mut forged, at);
    }
    fs::write(place.path("log"), &forged).unwrap();
    fs::rename(place.path("first.cfd"), place.path("sealed.cfd")).unwrap();
    restore(place, device, &[]).assert_failed(8, "what it has is another");
    assert!(device.read() == before);
}

#[test]
fn an_interrupt_before_the_log_is_complete_leaves_the_device_and_keeps_the_log() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let new = expected(&place);
    // The stream does not come to its end: it is interrupted while it waits for more.
    let mut piped = command(&device);
    piped[6] = "-";
    let mut child = place.spawn(piped);
    let mut stdin = child.stdin.take().unwrap();
    let sealed = place.read("sealed.cfd");
    std::io::Write::write_all(&mut stdin, &sealed[..sealed.len() / 2]).unwrap();
    crate::place::wait_until("the log", || {
        fs::metadata(place.path("log")).is_ok_and(|log| log.len() > 4 * SEGMENT_LEN as u64)
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    drop(stdin);
    let ran = end_of(child);
    assert!([130, 5].contains(&ran.code), "{}", ran.stderr);
    assert!(ran.stderr.contains("has not written to the device"), "{}", ran.stderr);
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
    restarted(&place, &device, &new);
}

/// Where the DATA records of a log are, by the table in the log's documentation: end to end from byte 12288; the kind at 4, the
/// length of the body at 32.
fn data_records(log: &[u8]) -> Vec<usize> {
    let mut at = 12_288;
    let mut found = Vec::new();
    while at < log.len() {
        if log[at + 4] == 1 {
            found.push(at);
        }
        at += HEAD_LEN + body_len(log, at);
    }
    found
}

fn body_len(log: &[u8], at: usize) -> usize {
    u32::from_le_bytes(log[at + 32..at + 36].try_into().unwrap()) as usize
}

/// Makes the checksum of a record right.
fn close_record(log: &mut [u8], at: usize) {
    let end = at + HEAD_LEN + body_len(log, at);
    let crc = crc32(&log[at + 4..end]);
    log[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32/ISO-HDLC, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

const HEAD_LEN: usize = 40;

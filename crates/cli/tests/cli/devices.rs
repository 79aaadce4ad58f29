//! `restore --wal` onto a real block device: what it writes, and what it refuses before it has written anything.
//! Knows the device as whoever opens it next does.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::device_place::{Device, Mount, OLD, command, restore, run};
use crate::place::{Place, SEGMENT_LEN};
use crate::programs::skipped;

const SEGMENTS: usize = 20;
const LEN: usize = SEGMENTS * SEGMENT_LEN - 5;
const DEVICE_LEN: usize = 1 << 20;

fn expected(place: &Place) -> Vec<u8> {
    let mut bytes = place.read("plain");
    bytes.resize(DEVICE_LEN, OLD);
    bytes
}

#[test]
fn a_device_gets_the_stream_as_often_as_one_likes_and_keeps_what_lies_behind_it() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let names = place.names();
    for _ in 0..2 {
        let ran = restore(&place, &device, &[]);
        ran.assert_done();
        assert!(ran.text().contains(device.name()), "{}", ran.text());
        assert!(device.read() == expected(&place));
        assert_eq!(place.names(), names, "the log is removed");
        device.make_old(DEVICE_LEN);
    }
    // As the names that do not change with the next start are: links. And out of a pipe.
    symlink(&device.path, place.path("by-id")).unwrap();
    let piped = ["restore", "-i", "key.txt", "--force", "--wal", "log", "-", "by-id"];
    place.run_fed(piped, place.read("sealed.cfd")).assert_done();
    assert!(device.read() == expected(&place));
    assert!(!place.path("log").exists());
    // The loop device writes to its file what it has been told to make durable.
    assert!(place.read("image") == expected(&place));
}

#[test]
fn a_stream_of_any_length_fits_up_to_the_last_byte_and_no_further() {
    let place = Place::new();
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    for (len, fits) in
        [(0, true), (1, true), (DEVICE_LEN - 1, true), (DEVICE_LEN, true), (DEVICE_LEN + 1, false)]
    {
        fs::write(place.path("plain"), crate::place::plaintext(len)).unwrap();
        let _ = fs::remove_file(place.path("sealed.cfd"));
        place.seal("plain", "sealed.cfd").assert_done();
        for from_pipe in [false, true] {
            device.make_old(DEVICE_LEN);
            let ran = match from_pipe {
                false => restore(&place, &device, &[]),
                true => {
                    let piped = [
                        "restore",
                        "-i",
                        "key.txt",
                        "--force",
                        "--restart",
                        "--wal",
                        "log",
                        "-",
                        device.name(),
                    ];
                    place.run_fed(piped, place.read("sealed.cfd"))
                }
            };
            if fits {
                ran.assert_done();
                assert!(device.read() == expected(&place), "{len}");
                assert!(!place.path("log").exists());
            } else {
                ran.assert_failed(1, "the device has 1.00 MiB (1048576 bytes), and the stream");
                assert!(device.read() == vec![OLD; DEVICE_LEN], "{len}");
                // What is known before leaves nothing.
                assert_eq!(place.path("log").exists(), from_pipe);
            }
        }
    }
}

#[test]
fn what_is_missing_or_makes_no_sense_is_refused_before_anything_is_made() {
    let place = Place::with_sealed(1);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let name = device.name();
    let names = place.names();
    let keyed = ["restore", "-i", "key.txt"];
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--force", "sealed.cfd", name], 2, "--wal FILE"),
        (&["sealed.cfd", name], 2, "--wal FILE"),
        (&["--wal", "log", "sealed.cfd", name], 6, "--force"),
        (&["--force", "--wal", "log", "sealed.cfd", "plain"], 2, "a log is for a block device"),
        (&["--force", "--wal", "log", "sealed.cfd", "new"], 2, "a log is for a block device"),
        (&["--force", "--wal", "log", "sealed.cfd", "-"], 2, "--wal is for a block device"),
        (&["--wal", "log", "sealed.cfd", "unix:socket"], 2, "--wal is for a block device"),
        (&["--force", "--wal", "sealed.cfd", "sealed.cfd", name], 2, "are the same file"),
        (&["--force", "--wal", "log", name, name], 2, "is on the device that it would be written to"),
    ];
    for (arguments, code, words) in cases {
        place.run(keyed.iter().chain(arguments)).assert_failed(code, words);
        assert_eq!(place.names(), names, "{arguments:?}");
    }
    let no_directory = ["--force", "--wal", "no/log", "sealed.cfd", name];
    place.run(keyed.iter().chain(&no_directory)).assert_failed(1, "no such directory");
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
}

#[test]
fn a_device_that_is_mounted_is_refused_and_so_is_swap() {
    let place = Place::with_sealed(1);
    let Some(device) = Device::make(&place, "image", 8 << 20) else { return };
    if !run("mkfs.ext4", &["-q".as_ref(), &device.path]) {
        skipped("there is no mkfs.ext4");
        return;
    }
    let Some(mount) = Mount::of(&place, "a mount", &device) else { return };
    restore(&place, &device, &[]).assert_failed(9, "/a mount; free it first");
    // The log could not be on it, either.
    drop(mount);
    assert!(run("mkswap", &[&device.path]));
    let Some(swap) = Swap::on(&device) else { return };
    let before = device.read();
    restore(&place, &device, &[]).assert_failed(9, "in use: as swap space");
    drop(swap);
    assert!(device.read() == before);
    assert!(!place.path("log").exists());
    restore(&place, &device, &[]).assert_done();
}

/// The system's, as long as this lives.
struct Swap<'a>(&'a Device);

impl Swap<'_> {
    fn on(device: &Device) -> Option<Swap<'_>> {
        let is_on = run("swapon", &[&device.path]);
        if !is_on {
            skipped("this needs swap space");
        }
        is_on.then_some(Swap(device))
    }
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        run("swapoff", &[&self.0.path]);
    }
}

#[test]
fn a_device_with_a_partition_in_use_is_in_use() {
    let place = Place::with_sealed(1);
    // A partition table with one entry: of kind 0x83, from sector 2048 to the end; 0x55 and 0xAA close it.
    let mut image = vec![0; 16 << 20];
    image[446 + 4] = 0x83;
    image[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    image[446 + 12..446 + 16].copy_from_slice(&(((16 << 20) / 512) as u32 - 2048).to_le_bytes());
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    fs::write(place.path("image"), image).unwrap();
    let Some(device) = Device::attach(&place.path("image"), &["--partscan"]) else { return };
    // Not every kernel reads such a table by itself.
    run("partx", &["--add".as_ref(), &device.path]);
    let first = std::mem::ManuallyDrop::new(Device { path: format!("{}p1", device.name()).into() });
    let made = first.path.exists() && run("mkfs.ext4", &["-q".as_ref(), &first.path]);
    if !made {
        skipped("this needs partitions on loop devices");
        return;
    }
    let mount = Mount::of(&place, "mount", &first).unwrap();
    restore(&place, &device, &[]).assert_failed(9, "in use: mounted at");
    drop(mount);
    // And one is as good a target as the whole.
    restore(&place, &first, &[]).assert_done();
    assert!(first.read().starts_with(&place.read("plain")));
}

#[test]
fn a_device_that_another_has_is_refused_and_so_is_one_that_cannot_be_written() {
    let place = Place::with_sealed(1);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let held = File::options().read(true).custom_flags(exclusive).open(&device.path).unwrap();
    restore(&place, &device, &[]).assert_failed(9, "the device is in use");
    drop(held);
    if let Some(over) = Device::attach(&device.path, &[]) {
        restore(&place, &device, &[]).assert_failed(9, "the device is in use: behind loop");
        drop(over);
    }
    let read_only = Device::attach(&place.path("image"), &["--read-only"]).unwrap();
    restore(&place, &read_only, &[]).assert_failed(1, "read-only");
    assert!(!place.path("log").exists());
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
}

#[test]
fn what_stands_at_the_logs_name_and_is_no_log_of_ours_stays() {
    let place = Place::with_sealed(2);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    fs::write(place.path("precious"), b"somebody's only copy").unwrap();
    fs::copy(place.path("precious"), place.path("log")).unwrap();
    fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o600)).unwrap();
    for more in [&[][..], &["--restart"]] {
        restore(&place, &device, more).assert_failed(8, "log: this is not a log");
        assert_eq!(place.read("log"), b"somebody's only copy");
    }
    fs::remove_file(place.path("log")).unwrap();
    for (what, words) in [
        ("link", "something else is there"),
        ("second name", "hard link"),
        ("open", "others may read or write"),
    ] {
        match what {
            "link" => symlink("precious", place.path("log")).unwrap(),
            "second name" => fs::hard_link(place.path("precious"), place.path("log")).unwrap(),
            _ => fs::write(place.path("log"), b"").unwrap(),
        }
        fs::set_permissions(
            place.path("log"),
            fs::Permissions::from_mode(if what == "open" { 0o644 } else { 0o600 }),
        )
        .unwrap();
        for more in [&[][..], &["--restart"]] {
            restore(&place, &device, more).assert_failed(8, words);
        }
        assert!(fs::symlink_metadata(place.path("log")).is_ok(), "{what}");
        fs::remove_file(place.path("log")).unwrap();
    }
    assert_eq!(place.read("precious"), b"somebody's only copy");
    let locked = File::create(place.path("log")).unwrap();
    fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o600)).unwrap();
    flock(&locked, FlockOperation::LockExclusive).unwrap();
    restore(&place, &device, &[]).assert_failed(9, "another process is writing this log");
    drop(locked);
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
}

#[test]
fn a_log_has_its_owners_rights_alone_and_goes_on_where_it_was_interrupted() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let sealed = place.read("sealed.cfd");
    place.cut_segment(15);
    // Without its end it has no index, and is read as out of a pipe.
    restore(&place, &device, &[]).assert_failed(5, "This run has not written to the device.");
    assert_eq!(fs::metadata(place.path("log")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(device.read() == vec![OLD; DEVICE_LEN]);
    fs::write(place.path("sealed.cfd"), &sealed).unwrap();
    let ran = restore(&place, &device, &["--json"]);
    ran.assert_done();
    let kept = crate::place::json_lines(&ran.stdout)[0]["kept"].as_u64().unwrap();
    assert_eq!(kept, 15 * SEGMENT_LEN as u64);
    assert!(device.read() == expected(&place));
}

#[test]
fn a_log_for_another_device_or_stream_is_refused_until_it_is_given_up() {
    let place = Place::with_sealed(SEGMENTS);
    let Some(device) = Device::make(&place, "image", DEVICE_LEN) else { return };
    let other = Device::make(&place, "other", DEVICE_LEN).unwrap();
    let sealed = place.read("sealed.cfd");
    place.cut_segment(15);
    restore(&place, &device, &[]).assert_failed(5, "kept in log");
    fs::write(place.path("sealed.cfd"), &sealed).unwrap();
    let before = place.read("log");
    restore(&place, &other, &[]).assert_failed(8, "a restore to another device");
    fs::write(place.path("plain2"), crate::place::plaintext(LEN)).unwrap();
    place.seal("plain2", "sealed2.cfd").assert_done();
    let mut another = command(&device);
    another[6] = "sealed2.cfd";
    place.run(another).assert_failed(8, "a restore of another stream");
    assert!(place.read("log") == before);
    assert!(device.read() == vec![OLD; DEVICE_LEN] && other.read() == vec![OLD; DEVICE_LEN]);
    // The same medium, and longer.
    drop(device);
    let image = File::options().write(true).open(place.path("image")).unwrap();
    image.set_len(DEVICE_LEN as u64 + 4096).unwrap();
    let longer = Device::attach(&place.path("image"), &[]).unwrap();
    restore(&place, &longer, &[]).assert_failed(8, "the device has another length now");
    drop(longer);
    image.set_len(DEVICE_LEN as u64).unwrap();
    // The same bytes behind another number: the next start may give it that.
    let holds_the_number = Device::attach(&place.path("other"), &[]).unwrap();
    let again = Device::attach(&place.path("image"), &[]).unwrap();
    restore(&place, &again, &[]).assert_done();
    assert!(again.read() == expected(&place));
    fs::write(place.path("log"), before).unwrap();
    fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o600)).unwrap();
    restore(&place, &other, &["--restart"]).assert_done();
    assert!(other.read() == expected(&place));
    assert!(!place.path("log").exists());
    drop(holds_the_number);
}

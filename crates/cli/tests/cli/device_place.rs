//! Block devices and small file systems of a test's own, where the system gives a test such things: root, and loop devices.
//! Knows nothing of the program.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{Place, Ran};
use crate::programs::skipped;

/// A file as a block device.
pub(crate) struct Device {
    pub(crate) path: PathBuf,
}

impl Device {
    /// Of `len` bytes, all the same, over a file of that name.
    pub(crate) fn make(place: &Place, name: &str, len: usize) -> Option<Device> {
        fs::write(place.path(name), vec![OLD; len]).unwrap();
        Device::attach(&place.path(name), &[])
    }

    /// `None`, and loudly, where there are none.
    pub(crate) fn attach(image: &Path, more: &[&str]) -> Option<Device> {
        let output = Command::new("losetup").args(["--find", "--show"]).args(more).arg(image).output();
        let path = output.ok().filter(|output| output.status.success());
        let path = path.map(|output| PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
        match path.filter(|path| path.exists()) {
            Some(path) => Some(Device { path }),
            None => {
                skipped("this needs root and loop devices");
                None
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// All of it, as whoever opens it next sees it.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(&self.path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// As it was when it was made.
    pub(crate) fn make_old(&self, len: usize) {
        File::options().write(true).open(&self.path).unwrap().write_all_at(&vec![OLD; len], 0).unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        run("losetup", &["--detach".as_ref(), &self.path]);
    }
}

/// A file system that is mounted as long as this lives.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// In memory, with so much room.
    pub(crate) fn tmpfs(place: &Place, name: &str, size: &str) -> Option<Mount> {
        Mount::new(
            place,
            name,
            &[
                "-t".as_ref(),
                "tmpfs".as_ref(),
                "-o".as_ref(),
                format!("size={size}").as_ref(),
                "tmpfs".as_ref(),
            ],
        )
    }

    pub(crate) fn of(place: &Place, name: &str, device: &Device) -> Option<Mount> {
        Mount::new(place, name, &[&device.path])
    }

    fn new(place: &Place, name: &str, what: &[&Path]) -> Option<Mount> {
        let at = place.path(name);
        fs::create_dir(&at).unwrap();
        match run("mount", &[what, &[&at]].concat()) {
            true => Some(Mount { at }),
            false => {
                skipped("this needs to mount a file system");
                None
            }
        }
    }

    pub(crate) fn resize(&self, size: &str) {
        assert!(run("mount", &["-o".as_ref(), format!("remount,size={size}").as_ref(), &self.at]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[&self.at]);
    }
}

/// Whether the program is there and succeeds.
pub(crate) fn run(program: &str, arguments: &[&Path]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// The command that every test here runs again and again.
pub(crate) fn restore(place: &Place, device: &Device, more: &[&str]) -> Ran {
    place.run(command(device).iter().chain(more))
}

pub(crate) fn command(device: &Device) -> [&str; 8] {
    ["restore", "-i", "key.txt", "--force", "--wal", "log", "sealed.cfd", device.name()]
}

/// What a device is filled with before.
pub(crate) const OLD: u8 = 0xEE;

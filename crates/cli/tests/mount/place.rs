//! A directory with a key and sealed streams in it, and what FUSE and the machine allow.
//! Knows no test.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use cofferdam::tree::{Content, TreePath};
use cofferdam::{
    BytesSource, FileSource, Identities, IfExists, Opener, Reader, Recipients, Sealer, StageOptions,
    StagedFile, tree_content,
};
use rustix::process::geteuid;
use servers::installed::find_on_path;
use tempfile::TempDir;

use crate::mount_process::{MountProcess, mounts_at};
use crate::sealed_tree::seal_tree;

/// A directory of a test's own: `key.txt` is an identity, `mnt` an empty directory.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) recipient: String,
}

impl Place {
    /// None where nothing can be mounted.
    pub(crate) fn new() -> Option<Place> {
        if !has_fuse() {
            skipped("no FUSE here: /dev/fuse, and fusermount3 for a user other than root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut place = Place { directory, recipient: String::new() };
        let made = place.cofferdam(&["keygen", "-o", "key.txt"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        place.recipient = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        fs::create_dir(place.path("mnt")).unwrap();
        Some(place)
    }

    /// With `tree`, filled by `fill`, and `tree.cfd`, sealed from it in small frames and segments.
    pub(crate) fn with_tree(fill: impl FnOnce(&Path)) -> Option<Place> {
        let place = Place::new()?;
        fs::create_dir(place.path("tree")).unwrap();
        fill(&place.path("tree"));
        place.seal_tree();
        Some(place)
    }

    /// Seals `tree`, as it is now.
    pub(crate) fn seal_tree(&self) {
        seal_tree(&self.sealer(), &self.path("tree"), &self.path("tree.cfd"));
    }

    /// Seals a plain stream.
    pub(crate) fn seal_bytes(&self, bytes: &[u8], sealed: &str) {
        let file =
            StagedFile::create(self.path(sealed), &StageOptions::default().if_exists(IfExists::Replace))
                .unwrap();
        self.sealer().seal(BytesSource::new(bytes.to_vec()), file).unwrap();
    }

    fn sealer(&self) -> Sealer {
        let recipients = Recipients::new().parse(&self.recipient).unwrap();
        Sealer::new(recipients).frame_len(FRAME_LEN as u32).segment_len(SEGMENT_LEN as u64)
    }

    /// Changes a byte of the frame that has the byte at `at` of a file of the tree.
    pub(crate) fn damage(&self, path: &str, at: u64) {
        let reader = Arc::new(self.reader("tree.cfd"));
        let Content::Tree(catalog) = tree_content(&reader).unwrap() else { panic!("it is a tree") };
        let found = catalog.find(&TreePath::parse(path.as_bytes()).unwrap()).unwrap().unwrap();
        let at = found.data_at() + at;
        self.change_sealed("tree.cfd", reader.ciphertext_range(at..at + 1).unwrap());
    }

    /// Changes the byte in the middle of a range of a sealed stream.
    pub(crate) fn change_sealed(&self, sealed: &str, range: Range<u64>) {
        let mut bytes = fs::read(self.path(sealed)).unwrap();
        bytes[(range.start + range.end) as usize / 2] ^= 1;
        fs::write(self.path(sealed), bytes).unwrap();
    }

    pub(crate) fn reader(&self, sealed: &str) -> Reader {
        let key = fs::read_to_string(self.path("key.txt")).unwrap();
        let opener = Opener::new(Identities::new().identity_file(&key).unwrap());
        opener.reader(FileSource::open(self.path(sealed)).unwrap()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Mounts `sealed` on `mnt`, and waits until it is there.
    pub(crate) fn mount(&self, sealed: &str) -> MountProcess {
        self.mount_with(sealed, &[])
    }

    /// The same, with further options.
    pub(crate) fn mount_with(&self, sealed: &str, options: &[&str]) -> MountProcess {
        let arguments = [&["mount", "--json", "-i", "key.txt", sealed, "mnt"], options].concat();
        self.spawn(self.cofferdam(&arguments))
    }

    /// The same, of a command that is `mount --json`.
    pub(crate) fn spawn(&self, command: Command) -> MountProcess {
        MountProcess::spawn(command, self.path("errors"))
    }

    /// What is mounted on `mnt`: options and type, of each mount there.
    pub(crate) fn mounts(&self) -> Vec<(String, String)> {
        mounts_at(&fs::canonicalize(self.directory.path()).unwrap().join("mnt"))
    }

    /// The program, run in the directory.
    pub(crate) fn cofferdam(&self, arguments: &[&str]) -> Command {
        // Where the tests run in the background of a shell, or under nohup, signals are ignored, and the program heeds that.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_cofferdam")]);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Another program, run in the directory, which has to succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.try_run(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that has failed.
        let _ = Command::new("umount").args(["-q", "-l"]).arg(self.path("mnt")).output();
    }
}

/// A command that was refused, with this code and these words.
pub(crate) fn assert_refused(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

/// Where the kernel has it, no other program is needed by root.
fn has_fuse() -> bool {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.is_ok() && (is_root() || find_on_path("fusermount3").is_some())
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Says on the terminal that the test that asks cannot be done here, and why.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Not captured, as what `eprintln!` prints would be.
    let _ = writeln!(io::stderr(), "skipped {test}: {why}");
}

pub(crate) const FRAME_LEN: usize = 4 << 10;
pub(crate) const SEGMENT_LEN: usize = 64 << 10;

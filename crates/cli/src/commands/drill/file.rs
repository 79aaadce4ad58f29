//! The file that says what a drill does, in TOML.
//! It opens nothing that the file names, and knows no stream.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam::{ErrorKind, StreamDigest};
use serde::Deserialize;
use toml::Spanned;

use super::freshness::{AgeRule, TimeSource};
use super::lookup::{Purpose, find};
use super::trust::refuse_foreign_file;
use crate::credential::KeyPlace;
use crate::expected::parse_digest;
use crate::failure::Failure;
use crate::io_arg::End;
use crate::key_args::OpeningKeys;
use crate::printable::Name;
use crate::sealed::Sealed;
use crate::secrets;
use crate::signatures::SignedByArgs;
use crate::timeout::parse_duration;

/// What a drill does.
pub(super) struct DrillFile {
    pub(super) name: Name,
    /// Where it is, from the root: no other drill of this machine has a file of that name.
    pub(super) place: Name,
    /// BLAKE3 of its bytes.
    pub(super) digest: String,
    pub(super) scratch: Option<PathBuf>,
    pub(super) evidence: Option<PathBuf>,
    pub(super) evidence_mode: u32,
    pub(super) streams: Vec<DrillStream>,
}

/// One stream of it.
pub(super) struct DrillStream {
    pub(super) name: String,
    pub(super) sealed: Sealed,
    /// None where digests alone are compared.
    pub(super) keys: Option<Arc<OpeningKeys>>,
    pub(super) mode: Mode,
    pub(super) expect_digest: Option<StreamDigest>,
    pub(super) min_sequence: Option<u64>,
    pub(super) signed_by: SignedByArgs,
    pub(super) age: AgeRule,
}

/// What is done with a stream.
pub(super) enum Mode {
    Restore { scratch: PathBuf, check: Option<CheckCommand>, ignore_room: bool },
    Verify,
    Sample { segments: u64 },
}

/// What is run on the restored file.
pub(super) struct CheckCommand {
    /// As the file has it.
    pub(super) argv: Vec<String>,
    /// Where the program is, if its name is a path.
    pub(super) program: PathBuf,
    pub(super) timeout: Duration,
}

impl DrillFile {
    /// Reads it. What it says of URLs is not repeated by any message from then on, as far as it may be secret. Paths in it are relative to
    /// the file itself, wherever the links are that have led to it.
    pub(super) fn read(path: &Path) -> Result<DrillFile, Failure> {
        let name = Name::from(path);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => Failure::usage(format!("{name} is no file")),
            _ => Failure::io(format!("{name} could not be read"), error),
        };
        let found = find(path, Purpose::Read).map_err(failed)?;
        refuse_foreign_file(&name, &found)?;
        let mut bytes = Vec::new();
        (&found.file).take(LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LEN_MAX {
            return Err(Failure::usage(format!("{name} is too long for the file of a drill")));
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::usage(format!("{name} is no text (in UTF-8)")))?;
        secrets::note(text);
        // As a message about a value has it.
        secrets::note(&text.replace("\\\"", "\"").replace("\\\\", "\\"));
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let place = Name::from(&*place_of(path).map_err(failed)?);
        Ok(DrillFile { place, ..parse(text, found.path.parent().unwrap_or(&found.path), name, digest)? })
    }
}

/// The same from wherever a file is named. If it is a link, what it is called there, and not where that leads: that may change.
fn place_of(path: &Path) -> io::Result<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::canonicalize(directory.unwrap_or(Path::new(".")))?;
    Ok(path.file_name().map_or(directory.clone(), |name| directory.join(name)))
}

fn parse(text: &str, directory: &Path, name: Name, digest: String) -> Result<DrillFile, Failure> {
    let at = |span: Range<usize>, what: &str| {
        let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
        Failure::new(ErrorKind::Usage, format!("{name}, line {line}: {what}"))
            .advise("`cofferdam drill --example` prints a file with all that it may say.")
    };
    let document: Document =
        toml::from_str(text).map_err(|error| at(error.span().unwrap_or_default(), error.message()))?;
    let mut streams: Vec<DrillStream> = Vec::new();
    let scratch = document.scratch.map(|path| directory.join(path));
    for entry in document.streams {
        let span = entry.span();
        let stream = entry.into_inner().check(directory, scratch.as_deref());
        let stream = stream.map_err(|what| at(span.clone(), &what))?;
        if streams.iter().any(|other| other.name == stream.name) {
            return Err(at(span, "another stream has this name"));
        }
        streams.push(stream);
    }
    if streams.is_empty() {
        return Err(at(0..0, "no [[stream]] is in it"));
    }
    Ok(DrillFile {
        place: name.clone(),
        name,
        digest,
        scratch,
        evidence: document.evidence.map(|path| directory.join(path)),
        evidence_mode: document.evidence_mode.map_or(OWNER_ALONE, |mode| mode.0),
        streams,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    scratch: Option<PathBuf>,
    evidence: Option<PathBuf>,
    evidence_mode: Option<FileMode>,
    #[serde(rename = "stream", default)]
    streams: Vec<Spanned<Entry>>,
}

/// A stream, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: StreamName,
    sealed: String,
    #[serde(default)]
    identity: Vec<String>,
    #[serde(default)]
    key_file: Vec<String>,
    passphrase_file: Option<String>,
    mode: ModeName,
    sample: Option<u64>,
    ignore_room: Option<bool>,
    check: Option<Vec<String>>,
    check_timeout: Option<Age>,
    expect_digest: Option<Digest>,
    min_sequence: Option<u64>,
    signed_by: Option<String>,
    signature: Option<String>,
    max_age: Option<Age>,
    #[serde(default)]
    sequence_is_time: bool,
    time_metadata: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Restore,
    Verify,
    Sample,
}

impl Entry {
    fn check(self, directory: &Path, scratch: Option<&Path>) -> Result<DrillStream, String> {
        secrets::note(&self.sealed);
        let keys = self.keys(directory)?;
        if keys.is_none() && (self.mode != ModeName::Verify || self.needs_metadata()) {
            return Err("`identity` is missing: nothing could open the stream".to_owned());
        }
        Ok(DrillStream {
            sealed: sealed("sealed", &self.sealed, directory)?,
            keys,
            age: self.age()?,
            expect_digest: self.expect_digest.as_ref().map(|digest| digest.0),
            min_sequence: self.min_sequence,
            signed_by: self.signed_by(directory)?,
            mode: self.mode(directory, scratch)?,
            name: self.name.0,
        })
    }

    fn keys(&self, directory: &Path) -> Result<Option<Arc<OpeningKeys>>, String> {
        let mut named = self.identity.iter().chain(&self.key_file).chain(&self.passphrase_file);
        if let Some(argument) = named.clone().find(|argument| ["", "-"].contains(&argument.as_str())) {
            return Err(format!("`{argument}` is no file: a drill takes nothing from standard input"));
        }
        Ok(named.next().map(|_| Arc::new(self.opening_keys(directory))))
    }

    fn signed_by(&self, directory: &Path) -> Result<SignedByArgs, String> {
        if let Some(argument) = self.signed_by.iter().find(|argument| ["", "-"].contains(&argument.as_str()))
        {
            return Err(format!("`{argument}` is no file: a drill takes nothing from standard input"));
        }
        let place = |argument: &String| KeyPlace::from(OsString::from(argument)).within(directory);
        let signature = self.signature.as_ref().map(|signature| {
            secrets::note(signature);
            sealed("signature", signature, directory)
        });
        SignedByArgs::of_file(self.signed_by.as_ref().map(place), signature.transpose()?)
    }

    fn opening_keys(&self, directory: &Path) -> OpeningKeys {
        let place = |argument: &String| KeyPlace::from(OsString::from(argument)).within(directory);
        let places = |names: &[String]| names.iter().map(place).collect();
        let passphrase = self.passphrase_file.as_ref().map(place);
        OpeningKeys::of_files(places(&self.identity), places(&self.key_file), passphrase)
    }

    fn needs_metadata(&self) -> bool {
        self.min_sequence.is_some()
            || self.max_age.is_some()
            || self.sequence_is_time
            || self.time_metadata.is_some()
    }

    fn age(&self) -> Result<AgeRule, String> {
        let time = match (self.sequence_is_time, &self.time_metadata) {
            (true, Some(_)) => {
                return Err("`sequence_is_time` and `time_metadata` both say when it was sealed".to_owned());
            }
            (true, None) => TimeSource::Sequence,
            (false, Some(key)) => TimeSource::Metadata(key.clone()),
            (false, None) if self.max_age.is_some() => {
                return Err(
                    "`max_age` needs to know when the stream was sealed, which the format does not say: \
                            `sequence_is_time = true`, or `time_metadata`"
                        .to_owned(),
                );
            }
            (false, None) => TimeSource::Unknown,
        };
        Ok(AgeRule { max: self.max_age.map(|age| age.0), time })
    }

    fn mode(&self, directory: &Path, scratch: Option<&Path>) -> Result<Mode, String> {
        let only = |is_given: bool, field: &str, mode: &str| match is_given {
            true => Err(format!("`{field}` is for mode \"{mode}\"")),
            false => Ok(()),
        };
        if self.mode != ModeName::Restore {
            only(self.check.is_some(), "check", "restore")?;
            only(self.ignore_room.is_some(), "ignore_room", "restore")?;
        }
        only(
            self.check.is_none() && self.check_timeout.is_some(),
            "check_timeout",
            "restore` with a `check",
        )?;
        only(self.mode != ModeName::Sample && self.sample.is_some(), "sample", "sample")?;
        Ok(match self.mode {
            ModeName::Restore => {
                let check =
                    self.check.as_deref().map(|argv| self.check_command(argv, directory)).transpose()?;
                let scratch =
                    scratch.ok_or("a stream is restored into `scratch`, which the file does not name")?;
                let ignore_room = self.ignore_room.unwrap_or(false);
                Mode::Restore { scratch: scratch.to_owned(), check, ignore_room }
            }
            ModeName::Verify => Mode::Verify,
            ModeName::Sample => match self.sample.unwrap_or(SAMPLE_DEFAULT) {
                segments @ 1..=SAMPLE_MAX => Mode::Sample { segments },
                _ => return Err(format!("a sample has 1 to {SAMPLE_MAX} segments")),
            },
        })
    }

    fn check_command(&self, argv: &[String], directory: &Path) -> Result<CheckCommand, String> {
        argv.iter().for_each(|argument| secrets::note(argument));
        let program = argv.first().filter(|program| !program.is_empty()).ok_or("`check` names no program")?;
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err("`check` has a zero byte in it".to_owned());
        }
        let program = match program.contains('/') {
            true => absolute(&directory.join(program))?,
            false => PathBuf::from(program),
        };
        let timeout = self.check_timeout.map_or(TIMEOUT_DEFAULT, |timeout| timeout.0);
        Ok(CheckCommand { argv: argv.to_vec(), program, timeout })
    }
}

/// It is run in another directory.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", Name::from(path)))
}

fn sealed(field: &str, text: &str, directory: &Path) -> Result<Sealed, String> {
    match Sealed::parse(text.into())? {
        Sealed::Here(End::Path(path)) => Ok(Sealed::Here(End::Path(directory.join(path)))),
        Sealed::Here(End::Standard) => Err(format!("`{field}` is a file or a URL: a drill is repeated")),
        there => Ok(there),
    }
}

/// What a stream is called, on one line.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct StreamName(String);

impl TryFrom<String> for StreamName {
    type Error = String;

    fn try_from(text: String) -> Result<StreamName, String> {
        match text.is_empty() || text.len() > NAME_LEN_MAX || crate::printable::line(&text) != text {
            true => Err(format!("a name has 1 to {NAME_LEN_MAX} bytes, all of which can be seen")),
            false => Ok(StreamName(text)),
        }
    }
}

/// A length of time.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Age(Duration);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Age, String> {
        parse_duration("a length of time", &text).map(Age)
    }
}

/// Permissions, as `chmod` takes them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct FileMode(u32);

impl TryFrom<String> for FileMode {
    type Error = String;

    fn try_from(text: String) -> Result<FileMode, String> {
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or("a mode is three octal digits, as in \"640\"")?;
        match mode & 0o022 {
            0 => Ok(FileMode(mode)),
            _ => Err("evidence that others can write is none: a mode like \"640\"".to_owned()),
        }
    }
}

/// As `seal` prints it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Digest(StreamDigest);

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Digest, String> {
        parse_digest(&text).map(Digest)
    }
}

/// Bytes of the file at most.
const LEN_MAX: u64 = 1 << 20;
const NAME_LEN_MAX: usize = 128;
const OWNER_ALONE: u32 = 0o600;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// Segments of a sample.
const SAMPLE_DEFAULT: u64 = 16;
const SAMPLE_MAX: u64 = 4096;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::super::EXAMPLE;
    use super::*;

    fn read(text: &str) -> Result<DrillFile, Failure> {
        parse(text, Path::new("/etc/drills"), Name::from(Path::new("d.toml")), String::new())
    }

    fn refusal(text: &str) -> String {
        read(text).err().map(|failure| failure.message).unwrap_or_default()
    }

    #[test]
    fn the_example_is_a_file_of_a_drill_and_all_that_it_leaves_out_is_known() {
        let file = read(EXAMPLE).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(file.streams.len(), 2);
        assert_eq!(file.scratch.as_deref(), Some(Path::new("/var/tmp")));
        assert_eq!(file.evidence.as_deref(), Some(Path::new("/etc/drills/drill.json")));
        for line in EXAMPLE.lines().filter_map(|line| line.strip_prefix('#')) {
            let Some((key, _)) = line.split_once(" = ") else { continue };
            let is_known = |head: &str| {
                let said = refusal(&format!("{head}{}", line.replace("3f…", &"3f".repeat(32))));
                !said.contains("unknown field")
            };
            let stream = "[[stream]]\nname = \"n\"\nsealed = \"s\"\nmode = \"verify\"\n";
            assert!(is_known("") || is_known(stream), "{key}");
        }
    }

    #[test]
    fn what_the_file_says_wrongly_is_named_with_its_line() {
        let stream =
            |rest: &str| format!("scratch = \"s\"\n\n[[stream]]\nname = \"a\"\nsealed = \"a.cfd\"\n{rest}\n");
        let keyed = |rest: &str| stream(&format!("identity = [\"k\"]\n{rest}"));
        for (text, line, words) in [
            (keyed("mode = \"restore\"\nchek = []"), 8, "unknown field `chek`"),
            ("scratsh = \"s\"".to_owned(), 1, "unknown field `scratsh`"),
            (keyed("mode = \"guess\""), 7, "unknown variant `guess`"),
            (keyed("mode = \"verify\"\nmax_age = \"1w\""), 8, "a length of time is"),
            (keyed("mode = \"verify\"\nmax_age = 5"), 8, "expected a string"),
            (keyed("mode = \"verify\"\nexpect_digest = \"3f\""), 8, ""),
            (keyed("mode = \"verify\"\nmin_sequence = -1"), 8, ""),
            (keyed("mode = \"verify\"\nmax_age = \"1d\""), 3, "`max_age` needs to know"),
            (keyed("mode = \"verify\"\nsequence_is_time = true\ntime_metadata = \"t\""), 3, "both say when"),
            (keyed("mode = \"verify\"\ncheck = [\"true\"]"), 3, "`check` is for mode \"restore\""),
            (keyed("mode = \"restore\"\nsample = 5"), 3, "`sample` is for mode \"sample\""),
            (keyed("mode = \"sample\"\nsample = 0"), 3, "1 to 4096 segments"),
            (keyed("mode = \"restore\"\ncheck = []"), 3, "names no program"),
            (keyed("mode = \"restore\"\ncheck_timeout = \"5m\""), 3, "`check_timeout` is for"),
            (stream("mode = \"restore\""), 3, "`identity` is missing"),
            (stream("mode = \"verify\"\nmin_sequence = 5"), 3, "`identity` is missing"),
            (
                keyed("mode = \"verify\"") + &keyed("mode = \"verify\"").replace("scratch", "#"),
                10,
                "has this name",
            ),
            (keyed("mode = \"verify\"").replace("\"a\"", "\"a\\n\""), 4, "all of which can be seen"),
            (keyed("mode = \"verify\"").replace("a.cfd", "-"), 3, "a drill is repeated"),
            (keyed("mode = \"verify\"").replace("\"k\"", "\"-\""), 3, "nothing from standard input"),
            (keyed("mode = \"restore\"").replace("scratch", "#"), 3, "does not name"),
            ("scratch = \"s\"\nevidence_mode = \"9\"".to_owned(), 2, "octal"),
            ("scratch = \"s\"\nevidence_mode = \"660\"".to_owned(), 2, "others can write"),
            ("scratch = \"s\"".to_owned(), 1, "no [[stream]]"),
            ("scratch = \"s".to_owned(), 1, ""),
        ] {
            let said = refusal(&text);
            assert!(said.starts_with(&format!("d.toml, line {line}: ")), "{text}: {said}");
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_programs_are_looked_for() {
        let file = |check: &str| {
            let text = format!(
                "scratch = \"s\"\n[[stream]]\nname = \"a\"\nsealed = \"a.cfd\"\nidentity = [\"k\"]\nmode = \"restore\"\ncheck = [\"{check}\"]"
            );
            read(&text).unwrap_or_else(|failure| panic!("{}", failure.message))
        };
        let file_of = |check: &str| match file(check).streams.remove(0).mode {
            Mode::Restore { check: Some(check), .. } => check.program,
            _ => panic!("no check"),
        };
        assert_eq!(file("true").scratch.as_deref(), Some(Path::new("/etc/drills/s")));
        assert_eq!(file("true").streams[0].sealed.to_string(), "/etc/drills/a.cfd");
        assert_eq!(file_of("true"), Path::new("true"));
        assert_eq!(file_of("checks/db.sh"), Path::new("/etc/drills/checks/db.sh"));
        assert_eq!(file_of("/bin/true"), Path::new("/bin/true"));
    }
}

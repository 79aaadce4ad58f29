//! `--key-command` and `--identity-command`: keys that programs of the operator's wrap, unwrap or print.
//! It knows what is asked of them; how a program is run is `program`'s.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::engine::GeneralPurpose;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use cofferdam::{CancelToken, ErrorKind, ExternalKey, Identities, Recipients, StreamKey, Zeroizing};

use crate::failure::Failure;
use crate::program::{Call, INPUT_LEN_MAX, Limits, Problem, Program, TIMEOUT};
use crate::terminal::Terminal;
use crate::text::hex;
use crate::timeout::parse_timeout;

/// How programs are run that keys come from.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Programs that keys come from")]
pub(crate) struct ProgramArgs {
    /// How long such a program has for one answer: 90s, 10m, … [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    command_timeout: Option<Duration>,

    /// Let such a program have the variable NAME of the environment; may be given more than once
    ///
    /// It has PATH, HOME, USER, LOGNAME, LANG, LC_…, TZ, TMPDIR, XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS, GNUPGHOME, GPG_TTY and
    /// CREDENTIALS_DIRECTORY, and no other: what a service needs (VAULT_ADDR, AWS_PROFILE) is named here.
    #[arg(long, value_name = "NAME", value_parser = parse_variable)]
    command_env: Vec<String>,
}

impl ProgramArgs {
    /// One of the options, if any is given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let variable = (!self.command_env.is_empty()).then_some("--command-env");
        self.command_timeout.map(|_| "--command-timeout").or(variable)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { timeout: self.command_timeout.unwrap_or(TIMEOUT), variables: self.command_env.clone() }
    }
}

/// A program that wraps and unwraps the keys of streams, and the name under which streams have them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyCommand {
    name: String,
    program: Program,
}

impl KeyCommand {
    /// `NAME=PROGRAM`.
    pub(crate) fn parse(text: &str) -> Result<KeyCommand, String> {
        let (name, program) = text.split_once('=').ok_or("a key command is NAME=PROGRAM")?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(
                "the name before the = is what the stream calls the key, as in kms=/opt/kms-wrap".to_owned()
            );
        }
        Ok(KeyCommand { name: name.to_owned(), program: Program::parse(program)? })
    }

    /// Adds those who answer to what opens streams.
    pub(crate) fn opening(
        commands: &[KeyCommand],
        identities: Identities,
        limits: &Limits,
        cancel: &CancelToken,
    ) -> Result<Identities, Failure> {
        refuse_twice(commands)?;
        let add = |identities: Identities, command: &KeyCommand| {
            let service = Service::new(command, limits, cancel);
            let by = command.program.to_string();
            identities
                .external_by(by, [&command.name], move |key, ciphertext| service.unwrap(key, ciphertext))
        };
        Ok(commands.iter().fold(identities, add))
    }

    /// Adds them to those who can open a stream.
    pub(crate) fn sealing(
        commands: &[KeyCommand],
        recipients: Recipients,
        limits: &Limits,
        cancel: &CancelToken,
    ) -> Result<Recipients, Failure> {
        refuse_twice(commands)?;
        let add = |recipients: Recipients, command: &KeyCommand| {
            let service = Service::new(command, limits, cancel);
            recipients.external_with(&command.name, move |key, stream_key| service.wrap(key, stream_key))
        };
        Ok(commands.iter().try_fold(recipients, add)?)
    }
}

/// Adds the identities that `program` prints, as a file has them.
pub(crate) fn with_printed_identities(
    program: &Program,
    identities: Identities,
    limits: &Limits,
    cancel: &CancelToken,
) -> Result<Identities, Failure> {
    let variables = [("COFFERDAM_PURPOSE", "identities")];
    let output_len_max = IDENTITIES_LEN_MAX;
    let call = Call { program, input: &[], variables: &variables, output_len_max, limits, cancel };
    let printed = call.run().map_err(|problem| match problem {
        Problem::Interrupted => Failure::interrupted(),
        Problem::Failed(what) | Problem::TimedOut(what) => {
            let what = match names_identity(&what) {
                true => format!("{program} failed, and said an identity to standard error"),
                false => what,
            };
            Failure::new(ErrorKind::Io, format!("the identity command {what}"))
        }
    })?;
    identities
        .identity_file_with(printed.as_slice(), Terminal)
        .map_err(|error| Failure::keys(format!("what {program} has printed"), error))
}

/// What is behind one name.
struct Service {
    program: Program,
    limits: Limits,
    cancel: CancelToken,
    asked: Mutex<Asked>,
}

/// What is not asked again in this run: a stream can have 16 keys of one name, each of them in both copies, and a list that is looked at
/// before it is changed is opened twice. There are as many as the streams of a run have.
#[derive(Default)]
struct Asked {
    /// It gave no answer in time, whatever it was asked.
    timed_out: bool,
    /// The wrapped keys with the streams that they are of, and what it has unwrapped them to; of those that it did not unwrap none.
    /// Another one of its name may be one that it unwraps.
    answers: HashMap<([u8; 16], Vec<u8>), Option<StreamKey>>,
}

type Refusal = Box<dyn StdError + Send + Sync>;

impl Service {
    fn new(command: &KeyCommand, limits: &Limits, cancel: &CancelToken) -> Arc<Service> {
        Arc::new(Service {
            program: command.program.clone(),
            limits: limits.clone(),
            cancel: cancel.clone(),
            asked: Mutex::default(),
        })
    }

    fn wrap(&self, key: ExternalKey<'_>, stream_key: &StreamKey) -> Result<Vec<u8>, Refusal> {
        let wrapped = self.ask("wrap", key, stream_key.expose(), WRAPPED_LEN_MAX).map_err(|refusal| {
            match tells(&refusal.to_string(), stream_key) {
                true => format!("{} failed, and said the key to standard error", self.program).into(),
                false => refusal,
            }
        })?;
        if wrapped.is_empty() {
            return Err(
                format!("{} printed nothing: the wrapped key goes to standard output", self.program).into()
            );
        }
        if shows(&wrapped, stream_key) {
            return Err(
                format!("{} printed the key as it was given it: that is no wrapping", self.program).into()
            );
        }
        Ok(wrapped.to_vec())
    }

    fn unwrap(&self, key: ExternalKey<'_>, ciphertext: &[u8]) -> Result<StreamKey, Refusal> {
        if ciphertext.len() > WRAPPED_LEN_MAX {
            let len = ciphertext.len();
            return Err(format!(
                "the wrapped key has {len} bytes, at most {WRAPPED_LEN_MAX} go to a program"
            )
            .into());
        }
        let asked = (key.stream_id, ciphertext.to_vec());
        {
            let before = self.asked();
            match before.answers.get(&asked) {
                Some(Some(key)) => return Ok(StreamKey::from_bytes(*key.expose())),
                Some(None) => return Err(self.has_failed()),
                None if before.timed_out => return Err(self.has_failed()),
                None => {}
            }
        }
        let found = self.ask("unwrap", key, ciphertext, STREAM_KEY_LEN).and_then(|found| {
            StreamKey::copy_from(&found).ok_or_else(|| {
                format!("{} printed {} bytes, and a key has 32", self.program, found.len()).into()
            })
        });
        let answer = found.as_ref().ok().map(|key| StreamKey::from_bytes(*key.expose()));
        self.asked().answers.insert(asked, answer);
        found
    }

    fn has_failed(&self) -> Refusal {
        format!("{} is not asked again, having failed", self.program).into()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        purpose: &str,
        key: ExternalKey<'_>,
        input: &[u8],
        output_len_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let stream_id = hex(&key.stream_id);
        let variables = [
            ("COFFERDAM_PURPOSE", purpose),
            ("COFFERDAM_STREAM_ID", &stream_id),
            ("COFFERDAM_KEY_NAME", key.name),
        ];
        let Service { program, limits, cancel, .. } = self;
        let call = Call { program, input, variables: &variables, output_len_max, limits, cancel };
        call.run().map_err(|problem| match problem {
            Problem::Interrupted => "interrupted".into(),
            Problem::Failed(what) => what.into(),
            Problem::TimedOut(what) => {
                self.asked().timed_out = true;
                what.into()
            }
        })
    }
}

/// Whether what was printed has the key in it, as it is, in hexadecimal digits or in base64: a program that is none for this, `cat` say.
fn shows(printed: &[u8], key: &StreamKey) -> bool {
    let digits = Zeroizing::new(hex(key.expose()));
    let lower = Zeroizing::new(printed.to_ascii_lowercase());
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
    let is_base64 =
        |alphabet: &GeneralPurpose| has(printed, Zeroizing::new(alphabet.encode(key.expose())).as_bytes());
    has(printed, key.expose())
        || has(&lower, digits.as_bytes())
        || is_base64(&BASE64_STANDARD_NO_PAD)
        || is_base64(&BASE64_URL_SAFE_NO_PAD)
}

/// Whether words have the key in them, as a dump of its bytes, say: in digits, a few at least together, with whatever between them.
fn tells(words: &str, key: &StreamKey) -> bool {
    let only = |keep: fn(&u8) -> bool| {
        Zeroizing::new(words.bytes().filter(keep).map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>())
    };
    let digits = only(u8::is_ascii_hexdigit);
    let decimals = only(u8::is_ascii_digit);
    let has = |digits: &[u8], part: &str| digits.windows(part.len()).any(|window| window == part.as_bytes());
    // A dump has offsets and text between its lines: what stands together on one shows it.
    let is_dumped = key.expose().windows(TOLD_LEN).any(|bytes| {
        // `od -x` has each pair of bytes as a number.
        let swapped: Vec<u8> = bytes.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect();
        let decimal = Zeroizing::new(bytes.iter().map(u8::to_string).collect::<String>());
        has(&digits, &Zeroizing::new(hex(bytes)))
            || has(&digits, &Zeroizing::new(hex(&swapped)))
            || has(&decimals, &decimal)
    });
    let joined = Zeroizing::new(words.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>());
    is_dumped || shows(&joined, key)
}

/// Whether words have an identity in them, as age or SSH writes one down.
fn names_identity(words: &str) -> bool {
    let upper = Zeroizing::new(words.to_ascii_uppercase());
    ["AGE-SECRET-KEY-", "AGE-PLUGIN-", "PRIVATE KEY"].iter().any(|begin| upper.contains(begin))
}

fn refuse_twice(commands: &[KeyCommand]) -> Result<(), Failure> {
    let twice = commands
        .iter()
        .enumerate()
        .find(|(index, command)| commands[..*index].iter().any(|earlier| earlier.name == command.name));
    twice.map_or(Ok(()), |(_, command)| {
        Err(Failure::usage(format!("two key commands are called {}", command.name))
            .advise("The name says which of them opens a stream: give each its own."))
    })
}

fn parse_variable(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains('=') {
        true => Err("it is the name of a variable, whose value is taken as it is".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Bytes of a stream's key.
const STREAM_KEY_LEN: usize = 32;
/// Bytes of a key that are taken for it where they stand together: by chance they do not.
const TOLD_LEN: usize = 6;
/// The most bytes that a program may make of a key.
const WRAPPED_LEN_MAX: usize = 4096;
/// The most that it may print of identities: as much as a file of them may have.
const IDENTITIES_LEN_MAX: usize = 256 * 1024;

const _: () = assert!(WRAPPED_LEN_MAX <= INPUT_LEN_MAX);

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn a_key_command_has_a_name_and_a_program() {
        let command = KeyCommand::parse("kms/eu=/opt/kms key=1").unwrap();
        assert_eq!(
            (command.name.as_str(), &command.program),
            ("kms/eu", &Program::parse("/opt/kms key=1").unwrap())
        );
        for text in ["", "kms", "=x", "kms=", "k\n=x", "kms='x y'"] {
            assert!(KeyCommand::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_was_not_wrapped_is_seen() {
        let key = StreamKey::from_bytes(std::array::from_fn(|at| at as u8 ^ 0xA5));
        let digits = hex(key.expose());
        for shown in [
            key.expose().to_vec(),
            [b"before".as_slice(), key.expose(), b"after"].concat(),
            digits.clone().into_bytes(),
            format!("key: {}\n", digits.to_uppercase()).into_bytes(),
            // As `base64` and Python's `urlsafe_b64encode` print them.
            b"paSnpqGgo6KtrK+uqairqrW0t7axsLOyvby/vrm4u7o=\n".to_vec(),
            b"{\"key\":\"paSnpqGgo6KtrK-uqairqrW0t7axsLOyvby_vrm4u7o\"}".to_vec(),
        ] {
            assert!(shows(&shown, &key));
        }
        let spaced: Vec<_> = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(tells(&format!("kms ended with 1: {}", spaced.join(" / ")), &key));
        // As `xxd`, `hexdump -C`, `od -x` and `od -An -tu1` of Debian 12 print its first 16 bytes.
        for dumped in [
            "00000000: a5a4 a7a6 a1a0 a3a2 adac afae a9a8 abaa  ................",
            "00000000  a5 a4 a7 a6 a1 a0 a3 a2  ad ac af ae a9 a8 ab aa  |................|",
            "0000000 a4a5 a6a7 a0a1 a2a3 acad aeaf a8a9 aaab",
            " 165 164 167 166 161 160 163 162 173 172 175 174 169 168 171 170",
        ] {
            assert!(tells(dumped, &key), "{dumped}");
        }
        assert!(!tells("kms ended with 1: no such alias", &key));
        assert!(!tells("request 6f1d2c3b4a59687f-165164: denied at 2026-11-30T12:00:00.165164167Z", &key));
    }

    #[test]
    fn an_identity_that_was_said_is_seen() {
        for words in [
            "kms ended with exit code 1: AGE-SECRET-KEY-1QQQ",
            "x: age-secret-key-pq-1qqq",
            "x: AGE-PLUGIN-YUBIKEY-1QQQ",
            "x: -----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(names_identity(words), "{words}");
        }
        assert!(!names_identity("kms ended with exit code 1: no key of that name"));
    }

    #[test]
    fn a_wrapped_key_is_none_that_is_seen() {
        let key = StreamKey::from_bytes(std::array::from_fn(|at| at as u8 ^ 0xA5));
        let digits = hex(key.expose());
        for wrapped in [&b""[..], &[7; 80], &key.expose()[1..], &digits.as_bytes()[1..]] {
            assert!(!shows(wrapped, &key));
        }
    }
}

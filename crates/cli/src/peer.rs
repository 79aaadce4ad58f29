//! The other end of a connection: where it is, how the way there is protected, and what a failure leaves there.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use cofferdam::peer::{Address, AddressError, PeerError, PeerSink, Security};
use cofferdam::{IfExists, StreamingSink as _, is_pipe};

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::io_arg::{End, NO_NAME, is_cut_off};
use crate::key_args::preshared_key;
use crate::key_file::KeyFile;
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::Channel;
use crate::sealed;
use crate::timeout::Timeout;
use crate::url::Url;

/// Options that protect the way between sender and receiver. Both ends give the same.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "The way to a receiver (the same at both ends)")]
pub(crate) struct Protection {
    /// A key file that both ends hold, as `keygen --key-file` makes it, or - for standard input: whoever has it is let in, and
    /// the way is encrypted
    ///
    /// It may be left out where both ends are on this machine: a Unix socket, or the loopback interface. credential:NAME is a file that
    /// systemd gives to a service.
    #[arg(long, value_name = "FILE")]
    peer_key: Option<KeyPlace>,

    /// Go over a network without a key: anybody on the way can read and change the plaintext
    #[arg(long, conflicts_with = "peer_key")]
    insecure_plaintext: bool,
}

impl Protection {
    /// Notes the file that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        files.reads_all(&self.key_file())
    }

    pub(crate) fn security(&self) -> Result<Security, Failure> {
        match self.key_file() {
            Some(file) => Ok(Security::Key(preshared_key(&file)?)),
            None if self.insecure_plaintext => Ok(Security::PlaintextAnywhere),
            None => Ok(Security::PlaintextOnThisMachine),
        }
    }

    /// Greets the receiver at `address`; with `restart`, what it keeps of an earlier stream is discarded first.
    pub(crate) fn connect(&self, address: &Address, restart: bool) -> Result<PeerSink, Failure> {
        // Read once: it may be a descriptor that gives its bytes once.
        let security = self.security()?;
        let greet = || {
            PeerSink::connect(address, security.clone()).map_err(|error| {
                let peer = error.get_ref().and_then(|inner| inner.downcast_ref());
                let is_reached = peer.is_some_and(|peer| !matches!(peer, PeerError::Unreachable { .. }));
                let what = if is_reached { "did not take the connection" } else { "could not be reached" };
                let advice = peer.and_then(protection_advice);
                let failure = Failure::io(format!("the receiver at {address} {what}"), error);
                advice.into_iter().fold(failure, Failure::advise)
            })
        };
        let mut sink = greet()?;
        if !restart {
            return Ok(sink);
        }
        sink.discard().map_err(|error| Failure::io("the receiver could not discard what it keeps", error))?;
        greet()
    }

    fn key_file(&self) -> Option<KeyFile> {
        KeyFile::all("--peer-key", &self.peer_key).pop()
    }

    /// One of the options, if any is given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let key = self.peer_key.as_ref().map(|_| "--peer-key");
        key.or(self.insecure_plaintext.then_some("--insecure-plaintext"))
    }
}

/// What helps where the two ends do not agree on a key, in the words of the command line.
pub(crate) fn protection_advice(error: &PeerError) -> Option<&'static str> {
    match error {
        PeerError::KeyRefused | PeerError::KeyOnOneSide => {
            Some("Give --peer-key with the same key file at both ends.")
        }
        PeerError::PlaintextRefused => {
            Some("Give --peer-key with the same key file at both ends, or --insecure-plaintext at both.")
        }
        PeerError::Unreachable { .. } => Some(
            "Is `cofferdam receive` running there, at this address? It ends once its target is in place.",
        ),
        _ => None,
    }
}

/// Where a restore goes.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// To a path, or to standard output.
    Here(End),
    /// To a receiver.
    Receiver(Address),
    /// To an object in a store.
    There(Url),
}

impl Goal {
    /// A store is waited for so long.
    pub(crate) fn set_timeout(&mut self, timeout: Timeout) {
        if let Goal::There(url) = self {
            url.set_timeout(timeout);
        }
    }

    /// An argument that looks like an address is one, or is refused: in its place there would be a file of that name, on
    /// the wrong machine. A file of such a name is `./unix:…`.
    pub(crate) fn parse(argument: OsString) -> Result<Goal, String> {
        if sealed::looks_like_a_url(&argument) && !is_receivers(&argument) {
            return Url::parse_target(&argument).map(Goal::There);
        }
        if !looks_like_an_address(&argument) {
            return match names_a_port(&argument) {
                true => Err(format!("a receiver is written tcp://HOST:PORT ({A_FILE})")),
                false => Ok(Goal::Here(End::parse(argument)?)),
            };
        }
        let address = argument.to_str().ok_or("an address is text in UTF-8")?.parse();
        match address.map_err(|problem: AddressError| format!("{problem} ({A_FILE})"))? {
            Address::Tcp(host_and_port) if host_and_port.ends_with(":0") => {
                Err("no valid port: 0 is for `receive --listen`, which prints the port that it got"
                    .to_owned())
            }
            address => Ok(Goal::Receiver(address)),
        }
    }

    /// As [`Goal::parse`], where there is no receiver.
    pub(crate) fn parse_output(argument: OsString) -> Result<Goal, String> {
        match sealed::looks_like_a_url(&argument) && !is_receivers(&argument) {
            true => Goal::parse(argument),
            false => parse_here(argument).map(Goal::Here),
        }
    }

    /// Refuses options that say nothing of this goal.
    pub(crate) fn refuse_options(&self, protection: &Protection, force: bool) -> Result<(), Failure> {
        match self {
            Goal::Here(_) | Goal::There(_) if protection.first_given().is_some() => {
                Err(Failure::usage("--peer-key and --insecure-plaintext are for a receiver")
                    .advise("A receiver is tcp://HOST:PORT or unix:PATH."))
            }
            Goal::Receiver(_) if force => Err(Failure::usage("--force is for a target on this machine")
                .advise("Give it to `cofferdam receive`, which has the target.")),
            Goal::Here(_) | Goal::Receiver(_) | Goal::There(_) => Ok(()),
        }
    }

    pub(crate) fn refuse_terminal(&self, what: &str, if_exists: IfExists) -> Result<(), Failure> {
        match self {
            Goal::Here(end) => end.refuse_terminal(what, if_exists),
            Goal::Receiver(_) | Goal::There(_) => Ok(()),
        }
    }

    /// As an output; see [`End::as_output`].
    pub(crate) fn as_output(&self) -> Goal {
        match self {
            Goal::Here(end) => Goal::Here(end.as_output()),
            Goal::Receiver(_) | Goal::There(_) => self.clone(),
        }
    }

    /// The file's name, where it is one on this machine.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Goal::Here(End::Path(path)) => Some(path),
            Goal::Here(End::Standard) | Goal::Receiver(_) | Goal::There(_) => None,
        }
    }

    /// Whether others may see a segment there before the stream's end.
    pub(crate) fn shows_at_once(&self) -> bool {
        match self {
            Goal::Here(End::Standard) | Goal::Receiver(_) => true,
            Goal::Here(End::Path(path)) => is_pipe(path),
            Goal::There(_) => false,
        }
    }

    /// Notes the file that will be staged. What a receiver has, it looks after itself.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        match self {
            Goal::Here(end) => files.stages("the output", end),
            Goal::Receiver(_) | Goal::There(_) => Ok(()),
        }
    }

    /// Adds to a failure what it means for this goal, which the command calls a `noun`.
    pub(crate) fn explain(&self, error: cofferdam::Error, noun: &str) -> Failure {
        match self {
            Goal::Here(end) => end.explain(error, noun),
            Goal::There(url) if is_cut_off(error.kind()) => {
                Failure::from(error).advise_also(match url.uploads_prefix() {
                    Some(_) => {
                        "The object is as it was, and what was sent has been given up, unless a warning says that it could not be."
                    }
                    None => "The object is as it was. What was sent is seen by nobody, and expires within a week.",
                })
            }
            Goal::There(_) => error.into(),
            Goal::Receiver(_) if is_cut_off(error.kind()) => {
                Failure::from(error).advise_also(
                    "What the receiver had committed by then, if anything, it keeps: run the same command again to go on \
                     from there, or with `--restart` to begin anew.",
                )
            }
            Goal::Receiver(_) => error.into(),
        }
    }

    /// What has come about once the stream is published.
    pub(crate) fn done(&self) -> String {
        match self {
            Goal::Here(end) => end.done(),
            Goal::Receiver(address) => format!("the receiver at {address} has put its target in place"),
            Goal::There(url) => format!("{url} is in place and whole"),
        }
    }

    /// The same of what nothing proves to be whole.
    pub(crate) fn done_unproven(&self) -> String {
        match self {
            Goal::Here(end) => end.done_unproven(),
            Goal::Receiver(_) => self.done(),
            Goal::There(url) => format!("{url} is in place"),
        }
    }

    /// As records name it.
    pub(crate) fn name(&self) -> Name {
        match self {
            Goal::Here(end) => end.name(),
            Goal::Receiver(address) => address_name(address),
            Goal::There(url) => Name::from(OsStr::new(&url.to_string())),
        }
    }

    /// Where to report.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Goal::Here(end) => end.channel(),
            Goal::Receiver(_) | Goal::There(_) => Channel::Stdout,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// Where only a file can be meant: what looks like a receiver's address is refused.
pub(crate) fn parse_here<T: From<OsString>>(argument: OsString) -> Result<T, String> {
    match looks_like_an_address(&argument) {
        true => Err(format!("only `restore` goes to an address ({A_FILE})")),
        false if argument.is_empty() => Err(NO_NAME.to_owned()),
        false => Ok(argument.into()),
    }
}

/// Whether an argument is what `receive --listen` takes for an address, `HOST:PORT`.
fn names_a_port(argument: &OsStr) -> bool {
    let Some((host, port)) = argument.to_str().and_then(|text| text.rsplit_once(':')) else { return false };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte);
    !host.is_empty() && host.bytes().all(is_host) && !port.is_empty() && port.parse::<u16>().is_ok()
}

/// Whether an argument begins with a receiver's scheme.
pub(crate) fn is_receivers(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_owned());
    scheme.is_some_and(|scheme| RECEIVERS.iter().any(|ours| scheme.eq_ignore_ascii_case(ours)))
}

/// Whether an argument begins with `tcp:`, `unix:` or another scheme and `://`, in whatever case.
pub(crate) fn looks_like_an_address(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_ours = RECEIVERS.iter().any(|ours| scheme.eq_ignore_ascii_case(ours));
    is_ours || is_scheme && rest.starts_with("//")
}

/// An address as records name it.
pub(crate) fn address_name(address: &Address) -> Name {
    match address {
        Address::Tcp(_) => Name::from(OsStr::new(&address.to_string())),
        Address::Unix(path) => {
            let mut name = OsString::from("unix:");
            name.push(path);
            Name::from(name.as_os_str())
        }
    }
}

/// Where to listen: the scheme may be left out.
pub(crate) fn parse_listen(text: &str) -> Result<Address, String> {
    let address: Result<Address, AddressError> = match looks_like_an_address(OsStr::new(text)) {
        true => text.parse(),
        false => format!("tcp://{text}").parse(),
    };
    address.map_err(|problem| match problem {
        AddressError::NoScheme => "an address is HOST:PORT or unix:PATH".to_owned(),
        problem => problem.to_string(),
    })
}

/// The schemes of a receiver's address.
const RECEIVERS: [&str; 2] = ["tcp", "unix"];
const A_FILE: &str = "a file of that name is ./…";

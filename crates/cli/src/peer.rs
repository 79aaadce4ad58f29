//! The other end of a connection: where it is, how the way there is protected, and what a failure leaves there.
//! It knows no stream.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use cofferdam::peer::{Address, PeerSink, Security};
use cofferdam::{ErrorKind, Existing, StreamingSink as _};

use crate::ends::End;
use crate::failure::Failure;
use crate::interrupt::Stake;
use crate::keys_of::preshared_key;
use crate::report::Channel;

/// Options that protect the way between sender and receiver. Both ends give the same.
#[derive(clap::Args)]
#[command(next_help_heading = "The way to a receiver (the same at both ends)")]
pub(crate) struct Protection {
    /// A key file that both ends hold, as `keygen --key-file` makes it: whoever has it is let in, and the way is encrypted
    ///
    /// It may be left out where both ends are on this machine: a Unix socket, or the loopback interface.
    #[arg(long, value_name = "FILE")]
    peer_key: Option<PathBuf>,

    /// Go over a network without a key: anybody on the way can read and change the plaintext
    #[arg(long, conflicts_with = "peer_key")]
    insecure_plaintext: bool,
}

impl Protection {
    pub(crate) fn security(&self) -> Result<Security, Failure> {
        match &self.peer_key {
            Some(path) => Ok(Security::Key(preshared_key(path)?)),
            None if self.insecure_plaintext => Ok(Security::PlaintextAnywhere),
            None => Ok(Security::PlaintextOnThisMachine),
        }
    }

    /// Greets the receiver at `address`; with `restart`, what it keeps of an earlier stream is discarded first.
    pub(crate) fn connect(&self, address: &Address, restart: bool) -> Result<PeerSink, Failure> {
        let greet = || {
            PeerSink::connect(address, self.security()?).map_err(|error| {
                Failure::io(format!("the receiver at {address} could not be reached"), error)
            })
        };
        let mut sink = greet()?;
        if !restart {
            return Ok(sink);
        }
        sink.discard().map_err(|error| Failure::io("the receiver could not discard what it keeps", error))?;
        greet()
    }

    fn is_given(&self) -> bool {
        self.peer_key.is_some() || self.insecure_plaintext
    }
}

/// Where a restore goes.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// To a path, or to standard output.
    Here(End),
    /// To a receiver.
    Receiver(Address),
}

impl From<OsString> for Goal {
    /// A file whose name looks like an address is `./tcp://…`.
    fn from(argument: OsString) -> Goal {
        match argument.to_str().and_then(|text| text.parse().ok()) {
            Some(address) => Goal::Receiver(address),
            None => Goal::Here(argument.into()),
        }
    }
}

impl Goal {
    /// Refuses options that say nothing of this goal.
    pub(crate) fn refuse_options(&self, protection: &Protection, force: bool) -> Result<(), Failure> {
        match self {
            Goal::Here(_) if protection.is_given() => {
                Err(Failure::usage("--peer-key and --insecure-plaintext are for a receiver")
                    .advise("A receiver is tcp://HOST:PORT or unix:PATH."))
            }
            Goal::Receiver(_) if force => Err(Failure::usage("--force is for a target on this machine")
                .advise("Give it to `cofferdam receive`, which has the target.")),
            Goal::Here(_) | Goal::Receiver(_) => Ok(()),
        }
    }

    pub(crate) fn refuse_terminal(&self, what: &str, existing: Existing) -> Result<(), Failure> {
        match self {
            Goal::Here(end) => end.refuse_terminal(what, existing),
            Goal::Receiver(_) => Ok(()),
        }
    }

    /// What a signal finds.
    pub(crate) fn stake(&self) -> Stake {
        match self {
            Goal::Here(end) => end.stake(),
            // What has committed is safe there, and what has not is rolled back when the connection ends.
            Goal::Receiver(_) => Stake::Nothing,
        }
    }

    /// Adds to a failure what it means for this goal.
    pub(crate) fn explain(&self, error: cofferdam::Error) -> Failure {
        match self {
            Goal::Here(end) => end.explain(error),
            Goal::Receiver(_) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Io) => {
                Failure::from(error).advise_also(
                    "The receiver keeps what it had committed: run the same command again to go on from there, or with \
                     `--restart` to begin anew.",
                )
            }
            Goal::Receiver(_) => error.into(),
        }
    }

    /// Where to report.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Goal::Here(end) => end.channel(),
            Goal::Receiver(_) => Channel::Stdout,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Here(end) => end.fmt(f),
            Goal::Receiver(address) => address.fmt(f),
        }
    }
}

/// Where to listen: the scheme may be left out.
pub(crate) fn parse_listen(text: &str) -> Result<Address, String> {
    let address = text.parse().or_else(|_| format!("tcp://{text}").parse());
    address.map_err(|_| "an address is HOST:PORT or unix:PATH".to_owned())
}

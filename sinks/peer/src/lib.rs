//! The fenced peer: a stream goes over a socket to a receiver, which keeps it in a sink of its own.
//! Knows nothing of what that sink is, and no cipher of its own: a channel with a key is Noise, from a library.
//!
//! ```text
//! sender                                   receiver
//! opening, handshake            <->        the same key at both ends, or nobody goes on
//! HELLO                          ->        a new epoch, synced; an older sender is refused from here on
//!                               <-         WELCOME: the epoch, and what is there
//! RESUME                         ->        only where a checkpoint was there
//! BEGIN DATA* COMMIT             ->        the sink's own commit, if the hashes of both ends are equal
//!                               <-         COMMITTED
//! DURABLE                        ->        beside all of that, the sink's own sync
//!                               <-         DURABLE ACK
//! FINISH                         ->        publish
//!                               <-         FINISHED
//! BYE                            ->        the receiver ends
//! ```
//!
//! The bytes of the channel are in `channel.rs`, those of the messages in `message.rs`.
//!
//! # Fencing
//!
//! Each greeting gets the next epoch, which the receiver syncs before it answers. The newest sender holds the
//! receiver: an older one is refused with [`PeerError::Fenced`] at its next request, whatever it is. A sender that
//! lost its connection names the epoch that it held, and is readmitted only if no other has come since, so two
//! senders cannot keep taking the receiver from each other. A new sender finds what the older one had committed: that
//! is made durable when the older one leaves.
//!
//! # What a receiver knows
//!
//! It has no key of the stream. Checkpoints are opaque to it, and it cannot prove what its disk kept: it reports its
//! durable checkpoint, and the sender's engine authenticates it. Whoever holds the pre-shared key, or may connect
//! where there is none, can replace the stream by another.
//!
//! # Limits
//!
//! Each end uses a fixed amount of memory per connection, whatever the other says: a record is at most 64 KiB. Every
//! wait has a limit ([`Timing`]), but one: a receiver waits for a sender that has nothing to say, until another
//! sender comes. At most eight greetings are in progress at once, each with one time limit for the whole of it; when
//! another arrives, the oldest incomplete one is dropped.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod admission;
mod channel;
mod connection;
mod epoch_file;
mod error;
mod message;
mod receiver;
mod receiver_sink;
mod security;
mod sender;
mod session;
mod timing;

pub use address::{Address, AddressError};
pub use epoch_file::EpochFile;
pub use error::PeerError;
pub use receiver::{Ending, Event, ReceiveError, Receiver};
pub use receiver_sink::Published;
pub use security::{PresharedKey, Security};
pub use sender::PeerSink;
pub use timing::Timing;

//! The handshake: what a client may know, until it reads or leaves (proto.md, "Fixed newstyle negotiation").
//! Knows one export, under its name and under none.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::wire::{
    FIXED_NEWSTYLE, GREETING, NO_ZEROES, OPT_ABORT, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST,
    OPTION_MAGIC, REP_ACK, REP_ERR_INVALID, REP_ERR_UNKNOWN, REP_ERR_UNSUP, REP_INFO, REP_SERVER,
    TRANSMISSION_FLAGS, asked_name, info_block_size, info_export, option_reply, server_name,
};
use crate::Export;

/// How a handshake ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    /// The client will send requests.
    Transmission,
    /// It has what it wanted to know.
    Ended,
}

/// Answers the options of a client. It has to be quick: whoever calls this limits the time.
///
/// # Errors
/// What came is not NBD, or too much of it; the connection's own.
pub(super) async fn negotiate(export: &Export, stream: &mut UnixStream) -> io::Result<Handshake> {
    let ours = FIXED_NEWSTYLE | NO_ZEROES;
    let greeting = GREETING.map(u64::to_be_bytes).concat();
    stream.write_all(&[&greeting, &ours.to_be_bytes()[..]].concat()).await?;
    let theirs = stream.read_u32().await?;
    if theirs & !u32::from(ours) != 0 || theirs & u32::from(FIXED_NEWSTYLE) == 0 {
        return Err(no_protocol());
    }
    let has_zeroes = theirs & u32::from(NO_ZEROES) == 0;
    for _ in 0..OPTIONS_MAX {
        let (option, data) = read_option(stream).await?;
        match option {
            OPT_EXPORT_NAME if is_name(export, &data) => {
                let mut reply = [&export.len().to_be_bytes()[..], &TRANSMISSION_FLAGS.to_be_bytes()].concat();
                reply.resize(reply.len() + if has_zeroes { 124 } else { 0 }, 0);
                stream.write_all(&reply).await?;
                return Ok(Handshake::Transmission);
            }
            // This option has no reply that says no.
            OPT_EXPORT_NAME => return Ok(Handshake::Ended),
            OPT_ABORT => {
                // Whoever has said this may be gone already.
                let _ = stream.write_all(&option_reply(option, REP_ACK, &[])).await;
                return Ok(Handshake::Ended);
            }
            _ => {
                let (reply, is_granted) = answer(export, option, &data);
                stream.write_all(&reply).await?;
                if option == OPT_GO && is_granted {
                    return Ok(Handshake::Transmission);
                }
            }
        }
    }
    Err(no_protocol())
}

/// The replies to `option`, and whether they grant it.
fn answer(export: &Export, option: u32, data: &[u8]) -> (Vec<u8>, bool) {
    let refused = |kind, why: &str| (option_reply(option, kind, why.as_bytes()), false);
    let granted = |replies: &[(u32, Vec<u8>)]| {
        let replies = replies.iter().map(|(kind, data)| option_reply(option, *kind, data));
        (replies.chain([option_reply(option, REP_ACK, &[])]).collect::<Vec<_>>().concat(), true)
    };
    match option {
        OPT_LIST if data.is_empty() => granted(&[(REP_SERVER, server_name(export.name()))]),
        OPT_LIST => refused(REP_ERR_INVALID, "a list is asked for without data"),
        OPT_INFO | OPT_GO => match asked_name(data) {
            None => refused(REP_ERR_INVALID, "the question is not as long as it says"),
            Some(name) if !is_name(export, name) => {
                refused(REP_ERR_UNKNOWN, "there is no export of this name")
            }
            Some(_) => granted(&[
                (REP_INFO, info_export(export.len())),
                (REP_INFO, info_block_size(export.preferred_len)),
            ]),
        },
        _ => refused(REP_ERR_UNSUP, "this option is not supported"),
    }
}

async fn read_option(stream: &mut UnixStream) -> io::Result<(u32, Vec<u8>)> {
    if stream.read_u64().await? != OPTION_MAGIC {
        return Err(no_protocol());
    }
    let option = stream.read_u32().await?;
    let len = stream.read_u32().await?;
    if len > OPTION_LEN_MAX {
        return Err(no_protocol());
    }
    let mut data = vec![0; len as usize];
    stream.read_exact(&mut data).await?;
    Ok((option, data))
}

/// The export's own name, or none, which means the default one.
fn is_name(export: &Export, name: &[u8]) -> bool {
    name.is_empty() || name == export.name().as_bytes()
}

fn no_protocol() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the client does not speak this protocol")
}

/// Clients ask for some, each once.
const OPTIONS_MAX: usize = 64;
/// A name may have 4 KiB, and there are a few questions behind it.
const OPTION_LEN_MAX: u32 = 8 << 10;

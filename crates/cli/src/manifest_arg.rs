//! `--manifest`: the input is no sealed stream, and names several. How a manifest is read, and where it says that they are.
//! It judges no signature; the library does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cofferdam::shards::{MANIFEST_LEN_MAX, Shard};
use cofferdam::{CancelToken, ErrorKind, Source, descriptor_named, open_descriptor};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::report::Report;
use crate::sealed::Sealed;
use crate::small_source::read_up_to;
use crate::timeout::Timeout;
use crate::whole_file::{Links, open_regular};

/// Whether the input is a manifest.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct ManifestArg {
    /// SEALED is a manifest that `cofferdam manifest` has made: it names the streams that are one snapshot
    ///
    /// It has to be signed by a key of --signed-by, whatever the streams are: each then is the one of the digest that the manifest says.
    #[arg(long, requires = "signed_by", conflicts_with = "expect_digest")]
    pub(crate) manifest: bool,
}

/// Reads the manifest at `place`, all of it.
pub(crate) fn read(place: &Sealed, cancel: &CancelToken, report: Report) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::io(format!("the manifest {place} could not be read"), error);
    let content = match place {
        Sealed::There(url) => url.read_small(MANIFEST_LEN_MAX, cancel, report)?,
        Sealed::Here(End::Path(path)) if descriptor_named(path).is_none() => {
            match open_regular(path, Links::Followed) {
                Ok(file) => {
                    let source = open_descriptor(file.into()).map_err(failed)?;
                    Some(read_up_to(source, MANIFEST_LEN_MAX, cancel).map_err(failed)?)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed(error)),
            }
        }
        Sealed::Here(_) => {
            Some(read_up_to(place.source(cancel, report)?, MANIFEST_LEN_MAX, cancel).map_err(failed)?)
        }
    };
    if content.as_ref().is_some_and(|content| content.len() > MANIFEST_LEN_MAX) {
        let what = format!("the manifest {place} is longer than {MANIFEST_LEN_MAX} bytes");
        return Err(
            Failure::new(ErrorKind::Limit, what).advise("Name one that `cofferdam manifest` has made.")
        );
    }
    content.ok_or_else(|| {
        Failure::new(ErrorKind::Io, format!("there is no manifest {place}"))
            .advise("Name the file, or the URL, of one that `cofferdam manifest` has made.")
    })
}

/// Where a shard's stream is. What the manifest at `place` says relatively is beside it.
pub(crate) fn stream_of(shard: &Shard, place: &Sealed, timeout: Timeout) -> Result<Sealed, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("where the stream of the shard {} is: {why}", shard.name))
            .advise("Make a manifest that says it otherwise.")
    };
    let mut stream = Sealed::parse(shard.source.clone()).map_err(|why| refused(&why))?;
    match &stream {
        Sealed::Here(End::Standard) => return Err(refused(&"a manifest names no pipe")),
        Sealed::Here(End::Path(path)) if descriptor_named(path).is_some() => {
            return Err(refused(&"a manifest names no file that this process happens to have open"));
        }
        _ => {}
    }
    if let Sealed::Here(End::Path(path)) = &stream
        && path.is_relative()
    {
        stream = match place {
            Sealed::Here(End::Path(manifest)) => Sealed::Here(End::Path(beside(manifest, path))),
            Sealed::Here(End::Standard) => return Err(refused(&"nothing is beside standard input")),
            Sealed::There(url) => {
                let shown = url.to_string();
                let end = shown.rfind('/').filter(|_| !shown.contains(['?', '#']));
                let name = path.strip_prefix(".").unwrap_or(path);
                let name = name.to_str().filter(|name| !name.contains(['?', '#', '%']));
                let (Some(end), Some(name)) = (end, name) else {
                    return Err(refused(&format_args!("nothing is beside {shown}")));
                };
                Sealed::parse(format!("{}{name}", &shown[..=end]).into()).map_err(|why| refused(&why))?
            }
        };
    }
    stream.set_timeout(timeout);
    Ok(stream)
}

/// Opens a shard's stream. What is no file is refused, and not waited for: a manifest names no pipe, and a FIFO may have come to a name in it.
pub(crate) fn open_stream(
    stream: &Sealed,
    cancel: &CancelToken,
    report: Report,
) -> Result<Box<dyn Source>, Failure> {
    let source = stream.source(cancel, report)?;
    // What has come there is opened without waiting for anybody, and nothing of it was read yet.
    if matches!(stream, Sealed::Here(_)) && source.positioned().is_none() {
        return Err(Failure::new(
            ErrorKind::Io,
            format!("{stream} is no file, and a manifest names no pipe"),
        )
        .advise("Look what has come to its name, and bring the stream there."));
    }
    Ok(source)
}

/// Whether nothing is there: asked once a stream could not be read.
pub(crate) fn is_missing(stream: &Sealed, cancel: &CancelToken, report: Report) -> bool {
    match stream {
        Sealed::Here(End::Path(path)) => {
            matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
        }
        Sealed::Here(End::Standard) => false,
        Sealed::There(url) => matches!(url.read_small(0, cancel, report), Ok(None)),
    }
}

fn beside(manifest: &Path, name: &Path) -> PathBuf {
    manifest.parent().unwrap_or(Path::new("")).join(name.strip_prefix(".").unwrap_or(name))
}

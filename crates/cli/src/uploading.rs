//! An object in a store as what a command writes: its options, and the two ways of writing it.
//! It makes no request; the library does.

use std::path::PathBuf;

use cofferdam::{Opener, Restored, Sealed, Sealer, Source};

use crate::failure::Failure;
#[cfg(feature = "remote")]
use crate::interrupt;
use crate::io_arg::End;
use crate::peer::Goal;
use crate::report::Report;
use crate::size::Size;
use crate::url::Url;

/// Options of a target in a store.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "A target in a store")]
pub(crate) struct Uploading {
    /// A directory for parts that --memory does not hold, until the store has them
    ///
    /// They lie in a file without a name that only you can read; a restore's are PLAINTEXT. Without it such an upload is refused before
    /// its first byte.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,

    /// The most bytes that the object will have, where a pipe does not tell: parts are then as short as that allows [default: 625GiB]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,
}

impl Uploading {
    /// Whether a directory for parts was given.
    pub(crate) fn is_spool_given(&self) -> bool {
        self.spool.is_some()
    }

    /// Refuses the options where there is no upload.
    pub(crate) fn check(&self, goal: &Goal) -> Result<(), Failure> {
        let is_given = self.spool.is_some() || self.max_size.is_some();
        match goal {
            Goal::There(_) => Ok(()),
            Goal::Here(_) | Goal::Receiver(_) if is_given => {
                Err(Failure::usage("--spool and --max-size are for a target in a store")
                    .advise("Such a target is s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY."))
            }
            Goal::Here(_) | Goal::Receiver(_) => Ok(()),
        }
    }

    /// Seals `input` into the object at `url`.
    #[cfg(feature = "remote")]
    pub(crate) fn seal(
        &self,
        sealer: &Sealer,
        input: &End,
        url: &Url,
        report: Report,
    ) -> Result<Result<Sealed, cofferdam::Error>, Failure> {
        let target = self.target(url, report);
        Ok(match input {
            End::Path(input) => sealer.seal_file_to_object(input, &target),
            End::Standard => sealer.seal_to_object(input.source()?, &target),
        })
    }

    /// Seals `source` into the object at `url`, which has `len_max` bytes at most, where that is known.
    #[cfg(feature = "remote")]
    pub(crate) fn seal_source(
        &self,
        sealer: &Sealer,
        source: impl Source + 'static,
        len_max: Option<u64>,
        url: &Url,
        report: Report,
    ) -> Result<Sealed, cofferdam::Error> {
        let target = self.target(url, report);
        let len_max = len_max.filter(|_| self.max_size.is_none());
        sealer.seal_to_object(source, &len_max.into_iter().fold(target, |target, len| target.len_max(len)))
    }

    #[cfg(not(feature = "remote"))]
    pub(crate) fn seal_source(
        &self,
        _: &Sealer,
        _: impl Source + 'static,
        _: Option<u64>,
        url: &Url,
        _: Report,
    ) -> Result<Sealed, cofferdam::Error> {
        match *url {}
    }

    /// Opens `source` into the object at `url`.
    #[cfg(feature = "remote")]
    pub(crate) fn restore(
        &self,
        opener: &Opener,
        source: impl Source,
        url: &Url,
        report: Report,
    ) -> Result<Restored, cofferdam::Error> {
        opener.restore_to_object(source, &self.target(url, report))
    }

    /// The object at `url` as the target of a plan: several processes send to it, and what is lost with one of them is its part alone.
    #[cfg(feature = "remote")]
    pub(crate) fn planned(&self, url: &Url, report: Report) -> cofferdam::ObjectTarget {
        let target = url.target(report);
        self.spool.iter().fold(target, |target, spool| target.spool(spool))
    }

    /// Refuses what a plan's parts cannot heed; where no object is written, all of it.
    pub(crate) fn check_planned(&self, goal: &Goal) -> Result<(), Failure> {
        self.check(goal)?;
        match self.max_size {
            Some(_) => {
                Err(Failure::usage("--max-size: a plan knows how long the object is").advise("Leave it out."))
            }
            None => Ok(()),
        }
    }

    #[cfg(feature = "remote")]
    fn target(&self, url: &Url, report: Report) -> cofferdam::ObjectTarget {
        interrupt::writes_object(url);
        let target = url.target(report);
        let target = self.spool.iter().fold(target, |target, spool| target.spool(spool));
        self.max_size.iter().fold(target, |target, size| target.len_max(size.0))
    }

    #[cfg(not(feature = "remote"))]
    pub(crate) fn seal(
        &self,
        _: &Sealer,
        _: &End,
        url: &Url,
        _: Report,
    ) -> Result<Result<Sealed, cofferdam::Error>, Failure> {
        match *url {}
    }

    #[cfg(not(feature = "remote"))]
    pub(crate) fn restore(
        &self,
        _: &Opener,
        _: impl Source,
        url: &Url,
        _: Report,
    ) -> Result<Restored, cofferdam::Error> {
        match *url {}
    }
}

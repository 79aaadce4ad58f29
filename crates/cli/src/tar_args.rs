//! A tar archive as the input of `seal`: what it is refused with, and what is told of its catalog.
//! The library reads it.

use cofferdam::tree::{CatalogOutcome, EntryCounts, TreeError};
use cofferdam::{Error, Sealed, Sealer, TarInput};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::peer::Goal;
use crate::report::Report;
use crate::state_dir::ListPlace;
use crate::tree_args::is_directory;
use crate::uploading::Uploading;

/// Whether the input is an archive.
#[derive(clap::Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct TarArgs {
    /// The input is a tar archive. Its bytes are sealed unchanged, and it becomes a tree, like a directory
    ///
    /// `tar --format=posix -c … | cofferdam seal --tar -o X.cfd -`, or what `pg_basebackup -Ft` writes. Every byte of it comes back by `cofferdam cat --tar`. Its catalog is made while it passes, and
    /// kept in the state directory until it follows. What other formats than POSIX's ustar and pax have is sealed as well, but gets no
    /// catalog, which a warning says: then it is one file for `restore`, `cat` and `mount`. What is no archive, or is cut off, is an error,
    /// and nothing is sealed.
    #[arg(long, conflicts_with_all = ["exclude", "include", "all_file_systems", "strict", "resume"])]
    tar: bool,
}

impl TarArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.tar
    }

    /// Before anything is read.
    pub(crate) fn check(&self, input: &End, is_age: bool) -> Result<(), Failure> {
        if self.tar && is_directory(input) {
            return Err(Failure::usage("--tar is for an archive, and the input is a directory")
                .advise("Leave the option out: a directory is sealed as a tree."));
        }
        if self.tar && is_age {
            return Err(Failure::usage("an age file cannot say that it is a tree")
                .advise("Seal without --format, or without --tar: then the archive is sealed as a file."));
        }
        Ok(())
    }
}

/// Seals the archive that `input` gives, and says what has become of its catalog.
pub(crate) fn seal(
    sealer: &Sealer,
    input: &End,
    output: &Goal,
    uploading: &Uploading,
    place: &ListPlace,
    report: Report,
) -> Result<(Result<Sealed, Error>, CatalogOutcome), Failure> {
    let archive = match place {
        ListPlace::State(state_dir) => TarInput::new(state_dir)?,
        ListPlace::Unnamed(directory) => TarInput::unnamed_in(directory),
    };
    let source = archive.source(input.source()?)?;
    let (outcome, sealer) = (source.outcome(), sealer.clone().tree());
    let sealed = match output {
        Goal::Here(End::Path(output)) => sealer.seal_to(source, output),
        Goal::Here(End::Standard) => sealer.seal(source, End::stdout()?),
        Goal::There(url) => uploading.seal_source(&sealer, source, None, url, report),
        Goal::Receiver(_) => unreachable!("an output is no receiver"),
    };
    Ok((sealed, outcome))
}

/// Adds what can be done about an archive that was not sealed.
pub(crate) fn explain(failure: Failure, outcome: &CatalogOutcome) -> Failure {
    match outcome.get() {
        Some(Err(TreeError::NotAnArchive { .. })) => {
            failure.advise_also("Nothing was sealed. Without --tar any bytes are sealed, as a file.")
        }
        Some(Err(TreeError::CutOff { .. })) => failure.advise_also(
            "Nothing was sealed. Look whether the program that writes it has failed; without --tar it is sealed as it is, as a file.",
        ),
        _ => failure,
    }
}

/// What the archive is made of; nothing where it has no catalog, which is said.
pub(crate) fn counts_or_warning(outcome: &CatalogOutcome, report: Report) -> Option<EntryCounts> {
    match outcome.get() {
        Some(Ok(counts)) => Some(*counts),
        Some(Err(error)) => {
            report.warning(format!(
                "the archive is sealed whole, but has no catalog, and is one file from now on: {error}. Archives of `tar --format=posix` \
                 without --sparse have one"
            ));
            None
        }
        None => unreachable!("a sealed archive has ended"),
    }
}

//! The options of how a restored file is staged, and which targets they say something of.
//! It stages nothing; the library does.

use cofferdam::{Attributes, Durability, OnPartial, Opener, Sparse, is_pipe};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::peer::Goal;

/// How what is restored is kept until it is whole, and what kind of file it becomes.
#[derive(Default, clap::Args)]
pub(crate) struct StagingArgs {
    /// Discard what an interrupted restore of this target left, and begin anew
    #[arg(long)]
    pub(crate) restart: bool,

    /// Make a target that is new as any new file is, and not with the mode and time that the sealed file had
    #[arg(long)]
    no_preserve: bool,

    /// Runs of zeros: auto leaves them as holes, never writes them [default: auto]
    ///
    /// With auto the target takes only the room of what is not zero. So nobody can say in advance whether it fits: where its length
    /// does not, a warning says so, and the restore goes on. With never its room is taken at once where the file system
    /// does that cheaply, and a length that does not fit is refused before the first byte. For a file as TARGET.
    #[arg(long, value_enum, value_name = "WHEN")]
    sparse: Option<SparseName>,

    /// When what has been restored is made safe against a power cut: each segment, groups of 256MiB or 5 seconds, or
    /// all at the finish [default: group]
    ///
    /// It decides how much of an interrupted restore survives a power cut. After a crash of the program alone, all that
    /// was written is there, whatever is chosen; and what is there is proved before it is built upon. For what keeps it: a file, a
    /// log, a receiver.
    #[arg(long, value_enum)]
    durability: Option<DurabilityName>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DurabilityName {
    Each,
    Group,
    Finish,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SparseName {
    Auto,
    Never,
}

impl StagingArgs {
    /// Refuses the options that say nothing of `goal`: where nothing is kept nothing is discarded, and what is no file has no holes.
    pub(crate) fn check(&self, goal: &Goal) -> Result<(), Failure> {
        let is_file = matches!(goal, Goal::Here(End::Path(path)) if !is_pipe(path));
        let is_kept = is_file || matches!(goal, Goal::Receiver(_));
        let useless = [
            ("--restart", self.restart && !is_kept, "nothing of a restore is kept there"),
            ("--durability", self.durability.is_some() && !is_kept, "nothing of a restore is kept there"),
            ("--no-preserve", self.no_preserve && !is_file, NO_FILE),
            ("--sparse", self.sparse.is_some() && !is_file, NO_FILE),
        ];
        match useless.into_iter().find(|(_, is_useless, _)| *is_useless) {
            None => Ok(()),
            Some((option, _, why)) => {
                Err(Failure::usage(format!("{option} is of no use: {why}")).advise("Leave the option out."))
            }
        }
    }

    /// Whether a new target is made as any new file is.
    pub(crate) fn ignores_attributes(&self) -> bool {
        self.no_preserve
    }

    /// Whether it was said what becomes of zeros.
    pub(crate) fn is_sparse_given(&self) -> bool {
        self.sparse.is_some()
    }

    pub(crate) fn opener(&self, opener: Opener) -> Opener {
        let opener = opener
            .on_partial(if self.restart { OnPartial::Discard } else { OnPartial::Resume })
            .attributes(if self.no_preserve { Attributes::Ignore } else { Attributes::Restore });
        let opener = self.sparse.into_iter().fold(opener, |opener, name| opener.sparse(name.into()));
        self.durability.into_iter().fold(opener, |opener, name| opener.durability(name.into()))
    }
}

impl From<SparseName> for Sparse {
    fn from(name: SparseName) -> Sparse {
        match name {
            SparseName::Auto => Sparse::Auto,
            SparseName::Never => Sparse::Never,
        }
    }
}

impl From<DurabilityName> for Durability {
    fn from(name: DurabilityName) -> Durability {
        match name {
            DurabilityName::Each => Durability::Each,
            DurabilityName::Group => Durability::default(),
            DurabilityName::Finish => Durability::AtFinish,
        }
    }
}

const NO_FILE: &str = "the target is no file on this machine";

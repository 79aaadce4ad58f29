//! The options that commands share which open one sealed stream: keys, resources, rate, and how long a store is waited for.
//! It knows no command, and what is done with the plaintext.

use std::sync::Arc;

use cofferdam::{CancelToken, Identities, Observer, Opener};

use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign;
use crate::key_args::OpeningKeys;
use crate::named_files::NamedFiles;
use crate::rate::RateArgs;
use crate::report::Report;
use crate::resources::Resources;
use crate::sealed::Sealed;
use crate::timeout::Timeout;

/// How a stream is opened.
#[derive(clap::Args)]
pub(crate) struct OpeningArgs {
    #[command(flatten)]
    pub(crate) keys: OpeningKeys,

    #[command(flatten)]
    pub(crate) resources: Resources,

    #[command(flatten)]
    pub(crate) rate: RateArgs,

    #[command(flatten)]
    pub(crate) timeout: Timeout,
}

impl OpeningArgs {
    /// Notes `sealed`, and all files that the options name.
    pub(crate) fn name_files(&self, sealed: &Sealed, files: &mut NamedFiles) -> Result<(), Failure> {
        sealed.name_files(files)?;
        self.keys.name_files(files)?;
        self.rate.name_files(files)?;
        self.resources.name_files(files)
    }

    /// An opener with these options, for no stream that is older than expected. `None` opens without a key.
    pub(crate) fn opener(
        &self,
        identities: Option<Identities>,
        expected: &Expected,
        cancel: &CancelToken,
        watch: Arc<dyn Observer>,
        report: Report,
    ) -> Result<Opener, Failure> {
        let opener = identities.map_or_else(Opener::keyless, Opener::new);
        let opener = foreign::taken_by(opener);
        let opener = expected.not_older(opener);
        self.rate.opener(self.resources.opener(opener, cancel, watch), report)
    }
}

//! In place of the options for streams that other tools have sealed, in a build that opens none: there are no such options.
//! It knows no format.

use std::convert::Infallible;
use std::time::Instant;

use cofferdam::{CancelToken, Error, Identities, Opener};

use crate::failure::Failure;
use crate::key_args::{OpeningKeys, some_of};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::{Channel, Report};

#[derive(Default, clap::Args)]
pub(crate) struct ForeignArgs {}

impl ForeignArgs {
    pub(crate) fn name_files(&self, _: &mut NamedFiles) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn is_given(&self) -> bool {
        false
    }

    pub(crate) fn accepts_unproven(&self) -> bool {
        false
    }

    pub(crate) fn identities(
        &self,
        keys: &OpeningKeys,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Option<Identities>, Failure> {
        keys.identities(cancel, report)
    }

    pub(crate) fn some_identities(
        &self,
        keys: &OpeningKeys,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Identities, Failure> {
        some_of(self.identities(keys, cancel, report)?)
    }

    pub(crate) fn opener(&self, opener: Opener) -> Opener {
        opener
    }
}

pub(crate) fn asserted_in<T>(_: &Result<T, Error>) -> Option<&Infallible> {
    None
}

pub(crate) fn tell_asserted(
    _: Name,
    _: Option<Name>,
    asserted: &Infallible,
    _: &str,
    _: Channel,
    _: Instant,
    _: Report,
) -> Failure {
    match *asserted {}
}

//! What there is of signatures in a program that was built without them: no option, and no signature.

use std::path::Path;

use cofferdam::{CancelToken, DigestKind, IfExists, Opener, StreamDigest};
use serde::Serialize;

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::named_files::NamedFiles;
use crate::peer::Goal;
use crate::printable::Name;
use crate::report::Report;
use crate::sealed::Sealed;
use crate::timeout::Timeout;

/// No key is ever named.
#[derive(Clone, Debug, Serialize)]
pub(crate) enum KeyName {}

/// No option.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct SignedByArgs {}

/// No option.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct SigningArgs {}

/// No option.
#[derive(Clone, Default, clap::Args)]
pub(crate) struct SealSigning {}

/// No signature is due.
pub(crate) enum DueSignature {}

impl std::fmt::Display for KeyName {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl SignedByArgs {
    pub(crate) fn of_file(
        signed_by: Option<KeyPlace>,
        signature: Option<Sealed>,
    ) -> Result<SignedByArgs, String> {
        match (signed_by, signature) {
            (None, None) => Ok(SignedByArgs {}),
            _ => Err("this program was built without signatures, its feature `signatures`".to_owned()),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        false
    }

    pub(crate) fn set_timeout(&mut self, _: Timeout) {}

    pub(crate) fn name_files(&self, _: &Sealed, _: &mut NamedFiles) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn demand(
        &self,
        opener: Opener,
        _: &Sealed,
        _: &CancelToken,
        _: Report,
    ) -> Result<(Opener, Option<KeyName>), Failure> {
        Ok((opener, None))
    }
}

impl SigningArgs {
    pub(crate) fn name_files(&self, _: &mut NamedFiles) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn due_beside(
        &self,
        _: &Path,
        _: IfExists,
        _: &CancelToken,
    ) -> Result<Option<DueSignature>, Failure> {
        Ok(None)
    }
}

impl SealSigning {
    pub(crate) fn is_given(&self) -> bool {
        false
    }

    pub(crate) fn given(&self) -> [(bool, &'static str); 0] {
        []
    }

    pub(crate) fn name_files(&self, _: &Goal, _: &mut NamedFiles) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn due(
        &self,
        _: &Goal,
        _: IfExists,
        _: &CancelToken,
    ) -> Result<Option<DueSignature>, Failure> {
        Ok(None)
    }
}

impl DueSignature {
    pub(crate) fn signer(&self) -> KeyName {
        match *self {}
    }

    pub(crate) fn name(&self) -> Name {
        match *self {}
    }

    pub(crate) fn sign_stream(&self, _: DigestKind, _: StreamDigest) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn sign_evidence(&self, _: &[u8]) -> Result<(), Failure> {
        match *self {}
    }
}

/// None is ever made.
pub(crate) fn is_in_place(_: &Failure) -> bool {
    false
}

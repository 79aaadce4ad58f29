//! Options that say who has to have signed a stream. Keys and signature are read before the stream is opened.
//! The library judges; nothing here computes a digest.

use clap::builder::{OsStringValueParser, TypedValueParser};
use cofferdam::shards::SignedManifest;
use cofferdam::signatures::TrustedKeys;
use cofferdam::{CancelToken, Opener, SignedBy};

use super::KeyName;
use super::signature_file::{Signed, place_beside, read};
use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::key_file::KeyFile;
use crate::manifest_arg;
use crate::named_files::NamedFiles;
use crate::passphrase::text_of;
use crate::report::Report;
use crate::sealed::Sealed;
use crate::timeout::Timeout;

/// Who has to have signed.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Who has to have signed the stream")]
pub(crate) struct SignedByArgs {
    /// Refuse a stream that none of the SSH public keys in FILE has signed: exit code 17
    ///
    /// One key a line, as in a .pub file, without options; any of them will do. The signature is SEALED.sig, or what --signature names. It vouches
    /// for every byte of the stream: of a file it is compared before anything is written, of what comes in order at the end; see
    /// --expect-digest. A stream with the digest `tags` cannot be signed. A security key has to have been touched.
    #[arg(long, value_name = "FILE")]
    signed_by: Option<KeyPlace>,

    /// The signature: a file, or a URL [default: SEALED.sig, also beside a URL; of a pipe it has to be given]
    #[arg(long, value_name = "FILE", requires = "signed_by", value_parser = parse_sealed())]
    signature: Option<Sealed>,
}

impl SignedByArgs {
    /// Those that a file of the operator's names.
    ///
    /// # Errors
    /// A signature is named, and nobody who could have made it.
    pub(crate) fn of_file(
        signed_by: Option<KeyPlace>,
        signature: Option<Sealed>,
    ) -> Result<SignedByArgs, String> {
        match (&signed_by, &signature) {
            (None, Some(_)) => Err("`signature` is of use with `signed_by` alone".to_owned()),
            _ => Ok(SignedByArgs { signed_by, signature }),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.signed_by.is_some()
    }

    /// A store or server is waited for so long.
    pub(crate) fn set_timeout(&mut self, timeout: Timeout) {
        self.signature.iter_mut().for_each(|signature| signature.set_timeout(timeout));
    }

    /// Notes the files that are read.
    pub(crate) fn name_files(&self, sealed: &Sealed, files: &mut NamedFiles) -> Result<(), Failure> {
        files.reads_all(&self.key_file())?;
        match (&self.signature, self.is_given()) {
            (Some(Sealed::Here(end)), _) => files.reads("the signature", end),
            (None, true) => match place_beside(sealed)? {
                Sealed::Here(end) => files.reads("the signature", &end),
                Sealed::There(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// `opener`, of streams that one of the keys has signed; and by which of them `sealed` has to be signed, as its signature says.
    pub(crate) fn demand(
        &self,
        opener: Opener,
        sealed: &Sealed,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(Opener, Option<KeyName>), Failure> {
        let Some(file) = self.key_file() else { return Ok((opener, None)) };
        let keys = trusted_keys(&file)?;
        let place = self.place_of(sealed)?;
        let signature = read(&place, Signed::Stream, cancel, report)?;
        let signed_by =
            SignedBy::new(&keys, signature).map_err(|error| Failure::from(error).of_part(&place))?;
        let signer = KeyName::from(signed_by.signer());
        Ok((opener.check_pin(signed_by), Some(signer)))
    }

    /// The manifest at `place`, if one of the keys has signed it.
    pub(crate) fn manifest(
        &self,
        place: &Sealed,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<SignedManifest, Failure> {
        let file = self.key_file().ok_or_else(|| {
            Failure::usage("a manifest is believed for its signature alone")
                .advise("Say with --signed-by whose.")
        })?;
        let keys = trusted_keys(&file)?;
        let signature = read(&self.place_of(place)?, Signed::Manifest, cancel, report)?;
        let text = manifest_arg::read(place, cancel, report)?;
        SignedManifest::check(&text, &keys, &signature).map_err(|error| Failure::from(error).of_part(place))
    }

    /// Where the signature of `sealed` is.
    fn place_of(&self, sealed: &Sealed) -> Result<Sealed, Failure> {
        self.signature.clone().map_or_else(|| place_beside(sealed), Ok)
    }

    fn key_file(&self) -> Option<KeyFile> {
        KeyFile::all("--signed-by", &self.signed_by).pop()
    }
}

fn trusted_keys(file: &KeyFile) -> Result<TrustedKeys, Failure> {
    let content = file.read()?;
    TrustedKeys::parse(text_of(file, &content)?).map_err(|error| {
        Failure::usage(format!("{file}: {error}")).advise(
            "It lists SSH public keys, one a line as in a .pub file: kind, key and comment, without options.",
        )
    })
}

fn parse_sealed() -> impl TypedValueParser<Value = Sealed> {
    OsStringValueParser::new().try_map(Sealed::parse)
}

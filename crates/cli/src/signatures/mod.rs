//! Signatures on the command line: who has to have signed a stream, who signs, and the files that signatures are in.
//! Without the feature `signatures` there are no such options.

#[cfg(feature = "signatures")]
mod key_name;
#[cfg(feature = "signatures")]
mod signature_file;
#[cfg(feature = "signatures")]
mod signed_by;
#[cfg(feature = "signatures")]
mod signing;

#[cfg(not(feature = "signatures"))]
mod left_out;

#[cfg(not(feature = "signatures"))]
pub(crate) use left_out::{DueSignature, KeyName, SealSigning, SignedByArgs, SigningArgs, is_in_place};
#[cfg(feature = "signatures")]
pub(crate) use {
    key_name::KeyName,
    signature_file::{SignatureFile, beside, has_neighbours},
    signed_by::SignedByArgs,
    signing::{DueSignature, SealSigning, Signer, SigningArgs, is_in_place},
};

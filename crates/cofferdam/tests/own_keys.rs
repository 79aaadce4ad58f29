//! An engine with keys of its own: sealed and opened without age, which this program can be built without.
//! Run by `cargo xtask test` in a build without the feature `age`, and with all features.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use cofferdam::{
    BytesSource, ErrorKind, ExternalKey, Identities, MemorySink, Opener, Recipients, Sealer, StreamKey,
    WrappingKey,
};

fn sealed_for(recipients: Recipients) -> Vec<u8> {
    let (sink, sealed) = MemorySink::new();
    Sealer::new(recipients)
        .frame_len(4096)
        .segment_len(8192)
        .seal(BytesSource::new(plaintext()), sink)
        .unwrap();
    sealed.take().unwrap().to_vec()
}

fn opened(sealed: Vec<u8>, identities: Identities) -> Result<Vec<u8>, ErrorKind> {
    let (sink, plaintext) = MemorySink::new();
    Opener::new(identities).open(BytesSource::new(sealed), sink).map_err(|error| error.kind())?;
    Ok(plaintext.take().unwrap().to_vec())
}

fn plaintext() -> Vec<u8> {
    (0..20_000_u32).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_key_of_the_engines_own_seals_and_opens() {
    let sealed = sealed_for(Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    let with = |key| Identities::new().wrapping_key(WrappingKey::from_bytes([key; 32]));
    assert_eq!(opened(sealed.clone(), with(7)).unwrap(), plaintext());
    assert_eq!(opened(sealed, with(8)), Err(ErrorKind::NoKey));
}

#[test]
fn a_service_of_the_engines_own_seals_and_opens() {
    let masked = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 0x55).collect::<Vec<u8>>();
    let wrap = move |_: ExternalKey<'_>, key: &StreamKey| Ok(masked(key.expose()));
    let sealed = sealed_for(Recipients::new().external_with("kms/one", wrap).unwrap());
    let of = |name| {
        Identities::new().external([name], move |_, ciphertext: &[u8]| {
            StreamKey::copy_from(&masked(ciphertext)).ok_or_else(|| "no key".into())
        })
    };
    assert_eq!(opened(sealed.clone(), of("kms/one")).unwrap(), plaintext());
    assert_eq!(opened(sealed, of("kms/two")), Err(ErrorKind::NoKey));
}

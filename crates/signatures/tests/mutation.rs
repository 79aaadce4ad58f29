//! Signatures and lists of keys that are damaged, cut, or of something else: none is believed, and none panics.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "openssh/device.rs"]
mod device;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use device::{Device, NOT_TOUCHED, TOUCHED, signed_data};
use signatures::{Message, PublicKeyError, SecretKey, Signature, SignatureError, StreamHash, TrustedKeys};

fn message() -> Message {
    Message::stream(1, StreamHash::Blake3, &[0x3f; 32])
}

/// Of the `ssh-key` crate's examples: an Ed25519 key, made by `ssh-keygen`.
const KEY: &str = include_str!("id_ed25519");
const PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";

/// A signature of each kind of key that needs no other program, and who may have made it.
fn signatures() -> Vec<(String, TrustedKeys)> {
    let key = SecretKey::parse(KEY.as_bytes(), || None).unwrap();
    let ours = key.sign(&message()).unwrap().as_text().to_owned();
    let mut made = vec![(ours, TrustedKeys::parse(PUBLIC).unwrap())];
    for device in Device::both() {
        let trusted = TrustedKeys::parse(&device.public_line()).unwrap();
        made.push((device.signature_text(&message(), TOUCHED), trusted));
    }
    made
}

fn armored(bytes: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(bytes);
    format!("-----BEGIN SSH SIGNATURE-----\n{base64}\n-----END SSH SIGNATURE-----\n")
}

fn bytes_of(text: &str) -> Vec<u8> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64_STANDARD.decode(lines.concat()).unwrap()
}

fn verify(text: &str, trusted: &TrustedKeys) -> Result<(), SignatureError> {
    trusted.verify(&message(), &Signature::parse(text.as_bytes())?).map(drop)
}

#[test]
fn no_flipped_bit_and_no_cut_of_a_signature_is_believed() {
    for (text, trusted) in signatures() {
        let bytes = bytes_of(&text);
        assert_eq!(verify(&armored(&bytes), &trusted), Ok(()));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutant = bytes.clone();
                mutant[at] ^= 1 << bit;
                assert!(verify(&armored(&mutant), &trusted).is_err(), "byte {at}, bit {bit}");
            }
            assert!(verify(&armored(&bytes[..at]), &trusted).is_err(), "the first {at} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(verify(&armored(&longer), &trusted).is_err());
        for len in 0..text.trim_end().len() {
            assert!(verify(&text[..len], &trusted).is_err(), "the first {len} letters");
        }
    }
}

#[test]
fn a_signature_is_that_of_one_key() {
    let made = signatures();
    for (number, (text, _)) in made.iter().enumerate() {
        for (other, (_, trusted)) in made.iter().enumerate() {
            match verify(text, trusted) {
                Ok(()) => assert_eq!(number, other),
                Err(SignatureError::NotTrusted { signer }) => {
                    assert_ne!(number, other);
                    assert!(signer.starts_with("SHA256:"), "{signer}");
                }
                Err(error) => panic!("{number} by {other}: {error}"),
            }
        }
    }
}

#[test]
fn a_security_key_that_nobody_has_touched_has_signed_nothing() {
    for device in Device::both() {
        let trusted = TrustedKeys::parse(&device.public_line()).unwrap();
        for (flags, expected) in [
            (NOT_TOUCHED, Err(SignatureError::NotTouched)),
            (TOUCHED, Ok(())),
            // Verified by a number or a finger, which is no touch by itself, and with one.
            (4, Err(SignatureError::NotTouched)),
            (5, Ok(())),
        ] {
            assert_eq!(verify(&device.signature_text(&message(), flags), &trusted), expected, "{flags}");
        }
    }
}

/// The algorithm's name is under no signature, so anybody can write another.
#[test]
fn a_signature_under_another_algorithms_name_is_none() {
    for device in Device::both() {
        let trusted = TrustedKeys::parse(&device.public_line()).unwrap();
        let own = device.public_blob();
        let own = field(&own).0;
        for flags in [NOT_TOUCHED, TOUCHED] {
            let made = device.sign(&signed_data(&message(), b""), flags);
            let (kind, rest) = field(&made);
            let (raw, flags_and_counter) = field(rest);
            assert_eq!((kind, flags_and_counter.len()), (own, 5));
            for name in [
                "rsa-sha2-512",
                "rsa-sha2-256",
                "ssh-rsa",
                "ssh-ed25519",
                "ecdsa-sha2-nistp256",
                "sk-ssh-ed25519@openssh.com",
                "sk-ecdsa-sha2-nistp256@openssh.com",
                "name@example.com",
            ] {
                let inside = [framed(name.as_bytes()), framed(&[raw, flags_and_counter].concat())].concat();
                let after = [framed(name.as_bytes()), framed(raw), flags_and_counter.to_vec()].concat();
                for (is_inside, relabelled) in [(true, inside), (false, after)] {
                    let is_as_made = !is_inside && name.as_bytes() == own;
                    let text = device.text_of(&message(), b"", &relabelled);
                    let expected = is_as_made && flags == TOUCHED;
                    assert_eq!(verify(&text, &trusted).is_ok(), expected, "{name}, {flags}, {is_inside}");
                }
            }
        }
    }
}

#[test]
fn what_is_reserved_is_empty() {
    for device in Device::both() {
        let trusted = TrustedKeys::parse(&device.public_line()).unwrap();
        for (written, signed) in [(&b"x"[..], &b"x"[..]), (b"x", b"")] {
            let made = device.sign(&signed_data(&message(), signed), TOUCHED);
            let refused = verify(&device.text_of(&message(), written, &made), &trusted);
            assert!(
                matches!(refused, Err(SignatureError::Malformed { why }) if why.contains("reserved")),
                "{refused:?}"
            );
        }
    }
}

/// The first field of `bytes`, and what comes after it.
fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = bytes.split_first_chunk().unwrap();
    rest.split_at(u32::from_be_bytes(*len) as usize)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

#[test]
fn any_of_the_trusted_keys_will_do_and_its_name_is_said() {
    let lines: String = Device::both().iter().map(Device::public_line).collect();
    let trusted = TrustedKeys::parse(&format!("# sealers\n\n{lines}\r\n  {PUBLIC}\n")).unwrap();
    for (text, own) in signatures() {
        let signature = Signature::parse(text.as_bytes()).unwrap();
        let signer = trusted.verify(&message(), &signature).unwrap();
        assert_eq!(own.verify(&message(), &signature).unwrap(), signer);
    }
}

#[test]
fn what_is_longer_than_a_signature_is_not_read() {
    let long = armored(&vec![0; Signature::LEN_MAX]);
    assert_eq!(Signature::parse(long.as_bytes()), Err(SignatureError::TooLong { len_max: 64 * 1024 }));
}

#[test]
fn one_bad_line_makes_a_list_of_keys_useless() {
    let list = |line: &str| TrustedKeys::parse(&format!("{PUBLIC}\n{line}\n"));
    let options = format!("no-touch-required {PUBLIC}");
    let names = format!("me@example.com {PUBLIC}");
    let cut = PUBLIC.replace("FSqti ", " ");
    let mislabelled = PUBLIC.replace("ssh-ed25519 ", "ssh-rsa ");
    for line in [&options, &names, &cut, &mislabelled, "no key", "ssh-ed25519", KEY.lines().next().unwrap()] {
        let refused = list(line).unwrap_err();
        assert!(matches!(refused, PublicKeyError::NotAKey { line: 2, .. }), "{line}: {refused}");
    }
    for empty in ["", "\n\n", "# nobody\n"] {
        assert_eq!(TrustedKeys::parse(empty), Err(PublicKeyError::None));
    }
    let many = format!("{PUBLIC}\n").repeat(1001);
    assert_eq!(TrustedKeys::parse(&many), Err(PublicKeyError::TooMany { max: 1000 }));
}

//! Reads and writes key files.
//! Sees a key only through its hexadecimal form.

use keys::{KeyError, KeyMaterial, WrappingKey};

#[test]
fn a_key_file_is_64_digits_with_or_without_a_line_end_or_32_bytes() {
    for content in [
        HEX.to_owned(),
        HEX.to_uppercase(),
        format!("{HEX}\n"),
        format!("{HEX}\r\n"),
        String::from_utf8((0x20..0x40).collect()).unwrap(),
    ] {
        assert_eq!(*WrappingKey::parse(content.as_bytes()).unwrap().to_hex(), HEX, "{content:?}");
    }
}

#[test]
fn anything_else_is_refused_without_being_quoted() {
    let raw = [0x41; 33];
    for content in [
        &b""[..],
        &raw[..31],
        &raw,
        &HEX.as_bytes()[..63],
        format!("{HEX}0").as_bytes(),
        format!("{HEX}\n\n").as_bytes(),
        format!(" {}", &HEX[1..]).as_bytes(),
        HEX.replace('2', "g").as_bytes(),
    ] {
        let Err(error) = WrappingKey::parse(content) else { panic!("{content:?} was taken") };
        assert!(matches!(error, KeyError::Unreadable { what: KeyMaterial::KeyFile, .. }), "{error}");
        assert!(!error.to_string().contains("AAAA"), "{error}");
    }
}

#[test]
fn a_generated_key_survives_its_hexadecimal_form() {
    let key = WrappingKey::generate().unwrap();
    let again = WrappingKey::parse(key.to_hex().as_bytes()).unwrap();
    assert_eq!(key.to_hex(), again.to_hex());
    assert_ne!(key.to_hex(), WrappingKey::generate().unwrap().to_hex());
}

const HEX: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

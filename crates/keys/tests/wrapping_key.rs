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

#[test]
fn a_file_of_another_length_is_refused_with_its_length_where_that_says_something() {
    for (len, said) in [(0, "0 bytes"), (33, "33 bytes"), (999, "999 bytes"), (1000, "more than that")] {
        let Err(error) = WrappingKey::parse(&vec![b'a'; len]) else { panic!("{len} bytes were taken") };
        assert!(error.to_string().ends_with(&format!("this has {said}")), "{error}");
    }
}

/// What a passphrase of 32 characters looks like, and what random bytes do not.
#[test]
fn a_key_of_32_bytes_is_text_if_it_is_a_line_and_no_other_content_is() {
    let text = b"correct horse battery staple, 32";
    assert!(WrappingKey::is_text(text));
    assert!(WrappingKey::is_text(&[&text[..31], b"\n"].concat()));
    for other in [&text[..31], &[&text[..], b"!"].concat(), HEX.as_bytes(), b""] {
        assert!(!WrappingKey::is_text(other), "{other:?}");
    }
    for byte in [0, 7, 0x1B, 0x80, 0xFF] {
        let mut raw = *text;
        raw[16] = byte;
        assert!(!WrappingKey::is_text(&raw), "{byte}");
    }
}

const HEX: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

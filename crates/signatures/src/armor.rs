//! The armor of a signature: lines of base64 between two that say what it is.
//! What is in it is the signature's.

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// The text of a signature with these fields: key, namespace, what is reserved, hash, and what the key has made (PROTOCOL.sshsig of OpenSSH).
pub(crate) fn sshsig(fields: [&[u8]; 5]) -> String {
    let mut bytes = b"SSHSIG".to_vec();
    bytes.extend(VERSION.to_be_bytes());
    for field in fields {
        put(&mut bytes, field);
    }
    wrap(&BASE64_STANDARD.encode(bytes))
}

/// Appends `bytes`, their length before them. All of them are shorter than a message may be.
pub(crate) fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_be_bytes());
    to.extend(bytes);
}

/// Lines of base64, as `ssh-keygen` wraps them.
fn wrap(base64: &str) -> String {
    let mut text = format!("{BEGIN}\n");
    let mut rest = base64;
    while !rest.is_empty() {
        // All of it is ASCII.
        let (line, after) = rest.split_at(rest.len().min(LINE_LEN));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// The same with lines of the length that is usual, whatever they had: programs differ in it. Blank lines around it are left out.
pub(crate) fn rewrap(text: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text")?;
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
    if lines.next() != Some(BEGIN) {
        return Err("it does not begin with the line BEGIN SSH SIGNATURE");
    }
    let mut base64 = String::with_capacity(text.len());
    for line in lines.by_ref() {
        if line == END {
            return match lines.all(str::is_empty) {
                true => Ok(wrap(&base64)),
                false => Err("something comes after its end"),
            };
        }
        if !line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
            return Err("it is no base64");
        }
        base64.push_str(line);
    }
    Err("it has no end")
}

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The version of the fields.
const VERSION: u32 = 1;
/// Letters of a line.
const LINE_LEN: usize = 70;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_length_are_taken_and_wrapped_again() {
        for len in [0, 1, 69, 70, 71, 140, 141] {
            let base64 = "A".repeat(len);
            let usual = wrap(&base64);
            assert!(usual.lines().all(|line| line.len() <= LINE_LEN), "{usual}");
            assert_eq!(rewrap(usual.as_bytes()).unwrap(), usual);
            let one_line = format!("\n{BEGIN}\r\n{base64}\r\n{END}\r\n\n");
            assert_eq!(rewrap(one_line.as_bytes()).unwrap(), usual);
        }
    }

    #[test]
    fn what_is_around_or_between_the_lines_is_refused() {
        for (text, why) in [
            (String::new(), "begin"),
            (format!("comment\n{BEGIN}\nAAAA\n{END}\n"), "begin"),
            (format!("{BEGIN}\nAAAA\n"), "no end"),
            (format!("{BEGIN}\nAAAA\n{END}\n{BEGIN}\nAAAA\n{END}\n"), "after its end"),
            (format!("{BEGIN}\nAA AA\n{END}\n"), "base64"),
            (format!("{BEGIN}\nä\n{END}\n"), "base64"),
        ] {
            let refused = rewrap(text.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert_eq!(rewrap(b"\xff").unwrap_err(), "it is no text");
    }
}

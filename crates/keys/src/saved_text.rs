//! Owns what editors and shells put around the text of a key file: a byte order mark, another encoding.
//! Refuses to know what the text means.

/// `content` without the byte order mark that editors of Windows put before UTF-8.
///
/// # Errors
/// It is UTF-16, as PowerShell's `>` writes it: what is wrong, and what to do.
pub(crate) fn saved_text(content: &[u8]) -> Result<&[u8], String> {
    if UTF_16_MARKS.iter().any(|mark| content.starts_with(mark)) {
        return Err("this is text in UTF-16; save it as UTF-8".to_owned());
    }
    Ok(content.strip_prefix(UTF_8_MARK).unwrap_or(content))
}

/// Whether all of `content` is text on one line: what somebody has typed, or a program printed. Of uniform bytes, 32 are
/// that once in more than 10^11 times.
pub(crate) fn is_line_of_text(content: &[u8]) -> bool {
    let line = content.strip_suffix(b"\n").unwrap_or(content);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).is_ok_and(|text| !text.contains(char::is_control))
}

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_passed_over_once_and_utf_16_is_refused() {
        assert_eq!(saved_text(b"text"), Ok(&b"text"[..]));
        assert_eq!(saved_text(b"\xef\xbb\xbftext"), Ok(&b"text"[..]));
        assert_eq!(saved_text(b"\xef\xbb\xbf\xef\xbb\xbf"), Ok(&b"\xef\xbb\xbf"[..]));
        assert_eq!(saved_text(b"\xef\xbb"), Ok(&b"\xef\xbb"[..]));
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
            assert!(saved_text(utf_16).unwrap_err().contains("UTF-16"));
        }
    }

    #[test]
    fn what_was_typed_is_told_from_random_bytes() {
        for typed in
            ["0123456789abcdef0123456789abcdef", "correct horse battery staple 42\n", "Schlüssel\r\n"]
        {
            assert!(is_line_of_text(typed.as_bytes()), "{typed}");
        }
        for bytes in [&b"two\nlines\n"[..], b"\0\0\0\0", b"\x80abc", b"\t\t"] {
            assert!(!is_line_of_text(bytes), "{bytes:?}");
        }
    }
}

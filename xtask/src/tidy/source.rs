//! Owns the split of a Rust source into what the compiler reads and what people read.
//! Knows no rule: it says where code, comments and literals are, and cuts code into tokens.

/// One Rust source. `code` and `comments` keep the lines of `text`; what is not theirs is blank.
pub(crate) struct Source {
    /// The path from the root of the repository.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The text without comments and without string and character literals.
    pub(crate) code: String,
    /// The comments alone.
    pub(crate) comments: String,
}

/// A word (identifier, keyword or number) or a single punctuation character, with its line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut code = blank_lines_of(bytes);
        let mut comments = code.clone();
        let mut at = 0;
        while at < bytes.len() {
            let (piece, end) = next_piece(bytes, at);
            match piece {
                Piece::Code => code[at..end].copy_from_slice(&bytes[at..end]),
                Piece::Comment => comments[at..end].copy_from_slice(&bytes[at..end]),
                Piece::Literal => {}
            }
            at = end;
        }
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code: String::from_utf8_lossy(&code).into_owned(),
            comments: String::from_utf8_lossy(&comments).into_owned(),
        }
    }

    /// The tokens of the code, in order.
    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        for (index, line) in self.code.lines().enumerate() {
            let mut rest = line.trim_start();
            while let Some(first) = rest.chars().next() {
                let word_len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let len = if word_len == 0 { first.len_utf8() } else { word_len };
                tokens.push(Token { text: &rest[..len], line: index + 1 });
                rest = rest[len..].trim_start();
            }
        }
        tokens
    }
}

/// Whether a token is a word and not punctuation.
pub(crate) fn is_word_token(token: Token<'_>) -> bool {
    token.text.starts_with(is_word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Clone, Copy)]
enum Piece {
    Code,
    Comment,
    Literal,
}

/// Spaces of the length of `bytes`, with its line ends in place.
fn blank_lines_of(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }).collect()
}

/// What begins at `at`, and where it ends. `end > at` always, and no piece cuts a character in two.
fn next_piece(bytes: &[u8], at: usize) -> (Piece, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return (Piece::Comment, at + line_len(rest));
    }
    if rest.starts_with(b"/*") {
        return (Piece::Comment, at + block_comment_len(rest));
    }
    if rest[0] == b'"' {
        return (Piece::Literal, at + quoted_len(rest, b'"'));
    }
    if rest[0] == b'\'' {
        return match char_literal_len(rest) {
            Some(len) => (Piece::Literal, at + len),
            None => (Piece::Code, at + 1),
        };
    }
    if let Some(len) = raw_string_len(rest) {
        return (Piece::Literal, at + len);
    }
    // A word goes as a whole, so that the r of `for"` is never taken for the start of a raw string.
    let word_len = rest.iter().take_while(|&&byte| is_word_byte(byte)).count();
    (Piece::Code, at + word_len.max(1))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_len(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

/// The length of a block comment; Rust nests them.
fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a literal that opens with `quote` and may hold escapes.
fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime or a label.
fn char_literal_len(rest: &[u8]) -> Option<usize> {
    let &first = rest.get(1)?;
    if first == b'\\' {
        return Some(quoted_len(rest, b'\''));
    }
    let width = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// The length of a raw string (`r"…"`, `br#"…"#`, `cr"…"`); `None` for anything else.
fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..].iter().take_while(|&&byte| byte == b'#').count();
    let body = prefix.len() + hashes + 1;
    if rest.get(body - 1) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let found = rest[body..].windows(close.len()).position(|window| window == close);
    Some(found.map_or(rest.len(), |at| body + at + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        source.tokens().into_iter().filter(|&t| is_word_token(t)).map(|t| t.text.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a /* b /* c */ d */ e // f\ng \"h \\\" i\" 'j' '\\'' k"), ["a", "e", "g", "k"]);
        assert_eq!(words("x r#\"fn \" y\"# z br\"w\" v"), ["x", "z", "v"]);
    }

    #[test]
    fn lifetimes_and_labels_are_code() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) { 'outer: loop {} }").last().map(String::as_str),
            Some("loop")
        );
    }

    #[test]
    fn a_word_that_ends_in_r_does_not_start_a_raw_string() {
        assert_eq!(words("bar\"fn\" more"), ["bar", "more"]);
    }

    #[test]
    fn every_piece_keeps_its_line() {
        let source = Source::new("a.rs", "/* one\ntwo */\nfn\n");
        assert_eq!(source.tokens(), [Token { text: "fn", line: 3 }]);
        assert_eq!(source.comments.lines().nth(1), Some("two */"));
    }

    #[test]
    fn characters_of_several_bytes_stay_whole() {
        assert_eq!(words("let é = 'é'; // …\nnext"), ["let", "é", "next"]);
    }
}

//! The armor of age files (C2SP age.md, "ASCII armor"): lines of base64 between two marks, strictly.
//! It knows nothing of what is in it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Fault;

/// The line that an armored age file begins with.
pub(crate) const ARMOR_BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Takes an armored file in pieces, in order, and gives what is in it.
///
/// Lines end with LF or CRLF. All but the last have 64 characters, the last has padding; no bit of it may say nothing. Before and after
/// the marks there may be white space, 1024 bytes each.
#[derive(Default)]
pub struct ArmorDecoder {
    state: State,
    /// The line so far, without its end.
    line: Vec<u8>,
    /// Bytes taken, up to the line's beginning.
    line_at: u64,
    /// White space taken, since the beginning or the end mark.
    white: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    #[default]
    Before,
    Body,
    /// The last line of base64 has been.
    Ended,
    After,
}

impl ArmorDecoder {
    /// Takes the next bytes of the armored file, and appends to `out` what they hold.
    ///
    /// # Errors
    /// They are no armor.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        for piece in input.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            // What is no line of armor may be white space around it, which is counted.
            let is_outside = matches!(self.state, State::Before | State::After);
            if self.line.len() + text.len() > LINE_LEN_MAX + if is_outside { WHITE_LEN_MAX } else { 0 } {
                return Err(self.fault("a line is longer than 64 characters"));
            }
            self.line.extend_from_slice(text);
            if ended {
                self.end_line(1, out)?;
            }
        }
        Ok(())
    }

    /// The armored file has ended.
    ///
    /// # Errors
    /// It has no end mark.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !self.line.is_empty() {
            self.end_line(0, out)?;
        }
        match self.state {
            State::After => Ok(()),
            _ => Err(Fault::truncated("the armor of the age file has no end mark: it has been cut short")
                .at(self.line_at)),
        }
    }

    fn end_line(&mut self, end_len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut line = std::mem::take(&mut self.line);
        let taken = line.len() + end_len;
        if end_len > 0 && line.last() == Some(&b'\r') {
            line.pop();
        }
        self.take_line(&line, taken, out)?;
        self.line_at += taken as u64;
        line.clear();
        self.line = line;
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], taken: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.state {
            State::Before if line.trim_ascii_start() == ARMOR_BEGIN => {
                (self.state, self.white) = (State::Body, 0);
                Ok(())
            }
            State::Before | State::After => {
                self.white += taken;
                match line.trim_ascii().is_empty() && self.white <= WHITE_LEN_MAX {
                    true => Ok(()),
                    false if self.state == State::Before => Err(self.fault("its begin mark is missing")),
                    false => Err(self.fault("something follows its end mark")),
                }
            }
            State::Body | State::Ended if line == ARMOR_END => {
                self.state = State::After;
                Ok(())
            }
            State::Ended => Err(self.fault("a line follows one that is shorter than 64 characters")),
            State::Body => self.body_line(line, out),
        }
    }

    fn body_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if line.is_empty() || line.len() > COLUMNS {
            return Err(self.fault("a line has not 64 characters"));
        }
        let before = out.len();
        STANDARD.decode_vec(line, out).map_err(|_| self.fault("a line is not canonical base64"))?;
        if out.len() - before < COLUMNS / 4 * 3 {
            self.state = State::Ended;
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::damaged(format!("the armor of the age file is wrong: {what}")).at(self.line_at)
    }
}

impl fmt::Debug for ArmorDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmorDecoder").field("state", &self.state).finish_non_exhaustive()
    }
}

const ARMOR_END: &[u8] = b"-----END AGE ENCRYPTED FILE-----";
const COLUMNS: usize = 64;
/// Of 64 characters and a CR.
const LINE_LEN_MAX: usize = COLUMNS + 1;
/// Before the begin mark and behind the end mark; as age has it.
pub(crate) const WHITE_LEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn armored(body: &str) -> String {
        format!("-----BEGIN AGE ENCRYPTED FILE-----\n{body}-----END AGE ENCRYPTED FILE-----\n")
    }

    /// In pieces of `len` bytes.
    fn decoded(text: &str, len: usize) -> Result<Vec<u8>, Fault> {
        let (mut decoder, mut out) = (ArmorDecoder::default(), Vec::new());
        text.as_bytes().chunks(len).try_for_each(|piece| decoder.push(piece, &mut out))?;
        decoder.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_in_an_armor_comes_out_however_it_is_cut_into_pieces() {
        let bytes: Vec<u8> = (0..150).collect();
        let text = STANDARD.encode(&bytes);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        for end in ["\n", "\r\n"] {
            let file = armored(&format!("{}\n", lines.join("\n"))).replace('\n', end);
            for len in [1, 2, 63, 64, 65, 1000] {
                assert_eq!(decoded(&file, len), Ok(bytes.clone()), "{len}");
                assert_eq!(decoded(file.trim_end(), len), Ok(bytes.clone()), "{len}");
                assert_eq!(decoded(&format!(" \t\n{file}\n  "), len), Ok(bytes.clone()), "{len}");
            }
        }
    }

    #[test]
    fn an_armor_that_is_cut_anywhere_is_not_taken_for_a_whole_one() {
        let file = armored("AAAA\n");
        for len in 0..file.len() - 1 {
            assert!(decoded(&file[..len], 7).is_err(), "{len}");
        }
    }

    #[test]
    fn nothing_grows_with_a_line_that_has_no_end() {
        for begin in ["", "-----BEGIN AGE ENCRYPTED FILE-----\n"] {
            let mut decoder = ArmorDecoder::default();
            let mut out = Vec::new();
            decoder.push(begin.as_bytes(), &mut out).unwrap();
            let refused = (0..100).find_map(|_| decoder.push(&[b'A'; 64], &mut out).err());
            assert!(refused.is_some() && decoder.line.capacity() < 4096, "{begin}");
        }
    }

    #[test]
    fn white_space_around_an_armor_has_a_limit() {
        let file = armored("AAAA\n");
        for (len, taken) in [(1024, true), (1025, false)] {
            let white = "\n".repeat(len);
            assert_eq!(decoded(&format!("{white}{file}"), 100).is_ok(), taken, "{len} before");
            assert_eq!(decoded(&format!("{file}{white}"), 100).is_ok(), taken, "{len} after");
        }
    }
}

//! Owns HTTP/1.1 messages as they come from a connection: heads, whose fields keep their order, and bodies, which stay as they were sent.
//! Knows nothing of what is asked.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

/// How much is read from a connection at once.
const BUFFER_LEN: usize = 256 << 10;

/// Bytes of a head, or of a line that says how long a piece is.
const HEAD_LEN_MAX: usize = 64 << 10;

const FIELDS_MAX: usize = 128;

/// What comes from one end of a connection.
pub(crate) type Incoming = BufReader<TcpStream>;

pub(crate) fn incoming(stream: TcpStream) -> Incoming {
    BufReader::with_capacity(BUFFER_LEN, stream)
}

/// The head of a request or of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The line of the request or of the status, without its end.
    pub(crate) start: String,
    /// Names as they were sent, and values.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn new(start: impl Into<String>) -> Head {
        Head { start: start.into(), fields: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Head {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Reads the next one; none where the connection has ended before it.
    pub(crate) fn read(from: &mut Incoming) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        let mut rest = from.take(HEAD_LEN_MAX as u64);
        loop {
            let line = rest.read_until(b'\n', &mut bytes)?;
            match &bytes[bytes.len() - line..] {
                [] if bytes.is_empty() => return Ok(None),
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                b"\r\n" if line < bytes.len() => return Head::parse(&bytes).map(Some),
                _ => {}
            }
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Head> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("a head {what}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or_else(|| wrong("without a line"))?;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let parsed = httparse::parse_headers(&bytes[end + 2..], &mut fields);
        let httparse::Status::Complete((_, fields)) = parsed.map_err(|error| wrong(&error.to_string()))?
        else {
            return Err(wrong("that does not end"));
        };
        let fields = fields.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
        Ok(Head { start: text(&bytes[..end]), fields })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.fields {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// The value of a field, to be changed.
    pub(crate) fn field_mut(&mut self, name: &str) -> Option<&mut String> {
        let mut found = self.fields.iter_mut().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// Takes away the fields whose lower-case names `unwanted` says yes to. Returns whether there were any.
    pub(crate) fn remove(&mut self, unwanted: impl Fn(&str) -> bool) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(name, _)| !unwanted(&name.to_ascii_lowercase()));
        self.fields.len() < before
    }

    /// Of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// Of a request: the path and what is asked of it, still encoded.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Of an answer; 0 where there is none.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    /// Whether the connection is of no use after the message (RFC 9112, 9.3).
    pub(crate) fn closes(&self) -> bool {
        let asked = self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        asked || self.start.contains("HTTP/1.0")
    }

    /// How the body of a request ends.
    pub(crate) fn request_body(&self) -> io::Result<Framing> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the body of the answer to a request of `method` ends (RFC 9112, 6.3).
    pub(crate) fn answer_body(&self, method: &str) -> io::Result<Framing> {
        match self.status() {
            _ if method == "HEAD" => Ok(Framing::Length(0)),
            100..=199 | 204 | 304 => Ok(Framing::Length(0)),
            _ => Ok(self.framing()?.unwrap_or(Framing::UntilClose)),
        }
    }

    fn framing(&self) -> io::Result<Option<Framing>> {
        if self.field("transfer-encoding").is_some() {
            return Ok(Some(Framing::Chunked));
        }
        let Some(len) = self.field("content-length") else {
            return Ok(None);
        };
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("a content length of {len}"));
        len.parse().map(|len| Some(Framing::Length(len))).map_err(wrong)
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// Hands all bytes of a body to `sink` as they come, with the lines around its pieces.
    pub(crate) fn relay(
        self,
        from: &mut Incoming,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Framing::Length(len) => relay_exact(from, len, sink),
            Framing::UntilClose => loop {
                let bytes = from.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                let len = bytes.len();
                sink(bytes)?;
                from.consume(len);
            },
            Framing::Chunked => {
                while let len @ 1.. = relay_size(from, sink)? {
                    relay_exact(from, len + 2, sink)?;
                }
                // Fields behind the last piece, up to an empty line.
                while relay_line(from, sink)? != b"\r\n" {}
                Ok(())
            }
        }
    }

    /// The body itself, at most `len_max` bytes of it.
    pub(crate) fn read(self, from: &mut Incoming, len_max: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut take = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            if body.len() > len_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        };
        match self {
            Framing::Chunked => {
                while let len @ 1.. = relay_size(from, &mut |_| Ok(()))? {
                    relay_exact(from, len, &mut take)?;
                    relay_line(from, &mut |_| Ok(()))?;
                }
                while relay_line(from, &mut |_| Ok(()))? != b"\r\n" {}
            }
            _ => self.relay(from, &mut take)?,
        }
        Ok(body)
    }
}

fn relay_exact(
    from: &mut Incoming,
    len: u64,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = len;
    while left > 0 {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        sink(&bytes[..len])?;
        from.consume(len);
        left -= len as u64;
    }
    Ok(())
}

/// The line before a piece: its length in hexadecimal digits, and maybe more behind a semicolon.
fn relay_size(from: &mut Incoming, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let line = relay_line(from, sink)?;
    let line = String::from_utf8_lossy(&line);
    let digits = line.split(';').next().unwrap_or_default().trim();
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "a piece without a length");
    u64::from_str_radix(digits, 16).map_err(wrong)
}

fn relay_line(from: &mut Incoming, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(HEAD_LEN_MAX as u64).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    sink(&line)?;
    Ok(line)
}

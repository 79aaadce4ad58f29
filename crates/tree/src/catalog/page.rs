//! A page of a catalog: entries as CBOR, and back (TREE §3).
//! Knows nothing of other pages.

use minicbor::{Decoder, Encoder, decode};

use super::tail::PageRecord;
use crate::{
    Entry, EntryKind, Timestamp, TreeError, TreePath,
    entry::padded,
    limits::{BLOCK_LEN, HEADER_LEN_MAX, LINK_LEN_MAX, MODE_MAX, OWNER_MAX, PAGE_ENTRIES_MAX, PAGE_LEN_MAX, SIZE_MAX},
    path,
};

/// Entries that follow one another, and where they are.
///
/// It keeps their encoding, all of which has been looked at, and 20 bytes for each: an entry is made when it is asked for.
#[derive(Debug)]
pub struct Page {
    /// The number of its first entry.
    pub(crate) first_entry: u64,
    bytes: Vec<u8>,
    /// Where in `bytes` each entry begins.
    offsets: Vec<u32>,
    pub(crate) starts: Vec<Start>,
    /// Behind the padding of its last entry.
    pub(crate) end: Start,
}

/// Where an entry begins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Start {
    /// Where in the archive its header begins.
    pub(crate) header_at: u64,
    /// Bytes of data of all entries before it.
    pub(crate) data_before: u64,
}

impl Page {
    /// Reads a page that begins as `record` says.
    ///
    /// # Errors
    /// It is not the one encoding of entries that may be.
    pub(crate) fn parse(bytes: Vec<u8>, record: &PageRecord) -> Result<Page, TreeError> {
        let fault = |what: String| TreeError::catalog(record.at, what);
        let no_page = |what: String| fault(format!("a page that is none: {what}"));
        let mut decoder = Decoder::new(&bytes);
        let count = entry_count(&mut decoder).map_err(no_page)?;
        let mut again = Vec::new();
        encode_count(count, &mut again);
        let mut is_same = bytes.starts_with(&again);
        let mut start = Start { header_at: record.header_at, data_before: record.data_before };
        let (mut offsets, mut starts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let at = decoder.position();
            let entry = decode_entry(&mut decoder).map_err(no_page)?;
            check_names(entry).map_err(no_page)?;
            again.clear();
            encode_entry(entry, &mut again);
            is_same &= again == bytes[at..decoder.position()];
            offsets.push(at as u32);
            starts.push(start);
            let behind = start.behind(entry.header_len, entry.size);
            start = behind.ok_or_else(|| fault("sizes beyond all numbers".into()))?;
        }
        if decoder.position() != bytes.len() {
            return Err(no_page("bytes behind its entries".into()));
        }
        match is_same {
            true => Ok(Page { first_entry: record.first_entry, bytes, offsets, starts, end: start }),
            false => Err(fault("a page in another encoding than the one there is".into())),
        }
    }

    /// How many entries it has.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    /// The entry at `at`, below [`count`](Self::count).
    pub(crate) fn entry(&self, at: usize) -> EntryRef<'_> {
        EntryRef::of_checked(self.encoded(at))
    }

    /// The bytes of the entry at `at`, below [`count`](Self::count).
    pub(crate) fn encoded(&self, at: usize) -> &[u8] {
        let end = self.offsets.get(at + 1).map_or(self.bytes.len(), |end| *end as usize);
        &self.bytes[self.offsets[at] as usize..end]
    }
}

impl Start {
    /// Where the next entry begins, if that is a number.
    pub(crate) fn behind(self, header_len: u64, size: u64) -> Option<Start> {
        let archive_len = header_len.checked_add(padded(size)?)?;
        Some(Start {
            header_at: self.header_at.checked_add(archive_len)?,
            data_before: self.data_before.checked_add(size)?,
        })
    }
}

/// An [`Entry`] whose path and link lie elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRef<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) kind: EntryKind,
    pub(crate) header_len: u64,
    pub(crate) size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Timestamp,
    pub(crate) changed: bool,
    pub(crate) gone: bool,
    link: &'a [u8],
}

impl EntryRef<'_> {
    /// The entry whose bytes these are, of a page that has been looked at.
    pub(crate) fn of_checked(bytes: &[u8]) -> EntryRef<'_> {
        decode_entry(&mut Decoder::new(bytes)).expect("the page has been looked at")
    }

    pub(crate) fn to_entry(self) -> Entry {
        let EntryRef { kind, header_len, size, mode, uid, gid, modified, changed, gone, .. } = self;
        let path = TreePath::of_checked(self.path);
        Entry { path, kind, header_len, size, mode, uid, gid, modified, changed, gone, link: self.link.to_vec() }
    }
}

impl<'a> From<&'a Entry> for EntryRef<'a> {
    fn from(entry: &'a Entry) -> EntryRef<'a> {
        let &Entry { kind, header_len, size, mode, uid, gid, modified, changed, gone, .. } = entry;
        let (path, link) = (entry.path.as_bytes(), &*entry.link);
        EntryRef { path, kind, header_len, size, mode, uid, gid, modified, changed, gone, link }
    }
}

/// Appends the page of these entries to `out`.
pub(crate) fn encode_entries(entries: &[Entry], out: &mut Vec<u8>) {
    encode_count(entries.len(), out);
    entries.iter().for_each(|entry| encode_entry(entry.into(), out));
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    // Memory takes whatever is written.
    let Ok(_) = Encoder::new(out).array(count as u64) else { unreachable!("an error of what has none") };
}

fn encode_entry(entry: EntryRef<'_>, out: &mut Vec<u8>) {
    let Ok(()) = encode(entry, &mut Encoder::new(out)) else { unreachable!("an error of what has none") };
}

fn encode(
    entry: EntryRef<'_>,
    encoder: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    encoder.array(if entry.kind.is_link() { 11 } else { 10 })?;
    encoder.bytes(entry.path)?;
    encoder.u8(entry.kind.typeflag())?.u64(entry.header_len)?.u64(entry.size)?.u32(entry.mode)?;
    encoder.u32(entry.uid)?.u32(entry.gid)?.i64(entry.modified.seconds)?.u32(entry.modified.nanos)?;
    encoder.u8(u8::from(entry.changed) | u8::from(entry.gone) << 1)?;
    if entry.kind.is_link() {
        encoder.bytes(entry.link)?;
    }
    Ok(())
}

fn entry_count(decoder: &mut Decoder<'_>) -> Result<usize, String> {
    match array_len(decoder)? {
        count @ 1..=PAGE_ENTRIES_MAX_U64 => Ok(count as usize),
        count => Err(format!("{count} entries")),
    }
}

/// The next entry, all but whether path and link may be those of one: [`check_names`].
fn decode_entry<'a>(decoder: &mut Decoder<'a>) -> Result<EntryRef<'a>, String> {
    let elements = array_len(decoder)?;
    let path = decoder.bytes().map_err(say)?;
    let flag = u8::try_from(number(decoder, u64::from(u8::MAX))?).unwrap_or_default();
    let kind = EntryKind::of_typeflag(flag).ok_or("an entry of no type that may be")?;
    let header_len = number(decoder, HEADER_LEN_MAX as u64)?;
    let is_header = header_len.is_multiple_of(BLOCK_LEN as u64) && !matches!(header_len, 0 | 1_024);
    let size = number(decoder, if kind == EntryKind::File { SIZE_MAX } else { 0 })?;
    let [mode, uid, gid] = [MODE_MAX, OWNER_MAX, OWNER_MAX].map(|max| small(decoder, max));
    let seconds = decoder.i64().map_err(say)?;
    let nanos = small(decoder, 999_999_999)?;
    let flags = number(decoder, if kind == EntryKind::File { FLAGS_MAX } else { 0 })?;
    let (changed, gone) = (flags & 1 == 1, flags & 2 == 2);
    let link = if kind.is_link() { decoder.bytes().map_err(say)? } else { &[] };
    if !is_header || elements != if kind.is_link() { 11 } else { 10 } {
        return Err(format!("a header of {header_len} bytes, or an entry of {elements} elements"));
    }
    if gone && !changed {
        return Err("a file that was gone and has not changed".into());
    }
    let modified = Timestamp { seconds, nanos };
    let (mode, uid, gid) = (mode?, uid?, gid?);
    Ok(EntryRef { path, kind, header_len, size, mode, uid, gid, modified, changed, gone, link })
}

fn check_names(entry: EntryRef<'_>) -> Result<(), String> {
    path::check(entry.path).map_err(|fault| format!("a path that {fault}"))?;
    if entry.path == path::ROOT && entry.kind != EntryKind::Directory {
        return Err("a root that is not a directory".into());
    }
    let link = entry.link;
    let is_good = match entry.kind {
        EntryKind::HardLink => path::check(link).is_ok() && link != path::ROOT,
        EntryKind::Symlink => (1..=LINK_LEN_MAX).contains(&link.len()) && !link.contains(&0),
        _ => true,
    };
    if is_good { Ok(()) } else { Err("a link to no path that may be".into()) }
}

fn array_len(decoder: &mut Decoder<'_>) -> Result<u64, String> {
    decoder.array().map_err(say)?.ok_or_else(|| "an array of no definite length".into())
}

fn number(decoder: &mut Decoder<'_>, max: u64) -> Result<u64, String> {
    match decoder.u64().map_err(say)? {
        number if number <= max => Ok(number),
        number => Err(format!("{number} where at most {max} may be")),
    }
}

fn small(decoder: &mut Decoder<'_>, max: u64) -> Result<u32, String> {
    u32::try_from(number(decoder, max)?).map_err(|error| error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn say(error: decode::Error) -> String {
    error.to_string()
}

/// All flags of a file.
const FLAGS_MAX: u64 = 3;
const PAGE_ENTRIES_MAX_U64: u64 = PAGE_ENTRIES_MAX as u64;

// An offset in a page fits 4 bytes.
const _: () = assert!(PAGE_LEN_MAX <= u32::MAX as usize);

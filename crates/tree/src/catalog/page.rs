//! A page of a catalog: entries as CBOR, and back (TREE §3).
//! Knows nothing of other pages.

use minicbor::{Decoder, Encoder, decode};

use super::tail::PageRecord;
use crate::{
    Entry, EntryKind, Timestamp, TreeError, TreePath,
    limits::{BLOCK_LEN, HEADER_LEN_MAX, LINK_LEN_MAX, MODE_MAX, OWNER_MAX, PAGE_ENTRIES_MAX, SIZE_MAX},
};

/// Entries that follow one another, and where they are.
#[derive(Debug)]
pub struct Page {
    /// The number of its first entry.
    pub(crate) first_entry: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) starts: Vec<Start>,
    /// Behind the padding of its last entry.
    pub(crate) end: Start,
}

/// Where an entry begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    pub(crate) fn parse(bytes: &[u8], record: &PageRecord) -> Result<Page, TreeError> {
        let fault = |what: String| TreeError::catalog(record.at, what);
        let entries = decode_entries(bytes).map_err(|what| fault(format!("a page that is none: {what}")))?;
        let mut again = Vec::with_capacity(bytes.len());
        encode_entries(&entries, &mut again);
        if again != bytes {
            return Err(fault("a page in another encoding than the one there is".into()));
        }
        let mut start = Start { header_at: record.header_at, data_before: record.data_before };
        let mut starts = Vec::with_capacity(entries.len());
        for entry in &entries {
            starts.push(start);
            start = start.behind(entry).ok_or_else(|| fault("sizes beyond all numbers".into()))?;
        }
        Ok(Page { first_entry: record.first_entry, entries, starts, end: start })
    }
}

impl Start {
    /// Where the next entry begins.
    pub(crate) fn behind(self, entry: &Entry) -> Option<Start> {
        Some(Start {
            header_at: self.header_at.checked_add(entry.archive_len()?)?,
            data_before: self.data_before.checked_add(entry.size)?,
        })
    }
}

/// Appends the page of these entries to `out`.
pub(crate) fn encode_entries(entries: &[Entry], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(out);
    let done = encoder.array(entries.len() as u64).map(drop);
    // Memory takes whatever is written.
    let Ok(()) = done.and_then(|()| entries.iter().try_for_each(|entry| encode(entry, &mut encoder))) else {
        unreachable!("an error of what has none")
    };
}

fn encode(
    entry: &Entry,
    encoder: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    encoder.array(if entry.kind.is_link() { 11 } else { 10 })?;
    encoder.bytes(entry.path.as_bytes())?;
    encoder.u8(entry.kind.typeflag())?.u64(entry.header_len)?.u64(entry.size)?.u32(entry.mode)?;
    encoder.u32(entry.uid)?.u32(entry.gid)?.i64(entry.modified.seconds)?.u32(entry.modified.nanos)?;
    encoder.u8(u8::from(entry.changed) | u8::from(entry.gone) << 1)?;
    if entry.kind.is_link() {
        encoder.bytes(&entry.link)?;
    }
    Ok(())
}

fn decode_entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut decoder = Decoder::new(bytes);
    let count = array_len(&mut decoder)?;
    if !(1..=PAGE_ENTRIES_MAX as u64).contains(&count) {
        return Err(format!("{count} entries"));
    }
    let entries = (0..count).map(|_| decode_entry(&mut decoder)).collect::<Result<Vec<_>, _>>()?;
    match decoder.position() == bytes.len() {
        true => Ok(entries),
        false => Err("bytes behind its entries".into()),
    }
}

fn decode_entry(decoder: &mut Decoder<'_>) -> Result<Entry, String> {
    let elements = array_len(decoder)?;
    let path =
        TreePath::parse(decoder.bytes().map_err(say)?).map_err(|fault| format!("a path that {fault}"))?;
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
    let link = match kind.is_link() {
        true => decoder.bytes().map_err(say)?.to_vec(),
        false => Vec::new(),
    };
    if !is_header || elements != if kind.is_link() { 11 } else { 10 } {
        return Err(format!("a header of {header_len} bytes, or an entry of {elements} elements"));
    }
    if gone && !changed {
        return Err("a file that was gone and has not changed".into());
    }
    if path.is_root() && kind != EntryKind::Directory {
        return Err("a root that is not a directory".into());
    }
    check_link(kind, &link)?;
    let modified = Timestamp { seconds, nanos };
    let (mode, uid, gid) = (mode?, uid?, gid?);
    Ok(Entry { path, kind, header_len, size, mode, uid, gid, modified, changed, gone, link })
}

fn check_link(kind: EntryKind, link: &[u8]) -> Result<(), String> {
    let is_good = match kind {
        EntryKind::HardLink => TreePath::parse(link).is_ok_and(|target| !target.is_root()),
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

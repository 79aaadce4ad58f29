//! A page of a catalog: entries as CBOR, and back (TREE §3).
//! Knows nothing of other pages.

use minicbor::{Decoder, Encoder, decode};

use super::tail::PageRecord;
use crate::{
    Entry, EntryKind, Timestamp, TreeError, TreePath,
    entry::padded,
    limits::{
        BLOCK_LEN, HEADER_LEN_MAX, LINK_LEN_MAX, MODE_MAX, OWNER_MAX, PAGE_ENTRIES_MAX, PAGE_LEN_MAX,
        SIZE_MAX,
    },
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
        let mut is_shortest = decoder.position() == head_len(count as u64);
        let mut start = Start { header_at: record.header_at, data_before: record.data_before };
        let (mut offsets, mut starts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let at = decoder.position();
            let entry = decode_entry(&mut decoder).map_err(no_page)?;
            check_names(entry).map_err(no_page)?;
            is_shortest &= decoder.position() - at == entry.encoded_len();
            offsets.push(at as u32);
            starts.push(start);
            let behind = start.behind(entry.header_len, entry.size);
            start = behind.ok_or_else(|| fault("sizes beyond all numbers".into()))?;
        }
        if decoder.position() != bytes.len() {
            return Err(no_page("bytes behind its entries".into()));
        }
        match is_shortest {
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
    /// Bytes of its encoding. Every other one that [`decode_entry`] takes is longer: it takes no indefinite lengths, and all that is left are heads
    /// that say a number in more bytes than it needs.
    fn encoded_len(&self) -> usize {
        let seconds = self.modified.seconds;
        let seconds = if seconds < 0 { !seconds } else { seconds }.cast_unsigned();
        let [mode, uid, gid, nanos] = [self.mode, self.uid, self.gid, self.modified.nanos].map(u64::from);
        let numbers = [self.header_len, self.size, mode, uid, gid, seconds, nanos];
        let link_len = if self.kind.is_link() { bytes_len(self.link) } else { 0 };
        // The array's head, and the flags, are a byte each.
        let flag_len = head_len(u64::from(self.kind.typeflag()));
        1 + bytes_len(self.path) + flag_len + numbers.map(head_len).iter().sum::<usize>() + 1 + link_len
    }

    /// The entry whose bytes these are, of a page that has been looked at.
    pub(crate) fn of_checked(bytes: &[u8]) -> EntryRef<'_> {
        decode_entry(&mut Decoder::new(bytes)).expect("the page has been looked at")
    }

    pub(crate) fn to_entry(self) -> Entry {
        let EntryRef { kind, header_len, size, mode, uid, gid, modified, changed, gone, .. } = self;
        let path = TreePath::of_checked(self.path);
        Entry {
            path,
            kind,
            header_len,
            size,
            mode,
            uid,
            gid,
            modified,
            changed,
            gone,
            link: self.link.to_vec(),
        }
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
    let mut encoder = Encoder::new(out);
    let done = encoder.array(entries.len() as u64).map(drop);
    // Memory takes whatever is written.
    let Ok(()) = done.and_then(|()| entries.iter().try_for_each(|entry| encode(entry.into(), &mut encoder)))
    else {
        unreachable!("an error of what has none")
    };
}

/// Bytes that say a number, or a length, at least.
fn head_len(number: u64) -> usize {
    match number {
        ..24 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        0x1_0000_0000.. => 9,
    }
}

fn bytes_len(bytes: &[u8]) -> usize {
    head_len(bytes.len() as u64) + bytes.len()
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
    let (mode, uid, gid) =
        (small(decoder, MODE_MAX)?, small(decoder, OWNER_MAX)?, small(decoder, OWNER_MAX)?);
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
        number => Err(too_great(number, max)),
    }
}

fn small(decoder: &mut Decoder<'_>, max: u64) -> Result<u32, String> {
    let number = number(decoder, max)?;
    u32::try_from(number).map_err(|_| too_great(number, max))
}

#[cold]
fn too_great(number: u64, max: u64) -> String {
    format!("{number} where at most {max} may be")
}

#[cold]
#[allow(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn say(error: decode::Error) -> String {
    error.to_string()
}

/// All flags of a file.
const FLAGS_MAX: u64 = 3;
const PAGE_ENTRIES_MAX_U64: u64 = PAGE_ENTRIES_MAX as u64;

// An offset in a page fits 4 bytes.
const _: () = assert!(PAGE_LEN_MAX <= u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Member;

    fn parse(bytes: &[u8]) -> Result<Vec<Entry>, TreeError> {
        let record = PageRecord { at: 0, first_entry: 0, header_at: 0, data_before: 0 };
        Page::parse(bytes.to_vec(), &record).map(|page| page.entries().collect())
    }

    fn file(size: u64, seconds: i64) -> Entry {
        let modified = Timestamp { seconds, nanos: 0 };
        let path = TreePath::parse(b"a").unwrap();
        Member { size, modified, ..Member::new(path, EntryKind::File, 0o644) }.to_entry(512)
    }

    #[test]
    fn numbers_of_every_length_are_read_as_they_were_written() {
        // The last number of each length and the first of the next (RFC 8949 §3).
        let sizes = [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, SIZE_MAX];
        let before_1970 = [-1, -24, -25, -256, -257, -65_536, -65_537, -(1 << 32), -(1 << 32) - 1, i64::MIN];
        let times = sizes.map(|number| number.cast_signed()).into_iter().chain(before_1970);
        for (size, seconds) in times.flat_map(|seconds| sizes.map(|size| (size, seconds))) {
            let entries = [file(size, seconds)];
            let mut bytes = Vec::new();
            encode_entries(&entries, &mut bytes);
            assert_eq!(parse(&bytes).unwrap(), entries);
        }
        let paths = [1, 23, 24, 255].map(|len| "n".repeat(len)).into_iter();
        let mut entries: Vec<Entry> = paths
            .map(|path| Entry { path: TreePath::parse(path.as_bytes()).unwrap(), ..file(5, 0) })
            .collect();
        let link = vec![b'l'; 256];
        entries.push(Entry { kind: EntryKind::Symlink, size: 0, link, ..entries[0].clone() });
        let mut bytes = Vec::new();
        encode_entries(&entries, &mut bytes);
        assert_eq!(parse(&bytes).unwrap(), entries);
    }

    #[test]
    fn a_number_in_more_bytes_than_it_needs_is_refused() {
        // An array of one array of ten: `a`, `0`, 512, 5, 0644, and zeros.
        let bytes = b"\x81\x8a\x41a\x18\x30\x19\x02\x00\x05\x19\x01\xa4\0\0\0\0\0";
        assert_eq!(parse(bytes).unwrap(), [file(5, 0)]);
        let longer: [(usize, usize, &[u8]); 9] = [
            (0, 1, b"\x98\x01"),
            (1, 2, b"\x98\x0a"),
            (2, 3, b"\x58\x01"),
            (4, 6, b"\x19\x00\x30"),
            (6, 9, b"\x1a\0\0\x02\0"),
            (9, 10, b"\x18\x05"),
            (10, 13, b"\x1b\0\0\0\0\0\0\x01\xa4"),
            (15, 16, b"\x18\0"),
            (17, 18, b"\x19\0\0"),
        ];
        for (from, to, longer) in longer {
            let error = parse(&[&bytes[..from], longer, &bytes[to..]].concat()).unwrap_err();
            assert!(error.to_string().contains("another encoding"), "{from}: {error}");
        }
        for indefinite in [&b"\x9f"[..], b"\x5f\x41a\xff"] {
            let place = if indefinite.len() == 1 { 1..2 } else { 2..4 };
            let bytes = [&bytes[..place.start], indefinite, &bytes[place.end..], b"\xff"].concat();
            assert!(parse(&bytes).unwrap_err().to_string().contains("a page that is none"));
        }
    }
}

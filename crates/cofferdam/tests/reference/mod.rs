//! Owns one plain reading of a sealed stream, from its first byte to its last: the shortest introduction to
//! docs/FORMAT.md, and the oracle of the tests. Read it from `open` (§3) downwards: the functions follow §§4 to 9.
//! Refuses to know threads, sinks, ranges, resuming and speed, and shares no code with Cofferdam's own crates.
#![allow(dead_code, reason = "each test reads the part of the result that it needs")]

mod key_area;
mod primitives;

pub(crate) use key_area::KeyCopies;
use key_area::open_key_area;
use primitives::{
    Input, Keys, all_zero, at_frame, decompress, expand, hash, label, plain_hash, u16_at, u32_at,
};

#[allow(clippy::enum_variant_names, reason = "a key file is called one")]
pub(crate) enum Key {
    KeyFile([u8; 32]),
    AgeIdentity(String),
    Passphrase(String),
    /// All of these, each tried on each slot.
    Several(Vec<Key>),
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plaintext: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) stream_digest: [u8; 32],
    pub(crate) segments: usize,
    pub(crate) key_copies: KeyCopies,
}

pub(crate) type Metadata = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Damaged(&'static str),
    NotAStream,
    Truncated,
    NoKey,
    Limit,
    Unsupported,
}

/// What a restore says of `sealed`.
pub(crate) fn open(sealed: &[u8], key: &Key) -> Result<Opened, Verdict> {
    read(sealed, Some(key), Purpose::Restore)
}

/// What a complete verification says of `sealed`, with the key or without any.
pub(crate) fn verify(sealed: &[u8], key: Option<&Key>) -> Result<Opened, Verdict> {
    read(sealed, key, Purpose::Verify)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Restore,
    Verify,
}

fn read(sealed: &[u8], key: Option<&Key>, purpose: Purpose) -> Result<Opened, Verdict> {
    let mut input = Input { bytes: sealed, at: 0 };
    let pre = &read_preamble(&mut input)?[..128];
    ensure(key.is_some() || pre[11] != 3, Verdict::Unsupported)?; // *tags* say nothing to whoever has no key
    let (keys, key_copies) = open_key_area(&mut input, pre, key)?;
    sound(key_copies == KeyCopies::Good || purpose == Purpose::Restore, "one key copy")?;
    let origin = input.at; // all offsets in the index count from here
    let metadata = read_metadata(&mut input, pre, &keys)?;
    let mut chain = hash(pre[11], &[&label("stream"), &pre[..112], &sealed[origin..input.at]]);
    let (mut plaintext, mut entries, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = false;
    while !last {
        let entry;
        let place = [entries.len(), input.at - origin];
        (entry, last) = read_segment(&mut input, pre, &keys, place, &mut plaintext, &mut chain)?;
        entries.push(entry);
        if last || entries.len() % 4096 == 0 {
            let offset = le64(input.at - origin);
            let mac = check_index_page(&mut input, &keys, pages.len(), &entries)?;
            pages.push([&offset[..], &mac].concat());
        }
    }
    check_end(&mut input, origin, &keys, &pages, [entries.len(), plaintext.len()], &chain)?;
    Ok(Opened { plaintext, metadata, stream_digest: chain, segments: entries.len(), key_copies })
}

fn read_preamble<'a>(input: &mut Input<'a>) -> Result<&'a [u8], Verdict> {
    let begins = |(byte, magic)| byte == magic;
    ensure(input.bytes.iter().zip(b"\x89CFD\r\n\x1a\n").all(begins), Verdict::NotAStream)?;
    let block = input.take(4096)?;
    let known = u16_at(block, 8) == 1 && matches!((block[10], block[11]), (1..=2, 1..=3));
    ensure(known && u32_at(block, 12) <= 1, Verdict::Unsupported)?; // bit 0: compressed, as `pre[12]` below
    let [frame_len, frames_per_segment, key_copy_len] = [16, 20, 112].map(|at| u64::from(u32_at(block, at)));
    ensure((4096..=4 << 20).contains(&frame_len), Verdict::Limit)?;
    sound(frame_len % 4096 == 0 && frames_per_segment > 0, "frame sizes in the preamble")?;
    ensure(frame_len * frames_per_segment <= 1 << 30, Verdict::Limit)?;
    sound(key_copy_len > 0 && key_copy_len % 4096 == 0, "size of the key copies")?;
    ensure(key_copy_len <= 256 << 10, Verdict::Limit)?;
    sound(all_zero(&block[24..32]) && all_zero(&block[116..]), "preamble bytes that must be zero")?;
    Ok(block)
}

fn read_metadata(input: &mut Input<'_>, pre: &[u8], keys: &Keys) -> Result<Metadata, Verdict> {
    let header = input.take(32)?;
    let body_len = u32_at(header, 16) as usize;
    ensure(body_len <= (64 << 10) + 16, Verdict::Limit)?;
    sound(body_len >= 16 && all_zero(&header[20..]), "metadata header")?;
    let secret = expand(&keys.stream, "metadata", header);
    let plain =
        keys.open(pre[10], &secret, b"", input.take(body_len)?).ok_or(Verdict::Damaged("metadata tag"))?;
    if !keys.are_known() {
        return Ok(Metadata::new());
    }
    let (mut entries, mut metadata) = (Input { bytes: &plain, at: 0 }, Metadata::new());
    let overrun = |_| Verdict::Damaged("metadata entry");
    while entries.at < plain.len() {
        let lens = entries.take(6).map_err(overrun)?;
        let name = entries.take(u16_at(lens, 0) as usize).map_err(overrun)?;
        let value = entries.take(u32_at(lens, 2) as usize).map_err(overrun)?;
        sound(metadata.last().is_none_or(|before| before.0[..] < *name), "order of metadata keys")?;
        metadata.push((name.to_vec(), value.to_vec()));
    }
    Ok(metadata)
}

/// Adds the segment's plaintext, moves the chain on, and returns the index entry, and whether this is the last one.
fn read_segment(
    input: &mut Input<'_>,
    pre: &[u8],
    keys: &Keys,
    [index, wire_offset]: [usize; 2],
    plaintext: &mut Vec<u8>,
    chain: &mut [u8; 32],
) -> Result<(Vec<u8>, bool), Verdict> {
    let (wire_start, plaintext_offset) = (input.at, plaintext.len());
    let header = input.take(48)?;
    let expected = [b"CFDSEG1\0", &le64(index)[..], &le64(plaintext_offset), &[0; 8]].concat();
    sound(header[..32] == expected, "segment header")?;
    let secret = expand(&keys.stream, "segment", header);
    let mut frames = read_frames(input, pre, keys, &secret, plaintext)?;
    let (plaintext_len, count) = (plaintext.len() - plaintext_offset, frames.count.to_le_bytes());
    let (digest_header, fields_len) = match pre[12] {
        0 => (frames.next_header, 48),
        _ => (read_table(input, pre, keys, &secret, &mut frames)?, 80),
    };
    sound(*digest_header == frame_header(2, frames.count, 0, fields_len as u32), "DIGEST header")?;
    let (digest_rest, terminator) = input.take(fields_len + 80)?.split_at(fields_len);
    let record = [digest_header, digest_rest].concat();
    let (fields, tag) = record.split_at(fields_len);
    let plain_digest = &fields[48..]; // of no bytes where nothing is compressed
    let due = plain_hash(&keys.plaintext, "plain", &[header, &frames.plain_fragments, &count]);
    let holds = plain_digest.is_empty() || !keys.are_known() || *plain_digest == due;
    sound(holds, "plaintext digest")?;
    let parts = [&label("digest"), &pre[..112], header, &frames.fragments, plain_digest, &count];
    let digest = hash(pre[11], &parts);
    sound(fields[16..48] == digest, "digest")?;
    keys.open(pre[10], &at_frame(&secret, fields), fields, tag).ok_or(Verdict::Damaged("DIGEST tag"))?;

    let (fields, tag) = terminator.split_at(64);
    let last = fields[20] == 1;
    let counts = [count, u32::from(last).to_le_bytes()].concat();
    let expected =
        [&frame_header(3, frames.count + 1, 0, 64), &counts[..], &le64(plaintext_len), &chain[..]].concat();
    sound(*fields == expected && (frames.count > 0 || last), "TERMINATOR fields")?;
    keys.open(pre[10], &at_frame(&secret, fields), fields, tag).ok_or(Verdict::Damaged("TERMINATOR tag"))?;
    *chain = hash(pre[11], &[&label("chain"), &record, terminator]);

    let offsets = [wire_offset, input.at - wire_start, plaintext_offset].map(le64).concat();
    let counts = [&le64(plaintext_len)[..4], &count].concat();
    Ok(([&offsets[..], &counts, &header[32..], &digest, plain_digest].concat(), last))
}

/// The DATA frames of a segment, as they add up.
#[derive(Default)]
struct Frames<'a> {
    count: u32,
    fragments: Vec<u8>,
    plain_fragments: Vec<u8>,
    /// As a TABLE says them.
    body_lens: Vec<u8>,
    /// Of the record that follows them.
    next_header: &'a [u8],
}

fn read_frames<'a>(
    input: &mut Input<'a>,
    pre: &[u8],
    keys: &Keys,
    secret: &[u8; 44],
    plaintext: &mut Vec<u8>,
) -> Result<Frames<'a>, Verdict> {
    let (frame_len, frames_per_segment) = (u32_at(pre, 16), u32_at(pre, 20));
    let (mut frames, mut after_short) = (Frames::default(), false);
    loop {
        let header = input.take(16)?;
        if header[0] != 1 {
            return Ok(Frames { next_header: header, ..frames });
        }
        let [plain_len, body_len] = [8, 12].map(|at| u32_at(header, at));
        let mut expected = frame_header(1, frames.count, plain_len, body_len);
        expected[1] = header[1] & pre[12]; // whether it is compressed
        sound(*header == expected, "DATA header")?;
        sound(frames.count < frames_per_segment && !after_short, "a DATA frame where none may stand")?;
        sound((1..=frame_len).contains(&plain_len), "DATA plaintext_len")?;
        let plain_body_len = plain_len + 16;
        let due = if header[1] == 1 { 17..plain_body_len } else { plain_body_len..plain_body_len + 1 };
        sound(due.contains(&body_len), "DATA body_len")?;
        let body = input.take(body_len as usize)?;
        let text = keys.open(pre[10], &at_frame(secret, header), header, body);
        let text = text.ok_or(Verdict::Damaged("DATA tag"))?;
        let plain = match header[1] {
            0 => text,
            _ if keys.are_known() => {
                decompress(&text, plain_len as usize).ok_or(Verdict::Damaged("zstd frame"))?
            }
            _ => vec![0; plain_len as usize],
        };
        frames.fragments.extend(fragment(pre[11], header, body));
        let parts = [&frames.count.to_le_bytes()[..], &plain];
        frames.plain_fragments.extend(plain_hash(&keys.plaintext, "plain-frame", &parts));
        frames.body_lens.extend(body_len.to_le_bytes());
        plaintext.extend(plain);
        (frames.count, after_short) = (frames.count + 1, plain_len < frame_len);
    }
}

/// Returns the header of what follows the TABLE.
fn read_table<'a>(
    input: &mut Input<'a>,
    pre: &[u8],
    keys: &Keys,
    secret: &[u8; 44],
    frames: &mut Frames<'a>,
) -> Result<&'a [u8], Verdict> {
    let (header, lens_len) = (frames.next_header, frames.body_lens.len());
    sound(*header == frame_header(4, frames.count, 0, lens_len as u32 + 16), "TABLE header")?;
    let body = input.take(lens_len + 16)?;
    let (lens, tag) = body.split_at(lens_len);
    sound(*lens == frames.body_lens, "lengths in the TABLE")?;
    let opened = keys.open(pre[10], &at_frame(secret, header), &[header, lens].concat(), tag);
    opened.ok_or(Verdict::Damaged("TABLE tag"))?;
    frames.fragments.extend(fragment(pre[11], header, body));
    input.take(16)
}

/// What a DATA frame or a TABLE adds to the digest of its segment.
fn fragment(digest: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    match digest {
        3 => body[body.len() - 16..].to_vec(),
        _ => hash(digest, &[&label("frame"), header, body]).to_vec(),
    }
}

/// Returns the page's MAC, which the directory repeats.
fn check_index_page(
    input: &mut Input<'_>,
    keys: &Keys,
    page: usize,
    entries: &[Vec<u8>],
) -> Result<[u8; 32], Verdict> {
    let listed = &entries[page * 4096..];
    let numbers = [&le64(page)[..4], &le64(listed.len())[..4], &le64(page * 4096), &[0; 8]].concat();
    let fields = [&b"CFDIDX1\0"[..], &numbers, &listed.concat()].concat();
    let (seen, seen_mac) = input.take(fields.len() + 32)?.split_at(fields.len());
    let mac = keys.index_mac("page", &[&fields], seen_mac);
    sound(*seen == fields && *seen_mac == mac, "index page")?;
    Ok(mac)
}

fn check_end(
    input: &mut Input<'_>,
    origin: usize,
    keys: &Keys,
    pages: &[Vec<u8>],
    [segments, plaintext_len]: [usize; 2],
    stream_digest: &[u8; 32],
) -> Result<(), Verdict> {
    let directory_offset = input.at - origin;
    let directory = pages.concat();
    sound(*input.take(directory.len())? == directory, "directory")?;
    let wire_len = input.at + 112 - origin;
    let numbers = [pages.len(), directory_offset, segments, plaintext_len, wire_len].map(le64).concat();
    let fields = [b"CFDEND1\0", &numbers[..], stream_digest].concat();
    let (seen, seen_mac) = input.take(112)?.split_at(80);
    let mac = keys.index_mac("footer", &[&directory, &fields], seen_mac);
    sound(*seen == fields && *seen_mac == mac, "footer")?;
    sound(input.at == input.bytes.len(), "bytes after the footer")
}

fn frame_header(kind: u8, index: u32, plaintext_len: u32, body_len: u32) -> [u8; 16] {
    let fields = [u32::from(kind), index, plaintext_len, body_len].map(u128::from);
    (fields[0] | fields[1] << 32 | fields[2] << 64 | fields[3] << 96).to_le_bytes()
}

fn le64(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

fn sound(holds: bool, what: &'static str) -> Result<(), Verdict> {
    ensure(holds, Verdict::Damaged(what))
}

fn ensure(holds: bool, otherwise: Verdict) -> Result<(), Verdict> {
    if holds { Ok(()) } else { Err(otherwise) }
}

//! Owns what somebody who has a stream's key and its storage can do: segments sealed anew in their places, index and MACs to match.
//! Refuses to know what any reader makes of it.

use std::ops::Range;

use frame_worker::{Backend, ChainValue, ClosingFields, Compression, FrameIndex, FrameWorker, SegmentDigest};
use framing::{
    DirectoryEntry, Footer, IndexEntry, IndexPage, Preamble, SegmentHeader, SegmentIndex, encode_directory,
};
use keys::{Identities, KeySchedule, SealedSlot, StreamKey, WrappingKey};

use super::KEY;
use super::map::{Kind, ranges, segments};

/// A stream of one index page, sealed under [`KEY`] alone, in the hands of a forger.
pub(crate) struct Forger {
    sealed: Vec<u8>,
    preamble: Preamble,
    schedule: KeySchedule,
    segments: Vec<Range<usize>>,
    entries: Vec<IndexEntry>,
    footer: Footer,
}

/// What a trailer says, before its MACs are made.
pub(crate) struct Claims {
    /// Bytes between the last segment and the page.
    pub(crate) gap: Vec<u8>,
    pub(crate) page: IndexPage,
    /// In the place of the page's own.
    pub(crate) page_mac: Option<[u8; 32]>,
    /// What the directory says of the page; its MAC is made.
    pub(crate) listed: DirectoryEntry,
    /// In the place of the page's MAC in the directory.
    pub(crate) listed_mac: Option<[u8; 32]>,
    pub(crate) footer: Footer,
}

impl Forger {
    pub(crate) fn of(sealed: &[u8]) -> Forger {
        let only = |kind| ranges(sealed, kind).pop().unwrap();
        let (page, _) = IndexPage::parse(&sealed[only(Kind::Page)], Compression::None).unwrap();
        let (footer, _) = Footer::parse(&sealed[only(Kind::Footer)]).unwrap();
        assert_eq!((page.page, footer.pages), (0, 1));
        let preamble = Preamble::parse(&sealed[..4096]).unwrap();
        Forger {
            schedule: schedule(sealed, &preamble),
            segments: segments(sealed),
            entries: page.entries,
            sealed: sealed.to_vec(),
            preamble,
            footer,
        }
    }

    /// The chain before the first segment.
    pub(crate) fn chain_start(&self) -> ChainValue {
        let metadata = ranges(&self.sealed, Kind::Metadata).remove(0);
        ChainValue::start(self.preamble.digest, &self.bound(), &self.sealed[metadata])
    }

    /// The chain behind the segment that stands at `index` now.
    pub(crate) fn chain_behind(&self, index: usize) -> ChainValue {
        let end = self.segments[index].end;
        ChainValue::after(self.preamble.digest, self.sealed[end - 144..end].try_into().unwrap())
    }

    /// Plaintext bytes of the segment at `index`.
    pub(crate) fn plaintext_len(&self, index: usize) -> usize {
        self.entries[index].plaintext_len as usize
    }

    /// Puts a segment of `plaintext`, as long as the one that stands there, in the place of segment `index`, behind `chain`, with
    /// closing frames that say what `edit` has them say. Gives the chain behind it.
    pub(crate) fn put(
        &mut self,
        index: usize,
        plaintext: &[u8],
        chain: ChainValue,
        edit: impl FnOnce(&mut ClosingFields),
    ) -> ChainValue {
        assert_eq!(plaintext.len(), self.plaintext_len(index));
        // Another attempt at the same segment draws another salt.
        self.entries[index].attempt_salt[0] ^= 1;
        let (header, worker) = self.worker(index);
        let mut frames = vec![0; FrameWorker::run_wire_len(self.preamble.shape, plaintext.len())];
        let mut digest = SegmentDigest::new(self.preamble.digest, &self.bound(), &header.to_bytes());
        let sealed = worker.seal_run(FrameIndex(0), plaintext, &mut frames).unwrap();
        sealed.iter().for_each(|frame| digest.absorb(frame));
        self.entries[index].digest = digest.finish(self.entries[index].frame_count, None);
        let mut fields = self.closing_fields(index, chain);
        edit(&mut fields);
        self.entries[index].digest = fields.digest;
        let segment = [&header.to_bytes()[..], &frames, &worker.seal_closing(&fields)].concat();
        self.sealed[self.segments[index].clone()].copy_from_slice(&segment);
        self.chain_behind(index)
    }

    /// Seals the segments from `first` on anew, with plaintext of the forger's own, each behind the one before.
    pub(crate) fn put_all_from(&mut self, first: usize, mut chain: ChainValue) -> ChainValue {
        for index in first..self.segments.len() {
            chain = self.put(index, &vec![0xF0; self.plaintext_len(index)], chain, |_| {});
        }
        chain
    }

    /// The chain over the entries, whatever stands in the segments.
    pub(crate) fn chain_over_entries(&self) -> ChainValue {
        (0..self.entries.len()).fold(self.chain_start(), |chain, index| {
            let closing = self.worker(index).1.seal_closing(&self.closing_fields(index, chain));
            ChainValue::after(self.preamble.digest, &closing)
        })
    }

    /// Has the footer say this of the whole stream.
    pub(crate) fn say_digest(&mut self, chain: ChainValue) {
        self.footer.stream_digest = chain.0;
    }

    /// The stream, with an index that names what stands in it, and every MAC right.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.finish_with(|_| {})
    }

    /// The stream, with a trailer that claims what `edit` has it claim, and every MAC right that it does not replace.
    pub(crate) fn finish_with(self, edit: impl FnOnce(&mut Claims)) -> Vec<u8> {
        let mut sealed = self.sealed;
        let page_at = ranges(&sealed, Kind::Page)[0].start;
        let mut claims = Claims {
            gap: Vec::new(),
            page: IndexPage { page: 0, first_segment: SegmentIndex(0), entries: self.entries },
            page_mac: None,
            listed: DirectoryEntry {
                offset: (page_at - self.preamble.origin() as usize) as u64,
                mac: [0; 32],
            },
            listed_mac: None,
            footer: self.footer,
        };
        edit(&mut claims);
        let page = claims.page.to_bytes();
        let mac = claims.page_mac.unwrap_or_else(|| self.schedule.page_mac(&page));
        claims.listed.mac = claims.listed_mac.unwrap_or(mac);
        let directory = encode_directory(&[claims.listed]);
        let footer = claims.footer.to_bytes();
        let footer_mac = self.schedule.footer_mac(&directory, &footer);
        sealed.truncate(page_at);
        for part in [&claims.gap[..], &page, &mac, &directory, &footer, &footer_mac] {
            sealed.extend(part);
        }
        sealed
    }

    fn worker(&self, index: usize) -> (SegmentHeader, FrameWorker) {
        let IndexEntry { plaintext_offset, attempt_salt, .. } = self.entries[index];
        let header = SegmentHeader { index: SegmentIndex(index as u64), plaintext_offset, attempt_salt };
        let Preamble { suite, digest, shape, .. } = self.preamble;
        let secret = self.schedule.segment(&header.to_bytes());
        let worker = FrameWorker::new(Backend::default(), suite, digest, shape, secret.key(), secret.nonce());
        (header, worker)
    }

    fn closing_fields(&self, index: usize, chain_before: ChainValue) -> ClosingFields {
        let IndexEntry { frame_count, plaintext_len, digest, .. } = self.entries[index];
        let last = index + 1 == self.entries.len();
        ClosingFields {
            frame_count,
            plaintext_len: plaintext_len.into(),
            digest,
            plaintext_digest: None,
            last,
            chain_before,
        }
    }

    fn bound(&self) -> [u8; 112] {
        self.preamble.to_bytes()[..112].try_into().unwrap()
    }
}

/// `sealed` with a prefix of the forger's: its first `count` segments, the index to match, all else as it was, digest included.
pub(crate) fn with_forged_prefix(sealed: &[u8], count: usize) -> Vec<u8> {
    let mut forger = Forger::of(sealed);
    let mut chain = forger.chain_start();
    for index in 0..count {
        chain = forger.put(index, &vec![0xF0; forger.plaintext_len(index)], chain, |_| {});
    }
    forger.finish()
}

/// Another stream under the same key, right in all its parts, with another digest.
pub(crate) fn wholly_forged(sealed: &[u8]) -> Vec<u8> {
    let mut forger = Forger::of(sealed);
    let chain = forger.put_all_from(0, forger.chain_start());
    forger.say_digest(chain);
    forger.finish()
}

/// What derives from the stream key of `sealed`.
pub(crate) fn schedule(sealed: &[u8], preamble: &Preamble) -> KeySchedule {
    KeySchedule::new(&stream_key(sealed), &preamble.to_bytes())
}

/// The stream key of `sealed`, whose first slot is wrapped under [`KEY`].
pub(crate) fn stream_key(sealed: &[u8]) -> StreamKey {
    let slot = ranges(sealed, Kind::KeyCopy)[0].start + 32;
    let slot = SealedSlot { kind: 2, body: sealed[slot + 8..][..80].to_vec() };
    let identities = Identities::new().wrapping_key(WrappingKey::from_bytes(KEY));
    let head: [u8; 80] = sealed[..80].try_into().unwrap();
    identities.unwrap(&[slot], &head, &mut |_| true).unwrap()
}

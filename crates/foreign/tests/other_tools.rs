//! Files that other tools have sealed, and what was made of them: each opens to its plaintext, and of those that were changed nothing opens
//! but what its format cannot tell from the original, which is never called proved.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::path::PathBuf;

use foreign::{Cut, Detected, Fault, FaultKind, Format, HeadStep, Keys, Wholeness, open_head};
use frame_worker::Backend;
use keys::{ForeignKey, Identities};

/// A file of a tool's, a key that opens it, and whether its format proves that it is whole.
struct Sample {
    path: &'static str,
    key: &'static str,
    proved: bool,
}

const ECIES_KEY: &str = "1ab42cc412b618bdea3a599e3c9bae199ebf030895b039e9db1e30dafb12b727";
const SECOND_KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const AGCM_KEY: &str = include_str!("vectors/other-tools/harpocrates-agcm/key.hex");
const RSE1_KEY: &str = include_str!("vectors/other-tools/streaming-crypto/key.hex");

const fn sample(path: &'static str, key: &'static str) -> Sample {
    Sample { path, key, proved: false }
}

const SAMPLES: [Sample; 18] = [
    sample("ecies-lib/small.enc", ECIES_KEY),
    sample("ecies-lib/three.enc", ECIES_KEY),
    sample("ecies-lib/three_ck.enc", ECIES_KEY),
    sample("ecies-lib/exact.enc", ECIES_KEY),
    sample("ecies-lib/big.enc", ECIES_KEY),
    sample("ecies-lib/multi_exact.enc", ECIES_KEY),
    sample("ecies-lib/multi_exact.enc", SECOND_KEY),
    Sample { path: "ecies-lib/multi_three.enc", key: ECIES_KEY, proved: true },
    Sample { path: "ecies-lib/multi_three.enc", key: SECOND_KEY, proved: true },
    sample("harpocrates-agcm/empty.agcm", AGCM_KEY),
    sample("harpocrates-agcm/hello11.agcm", AGCM_KEY),
    sample("harpocrates-agcm/three.agcm", AGCM_KEY),
    sample("harpocrates-agcm/exact.agcm", AGCM_KEY),
    sample("harpocrates-agcm/c64k.agcm", AGCM_KEY),
    sample("streaming-crypto/aes_sha256_11.rse1", RSE1_KEY),
    sample("streaming-crypto/aes_sha256_40000.rse1", RSE1_KEY),
    sample("streaming-crypto/chacha_b3_40000.rse1", RSE1_KEY),
    sample("streaming-crypto/aes_sha256_exact32768.rse1", RSE1_KEY),
];

impl Sample {
    fn file(&self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/other-tools")).join(self.path)
    }

    fn sealed(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    fn plaintext(&self) -> Vec<u8> {
        fs::read(self.file().with_extension("plain")).unwrap()
    }

    fn identities(&self) -> Identities {
        Identities::new().foreign_key(ForeignKey::parse(self.key.as_bytes()).unwrap())
    }

    fn open(&self, sealed: &[u8]) -> Result<(Vec<u8>, Wholeness), Fault> {
        open(sealed, &self.identities(), usize::MAX)
    }
}

/// Opens all of `sealed`, of which no more is shown at a time than `step` bytes beyond what was asked for.
fn open(sealed: &[u8], identities: &Identities, step: usize) -> Result<(Vec<u8>, Wholeness), Fault> {
    let format = match Format::detect(sealed) {
        Some(Detected::Binary(format)) => format,
        _ => return Err(Fault::damaged("of no format that is known")),
    };
    let keys = Keys { identities, backend: Backend::default(), cancelled: &|| false };
    let mut shown = step.min(sealed.len());
    let opened = loop {
        match open_head(format, &sealed[..shown], shown == sealed.len(), &keys)? {
            HeadStep::Opened(opened) => break opened,
            HeadStep::More(more) => {
                assert!(more > shown && shown < sealed.len(), "more is asked for than there is");
                shown = more.min(sealed.len());
            }
        }
    };
    let (mut cutter, mut rest, mut plaintext) = (opened.cutter, &sealed[opened.head_len..], Vec::new());
    let mut shown = step.min(rest.len());
    loop {
        match cutter.cut(&rest[..shown], shown == rest.len())? {
            Cut::More(more) => {
                assert!(more > shown && shown < rest.len(), "more is asked for than there is");
                shown = more.min(rest.len());
            }
            Cut::Chunk(chunk) => {
                let (wire, longest) = (&rest[..chunk.lens.wire], opened.chunks.longest());
                assert!(wire.len() <= longest.wire && chunk.lens.plaintext <= longest.plaintext);
                let mut out = vec![0; chunk.lens.plaintext];
                opened.chunks.open(&chunk, wire, &mut out).map_err(Fault::damaged)?;
                plaintext.extend(out);
                rest = &rest[chunk.lens.wire..];
                shown = step.min(rest.len());
            }
            Cut::Pass(len) => rest = &rest[len..],
            Cut::End if rest.is_empty() => return Ok((plaintext, cutter.claim())),
            Cut::End => return Err(Fault::damaged("something follows the end")),
        }
    }
}

fn is_proved(claim: Wholeness) -> bool {
    claim == Wholeness::Proved
}

#[test]
fn what_other_tools_sealed_opens_to_its_plaintext_whatever_is_shown_at_a_time() {
    for sample in &SAMPLES {
        let (sealed, plaintext) = (sample.sealed(), sample.plaintext());
        for step in [0, 1, 100, usize::MAX] {
            let (opened, claim) = open(&sealed, &sample.identities(), step).unwrap();
            assert!(opened == plaintext, "{}", sample.path);
            assert_eq!(is_proved(claim), sample.proved, "{}", sample.path);
        }
    }
}

/// A mutant that opens is one of which the format authenticates nothing that changed: it opens to the original's plaintext, a beginning of
/// it, or its chunks, and is not proved. Of a stream that was proved none is proved, but with the same plaintext.
fn judge(sample: &Sample, mutant: &[u8], what: &str) -> bool {
    let Ok((opened, claim)) = sample.open(mutant) else { return false };
    let plaintext = sample.plaintext();
    assert!(!is_proved(claim) || sample.proved && opened == plaintext, "{}: {what} is proved", sample.path);
    assert!(plaintext.starts_with(&opened), "{}: {what} opens to something else", sample.path);
    true
}

#[test]
fn every_bit_of_a_small_file_that_is_flipped_is_refused_or_changes_nothing_that_is_claimed() {
    let mut undetected = Vec::new();
    for sample in SAMPLES.iter().filter(|sample| sample.sealed().len() < 1000) {
        let mut sealed = sample.sealed();
        let mut accepted = Vec::new();
        for bit in 0..8 * sealed.len() {
            sealed[bit / 8] ^= 1 << (bit % 8);
            if judge(sample, &sealed, &format!("bit {bit}")) {
                accepted.push(bit);
            }
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        if !accepted.is_empty() {
            undetected.push((sample.path, accepted));
        }
    }
    // ECIE: the mark of the last chunk, of a stream of one chunk, or of a whole last chunk. AGCM: of an empty stream all but magic and version,
    // and its length; of one chunk the chunk's length in the header. Of an empty RSE1 there is no sample.
    let paths: Vec<&str> = undetected.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, EXPECTED_UNDETECTED, "{undetected:?}");
}

/// Those of which some bit can be flipped unseen.
const EXPECTED_UNDETECTED: [&str; 4] = [
    "ecies-lib/small.enc",
    "ecies-lib/exact.enc",
    "harpocrates-agcm/empty.agcm",
    "harpocrates-agcm/hello11.agcm",
];

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_never_called_proved() {
    for sample in SAMPLES.iter().filter(|sample| sample.sealed().len() < 1000) {
        let sealed = sample.sealed();
        for len in 0..sealed.len() {
            judge(sample, &sealed[..len], &format!("the first {len} bytes"));
        }
    }
}

#[test]
fn a_file_with_something_behind_it_is_refused() {
    for sample in &SAMPLES {
        for more in [&b"\0"[..], b"ECIE", &[0xFF; 100]] {
            let sealed = [&sample.sealed()[..], more].concat();
            let opened = sample.open(&sealed);
            assert!(opened.is_err(), "{}: {} more", sample.path, more.len());
        }
    }
}

#[test]
fn another_key_is_told_from_damage() {
    for sample in SAMPLES.iter().filter(|sample| !sample.plaintext().is_empty()) {
        let other = ForeignKey::parse(&[0xA3; 32]).unwrap();
        let fault = open(&sample.sealed(), &Identities::new().foreign_key(other), usize::MAX).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NoForeignKey, "{}", sample.path);
        let fault = open(&sample.sealed(), &Identities::new(), usize::MAX).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NoForeignKey, "{}", sample.path);
    }
    let short = ForeignKey::parse(&[0xA3; 16]).unwrap();
    let fault = open(&SAMPLES[1].sealed(), &Identities::new().foreign_key(short), usize::MAX).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NoForeignKey);
    // 0, and the order of the curve: no secret keys.
    for none in
        ["0".repeat(64), "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".to_owned()]
    {
        let none = Identities::new().foreign_key(ForeignKey::parse(none.as_bytes()).unwrap());
        let fault = open(&SAMPLES[1].sealed(), &none, usize::MAX).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NoForeignKey);
    }
}

/// The chunks of a sample, and what stands before them and behind.
fn chunks(sample: &Sample) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (sealed, identities) = (sample.sealed(), sample.identities());
    let keys = Keys { identities: &identities, backend: Backend::default(), cancelled: &|| false };
    let Some(Detected::Binary(format)) = Format::detect(&sealed) else { panic!("a format is known") };
    let HeadStep::Opened(mut opened) = open_head(format, &sealed, true, &keys).unwrap() else {
        panic!("all of it is there")
    };
    let (head, mut rest) = sealed.split_at(opened.head_len);
    let mut chunks = Vec::new();
    while let Cut::Chunk(chunk) = opened.cutter.cut(rest, true).unwrap() {
        let (wire, behind) = rest.split_at(chunk.lens.wire);
        chunks.push(wire.to_vec());
        rest = behind;
    }
    (head.to_vec(), chunks)
}

fn put_together(head: &[u8], chunks: &[Vec<u8>], order: &[usize]) -> Vec<u8> {
    let chunks = order.iter().flat_map(|index| chunks[*index].iter());
    head.iter().chain(chunks).copied().collect()
}

/// What order of its three chunks a format takes for a stream: but for the right one, only those that it cannot tell, and never as proved.
#[test]
fn chunks_in_another_order_are_refused_where_the_format_can_tell() {
    // AGCM has neither numbers nor nonces: any two full chunks may change places, and any number of them be left out or come twice.
    let agcm: &[&[usize]] = &[&[0], &[1], &[2], &[0, 0], &[0, 1], &[0, 2], &[1, 0], &[1, 1], &[1, 2]];
    // The others number theirs, so that as they are only a beginning can be taken for a whole; RSE1 marks its end, too.
    let numbered: &[&[usize]] = &[&[0], &[0, 1]];
    let taken_of = [
        ("ecies-lib/three.enc", numbered),
        ("ecies-lib/multi_three.enc", numbered),
        ("harpocrates-agcm/three.agcm", agcm),
        ("streaming-crypto/aes_sha256_40000.rse1", &[]),
        ("streaming-crypto/chacha_b3_40000.rse1", &[]),
    ];
    for (path, taken) in taken_of {
        let sample = SAMPLES.iter().find(|sample| sample.path == path).unwrap();
        let (head, chunks) = chunks(sample);
        assert_eq!(chunks.len(), 3);
        let pairs = (0..9).map(|n| vec![n / 3, n % 3]);
        let triples = (0..27).map(|n| vec![n / 9, n / 3 % 3, n % 3]);
        for order in (0..3).map(|n| vec![n]).chain(pairs).chain(triples).filter(|order| order != &[0, 1, 2]) {
            match sample.open(&put_together(&head, &chunks, &order)) {
                Ok((_, claim)) => {
                    assert!(!is_proved(claim), "{path}: {order:?} is proved");
                    let is_triple_of_agcm =
                        order.len() == 3 && taken.len() > 2 && order[..2].iter().all(|chunk| *chunk < 2);
                    assert!(is_triple_of_agcm || taken.contains(&&order[..]), "{path}: {order:?} was taken");
                }
                Err(_) => assert!(!taken.contains(&&order[..]), "{path}: {order:?} was refused"),
            }
        }
    }
}

/// An attacker without any key gives an ECIE stream another order, and another end: nothing in it says so.
#[test]
fn an_ecie_stream_whose_headers_were_forged_opens_and_is_not_proved() {
    let sample = &SAMPLES[1];
    let (head, mut chunks) = chunks(sample);
    chunks.truncate(2);
    chunks.swap(0, 1);
    for (index, chunk) in chunks.iter_mut().enumerate() {
        chunk[9] = index as u8;
    }
    chunks[1][19] |= 1;
    let (opened, claim) = sample.open(&put_together(&head, &chunks, &[0, 1])).unwrap();
    let plaintext = sample.plaintext();
    assert_eq!(opened, [&plaintext[16..32], &plaintext[..16]].concat());
    assert!(!is_proved(claim));
}

/// The same of an MREC stream, whose headers are authenticated, and of one whose chunks are of two streams for the same recipients.
#[test]
fn an_mrec_stream_whose_headers_were_forged_is_refused() {
    let three = SAMPLES.iter().find(|sample| sample.path == "ecies-lib/multi_three.enc").unwrap();
    let exact = SAMPLES.iter().find(|sample| sample.path == "ecies-lib/multi_exact.enc").unwrap();
    let (_, chunks_of_three) = chunks(three);
    let (_, chunks_of_exact) = chunks(exact);
    let mut cut = chunks_of_three.clone();
    cut.truncate(2);
    cut[1][20] |= 1;
    assert!(three.open(&cut.concat()).is_err());
    let mixed = [&chunks_of_three[0][..], &chunks_of_exact[1]].concat();
    assert!(three.open(&mixed).is_err());
    let mixed = [&chunks_of_exact[0][..], &chunks_of_exact[1], &chunks_of_three[2]].concat();
    assert!(three.open(&mixed).is_err());
}

/// An attacker without any key cuts an RSE1 stream after a segment, and makes its end anew: checksums have no key.
#[test]
fn an_rse1_stream_whose_end_was_forged_opens_and_is_not_proved() {
    let sample =
        SAMPLES.iter().find(|sample| sample.path == "streaming-crypto/aes_sha256_40000.rse1").unwrap();
    let (head, chunks) = chunks(sample);
    let mut end = chunks[2][chunks[2].len() - 28..].to_vec();
    end[0] = 1;
    let crc = crc32fast::hash(&end[..24]).to_le_bytes();
    end[24..].copy_from_slice(&crc);
    let (opened, claim) = sample.open(&[&head[..], &chunks[0], &end].concat()).unwrap();
    assert_eq!(opened, sample.plaintext()[..16384]);
    assert!(!is_proved(claim));
    // Without an end it is refused, and so is an end of another number.
    assert_eq!(sample.open(&[&head[..], &chunks[0]].concat()).unwrap_err().kind, FaultKind::Truncated);
    assert!(sample.open(&[&head[..], &chunks[0], &chunks[1], &end].concat()).is_err());
}

/// Lengths that a hostile file may have are refused before anything is made for them.
#[test]
fn lengths_beyond_the_limits_are_refused() {
    let change = |index: usize, at: usize, bytes: &[u8]| {
        let sample = &SAMPLES[index];
        let mut sealed = sample.sealed();
        sealed[at..at + bytes.len()].copy_from_slice(bytes);
        sample.open(&sealed).unwrap_err().kind
    };
    // ECIE: a chunk of 3 GiB.
    let lens = [&0xC000_0000_u32.to_be_bytes()[..], &0xC000_0048_u32.to_be_bytes()].concat();
    assert_eq!(change(1, 10, &lens), FaultKind::Limit);
    // MREC: a chunk of 3 GiB, and 65,535 recipients.
    let lens = [&0xC000_0000_u32.to_be_bytes()[..], &0xC000_0010_u32.to_be_bytes()].concat();
    assert_eq!(change(8, 12, &lens), FaultKind::Limit);
    assert_eq!(change(8, 6, &[0xFF, 0xFF]), FaultKind::Limit);
    // AGCM: chunks of 4 GiB.
    assert_eq!(change(12, 20, &[0xFF; 4]), FaultKind::Limit);
    // RSE1: chunks of 4 GiB, under a right checksum.
    let mut header = SAMPLES[15].sealed()[..32].to_vec();
    header[20..24].copy_from_slice(&[0xFF; 4]);
    let crc = crc32fast::hash(&header).to_le_bytes();
    let header = [&header[20..], &crc].concat();
    assert_eq!(change(15, 20, &header), FaultKind::Limit);
}

/// What comes from afar takes a request for each.
#[test]
fn a_head_of_many_recipients_is_asked_for_in_few_steps() {
    let nobody = "3333333333333333333333333333333333333333333333333333333333333333";
    let sample = sample("ecies-lib/multi_three.enc", nobody);
    let mut sealed = sample.sealed();
    sealed[6..8].copy_from_slice(&1024_u16.to_be_bytes());
    sealed.resize(600_000, 0);
    let identities = sample.identities();
    let keys = Keys { identities: &identities, backend: Backend::default(), cancelled: &|| false };
    let (mut shown, mut steps) = (64, 0);
    let fault = loop {
        match open_head(Format::Mrec, &sealed[..shown], false, &keys) {
            Ok(HeadStep::More(more)) => (shown, steps) = (more.max(shown + 1), steps + 1),
            Ok(HeadStep::Opened(_)) => panic!("no recipient has this key"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::NoForeignKey);
    assert!(steps <= 2, "{steps} steps");
}

//! Owns the first inputs of the fuzz targets, mostly cut from the test vectors.
//! Knows the few offsets of FORMAT that a cut needs, and parses nothing: a wrong cut is a poorer seed, no fault.

use std::fs;
use std::path::Path;

/// Longer streams teach the fuzzer nothing that short ones do not.
const SEED_LEN_MAX: usize = 65_000;

const PREAMBLE_BLOCK_LEN: usize = 4096;
const KEY_COPY_LEN_AT: usize = 112;
const METADATA_CUT_LEN: usize = 512;
const FOOTER_LEN: usize = 112;
const FRAME_HEADER_LEN: usize = 16;
const CLOSING_LEN: usize = 144;

const SEGMENT_MAGIC: &[u8] = b"CFDSEG1\0";
const PAGE_MAGIC: &[u8] = b"CFDIDX1\0";

/// What the splitter's input begins with: a mode, a bound of the block sizes, and four bytes that choose them.
const SPLITTER_WHOLE: [u8; 6] = [0, 12, 7, 0, 0, 0];
const SPLITTER_BEHIND_FRONT: [u8; 6] = [1, 8, 7, 0, 0, 0];

/// What the input of `compressed` begins with: what the rest is, and 4096 bytes of plaintext.
const COMPRESSED_TEXT: [u8; 3] = [0, 0, 16];
const COMPRESSED_BLOCKS: [u8; 3] = [1, 0, 16];
const COMPRESSED_PLAINTEXT: [u8; 3] = [2, 0, 16];
/// zstd frames of 4096 bytes: one of a single run, two that an encoder made, and the header that those have.
const ZSTD_FRAMES: [&[u8]; 3] = [
    b"\x28\xB5\x2F\xFD\x60\x00\x0F\x03\x80\x00c",
    include_bytes!("../vectors/zstd-frames/counting.zst"),
    include_bytes!("../vectors/zstd-frames/letters.zst"),
];
const ZSTD_HEADER_LEN: usize = 7;

/// What clients of `serve` send, and a file that it has written.
const SERVE: [&[u8]; 3] = [
    b"cofferdam working set 1\ntag 0123abcd\nlength 1000000\n65536 131072\n0 4096\nend 2\n",
    b"\x25\x60\x95\x13\0\0\0\0cookies!\0\0\0\0\0\0\x10\0\0\0\x10\0",
    b"\0\0\0\x08disk.img\0\x01\0\x03",
];

/// A signature, what is in its armor, a list of public keys, and a private key.
const SIGNATURES: [&[u8]; 4] = [
    include_bytes!("../../../crates/signatures/tests/stream.sig"),
    include_bytes!("../../../crates/signatures/tests/stream.sshsig"),
    b"# who seals\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com\n",
    include_bytes!("../../../crates/signatures/tests/id_ed25519"),
];

/// The folder of the format's vectors, and of those of age.
const VECTORS: &str = "docs/vectors";
const TREE_VECTORS: &str = "crates/tree/tests/vectors/catalogs.txt";
const AGE_VECTORS: &str = "crates/foreign/tests/vectors/age-testkit";

/// Writes the seeds of `target`, of vectors below `root`, into `corpus`; returns their number. An absent folder of vectors gives none.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn write(root: &Path, target: &str, corpus: &Path) -> Result<usize, String> {
    let vectors = &root.join(if target == "foreign" { AGE_VECTORS } else { VECTORS });
    fs::create_dir_all(corpus).map_err(|error| format!("cannot create {}: {error}", corpus.display()))?;
    let mut count = match target {
        "compressed" => write_all(corpus, "zstd", zstd_seeds())?,
        "serve" => write_all(corpus, "serve", SERVE.map(<[u8]>::to_vec).into())?,
        "signature" => return write_all(corpus, "signature", SIGNATURES.map(<[u8]>::to_vec).into()),
        "tree" => write_all(corpus, "tree", tree_seeds(root))?,
        _ => 0,
    };
    let Ok(entries) = fs::read_dir(vectors) else { return Ok(count) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
        let file = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        count += write_all(corpus, &format!("vector-{name}"), cuts(target, &stream(vectors, &file)))?;
    }
    Ok(count)
}

/// Writes those that are neither empty nor too long; returns their number.
fn write_all(corpus: &Path, name: &str, seeds: Vec<Vec<u8>>) -> Result<usize, String> {
    let mut count = 0;
    for (index, seed) in seeds.into_iter().enumerate() {
        if seed.is_empty() || seed.len() > SEED_LEN_MAX {
            continue;
        }
        let path = corpus.join(format!("{name}-{index}"));
        fs::write(&path, seed).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        count += 1;
    }
    Ok(count)
}

/// No vector shows what is inside of its frames without a key, so these stand here.
fn zstd_seeds() -> Vec<Vec<u8>> {
    let seeds = |text: &&[u8]| {
        [[&COMPRESSED_TEXT, *text].concat(), [&COMPRESSED_BLOCKS, &text[ZSTD_HEADER_LEN..]].concat()]
    };
    ZSTD_FRAMES.iter().flat_map(seeds).collect()
}

/// The plaintexts of the vectors of trees, as catalogs and, cut before those, as archives.
fn tree_seeds(root: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root.join(TREE_VECTORS)).unwrap_or_default();
    let plaintexts = text.split("\n\n").skip(1).map(|vector| {
        let lines = vector.lines().filter(|line| !line.contains(": "));
        lines.flat_map(tree_bytes).collect::<Vec<u8>>()
    });
    plaintexts
        .flat_map(|plaintext| [[&[0], &*plaintext].concat(), [&[1, 30], &*plaintext].concat()])
        .collect()
}

/// The bytes of a line of such a vector: hexadecimal digits, or a byte and how often it is there.
fn tree_bytes(line: &str) -> Vec<u8> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).unwrap_or_default();
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["zeros", count] => vec![0; count.parse().unwrap_or_default()],
        ["byte", digits, count] => vec![byte(digits); count.parse().unwrap_or_default()],
        _ => line.as_bytes().chunks(2).map(|pair| byte(&String::from_utf8_lossy(pair))).collect(),
    }
}

/// The stream of a vector: what stands behind its text, or another vector's stream with the patches that the text names.
fn stream(vectors: &Path, file: &[u8]) -> Vec<u8> {
    let (text, body) = split(file);
    let text = String::from_utf8_lossy(text);
    let values = |name: &'static str| text.lines().filter_map(move |line| line.strip_prefix(name));
    let base = values("base: ").next().and_then(|base| fs::read(vectors.join(base)).ok());
    let Some(base) = base else { return body.to_vec() };
    let mut stream = split(&base).1.to_vec();
    stream.truncate(values("len: ").find_map(|len| len.parse().ok()).unwrap_or(usize::MAX));
    for (at, digits) in values("patch: ").filter_map(|patch| patch.split_once('=')) {
        let place = at.parse().ok().and_then(|at: usize| stream.get_mut(at..));
        let digits = digits.as_bytes().chunks_exact(2).map(|pair| String::from_utf8_lossy(pair));
        for (byte, pair) in place.into_iter().flatten().zip(digits) {
            *byte = u8::from_str_radix(&pair, 16).unwrap_or_default();
        }
    }
    stream
}

/// The text of a vector and the bytes behind it. The first empty line ends the text; all is text where there is none.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    match file.windows(2).position(|window| window == b"\n\n") {
        Some(at) => (&file[..at], &file[at + 2..]),
        None => (file, &[]),
    }
}

/// The parts of a stream that `target` parses.
fn cuts(target: &str, stream: &[u8]) -> Vec<Vec<u8>> {
    let origin = origin(stream);
    let behind = stream.get(origin..).unwrap_or_default();
    match target {
        "preamble" => {
            let head_end = stream.len().min(origin.saturating_add(METADATA_CUT_LEN));
            let keys = stream.get(PREAMBLE_BLOCK_LEN..origin).unwrap_or_default();
            let metadata = &behind[..behind.len().min(METADATA_CUT_LEN)];
            vec![stream[..head_end].to_vec(), keys[..keys.len() / 2].to_vec(), metadata.to_vec()]
        }
        "splitter" => {
            vec![[&SPLITTER_WHOLE, stream].concat(), [&SPLITTER_BEHIND_FRONT, behind].concat()]
        }
        "trailer" => {
            let last = stream.len().saturating_sub(FOOTER_LEN);
            let mut parts = vec![behind.to_vec(), stream[last..].to_vec()];
            if let Some(page) = find_last(stream, PAGE_MAGIC) {
                let page_end = last.saturating_sub(8).max(page);
                let closing = page.saturating_sub(CLOSING_LEN);
                let terminator = (closing + FRAME_HEADER_LEN + 48).min(page);
                parts.extend(
                    [&stream[page..page_end], &stream[closing..page], &stream[terminator..page]]
                        .map(<[u8]>::to_vec),
                );
            }
            if let Some(segment) = find_last(stream, SEGMENT_MAGIC) {
                parts.push(stream[segment..].iter().copied().take(METADATA_CUT_LEN).collect());
            }
            parts
        }
        "compressed" => vec![[&COMPRESSED_PLAINTEXT, behind].concat()],
        "foreign" => vec![stream.to_vec()],
        _ => Vec::new(),
    }
}

/// Where the metadata begins, as the preamble says.
fn origin(stream: &[u8]) -> usize {
    let field = stream.get(KEY_COPY_LEN_AT..).and_then(|rest| rest.first_chunk::<4>());
    let key_copy_len = field.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    key_copy_len.saturating_mul(2).saturating_add(PREAMBLE_BLOCK_LEN)
}

fn find_last(stream: &[u8], magic: &[u8]) -> Option<usize> {
    stream.windows(magic.len()).rposition(|window| window == magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that has the parts of a stream at their places.
    fn stream() -> Vec<u8> {
        let mut stream = vec![0; PREAMBLE_BLOCK_LEN];
        stream[KEY_COPY_LEN_AT + 1] = 0x10;
        stream.extend([b'k'; 2 * 4096]);
        stream.extend([b'm'; 48]);
        stream.extend(SEGMENT_MAGIC);
        stream.extend([b'c'; CLOSING_LEN]);
        stream.extend(PAGE_MAGIC);
        stream.extend([b'd'; 8]);
        stream.extend([b'f'; FOOTER_LEN]);
        stream
    }

    #[test]
    fn the_text_of_a_vector_is_no_seed() {
        assert_eq!(split(b"sequential: success\nkey: 00\n\n\x89CFD\n\n").1, b"\x89CFD\n\n");
        assert_eq!(split(b"no empty line\n").1, b"");
    }

    #[test]
    fn each_target_gets_the_parts_that_it_parses() {
        let stream = stream();
        let preamble = cuts("preamble", &stream);
        assert_eq!((preamble[1].len(), preamble[1][0], preamble[2][0]), (4096, b'k', b'm'));
        let splitter = cuts("splitter", &stream);
        assert_eq!((splitter[0].len(), splitter[1][6]), (stream.len() + 6, b'm'));
        let trailer = cuts("trailer", &stream);
        assert!(trailer[1].iter().all(|&byte| byte == b'f') && trailer[1].len() == FOOTER_LEN);
        assert_eq!(trailer[2], PAGE_MAGIC);
        assert!(trailer[3].iter().all(|&byte| byte == b'c') && trailer[3].len() == CLOSING_LEN);
        assert_eq!(trailer[4].len(), 80);
        assert!(trailer[5].starts_with(SEGMENT_MAGIC));
        assert_eq!(cuts("compressed", &stream)[0][..4], [2, 0, 16, b'm']);
    }

    #[test]
    fn a_zstd_frame_is_a_seed_whole_and_without_its_header() {
        let seeds = zstd_seeds();
        assert_eq!(seeds.len(), 6);
        assert_eq!(seeds[0][..7], [0, 0, 16, 0x28, 0xB5, 0x2F, 0xFD]);
        assert_eq!(seeds[1], [1, 0, 16, 0x03, 0x80, 0x00, b'c']);
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_gives_seeds_without_a_panic() {
        let stream = stream();
        for len in (0..stream.len()).step_by(53) {
            for target in ["preamble", "splitter", "trailer", "compressed"] {
                cuts(target, &stream[..len]);
            }
        }
    }
}

//! The files of docs/vectors, for the tests that run the fuzz targets' checks on them.
//! It knows their text headers and no record.

use std::fs;
use std::path::{Path, PathBuf};

/// The names of all vectors, without what their files end in.
pub(crate) fn names() -> Vec<String> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let vectors = paths.filter(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    vectors.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// The text header of a vector.
#[allow(dead_code, reason = "some tests look at streams alone")]
pub(crate) fn header_of(name: &str) -> String {
    split(name).0
}

/// The sealed bytes of a vector, made from another's where its header says so.
pub(crate) fn stream_of(name: &str) -> Vec<u8> {
    let (header, bytes) = split(name);
    let lines = |name: &'static str| header.lines().filter_map(move |line| line.strip_prefix(name));
    let Some(base) = lines("base: ").next() else { return bytes };
    let mut stream = stream_of(base.strip_suffix(".cfdv").unwrap());
    stream.truncate(lines("len: ").next().unwrap().parse().unwrap());
    for (at, digits) in lines("patch: ").map(|patch| patch.split_once('=').unwrap()) {
        let at: usize = at.parse().unwrap();
        for (index, byte) in stream[at..at + digits.len() / 2].iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
        }
    }
    stream
}

/// The text header, which ends with an empty line, and what stands behind it. Without anything there it is a patch.
fn split(name: &str) -> (String, Vec<u8>) {
    let bytes = fs::read(folder().join(format!("{name}.cfdv"))).unwrap();
    let header_end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    (String::from_utf8(bytes[..header_end].to_vec()).unwrap(), bytes[header_end + 2..].to_vec())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors")
}

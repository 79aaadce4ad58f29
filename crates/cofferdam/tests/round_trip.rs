//! Owns the round trips: what was sealed is restored byte for byte, whatever the sizes, threads and ways in and out.
//! Refuses to know how damage is refused.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use cofferdam::{
    BytesSource, ErrorKind, FileSource, IfExists, MemorySink, NullSink, Opener, PipeSink, PipeSource,
    ReleasePolicy, Sealed, Sealer,
};
use sha2::{Digest, Sha256};

use streams::{
    DIGESTS, FRAME, KEY, READINGS, Reading, SEGMENT, SUITES, Shared, counted, in_order, names_in, open,
    opener, recipients_of, scratch, seal, small_sealer, threads,
};

/// The sizes at which something begins or ends.
fn boundary_sizes(frame: usize, segment: usize) -> [usize; 10] {
    [
        0,
        1,
        frame - 1,
        frame,
        frame + 1,
        segment - 1,
        segment,
        segment + 1,
        2 * segment,
        2 * segment + frame + 5,
    ]
}

/// Both readers and the reference opener give `plaintext` back.
fn assert_opens_everywhere(sealed: &[u8], plaintext: &[u8], what: &str) {
    let oracle = reference::open(sealed, &reference::Key::KeyFile(KEY)).unwrap_or_else(|verdict| {
        panic!("{what}: the reference opener says {verdict:?}");
    });
    assert!(oracle.plaintext == plaintext, "{what}: the reference opener's plaintext");
    for reading in READINGS {
        let (restored, opened) = open(&opener(), reading, sealed.to_vec()).unwrap();
        assert!(opened == plaintext, "{what}: {reading:?}");
        assert_eq!(restored.plaintext_len, plaintext.len() as u64, "{what}");
        assert_eq!(restored.stream_digest.0, oracle.stream_digest, "{what}");
        assert_eq!(restored.segments, oracle.segments as u64, "{what}");
        assert_eq!(restored.warnings, [], "{what}");
    }
}

#[test]
fn from_64_mib_up_a_stream_at_the_defaults_is_at_most_8_in_10_000_longer_than_its_plaintext() {
    for len in [64 << 20, (64 << 20) + 1, (72 << 20) + 1, 160 << 20] {
        let sink = NullSink::new();
        let written = sink.count();
        Sealer::new(recipients_of(KEY)).seal(BytesSource::new(vec![0; len]), sink).unwrap();
        let more = written.bytes() - len as u64;
        assert!(more * 10_000 <= 8 * len as u64, "{more} bytes more than {len}");
    }
}

#[test]
fn every_boundary_size_with_every_suite_digest_and_number_of_threads() {
    for len in boundary_sizes(FRAME, SEGMENT) {
        let plaintext = Shared::new(counted(len));
        for suite in SUITES {
            for digest in DIGESTS {
                for count in [1, 2, 3, 8] {
                    let what = format!("{len} bytes, {suite:?}, {digest:?}, {count} threads");
                    let sealer = small_sealer().suite(suite).digest(digest).threads(threads(count));
                    let (sink, contents) = MemorySink::new();
                    sealer.seal(BytesSource::new(plaintext.clone()), sink).unwrap();
                    let sealed = Shared::new(contents.take().unwrap());
                    for reading in READINGS {
                        let opener = opener().threads(threads(count));
                        let (_, opened) = open(&opener, reading, sealed.clone()).unwrap();
                        assert!(opened == plaintext.as_ref(), "{what}, {reading:?}");
                    }
                    let oracle = reference::open(sealed.as_ref(), &reference::Key::KeyFile(KEY)).unwrap();
                    assert!(oracle.plaintext == plaintext.as_ref(), "{what}, reference opener");
                }
            }
        }
    }
}

#[test]
fn every_boundary_size_of_the_default_shape() {
    for len in boundary_sizes(64 * 1024, 8 * 1024 * 1024) {
        let plaintext = counted(len);
        let sealed = seal(&Sealer::new(recipients_of(KEY)), plaintext.clone());
        assert_opens_everywhere(&sealed, &plaintext, &format!("{len} bytes"));
    }
}

#[test]
fn a_pipe_and_a_file_of_the_same_bytes_give_streams_of_the_same_length() {
    for len in boundary_sizes(FRAME, SEGMENT) {
        let plaintext = counted(len);
        let from_file = seal(&small_sealer(), plaintext.clone());
        let (sink, contents) = MemorySink::new();
        small_sealer().seal(in_order(plaintext.clone()), sink).unwrap();
        let from_pipe = contents.take().unwrap();
        assert_eq!(from_pipe.len(), from_file.len(), "{len} bytes");
        assert_opens_everywhere(&from_pipe, &plaintext, &format!("{len} bytes from a pipe"));
    }
}

#[test]
fn file_to_file() {
    for len in boundary_sizes(FRAME, SEGMENT) {
        let directory = scratch();
        let [input, sealed, output] =
            ["input", "sealed.cfd", "output"].map(|name| directory.path().join(name));
        let plaintext = counted(len);
        fs::write(&input, &plaintext).unwrap();
        small_sealer().seal_file(&input, &sealed).unwrap();
        opener().restore_file(&sealed, &output).unwrap();
        assert!(fs::read(&output).unwrap() == plaintext, "{len} bytes");
        assert_opens_everywhere(&fs::read(&sealed).unwrap(), &plaintext, &format!("{len} bytes in a file"));
        assert_eq!(names_in(directory.path()).len(), 3, "{len} bytes: nothing else is left");
    }
}

#[test]
fn the_three_functions_for_everyone_agree_with_the_builders() {
    let directory = scratch();
    let [input, sealed, output] = ["input", "sealed.cfd", "output"].map(|name| directory.path().join(name));
    let plaintext = counted(200_000);
    fs::write(&input, &plaintext).unwrap();
    let said = cofferdam::seal(&input, &sealed, recipients_of(KEY)).unwrap();
    assert_eq!(said.wire_len, fs::metadata(&sealed).unwrap().len());
    cofferdam::restore(&sealed, &output, streams::identities_of(KEY)).unwrap();
    assert!(fs::read(&output).unwrap() == plaintext);
    let opened = cofferdam::open(fs::read(&sealed).unwrap(), streams::identities_of(KEY)).unwrap();
    assert!(opened == plaintext);
    let again = cofferdam::seal(&input, &sealed, recipients_of(KEY)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::TargetExists);
}

/// A pipe that a thread of its own fills with `bytes`.
fn filled_pipe(bytes: Vec<u8>) -> PipeSource {
    let (reader, mut writer) = pipe().unwrap();
    // Detached: it ends with the pipe.
    thread::spawn(move || writer.write_all(&bytes));
    PipeSource::new(OwnedFd::from(reader))
}

/// What comes out of a pipe while `work` writes into it.
fn drained_pipe<T>(work: impl FnOnce(PipeSink<std::io::PipeWriter>) -> T) -> (T, Vec<u8>) {
    let (mut reader, writer) = pipe().unwrap();
    let drain = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let done = work(PipeSink::new(writer));
    (done, drain.join().unwrap())
}

#[test]
fn pipe_to_pipe() {
    for len in boundary_sizes(FRAME, SEGMENT) {
        for count in [1, 2, 3, 8] {
            let plaintext = counted(len);
            let sealer = small_sealer().threads(threads(count));
            let (said, sealed) =
                drained_pipe(|sink| sealer.seal(filled_pipe(plaintext.clone()), sink).unwrap());
            assert_eq!(said.wire_len, sealed.len() as u64);
            let (_, output) = drained_pipe(|sink| {
                opener().threads(threads(count)).open(filled_pipe(sealed.clone()), sink).unwrap()
            });
            assert!(output == plaintext, "{len} bytes, {count} threads");
            assert_opens_everywhere(&sealed, &plaintext, &format!("{len} bytes, {count} threads"));
        }
    }
}

#[test]
fn pipe_to_file_and_file_to_pipe() {
    for len in boundary_sizes(FRAME, SEGMENT) {
        let directory = scratch();
        let [sealed, output] = ["sealed.cfd", "output"].map(|name| directory.path().join(name));
        let plaintext = counted(len);
        small_sealer().seal(filled_pipe(plaintext.clone()), staged(&sealed)).unwrap();
        let source = FileSource::open(&sealed).unwrap();
        let (_, restored) = drained_pipe(|sink| opener().open(source, sink).unwrap());
        assert!(restored == plaintext, "{len} bytes, from file to pipe");
        opener().open(filled_pipe(fs::read(&sealed).unwrap()), staged(&output)).unwrap();
        assert!(fs::read(&output).unwrap() == plaintext, "{len} bytes, from pipe to file");
    }
}

#[test]
fn through_named_pipes() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = scratch();
    let [input, sealed, output] = ["input", "sealed", "output"].map(|name| directory.path().join(name));
    for fifo in [&input, &sealed, &output] {
        mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    let plaintext = counted(2 * SEGMENT + 5);
    let restored = thread::scope(|scope| {
        scope.spawn(|| fs::write(&input, &plaintext).unwrap());
        scope.spawn(|| small_sealer().seal_file(&input, &sealed).unwrap());
        scope.spawn(|| opener().restore_file(&sealed, &output).unwrap());
        fs::read(&output).unwrap()
    });
    assert!(restored == plaintext);
}

fn staged(target: &Path) -> cofferdam::StagedFile {
    cofferdam::StagedFile::create(target, &cofferdam::StageOptions::default()).unwrap()
}

#[test]
fn segments_cross_the_index_pages() {
    for segments in [4095, 4096, 4097, 8193] {
        let plaintext = Shared::new(counted(segments * FRAME - 1));
        let sealer = small_sealer().segment_len(FRAME as u64);
        let (sink, contents) = MemorySink::new();
        let said = sealer.seal(BytesSource::new(plaintext.clone()), sink).unwrap();
        assert_eq!(said.segments, segments as u64);
        let sealed = Shared::new(contents.take().unwrap());
        for reading in READINGS {
            let (restored, opened) = open(&opener(), reading, sealed.clone()).unwrap();
            assert!(opened == plaintext.as_ref(), "{segments} segments, {reading:?}");
            assert_eq!(restored.segments, segments as u64);
        }
        let oracle = reference::open(sealed.as_ref(), &reference::Key::KeyFile(KEY)).unwrap();
        assert!(oracle.plaintext == plaintext.as_ref(), "{segments} segments, reference opener");
    }
}

#[test]
fn segments_from_a_pipe_cross_the_index_pages() {
    let plaintext = counted(4097 * FRAME);
    let (sink, contents) = MemorySink::new();
    let sealer = small_sealer().segment_len(FRAME as u64);
    sealer.seal(in_order(plaintext.clone()), sink).unwrap();
    assert_opens_everywhere(&contents.take().unwrap(), &plaintext, "4097 segments from a pipe");
}

#[test]
fn every_release_policy_gives_the_same_bytes() {
    let plaintext = counted(3 * SEGMENT + 77);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    for release in [
        ReleasePolicy::AtOnce,
        ReleasePolicy::AfterDigest,
        ReleasePolicy::AfterDigestIfFrameOver(FRAME as u32),
    ] {
        for reading in READINGS {
            let (_, opened) = open(&opener().release(release), reading, sealed.clone()).unwrap();
            assert!(opened == plaintext, "{release:?}, {reading:?}");
        }
    }
}

#[test]
fn the_least_memory_is_enough_and_less_is_refused_before_anything_is_written() {
    let plaintext = counted(3 * SEGMENT + 77);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    // A run of one frame, in and out.
    let least = 2 * (FRAME + 32);
    for reading in READINGS {
        // At offsets, a segment's header and closing frames are read with it.
        let least = if reading == Reading::Seekable { least + 2 * (48 + 144) } else { least };
        let (_, opened) = open(&opener().memory(least), reading, sealed.clone()).unwrap();
        assert!(opened == plaintext, "{reading:?}");
        let error = open(&opener().memory(least - 1), reading, sealed.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{reading:?}");
    }
    let (sink, contents) = MemorySink::new();
    let error = small_sealer().memory(least - 1).seal(BytesSource::new(plaintext), sink).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(contents.take(), None);
}

#[test]
fn a_replaced_target_holds_the_new_bytes_and_an_existing_one_is_kept_unless_asked() {
    let directory = scratch();
    let [sealed, output] = ["sealed.cfd", "output"].map(|name| directory.path().join(name));
    fs::write(&sealed, seal(&small_sealer(), counted(SEGMENT + 1))).unwrap();
    fs::write(&output, b"the old contents").unwrap();
    let refused = opener().restore_file(&sealed, &output).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists);
    assert_eq!(fs::read(&output).unwrap(), b"the old contents");
    opener().if_exists(IfExists::Replace).restore_file(&sealed, &output).unwrap();
    assert!(fs::read(&output).unwrap() == counted(SEGMENT + 1));
}

#[test]
fn a_gibibyte_from_file_to_file() {
    let directory = scratch();
    let [input, sealed, output] = ["input", "sealed.cfd", "output"].map(|name| directory.path().join(name));
    let expected = write_gibibyte(&input);
    let said: Sealed = Sealer::new(recipients_of(KEY)).seal_file(&input, &sealed).unwrap();
    assert_eq!(said.plaintext_len, GIBIBYTE as u64);
    fs::remove_file(&input).unwrap();
    let restored = opener().restore_file(&sealed, &output).unwrap();
    assert_eq!(restored.stream_digest, said.stream_digest);
    assert_eq!(sha256_of(&output), expected);
    let keyless = Opener::keyless().verify(FileSource::open(&sealed).unwrap()).unwrap();
    assert_eq!(keyless.stream_digest, said.stream_digest);
}

/// Writes a gibibyte of which no two blocks are alike; returns its SHA-256.
fn write_gibibyte(path: &Path) -> [u8; 32] {
    let mut file = File::create(path).unwrap();
    let mut hash = Sha256::new();
    let mut block = counted(BLOCK);
    for number in 0..(GIBIBYTE / BLOCK) as u64 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        hash.update(&block);
        file.write_all(&block).unwrap();
    }
    hash.finalize().into()
}

fn sha256_of(path: &Path) -> [u8; 32] {
    let mut file = File::open(path).unwrap();
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).unwrap() {
            0 => return hash.finalize().into(),
            count => hash.update(&block[..count]),
        }
    }
}

const GIBIBYTE: usize = 1 << 30;
const BLOCK: usize = 1 << 20;

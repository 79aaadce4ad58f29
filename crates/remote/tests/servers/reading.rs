//! Reading all of a place: at offsets, in order, and with what is fetched ahead.

use std::{io, ops::Range, time::Duration};

use cofferdam_io::ReadAt;
use remote::RemoteSource;
use sources::{Arrival, Source};

use crate::MIB;

/// Reads what is at each of some offsets, all of it in order, and all of it ahead.
pub(crate) fn check_reads(source: &mut RemoteSource, object: &[u8]) {
    assert_eq!(Source::len(source), Some(object.len() as u64));
    let at = source.positioned().expect("it is ranged");
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..10 {
        let start = rng.usize(..object.len());
        let mut read = vec![0; rng.usize(..(object.len() - start).min(100_000))];
        at.read_exact_at(start as u64, &mut read).unwrap();
        assert!(read == object[start..start + read.len()]);
    }
    let len = object.len() as u64;
    let mut end = [0; 40];
    at.read_exact_at(len - 40, &mut end).unwrap();
    assert!(end == object[object.len() - 40..]);
    assert!(read_ahead(&*at, 16 * MIB).unwrap() == object);
    assert!(in_order(source).unwrap() == object);
    assert!(!at.changed().unwrap());
}

pub(crate) fn in_order(source: &mut RemoteSource) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 100_000]);
    loop {
        match source.read_within(&mut buffer, Duration::from_millis(50))? {
            Arrival::Bytes(count) => all.extend_from_slice(&buffer[..count]),
            Arrival::End => return Ok(all),
            Arrival::NothingYet => {}
        }
    }
}

/// Reads all of it in steps of a mebibyte, with that much memory.
pub(crate) fn read_ahead(at: &dyn ReadAt, granted: usize) -> io::Result<Vec<u8>> {
    let fetch = at.fetch().expect("it comes from afar");
    let granted = granted.max(fetch.min_memory(MIB));
    fetch.grant(granted);
    let mut all = vec![0; at.len() as usize];
    assert!(fetch.ask(0..at.len()));
    for start in (0..all.len()).step_by(MIB) {
        let end = all.len().min(start + MIB);
        let step: Range<u64> = start as u64..end as u64;
        while !fetch.wait(step.clone(), Duration::from_millis(50))? {}
        assert!(fetch.held() <= granted);
        at.read_exact_at(step.start, &mut all[start..end])?;
        fetch.release(step);
    }
    fetch.grant(0);
    // A request that has just ended may still have its block.
    while fetch.held() > 0 {
        std::thread::yield_now();
    }
    Ok(all)
}

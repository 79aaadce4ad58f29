//! How do I back up fifty tables at once, on one pool of threads and within one memory budget? `cargo run --release -p cofferdam --example many_streams`
//! Each stream has a thread that drives it; the pool's threads work for all of them, and the budget bounds what all hold.

use std::error::Error;
use std::num::NonZeroUsize;
use std::thread;

use cofferdam::{Budget, BytesSource, Pool, Recipients, Sealer, WrappingKey};

const TABLES: u8 = 50;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let budget = Budget::new(16 << 20); // bytes; a stream that finds too few free waits for its turn
    let sealer = Sealer::new(Recipients::new().wrapping_key(WrappingKey::generate()?))
        .pool(Pool::new(NonZeroUsize::MIN.saturating_add(3))?)
        .budget(budget);

    let sealed = thread::scope(|scope| {
        let seal = |table: u8| {
            let sealer = sealer.clone().metadata("table", [table]);
            let output = directory.path().join(format!("{table}.cfd"));
            scope.spawn(move || sealer.seal_to(BytesSource::new(vec![table; 1 << 20]), output))
        };
        let streams: Vec<_> = (0..TABLES).map(seal).collect();
        streams.into_iter().map(|stream| stream.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
    })?;

    let bytes: u64 = sealed.iter().map(|sealed| sealed.plaintext_len).sum();
    println!("{} streams sealed, {bytes} bytes in all", sealed.len());
    assert_eq!(bytes, u64::from(TABLES) << 20);
    Ok(())
}

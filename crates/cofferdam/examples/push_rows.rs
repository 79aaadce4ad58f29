//! How do I seal what my program writes, row by row? `cargo run --release -p cofferdam --example push_rows`
//! Only `finish` publishes: a writer that is dropped before, by an error or a panic, leaves no file.

use std::error::Error;
use std::io::{BufRead as _, Write as _};

use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("rows.cfd");
    let key = WrappingKey::generate()?;
    let same_key = WrappingKey::from_bytes(*key.to_bytes());
    let sealer = Sealer::new(Recipients::new().wrapping_key(key));

    let mut abandoned = sealer.writer_to(&output)?;
    writeln!(abandoned, "a row")?;
    drop(abandoned);
    assert!(!output.exists());

    let mut writer = sealer.writer_to(&output)?;
    for row in 0..100_000 {
        writeln!(writer, "row {row}")?;
    }
    let sealed = writer.finish()?;
    println!("{} bytes of rows in {} bytes", sealed.plaintext_len, sealed.wire_len);

    let (sink, plaintext) = MemorySink::new();
    let opener = Opener::new(Identities::new().wrapping_key(same_key));
    opener.open(BytesSource::new(std::fs::read(&output)?), sink)?;
    assert_eq!(plaintext.take().ok_or("nothing was published")?.lines().count(), 100_000);
    Ok(())
}

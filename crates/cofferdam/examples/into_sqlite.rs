//! How do I restore into an SQLite database that I have open? `cargo run --release -p cofferdam --features sqlite --example into_sqlite`
//! Readers see nothing of the stream until one transaction publishes it; killed before that, the next call resumes.

use std::error::Error;
use std::io::Read as _;

use cofferdam::database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published};
use cofferdam::{BytesSource, Identities, IfExists, MemorySink, Opener, Recipients, Sealer, WrappingKey};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("app.db");
    let key = || WrappingKey::from_bytes([7; 32]); // in earnest: WrappingKey::generate()
    let (sink, sealed) = MemorySink::new();
    Sealer::new(Recipients::new().wrapping_key(key())).seal(BytesSource::new(vec![7; 20_000_000]), sink)?;

    let target = DatabaseTarget::new("snapshot")?;
    let options = DatabaseOptions::new(target.clone()).if_exists(IfExists::Replace);
    let sink = DatabaseSink::sqlite(&path, &options)?;
    let opener = Opener::new(Identities::new().wrapping_key(key()));
    opener.open(BytesSource::new(sealed.take().ok_or("nothing was sealed")?), sink)?;

    let mut bytes = Vec::new();
    let mut published = Published::sqlite(&path, &target)?.ok_or("nothing was published")?;
    published.read_to_end(&mut bytes)?;
    println!("{} bytes are in the database", bytes.len());
    assert!(bytes == vec![7; 20_000_000]);
    Ok(())
}

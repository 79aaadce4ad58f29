//! How do I tell which backup is which, without opening them all? `cargo run --release -p cofferdam --example list_backups`
//! The metadata is encrypted and authentic; reading it touches no segment, so it says nothing about whether those are whole.

use std::error::Error;
use std::fs;

use cofferdam::{BytesSource, FileSource, Identities, Opener, Recipients, Sealer, WrappingKey};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let key = WrappingKey::generate()?;
    let same_key = WrappingKey::from_bytes(*key.to_bytes());
    let sealer = Sealer::new(Recipients::new().wrapping_key(key));
    for host in ["db1", "db2", "db3"] {
        let sealer = sealer.clone().metadata("host", host);
        sealer.seal_to(BytesSource::new(*b"a snapshot"), directory.path().join(format!("{host}.cfd")))?;
    }

    let opener = Opener::new(Identities::new().wrapping_key(same_key));
    let mut hosts = Vec::new();
    for entry in fs::read_dir(directory.path())? {
        let path = entry?.path();
        for (key, value) in opener.metadata(FileSource::open(&path)?)? {
            let (key, value) = (String::from_utf8(key)?, String::from_utf8(value)?);
            println!("{}: {key} is {value}", path.display());
            hosts.push(value);
        }
    }
    hosts.sort();
    assert_eq!(hosts, ["db1", "db2", "db3"]);
    Ok(())
}

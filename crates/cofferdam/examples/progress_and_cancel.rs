//! How do I watch a restore, and stop it? `cargo run --release -p cofferdam --example progress_and_cancel`
//! The closure runs on the restoring thread, after each segment; the token may be used from any.

use std::error::Error;

use cofferdam::{
    BytesSource, CancelToken, ErrorKind, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey,
};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::generate()?;
    let same_key = WrappingKey::parse(key.to_hex().as_bytes())?;
    let (sink, sealed) = MemorySink::new();
    let sealer = Sealer::new(Recipients::new().wrapping_key(key)).segment_len(1 << 20);
    sealer.seal(BytesSource::new(vec![7; 64 << 20]), sink)?;

    let cancel = CancelToken::new();
    let opener = Opener::new(Identities::new().wrapping_key(same_key)).cancel(cancel.clone()).on_progress(
        move |progress| {
            let total = progress.total.unwrap_or(0);
            println!("{} of {total} bytes, {:?} to go", progress.committed, progress.eta);
            if progress.committed * 2 >= total {
                cancel.cancel();
            }
        },
    );
    let (sink, contents) = MemorySink::new();
    let error = opener.open(BytesSource::new(sealed.take().ok_or("nothing was sealed")?), sink).err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Cancelled));
    assert!(contents.take().is_none());
    println!("stopped; nothing was published");
    Ok(())
}

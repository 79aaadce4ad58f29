//! How do I restore from async code, and stop when nobody waits any more? `cargo run --release -p cofferdam --example from_tokio`
//! The library blocks: a stream runs on a thread for blocking work, and a dropped future cancels it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use cofferdam::{BytesSource, CancelToken, Identities, Opener, Recipients, Restored, Sealer, WrappingKey};
use tokio::{runtime, task, time};

/// Cancels a stream when the future that waits for it is dropped.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn restore(opener: Opener, sealed: PathBuf, target: PathBuf) -> Result<Restored, Box<dyn Error>> {
    let cancel = CancelOnDrop(CancelToken::new());
    let opener = opener.cancel(cancel.0.clone());
    Ok(task::spawn_blocking(move || opener.restore_file(sealed, target)).await??)
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let [sealed, target] = ["db.cfd", "db"].map(|name| directory.path().join(name));
    let key = || WrappingKey::from_bytes([7; 32]); // in earnest: WrappingKey::generate()
    Sealer::new(Recipients::new().wrapping_key(key()))
        .seal_to(BytesSource::new(vec![7; 64 << 20]), &sealed)?;
    let opener = Opener::new(Identities::new().wrapping_key(key()));

    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let limit = Duration::ZERO; // so that this one is stopped
    let stopped = runtime.block_on(async {
        time::timeout(limit, restore(opener.clone(), sealed.clone(), target.clone())).await.is_err()
    });
    drop(runtime); // waits for the stream to be rolled back
    assert!(stopped && !target.exists());

    let runtime = runtime::Builder::new_current_thread().build()?;
    let restored = runtime.block_on(restore(opener, sealed, target))?; // resumes, if anything was kept
    println!("{} bytes restored, {} of them resumed", restored.plaintext_len, restored.resumed_bytes);
    Ok(())
}

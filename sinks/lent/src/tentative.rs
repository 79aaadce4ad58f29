//! A sink over something of the caller's that takes bytes at offsets: the order of calls, and which bytes have come, are kept here.
//! Knows neither memory nor callbacks.
#![allow(
    unsafe_code,
    reason = "a medium is promised that each byte has one writer, which the ledger here shows"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use contract::cursor::{Committed, Cursor};
use contract::written::WrittenRanges;
use contract::{
    Checkpoint, CommitError, Lending, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
};
use parking_lot::Mutex;

use crate::gate::Gate;

/// Where the bytes go.
pub trait Medium: Send + Sync + 'static {
    /// How it is written to.
    fn access(&self) -> Access;

    /// The most bytes that it takes.
    fn len_max(&self) -> u64;

    /// Takes `data` as the bytes from `at` on. Of several threads at once, where it is parallel, each has other bytes.
    ///
    /// # Errors
    /// They were not taken.
    ///
    /// # Safety
    /// Nobody else uses these bytes meanwhile.
    unsafe fn write(&self, at: u64, data: &[u8]) -> io::Result<()>;

    /// Lends the `len` bytes from `at` on to `fill`, which makes each of them, if it is memory.
    ///
    /// # Errors
    /// It is no memory, or has not as many; those of `fill`.
    ///
    /// # Safety
    /// Nobody else uses these bytes meanwhile.
    unsafe fn fill(
        &self,
        at: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()>;

    /// Whether it can lend its bytes.
    fn is_memory(&self) -> bool;

    /// The first `len` bytes are verified. Not called where it is parallel.
    ///
    /// # Errors
    /// The medium does not keep them.
    fn commit(&self, len: u64) -> io::Result<()>;

    /// The stream is complete, with `len` bytes.
    ///
    /// # Errors
    /// It was not published, or nobody knows whether it was.
    fn publish(&self, len: u64) -> Result<(), CommitError>;
}

/// How a medium is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// In order, each segment once it is verified.
    Verified,
    /// In order, each run once its frames are authentic. Nobody sees it before publish.
    Private,
    /// At any offset, by any thread. Nobody sees it before publish.
    Parallel,
}

/// Writes a stream to a medium.
pub struct TentativeSink<M> {
    access: Access,
    cursor: Cursor,
    writer: Arc<Writer<M>>,
}

struct Writer<M> {
    medium: Arc<Gate<M>>,
    written: Mutex<WrittenRanges>,
    /// Whether bytes that count as written were not made: nothing is published then.
    unfilled: AtomicBool,
    /// The system's number of the first failure, or 0: of several threads that fail, any may be the one that is reported.
    code: AtomicI32,
}

impl<M: Medium> TentativeSink<M> {
    /// Over what is behind `medium`.
    ///
    /// # Errors
    /// The call has ended.
    pub fn new(medium: Arc<Gate<M>>) -> io::Result<TentativeSink<M>> {
        let (access, len_max) = medium.enter(|medium| Ok((medium.access(), medium.len_max())))?;
        let written = Mutex::new(WrittenRanges::new(len_max));
        Ok(TentativeSink {
            access,
            cursor: Cursor::default(),
            writer: Arc::new(Writer {
                medium,
                written,
                unfilled: AtomicBool::new(false),
                code: AtomicI32::new(0),
            }),
        })
    }
}

impl<M: Medium> StreamingSink for TentativeSink<M> {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(match self.access {
            Access::Verified => Visibility::Visible,
            Access::Private | Access::Parallel => Visibility::Private,
        })
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.writer.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let has_bytes = self.cursor.open_len().is_some_and(|len| len > 0);
        let start = self.cursor.roll_back()?;
        if self.access == Access::Verified && has_bytes {
            self.writer.written.lock().fail();
            return Err(io::Error::other("bytes of this segment are out and cannot be taken back"));
        }
        self.writer.written.lock().cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _: &Checkpoint) -> Result<(), CommitError> {
        // All writes of this segment have succeeded. One of a later segment may have failed: that is the engine's to say, and publish refuses.
        if self.cursor.commit() == Committed::OpenSegment && self.access != Access::Parallel {
            let len = self.cursor.committed_end();
            self.writer.try_on(|medium| medium.commit(len)).map_err(CommitError::NotCommitted)?;
        }
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        if self.writer.unfilled.load(Ordering::Relaxed) {
            return Err(CommitError::NotCommitted(io::Error::other("some bytes were not made")));
        }
        let mut written = self.writer.written.lock();
        written.check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever comes of it, nothing more is written.
        written.close();
        drop(written);
        let mut published = Ok(());
        self.writer
            .medium
            .enter(|medium| {
                published = medium.publish(plain_len);
                Ok(())
            })
            .map_err(CommitError::NotCommitted)?;
        published
    }

    fn discard(&mut self) -> io::Result<()> {
        self.writer.written.lock().close();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        (self.access == Access::Parallel).then(|| self.writer.clone() as Arc<dyn WriteAt>)
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl<M> Drop for TentativeSink<M> {
    fn drop(&mut self) {
        self.writer.written.lock().close();
    }
}

impl<M: Medium> Writer<M> {
    /// What fails is final.
    fn try_on<R>(&self, work: impl FnOnce(&M) -> io::Result<R>) -> io::Result<R> {
        self.medium.enter(work).inspect_err(|error| {
            let mut written = self.written.lock();
            written.fail_for(error);
            // Partner: the load in `claim`, under the same lock, which is what orders them. Only the first one counts.
            let code = error.raw_os_error().unwrap_or(0);
            let _ = self.code.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
        })
    }

    fn claim(&self, at: u64, len: usize) -> io::Result<()> {
        let claimed = self.written.lock().claim(at, len);
        // Partner: the store in `try_on`.
        claimed.map_err(|error| match self.code.load(Ordering::Relaxed) {
            0 => error,
            code => io::Error::from_raw_os_error(code),
        })
    }
}

impl<M: Medium> WriteAt for Writer<M> {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.claim(at, data.len())?;
        // SAFETY: the claim gives each byte to one writer: the ledger forgets ranges only in `rollback_segment`, of ordered mode, whose one writer
        // calls it through `&mut`.
        self.try_on(|medium| unsafe { medium.write(at, data) })
    }

    fn fill_at(
        &self,
        at: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Lending> {
        if !self.medium.enter(|medium| Ok(medium.is_memory()))? {
            return Ok(Lending::NotLent);
        }
        self.claim(at, len)?;
        // What is wrong with a frame is no fault of the medium: others are still written, so that the first fault of the stream is the one reported.
        // Partner: the load at publish. Relaxed: no write is running then.
        // SAFETY: as in `write_all_at`.
        let filled = self.medium.enter(|medium| unsafe { medium.fill(at, len, fill) });
        filled.inspect_err(|_| self.unfilled.store(true, Ordering::Relaxed)).map(|()| Lending::Filled)
    }
}

#[cfg(test)]
mod tests {
    use testing::conformance::{SinkUnderTest, check_all};

    use super::*;
    use crate::gate::Lease;
    use crate::memory::{LentMemory, is_full};

    /// A medium of which everything can be looked at.
    struct Table {
        access: Access,
        bytes: Arc<Mutex<Vec<u8>>>,
        published: Arc<Mutex<Option<Vec<u8>>>>,
    }

    impl Medium for Table {
        fn access(&self) -> Access {
            self.access
        }

        fn len_max(&self) -> u64 {
            1 << 30
        }

        unsafe fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
            let mut bytes = self.bytes.lock();
            let (start, end) = (at as usize, at as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(data);
            Ok(())
        }

        unsafe fn fill(
            &self,
            _: u64,
            _: usize,
            _: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
        ) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn is_memory(&self) -> bool {
            false
        }

        fn commit(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn publish(&self, len: u64) -> Result<(), CommitError> {
            *self.published.lock() = Some(self.bytes.lock()[..len as usize].to_vec());
            Ok(())
        }
    }

    #[test]
    fn the_contract_of_sinks_is_kept_whichever_way_the_bytes_come() {
        for access in [Access::Verified, Access::Private, Access::Parallel] {
            let violations = check_all(&mut || {
                let (bytes, published) = (Arc::default(), Arc::<Mutex<Option<Vec<u8>>>>::default());
                let lease = Lease::new(Table { access, bytes, published: Arc::clone(&published) });
                let sink = TentativeSink::new(lease.gate()).unwrap();
                SinkUnderTest::new(sink, move || {
                    let _call = &lease;
                    published.lock().clone()
                })
            });
            assert!(violations.is_empty(), "{violations:?}");
        }
    }

    /// Memory that says what of it has been published.
    struct ToldMemory {
        memory: LentMemory,
        published: Arc<Mutex<Option<usize>>>,
    }

    impl Medium for ToldMemory {
        fn access(&self) -> Access {
            self.memory.access()
        }

        fn len_max(&self) -> u64 {
            self.memory.len_max()
        }

        unsafe fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
            // SAFETY: the same is asked for here.
            unsafe { self.memory.write(at, data) }
        }

        unsafe fn fill(
            &self,
            at: u64,
            len: usize,
            fill: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
        ) -> io::Result<()> {
            // SAFETY: the same is asked for here.
            unsafe { self.memory.fill(at, len, fill) }
        }

        fn is_memory(&self) -> bool {
            self.memory.is_memory()
        }

        fn commit(&self, len: u64) -> io::Result<()> {
            self.memory.commit(len)
        }

        fn publish(&self, len: u64) -> Result<(), CommitError> {
            *self.published.lock() = Some(len as usize);
            Ok(())
        }
    }

    #[test]
    fn the_contract_of_sinks_is_kept_over_lent_memory() {
        let violations = check_all(&mut || {
            let mut bytes = vec![0; 32 << 20];
            // SAFETY: the vector outlives the lease, is written by nobody else, and is not read before the stream is published.
            let memory = unsafe { LentMemory::new(bytes.as_mut_ptr(), bytes.len(), ()) };
            let published = Arc::<Mutex<Option<usize>>>::default();
            let lease = Lease::new(ToldMemory { memory, published: Arc::clone(&published) });
            let sink = TentativeSink::new(lease.gate()).unwrap();
            SinkUnderTest::new(sink, move || {
                let _call = &lease;
                published.lock().map(|len| bytes[..len].to_vec())
            })
        });
        assert!(violations.is_empty(), "{violations:?}");
    }

    #[test]
    fn after_the_call_nothing_is_written_and_its_owner_is_dropped() {
        let (mut bytes, owner) = (vec![7_u8; 100], Arc::new(()));
        // SAFETY: the vector outlives the lease, and is not touched before that is dropped.
        let memory = unsafe { LentMemory::new(bytes.as_mut_ptr(), bytes.len(), Arc::clone(&owner)) };
        let lease = Lease::new(memory);
        let sink = TentativeSink::new(lease.gate()).unwrap();
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[1; 10]).unwrap();
        drop(lease);
        assert_eq!(Arc::strong_count(&owner), 1);
        assert!(writer.write_all_at(10, &[1; 10]).is_err());
        assert!(writer.fill_at(20, 10, &mut |_| panic!("nothing is lent")).is_err());
        assert_eq!(bytes, [vec![1; 10], vec![7; 90]].concat());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_said() {
        let mut bytes = vec![7_u8; 100];
        // SAFETY: the vector outlives the lease, and is not touched before that is dropped.
        let lease = Lease::new(unsafe { LentMemory::new(bytes.as_mut_ptr(), bytes.len(), ()) });
        let writer = TentativeSink::new(lease.gate()).unwrap().positioned().unwrap();
        for (at, len) in [(100, 1), (0, 101), (u64::MAX, 1)] {
            let sink = TentativeSink::new(lease.gate()).unwrap();
            let refused = sink.positioned().unwrap().write_all_at(at, &vec![1; len]).unwrap_err();
            assert!(is_full(&refused), "{len} at {at}: {refused}");
        }
        assert!(!is_full(&io::Error::from_raw_os_error(27)), "EFBIG is the system's");
        drop((writer, lease));
        assert_eq!(bytes, [7; 100]);
    }
}

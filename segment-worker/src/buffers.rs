//! The buffers of one stream: all of one size, used again and again.
//! They hold plaintext and ciphertext in turn; what is charged for them is the lease's business.

use std::sync::Arc;

use parking_lot::Mutex;

/// A stock of equal buffers that jobs and feed draw from.
#[derive(Clone)]
pub struct Buffers {
    len: usize,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    pub(crate) fn new(len: usize) -> Buffers {
        Buffers { len, spare: Arc::default() }
    }

    /// A buffer of the stock's size. What it holds is left over from before.
    pub fn take(&self) -> Vec<u8> {
        let spare = self.spare.lock().pop();
        spare.unwrap_or_else(|| vec![0; self.len])
    }

    /// Brings a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() >= self.len {
            buffer.resize(self.len, 0);
            self.spare.lock().push(buffer);
        }
    }

    /// Bytes of the stock.
    pub(crate) fn spare_len(&self) -> usize {
        self.spare.lock().len() * self.len
    }

    /// Frees what of the stock is beyond `bytes`. What is in use comes back to it later.
    pub(crate) fn keep(&self, bytes: usize) {
        let beyond = {
            let mut spare = self.spare.lock();
            let count = spare.len().min(bytes / self.len.max(1));
            spare.split_off(count)
        };
        drop(beyond);
    }
}

//! Owns what tells this machine, this process and this moment from others. It is mixed into salts and ids, which are public.
//! Refuses to know keys, and is no randomness: where the random source is sound nothing rests on it.
//!
//! A virtual machine that is copied while it seals has two random sources that may give the same bytes until the kernel
//! hears of the copy. Then two segments could be sealed under one key and nonce. The clock, read to the nanosecond, tells the
//! copies apart as far as they do not run in step.

use std::fs;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Length of a moment in bytes.
pub(crate) const MOMENT_LEN: usize = 32;

/// Another value at each call: a hash over the machine, the process, the clock and a count of calls.
pub(crate) fn moment() -> [u8; MOMENT_LEN] {
    // Of the clock only that it moves on is of use: one before 1970 does as well.
    let since = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after,
        Err(before) => before.duration(),
    };
    // Relaxed: each call has to get another number, in no order with anything else.
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    Sha256::new()
        .chain_update(LABEL)
        .chain_update(machine())
        .chain_update(process::id().to_le_bytes())
        .chain_update(since.as_nanos().to_le_bytes())
        .chain_update(call.to_le_bytes())
        .finalize()
        .into()
}

/// Adds `moment` to the first bytes of what was `drawn`, bit by bit: whatever the moment, uniform bytes stay uniform, and
/// say nothing of it.
pub(crate) fn mix(drawn: &mut [u8], moment: &[u8; MOMENT_LEN]) {
    for (byte, part) in drawn.iter_mut().zip(moment) {
        *byte ^= part;
    }
}

/// What the machine calls itself and its present run, hashed: the former is nobody's business. Read once, empty if there
/// is none.
fn machine() -> &'static [u8; 32] {
    static MACHINE: OnceLock<[u8; 32]> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let ids = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"];
        let ids = ids.map(|path| Sha256::digest(fs::read(path).unwrap_or_default()));
        Sha256::new().chain_update(LABEL).chain_update(ids.concat()).finalize().into()
    })
}

const LABEL: &[u8] = b"cofferdam/moment\0";
static CALLS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_random_source_that_gives_the_same_again_and_again_makes_no_salt_twice() {
        let salts: HashSet<[u8; 16]> = (0..10_000)
            .map(|_| {
                let mut drawn = [0x5A; 16];
                mix(&mut drawn, &moment());
                drawn
            })
            .collect();
        assert_eq!(salts.len(), 10_000);
    }

    #[test]
    fn mixing_takes_nothing_away_from_what_was_drawn() {
        let moment = moment();
        for drawn in [[0; 16], [0xFF; 16], *b"sixteen bytes ..", std::array::from_fn(|i| i as u8)] {
            let mut salt = drawn;
            mix(&mut salt, &moment);
            assert_ne!(salt, drawn);
            // Another one that differs in these bits is mixed into one that differs in the same: no two are made one.
            for bit in 0..128 {
                let mut other = drawn;
                other[bit / 8] ^= 1 << (bit % 8);
                mix(&mut other, &moment);
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(other, salt, "bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_shorter_or_longer_than_a_moment_is_mixed_as_far_as_both_reach() {
        let moment = [1; MOMENT_LEN];
        for len in [0, 1, 31, 32, 33] {
            let mut drawn = vec![0; len];
            mix(&mut drawn, &moment);
            let mixed = len.min(MOMENT_LEN);
            assert_eq!(drawn, [vec![1; mixed], vec![0; len - mixed]].concat());
        }
    }

    #[test]
    fn what_the_machine_calls_itself_is_a_hash_and_the_same_each_time() {
        assert_eq!(machine(), machine());
        let bytes: HashSet<&u8> = machine().iter().collect();
        assert!(bytes.len() > 8, "32 bytes of a hash are of more than 8 kinds: {bytes:?}");
    }
}

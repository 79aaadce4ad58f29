//! Owns what passphrases may cost: scrypt's work in one slot and in all of them, and its memory.
//! Refuses to know passphrases, and how a slot is opened.

use crate::age_header::{self, Lock, SCRYPT_WORK_MAX, WORK_FACTOR_MAX, WorkFactor};
use crate::slot::{KIND_AGE, Refusal, SealedSlot, SlotFault};

/// Whether a passphrase slot may be computed: its work factor, and the work of all such slots, before anybody is asked, and
/// the memory for it. A stanza without a work factor is for age to refuse.
pub(crate) fn check_work(factor: Option<WorkFactor>, work: u64) -> Result<(), Refusal> {
    let Some(factor) = factor else { return Ok(()) };
    let limit = |what, found, max| Err(Refusal::Fault(SlotFault::Limit { what, found, max }));
    if factor.0 > u64::from(WORK_FACTOR_MAX) {
        return limit("as scrypt work factor", factor.0, WORK_FACTOR_MAX.into());
    }
    if work > SCRYPT_WORK_MAX {
        return limit("steps of scrypt with the other passphrase slots", work, SCRYPT_WORK_MAX);
    }
    probe_memory(factor).map_err(Refusal::Memory)
}

/// What scrypt's N comes to over all passphrase slots that may be computed.
pub(crate) fn scrypt_work(slots: &[SealedSlot]) -> u64 {
    let ages = slots.iter().filter(|slot| slot.kind == KIND_AGE);
    ages.filter_map(|slot| match age_header::parse(&slot.body).ok()?.lock {
        Lock::Passphrase(Some(factor)) if factor.0 <= u64::from(WORK_FACTOR_MAX) => Some(factor.work()),
        _ => None,
    })
    .sum()
}

/// Takes the memory that scrypt needs for `factor`, and gives it back: the library that needs it next aborts where there
/// is none. The factor is within its limit. The error is how many bytes there were not.
///
/// Another thread may take it in between. Then the process aborts as it did before, in a window of microseconds.
pub(crate) fn probe_memory(factor: WorkFactor) -> Result<(), usize> {
    let needed = factor.memory() + MEMORY_BESIDE;
    let mut probe: Vec<u8> = Vec::new();
    probe.try_reserve_exact(needed).map_err(|_| needed)
}

/// What scrypt and whoever calls it take beside its table, in bytes, roundly.
const MEMORY_BESIDE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(factor: u64, work: u64) -> Option<u64> {
        match check_work(Some(WorkFactor(factor)), work) {
            Err(Refusal::Fault(SlotFault::Limit { max, .. })) => Some(max),
            Err(_) => panic!("there is memory for work factor {factor}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn a_factor_and_the_work_of_all_slots_are_held_against_their_limits() {
        for (factor, work, limit) in [
            (1, 2, None),
            (20, 1 << 20, None),
            (20, 1 << 22, None),
            (1, 1 << 22, None),
            (1, (1 << 22) + 1, Some(1 << 22)),
            (21, 2, Some(20)),
            (21, u64::MAX, Some(20)),
            (u64::MAX, 2, Some(20)),
        ] {
            assert_eq!(verdict(factor, work), limit, "2^{factor} of {work}");
        }
        assert!(check_work(None, u64::MAX).is_ok());
    }

    #[test]
    fn the_work_is_the_sum_over_the_passphrase_slots_that_may_be_computed() {
        let slot = |kind, stanzas: &str| SealedSlot {
            kind,
            body: format!("age-encryption.org/v1\n{stanzas}--- {}\n", "A".repeat(43)).into_bytes(),
        };
        let slots = [
            slot(KIND_AGE, "-> scrypt s 3\n\n"),
            slot(KIND_AGE, "-> scrypt s 20\n\n"),
            slot(KIND_AGE, "-> scrypt s 21\n\n"),
            slot(KIND_AGE, "-> scrypt s 64\n\n"),
            slot(KIND_AGE, "-> scrypt s 4\n\n-> someone\n\n"),
            slot(KIND_AGE, "-> someone\n\n"),
            slot(900, "-> scrypt s 5\n\n"),
        ];
        assert_eq!(scrypt_work(&slots), (1 << 3) + (1 << 20));
        assert_eq!(scrypt_work(&[]), 0);
    }
}

//! What follows from what was found in the two key copies: one table (FORMAT F5.17).
//! Knows no bytes and no key: it is a function of what was found, and asks for the second copy only where that matters.

/// What was found in the copy that is taken: the usable one of the higher generation, on a tie the first (F5.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// There is none to take.
    Unusable,
    /// Its slots are at fault (F5.2), or none yields the committed key (F5.13): a class for this copy alone.
    Fault,
    /// It yields the key, and its MAC is wrong.
    MacWrong,
    /// It yields the key, and its MAC is right. Without a key: its slots are well formed.
    Good,
}

/// What was found in the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Other {
    NotLookedAt,
    Unusable,
    /// As in [`Taken::Fault`]. With a key at hand, no slot of it is tried: then these are faults of F5.2 alone.
    Fault,
    MacWrong,
    /// All is right with it, and this is how it stands to the copy taken.
    Good(Pair),
}

/// Two copies beside each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pair {
    /// The same bytes.
    Equal,
    /// Of one generation, and not the same bytes.
    Differ,
    /// Of different generations.
    Apart,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decision {
    /// The other copy decides: look at it.
    LookAtOther,
    /// Refuse: the key area is damaged.
    Damaged,
    /// Refuse, in the class of the copy taken.
    FaultOfTaken,
    /// Refuse, in the class of the other.
    FaultOfOther,
    /// The stream opens by the copy taken.
    OpenByTaken(Remark),
    /// The stream opens by the other; the copy taken is not good.
    OpenByOther,
}

/// What is to be said of the copy that did not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remark {
    /// Nothing is amiss.
    Nothing,
    /// A re-wrap was not finished: a warning, and no damage.
    RewrapUnfinished,
    /// It is not good: a warning to a restore, *damaged* to a complete verification.
    NotGood,
}

/// The table. Its rows are numbered as in docs/FORMAT.md F5.17; they do not overlap, and the compiler sees to it that no
/// case is left out: there is no arm for "everything else".
pub(super) fn decide(taken: Taken, other: Other) -> Decision {
    use {Decision as D, Other as O, Pair::*, Remark as R, Taken as T};

    match (taken, other) {
        // K1. Neither copy is usable.
        (
            T::Unusable,
            O::NotLookedAt | O::Unusable | O::Fault | O::MacWrong | O::Good(Equal | Differ | Apart),
        ) => D::Damaged,

        // K2. The copy taken has its class, and the other is not asked: it may hold an older list of who may open.
        (
            T::Fault,
            O::NotLookedAt | O::Unusable | O::Fault | O::MacWrong | O::Good(Equal | Differ | Apart),
        ) => D::FaultOfTaken,

        // (Not a row of FORMAT: here the other copy matters.)
        (T::MacWrong | T::Good, O::NotLookedAt) => D::LookAtOther,

        // K3. The copy taken yields the key and is not authentic, and the other is no better.
        (T::MacWrong, O::Unusable | O::MacWrong) => D::Damaged,

        // K4. What the other gives is the answer: its fault,
        (T::MacWrong, O::Fault) => D::FaultOfOther,

        // K5. or its key.
        (T::MacWrong, O::Good(Equal | Differ | Apart)) => D::OpenByOther,

        // K6. The other copy is of no use: restores do without it.
        (T::Good, O::Unusable | O::Fault | O::MacWrong) => D::OpenByTaken(R::NotGood),

        // K7. As a writer leaves them.
        (T::Good, O::Good(Equal)) => D::OpenByTaken(R::Nothing),

        // K8. Two copies of one generation are one writer's, and no writer writes two different ones.
        (T::Good, O::Good(Differ)) => D::OpenByTaken(R::NotGood),

        // K9. A re-wrap was cut off between its two copies.
        (T::Good, O::Good(Apart)) => D::OpenByTaken(R::RewrapUnfinished),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: [Taken; 4] = [Taken::Unusable, Taken::Fault, Taken::MacWrong, Taken::Good];
    const OTHERS: [Other; 6] = [
        Other::Unusable,
        Other::Fault,
        Other::MacWrong,
        Other::Good(Pair::Equal),
        Other::Good(Pair::Differ),
        Other::Good(Pair::Apart),
    ];

    fn every_case() -> impl Iterator<Item = (Taken, Other, Decision)> {
        TAKEN.into_iter().flat_map(|taken| OTHERS.map(|other| (taken, other, decide(taken, other))))
    }

    #[test]
    fn the_other_copy_is_looked_at_exactly_where_the_answer_depends_on_it() {
        for taken in TAKEN {
            let answers = OTHERS.map(|other| decide(taken, other));
            let depends = answers.iter().any(|answer| *answer != answers[0]);
            let first = decide(taken, Other::NotLookedAt);
            assert_eq!(first == Decision::LookAtOther, depends, "{taken:?}");
            assert!(depends || first == answers[0], "{taken:?}");
        }
        assert!(every_case().all(|(_, _, decision)| decision != Decision::LookAtOther));
    }

    #[test]
    fn a_stream_opens_exactly_by_a_good_copy_that_is_reached() {
        for (taken, other, decision) in every_case() {
            let by_taken = matches!(decision, Decision::OpenByTaken(_));
            assert_eq!(by_taken, taken == Taken::Good, "{taken:?}, {other:?}");
            let reached = taken == Taken::MacWrong && matches!(other, Other::Good(_));
            assert_eq!(decision == Decision::OpenByOther, reached, "{taken:?}, {other:?}");
        }
    }

    #[test]
    fn a_key_area_is_damaged_as_a_whole_exactly_where_no_copy_has_a_class_of_its_own() {
        for (taken, other, decision) in every_case() {
            let no_better = matches!(other, Other::Unusable | Other::MacWrong);
            let whole = taken == Taken::Unusable || taken == Taken::MacWrong && no_better;
            assert_eq!(decision == Decision::Damaged, whole, "{taken:?}, {other:?}");
        }
    }

    #[test]
    fn a_copy_without_a_key_for_the_reader_is_no_reason_to_ask_the_other() {
        for other in OTHERS {
            assert_eq!(decide(Taken::Fault, other), Decision::FaultOfTaken, "{other:?}");
        }
    }

    #[test]
    fn nothing_is_amiss_only_with_two_good_copies_and_a_rewrap_is_unfinished_only_between_generations() {
        for (taken, other, decision) in every_case() {
            let both_good = taken == Taken::Good && matches!(other, Other::Good(_));
            let quiet = decision == Decision::OpenByTaken(Remark::Nothing);
            assert_eq!(quiet, both_good && other == Other::Good(Pair::Equal), "{taken:?}, {other:?}");
            let unfinished = decision == Decision::OpenByTaken(Remark::RewrapUnfinished);
            assert_eq!(unfinished, both_good && other == Other::Good(Pair::Apart), "{taken:?}, {other:?}");
        }
    }

    #[test]
    fn a_fault_is_reported_in_the_class_of_a_copy_that_has_one() {
        for (taken, other, decision) in every_case() {
            assert!(decision != Decision::FaultOfTaken || taken == Taken::Fault, "{taken:?}, {other:?}");
            let of_other = decision == Decision::FaultOfOther;
            assert_eq!(of_other, taken == Taken::MacWrong && other == Other::Fault, "{taken:?}, {other:?}");
        }
    }
}

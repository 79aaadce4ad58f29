//! Work that is compared takes turns, A B A B …, and what the samples say: medians, quartiles, ratios with their spread. And
//! bytes to work on. It knows no work and prints nothing.
//!
//! What the machine does meanwhile moves the samples of one round alike, so the ratios within the rounds vary less than
//! the times do. Every other round runs backwards: no variant always finds what the same other one has left behind.

use std::time::{Duration, Instant};

/// When a variant runs without being counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WarmUp {
    /// Never.
    None,
    /// In a first round, which counts only where there is no time for a second.
    FirstRound,
    /// Before each sample: where what the variant before has left of memory or caches would be measured.
    EachSample,
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Samples of each variant, at most.
    pub rounds: usize,
    /// After this no further round begins.
    pub patience: Duration,
    /// What is not counted.
    pub warm_up: WarmUp,
}

impl Effort {
    /// As many rounds, however long they take.
    pub fn of(rounds: usize, warm_up: WarmUp) -> Effort {
        Effort { rounds, patience: Duration::MAX, warm_up }
    }
}

/// One way of doing the work: it does it once, and says what that took.
pub type Variant<'a, S, E> = Box<dyn FnMut() -> Result<S, E> + 'a>;

/// The samples of each variant, in the order of the rounds; at least one of each.
///
/// # Errors
/// That of the first variant that fails.
///
/// # Panics
/// No rounds are asked for.
pub fn interleaved<S, E>(variants: &mut [Variant<'_, S, E>], effort: Effort) -> Result<Vec<Vec<S>>, E> {
    assert!(effort.rounds > 0, "without a round there is no sample");
    let begun = Instant::now();
    let mut samples: Vec<Vec<S>> = variants.iter().map(|_| Vec::new()).collect();
    let rounds = effort.rounds + usize::from(effort.warm_up == WarmUp::FirstRound);
    for round in 0..rounds {
        if round > 0 && begun.elapsed() >= effort.patience {
            break;
        }
        if round == 1 && effort.warm_up == WarmUp::FirstRound {
            samples.iter_mut().for_each(Vec::clear);
        }
        for turn in 0..variants.len() {
            let index = if round.is_multiple_of(2) { turn } else { variants.len() - 1 - turn };
            if effort.warm_up == WarmUp::EachSample {
                variants[index]()?;
            }
            samples[index].push(variants[index]()?);
        }
    }
    Ok(samples)
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// What some figures say together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Summary {
    /// The middle one; of an even number the lower of the two.
    pub median: f64,
    /// The first quartile and the third.
    pub quartiles: [f64; 2],
    /// The least and the most.
    pub range: [f64; 2],
}

impl Summary {
    /// Of `figures`.
    ///
    /// # Panics
    /// There are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Summary {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        assert!(!sorted.is_empty(), "of nothing there is no median");
        sorted.sort_unstable_by(f64::total_cmp);
        let quartile = |part: usize| sorted[(sorted.len() - 1) * part / 4];
        Summary {
            median: quartile(2),
            quartiles: [quartile(1), quartile(3)],
            range: [sorted[0], sorted[sorted.len() - 1]],
        }
    }

    /// Of `times`, in seconds.
    pub fn of_times(times: &[Duration]) -> Summary {
        Summary::of(times.iter().map(Duration::as_secs_f64))
    }

    /// From the first quartile to the third, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.quartiles[1] - self.quartiles[0]) / self.median
    }
}

/// The ratios of `ours` to `other`, round by round: smaller is better.
pub fn ratio(ours: &[Duration], other: &[Duration]) -> Summary {
    Summary::of(ours.iter().zip(other).map(|(ours, other)| ours.as_secs_f64() / other.as_secs_f64()))
}

/// Bytes without a pattern that repeats soon. What they are does not matter to any cipher.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; len];
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// The order of the calls, and how many samples count of the first variant.
    fn order(effort: Effort) -> (String, usize) {
        let order = RefCell::new(String::new());
        let variant = |name| -> Variant<'_, (), ()> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(())
            })
        };
        let samples = interleaved(&mut [variant('a'), variant('b')], effort).unwrap();
        (order.take(), samples[0].len())
    }

    fn millis(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_millis).collect()
    }

    #[track_caller]
    fn assert_close(summary: Summary, median: f64, spread: f64) {
        let close = (summary.median - median).abs() < 1e-9 && (summary.spread() - spread).abs() < 1e-9;
        assert!(close, "{summary:?} is not {median}, {spread}");
    }

    #[test]
    fn variants_take_turns_and_every_other_round_runs_backwards() {
        assert_eq!(order(Effort::of(3, WarmUp::None)), ("abbaab".to_owned(), 3));
    }

    #[test]
    fn what_warms_up_does_not_count() {
        assert_eq!(order(Effort::of(2, WarmUp::FirstRound)), ("abbaab".to_owned(), 2));
        assert_eq!(order(Effort::of(2, WarmUp::EachSample)), ("aabbbbaa".to_owned(), 2));
    }

    #[test]
    fn no_round_begins_after_the_patience_but_the_first_which_then_counts() {
        for warm_up in [WarmUp::None, WarmUp::FirstRound] {
            let effort = Effort { rounds: 3, patience: Duration::ZERO, warm_up };
            assert_eq!(order(effort), ("ab".to_owned(), 1));
        }
    }

    #[test]
    fn the_first_failure_ends_it() {
        let mut variants: Vec<Variant<'_, (), &str>> = vec![Box::new(|| Err("broken")), Box::new(|| Ok(()))];
        assert_eq!(interleaved(&mut variants, Effort::of(1, WarmUp::None)), Err("broken"));
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_and_no_ratio_of_medians() {
        // The machine is ten times as slow meanwhile; ours takes half as long again in each round but one.
        let ours = millis(&[15, 150, 90, 1500, 150]);
        assert_close(ratio(&ours, &millis(&[10, 100, 100, 1000, 100])), 1.5, 0.0);
    }

    #[test]
    fn the_spread_is_what_lies_between_the_quartiles() {
        assert_close(ratio(&millis(&[10, 20, 16, 18, 30]), &millis(&[10; 5])), 1.8, 0.4 / 1.8);
        assert_close(Summary::of([0.5]), 0.5, 0.0);
        assert_close(Summary::of([3.0, 0.9, 1.0, 1.2, 0.5]), 1.0, 0.3);
    }

    #[test]
    fn the_range_is_from_the_least_to_the_most() {
        assert_eq!(Summary::of_times(&millis(&[3000, 1000, 2000])).range, [1.0, 3.0]);
    }
}

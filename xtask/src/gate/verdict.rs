//! Owns the judgement on ratios: what got worse, better, is new or missing; and how often it is asked again.
//! Measures nothing itself.

use std::fmt;

use super::ratios::{Ratio, Ratios, number};

/// What became of one ratio.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) key: String,
    pub(crate) verdict: Verdict,
    accepted: Option<Ratio>,
    /// The best of all measurements.
    pub(crate) measured: Ratio,
    measurements: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Worse,
    Better,
    Same,
    New,
    /// It is shown alone.
    None,
}

/// Measures the ratios of all keys that `measure` has (it is given none), and those that look worse again by their keys,
/// up to [`MEASUREMENTS_MAX`] times in all. A ratio is worse if it was so each time; where it is not judged, it is never worse.
///
/// # Errors
/// Those of `measure`.
pub(crate) fn judge(
    accepted: &Ratios,
    is_judged: impl Fn(&str) -> bool,
    mut measure: impl FnMut(&[&str]) -> Result<Ratios, String>,
) -> Result<Vec<Finding>, String> {
    let finding = |(key, ratio): (String, Ratio)| {
        let is_judged = is_judged(&key);
        Finding::new(accepted, key, is_judged, ratio)
    };
    let mut findings: Vec<Finding> = measure(&[])?.into_iter().map(finding).collect();
    for _ in 1..MEASUREMENTS_MAX {
        let worse: Vec<String> =
            findings.iter().filter(|one| one.verdict == Verdict::Worse).map(|one| one.key.clone()).collect();
        if worse.is_empty() {
            break;
        }
        let again = measure(&worse.iter().map(String::as_str).collect::<Vec<_>>())?;
        for finding in findings.iter_mut().filter(|finding| worse.contains(&finding.key)) {
            let ratio =
                again.get(&finding.key).ok_or_else(|| format!("{} was not measured again", finding.key))?;
            finding.add(*ratio);
        }
    }
    Ok(findings)
}

/// What is accepted, `belongs` to what was measured, and was not found there.
pub(crate) fn missing<'a>(
    accepted: &'a Ratios,
    findings: &[Finding],
    belongs: impl Fn(&str) -> bool,
) -> Vec<&'a str> {
    let found = |key: &str| findings.iter().any(|finding| finding.key == key);
    accepted.keys().map(String::as_str).filter(|key| belongs(key) && !found(key)).collect()
}

impl Finding {
    fn new(accepted: &Ratios, key: String, is_judged: bool, measured: Ratio) -> Finding {
        let accepted = accepted.get(&key).copied();
        let verdict = if is_judged { verdict(accepted, measured) } else { Verdict::None };
        Finding { key, verdict, accepted, measured, measurements: 1 }
    }

    /// One measurement more of what looked worse.
    fn add(&mut self, measured: Ratio) {
        self.measurements += 1;
        if measured.median < self.measured.median {
            self.measured = measured;
            self.verdict = verdict(self.accepted, measured);
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Worse => "WORSE",
            Verdict::Better => "better",
            Verdict::Same | Verdict::None => "",
            Verdict::New => "new",
        };
        let measured = number(self.measured.median);
        write!(out, "{verdict:<7}{:<34}{measured:>9} ±{:>2.0} %", self.key, self.measured.spread * 50.0)?;
        if let Some(accepted) = self.accepted {
            // Adding nothing makes a zero of a negative one.
            let change = ((self.measured.median / accepted.median - 1.0) * 100.0).round() + 0.0;
            let accepted_median = number(accepted.median);
            write!(out, "   was {accepted_median:>9} ±{:>2.0} %   {change:+.0} %", accepted.spread * 50.0)?;
        }
        if self.measurements > 1 {
            write!(out, "   the best of {} measurements", self.measurements)?;
        }
        Ok(())
    }
}

fn verdict(accepted: Option<Ratio>, measured: Ratio) -> Verdict {
    let Some(accepted) = accepted else { return Verdict::New };
    if measured.median > accepted.median * (1.0 + TOLERANCE) {
        Verdict::Worse
    } else if measured.median < accepted.median * (1.0 - TOLERANCE) {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

/// How far a ratio may move without being said to.
pub(crate) const TOLERANCE: f64 = 0.1;

/// How often a ratio is measured before it is said to be worse.
const MEASUREMENTS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(ratios: &[(&str, f64)]) -> Ratios {
        ratios
            .iter()
            .map(|(key, median)| ((*key).to_owned(), Ratio { median: *median, spread: 0.04 }))
            .collect()
    }

    /// The findings and what was asked for, where the measurements are made up, one list each time.
    fn judged(
        accepted: &[(&str, f64)],
        measured: &[&[(&str, f64)]],
    ) -> (Vec<(String, Verdict, f64)>, Vec<String>) {
        let mut asked = Vec::new();
        let mut measured = measured.iter();
        let findings = judge(
            &ratios(accepted),
            |key| key != "shown",
            |keys| {
                asked.push(keys.join(" "));
                Ok(ratios(measured.next().unwrap()))
            },
        );
        let findings = findings.unwrap().into_iter().map(|one| (one.key, one.verdict, one.measured.median));
        (findings.collect(), asked)
    }

    #[test]
    fn a_tenth_either_way_is_the_same() {
        let accepted = Some(Ratio { median: 0.8, spread: 0.0 });
        let of = |median| verdict(accepted, Ratio { median, spread: 0.0 });
        assert_eq!([of(0.721), of(0.8), of(0.879)], [Verdict::Same; 3]);
        assert_eq!([of(0.719), of(0.881)], [Verdict::Better, Verdict::Worse]);
        assert_eq!(verdict(None, Ratio { median: 9.0, spread: 0.0 }), Verdict::New);
    }

    #[test]
    fn what_is_not_worse_is_measured_once() {
        let (findings, asked) = judged(&[("a", 1.0), ("b", 1.0)], &[&[("a", 1.05), ("b", 0.5), ("c", 7.0)]]);
        let expected = [("a", Verdict::Same, 1.05), ("b", Verdict::Better, 0.5), ("c", Verdict::New, 7.0)];
        assert_eq!(findings, expected.map(|(key, verdict, median)| (key.to_owned(), verdict, median)));
        assert_eq!(asked, [""]);
    }

    #[test]
    fn what_looks_worse_once_is_noise() {
        let (findings, asked) =
            judged(&[("a", 1.0), ("b", 1.0)], &[&[("a", 1.5), ("b", 1.0)], &[("a", 1.3)], &[("a", 1.09)]]);
        assert_eq!(findings[0], ("a".to_owned(), Verdict::Same, 1.09));
        assert_eq!(asked, ["", "a", "a"]);
    }

    #[test]
    fn what_is_only_shown_is_never_worse() {
        let (findings, asked) = judged(&[("shown", 1.0)], &[&[("shown", 9.0)]]);
        assert_eq!(findings, [("shown".to_owned(), Verdict::None, 9.0)]);
        assert_eq!(asked, [""]);
    }

    #[test]
    fn what_is_worse_three_times_is_worse_by_its_best() {
        let (findings, asked) = judged(&[("a", 1.0)], &[&[("a", 1.5)], &[("a", 1.2)], &[("a", 1.4)]]);
        assert_eq!(findings, [("a".to_owned(), Verdict::Worse, 1.2)]);
        assert_eq!(asked.len(), 3);
    }

    #[test]
    fn what_is_accepted_and_belongs_to_what_was_measured_is_missing_where_it_was_not() {
        let accepted = ratios(&[("here.a", 1.0), ("here.b", 1.0), ("there.c", 1.0)]);
        let findings =
            judge(&accepted, |_| true, |_| Ok(ratios(&[("here.a", 1.0), ("here.d", 1.0)]))).unwrap();
        assert_eq!(missing(&accepted, &findings, |key| key.starts_with("here.")), ["here.b"]);
        assert_eq!(missing(&accepted, &findings, |_| true), ["here.b", "there.c"]);
        assert!(missing(&accepted, &findings, |_| false).is_empty());
    }

    #[test]
    fn a_finding_says_what_it_was_and_how_far_it_varies() {
        let accepted = ratios(&[("restore.tmpfs.1GiB.cp", 0.8)]);
        let mut finding = Finding::new(
            &accepted,
            "restore.tmpfs.1GiB.cp".to_owned(),
            true,
            Ratio { median: 1.0, spread: 0.1 },
        );
        assert_eq!(
            finding.to_string(),
            "WORSE  restore.tmpfs.1GiB.cp                 1.000 ± 5 %   was     0.800 ± 2 %   +25 %"
        );
        finding.add(Ratio { median: 0.96, spread: 0.1 });
        assert!(finding.to_string().ends_with("+20 %   the best of 2 measurements"), "{finding}");
    }
}

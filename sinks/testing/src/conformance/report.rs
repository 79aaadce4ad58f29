//! What the suite found of one sink, rule by rule, in the order of the contract.
//! Knows no rule but by its line.

use std::fmt;

use contract::Visibility;

use super::{Fresh, Need, RULES, Rule, broken_off::BrokenOff, trial::Mode};

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportRow {
    /// The number of the rule in the contract. Some have several lines.
    pub rule: u8,
    /// What is promised, in a few words.
    pub promise: &'static str,
    /// Whether it is kept.
    pub outcome: Outcome,
}

/// What came of looking at one promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The sink keeps it.
    Kept,
    /// The sink does not offer what the promise is about.
    NotOffered,
    /// The sink breaks it: what it did.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => out.write_str("kept"),
            Self::NotOffered => out.write_str("not offered"),
            Self::Broken(what) => write!(out, "BROKEN: {what}"),
        }
    }
}

/// Runs every rule and gives a row for each, the same rows for every sink.
pub fn report(fresh: Fresh<'_>) -> Vec<ReportRow> {
    RULES.iter().map(|rule| row(fresh, rule)).collect()
}

fn row(fresh: Fresh<'_>, rule: &Rule) -> ReportRow {
    let outcome = match offers(fresh, rule.needs) {
        false => Outcome::NotOffered,
        true => (rule.check)(fresh).map_or_else(|broken| Outcome::Broken(broken.what), |()| Outcome::Kept),
    };
    ReportRow { rule: rule.number, promise: rule.promise, outcome }
}

fn offers(fresh: Fresh<'_>, need: Need) -> bool {
    match need {
        Need::Nothing => true,
        Need::Positions => fresh().sink.positioned().is_some(),
        Need::Privacy => fresh().sink.capabilities().visibility == Visibility::Private,
        Need::Reopening => fresh().reopen.is_some(),
        Need::Kept => offers_kept(fresh),
        Need::HandingOn => fresh().hands_on,
        Need::Confirming => fresh().sink.capabilities().confirms && offers_kept(fresh),
    }
}

/// Kept bytes are offered where an earlier attempt left some.
fn offers_kept(fresh: Fresh<'_>) -> bool {
    let broken = BrokenOff::start(fresh, Mode::Ordered, 19);
    let Ok(Some(mut broken)) = broken else { return false };
    broken.last_commit().is_ok() && broken.sink.resumable().is_some()
}

//! Owns what a part of the harness did and found: counts and violations, printed as it ends.

use std::collections::BTreeMap;

/// What one part did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    part: &'static str,
    counts: BTreeMap<String, usize>,
    violations: Vec<String>,
}

impl Tally {
    pub(crate) fn new(part: &'static str) -> Tally {
        Tally { part, ..Tally::default() }
    }

    /// One more of this kind.
    pub(crate) fn count(&mut self, kind: impl Into<String>) {
        self.add(kind, 1);
    }

    pub(crate) fn add(&mut self, kind: impl Into<String>, count: usize) {
        *self.counts.entry(kind.into()).or_default() += count;
    }

    /// Notes what was found wrong, and where.
    pub(crate) fn check<T>(&mut self, place: &str, outcome: Result<T, String>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(what) => {
                let violation = format!("{place}: {what}");
                eprintln!("VIOLATION {}: {violation}", self.part);
                self.violations.push(violation);
                None
            }
        }
    }

    /// Prints the counts.
    ///
    /// # Errors
    /// At least one violation.
    pub(crate) fn close(self) -> Result<(), String> {
        let counts: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let found = self.violations.len();
        println!("crash {}: {}; violations {found}", self.part, counts.join(", "));
        match self.violations.first() {
            None => Ok(()),
            Some(first) => Err(format!("{}: {found} violations, the first: {first}", self.part)),
        }
    }
}

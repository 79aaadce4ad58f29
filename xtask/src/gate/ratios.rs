//! Owns the ratios that are checked in: their file, and the machine that they are of.
//! Measures nothing, and judges nothing.

use std::collections::BTreeMap;

/// Our time beside another's, or what a sealed form has beyond its plaintext beside that: smaller is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// From the first quartile to the third, as a part of the median.
    pub(crate) spread: f64,
}

/// Ratios by their keys, words with dots between.
pub(crate) type Ratios = BTreeMap<String, Ratio>;

/// The file: on which machine it was written, and the ratios.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Accepted {
    /// Empty where nothing is accepted yet.
    pub(crate) machine: String,
    pub(crate) ratios: Ratios,
}

impl Accepted {
    /// # Errors
    /// A line that is no ratio, or a file that names no machine.
    pub(crate) fn parse(text: &str) -> Result<Accepted, String> {
        let machine = text.lines().find_map(|line| line.strip_prefix(MACHINE_MARK)).unwrap_or_default();
        let accepted = Accepted { machine: machine.to_owned(), ratios: parse_lines(text)? };
        if accepted.machine.is_empty() && !accepted.ratios.is_empty() {
            return Err(format!("no line begins with {MACHINE_MARK:?}: ratios of any machine mean nothing"));
        }
        Ok(accepted)
    }

    /// With what was measured on `machine` in the place of what was accepted before. What was not measured stays, where it
    /// is of the same machine.
    pub(crate) fn with(mut self, machine: String, measured: Ratios) -> Accepted {
        if self.machine != machine {
            self = Accepted { machine, ratios: Ratios::new() };
        }
        self.ratios.extend(measured);
        self
    }

    /// The file's text. `about` says more on the measurement, a line.
    pub(crate) fn text(&self, about: &str) -> String {
        let mut text = format!("{MACHINE_MARK}{}\n# {about}\n# {LEGEND}\n", self.machine);
        for (key, ratio) in &self.ratios {
            text.push_str(&format!("{key}\t{}\t{:.3}\n", number(ratio.median), ratio.spread));
        }
        text
    }
}

/// The lines `key`, ratio and spread, with tabs between; comments are left out.
///
/// # Errors
/// Another line, or a key that comes twice.
pub(crate) fn parse_lines(text: &str) -> Result<Ratios, String> {
    let mut ratios = Ratios::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, ratio) = parse_line(line).ok_or_else(|| format!("this line is no ratio: {line:?}"))?;
        if ratios.insert(key.to_owned(), ratio).is_some() {
            return Err(format!("{key} stands there twice"));
        }
    }
    Ok(ratios)
}

fn parse_line(line: &str) -> Option<(&str, Ratio)> {
    let [key, median, spread] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    Some((key, Ratio { median: number(median)?, spread: number(spread)? })).filter(|_| !key.is_empty())
}

/// With as many digits as say something: a wire overhead is a thousandth.
pub(crate) fn number(value: f64) -> String {
    if value < SMALL { format!("{value:.6}") } else { format!("{value:.3}") }
}

const MACHINE_MARK: &str = "# machine: ";
const LEGEND: &str = "key, ratio (smaller is better), spread of its quartiles beside it; `cargo xtask bench-gate --accept` writes this";
const SMALL: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# machine: AMD EPYC, 2 processors\n# commit 59d6043\n# key, ratio\n\
        open.memory.tags.2.bare\t0.741\t0.031\nwire.64MiB\t0.000708\t0.000\n";

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let accepted = Accepted::parse(TEXT).unwrap();
        assert_eq!(accepted.machine, "AMD EPYC, 2 processors");
        assert_eq!(accepted.ratios["open.memory.tags.2.bare"], Ratio { median: 0.741, spread: 0.031 });
        assert_eq!(accepted.ratios["wire.64MiB"], Ratio { median: 0.000_708, spread: 0.0 });
        assert_eq!(Accepted::parse(&accepted.text("commit 59d6043")), Ok(accepted));
    }

    #[test]
    fn what_is_accepted_replaces_what_was_measured_and_all_of_another_machine() {
        let measured = || parse_lines("wire.64MiB\t0.0009\t0\nnew\t1\t0\n").unwrap();
        let same = Accepted::parse(TEXT).unwrap().with("AMD EPYC, 2 processors".to_owned(), measured());
        assert_eq!(same.ratios.keys().collect::<Vec<_>>(), ["new", "open.memory.tags.2.bare", "wire.64MiB"]);
        assert_eq!(same.ratios["wire.64MiB"].median, 0.0009);
        let other = Accepted::parse(TEXT).unwrap().with("another".to_owned(), measured());
        assert_eq!(other, Accepted { machine: "another".to_owned(), ratios: measured() });
    }

    #[test]
    fn a_file_that_is_not_there_yet_accepts_nothing() {
        assert_eq!(Accepted::parse(""), Ok(Accepted::default()));
    }

    #[test]
    fn lines_that_are_no_ratios_are_errors() {
        for line in
            ["a", "a\t1.0", "a\tone\t0.1", "a\t1.0\t0.1\tmore", "a\tNaN\t0.1", "a\t-1\t0.1", "\t1.0\t0.1"]
        {
            let message = parse_lines(line).unwrap_err();
            assert!(message.contains("no ratio"), "{message}");
        }
        parse_lines("a\t1\t0\na\t2\t0\n").unwrap_err();
        Accepted::parse("a\t1\t0\n").unwrap_err();
    }
}

//! Owns the mutants that no test catches: their list, and its comparison with what a run found.
//! Knows neither how mutants are made nor why one survives: that a person writes down.

use std::collections::BTreeMap;
use std::fmt;

/// A mutant, named so that it is found again when lines move: by its file, its change, and the line that is changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mutant {
    pub(super) file: String,
    change: String,
    /// Without the blanks at its ends.
    pub(super) line: String,
}

/// The checked-in survivors. The same mutant stands there as often as its line has it.
#[derive(Debug, PartialEq)]
pub(super) struct Accepted(Vec<Mutant>);

/// What became of mutants, by the names that cargo-mutants gives them.
pub(super) struct Tried {
    pub(super) caught: Vec<String>,
    pub(super) timed_out: Vec<String>,
    pub(super) unviable: Vec<String>,
    pub(super) missed: Vec<String>,
}

impl Accepted {
    /// Reads the list: blocks between empty lines. A block has a reason, in lines that begin with `#`, and mutants: a line
    /// with file and change, and an indented one as it stands in the source. A block without mutants is a remark.
    ///
    /// # Errors
    /// A mutant without a reason, or without the line that it changes.
    pub(super) fn parse(text: &str) -> Result<Accepted, String> {
        let mut mutants = Vec::new();
        for block in text.split("\n\n") {
            let (reason, rest): (Vec<_>, Vec<_>) = block.lines().partition(|line| line.starts_with('#'));
            let rest: Vec<&str> = rest.into_iter().filter(|line| !line.is_empty()).collect();
            if let [first, ..] = rest[..]
                && reason.iter().all(|line| line.trim_matches(['#', ' ']).is_empty())
            {
                return Err(format!("this survivor has no reason: {first}"));
            }
            for pair in rest.chunks(2) {
                let [name, line] = pair else {
                    return Err(format!("the line that it changes is due: {pair:?}"));
                };
                let Some(line) = line.strip_prefix("  ") else {
                    return Err(format!("the line that it changes, indented, is due after {name}"));
                };
                let Some((file, change)) = name.split_once(": ") else {
                    return Err(format!("this names no file and no change: {name}"));
                };
                mutants.push(Mutant { file: file.into(), change: change.into(), line: line.trim().into() });
            }
        }
        Ok(Accepted(mutants))
    }

    #[cfg(test)]
    pub(super) fn mutants(&self) -> &[Mutant] {
        &self.0
    }

    /// What is wrong with the list after a run: survivors that it does not explain, and mutants in it that are none. `all`
    /// are the mutants of the part, of which a shard tries some: what was not tried may have survived.
    pub(super) fn judge(&self, all: &BTreeMap<String, Mutant>, tried: &Tried) -> Vec<String> {
        let mut findings = Vec::new();
        let missed = tally(tried.missed.iter().filter_map(|name| all.get(name)));
        let done = tally(tried.names().filter_map(|name| all.get(name)));
        let (all_of, listed) = (tally(all.values()), tally(&self.0));
        for (mutant, &survivors) in &missed {
            let explained = listed.get(mutant).copied().unwrap_or(0);
            if survivors > explained {
                findings.push(format!("{survivors} survived, {explained} explained: {mutant}"));
            }
        }
        for (mutant, &explained) in listed.iter().filter(|(mutant, _)| is_of_part(all, mutant)) {
            let count = |tally: &BTreeMap<&Mutant, usize>| tally.get(mutant).copied().unwrap_or(0);
            let may_survive = count(&missed) + count(&all_of) - count(&done);
            if explained > may_survive {
                findings.push(format!("{may_survive} survived, {explained} explained: {mutant}"));
            }
        }
        let strange = tried.names().filter(|name| !all.contains_key(*name));
        findings.extend(strange.map(|name| format!("the sources changed while they were mutated: {name}")));
        findings
    }
}

/// Whether a run of the mutants `all` has to account for `mutant`: they change the same file.
fn is_of_part(all: &BTreeMap<String, Mutant>, mutant: &Mutant) -> bool {
    all.values().any(|other| other.file == mutant.file)
}

fn tally<'a>(mutants: impl IntoIterator<Item = &'a Mutant>) -> BTreeMap<&'a Mutant, usize> {
    let mut tally = BTreeMap::new();
    for mutant in mutants {
        *tally.entry(mutant).or_insert(0) += 1;
    }
    tally
}

/// The mutants that `cargo mutants --list` names, with the lines that they change. `source` gives a file's text.
///
/// # Errors
/// A name that has no place in a file.
pub(super) fn with_sources(
    names: &[&str],
    mut source: impl FnMut(&str) -> String,
) -> Result<BTreeMap<String, Mutant>, String> {
    let mut sources = BTreeMap::new();
    let mut mutants = BTreeMap::new();
    for &name in names {
        let parts = || {
            let (place, change) = name.split_once(": ")?;
            let [file, line, _column] = place.split(':').collect::<Vec<_>>()[..] else { return None };
            Some((file, line.parse::<usize>().ok()?.checked_sub(1)?, change))
        };
        let (file, line, change) = parts().ok_or_else(|| format!("this names no mutant: {name}"))?;
        let text: &String = sources.entry(file).or_insert_with(|| source(file));
        let line = text.lines().nth(line).unwrap_or_default().trim().to_owned();
        mutants.insert(name.to_owned(), Mutant { file: file.into(), change: change.into(), line });
    }
    Ok(mutants)
}

impl Tried {
    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.caught, &self.timed_out, &self.unviable, &self.missed].into_iter().flatten()
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} tried: {} caught, {} timed out, {} do not compile, {} survived",
            self.names().count(),
            self.caught.len(),
            self.timed_out.len(),
            self.unviable.len(),
            self.missed.len()
        )
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}: {}\n  {}", self.file, self.change, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# What stands here.

# A length is never negative, so that both
# say the same.
a.rs: replace > with != in f
  if len > 0 {
a.rs: replace < with <= in g
  if 1 < 2 || 3 < 4 {
a.rs: replace < with <= in g
  if 1 < 2 || 3 < 4 {
";

    const SOURCE: &str = "fn f() {\n    if len > 0 {\n    }\n}\n    if 1 < 2 || 3 < 4 {\n";

    const NAMES: [&str; 4] = [
        "a.rs:2:12: replace > with != in f",
        "a.rs:2:12: replace > with == in f",
        "a.rs:5:10: replace < with <= in g",
        "a.rs:5:19: replace < with <= in g",
    ];

    fn all() -> BTreeMap<String, Mutant> {
        with_sources(&NAMES, |file| {
            assert_eq!(file, "a.rs");
            SOURCE.to_owned()
        })
        .unwrap()
    }

    fn tried(caught: &[usize], missed: &[usize]) -> Tried {
        let names = |chosen: &[usize]| chosen.iter().map(|&at| NAMES[at].to_owned()).collect();
        Tried { caught: names(caught), missed: names(missed), timed_out: vec![], unviable: vec![] }
    }

    fn judge(caught: &[usize], missed: &[usize]) -> Vec<String> {
        Accepted::parse(LIST).unwrap().judge(&all(), &tried(caught, missed))
    }

    #[test]
    fn survivors_that_are_all_explained_are_no_findings() {
        assert_eq!(judge(&[1], &[0, 2, 3]), [""; 0]);
    }

    #[test]
    fn a_survivor_that_is_not_explained_is_named_with_its_line() {
        let findings = judge(&[], &[0, 1, 2, 3]);
        assert_eq!(findings, ["1 survived, 0 explained: \na.rs: replace > with == in f\n  if len > 0 {"]);
    }

    #[test]
    fn an_explained_mutant_that_is_caught_is_a_finding() {
        let findings = judge(&[0, 1], &[2, 3]);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].starts_with("0 survived, 1 explained: \na.rs: replace > with !="),
            "{findings:?}"
        );
    }

    #[test]
    fn of_two_alike_in_a_line_both_have_to_survive_or_neither() {
        let findings = judge(&[1, 2], &[0, 3]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("1 survived, 2 explained: "), "{findings:?}");
    }

    #[test]
    fn what_a_shard_does_not_try_may_have_survived() {
        assert_eq!(judge(&[], &[0]), [""; 0]);
        assert_eq!(judge(&[1], &[2]), [""; 0]);
        assert_eq!(judge(&[2], &[]).len(), 1);
    }

    #[test]
    fn a_survivor_whose_line_is_gone_is_a_finding_and_one_of_another_part_is_none() {
        let accepted =
            "# why\na.rs: replace + with - in h\n  1 + 2\n\n# why\nb.rs: replace + with - in h\n  1 + 2\n";
        let findings = Accepted::parse(accepted).unwrap().judge(&all(), &tried(&[0, 1, 2, 3], &[]));
        assert_eq!(findings, ["0 survived, 1 explained: \na.rs: replace + with - in h\n  1 + 2"]);
    }

    #[test]
    fn a_mutant_that_was_not_listed_shows_that_the_sources_changed() {
        let mut tried = tried(&[1], &[0, 2, 3]);
        tried.unviable.push("a.rs:9:1: replace > with == in f".to_owned());
        let findings = Accepted::parse(LIST).unwrap().judge(&all(), &tried);
        assert_eq!(
            findings,
            ["the sources changed while they were mutated: a.rs:9:1: replace > with == in f"]
        );
    }

    #[test]
    fn a_list_without_reasons_or_lines_is_refused() {
        for (list, said) in [
            ("a.rs: replace > with < in f\n  if a > b {\n", "no reason"),
            ("#\na.rs: replace > with < in f\n  if a > b {\n", "no reason"),
            ("# why\na.rs: replace > with < in f\n", "is due"),
            ("# why\na.rs: replace > with < in f\nif a > b {\n", "indented"),
            ("# why\na.rs replace > with < in f\n  if a > b {\n", "no file"),
        ] {
            let error = Accepted::parse(list).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(with_sources(&["framing has no mutants"], |_| String::new()).is_err());
    }

    #[test]
    fn a_run_is_summed_up_in_a_line() {
        assert_eq!(
            tried(&[0, 1], &[2]).summary(),
            "3 tried: 2 caught, 0 timed out, 0 do not compile, 1 survived"
        );
    }
}

//! Owns the rule that a crate does not reach, through the standard library, for what is not its own.
//! Knows nothing of manifests: it reads the sources under a crate's `src/`.

use super::finding::Finding;
use super::source::{Source, Token};

/// Folders of crates, and the modules of `std` that their sources must not name. docs/ARCHITECTURE.md says why.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("framing/src/", &["fs", "io", "net", "process", "thread"]),
    ("frame-worker/src/", &["fs", "net", "process"]),
    ("segment-worker/src/", &["fs", "net", "process"]),
];

/// Finds the names of forbidden modules of `std`.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let Some((folder, modules)) = FORBIDDEN.iter().find(|(folder, _)| source.path.starts_with(folder)) else {
        return Vec::new();
    };
    let tokens = source.tokens();
    let mut findings = Vec::new();
    for at in 0..tokens.len() {
        for token in named_in_std(&tokens[at..]).iter().filter(|token| modules.contains(&token.text)) {
            let what = format!("`std::{}` in {folder}", token.text);
            let fix = "move the code to the crate that may hold it; docs/ARCHITECTURE.md has the table";
            findings.push(Finding::new("seam", &source.path, token.line, what, fix));
        }
    }
    findings
}

/// The words behind `std::`: one, or all of a group in braces. Empty where `tokens` do not begin with `std::`.
fn named_in_std<'a, 't>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let is_std =
        tokens.len() > 3 && tokens[0].text == "std" && tokens[1].text == ":" && tokens[2].text == ":";
    match is_std {
        false => &[],
        true if tokens[3].text != "{" => &tokens[3..4],
        true => {
            let len = tokens[3..].iter().position(|token| token.text == "}" || token.text == ";");
            &tokens[3..3 + len.unwrap_or(tokens.len() - 3)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_crate_may_name_what_is_its_own() {
        assert_eq!(found("framing/src/a.rs", "use std::fmt; // std::fs\n"), Vec::<String>::new());
        assert_eq!(found("sinks/src/a.rs", "use std::fs::File;\n"), Vec::<String>::new());
        assert_eq!(found("framing/tests/a.rs", "use std::fs::File;\n"), Vec::<String>::new());
    }

    #[test]
    fn a_crate_must_not_name_what_is_anothers() {
        for text in ["\nuse std::fs::File;\n", "\nfn f() { std::fs::read(x); }\n", "\nuse std::{fmt, fs};\n"]
        {
            let findings = found("segment-worker/src/a.rs", text);
            assert_eq!(findings.len(), 1, "{text}");
            assert!(findings[0].starts_with("segment-worker/src/a.rs:2: [seam]"), "{}", findings[0]);
        }
    }
}

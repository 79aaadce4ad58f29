//! Owns the rules about single files: header, length, names, leftovers, private paths, what `std` a crate may use.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use super::edges::UNSAFE_HOMES;

/// The lines a file under `src/` may have, its tests included.
const FILE_LINES_MAX: usize = 600;

/// Words that say nothing when they stand in a type's name.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Controller", "Handler", "Helper", "Util", "Utils"];

/// Names of files that invite what belongs nowhere.
const EMPTY_FILE_NAMES: [&str; 5] = ["util", "utils", "helper", "helpers", "types"];

/// Identifiers that have a better name here, each before it.
const GLOSSARY: &str = "
    Earlier PartialRestore, Existing IfExists, Label AttemptId, Profile SinkCapabilities,
    OtherJournal JournalMismatch, TargetHeld TargetLocked, MakeDurable SyncTo,
    take_likeness copy_metadata_from, take_room preallocate, start_writing begin_writeback,
    forget_cached drop_page_cache, Specimen SinkUnderTest, Ground Volume, Line Pipeline,
    Flight PendingSegment, Outlet SinkDriver, Turn NextAction, Demand BufferNeeds, Leftover TrailerOnly,
    do_one try_run_one, heed check_sync, Heedful CancellableSource, Behind SkipCommitted, Means RunContext,
    Course RunOptions, Keeps Retention, Claim LockedFile, Ahead ReadAhead, Ledger WrittenRanges,
    Floor Admission, Rig FaultyStorage, Sight KeyMode, Stake OnSignal, keys_of key_args, Lap Sample,
    Tale Narrator, Scene Fixture, Lane ReplyKind, Shelf MemStorage, Watched HookedStorage, Standing CompareSink,
    Begun StreamStart, Way Variant, Draws Rng, sight key_mode,
";

/// Folders of crates, and the modules of `std` that their sources must not name. docs/ARCHITECTURE.md says why.
const FORBIDDEN_STD: [(&str, &[&str]); 9] = [
    ("framing/src/", &["env", "fs", "io", "net", "process", "thread"]),
    ("frame-worker/src/", &["env", "fs", "net", "process"]),
    ("segment-worker/src/", &["env", "fs", "net", "process"]),
    ("crates/foreign/src/", &["env", "fs", "io", "net", "process", "thread"]),
    ("crates/keys/src/", &["env", "net"]),
    ("crates/parts/src/", &["env", "fs", "io", "net", "process", "thread"]),
    ("crates/signatures/src/", &["env", "fs", "process"]),
    ("crates/sources/src/", &["env", "net"]),
    ("crates/cofferdam/src/", &["env", "net"]),
];

/// Folders of the crates that programs other than the command are built on: what they say names no option of it.
const LIBRARIES: [&str; 13] = [
    "framing/",
    "frame-worker/",
    "segment-worker/",
    "sinks/",
    "crates/cofferdam/",
    "crates/foreign/",
    "crates/keys/",
    "crates/parts/",
    "crates/serve/",
    "crates/signatures/",
    "crates/sources/",
    "crates/stream/",
    "crates/tree/",
];

/// What no file says, and why. Put together here, so that this file passes its own rules.
const FORBIDDEN_TEXTS: [(&str, &str, &str); 7] = [
    (concat!("/wo", "rk/"), "private-path", "a path of one machine; make it an argument"),
    (concat!("/ro", "ot/"), "private-path", "a path of one machine; make it an argument"),
    (concat!("#[ig", "nore"), "ignored-test", "an ignored test; make it run always, or remove it"),
    (concat!(", ig", "nore)]"), "ignored-test", "an ignored test; make it run always, or remove it"),
    (concat!("``", "`ignore"), "ignored-test", "an ignored example; make it run always, or remove it"),
    (concat!("TO", "DO"), "unfinished", "a mark of unfinished work; finish it, or write an issue"),
    (concat!("FIX", "ME"), "unfinished", "a mark of unfinished work; finish it, or write an issue"),
];

/// Checks one text file, against more rules if it is a Rust source.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, rule, said: &str| findings.push(Finding::new(path, line, rule, said));
    let is_rust = path.ends_with(".rs");
    for (at, line) in text.lines().enumerate() {
        let texts = FORBIDDEN_TEXTS.iter().filter(|(_, rule, _)| is_rust || *rule == "private-path");
        for (_, rule, said) in texts.filter(|(text, ..)| line.contains(text)) {
            found(at + 1, *rule, said);
        }
        let is_home = || UNSAFE_HOMES.iter().any(|(_, home)| path.starts_with(home));
        if is_rust && line.contains(concat!("[allow(unsafe", "_code")) && !is_home() {
            found(at + 1, "unsafe", "unsafe code is allowed; its places are in the table of edges");
        }
    }
    if !is_rust {
        return findings;
    }
    if !text.lines().next().is_some_and(|first| first.len() > 4 && first.starts_with("//! ")) {
        found(1, "header", "the first line is no `//!` sentence; say there what the file owns");
    }
    if path.split('/').any(|part| part == "src") && text.lines().count() > FILE_LINES_MAX {
        found(FILE_LINES_MAX + 1, "file-length", "a long file; split it by noun");
    }
    let name = path.trim_end_matches(".rs").trim_end_matches("/mod").rsplit('/').next();
    if name.is_some_and(|name| EMPTY_FILE_NAMES.contains(&name)) {
        found(1, "empty-name", "a file name that says nothing; name it after its noun");
    }
    match text.parse::<TokenStream>() {
        Ok(tokens) => {
            if is_library(path) {
                let tests = text.lines().position(|line| line == "mod tests {").unwrap_or(usize::MAX);
                findings.extend(check_words(path, &literals(tokens.clone()), tests));
            }
            findings.extend(check_tokens(path, &flat(tokens)));
        }
        Err(error) => found(1, "syntax", &format!("no Rust: {error}")),
    }
    findings
}

/// Whether a library's own code is at `path`, and not its tests, which start programs.
fn is_library(path: &str) -> bool {
    let of_tests = |part: &str| part == "tests" || part.ends_with("tests.rs");
    LIBRARIES.iter().any(|folder| path.starts_with(folder))
        && path.split('/').any(|part| part == "src")
        && !path.split('/').any(of_tests)
}

/// The options and subcommands of the command in what a library says, documentation included, up to the line `tests`.
fn check_words(path: &str, literals: &[Token], tests: usize) -> Vec<Finding> {
    let said = "a library names no option and no subcommand of the command; a `Remedy` is worded there";
    let found = literals.iter().filter(|(text, line)| *line <= tests && names_an_option(text));
    found.map(|(_, line)| Finding::new(path, *line, "command", said)).collect()
}

/// Whether a text has `--word` in it, which no dash of prose is, or a call of the program.
fn names_an_option(text: &str) -> bool {
    let option = text.match_indices("--").any(|(at, _)| {
        !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '-')
            && text[at + 2..].starts_with(|after: char| after.is_ascii_lowercase())
    });
    option || text.contains(concat!("`coffer", "dam "))
}

/// A word or a mark of the code, with its line from 1.
type Token = (String, usize);

/// The tokens in order, those in brackets too, the brackets themselves and literals left out.
fn flat(tokens: TokenStream) -> Vec<Token> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => all.extend(flat(group.stream())),
            TokenTree::Literal(_) => {}
            word => all.push((word.to_string(), word.span().start().line)),
        }
    }
    all
}

/// The literals in order, with their lines; a line of documentation is one, too.
fn literals(tokens: TokenStream) -> Vec<Token> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => all.extend(literals(group.stream())),
            TokenTree::Literal(literal) => all.push((literal.to_string(), literal.span().start().line)),
            _ => {}
        }
    }
    all
}

fn check_tokens(path: &str, tokens: &[Token]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, rule, said| findings.push(Finding::new(path, line, rule, said));
    let glossary: HashMap<_, _> =
        GLOSSARY.split(',').filter_map(|pair| pair.trim().split_once(' ')).collect();
    let forbidden_std = FORBIDDEN_STD.iter().find(|(folder, _)| path.starts_with(folder));
    for (at, (word, line)) in tokens.iter().enumerate() {
        if let Some(better) = glossary.get(word.as_str()) {
            found(*line, "glossary", format!("`{word}` is called {better} here"));
        }
        let before = at.checked_sub(1).map_or("", |before| tokens[before].0.as_str());
        let defines = matches!(before, "struct" | "enum" | "trait" | "type" | "union");
        if defines && EMPTY_WORDS.iter().any(|empty| has_word(word, empty)) {
            found(*line, "empty-name", format!("`{word}` says little; name it after what it is"));
        }
        let modules = forbidden_std.map_or(&[][..], |(_, modules)| modules);
        // `std::fs`, or all that `use std::{…};` names.
        let in_use = tokens[at..].iter().position(|(word, _)| before == "use" && word == ";");
        let named = tokens[at..].iter().take(if word == "std" { in_use.unwrap_or(4) } else { 0 });
        for (module, line) in named.filter(|(word, _)| modules.contains(&word.as_str())) {
            found(*line, "seam", format!("`std::{module}` here; docs/ARCHITECTURE.md says which crate may"));
        }
    }
    findings
}

/// Whether `name` has `word` in it, as `FrameWorker` has `Worker`, and not as `UtilityBill` has `Util`.
fn has_word(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(at, _)| !name[at + word.len()..].starts_with(char::is_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines and rules of the findings on a file at `path` that begins with a header, before `body`.
    fn found_at(path: &str, body: &str) -> Vec<(usize, &'static str)> {
        let findings = check(path, &format!("//! Owns nothing.\n{body}"));
        findings.iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    fn found(body: &str) -> Vec<(usize, &'static str)> {
        found_at("framing/src/a.rs", body)
    }

    #[test]
    fn a_file_begins_with_a_sentence_about_itself() {
        assert_eq!(found(""), []);
        for text in ["", "use std::fmt;\n", "//!\n", "// Owns nothing.\n"] {
            assert_eq!(check("a.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_source_file_has_at_most_600_lines_and_a_test_directory_may_have_more() {
        let full = "\n".repeat(FILE_LINES_MAX - 1);
        assert_eq!(found(&full), []);
        assert_eq!(found(&format!("{full}\n")), [(601, "file-length")]);
        assert_eq!(found_at("framing/tests/a.rs", &format!("{full}\n")), []);
    }

    #[test]
    fn names_say_something_and_follow_the_glossary() {
        assert_eq!(found("struct UtilityBill; enum Frame {} fn handler(x: Manager) {}"), []);
        assert_eq!(found("\nstruct FrameManager;"), [(3, "empty-name")]);
        assert_eq!(found("pub(crate) trait HelperOf {}"), [(2, "empty-name")]);
        assert_eq!(found_at("framing/src/utils.rs", ""), [(1, "empty-name")]);
        assert_eq!(found_at("framing/src/helpers/mod.rs", ""), [(1, "empty-name")]);
        assert_eq!(found("fn f() {\n    a.take_room(Earlier);\n}"), [(3, "glossary"), (3, "glossary")]);
        assert_eq!(found("// Earlier\nconst A: &str = \"Earlier\";"), []);
    }

    #[test]
    fn unsafe_has_its_homes() {
        let body = concat!("#![allow(unsafe", "_code)]\n");
        assert_eq!(found(body), [(2, "unsafe")]);
        for (_, home) in UNSAFE_HOMES {
            assert_eq!(found_at(home, body), []);
        }
    }

    #[test]
    fn tests_and_examples_are_never_ignored() {
        assert_eq!(found("#[test]\nfn ignore_case() {}\n"), []);
        for text in ["#[NO]\nfn f() {}", "#[NO = \"slow\"]\nfn f() {}", "#[cfg_attr(miri, NO)]\nfn f() {}"] {
            assert_eq!(found(&text.replace("NO", "ignore")), [(2, "ignored-test")], "{text}");
        }
        let example = "/// ```NO\n/// f();\n/// ```\nfn f() {}\n".replace("NO", "ignore");
        assert_eq!(found(&example), [(2, "ignored-test")]);
    }

    #[test]
    fn forbidden_texts_are_found_those_of_sources_in_sources_alone() {
        for (text, rule, _) in FORBIDDEN_TEXTS {
            assert_eq!(found(&format!("// {text}main later\n")), [(2, rule)]);
            let in_prose = check("README.md", &format!("see\n{text}main\n"));
            assert_eq!(in_prose.len(), usize::from(rule == "private-path"), "{text}");
        }
    }

    #[test]
    fn a_library_names_no_option_of_the_command() {
        let said = ["\"`--force` replaces it\"", "\"--force replaces it\"", "\"see `cofferdam status`\""];
        for text in said {
            assert_eq!(found(&format!("\nconst A: &str = {text};")), [(3, "command")], "{text}");
            assert_eq!(found_at("crates/cli/src/a.rs", &format!("const A: &str = {text};")), []);
            assert_eq!(found_at("sinks/wal/src/tests/a.rs", &format!("const A: &str = {text};")), []);
            assert_eq!(found(&format!("mod tests {{\nconst A: &str = {text};\n}}")), []);
        }
        assert_eq!(found("/// As `--force` does.\nfn f() {}"), [(2, "command")]);
        assert_eq!(found("// As --force does.\nconst A: &str = \"a -- b, a--b, ---\";"), []);
    }

    #[test]
    fn a_crate_names_what_of_std_is_its_own() {
        assert_eq!(found("use std::fmt; // std::fs\nfn fs() {}\n"), []);
        assert_eq!(found_at("sinks/local/src/a.rs", "use std::fs::File;\n"), []);
        assert_eq!(found_at("framing/tests/a.rs", "use std::fs::File;\n"), []);
        for text in ["\nuse std::fs::File;", "\nfn f() { std::fs::read(x); }", "\nuse std::{fmt, fs};"] {
            assert_eq!(found_at("segment-worker/src/a.rs", text), [(3, "seam")], "{text}");
        }
    }
}

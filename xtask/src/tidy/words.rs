//! Owns the rules about single files: header, length, names, unfinished or unsafe code, private paths.
//! Knows neither crates nor their dependencies.

use super::finding::Finding;
use super::source::{Source, Token, is_word_token};

/// The lines a file under `src/` may have, its tests included.
pub(crate) const FILE_LINES_MAX: usize = 600;

/// The one place where `unsafe` may stand.
const UNSAFE_HOME: &str = "sinks/src/mmap";

/// Words that say nothing when they stand in a type's name.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Controller", "Handler", "Helper", "Util", "Utils"];

/// Names of files that invite what belongs nowhere.
const EMPTY_FILE_NAMES: [&str; 5] = ["util", "utils", "helper", "helpers", "types"];

/// Directories that exist on one machine only. Put together here, so that this file passes its own rule.
const PRIVATE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Marks of unfinished work.
const UNFINISHED_MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Checks one Rust source against every rule of this file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let tokens = source.tokens();
    let mut findings = Vec::new();
    findings.extend(header(source));
    findings.extend(file_length(source));
    findings.extend(file_name(source));
    findings.extend(type_names(source, &tokens));
    findings.extend(unsafe_code(source, &tokens));
    findings.extend(ignored_tests(source, &tokens));
    findings.extend(unfinished(source, &tokens));
    findings
}

/// Checks any text file for paths of one machine.
pub(crate) fn private_paths(path: &str, text: &str) -> Vec<Finding> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| PRIVATE_PATHS.iter().any(|private| line.contains(private)));
    let fix = "name a path that every machine has, or make it an argument";
    lines
        .map(|(index, _)| {
            Finding::new("private-path", path, index + 1, "a path of a development machine", fix)
        })
        .collect()
}

fn header(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_some_and(|said| !said.trim().is_empty()) {
        return None;
    }
    let what = "the first line is no `//!` sentence";
    Some(Finding::new(
        "header",
        &source.path,
        1,
        what,
        "say there what the file owns, and in the second line what it refuses to know",
    ))
}

fn file_length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let in_src = source.path.split('/').any(|part| part == "src");
    if !in_src || lines <= FILE_LINES_MAX {
        return None;
    }
    let what = format!("the file has {lines} lines, {FILE_LINES_MAX} are allowed");
    Some(Finding::new("file-length", &source.path, FILE_LINES_MAX + 1, what, "split it by noun"))
}

fn file_name(source: &Source) -> Option<Finding> {
    let file = source.path.rsplit('/').next().unwrap_or_default();
    let folder = source.path.rsplit('/').nth(1).unwrap_or_default();
    let stem = if file == "mod.rs" { folder } else { file.trim_end_matches(".rs") };
    EMPTY_FILE_NAMES.contains(&stem).then(|| {
        let what = format!("`{stem}` says nothing as a file name");
        Finding::new("empty-name", &source.path, 1, what, "name it after the one noun that it owns")
    })
}

fn type_names(source: &Source, tokens: &[Token<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in tokens.windows(2) {
        let defines = matches!(pair[0].text, "struct" | "enum" | "trait" | "type" | "union");
        if !defines || !is_word_token(pair[1]) {
            continue;
        }
        let name = pair[1].text;
        if let Some(word) = camel_words(name).into_iter().find(|word| EMPTY_WORDS.contains(word)) {
            let what = format!("`{word}` in the name of {} `{name}` says nothing", pair[0].text);
            let fix = "name it after what it is";
            findings.push(Finding::new("empty-name", &source.path, pair[1].line, what, fix));
        }
    }
    findings
}

/// `FrameWorker` → `Frame`, `Worker`.
fn camel_words(name: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    starts.windows(2).map(|edge| &name[edge[0]..edge[1]]).collect()
}

fn unsafe_code(source: &Source, tokens: &[Token<'_>]) -> Vec<Finding> {
    let is_home =
        source.path == format!("{UNSAFE_HOME}.rs") || source.path.starts_with(&format!("{UNSAFE_HOME}/"));
    if is_home {
        return Vec::new();
    }
    let fix = format!("do without; {UNSAFE_HOME}.rs is its one place");
    let uses = tokens.iter().filter(|token| token.text == "unsafe");
    uses.map(|token| Finding::new("unsafe", &source.path, token.line, "unsafe code", fix.clone())).collect()
}

fn ignored_tests(source: &Source, tokens: &[Token<'_>]) -> Vec<Finding> {
    let fix = "make it run always, or remove it";
    let mut findings = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].text != "#" || pair[1].text != "[" {
            continue;
        }
        if attribute(&tokens[at + 1..]).iter().any(|token| token.text == "ignore") {
            findings.push(Finding::new("ignored-test", &source.path, pair[0].line, "an ignored test", fix));
        }
    }
    for (index, line) in source.comments.lines().enumerate() {
        if line.contains("```ignore") {
            findings.push(Finding::new("ignored-test", &source.path, index + 1, "an ignored example", fix));
        }
    }
    findings
}

/// The tokens of the attribute that begins with the `[` at the start of `tokens`.
fn attribute<'a, 't>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &tokens[..index];
        }
    }
    tokens
}

fn unfinished(source: &Source, tokens: &[Token<'_>]) -> Vec<Finding> {
    let fix = "finish it, or write an issue and remove it";
    let mut findings = Vec::new();
    for pair in tokens.windows(2) {
        if matches!(pair[0].text, "todo" | "unimplemented" | "dbg") && pair[1].text == "!" {
            let what = format!("`{}!` in the code", pair[0].text);
            findings.push(Finding::new("unfinished", &source.path, pair[0].line, what, fix));
        }
    }
    for (index, line) in source.comments.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        if let Some(mark) = words.find(|word| UNFINISHED_MARKS.contains(word)) {
            let what = format!("a {mark} in a comment");
            findings.push(Finding::new("unfinished", &source.path, index + 1, what, fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! Owns nothing.\n";

    /// The findings on a file at `path` that begins with a header and goes on with `body`.
    fn found_at(path: &str, body: &str) -> Vec<String> {
        check(&Source::new(path, &format!("{HEADER}{body}"))).iter().map(ToString::to_string).collect()
    }

    fn found(body: &str) -> Vec<String> {
        found_at("framing/src/a.rs", body)
    }

    #[track_caller]
    fn assert_passes(body: &str) {
        assert_eq!(found(body), Vec::<String>::new());
    }

    #[track_caller]
    fn assert_fails(body: &str, start: &str) {
        let findings = found(body);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with(start), "{}", findings[0]);
    }

    #[test]
    fn a_file_begins_with_a_sentence_about_itself() {
        assert_passes("");
        for text in ["", "use std::fs;\n", "//!\n", "// Owns nothing.\n"] {
            let findings = check(&Source::new("a.rs", text));
            assert_eq!(findings.len(), 1, "{text:?}");
            assert!(findings[0].to_string().starts_with("a.rs:1: [header]"), "{}", findings[0]);
        }
    }

    #[test]
    fn a_source_file_has_at_most_600_lines_and_a_test_directory_may_have_more() {
        let full = "\n".repeat(FILE_LINES_MAX - 1);
        assert_passes(&full);
        assert_fails(&format!("{full}\n"), "framing/src/a.rs:601: [file-length]");
        assert_eq!(found_at("framing/tests/a.rs", &format!("{full}\n")), Vec::<String>::new());
    }

    #[test]
    fn names_say_something() {
        assert_passes("struct UtilityBill; enum Frame {} fn handler(x: Manager) {}");
        assert_fails("\nstruct FrameManager;", "framing/src/a.rs:3: [empty-name]");
        assert_fails("pub(crate) trait HelperOf {}", "framing/src/a.rs:2: [empty-name]");
        assert_eq!(found_at("framing/src/utils.rs", "").len(), 1);
        assert_eq!(found_at("framing/src/helpers/mod.rs", "").len(), 1);
    }

    #[test]
    fn unsafe_has_one_home() {
        let body = "fn f() {\n    unsafe { g() }\n}\n";
        assert_fails(body, "framing/src/a.rs:3: [unsafe]");
        assert_eq!(found_at("sinks/src/mmap.rs", body), Vec::<String>::new());
        assert_eq!(found_at("sinks/src/mmap/map.rs", body), Vec::<String>::new());
        assert_passes("#![forbid(unsafe_code)]\n// unsafe in a comment\nconst A: &str = \"unsafe\";");
    }

    #[test]
    fn tests_and_examples_are_never_ignored() {
        assert_passes("#[test]\nfn ignore_case() {}\n");
        assert_fails("#[test]\n#[ignore]\nfn f() {}\n", "framing/src/a.rs:3: [ignored-test]");
        assert_fails("#[ignore = \"slow\"]\nfn f() {}\n", "framing/src/a.rs:2: [ignored-test]");
        assert_fails("#[cfg_attr(miri, ignore)]\nfn f() {}\n", "framing/src/a.rs:2: [ignored-test]");
        assert_fails("/// ```ignore\n/// f();\n/// ```\nfn f() {}\n", "framing/src/a.rs:2: [ignored-test]");
    }

    #[test]
    fn nothing_is_left_unfinished() {
        assert_passes("fn todo() {}\nconst A: &str = \"todo!()\";\n");
        assert_fails("fn f() {\n    todo!()\n}\n", "framing/src/a.rs:3: [unfinished]");
        for mark in UNFINISHED_MARKS {
            assert_fails(&format!("// {mark}: later\n"), "framing/src/a.rs:2: [unfinished]");
        }
    }

    #[test]
    fn no_file_names_a_path_of_one_machine() {
        assert_eq!(private_paths("README.md", "see /usr/share/doc\n"), []);
        for private in PRIVATE_PATHS {
            let findings = private_paths("README.md", &format!("see\n{private}main\n"));
            assert_eq!(findings.len(), 1);
            assert!(findings[0].to_string().starts_with("README.md:2: [private-path]"));
        }
    }
}

//! Owns the rule about links of prose: each relative one leads to a file that is there, and to a heading of it.

use std::fs;
use std::path::Path;

use super::Finding;

/// Checks the links of the Markdown file at `path` below `root`.
pub(super) fn check(root: &Path, path: &str, text: &str) -> Vec<Finding> {
    let file = root.join(path);
    let links = text.lines().enumerate().flat_map(|(at, line)| targets(line).map(move |link| (at, link)));
    let dead = links.filter(|(_, link)| !link.contains(':') && !leads_somewhere(&file, link));
    dead.map(|(at, link)| Finding::new(path, at + 1, "link", format!("{link} leads nowhere"))).collect()
}

/// The targets of the links that end on this line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

fn leads_somewhere(from: &Path, link: &str) -> bool {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = if path.is_empty() { from.to_owned() } else { from.with_file_name(path) };
    let has = |text: String| text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
    file.exists() && (heading.is_empty() || fs::read_to_string(file).is_ok_and(has))
}

/// What a heading is called in links: its letters and digits, in lower case, with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim_matches(['#', ' '])
        .to_lowercase()
        .replace('`', "")
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn a_link_leads_to_a_file_and_a_heading() {
    let root = crate::repository_root();
    let found = |text: &str| check(&root, "docs/DESIGN.md", text).len();
    assert_eq!(found("[a](FORMAT.md), [b](../README.md) and [c](https://example.org/x#y)"), 0);
    assert_eq!(found("see [d](ARCHITECTURE.md#why-it-cannot-deadlock)"), 0);
    assert_eq!(found("[a](NONE.md)\n[b](ARCHITECTURE.md#none) [c](#none)"), 3);
}

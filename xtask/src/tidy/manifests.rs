//! Owns the rules about manifests: which crate may use which, lints, the reasons of dependencies.

use cargo_metadata::{DependencyKind, Package};

use super::Finding;
use super::edges::{CIPHER_CRATES, EDGES, UNSAFE_HOMES};

/// What the package names of this repository begin with, the facade's apart.
const OUR_PREFIX: &str = "cofferdam-";

/// Checks the manifest of one crate. `path` is the manifest's, `workspace` and `text` are what the two manifests say.
pub(super) fn check(package: &Package, path: &str, workspace: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |rule, about: &str, said: String| {
        let line = text.lines().position(|line| line.contains(about)).unwrap_or_default() + 1;
        findings.push(Finding::new(path, line, rule, said));
    };
    let used = package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development);
    for used in used {
        if let Some(said) = wrong_edge(&package.name, &used.name) {
            found("crate-edge", short(&used.name), said);
        }
    }
    if !has_lints(&package.name, workspace, text) {
        let fix = "write `[lints]` and under it `workspace = true`; the crates of the map, the C ABI and Python's buffers deny unsafe code instead";
        found("lints", "lints", format!("the workspace's lints do not hold here; {fix}"));
    }
    findings
}

/// What is wrong with `name` using `used`.
fn wrong_edge(name: &str, used: &str) -> Option<String> {
    let (name, used) = (short(name), short(used));
    let fix = "docs/ARCHITECTURE.md and xtask/src/tidy/edges.rs have the table";
    let Some([ours, forbidden]) = columns(name) else {
        return Some(format!("crate `{name}` has no row in the table of edges; {fix}"));
    };
    let has = |column: &str, wanted| column == "*" || column.split(' ').any(|name| name == wanted);
    let allowed = if columns(used).is_some() {
        has(ours, used)
    } else {
        !(has(forbidden, used) || has(forbidden, "ciphers") && CIPHER_CRATES.contains(&used))
    };
    (!allowed).then(|| format!("`{name}` must not use `{used}`; let a value cross, or move the code: {fix}"))
}

/// What the row of the crate `name` says.
fn columns(name: &str) -> Option<[&'static str; 2]> {
    let mut rows = EDGES.lines().map(|row| row.split('|').map(str::trim));
    let mut row = rows.find_map(|mut row| (row.next() == Some(name)).then_some(row))?;
    Some([row.next()?, row.next()?])
}

fn short(package: &str) -> &str {
    package.strip_prefix(OUR_PREFIX).unwrap_or(package)
}

fn has_lints(package: &str, workspace: &str, text: &str) -> bool {
    match UNSAFE_HOMES.iter().any(|(home, _)| *home == package) {
        true => lint_lines(text) == lint_lines(workspace).replace("\"forbid\"", "\"deny\""),
        false => text.contains("\n[lints]\nworkspace = true\n"),
    }
}

/// The lines of the tables of lints, without comments.
fn lint_lines(manifest: &str) -> String {
    let mut inside = false;
    let mut lines = String::new();
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.trim_start_matches("workspace.").starts_with("lints.");
        } else if inside && !line.is_empty() {
            lines.extend([line, "\n"]);
        }
    }
    lines
}

/// Finds the dependencies of the workspace, the crates of this repository apart, that do not say what they are for.
pub(super) fn check_reasons(workspace: &str) -> Vec<Finding> {
    let lines = workspace.lines().enumerate();
    let table = lines.skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let table = table.take_while(|(_, line)| !line.starts_with('['));
    let bare = table.filter(|(_, line)| {
        line.contains(" = ") && !line.starts_with('#') && !line.contains("path = ") && !line.contains(" # ")
    });
    let said = "a dependency without a reason; say on its line, after a #, what it is for";
    bare.map(|(at, _)| Finding::new("Cargo.toml", at + 1, "dependency-reason", said)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_design_pass_and_others_do_not() {
        let wrong =
            |pair: &str| pair.split_once(' ').is_none_or(|(name, used)| wrong_edge(name, used).is_some());
        for pair in ["frame-worker framing", "frame-worker rayon", "segment-worker contract", "cli cofferdam"]
        {
            assert!(!wrong(pair), "{pair}");
        }
        for pair in ["framing memchr", "segment-worker framing", "segment-worker rayon", "local aes-gcm"] {
            assert!(wrong(pair), "{pair}");
        }
        for pair in
            ["contract storage", "segment-worker local", "cli local", "cofferdam clap", "no-such-crate clap"]
        {
            assert!(wrong(pair), "{pair}");
        }
        assert!(wrong("cofferdam-local cofferdam-keys"), "the names of packages");
    }

    #[test]
    fn the_manifest_of_a_crate_is_judged_as_cargo_reads_it() {
        let found = |dependencies: &str, text: &str| {
            let json = format!(
                r#"{{"name":"cofferdam-sources","version":"1.0.0","id":"a","dependencies":[{dependencies}],
                "targets":[],"features":{{}},"manifest_path":"/a/Cargo.toml"}}"#
            );
            let package: Package = serde_json::from_str(&json).unwrap();
            let findings = check(&package, "a/Cargo.toml", "", text);
            findings.iter().map(|finding| (finding.line, finding.rule)).collect::<Vec<_>>()
        };
        let using = |name: &str, kind: &str| {
            format!(
                r#"{{"name":"{name}","req":"*","kind":{kind},"optional":false,"uses_default_features":true,
                "features":[]}}"#
            )
        };
        let text = "[package]\n\n[lints]\nworkspace = true\n\n[dependencies]\nwal = 1\n";
        let wal = "cofferdam-wal";
        assert_eq!(found("", text), []);
        assert_eq!(found("", "[package]\n"), [(1, "lints")]);
        assert_eq!(found(&using(wal, "null"), text), [(7, "crate-edge")]);
        assert_eq!(found(&using(wal, "\"build\""), text), [(7, "crate-edge")]);
        assert_eq!(found(&using(wal, "\"dev\""), text), []);
    }

    #[test]
    fn the_crate_of_the_map_denies_where_others_forbid_and_differs_in_nothing_else() {
        let workspace =
            "[workspace.lints.rust]\nunsafe_code = \"forbid\" # why\n[workspace.lints.clippy]\na = 1\n";
        let denies = |text: &str| has_lints(UNSAFE_HOMES[0].0, workspace, text);
        assert!(denies("[lints.rust]\nunsafe_code = \"deny\"\n\n[lints.clippy]\na = 1\n[features]\n"));
        for rust in ["unsafe_code = \"allow\"", "unsafe_code = \"deny\"\nb = 1", ""] {
            assert!(!denies(&format!("[lints.rust]\n{rust}\n[lints.clippy]\na = 1\n")), "{rust}");
        }
    }

    #[test]
    fn a_dependency_of_the_workspace_gives_its_reason() {
        let lines = |table: &str| {
            let findings = check_reasons(&format!("[workspace.dependencies]\n{table}\n[profile]\na = 1\n"));
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("framing = { path = \"framing\" }\nrayon = \"1\" # the pool"), [0; 0]);
        assert_eq!(lines("# Ours.\nrayon = \"1\""), [3]);
    }
}

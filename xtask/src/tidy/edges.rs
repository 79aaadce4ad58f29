//! Owns the table of which crate may use which, and the reasons that dependencies must give.
//! Knows nothing of sources: it judges manifests alone.

use super::finding::Finding;
use super::manifest::{Dependency, Manifest, Origin, Table};

/// What the package names of this repository begin with, the facade's apart.
const OUR_PREFIX: &str = "cofferdam-";

const PARTS: [&str; 6] = ["framing", "frame-worker", "segment-worker", "sinks", "keys", "sources"];

const ENGINE: [&str; 7] = ["framing", "frame-worker", "segment-worker", "sinks", "keys", "sources", "stream"];

const CIPHERS: [&str; 6] = ["aws-lc-rs", "aws-lc-sys", "aes-gcm", "chacha20poly1305", "aes", "ring"];

/// The row of one crate: what its normal and build dependencies may be. Development dependencies are free.
struct Row {
    name: &'static str,
    ours: Allowed,
    strangers: Strangers,
}

enum Allowed {
    Any,
    Only(&'static [&'static str]),
}

enum Strangers {
    None,
    AllBut(&'static [&'static [&'static str]]),
}

/// docs/ARCHITECTURE.md has the same table.
const TABLE: [Row; 13] = [
    Row { name: "framing", ours: Allowed::Only(&[]), strangers: Strangers::None },
    Row {
        name: "frame-worker",
        ours: Allowed::Only(&["framing"]),
        strangers: Strangers::AllBut(&[&["rustix", "tempfile", "age", "clap"]]),
    },
    Row {
        name: "segment-worker",
        ours: Allowed::Only(&["frame-worker", "sinks"]),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "rustix", "tempfile", "age", "clap"]]),
    },
    Row {
        name: "sinks",
        ours: Allowed::Only(&[]),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "age", "clap"]]),
    },
    Row { name: "keys", ours: Allowed::Only(&[]), strangers: Strangers::AllBut(&[&["rayon", "clap"]]) },
    Row {
        name: "sources",
        ours: Allowed::Only(&[]),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "age", "clap"]]),
    },
    Row {
        name: "stream",
        ours: Allowed::Only(&PARTS),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "age", "clap"]]),
    },
    Row { name: "cofferdam", ours: Allowed::Only(&ENGINE), strangers: Strangers::AllBut(&[&["clap"]]) },
    Row {
        name: "measure",
        ours: Allowed::Only(&["cofferdam", "frame-worker", "framing"]),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "age", "clap"]]),
    },
    Row {
        name: "cli",
        ours: Allowed::Only(&["cofferdam", "measure"]),
        strangers: Strangers::AllBut(&[&CIPHERS, &["rayon", "age"]]),
    },
    Row { name: "bench", ours: Allowed::Any, strangers: Strangers::AllBut(&[]) },
    Row { name: "loom-tests", ours: Allowed::Any, strangers: Strangers::AllBut(&[]) },
    Row { name: "xtask", ours: Allowed::Any, strangers: Strangers::AllBut(&[]) },
];

/// Checks the manifest of one crate against its row.
pub(crate) fn check_crate(manifest: &Manifest) -> Vec<Finding> {
    let name = short_name(&manifest.package);
    let Some(row) = TABLE.iter().find(|row| row.name == name) else {
        let what = format!("crate `{name}` has no row in the table of crate edges");
        let fix = "decide what it may use, in docs/ARCHITECTURE.md and in xtask/src/tidy/edges.rs";
        return vec![Finding::new("crate-edge", &manifest.path, 1, what, fix)];
    };
    let shipped = manifest.dependencies.iter().filter(|d| matches!(d.table, Table::Normal | Table::Build));
    shipped.filter_map(|dependency| check_edge(manifest, row, dependency)).collect()
}

/// Checks that every dependency of the root manifest says what it is for.
pub(crate) fn check_reasons(root: &Manifest) -> Vec<Finding> {
    let strangers =
        root.dependencies.iter().filter(|d| d.table == Table::Workspace && d.origin == Origin::Elsewhere);
    let bare = strangers.filter(|dependency| dependency.reason.is_empty());
    bare.map(|dependency| {
        let what = format!("dependency `{}` gives no reason", dependency.name);
        let fix = "say on its line, after a #, what it is for";
        Finding::new("dependency-reason", &root.path, dependency.line, what, fix)
    })
    .collect()
}

fn check_edge(manifest: &Manifest, row: &Row, dependency: &Dependency) -> Option<Finding> {
    let used = short_name(&dependency.name);
    let is_ours = TABLE.iter().any(|row| row.name == used);
    let is_allowed = if is_ours { row.ours.has(used) } else { row.strangers.has(used) };
    if is_allowed {
        return None;
    }
    let (rule, fix) = if is_ours {
        (
            "crate-edge",
            "let a value cross this seam instead, or move the code; docs/ARCHITECTURE.md has the table",
        )
    } else {
        (
            "forbidden-dependency",
            "move the code to the crate that may hold it; docs/ARCHITECTURE.md has the table",
        )
    };
    let what = format!("`{}` must not use `{used}`", row.name);
    Some(Finding::new(rule, &manifest.path, dependency.line, what, fix))
}

fn short_name(package: &str) -> &str {
    package.strip_prefix(OUR_PREFIX).unwrap_or(package)
}

impl Allowed {
    fn has(&self, name: &str) -> bool {
        match self {
            Allowed::Any => true,
            Allowed::Only(names) => names.contains(&name),
        }
    }
}

impl Strangers {
    fn has(&self, name: &str) -> bool {
        match self {
            Strangers::None => false,
            Strangers::AllBut(groups) => !groups.iter().any(|group| group.contains(&name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings on a manifest of `package` with `dependencies` as its table.
    fn found(package: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{package}\"\n[dependencies]\n{dependencies}");
        check_crate(&Manifest::parse("a/Cargo.toml", &text)).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_passes(package: &str, dependencies: &str) {
        assert_eq!(found(package, dependencies), Vec::<String>::new());
    }

    #[track_caller]
    fn assert_fails(package: &str, dependencies: &str, start: &str) {
        let findings = found(package, dependencies);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with(start), "{}", findings[0]);
    }

    #[test]
    fn the_edges_of_the_design_pass() {
        assert_passes("cofferdam-framing", "");
        assert_passes("cofferdam-frame-worker", "framing.workspace = true\nrayon = \"1\"\n");
        assert_passes("cofferdam-segment-worker", "frame-worker.workspace = true\nsinks.workspace = true\n");
        assert_passes("cofferdam-cli", "cofferdam.workspace = true\nclap = \"4\"\n");
        assert_passes("xtask", "framing.workspace = true\nrayon = \"1\"\n");
    }

    #[test]
    fn an_edge_outside_of_the_table_fails_at_its_line() {
        assert_fails(
            "cofferdam-segment-worker",
            "framing.workspace = true\n",
            "a/Cargo.toml:4: [crate-edge]",
        );
        assert_fails("cofferdam-sinks", "\nkeys.workspace = true\n", "a/Cargo.toml:5: [crate-edge]");
        assert_fails("cofferdam-cli", "sinks.workspace = true\n", "a/Cargo.toml:4: [crate-edge]");
        let renamed = "frames = { path = \"../framing\", package = \"cofferdam-framing\" }\n";
        assert_fails("cofferdam-segment-worker", renamed, "a/Cargo.toml:4: [crate-edge]");
    }

    #[test]
    fn a_forbidden_stranger_fails() {
        assert_fails("cofferdam-framing", "memchr = \"2\"\n", "a/Cargo.toml:4: [forbidden-dependency]");
        assert_fails("cofferdam-segment-worker", "rayon = \"1\"\n", "a/Cargo.toml:4: [forbidden-dependency]");
        assert_fails("cofferdam-sinks", "age = \"0.12\"\n", "a/Cargo.toml:4: [forbidden-dependency]");
        assert_fails("cofferdam", "clap = \"4\"\n", "a/Cargo.toml:4: [forbidden-dependency]");
    }

    #[test]
    fn tests_may_use_what_the_crate_may_not() {
        assert_passes("cofferdam-framing", "[dev-dependencies]\nsinks.workspace = true\nhex = \"0.4\"\n");
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        assert_fails("cofferdam-extra", "", "a/Cargo.toml:1: [crate-edge]");
    }

    #[test]
    fn a_dependency_of_the_workspace_gives_its_reason() {
        let passing =
            "[workspace.dependencies]\nframing = { path = \"framing\" }\nrayon = \"1\" # the pool\n";
        assert_eq!(check_reasons(&Manifest::parse("Cargo.toml", passing)), []);
        let failing =
            check_reasons(&Manifest::parse("Cargo.toml", "[workspace.dependencies]\nrayon = \"1\"\n"));
        assert_eq!(failing.len(), 1);
        assert!(failing[0].to_string().starts_with("Cargo.toml:2: [dependency-reason]"));
    }
}

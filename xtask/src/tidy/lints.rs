//! Owns the rule that every crate has the workspace's lints, and the one exception from it.
//! Knows no lint but `unsafe_code`.

use super::finding::Finding;
use super::manifest::{Lint, Manifest};

/// The crate with the one module that may hold `unsafe`: the level that forbids it cannot be lifted there.
const EXCEPTION: &str = "cofferdam-sinks";

/// Checks the lints of one crate against the workspace's.
pub(crate) fn check(workspace: &Manifest, member: &Manifest) -> Option<Finding> {
    if member.package != EXCEPTION {
        let inherits = member.lints.iter().any(|lint| lint.is("lints.workspace", "true"));
        let fix = "write `[lints]` and under it `workspace = true`";
        return (!inherits).then(|| finding(member, 1, "the workspace's lints do not hold here", fix));
    }
    let mut wanted: Vec<Lint> = workspace.lints.iter().map(Lint::of_member).collect();
    for lint in wanted.iter_mut().filter(|lint| lint.is("lints.rust.unsafe_code", "\"forbid\"")) {
        lint.value = "\"deny\"".to_owned();
    }
    let differs =
        wanted.iter().find(|wanted| !member.lints.iter().any(|lint| lint.is(&wanted.name, &wanted.value)));
    if let Some(missing) = differs {
        let what = format!("the lint `{} = {}` of the workspace is missing", missing.name, missing.value);
        return Some(finding(member, 1, &what, "take it over: only the level of `unsafe_code` differs"));
    }
    let extra =
        member.lints.iter().find(|lint| !wanted.iter().any(|wanted| lint.is(&wanted.name, &wanted.value)));
    extra.map(|lint| {
        finding(member, lint.line, "a lint that the workspace does not have", "give it to all crates")
    })
}

fn finding(manifest: &Manifest, line: usize, what: &str, fix: &'static str) -> Finding {
    Finding::new("lints", &manifest.path, line, what.to_owned(), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"warn\"\n\
         [workspace.lints.clippy]\nall = { level = \"warn\", priority = -1 }\n";

    fn found(member: &str) -> Option<String> {
        let workspace = Manifest::parse("Cargo.toml", WORKSPACE);
        check(&workspace, &Manifest::parse("a/Cargo.toml", member)).map(|finding| finding.to_string())
    }

    #[test]
    fn a_crate_has_the_workspaces_lints() {
        assert_eq!(found("[package]\nname = \"a\"\n[lints]\nworkspace = true\n"), None);
        for lints in ["", "[lints]\nworkspace = false\n", "[lints.rust]\nunsafe_code = \"forbid\"\n"] {
            let finding = found(&format!("[package]\nname = \"a\"\n{lints}")).unwrap();
            assert!(finding.starts_with("a/Cargo.toml:1: [lints]"), "{finding}");
        }
    }

    #[test]
    fn the_crate_with_the_map_denies_where_others_forbid_and_differs_in_nothing_else() {
        let exception = |rust: &str| {
            let clippy = "all = { level = \"warn\", priority = -1 }";
            found(&format!(
                "[package]\nname = \"{EXCEPTION}\"\n[lints.rust]\n{rust}\n[lints.clippy]\n{clippy}\n"
            ))
        };
        assert_eq!(exception("unsafe_code = \"deny\"\nmissing_docs = \"warn\""), None);
        for rust in [
            "unsafe_code = \"forbid\"\nmissing_docs = \"warn\"",
            "unsafe_code = \"allow\"\nmissing_docs = \"warn\"",
            "unsafe_code = \"deny\"",
            "unsafe_code = \"deny\"\nmissing_docs = \"allow\"",
            "unsafe_code = \"deny\"\nmissing_docs = \"warn\"\ndead_code = \"allow\"",
        ] {
            assert!(exception(rust).is_some(), "{rust}");
        }
    }
}

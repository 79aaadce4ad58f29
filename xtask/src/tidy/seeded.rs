//! Owns the rule that nothing asks for the mistakes that tests can plant, but tests.
//! Knows nothing of the mistakes.

use super::finding::Finding;

/// The feature that lets a test plant one.
const FEATURE: &str = "seeded-bugs";

/// Finds the lines of a manifest that turn the feature on elsewhere than in a test, or by default.
pub(crate) fn check(path: &str, manifest: &str) -> Vec<Finding> {
    let mut section = "";
    let mut findings = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        if line.contains(FEATURE) && !is_allowed(section, line) {
            let what = format!("`{FEATURE}` is turned on");
            let fix = "only a feature of the same name and development dependencies may name it";
            findings.push(Finding::new("seeded-bugs", path, index + 1, what, fix));
        }
    }
    findings
}

fn is_allowed(section: &str, line: &str) -> bool {
    let key = line.split('=').next().unwrap_or_default().trim();
    match section {
        "features" => key == FEATURE,
        "test" => key == "required-features",
        section => section.starts_with("dev-dependencies"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_of_the_same_name_and_tests_may_name_it() {
        let manifest = "[features]\nseeded-bugs = [\"sinks/seeded-bugs\"] # for tests\n\
             [dev-dependencies]\nsinks = { workspace = true, features = [\"seeded-bugs\"] }\n\
             [[test]]\nrequired-features = [\"seeded-bugs\"]\n";
        assert!(check("a/Cargo.toml", manifest).is_empty());
    }

    #[test]
    fn whoever_else_turns_it_on_is_found() {
        for manifest in [
            "[features]\ndefault = [\"seeded-bugs\"]\n",
            "[features]\nfast = [\"sinks/seeded-bugs\"]\n",
            "[dependencies]\nsinks = { workspace = true, features = [\"seeded-bugs\"] }\n",
            "[workspace.dependencies]\nsinks = { path = \"sinks\", features = [\"seeded-bugs\"] }\n",
        ] {
            let findings = check("a/Cargo.toml", manifest);
            assert_eq!(findings.len(), 1, "{manifest}");
            assert!(findings[0].to_string().starts_with("a/Cargo.toml:2: [seeded-bugs]"), "{}", findings[0]);
        }
    }
}

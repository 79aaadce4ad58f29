//! Owns what is said of the machine beside figures: processor, memory, kernel, compiler, commit, load.
//! Measures nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// The machine as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    memory_gib: u64,
    kernel: String,
    compiler: String,
    commit: String,
    load: String,
}

impl Machine {
    /// What cannot be found out is called unknown.
    pub(crate) fn now(root: &Path) -> Machine {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = file("/proc/loadavg");
        Machine {
            processor: processor(&file("/proc/cpuinfo")).unwrap_or(UNKNOWN).to_owned(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&file("/proc/meminfo")).unwrap_or_default(),
            kernel: printed(root, "uname", &["-r"]),
            compiler: printed(root, "rustc", &["--version"]),
            commit: commit(root),
            load: load.split_whitespace().next().unwrap_or(UNKNOWN).to_owned(),
        }
    }

    /// What a ratio depends on: the processor and how many there are.
    pub(crate) fn name(&self) -> String {
        format!("{}, {} processors", self.processor, self.processors)
    }

    /// Lines for the head of the results.
    pub(crate) fn lines(&self) -> String {
        format!(
            "- {}, {} GiB of memory\n- Linux {}, {}",
            self.name(),
            self.memory_gib,
            self.kernel,
            self.compiler
        )
    }

    /// A line for figures that may be of another commit than their neighbours.
    pub(crate) fn line(&self) -> String {
        format!("Commit {}, {}, Linux {}, load {} before.", self.commit, self.name(), self.kernel, self.load)
    }

    /// The same for a document, which says where it was measured beside other work.
    pub(crate) fn stamp(&self) -> String {
        format!("{}{}", self.line(), if self.is_busy() { BUSY } else { "" })
    }

    /// Why what is measured now is no result to keep, where there is a reason.
    pub(crate) fn doubt(&self) -> Option<String> {
        let changes = self.commit.ends_with(WITH_CHANGES).then(|| "the tree has changes".to_owned());
        let busy = self.is_busy().then(|| format!("the load before was {}", self.load));
        changes.into_iter().chain(busy).reduce(|one, other| format!("{one}, and {other}"))
    }

    fn is_busy(&self) -> bool {
        self.load.parse().is_ok_and(|load: f64| load > LOAD_MAX)
    }
}

/// The first processor's name.
fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

/// The machine's memory, to the nearest GiB.
fn memory_gib(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib + (1 << 19)) >> 20)
}

/// The commit that is checked out, and whether what is built differs from it. Documents and figures build nothing.
fn commit(root: &Path) -> String {
    let commit = printed(root, "git", &["rev-parse", "--short", "HEAD"]);
    let changes = printed(
        root,
        "git",
        &["status", "--porcelain", "--untracked-files=no", "--", "*.rs", "*.toml", "*.lock"],
    );
    if changes.is_empty() { commit } else { commit + WITH_CHANGES }
}

/// What a command prints, or nothing where it does not run.
fn printed(root: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

const UNKNOWN: &str = "unknown";
const WITH_CHANGES: &str = " with changes";

const BUSY: &str =
    " **The machine was busy before: unless with another section of this file, a trial and no result.**";

/// Above this, something else runs, or has run within the last minutes.
const LOAD_MAX: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(load: &str) -> Machine {
        Machine {
            processor: "AMD EPYC".to_owned(),
            processors: 2,
            memory_gib: 24,
            kernel: "6.18.44".to_owned(),
            compiler: "rustc 1.95.0".to_owned(),
            commit: "59d6043".to_owned(),
            load: load.to_owned(),
        }
    }

    #[test]
    fn processor_and_memory_are_read_from_the_kernels_files() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(processor(cpuinfo), Some("AMD EPYC"));
        assert_eq!(processor(""), None);
        assert_eq!(memory_gib("MemTotal:       24552496 kB\n"), Some(23));
    }

    #[test]
    fn a_section_says_of_which_commit_and_machine_it_is() {
        assert_eq!(
            machine("0.04").stamp(),
            "Commit 59d6043, AMD EPYC, 2 processors, Linux 6.18.44, load 0.04 before."
        );
        assert_eq!(
            machine("0.04").lines(),
            "- AMD EPYC, 2 processors, 24 GiB of memory\n- Linux 6.18.44, rustc 1.95.0"
        );
    }

    #[test]
    fn figures_of_a_busy_machine_say_so() {
        assert!(!machine("0.70").stamp().contains("busy"));
        assert!(machine("0.71").stamp().contains("busy"));
    }

    #[test]
    fn figures_of_a_busy_machine_or_a_changed_tree_are_in_doubt() {
        let changed = |load| Machine { commit: "59d6043 with changes".to_owned(), ..machine(load) };
        assert_eq!(machine("0.70").doubt(), None);
        assert_eq!(machine("3.27").doubt().as_deref(), Some("the load before was 3.27"));
        assert_eq!(changed("0.70").doubt().as_deref(), Some("the tree has changes"));
        let both = "the tree has changes, and the load before was 3.27";
        assert_eq!(changed("3.27").doubt().as_deref(), Some(both));
    }
}

//! Owns the reading of our own `Cargo.toml` files: the package's name, its dependency lines, its lints.
//! Knows only the part of TOML that these files use, and no rule about what they say.

/// What tidy needs from one manifest.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// The path from the root of the repository.
    pub(crate) path: String,
    /// The name of the package; empty in a manifest without `[package]`.
    pub(crate) package: String,
    /// Every dependency of every table, in order.
    pub(crate) dependencies: Vec<Dependency>,
    /// The folders that `[workspace] members` names.
    pub(crate) members: Vec<String>,
    /// Every line of a table of lints.
    pub(crate) lints: Vec<Lint>,
}

/// One line of a table of lints: `lints.rust.unsafe_code`, of the workspace with `workspace.` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lint {
    pub(crate) name: String,
    /// As it is written.
    pub(crate) value: String,
    /// The line in the manifest, from 1.
    pub(crate) line: usize,
}

/// One dependency line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The name of the package: the value of `package` where the line renames it.
    pub(crate) name: String,
    pub(crate) table: Table,
    /// The line in the manifest, from 1.
    pub(crate) line: usize,
    /// Whether the line is for a crate of this repository.
    pub(crate) origin: Origin,
    /// The comment on the line.
    pub(crate) reason: String,
}

/// The table a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Normal,
    Build,
    Development,
    /// `[workspace.dependencies]`
    Workspace,
}

/// Where a dependency's code is, as far as its own line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The line has a `path`.
    Path,
    /// A registry, or whatever `[workspace.dependencies]` says.
    Elsewhere,
}

impl Manifest {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let mut manifest = Manifest { path: path.to_owned(), ..Manifest::default() };
        let mut section = String::new();
        for entry in entries(text) {
            if let Some(header) = section_header(&entry.value) {
                section = header;
                manifest.open_section(&section, &entry);
            } else {
                manifest.read_entry(&section, &entry);
            }
        }
        manifest
    }

    /// `[dependencies.NAME]` is a dependency by itself.
    fn open_section(&mut self, section: &str, entry: &Entry) {
        if let Some((parent, name)) = section.rsplit_once('.')
            && let Some(table) = dependency_table(parent)
        {
            self.dependencies.push(dependency(name, "", table, entry));
        }
    }

    fn read_entry(&mut self, section: &str, entry: &Entry) {
        let Some((key, value)) = entry.value.split_once('=') else { return };
        let (key, value) = (key.trim(), value.trim());
        if let Some(table) = dependency_table(section) {
            let name = key.split('.').next().unwrap_or(key).trim().trim_matches('"');
            self.dependencies.push(dependency(name, value, table, entry));
        } else if section.split('.').any(|part| part == "lints") {
            self.lints.push(Lint {
                name: format!("{section}.{key}"),
                value: value.to_owned(),
                line: entry.line,
            });
        } else if section == "package" && key == "name" {
            value.trim_matches('"').clone_into(&mut self.package);
        } else if section == "workspace" && key == "members" {
            self.members = quoted(value);
        } else if let Some(last) = self.dependencies.last_mut()
            && section.rsplit_once('.').is_some_and(|(parent, _)| dependency_table(parent).is_some())
        {
            last.read_key(key, value);
        }
    }
}

impl Lint {
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.name == name && self.value == value
    }

    /// A lint of the workspace as a member would write it.
    pub(crate) fn of_member(&self) -> Lint {
        Lint { name: self.name.trim_start_matches("workspace.").to_owned(), ..self.clone() }
    }
}

impl Dependency {
    /// Takes in one key of a `[dependencies.NAME]` section.
    fn read_key(&mut self, key: &str, value: &str) {
        match key {
            "package" => value.trim_matches('"').clone_into(&mut self.name),
            "path" => self.origin = Origin::Path,
            _ => {}
        }
    }
}

/// A header or a `key = value`, its comment apart; a value over several lines is one entry.
struct Entry {
    value: String,
    comment: String,
    line: usize,
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open_brackets = 0_isize;
    for (index, line) in text.lines().enumerate() {
        let (value, comment) = split_comment(line);
        if open_brackets > 0
            && let Some(last) = entries.last_mut()
        {
            last.value.push_str(value.trim());
            last.comment.push_str(comment.trim());
        } else if !value.trim().is_empty() {
            let (value, comment) = (value.trim().to_owned(), comment.trim().to_owned());
            entries.push(Entry { value, comment, line: index + 1 });
        }
        open_brackets += bracket_balance(value);
    }
    entries
}

/// The text before a `#` that stands outside of quotes, and the text after it.
fn split_comment(line: &str) -> (&str, &str) {
    let mut in_quotes = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '#' if !in_quotes => return (&line[..at], &line[at + 1..]),
            _ => {}
        }
    }
    (line, "")
}

/// Opening less closing brackets outside of quotes.
fn bracket_balance(value: &str) -> isize {
    let outside = value.split('"').step_by(2);
    let steps = outside.flat_map(str::chars).map(|c| match c {
        '[' | '{' => 1,
        ']' | '}' => -1,
        _ => 0,
    });
    steps.sum()
}

fn section_header(value: &str) -> Option<String> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.trim_matches(['[', ']']).trim().to_owned())
}

/// The table that a section's name stands for; tables for one target count as the plain ones.
fn dependency_table(section: &str) -> Option<Table> {
    if section == "workspace.dependencies" {
        return Some(Table::Workspace);
    }
    let last = match section.rsplit_once('.') {
        Some((parent, last)) if parent.starts_with("target.") => last,
        Some(_) => return None,
        None => section,
    };
    match last {
        "dependencies" => Some(Table::Normal),
        "build-dependencies" => Some(Table::Build),
        "dev-dependencies" => Some(Table::Development),
        _ => None,
    }
}

fn dependency(key: &str, value: &str, table: Table, entry: &Entry) -> Dependency {
    let renamed = inline_key(value, "package").and_then(|rest| quoted(rest).into_iter().next());
    let origin = if inline_key(value, "path").is_some() { Origin::Path } else { Origin::Elsewhere };
    let name = renamed.unwrap_or_else(|| key.to_owned());
    Dependency { name, table, line: entry.line, origin, reason: entry.comment.clone() }
}

/// What follows `key =` in an inline table.
fn inline_key<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    let fields = value.strip_prefix('{')?;
    let field =
        fields.split(',').find(|field| field.split('=').next().is_some_and(|name| name.trim() == key))?;
    field.split_once('=').map(|(_, rest)| rest.trim())
}

/// The quoted strings of a value.
fn quoted(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r##"
[workspace]
members = [
    "one",   # the first
    "crates/two",
]

[package]
name = "sample"   # its name

[features]
fast = ["dep:rayon"]

[dependencies]
framing.workspace = true
worker = { path = "worker", package = "cofferdam-frame-worker" } # ours
rayon = { version = "1", features = [
    "a#b",
] } # a pool

[dependencies.age]
version = "0.12"

[target.'cfg(unix)'.dependencies]
rustix = "1"

[dev-dependencies]
tempfile = "3"
"##;

    fn names(table: Table) -> Vec<String> {
        let manifest = Manifest::parse("Cargo.toml", SAMPLE);
        manifest.dependencies.into_iter().filter(|d| d.table == table).map(|d| d.name).collect()
    }

    #[test]
    fn dependencies_are_read_from_every_kind_of_table() {
        assert_eq!(names(Table::Normal), ["framing", "cofferdam-frame-worker", "rayon", "age", "rustix"]);
        assert_eq!(names(Table::Development), ["tempfile"]);
        assert_eq!(names(Table::Workspace), Vec::<String>::new());
    }

    #[test]
    fn a_dependency_knows_its_line_its_origin_and_its_reason() {
        let manifest = Manifest::parse("Cargo.toml", SAMPLE);
        let worker = &manifest.dependencies[1];
        assert_eq!((worker.line, worker.origin, worker.reason.as_str()), (16, Origin::Path, "ours"));
        let rayon = &manifest.dependencies[2];
        assert_eq!((rayon.line, rayon.origin, rayon.reason.as_str()), (17, Origin::Elsewhere, "a pool"));
    }

    #[test]
    fn package_and_members_are_read() {
        let manifest = Manifest::parse("Cargo.toml", SAMPLE);
        assert_eq!(manifest.package, "sample");
        assert_eq!(manifest.members, ["one", "crates/two"]);
    }
}

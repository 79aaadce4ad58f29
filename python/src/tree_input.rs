//! What `seal` reads: bytes as they are, or a directory or an archive that becomes a tree.
//! It walks nothing; the library does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam::tree::{Mounts, OnChange, WalkOptions};
use cofferdam::{CancelToken, Sealer, TarInput, TreeInput};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::call::Failed;
use crate::error;
use crate::report::SealedTree;
use crate::source::{Given, Opened};
use crate::target::{self, Target};

/// What `seal` is told of trees.
pub(crate) struct Asked<'a, 'py> {
    pub(crate) exclude: Option<&'a Bound<'py, PyAny>>,
    pub(crate) include: Option<&'a Bound<'py, PyAny>>,
    pub(crate) strict: bool,
    pub(crate) all_file_systems: bool,
    pub(crate) tar: bool,
    pub(crate) state_dir: Option<PathBuf>,
}

pub(crate) enum Input {
    Plain(Given),
    Tree(Tree),
}

/// What becomes a tree. Its plan, or its catalog, is kept in the state directory meanwhile.
pub(crate) struct Tree {
    kind: Kind,
    state_dir: PathBuf,
}

enum Kind {
    Directory(Box<TreeInput>),
    Archive(Given),
}

impl Input {
    pub(crate) fn new(py: Python<'_>, source: Given, asked: Asked<'_, '_>) -> PyResult<Input> {
        let directory = match &source {
            Given::Path(path) if path.is_dir() => Some(path.clone()),
            _ => None,
        };
        let (exclude, include) = (strings(asked.exclude, "exclude")?, strings(asked.include, "include")?);
        let is_chosen = !exclude.is_empty() || !include.is_empty() || asked.strict || asked.all_file_systems;
        let kind = match (directory, asked.tar) {
            (Some(_), true) => {
                return Err(error::usage(py, "`tar` is for an archive, and the source is a directory"));
            }
            (None, _) if is_chosen => return Err(error::usage(py, NO_DIRECTORY)),
            (None, false) => return Ok(Input::Plain(source)),
            (None, true) => Kind::Archive(source),
            (Some(directory), false) => {
                let of_glob = |what: String| error::usage(py, &format!("a glob that cannot be read: {what}"));
                let walk =
                    WalkOptions::default().exclude(exclude.iter().map(String::as_str)).map_err(of_glob)?;
                let walk = walk.include(include.iter().map(String::as_str)).map_err(of_glob)?;
                let walk = walk.mounts(if asked.all_file_systems { Mounts::Enter } else { Mounts::Skip });
                let on_change = if asked.strict { OnChange::Refuse } else { OnChange::Flag };
                Kind::Directory(Box::new(TreeInput::new(directory).walk(walk).on_change(on_change)))
            }
        };
        let state_dir = asked.state_dir.map_or_else(|| state_dir(py), Ok)?;
        Ok(Input::Tree(Tree { kind, state_dir }))
    }

    pub(crate) fn is_tree(&self) -> bool {
        matches!(self, Input::Tree(_))
    }
}

impl Tree {
    pub(crate) fn seal(
        self,
        sealer: &Sealer,
        target: Target,
        cancel: &CancelToken,
        timeout: Option<Duration>,
    ) -> Result<(cofferdam::Sealed, SealedTree), Failed> {
        match self.kind {
            Kind::Directory(tree) => {
                let sealed = seal_directory(&tree, &self.state_dir, sealer, target, cancel, timeout)?;
                let tree = SealedTree::from(&sealed);
                Ok((sealed.sealed, tree))
            }
            Kind::Archive(archive) => seal_archive(archive, &self.state_dir, sealer, target, cancel, timeout),
        }
    }
}

fn seal_directory(
    tree: &TreeInput,
    state_dir: &Path,
    sealer: &Sealer,
    target: Target,
    cancel: &CancelToken,
    timeout: Option<Duration>,
) -> Result<cofferdam::SealedTree, Failed> {
    if let Target::Path(output) = target {
        return Ok(sealer.seal_tree(tree, output, state_dir)?);
    }
    let planned = tree.plan(state_dir, cancel)?;
    let sealed = target::seal(&sealer.clone().tree(), planned.source(), target, timeout)?;
    Ok(planned.sealed_as(sealed))
}

fn seal_archive(
    archive: Given,
    state_dir: &Path,
    sealer: &Sealer,
    target: Target,
    cancel: &CancelToken,
    timeout: Option<Duration>,
) -> Result<(cofferdam::Sealed, SealedTree), Failed> {
    let Opened { source, lease: _lease } = archive.open(cancel)?;
    // It lives as long as the source is read.
    let input = TarInput::new(state_dir)?;
    let source = input.source(source)?;
    let outcome = source.outcome();
    let sealed = target::seal(&sealer.clone().tree(), source, target, timeout)?;
    let tree = match outcome.get() {
        Some(Ok(counts)) => SealedTree::from(*counts),
        Some(Err(why)) => SealedTree::without_catalog(why.to_string()),
        None => SealedTree::without_catalog("it has not ended".to_owned()),
    };
    Ok((sealed, tree))
}

/// One string, or several.
pub(crate) fn strings(given: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Vec<String>> {
    let Some(given) = given.filter(|given| !given.is_none()) else { return Ok(Vec::new()) };
    if let Ok(one) = given.cast::<PyString>() {
        return Ok(vec![one.to_str()?.to_owned()]);
    }
    given.extract().map_err(|_| error::usage(given.py(), &format!("`{name}` is a str, or a list of them")))
}

/// That of the command, by the environment as Python has it now.
fn state_dir(py: Python<'_>) -> PyResult<PathBuf> {
    let environment = py.import("os")?.getattr("environ")?;
    let absolute = |variable: &str| -> PyResult<Option<PathBuf>> {
        let path: Option<PathBuf> = environment.call_method1("get", (variable,))?.extract()?;
        Ok(path.filter(|path| path.is_absolute()))
    };
    let home = absolute("HOME")?.map(|home| home.join(".local/state"));
    let states = absolute("XDG_STATE_HOME")?.or(home);
    states.map(|states| states.join("cofferdam")).ok_or_else(|| error::usage(py, NO_STATE_DIR))
}

const NO_DIRECTORY: &str =
    "`exclude`, `include`, `strict` and `all_file_systems` are for directories, and the source is none";
const NO_STATE_DIR: &str = "there is no place for the tree's plan: neither XDG_STATE_HOME nor HOME is set; give it one by `state_dir`";

//! A directory, sealed as a tree by the library.
//! Knows no test and no key.

use std::path::Path;
use std::sync::Arc;

use cofferdam::tree::{OnChange, Plan, TreeRoot, TreeSource, WalkOptions};
use cofferdam::{IfExists, Sealer, StageOptions, StagedFile};

/// Seals all of `directory` into the file `sealed`, which is replaced.
pub(crate) fn seal_tree(sealer: &Sealer, directory: &Path, sealed: &Path) {
    let root = || TreeRoot::open(directory).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (plan, _) = Plan::create(&root(), &scratch.path().join("plan"), &WalkOptions::default()).unwrap();
    let source = TreeSource::new(root(), Arc::new(plan), OnChange::Refuse).unwrap();
    let file = StagedFile::create(sealed, &StageOptions::default().if_exists(IfExists::Replace)).unwrap();
    sealer.clone().tree().seal(source, file).unwrap();
}

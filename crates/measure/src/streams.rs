//! Whole streams from file to file, as any caller would run them.
//! It uses the library's front door alone.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cofferdam::{CancelToken, Identities, Opener, Recipients, Sealer, WrappingKey};

use crate::files::Files;
use crate::samples::{Sample, Variant};
use crate::{Error, Recipe, Step, Work};

/// What streams are run with, and between what files.
pub(crate) struct Streams<'a> {
    pub(crate) files: &'a Files,
    pub(crate) memory: Option<usize>,
    pub(crate) cancel: &'a CancelToken,
}

impl Streams<'_> {
    /// Sealing a file and restoring it, for each recipe.
    pub(crate) fn by_recipe(&self, recipes: &[Recipe], threads: NonZeroUsize) -> Vec<Variant<'_>> {
        let variant = |&recipe: &Recipe| {
            let run = move || {
                let seal = Sample::of(self.files.len, || self.seal(recipe, threads).map(drop))?;
                let restore = self.restore(threads, &self.sealed())?;
                self.files.remove(&self.sealed())?;
                Ok(vec![seal, restore])
            };
            let steps = [Work::Seal, Work::Open].map(|work| Step::Stream(work, recipe));
            Variant { steps: steps.into(), threads, run: Box::new(run) }
        };
        recipes.iter().map(variant).collect()
    }

    /// Restoring a file that [`Streams::seal`] made, on each of `counts` threads.
    pub(crate) fn by_threads<'a>(&'a self, counts: &[NonZeroUsize], sealed: &'a Path) -> Vec<Variant<'a>> {
        let step = Step::Stream(Work::Open, Recipe::default_here());
        let variant = |&threads: &NonZeroUsize| {
            let run = Box::new(move || Ok(vec![self.restore(threads, sealed)?]));
            Variant { steps: vec![step], threads, run }
        };
        counts.iter().map(variant).collect()
    }

    /// Seals the plaintext into a file.
    pub(crate) fn seal(&self, recipe: Recipe, threads: NonZeroUsize) -> Result<PathBuf, Error> {
        let sealer = Sealer::new(Recipients::new().wrapping_key(key()))
            .suite(recipe.suite)
            .digest(recipe.digest)
            .frame_len(recipe.frame_len)
            .threads(threads)
            .cancel(self.cancel.clone());
        let sealer = match self.memory {
            Some(bytes) => sealer.memory(bytes),
            None => sealer,
        };
        sealer.seal_file(self.files.plain(), self.sealed())?;
        Ok(self.sealed())
    }

    fn restore(&self, threads: NonZeroUsize, sealed: &Path) -> Result<Sample, Error> {
        let target = self.files.path("restored");
        let opener =
            Opener::new(Identities::new().wrapping_key(key())).threads(threads).cancel(self.cancel.clone());
        let opener = match self.memory {
            Some(bytes) => opener.memory(bytes),
            None => opener,
        };
        let sample = Sample::of(self.files.len, || {
            opener.restore_file(sealed, &target)?;
            Ok(())
        })?;
        self.files.remove(&target)?;
        Ok(sample)
    }

    fn sealed(&self) -> PathBuf {
        self.files.path("sealed.cfd")
    }
}

/// Nothing secret is sealed under it.
fn key() -> WrappingKey {
    WrappingKey::from_bytes([7; 32])
}

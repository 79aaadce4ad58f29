//! Whole streams through the pipeline, in memory and between files, as any caller would run them.
//! It uses the library's front door alone.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam::{
    BytesSource, CancelToken, Identities, MemorySink, NullSink, Opener, Recipients, Sealer, WrappingKey,
};

use crate::Error;
use crate::files::Files;
use crate::interleaved::{Sample, Variant};
use crate::{Ends, Recipe, Step, Work};

/// What streams are run with.
pub(crate) struct Streams {
    memory: Option<usize>,
    plaintext: Arc<[u8]>,
    lap: Duration,
    cancel: CancelToken,
}

impl Streams {
    pub(crate) fn new(
        memory: Option<usize>,
        plaintext: Arc<[u8]>,
        lap: Duration,
        cancel: &CancelToken,
    ) -> Streams {
        Streams { memory, plaintext, lap, cancel: cancel.clone() }
    }

    /// Sealing and opening in memory, each recipe on each of `counts` threads.
    pub(crate) fn in_memory(
        &self,
        recipes: &[Recipe],
        counts: &[NonZeroUsize],
    ) -> Result<Vec<Variant<'_>>, Error> {
        let mut ways = Vec::new();
        for &recipe in recipes {
            let sealed = self.sealed(recipe, counts[counts.len() - 1])?;
            for &threads in counts {
                ways.push(self.seal(recipe, threads));
                ways.push(self.open(recipe, threads, sealed.clone()));
            }
        }
        Ok(ways)
    }

    /// Sealing a file and restoring it, for each recipe.
    pub(crate) fn between_files<'a>(
        &'a self,
        recipes: &[Recipe],
        threads: NonZeroUsize,
        files: &'a Files,
    ) -> Vec<Variant<'a>> {
        let way = |&recipe: &Recipe| {
            let steps = [Work::Seal, Work::Open].map(|work| Step::Stream(work, Ends::Files, recipe));
            let run = move || {
                let sealed = files.path(SEALED);
                let seal = Sample::of(files.len, || self.seal_file(recipe, threads, files))?;
                let restore = self.restore_file(threads, &sealed, files)?;
                files.remove(&sealed)?;
                Ok(vec![seal, restore])
            };
            Variant { steps: steps.into(), threads, run: Box::new(run) }
        };
        recipes.iter().map(way).collect()
    }

    /// A file to restore from.
    pub(crate) fn sealed_file(
        &self,
        recipe: Recipe,
        threads: NonZeroUsize,
        files: &Files,
    ) -> Result<PathBuf, Error> {
        self.seal_file(recipe, threads, files)?;
        Ok(files.path(SEALED))
    }

    /// Restoring the file `sealed` on each of `counts` threads.
    pub(crate) fn restores<'a>(
        &'a self,
        recipe: Recipe,
        counts: &[NonZeroUsize],
        sealed: &'a Path,
        files: &'a Files,
    ) -> Vec<Variant<'a>> {
        let way = |&threads: &NonZeroUsize| {
            let run = move || Ok(vec![self.restore_file(threads, sealed, files)?]);
            Variant {
                steps: vec![Step::Stream(Work::Open, Ends::Files, recipe)],
                threads,
                run: Box::new(run),
            }
        };
        counts.iter().map(way).collect()
    }

    fn seal_file(&self, recipe: Recipe, threads: NonZeroUsize, files: &Files) -> Result<(), Error> {
        self.sealer(recipe, threads).seal_file(&files.plain(), &files.path(SEALED))?;
        Ok(())
    }

    fn restore_file(&self, threads: NonZeroUsize, sealed: &Path, files: &Files) -> Result<Sample, Error> {
        let target = files.path("restored");
        let opener = self.opener(threads);
        let lap = Sample::of(files.len, || {
            opener.restore_file(sealed, &target)?;
            Ok(())
        })?;
        files.remove(&target)?;
        Ok(lap)
    }

    fn seal(&self, recipe: Recipe, threads: NonZeroUsize) -> Variant<'_> {
        let sealer = self.sealer(recipe, threads);
        let run = move || {
            let once = || sealer.seal(BytesSource::new(self.plaintext.clone()), NullSink::new());
            Ok(vec![Sample::repeat(self.lap, || Ok(once()?.plaintext_len))?])
        };
        let steps = vec![Step::Stream(Work::Seal, Ends::Memory, recipe)];
        Variant { steps, threads, run: Box::new(run) }
    }

    fn open(&self, recipe: Recipe, threads: NonZeroUsize, sealed: Arc<[u8]>) -> Variant<'_> {
        let opener = self.opener(threads);
        let run = move || {
            let once = || opener.open(BytesSource::new(sealed.clone()), NullSink::new());
            Ok(vec![Sample::repeat(self.lap, || Ok(once()?.plaintext_len))?])
        };
        let steps = vec![Step::Stream(Work::Open, Ends::Memory, recipe)];
        Variant { steps, threads, run: Box::new(run) }
    }

    fn sealed(&self, recipe: Recipe, threads: NonZeroUsize) -> Result<Arc<[u8]>, Error> {
        let (sink, contents) = MemorySink::new();
        self.sealer(recipe, threads).seal(BytesSource::new(self.plaintext.clone()), sink)?;
        Ok(contents.take().expect("the stream was published").into())
    }

    fn sealer(&self, recipe: Recipe, threads: NonZeroUsize) -> Sealer {
        let sealer = Sealer::new(Recipients::new().wrapping_key(key()))
            .suite(recipe.suite)
            .digest(recipe.digest)
            .frame_len(recipe.frame_len)
            .threads(threads)
            .cancel(self.cancel.clone());
        match self.memory {
            Some(bytes) => sealer.memory(bytes),
            None => sealer,
        }
    }

    fn opener(&self, threads: NonZeroUsize) -> Opener {
        let opener =
            Opener::new(Identities::new().wrapping_key(key())).threads(threads).cancel(self.cancel.clone());
        match self.memory {
            Some(bytes) => opener.memory(bytes),
            None => opener,
        }
    }
}

/// Nothing secret is sealed under it.
fn key() -> WrappingKey {
    WrappingKey::from_bytes([7; 32])
}

const SEALED: &str = "sealed.cfd";

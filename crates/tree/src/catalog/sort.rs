//! The order of a catalog's paths, where members did not come in it: sorted in runs on a file without a name.
//! Knows what a path is, and nothing of pages.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{TreeError, TreePath};

/// Takes paths in any order and gives their numbers in path order. Holds a run of them in memory, and 16 KiB for each run.
pub(super) struct PathSort {
    runs: File,
    /// Where each run begins, and the last one ends.
    bounds: Vec<u64>,
    run: Vec<SortedPath>,
    /// Bytes of the paths in it.
    run_bytes: usize,
    run_len: usize,
    /// Paths that it took.
    paths: u64,
}

/// A path, its number and whether it is a directory's; ordered by the path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SortedPath {
    pub(super) path: TreePath,
    pub(super) number: u32,
    pub(super) is_directory: bool,
}

impl PathSort {
    /// A sort whose runs lie in `directory`.
    pub(super) fn new(directory: &Path, run_len: usize) -> Result<PathSort, TreeError> {
        let runs = tempfile::tempfile_in(directory)
            .map_err(|error| TreeError::io(format!("make a file in {}", directory.display()), error))?;
        Ok(PathSort { runs, bounds: vec![0], run: Vec::new(), run_bytes: 0, run_len, paths: 0 })
    }

    /// Takes a path.
    pub(super) fn push(&mut self, path: SortedPath) -> Result<(), TreeError> {
        self.paths += 1;
        self.run_bytes += path.path.as_bytes().len();
        self.run.push(path);
        match self.run.len() < self.run_len && self.run_bytes < RUN_BYTES_MAX {
            true => Ok(()),
            false => self.spill().map_err(sorting),
        }
    }

    /// Gives all that it took, in path order.
    pub(super) fn finish(
        mut self,
        take: &mut dyn FnMut(SortedPath) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        self.spill().map_err(sorting)?;
        let mut runs = self.readers();
        let (mut heads, mut given) = (BinaryHeap::new(), 0);
        for (at, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next().transpose().map_err(sorting)?.map(|head| Reverse((head, at))));
        }
        while let Some(Reverse((head, at))) = heads.pop() {
            heads.extend(runs[at].next().transpose().map_err(sorting)?.map(|next| Reverse((next, at))));
            given += 1;
            take(head)?;
        }
        match given == self.paths {
            true => Ok(()),
            false => Err(sorting(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run_bytes = 0;
        self.run.sort_unstable();
        let mut out = BufWriter::new(&self.runs);
        // Where the last one ends, whatever has become of the file.
        let mut len = out.seek(SeekFrom::Start(self.bounds.last().copied().unwrap_or_default()))?;
        for path in self.run.drain(..) {
            let bytes = path.path.as_bytes();
            let path_len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
            out.write_all(&path_len.to_le_bytes())?;
            out.write_all(&path.number.to_le_bytes())?;
            out.write_all(&[u8::from(path.is_directory)])?;
            out.write_all(bytes)?;
            len += 7 + u64::from(path_len);
        }
        out.flush()?;
        self.bounds.push(len);
        Ok(())
    }

    fn readers(&self) -> Vec<RunReader<'_>> {
        let bounds = self.bounds.windows(2);
        let slices = bounds.map(|bounds| FileSlice { file: &self.runs, at: bounds[0], end: bounds[1] });
        slices.map(|slice| RunReader(BufReader::with_capacity(RUN_BUFFER_LEN, slice))).collect()
    }
}

struct RunReader<'a>(BufReader<FileSlice<'a>>);

impl Iterator for RunReader<'_> {
    type Item = io::Result<SortedPath>;

    fn next(&mut self) -> Option<io::Result<SortedPath>> {
        let mut head = [0; 7];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            Err(error) => return Some(Err(error)),
            Ok(()) => {}
        }
        let mut bytes = vec![0; usize::from(u16::from_le_bytes([head[0], head[1]]))];
        let read = self.0.read_exact(&mut bytes);
        Some(read.and_then(|()| {
            Ok(SortedPath {
                path: TreePath::parse(&bytes).map_err(io::Error::other)?,
                number: u32::from_le_bytes([head[2], head[3], head[4], head[5]]),
                is_directory: head[6] == 1,
            })
        }))
    }
}

/// Bytes of a file, without its position.
struct FileSlice<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for FileSlice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..room], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn sorting(error: io::Error) -> TreeError {
    TreeError::io("sort the paths of the tree in a file", error)
}

/// Bytes of paths that are sorted in memory at a time.
const RUN_BYTES_MAX: usize = 16 << 20;
/// Bytes that are read of a run at a time.
const RUN_BUFFER_LEN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_in_order_out_of_any_number_of_runs() {
        let mut rng = fastrand::Rng::with_seed(7);
        for (count, run_len) in [(0, 4), (1, 4), (4, 4), (5, 4), (1_000, 7), (1_000, 2_000)] {
            let mut paths: Vec<SortedPath> = (0..count)
                .map(|number| SortedPath {
                    path: TreePath::parse(format!("{:x}/{number}", rng.u8(..)).as_bytes()).unwrap(),
                    number,
                    is_directory: rng.bool(),
                })
                .collect();
            let mut sort = PathSort::new(&std::env::temp_dir(), run_len).unwrap();
            paths.iter().cloned().for_each(|path| sort.push(path).unwrap());
            let mut sorted = Vec::new();
            let take = &mut |path| {
                sorted.push(path);
                Ok(())
            };
            sort.finish(take).unwrap();
            paths.sort();
            assert!(sorted == paths, "{count} paths in runs of {run_len}");
        }
    }

    /// Whatever of it is lost, on a file system that was full or failed: no path goes without a word.
    #[test]
    fn a_file_of_runs_that_has_lost_its_end_is_an_error() {
        for lost in [1, 7, 9, 10, 40] {
            let mut sort = PathSort::new(&std::env::temp_dir(), 4).unwrap();
            for number in 0..8 {
                let path = TreePath::parse(format!("p{number}").as_bytes()).unwrap();
                sort.push(SortedPath { path, number, is_directory: false }).unwrap();
            }
            let len = sort.runs.metadata().unwrap().len();
            sort.runs.set_len(len - lost).unwrap();
            let sorted = sort.finish(&mut |_| Ok(()));
            assert!(matches!(sorted, Err(TreeError::Io { .. })), "{lost} bytes of {len}");
        }
    }
}

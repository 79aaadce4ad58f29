//! Owns the time and peak memory of trees of many members, which come as an archive through a pipe and are never stored: sealed, listed, verified.
//! And the archive, which is written by arithmetic alone.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::place::Place;
use super::scratch::Scratch;
use super::timed::Usage;
use super::volume::{Keys, environment};

/// Measures in the directory that `arguments` name, and gives the table as Markdown: `[DIRECTORY [MEMBERS]]`.
///
/// # Errors
/// Arguments that are not understood, too little room, a command that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let (directory, members) = match arguments {
        [] => (std::env::temp_dir(), MEMBERS),
        [directory] => (PathBuf::from(directory), MEMBERS),
        [directory, members] => (PathBuf::from(directory), number(members)?),
        _ => return Err("use: cargo xtask memory-trees [DIRECTORY [MEMBERS]]".to_owned()),
    };
    let cofferdam = super::build(root)?;
    Place::new(&directory)?.check_room(members * MEMBER_ROOM)?;
    let scratch = Scratch::new(&directory)?;
    let keys = Keys::new(&cofferdam, scratch.path())?;
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let environment = environment(scratch.path(), &[]);
    let mut text = format!(
        "| {members} members, {} | seconds | CPU s | peak MiB | must stay under |\n|---|---|---|---|---|\n",
        Place::new(&directory)?.name()
    );
    for order in ["sorted", "mixed"] {
        let commands = [
            (
                format!("seal --tar -, {order}"),
                format!(
                    "sh -c '{} tar-stream {members} {order} | {} seal --quiet --force --tar -r {{recipient}} -o sealed -'",
                    own.display(),
                    cofferdam.display()
                ),
            ),
            (format!("ls, {order}"), "{cofferdam} ls -i key.txt sealed".to_owned()),
            (format!("verify -i, {order}"), "{cofferdam} verify --quiet -i key.txt sealed".to_owned()),
        ];
        for (name, command) in commands {
            eprintln!("memory-trees: {name}");
            let usage = Usage::of(&keys.fill(&command, &cofferdam), scratch.path(), &environment)?;
            text.push_str(&format!(
                "| `{name}` | {:.1} | {:.1} | {:.1} | {} |\n",
                usage.wall.as_secs_f64(),
                usage.processors.as_secs_f64(),
                usage.peak as f64 / f64::from(1 << 20),
                BAR_MIB,
            ));
        }
    }
    Ok(text)
}

/// `cargo xtask tar-stream MEMBERS sorted|mixed`: writes an archive of so many empty files to standard output; in the order of their
/// paths, or as directories give their names.
///
/// # Errors
/// Arguments that are not understood; nobody reads.
pub(crate) fn write_archive(arguments: &[&str]) -> Result<(), String> {
    let &[members, order] = arguments else {
        return Err("use: cargo xtask tar-stream MEMBERS sorted|mixed".into());
    };
    let members = number(members)?;
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut write = || -> io::Result<()> {
        for index in 0..members {
            // Within each directory of 1,000; 617 and 1,000 have no divisor in common.
            let in_directory = if order == "mixed" { index % 1_000 * 617 % 1_000 } else { index % 1_000 };
            let path = format!("./base/{:07}/a-name-of-usual-length-{in_directory:04}.sst", index / 1_000);
            out.write_all(&header(&path))?;
        }
        out.write_all(&[0; 2 * BLOCK_LEN])?;
        out.flush()
    };
    write().map_err(|error| format!("cannot write the archive: {error}"))
}

/// The ustar header of an empty file.
fn header(path: &str) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    let fields: [(usize, &[u8]); 9] = [
        (0, path.as_bytes()),
        (100, b"0000644\0"),
        (108, b"0001750\0"),
        (116, b"0001750\0"),
        (124, b"00000000000\0"),
        (136, b"14371573250\0"),
        (148, b"        0"),
        (257, b"ustar\x0000user"),
        (297, b"group"),
    ];
    for (at, field) in fields {
        block[at..at + field.len()].copy_from_slice(field);
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=MEMBERS_MAX).contains(number));
    number.ok_or_else(|| format!("{text} is no number of members, 1 to {MEMBERS_MAX}"))
}

const MEMBERS: u64 = 10_000_000;
const MEMBERS_MAX: u64 = 100_000_000;
/// What the whole process stays under with the default budget, as with files.
const BAR_MIB: u64 = 48;
/// Bytes that a member takes sealed, and while it is sealed.
const MEMBER_ROOM: u64 = 600;
const BLOCK_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_is_written_is_an_archive_for_tar() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let archive = scratch.path().join("archive");
        let paths = ["./base/0000000/a", "./base/0000001/b"];
        let bytes: Vec<u8> = paths.iter().flat_map(|path| header(path)).chain([0; 1_024]).collect();
        std::fs::write(&archive, bytes).unwrap();
        let listed = Command::new("tar").arg("-tf").arg(&archive).stderr(Stdio::inherit()).output().unwrap();
        assert!(listed.status.success());
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), format!("{}\n{}\n", paths[0], paths[1]));
    }
}

//! The cgroups of this process, of version 1 and 2: what they limit memory to, and what is left of that.
//! It believes no file: what it does not understand limits nothing.

use std::path::{Component, Path, PathBuf};

use super::{Limit, SystemMemory, field};

/// The limits of all cgroups that this process is in, of either version; a cgroup without a limit has none.
pub(super) fn limits(system: &SystemMemory) -> Vec<Limit> {
    let v2 = v2_directories(system).into_iter().filter_map(|directory| v2_limit(system, &directory));
    let v1 = v1_directories(system).into_iter().filter_map(|directory| v1_limit(system, &directory));
    v2.chain(v1).collect()
}

/// The directories of this process's cgroup of version 2 and of those around it, the innermost first; relative to the system's root.
pub(super) fn v2_directories(system: &SystemMemory) -> Vec<PathBuf> {
    // Beside version 1, version 2 has a directory of its own.
    let is_mounted = |mount: &&str| system.root.join(mount).join("cgroup.controllers").exists();
    let Some(mount) = ["sys/fs/cgroup", "sys/fs/cgroup/unified"].into_iter().find(is_mounted) else {
        return Vec::new();
    };
    match path_of(system, |hierarchy, controllers| hierarchy == "0" && controllers.is_empty()) {
        Some(path) => directories(system, Path::new(mount), &path),
        None => Vec::new(),
    }
}

/// The same of version 1, of the controller for memory.
fn v1_directories(system: &SystemMemory) -> Vec<PathBuf> {
    let path = path_of(system, |_, controllers| controllers.split(',').any(|name| name == "memory"));
    path.map_or_else(Vec::new, |path| directories(system, Path::new("sys/fs/cgroup/memory"), &path))
}

/// The path of this process's cgroup in the hierarchy that `is_it`, by its number and its controllers (cgroups(7)).
fn path_of(system: &SystemMemory, is_it: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let text = system.read(Path::new("proc/self/cgroup"))?;
    text.lines().find_map(|line| {
        let (hierarchy, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_it(hierarchy, controllers).then(|| PathBuf::from(path))
    })
}

/// From the cgroup at `path` outwards to the `mount`. In a container the path may be the host's, which is not there, or lie outside of
/// what is mounted; then the mount itself is the container's cgroup.
fn directories(system: &SystemMemory, mount: &Path, path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter(|part| *part != Component::RootDir);
    let is_inside = names.clone().all(|part| matches!(part, Component::Normal(_)));
    let inner = mount.join(names.collect::<PathBuf>());
    let innermost = if is_inside && system.root.join(&inner).is_dir() { &inner } else { mount };
    innermost.ancestors().take_while(|directory| directory.starts_with(mount)).map(PathBuf::from).collect()
}

fn v2_limit(system: &SystemMemory, directory: &Path) -> Option<Limit> {
    let number = |name| system.read(&directory.join(name))?.trim().parse::<u64>().ok();
    // Beyond `high` a process is slowed down. `max` is also the word for no limit, which is no number.
    let bytes = [number("memory.max"), number("memory.high")].into_iter().flatten().min()?;
    Some(limit(bytes, number("memory.current"), inactive_file(system, directory, "inactive_file ")))
}

fn v1_limit(system: &SystemMemory, directory: &Path) -> Option<Limit> {
    let number = |name| system.read(&directory.join(name))?.trim().parse::<u64>().ok();
    let bytes = number("memory.limit_in_bytes").filter(|&bytes| bytes < V1_UNLIMITED)?;
    let inactive = inactive_file(system, directory, "total_inactive_file ");
    Some(limit(bytes, number("memory.usage_in_bytes"), inactive))
}

/// What is used and has not been looked at for a while is given up before anything else.
fn limit(bytes: u64, used: Option<u64>, inactive_file: Option<u64>) -> Limit {
    let in_use = used.unwrap_or(0).saturating_sub(inactive_file.unwrap_or(0));
    Limit { bytes, left: bytes.saturating_sub(in_use) }
}

/// Bytes of the page cache that have not been used lately.
fn inactive_file(system: &SystemMemory, directory: &Path, name: &str) -> Option<u64> {
    field(&system.read(&directory.join("memory.stat"))?, name)?.parse().ok()
}

/// No limit is a very large one there: what fits into 63 bits, in whole pages.
const V1_UNLIMITED: u64 = 1 << 60;

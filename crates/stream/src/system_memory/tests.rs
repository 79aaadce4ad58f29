//! Made-up systems: cgroups of either version, nested, without a limit, damaged; and what pressure makes of them.

use std::fs;

use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

/// A system of these files, whose names are relative to its root.
fn system(files: &[(&str, &str)]) -> (TempDir, SystemMemory) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let system = SystemMemory::at(root.path());
    (root, system)
}

fn left(files: &[(&str, &str)]) -> Option<u64> {
    system(files).1.left()
}

/// 1000 MiB, of which 600 are available.
const MEMINFO: (&str, &str) = (
    "proc/meminfo",
    "MemTotal:        1024000 kB\nMemFree:          102400 kB\nMemAvailable:     614400 kB\nBuffers: 0 kB\n",
);
const IN_V2: (&str, &str) = ("proc/self/cgroup", "0::/a.slice/b.scope\n");
const V2: (&str, &str) = ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
const IN_V1: (&str, &str) = ("proc/self/cgroup", "11:cpuset:/\n4:memory:/docker/abc\n1:cpu:/docker/abc\n");

#[test]
fn without_a_cgroup_what_is_left_is_what_the_machine_has() {
    assert_eq!(left(&[MEMINFO]), Some(600 * MIB));
    assert_eq!(left(&[MEMINFO, IN_V2]), Some(600 * MIB), "the cgroup is not mounted");
    assert_eq!(left(&[]), None);
}

/// 200 MiB, of which 120 are used and 50 of those a page cache that nobody has looked at lately.
#[test]
fn a_cgroup_of_version_2_leaves_its_limit_without_what_is_in_use() {
    let files = [
        MEMINFO,
        IN_V2,
        V2,
        ("sys/fs/cgroup/a.slice/b.scope/memory.max", "209715200\n"),
        ("sys/fs/cgroup/a.slice/b.scope/memory.current", "125829120\n"),
        (
            "sys/fs/cgroup/a.slice/b.scope/memory.stat",
            "anon 1\nactive_file 7\ninactive_file 52428800\nslab 1\n",
        ),
    ];
    assert_eq!(left(&files), Some(130 * MIB));
    let with_high = [&files[..], &[("sys/fs/cgroup/a.slice/b.scope/memory.high", "157286400\n")]].concat();
    assert_eq!(left(&with_high), Some(80 * MIB), "150 MiB from which on it is slowed down");
    assert_eq!(left(&[&files[..5], &[]].concat()), Some(80 * MIB), "no page cache is known of");
    assert_eq!(left(&files[..4]), Some(200 * MIB), "nor what is used");
}

#[test]
fn the_least_of_all_limits_on_the_way_out_counts() {
    let nested = |inner: &'static str, outer: &'static str| {
        left(&[
            MEMINFO,
            IN_V2,
            V2,
            ("sys/fs/cgroup/a.slice/b.scope/memory.max", inner),
            ("sys/fs/cgroup/a.slice/b.scope/memory.current", "0\n"),
            ("sys/fs/cgroup/a.slice/memory.max", outer),
            ("sys/fs/cgroup/a.slice/memory.current", "10485760\n"),
        ])
    };
    assert_eq!(nested("max\n", "104857600\n"), Some(90 * MIB));
    assert_eq!(nested("52428800\n", "104857600\n"), Some(50 * MIB));
    assert_eq!(nested("max\n", "max\n"), Some(600 * MIB));
    assert_eq!(nested("max\n", "1\n"), Some(0), "more is used than may be");
}

/// The directory of the cgroup is not there: the mount is the container's own.
#[test]
fn in_a_container_the_mount_is_its_cgroup() {
    for path in ["0::/\n", "0::/system.slice/docker-123.scope\n", "0::/../other\n", "0::/..\n"] {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", path),
            V2,
            ("sys/fs/cgroup/memory.max", "104857600\n"),
            ("sys/fs/cgroup/memory.current", "4194304\n"),
            // What must not be looked at, outside of the mount.
            ("sys/fs/other/memory.max", "1\n"),
        ];
        assert_eq!(left(&files), Some(96 * MIB), "{path}");
    }
}

#[test]
fn a_cgroup_of_version_1_leaves_its_limit_without_what_is_in_use() {
    let files = [
        MEMINFO,
        IN_V1,
        ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "104857600\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "94371840\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 41943040\n"),
        ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    assert_eq!(left(&files), Some(50 * MIB));
    let unlimited = [
        MEMINFO,
        IN_V1,
        ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "94371840\n"),
    ];
    assert_eq!(left(&unlimited), Some(600 * MIB));
}

/// Version 2 beside it has no controller for memory.
#[test]
fn both_versions_at_once_are_looked_at() {
    let files = [
        MEMINFO,
        ("proc/self/cgroup", "4:memory:/m\n0::/\n"),
        ("sys/fs/cgroup/unified/cgroup.controllers", "\n"),
        ("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "104857600\n"),
        ("sys/fs/cgroup/memory/m/memory.usage_in_bytes", "0\n"),
        ("sys/fs/cgroup/unified/memory.pressure", "some avg10=15.00 avg60=0\nfull avg10=0.00 avg60=0\n"),
    ];
    let (_root, system) = system(&files);
    assert_eq!(system.left(), Some(100 * MIB));
    assert_eq!(system.pressure(MemoryPressure::None), MemoryPressure::Some);
}

#[test]
fn what_is_not_understood_limits_nothing() {
    for garbage in ["", "\n", "-1", "1e9", "99999999999999999999", "\u{fffd}\0", "100 MiB"] {
        let files = [
            MEMINFO,
            IN_V2,
            V2,
            ("sys/fs/cgroup/a.slice/b.scope/memory.max", garbage),
            ("sys/fs/cgroup/a.slice/b.scope/memory.current", garbage),
        ];
        assert_eq!(left(&files), Some(600 * MIB), "{garbage:?}");
        assert_eq!(left(&[("proc/meminfo", garbage), ("proc/self/cgroup", garbage)]), None, "{garbage:?}");
        let half = format!("MemTotal: 1000 kB\nMemAvailable: {garbage}\n");
        assert_eq!(left(&[("proc/meminfo", &half)]), None, "{garbage:?}");
    }
    let (root, system) = system(&[V2, IN_V2]);
    // Directories where files are expected, and bytes that are no text.
    fs::create_dir_all(root.path().join("proc/meminfo")).unwrap();
    fs::create_dir_all(root.path().join("sys/fs/cgroup/a.slice/b.scope/memory.max")).unwrap();
    fs::write(root.path().join("sys/fs/cgroup/a.slice/memory.max"), [0xff, 0xfe]).unwrap();
    assert_eq!(system.left(), None);
    assert_eq!(system.pressure(MemoryPressure::High), MemoryPressure::None);
}

fn stalls(some: &str, full: &str) -> String {
    format!(
        "some avg10={some} avg60=0.00 avg300=0.00 total=1\nfull avg10={full} avg60=0.00 avg300=0.00 total=1\n"
    )
}

#[test]
fn pressure_is_what_the_innermost_cgroup_says_else_what_the_machine_says() {
    let (low, high) = (stalls("0.00", "0.00"), stalls("60.00", "0.00"));
    let of_machine = ("proc/pressure/memory", high.as_str());
    assert_eq!(system(&[of_machine]).1.pressure(MemoryPressure::None), MemoryPressure::High);
    let files = [IN_V2, V2, of_machine, ("sys/fs/cgroup/a.slice/b.scope/memory.pressure", low.as_str())];
    assert_eq!(system(&files).1.pressure(MemoryPressure::None), MemoryPressure::None);
    let garbage = [IN_V2, V2, of_machine, ("sys/fs/cgroup/a.slice/b.scope/memory.pressure", "some\n")];
    assert_eq!(system(&garbage).1.pressure(MemoryPressure::None), MemoryPressure::High);
}

#[test]
fn a_level_is_left_below_half_of_what_it_was_reached_by() {
    use MemoryPressure::{High, None, Some};
    let table = [
        ("0.00", "0.00", [None, None, None]),
        ("4.99", "0.00", [None, None, None]),
        ("5.00", "0.00", [None, Some, Some]),
        ("9.99", "0.00", [None, Some, Some]),
        ("10.00", "0.00", [Some, Some, Some]),
        ("19.99", "0.00", [Some, Some, Some]),
        ("20.00", "0.00", [Some, Some, High]),
        ("39.99", "0.00", [Some, Some, High]),
        ("40.00", "0.00", [High, High, High]),
        ("0.00", "2.49", [None, None, None]),
        ("0.00", "2.50", [None, Some, Some]),
        ("0.00", "5.00", [Some, Some, Some]),
        ("0.00", "10.00", [Some, Some, High]),
        ("0.00", "20.00", [High, High, High]),
        ("100.00", "100.00", [High, High, High]),
    ];
    for (some, full, expected) in table {
        let text = stalls(some, full);
        let (_root, system) = system(&[("proc/pressure/memory", text.as_str())]);
        for (before, expected) in [None, Some, High].into_iter().zip(expected) {
            assert_eq!(system.pressure(before), expected, "{some} and {full} after {before:?}");
        }
    }
    for garbage in ["nan", "-1", "inf", "100.01", "", "x"] {
        let text = stalls(garbage, "0.00");
        let (_root, system) = system(&[("proc/pressure/memory", text.as_str())]);
        assert_eq!(system.pressure(High), None, "{garbage:?}");
    }
}

/// Of 1000 MiB.
#[test]
fn where_no_pressure_is_reported_what_is_left_says_how_short_memory_is() {
    use MemoryPressure::{High, None, Some};
    for (left_mib, expected) in [
        (600, [None, None, None]),
        (150, [None, None, None]),
        (120, [None, Some, Some]),
        (100, [Some, Some, Some]),
        (90, [Some, Some, High]),
        (50, [High, High, High]),
        (0, [High, High, High]),
    ] {
        let text = format!("MemTotal: 1024000 kB\nMemAvailable: {} kB\n", left_mib * 1024);
        let (_root, system) = system(&[("proc/meminfo", text.as_str())]);
        for (before, expected) in [None, Some, High].into_iter().zip(expected) {
            assert_eq!(system.pressure(before), expected, "{left_mib} MiB after {before:?}");
        }
    }
}

/// A quarter of what is left, and no more than was wanted; and in all no less than the default.
#[test]
fn a_budget_grows_to_a_quarter_of_what_is_left() {
    let mib = |mib: usize| mib << 20;
    for (left_mib, most, growth, total) in [
        (600, 32, 32, 32),
        (128, 32, 32, 32),
        (100, 32, 25, 32),
        (4, 32, 1, 32),
        (0, 32, 0, 32),
        (600, 256, 150, 150),
        (4096, 256, 256, 256),
        (40, 256, 10, 32),
        (600, 8, 8, 32),
    ] {
        let text = format!("MemTotal: 10240000 kB\nMemAvailable: {} kB\n", left_mib * 1024);
        let (_root, system) = system(&[("proc/meminfo", text.as_str())]);
        let budget = system.budget(mib(most));
        assert_eq!((budget.growth(), budget.total()), (mib(growth), mib(total)), "{left_mib} MiB left");
    }
    let nothing_known = system(&[]).1.budget(mib(32));
    assert_eq!((nothing_known.growth(), nothing_known.total()), (mib(32), mib(32)));
}

/// Whatever this machine says, it is read.
#[test]
fn this_machine_says_what_is_left() {
    let left = SystemMemory::default().left();
    assert!(left.is_some_and(|left| left > 0), "{left:?}");
}

//! The header is what the code says, and the library exports what the header has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::installed::library;

/// In the order in which a reader wants them.
const FILES: [&str; 14] = [
    "status",
    "version",
    "error",
    "cancel",
    "source_callbacks",
    "source",
    "sink_callbacks",
    "sink",
    "identity",
    "report",
    "observer",
    "pairs",
    "sealer",
    "seal_writer",
];

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in FILES.into_iter().chain(["opener", "reader", "tree", "whole_tree"]) {
        builder = builder.with_src(crate_dir.join(format!("src/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    // C++98 has no comma behind the last number of an enum.
    String::from_utf8(header).unwrap().replace(",\n}", "\n}")
}

/// `COFFERDAM_WRITE_HEADER=1` writes it anew.
#[test]
fn the_header_that_is_checked_in_is_made_of_this_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/cofferdam.h");
    let generated = generated();
    if std::env::var_os("COFFERDAM_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let same = fs::read_to_string(&path).unwrap() == generated;
    assert!(same, "run this test with COFFERDAM_WRITE_HEADER=1, and look at what changed in the header");
}

#[test]
fn the_header_has_the_version_of_the_library() {
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/cofferdam.h")).unwrap();
    for (name, number) in [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ] {
        assert!(header.contains(&format!("#define CFD_VERSION_{name} {number}\n")), "{name}");
    }
}

#[test]
fn the_library_exports_the_functions_of_the_header_and_no_others_of_ours() {
    let nm = Command::new("nm").args(["-D", "--defined-only"]).arg(library()).output().unwrap();
    let listed = String::from_utf8(nm.stdout).unwrap();
    let exported: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/cofferdam.h")).unwrap();
    let declared: BTreeSet<&str> = header
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '('))
        .filter_map(|word| word.split_once('(').map(|(name, _)| name))
        .filter(|name| name.starts_with("cfd_"))
        .collect();
    assert!(declared.len() > 60, "{declared:?}");
    // With all features of the workspace, crates under the object stores bring these along; this crate does not use them.
    let (ours, others): (BTreeSet<&str>, BTreeSet<&str>) =
        exported.into_iter().partition(|name| name.starts_with("cfd_"));
    assert!(others.iter().all(|name| name.starts_with("crc_fast_")), "{others:?}");
    assert_eq!(ours, declared);
}

/// The oldest language of each kind that has its types.
#[test]
fn compilers_of_c_and_of_cpp_take_the_header_to_the_letter() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/cofferdam.h");
    for (compiler, language, standard) in
        [("cc", "c", "c99"), ("c++", "c++", "c++98"), ("c++", "c++", "c++17"), ("c++", "c++", "c++20")]
    {
        let mut command = Command::new(compiler);
        command.args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"]);
        command.args(["-pedantic", "-Wall", "-Wextra", "-Werror"]).arg(&header);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{standard}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

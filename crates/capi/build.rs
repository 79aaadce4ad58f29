//! Gives the shared library its name for the loader, which changes when programs have to be built anew.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // As cargo-c has it, which says it itself: of a version 0.1.7, `libcofferdam.so.0.1`.
    let [major, minor] = ["CARGO_PKG_VERSION_MAJOR", "CARGO_PKG_VERSION_MINOR"]
        .map(|name| std::env::var(name).unwrap_or_default());
    let version = if major == "0" { format!("0.{minor}") } else { major };
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcofferdam.so.{version}");
}

//! Directories of an overlay, whose files have the device numbers of its layers: sealed, restored, killed, run again, discarded, in a namespace of
//! their own.

use std::process::{Command, Stdio};

use crate::place::{Place, Ran, SMALL};
use crate::programs::{has, skipped};

/// Two layers on file systems of their own. The numbers of inodes are the layers' own, as Linux has it unless it is told otherwise.
const OVERLAY: &str = "
    exec 2>&1
    mkdir low up over
    mount -t tmpfs none low && mount -t tmpfs none up || exit 77
    mkdir low/x up/upper up/work
    echo low > low/x/f; echo low > low/g
    mount -t overlay none -o lowerdir=low,upperdir=up/upper,workdir=up/work,xino=off,userxattr over || exit 77
    echo up > over/x/h
    test \"$(stat -c %d over)\" != \"$(stat -c %d over/g)\" || exit 77
";

/// Runs lines of shell where `over` is an overlay and `cofferdam` the program. None: this machine has no such thing, as it then says.
fn in_overlay(place: &Place, lines: &str) -> Option<Ran> {
    let program = format!("cofferdam() {{ {} \"$@\"; }}\n", env!("CARGO_BIN_EXE_cofferdam"));
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
    command.arg([OVERLAY, &program, lines].concat()).current_dir(place.directory.path());
    let ran = Ran::of(command.env("XDG_STATE_HOME", place.states.path()).stdin(Stdio::null()).output().ok()?);
    if ran.code == 77 || ran.text().contains("unshare failed") {
        skipped(&format!("this user may mount no overlay: {}", ran.text()));
        return None;
    }
    Some(ran)
}

#[test]
fn a_directory_of_an_overlay_is_sealed_whole_and_what_is_mounted_in_it_is_not() {
    if !has("unshare") {
        return;
    }
    let place = Place::new();
    let lines = format!(
        "mkdir over/m over/n; mount -t tmpfs none over/m; mount --bind over/x over/n; echo m > over/m/inside
        cofferdam seal -r {} {} -o over.cfd over; cofferdam ls -i key.txt over.cfd",
        place.recipient,
        SMALL.join(" ")
    );
    let Some(ran) = in_overlay(&place, &lines) else { return };
    ran.assert_done();
    assert!(ran.text().contains("2 mount points"), "{}", ran.text());
    assert!(ran.text().ends_with("\ng\nm\nn\nx\nx/f\nx/h\n"), "{}", ran.text());
}

#[test]
fn a_directory_on_an_overlay_is_replaced_removed_moved_into_gone_on_with_and_discarded() {
    if !has("unshare") || !has("strace") {
        return;
    }
    let place = Place::new();
    let lines = format!(
        "cofferdam seal -r {} {} -o over.cfd over
        restore() {{ cofferdam restore -i key.txt over.cfd \"$@\"; }}
        kill_at() {{ ! strace -f -qq -o strace.log -e inject=$1:signal=SIGKILL {} restore -i key.txt over.cfd over/$2; }}
        restore over/whole; restore --force over/whole
        mkdir over/into; echo own > over/into/g; restore --into --force over/into; cat over/into/g
        kill_at renameat2:when=3 resumed; test -d over/.resumed.cofferdam-staging; restore over/resumed; cat over/resumed/x/h
        kill_at renameat2:when=3 given-up; cofferdam discard over/given-up
        ls -A over",
        place.recipient,
        SMALL.join(" "),
        env!("CARGO_BIN_EXE_cofferdam")
    );
    let Some(ran) = in_overlay(&place, &lines) else { return };
    ran.assert_done();
    assert!(!ran.text().contains("mounted"), "{}", ran.text());
    assert!(ran.text().ends_with("\ng\ninto\nresumed\nwhole\nx\n"), "{}", ran.text());
}

/// Without `redirect_dir` an overlay renames no directory that is in a lower layer, whether it has come up since or not.
#[test]
fn a_directory_of_a_lower_layer_is_refused_before_anything_is_written() {
    if !has("unshare") {
        return;
    }
    let place = Place::new();
    let lines = format!(
        "cofferdam seal -r {} {} -o over.cfd over/x
        mkdir up/upper2 up/work2 over2
        mount -t overlay none -o lowerdir=low,upperdir=up/upper2,workdir=up/work2,xino=off,userxattr over2
        for target in over/x over2/x; do
            code=0; cofferdam restore --force -i key.txt over.cfd $target || code=$?; test $code = 1
        done
        ls -A over over2; cat over2/x/f
        cofferdam restore --into --force -i key.txt over.cfd over2/x; cat over2/x/h
        cofferdam restore -i key.txt over.cfd over2/new
        cofferdam restore --force -i key.txt over.cfd over2/new; ls -A over2",
        place.recipient,
        SMALL.join(" ")
    );
    let Some(ran) = in_overlay(&place, &lines) else { return };
    ran.assert_done();
    assert_eq!(ran.text().matches("in a lower layer of its overlay").count(), 2, "{}", ran.text());
    assert!(ran.text().contains("\nover:\ng\nx\n\nover2:\ng\nx\nlow\n"), "{}", ran.text());
    assert!(ran.text().ends_with("\ng\nnew\nx\n"), "{}", ran.text());
}

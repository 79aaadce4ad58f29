//! The recipes of `examples/many-machines`: the manifest is what Kubernetes takes, and what it has a cluster run restores; so do the scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::place::{Place, Ran};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/many-machines").join(name)
}

/// The Jobs of the manifest, as Debian's Python reads YAML, each checked against the schema of Kubernetes: it says what is wrong.
fn checked_jobs() -> Vec<Value> {
    let program = "
import json, sys, yaml, jsonschema
jobs = list(yaml.safe_load_all(open(sys.argv[1])))
schema = json.load(open(sys.argv[2]))
for job in jobs:
    jsonschema.Draft7Validator(schema).validate(job)
print(json.dumps(jobs))";
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/kubernetes-job.json");
    let mut python = Command::new("/usr/bin/python3");
    let ran =
        Ran::of(python.args(["-c", program]).arg(example("kubernetes.yaml")).arg(schema).output().unwrap());
    ran.assert_done();
    serde_json::from_str(&ran.stdout).unwrap()
}

/// What a container of the manifest runs, with its volumes in `place`.
fn arguments(container: &Value, place: &Place, part: u64) -> Vec<String> {
    let data = place.directory().to_str().unwrap();
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    arguments
        .map(|argument| {
            argument.replace("$(PART)", &part.to_string()).replace("/data", data).replace("/identity", data)
        })
        .collect()
}

/// A place with what the recipes take: an identity, and a stream for it.
fn with_identity() -> Place {
    let place = Place::small();
    place.run(["keygen", "-o", "key.txt"]).assert_done();
    let text = fs::read_to_string(place.at("key.txt")).unwrap();
    let recipient = text.lines().find_map(|line| line.split_once("public key: ")).unwrap().1.to_owned();
    let sizes = ["--frame-size", "4KiB", "--segment-size", "16KiB"];
    let seal = ["seal", "-r", &recipient, "-o", "db.cfd", "plain"];
    place.run([&seal[..], &sizes].concat()).assert_done();
    place
}

/// Each container's arguments are run as the pods would: the planner once for each index, and one index twice.
#[test]
fn the_jobs_of_the_manifest_are_jobs_and_restore() {
    let jobs = checked_jobs();
    let [parts, commit] = jobs.as_slice() else { panic!("two jobs") };
    let place = with_identity();
    let pod = &parts["spec"]["template"]["spec"];
    let completions = parts["spec"]["completions"].as_u64().unwrap();
    for part in (0..completions).chain([3]) {
        place.run(arguments(&pod["initContainers"][0], &place, part)).assert_done();
        assert_eq!(pod["containers"][0]["env"][0]["name"], "PART");
        place.run(arguments(&pod["containers"][0], &place, part)).assert_done();
    }
    assert!(!place.at("db").exists());
    let commit = &commit["spec"]["template"]["spec"]["containers"][0];
    // A pod that is started again finds that it is done.
    (0..2).for_each(|_| place.run(arguments(commit, &place, 0)).assert_done());
    assert_eq!(place.read("db"), place.read("plain"));
}

/// The schema refuses what Kubernetes would refuse: else it would show nothing.
#[test]
fn the_schema_refuses_a_field_that_is_misspelt() {
    let program = "
import json, sys, yaml, jsonschema
jobs = list(yaml.safe_load_all(open(sys.argv[1]).read().replace(sys.argv[3], sys.argv[4])))
schema = json.load(open(sys.argv[2]))
sys.exit(any(not jsonschema.Draft7Validator(schema).is_valid(job) for job in jobs))";
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/kubernetes-job.json");
    for (from, to, refused) in [
        ("backoffLimitPerIndex", "backoffLimitPerIndex", 0),
        ("backoffLimitPerIndex", "backoffLimitForIndex", 1),
        ("completions: 8", "completions: eight", 1),
        ("mountPath", "mountpath", 1),
        ("restartPolicy: Never", "restartpolicy: Never", 1),
    ] {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", program]).arg(example("kubernetes.yaml")).arg(&schema).args([from, to]);
        assert_eq!(Ran::of(python.output().unwrap()).code, Some(refused), "{to}");
    }
}

/// What the scripts call by its name.
fn with_programs(place: &Place, sbatch: Option<&str>) -> String {
    let programs = place.at("programs");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cofferdam"), programs.join("cofferdam")).unwrap();
    if let Some(sbatch) = sbatch {
        // By a process of its own: a child that another test starts meanwhile would have it open to write until it has become its program,
        // and nobody could run it.
        let write = "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh"]).arg(programs.join("sbatch")).arg(sbatch);
        assert!(shell.status().unwrap().success());
    }
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_script_of_processes_restores() {
    let place = with_identity();
    let path = with_programs(&place, None);
    let run = |arguments: &[&str]| {
        let mut script = Command::new(example("processes.sh"));
        script.args(arguments).current_dir(place.directory()).env("PATH", &path);
        Ran::of(script.output().unwrap())
    };
    run(&["key.txt", "db.cfd", "db", "5"]).assert_done();
    assert_eq!(place.read("db"), place.read("plain"));
    run(&["key.txt", "db.cfd", "other", "3", "a.plan"]).assert_done();
    assert_eq!(place.read("other"), place.read("plain"));
    assert!(place.at("a.plan.committed").exists() && !place.at("other.plan").exists());
    let object = run(&["key.txt", "db.cfd", "s3://restored/db", "5"]);
    assert_ne!(object.code, Some(0));
    assert!(object.stderr.contains("the target is an object"), "{}", object.stderr);
}

/// In place of Slurm, which needs a cluster: each job at once, each task of an array, in an order of its own; a job that depends on one
/// that failed does not run. What the script asks for is checked by that, and what the jobs run is the program.
const SBATCH: &str = r#"#!/bin/bash
set -eu
array= wrap= job=$(($(cat jobs 2>/dev/null || echo 100) + 1)); echo $job >jobs
for option; do case $option in
    --array=0-*) array=${option#--array=0-} ;;
    --dependency=afterok:*) test "$(cat "job-${option##*:}")" = 0 ;;
    --dependency=afterany:*) test -s "job-${option##*:}" ;;
    --wrap=*) wrap=${option#--wrap=} ;;
    --cpus-per-task=[1-9]|--kill-on-invalid-dep=yes|--parsable|--requeue|--job-name=*) ;;
    *) exit 9 ;;
esac; done
code=0
for task in $(seq "${array:-0}" -1 0); do
    SLURM_ARRAY_TASK_ID=$task sh -c "$wrap" >>said 2>&1 || code=$?
done
echo $code >"job-$job"
echo "$job;cluster"
"#;

fn slurm(place: &Place, path: &str, arguments: &[&str]) -> Ran {
    let mut script = Command::new(example("slurm.sh"));
    script.args(arguments).current_dir(place.directory()).env("PATH", path).env_remove("CPUS");
    Ran::of(script.output().unwrap())
}

#[test]
fn the_script_for_slurm_restores() {
    let place = with_identity();
    let path = with_programs(&place, Some(SBATCH));
    slurm(&place, &path, &["key.txt", "db.cfd", "db", "5"]).assert_done();
    let said = place.read("said");
    assert_eq!(place.read("db"), place.read("plain"), "{}", String::from_utf8_lossy(&said));
}

/// A path may have in it what means something to a shell.
#[test]
fn the_script_for_slurm_takes_paths_as_they_are() {
    let place = with_identity();
    let path = with_programs(&place, Some(SBATCH));
    let odd = "it's $HOME";
    fs::create_dir(place.at(odd)).unwrap();
    for name in ["key.txt", "db.cfd"] {
        fs::rename(place.at(name), place.at(odd).join(name)).unwrap();
    }
    let [key, sealed, target] = ["key.txt", "db.cfd", "db"].map(|name| format!("{odd}/{name}"));
    slurm(&place, &path, &[&key, &sealed, &target, "3"]).assert_done();
    let said = place.read("said");
    assert_eq!(place.read(&target), place.read("plain"), "{}", String::from_utf8_lossy(&said));
}

/// A job with an empty path would fail on its node, and nobody would be there to see it.
#[test]
fn the_script_for_slurm_submits_nothing_for_a_path_that_is_not_there() {
    let place = with_identity();
    let path = with_programs(&place, Some(SBATCH));
    for arguments in [
        ["none.txt", "db.cfd", "db", "5"],
        ["none/key.txt", "db.cfd", "db", "5"],
        ["key.txt", "none/db.cfd", "db", "5"],
        ["key.txt", "none.cfd", "db", "5"],
        ["key.txt", "db.cfd", "none/db", "5"],
        // An object has nothing beside it.
        ["key.txt", "db.cfd", "s3://restored/db", "5"],
    ] {
        let ran = slurm(&place, &path, &arguments);
        assert_ne!(ran.code, Some(0), "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
        assert!(!place.at("jobs").exists(), "{arguments:?}");
    }
}

/// What its jobs would run: stores are not for this test.
#[test]
fn the_script_for_slurm_takes_urls_as_they_are() {
    let place = with_identity();
    let recorder = "#!/bin/sh\nfor option; do case $option in --wrap=*) echo \"${option#--wrap=}\" >>wraps;; esac; done; echo 7\n";
    let path = with_programs(&place, Some(recorder));
    slurm(&place, &path, &["key.txt", "s3://backups/db.cfd", "s3://restored/db", "2", "db.plan"])
        .assert_done();
    let directory = place.directory().canonicalize().unwrap();
    let wraps = String::from_utf8(place.read("wraps")).unwrap();
    let restore = format!("cofferdam restore --plan '{}/db.plan'", directory.display());
    let with_key = format!("{restore} -i '{}/key.txt'", directory.display());
    let expected = [
        format!("{with_key} --parts 2 's3://backups/db.cfd' 's3://restored/db'"),
        format!("{with_key} --part $SLURM_ARRAY_TASK_ID"),
        format!("{restore} --commit"),
    ];
    assert_eq!(wraps.lines().collect::<Vec<_>>(), expected);
}

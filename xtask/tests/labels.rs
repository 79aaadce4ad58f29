//! Compares the labels that the sources hash and derive with, with those that FORMAT F1.11 lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FOLDERS: [&str; 5] = ["crates", "framing", "frame-worker", "segment-worker", "sinks"];

/// FORMAT F1.5: the input of every hash and MAC begins with a label, and no two of different meaning with the same.
#[test]
fn every_label_of_the_sources_stands_in_the_list_of_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let format = fs::read_to_string(root.join("docs/FORMAT.md")).expect("FORMAT is there");
    let (_, list) = format.split_once("- **F1.11**").expect("F1.11 is there");
    let (list, _) = list.split_once("\nWords.").expect("F1.11 ends");
    let listed: BTreeSet<String> =
        list.split('⟨').skip(1).filter_map(|text| Some(text.split_once('⟩')?.0.to_owned())).collect();

    let mut used = BTreeSet::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut used);
    }
    assert!(used.len() > 15, "{used:?}");
    assert_eq!(used.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// The labels of all sources under `folder` that are no tests. A label ends with a zero byte.
fn collect(folder: &Path, labels: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !["tests", "target"].contains(&name) {
            collect(&path, labels);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let tails = text.split("\"cofferdam/v1/").skip(1);
            labels.extend(
                tails.filter_map(|tail| Some(tail.split_once('"')?.0.strip_suffix("\\0")?.to_owned())),
            );
        }
    }
}

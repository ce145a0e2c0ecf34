//! Every file of the corpora, through its target.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fedgate_fuzz::TARGETS;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

#[test]
fn both_readings_of_every_file_agree_and_each_target_accepts_some() {
    for (name, target) in TARGETS {
        let files: Vec<_> = std::fs::read_dir(folder(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|file| file.unwrap().path())
            .collect();
        let accepted = files.iter().filter(|file| {
            eprintln!("{}", file.display());
            target(&std::fs::read(file).unwrap())
        });
        let accepted = accepted.count();
        assert!(
            (1..files.len()).contains(&accepted),
            "corpus/{name}: {accepted} of {} accepted",
            files.len()
        );
    }
}

#[test]
fn there_is_a_corpus_for_each_target_and_no_other() {
    let folders = std::fs::read_dir(folder("")).unwrap();
    let folders: BTreeSet<_> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

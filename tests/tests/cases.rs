//! Cases from independent test suites, where the folder with them is there: `TIDEMARK_CASES`, or
//! `../shared/cases` beside the repository.

use std::path::PathBuf;

use tidemark_tests::cases::{run, Outcome};

fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases");
    std::env::var_os("TIDEMARK_CASES").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

#[test]
fn every_case_of_other_test_suites_comes_out_as_there() {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        println!("skipped: there is no folder of cases");
        return;
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let (mut passed, mut failed) = (0_u32, Vec::new());
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a readable file");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for case in document["cases"].as_array().expect("an array `cases`") {
            match run(case) {
                Outcome::Passed => passed += 1,
                Outcome::Skipped(why) => println!("skip {}: {why}", case["id"]),
                Outcome::Failed(difference) => failed.push(format!("{}: {difference}", case["id"])),
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    println!("{passed} passed in {} files", files.len());
    assert!(passed > 0, "no case in {} files", files.len());
}

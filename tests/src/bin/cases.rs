//! `cases FILE.json …`: one line per case, then `N passed, N failed, N skipped`; exit code 1 if any
//! failed.

use std::process::ExitCode;

use tidemark_tests::cases::{run, Outcome};

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: cases FILE.json [FILE.json …]");
        return ExitCode::from(2);
    }
    let (mut passed, mut failed, mut skipped) = (0_u32, 0_u32, 0_u32);
    for file in &files {
        let cases = match read(file) {
            Ok(cases) => cases,
            Err(why) => {
                eprintln!("cases: {file}: {why}");
                return ExitCode::from(2);
            }
        };
        for case in &cases {
            let id = case["id"].as_str().unwrap_or("(no id)");
            match run(case) {
                Outcome::Passed => {
                    passed += 1;
                    println!("ok {id}");
                }
                Outcome::Failed(difference) => {
                    failed += 1;
                    println!("FAIL {id}: {difference}");
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    println!("skip {id}: {why}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

fn read(file: &str) -> Result<Vec<serde_json::Value>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let document: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    document["cases"].as_array().cloned().ok_or_else(|| "it has no array `cases`".into())
}

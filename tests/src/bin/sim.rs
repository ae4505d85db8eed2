//! `sim --seed N [--blocks M] [--seeds K]`: carries out the histories of seeds N to N + K − 1 and
//! prints a line for each; exit code 1 when something does not hold.

use std::process::ExitCode;

use tidemark_tests::sim::{run, Config};

fn main() -> ExitCode {
    let (mut seed, mut blocks, mut seeds) = (1, 300, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seed", Some(value)) => seed = value,
            ("--blocks", Some(value)) => blocks = value,
            ("--seeds", Some(value)) => seeds = value,
            _ => {
                eprintln!("usage: sim --seed N [--blocks M] [--seeds K]");
                return ExitCode::from(2);
            }
        }
    }
    let mut failed = false;
    for seed in seed..seed.saturating_add(seeds) {
        match run(Config::new(seed, blocks)) {
            Ok(summary) => println!("ok seed {seed}: {summary}"),
            Err(failure) => {
                failed = true;
                println!("FAIL {failure}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

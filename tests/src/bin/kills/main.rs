//! `kills [N] [--seed S]`: kills validators at any moment under load, N times, and follows each
//! accepted order. Exit code 1 if one is lost or carried out twice.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tidemark_tests::kills;

const USAGE: &str = "usage: kills [N] [--seed S]";

/// How many kills, and the seed of their moments.
fn parse(mut words: impl Iterator<Item = String>) -> Result<(u32, u64), String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut kills, mut seed) = (200, now.as_secs());
    while let Some(word) = words.next() {
        let wrong = || format!("{word} is not valid; {USAGE}");
        if word == "--seed" {
            seed = words.next().and_then(|seed| seed.parse().ok()).ok_or_else(wrong)?;
        } else {
            kills = word.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(wrong)?;
        }
    }
    Ok((kills, seed))
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = async {
        let (kills, seed) = parse(std::env::args().skip(1))?;
        println!("seed {seed}");
        kills::run(kills, seed).await
    };
    match done.await {
        Ok(outcome) => {
            println!("{outcome:#?}");
            if outcome.holds() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(why) => {
            eprintln!("kills: {why}");
            ExitCode::FAILURE
        }
    }
}

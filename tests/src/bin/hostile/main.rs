//! `hostile`: every attacker at once against four real validators, with honest owners beside. Exit
//! code 1 if honest transactions come late, blocks come slowly, a process takes more memory than
//! its bound, something that was accepted is lost, or a flood is not refused by a code. With
//! `--untimed` what depends on the machine's speed is told and not judged.
#![allow(clippy::float_arithmetic)]

mod attacks;
mod cancels;
mod floods;
mod honest;
mod plan;
mod proposers;
mod run;
mod share;
mod tally;
mod verdict;
mod watch;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: hostile [SECONDS] [--seed N] [--untimed] | hostile --cancels";

/// The longest run, in seconds.
const MAX_SECONDS: u64 = 3_600;

/// The words of the command line.
enum Task {
    Attack { seconds: u64, seed: u64, judges_time: bool },
    Cancels,
}

impl Task {
    fn parse(words: &[String]) -> Result<Self, String> {
        let (mut seconds, mut seed, mut judges_time) = (300, 1, true);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let wrong = || format!("{word} is not valid; {USAGE}");
            match word.as_str() {
                "--cancels" => return Ok(Self::Cancels),
                "--untimed" => judges_time = false,
                "--seed" => {
                    seed = words.next().and_then(|seed| seed.parse().ok()).ok_or_else(wrong)?
                }
                _ => {
                    let value = word.parse().ok().filter(|n| (10..=MAX_SECONDS).contains(n));
                    seconds = value.ok_or_else(wrong)?;
                }
            }
        }
        Ok(Self::Attack { seconds, seed, judges_time })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["busy"] => {
            floods::busy();
            Ok(true)
        }
        // An attacker has one thread.
        ["attack", plan, kind] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let attack = attacks::run(Path::new(plan), kind);
            runtime
                .map_err(|e| e.to_string())
                .and_then(|runtime| runtime.block_on(attack))
                .map(|()| true)
        }
        _ => main_of_run(&words),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("hostile: {why}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn main_of_run(words: &[String]) -> Result<bool, String> {
    match Task::parse(words)? {
        Task::Attack { seconds, seed, judges_time } => run::run(seconds, seed, judges_time).await,
        Task::Cancels => cancels::run().await,
    }
}

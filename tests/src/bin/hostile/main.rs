//! `hostile`: every attacker at once against four real validators, with honest owners beside. Exit
//! code 1 if honest transactions come late, blocks come slowly, a process takes more memory than
//! its bound, something that was accepted is lost, or a flood is not refused by a code. With
//! `--untimed` what depends on the machine's speed is told and not judged; with `--no-allowances`
//! owners may send as many operations as they like.
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

const USAGE: &str =
    "usage: hostile [SECONDS] [--seed N] [--untimed] [--no-allowances] | hostile --cancels";

/// The longest run, in seconds.
const MAX_SECONDS: u64 = 3_600;

/// An attack.
#[derive(Clone, Copy)]
struct Options {
    seconds: u64,
    seed: u64,
    /// Bounds on time count.
    judges_time: bool,
    /// Owners have the allowances that a chain gives them by default.
    has_allowances: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 300, seed: 1, judges_time: true, has_allowances: true }
    }
}

/// The words of the command line.
enum Task {
    Attack(Options),
    Cancels,
}

impl Task {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let wrong = || format!("{word} is not valid; {USAGE}");
            match word.as_str() {
                "--cancels" => return Ok(Self::Cancels),
                "--untimed" => options.judges_time = false,
                "--no-allowances" => options.has_allowances = false,
                "--seed" => {
                    let seed = words.next().and_then(|seed| seed.parse().ok());
                    options.seed = seed.ok_or_else(wrong)?;
                }
                _ => {
                    let value = word.parse().ok().filter(|n| (10..=MAX_SECONDS).contains(n));
                    options.seconds = value.ok_or_else(wrong)?;
                }
            }
        }
        Ok(Self::Attack(options))
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
        Task::Attack(options) => run::run(options).await,
        Task::Cancels => cancels::run().await,
    }
}

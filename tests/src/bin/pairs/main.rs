//! A benchmark of two trees in turns: of a revision and of the tree as it is. A slow minute of the
//! machine meets both.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::float_arithmetic)]

mod figures;
mod tree;

use std::process::ExitCode;

use figures::Figures;
use tree::Tree;

const USAGE: &str = "usage: pairs REV bench-exec|bench-matching|bench-… [options of the benchmark]";

/// Times that each tree is measured.
const TURNS: usize = 5;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("pairs: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let [revision, bench, options @ ..] = words else { return Err(USAGE.to_owned()) };
    let bench = bench.strip_prefix("bench-").unwrap_or(bench);
    let new = Tree::present()?;
    let old = new.check_out(revision)?;
    for tree in [&old, &new] {
        eprintln!("building {}", tree.name);
        tree.build(bench)?;
    }
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        eprintln!("turn {} of {TURNS}", turn + 1);
        // Each goes first in turn: the second finds the machine warmer.
        let (first, second) = if turn % 2 == 0 { (&old, &new) } else { (&new, &old) };
        let (one, other) = (first.measure(bench, options)?, second.measure(bench, options)?);
        let (before, after) = if turn % 2 == 0 { (one, other) } else { (other, one) };
        olds.push(before);
        news.push(after);
    }
    print(revision, &olds, &news);
    Ok(())
}

fn print(revision: &str, olds: &[Figures], news: &[Figures]) {
    println!("| throughput | {revision} | now | median ratio |\n|---|---|---|---:|");
    for name in news[0].keys() {
        let of = |runs: &[Figures]| -> Option<Vec<f64>> {
            runs.iter().map(|figures| figures.get(name).copied()).collect()
        };
        let (Some(old), Some(new)) = (of(olds), of(news)) else {
            println!("| {name} | not measured in both | | |");
            continue;
        };
        let mut ratios: Vec<f64> = old.iter().zip(&new).map(|(old, new)| new / old).collect();
        ratios.sort_by(f64::total_cmp);
        println!("| {name} | {} | {} | {:.3} |", list(&old), list(&new), ratios[TURNS / 2]);
    }
}

fn list(values: &[f64]) -> String {
    let digits = if values.iter().all(|value| *value >= 1_000.0) { 0 } else { 2 };
    values.iter().map(|value| format!("{value:.digits$}")).collect::<Vec<_>>().join(" ")
}

//! `crash-replay [--seed N] [--accounts N] [--insurance USDC] [--keepers USDC] [--seconds N]
//! [--data FILE]`: the recorded crash of 2025-10-10 on a chain full of leverage, under each rule of
//! deleveraging, and with keepers. Prints a table; writes `crash-replay.json` and
//! `crash-replay.svg` under the target folder's `bench`. See docs/crash-replay.md.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use tidemark_proto::params::{AdlOrder, MarketParams};
use tidemark_proto::units::Atoms;
use tidemark_tests::crash::figures::Figures;
use tidemark_tests::crash::{run, Config};

/// Sets a run's rule of deleveraging.
type Change = fn(&mut MarketParams);

/// The rules that are compared, and whether there are keepers.
const VARIANTS: [(&str, Change, bool); 3] = [
    ("ADL pro rata", |_| (), false),
    ("ADL by rank", |params| params.adl_order = AdlOrder::Ranked, false),
    ("ADL pro rata, keepers", |_| (), true),
];

fn main() -> ExitCode {
    let mut config = Config::default();
    let mut keepers_usdc = 2_000_000;
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder =
        std::env::var_os("TIDEMARK_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let mut path = folder.join("replay/crash-2025-10-10.csv.gz");
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_default();
        match (name.as_str(), value.parse::<u64>()) {
            ("--seed", Ok(value)) => config.seed = value,
            ("--accounts", Ok(value)) => config.accounts = value,
            ("--insurance", Ok(value)) => config.insurance_usdc = value,
            ("--keepers", Ok(value)) => keepers_usdc = value,
            ("--seconds", Ok(value)) => config.seconds = value,
            ("--data", _) if !value.is_empty() => path = PathBuf::from(value),
            _ => {
                eprintln!(
                    "usage: crash-replay [--seed N] [--accounts N] [--insurance USDC] [--keepers \
                     USDC] [--seconds N] [--data FILE]"
                );
                return ExitCode::from(2);
            }
        }
    }
    if !path.exists() {
        println!("skipped: there is no recording at {}", path.display());
        return ExitCode::SUCCESS;
    }
    let mut runs = Vec::new();
    for (name, change, has_keepers) in VARIANTS {
        let config = Config { keepers_usdc: if has_keepers { keepers_usdc } else { 0 }, ..config };
        let tell = |second: u64, figures: &Figures| {
            if second % 600 == 0 {
                let closed: Atoms = figures.stages.values().map(|stage| stage.notional_atoms).sum();
                eprintln!(
                    "{name}: minute {}, {} USDC closed",
                    second / 60,
                    closed.get() / Atoms::USDC.get()
                );
            }
        };
        match run(&path, config, change, tell) {
            Ok(figures) => runs.push((name, figures)),
            Err(why) => {
                eprintln!("error: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    report::print(&runs);
    match report::write(config, keepers_usdc, &runs) {
        Ok(paths) => {
            paths.iter().for_each(|path| println!("wrote {}", path.display()));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

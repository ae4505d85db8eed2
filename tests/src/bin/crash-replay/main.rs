//! `crash-replay [--seed N] [--accounts N] [--insurance USDC] [--keepers USDC] [--seconds N]
//! [--data FILE]`: the recorded crash of 2025-10-10 on a chain full of leverage, under each rule of
//! deleveraging, and with keepers. Prints a table; writes `crash-replay.json` and
//! `crash-replay.svg` under the target folder's `bench`.
//!
//! `crash-replay --pairs N [--leverage N]`: so many pairs of one owner on each recorded crash,
//! at each market's highest leverage, at 50x and at the one that is given. Exit code 1 where a pair
//! gains on average at a market's highest leverage.
//!
//! See docs/crash-replay.md.

mod pairs;
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

const USAGE: &str = "usage: crash-replay [--seed N] [--accounts N] [--insurance USDC] [--keepers \
                     USDC] [--seconds N] [--data FILE] | --pairs N [--leverage N]";

/// The command line.
struct Options {
    config: Config,
    keepers_usdc: u64,
    /// The recording of the crash.
    path: PathBuf,
    /// Pairs on each recording, where pairs are asked for.
    pairs: Option<u64>,
    /// One more leverage of the pairs.
    leverage: Option<u32>,
}

/// Where recordings are.
fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    std::env::var_os("TIDEMARK_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

fn options() -> Option<Options> {
    let mut of = Options {
        config: Config::default(),
        keepers_usdc: 2_000_000,
        path: folder().join("replay/crash-2025-10-10.csv.gz"),
        pairs: None,
        leverage: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_default();
        match (name.as_str(), value.parse::<u64>()) {
            ("--seed", Ok(value)) => of.config.seed = value,
            ("--accounts", Ok(value)) => of.config.accounts = value,
            ("--insurance", Ok(value)) => of.config.insurance_usdc = value,
            ("--keepers", Ok(value)) => of.keepers_usdc = value,
            ("--seconds", Ok(value)) => of.config.seconds = value,
            ("--pairs", Ok(value)) => of.pairs = Some(value),
            ("--leverage", Ok(value)) => of.leverage = u32::try_from(value).ok(),
            ("--data", _) if !value.is_empty() => of.path = PathBuf::from(value),
            _ => return None,
        }
    }
    Some(of)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match options.pairs {
        Some(count) => pairs::run(&folder(), count, options.leverage),
        None => replay(&options),
    };
    done.unwrap_or_else(|why| {
        eprintln!("error: {why}");
        ExitCode::FAILURE
    })
}

fn replay(options: &Options) -> Result<ExitCode, String> {
    let Options { config, keepers_usdc, path, .. } = options;
    if !path.exists() {
        println!("skipped: there is no recording at {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut runs = Vec::new();
    for (name, change, has_keepers) in VARIANTS {
        let config =
            Config { keepers_usdc: if has_keepers { *keepers_usdc } else { 0 }, ..*config };
        let tell = |second: u64, figures: &Figures| {
            if second % 600 == 0 {
                let closed: Atoms = figures.stages.values().map(|stage| stage.notional_atoms).sum();
                let closed_usdc = closed.get() / Atoms::USDC.get();
                eprintln!("{name}: minute {}, {closed_usdc} USDC closed", second / 60);
            }
        };
        runs.push((name, run(path, config, change, tell)?));
    }
    report::print(&runs);
    let paths = report::write(*config, *keepers_usdc, &runs)?;
    paths.iter().for_each(|path| println!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

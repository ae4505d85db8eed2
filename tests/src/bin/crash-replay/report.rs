//! The figures, as a table, as JSON and as a picture.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rust_decimal::Decimal;
use tidemark_proto::units::Atoms;
use tidemark_tests::crash::figures::{Figures, CLOSING};
use tidemark_tests::crash::{picture, Config};
use tidemark_tests::net::target_folder;

/// Runs by their names.
type Runs<'a> = [(&'a str, Figures)];

/// Whole USDC, in groups of three digits; below 10 to the cent.
fn usdc(atoms: Atoms) -> String {
    let places = if atoms.unsigned_abs() < 10_000_000 && !atoms.is_zero() { 2 } else { 0 };
    let digits = Decimal::from_i128_with_scale(atoms.get(), 6).round_dp(places).to_string();
    let (whole, cents) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped + cents
}

/// Parts per million as basis points.
pub fn bps(ppm: i128) -> String {
    format!("{} bp", Decimal::from_i128_with_scale(ppm, 2))
}

fn row(name: &str, runs: &Runs<'_>, cell: impl Fn(&Figures) -> String) {
    let cells = runs.iter().map(|(_, figures)| format!(" {} |", cell(figures)));
    println!("| {name} |{}", cells.collect::<String>());
}

/// Prints one table of all runs.
pub fn print(runs: &Runs<'_>) {
    let Some((_, first)) = runs.first() else { return };
    let all: Atoms = first.open_interest_atoms.iter().copied().sum();
    println!(
        "{} accounts with {} USDC, {} USDC of positions on each side; lowest index: {}\n",
        first.accounts,
        usdc(first.collateral_atoms),
        usdc(all),
        first
            .lowest_ppm()
            .iter()
            .map(|(symbol, ppm)| format!("{symbol} {} %", ppm / 10_000))
            .collect::<Vec<_>>()
            .join(", ")
    );
    println!("| |{}", runs.iter().map(|(name, _)| format!(" {name} |")).collect::<String>());
    println!("|---|{}", "---:|".repeat(runs.len()));
    row("blocks with a stale index, over all markets", runs, |of| of.stale_blocks.to_string());
    row("liquidated notional, USDC", runs, |of| {
        usdc(of.stages.values().map(|stage| stage.notional_atoms).sum())
    });
    row("accounts liquidated", runs, |of| of.liquidated_accounts.to_string());
    row("orders pruned", runs, |of| of.orders_pruned.to_string());
    for (_, stage) in CLOSING {
        row(&format!("{stage}: closed, USDC"), runs, |of| usdc(of.stages[stage].notional_atoms));
        row(&format!("{stage}: steps"), runs, |of| of.stages[stage].steps.to_string());
        row(&format!("{stage}: fills against the zero price, mean"), runs, |of| {
            bps(of.stages[stage].mean_ppm())
        });
        row(&format!("{stage}: the same, worst step"), runs, |of| bps(of.stages[stage].worst_ppm));
    }
    print_payers(runs);
    print_traders(runs);
}

/// Who paid, and how much.
fn print_payers(runs: &Runs<'_>) {
    row("keepers: gain, USDC", runs, |of| usdc(of.keepers_gained_atoms));
    row("liquidation fees to the fund, USDC", runs, |of| {
        usdc(of.stages.values().map(|stage| stage.fee_atoms).sum())
    });
    row("insurance fund: start, USDC", runs, |of| usdc(of.insurance_atoms[0]));
    row("insurance fund: lowest, USDC", runs, |of| usdc(of.insurance_atoms[1]));
    row("insurance fund: end, USDC", runs, |of| usdc(of.insurance_atoms[2]));
    row("insurance fund: fills lacked of the zero price, USDC", runs, |of| {
        usdc(of.stages.values().map(|stage| stage.fund_owed_atoms).sum())
    });
    row("insurance fund: paid, debts included, USDC", runs, |of| usdc(of.fund_paid_atoms));
    row("ADL: deficit of the accounts closed, USDC", runs, |of| usdc(of.adl.deficit_atoms));
    row("ADL: haircut of counterparties, USDC", runs, |of| usdc(of.adl.haircut_atoms));
    row("ADL: most that a haircut passed its deficit, atoms", runs, |of| {
        of.adl.most_above_deficit_atoms.to_string()
    });
    row("ADL: counterparties' gain against the mark, USDC", runs, |of| usdc(of.adl.gained_atoms));
    row("ADL: fills", runs, |of| of.adl.fills.to_string());
    row("ADL: counterparties", runs, |of| of.adl.accounts.to_string());
    row("ADL: largest haircut of one account, USDC", runs, |of| usdc(of.adl.largest_atoms));
    row("ADL: part borne by the ten largest", runs, |of| {
        format!("{} %", of.adl.ten_largest_ppm / 10_000)
    });
    row("bad debt booked, USDC", runs, |of| usdc(of.bad_debt_atoms[0]));
    row("bad debt left at the end, USDC", runs, |of| usdc(of.bad_debt_atoms[1]));
}

/// The rest of liquidated traders.
fn print_traders(runs: &Runs<'_>) {
    let leverages: BTreeSet<u64> =
        runs.iter().flat_map(|(_, figures)| figures.rest.keys().copied()).collect();
    for leverage in leverages {
        row(&format!("liquidated traders of {leverage}x: accounts, part left"), runs, |of| {
            let rest = of.rest.get(&leverage).copied().unwrap_or_default();
            format!("{}, {} %", rest.accounts, rest.left_ppm() / 10_000)
        });
    }
}

/// Writes `crash-replay.json` and `crash-replay.svg` under the target folder's `bench`.
pub fn write(config: Config, keepers_usdc: u64, runs: &Runs<'_>) -> Result<[PathBuf; 2], String> {
    let folder = target_folder()?.join("bench");
    let [json, svg] = ["crash-replay.json", "crash-replay.svg"].map(|name| folder.join(name));
    let cannot = |e: std::io::Error| format!("cannot write to {}: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(cannot)?;
    let document = serde_json::json!({
        "seed": config.seed,
        "accounts": config.accounts,
        "insurance_usdc": config.insurance_usdc,
        "keepers_usdc": keepers_usdc,
        "seconds": config.seconds,
        "runs": runs
            .iter()
            .map(|(name, figures)| serde_json::json!({"name": name, "figures": figures}))
            .collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?;
    std::fs::write(&json, text + "\n").map_err(cannot)?;
    let named: Vec<(&str, &Figures)> =
        runs.iter().map(|(name, figures)| (*name, figures)).collect();
    std::fs::write(&svg, picture::svg(&named)).map_err(cannot)?;
    Ok([json, svg])
}

//! Cases from independent test suites, where the folder with them is there: `TIDEMARK_CASES`, or
//! `../shared/cases` beside the repository.

use std::path::PathBuf;

use serde_json::{json, Value};
use tidemark_tests::cases::{run, Outcome};

fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases");
    std::env::var_os("TIDEMARK_CASES").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

/// Cases that come out otherwise, because a rule here is another. There a reduce-only order shows
/// what its owner wishes for, here what it can trade (rules §2.5).
const OTHERWISE: [&str; 2] =
    ["dydx-memclob/TestPlaceOrder_ReduceOnly/6", "dydx-memclob/TestPlaceOrder_ReduceOnly/11"];

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
            let otherwise = OTHERWISE.iter().any(|id| case["id"] == *id);
            match run(case) {
                Outcome::Passed if otherwise => failed.push(format!("{}: as there", case["id"])),
                Outcome::Failed(why) if otherwise => println!("other {}: {why}", case["id"]),
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

/// Prices in 0.000001 with sizes in 0.1 make a tick·lot of a tenth of an atom, which no market may
/// have: the runner counts quote in a finer unit, and every figure stays exact.
#[test]
fn figures_finer_than_an_atom_are_exact() {
    let markets = json!({ "SHIB-USD": {
        "oracle_price": "0.000123", "initial_margin_fraction": "0.2",
        "maintenance_margin_fraction": "0.1",
    } });
    // 10 000.1 lots of 0.000123: 1.2300123, and a tenth of it.
    let long = json!({ "quote_balance": "-1.2", "positions": { "SHIB-USD": "10000.1" } });
    let short = json!({ "quote_balance": "1.2", "positions": { "SHIB-USD": "-10000.1" } });
    let case = json!({
        "kind": "is_liquidatable", "account": long, "markets": markets,
        "expected": {
            "liquidatable": true, "equity": "0.0300123", "total_maintenance_margin": "0.12300123",
        },
    });
    assert_eq!(run(&case), Outcome::Passed);
    let case = json!({
        "kind": "bankruptcy_close", "account": long, "markets": markets,
        "close": { "market": "SHIB-USD", "size_delta": "-0.1" },
        "expected": { "quote_delta": "0.000012", "equity": "0.0300123" },
    });
    assert_eq!(run(&case), Outcome::Passed);
    // Short with 1.2300123 to pay and 1.2 to pay it with: the whole of it goes to the long.
    let case = json!({
        "kind": "deleverage_pair_at_bankruptcy_price", "markets": markets,
        "closing_account": short,
        "counterparty": { "quote_balance": "1", "positions": { "SHIB-USD": "20000.000001" } },
        "close": { "market": "SHIB-USD", "size_delta": "10000.1" },
        "expected": {
            "accepted": true, "transfer_quote_to_closing_account": "-1.2",
            "closing_account_after": { "quote_balance": "0", "positions": {} },
            "counterparty_after": {
                "quote_balance": "2.2", "positions": { "SHIB-USD": "9999.900001" },
            },
        },
    });
    assert_eq!(run(&case), Outcome::Passed);
    let mut wrong = case.clone();
    wrong["expected"]["counterparty_after"]["quote_balance"] = json!("2.2000001");
    assert!(matches!(run(&wrong), Outcome::Failed(_)));
}

#[test]
fn a_pair_is_refused_for_its_size_or_for_its_risk() {
    let case = |size: &str, counterparty: Value, reason: &str| {
        json!({
            "kind": "deleverage_pair_at_bankruptcy_price",
            "markets": { "BTC-USD": { "oracle_price": "50000" } },
            "closing_account": { "quote_balance": "50000", "positions": { "BTC-USD": "-1" } },
            "counterparty": counterparty,
            "close": { "market": "BTC-USD", "size_delta": size },
            "expected": { "accepted": false, "reason": reason },
        })
    };
    let long = |quote: &str| json!({ "quote_balance": quote, "positions": { "BTC-USD": "1" } });
    let short = json!({ "quote_balance": "90000", "positions": { "BTC-USD": "-1" } });
    for (size, counterparty, reason) in [
        ("-1", long("0"), "size_or_side"),
        ("2", long("0"), "size_or_side"),
        ("0", long("0"), "size_or_side"),
        ("1", short, "size_or_side"),
        ("1", json!({ "quote_balance": "1" }), "size_or_side"),
        ("1", long("-50001"), "riskier"),
    ] {
        assert_eq!(run(&case(size, counterparty, reason)), Outcome::Passed, "{size} {reason}");
    }
}

#[test]
fn an_account_is_deleveraged_below_zero_or_at_the_price_of_a_settlement() {
    for (quote, settles, at_bankruptcy, at_oracle) in [
        ("49999", false, true, false),
        ("50000", false, false, false),
        ("50000", true, false, true),
        ("49999", true, true, false),
    ] {
        let case = json!({
            "kind": "deleverage_trigger", "oracle_price": "50000",
            "account": { "quote_balance": quote, "positions": { "BTC-USD": "-1" } },
            "market_in_final_settlement": settles,
            "expected": { "at_bankruptcy_price": at_bankruptcy, "at_oracle_price": at_oracle },
        });
        assert_eq!(run(&case), Outcome::Passed, "{quote} {settles}");
    }
}

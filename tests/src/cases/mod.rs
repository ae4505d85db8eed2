//! Runs figures from independent test suites through the production functions of `matching`, `risk`
//! and `oracle`.
//!
//! A file has `cases`; each has an `id` and a `kind`. Numbers are decimal strings in plain units;
//! every runner picks tick, lot and `k` so that each figure of its case is exact in the engine's
//! integers.

mod deleveraging;
mod funding;
mod liquidation;
mod matching;
mod oracle;
mod world;

use serde_json::Value;

/// Outcome of one case.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Figure that was expected, and the one that came.
    Failed(String),
    /// A kind that the runner does not know.
    Skipped(String),
}

/// Runs one case by its kind.
#[must_use]
pub fn run(case: &Value) -> Outcome {
    let kind = case["kind"].as_str().unwrap_or_default();
    let result = match kind {
        "matching" => matching::run(case),
        "bankruptcy_close" => liquidation::bankruptcy_close(case),
        "liquidation_fee_or_fund_payment" => liquidation::fee_or_fund_payment(case),
        "is_liquidatable" => liquidation::is_liquidatable(case),
        "margin_requirement" => liquidation::margin_requirement(case),
        "liquidation_price" => liquidation::liquidation_price(case),
        "deleverage_trigger" => deleveraging::trigger(case),
        "deleverage_pair_at_bankruptcy_price" => deleveraging::pair(case),
        "deleverage_across_accounts" => deleveraging::across_accounts(case),
        "insurance_fund_can_cover" => deleveraging::fund_can_cover(case),
        "premium_from_book" => funding::premium_from_book(case),
        "settlement" => funding::settlement(case),
        "payment_by_position" => funding::payment_by_position(case),
        "rate_premium_plus_clamped_interest" => funding::rate(case),
        "weighted_median" => oracle::weighted_median(case),
        "stake_weighted_median_with_quorum" => oracle::weighted_median_with_quorum(case),
        other => return Outcome::Skipped(format!("unknown kind {other:?}")),
    };
    match result {
        Ok(()) => Outcome::Passed,
        Err(difference) => Outcome::Failed(difference),
    }
}

/// `Err("expected …, got …")` when the two differ.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("expected {what} {expected:?}, got {got:?}"))
}

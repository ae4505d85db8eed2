//! The summary of a devnet, at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{json, Value};
use tidemark_client::format::{grouped, money};
use tidemark_client::usdc;

use super::board::Board;
use super::setup::Setup;

/// The result of a run.
pub struct Summary {
    document: Value,
    text: String,
    /// Why the run was no success; empty when it was.
    pub problems: Vec<String>,
}

impl Summary {
    /// From the board after `elapsed` of trading. `failure` is what ended it before its time.
    #[must_use]
    pub fn new(board: &Board, setup: &Setup, elapsed: Duration, failure: Option<String>) -> Self {
        let problems = problems(board, setup.replay, elapsed, failure);
        let seconds = Decimal::new(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX), 3);
        let validators = setup.nodes().len();
        let document = document(board, validators, seconds, &problems);
        let text = text(board, validators, seconds, &problems);
        Self { document, text, problems }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.document
    }
}

/// A count per second, with one decimal.
fn rate(count: u64, seconds: Decimal) -> Decimal {
    Decimal::from(count).checked_div(seconds).unwrap_or_default().round_dp(1)
}

/// A span in seconds, with one decimal.
fn seconds_of(span: Duration) -> Decimal {
    Decimal::new(i64::try_from(span.as_millis()).unwrap_or(i64::MAX), 3).round_dp(1)
}

/// From the start of trading to the last trade.
fn last_trade(board: &Board) -> Option<Duration> {
    Some(board.last_trade?.saturating_duration_since(board.started?))
}

fn document(board: &Board, validators: usize, seconds: Decimal, problems: &[String]) -> Value {
    let refused: u64 = board.orders.refused.values().sum();
    json!({
        "ok": problems.is_empty(),
        "problems": problems,
        "chain_id": board.chain_id,
        "validators": validators,
        "feed": board.feed,
        "seconds": seconds,
        "height": board.height,
        "blocks": board.blocks,
        "blocks_per_second": rate(board.blocks, seconds),
        "operations": board.orders.sent,
        "operations_refused": refused,
        "operations_refused_by_code": board.orders.refused,
        "operations_unknown": board.orders.unknown,
        "trades": board.trades,
        "last_trade_second": last_trade(board).map(seconds_of),
        "liquidations": board.closing_steps(),
        "liquidations_by_stage": board.liquidations,
        "insurance_fund_paid": usdc(board.fund_paid_atoms.get()),
        "app_hashes_equal": board.hashes.parted.is_none(),
        "heights_compared": board.hashes.equal,
    })
}

fn text(board: &Board, validators: usize, seconds: Decimal, problems: &[String]) -> String {
    let refused: u64 = board.orders.refused.values().sum();
    let hashes = match &board.hashes.parted {
        None => format!("equal on {validators} node(s) at {} heights", board.hashes.equal),
        Some(sentence) => sentence.clone(),
    };
    let mut text = format!(
        "\nSummary of {} s with {validators} validator(s), prices {}\n\
         blocks        {} ({} a second)\n\
         operations    {} sent, {} a second\n\
         refused       {}\n\
         trades        {}{}\n\
         liquidations  {}; the insurance fund paid {} USDC\n\
         app hashes    {hashes}\n",
        seconds.round_dp(0),
        board.feed,
        board.blocks,
        rate(board.blocks, seconds),
        grouped(Decimal::from(board.orders.sent), 0),
        rate(board.orders.sent, seconds),
        count_with_parts(refused, &board.orders.refused),
        grouped(Decimal::from(board.trades), 0),
        last_trade(board)
            .map(|last| format!(", the last at second {}", seconds_of(last)))
            .unwrap_or_default(),
        count_with_parts(board.closing_steps(), &board.liquidations),
        money(board.fund_paid_atoms.get()),
    );
    if board.orders.unknown > 0 {
        text +=
            &format!("unknown       {} operations without a known outcome\n", board.orders.unknown);
    }
    let problems: Vec<_> = problems.iter().map(|why| format!("PROBLEM: {why}")).collect();
    text += match problems.join("\n").as_str() {
        "" => "ok",
        problems => problems,
    };
    text
}

/// `12 (REDUCE_ONLY 4, RATE_LIMITED 8)`
fn count_with_parts(count: u64, parts: &BTreeMap<&str, u64>) -> String {
    let count = grouped(Decimal::from(count), 0);
    let parts: Vec<_> = parts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    match parts.join(", ").as_str() {
        "" => count,
        parts => format!("{count} ({parts})"),
    }
}

/// The first fall of made-up prices is over this long after the start; a shorter run shows none.
const SCRIPT_SHOWS: Duration = Duration::from_secs(25);
/// A shorter run may have seen no trade.
const TRADERS_SHOW: Duration = Duration::from_secs(5);
/// Traders that send get a transaction into a block more often than this: makers quote anew twice a
/// second.
const SILENT: Duration = Duration::from_secs(5);

fn problems(
    board: &Board,
    replay: bool,
    elapsed: Duration,
    failure: Option<String>,
) -> Vec<String> {
    let mut problems: Vec<String> = failure.into_iter().collect();
    problems.extend(board.hashes.parted.clone());
    if board.hashes.equal == 0 {
        problems.push("no block was reported by all nodes".to_owned());
    }
    if board.trades == 0 && elapsed >= TRADERS_SHOW {
        problems.push("nothing traded".to_owned());
    }
    problems.extend(silence(board, elapsed));
    if !replay && board.closing_steps() == 0 && elapsed >= SCRIPT_SHOWS {
        problems.push("nothing was liquidated, although prices fell by the script".to_owned());
    }
    problems
}

/// A chain that goes on without its traders: it was well once, and is not at the end.
fn silence(board: &Board, elapsed: Duration) -> Option<String> {
    let start = board.started?;
    let silence = board.traffic.silence(start, start + elapsed)?;
    let nothing_traded = match last_trade(board) {
        Some(last) => format!("nothing was traded since second {}", seconds_of(last)),
        None => "nothing was traded at all".to_owned(),
    };
    (silence >= SILENT).then(|| {
        format!(
            "no transaction of a demo trader came into a block since second {}, {} s before the \
             end, though they sent; {nothing_traded}",
            seconds_of(elapsed.saturating_sub(silence)),
            seconds_of(silence),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use tidemark_client::Markets;

    #[test]
    fn a_run_is_a_failure_only_for_what_it_was_long_enough_to_show() {
        let mut board = Board::new(&Default::default(), Markets::default());
        board.started = Some(std::time::Instant::now());
        board.hashes = crate::board::Hashes::new(1);
        let count = |board: &Board, replay, seconds| {
            problems(board, replay, Duration::from_secs(seconds), None).len()
        };
        assert_eq!(count(&board, false, 3), 1, "no block");
        board.hashes.report(0, 1, vec![1]);
        assert_eq!(count(&board, false, 3), 0);
        assert_eq!(count(&board, false, 10), 1, "no trade");
        board.trade(None);
        assert_eq!(count(&board, false, 60), 1, "no liquidation");
        assert_eq!(count(&board, true, 60), 0);
        board.liquidation(&Default::default(), "prune", None);
        assert_eq!(count(&board, false, 60), 1, "cancelling orders closes nothing");
        board.liquidation(&Default::default(), "book", None);
        assert_eq!(count(&board, false, 60), 0);
        let failed =
            problems(&board, false, Duration::from_secs(60), Some("node 1 stopped".to_owned()));
        assert_eq!(failed, ["node 1 stopped"]);
    }

    /// The chain that N1 of a hostile reading left: blocks go on, and hold nothing of the traders.
    #[test]
    fn a_chain_that_went_silent_half_way_is_a_failure_however_much_was_traded_before() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut board = Board::new(&Default::default(), Markets::default());
        board.started = Some(start);
        board.hashes = crate::board::Hashes::new(1);
        board.hashes.report(0, 1, vec![1]);
        board.liquidation(&Default::default(), "book", None);
        board.trade(None);
        board.last_trade = Some(at(25));
        board.traffic.send();
        board.traffic.settle(Some(at(26)));
        let verdict =
            |board: &Board, seconds| problems(board, false, Duration::from_secs(seconds), None);
        assert_eq!(verdict(&board, 60), [""; 0], "nobody sends");
        board.traffic.send();
        assert_eq!(verdict(&board, 30), [""; 0], "four seconds are no silence");
        assert_eq!(
            verdict(&board, 60),
            ["no transaction of a demo trader came into a block since second 26.0, 34.0 s before \
                 the end, though they sent; nothing was traded since second 25.0"]
        );
        board.traffic.settle(None);
        assert_eq!(verdict(&board, 60).len(), 1, "it came into no block");
        board.traffic.send();
        board.traffic.settle(Some(at(59)));
        board.traffic.send();
        assert_eq!(verdict(&board, 60), [""; 0], "the chain takes transactions again");

        let summary = text(&board, 1, Decimal::from(60), &[]);
        assert!(summary.contains("trades        1, the last at second 25.0\n"), "{summary}");
        let document = document(&board, 1, Decimal::from(60), &[]);
        assert_eq!(document["last_trade_second"], json!("25.0"));
    }
}

//! Sentences that are always true of the engine, and the end of a market for which one is not
//! (rules §8.5).
//!
//! A broken invariant is a fault of the engine itself, never of a transaction. A build with debug
//! assertions panics with the sentence. A release build quarantines the market with the kind of
//! failure, reports the sentence as a violation of the block, and the chain goes on with the other
//! markets. Tests,
//! simulation and fuzzing fail at any violation, so that they stop at the same block in a release
//! build. A Cargo feature would not do: whoever builds the node together with the test package
//! would turn it on in the node.

use tidemark_proto::units::{AccountId, MarketId};

use crate::refusal::Refusal;
use crate::state::{Failure, MarketCell, State};

/// True where a broken invariant panics.
const STRICT: bool = cfg!(any(test, debug_assertions));

/// Ends a market whose invariant is broken: `invariant!(state, market, Failure, "sentence")` for a
/// branch that cannot be reached, `invariant!(state, market, Failure, condition, "sentence")` for a
/// condition that always holds.
macro_rules! invariant {
    ($state:expr, $market:expr, $failure:ident, $sentence:literal $(, $value:expr)* $(,)?) => {
        $crate::invariant::broken(
            $state,
            $market,
            $crate::state::Failure::$failure,
            format!($sentence $(, $value)*),
        )
    };
    (
        $state:expr, $market:expr, $failure:ident, $holds:expr, $sentence:literal
        $(, $value:expr)* $(,)?
    ) => {
        if !$holds {
            $crate::invariant::invariant!($state, $market, $failure, $sentence $(, $value)*);
        }
    };
}
pub(crate) use invariant;

/// Reports a broken invariant of a market.
#[cold]
pub(crate) fn broken(state: &mut State, market: MarketId, failure: Failure, sentence: String) {
    let cell = &mut state.markets.slot_mut(market).cell;
    broken_in(cell, &mut state.derived.violations, failure, sentence);
}

/// Reports a broken invariant of a market whose state is borrowed in parts.
#[cold]
pub(crate) fn broken_in(
    cell: &mut MarketCell,
    violations: &mut Vec<String>,
    failure: Failure,
    sentence: String,
) {
    stop_if_strict(&sentence);
    quarantine(cell, violations, failure, &sentence);
}

/// Reports a broken invariant of an account: each market in which it has a position is
/// quarantined.
#[cold]
pub(crate) fn broken_account(
    state: &mut State,
    account: AccountId,
    failure: Failure,
    sentence: String,
) {
    stop_if_strict(&sentence);
    quarantine_account(state, account, failure, &sentence);
}

/// Reports a refusal that is for a broken invariant, before it becomes the result of an operation:
/// in its market where it names one, else in those of the account.
pub(crate) fn report(
    state: &mut State,
    account: AccountId,
    market: Option<MarketId>,
    refusal: &Refusal,
) {
    let Some(statement) = refusal.broken_invariant() else { return };
    match market.filter(|market| market.index() < state.markets.len()) {
        Some(market) => broken(state, market, Failure::Operation, statement.to_string()),
        None => broken_account(state, account, Failure::Operation, statement.to_string()),
    }
}

/// Panics with the sentence of a broken invariant in a build with debug assertions.
fn stop_if_strict(sentence: &str) {
    if STRICT {
        panic!("{sentence}");
    }
}

/// Stops a market and reports why.
fn quarantine(
    cell: &mut MarketCell,
    violations: &mut Vec<String>,
    failure: Failure,
    sentence: &str,
) {
    violations.push(format!("{}: {sentence}", cell.market.params.symbol));
    stop(cell, failure);
}

/// Stops every market in which an account has a position. The report is one sentence, which names
/// these markets: one failure counts once, however many markets it stops.
fn quarantine_account(state: &mut State, account: AccountId, failure: Failure, sentence: &str) {
    let positions = state.accounts.get(account).map(|row| row.positions.clone());
    let mut stopped = Vec::new();
    for position in positions.into_iter().flatten().filter(|position| !position.lots.is_zero()) {
        let cell = &mut state.markets.slot_mut(position.market).cell;
        stop(cell, failure);
        stopped.push(cell.market.params.symbol.clone());
    }
    let where_to = if stopped.is_empty() { "no market".to_owned() } else { stopped.join(", ") };
    state.derived.violations.push(format!("{sentence}; quarantined: {where_to}"));
}

/// Stops a market for a reason, unless it has stopped for another before; its positions and orders
/// stay as they are, and cancels go on.
fn stop(cell: &mut MarketCell, failure: Failure) {
    cell.quarantine_lift_requested = false;
    cell.quarantined.get_or_insert(failure);
}

#[cfg(test)]
pub(crate) mod tests {
    use tidemark_proto::params::{ChainParams, MarketParams};
    use tidemark_proto::types::Address;
    use tidemark_proto::units::{SignedLots, TimeMs};

    use super::*;
    use crate::exec::{execute, Block};
    use crate::genesis::Genesis;

    pub(crate) fn two_markets() -> State {
        let market = |symbol: &str| MarketParams::with_defaults(symbol, 100_000_000, 100_000, 50);
        let genesis = Genesis {
            params: ChainParams::default(),
            markets: vec![market("AAA-USD"), market("BBB-USD")],
            admin: Address([1; 20]).to_string(),
            minters: Vec::new(),
            insurance_atoms: 0,
        };
        State::genesis(&genesis, "test", TimeMs::ZERO, Vec::new()).unwrap()
    }

    #[test]
    #[should_panic(expected = "account 7 has lots twice")]
    fn a_broken_invariant_panics_with_its_sentence() {
        let mut state = two_markets();
        let account = 7;
        let market = MarketId::ZERO;
        invariant!(&mut state, market, Margin, account != 7, "account {} has lots twice", account);
    }

    #[test]
    fn in_a_release_a_broken_invariant_stops_its_market_and_no_other() {
        let mut state = two_markets();
        let cell = &mut state.markets.slot_mut(MarketId::ZERO).cell;
        quarantine(cell, &mut state.derived.violations, Failure::Funding, "planted");
        let block = Block {
            height: 1,
            time_ms: TimeMs::new(1_000),
            hash: [1; 32],
            proposer: [0; 20],
            ballots: Vec::new(),
            txs: Vec::new(),
        };
        let events = execute(&mut state, &block, &mut |_| {});
        assert_eq!(events.violations, ["AAA-USD: planted"]);
        let reason = state.markets.slot(MarketId::ZERO).cell.quarantined;
        assert_eq!(reason, Some(Failure::Funding), "the state keeps a number");
        assert!(!state.markets.slot(MarketId::ZERO).cell.is_live());
        assert!(state.markets.slot(MarketId::new(1)).cell.is_live());
        let next = Block { height: 2, time_ms: TimeMs::new(2_000), ..block };
        let events = execute(&mut state, &next, &mut |_| {});
        assert_eq!(events.violations, Vec::<String>::new(), "a violation is reported once");
        assert!(!state.markets.slot(MarketId::ZERO).cell.is_live(), "the quarantine stays");
    }

    #[test]
    fn in_a_release_a_failure_of_an_account_is_one_sentence_however_many_markets_it_stops() {
        let mut state = two_markets();
        let owner = state.ensure_owner(Address([2; 20])).unwrap();
        let account = state.ensure_account(owner, 0).unwrap();
        for market in [MarketId::ZERO, MarketId::new(1)] {
            let row = state.accounts.get_mut(account).unwrap();
            row.position_mut(market).lots = SignedLots::new(1);
        }
        quarantine_account(&mut state, account, Failure::Margin, "planted");
        assert_eq!(state.derived.violations, ["planted; quarantined: AAA-USD, BBB-USD"]);
        assert!(state.markets.cells().all(|cell| cell.quarantined == Some(Failure::Margin)));
        state.derived.violations.clear();
        let without_position = state.ensure_account(owner, 1).unwrap();
        quarantine_account(&mut state, without_position, Failure::Switch, "another");
        assert_eq!(state.derived.violations, ["another; quarantined: no market"]);
    }
}

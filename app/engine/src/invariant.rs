//! Sentences that are always true of the engine, and the end of a market for which one is not
//! (rules §8.5).
//!
//! A broken invariant is a fault of the engine itself, never of a transaction. A build with debug
//! assertions panics with the sentence. A release build quarantines the market with the sentence
//! and reports a violation of the block, and the chain goes on with the other markets. Tests,
//! simulation and fuzzing fail at any violation, so that they stop at the same block in a release
//! build. A Cargo feature would not do: whoever builds the node together with the test package
//! would turn it on in the node.

use tidemark_proto::units::{AccountId, MarketId};

use crate::refusal::Refusal;
use crate::state::{MarketCell, State};

/// True where a broken invariant panics.
const STRICT: bool = cfg!(any(test, debug_assertions));

/// Ends a market whose invariant is broken: `invariant!(state, market, "sentence")` for a branch
/// that cannot be reached, `invariant!(state, market, condition, "sentence")` for a condition that
/// always holds.
macro_rules! invariant {
    ($state:expr, $market:expr, $sentence:literal $(, $value:expr)* $(,)?) => {
        $crate::invariant::broken($state, $market, format!($sentence $(, $value)*))
    };
    ($state:expr, $market:expr, $holds:expr, $sentence:literal $(, $value:expr)* $(,)?) => {
        if !$holds {
            $crate::invariant::broken($state, $market, format!($sentence $(, $value)*));
        }
    };
}
pub(crate) use invariant;

/// Reports a broken invariant of a market.
#[cold]
pub(crate) fn broken(state: &mut State, market: MarketId, sentence: String) {
    let cell = &mut state.markets.slot_mut(market).cell;
    broken_in(cell, &mut state.derived.violations, sentence);
}

/// Reports a broken invariant of a market whose state is borrowed in parts.
#[cold]
pub(crate) fn broken_in(cell: &mut MarketCell, violations: &mut Vec<String>, sentence: String) {
    stop_if_strict(&sentence);
    quarantine(cell, violations, sentence);
}

/// Reports a broken invariant of an account: each market in which it has a position is
/// quarantined.
#[cold]
pub(crate) fn broken_account(state: &mut State, account: AccountId, sentence: String) {
    stop_if_strict(&sentence);
    let positions = state.accounts.get(account).map(|row| row.positions.clone());
    for position in positions.into_iter().flatten().filter(|position| !position.lots.is_zero()) {
        let cell = &mut state.markets.slot_mut(position.market).cell;
        quarantine(cell, &mut state.derived.violations, sentence.clone());
    }
    state.derived.violations.push(sentence);
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
        Some(market) => broken(state, market, statement.to_string()),
        None => broken_account(state, account, statement.to_string()),
    }
}

/// Panics with the sentence of a broken invariant in a build with debug assertions.
fn stop_if_strict(sentence: &str) {
    if STRICT {
        panic!("{sentence}");
    }
}

/// Stops a market; its positions and orders stay as they are, and cancels go on.
fn quarantine(cell: &mut MarketCell, violations: &mut Vec<String>, sentence: String) {
    violations.push(format!("{}: {sentence}", cell.market.params.symbol));
    cell.quarantine_lift_requested = false;
    cell.quarantined.get_or_insert(sentence);
}

#[cfg(test)]
pub(crate) mod tests {
    use tidemark_proto::params::{ChainParams, MarketParams};
    use tidemark_proto::types::Address;
    use tidemark_proto::units::TimeMs;

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
        invariant!(&mut state, MarketId::ZERO, account != 7, "account {} has lots twice", account);
    }

    #[test]
    fn in_a_release_a_broken_invariant_stops_its_market_and_no_other() {
        let mut state = two_markets();
        let cell = &mut state.markets.slot_mut(MarketId::ZERO).cell;
        quarantine(cell, &mut state.derived.violations, "planted".into());
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
        assert_eq!(state.markets.slot(MarketId::ZERO).cell.quarantined.as_deref(), Some("planted"));
        assert!(!state.markets.slot(MarketId::ZERO).cell.is_live());
        assert!(state.markets.slot(MarketId::new(1)).cell.is_live());
        let next = Block { height: 2, time_ms: TimeMs::new(2_000), ..block };
        let events = execute(&mut state, &next, &mut |_| {});
        assert_eq!(events.violations, Vec::<String>::new(), "a violation is reported once");
        assert!(!state.markets.slot(MarketId::ZERO).cell.is_live(), "the quarantine stays");
    }
}

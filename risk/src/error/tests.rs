use super::*;

/// Every error with its code and its sentence: both are part of a transaction's result.
#[test]
fn codes_and_sentences_are_those_of_results() {
    let cases = [
        (RiskError::UnknownMarket(MarketId::new(7)), "UNKNOWN_MARKET: market 7 does not exist"),
        (
            RiskError::NoMark { symbol: "BTC-USD".into() },
            "STALE_INDEX: market BTC-USD has no mark price yet",
        ),
        (RiskError::Overflow("notional"), "OVERFLOW: notional is beyond 127 bits"),
        (RiskError::Invariant("longs are shorts"), "INVARIANT_BROKEN: longs are shorts"),
        (
            RiskError::DoesNotReduce {
                delta_lots: SignedLots::new(2),
                held_lots: SignedLots::new(1),
            },
            "WOULD_INCREASE: a change of 2 lots does not close any part of a position of 1",
        ),
        (RiskError::NoLots, "INVALID_ARGUMENT: a zero price needs at least one lot"),
        (
            RiskError::PositionOpen,
            "INVALID_ARGUMENT: debt is settled after the last position is closed",
        ),
        (
            RiskError::Riskier(Party::Closing),
            "INSUFFICIENT_COLLATERAL: the closing account would end riskier",
        ),
        (
            RiskError::Riskier(Party::Counterparty),
            "INSUFFICIENT_COLLATERAL: the counterparty would end riskier",
        ),
        (
            RiskError::TakeoverUncovered {
                used_atoms: Atoms::new(3),
                set_aside_atoms: Atoms::new(2),
                free_atoms: Atoms::new(1),
            },
            "INSUFFICIENT_COLLATERAL: a takeover needs 3 atoms, 2 are set aside, 1 are free",
        ),
    ];
    for (error, sentence) in cases {
        assert_eq!(Refusal::from(error).to_string(), sentence);
    }
}

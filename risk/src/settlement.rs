//! Final settlement of a market that is closed for good (rules §7.11).

use tidemark_proto::units::Atoms;

/// Returns true if a final settlement closes an account's positions at the settlement price: the
/// account can pay. An account with equity below 0 is deleveraged at its bankruptcy price instead.
#[must_use]
pub const fn closes_at_settlement_price(equity_atoms: Atoms) -> bool {
    !equity_atoms.is_negative()
}

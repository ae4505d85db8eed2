//! Keys of the lists of bounds: an account's place in one of a market's lists.

use tidemark_proto::units::MarketId;

/// Quantity that a bound limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Axis {
    /// The mark from below.
    Low = 0,
    /// The mark from above.
    High = 1,
    /// Nothing: the account is in the market, and has no bound there now.
    None = 2,
}

pub(super) const AXES: [Axis; 2] = [Axis::Low, Axis::High];

/// An account's entry in one of a market's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub market: MarketId,
    pub axis: Axis,
    pub key: i64,
}

/// Into 64 bits. A level that does not fit is below, a key that does not fit above all others: it
/// counts as crossed.
pub(super) fn level(value: i128) -> i64 {
    i64::try_from(value.clamp(i128::from(i64::MIN), i128::from(i64::MAX - 1))).unwrap_or(i64::MIN)
}

pub(super) fn key(value: i128) -> i64 {
    i64::try_from(value.clamp(i128::from(i64::MIN + 1), i128::from(i64::MAX))).unwrap_or(i64::MAX)
}

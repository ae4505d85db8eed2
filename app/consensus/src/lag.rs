//! Blocks whose time lies behind this node's clock: nobody is to trade on the prices of before a
//! halt (rules §4.7, ADR 27).

/// A block whose time lies further back than this takes no transactions from this proposer.
pub const LEAVES_OUT_MS: u64 = 30_000;

/// A block with transactions whose time lies further back than this is refused for a while.
pub const REFUSES_MS: u64 = 60_000;

/// How long after the first such refusal of a height there are others.
pub const LAPSES_AFTER_MS: u64 = 30_000;

/// This node's refusals of transactions in blocks that lie behind its clock. They lapse: two
/// validators that are locked on such a block and two that refuse the block would else never agree
/// on any other.
#[derive(Debug, Default)]
pub struct LagRefusals {
    first: Option<Refusal>,
}

/// The first refusal of a height.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    height: u64,
    steady_ms: u64,
}

impl LagRefusals {
    /// Says if a block with transactions, whose time lies `behind_ms` behind this node's clock, is
    /// refused now. Only blocks that are right in all else may be asked about, so that nobody has
    /// the refusals of a height lapse with blocks that could not stand.
    pub fn refuses(&mut self, height: u64, behind_ms: u64, steady_ms: u64) -> bool {
        if behind_ms <= REFUSES_MS {
            return false;
        }
        let now = Refusal { height, steady_ms };
        let first = *self.first.insert(self.first.filter(|it| it.height == height).unwrap_or(now));
        steady_ms.saturating_sub(first.steady_ms) < LAPSES_AFTER_MS
    }
}

#[cfg(test)]
mod tests;

//! The gas of the checks that a batch passes before any part of it is carried out.

use tidemark_proto::types::gas::shares;
use tidemark_proto::types::Operation;

use crate::exec::meter::Meter;

/// Gas of the checks of a batch: at most half of what the batch has, so that at least as much is
/// left to carry it out.
pub(crate) struct Purse {
    pub meter: Meter,
    /// Each operation's part of a quarter of the gas.
    quarters: Vec<u64>,
}

impl Purse {
    /// The checks' part of so much gas of these operations.
    pub(crate) fn of(operations: &[Operation], beyond: u64) -> Self {
        Self { meter: Meter::of(beyond / 2), quarters: shares(operations, beyond / 4) }
    }

    /// The checks' part of so much gas of one operation.
    pub(crate) fn of_one(beyond: u64) -> Self {
        Self { meter: Meter::of(beyond / 2), quarters: vec![beyond / 4] }
    }

    /// Makers that may be looked at for the fill-or-kill order of an operation: at least twice as
    /// many are left for it then, for the look before the trade and for the trade.
    pub(crate) fn makers(&self, at: usize) -> u32 {
        let quarter = Meter::of(self.quarters.get(at).copied().unwrap_or(0));
        [quarter.makers(), self.meter.makers()].into_iter().flatten().min().unwrap_or(0)
    }
}

//! What iceberg orders have besides the lots they show. By slot, in a map: orders that show all of themselves cost nothing
//! here.

use std::collections::BTreeMap;

use tidemark_proto::units::{Lots, Side};

use crate::memory::map_bytes;

/// The part of an iceberg order that is not in its level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Iceberg {
    /// Most lots shown at a time; at least 1, or 0 for an order that shows all of itself.
    pub(crate) display_lots: Lots,
    /// Unfilled lots that are not shown.
    pub(crate) hidden_lots: Lots,
}

impl Iceberg {
    /// Splits `lots` into those that are shown, at most `display_lots` (0: all), and the rest.
    pub(crate) fn split(display_lots: Lots, lots: Lots) -> (Lots, Self) {
        let shown = if display_lots == 0 { lots } else { lots.min(display_lots) };
        (shown, Self { display_lots, hidden_lots: lots - shown })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Icebergs {
    by_slot: BTreeMap<u32, Iceberg>,
    /// By side: sum of hidden lots. Admission keeps it, with any level's lots, below 2⁶⁴, so a refill always fits.
    hidden_lots: [Lots; 2],
}

impl Icebergs {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    pub(crate) const fn hidden_lots(&self, side: Side) -> Lots {
        self.hidden_lots[side as usize]
    }

    /// The hidden part of the order in `slot`; nothing, and 0 to display, for one that is no iceberg.
    pub(crate) fn get(&self, slot: u32) -> Iceberg {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    /// Enters the order in `slot`, or changes it.
    pub(crate) fn set(&mut self, slot: u32, side: Side, iceberg: Iceberg) {
        let old = self.by_slot.insert(slot, iceberg).unwrap_or_default();
        let sum = &mut self.hidden_lots[side as usize];
        *sum = *sum - old.hidden_lots + iceberg.hidden_lots;
    }

    pub(crate) fn remove(&mut self, slot: u32, side: Side) {
        let old = self.by_slot.remove(&slot).unwrap_or_default();
        self.hidden_lots[side as usize] -= old.hidden_lots;
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        map_bytes(self.by_slot.len(), size_of::<(u32, Iceberg)>())
    }
}

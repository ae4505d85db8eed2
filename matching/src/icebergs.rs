//! Hidden lots of iceberg orders (rules §2.10), in maps by slot: orders that show all their lots
//! cost nothing here.

use std::collections::BTreeMap;

use tidemark_proto::units::{Lots, Side};

use crate::bounded::{self, checked};
use crate::memory::map_bytes;

/// The hidden part of an iceberg order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Iceberg {
    /// Most lots that the order shows at a time; 0 for an order that shows all.
    pub(crate) display_lots: Lots,
    /// Unfilled lots that the level does not show.
    pub(crate) hidden_lots: Lots,
}

impl Iceberg {
    /// Splits `lots` into the lots that are shown, at most `display_lots` (0: all), and the iceberg
    /// part.
    #[inline]
    pub(crate) fn split(display_lots: Lots, lots: Lots) -> (Lots, Self) {
        let shown = if display_lots.is_zero() { lots } else { lots.min(display_lots) };
        (shown, Self { display_lots, hidden_lots: bounded::sub(lots, shown) })
    }
}

/// Side and key of a level.
pub(crate) type LevelKey = (Side, u64);

#[derive(Clone, Debug, Default)]
pub(crate) struct Icebergs {
    by_slot: BTreeMap<u32, (LevelKey, Iceberg)>,
    /// Sum of the hidden lots of each level that has any. Admission keeps that sum plus the level's
    /// shown lots below 2⁶⁴, so a refill always fits.
    hidden_lots: BTreeMap<LevelKey, Lots>,
}

impl Icebergs {
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Returns the hidden lots of a level.
    #[inline]
    pub(crate) fn hidden_lots(&self, level_key: LevelKey) -> Lots {
        if self.hidden_lots.is_empty() {
            return Lots::ZERO;
        }
        self.find_hidden_lots(level_key)
    }

    // Not inlined, like every search in a map in this crate: a call leaves the caller its
    // registers, an inlined search does not.
    #[inline(never)]
    fn find_hidden_lots(&self, level_key: LevelKey) -> Lots {
        self.hidden_lots.get(&level_key).copied().unwrap_or_default()
    }

    /// Returns the hidden part of the order in `slot`; the default if the order is no iceberg
    /// order.
    #[inline(never)]
    pub(crate) fn get(&self, slot: u32) -> Iceberg {
        self.by_slot.get(&slot).map(|(_, iceberg)| *iceberg).unwrap_or_default()
    }

    /// Inserts or replaces the hidden part of the order in `slot`.
    pub(crate) fn set(&mut self, slot: u32, level_key: LevelKey, iceberg: Iceberg) {
        self.remove(slot);
        self.by_slot.insert(slot, (level_key, iceberg));
        if !iceberg.hidden_lots.is_zero() {
            let sum = self.hidden_lots.entry(level_key).or_default();
            *sum = checked::add(*sum, iceberg.hidden_lots);
        }
    }

    /// Removes the hidden part of the order in `slot`.
    pub(crate) fn remove(&mut self, slot: u32) -> Iceberg {
        let Some((level_key, iceberg)) = self.by_slot.remove(&slot) else {
            return Iceberg::default();
        };
        let sum = self.hidden_lots.get_mut(&level_key);
        debug_assert!(
            sum.is_some() || iceberg.hidden_lots.is_zero(),
            "the hidden lots of an order are part of its level's sum"
        );
        if let Some(sum) = sum {
            *sum = checked::sub(*sum, iceberg.hidden_lots);
            if sum.is_zero() {
                self.hidden_lots.remove(&level_key);
            }
        }
        iceberg
    }

    /// Bytes held.
    #[expect(clippy::arithmetic_side_effects, reason = "memory that exists can be counted")]
    pub(crate) fn memory_bytes(&self) -> usize {
        map_bytes(self.by_slot.len(), size_of::<(u32, LevelKey, Iceberg)>())
            + map_bytes(self.hidden_lots.len(), size_of::<(LevelKey, Lots)>())
    }
}

//! What iceberg orders have besides the lots they show. By slot, in a map: orders that show all of
//! themselves cost nothing here.

use std::collections::BTreeMap;

use tidemark_proto::units::{Lots, Side};

use crate::bounded;
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
    #[inline]
    pub(crate) fn split(display_lots: Lots, lots: Lots) -> (Lots, Self) {
        let shown = if display_lots == 0 { lots } else { lots.min(display_lots) };
        (shown, Self { display_lots, hidden_lots: bounded::sub(lots, shown) })
    }
}

/// A level: its side and key.
pub(crate) type LevelKey = (Side, u64);

#[derive(Clone, Debug, Default)]
pub(crate) struct Icebergs {
    by_slot: BTreeMap<u32, (LevelKey, Iceberg)>,
    /// Sum of the hidden lots of a level's orders, where there are any. Admission keeps it, with
    /// the level's lots, below 2⁶⁴, so a refill always fits.
    hidden_lots: BTreeMap<LevelKey, Lots>,
}

impl Icebergs {
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Hidden lots of a level.
    #[inline]
    pub(crate) fn hidden_lots(&self, level_key: LevelKey) -> Lots {
        if self.hidden_lots.is_empty() {
            return 0;
        }
        self.find_hidden_lots(level_key)
    }

    // Apart, as searches in maps are everywhere in this crate: a call leaves the caller its
    // registers, a search does not.
    #[inline(never)]
    fn find_hidden_lots(&self, level_key: LevelKey) -> Lots {
        self.hidden_lots.get(&level_key).copied().unwrap_or(0)
    }

    /// The hidden part of the order in `slot`; nothing, and 0 to display, for one that is no
    /// iceberg.
    #[inline(never)]
    pub(crate) fn get(&self, slot: u32) -> Iceberg {
        self.by_slot.get(&slot).map(|(_, iceberg)| *iceberg).unwrap_or_default()
    }

    /// Enters the order in `slot`, or changes it.
    pub(crate) fn set(&mut self, slot: u32, level_key: LevelKey, iceberg: Iceberg) {
        self.remove(slot);
        self.by_slot.insert(slot, (level_key, iceberg));
        if iceberg.hidden_lots > 0 {
            *self.hidden_lots.entry(level_key).or_default() += iceberg.hidden_lots;
        }
    }

    /// Takes an order out; what it hid.
    pub(crate) fn remove(&mut self, slot: u32) -> Iceberg {
        let Some((level_key, iceberg)) = self.by_slot.remove(&slot) else {
            return Iceberg::default();
        };
        if let Some(sum) = self.hidden_lots.get_mut(&level_key) {
            *sum -= iceberg.hidden_lots;
            if *sum == 0 {
                self.hidden_lots.remove(&level_key);
            }
        }
        iceberg
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        map_bytes(self.by_slot.len(), size_of::<(u32, LevelKey, Iceberg)>())
            + map_bytes(self.hidden_lots.len(), size_of::<(LevelKey, Lots)>())
    }
}

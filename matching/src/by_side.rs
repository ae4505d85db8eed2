//! A pair of values, one for each side.

use tidemark_proto::units::Side;

/// A value for each side.
#[derive(Clone, Debug)]
pub(crate) struct BySide<T>([T; 2]);

impl<T> BySide<T> {
    pub(crate) const fn new(buy: T, sell: T) -> Self {
        Self([buy, sell])
    }

    /// Returns the value of a side.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a side is 0 or 1")]
    pub(crate) const fn get(&self, side: Side) -> &T {
        &self.0[side as usize]
    }

    /// Returns the value of a side, to change it.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a side is 0 or 1")]
    pub(crate) const fn get_mut(&mut self, side: Side) -> &mut T {
        &mut self.0[side as usize]
    }

    /// Returns both values, the buy side's first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// Returns both values, the buy side's first, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

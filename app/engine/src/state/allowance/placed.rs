//! The blocks in which a market's last orders were placed, by their ids.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::OrderId;

use super::STOOD_BLOCKS;

/// Ids that transactions of the last blocks have given: of each block that gave any the height, the
/// first and the one after the last, ascending; at most [`STOOD_BLOCKS`] and one more. Ids of
/// orders that triggers and slices placed lie between these, and are in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PlacedIds(Vec<(u64, OrderId, OrderId)>);

impl PlacedIds {
    /// Notes the ids that the transactions of a block have given.
    pub(crate) fn note(&mut self, height: u64, first: OrderId, next: OrderId) {
        if self.0.is_empty() && first >= next {
            return;
        }
        self.0.retain(|(placed, ..)| placed.saturating_add(STOOD_BLOCKS) >= height);
        if first < next {
            self.0.push((height, first, next));
        }
    }

    /// The block whose transactions placed an order, if it is one of the last.
    #[must_use]
    pub fn height_of(&self, order_id: OrderId) -> Option<u64> {
        let at = self.0.partition_point(|(_, first, _)| *first <= order_id);
        let (height, _, next) = self.0.get(at.checked_sub(1)?)?;
        (order_id < *next).then_some(*height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_its_block_for_twenty_blocks() {
        let mut placed = PlacedIds::default();
        let id = OrderId::new;
        placed.note(5, id(1), id(1));
        assert_eq!(placed, PlacedIds::default());
        placed.note(6, id(3), id(5));
        placed.note(8, id(9), id(10));
        let heights: Vec<_> = (2..11).map(|of| placed.height_of(id(of))).collect();
        let (six, eight) = (Some(6), Some(8));
        assert_eq!(heights, [None, six, six, None, None, None, None, eight, None]);
        placed.note(26, id(10), id(10));
        assert_eq!(placed.height_of(id(3)), six);
        placed.note(27, id(10), id(10));
        assert_eq!((placed.height_of(id(3)), placed.height_of(id(9))), (None, eight));
    }
}

//! The contents of an owner's buckets in a block.

use tidemark_proto::types::{Draw, Message};

use super::{parts, REFILL_BLOCKS};
use crate::refusal::{AllowanceRefusal, Bucket};

/// The contents of both buckets at the admission of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The operations that each holds when it is full; also the parts that each block adds.
    pub size: u64,
    pub(super) orders_parts: u64,
    pub(super) cancels_parts: u64,
    /// It is believed that the owner pays where it says so.
    pub(super) is_believed: bool,
}

impl Left {
    /// Whole operations that are left in each bucket.
    #[must_use]
    pub const fn draws(&self) -> Draw {
        Draw {
            orders: self.orders_parts / REFILL_BLOCKS,
            cancels: self.cancels_parts / REFILL_BLOCKS,
        }
    }

    /// True of a message that needs no allowance: it pays for what is not there.
    #[must_use]
    pub const fn is_paid(&self, message: &Message) -> bool {
        self.is_believed && message.pays_flat_fee()
    }

    /// Takes the draw of a message; of one that pays nothing yet.
    ///
    /// # Errors
    /// `RATE_LIMITED`; nothing is taken.
    pub fn take(&mut self, message: &Message) -> Result<Draw, AllowanceRefusal> {
        if self.is_paid(message) {
            return Ok(Draw::default());
        }
        let draw = message.draw();
        self.covers(draw, Draw::default())?;
        *self = self.after(draw);
        Ok(draw)
    }

    /// Takes what is there of the draw of a message that pays for the rest. Returns both.
    pub(crate) fn take_rest(&mut self, message: &Message) -> (Draw, u64) {
        let draw = message.draw();
        let taken = draw.at_most(self.draws());
        *self = self.after(taken);
        (taken, draw.less(taken).all())
    }

    /// The contents after a draw.
    #[must_use]
    pub const fn after(self, draw: Draw) -> Self {
        Self {
            orders_parts: self.orders_parts.saturating_sub(parts(draw.orders)),
            cancels_parts: self.cancels_parts.saturating_sub(parts(draw.cancels)),
            ..self
        }
    }

    /// Checks that a draw is there, beside what waits on a node.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the first bucket that does not have it.
    pub fn covers(&self, draw: Draw, waiting: Draw) -> Result<(), AllowanceRefusal> {
        let left = self.draws();
        let each = [
            (Bucket::Orders, left.orders, draw.orders, waiting.orders, self.orders_parts),
            (Bucket::Cancels, left.cancels, draw.cancels, waiting.cancels, self.cancels_parts),
        ];
        for (bucket, left, asked, waiting, held) in each {
            let all = asked.saturating_add(waiting);
            if asked > 0 && all > left {
                let (size, blocks) = (self.size, self.blocks_until(held, all));
                return Err(AllowanceRefusal { bucket, left, size, asked, waiting, blocks });
            }
        }
        Ok(())
    }

    /// Blocks until a bucket with so many parts holds some operations; `None` if it never does.
    fn blocks_until(&self, held: u64, operations: u64) -> Option<u64> {
        let lacking = parts(operations).saturating_sub(held);
        lacking.checked_div(self.size).filter(|_| operations <= self.size).map(|blocks| {
            let is_whole = blocks.saturating_mul(self.size) >= lacking;
            blocks.saturating_add(u64::from(!is_whole))
        })
    }

    /// Blocks until both buckets are full, of orders and of cancels.
    #[must_use]
    pub fn blocks_until_full(&self) -> Draw {
        let blocks = |held| self.blocks_until(held, self.size).unwrap_or(0);
        Draw { orders: blocks(self.orders_parts), cancels: blocks(self.cancels_parts) }
    }
}

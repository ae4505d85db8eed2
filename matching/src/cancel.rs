//! Reducing, cancelling and expiring live orders (rules §§2.3, 2.8).

use tidemark_proto::units::{AccountId, Lots, OrderId, Side, TimeMs};
use tidemark_proto::Code;

use crate::arena::NONE;
use crate::book::Book;
use crate::bounded::checked;
use crate::expiries::Expiry;
use crate::types::{CancelledAll, Host, Reject};

impl Book {
    /// Takes `by_lots` off a live order, which keeps its place in the queue. The order is cancelled
    /// if it has no more than `by_lots`. Returns the lots left.
    ///
    /// # Errors
    /// `UNKNOWN_ORDER`, and `QUANTITY_TOO_SMALL` for 0.
    pub fn reduce(
        &mut self,
        order_id: OrderId,
        owner: AccountId,
        by_lots: Lots,
        host: &mut impl Host,
    ) -> Result<Lots, Reject> {
        let slot = self.owned(order_id, owner)?;
        if by_lots.is_zero() {
            return Err(Reject::new(Code::QuantityTooSmall, 1, 0));
        }
        let left = self.total_lots(slot).saturating_sub(by_lots);
        self.reduce_or_evict(slot, by_lots, Code::Cancelled, host);
        Ok(left)
    }

    /// Cancels a live order of `owner`; the event carries `reason`. Returns the order's unfilled
    /// lots.
    ///
    /// # Errors
    /// `UNKNOWN_ORDER` if the order is not live or belongs to another account.
    pub fn cancel(
        &mut self,
        order_id: OrderId,
        owner: AccountId,
        reason: Code,
        host: &mut impl Host,
    ) -> Result<Lots, Reject> {
        match self.ids.find(order_id) {
            Some((slot, id_index)) if self.orders.get(slot).owner == owner => {
                Ok(self.evict_from(slot, id_index, reason, host))
            }
            _ => Err(Reject::new(Code::UnknownOrder, 0, order_id.get())),
        }
    }

    /// Cancels all orders of an account, or those of one side, newest first (rules §2.8). Looks at
    /// no more than `max` orders; at most the owner's open orders.
    pub fn cancel_all(
        &mut self,
        owner: AccountId,
        side: Option<Side>,
        reason: Code,
        max: u32,
        host: &mut impl Host,
    ) -> CancelledAll {
        let mut all = CancelledAll::default();
        let mut slot = self.owners.get(owner).newest;
        while slot != NONE && all.looked_at < max {
            all.looked_at = checked::increment(all.looked_at);
            let older = self.owners.older(slot);
            if side.is_none_or(|side| side == self.orders.get(slot).flags().side()) {
                self.evict(slot, reason, host);
                all.gone = checked::increment(all.gone);
            }
            slot = older;
        }
        all.more = slot != NONE;
        all
    }

    /// Removes expired orders (`expires_ms ≤ now_ms`) with `EXPIRED`, earliest first, then by id;
    /// at most `max`. Returns their number: `max` means that more may have expired.
    pub fn expire(&mut self, now_ms: TimeMs, max: u32, host: &mut impl Host) -> u32 {
        let mut gone = 0;
        while gone < max {
            let Some(Expiry { expires_ms, slot, .. }) = self.expiries.first().copied() else {
                break;
            };
            if expires_ms > now_ms {
                break;
            }
            self.evict(slot, Code::Expired, host);
            gone = checked::increment(gone);
        }
        gone
    }
}

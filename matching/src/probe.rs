//! What an order would do, without doing it.

use tidemark_proto::units::{Lots, OrderId};

use crate::book::Book;
use crate::take::Taker;
use crate::types::{Host, NewOrder};

impl Book {
    /// The lots that an order would trade at once as things stand, at most its own; what
    /// fill-or-kill is decided by. Changes nothing, and meets at most `max_fills` makers.
    #[must_use]
    pub fn fillable_lots(&self, order: &NewOrder, host: &impl Host) -> Lots {
        let taker = Taker::of(order, OrderId::MAX, order.price_ticks);
        self.fillable(&taker, order.lots, host)
    }
}

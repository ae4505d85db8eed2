//! Reasons within a refusal.

use thiserror::Error;
use tidemark_proto::units::{Lots, MarketId, OrderId, Ticks};

/// Reason why a resting order cannot be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotReplaceable {
    /// It follows a reference price.
    #[error("it is pegged, and its price is not its own")]
    Pegged,
    /// Its trigger was reached.
    #[error("it has triggered, and what is left is tried again: cancel it and place another")]
    Triggered,
    /// Its trigger was reached, and its turn is to come.
    #[error("the mark has reached it, and its turn comes: cancel it and place another")]
    Reached,
    /// The trigger of a trailing stop was to be changed.
    #[error("it is a trailing stop, and its trigger price is not its own")]
    Trails,
    /// It waits for its entry.
    #[error("it waits for its entry to fill: cancel it and place another")]
    Dormant,
    /// A trigger was to be changed.
    #[error("it is on the book, and has no trigger to change")]
    NoTrigger,
}

/// Reason why an operation depends on another of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // as for `Refusal`
pub enum Dependence {
    #[error("market {0} is isolated: an order there may move collateral")]
    Isolated(MarketId),
    #[error("order {0}, or its pair, is named twice")]
    NamedTwice(OrderId),
    #[error("an order that waits cannot be replaced in a batch of all or none")]
    ReplacesWaiting,
    #[error(
        "in a batch of all or none a replacement may only lower the quantity, {lots} lots: cancel \
         the order and place another"
    )]
    ReplacesMore { lots: Lots },
    #[error("a pegged order cannot be placed in a batch of all or none")]
    Pegged,
    #[error("a pair cannot be placed in a batch of all or none")]
    Pair,
    #[error("an order with exits cannot be placed in a batch of all or none")]
    Bracket,
    #[error("a buy at {buy_ticks} and a sell at {sell_ticks} ticks of the batch would meet")]
    Meeting { buy_ticks: Ticks, sell_ticks: Ticks },
    #[error(
        "an order at {price_ticks} ticks may trade at once, and beside it in market {market} no \
         fill-or-kill, reduce-only, sliding or whole-position order can be sure"
    )]
    BesideTaker { price_ticks: Ticks, market: MarketId },
    #[error("a fill-or-kill order beside a cancel in its market")]
    FillOrKillBesideCancel,
}

//! A conditional order as events tell it.

use tidemark_proto::types::{ConditionalOrder, OrderType, Place};
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

use super::order::{Conditional, Kind, Reached, Retrying};

/// An order as streams and queries show it.
pub(crate) fn shown(market: MarketId, order: &Conditional) -> Box<ConditionalOrder> {
    let common = ConditionalOrder {
        market,
        order_id: order.order_id,
        client_id: order.client_id(),
        side: order.side(),
        lots: order.lots(),
        oco_order_id: order.partner,
        entry_order_id: order.entry,
        ..Default::default()
    };
    let with_trigger = |place: &Place, common| ConditionalOrder {
        price_ticks: place.price_ticks,
        reduce_only: place.reduce_only,
        expires_ms: place.expires_ms().unwrap_or(TimeMs::ZERO),
        trigger: place.trigger,
        order_type: place.order_type,
        whole_position: place.whole_position,
        ..common
    };
    Box::new(match &order.kind {
        Kind::Trigger(place) | Kind::Dormant(place) | Kind::Reached(Reached { place, .. }) => {
            with_trigger(place, common)
        }
        Kind::Retrying(Retrying { place, tries_left }) => {
            with_trigger(place, ConditionalOrder { tries_left: *tries_left, ..common })
        }
        Kind::Slicing(slicing) => ConditionalOrder {
            price_ticks: slicing.twap.limit_ticks.unwrap_or(Ticks::ZERO),
            reduce_only: slicing.twap.reduce_only,
            order_type: OrderType::Market,
            slices: slicing.twap.slices,
            slices_left: slicing.slices_left(),
            next_ms: slicing.next_ms,
            filled_lots: slicing.filled_lots,
            ..common
        },
        Kind::Resting | Kind::Pegged(_) => common,
    })
}

//! Orders of each kind, made of a plain one.

use tidemark_engine::state::State;
use tidemark_proto::v1;

use super::price;
use crate::sim::rng::Rng;

/// The order with a trigger, now and then for the whole position.
pub(super) fn waiting(
    state: &State,
    market: usize,
    order: v1::PlaceOrder,
    rng: &mut Rng,
) -> Option<v1::PlaceOrder> {
    let whole_position = order.reduce_only && rng.chance(60);
    let trails = order.reduce_only && rng.chance(30);
    let trail = if trails { rng.within(1, 60_000) } else { 0 };
    let (ticks, ppm) = if rng.chance(50) { (trail / 100, trail) } else { (0, trail) };
    Some(v1::PlaceOrder {
        trigger: if trails { 1 } else { rng.within(1, 2) as i32 },
        trigger_price_ticks: if trails { 0 } else { price(state, market, rng)? },
        trail_ticks: ticks,
        trail_ppm: if ticks == 0 { ppm as u32 } else { 0 },
        whole_position,
        display_lots: if whole_position { 0 } else { order.display_lots },
        lots: if whole_position { 0 } else { order.lots },
        ..order
    })
}

/// The order, following a price.
pub(super) fn pegged(order: v1::PlaceOrder, rng: &mut Rng) -> v1::PlaceOrder {
    let away = rng.within(0, 200) as i64;
    v1::PlaceOrder {
        price_ticks: if rng.chance(50) { order.price_ticks } else { 0 },
        r#type: v1::OrderType::Limit.into(),
        time_in_force: order.time_in_force.min(1),
        post_only: v1::PostOnly::Slide.into(),
        peg: rng.within(1, 2) as i32,
        peg_offset_ticks: if order.side == 1 { 20 - away } else { away - 20 },
        ..order
    }
}

/// The order in slices.
pub(super) fn twap(order: &v1::PlaceOrder, rng: &mut Rng) -> v1::PlaceTwap {
    v1::PlaceTwap {
        market: order.market,
        side: order.side,
        lots: order.lots,
        slices: rng.within(2, 12).min(order.lots) as u32,
        interval_ms: rng.within(1_000, 8_000),
        slippage_ppm: rng.within(0, 30_000) as u32,
        limit_ticks: if rng.chance(30) { order.price_ticks } else { 0 },
        reduce_only: order.reduce_only,
        client_id: order.client_id,
    }
}

/// The order as a ladder.
pub(super) fn scale(order: &v1::PlaceOrder, to_ticks: u64, rng: &mut Rng) -> v1::PlaceScale {
    v1::PlaceScale {
        market: order.market,
        side: order.side,
        from_ticks: order.price_ticks.max(1),
        to_ticks,
        lots: order.lots,
        count: rng.within(2, 6) as u32,
        skew_ppm: *rng.pick(&[0, 300_000, 3_000_000]),
        post_only: order.post_only,
        reduce_only: order.reduce_only,
        expires_ms: if rng.chance(30) { order.expires_ms } else { 0 },
        client_id: order.client_id,
    }
}

/// The order with exits: often both, at the prices of an order that waits and about as far on the
/// other side of its own.
pub(super) fn bracket(
    entry: v1::PlaceOrder,
    exit: &v1::PlaceOrder,
    rng: &mut Rng,
) -> v1::PlaceBracket {
    let price = exit.trigger_price_ticks.max(1);
    let away = price.abs_diff(entry.price_ticks).min(price / 10);
    let of = |trigger: v1::Trigger, trigger_price_ticks: u64| v1::PlaceOrder {
        side: if entry.side == 1 { 2 } else { 1 },
        reduce_only: true,
        lots: 0,
        whole_position: false,
        display_lots: 0,
        trigger: trigger.into(),
        trigger_price_ticks,
        trail_ticks: 0,
        trail_ppm: 0,
        client_id: 0,
        ..*exit
    };
    let (low, high) = (entry.price_ticks.saturating_sub(away).max(1), entry.price_ticks + away);
    let (gain, loss) = if entry.side == 1 { (high, low) } else { (low, high) };
    let both = rng.chance(70);
    v1::PlaceBracket {
        entry: Some(v1::PlaceOrder {
            reduce_only: false,
            trigger: 0,
            trigger_price_ticks: 0,
            trail_ticks: 0,
            trail_ppm: 0,
            ..entry
        }),
        take_profit: (both || rng.chance(50)).then(|| of(v1::Trigger::TakeProfit, gain.max(1))),
        stop_loss: both.then(|| of(v1::Trigger::Stop, loss.max(1))),
    }
}

//! The outcome of an operation, in words and as JSON.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{json, Value};
use tidemark_client::format::{exact_money, money, time_text};
use tidemark_client::words::{past_word, present_word, side_word};
use tidemark_client::{usdc, Market, Markets};
use tidemark_proto::units::{Lots, Ticks};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};

use super::build::span_text;
use super::word;

/// Where the mark goes for an order to be placed, and where to: `the mark to fall to 58000.0`, or
/// `the mark to fall 500.0 below its highest`.
pub(crate) fn mark_words(
    market: &Market,
    (side, trigger): (v1::Side, v1::Trigger),
    trigger_price_ticks: u64,
    trail: (u64, u32),
) -> String {
    let falls = falls(side, trigger);
    let direction = if falls { "fall" } else { "rise" };
    let distance = match trail {
        (0, 0) => None,
        (0, ppm) => Some(format!("{} %", Decimal::new(i64::from(ppm), 4).normalize())),
        (ticks, _) => Some(market.price(Ticks::new(ticks)).to_string()),
    };
    if let Some(distance) = distance {
        let best = if falls { "below its highest" } else { "above its lowest" };
        return format!("the mark to {direction} {distance} {best}");
    }
    format!("the mark to {direction} to {}", market.price(Ticks::new(trigger_price_ticks)))
}

/// True if an order is placed when the mark falls.
fn falls(side: v1::Side, trigger: v1::Trigger) -> bool {
    (side == v1::Side::Sell) == (trigger == v1::Trigger::Stop)
}

/// The reference of a pegged order and the distance from it: `the mark, 5.0 below it`.
pub(crate) fn peg_words(
    market: &Market,
    side: v1::Side,
    peg: v1::Peg,
    offset_ticks: i64,
) -> Option<String> {
    let reference = match (peg, side) {
        (v1::Peg::None, _) => return None,
        (v1::Peg::Mark, _) => "the mark",
        (v1::Peg::Best, v1::Side::Sell) => "the best ask",
        (v1::Peg::Best, _) => "the best bid",
    };
    let distance = market.price_difference(offset_ticks).abs();
    Some(match offset_ticks {
        0 => reference.to_owned(),
        1.. => format!("{reference}, {distance} above it"),
        _ => format!("{reference}, {distance} below it"),
    })
}

/// The effect of an operation, in a sentence without a full stop.
pub(super) fn sentence(
    operation: &Operation,
    result: &v1::OperationResult,
    market: Option<&Market>,
) -> String {
    let id = result.order_id;
    let Some(market) = market else { return of_all(operation, result) };
    match operation {
        Operation::CancelAll(_) | Operation::ScheduleCancelAll(_) => of_all(operation, result),
        Operation::Cancel(_) => format!("cancelled order {id}"),
        Operation::Place(order) => placed(order, result, market),
        Operation::Replace(_) if idle(result) => format!("order {id} is changed, and still waits"),
        Operation::Replace(_) => join(traded(result, market, "traded", &format!("order {id}"))),
        Operation::Twap(order) => {
            let verb = present_word(order.side());
            format!(
                "order {id} {verb} {} {} in {} parts, one each {} from the next block on",
                market.size(Lots::new(order.lots)),
                market.base(),
                order.slices,
                span_text(Duration::from_millis(order.interval_ms)),
            )
        }
        Operation::Scale(order) => {
            let last = id.saturating_add(u64::from(result.placed)).saturating_sub(1);
            let rungs = format!("{} orders, {id} to {last}", result.placed);
            join(traded(result, market, past_word(order.side()), &rungs))
        }
        Operation::Oco(pair) => both(pair, result, market),
        Operation::Bracket(of) => with_exits(of, result, market),
    }
}

fn of_all(operation: &Operation, result: &v1::OperationResult) -> String {
    match operation {
        Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms: 0 }) => {
            "the dead man's switch is off".to_owned()
        }
        Operation::ScheduleCancelAll(schedule) => {
            format!(
                "all orders go at {}, unless the switch is set anew before",
                time_text(schedule.at_ms)
            )
        }
        Operation::CancelAll(_) if result.cancelled == 1 => "cancelled 1 order".to_owned(),
        Operation::CancelAll(_) => format!("cancelled {} orders", result.cancelled),
        _ => format!("order {}", result.order_id),
    }
}

/// True if an operation has neither traded nor left anything on the book.
fn idle(result: &v1::OperationResult) -> bool {
    result.filled_lots == 0 && result.resting_lots == 0 && word(result.rest_code).is_none()
}

fn join(parts: Vec<String>) -> String {
    parts.join(", ")
}

/// The traded part, the resting part, and why a part did neither.
fn traded(
    result: &v1::OperationResult,
    market: &Market,
    verb: &str,
    rests_as: &str,
) -> Vec<String> {
    let base = market.base();
    let mut parts = Vec::new();
    if result.filled_lots > 0 {
        let notional = i128::from(result.notional_atoms);
        parts.push(format!(
            "{verb} {} {base} for {} USDC (fee {})",
            market.size(Lots::new(result.filled_lots)),
            money(notional),
            exact_money(result.fee_atoms)
        ));
    }
    if result.resting_lots > 0 {
        parts.push(format!(
            "{} {base} rests as {rests_as}",
            market.size(Lots::new(result.resting_lots))
        ));
    }
    if let Some(code) = word(result.rest_code) {
        let rest = if parts.is_empty() { "nothing traded" } else { "the rest was cancelled" };
        parts.push(format!("{rest} ({code})"));
    }
    parts
}

fn placed(order: &v1::PlaceOrder, result: &v1::OperationResult, market: &Market) -> String {
    let id = result.order_id;
    if idle(result) && order.trigger() != v1::Trigger::None {
        return format!("order {id} {}", waits(order, market));
    }
    let mut parts = traded(result, market, past_word(order.side()), &format!("order {id}"));
    if result.resting_lots > 0 {
        if order.display_lots > 0 {
            parts.push(format!("showing {} at a time", market.size(Lots::new(order.display_lots))));
        }
        if let Some(peg) = peg_words(market, order.side(), order.peg(), order.peg_offset_ticks) {
            parts.push(format!("following {peg}"));
        }
    }
    if parts.is_empty() {
        return format!("order {id}");
    }
    join(parts)
}

/// `waits for the mark to fall to 58000.0, and then sells 0.0100 BTC`.
fn waits(order: &v1::PlaceOrder, market: &Market) -> String {
    let mark = mark_words(
        market,
        (order.side(), order.trigger()),
        order.trigger_price_ticks,
        (order.trail_ticks, order.trail_ppm),
    );
    let verb = present_word(order.side());
    let does = match order.whole_position {
        true => "closes the whole position".to_owned(),
        false => format!("{verb} {} {}", market.size(Lots::new(order.lots)), market.base()),
    };
    let price = match order.price_ticks {
        0 => String::new(),
        price => format!(" at {} or better", market.price(Ticks::new(price))),
    };
    format!("waits for {mark}, and then {does}{price}")
}

fn both(pair: &v1::PlaceOco, result: &v1::OperationResult, market: &Market) -> String {
    let (Some(first), Some(second)) = (&pair.first, &pair.second) else {
        return format!("order {}", result.order_id);
    };
    let first = placed(first, result, market);
    if result.second_order_id == 0 {
        return format!("{first}; the stop was not placed: one cancels the other");
    }
    let second = waits(second, market);
    format!("{first}; order {} {second}; one cancels the other", result.second_order_id)
}

fn with_exits(of: &v1::PlaceBracket, result: &v1::OperationResult, market: &Market) -> String {
    let Some(entry) = &of.entry else { return format!("order {}", result.order_id) };
    let entry = placed(entry, result, market);
    if result.second_order_id == 0 {
        return format!("{entry}; no exit was placed: there is nothing to close");
    }
    let exits = of.take_profit.iter().chain(&of.stop_loss).zip(result.second_order_id..);
    let exits = exits.map(|(exit, id)| {
        let mark = mark_words(
            market,
            (exit.side(), exit.trigger()),
            exit.trigger_price_ticks,
            (exit.trail_ticks, exit.trail_ppm),
        );
        format!("; order {id} waits for {mark}, and then closes what it has filled")
    });
    format!("{entry}{}", exits.collect::<String>())
}

/// A result as programs read it.
pub(super) fn result_json(
    operation: &Operation,
    result: &v1::OperationResult,
    market: Option<&Market>,
) -> Value {
    let cancel_all_at_ms = match operation {
        Operation::ScheduleCancelAll(schedule) => schedule.at_ms,
        _ => 0,
    };
    let size = |lots: u64| market.map(|market| market.size(Lots::new(lots)));
    let given = |id: u64| (id != 0).then_some(id);
    let traded = result.filled_lots > 0;
    json!({
        "order_id": result.order_id,
        "second_order_id": given(result.second_order_id),
        "placed_orders": given(result.placed.into()),
        "filled": size(result.filled_lots),
        "notional": traded.then(|| usdc(i128::from(result.notional_atoms))),
        "fee": traded.then(|| usdc(result.fee_atoms)),
        "resting": size(result.resting_lots),
        "rest_cancelled_because": word(result.rest_code),
        "cancelled_orders": result.cancelled,
        "cancel_all_at_ms": given(cancel_all_at_ms),
    })
}

/// Help after a refusal: the likely meaning of a slip, and in USDC the prices that the chain names
/// in ticks; empty where there is nothing to add.
pub(super) fn hint(
    operation: &Operation,
    result: &v1::OperationResult,
    markets: &Markets,
) -> String {
    let market = super::market_id(operation).and_then(|id| markets.by_id(id));
    let prices = || market.and_then(|market| in_usdc(&result.message, market)).unwrap_or_default();
    match (Code::from_number(result.code), operation) {
        (Some(Code::TriggerReached), Operation::Replace(_)) => prices(),
        (Some(Code::TriggerReached), _) => slip(operation, markets),
        (Some(Code::WouldIncrease), Operation::Place(order)) if order.whole_position => {
            "; `tidemark exits` takes the side from the position".to_owned()
        }
        (Some(Code::PriceOutOfBand), _) => prices(),
        (Some(Code::InsufficientCollateral), _) => super::fitting(&result.message, market),
        _ => String::new(),
    }
}

/// The prices of a sentence that says `price is N ticks` and two or one more: the chain does not
/// know the size of a tick in USDC.
fn in_usdc(message: &str, market: &Market) -> Option<String> {
    let numbers = message.split_once("price is ")?.1.split(|letter: char| !letter.is_ascii_digit());
    let prices = numbers
        .filter_map(|digits| digits.parse().ok())
        .map(|ticks| market.price(Ticks::new(ticks)).to_string());
    let prices: Vec<String> = prices.collect();
    let (last, others) = prices.split_last()?;
    Some(match others {
        [price, low] => format!(" (in USDC, {price} must be {low} to {last})"),
        [price] => format!(" (in USDC, {price} and {last})"),
        _ => return None,
    })
}

/// A trigger on the wrong side of the mark.
fn slip(operation: &Operation, markets: &Markets) -> String {
    let orders = match operation {
        Operation::Place(order) => vec![order],
        Operation::Oco(pair) => pair.first.iter().chain(&pair.second).collect(),
        _ => Vec::new(),
    };
    let reached = orders.into_iter().find_map(|order| {
        let mark = markets.mark_ticks(order.market)?;
        let falls = falls(order.side(), order.trigger());
        let price = Ticks::new(order.trigger_price_ticks);
        let is_reached = if falls { mark <= price } else { mark >= price };
        let waits = order.trigger() != v1::Trigger::None && order.trigger_price_ticks > 0;
        (waits && is_reached).then_some((order, mark, falls))
    });
    let Some((order, mark, falls)) = reached else { return String::new() };
    let Some(market) = markets.by_id(order.market) else { return String::new() };
    let side = side_word(order.side());
    let (option, other) = match order.trigger() {
        v1::Trigger::Stop => ("--stop", "--take-profit"),
        _ => ("--take-profit", "--stop"),
    };
    let (direction, where_to) = if falls { ("fall", "below") } else { ("rise", "above") };
    format!(
        ". {option} {} to {side} waits for the mark to {direction}, and must be {where_to} {}: \
         did you mean {other}?",
        market.price(Ticks::new(order.trigger_price_ticks)),
        market.price(mark)
    )
}

#[cfg(test)]
mod tests;

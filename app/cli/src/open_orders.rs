//! `tidemark orders`: what rests, what waits, and when all of it goes.

use std::cmp::Ordering;

use serde_json::{json, Value};
use tidemark_client::format::{price_or_null, time_text};
use tidemark_client::words::side_word;
use tidemark_client::{Market, Markets, Table};
use tidemark_proto::units::{Lots, Ticks};
use tidemark_proto::v1;

use super::args::Orders;
use super::order::{mark_words, peg_words};
use super::{find, CliError, Context};

pub(super) async fn run(context: &Context, args: &Orders) -> Result<(), CliError> {
    let address = context.address(&args.who.address)?;
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let only = args.market.as_deref().map(|symbol| find(&markets, symbol)).transpose()?;
    let only = only.map(|(market, _)| market.id);
    let subaccount = context.global.subaccount;
    let answer = client.open_orders(&address, subaccount, only).await?;
    context.print(
        || {
            let nothing = format!("{address} has no open order in subaccount {subaccount}.");
            text(&answer, &markets).unwrap_or(nothing)
        },
        || json(&answer, &markets),
    );
    Ok(())
}

/// The tables of what there is; `None` where there is nothing.
fn text(answer: &v1::OrdersResponse, markets: &Markets) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(resting_table(answer, markets));
    parts.extend(waiting_table(answer, markets));
    if answer.cancel_all_at_ms != 0 {
        let at = time_text(answer.cancel_all_at_ms);
        parts.push(format!("Dead man's switch: all orders go at {at}."));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn dash(number: u64) -> String {
    if number == 0 {
        "-".to_owned()
    } else {
        number.to_string()
    }
}

fn time_or_dash(time_ms: u64) -> String {
    if time_ms == 0 {
        "-".to_owned()
    } else {
        time_text(time_ms)
    }
}

fn resting_table(answer: &v1::OrdersResponse, markets: &Markets) -> Option<String> {
    if answer.orders.is_empty() {
        return None;
    }
    let mut table =
        Table::new(3, &["market", "side", "flags", "id", "client id", "price", "size", "expires"]);
    for order in &answer.orders {
        let Some(market) = markets.by_id(order.market) else { continue };
        table.row(vec![
            market.symbol.clone(),
            side_word(order.side()).to_owned(),
            flags(market, order),
            order.order_id.to_string(),
            dash(order.client_id),
            market.price(Ticks::new(order.price_ticks)).to_string(),
            market.size(Lots::new(order.lots)).to_string(),
            time_or_dash(order.expires_ms),
        ]);
    }
    Some(table.render())
}

/// Flags of a resting order: post-only, reduce-only, iceberg, peg.
fn flags(market: &Market, order: &v1::Order) -> String {
    let mut flags = Vec::new();
    if order.reduce_only {
        flags.push("reduce-only".to_owned());
    }
    if order.display_lots != 0 {
        flags.push(format!("shows {}", market.size(Lots::new(order.display_lots))));
    }
    if let Some(peg) = peg_words(market, order.side(), order.peg(), order.peg_offset_ticks) {
        flags.push(format!("follows {peg}"));
        if order.peg_limit_ticks != 0 {
            flags.push(format!("to {}", market.price(Ticks::new(order.peg_limit_ticks))));
        }
    }
    flags.join(", ")
}

fn waiting_table(answer: &v1::OrdersResponse, markets: &Markets) -> Option<String> {
    if answer.conditional.is_empty() {
        return None;
    }
    let heading = [
        "market",
        "side",
        "kind",
        "waits for",
        "then places",
        "flags",
        "id",
        "client id",
        "size",
        "pair",
        "expires",
    ];
    let mut table = Table::new(6, &heading);
    for order in &answer.conditional {
        let Some(market) = markets.by_id(order.market) else { continue };
        table.row(vec![
            market.symbol.clone(),
            side_word(order.side()).to_owned(),
            kind(order).to_owned(),
            waits_for(market, order),
            places(market, order),
            if order.reduce_only { "reduce-only" } else { "" }.to_owned(),
            order.order_id.to_string(),
            dash(order.client_id),
            if order.whole_position {
                "position".to_owned()
            } else {
                market.size(Lots::new(order.lots)).to_string()
            },
            dash(order.oco_order_id),
            time_or_dash(order.expires_ms),
        ]);
    }
    Some(table.render())
}

fn kind(order: &v1::ConditionalOrder) -> &'static str {
    match order.trigger() {
        v1::Trigger::Stop if order.trail_ticks > 0 || order.trail_ppm > 0 => "trailing stop",
        v1::Trigger::Stop => "stop",
        v1::Trigger::TakeProfit => "take-profit",
        v1::Trigger::None => "twap",
    }
}

fn waits_for(market: &Market, order: &v1::ConditionalOrder) -> String {
    if order.tries_left > 0 {
        return format!("triggered, {} more tries", order.tries_left);
    }
    if order.entry_order_id > 0 && order.lots == 0 {
        return format!("order {} to fill", order.entry_order_id);
    }
    if order.trigger() != v1::Trigger::None {
        return mark_words(
            market,
            (order.side(), order.trigger()),
            order.trigger_price_ticks,
            (order.trail_ticks, order.trail_ppm),
        );
    }
    let next = order.slices.saturating_sub(order.slices_left).saturating_add(1);
    let at = time_text(order.next_ms);
    let traded = market.size(Lots::new(order.filled_lots));
    format!("part {next} of {} at {at}, {traded} traded", order.slices)
}

fn places(market: &Market, order: &v1::ConditionalOrder) -> String {
    let price = market.price(Ticks::new(order.price_ticks));
    match (order.r#type(), order.price_ticks.cmp(&0)) {
        (v1::OrderType::Limit, _) => format!("limit {price}"),
        (v1::OrderType::Market, Ordering::Equal) => "market".to_owned(),
        (v1::OrderType::Market, _) => format!("market, {price} or better"),
    }
}

fn json(answer: &v1::OrdersResponse, markets: &Markets) -> Value {
    let given = |number: u64| (number != 0).then_some(number);
    let resting = answer.orders.iter().filter_map(|order| {
        let market = markets.by_id(order.market)?;
        let peg = peg_word(order.peg()).map(|word| {
            json!({
                "follows": word,
                "offset": market.price_difference(order.peg_offset_ticks),
                "limit": price_or_null(market, Ticks::new(order.peg_limit_ticks)),
            })
        });
        Some(json!({
            "market": market.symbol,
            "order_id": order.order_id,
            "client_id": order.client_id,
            "side": side_word(order.side()),
            "price": market.price(Ticks::new(order.price_ticks)),
            "size": market.size(Lots::new(order.lots)),
            "reduce_only": order.reduce_only,
            "expires_ms": given(order.expires_ms),
            "display": given(order.display_lots).map(|lots| market.size(Lots::new(lots))),
            "peg": peg,
        }))
    });
    let waiting = answer.conditional.iter();
    let waiting =
        waiting.filter_map(|order| Some(waiting_json(markets.by_id(order.market)?, order)));
    json!({
        "height": answer.height,
        "orders": resting.collect::<Vec<_>>(),
        "waiting": waiting.collect::<Vec<_>>(),
        "cancel_all_at_ms": given(answer.cancel_all_at_ms),
    })
}

fn waiting_json(market: &Market, order: &v1::ConditionalOrder) -> Value {
    let given = |number: u64| (number != 0).then_some(number);
    let is_twap = order.trigger() == v1::Trigger::None;
    let twap = is_twap.then(|| {
        json!({
            "slices": order.slices,
            "slices_left": order.slices_left,
            "next_ms": order.next_ms,
            "filled": market.size(Lots::new(order.filled_lots)),
        })
    });
    json!({
        "market": market.symbol,
        "order_id": order.order_id,
        "client_id": order.client_id,
        "kind": kind(order),
        "side": side_word(order.side()),
        "trigger_price": price_or_null(market, Ticks::new(order.trigger_price_ticks)),
        "trail": price_or_null(market, Ticks::new(order.trail_ticks)),
        "trail_ppm": (order.trail_ppm > 0).then_some(order.trail_ppm),
        "type": if order.r#type() == v1::OrderType::Market { "market" } else { "limit" },
        "price": price_or_null(market, Ticks::new(order.price_ticks)),
        "size": (!order.whole_position).then(|| market.size(Lots::new(order.lots))),
        "whole_position": order.whole_position,
        "tries_left": (order.tries_left > 0).then_some(order.tries_left),
        "reduce_only": order.reduce_only,
        "expires_ms": given(order.expires_ms),
        "pair_order_id": given(order.oco_order_id),
        "entry_order_id": given(order.entry_order_id),
        "twap": twap,
    })
}

fn peg_word(peg: v1::Peg) -> Option<&'static str> {
    match peg {
        v1::Peg::None => None,
        v1::Peg::Mark => Some("mark"),
        v1::Peg::Best => Some("best"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::btc_params;

    fn markets() -> Markets {
        Markets::new(vec![v1::MarketState {
            params: Some(btc_params()),
            k: 10,
            ..Default::default()
        }])
    }

    fn answer() -> v1::OrdersResponse {
        let sell = i32::from(v1::Side::Sell);
        let pegged = v1::Order {
            market: 3,
            order_id: 9,
            side: sell,
            price_ticks: 600_050,
            lots: 100,
            peg: v1::Peg::Mark.into(),
            peg_offset_ticks: 50,
            peg_limit_ticks: 600_000,
            ..Default::default()
        };
        let iceberg =
            v1::Order { order_id: 10, display_lots: 10, peg: 0, reduce_only: true, ..pegged };
        let stop = v1::ConditionalOrder {
            market: 3,
            order_id: 11,
            side: sell,
            trigger: v1::Trigger::Stop.into(),
            trigger_price_ticks: 580_000,
            r#type: v1::OrderType::Market.into(),
            whole_position: true,
            oco_order_id: 10,
            ..Default::default()
        };
        let twap = v1::ConditionalOrder {
            trigger: 0,
            whole_position: false,
            oco_order_id: 0,
            lots: 60,
            price_ticks: 570_000,
            slices: 10,
            slices_left: 6,
            filled_lots: 40,
            next_ms: 1_760_130_843_000,
            ..stop
        };
        v1::OrdersResponse {
            height: 5,
            orders: vec![pegged, iceberg],
            conditional: vec![stop, twap],
            cancel_all_at_ms: 1_760_130_900_000,
        }
    }

    #[test]
    fn what_rests_and_what_waits_are_two_tables_and_the_switch_a_line() {
        let text = text(&answer(), &markets()).unwrap();
        for part in [
            "follows the mark, 5.0 above it, to 60000.0",
            "reduce-only, shows 0.0010",
            "the mark to fall to 58000.0",
            "part 5 of 10 at 2025-10-10 21:14:03 UTC, 0.0040 traded",
            "market, 57000.0 or better",
            "position",
            "\n\nDead man's switch: all orders go at 2025-10-10 21:15:00 UTC.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(super::text(&v1::OrdersResponse::default(), &markets()), None);
    }

    #[test]
    fn programs_get_the_same() {
        let json = json(&answer(), &markets());
        assert_eq!(json["orders"][0]["peg"]["offset"], "5.0");
        assert_eq!(json["orders"][1]["display"], "0.0010");
        assert_eq!(json["waiting"][0]["pair_order_id"], 10);
        assert_eq!(
            (&json["waiting"][0]["size"], &json["waiting"][0]["whole_position"]),
            (&Value::Null, &Value::Bool(true))
        );
        assert_eq!(json["waiting"][1]["twap"]["slices_left"], 6);
        assert_eq!(json["cancel_all_at_ms"], 1_760_130_900_000_u64);
    }
}

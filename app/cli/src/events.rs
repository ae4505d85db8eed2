//! `tidemark events`: what becomes of an account's orders, one line each.

use serde_json::{json, Value};
use tidemark_client::format::{grouped, money, time_text};
use tidemark_client::words::{past_word, side_word};
use tidemark_client::{usdc, ClientError, Market};
use tidemark_proto::units::{Atoms, Lots, Ticks};
use tidemark_proto::v1::account_event::Event;
use tidemark_proto::{v1, Code};

use super::args::Events;
use super::order::mark_words;
use super::{print_line, CliError, Context};

pub(super) async fn run(context: &Context, args: &Events) -> Result<(), CliError> {
    let address = context.address(&args.who.address)?;
    let client = context.connect().await?;
    let mut markets = client.markets().await?;
    let subaccount = context.global.subaccount;
    let mut events = match args.from {
        Some(height) => client.account_stream_from(&address, subaccount, height).await?,
        None => client.account_stream(&address, subaccount, args.after).await?,
    };
    loop {
        let event = match events.message().await {
            Ok(Some(event)) => event,
            Ok(None) => {
                let why = "the node ended the stream".to_owned();
                return Err(ClientError::Unreachable { node: client.node().to_owned(), why }.into());
            }
            Err(status) => return Err(client.stream_ended(&status).into()),
        };
        if let Some(Event::FlatFee(fee)) = &event.event {
            print_line(&if context.json() {
                at(fee_json(fee), &event).to_string()
            } else {
                fee_line(&event, fee)
            });
            continue;
        }
        if markets.by_id(event.market).is_none() {
            // Listed since.
            markets = client.markets().await?;
        }
        let Some(market) = markets.by_id(event.market) else { continue };
        if context.json() {
            print_line(&to_json(market, &event).to_string());
        } else if let Some(line) = line(market, &event) {
            print_line(&line);
        }
    }
}

/// An event in words, with the sequence number from which to go on.
fn line(market: &Market, event: &v1::AccountEvent) -> Option<String> {
    let what = sentence(market, event.event.as_ref()?)?;
    let order = match (event.order_id, event.client_id) {
        (0, _) => String::new(),
        (id, 0) => format!("order {id} "),
        (id, client) => format!("order {id} ({client}) "),
    };
    let (time, symbol) = (time_text(event.time_ms), &market.symbol);
    Some(format!("{time}  {symbol:<8} {order}{what}  [{}]", event.sequence))
}

/// A flat fee, which is of no market and no order, in words.
fn fee_line(event: &v1::AccountEvent, fee: &v1::FlatFeePaid) -> String {
    let time = time_text(event.time_ms);
    format!("{time}  {:<8} {}  [{}]", "-", fee_sentence(fee), event.sequence)
}

fn fee_sentence(fee: &v1::FlatFeePaid) -> String {
    let (amount, operations) = (grouped(usdc(fee.fee_atoms), 6), fee.operations);
    format!("flat fee of {amount} USDC paid for {operations} beyond the allowance")
}

fn fee_json(fee: &v1::FlatFeePaid) -> Value {
    json!({"event": "flat_fee", "operations": fee.operations, "fee": usdc(fee.fee_atoms)})
}

fn notional(market: &Market, fill: &v1::OrderFilled) -> i128 {
    let notional = Ticks::new(fill.price_ticks).notional_atoms(Lots::new(fill.lots), market.k);
    notional.unwrap_or(Atoms::MAX).get()
}

fn sentence(market: &Market, event: &Event) -> Option<String> {
    let amount = |lots: u64| format!("{} {}", market.size(Lots::new(lots)), market.base());
    let price = |ticks: u64| market.price(Ticks::new(ticks));
    let trade = |side: v1::Side, lots, ticks| {
        format!("{} {} at {}", past_word(side), amount(lots), price(ticks))
    };
    Some(match event {
        Event::Rested(order) => {
            let (size, price) = (amount(order.lots), price(order.price_ticks));
            format!("rests: {} {size} at {price}", side_word(order.side()))
        }
        Event::Filled(fill) => {
            let fee = grouped(usdc(fill.fee_atoms), 6);
            let left = match fill.remaining_lots {
                0 => "all of it".to_owned(),
                lots => format!("{} left", amount(lots)),
            };
            let role = if fill.maker { "maker" } else { "taker" };
            let forced = if fill.liquidation { ", a liquidation" } else { "" };
            format!(
                "{} as {role}{forced}, for {} USDC, fee {fee} USDC, {left}",
                trade(fill.side(), fill.lots, fill.price_ticks),
                money(notional(market, fill))
            )
        }
        Event::Removed(removed) => {
            format!("is gone: {}, {} unfilled", code_word(removed.code), amount(removed.lots))
        }
        Event::Waiting(order) => waiting_sentence(market, order),
        Event::Triggered(triggered) => match triggered.code {
            0 => format!("triggered: placed as order {}", triggered.placed_order_id),
            code => {
                format!("triggered and was REFUSED: {}: {}", code_word(code), triggered.message)
            }
        },
        Event::Slice(slice) => {
            let traded = match slice.code {
                0 => format!(": {} of {} traded", amount(slice.filled_lots), amount(slice.lots)),
                code => format!(" was REFUSED: {}: {}", code_word(code), slice.message),
            };
            format!("slice{traded}, {} slices to come", slice.slices_left)
        }
        Event::Adl(adl) => format!("deleveraged: {}", trade(adl.side(), adl.lots, adl.price_ticks)),
        Event::Taken(taken) => {
            format!("taken over: {}", trade(taken.side(), taken.lots, taken.price_ticks))
        }
        Event::Settled(settled) => {
            format!("settled: {}", trade(settled.side(), settled.lots, settled.price_ticks))
        }
        Event::FlatFee(fee) => fee_sentence(fee),
    })
}

/// An order that waits for its trigger, or for its next slice.
fn waiting_sentence(market: &Market, order: &v1::ConditionalOrder) -> String {
    let side = side_word(order.side());
    let size = format!("{} {}", market.size(Lots::new(order.lots)), market.base());
    if order.trigger() == v1::Trigger::None {
        let (left, slices) = (order.slices_left, order.slices);
        return format!("waits: {left} of {slices} slices to come, {size} to {side}");
    }
    let size = if order.whole_position { "the whole position" } else { &size };
    let mark = mark_words(
        market,
        (order.side(), order.trigger()),
        order.trigger_price_ticks,
        (order.trail_ticks, order.trail_ppm),
    );
    format!("waits for {mark}, to {side} {size}")
}

fn code_word(code: u32) -> &'static str {
    Code::from_number(code).map_or("an unknown code", Code::word)
}

fn to_json(market: &Market, event: &v1::AccountEvent) -> Value {
    let mut value =
        event.event.as_ref().map_or(json!({"event": "unknown"}), |event| event_json(market, event));
    value["market"] = json!(market.symbol);
    value["order_id"] = json!(event.order_id);
    value["client_id"] = json!(event.client_id);
    at(value, event)
}

/// With the event's place in the chain.
fn at(mut value: Value, event: &v1::AccountEvent) -> Value {
    value["sequence"] = json!(event.sequence);
    value["height"] = json!(event.height);
    value["time_ms"] = json!(event.time_ms);
    value
}

fn event_json(market: &Market, event: &Event) -> Value {
    let size = |lots: u64| json!(market.size(Lots::new(lots)));
    let price = |ticks: u64| json!(market.price(Ticks::new(ticks)));
    let code = |code: u32| Code::from_number(code).filter(|code| *code != Code::Ok).map(Code::word);
    let trade = |kind: &str, side: v1::Side, lots, ticks| {
        json!({
            "event": kind,
            "side": side_word(side),
            "size": size(lots),
            "price": price(ticks),
        })
    };
    match event {
        Event::Rested(order) => trade("rested", order.side(), order.lots, order.price_ticks),
        Event::Filled(fill) => {
            let mut value = trade("filled", fill.side(), fill.lots, fill.price_ticks);
            value["maker"] = json!(fill.maker);
            value["notional"] = json!(usdc(notional(market, fill)));
            value["fee"] = json!(usdc(fill.fee_atoms));
            value["remaining"] = size(fill.remaining_lots);
            value["liquidation"] = json!(fill.liquidation);
            value
        }
        Event::Removed(removed) => {
            json!({"event": "removed", "code": code(removed.code), "unfilled": size(removed.lots)})
        }
        Event::Waiting(order) => waiting_json(market, order),
        Event::Triggered(triggered) => json!({
            "event": "triggered",
            "code": code(triggered.code),
            "message": triggered.message,
            "placed_order_id": triggered.placed_order_id,
            "forfeited": usdc(triggered.forfeited_atoms),
        }),
        Event::Slice(slice) => json!({
            "event": "slice",
            "code": code(slice.code),
            "message": slice.message,
            "size": size(slice.lots),
            "filled": size(slice.filled_lots),
            "slices_left": slice.slices_left,
            "placed_order_id": slice.placed_order_id,
            "forfeited": usdc(slice.forfeited_atoms),
        }),
        Event::Adl(adl) => trade("deleveraged", adl.side(), adl.lots, adl.price_ticks),
        Event::Taken(taken) => trade("taken", taken.side(), taken.lots, taken.price_ticks),
        Event::Settled(settled) => {
            trade("settled", settled.side(), settled.lots, settled.price_ticks)
        }
        Event::FlatFee(fee) => fee_json(fee),
    }
}

fn waiting_json(market: &Market, order: &v1::ConditionalOrder) -> Value {
    let price = |ticks: u64| market.price(Ticks::new(ticks));
    json!({
        "event": "waiting",
        "side": side_word(order.side()),
        "size": market.size(Lots::new(order.lots)),
        "whole_position": order.whole_position,
        "trigger_price": price(order.trigger_price_ticks),
        "trail": price(order.trail_ticks),
        "trail_ppm": order.trail_ppm,
        "oco_order_id": order.oco_order_id,
        "entry_order_id": order.entry_order_id,
        "slices_left": order.slices_left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::btc;

    fn told(event: Event) -> v1::AccountEvent {
        v1::AccountEvent {
            sequence: 77,
            height: 1,
            market: 3,
            order_id: 9,
            client_id: 5,
            event: Some(event),
            ..Default::default()
        }
    }

    #[test]
    fn what_became_of_an_order_is_told_in_a_line_and_in_json() {
        let refused = Event::Triggered(v1::OrderTriggered {
            code: Code::InsufficientCollateral.number(),
            placed_order_id: 0,
            message: "free would be -3".into(),
            forfeited_atoms: 1_000_000,
        });
        let event = told(refused);
        let text = line(&btc(), &event).unwrap();
        assert!(
            text.ends_with(
                "BTC-USD  order 9 (5) triggered and was REFUSED: INSUFFICIENT_COLLATERAL: free \
                 would be -3  [77]"
            ),
            "{text}"
        );
        let value = to_json(&btc(), &event);
        assert_eq!(
            (&value["code"], &value["sequence"]),
            (&json!("INSUFFICIENT_COLLATERAL"), &json!(77))
        );
        let fee = v1::FlatFeePaid { operations: 3, fee_atoms: 3_000 };
        let event = v1::AccountEvent { sequence: 77, height: 1, ..Default::default() };
        let text = fee_line(&event, &fee);
        assert!(
            text.ends_with("flat fee of 0.003000 USDC paid for 3 beyond the allowance  [77]"),
            "{text}"
        );
        let value = at(fee_json(&fee), &event);
        assert_eq!((&value["operations"], &value["sequence"]), (&json!(3), &json!(77)));
        let fill = Event::Filled(v1::OrderFilled {
            side: v1::Side::Sell.into(),
            price_ticks: 600_000,
            lots: 100,
            maker: true,
            fee_atoms: 90_000,
            remaining_lots: 0,
            liquidation: false,
        });
        let text = line(&btc(), &told(fill)).unwrap();
        assert!(
            text.contains("sold 0.0100 BTC at 60000.0 as maker, for 600.00 USDC, fee 0.09"),
            "{text}"
        );
    }
}

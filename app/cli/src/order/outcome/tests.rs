//! Tests of the words for outcomes.

use super::*;
use crate::fixtures::{btc, btc_params};

fn result(filled_lots: u64, resting_lots: u64, rest_code: u32) -> v1::OperationResult {
    v1::OperationResult {
        order_id: 9,
        filled_lots,
        resting_lots,
        rest_code,
        notional_atoms: filled_lots * 6_000_000,
        fee_atoms: filled_lots as i64 * 3_000,
        ..Default::default()
    }
}

fn buy() -> v1::PlaceOrder {
    v1::PlaceOrder { side: v1::Side::Buy.into(), lots: 100, ..Default::default() }
}

fn stop(side: v1::Side) -> v1::PlaceOrder {
    v1::PlaceOrder {
        side: side.into(),
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 580_000,
        ..buy()
    }
}

fn says(operation: Operation, result: &v1::OperationResult) -> String {
    sentence(&operation, result, Some(&btc()))
}

#[test]
fn what_became_of_an_order_is_one_sentence() {
    for (result, expected) in [
        (
            result(40, 60, 0),
            "bought 0.0040 BTC for 240.00 USDC (fee 0.12), 0.0060 BTC rests as order 9",
        ),
        (result(100, 0, 0), "bought 0.0100 BTC for 600.00 USDC (fee 0.30)"),
        (result(0, 100, 0), "0.0100 BTC rests as order 9"),
        (result(0, 0, 125), "nothing traded (UNFILLED)"),
        (
            result(10, 0, 125),
            "bought 0.0010 BTC for 60.00 USDC (fee 0.03), the rest was cancelled (UNFILLED)",
        ),
    ] {
        assert_eq!(says(Operation::Place(buy()), &result), expected);
    }
    let iceberg = v1::PlaceOrder { display_lots: 10, ..buy() };
    assert_eq!(
        says(Operation::Place(iceberg), &result(0, 100, 0)),
        "0.0100 BTC rests as order 9, showing 0.0010 at a time"
    );
    for (peg, offset, expected) in [
        (v1::Peg::Mark, -50, "following the mark, 5.0 below it"),
        (v1::Peg::Best, 0, "following the best bid"),
        (v1::Peg::Best, 1, "following the best bid, 0.1 above it"),
    ] {
        let pegged = v1::PlaceOrder { peg: peg.into(), peg_offset_ticks: offset, ..buy() };
        let text = says(Operation::Place(pegged), &result(0, 100, 0));
        assert_eq!(text, format!("0.0100 BTC rests as order 9, {expected}"));
    }
}

#[test]
fn an_order_that_waits_says_for_what() {
    let waits = result(0, 0, 0);
    assert_eq!(
        says(Operation::Place(stop(v1::Side::Sell)), &waits),
        "order 9 waits for the mark to fall to 58000.0, and then sells 0.0100 BTC"
    );
    let limit = v1::PlaceOrder { price_ticks: 580_100, ..stop(v1::Side::Buy) };
    assert_eq!(
        says(Operation::Place(limit), &waits),
        "order 9 waits for the mark to rise to 58000.0, and then buys 0.0100 BTC at 58010.0 \
         or better"
    );
    let whole = v1::PlaceOrder {
        trigger: v1::Trigger::TakeProfit.into(),
        whole_position: true,
        lots: 0,
        ..stop(v1::Side::Sell)
    };
    assert_eq!(
        says(Operation::Place(whole), &waits),
        "order 9 waits for the mark to rise to 58000.0, and then closes the whole position"
    );
    let twap =
        v1::PlaceTwap { side: 2, lots: 100, slices: 10, interval_ms: 30_000, ..Default::default() };
    assert_eq!(
        says(Operation::Twap(twap), &waits),
        "order 9 sells 0.0100 BTC in 10 parts, one each 30s from the next block on"
    );
    assert_eq!(
        says(Operation::Replace(v1::ReplaceOrder::default()), &waits),
        "order 9 is changed, and still waits"
    );
}

#[test]
fn a_pair_and_a_ladder_say_what_all_their_orders_do() {
    let sell = v1::PlaceOrder { side: v1::Side::Sell.into(), ..buy() };
    let pair = |first| {
        Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(stop(v1::Side::Sell)) })
    };
    let both = v1::OperationResult { second_order_id: 10, ..result(0, 100, 0) };
    assert_eq!(
        says(pair(sell), &both),
        "0.0100 BTC rests as order 9; order 10 waits for the mark to fall to 58000.0, and \
         then sells 0.0100 BTC; one cancels the other"
    );
    assert_eq!(
        says(pair(sell), &result(100, 0, 0)),
        "sold 0.0100 BTC for 600.00 USDC (fee 0.30); the stop was not placed: one cancels the other"
    );
    let ladder = v1::PlaceScale { side: 1, ..Default::default() };
    let placed = v1::OperationResult { placed: 5, ..result(20, 80, 0) };
    assert_eq!(
        says(Operation::Scale(ladder), &placed),
        "bought 0.0020 BTC for 120.00 USDC (fee 0.06), 0.0080 BTC rests as 5 orders, 9 to 13"
    );
}

#[test]
fn a_trigger_on_the_wrong_side_of_the_mark_is_explained() {
    let state = v1::MarketState {
        params: Some(btc_params()),
        mark_ticks: 570_000,
        k: 10,
        ..Default::default()
    };
    let markets = Markets::new(vec![state]);
    let stop = v1::PlaceOrder { market: 3, ..stop(v1::Side::Sell) };
    let hint = |operation: &Operation, code: Code, message: &str| {
        let result = v1::OperationResult {
            code: code.number(),
            message: message.into(),
            ..Default::default()
        };
        super::hint(operation, &result, &markets)
    };
    let place = Operation::Place(stop);
    assert_eq!(
        hint(&place, Code::TriggerReached, ""),
        ". --stop 58000.0 to sell waits for the mark to fall, and must be below 57000.0: did \
         you mean --take-profit?"
    );
    let whole = Operation::Place(v1::PlaceOrder { whole_position: true, ..stop });
    assert!(hint(&whole, Code::WouldIncrease, "").contains("`tidemark exits`"));
    assert_eq!(hint(&place, Code::InsufficientCollateral, "free is 1"), "");
    assert_eq!(
        hint(
            &place,
            Code::PriceOutOfBand,
            "rung 0: price is 400000 ticks, must be 480662 to 720992"
        ),
        " (in USDC, 40000.0 must be 48066.2 to 72099.2)"
    );
    assert_eq!(hint(&place, Code::PriceOutOfBand, "price_ticks is 0, must be at least 1"), "");
    let replace = Operation::Replace(v1::ReplaceOrder { market: 3, ..Default::default() });
    assert_eq!(
        hint(
            &replace,
            Code::TriggerReached,
            "the trigger price is 564630 ticks, the mark is 556823: it is reached"
        ),
        " (in USDC, 56463.0 and 55682.3)"
    );
}

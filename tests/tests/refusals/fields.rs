//! Messages with a field that they may not have. The sender is not known to the chain: what is
//! wrong with the message comes first.

use tidemark_proto::tx::Sendable;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{limit, one_market, place, signer};

use super::waiting::{pegged, stop, whole};
use super::{Story, Table};

const BEYOND: u64 = 1_000_000_000_000_000_001;

fn order() -> v1::PlaceOrder {
    limit(0, Buy, 100, 1)
}

fn orders() -> Vec<v1::PlaceOrder> {
    let (market, ioc, gtt) =
        (v1::OrderType::Market, v1::TimeInForce::Ioc.into(), v1::TimeInForce::Gtt.into());
    let post_only = v1::PostOnly::Reject.into();
    let market = v1::PlaceOrder { r#type: market.into(), ..order() };
    vec![
        v1::PlaceOrder { market: 70_000, ..order() },
        v1::PlaceOrder { side: 0, ..order() },
        v1::PlaceOrder { side: 3, ..order() },
        v1::PlaceOrder { r#type: 2, ..order() },
        v1::PlaceOrder { time_in_force: 4, ..order() },
        v1::PlaceOrder { post_only: 3, ..order() },
        v1::PlaceOrder { post_only, ..market },
        v1::PlaceOrder { time_in_force: gtt, ..market },
        v1::PlaceOrder { price_ticks: 0, ..order() },
        v1::PlaceOrder { post_only, time_in_force: ioc, ..order() },
        v1::PlaceOrder { display_lots: 1, ..market },
        v1::PlaceOrder { display_lots: 2, ..order() },
        v1::PlaceOrder { trigger: 3, ..order() },
        v1::PlaceOrder { trigger_price_ticks: 1, ..order() },
        v1::PlaceOrder { trail_ticks: 1, ..order() },
        v1::PlaceOrder { trail_ticks: 1, ..stop(Sell, 95, 1) },
        v1::PlaceOrder { trail_ticks: 1, ..stop(Sell, 0, 1) },
        v1::PlaceOrder { trail_ticks: 1, trail_ppm: 1, ..stop(Sell, 0, 1) },
        v1::PlaceOrder { trail_ticks: (1 << 40) + 1, ..stop(Sell, 0, 1) },
        v1::PlaceOrder { trail_ppm: 1_000_000, ..stop(Sell, 0, 1) },
        v1::PlaceOrder { whole_position: true, ..order() },
        stop(Sell, 0, 1),
        v1::PlaceOrder { lots: 1, ..whole(stop(Sell, 95, 0)) },
        v1::PlaceOrder { peg_offset_ticks: 1, ..order() },
        v1::PlaceOrder { peg: 3, ..order() },
        pegged(Buy, v1::Peg::Mark, i64::MIN, 1),
        v1::PlaceOrder { time_in_force: ioc, ..pegged(Buy, v1::Peg::Mark, 0, 1) },
        v1::PlaceOrder { post_only, ..pegged(Buy, v1::Peg::Mark, 0, 1) },
    ]
}

fn ladders() -> Vec<v1::PlaceScale> {
    let scale = v1::PlaceScale {
        side: 1,
        from_ticks: 90,
        to_ticks: 99,
        lots: 10,
        count: 2,
        ..Default::default()
    };
    vec![
        v1::PlaceScale { side: 0, ..scale },
        v1::PlaceScale { to_ticks: 90, ..scale },
        v1::PlaceScale { count: 101, ..scale },
        v1::PlaceScale { skew_ppm: 1, ..scale },
        v1::PlaceScale { client_id: u64::MAX, ..scale },
        v1::PlaceScale { lots: 3, count: 4, ..scale },
    ]
}

fn twaps() -> Vec<v1::PlaceTwap> {
    let twap =
        v1::PlaceTwap { side: 1, lots: 10, slices: 4, interval_ms: 2_000, ..Default::default() };
    vec![
        v1::PlaceTwap { side: 0, ..twap },
        v1::PlaceTwap { slices: 11, ..twap },
        v1::PlaceTwap { interval_ms: 1, ..twap },
        v1::PlaceTwap { slippage_ppm: 1_000_000, ..twap },
    ]
}

fn pairs() -> Vec<v1::PlaceOco> {
    let pair = |first, second| v1::PlaceOco { first: Some(first), second: Some(second) };
    let ioc = v1::TimeInForce::Ioc.into();
    vec![
        v1::PlaceOco { first: None, second: Some(order()) },
        pair(v1::PlaceOrder { side: 0, ..order() }, order()),
        pair(order(), v1::PlaceOrder { market: 1, ..order() }),
        pair(order(), order()),
        pair(order(), whole(stop(Sell, 95, 0))),
        pair(pegged(Buy, v1::Peg::Mark, 0, 1), stop(Sell, 95, 1)),
        pair(v1::PlaceOrder { time_in_force: ioc, ..order() }, stop(Sell, 95, 1)),
    ]
}

fn brackets() -> Vec<v1::PlaceBracket> {
    let bracket = |entry, exit| v1::PlaceBracket {
        entry: Some(entry),
        take_profit: None,
        stop_loss: Some(exit),
    };
    vec![
        v1::PlaceBracket { entry: None, ..bracket(order(), stop(Sell, 95, 0)) },
        v1::PlaceBracket { stop_loss: None, ..bracket(order(), stop(Sell, 95, 0)) },
        bracket(stop(Buy, 105, 1), stop(Sell, 95, 0)),
        bracket(order(), stop(Buy, 105, 0)),
        bracket(order(), v1::PlaceOrder { trigger: 2, ..stop(Sell, 95, 0) }),
        bracket(order(), stop(Sell, 95, 1)),
    ]
}

fn operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = orders().into_iter().map(place).collect();
    all.extend(ladders().into_iter().map(Operation::Scale));
    all.extend(twaps().into_iter().map(Operation::Twap));
    all.extend(pairs().into_iter().map(Operation::Oco));
    all.extend(brackets().into_iter().map(Operation::Bracket));
    all.push(Operation::Cancel(v1::CancelOrder::default()));
    all.push(Operation::Replace(v1::ReplaceOrder { order_id: 1, ..Default::default() }));
    all.push(Operation::Replace(v1::ReplaceOrder {
        order_id: 1,
        lots: Some(1),
        total_lots: Some(1),
        ..Default::default()
    }));
    all.push(Operation::CancelAll(v1::CancelAll { market: None, side: 3 }));
    all
}

fn message(story: &mut Story<'_>, message: impl Sendable) {
    story.send("nobody", message);
}

pub(super) fn run(table: &mut Table) {
    let mut story = Story::new(one_market(&[]), table);
    let story = &mut story;
    for operation in operations() {
        let operations = vec![v1::Operation { operation: Some(operation) }];
        message(story, v1::MsgOrders { operations, ..Default::default() });
    }
    let empty = vec![v1::Operation { operation: None }];
    message(story, v1::MsgOrders { operations: empty.clone(), ..Default::default() });
    message(story, v1::MsgOrders { operations: vec![empty[0]; 513], ..Default::default() });
    let cancel = vec![v1::Operation {
        operation: Some(Operation::CancelAll(v1::CancelAll { market: None, side: 0 })),
    }];
    message(story, v1::MsgOrders { operations: cancel, mode: 2, ..Default::default() });
    message(story, v1::MsgDeposit::default());
    let recipient = signer("nobody").address().to_string();
    for amount_atoms in [0, BEYOND] {
        let recipient = recipient.clone();
        message(story, v1::MsgDeposit { recipient, amount_atoms, ..Default::default() });
    }
    message(story, v1::MsgWithdraw::default());
    message(story, v1::MsgTransfer { amount_atoms: 1, ..Default::default() });
    message(story, v1::MsgSetLeverage { market: 70_000, ..Default::default() });
    message(story, v1::MsgSetSelfTradePrevention { policy: 4, ..Default::default() });
    message(story, v1::MsgListMarket::default());
    message(story, v1::MsgSetMarginMode { mode: 2, ..Default::default() });
    message(story, v1::MsgAdjustIsolatedMargin::default());
    let set_aside_atoms = BEYOND;
    message(story, v1::MsgRegisterBackstop { set_aside_atoms, ..Default::default() });
    message(story, v1::MsgTakeover::default());
}

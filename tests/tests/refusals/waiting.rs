//! Orders that wait, hang on another, come in parts or follow a price.

use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{limit, place};

use super::{Story, Table};

pub(super) fn stop(side: v1::Side, trigger_price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        r#type: v1::OrderType::Market.into(),
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks,
        ..limit(0, side, 0, lots)
    }
}

pub(super) fn whole(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { whole_position: true, lots: 0, ..order }
}

pub(super) fn pegged(
    side: v1::Side,
    peg: v1::Peg,
    peg_offset_ticks: i64,
    lots: u64,
) -> v1::PlaceOrder {
    v1::PlaceOrder { peg: peg.into(), peg_offset_ticks, ..limit(0, side, 0, lots) }
}

fn oco(first: v1::PlaceOrder, second: v1::PlaceOrder) -> Operation {
    Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(second) })
}

fn switch(at_ms: u64) -> Operation {
    Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms })
}

fn twap(lots: u64) -> Operation {
    Operation::Twap(v1::PlaceTwap {
        side: Buy.into(),
        lots,
        slices: 2,
        interval_ms: 1_000,
        ..Default::default()
    })
}

pub(super) fn run(table: &mut Table) {
    let mut story = Story::one_market(&["long", "short"], table);
    story.orders("short", vec![place(limit(0, Sell, 100, 100))]);
    story.orders("long", vec![place(limit(0, Buy, 100, 100))]);
    let named = |order| v1::PlaceOrder { client_id: 7, ..order };
    let result = story.orders(
        "long",
        vec![
            place(stop(Sell, 100, 1)),
            place(whole(stop(Buy, 120, 0))),
            place(pegged(Buy, v1::Peg::Best, 0, 1)),
            place(named(stop(Sell, 90, 1))),
            place(named(limit(0, Buy, 90, 1))),
            oco(named(limit(0, Sell, 110, 1)), stop(Sell, 101, 1)),
            oco(
                v1::PlaceOrder { client_id: 8, ..limit(0, Sell, 110, 1) },
                v1::PlaceOrder { client_id: 8, ..stop(Sell, 90, 1) },
            ),
            place(whole(stop(Sell, 85, 0))),
            twap(1_000),
            place(pegged(Buy, v1::Peg::Mark, -5, 1)),
            switch(1),
            twap(10_000_000_000),
            place(v1::PlaceOrder { reduce_only: true, ..stop(Sell, 90, 101) }),
        ],
    );
    let change =
        |at: usize| v1::ReplaceOrder { order_id: result[at].order_id, ..Default::default() };
    let operations = [
        v1::ReplaceOrder { lots: Some(2), ..change(7) },
        v1::ReplaceOrder { lots: Some(2), ..change(8) },
        v1::ReplaceOrder { price_ticks: 90, ..change(9) },
        v1::ReplaceOrder { trigger_price_ticks: 100, ..change(3) },
    ];
    story.orders("long", operations.map(Operation::Replace).to_vec());
    // A trailing stop has a trigger price of its own making, and needs one.
    let trailing =
        |trail_ticks| v1::PlaceOrder { trail_ticks, reduce_only: true, ..stop(Sell, 0, 1) };
    let trail = story.orders("long", vec![place(trailing(100)), place(trailing(5))])[1].order_id;
    let price = v1::ReplaceOrder { order_id: trail, trigger_price_ticks: 90, ..Default::default() };
    let cancel = v1::CancelOrder { order_id: trail, ..Default::default() };
    story.orders("long", vec![Operation::Replace(price), Operation::Cancel(cancel)]);
    // A bracket's exit waits for its entry to fill.
    let entry = Some(limit(0, Buy, 90, 2));
    let bracket = v1::PlaceBracket { entry, take_profit: None, stop_loss: Some(stop(Sell, 80, 0)) };
    let placed = story.orders("long", vec![Operation::Bracket(bracket)]);
    let (order_id, entry) = (placed[0].second_order_id, placed[0].order_id);
    let price = v1::ReplaceOrder { order_id, trigger_price_ticks: 70, ..Default::default() };
    let cancel = v1::CancelOrder { order_id: entry, ..Default::default() };
    story.orders("long", vec![Operation::Replace(price), Operation::Cancel(cancel)]);
    // Of a pair one is cancelled, and the other goes.
    let pair = oco(limit(0, Sell, 110, 1), stop(Sell, 90, 1));
    let first = story.orders("long", vec![pair])[0].order_id;
    let cancel = v1::CancelOrder { order_id: first, ..Default::default() };
    story.orders("long", vec![Operation::Cancel(cancel)]);
    // Twenty orders wait to reduce a position of 10 000 USDC. A client id is known for a while
    // after its order has ended.
    let exit = place(v1::PlaceOrder { reduce_only: true, ..stop(Sell, 80, 1) });
    story.orders("long", vec![exit; 21]);
    let named = place(v1::PlaceOrder { client_id: 9, ..limit(0, Buy, 90, 1) });
    let cancel = v1::CancelOrder { client_id: 9, ..Default::default() };
    story.orders("long", vec![named, Operation::Cancel(cancel), named]);
    // The dead man's switch.
    let at_ms = story.chain.now_ms + 6_000;
    story.orders("long", vec![switch(at_ms)]);
    for _ in 0..8 {
        story.block();
    }
}

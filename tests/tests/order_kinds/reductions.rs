//! Reduce-only orders: of a side they share the position.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Side, Ticks};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell, TimeInForce};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, lots, place, plain_market, word, Chain,
};

use super::{left, long_100, send};

fn exit(side: v1::Side, price_ticks: u64, quantity: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { reduce_only: true, ..limit(0, side, price_ticks, quantity) }
}

fn at_once(order: v1::PlaceOrder) -> Operation {
    place(v1::PlaceOrder { time_in_force: TimeInForce::Ioc.into(), ..order })
}

/// Lots that a level shows.
fn shown(chain: &Chain, side: Side, price_ticks: u64) -> u64 {
    chain.state.markets[0].book.level_at(side, Ticks::new(price_ticks)).lots.get()
}

#[test]
fn rules_2_reduce_only_orders_show_no_more_than_the_position() {
    let mut chain = long_100();
    let (code, first) = send(&mut chain, "long", place(exit(Sell, 105, 1_000_000)));
    assert_eq!((code, first.resting_lots), ("OK", lots(100)));
    assert_eq!(first.rest_code.map(|code| code.word()), Some("NOTHING_TO_REDUCE"));
    assert_eq!(shown(&chain, Side::Sell, 105), 100);
    // A better price has its part first; of what stood behind it the rest stays.
    let (_, second) = send(&mut chain, "long", place(exit(Sell, 104, 30)));
    assert_eq!((second.resting_lots, second.rest_code), (lots(30), None));
    let levels = |chain: &Chain| (shown(chain, Side::Sell, 104), shown(chain, Side::Sell, 105));
    assert_eq!(levels(&chain), (30, 70));
    // Another order of the account trades: the last in order shrink.
    send(&mut chain, "long", at_once(limit(0, Sell, 92, 60)));
    assert_eq!((chain.lots("long", 0), levels(&chain)), (40, (30, 10)));
    // More position gives nothing back; a replacement asks for it.
    send(&mut chain, "maker", place(limit(0, Sell, 103, 50)));
    send(&mut chain, "long", place(limit(0, Buy, 103, 50)));
    assert_eq!((chain.lots("long", 0), levels(&chain)), (90, (30, 10)));
    let more =
        v1::ReplaceOrder { order_id: first.order_id.get(), lots: Some(80), ..Default::default() };
    let (code, replaced) = send(&mut chain, "long", Operation::Replace(more));
    assert_eq!((code, replaced.resting_lots, levels(&chain)), ("OK", lots(60), (30, 60)));
    chain.orders("long", vec![at_once(limit(0, Sell, 92, 90))]);
    let events = chain.block();
    healthy(&events);
    let gone = [first.order_id, second.order_id].map(|order| (order, "NOTHING_TO_REDUCE"));
    assert_eq!((left(&events), levels(&chain)), (gone.to_vec(), (0, 0)));
}

#[test]
fn rules_2_a_liquidation_shrinks_the_reduce_only_orders_of_what_it_closes() {
    // An insurance fund would buy beyond the zero price.
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0));
    chain.index(0, 100);
    for (name, usdc) in [("thin", 10_000), ("other", 10_000), ("short", 20_000)] {
        chain.deposit(name, usdc);
    }
    healthy(&chain.block());
    chain.orders("short", vec![place(limit(0, Sell, 100, 1_200))]);
    healthy(&chain.block());
    for (name, quantity) in [("thin", 900), ("other", 300)] {
        chain.orders(name, vec![place(limit(0, Buy, 100, quantity))]);
    }
    healthy(&chain.block());
    chain.orders("short", vec![place(exit(Buy, 81, 700)), place(exit(Buy, 80, 1_200))]);
    healthy(&chain.block());
    assert_eq!((shown(&chain, Side::Buy, 81), shown(&chain, Side::Buy, 80)), (700, 500));
    chain.index(0, 85);
    let events = chain.block();
    healthy(&events);
    let last = liquidations(&events).last().map(|step| step.stage);
    assert_eq!((last, chain.lots("short", 0)), (Some(LiquidationStage::Adl), -300));
    assert_eq!((shown(&chain, Side::Buy, 81), shown(&chain, Side::Buy, 80)), (300, 0));
}

#[test]
fn rules_2_twenty_reduce_only_orders_rest_on_a_side_however_they_come() {
    let mut chain = long_100();
    let ladder = |count| {
        Operation::Scale(v1::PlaceScale {
            side: Sell.into(),
            from_ticks: 101,
            to_ticks: 109,
            lots: 42,
            count,
            reduce_only: true,
            ..Default::default()
        })
    };
    assert_eq!(send(&mut chain, "long", ladder(21)).0, "TOO_MANY_OPEN_ORDERS");
    let (code, placed) = send(&mut chain, "long", ladder(20));
    assert_eq!((code, placed.placed), ("OK", 20));
    assert_eq!(send(&mut chain, "long", place(exit(Sell, 105, 1))).0, "TOO_MANY_OPEN_ORDERS");
    assert_eq!(send(&mut chain, "long", place(limit(0, Sell, 109, 1))).0, "OK");
    // One that takes needs no place; and of a batch the one that leaves makes room.
    assert_eq!(send(&mut chain, "long", at_once(exit(Sell, 92, 1))).0, "OK");
    let cancel = Operation::Cancel(v1::CancelOrder {
        order_id: placed.order_id.get(),
        ..Default::default()
    });
    for (cancels, code) in [(vec![], "TOO_MANY_OPEN_ORDERS"), (vec![cancel], "OK")] {
        let orders = cancels.into_iter().chain([place(exit(Sell, 105, 1))]);
        let operations =
            orders.map(|operation| v1::Operation { operation: Some(operation) }).collect();
        let mode = v1::BatchMode::All.into();
        chain.send("long", v1::MsgOrders { operations, mode, ..Default::default() });
        let events = chain.block();
        healthy(&events);
        assert_eq!(word(&events.txs[0]), code);
    }
}

#[test]
fn rules_3_a_reduce_only_order_reserves_for_its_part() {
    let mut chain = long_100();
    // With this bid, only an order that free collateral covers is taken.
    assert_eq!(send(&mut chain, "long", place(limit(0, Buy, 90, 1_000))).0, "OK");
    let (code, result) = send(&mut chain, "long", place(exit(Sell, 105, 1_000_000)));
    assert_eq!((code, result.resting_lots), ("OK", lots(100)));
}

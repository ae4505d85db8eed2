//! TWAPs: orders that come in slices.

use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{healthy, limit, place};

use super::{left, long_100, one_market, send, waiting};

#[test]
fn rules_2_a_twap_trades_its_part_each_interval_and_catches_up_what_was_missed() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 4))]);
    healthy(&chain.block());
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 10,
        slices: 4,
        interval_ms: 2_000,
        slippage_ppm: 20_000,
        client_id: 3,
        ..Default::default()
    };
    let mut held = Vec::new();
    assert_eq!(send(&mut chain, "buyer", Operation::Twap(twap)).0, "OK");
    for _ in 0..2 {
        healthy(&chain.block());
        held.push(chain.lots("buyer", 0));
    }
    assert_eq!(held, [3, 3], "⌈10/4⌉ in the next block, and no more for two seconds");
    healthy(&chain.block());
    assert_eq!(chain.lots("buyer", 0), 4, "5 by the second slice, but the offer has 4");
    chain.orders("maker", vec![place(limit(0, Sell, 101, 100))]);
    healthy(&chain.block());
    let slices: Vec<_> = chain.state.markets[0].conditional.iter().cloned().collect();
    assert_eq!(slices.len(), 1, "{slices:?}");
    healthy(&chain.block());
    assert_eq!(chain.lots("buyer", 0), 8, "by the third slice ⌈10·3/4⌉");
    chain.blocks(2);
    assert_eq!((chain.lots("buyer", 0), waiting(&chain)), (10, 0));
}

#[test]
fn rules_2_a_twap_takes_no_price_beyond_its_bounds_and_cancels_what_its_last_slice_leaves() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 103, 100))]);
    healthy(&chain.block());
    let twap = |limit_ticks, slippage_ppm| v1::PlaceTwap {
        side: Buy.into(),
        lots: 6,
        slices: 2,
        interval_ms: 1_000,
        slippage_ppm,
        limit_ticks,
        ..Default::default()
    };
    for (limit_ticks, slippage_ppm, bought) in [(0, 10_000, 0), (102, 40_000, 0), (104, 40_000, 6)]
    {
        let before = chain.lots("buyer", 0);
        assert_eq!(
            send(&mut chain, "buyer", Operation::Twap(twap(limit_ticks, slippage_ppm))).0,
            "OK"
        );
        healthy(&chain.block());
        let events = chain.block();
        assert_eq!((chain.lots("buyer", 0) - before, waiting(&chain)), (bought, 0));
        let unfilled = left(&events).iter().any(|(_, code)| *code == "UNFILLED");
        assert_eq!(unfilled, bought == 0);
    }
}

#[test]
fn rules_2_a_reduce_only_twap_ends_when_nothing_is_left_to_reduce() {
    let mut chain = long_100();
    let twap = v1::PlaceTwap {
        side: Sell.into(),
        lots: 100,
        slices: 4,
        interval_ms: 1_000,
        slippage_ppm: 200_000,
        reduce_only: true,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "long", Operation::Twap(twap)).0, "OK");
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 75);
    // Somebody else closes, and then a slice does.
    chain.orders("long", vec![place(limit(0, Sell, 90, 40))]);
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 10);
    let events = chain.block();
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
    assert_eq!(left(&events).last().map(|(_, code)| *code), Some("NOTHING_TO_REDUCE"));
}

#[test]
fn rules_2_a_reduce_only_twap_goes_with_the_position() {
    let mut chain = long_100();
    let twap = v1::PlaceTwap {
        side: Sell.into(),
        lots: 100,
        slices: 4,
        interval_ms: 60_000,
        slippage_ppm: 200_000,
        reduce_only: true,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "long", Operation::Twap(twap)).0, "OK");
    healthy(&chain.block());
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (75, 1));
    chain.orders("long", vec![place(limit(0, Sell, 90, 75))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
    assert!(left(&events).iter().any(|(_, code)| *code == "NOTHING_TO_REDUCE"));
}

#[test]
fn rules_2_a_pause_however_long_counts_as_three_slices_of_a_twap_at_most() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 100))]);
    healthy(&chain.block());
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 50,
        slices: 5,
        interval_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "buyer", Operation::Twap(twap)).0, "OK");
    healthy(&chain.block());
    assert_eq!((chain.lots("buyer", 0), waiting(&chain)), (10, 1));
    chain.now_ms += 3 * 86_400_000;
    healthy(&chain.block());
    let got = (chain.lots("buyer", 0), waiting(&chain));
    assert_eq!(got, (40, 1), "one order, for three slices");
    healthy(&chain.block());
    assert_eq!((chain.lots("buyer", 0), waiting(&chain)), (50, 0), "the last, a second later");
}

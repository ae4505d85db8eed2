//! Orders that wait, hang on another, or come in parts, rule by rule, on a chain without consensus.
//! Prices are in whole USDC, quantities in whole units.

mod brackets;
mod pairs;
mod pegged;
mod reductions;
mod totals;
mod trails;
mod triggers;
mod twap;
mod waiting;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome::{self, OperationResult};
use tidemark_proto::units::{OrderId, Ppm, TimeMs};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{self, healthy, limit, lots, place, word, Chain};

fn stop(side: v1::Side, trigger_price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        r#type: v1::OrderType::Market.into(),
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks,
        ..limit(0, side, 0, lots)
    }
}

fn take_profit(side: v1::Side, trigger_price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        trigger: v1::Trigger::TakeProfit.into(),
        ..stop(side, trigger_price_ticks, lots)
    }
}

/// As [`harness::one_market`], with a mark that is the index.
fn one_market(traders: &[&str]) -> Chain {
    let mut chain = harness::one_market(traders);
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.mark_band_ppm = Ppm::ZERO;
    chain.send(
        "faucet",
        v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() },
    );
    healthy(&chain.block());
    chain
}

/// A chain where `long` holds 100 lots bought at 100 of `maker`, and `maker` bids 1 000 at 92 and
/// offers 1 000 at 110.
fn long_100() -> Chain {
    let mut chain = one_market(&["long", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 100, 100))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 100))]);
    chain.orders("maker", vec![place(limit(0, Buy, 92, 1_000)), place(limit(0, Sell, 110, 1_000))]);
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 100);
    chain
}

/// Moves the index, and the mark with it.
fn mark_to(chain: &mut Chain, ticks: u64) -> BlockEvents {
    chain.index(0, ticks);
    let events = chain.block();
    healthy(&events);
    events
}

/// An operation of a name in a block of its own: the code of its first result.
fn send(chain: &mut Chain, name: &str, operation: Operation) -> (&'static str, OperationResult) {
    chain.orders(name, vec![operation]);
    let events = chain.block();
    healthy(&events);
    // A message that says nothing sensible has no results.
    (word(&events.txs[0]), events.txs[0].results.first().cloned().unwrap_or_default())
}

fn waiting(chain: &Chain) -> usize {
    chain.state.markets[0].conditional.iter().filter(|order| order.waits()).count()
}

/// Codes with which orders left, and with which triggers were refused (`OK` where they were not),
/// in order.
fn left(events: &BlockEvents) -> Vec<(OrderId, &'static str)> {
    let told = events.events.iter().filter_map(|event| match event {
        Event::Removed { order_id, code, .. } => Some((*order_id, code.word())),
        Event::Triggered { order_id, refusal, .. } => {
            Some((*order_id, outcome::code(refusal.as_deref()).word()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn rules_2_a_ladder_is_placed_whole_or_not_at_all() {
    let mut chain = one_market(&["trader"]);
    let ladder = v1::PlaceScale {
        side: Buy.into(),
        from_ticks: 99,
        to_ticks: 90,
        lots: 100,
        count: 4,
        client_id: 10,
        ..Default::default()
    };
    let (code, result) = send(&mut chain, "trader", Operation::Scale(ladder));
    assert_eq!((code, result.placed, result.resting_lots), ("OK", 4, lots(100)));
    let levels: Vec<_> =
        chain.state.markets[0].book.levels(tidemark_proto::units::Side::Buy).collect();
    let levels: Vec<_> =
        levels.into_iter().map(|level| (level.price_ticks.get(), level.lots.get())).collect();
    assert_eq!(levels, [(99, 25), (96, 25), (93, 25), (90, 25)]);
    let cancel = v1::CancelOrder { client_id: 12, ..Default::default() };
    let cancelled = send(&mut chain, "trader", Operation::Cancel(cancel)).1.order_id;
    assert_eq!(cancelled.get(), result.order_id.get() + 2);
    // The last rung's client id is taken; then the margin does not reach for the last rungs.
    for (ladder, why) in [
        (v1::PlaceScale { client_id: 8, count: 3, ..ladder }, "DUPLICATE_CLIENT_ID"),
        (v1::PlaceScale { client_id: 0, lots: 4_000, ..ladder }, "INSUFFICIENT_COLLATERAL"),
        (v1::PlaceScale { client_id: 0, to_ticks: 10, ..ladder }, "PRICE_OUT_OF_BAND"),
    ] {
        assert_eq!(send(&mut chain, "trader", Operation::Scale(ladder)).0, why);
        assert_eq!(chain.state.markets[0].book.live_orders(), 3);
    }
}

#[test]
fn rules_8_phase_3_the_dead_mans_switch_cancels_everything_at_its_time_unless_set_anew() {
    let mut chain = long_100();
    let schedule = |at_ms| Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms });
    let now = chain.now_ms;
    assert_eq!(send(&mut chain, "long", schedule(now + 4_999)).0, "SCHEDULE_OUT_OF_RANGE");
    let orders = vec![
        place(limit(0, Buy, 80, 1)),
        place(stop(Sell, 85, 10)),
        schedule(chain.now_ms + 6_000),
    ];
    chain.orders("long", orders);
    healthy(&chain.block());
    chain.blocks(4);
    // Set anew, it does not fire at its first time.
    let at_ms = chain.now_ms + 10_000;
    assert_eq!(send(&mut chain, "long", schedule(at_ms)).0, "OK");
    chain.blocks(8);
    assert_eq!(
        (chain.state.markets[0].book.open_orders(chain.account_id("long")), waiting(&chain)),
        (1, 1)
    );
    let events = chain.blocks(3);
    assert_eq!(
        (chain.state.markets[0].book.open_orders(chain.account_id("long")), waiting(&chain)),
        (0, 0)
    );
    assert_eq!(left(&events), []);
    assert_eq!(chain.account("long").cancel_all_at_ms, TimeMs::ZERO);
    // Cleared, it does nothing.
    let at_ms = chain.now_ms + 6_000;
    chain.orders("long", vec![place(limit(0, Buy, 80, 1)), schedule(at_ms), schedule(0)]);
    chain.blocks(10);
    assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 1);
}

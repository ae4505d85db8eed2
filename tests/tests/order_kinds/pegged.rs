//! Pegged orders, rule by rule.

use super::*;

fn pegged(side: v1::Side, peg: v1::Peg, peg_offset_ticks: i64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { peg: peg.into(), peg_offset_ticks, ..limit(0, side, 0, lots) }
}

/// Prices of an account's orders on the book, oldest first.
fn prices(chain: &Chain, name: &str) -> Vec<u64> {
    let id = chain.account_id(name);
    let mut orders: Vec<_> = chain.state.markets[0].book.orders_of(id).collect();
    orders.sort_by_key(|order| order.order_id);
    orders.into_iter().map(|order| order.price_ticks.get()).collect()
}

#[test]
fn rules_2_an_order_pegged_to_the_mark_follows_it_within_its_limit() {
    let mut chain = one_market(&["maker"]);
    let bid = pegged(Buy, v1::Peg::Mark, -2, 10);
    let limited = v1::PlaceOrder { price_ticks: 97, ..bid };
    chain.orders(
        "maker",
        vec![place(bid), place(limited), place(pegged(Sell, v1::Peg::Mark, 3, 10))],
    );
    healthy(&chain.block());
    assert_eq!(prices(&chain, "maker"), [98, 97, 103]);
    mark_to(&mut chain, 104);
    assert_eq!(prices(&chain, "maker"), [102, 97, 107]);
    mark_to(&mut chain, 95);
    assert_eq!(prices(&chain, "maker"), [93, 93, 98]);
    assert_eq!(chain.state.markets[0].conditional.iter().count(), 3);
    chain.orders("maker", vec![Operation::CancelAll(v1::CancelAll::default())]);
    healthy(&chain.block());
    assert!(chain.state.markets[0].conditional.is_empty());
}

#[test]
fn rules_2_an_order_pegged_to_the_best_follows_orders_that_are_not_pegged_and_never_takes() {
    let mut chain = one_market(&["maker", "other"]);
    let best = |offset| place(pegged(Buy, v1::Peg::Best, offset, 10));
    assert_eq!(send(&mut chain, "maker", best(0)).0, "NO_REFERENCE_PRICE");
    assert!(chain.state.markets[0].conditional.is_empty());
    chain.orders("other", vec![place(limit(0, Buy, 95, 5)), place(limit(0, Sell, 98, 5))]);
    healthy(&chain.block());
    // One tick better than the best, and one beyond the other side, where it slides.
    chain.orders("maker", vec![best(1), best(9)]);
    healthy(&chain.block());
    assert_eq!(prices(&chain, "maker"), [96, 97]);
    chain.blocks(3);
    assert_eq!(prices(&chain, "maker"), [96, 97], "they do not outbid each other");
    let (_, moved) = send(&mut chain, "other", place(limit(0, Buy, 90, 5)));
    let first = chain.state.markets[0]
        .book
        .orders_of(chain.account_id("other"))
        .map(|order| order.order_id)
        .min();
    assert_eq!((first.is_some(), moved.resting_lots), (true, lots(5)));
    let cancel =
        v1::CancelOrder { order_id: first.unwrap_or(OrderId::NONE).get(), ..Default::default() };
    chain.orders("other", vec![Operation::Cancel(cancel)]);
    healthy(&chain.block());
    chain.blocks(1);
    assert_eq!(prices(&chain, "maker"), [91, 97]);
    assert_eq!(chain.lots("maker", 0), 0);
}

#[test]
fn rules_2_a_pegged_order_that_does_not_move_keeps_its_place_and_one_that_does_goes_behind() {
    let mut chain = one_market(&["maker", "other", "taker"]);
    chain.orders("maker", vec![place(pegged(Sell, v1::Peg::Mark, 5, 10))]);
    healthy(&chain.block());
    chain.orders("other", vec![place(limit(0, Sell, 105, 10)), place(limit(0, Sell, 107, 10))]);
    healthy(&chain.block());
    chain.blocks(2);
    assert_eq!(send(&mut chain, "taker", place(limit(0, Buy, 105, 4))).1.filled_lots, lots(4));
    assert_eq!((chain.lots("maker", 0), chain.lots("other", 0)), (-4, 0), "it came first");
    mark_to(&mut chain, 102);
    assert_eq!(prices(&chain, "maker"), [107]);
    assert_eq!(send(&mut chain, "taker", place(limit(0, Buy, 107, 25))).1.filled_lots, lots(25));
    assert_eq!((chain.lots("maker", 0), chain.lots("other", 0)), (-9, -20));
    // What is left of it still follows.
    mark_to(&mut chain, 101);
    assert_eq!(prices(&chain, "maker"), [106]);
}

#[test]
fn rules_2_a_pegged_order_is_cancelled_where_it_may_not_be_and_replaced_in_quantity_only() {
    let mut chain = one_market(&["maker"]);
    let id = send(&mut chain, "maker", place(pegged(Sell, v1::Peg::Mark, 5, 1_700))).1.order_id;
    let replace = |price_ticks, lots| {
        Operation::Replace(v1::ReplaceOrder {
            order_id: id.get(),
            price_ticks,
            lots: Some(lots).filter(|lots| *lots != 0),
            ..Default::default()
        })
    };
    assert_eq!(send(&mut chain, "maker", replace(104, 0)).0, "NOT_REPLACEABLE");
    assert_eq!(send(&mut chain, "maker", replace(0, 1_690)).0, "OK");
    // 1 690 lots at a mark of 125 need more margin than there is: the sweep prunes it.
    let events = mark_to(&mut chain, 125);
    assert_eq!(left(&events), [(id, "PRUNED")]);
    assert!(chain.state.markets[0].conditional.is_empty());
    // Beyond the band around the index.
    mark_to(&mut chain, 100);
    assert_eq!(
        send(&mut chain, "maker", place(pegged(Buy, v1::Peg::Mark, -90, 1))).0,
        "PRICE_OUT_OF_BAND"
    );
    assert!(chain.state.markets[0].conditional.is_empty());
}

#[test]
fn rules_8_phase_5_pegged_orders_take_turns_where_they_are_too_many_for_one_block() {
    let mut chain = one_market(&["maker"]);
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.max_triggers = 2;
    chain.send(
        "faucet",
        v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() },
    );
    chain.orders("maker", vec![place(pegged(Buy, v1::Peg::Mark, -5, 1)); 3]);
    healthy(&chain.block());
    mark_to(&mut chain, 101);
    assert_eq!(prices(&chain, "maker"), [96, 96, 95]);
    mark_to(&mut chain, 102);
    assert_eq!(prices(&chain, "maker"), [96, 96, 97]);
    healthy(&chain.block());
    assert_eq!(prices(&chain, "maker"), [97, 97, 97]);
}

#[test]
fn rules_2_the_best_price_is_known_behind_any_number_of_pegged_orders() {
    let mut chain = one_market(&["crowd", "maker", "other"]);
    chain.orders("crowd", (0..30).map(|_| place(pegged(Buy, v1::Peg::Mark, -2, 1))).collect());
    chain.orders("other", vec![place(limit(0, Buy, 95, 5))]);
    healthy(&chain.block());
    chain.orders("maker", vec![place(pegged(Buy, v1::Peg::Best, 0, 1))]);
    healthy(&chain.block());
    assert_eq!(prices(&chain, "maker"), [95]);
    // Gas for a turn a block, and no more looks than the two sides.
    chain.state.chain.params.sweep_gas = 100_000;
    let cancel = Operation::CancelAll(v1::CancelAll::default());
    chain.orders("other", vec![cancel, place(limit(0, Buy, 90, 5))]);
    healthy(&chain.block());
    chain.blocks(40);
    assert_eq!(prices(&chain, "maker"), [90]);
    // One level after the other of pegged orders alone, and nothing else: it stays.
    let cancel = Operation::CancelAll(v1::CancelAll::default());
    chain.orders("other", vec![cancel]);
    healthy(&chain.block());
    chain.blocks(40);
    assert_eq!(prices(&chain, "maker"), [90]);
    assert_eq!(
        send(&mut chain, "maker", place(pegged(Buy, v1::Peg::Best, 0, 1))).0,
        "NO_REFERENCE_PRICE"
    );
}

/// The mark jumps further than the distance of two pegged orders of opposite sides.
#[test]
fn rules_2_pegs_of_both_sides_never_cross_and_follow_a_jump_in_turns() {
    for (sides, jump) in [([Buy, Sell], 1_100), ([Sell, Buy], 900)] {
        for (max_triggers, blocks) in [(1_000, 2), (1, 3)] {
            for names in [["one", "two"], ["one", "one"]] {
                let mut chain = one_market(&["one", "two"]);
                mark_to(&mut chain, 1_000);
                let mut params = chain.state.markets[0].cell.market.params.clone();
                params.max_triggers = max_triggers;
                let params = Some((&params).into());
                chain.send("faucet", v1::MsgUpdateMarket { params, ..Default::default() });
                healthy(&chain.block());
                for (name, side) in names.into_iter().zip(sides) {
                    let offset = if side == Buy { -1 } else { 1 };
                    let display_lots = if side == Buy { 0 } else { 2 };
                    let order = pegged(side, v1::Peg::Mark, offset, 5);
                    let order = v1::PlaceOrder { display_lots, ..order };
                    assert_eq!(send(&mut chain, name, place(order)).0, "OK");
                }
                mark_to(&mut chain, jump);
                chain.blocks(blocks - 1);
                let book = &chain.state.markets[0].book;
                let best = [book.best_bid(), book.best_ask()]
                    .map(|level| level.map(|level| (level.price_ticks.get(), level.lots.get())));
                assert_eq!(best, [Some((jump - 1, 5)), Some((jump + 1, 2))]);
                assert_eq!(book.live_orders(), 2);
                let held: Vec<_> = names.map(|name| chain.lots(name, 0)).to_vec();
                assert_eq!(held, [0, 0]);
            }
        }
    }
}

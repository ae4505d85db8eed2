//! Random blocks against what rules §8 promise, read from results and books alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use tidemark_engine::beacon::{Beacon, Draw};
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::State;
use tidemark_proto::types::{self, Address, CancelBy, Class, DecodedTx, Message};
use tidemark_proto::units::{ClientId, MarketId, OrderId, Side};
use tidemark_proto::v1::{self, operation::Operation, PostOnly, TimeInForce};
use tidemark_proto::Code;
use tidemark_tests::harness::{decoded, genesis, healthy, limit, plain_market, BlockInput, Chain};

const NAMES: [&str; 3] = ["a", "b", "c"];
const MARKETS: u16 = 2;

/// A chain whose second market is isolated for every account.
fn chain() -> Chain {
    let mut markets = vec![plain_market("ONE-USD", 20), plain_market("TWO-USD", 20)];
    markets[1].isolated_only = true;
    let mut chain = Chain::new(&genesis(markets, 1_000));
    (0..MARKETS).for_each(|market| chain.index(market, 100));
    for name in NAMES {
        chain.deposit(name, 100_000);
    }
    healthy(&chain.block());
    chain.gas_limit = None;
    chain
}

fn placed(market: u32) -> impl Strategy<Value = Operation> {
    let kind = (any::<bool>(), 98..=102_u64, 1..4_u64, 0..3_i32, 0..8_u8, 0..5_u64);
    kind.prop_map(move |(buys, price, lots, post_only, special, client_id)| {
        let side = if buys { v1::Side::Buy } else { v1::Side::Sell };
        let post_only = PostOnly::try_from(post_only).unwrap_or_default().into();
        let order = v1::PlaceOrder { client_id, post_only, ..limit(market, side, price, lots) };
        let order = match special {
            0 => {
                let time_in_force = TimeInForce::Ioc.into();
                v1::PlaceOrder { time_in_force, post_only: 0, ..order }
            }
            1 => v1::PlaceOrder {
                trigger: v1::Trigger::Stop.into(),
                trigger_price_ticks: if buys { 150 } else { 50 },
                post_only: 0,
                price_ticks: if buys { 103 } else { 97 },
                ..order
            },
            _ => order,
        };
        Operation::Place(order)
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    (0..u32::from(MARKETS)).prop_flat_map(|market| {
        let cancel = move |order_id, client_id| {
            Operation::Cancel(v1::CancelOrder { market, order_id, client_id })
        };
        let cancel_all = move |(all, side): (bool, i32)| {
            Operation::CancelAll(v1::CancelAll { market: (!all).then_some(market), side })
        };
        let replace = move |(client_id, price_ticks, lots): (u64, u64, Option<u64>)| {
            let total_lots = None;
            Operation::Replace(v1::ReplaceOrder {
                market,
                client_id,
                price_ticks: if lots == Some(0) { 0 } else { price_ticks },
                lots,
                total_lots,
                ..Default::default()
            })
        };
        prop_oneof![
            5 => placed(market),
            2 => (1..5_u64).prop_map(move |client_id| cancel(0, client_id)),
            1 => (1..40_u64).prop_map(move |order_id| cancel(order_id, 0)),
            2 => (any::<bool>(), 0..3_i32).prop_map(cancel_all),
            1 => (1..5_u64, 98..=102_u64, proptest::option::of(0..4_u64)).prop_map(replace),
        ]
    })
}

/// A transaction: whose, its operations, and whether they are all or none.
type Sent = (usize, Vec<Operation>, bool);

fn block() -> impl Strategy<Value = Vec<Sent>> {
    let sent =
        (0..NAMES.len(), prop::collection::vec(operation(), 1..5), prop::bool::weighted(0.2));
    prop::collection::vec(sent, 1..10)
}

fn send(chain: &mut Chain, (who, operations, all_or_none): Sent) {
    let mode = if all_or_none { v1::BatchMode::All } else { v1::BatchMode::Each };
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    let message =
        v1::MsgOrders { operations: operations.collect(), mode: mode.into(), ..Default::default() };
    chain.send(NAMES[who], message);
}

/// Whose operation, and which among those of the owner in the block.
type Rank = (Address, u64, usize);

/// An order that the block has placed.
struct Placed {
    rank: Rank,
    client_id: ClientId,
    side: Side,
    class: Class,
    all_or_none: bool,
}

/// An operation of the block, with its result's code.
struct Done<'a> {
    rank: Rank,
    operation: &'a types::Operation,
    class: Class,
    all_or_none: bool,
    order_id: OrderId,
    code: Code,
}

fn operations<'a>(txs: &'a [std::sync::Arc<DecodedTx>], events: &BlockEvents) -> Vec<Done<'a>> {
    let mut all = Vec::new();
    for (tx, outcome) in txs.iter().zip(&events.txs) {
        let Message::Orders { operations, all_or_none, .. } = &tx.message else { continue };
        let highest = operations.iter().map(types::Operation::class).max();
        for (at, (operation, result)) in operations.iter().zip(&outcome.results).enumerate() {
            let own = operation.class();
            all.push(Done {
                rank: (tx.signer, tx.sequence, if *all_or_none { 0 } else { at }),
                operation,
                class: highest.filter(|_| *all_or_none).unwrap_or(own),
                all_or_none: *all_or_none,
                order_id: result.order_id,
                code: result.code(),
            });
        }
    }
    all
}

fn orders(done: &[Done<'_>]) -> BTreeMap<(MarketId, OrderId), Placed> {
    let placed = done.iter().filter(|done| done.code == Code::Ok);
    let placed = placed.filter_map(|done| {
        let types::Operation::Place(place) = done.operation else { return None };
        let placed = Placed {
            rank: done.rank,
            client_id: place.client_id,
            side: place.side,
            class: done.class,
            all_or_none: done.all_or_none,
        };
        Some(((place.market, done.order_id), placed))
    });
    placed.collect()
}

/// Returns true if an operation of a later rank names an order, to end it or to change it.
fn names(done: &Done<'_>, (market, id): (MarketId, OrderId), order: &Placed) -> bool {
    let by = |at: MarketId, by: CancelBy| {
        let named = match by {
            CancelBy::Order(named) => named == id,
            CancelBy::Client(named) => named == order.client_id,
        };
        at == market && named
    };
    let named = match done.operation {
        types::Operation::Cancel { market, order } => by(*market, *order),
        types::Operation::Replace { market, order, .. } => by(*market, *order),
        types::Operation::CancelAll { market: at, side } => {
            at.is_none_or(|at| at == market) && side.is_none_or(|side| side == order.side)
        }
        _ => false,
    };
    named && done.rank.0 == order.rank.0 && done.rank > order.rank
}

fn lives(state: &State, (market, id): (MarketId, OrderId)) -> bool {
    let slot = state.markets.get(market.index()).expect("a market of the test");
    slot.book.order(id).is_some() || slot.conditional.get(id).is_some()
}

/// Nothing lives that its owner has cancelled after placing it.
fn nothing_cancelled_lives(
    state: &State,
    done: &[Done<'_>],
    orders: &BTreeMap<(MarketId, OrderId), Placed>,
) -> Result<(), TestCaseError> {
    for (id, order) in orders.iter().filter(|(id, _)| lives(state, **id)) {
        let cancels = done.iter().filter(|done| {
            let is_cancel = done.operation.class() == Class::Cancels;
            // A batch of all or none that was refused has cancelled nothing.
            is_cancel && (!done.all_or_none || done.code == Code::Ok)
        });
        for cancel in cancels {
            prop_assert!(
                !names(cancel, *id, order),
                "{id:?} of {:?} lives, cancelled by {:?}",
                order.rank,
                cancel.operation
            );
        }
    }
    Ok(())
}

/// No cancel ends what its owner has placed after it.
fn nothing_later_is_cancelled(
    events: &BlockEvents,
    done: &[Done<'_>],
    orders: &BTreeMap<(MarketId, OrderId), Placed>,
) -> Result<(), TestCaseError> {
    for event in &events.events {
        let Event::Removed { market, order_id, code: Code::Cancelled, .. } = event else {
            continue;
        };
        let Some(order) = orders.get(&(*market, *order_id)) else { continue };
        let by_somebody = done.iter().any(|done| names(done, (*market, *order_id), order));
        prop_assert!(by_somebody, "{event:?} of {:?} was cancelled by nobody", order.rank);
    }
    Ok(())
}

/// Ids of a market's orders rise by class, draw and rank: in this order they were placed.
fn placed_in_order(
    beacon: Beacon,
    orders: &BTreeMap<(MarketId, OrderId), Placed>,
) -> Result<(), TestCaseError> {
    let mut last: Option<(MarketId, Class, Draw, Rank)> = None;
    // A batch of all or none may have come in a later class than its own.
    for ((market, id), order) in orders.iter().filter(|(_, order)| !order.all_or_none) {
        let key = (*market, order.class, beacon.draw(&order.rank.0), order.rank);
        prop_assert!(last.is_none_or(|last| last < key), "{id} of {:?}", order.rank);
        last = Some(key);
    }
    Ok(())
}

/// Any arrangement of a block's transactions gives the same state and the same results.
fn arrangement_has_no_effect(
    chain: &mut Chain,
    before: State,
    input: &BlockInput,
    events: &BlockEvents,
    picks: &[Index],
) -> Result<(), TestCaseError> {
    let mut rest: Vec<usize> = (0..input.txs.len()).collect();
    let mut arranged = Vec::new();
    for at in 0..input.txs.len() {
        let pick = picks.get(at).map_or(0, |pick| pick.index(rest.len()));
        arranged.push(rest.remove(pick));
    }
    let after = std::mem::replace(&mut chain.state, before);
    let txs = arranged.iter().map(|at| input.txs[*at].clone()).collect();
    let other = chain.run(&BlockInput { txs, ..input.clone() });
    chain.state = after;
    prop_assert_eq!(other.app_hash, events.app_hash);
    for (outcome, at) in other.txs.iter().zip(arranged) {
        let same = &events.txs[at];
        prop_assert_eq!(&outcome.results, &same.results);
        prop_assert_eq!(&outcome.refusal, &same.refusal);
        prop_assert_eq!(outcome.gas_used, same.gas_used);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rules_8_in_random_blocks_nothing_lives_that_was_cancelled_after_it_was_placed(
        blocks in prop::collection::vec(block(), 1..5),
        picks in prop::collection::vec(any::<Index>(), 10),
    ) {
        let mut chain = chain();
        for block in blocks {
            block.into_iter().for_each(|sent| send(&mut chain, sent));
            let (before, beacon) = (chain.state.fork(), Beacon::of(&chain.state.chain));
            let input = chain.next_input();
            let events = chain.run(&input);
            healthy(&events);
            prop_assert!(events.txs.iter().all(|tx| tx.refusal.is_none()), "{:?}", events.txs);
            prop_assert!(events.txs.iter().all(|tx| tx.gas_used <= tx.gas_wanted));
            let txs: Vec<_> = input.txs.iter().map(|bytes| decoded(&chain, bytes)).collect();
            let done = operations(&txs, &events);
            let orders = orders(&done);
            nothing_cancelled_lives(&chain.state, &done, &orders)?;
            nothing_later_is_cancelled(&events, &done, &orders)?;
            placed_in_order(beacon, &orders)?;
            arrangement_has_no_effect(&mut chain, before, &input, &events, &picks)?;
        }
    }
}

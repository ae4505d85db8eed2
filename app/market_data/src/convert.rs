//! A block's events in the wire's terms.

use std::sync::Arc;

use tidemark_consensus::encode;
use tidemark_engine::events::{BlockEvents, BookDelta, Event, Fill, Liquidation};
use tidemark_engine::outcome::{self, TxOutcome};
use tidemark_engine::state::{ListedPosition, View};
use tidemark_proto::units::{AccountId, Atoms, ClientId, MarketId, OrderId, Ticks};
use tidemark_proto::v1;
use tidemark_proto::v1::account_event::Event as Wire;
use tidemark_risk::zero_price::ZeroTerms;

use super::book::changed;
use super::history::{event_sequence, Block};
use super::orders::OpenOrders;
use super::outcomes::CommittedTx;

/// An amount on the wire: the nearest that fits in 64 bits.
#[must_use]
pub fn wire_atoms(atoms: Atoms) -> i64 {
    nearest(atoms.get())
}

/// A sum of lots on the wire: the nearest that fits in 64 bits.
#[must_use]
pub fn wire_lots(lots: i128) -> i64 {
    nearest(lots)
}

fn nearest(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// A count on the wire.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Converts a block, and takes its events into the open orders one by one, so that each is told
/// with what was open then.
pub(super) fn block(view: &View, events: &BlockEvents, orders: &mut OpenOrders) -> Block {
    let mut out = Block { height: events.height, time_ms: events.time_ms, ..Block::default() };
    for (position, event) in events.events.iter().enumerate() {
        let sequence = event_sequence(events.height, position);
        match event {
            Event::Fill(fill) => out.trades.push(trade(events, fill)),
            Event::Liquidation(step) => {
                out.liquidations.push(liquidation(view, events, sequence, step))
            }
            Event::ListedPositions { market } => {
                out.listed.push(listed_update(view, events, *market))
            }
            _ => {}
        }
        account_events(event, orders, |account, mut told| {
            (told.sequence, told.height) = (sequence, events.height);
            told.time_ms = events.time_ms.get();
            out.accounts.entry(subaccount_of(view, account)).or_default().push(told);
        });
        orders.apply(event);
    }
    out.books = events.books.iter().map(|delta| book_update(view, events.height, delta)).collect();
    out.summary = summary(events, &out);
    let answer = |tx: &TxOutcome| Arc::new(CommittedTx::new(events.height, tx.clone()));
    out.txs = events.txs.iter().map(answer).collect();
    out
}

/// The account that a client knows: isolated collateral is its parent's.
#[must_use]
pub fn subaccount_of(view: &View, account: AccountId) -> AccountId {
    let isolated = view.accounts.get(account).and_then(|account| account.isolated);
    isolated.map_or(account, |isolated| isolated.parent)
}

/// An account's owner's address and subaccount number.
#[must_use]
pub fn owner_of(view: &View, account: AccountId) -> (String, u32) {
    let found = view.account(account);
    found.map(|(owner, account)| (owner.address.to_string(), account.number)).unwrap_or_default()
}

/// A market's listed positions.
#[must_use]
pub fn listed(view: &View, market: MarketId) -> Vec<v1::ListedPosition> {
    let Some(cell) = view.markets.get(market.index()) else { return Vec::new() };
    let one = |listed: &ListedPosition| {
        let (owner, subaccount) = owner_of(view, listed.account);
        v1::ListedPosition {
            market: u32::from(market.get()),
            account_id: listed.account.get(),
            owner,
            subaccount,
            lots: listed.lots.get(),
            zero_price_ticks: listed.zero_price_ticks.get(),
            mark_ticks: cell.market.mark_ticks.map_or(0, Ticks::get),
            equity_atoms: wire_atoms(listed.equity_atoms),
            maintenance_atoms: wire_atoms(listed.maintenance_atoms),
        }
    };
    cell.listed.iter().map(one).collect()
}

fn listed_update(view: &View, events: &BlockEvents, market: MarketId) -> v1::ListedUpdate {
    v1::ListedUpdate {
        market: u32::from(market.get()),
        height: events.height,
        time_ms: events.time_ms.get(),
        positions: listed(view, market),
    }
}

fn summary(events: &BlockEvents, block: &Block) -> v1::BlockSummary {
    let results = || events.txs.iter().flat_map(|tx| &tx.results);
    v1::BlockSummary {
        height: events.height,
        time_ms: events.time_ms.get(),
        app_hash: events.app_hash.to_vec(),
        txs: count(events.txs.len()),
        operations: count(results().count()),
        operations_refused: count(results().filter(|result| result.refusal.is_some()).count()),
        trades: count(block.trades.len()),
        liquidations: count(block.liquidations.len()),
    }
}

fn book_update(view: &View, height: u64, delta: &BookDelta) -> v1::BookUpdate {
    v1::BookUpdate {
        market: u32::from(delta.market.get()),
        height,
        sequence: view.markets.get(delta.market.index()).map_or(0, |cell| cell.book_sequence),
        snapshot: false,
        bids: changed(&delta.bids),
        asks: changed(&delta.asks),
        checksum: delta.l2_root.to_vec(),
    }
}

fn trade(events: &BlockEvents, fill: &Fill) -> v1::Trade {
    v1::Trade {
        market: u32::from(fill.market.get()),
        height: events.height,
        time_ms: events.time_ms.get(),
        price_ticks: fill.price_ticks.get(),
        lots: fill.lots.get(),
        taker_side: v1::Side::from(fill.taker_side) as i32,
        maker_order_id: fill.maker_order_id.get(),
        taker_order_id: fill.taker_order_id.get(),
        liquidation: fill.liquidation,
    }
}

fn liquidation(
    view: &View,
    events: &BlockEvents,
    sequence: u64,
    step: &Liquidation,
) -> v1::Liquidation {
    let arithmetic = &step.arithmetic;
    let (owner, subaccount) = owner_of(view, step.account);
    v1::Liquidation {
        height: events.height,
        time_ms: events.time_ms.get(),
        market: u32::from(step.market.get()),
        owner,
        subaccount,
        stage: v1::LiquidationStage::from(step.stage).into(),
        side: v1::Side::from(step.side) as i32,
        lots: step.lots.get(),
        price_ticks: step.price_ticks.get(),
        mark_ticks: step.mark_ticks.get(),
        zero_price_ticks: step.zero_price_ticks.get(),
        equity_atoms: wire_atoms(step.equity_atoms),
        maintenance_atoms: wire_atoms(step.maintenance_atoms),
        fee_atoms: wire_atoms(step.fee_atoms),
        fund_paid_atoms: wire_atoms(step.fund_paid_atoms),
        orders_cancelled: step.orders_cancelled,
        account_id: step.account.get(),
        isolated: subaccount_of(view, step.account) != step.account,
        sequence,
        held_lots: arithmetic.held_lots.get(),
        limit_ticks: arithmetic.limit_ticks.get(),
        sigma_ppm: arithmetic.sigma_ppm.get(),
        due: arithmetic.due.map(zero_terms),
        closed: arithmetic.closed.map(zero_terms),
        quote_atoms: wire_atoms(arithmetic.quote_atoms),
        fee_cap_atoms: wire_atoms(arithmetic.fee_cap_atoms),
        fund_owed_atoms: wire_atoms(arithmetic.fund_owed_atoms),
        bad_debt_atoms: wire_atoms(arithmetic.bad_debt_atoms),
    }
}

fn zero_terms(terms: ZeroTerms) -> v1::ZeroTerms {
    v1::ZeroTerms {
        delta_lots: terms.delta_lots.get(),
        value_fall_atoms: wire_atoms(terms.value_fall_atoms),
        margin_fall_atoms: wire_atoms(terms.margin_fall_atoms),
        equity_share_atoms: wire_atoms(terms.equity_share_atoms),
        quote_atoms: wire_atoms(terms.quote_atoms),
    }
}

/// An account's event but for its place in time, which the caller fills in.
fn account_event(
    market: MarketId,
    order_id: OrderId,
    client_id: ClientId,
    event: Wire,
) -> v1::AccountEvent {
    v1::AccountEvent {
        market: u32::from(market.get()),
        order_id: order_id.get(),
        client_id: client_id.get(),
        event: Some(event),
        ..Default::default()
    }
}

/// Tells each account that an event concerns.
fn account_events(
    event: &Event,
    orders: &OpenOrders,
    mut tell: impl FnMut(AccountId, v1::AccountEvent),
) {
    if let Event::Fill(fill) = event {
        let [maker, taker] = fill_events(fill);
        tell(fill.maker, maker);
        tell(fill.taker, taker);
    } else if let Some((account, event)) =
        order_event(event, orders).or_else(|| position_event(event)).or_else(|| fee_event(event))
    {
        tell(account, event);
    }
}

/// The event of one order, for its account.
fn order_event(event: &Event, orders: &OpenOrders) -> Option<(AccountId, v1::AccountEvent)> {
    Some(match event {
        Event::Rested { market, order_id, account, client_id, side, price_ticks, lots, .. } => {
            let side = v1::Side::from(*side) as i32;
            let rested = v1::OrderRested { side, price_ticks: price_ticks.get(), lots: lots.get() };
            (*account, account_event(*market, *order_id, *client_id, Wire::Rested(rested)))
        }
        Event::Reduced { market, order_id, account, lots } => {
            // On the wire, the order rests anew with less.
            let order = orders.get(*account, *market, *order_id)?;
            let (side, price_ticks, lots) = (order.side, order.price_ticks, lots.get());
            let rested = Wire::Rested(v1::OrderRested { side, price_ticks, lots });
            let client_id = ClientId::new(order.client_id);
            (*account, account_event(*market, *order_id, client_id, rested))
        }
        Event::Removed { market, order_id, account, client_id, lots, code, closed_by, .. } => {
            let (code, lots, closed_by) = (code.number(), lots.get(), closed_by.get());
            let removed = v1::OrderRemoved { code, lots, closed_by };
            (*account, account_event(*market, *order_id, *client_id, Wire::Removed(removed)))
        }
        Event::Conditional { account, order } => {
            let event = Wire::Waiting((&**order).into());
            (*account, account_event(order.market, order.order_id, order.client_id, event))
        }
        Event::Triggered {
            market,
            order_id,
            account,
            client_id,
            placed_order_id,
            refusal,
            forfeited_atoms,
        } => {
            let refusal = refusal.as_deref();
            let triggered = v1::OrderTriggered {
                code: outcome::code(refusal).number(),
                placed_order_id: placed_order_id.get(),
                message: encode::sentence(refusal),
                forfeited_atoms: wire_atoms(*forfeited_atoms),
            };
            (*account, account_event(*market, *order_id, *client_id, Wire::Triggered(triggered)))
        }
        Event::Slice { market, order_id, account, client_id, slice, .. } => (
            *account,
            account_event(*market, *order_id, *client_id, Wire::Slice(encode::twap_slice(slice))),
        ),
        _ => return None,
    })
}

/// The event of a position that was closed or taken over, for its account.
fn position_event(event: &Event) -> Option<(AccountId, v1::AccountEvent)> {
    let (market, account, event) = match event {
        Event::Adl { market, account, side, price_ticks, lots } => {
            let side = v1::Side::from(*side) as i32;
            let (price_ticks, lots) = (price_ticks.get(), lots.get());
            let adl = v1::PositionClosedByAdl { side, price_ticks, lots };
            (*market, *account, Wire::Adl(adl))
        }
        Event::TakenOver { market, account, side, price_ticks, lots, set_aside_used_atoms } => {
            let taken = v1::PositionTaken {
                side: v1::Side::from(*side) as i32,
                price_ticks: price_ticks.get(),
                lots: lots.get(),
                set_aside_used_atoms: wire_atoms(*set_aside_used_atoms),
            };
            (*market, *account, Wire::Taken(taken))
        }
        Event::Settled { market, account, side, price_ticks, lots } => {
            let side = v1::Side::from(*side) as i32;
            let (price_ticks, lots) = (price_ticks.get(), lots.get());
            let settled = v1::PositionSettled { side, price_ticks, lots };
            (*market, *account, Wire::Settled(settled))
        }
        _ => return None,
    };
    Some((account, account_event(market, OrderId::NONE, ClientId::NONE, event)))
}

/// A flat fee, for the account that paid it. It is of no market.
fn fee_event(event: &Event) -> Option<(AccountId, v1::AccountEvent)> {
    let Event::FlatFee { account, operations, fee_atoms } = event else { return None };
    let fee_atoms = wire_atoms(*fee_atoms);
    let fee = Wire::FlatFee(v1::FlatFeePaid { operations: *operations, fee_atoms });
    Some((*account, account_event(MarketId::ZERO, OrderId::NONE, ClientId::NONE, fee)))
}

/// A trade as its maker and its taker see it.
fn fill_events(fill: &Fill) -> [v1::AccountEvent; 2] {
    let both = v1::OrderFilled {
        price_ticks: fill.price_ticks.get(),
        lots: fill.lots.get(),
        liquidation: fill.liquidation,
        ..Default::default()
    };
    let maker = v1::OrderFilled {
        side: v1::Side::from(fill.taker_side.opposite()) as i32,
        maker: true,
        fee_atoms: wire_atoms(fill.maker_fee_atoms),
        remaining_lots: fill.maker_remaining_lots.get(),
        ..both
    };
    let taker = v1::OrderFilled {
        side: v1::Side::from(fill.taker_side) as i32,
        fee_atoms: wire_atoms(fill.taker_fee_atoms),
        remaining_lots: fill.taker_remaining_lots.get(),
        ..both
    };
    [
        account_event(fill.market, fill.maker_order_id, fill.maker_client_id, Wire::Filled(maker)),
        account_event(fill.market, fill.taker_order_id, fill.taker_client_id, Wire::Filled(taker)),
    ]
}

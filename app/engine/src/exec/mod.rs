//! Carries out a block: the numbered phases of the exchange rules' §8, in order.

pub mod at_risk;
mod audit;
pub mod backstop;
mod batch;
mod cash;
mod conditional;
mod ctx;
mod expiries;
mod foresee;
mod funding;
mod isolated;
mod liquidation;
pub mod margin;
mod orders;
mod prices;
mod settlement;
mod txs;
mod venue;

use std::sync::Arc;

use tidemark_proto::types::DecodedTx;
use tidemark_proto::units::TimeMs;
use tidemark_proto::Refusal;

use crate::events::{BlockEvents, BookDelta, Event, PriceRound};
use crate::phase::Phase;
use crate::state::merkle::Hash;
use crate::state::State;
use ctx::Ctx;
pub use prices::PriceBallot;

/// A decided block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its time, from the header.
    pub time_ms: TimeMs,
    /// Its hash.
    pub hash: Hash,
    /// The validators' votes on the block before, with their price reports; empty where there are
    /// none.
    pub ballots: Vec<PriceBallot>,
    /// Its transactions after their stateless check, in order.
    pub txs: Vec<Result<Arc<DecodedTx>, Refusal>>,
}

/// Carries out a block, and calls `lap` at the end of each phase.
pub fn execute(state: &mut State, block: &Block, lap: &mut dyn FnMut(Phase)) -> BlockEvents {
    let mut ctx = Ctx::new(state);
    let prices = sweep_phases(&mut ctx, block, lap);
    conditional::run(&mut ctx);
    lap(Phase::Triggers);
    let txs = txs::run(&mut ctx, &block.txs);
    isolated::return_idle(&mut ctx);
    lap(Phase::Transactions);
    let mut out = outcome(block, ctx, prices);
    out.txs = txs;
    statistics(state, &mut out);
    out.violations = audit::run(state);
    lap(Phase::Invariants);
    state.chain.block_hash = block.hash;
    state.rehash();
    out.app_hash = state.app_hash;
    lap(Phase::Hash);
    out
}

/// Phases 0 to 4, which no transaction of the block has a part in; for those who look at what the
/// sweep left.
pub fn through_sweep(state: &mut State, block: &Block, lap: &mut dyn FnMut(Phase)) -> BlockEvents {
    let mut ctx = Ctx::new(state);
    let prices = sweep_phases(&mut ctx, block, lap);
    outcome(block, ctx, prices)
}

fn sweep_phases(ctx: &mut Ctx<'_>, block: &Block, lap: &mut dyn FnMut(Phase)) -> PriceRound {
    clock(ctx.exchange, block);
    let prices = prices::run(ctx.exchange, block);
    lap(Phase::Prices);
    funding::run(ctx);
    lap(Phase::Funding);
    expiries::run(ctx);
    lap(Phase::Expiries);
    settlement::run(ctx);
    liquidation::sweep(ctx);
    conditional::detach_closed(ctx);
    lap(Phase::Sweep);
    prices
}

fn outcome(block: &Block, ctx: Ctx<'_>, prices: PriceRound) -> BlockEvents {
    let Ctx { events, work, .. } = ctx;
    BlockEvents {
        height: block.height,
        time_ms: block.time_ms,
        events,
        work,
        prices,
        ..BlockEvents::default()
    }
}

/// Phase 0: the clock. A long pause gates withdrawals (rules §7), and nobody pays funding for
/// premiums of before it.
fn clock(state: &mut State, block: &Block) {
    let chain = &mut state.chain;
    let pause_ms = block.time_ms.saturating_sub(chain.time_ms);
    chain.height = block.height;
    // At genesis the pause is the time between writing the genesis file and starting.
    if block.height > 1 && pause_ms > chain.params.halt_ms {
        state.chain.gate_withdrawals();
        state.markets.cells_mut().for_each(|cell| cell.market.funding.forget_samples());
    }
    state.chain.time_ms = block.time_ms;
    state.markets.iter_mut().for_each(|slot| slot.order_totals.clear());
}

/// Phase 7: what the next block's mark is made of; and the books' changes for those who watch.
fn statistics(state: &mut State, out: &mut BlockEvents) {
    for event in &out.events {
        if let Event::Fill(fill) = event {
            state.markets.slot_mut(fill.market).cell.last_trade_ticks = Some(fill.price_ticks);
        }
    }
    for slot in state.markets.iter_mut() {
        let (cell, book) = (&mut slot.cell, &mut slot.book);
        cell.top = (
            book.best_bid().map(|level| level.price_ticks),
            book.best_ask().map(|level| level.price_ticks),
        );
        let dirty = book.take_dirty_levels();
        if dirty.is_empty() {
            continue;
        }
        cell.book_sequence = cell.book_sequence.saturating_add(1);
        let mut delta = BookDelta {
            market: cell.market.params.id,
            l2_root: book.l2_root(),
            l3_root: book.l3_root(),
            next_order_id: book.next_order_id(),
            ..BookDelta::default()
        };
        for level in dirty {
            let side = match level.side {
                tidemark_proto::units::Side::Buy => &mut delta.bids,
                tidemark_proto::units::Side::Sell => &mut delta.asks,
            };
            side.push((level.price_ticks, level.lots, level.count));
        }
        out.books.push(delta);
    }
}

//! Carries out a block: the numbered phases of rules §8.1, in order.

use crate::events::{BlockEvents, PriceRound};
use crate::exec::block::Block;
use crate::exec::collateral::{isolated, outflow, rows};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::sweep;
use crate::exec::order::conditional::links;
use crate::exec::order::ended;
use crate::exec::phases::{
    clock, expiries, funding, invariants, node_keys, prices, statistics, transactions, triggers,
};
use crate::exec::settlement;
use crate::phase::Phase;
use crate::state::State;

/// Carries out a block, and calls `lap` at the end of each phase.
pub fn execute(state: &mut State, block: &Block, lap: &mut dyn FnMut(Phase)) -> BlockEvents {
    let mut ctx = Ctx::new(state);
    let prices = sweep_phases(&mut ctx, block, lap);
    triggers::run(&mut ctx);
    lap(Phase::Triggers);
    let txs = transactions::run(&mut ctx, &block.txs);
    let touched = isolated::return_idle(&mut ctx);
    rows::drop_empty(ctx.exchange, touched);
    ended::note_all(&mut ctx);
    ended::forget_idle(ctx.exchange);
    lap(Phase::Transactions);
    let mut out = outcome(block, ctx, prices);
    out.txs = txs;
    statistics::statistics(state, &mut out);
    out.violations = invariants::run(state);
    lap(Phase::Invariants);
    state.chain.block_hash = block.hash;
    state.rehash();
    out.app_hash = state.app_hash;
    lap(Phase::Hash);
    out
}

/// Carries out phases 0 to 4 alone, before any transaction of the block. The simulation calls this
/// to examine the state that the sweep left, which the block's transactions overwrite; a node
/// carries out whole blocks.
pub fn through_sweep(state: &mut State, block: &Block, lap: &mut dyn FnMut(Phase)) -> BlockEvents {
    let mut ctx = Ctx::new(state);
    let prices = sweep_phases(&mut ctx, block, lap);
    outcome(block, ctx, prices)
}

fn sweep_phases(ctx: &mut Ctx<'_>, block: &Block, lap: &mut dyn FnMut(Phase)) -> PriceRound {
    clock::clock(ctx.exchange, block);
    node_keys::register(ctx.exchange, block);
    let prices = prices::run(ctx.exchange, block);
    lap(Phase::Prices);
    funding::run(ctx);
    lap(Phase::Funding);
    expiries::run(ctx);
    lap(Phase::Expiries);
    settlement::run(ctx);
    sweep::sweep(ctx);
    links::detach_closed(ctx);
    outflow::serve(ctx.exchange);
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

//! Phase 0: the clock.

use tidemark_risk::limits::MAX_STEP_MS;

use crate::exec::block::Block;
use crate::state::State;

/// Phase 0: the clock. A long pause gates withdrawals (rules §3.12), nobody pays funding for
/// premiums of before it, quotes of before it have no part in the mark (rules §4.10), and for some
/// blocks the fund pays nothing (rules §7.14).
pub(crate) fn clock(state: &mut State, block: &Block) {
    let chain = &mut state.chain;
    let pause_ms = block.time_ms.saturating_sub(chain.time_ms);
    chain.height = block.height;
    let step_ms = pause_ms.min(MAX_STEP_MS);
    chain.treasury.pass(step_ms);
    for cell in state.markets.cells_mut() {
        let is_stale = cell.index.is_stale(block.time_ms, cell.market.params.max_oracle_age_ms);
        cell.market.pass(&chain.treasury, step_ms, is_stale);
    }
    // At genesis the pause is the time between writing the genesis file and starting.
    if block.height > 1 && pause_ms > chain.params.halt_ms {
        state.chain.gate_withdrawals();
        for cell in state.markets.cells_mut() {
            cell.market.funding.forget_samples();
            cell.mark.ignore_book(block.time_ms);
            cell.market.close_claims();
        }
    }
    state.chain.advance(block.time_ms);
    state.markets.iter_mut().for_each(|slot| slot.order_totals.clear());
}

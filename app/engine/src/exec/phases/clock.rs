//! Phase 0: the clock.

use crate::exec::block::Block;
use crate::state::State;

/// Phase 0: the clock. A long pause gates withdrawals (rules §3.12), nobody pays funding for
/// premiums of before it, and quotes of before it have no part in the mark (rules §4.10).
pub(crate) fn clock(state: &mut State, block: &Block) {
    let chain = &mut state.chain;
    let pause_ms = block.time_ms.saturating_sub(chain.time_ms);
    chain.height = block.height;
    // At genesis the pause is the time between writing the genesis file and starting.
    if block.height > 1 && pause_ms > chain.params.halt_ms {
        state.chain.gate_withdrawals();
        for cell in state.markets.cells_mut() {
            cell.market.funding.forget_samples();
            cell.mark.ignore_book(block.time_ms);
        }
    }
    state.chain.advance(block.time_ms);
    state.markets.iter_mut().for_each(|slot| slot.order_totals.clear());
}

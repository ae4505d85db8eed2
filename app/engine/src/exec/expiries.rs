//! Phase 3: orders whose time has come, and dead man's switches.

use super::conditional;
use super::venue::Venue;
use crate::events::Event;
use crate::state::State;

/// Most orders of one market that expire in one block; the rest expire in the next.
const MAX_PER_BLOCK: u32 = 10_000;

/// Removes expired orders of every market, earliest first.
pub(super) fn run(state: &mut State, events: &mut Vec<Event>) {
    let now_ms = state.chain.time_ms;
    for market in state.markets.ids() {
        let (book, mut venue) = Venue::split(state, market, events);
        book.expire(now_ms, MAX_PER_BLOCK, &mut venue);
        conditional::expire(state, market, MAX_PER_BLOCK, events);
    }
    conditional::run_switches(state, events);
}

//! Phase 2: the hour's payment of funding (rules §§5.3, 5.4). Premiums are read in phase 6.

use crate::events::Event;
use crate::exec::ctx::Ctx;
use crate::invariant::broken_in;
use crate::state::Failure;

/// Ends the hour where it has passed. A market that is not live does not pay, and forgets the
/// hour's samples.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    for cell in ctx.exchange.markets.cells_mut() {
        cell.market.begin_block();
        cell.market.sweep_funding_dust(&mut ctx.exchange.chain.treasury);
        let Some(index) = cell.index.index_ticks().filter(|_| cell.is_live()) else {
            cell.market.funding.forget_samples();
            continue;
        };
        let market = &mut cell.market;
        match market.end_funding_hour(now_ms, index) {
            Ok(Some(rate_8h_ppm)) => {
                ctx.events.push(Event::Funding { market: market.params.id, rate_8h_ppm });
            }
            Ok(None) => {}
            Err(error) => {
                let sentence = format!("an hour's funding could not be computed: {error}");
                broken_in(cell, &mut ctx.exchange.derived.violations, Failure::Funding, sentence);
            }
        }
    }
}

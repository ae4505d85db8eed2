//! Phase 2: funding samples and the hour's payment (rules §§5.1, 5.3, 5.4).

use tidemark_proto::units::{Ppm, Side};
use tidemark_risk::funding::{impact_price, premium_ppm};

use crate::events::Event;
use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::LiveOrders;
use crate::invariant::broken_in;
use crate::state::Failure;

/// Bound of one sample: 100 %.
const MAX_PREMIUM_PPM: Ppm = Ppm::ONE;

/// Samples the premium where it is due, and ends the hour where it has passed. A stale index gives
/// no sample; a market that is not live neither samples nor pays, and forgets the hour's samples.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    // Who was frozen by the last sweep is frozen to the next.
    let live =
        LiveOrders { danger: &ctx.exchange.danger, accounts: &ctx.exchange.accounts, now_ms };
    for slot in ctx.exchange.markets.iter_mut() {
        let (cell, book) = (&mut slot.cell, &slot.book);
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
                continue;
            }
        }
        let fresh = !cell.index.is_stale(now_ms, market.params.max_oracle_age_ms);
        if fresh && market.funding.sample_due(now_ms) {
            let impact = |side| {
                let levels = book.live_levels(side, &live);
                let levels = levels.map(|level| (level.price_ticks, level.lots));
                impact_price(&market.params, market.k, levels)
            };
            let (bid, ask) = (impact(Side::Buy), impact(Side::Sell));
            let premium = premium_ppm(&market.params, market.k, index, bid, ask, MAX_PREMIUM_PPM);
            market.funding.sample(now_ms, premium);
        }
    }
}

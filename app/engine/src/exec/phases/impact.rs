//! Within phase 6, between post-only orders and those that may take: what every book would give for
//! the impact notional (rules §§4.5, 5.1, 8.1).
//!
//! Of each side the less favourable price of two blocks counts. Quotes that are read in a block and
//! cancelled first in the next one count for nothing: who quotes for the second reading stands
//! before takers who have seen the quotes of the first.

use tidemark_matching::Book;
use tidemark_oracle::impact::{impact_prices, Impact};
use tidemark_proto::units::{Atoms, Side};
use tidemark_risk::Market;

use crate::exec::ctx::Ctx;
use crate::exec::order::live_orders::LiveOrders;

/// Reads the impact prices of every market's book, for the next block's mark and for a sample of
/// funding's premium. A stale index gives no sample, and neither does a market that is not live.
pub(crate) fn read(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    let live =
        LiveOrders { danger: &ctx.exchange.danger, accounts: &ctx.exchange.accounts, now_ms };
    for slot in ctx.exchange.markets.iter_mut() {
        let (cell, book) = (&mut slot.cell, &slot.book);
        let market = &cell.market;
        let notionals =
            [market.mark_impact_notional_atoms(), market.funding_impact_notional_atoms()];
        let [of_mark, of_funding] = impacts(book, &live, market, notionals);
        let last = std::mem::replace(&mut cell.last_impact, of_mark);
        cell.impact = last.zip(of_mark).map(|(last, now)| now.less_favourable(last));
        let is_stale = cell.index.is_stale(now_ms, market.params.max_oracle_age_ms);
        let index = cell.index.index_ticks().filter(|_| cell.is_live() && !is_stale);
        cell.market.read_premium(of_funding, index, now_ms);
    }
}

/// The impact prices of several notionals, in one walk of each side, of orders that trade.
fn impacts<const N: usize>(
    book: &Book,
    live: &LiveOrders<'_>,
    market: &Market,
    notionals: [Atoms; N],
) -> [Option<Impact>; N] {
    let walk = |side| {
        let levels = book.live_levels(side, live).map(|level| (level.price_ticks, level.lots));
        impact_prices(side, notionals, market.k, levels)
    };
    let (bids, asks) = (walk(Side::Buy), walk(Side::Sell));
    let mut sides = bids.into_iter().zip(asks);
    std::array::from_fn(|_| sides.next().and_then(|(bid, ask)| Impact::of(bid, ask)))
}

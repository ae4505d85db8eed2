//! Properties against naive models, and tables named after the rules.

mod adl;
mod fees;
mod funding;
mod liquidation;
mod margin;
mod math;
mod money;
mod reserve;

use proptest::prelude::*;
use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{Atoms, MarketId, SignedLots, Ticks};

use crate::{Account, Market};

/// USDC as atoms.
pub(crate) const fn usdc(amount: i128) -> Atoms {
    amount * 1_000_000
}

/// A market with one tier of `max_leverage`, at a mark, where a tick·lot is `k` atoms.
pub(crate) fn market(id: MarketId, max_leverage: u32, mark_ticks: Ticks, k: u64) -> Market {
    let mut params =
        MarketParams::with_defaults("TST-USD", 1_000_000_000, 1_000_000_000, max_leverage);
    params.id = id;
    params.tiers.truncate(1);
    params.tiers[0].upper_notional_atoms = Atoms::MAX;
    let mut market = Market::new(params).expect("the sizes are whole");
    (market.k, market.mark_ticks) = (k, Some(mark_ticks));
    market
}

/// An account with collateral, and positions of `(market, lots, cost)`.
fn account(collateral_atoms: Atoms, positions: &[(MarketId, SignedLots, Atoms)]) -> Account {
    let mut account = Account::new(0, 0);
    account.collateral_atoms = collateral_atoms;
    for (market, lots, cost) in positions {
        let position = account.position_mut(*market);
        (position.lots, position.cost_atoms) = (*lots, *cost);
    }
    account
}

/// One to four ascending tiers.
pub(crate) fn tiers() -> impl Strategy<Value = Vec<MarginTier>> {
    prop::collection::vec((1_i128..2_000_000_000_000, 1_i64..300_000), 1..=4).prop_map(|steps| {
        let (mut upper, mut rate) = (0, 0);
        let mut tiers: Vec<MarginTier> = steps
            .into_iter()
            .map(|(width, rise)| {
                upper += width;
                rate = (rate + rise).min(1_000_000);
                MarginTier { upper_notional_atoms: upper, initial_margin_ppm: rate }
            })
            .collect();
        if let Some(last) = tiers.last_mut() {
            last.upper_notional_atoms = Atoms::MAX;
        }
        tiers
    })
}

/// A market with random tiers, maintenance, mark, `k`, and open interest anywhere in its scaling
/// range.
pub(crate) fn any_market(id: MarketId) -> impl Strategy<Value = Market> {
    (tiers(), 1_i64..=1_000_000, 1_u64..200_000, 1_u64..2_000, 0_u64..20_000_000, any::<bool>())
        .prop_map(move |(tiers, fraction, mark_ticks, k, open_interest, scales)| {
            let mut market = market(id, 1, mark_ticks, k);
            market.params.tiers = tiers;
            market.params.maintenance_fraction_ppm = fraction;
            if scales {
                market.params.oi_lower_atoms = usdc(100_000);
                market.params.oi_upper_atoms = usdc(100_000_000);
            }
            (market.open_interest_lots, market.margin_open_interest_lots) =
                (open_interest, open_interest);
            market
        })
}

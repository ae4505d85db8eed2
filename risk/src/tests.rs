//! Units, markets and accounts of the tests, which lie beside their modules.

use proptest::prelude::*;
use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{
    AccountId, Atoms, AtomsPerTickLot, Lots, MarketId, OwnerId, Ppm, SignedLots, Ticks, TimeMs,
};

use crate::{Account, Market};

/// The markets of most tests.
pub(crate) const M0: MarketId = MarketId::new(0);
pub(crate) const M1: MarketId = MarketId::new(1);

pub(crate) const fn ticks(count: u64) -> Ticks {
    Ticks::new(count)
}

pub(crate) const fn lots(count: u64) -> Lots {
    Lots::new(count)
}

pub(crate) const fn signed(count: i64) -> SignedLots {
    SignedLots::new(count)
}

pub(crate) const fn atoms(count: i128) -> Atoms {
    Atoms::new(count)
}

pub(crate) const fn ppm(rate: i64) -> Ppm {
    Ppm::new(rate)
}

pub(crate) const fn ms(time: u64) -> TimeMs {
    TimeMs::new(time)
}

pub(crate) const fn id(account: u32) -> AccountId {
    AccountId::new(account)
}

/// USDC as atoms.
pub(crate) const fn usdc(amount: i128) -> Atoms {
    Atoms::new(amount * 1_000_000)
}

/// An amount, or a literal of one.
pub(crate) trait Amount: Copy {
    fn atoms(self) -> Atoms;
}

impl Amount for i128 {
    fn atoms(self) -> Atoms {
        Atoms::new(self)
    }
}

impl Amount for Atoms {
    fn atoms(self) -> Atoms {
        self
    }
}

/// A market with one tier of `max_leverage`, at a mark, where a tick·lot is `k` atoms.
pub(crate) fn market(id: u16, max_leverage: u32, mark: u64, k: u64) -> Market {
    let mut params =
        MarketParams::with_defaults("TST-USD", 1_000_000_000, 1_000_000_000, max_leverage);
    params.id = MarketId::new(id);
    params.tiers.truncate(1);
    params.tiers[0].upper_notional_atoms = Atoms::MAX;
    let mut market = Market::new(params).expect("the sizes are whole");
    (market.k, market.mark_ticks) = (AtomsPerTickLot::new(k), Some(Ticks::new(mark)));
    market
}

/// An account with collateral, and positions of `(market, lots, cost)`.
pub(crate) fn account(collateral: impl Amount, positions: &[(u16, i64, impl Amount)]) -> Account {
    let mut account = Account::new(OwnerId::ZERO, 0);
    account.collateral_atoms = collateral.atoms();
    for (market, lots, cost) in positions {
        let position = account.position_mut(MarketId::new(*market));
        (position.lots, position.cost_atoms) = (SignedLots::new(*lots), cost.atoms());
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
                MarginTier { upper_notional_atoms: atoms(upper), initial_margin_ppm: ppm(rate) }
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
pub(crate) fn any_market(id: u16) -> impl Strategy<Value = Market> {
    (tiers(), 1_i64..=1_000_000, 1_u64..200_000, 1_u64..2_000, 0_u64..20_000_000, any::<bool>())
        .prop_map(move |(tiers, fraction, mark_ticks, k, open_interest, scales)| {
            let mut market = market(id, 1, mark_ticks, k);
            market.params.tiers = tiers;
            market.params.maintenance_fraction_ppm = ppm(fraction);
            if scales {
                market.params.oi_lower_atoms = usdc(100_000);
                market.params.oi_upper_atoms = usdc(100_000_000);
            }
            market.open_interest_lots = lots(open_interest);
            market
        })
}

/// Long and short lots of a market over some accounts, `(longs, shorts)`: in a healthy market both
/// are its open interest.
pub(crate) fn market_lots<'a>(
    accounts: impl IntoIterator<Item = &'a Account>,
    market: MarketId,
) -> (i128, i128) {
    let (mut longs, mut shorts) = (0, 0);
    for account in accounts {
        let lots = account.lots(market);
        let side = if lots.is_positive() { &mut longs } else { &mut shorts };
        *side += lots.unsigned_abs().wide();
    }
    (longs, shorts)
}

//! Thousands of accounts with leverage, drawn from a seed.
//!
//! | drawn | from |
//! |---|---|
//! | collateral | 55 % between 100 and 1 000 USDC, 33 % up to 10 000, 12 % up to 100 000; uniform within |
//! | leverage of the account | 2× 15 %, 3× 15 %, 5× 25 %, 10× 25 %, 20× 15 %, the most that the market allows 5 %; at most 90 % of that |
//! | positions | one 60 %, two 30 %, three 10 % of accounts, notional shared equally; markets by [`LISTINGS`]' weights |
//! | side | long 70 %, short 30 %, for all of an account's positions |

use tidemark_proto::units::{Lots, Ticks};
use tidemark_proto::v1;

use super::{Listing, LISTINGS};
use crate::harness::{limit, place, Chain};
use crate::sim::rng::Rng;

/// Part of a market's largest leverage that an account uses at most, in a hundred: the rest pays
/// spread and fee.
const MOST_OF_LEVERAGE_PERCENT: u64 = 90;

/// One account of the crowd.
#[derive(Clone, Debug)]
pub struct Member {
    /// Name of its key.
    pub name: String,
    /// Its deposit.
    pub collateral_usdc: u64,
    /// Its whole leverage.
    pub leverage: u64,
    /// The side of all its positions.
    pub side: v1::Side,
    /// By market's place in [`LISTINGS`].
    pub positions: Vec<(usize, Lots)>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// In order of name.
    pub members: Vec<Member>,
    first_ticks: Vec<Ticks>,
}

/// One of several by weights in a hundred.
fn weighted<T: Copy>(rng: &mut Rng, of: &[(u64, T)]) -> T {
    let mut point = rng.within(0, 99);
    for (weight, value) in of {
        if point < *weight {
            return *value;
        }
        point -= weight;
    }
    of[of.len() - 1].1
}

/// A lot's value at a price, in atoms.
pub(super) fn lot_atoms(of: &Listing, ticks: Ticks) -> u64 {
    let k = u128::from(of.tick_size_e9) * u128::from(of.lot_size_e9) / 1_000_000_000_000;
    u64::try_from(k * u128::from(ticks.get())).unwrap_or(u64::MAX)
}

impl Crowd {
    /// Accounts with positions at these prices.
    #[must_use]
    pub fn new(rng: &mut Rng, accounts: u64, first_ticks: &[Ticks]) -> Self {
        let members = (0..accounts).map(|number| member(rng, number, first_ticks)).collect();
        Self { members, first_ticks: first_ticks.to_vec() }
    }

    /// Lots of one side in one market.
    #[must_use]
    pub fn lots(&self, market: usize, side: v1::Side) -> Lots {
        let of_side = self.members.iter().filter(|member| member.side == side);
        of_side
            .flat_map(|member| &member.positions)
            .filter(|(of, _)| *of == market)
            .map(|(_, lots)| *lots)
            .sum()
    }

    /// Every account's collateral comes in the next block.
    pub fn deposit(&self, chain: &mut Chain) {
        for member in &self.members {
            chain.deposit(&member.name, member.collateral_usdc);
        }
    }

    /// Every position opens in the next block, at once, against the makers' opening quotes.
    pub fn open(&self, chain: &mut Chain) {
        for member in &self.members {
            let order = |(market, lots): &(usize, Lots)| {
                let ticks = self.first_ticks[*market].get();
                let slack = (ticks / 200).max(1);
                let price =
                    if member.side == v1::Side::Buy { ticks + slack } else { ticks - slack };
                let time_in_force = v1::TimeInForce::Ioc.into();
                let market = u32::try_from(*market).unwrap_or(u32::MAX);
                let order = limit(market, member.side, price, lots.get());
                place(v1::PlaceOrder { time_in_force, ..order })
            };
            chain.orders(&member.name, member.positions.iter().map(order).collect());
        }
    }
}

fn member(rng: &mut Rng, number: u64, first_ticks: &[Ticks]) -> Member {
    let decade = weighted(rng, &[(55, 100), (33, 1_000), (12, 10_000)]);
    let collateral_usdc = rng.within(decade, decade * 10);
    let wanted = weighted(rng, &[(15, 2), (15, 3), (25, 5), (25, 10), (15, 20), (5, u64::MAX)]);
    let side = if rng.chance(70) { v1::Side::Buy } else { v1::Side::Sell };
    let count = weighted(rng, &[(60, 1), (30, 2), (10, 3)]);
    let weights: Vec<(u64, usize)> =
        LISTINGS.iter().enumerate().map(|(at, of)| (of.crowd_percent, at)).collect();
    let mut markets: Vec<usize> = (0..count).map(|_| weighted(rng, &weights)).collect();
    markets.sort_unstable();
    markets.dedup();
    let most = markets.iter().map(|at| u64::from(LISTINGS[*at].max_leverage)).min().unwrap_or(1);
    let leverage = wanted.min(most * MOST_OF_LEVERAGE_PERCENT / 100);
    let each_atoms = collateral_usdc * leverage * 1_000_000 / markets.len().max(1) as u64;
    let positions = markets
        .iter()
        .map(|at| (*at, each_atoms / lot_atoms(&LISTINGS[*at], first_ticks[*at]).max(1)))
        .map(|(at, lots)| (at, Lots::new(lots)));
    let positions = positions.filter(|(_, lots)| !lots.is_zero()).collect();
    Member { name: format!("crowd-{number}"), collateral_usdc, leverage, side, positions }
}

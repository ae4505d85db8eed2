//! Market makers: eight accounts that take the other side of the crowd and quote around the index.
//!
//! Each side's depth lies on a ladder from 0.05 % to 6.4 % off the index. As the index of the last
//! minute moves by `m`, sizes shrink to `2 % / (2 % + m)` of calm and distances widen by
//! `1 + m / 1 %`: in a crash makers step back. A maker replaces its quotes every other second; what
//! its collateral does not cover, the chain refuses.

use std::collections::VecDeque;

use tidemark_proto::units::Ticks;
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::crowd::{lot_atoms, Crowd};
use super::{Listing, Prices, LISTINGS};
use crate::harness::{limit, place, Chain};

/// How many there are.
pub const MAKERS: u64 = 8;
/// The deposit of each maker.
pub const MAKER_USDC: u64 = 10_000_000;

/// Distance from the index in ppm, and part of a side's depth, in twentieths.
const LADDER: [(u64, u64); 8] = [
    (500, 1),
    (1_000, 1),
    (2_000, 2),
    (4_000, 2),
    (8_000, 3),
    (16_000, 3),
    (32_000, 4),
    (64_000, 4),
];
/// No quote is farther off: the chain's price band is 20 %.
const MOST_PPM: u64 = 150_000;
/// One, in ppm.
const ONE_PPM: u64 = 1_000_000;
/// Seconds over which a move counts.
pub(super) const MEMORY: usize = 60;

/// All makers.
#[derive(Debug)]
pub struct Makers {
    /// The index of the last [`MEMORY`] seconds, by market.
    past: Vec<VecDeque<Ticks>>,
}

fn name(maker: u64) -> String {
    format!("maker-{maker}")
}

fn id(market: usize) -> u32 {
    u32::try_from(market).unwrap_or(u32::MAX)
}

impl Makers {
    /// Makers that saw these prices.
    #[must_use]
    pub fn new(first_ticks: &[Ticks]) -> Self {
        Self { past: first_ticks.iter().map(|ticks| VecDeque::from([*ticks])).collect() }
    }

    /// Their collateral comes in the next block.
    pub fn deposit(&self, chain: &mut Chain) {
        (0..MAKERS).for_each(|maker| chain.deposit(&name(maker), MAKER_USDC));
    }

    /// Opening quotes for all that the crowd wants, 0.05 % off the first price.
    pub fn open(&self, chain: &mut Chain, crowd: &Crowd) {
        for maker in 0..MAKERS {
            let quotes = (0..LISTINGS.len()).flat_map(|market| {
                let ticks = self.past[market][0].get();
                let slack = (ticks / 2_000).max(1);
                let quote = |side: v1::Side, price| {
                    let taken = if side == v1::Side::Buy { v1::Side::Sell } else { v1::Side::Buy };
                    let lots = crowd.lots(market, taken).get().div_ceil(MAKERS).max(1);
                    place(limit(id(market), side, price, lots))
                };
                [quote(v1::Side::Buy, ticks - slack), quote(v1::Side::Sell, ticks + slack)]
            });
            chain.orders(&name(maker), quotes.collect());
        }
    }

    /// Takes what is left of the opening quotes away.
    pub fn close_shop(&self, chain: &mut Chain) {
        for maker in 0..MAKERS {
            chain.orders(&name(maker), vec![Operation::CancelAll(v1::CancelAll::default())]);
        }
    }

    /// The quotes of the makers whose turn it is, around these prices.
    pub fn quote(&mut self, chain: &mut Chain, second: u64, prices: &Prices) {
        for (past, (index, _)) in self.past.iter_mut().zip(prices) {
            past.extend(*index);
            while past.len() > MEMORY {
                past.pop_front();
            }
        }
        for maker in (0..MAKERS).filter(|maker| maker % 2 == second % 2) {
            let mut operations = vec![Operation::CancelAll(v1::CancelAll::default())];
            for (market, (past, listing)) in self.past.iter().zip(&LISTINGS).enumerate() {
                if let (Some(then), Some(now)) = (past.front(), past.back()) {
                    let of = (listing, id(market));
                    operations.extend(ladder(of, (*then, *now), (maker, MAKERS)));
                }
            }
            chain.orders(&name(maker), operations);
        }
    }
}

/// One of several makers' quotes in one market, by the index of a minute ago and the one now.
pub(super) fn ladder(
    (of, market): (&Listing, u32),
    (then, now): (Ticks, Ticks),
    (maker, makers): (u64, u64),
) -> Vec<Operation> {
    let moved_ppm = then.abs_diff(now).get() * ONE_PPM / then.get().max(1);
    let thin_ppm = 20_000 * ONE_PPM / (20_000 + moved_ppm);
    let wide_ppm = ONE_PPM + moved_ppm * 100;
    let lot = lot_atoms(of, now).max(1);
    let side_atoms = of.depth_usdc * 1_000_000 / makers * thin_ppm / ONE_PPM;
    let now = now.get();
    let mut quotes = Vec::new();
    for (step_ppm, parts) in LADDER {
        let off_ppm = (step_ppm * wide_ppm / ONE_PPM + maker * 10).min(MOST_PPM);
        let off = (now * off_ppm / ONE_PPM).max(1);
        let lots = side_atoms * parts / 20 / lot;
        for (side, price) in [(v1::Side::Buy, now - off), (v1::Side::Sell, now + off)] {
            let post_only = v1::PostOnly::Reject.into();
            let order = v1::PlaceOrder { post_only, ..limit(market, side, price, lots) };
            quotes.extend((lots > 0).then(|| place(order)));
        }
    }
    quotes
}

//! Price reports of a simulated chain's validators: walks with jumps, disagreement, silence, and
//! garbage.

use tidemark_engine::exec::{BallotExtension, PriceBallot};
use tidemark_engine::state::State;
use tidemark_oracle::report::{encode, Limits, PriceReport, Report};
use tidemark_proto::units::{MarketId, Ticks};

use super::rng::Rng;

const POWERS: [u64; 5] = [30, 25, 20, 15, 10];

/// One market's price, and whether anyone reports it.
#[derive(Clone, Debug)]
struct Walk {
    ticks: u64,
    start_ticks: u64,
    silent_blocks: u64,
    perp: bool,
}

/// The prices of all markets.
#[derive(Clone, Debug)]
pub struct Prices {
    walks: Vec<Walk>,
}

impl Prices {
    /// Prices that begin here, market by market.
    #[must_use]
    pub fn new(start_ticks: &[u64]) -> Self {
        let walk = |ticks: &u64| Walk {
            ticks: *ticks,
            start_ticks: *ticks,
            silent_blocks: 0,
            perp: false,
        };
        Self { walks: start_ticks.iter().map(walk).collect() }
    }

    /// Moves every price by one block.
    pub fn step(&mut self, rng: &mut Rng) {
        for walk in &mut self.walks {
            let ppm = match rng.within(0, 99) {
                0 => rng.around(300_000),
                1..=6 => rng.around(60_000),
                _ => rng.around(4_000),
            };
            let moved = Rng::moved(walk.ticks, ppm);
            // Pulled back from the ends, so that a long history stays a market.
            walk.ticks = moved.clamp(walk.start_ticks / 8 + 1, walk.start_ticks.saturating_mul(8));
            walk.silent_blocks = walk.silent_blocks.saturating_sub(1);
            if rng.chance(1) {
                walk.silent_blocks = rng.within(1, 25);
            }
            if rng.chance(3) {
                walk.perp = !walk.perp;
            }
        }
    }

    /// The extended commit of the next block.
    #[must_use]
    pub fn ballots(&self, state: &State, rng: &mut Rng) -> Vec<PriceBallot> {
        let votes = POWERS.iter().enumerate().map(|(at, power)| {
            let extension = if rng.chance(2) { garbage(rng) } else { self.report(state, rng) };
            let absent = rng.chance(3);
            PriceBallot {
                validator: [at as u8; 20],
                power: *power,
                extension: if absent {
                    BallotExtension::Missing
                } else {
                    BallotExtension::Bytes(extension)
                },
            }
        });
        votes.collect()
    }

    fn report(&self, state: &State, rng: &mut Rng) -> Vec<u8> {
        let heard = (0..).zip(&self.walks).filter(|(_, walk)| walk.silent_blocks == 0);
        let prices = heard.map(|(market, walk)| PriceReport {
            market: MarketId::new(market),
            index_ticks: Some(Ticks::new(Rng::moved(walk.ticks, rng.around(500)))),
            external_ticks: walk
                .perp
                .then(|| Ticks::new(Rng::moved(walk.ticks, rng.around(8_000)))),
        });
        let report = Report { prices: prices.collect() };
        let base = |market: MarketId| state.markets.get(market.index())?.cell.index.commit_base();
        encode(&report, &base, Limits::default()).unwrap_or_default()
    }
}

fn garbage(rng: &mut Rng) -> Vec<u8> {
    (0..rng.within(0, 60)).map(|_| rng.bits() as u8).collect()
}

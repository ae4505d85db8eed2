//! A crash as it was recorded, on a chain full of leverage: what the liquidation stages do with
//! thousands of accounts.
//!
//! The chain is the production state machine, driven block by block without consensus, one block a
//! second of the recording. The crowd ([`crowd`]) opens its positions at the first prices and then
//! does nothing: nobody adds collateral, nobody closes in time. Market makers ([`makers`]) quote
//! around the index and thin out as it moves; keepers ([`keepers`]) take positions over where a run
//! has any. Everything else is a function of the seed.

pub mod crowd;
pub mod figures;
pub mod keepers;
pub mod makers;
pub mod pairs;
pub mod picture;
pub mod recordings;

use std::path::Path;

use tidemark_feed::replay::{Playback, Replay};
use tidemark_feed::{to_report, Feed as _, ReportedMarket};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, MarketId, Ticks, TimeMs};

use crate::harness::{genesis, healthy, test_market, Chain};
use crate::sim::rng::Rng;
use crowd::Crowd;
use figures::Figures;
use makers::Makers;

/// Seconds of the recording that pass before the crowd opens its positions: by then every market
/// has a price.
const OPENING_MS: u64 = 5_000;

/// How long the last trade of a venue counts as its price. The recording has holes of up to 13
/// minutes: there the index must go stale.
const TRADE_AGE_MS: TimeMs = TimeMs::new(60_000);

/// One market of the crash.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Its symbol in the recording.
    pub symbol: &'static str,
    tick_size_e9: u64,
    lot_size_e9: u64,
    /// The most that the market allows.
    pub max_leverage: u32,
    /// The part of the crowd's positions that is in it, in a hundred.
    pub crowd_percent: u64,
    /// Quotes of the makers on each side in calm, within 6.4 % of the index, in USDC.
    pub depth_usdc: u64,
}

const fn listing(
    symbol: &'static str,
    (tick_size_e9, lot_size_e9): (u64, u64),
    max_leverage: u32,
    crowd_percent: u64,
    depth_usdc: u64,
) -> Listing {
    Listing { symbol, tick_size_e9, lot_size_e9, max_leverage, crowd_percent, depth_usdc }
}

/// The markets of the recording.
pub const LISTINGS: [Listing; 7] = [
    listing("BTC-USD", (100_000_000, 100_000), 50, 35, 8_000_000),
    listing("ETH-USD", (10_000_000, 1_000_000), 50, 25, 5_000_000),
    listing("SOL-USD", (1_000_000, 10_000_000), 25, 14, 1_500_000),
    listing("DOGE-USD", (10_000, 10_000_000_000), 20, 8, 600_000),
    listing("LINK-USD", (1_000_000, 100_000_000), 20, 6, 400_000),
    listing("AVAX-USD", (1_000_000, 100_000_000), 20, 6, 400_000),
    listing("AAVE-USD", (10_000_000, 10_000_000), 20, 6, 400_000),
];

/// The setting of a run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Decides the crowd.
    pub seed: u64,
    /// Accounts of the crowd.
    pub accounts: u64,
    /// The insurance fund at the start.
    pub insurance_usdc: u64,
    /// Collateral that keepers set aside; 0 is none.
    pub keepers_usdc: u64,
    /// Seconds of the recording; the whole of it when it is shorter.
    pub seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            accounts: 6_000,
            insurance_usdc: 1_000_000,
            keepers_usdc: 0,
            seconds: 3_600,
        }
    }
}

/// Index and perpetual price of each market, where there is one.
type Prices = Vec<(Option<Ticks>, Option<Ticks>)>;

/// The recording by its own clock.
struct Recording {
    replay: Replay,
}

impl Recording {
    fn prices(&self, at_ms: u64) -> Prices {
        let markets = LISTINGS.iter().zip(0..).map(|(of, id)| ReportedMarket {
            id: MarketId::new(id),
            symbol: of.symbol,
            tick_size_e9: of.tick_size_e9,
            max_age_ms: TRADE_AGE_MS,
        });
        let report = to_report(&self.replay.snapshot(at_ms), markets);
        let mut prices = vec![(None, None); LISTINGS.len()];
        for price in report.prices {
            prices[price.market.index()] = (price.index_ticks, price.external_ticks);
        }
        prices
    }
}

/// Has the chain's validator report a second's prices, and nothing where the recording has none.
fn report(chain: &mut Chain, prices: &Prices) {
    chain.silence();
    for ((index, external), market) in prices.iter().zip(0..) {
        if let Some(index) = index {
            chain.index(market, index.get());
        }
        chain.external(market, external.map(Ticks::get));
    }
}

fn parameters(change: &impl Fn(&mut MarketParams)) -> Vec<MarketParams> {
    let of = |listing: &Listing| {
        let Listing { symbol, tick_size_e9, lot_size_e9, max_leverage, .. } = *listing;
        let mut params = test_market(symbol, tick_size_e9, lot_size_e9, max_leverage);
        change(&mut params);
        params
    };
    LISTINGS.iter().map(of).collect()
}

/// Plays the recording at `path`; `change` sets what this run differs in.
///
/// # Errors
/// A sentence when the recording cannot be read, or lacks a market's first price.
///
/// # Panics
/// When an invariant of the chain fails.
pub fn run(
    path: &Path,
    config: Config,
    change: impl Fn(&mut MarketParams),
    mut progress: impl FnMut(u64, &Figures),
) -> Result<Figures, String> {
    let playback = Playback { start_at_ms: 0, speed: 1, looped: false };
    let recording = Recording { replay: Replay::open(path, playback).map_err(|e| e.to_string())? };
    let opening = recording.prices(OPENING_MS);
    let first: Vec<Ticks> = opening
        .iter()
        .zip(LISTINGS)
        .map(|((index, _), of)| {
            index.ok_or_else(|| format!("the recording begins without a price of {}", of.symbol))
        })
        .collect::<Result<_, _>>()?;

    let mut chain = Chain::new(&genesis(parameters(&change), config.insurance_usdc));
    report(&mut chain, &opening);
    let mut rng = Rng::new(config.seed);
    let crowd = Crowd::new(&mut rng, config.accounts, &first);
    let mut makers = Makers::new(&first);
    crowd.deposit(&mut chain);
    makers.deposit(&mut chain);
    healthy(&chain.block());
    makers.open(&mut chain, &crowd);
    healthy(&chain.block());
    crowd.open(&mut chain);
    healthy(&chain.block());
    makers.close_shop(&mut chain);
    healthy(&chain.block());
    if config.keepers_usdc > 0 {
        keepers::register(&mut chain, config.keepers_usdc);
    }

    let mut figures = Figures::new(&chain, &crowd, &first);
    let keepers_before =
        if config.keepers_usdc > 0 { keepers::worth_atoms(&chain) } else { Atoms::ZERO };
    let seconds = config.seconds.min((recording.replay.length_ms() - OPENING_MS) / 1_000);
    for second in 0..seconds {
        let prices = recording.prices(OPENING_MS + second * 1_000);
        report(&mut chain, &prices);
        makers.quote(&mut chain, second, &prices);
        if config.keepers_usdc > 0 {
            keepers::close(&mut chain, &prices);
        }
        let events = chain.block();
        healthy(&events);
        figures.take(second, &chain, &events);
        progress(second, &figures);
    }
    figures.end(&chain);
    if config.keepers_usdc > 0 {
        figures.keepers_gained_atoms = keepers::worth_atoms(&chain) - keepers_before;
    }
    Ok(figures)
}

//! Made-up prices for devnets and tests: a random walk that anyone with the seed can compute at any
//! time.
//!
//! The logarithm of a price is a sum of noise over octaves: each octave interpolates between random
//! values at multiples of its period, and its amplitude grows with the root of the period, as a
//! walk's does. So a price costs the same at any time, and needs no state.
#![allow(clippy::float_arithmetic)]

use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::SplitMix64;
use rust_decimal::prelude::FromPrimitive;
use rust_decimal::Decimal;

use crate::{Feed, FeedError, FeedPrice};

/// Octaves: periods of 1 s, 2 s, 4 s … 2¹⁷ s, a day and a half.
const OCTAVES: u32 = 18;
/// Makes the root mean square of a walk's move over an hour one; found by trial over 200 seeds.
const WALK_SCALE: f64 = 0.78;
/// Largest noise and volatility, in parts per million.
const MAX_PPM: u32 = 100_000;

/// One market to make up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticMarket {
    /// Its symbol.
    pub symbol: String,
    /// Price at the start, in USDC, before noise.
    pub start_price: Decimal,
    /// Root mean square move over an hour, in parts per million, at most 100 000.
    pub hourly_volatility_ppm: u32,
}

/// A scripted move of one market, in force from its end on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shock {
    /// When it begins, in milliseconds after the start.
    pub at_ms: u64,
    /// The market's symbol.
    pub symbol: String,
    /// How far it goes, in parts per million of the price: above −1 000 000, at most 10 000 000.
    pub move_ppm: i32,
    /// Over how many milliseconds, linearly. 0 is at once.
    pub over_ms: u64,
}

/// Settings that all validators of a devnet share, but `validator`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticConfig {
    /// Same seed and start, same path.
    pub seed: u64,
    /// Wall time (Unix, milliseconds) of the start; before it prices stand still.
    pub start_at_ms: u64,
    /// This validator's number: what its noise is drawn from.
    pub validator: u64,
    /// How far a validator's price may be from the path, in parts per million, at most 100 000.
    pub noise_ppm: u32,
    /// The markets, each symbol once.
    pub markets: Vec<SyntheticMarket>,
    /// Scripted moves.
    pub shocks: Vec<Shock>,
}

/// Made-up prices.
#[derive(Clone, Debug)]
pub struct Synthetic {
    config: SyntheticConfig,
    /// Start prices, in the order of `config.markets`.
    start_prices: Vec<f64>,
}

impl Synthetic {
    /// A feed of `config`.
    ///
    /// # Errors
    /// [`FeedError::Setting`], naming the bound and the value of the first setting out of bounds.
    pub fn new(mut config: SyntheticConfig) -> Result<Self, FeedError> {
        config.markets.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        check(&config).map_err(FeedError::Setting)?;
        let start_prices =
            config.markets.iter().filter_map(|m| f64::try_from(m.start_price).ok()).collect();
        Ok(Self { config, start_prices })
    }

    /// Spot price and external perpetual price of `market` at `elapsed_ms` after the start, before
    /// noise.
    fn path(&self, market: &SyntheticMarket, start_price: f64, elapsed_ms: u64) -> (f64, f64) {
        let seed = mix(self.config.seed ^ hash(&market.symbol));
        let volatility = f64::from(market.hourly_volatility_ppm) / 1e6;
        let spot = start_price
            * (volatility * (walk(seed, elapsed_ms) - walk(seed, 0))).exp()
            * self.shock_factor(&market.symbol, elapsed_ms);
        // The perpetual trades within 300 ppm of spot, drifting over a quarter of an hour.
        let basis = noise(seed ^ PERPETUAL, elapsed_ms, 900_000) * 300e-6;
        (spot, spot * (1.0 + basis))
    }

    fn shock_factor(&self, symbol: &str, elapsed_ms: u64) -> f64 {
        let shocks = self
            .config
            .shocks
            .iter()
            .filter(|shock| shock.symbol == symbol && shock.at_ms <= elapsed_ms);
        shocks.fold(1.0, |factor, shock| {
            let since_ms = elapsed_ms - shock.at_ms;
            let progress = if since_ms >= shock.over_ms {
                1.0
            } else {
                since_ms as f64 / shock.over_ms as f64
            };
            factor * (1.0 + f64::from(shock.move_ppm) / 1e6 * progress)
        })
    }

    /// This validator's own factor in the second of `elapsed_ms`, for one of its prices.
    fn noise_factor(&self, seed: u64, elapsed_ms: u64) -> f64 {
        let draw = random(mix(seed ^ mix(self.config.validator)), elapsed_ms / 1_000);
        1.0 + draw * f64::from(self.config.noise_ppm) / 1e6
    }
}

/// Tells the perpetual's draws from the spot's.
const PERPETUAL: u64 = 0x7065_7270_6574_7561;

impl Feed for Synthetic {
    fn name(&self) -> String {
        format!("synthetic(seed={})", self.config.seed)
    }

    fn snapshot(&self, now_ms: u64) -> Vec<FeedPrice> {
        let elapsed_ms = now_ms.saturating_sub(self.config.start_at_ms);
        let price = |(market, start_price): (&SyntheticMarket, &f64)| {
            let (spot, perp) = self.path(market, *start_price, elapsed_ms);
            let seed = self.config.seed ^ hash(&market.symbol);
            FeedPrice {
                symbol: market.symbol.clone(),
                index: to_decimal(spot * self.noise_factor(seed, elapsed_ms)),
                external: to_decimal(perp * self.noise_factor(seed ^ PERPETUAL, elapsed_ms)),
                age_ms: 0,
            }
        };
        self.config.markets.iter().zip(&self.start_prices).map(price).collect()
    }
}

fn check(config: &SyntheticConfig) -> Result<(), String> {
    let ppm = |name: &str, value: u32| {
        if value > MAX_PPM {
            Err(format!("{name} is {value}, at most {MAX_PPM}"))
        } else {
            Ok(())
        }
    };
    ppm("noise_ppm", config.noise_ppm)?;
    for market in &config.markets {
        ppm("hourly_volatility_ppm", market.hourly_volatility_ppm)?;
        let (low, high) = (Decimal::new(1, 9), Decimal::from(1_000_000_000));
        if !(low..=high).contains(&market.start_price) {
            return Err(format!(
                "start price of {} is {}, must be {low} to {high}",
                market.symbol, market.start_price
            ));
        }
    }
    if let Some(pair) = config.markets.windows(2).find(|pair| pair[0].symbol == pair[1].symbol) {
        return Err(format!("market {} is there twice", pair[0].symbol));
    }
    for shock in &config.shocks {
        if !(-999_999..=10_000_000).contains(&shock.move_ppm) {
            return Err(format!("move_ppm is {}, must be -999999 to 10000000", shock.move_ppm));
        }
        if !config.markets.iter().any(|market| market.symbol == shock.symbol) {
            return Err(format!("shock of market {}, which is not made up here", shock.symbol));
        }
    }
    Ok(())
}

/// The walk at `elapsed_ms`, in units of its root mean square move over an hour.
fn walk(seed: u64, elapsed_ms: u64) -> f64 {
    (0..OCTAVES)
        .map(|octave| {
            let period_ms = 1_000_u64 << octave;
            WALK_SCALE
                * (period_ms as f64 / 3_600_000.0).sqrt()
                * noise(seed ^ mix(octave.into()), elapsed_ms, period_ms)
        })
        .sum()
}

/// Noise in ±1: random at multiples of `period_ms`, linear between.
fn noise(seed: u64, elapsed_ms: u64, period_ms: u64) -> f64 {
    let (step, into) = (elapsed_ms / period_ms, (elapsed_ms % period_ms) as f64 / period_ms as f64);
    random(seed, step) * (1.0 - into) + random(seed, step.wrapping_add(1)) * into
}

/// A random number in ±1 of a seed and a position.
fn random(seed: u64, position: u64) -> f64 {
    (mix(seed ^ mix(position)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A hash of a number: every bit of the result depends on every bit given.
fn mix(value: u64) -> u64 {
    SplitMix64::seed_from_u64(value).next_u64()
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// A price as a decimal of nine significant digits. `None` when it is no price.
fn to_decimal(price: f64) -> Option<Decimal> {
    Decimal::from_f64(price)?.round_sf(9).filter(|price| *price > Decimal::ZERO)
}

#[cfg(test)]
mod tests;

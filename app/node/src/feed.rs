//! From the configuration to a source of prices.

use std::path::Path;

use rust_decimal::Decimal;
use tidemark_feed::replay::{Playback, Replay};
use tidemark_feed::synthetic::{Shock, Synthetic, SyntheticConfig, SyntheticMarket};
use tidemark_feed::{Feed, FeedPrice};

use super::config::{FeedConfig, ShockConfig};
use super::sidecar::SidecarFeed;

/// Markets that the synthetic feed makes up: symbol, price in USDC at the start, root mean square
/// move over an hour in ppm.
pub const SYNTHETIC_MARKETS: [(&str, u32, u32); 3] =
    [("BTC-USD", 60_000, 15_000), ("ETH-USD", 3_000, 20_000), ("SOL-USD", 150, 25_000)];

/// How far a validator's synthetic prices may be from the others', in ppm.
const SYNTHETIC_NOISE_PPM: u32 = 20;

/// No prices.
struct Off;

impl Feed for Off {
    fn name(&self) -> String {
        "off".to_owned()
    }

    fn snapshot(&self, _now_ms: u64) -> Vec<FeedPrice> {
        Vec::new()
    }
}

impl FeedConfig {
    /// The feed of a node at `home`; a relative file is looked for there.
    ///
    /// # Errors
    /// A sentence naming the file, line or setting that is wrong.
    pub fn build(&self, home: &Path) -> Result<Box<dyn Feed>, String> {
        match self {
            Self::Off => Ok(Box::new(Off)),
            Self::Synthetic { seed, start_at_ms, validator, shocks } => {
                let market =
                    |&(symbol, price, hourly_volatility_ppm): &(&str, u32, u32)| SyntheticMarket {
                        symbol: symbol.to_owned(),
                        start_price: Decimal::from(price),
                        hourly_volatility_ppm,
                    };
                let config = SyntheticConfig {
                    seed: *seed,
                    start_at_ms: *start_at_ms,
                    validator: u64::from(*validator),
                    noise_ppm: SYNTHETIC_NOISE_PPM,
                    markets: SYNTHETIC_MARKETS.iter().map(market).collect(),
                    shocks: shocks.iter().map(ShockConfig::to_shock).collect(),
                };
                let feed =
                    Synthetic::new(config).map_err(|error| format!("synthetic feed: {error}"))?;
                Ok(Box::new(feed))
            }
            Self::Replay { file, speed, start_at_ms, repeat } => {
                let playback = Playback {
                    start_at_ms: *start_at_ms,
                    speed: u64::from(*speed),
                    looped: *repeat,
                };
                let feed = Replay::open(&home.join(file), playback)
                    .map_err(|error| format!("replay feed: {error}"))?;
                Ok(Box::new(feed))
            }
            Self::Sidecar { address, max_age_ms } => {
                let runtime = tokio::runtime::Handle::try_current()
                    .map_err(|error| format!("sidecar feed: {error}"))?;
                Ok(Box::new(SidecarFeed::start(&runtime, *address, *max_age_ms)))
            }
        }
    }
}

impl ShockConfig {
    fn to_shock(&self) -> Shock {
        Shock {
            at_ms: self.at_ms,
            symbol: self.market.clone(),
            move_ppm: self.move_ppm,
            over_ms: self.over_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synthetic_feed_has_its_markets_and_follows_the_script() {
        let drop =
            ShockConfig { market: "BTC-USD".into(), at_ms: 10_000, move_ppm: -100_000, over_ms: 0 };
        let feed =
            FeedConfig::Synthetic { seed: 1, start_at_ms: 0, validator: 0, shocks: vec![drop] };
        let feed = feed.build(Path::new("")).unwrap();
        let price = |now_ms, symbol: &str| {
            let prices = feed.snapshot(now_ms);
            prices
                .iter()
                .find(|price| price.symbol == symbol)
                .and_then(|price| price.index)
                .unwrap()
        };
        let ratio = price(10_000, "BTC-USD") / price(9_999, "BTC-USD");
        assert!((ratio - Decimal::new(9, 1)).abs() < Decimal::new(1, 3), "{ratio}");
        for (symbol, start, _) in SYNTHETIC_MARKETS {
            let off = price(0, symbol) / Decimal::from(start) - Decimal::ONE;
            assert!(off.abs() < Decimal::new(1, 3), "{symbol} {off}");
        }
    }

    #[test]
    fn wrong_settings_and_files_are_named() {
        let unknown = ShockConfig { market: "X-USD".into(), at_ms: 0, move_ppm: 1, over_ms: 0 };
        let synthetic =
            FeedConfig::Synthetic { seed: 1, start_at_ms: 0, validator: 0, shocks: vec![unknown] };
        assert!(synthetic.build(Path::new("")).err().unwrap().contains("X-USD"));
        let replay =
            FeedConfig::Replay { file: "none.csv".into(), speed: 1, start_at_ms: 0, repeat: false };
        assert!(replay.build(Path::new("/nowhere")).err().unwrap().contains("none.csv"));
        assert!(FeedConfig::Off.build(Path::new("")).unwrap().snapshot(0).is_empty());
    }
}

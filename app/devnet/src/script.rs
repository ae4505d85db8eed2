//! The script of the devnet's prices, and its markets.

use tidemark_node::config::ShockConfig;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::Atoms;

/// A round of the script: calm, a fall of BTC, a fall of ETH, a gap in SOL, each with its recovery.
const ROUND_MS: u64 = 60_000;
/// Rounds that are written into the feed's options: half a day.
const ROUNDS: u64 = 720;

/// The three markets. BTC and ETH have deep books; SOL is thin, so that its gap goes beyond the
/// book. Mark and funding ask for more depth of the deep books.
#[must_use]
pub fn markets() -> Vec<MarketParams> {
    let major = |symbol, tick_size_e9, lot_size_e9| MarketParams {
        impact_notional_atoms: Atoms::from_usdc(20_000),
        mark_impact_notional_atoms: Atoms::from_usdc(50_000),
        ..MarketParams::with_defaults(symbol, tick_size_e9, lot_size_e9, 50)
    };
    vec![
        major("BTC-USD", 100_000_000, 100_000),
        major("ETH-USD", 10_000_000, 1_000_000),
        MarketParams::with_defaults("SOL-USD", 1_000_000, 10_000_000, 20),
    ]
}

/// The moves of made-up prices.
#[must_use]
pub fn shocks() -> Vec<ShockConfig> {
    (0..ROUNDS).flat_map(round).collect()
}

fn round(number: u64) -> [ShockConfig; 6] {
    let shock = |market: &str, second: u64, move_ppm: i32, over_ms: u64| ShockConfig {
        market: market.to_owned(),
        at_ms: number * ROUND_MS + second * 1_000,
        move_ppm,
        over_ms,
    };
    [
        shock("BTC-USD", 12, -80_000, 6_000),
        shock("BTC-USD", 22, undo(-80_000), 8_000),
        shock("ETH-USD", 27, -90_000, 5_000),
        shock("ETH-USD", 36, undo(-90_000), 8_000),
        // At once: no block shows a price at which the book could have closed the longs in time.
        shock("SOL-USD", 42, -120_000, 0),
        shock("SOL-USD", 47, undo(-120_000), 8_000),
    ]
}

/// The move that brings a price back, in ppm, to the nearest.
fn undo(move_ppm: i32) -> i32 {
    let after = 1_000_000 + i64::from(move_ppm);
    let back = (-i64::from(move_ppm) * 1_000_000 + after / 2) / after;
    i32::try_from(back).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_ends_where_it_began() {
        for market in ["BTC-USD", "ETH-USD", "SOL-USD"] {
            let moves = round(0).into_iter().filter(|shock| shock.market == market);
            let price = moves.fold(1_000_000_000_i64, |price, shock| {
                price + price * i64::from(shock.move_ppm) / 1_000_000
            });
            assert!((price - 1_000_000_000).abs() < 2_000, "{market} {price}");
        }
        assert!(round(0).iter().all(|shock| shock.at_ms + shock.over_ms < ROUND_MS));
    }

    #[test]
    fn the_markets_are_sound_and_made_up_by_the_feed() {
        for market in markets() {
            market.check().unwrap();
            assert!(tidemark_node::feed::SYNTHETIC_MARKETS
                .iter()
                .any(|(symbol, ..)| *symbol == market.symbol));
        }
    }
}

//! Market makers: a ladder on both sides of the index, renewed about twice a second.

use std::time::Duration;

use tidemark_client::Market;
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::account::{position_lots, Trader};
use super::SharedBoard;

/// Between two renewals.
const RENEWAL_MS: (u64, u64) = (350, 550);
/// Distances of the levels from the middle, in ppm. The far ones are what a fall finds before
/// anyone can renew.
const LEVELS_PPM: [u64; 10] = [300, 500, 800, 1_200, 2_000, 4_000, 10_000, 30_000, 70_000, 100_000];
/// For each 20 000 USDC that it is long, the middle falls by this much, and the other way round.
const SKEW_PPM: i64 = 50;
const SKEW_PER_ATOMS: i64 = 20_000_000_000;
/// Most that the middle moves.
const MAX_SKEW_PPM: i64 = 1_000;

/// Notional of a level, in atoms. SOL's book is thin on purpose near the middle, so that a gap is
/// not caught by it, and has its weight where the insurance fund must pay to sell.
fn level_atoms(symbol: &str, distance_ppm: u64) -> u64 {
    match (symbol, distance_ppm) {
        ("SOL-USD", ..=10_000) => 700_000_000,
        ("SOL-USD", ..=70_000) => 2_000_000_000,
        ("SOL-USD", _) => 8_000_000_000,
        ("BTC-USD", _) => 25_000_000_000,
        _ => 15_000_000_000,
    }
}

/// Quotes until it is stopped.
pub async fn run(mut trader: Trader, board: SharedBoard) {
    loop {
        // What fails here, a busy node say, is tried again with fresh prices.
        if let (Ok(markets), Some(account)) =
            (trader.client().markets().await, trader.account().await)
        {
            let ladders = markets.iter().filter(|(_, state)| !state.stale && state.index_ticks > 0);
            let operations: Vec<_> = ladders
                .flat_map(|(market, state)| {
                    let position = position_lots(&account, market.id);
                    ladder(market, state.index_ticks, position)
                })
                .collect();
            if !operations.is_empty() {
                let _ = trader.send(operations, &board).await;
            }
        }
        let pause_ms = trader.random.between(RENEWAL_MS.0, RENEWAL_MS.1);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Cancels what is there and quotes anew around `index_ticks`, moved against the position.
fn ladder(market: &Market, index_ticks: u64, position_lots: i64) -> Vec<Operation> {
    let mut operations = vec![Operation::CancelAll(v1::CancelAll {
        market: Some(market.id),
        side: v1::Side::Unspecified.into(),
    })];
    let atoms_per_lot = index_ticks.saturating_mul(market.k).max(1);
    let notional = i128::from(position_lots) * i128::from(atoms_per_lot);
    let skew_ppm = -(notional * i128::from(SKEW_PPM) / i128::from(SKEW_PER_ATOMS));
    let skew_ppm = skew_ppm.clamp(-i128::from(MAX_SKEW_PPM), i128::from(MAX_SKEW_PPM));
    let price = |ppm: i128| {
        let ticks = i128::from(index_ticks) * (1_000_000 + skew_ppm + ppm) / 1_000_000;
        u64::try_from(ticks.max(1)).unwrap_or(u64::MAX)
    };
    for distance_ppm in LEVELS_PPM {
        let lots = (level_atoms(&market.symbol, distance_ppm) / atoms_per_lot).max(1);
        let distance = i128::from(distance_ppm);
        // One tick apart at least, where ticks are coarse.
        let (bid, ask) =
            (price(-distance), price(distance).max(price(-distance).saturating_add(2)));
        for (side, price_ticks) in [(v1::Side::Buy, bid), (v1::Side::Sell, ask)] {
            operations.push(Operation::Place(v1::PlaceOrder {
                market: market.id,
                side: side.into(),
                price_ticks,
                lots,
                post_only: v1::PostOnly::Slide.into(),
                ..Default::default()
            }));
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_around_the_index_and_leans_against_the_position() {
        let params = v1::MarketParams {
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            ..Default::default()
        };
        let market = Market::new(&params, 10);
        let prices = |position, side: v1::Side| {
            let orders = ladder(&market, 600_000, position).into_iter().filter_map(|operation| {
                match operation {
                    Operation::Place(place) if place.side() == side => Some(place.price_ticks),
                    _ => None,
                }
            });
            orders.collect::<Vec<_>>()
        };
        let (bids, asks) = (prices(0, v1::Side::Buy), prices(0, v1::Side::Sell));
        assert_eq!((bids.len(), asks.len()), (LEVELS_PPM.len(), LEVELS_PPM.len()));
        assert!(bids.iter().max() < asks.iter().min());
        assert!(bids[0] > 599_000 && asks[0] < 601_000);
        // Long 5 BTC: the middle is lower, so that others sell less to it.
        assert!(prices(50_000, v1::Side::Buy)[0] < bids[0]);
        assert!(prices(-50_000, v1::Side::Buy)[0] > bids[0]);
    }
}

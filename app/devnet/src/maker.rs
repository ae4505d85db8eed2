//! Market makers: a ladder on both sides of the index, renewed about twice a second.

use std::time::Duration;

use tidemark_client::{lots_within, Market};
use tidemark_proto::units::{Atoms, Lots, Ppm, SignedLots, Ticks};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::account::{position_lots, Trader};
use super::SharedBoard;

/// Shortest and longest time between two renewals of the quotes.
const RENEWAL_MS: (u64, u64) = (350, 550);
/// Distances of the levels from the middle, in ppm. The far levels stop a fall that comes faster
/// than a renewal.
const LEVELS_PPM: [i64; 10] = [300, 500, 800, 1_200, 2_000, 4_000, 10_000, 30_000, 70_000, 100_000];
/// Change of the middle for each [`SKEW_PER_ATOMS`] of position: down for a long, up for a short.
const SKEW_PPM: Ppm = Ppm::new(50);
const SKEW_PER_ATOMS: Atoms = Atoms::from_usdc(20_000);
/// Largest change of the middle.
const MAX_SKEW_PPM: Ppm = Ppm::new(1_000);

/// Notional of a level. SOL's book is thin on purpose near the middle, so that a gap is
/// not caught by it, and has its weight where the insurance fund must pay to sell.
fn level_atoms(symbol: &str, distance: Ppm) -> Atoms {
    Atoms::from_usdc(match (symbol, distance.get()) {
        ("SOL-USD", ..=10_000) => 700,
        ("SOL-USD", ..=70_000) => 2_000,
        ("SOL-USD", _) => 8_000,
        ("BTC-USD", _) => 25_000,
        _ => 15_000,
    })
}

/// How far the middle moves against a position of this value.
fn skew_ppm(position: Atoms) -> Ppm {
    let against = -position.get() * SKEW_PPM.wide() / SKEW_PER_ATOMS.get();
    let most = MAX_SKEW_PPM.wide();
    i64::try_from(against.clamp(-most, most)).map_or(Ppm::ZERO, Ppm::new)
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
                    ladder(market, Ticks::new(state.index_ticks), position)
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
fn ladder(market: &Market, index_ticks: Ticks, position_lots: SignedLots) -> Vec<Operation> {
    let mut operations = vec![Operation::CancelAll(v1::CancelAll {
        market: Some(market.id),
        side: v1::Side::Unspecified.into(),
    })];
    let Some(position) = index_ticks.position_atoms(position_lots, market.k) else {
        return operations;
    };
    let (lot_atoms, skew) = (market.lot_atoms(index_ticks), skew_ppm(position));
    let price = |distance: Ppm| {
        let ticks = index_ticks.wide() * (Ppm::ONE + skew + distance).wide() / Ppm::ONE.wide();
        u64::try_from(ticks.max(1)).map_or(Ticks::MAX, Ticks::new)
    };
    for distance in LEVELS_PPM.map(Ppm::new) {
        let lots = lots_within(level_atoms(&market.symbol, distance), lot_atoms).max(Lots::ONE);
        // One tick apart at least, where ticks are coarse.
        let bid = price(-distance);
        let ask = price(distance).max(bid.saturating_add(Ticks::new(2)));
        for (side, price_ticks) in [(v1::Side::Buy, bid), (v1::Side::Sell, ask)] {
            operations.push(Operation::Place(v1::PlaceOrder {
                market: market.id,
                side: side.into(),
                price_ticks: price_ticks.get(),
                lots: lots.get(),
                post_only: v1::PostOnly::Slide.into(),
                ..Default::default()
            }));
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use tidemark_proto::units::AtomsPerTickLot;

    use super::*;

    #[test]
    fn a_ladder_is_around_the_index_and_leans_against_the_position() {
        let params = v1::MarketParams {
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            ..Default::default()
        };
        let market = Market::new(&params, AtomsPerTickLot::new(10));
        let prices = |position, side: v1::Side| {
            let ladder = ladder(&market, Ticks::new(600_000), SignedLots::new(position));
            let prices = ladder.into_iter().filter_map(|operation| match operation {
                Operation::Place(place) if place.side() == side => Some(place.price_ticks),
                _ => None,
            });
            prices.collect::<Vec<_>>()
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

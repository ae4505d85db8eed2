//! Decisions of a keeper: pure functions, in the chain's units. Markets and accounts have the
//! wire's ids.

use std::collections::BTreeMap;

use tidemark_client::lots_within;
use tidemark_oracle::mark::band_ticks;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, Ppm, Side, SignedLots, Ticks};
use tidemark_proto::v1;

/// Bounds of the keeper. All of them hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest position in one market, atoms of notional at the mark.
    pub max_market_atoms: Atoms,
    /// All positions together, atoms of notional.
    pub max_total_atoms: Atoms,
    /// Least that a takeover must earn when it is closed at the hedge's worst price with the taker
    /// fee paid, ppm of the zero price.
    pub min_edge_ppm: Ppm,
    /// How far from the mark a hedge trades at worst, ppm.
    pub max_slippage_ppm: Ppm,
}

/// The market's state on which the keeper decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketSnapshot {
    /// The mark price.
    pub mark_ticks: Ticks,
    /// Atoms per tick·lot.
    pub k: AtomsPerTickLot,
    /// Largest order.
    pub max_order_lots: Lots,
    /// True if the market trades on a fresh index; otherwise nothing is taken or hedged.
    pub live: bool,
}

/// The keeper's lots by market; positive is long.
pub type Holdings = BTreeMap<u32, SignedLots>;
/// Markets by id.
pub type MarketSnapshots = BTreeMap<u32, MarketSnapshot>;

/// Part of a listed position to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// Where.
    pub market: u32,
    /// Whose position.
    pub account_id: u32,
    /// How much of it.
    pub lots: Lots,
    /// The takeover's profit, ppm of the zero price.
    pub edge_ppm: Ppm,
}

/// The worst price at which a position of this sign is hedged: below the mark for a long that is
/// sold, above it for a short.
#[must_use]
pub fn hedge_ticks(mark_ticks: Ticks, held: SignedLots, max_slippage_ppm: Ppm) -> Ticks {
    let (low, high) = band_ticks(mark_ticks, max_slippage_ppm);
    if held.is_positive() {
        low
    } else {
        high
    }
}

/// The profit of a position taken at `zero_ticks` and hedged at `hedge_ticks` with the taker fee
/// paid, ppm of the zero price, rounded down. `None` at a price of 0, and beyond 63 bits.
#[must_use]
pub fn edge_ppm(
    zero_ticks: Ticks,
    hedge_ticks: Ticks,
    taken: SignedLots,
    taker_fee_ppm: Ppm,
) -> Option<Ppm> {
    let (zero, hedge, fee) = (zero_ticks.wide(), hedge_ticks.wide(), taker_fee_ppm.wide());
    let one = Ppm::ONE.wide();
    let zero_micro = zero.checked_mul(one)?;
    let earned_micro = if taken.is_positive() {
        hedge.checked_mul(one - fee)? - zero_micro
    } else {
        zero_micro - hedge.checked_mul(one + fee)?
    };
    // `earned / 10⁶ / zero` in ppm is `earned / zero`.
    let edge = (zero > 0).then(|| earned_micro.div_euclid(zero))?;
    i64::try_from(edge).ok().map(Ppm::new)
}

fn notional_atoms(snapshot: &MarketSnapshot, lots: Lots) -> Atoms {
    snapshot.mark_ticks.notional_atoms(lots, snapshot.k).unwrap_or(Atoms::MAX)
}

/// Which listed positions to ask for, and how much of each: the most profitable first, within the
/// limits. What it holds of the other side in the market makes no room: the position could be gone
/// before the takeover comes.
#[must_use]
pub fn takes(
    limits: &Limits,
    markets: &MarketSnapshots,
    holdings: &Holdings,
    listed: &[v1::ListedPosition],
    own_account: u32,
    taker_fee_ppm: Ppm,
) -> Vec<Take> {
    let mut offers: Vec<(Ppm, &v1::ListedPosition, &MarketSnapshot)> = listed
        .iter()
        .filter(|position| position.account_id != own_account && position.lots != 0)
        .filter_map(|position| {
            let snapshot = markets
                .get(&position.market)
                .filter(|snapshot| snapshot.live && !snapshot.mark_ticks.is_zero())?;
            let (lots, zero) =
                (SignedLots::new(position.lots), Ticks::new(position.zero_price_ticks));
            let hedge = hedge_ticks(snapshot.mark_ticks, lots, limits.max_slippage_ppm);
            let edge = edge_ppm(zero, hedge, lots, taker_fee_ppm)?;
            (edge >= limits.min_edge_ppm).then_some((edge, position, snapshot))
        })
        .collect();
    offers.sort_by_key(|(edge, position, _)| {
        (std::cmp::Reverse(*edge), position.market, position.account_id)
    });
    let mut used: BTreeMap<u32, Atoms> = BTreeMap::new();
    for (market, lots) in holdings {
        // A market that is gone from view still counts, at nothing known: its position is as large
        // as the bound.
        let held = markets.get(market).map_or(limits.max_market_atoms, |snapshot| {
            notional_atoms(snapshot, lots.unsigned_abs())
        });
        used.insert(*market, if lots.is_zero() { Atoms::ZERO } else { held });
    }
    let mut taken = Vec::new();
    for (edge_ppm, position, snapshot) in offers {
        let in_market = used.get(&position.market).copied().unwrap_or_default();
        let total: Atoms = used.values().copied().sum();
        let room = (limits.max_market_atoms - in_market).min(limits.max_total_atoms - total);
        let lots = lots_within(room, notional_atoms(snapshot, Lots::ONE));
        let lots = lots.min(SignedLots::new(position.lots).unsigned_abs());
        if lots.is_zero() {
            continue;
        }
        *used.entry(position.market).or_default() += notional_atoms(snapshot, lots);
        taken.push(Take {
            market: position.market,
            account_id: position.account_id,
            lots,
            edge_ppm,
        });
    }
    taken
}

/// Orders that close what the keeper holds: immediate, reduce-only, within `max_slippage` of the
/// mark. Sending one twice closes no more than there is; its client id is a function of the height
/// that it was decided at, so that a resend is the same order.
#[must_use]
pub fn hedges(
    limits: &Limits,
    markets: &MarketSnapshots,
    holdings: &Holdings,
    height: u64,
) -> Vec<v1::PlaceOrder> {
    let open = holdings.iter().filter(|(_, lots)| !lots.is_zero());
    let order = |(market, lots): (&u32, &SignedLots)| {
        let snapshot = markets
            .get(market)
            .filter(|snapshot| snapshot.live && !snapshot.mark_ticks.is_zero())?;
        Some(v1::PlaceOrder {
            market: *market,
            side: v1::Side::from(Side::reducing(*lots)).into(),
            price_ticks: hedge_ticks(snapshot.mark_ticks, *lots, limits.max_slippage_ppm).get(),
            lots: lots.unsigned_abs().min(snapshot.max_order_lots).get(),
            time_in_force: v1::TimeInForce::Ioc.into(),
            reduce_only: true,
            client_id: height,
            ..v1::PlaceOrder::default()
        })
    };
    open.filter_map(order).collect()
}

/// The new set-aside of a market, in all, if it is time to change it: `target` where less than half
/// of that is left, as far as withdrawable collateral goes. `None` while the change would add less
/// than a hundredth of the target, or end below the `least` that the chain takes.
#[must_use]
pub fn top_up(target: Atoms, least: Atoms, set_aside: Atoms, withdrawable: Atoms) -> Option<Atoms> {
    if set_aside >= target.mul_div_ceil(1, 2)? {
        return None;
    }
    let affordable = set_aside.saturating_add(withdrawable).min(target);
    let added = affordable - set_aside;
    let is_enough = added.is_positive() && added >= target.mul_div_floor(1, 100)?;
    (is_enough && affordable >= least).then_some(affordable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// k = 10⁶: a lot at price 100 is 100 USDC.
    const SNAPSHOT: MarketSnapshot = MarketSnapshot {
        mark_ticks: Ticks::new(100_000),
        k: AtomsPerTickLot::new(1_000),
        max_order_lots: Lots::new(1_000),
        live: true,
    };
    const LIMITS: Limits = Limits {
        max_market_atoms: Atoms::from_usdc(1_000),
        max_total_atoms: Atoms::from_usdc(1_500),
        min_edge_ppm: Ppm::new(1_000),
        max_slippage_ppm: Ppm::new(2_000),
    };

    fn listed(market: u32, account_id: u32, lots: i64, zero: u64) -> v1::ListedPosition {
        v1::ListedPosition {
            market,
            account_id,
            lots,
            zero_price_ticks: zero,
            mark_ticks: SNAPSHOT.mark_ticks.get(),
            ..Default::default()
        }
    }

    fn held(holdings: &[(u32, i64)]) -> Holdings {
        holdings.iter().map(|(market, lots)| (*market, SignedLots::new(*lots))).collect()
    }

    fn decided(holdings: &[(u32, i64)], offers: &[v1::ListedPosition]) -> Vec<(u32, u32, u64)> {
        let markets = (0..3).map(|id| (id, MarketSnapshot { live: id != 2, ..SNAPSHOT })).collect();
        let takes = takes(&LIMITS, &markets, &held(holdings), offers, 99, Ppm::new(500));
        takes.into_iter().map(|take| (take.market, take.account_id, take.lots.get())).collect()
    }

    #[test]
    fn an_edge_is_what_is_left_after_hedge_and_fee() {
        let edge = |zero, hedge, lots, fee| {
            let (zero, hedge) = (Ticks::new(zero), Ticks::new(hedge));
            edge_ppm(zero, hedge, SignedLots::new(lots), Ppm::new(fee)).map(Ppm::get)
        };
        // A long taken at 99 000, sold at 99 800 less 0.05 %: 99 750.1.
        assert_eq!(edge(99_000, 99_800, 5, 500), Some(7_576));
        // A short taken at 101 000, bought back at 100 200 and 0.05 %: 100 250.1.
        assert_eq!(edge(101_000, 100_200, -5, 500), Some(7_424));
        assert_eq!(edge(100_000, 99_800, 5, 0), Some(-2_000));
        assert_eq!(edge(0, 99_800, 5, 0), None);
    }

    #[test]
    fn takes_follow_the_limits() {
        type Case = (
            &'static str,
            &'static [(u32, i64)],
            Vec<v1::ListedPosition>,
            &'static [(u32, u32, u64)],
        );
        let cases: Vec<Case> = vec![
            (
                "a position with enough edge, whole",
                &[],
                vec![listed(0, 1, 4, 99_000)],
                &[(0, 1, 4)],
            ),
            ("too little edge", &[], vec![listed(0, 1, 4, 99_700)], &[]),
            ("a short", &[], vec![listed(0, 1, -4, 101_000)], &[(0, 1, 4)]),
            ("a short at a long's price", &[], vec![listed(0, 1, -4, 99_000)], &[]),
            ("the market's limit", &[], vec![listed(0, 1, 40, 99_000)], &[(0, 1, 10)]),
            (
                "what is held counts, whatever its side",
                &[(0, -7)],
                vec![listed(0, 1, 40, 99_000)],
                &[(0, 1, 3)],
            ),
            (
                "the most profitable first, and the total's limit",
                &[],
                vec![listed(0, 1, 40, 99_000), listed(1, 2, 40, 98_000)],
                &[(1, 2, 10), (0, 1, 5)],
            ),
            (
                "nothing left",
                &[(0, 10), (1, 5)],
                vec![listed(0, 1, 40, 99_000), listed(1, 2, 40, 98_000)],
                &[],
            ),
            ("a market that is not live", &[], vec![listed(2, 1, 4, 99_000)], &[]),
            ("a market that is not known", &[], vec![listed(7, 1, 4, 99_000)], &[]),
            ("its own position", &[], vec![listed(0, 99, 4, 99_000)], &[]),
        ];
        for (name, holdings, offers, expected) in cases {
            assert_eq!(decided(holdings, &offers), expected, "{name}");
        }
    }

    #[test]
    fn hedges_only_reduce_within_the_slippage() {
        let markets =
            [(0, SNAPSHOT), (1, SNAPSHOT), (2, MarketSnapshot { live: false, ..SNAPSHOT })]
                .into_iter()
                .collect();
        let holdings = held(&[(0, 5), (1, -2_000), (2, 4), (3, 0)]);
        let orders = hedges(&LIMITS, &markets, &holdings, 77);
        let shown =
            |order: &v1::PlaceOrder| (order.market, order.side(), order.price_ticks, order.lots);
        assert_eq!(
            orders.iter().map(shown).collect::<Vec<_>>(),
            [(0, v1::Side::Sell, 99_800, 5), (1, v1::Side::Buy, 100_200, 1_000)]
        );
        for order in &orders {
            assert!(
                order.reduce_only
                    && order.time_in_force() == v1::TimeInForce::Ioc
                    && order.client_id == 77
            );
        }
    }

    #[test]
    fn capacity_is_topped_up_when_half_is_gone() {
        for (target, left, withdrawable, expected) in [
            (1_000, 0, 5_000, Some(1_000)),
            (1_000, 500, 5_000, None),
            (1_000, 499, 5_000, Some(1_000)),
            (1_000, 0, 300, Some(300)),
            (1_000, 0, 299, None),
            (1_000, 300, 0, None),
            (1_000, 300, 9, None),
            (0, 0, 100, None),
        ] {
            let atoms = Atoms::from_u64;
            assert_eq!(
                top_up(atoms(target), atoms(300), atoms(left), atoms(withdrawable)),
                expected.map(atoms),
                "{target} {left} {withdrawable}"
            );
        }
    }
}

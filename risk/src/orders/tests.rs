//! The reserve lemma (rules §3.7): no fill of open orders, in any sequence, needs a check.

use proptest::prelude::*;
use tidemark_proto::units::{Atoms, Lots, MarketId, OrderId, Ppm, Side, SignedLots, Ticks};

use crate::fees::trade_fees;
use crate::health::{free_atoms, health, health_without_orders};
use crate::orders::{
    order_totals, prune, reserve, OpenOrder, OrderTotals, Prunable, PrunedMarket, Reserves,
};
use crate::position::apply_fill;
use crate::tests::{account, any_market, atoms, lots, market, ppm, ticks, usdc, M0, M1};
use crate::{Account, Market};

const MAX_FEE_PPM: Ppm = Ppm::new(700);

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

/// Orders at any distance from the mark, on both sides, some of them reduce-only.
fn orders() -> impl Strategy<Value = Vec<OpenOrder>> {
    let order = (side(), 1_u64..400_000, 1_u64..2_000, any::<bool>());
    prop::collection::vec(
        order.prop_map(|(side, price, size, reduce_only)| open(side, price, size, reduce_only)),
        1..8,
    )
}

fn open(side: Side, price: u64, size: u64, reduce_only: bool) -> OpenOrder {
    OpenOrder { side, price_ticks: ticks(price), lots: lots(size), reduce_only }
}

/// `(which order, part of it in 1/8, price between its limit and the best in 1/8, rate in ppm as
/// maker or taker)`.
type Step = (usize, u64, u64, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0_usize..8, 1_u64..=8, 0_u64..=8, -300_i64..=700), 1..24)
}

fn free(account: &Account, market: &Market, orders: &[OpenOrder], max_fee_ppm: Ppm) -> Atoms {
    let totals = |_| order_totals(orders, market.mark().unwrap(), market.k, max_fee_ppm);
    let markets = std::slice::from_ref(market);
    let free = free_atoms(account, markets, totals).unwrap();
    assert_eq!(free, health(account, markets, totals).unwrap().free_atoms(), "the short way");
    free
}

/// Lots that the book lets a reduce-only order trade.
fn reducible(held: SignedLots, side: Side) -> Lots {
    if !held.is_zero() && Side::reducing(held) == side {
        held.unsigned_abs()
    } else {
        Lots::ZERO
    }
}

/// Leaves reduce-only orders their parts of the position, the first in order first (rules §2.5).
fn shrink(orders: &mut [OpenOrder], held: SignedLots) {
    for side in [Side::Buy, Side::Sell] {
        let mut left = reducible(held, side);
        for order in orders.iter_mut().filter(|order| order.reduce_only && order.side == side) {
            order.lots = order.lots.min(left);
            left -= order.lots;
        }
    }
}

/// A price at the limit or better, `eighths` of the way to 0 or to twice the limit.
fn fill_price(order: &OpenOrder, eighths: u64) -> Ticks {
    let part = ticks(order.price_ticks.get() * eighths / 8);
    match order.side {
        Side::Buy => order.price_ticks - part,
        Side::Sell => order.price_ticks + part,
    }
}

/// The totals of some of the open orders.
fn totals_of(open: &[OpenOrder], market: &Market) -> OrderTotals {
    order_totals(open, market.mark().unwrap(), market.k, MAX_FEE_PPM).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_fill_in_any_order_lowers_free_collateral(
        market in any_market(0),
        held in -3_000_i64..3_000,
        leverage in 0_u32..40,
        cost_percent in -50_i128..250,
        mut orders in orders(),
        steps in steps(),
    ) {
        let mut market = market;
        let value = market.value_atoms(market.mark().unwrap(), i128::from(held)).unwrap();
        let mut account = account(0, &[(0, held, value.get() * cost_percent / 100)]);
        account.position_mut(M0).leverage = leverage;
        // Beside the one account there is a world that holds the other side.
        market.open_interest_lots += lots(3_000);
        let mut before = free(&account, &market, &orders, MAX_FEE_PPM);
        for (which, part, better, rate_ppm) in steps {
            let which = which % orders.len();
            let order = orders[which];
            let mut size = lots((order.lots.get() * part).div_ceil(8)).min(order.lots);
            if order.reduce_only {
                size = size.min(reducible(account.lots(M0), order.side));
            }
            if size.is_zero() {
                continue;
            }
            let price = fill_price(&order, better);
            let notional = price.notional_atoms(size, market.k).unwrap();
            // Any rate up to the highest; a rebate is money that comes in.
            let paid = trade_fees(notional, Ppm::ZERO, ppm(rate_ppm.max(0))).unwrap().taker_atoms;
            let rebate = i128::from(rate_ppm.min(0)) * notional.get() / 1_000_000;
            let fee = paid + atoms(rebate);
            apply_fill(&mut account, &mut market, order.side, price, size, fee).unwrap();
            orders[which].lots -= size;
            let after = free(&account, &market, &orders, MAX_FEE_PPM);
            prop_assert!(after >= before, "free fell from {} to {}", before, after);
            shrink(&mut orders, account.lots(M0));
            before = free(&account, &market, &orders, MAX_FEE_PPM);
            prop_assert!(before >= after, "free fell from {} to {} by less", after, before);
        }
    }

    /// A cancel never lowers free collateral either, and removing is the inverse of adding.
    #[test]
    fn a_cancel_never_lowers_free_collateral(
        market in any_market(0),
        held in -3_000_i64..3_000,
        orders in orders(),
        which in 0_usize..8,
    ) {
        let account = account(0, &[(0, held, 0)]);
        let which = which % orders.len();
        let mut left = orders.clone();
        let removed = left.remove(which);
        let free = |orders: &[OpenOrder]| free(&account, &market, orders, MAX_FEE_PPM);
        prop_assert!(free(&left) >= free(&orders));
        let mut totals = totals_of(&orders, &market);
        totals.remove(&removed, market.mark().unwrap(), market.k, MAX_FEE_PPM).unwrap();
        prop_assert_eq!(totals, totals_of(&left, &market));
    }

    /// Newest first, only what increases, no more than needed, and enough when there is enough.
    #[test]
    fn the_sweep_prunes_newest_first_until_free(
        markets in (any_market(0), any_market(1)),
        held in (-3_000_i64..3_000, -3_000_i64..3_000),
        orders in prop::collection::vec((0_u16..2, orders().prop_map(|o| o[0])), 1..10),
        share in 0_i128..=10,
    ) {
        let markets = [markets.0, markets.1];
        let list: Vec<Prunable> = (1..)
            .map(OrderId::new)
            .zip(&orders)
            .map(|(order_id, (market, order))| Prunable {
                market: MarketId::new(*market),
                order_id,
                // Every third waits, and reserves ten.
                reserves: match order_id.get() % 3 {
                    0 => Reserves::Waiting(atoms(10)),
                    _ => Reserves::Resting(*order),
                },
            })
            .collect();
        let totals = |market: MarketId, gone: &[Prunable]| {
            let stays = |open: &&Prunable| open.market == market && !gone.contains(open);
            let (mut open, mut waiting_atoms) = (Vec::new(), Atoms::ZERO);
            for prunable in list.iter().filter(stays) {
                match prunable.reserves {
                    Reserves::Resting(order) => open.push(order),
                    Reserves::Waiting(reserve) => waiting_atoms += reserve,
                }
            }
            OrderTotals { waiting_atoms, ..totals_of(&open, &markets[market.index()]) }
        };
        let mut account = account(0, &[(0, held.0, 0), (1, held.1, 0)]);
        let free_with = |account: &Account, gone: &[Prunable]| {
            let totals = |market| Ok(totals(market, gone));
            health(account, markets.as_slice(), totals).unwrap().free_atoms()
        };
        // Collateral between "nothing needs to go" and "all must go, and it is not enough".
        let all: Vec<Prunable> = list.iter().copied().filter(|o| o.reserves.increases()).collect();
        let (most, least) = (free_with(&account, &all), free_with(&account, &[]));
        account.collateral_atoms = -(least + atoms((most - least).get() * share / 9));
        let mut of = [M0, M1].map(|id| PrunedMarket {
            market: &markets[id.index()],
            position: account.position(id).unwrap(),
            totals: totals(id, &[]),
        });
        let (gone, after) = prune(free_with(&account, &[]), &mut of, &list, MAX_FEE_PPM).unwrap();
        prop_assert_eq!(after, free_with(&account, &gone));
        prop_assert_eq!(&gone[..], &all[..gone.len()], "newest first, none skipped");
        prop_assert!(!after.is_negative() || gone.len() == all.len());
        if let Some((_, earlier)) = gone.split_last() {
            prop_assert!(free_with(&account, earlier).is_negative(), "the last one had to go");
        }
    }
}

/// The reserve's terms, one by one.
#[test]
fn a_placement_reserves_margin_adverse_move_and_fee() {
    let market = market(0, 10, 100, 1_000_000);
    let reserve = |held, orders: &[(Side, u64, u64, bool)]| {
        let orders: Vec<OpenOrder> = orders
            .iter()
            .map(|&(side, price, size, reduce_only)| open(side, price, size, reduce_only))
            .collect();
        let account = account(0, &[(0, held, 0)]);
        let totals = order_totals(&orders, ticks(100), market.k, ppm(450)).unwrap();
        reserve(&market, account.position(M0).unwrap(), &totals).unwrap()
    };
    let (buy, sell) = (Side::Buy, Side::Sell);
    let fee = |price: i128, size: i128| usdc(price * size).mul_ppm_floor(ppm(450)).unwrap();
    assert_eq!(reserve(5, &[]), usdc(50));
    assert_eq!(reserve(0, &[(buy, 90, 2, false)]), usdc(20) + fee(90, 2), "below the mark");
    assert_eq!(reserve(0, &[(buy, 103, 2, false)]), usdc(20 + 6) + fee(103, 2), "three above it");
    assert_eq!(reserve(0, &[(sell, 97, 2, false)]), usdc(20 + 6) + fee(97, 2));
    assert_eq!(
        reserve(0, &[(buy, 90, 2, false), (sell, 110, 3, false)]),
        usdc(30) + fee(90, 2) + fee(110, 3)
    );
    assert_eq!(
        reserve(5, &[(sell, 110, 5, false)]),
        usdc(50) + fee(110, 5),
        "selling out needs no more"
    );
    assert_eq!(
        reserve(5, &[(sell, 110, 12, false)]),
        usdc(70) + fee(110, 12),
        "it could turn to −7"
    );
    assert_eq!(
        reserve(5, &[(sell, 110, 12, true)]),
        usdc(50) + fee(110, 12),
        "reduce-only acts on 5 at most"
    );
    assert_eq!(reserve(-5, &[(buy, 90, 12, true), (buy, 90, 7, false)]), usdc(70) + fee(90, 19));
    assert_eq!(reserve(0, &[(sell, 110, 4, true)]), fee(110, 4), "nothing to act on");
}

#[test]
fn an_order_beyond_127_bits_is_refused_and_changes_nothing() {
    let market = market(0, 10, 1, u64::MAX);
    let order = open(Side::Buy, u64::MAX, u64::MAX, false);
    let mut totals = OrderTotals::default();
    assert!(totals.add(&order, Ticks::ONE, market.k, ppm(450)).is_err());
    assert!(totals.is_empty());
    let empty = account(0, &[] as &[(u16, i64, Atoms)]);
    assert!(health_without_orders(&empty, std::slice::from_ref(&market)).is_ok());
}

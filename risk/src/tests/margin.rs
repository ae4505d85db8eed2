use proptest::prelude::*;
use tidemark_proto::params::MarginTier;
use tidemark_proto::units::{Atoms, PPM};
use tidemark_proto::Code;

use super::{account, any_market, market, tiers, usdc};
use crate::margin::{
    effective_initial_ppm, health, health_without_orders, initial_margin, maintenance_margin,
    Health,
};

/// `n·rate_t − ded_t`, `ded_t = ded_{t−1} + lower_t·(rate_t − rate_{t−1})`, as rules §3.3 writes
/// it.
fn by_deduction(tiers: &[MarginTier], notional: Atoms) -> Atoms {
    let (mut deduction, mut lower, mut below) = (0, 0, 0);
    for tier in tiers {
        let rate = i128::from(tier.initial_margin_ppm);
        deduction += lower * (rate - below);
        if notional <= tier.upper_notional_atoms {
            let micro = notional * rate - deduction;
            return micro / PPM + i128::from(micro % PPM != 0);
        }
        (lower, below) = (tier.upper_notional_atoms, rate);
    }
    unreachable!("the last tier has no end")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn margin_is_the_tier_formula_of_the_rules(tiers in tiers(), notional in 0_i128..10_000_000_000_000) {
        let mut market = market(0, 1, 1, 1);
        market.params.tiers = tiers;
        let initial = initial_margin(&market.params, notional, 0, 0).unwrap();
        prop_assert_eq!(initial, by_deduction(&market.params.tiers, notional));
    }

    /// Monotone, continuous (one atom of notional never costs more than one atom and the rounding)
    /// and convex.
    #[test]
    fn margin_is_monotone_continuous_convex(
        market in any_market(0), notional in 0_i128..10_000_000_000_000, width in 1_i128..1_000_000_000_000, leverage in 0_u32..60,
    ) {
        let oi = market.margin_open_interest_atoms().unwrap();
        let initial = |n| initial_margin(&market.params, n, leverage, oi).unwrap();
        let maintenance = |n| maintenance_margin(&market.params, n).unwrap();
        for margin in [&initial as &dyn Fn(Atoms) -> Atoms, &maintenance] {
            let (low, middle, high) = (margin(notional), margin(notional + width), margin(notional + 2 * width));
            prop_assert!(low <= middle && middle <= high);
            prop_assert!(margin(notional + 1) - low <= 2);
            // Each of the three is rounded up by less than two atoms.
            prop_assert!(2 * middle <= low + high + 4);
        }
        prop_assert!(maintenance(notional) <= initial(notional));
    }

    /// Bounds at both ends and between; rises with open interest.
    #[test]
    fn open_interest_scales_the_initial_rate(rate in 0_i64..=1_000_000, lower in 0_i128..1_000_000, width in 1_i128..1_000_000, at in 0_i128..3_000_000) {
        let upper = lower + width;
        let scaled = |oi| effective_initial_ppm(rate, oi, lower, upper).unwrap();
        prop_assert_eq!(scaled(lower), rate);
        prop_assert_eq!(scaled(upper), 1_000_000);
        prop_assert!(scaled(at) <= scaled(at + 1));
        let exact = line_by_search(rate, at.clamp(lower, upper) - lower, width);
        prop_assert_eq!(scaled(at), exact);
        prop_assert_eq!(effective_initial_ppm(rate, at, lower, 0), Ok(rate));
    }
}

/// The largest whole rate on or below the line, found by search.
fn line_by_search(rate: i64, above: i128, width: i128) -> i64 {
    let fits = |candidate: i64| {
        i128::from(candidate - rate) * width <= i128::from(1_000_000 - rate) * above
    };
    let (mut low, mut high) = (rate, 1_000_000);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[test]
fn a_lower_leverage_raises_initial_margin_only() {
    let market = market(0, 50, 1, 1);
    assert_eq!(initial_margin(&market.params, usdc(1_000), 0, 0), Ok(usdc(20)));
    assert_eq!(initial_margin(&market.params, usdc(1_000), 10, 0), Ok(usdc(100)));
    assert_eq!(initial_margin(&market.params, usdc(1_000), 3, 0), Ok(333_333_334), "rounded up");
    assert_eq!(
        initial_margin(&market.params, usdc(1_000), 200, 0),
        Ok(usdc(20)),
        "the tier's most stays"
    );
    assert_eq!(maintenance_margin(&market.params, usdc(1_000)), Ok(usdc(10)));
}

#[test]
fn equity_counts_unrealised_profit_and_unpaid_funding() {
    let mut markets = [market(0, 20, 100, 1_000_000), market(1, 10, 50, 1_000_000)];
    // One lot has paid 0.0000015 atoms more than a whole number: the account owes the part as a
    // whole atom.
    markets[0].funding.cumulative_index = 3_000_001;
    let account = account(usdc(100), &[(0, 2, usdc(190)), (1, -4, usdc(-220))]);
    let health = health_without_orders(&account, markets.as_slice()).unwrap();
    assert_eq!(
        health,
        Health {
            equity_atoms: usdc(100 + 10 + 20) - 7,
            cash_atoms: usdc(100) - 7,
            initial_atoms: usdc(10 + 20),
            maintenance_atoms: usdc(5 + 10),
            reserve_atoms: usdc(30),
            notional_atoms: usdc(400),
        }
    );
    assert_eq!(health.free_atoms(), usdc(100) - 7);
    assert_eq!(
        health.withdrawable_atoms(),
        usdc(60) - 7,
        "10 % of 400 stays, unrealised profit too"
    );
    assert!(!health.is_liquidatable());
}

#[test]
fn equality_with_maintenance_is_safe_and_no_position_is_never_liquidatable() {
    let health = |equity, maintenance| Health {
        equity_atoms: equity,
        maintenance_atoms: maintenance,
        ..Health::default()
    };
    assert!(!health(5, 5).is_liquidatable());
    assert!(health(4, 5).is_liquidatable());
    assert!(!health(-1, 0).is_liquidatable());
}

#[test]
fn nothing_is_withdrawable_below_zero() {
    let poor = Health { equity_atoms: -5, cash_atoms: 10, ..Health::default() };
    assert_eq!(poor.withdrawable_atoms(), 0);
    let profit = Health { equity_atoms: 100, cash_atoms: 10, ..Health::default() };
    assert_eq!(profit.withdrawable_atoms(), 10);
}

#[test]
fn a_position_without_a_market_or_mark_is_refused_not_ignored() {
    let mut markets = [market(0, 20, 100, 1)];
    let held = account(0, &[(1, 1, 0)]);
    let none = |_| Ok(crate::margin::OrderTotals::default());
    assert_eq!(health(&held, markets.as_slice(), none).unwrap_err().code(), Code::UnknownMarket);
    markets[0].mark_ticks = None;
    let held = account(0, &[(0, 1, 0)]);
    assert_eq!(
        health_without_orders(&held, markets.as_slice()).unwrap_err().code(),
        Code::StaleIndex
    );
    let unused = account(7, &[(0, 0, 0)]);
    assert_eq!(health_without_orders(&unused, markets.as_slice()).unwrap().equity_atoms, 7);
}

#[test]
fn amounts_beyond_127_bits_are_refused() {
    let markets = [market(0, 20, u64::MAX, u64::MAX)];
    let held = account(0, &[(0, i64::MAX, 0)]);
    assert_eq!(
        health_without_orders(&held, markets.as_slice()).unwrap_err().code(),
        Code::Overflow
    );
}

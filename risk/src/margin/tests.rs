use proptest::prelude::*;
use tidemark_proto::params::MarginTier;
use tidemark_proto::units::Atoms;
use tidemark_proto::Code;

use crate::health::{health, health_without_orders, Health};
use crate::margin::{effective_initial_ppm, initial_margin, maintenance_margin};
use crate::tests::{account, any_market, atoms, market, ppm, tiers, usdc};

/// `n·rate_t − ded_t`, `ded_t = ded_{t−1} + lower_t·(rate_t − rate_{t−1})`, as rules §3.3 writes
/// it.
fn by_deduction(tiers: &[MarginTier], notional: i128) -> i128 {
    let (mut deduction, mut lower, mut below) = (0, 0, 0);
    for tier in tiers {
        let rate = tier.initial_margin_ppm.wide();
        deduction += lower * (rate - below);
        if notional <= tier.upper_notional_atoms.get() {
            let micro = notional * rate - deduction;
            return micro / 1_000_000 + i128::from(micro % 1_000_000 != 0);
        }
        (lower, below) = (tier.upper_notional_atoms.get(), rate);
    }
    unreachable!("the last tier has no end")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn margin_is_the_tier_formula_of_the_rules(
        tiers in tiers(), notional in 0_i128..10_000_000_000_000,
    ) {
        let mut market = market(0, 1, 1, 1);
        market.params.tiers = tiers;
        let initial = initial_margin(&market.params, atoms(notional), 0, Atoms::ZERO).unwrap();
        prop_assert_eq!(initial.get(), by_deduction(&market.params.tiers, notional));
    }

    /// Monotone, continuous (one atom of notional never costs more than one atom and the rounding)
    /// and convex.
    #[test]
    fn margin_is_monotone_continuous_convex(
        market in any_market(0),
        notional in 0_i128..10_000_000_000_000,
        width in 1_i128..1_000_000_000_000,
        leverage in 0_u32..60,
    ) {
        let open_interest = market.open_interest_lots.wide();
        let oi = market.value_atoms(market.mark().unwrap(), open_interest).unwrap();
        let initial = |n| initial_margin(&market.params, atoms(n), leverage, oi).unwrap().get();
        let maintenance = |n| maintenance_margin(&market.params, atoms(n)).unwrap().get();
        for margin in [&initial as &dyn Fn(i128) -> i128, &maintenance] {
            let [low, middle, high] = [0, 1, 2].map(|widths| margin(notional + widths * width));
            prop_assert!(low <= middle && middle <= high);
            prop_assert!(margin(notional + 1) - low <= 2);
            // Each of the three is rounded up by less than two atoms.
            prop_assert!(2 * middle <= low + high + 4);
        }
        prop_assert!(maintenance(notional) <= initial(notional));
    }

    /// Bounds at both ends and between; rises with open interest.
    #[test]
    fn open_interest_scales_the_initial_rate(
        rate in 0_i64..=1_000_000,
        lower in 0_i128..1_000_000,
        width in 1_i128..1_000_000,
        at in 0_i128..3_000_000,
    ) {
        let upper = lower + width;
        let between = |oi, upper| {
            effective_initial_ppm(ppm(rate), atoms(oi), atoms(lower), atoms(upper)).unwrap().get()
        };
        let scaled = |oi| between(oi, upper);
        prop_assert_eq!(scaled(lower), rate);
        prop_assert_eq!(scaled(upper), 1_000_000);
        prop_assert!(scaled(at) <= scaled(at + 1));
        let exact = line_by_search(rate, at.clamp(lower, upper) - lower, width);
        prop_assert_eq!(scaled(at), exact);
        prop_assert_eq!(between(at, 0), rate);
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
    let margin = |leverage| initial_margin(&market.params, usdc(1_000), leverage, Atoms::ZERO);
    assert_eq!(margin(0), Ok(usdc(20)));
    assert_eq!(margin(10), Ok(usdc(100)));
    assert_eq!(margin(3), Ok(atoms(333_333_334)), "rounded up");
    assert_eq!(margin(200), Ok(usdc(20)), "the tier's most stays");
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
            equity_atoms: usdc(100 + 10 + 20) - atoms(7),
            cash_atoms: usdc(100) - atoms(7),
            initial_atoms: usdc(10 + 20),
            maintenance_atoms: usdc(5 + 10),
            reserve_atoms: usdc(30),
            notional_atoms: usdc(400),
        }
    );
    assert_eq!(health.free_atoms(), usdc(100) - atoms(7));
    assert_eq!(
        health.withdrawable_atoms(),
        usdc(60) - atoms(7),
        "10 % of 400 stays, unrealised profit too"
    );
    assert!(!health.is_liquidatable());
}

#[test]
fn equality_with_maintenance_is_safe_and_no_position_is_never_liquidatable() {
    let health = |equity, maintenance| Health {
        equity_atoms: atoms(equity),
        maintenance_atoms: atoms(maintenance),
        ..Health::default()
    };
    assert!(!health(5, 5).is_liquidatable());
    assert!(health(4, 5).is_liquidatable());
    assert!(!health(-1, 0).is_liquidatable());
}

#[test]
fn nothing_is_withdrawable_below_zero() {
    let poor = Health { equity_atoms: atoms(-5), cash_atoms: atoms(10), ..Health::default() };
    assert_eq!(poor.withdrawable_atoms(), Atoms::ZERO);
    let profit = Health { equity_atoms: atoms(100), cash_atoms: atoms(10), ..Health::default() };
    assert_eq!(profit.withdrawable_atoms(), atoms(10));
}

#[test]
fn a_position_without_a_market_or_mark_is_refused_not_ignored() {
    let mut markets = [market(0, 20, 100, 1)];
    let held = account(0, &[(1, 1, 0)]);
    let none = |_| Ok(crate::orders::OrderTotals::default());
    assert_eq!(health(&held, markets.as_slice(), none).unwrap_err().code(), Code::UnknownMarket);
    markets[0].mark_ticks = None;
    let held = account(0, &[(0, 1, 0)]);
    assert_eq!(
        health_without_orders(&held, markets.as_slice()).unwrap_err().code(),
        Code::StaleIndex
    );
    let unused = account(7, &[(0, 0, 0)]);
    assert_eq!(health_without_orders(&unused, markets.as_slice()).unwrap().equity_atoms, atoms(7));
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

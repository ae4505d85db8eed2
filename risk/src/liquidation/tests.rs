use proptest::prelude::*;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Ppm, SignedLots, Ticks, TimeMs};
use tidemark_proto::Code;

use crate::adl::is_no_riskier;
use crate::health::{health_without_orders, Health};
use crate::limits::MAX_STEP_MS;
use crate::liquidation::{
    closing_order, fee_cap_atoms, fill_outcome, fund_allowance_atoms, fund_limit_ticks,
    is_insolvent, liquidation_price, maintenance_fee_cap_atoms, next_stage, pay_from_fund,
    step_lots, turn_makers, Beyond, FillOutcome,
};
use crate::position::trade;
use crate::tests::{account, any_market, atoms, lots, market, ppm, signed, ticks, usdc, M0};
use crate::zero_price::{zero_price, zero_price_ticks, zero_quote_delta, ZeroTerms};
use crate::{Account, Market, Treasury};

const SIGMA: Ppm = Ppm::ONE;

fn health(account: &Account, markets: &[Market]) -> Health {
    health_without_orders(account, markets).unwrap()
}

fn margins(equity_atoms: Atoms, maintenance_atoms: Atoms) -> Health {
    Health { equity_atoms, maintenance_atoms, ..Health::default() }
}

/// An account over two markets, with collateral so that equity is `tenths` of maintenance margin.
fn endangered() -> impl Strategy<Value = (Account, [Market; 2])> {
    let held = || prop_oneof![1_i64..5_000, -5_000_i64..-1];
    (any_market(0), any_market(1), held(), prop_oneof![Just(0), held()], -20_i128..10).prop_map(
        |(a, b, q0, q1, tenths)| {
            let mut markets = [a, b];
            for (market, held) in markets.iter_mut().zip([q0, q1]) {
                market.open_interest_lots = lots(held.unsigned_abs());
            }
            let mut account = account(0, &[(0, q0, 0), (1, q1, 0)]);
            let at = health(&account, &markets);
            account.collateral_atoms =
                atoms(at.maintenance_atoms.get() * tenths / 10) - at.equity_atoms;
            (account, markets)
        },
    )
}

/// Closes lots of market 0 for a quote, fee and fund payment aside.
fn close(
    account: &Account,
    markets: &[Market; 2],
    delta: SignedLots,
    quote: Atoms,
) -> (Account, Health) {
    let (mut account, mut markets) = (account.clone(), markets.clone());
    trade(&mut account, &mut markets[0], delta, -quote, Atoms::ZERO).unwrap();
    let after = health(&account, &markets);
    (account, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Closing any part at the zero price keeps equity over maintenance margin; one atom less would
    /// not.
    #[test]
    fn closing_at_the_zero_price_keeps_the_margin_ratio(
        (account, markets) in endangered(), eighths in 1_i64..=8,
    ) {
        let held = account.lots(M0);
        let delta = part(held, eighths);
        prop_assume!(!delta.is_zero());
        let before = health(&account, &markets);
        let quote = zero_quote_delta(&markets[0], held, delta, &before, SIGMA).unwrap();
        let (_, after) = close(&account, &markets, delta, quote);
        prop_assert!(is_no_riskier(&before, &after), "{:?} to {:?}", before, after);
        let (_, worse) = close(&account, &markets, delta, quote - atoms(1));
        let ratio_falls = worse.equity_atoms.get() * before.maintenance_atoms.get()
            < before.equity_atoms.get() * worse.maintenance_atoms.get();
        let is_lost = worse.maintenance_atoms.is_zero() && worse.equity_atoms.is_negative();
        prop_assert!(ratio_falls || is_lost);
    }

    /// In ticks, the zero price is as good for the account as the exact quote, and less than a tick
    /// better.
    #[test]
    fn the_zero_price_in_ticks_is_rounded_for_the_account((account, markets) in endangered()) {
        let held = account.lots(M0);
        let at = health(&account, &markets);
        let quote = zero_quote_delta(&markets[0], held, -held, &at, SIGMA).unwrap();
        let price = zero_price(&markets[0], held, &at).unwrap();
        let at_price = price.position_atoms(held, markets[0].k).unwrap();
        let tick = Ticks::ONE.notional_atoms(held.unsigned_abs(), markets[0].k).unwrap();
        let is_a_price =
            if held.is_positive() { quote.is_positive() } else { !quote.is_positive() };
        if is_a_price {
            let is_near = at_price >= quote && at_price - quote < tick;
            prop_assert!(is_near, "{} ticks for {}", price, quote);
        } else {
            let expected = if held.is_positive() { Ticks::ONE } else { Ticks::ZERO };
            prop_assert_eq!(price, expected, "sold at any price, or bought at none");
        }
    }

    /// Fee and fund payment: the fee leaves the account no riskier, what the fund pays makes up the
    /// difference to the atom.
    #[test]
    fn fees_and_fund_payments_meet_at_the_zero_price(
        (account, markets) in endangered(), eighths in 1_i64..=8, percent in 0_i128..200,
    ) {
        let held = account.lots(M0);
        let delta = part(held, eighths);
        prop_assume!(!delta.is_zero());
        let before = health(&account, &markets);
        let zero = zero_quote_delta(&markets[0], held, delta, &before, SIGMA).unwrap();
        let mark = markets[0].mark().unwrap();
        let at_mark = mark.position_atoms(-delta, markets[0].k).unwrap();
        let fill = atoms(at_mark.get() * percent / 100);
        let terms = ZeroTerms::of(&markets[0], held, delta, &before, SIGMA).unwrap();
        let by_maintenance = maintenance_fee_cap_atoms(terms.margin_fall_atoms).unwrap();
        let cap = fee_cap_atoms(fill, ppm(10_000)).unwrap().min(by_maintenance);
        let net = match fill_outcome(fill, zero, cap).unwrap() {
            FillOutcome::Fee(fee) => {
                prop_assert!(!fee.is_negative() && fee.get() * 100 <= fill.get().abs());
                prop_assert!(fee.get() * 4 <= terms.margin_fall_atoms.get());
                fill - fee
            }
            FillOutcome::FundPays(owed) => {
                prop_assert!(owed.is_positive());
                prop_assert_eq!(fill + owed, zero);
                fill + owed
            }
        };
        prop_assert!(is_no_riskier(&before, &close(&account, &markets, delta, net).1));
    }

    /// At the liquidation price the account has its maintenance margin; one tick beyond it, it has
    /// not.
    #[test]
    fn the_liquidation_price_parts_safe_from_liquidatable(
        (account, markets) in endangered(), extra in 0_i128..400,
    ) {
        let (mut account, mut markets) = (account, markets);
        let held = account.lots(M0);
        let at = health(&account, &markets);
        account.collateral_atoms += atoms(at.maintenance_atoms.get() * extra / 100);
        let at = health(&account, &markets);
        let price = liquidation_price(&markets[0], held, &at).unwrap();
        // Rounding of both margins up is worth at most a few atoms; a tick is worth size·k.
        let slack = 4;
        let mut surplus = |mark: Ticks| {
            markets[0].mark_ticks = Some(mark);
            let at = health(&account, &markets);
            (at.equity_atoms - at.maintenance_atoms).get()
        };
        let is_long = held.is_positive();
        match price {
            Some(price) => {
                prop_assert!(surplus(price) >= -slack, "safe at {}", price);
                let beyond = if is_long { price - Ticks::ONE } else { price + Ticks::ONE };
                prop_assert!(surplus(beyond) < slack, "liquidatable at {}", beyond);
            }
            None if is_long => {
                prop_assert!(surplus(Ticks::ONE) > -slack || surplus(ticks(1 << 40)) < slack);
            }
            None => prop_assert!(surplus(Ticks::ONE) < slack),
        }
    }
}

/// So many eighths of a position, as the change that closes them.
fn part(held: SignedLots, eighths: i64) -> SignedLots {
    signed(-(held.get() * eighths / 8))
}

/// Long 1 000 at 100 with 5 % maintenance: margin 5 000; equity 2 500 is half of it.
#[test]
fn the_zero_price_follows_the_rule() {
    let mark = |held, equity| {
        let market = market(0, 10, 100_000, 1_000);
        zero_price(&market, signed(held), &margins(equity, usdc(5_000))).unwrap().get()
    };
    assert_eq!(mark(1_000, usdc(2_500)), 97_500, "mark·(1 − mmr·E/MM)");
    assert_eq!(mark(-1_000, usdc(2_500)), 102_500);
    assert_eq!(mark(1_000, -usdc(5_000)), 105_000, "below zero equity it is beyond the mark");
    assert_eq!(mark(-1_000, -usdc(5_000)), 95_000);
    assert_eq!(mark(1_000, usdc(2_500) - atoms(1)), 97_501, "up for a long being sold");
    assert_eq!(mark(-1_000, usdc(2_500) - atoms(1)), 102_499, "down for a short being bought");
    assert_eq!(mark(1_000, usdc(200_000)), 1, "at least a tick");
    assert_eq!(mark(-1_000, -usdc(200_000)), 0, "no price is low enough");
    let mut half = market(0, 10, 100_000, 1_000);
    half.params.zero_price_sigma_ppm = ppm(500_000);
    let at = margins(usdc(2_500), usdc(5_000));
    assert_eq!(zero_price(&half, signed(1_000), &at), Ok(ticks(98_750)), "σ = ½");
    let refusal =
        zero_price_ticks(AtomsPerTickLot::new(1), SignedLots::ZERO, atoms(5)).unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
}

#[test]
fn a_close_must_reduce() {
    let market = market(0, 10, 100, 1);
    let at = margins(Atoms::ZERO, atoms(1));
    for (held, delta) in [(5, 0), (0, 1), (5, 1), (-5, -1), (5, -6), (-5, 6), (i64::MIN, i64::MIN)]
    {
        let refusal = zero_quote_delta(&market, signed(held), signed(delta), &at, SIGMA);
        assert_eq!(refusal.unwrap_err().code(), Code::WouldIncrease, "{held} by {delta}");
    }
}

#[test]
fn large_positions_close_in_parts() {
    let mut market = market(0, 10, 100, 1_000_000);
    let at = |equity| margins(atoms(equity), atoms(300));
    let step =
        |market: &Market, held, equity| step_lots(market, signed(held), &at(equity)).unwrap().get();
    assert_eq!(step(&market, 1_000, 200), 1_000, "100 000 USDC at once");
    assert_eq!(step(&market, 1_001, 200), 201, "above it 20 %, rounded up, while 3E ≥ 2MM");
    assert_eq!(step(&market, -10_000, 299), 2_000);
    assert_eq!(step(&market, 1_001, 199), 501, "else a half");
    assert_eq!(step(&market, 1_001, 0), 501);
    assert_eq!(step(&market, 1_001, -1), 1_001, "all of it once equity is below 0");
    market.params.partial_liquidation_ppm = ppm(700_000);
    assert_eq!(step(&market, 1_001, 199), 701);
    market.params.partial_liquidation_atoms = Atoms::ZERO;
    assert_eq!(step(&market, 1, 200), 1);
}

#[test]
fn a_turn_visits_makers_by_notional_within_bounds() {
    let market = market(0, 10, 100, 1_000_000);
    let makers = |quantity| turn_makers(&market, lots(quantity)).unwrap();
    assert_eq!((makers(1), makers(10_000), makers(10_019)), (500, 500, 500));
    assert_eq!((makers(10_020), makers(60_000)), (501, 3_000));
    assert_eq!((makers(100_000), makers(1 << 40)), (5_000, 5_000));
}

#[test]
fn the_largest_maintenance_margin_closes_first() {
    let markets = [
        market(0, 10, 100, 1),
        market(1, 50, 1_000, 1),
        market(2, 10, 100, 1),
        market(3, 10, 1, 1),
    ];
    let account = account(0, &[(0, 2, 0), (1, -2, 0), (2, -2, 0), (3, 0, 0)]);
    let order = closing_order(&account, markets.as_slice()).unwrap();
    let order: Vec<_> = order.iter().map(|(market, held)| (market.get(), held.get())).collect();
    assert_eq!(order, [(1, -2), (0, 2), (2, -2)]);
}

/// The stages of rules §7.8, by equity in percent of maintenance margin.
#[test]
fn stages_follow_each_other_as_far_as_equity_asks() {
    let backstop = ppm(666_667);
    let all = |equity, at_indices, is_overdue| {
        let (mut done, mut seen) = (None, Vec::new());
        let health = margins(atoms(equity), atoms(100));
        let is_insolvent = is_insolvent(&health, atoms(at_indices));
        let beyond = Beyond { backstop_ppm: backstop, is_insolvent, is_overdue };
        while let Some(next) = next_stage(done, &health, true, beyond) {
            seen.push(next);
            done = Some(next);
        }
        seen
    };
    let stages = |equity| all(equity, equity, false);
    use tidemark_proto::types::LiquidationStage::{
        Adl, Backstop, BadDebt, Book, InsuranceFund, Prune,
    };
    assert_eq!(stages(100), vec![]);
    assert_eq!(stages(99), vec![Prune, Book]);
    assert_eq!(stages(67), vec![Prune, Book]);
    assert_eq!(stages(66), vec![Prune, Book, Backstop]);
    assert_eq!(stages(0), vec![Prune, Book, Backstop]);
    assert_eq!(stages(-1), vec![Prune, Book, Backstop, InsuranceFund, Adl]);
    assert_eq!(all(-1, 0, false), vec![Prune, Book], "the index shows no deficit");
    assert_eq!(all(0, -1, false), vec![Prune, Book, Backstop], "the mark shows none");
    for equity in [99, 66, 0] {
        assert_eq!(all(equity, equity, true), vec![Prune, Book, Backstop, Adl]);
    }
    let lost = margins(atoms(-1), Atoms::ZERO);
    let beyond = Beyond { backstop_ppm: backstop, is_insolvent: true, is_overdue: false };
    assert_eq!(next_stage(Some(Adl), &lost, false, beyond), Some(BadDebt));
    assert_eq!(next_stage(Some(BadDebt), &lost, false, beyond), None);
    assert_eq!(next_stage(Some(Book), &Health::default(), false, beyond), None);
}

#[test]
fn the_fund_pays_within_its_balance_and_its_cap() {
    let mut market = market(0, 10, 10_000, 1);
    market.params.fund_block_cap_atoms = atoms(100);
    let rest = Treasury { validators_atoms: atoms(9), ..Treasury::default() };
    let mut treasury = Treasury { insurance_atoms: atoms(8_000), ..rest };
    assert_eq!(fund_limit_ticks(&market, signed(1)), Ok(ticks(10_000)), "no slippage by default");
    market.params.fund_slippage_ppm = ppm(50_000);
    assert_eq!(fund_limit_ticks(&market, signed(1)), Ok(ticks(9_500)));
    assert_eq!(fund_limit_ticks(&market, signed(-1)), Ok(ticks(10_500)));
    let pay = |market: &mut Market, treasury: &mut Treasury, owed| {
        pay_from_fund(market, treasury, atoms(owed)).unwrap().get()
    };
    // Buckets of 400 atoms for the market and of 1 600 for all, a quarter of them in a block.
    market.params.fund_block_cap_atoms = atoms(80);
    assert_eq!(pay(&mut market, &mut treasury, 70), 70);
    assert_eq!(fund_allowance_atoms(&market, &treasury), atoms(10), "the block's cap");
    assert_eq!(pay(&mut market, &mut treasury, -5), 0);
    market.params.fund_block_cap_atoms = atoms(1_000);
    assert_eq!(pay(&mut market, &mut treasury, 70), 29, "a quarter of the market's bucket");
    assert_eq!(pay(&mut market, &mut treasury, 70), 0);
    // Nothing comes back within a moment.
    let mut paid = 99;
    for _ in 0..8 {
        market.pass(&treasury, TimeMs::ZERO, false);
        treasury.pass(TimeMs::ZERO);
        paid += pay(&mut market, &mut treasury, 1_000);
    }
    assert_eq!(paid, 385, "5 % of what the last payment found: 7 710");
    assert_eq!(treasury.insurance_atoms, atoms(8_000 - 385));
    // A day brings all back; a fund counts as it was a day ago.
    treasury.insurance_atoms = usdc(8_000);
    let day = |market: &mut Market, treasury: &mut Treasury| {
        for _ in 0..24 * 360 {
            market.pass(treasury, MAX_STEP_MS, false);
            treasury.pass(MAX_STEP_MS);
        }
    };
    day(&mut market, &mut treasury);
    treasury.insurance_atoms = usdc(80_000);
    market.params.fund_block_cap_atoms = usdc(1_000);
    let most = usdc(1_000_000).get();
    assert_eq!(pay(&mut market, &mut treasury, most), usdc(100).get(), "5 % of 8 000, a quarter");
    market.close_claims();
    assert_eq!(pay(&mut market, &mut treasury, most), 0, "after a halt");
    (0..50).for_each(|_| market.pass(&treasury, TimeMs::ZERO, false));
    assert!(fund_allowance_atoms(&market, &treasury).is_positive());
    // A fund of the market's own has the market's bucket alone.
    market.params.isolated_only = true;
    (market.insurance_atoms, market.fund_bucket) = (usdc(400), Default::default());
    day(&mut market, &mut treasury);
    let had = treasury;
    assert_eq!(pay(&mut market, &mut treasury, most), usdc(5).get());
    assert_eq!((market.insurance_atoms, treasury), (usdc(395), had));
}

/// Markets that share a fund share its bucket.
#[test]
fn rules_7_the_fund_pays_a_fifth_of_itself_for_all_markets() {
    let mut markets: Vec<Market> = (0..8).map(|id| market(id, 10, 10_000, 1)).collect();
    let mut treasury = Treasury { insurance_atoms: atoms(1_000_000), ..Treasury::default() };
    let mut paid = Atoms::ZERO;
    for _ in 0..20 {
        for market in &mut markets {
            market.pass(&treasury, TimeMs::ZERO, false);
            paid += pay_from_fund(market, &mut treasury, atoms(1_000_000)).unwrap();
        }
        treasury.pass(TimeMs::ZERO);
    }
    assert!((150_000..=200_000).contains(&paid.get()), "{paid}");
}

#[test]
fn liquidation_prices_of_the_field() {
    let price = |held: i64, equity, others| {
        let market = market(0, 10, 3_000_000, 1_000);
        let notional = atoms(3_000_000_000 * i128::from(held));
        let own = crate::margin::maintenance_margin(&market.params, notional).unwrap();
        let health = margins(usdc(equity), own + usdc(others));
        liquidation_price(&market, signed(held), &health).unwrap().map(Ticks::get)
    };
    assert_eq!(price(1, 1_000, 0), Some(2_105_264), "2000/0.95, up");
    assert_eq!(price(1, 4_000, 0), None, "more than it can lose");
    assert_eq!(price(1, 1_000, 175), Some(2_289_474));
}

/// An account an atom below maintenance, all of whose position closes at the mark.
#[test]
fn rules_7_whoever_is_closed_at_the_mark_keeps_three_quarters_of_maintenance() {
    // Notional of a first tier, and of one that reaches through all three.
    for (leverage, size) in [(50, 100), (50, 20_000), (20, 100), (20, 20_000), (3, 100)] {
        let params = MarketParams::with_defaults("T-USD", 1_000_000_000, 1_000_000_000, leverage);
        let mut market = Market::new(params).unwrap();
        market.mark_ticks = Some(ticks(1_000));
        let mut account = account(0, &[(0, size, 0)]);
        let at = health(&account, std::slice::from_ref(&market));
        account.collateral_atoms = at.maintenance_atoms - at.equity_atoms - atoms(1);
        let at = health(&account, std::slice::from_ref(&market));
        let all = signed(-size);
        let terms = ZeroTerms::of(&market, signed(size), all, &at, SIGMA).unwrap();
        let fill = usdc(1_000 * i128::from(size));
        let cap = fee_cap_atoms(fill, market.params.liquidation_fee_ppm)
            .unwrap()
            .min(maintenance_fee_cap_atoms(terms.margin_fall_atoms).unwrap());
        let outcome = fill_outcome(fill, terms.quote_atoms, cap).unwrap();
        let FillOutcome::Fee(fee) = outcome else { panic!("{outcome:?}") };
        let kept = at.equity_atoms - fee;
        assert!(kept.get() * 4 + 4 >= at.maintenance_atoms.get() * 3, "{leverage}x: keeps {kept}");
        assert!(fee.get() * 100 <= fill.get(), "{leverage}x: pays {fee}");
        assert!(fee.is_positive());
    }
}

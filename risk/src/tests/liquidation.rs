use proptest::prelude::*;
use tidemark_proto::units::{Atoms, Lots, SignedLots, Ticks};
use tidemark_proto::Code;

use super::{account, any_market, market, usdc};
use crate::adl::is_no_riskier;
use crate::liquidation::{
    closing_order, fill_outcome, fund_allowance_atoms, fund_can_cover, fund_limit_ticks,
    fundable_lots, liquidation_price, next_stage, pay_from_fund, step_lots, zero_price,
    zero_price_ticks, zero_quote_delta, FillOutcome,
};
use crate::margin::{health_without_orders, Health};
use crate::position::trade;
use crate::{Account, Market, Treasury};

const SIGMA: i64 = 1_000_000;

fn health(account: &Account, markets: &[Market]) -> Health {
    health_without_orders(account, markets).unwrap()
}

fn margins(equity_atoms: Atoms, maintenance_atoms: Atoms) -> Health {
    Health { equity_atoms, maintenance_atoms, ..Health::default() }
}

/// An account over two markets, with collateral so that equity is `tenths` of maintenance margin.
fn endangered() -> impl Strategy<Value = (Account, [Market; 2])> {
    let lots = || prop_oneof![1_i64..5_000, -5_000_i64..-1];
    (any_market(0), any_market(1), lots(), prop_oneof![Just(0), lots()], -20_i128..10).prop_map(
        |(a, b, q0, q1, tenths)| {
            let mut markets = [a, b];
            for (market, lots) in markets.iter_mut().zip([q0, q1]) {
                market.open_interest_lots = lots.unsigned_abs();
                market.margin_open_interest_lots = lots.unsigned_abs();
            }
            let mut account = account(0, &[(0, q0, 0), (1, q1, 0)]);
            let at = health(&account, &markets);
            account.collateral_atoms = at.maintenance_atoms * tenths / 10 - at.equity_atoms;
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
    trade(&mut account, &mut markets[0], delta, -quote, 0).unwrap();
    let after = health(&account, &markets);
    (account, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Closing any part at the zero price keeps equity over maintenance margin; one atom less would
    /// not.
    #[test]
    fn closing_at_the_zero_price_keeps_the_margin_ratio((account, markets) in endangered(), eighths in 1_i64..=8) {
        let lots = account.lots(0);
        let delta = -(lots * eighths / 8);
        prop_assume!(delta != 0);
        let before = health(&account, &markets);
        let quote = zero_quote_delta(&markets[0], lots, delta, &before, SIGMA).unwrap();
        let (_, after) = close(&account, &markets, delta, quote);
        prop_assert!(is_no_riskier(&before, &after), "{:?} to {:?}", before, after);
        let (_, worse) = close(&account, &markets, delta, quote - 1);
        let ratio_falls = worse.equity_atoms * before.maintenance_atoms < before.equity_atoms * worse.maintenance_atoms;
        prop_assert!(ratio_falls || (worse.maintenance_atoms == 0 && worse.equity_atoms < 0));
    }

    /// In ticks, the zero price is as good for the account as the exact quote, and less than a tick
    /// better.
    #[test]
    fn the_zero_price_in_ticks_is_rounded_for_the_account((account, markets) in endangered()) {
        let lots = account.lots(0);
        let at = health(&account, &markets);
        let quote = zero_quote_delta(&markets[0], lots, -lots, &at, SIGMA).unwrap();
        let ticks = zero_price(&markets[0], lots, &at).unwrap();
        let size = i128::from(lots) * i128::from(markets[0].k);
        let at_ticks = i128::from(ticks) * size;
        let is_a_price = if lots > 0 { quote > 0 } else { quote <= 0 };
        if is_a_price {
            prop_assert!(at_ticks >= quote && at_ticks - quote < size.abs(), "{} ticks for {}", ticks, quote);
        } else {
            prop_assert_eq!(ticks, u64::from(lots > 0), "sold at any price, or bought at none");
        }
    }

    /// Fee and fund payment: the fee leaves the account no riskier, what the fund pays makes up the
    /// difference to the atom.
    #[test]
    fn fees_and_fund_payments_meet_at_the_zero_price((account, markets) in endangered(), eighths in 1_i64..=8, percent in 0_i128..200) {
        let lots = account.lots(0);
        let delta = -(lots * eighths / 8);
        prop_assume!(delta != 0);
        let before = health(&account, &markets);
        let zero = zero_quote_delta(&markets[0], lots, delta, &before, SIGMA).unwrap();
        let mark = markets[0].mark().unwrap();
        let fill = markets[0].value_atoms(mark, -i128::from(delta)).unwrap() * percent / 100;
        let net = match fill_outcome(fill, zero, 10_000).unwrap() {
            FillOutcome::Fee(fee) => {
                prop_assert!(fee >= 0 && fee * 100 <= fill.abs());
                fill - fee
            }
            FillOutcome::FundPays(owed) => {
                prop_assert!(owed > 0);
                prop_assert_eq!(fill + owed, zero);
                fill + owed
            }
        };
        prop_assert!(is_no_riskier(&before, &close(&account, &markets, delta, net).1));
    }

    /// At the liquidation price the account has its maintenance margin; one tick beyond it, it has
    /// not.
    #[test]
    fn the_liquidation_price_parts_safe_from_liquidatable((account, markets) in endangered(), extra in 0_i128..400) {
        let (mut account, mut markets) = (account, markets);
        let lots = account.lots(0);
        let at = health(&account, &markets);
        account.collateral_atoms += at.maintenance_atoms * extra / 100;
        let at = health(&account, &markets);
        let price = liquidation_price(&markets[0], lots, &at).unwrap();
        // Rounding of both margins up is worth at most a few atoms; a tick is worth size·k.
        let slack = 4;
        let mut surplus = |mark: Ticks| {
            markets[0].mark_ticks = Some(mark);
            let at = health(&account, &markets);
            at.equity_atoms - at.maintenance_atoms
        };
        match price {
            Some(price) => {
                prop_assert!(surplus(price) >= -slack, "safe at {}", price);
                let beyond = if lots > 0 { price - 1 } else { price + 1 };
                prop_assert!(surplus(beyond) < slack, "liquidatable at {}", beyond);
            }
            None if lots > 0 => prop_assert!(surplus(1) > -slack || surplus(1 << 40) < slack),
            None => prop_assert!(surplus(1) < slack),
        }
    }

    /// What the fund can pay for never costs it more than its allowance, and one lot more would.
    #[test]
    fn fundable_lots_stay_within_the_allowance(zero in 1_u64..10_000, limit in 1_u64..10_000, k in 1_u64..1_000, allowance in 0_i128..1_000_000_000, lots in 1_u64..1_000_000) {
        let fundable = fundable_lots(zero, limit, k, allowance, lots);
        let cost = |lots: Lots| i128::from(zero.abs_diff(limit)) * i128::from(k) * i128::from(lots);
        prop_assert!(fundable <= lots && cost(fundable) <= allowance);
        prop_assert!(fundable == lots || cost(fundable + 1) > allowance);
    }
}

/// Long 1 000 at 100 with 5 % maintenance: margin 5 000; equity 2 500 is half of it.
#[test]
fn the_zero_price_follows_the_rule() {
    let mark = |lots, equity| {
        let market = market(0, 10, 100_000, 1_000);
        zero_price(&market, lots, &margins(equity, usdc(5_000))).unwrap()
    };
    assert_eq!(mark(1_000, usdc(2_500)), 97_500, "mark·(1 − mmr·E/MM)");
    assert_eq!(mark(-1_000, usdc(2_500)), 102_500);
    assert_eq!(mark(1_000, -usdc(5_000)), 105_000, "below zero equity it is beyond the mark");
    assert_eq!(mark(-1_000, -usdc(5_000)), 95_000);
    assert_eq!(mark(1_000, usdc(2_500) - 1), 97_501, "up for a long being sold");
    assert_eq!(mark(-1_000, usdc(2_500) - 1), 102_499, "down for a short being bought");
    assert_eq!(mark(1_000, usdc(200_000)), 1, "at least a tick");
    assert_eq!(mark(-1_000, -usdc(200_000)), 0, "no price is low enough");
    let mut half = market(0, 10, 100_000, 1_000);
    half.params.zero_price_sigma_ppm = 500_000;
    assert_eq!(zero_price(&half, 1_000, &margins(usdc(2_500), usdc(5_000))), Ok(98_750), "σ = ½");
    assert_eq!(zero_price_ticks(1, 0, 5).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_close_must_reduce() {
    let market = market(0, 10, 100, 1);
    for (lots, delta) in [(5, 0), (0, 1), (5, 1), (-5, -1), (5, -6), (-5, 6), (i64::MIN, i64::MIN)]
    {
        let refusal = zero_quote_delta(&market, lots, delta, &margins(0, 1), SIGMA).unwrap_err();
        assert_eq!(refusal.code(), Code::WouldIncrease, "{lots} by {delta}");
    }
}

#[test]
fn large_positions_close_in_parts() {
    let mut market = market(0, 10, 100, 1_000_000);
    assert_eq!(step_lots(&market, 1_000), Ok(1_000), "100 000 USDC at once");
    assert_eq!(step_lots(&market, 1_001), Ok(201), "above it 20 %, rounded up");
    assert_eq!(step_lots(&market, -10_000), Ok(2_000));
    market.params.partial_liquidation_atoms = 0;
    assert_eq!(step_lots(&market, 1), Ok(1));
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
    assert_eq!(closing_order(&account, markets.as_slice()), Ok(vec![(1, -2), (0, 2), (2, -2)]));
}

/// The stages of rules §7.8, by equity in percent of maintenance margin.
#[test]
fn stages_follow_each_other_as_far_as_equity_asks() {
    let stages = |equity| {
        let (mut done, mut seen) = (None, Vec::new());
        while let Some(next) = next_stage(done, &margins(equity, 100), true, 666_667) {
            seen.push(next);
            done = Some(next);
        }
        seen
    };
    use tidemark_proto::types::LiquidationStage::{
        Adl, Backstop, BadDebt, Book, InsuranceFund, Prune,
    };
    assert_eq!(stages(100), vec![]);
    assert_eq!(stages(99), vec![Prune, Book]);
    assert_eq!(stages(67), vec![Prune, Book]);
    assert_eq!(stages(66), vec![Prune, Book, Backstop, InsuranceFund, Adl]);
    assert_eq!(stages(-1), vec![Prune, Book, InsuranceFund, Adl]);
    assert_eq!(next_stage(Some(Adl), &margins(-1, 0), false, 666_667), Some(BadDebt));
    assert_eq!(next_stage(Some(BadDebt), &margins(-1, 0), false, 666_667), None);
    assert_eq!(next_stage(Some(Book), &margins(0, 0), false, 666_667), None);
}

#[test]
fn the_fund_pays_within_its_balance_and_its_cap() {
    let mut market = market(0, 10, 10_000, 1);
    market.params.fund_block_cap_atoms = 100;
    let mut treasury = Treasury { insurance_atoms: 130, validators_atoms: 9 };
    assert_eq!(fund_limit_ticks(&market, 1), Ok(9_500));
    assert_eq!(fund_limit_ticks(&market, -1), Ok(10_500));
    assert_eq!(pay_from_fund(&mut market, &mut treasury, 70), 70);
    assert_eq!(fund_allowance_atoms(&market, &treasury), 30, "the block's cap");
    assert_eq!(pay_from_fund(&mut market, &mut treasury, 70), 30);
    assert_eq!(pay_from_fund(&mut market, &mut treasury, 70), 0);
    market.begin_block();
    assert_eq!(pay_from_fund(&mut market, &mut treasury, 70), 30, "all it has");
    assert_eq!((treasury.insurance_atoms, treasury.validators_atoms), (0, 9));
    assert_eq!(pay_from_fund(&mut market, &mut treasury, -5), 0);
    assert!(
        fund_can_cover(0, 0)
            && fund_can_cover(5, -5)
            && !fund_can_cover(5, -6)
            && fund_can_cover(-9, 1)
    );
}

#[test]
fn liquidation_prices_of_the_field() {
    let price = |lots, equity, others| {
        let market = market(0, 10, 3_000_000, 1_000);
        let own =
            crate::margin::maintenance_margin(&market.params, 3_000_000_000 * i128::from(lots))
                .unwrap();
        liquidation_price(&market, lots, &margins(usdc(equity), own + usdc(others))).unwrap()
    };
    assert_eq!(price(1, 1_000, 0), Some(2_105_264), "2000/0.95, up");
    assert_eq!(price(1, 4_000, 0), None, "more than it can lose");
    assert_eq!(price(1, 1_000, 175), Some(2_289_474));
}

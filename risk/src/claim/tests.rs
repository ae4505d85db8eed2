use proptest::prelude::*;
use tidemark_proto::units::{Atoms, Lots, Side, SignedLots, Ticks};

use super::{fundable_lots, KeeperTerms};
use crate::health::Health;
use crate::liquidation::fund_limit_ticks;
use crate::margin::Marked;
use crate::tests::{any_market, atoms, lots, ppm, signed};
use crate::zero_price::{ZeroTerms, BANKRUPTCY_SIGMA_PPM};
use crate::Market;

/// Amount that the fund owes where so many lots close at a price: their part of the deficit, and
/// the distance to the mark.
fn owed(market: &Market, held: SignedLots, size: Lots, health: &Health, at: Ticks) -> Atoms {
    if size.is_zero() {
        return Atoms::ZERO;
    }
    let delta = size.signed(Side::reducing(held)).unwrap();
    let (before, after) = (Marked::of(market, held), Marked::of(market, held + delta));
    let released = before.unwrap().maintenance_atoms - after.unwrap().maintenance_atoms;
    let deficit =
        (-health.equity_atoms).mul_div_ceil(released.get(), health.maintenance_atoms.get());
    let value = |ticks: Ticks| ticks.position_atoms(delta, market.k).unwrap();
    deficit.unwrap() + value(at) - value(market.mark().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Lots that the fund can pay for never cost more than its allowance; one lot more would. And
    /// fewer of them, at a better price, cost no more.
    #[test]
    fn rules_7_the_fund_pays_the_deficit_of_the_lots_that_close_and_never_a_part_of_it(
        market in any_market(0),
        held in prop_oneof![1_i64..3_000, -3_000_i64..-1],
        others in 0_i128..1_000_000_000,
        deficit in 1_i128..1_000_000_000,
        slippage in 0_i64..50_000,
        allowance in 0_i128..2_000_000_000,
        eighths in (1_u64..=8, 0_u64..=8),
    ) {
        let mut market = market;
        market.params.fund_slippage_ppm = ppm(slippage);
        let held = signed(held);
        let own = Marked::of(&market, held).unwrap().maintenance_atoms;
        let health = Health {
            equity_atoms: atoms(-deficit),
            maintenance_atoms: own + atoms(others),
            ..Health::default()
        };
        let (limit, allowance) = (fund_limit_ticks(&market, held).unwrap(), atoms(allowance));
        let part = |of: Lots, eighths: u64| lots((of.get() * eighths).div_ceil(8));
        let wanted = part(held.unsigned_abs(), eighths.0);
        let most = fundable_lots(&market, held, wanted, &health, limit, allowance).unwrap();
        let at = |size, price| owed(&market, held, size, &health, price);
        prop_assert!(most <= wanted && at(most, limit) <= allowance);
        prop_assert!(most == wanted || at(most + Lots::ONE, limit) > allowance);
        let fewer = part(most, eighths.1).min(most);
        let fill = if held.is_positive() { limit + Ticks::ONE } else { limit - Ticks::ONE };
        prop_assert!(at(fewer, fill) <= at(most, limit));
        if !most.is_zero() {
            let delta = most.signed(Side::reducing(held)).unwrap();
            let terms = ZeroTerms::of(&market, held, delta, &health, BANKRUPTCY_SIGMA_PPM).unwrap();
            let fill = limit.position_atoms(delta, market.k).unwrap();
            prop_assert_eq!(terms.quote_atoms + fill, at(most, limit), "as the fill is settled");
            // A keeper buys no worse than at the mark, and the account ends as at its zero price.
            let of = KeeperTerms::of(&market, held, delta, &health).unwrap();
            prop_assert_eq!(of.quote_atoms + of.owed_atoms, terms.quote_atoms);
            let (margin, premium) = (terms.margin_fall_atoms, of.premium_atoms);
            prop_assert!(of.quote_atoms + premium == terms.value_fall_atoms);
            prop_assert!(premium.get() * 4 <= margin.get());
            prop_assert!(premium.get() * 2 <= of.owed_atoms.get());
        }
    }
}

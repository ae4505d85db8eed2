//! A debt is divided by what lots have lost, to the atom, and paid or booked whole.

use proptest::prelude::*;
use tidemark_proto::units::{Atoms, MarketId, OwnerId, Side, TimeMs};
use tidemark_proto::Code;

use super::{forget_closed, settle, shares};
use crate::conservation::account_atoms;
use crate::position::apply_fill;
use crate::tests::{account, atoms, lots, market, ticks, usdc, M0, M1};
use crate::{Account, Treasury};

/// An account in debt, without lots, whose positions have realised so much in markets 0, 1, ….
fn debtor(debt: i128, realised: &[i128]) -> Account {
    let mut account = account(-debt, &[] as &[(u16, i64, i128)]);
    for (market, realised) in (0..).zip(realised) {
        account.position_mut(MarketId::new(market)).realised_atoms = atoms(*realised);
    }
    account
}

fn parts(account: &Account) -> Vec<(u16, i128)> {
    let of = shares(account, MarketId::new(9)).unwrap();
    of.into_iter().map(|(market, part)| (market.get(), part.get())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Against exact fractions: parts add up to the debt, each is within an atom of its proportion,
    /// and a market without a loss bears nothing.
    #[test]
    fn rules_7_a_debt_is_divided_by_realised_losses_to_the_atom(
        debt in 1_i128..1_000_000_000_000,
        realised in prop::collection::vec(
            prop_oneof![Just(0_i128), -1_000_000_000_000_i128..1_000_000_000_000, -9_i128..9],
            0..9,
        ),
    ) {
        let parts = parts(&debtor(debt, &realised));
        prop_assert_eq!(parts.iter().map(|(_, part)| part).sum::<i128>(), debt);
        let lost: Vec<i128> = realised.iter().map(|atoms| -atoms.min(&0)).collect();
        let all: i128 = lost.iter().sum();
        if all == 0 {
            prop_assert_eq!(parts, vec![(9, debt)]);
            return Ok(());
        }
        for (market, loss) in lost.iter().enumerate() {
            let of = |(at, _): &&(u16, i128)| usize::from(*at) == market;
            let part = parts.iter().find(of).map_or(0, |(_, part)| *part);
            prop_assert!((part * all - debt * loss).abs() < all, "{} of {}", part, debt);
            prop_assert!(*loss > 0 || part == 0);
        }
    }

    /// Against cash: what a position has realised since it was opened is what its fills have
    /// brought since then, and what its lots cost.
    #[test]
    fn rules_7_a_position_counts_what_it_has_realised_since_it_was_opened(
        fills in prop::collection::vec((any::<bool>(), 1_u64..2_000, 1_u64..50), 1..40),
    ) {
        let mut market = market(0, 10, 100, 1);
        let mut account = Account::new(OwnerId::ZERO, 0);
        let mut brought = Atoms::ZERO;
        for (buys, price, size) in fills {
            let side = if buys { Side::Buy } else { Side::Sell };
            let before = account.lots(M0);
            let fill = (ticks(price), lots(size));
            apply_fill(&mut account, &mut market, side, fill.0, fill.1, Atoms::ZERO).unwrap();
            let position = *account.position(M0).unwrap();
            let paid = atoms(i128::from(price) * i128::from(size));
            brought += if buys { -paid } else { paid };
            let turned = before.signum() * position.lots.signum() < 0;
            if before.is_zero() || turned {
                brought = -position.cost_atoms;
            }
            prop_assert_eq!(position.realised_atoms, brought + position.cost_atoms);
        }
    }
}

#[test]
fn rules_7_losses_that_an_account_could_bear_count_for_no_debt() {
    let mut of = debtor(100, &[-900, -100, 50]);
    assert_eq!(parts(&of), [(0, 90), (1, 10)]);
    forget_closed(&mut of, |market| market == M1);
    assert_eq!(parts(&of), [(1, 100)]);
    forget_closed(&mut of, |_| false);
    assert_eq!(parts(&of), [(9, 100)], "a debt from funding and fees alone");
    assert_eq!(parts(&debtor(0, &[-900])), [(9, 0)]);
    assert_eq!(parts(&debtor(10, &[-1, -1, -1])), [(0, 3), (1, 3), (2, 4)]);
}

#[test]
fn debt_is_paid_by_the_fund_within_its_caps_and_the_rest_is_booked() {
    let mut market = market(0, 10, 100, 1);
    market.params.fund_block_cap_atoms = usdc(30);
    let mut treasury = Treasury { insurance_atoms: usdc(4_000), ..Treasury::default() };
    let mut held = account(-usdc(50), &[(0, 1, 0)]);
    assert_eq!(
        settle(&mut held, &mut market, &mut treasury, usdc(50)).unwrap_err().code(),
        Code::InvalidArgument
    );
    let mut closed = account(-usdc(50), &[(0, 0, 0)]);
    assert_eq!(settle(&mut closed, &mut market, &mut treasury, usdc(50)), Ok((usdc(30), usdc(20))));
    assert_eq!(
        (closed.collateral_atoms, market.bad_debt_atoms, treasury.insurance_atoms),
        (Atoms::ZERO, usdc(20), usdc(3_970))
    );
    assert_eq!(
        settle(&mut closed, &mut market, &mut treasury, usdc(50)),
        Ok((Atoms::ZERO, Atoms::ZERO)),
        "nothing is owed twice"
    );
    market.pass(&treasury, TimeMs::ZERO, false);
    treasury.pass(TimeMs::ZERO);
    closed.collateral_atoms = -usdc(10);
    assert_eq!(
        settle(&mut closed, &mut market, &mut treasury, usdc(50)),
        Ok((usdc(10), Atoms::ZERO))
    );
    assert_eq!(account_atoms(&closed), Ok(Atoms::ZERO));
}

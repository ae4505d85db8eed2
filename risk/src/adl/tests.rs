mod fixtures;

use fixtures::*;
use proptest::prelude::*;
use tidemark_proto::params::AdlOrder;
use tidemark_proto::units::{AccountId, Atoms, Lots, SignedLots, TimeMs};

use crate::adl::{
    counterparty, is_no_riskier, pro_rata, rank, Accounts, AdlFill, Counterparty, Queue,
};
use crate::conservation::account_atoms;
use crate::health::{health_without_orders, Health};
use crate::settlement::closes_at_settlement_price;
use crate::tests::{account, any_market, atoms, id, lots, market, market_lots, signed, usdc, M0};
use crate::zero_price::bankruptcy_quote_delta;
use crate::{Account, Market};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn shares_add_up_and_stay_within_positions(wanted in 0_u64..5_000, rows in rows()) {
        let shares = shares_of(wanted, &rows);
        let in_profit = || rows.iter().filter(|(_, profit)| *profit > 0);
        let capacity: u64 = in_profit().map(|(held, _)| held).sum();
        prop_assert_eq!(shares.iter().map(|(_, share)| share).sum::<u64>(), wanted.min(capacity));
        prop_assert!(shares.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (at, share) in &shares {
            let (held, profit) = rows[*at as usize];
            prop_assert!((1..=held).contains(share) && profit > 0);
        }
        // Among those with room left, shares are in proportion, but for a lot; who was filled up
        // had earned at least that.
        let claims = || (0..).zip(&rows).filter(|(_, row)| row.0 > 0 && row.1 > 0);
        for (i, a) in claims() {
            for (j, b) in claims() {
                let (of_a, of_b) = (share_in(&shares, i), share_in(&shares, j));
                if of_b < i128::from(b.0) {
                    prop_assert!((of_a - 1) * b.1 < (of_b + 1) * a.1);
                }
            }
        }
    }

    #[test]
    fn without_a_cap_everyone_is_within_a_lot_of_its_share(
        wanted in 0_u64..5_000, profits in prop::collection::vec(-50_i128..1_000, 1..12),
    ) {
        let rows: Vec<(u64, i128)> = profits.into_iter().map(|profit| (1 << 40, profit)).collect();
        prop_assert!(within_one_of_its_share(wanted, &rows, &shares_of(wanted, &rows)));
    }

    /// Against random holders: lots and money are conserved, the position bounds what is closed,
    /// and the deficit what is taken.
    #[test]
    fn deleveraging_takes_no_more_than_the_position_or_the_deficit(
        market in any_market(0),
        held in prop_oneof![1_i64..3_000, -3_000_i64..-1],
        equity_permille in -600_i128..40,
        eighths in 1_u64..=8,
        others in others(),
    ) {
        let mut markets = [market];
        let at_mark = value(&markets[0], held);
        let mut closing =
            account(at_mark.abs() * equity_permille / 1_000 - at_mark, &[(0, held, 0)]);
        // Opposite positions; the last takes the rest of open interest.
        let opposite = |(size, profit, equity): &(i64, i128, i128)| {
            holder(&markets[0], -held.signum() * size, *profit, *equity)
        };
        let mut accounts: Vec<Account> = others.iter().map(opposite).collect();
        let rest = -held - accounts.iter().map(|a| a.lots(M0).get()).sum::<i64>();
        accounts.push(account(usdc(1_000_000_000), &[(0, rest, atoms(value(&markets[0], rest)))]));
        let sides = |accounts: &[Account], closing: &Account| {
            market_lots(accounts.iter().chain([closing]), M0)
        };
        markets[0].open_interest_lots = lots(sides(&accounts, &closing).0 as u64);
        let before_money = money(accounts.iter().chain([&closing]));
        let before = health_of(&closing, &markets);
        let before_others: Vec<Health> = accounts.iter().map(|a| health_of(a, &markets)).collect();
        let order = if held % 2 == 0 { AdlOrder::ProRata } else { AdlOrder::Ranked };
        markets[0].params.adl_order = order;
        let found = counterparties(&accounts, held, &markets);
        let wanted = lots((held.unsigned_abs() * eighths).div_ceil(8));

        let held_before: Vec<i64> = accounts.iter().map(|a| a.lots(M0).get()).collect();
        let mut table = Table(accounts);
        let fills = deleverage(&mut closing, wanted, &found, &mut table, &mut markets);

        let closed: Lots = fills.iter().map(|fill| fill.lots).sum();
        prop_assert!(closed <= wanted);
        prop_assert_eq!(closing.lots(M0).unsigned_abs(), lots(held.unsigned_abs()) - closed);
        prop_assert_eq!(money(table.0.iter().chain([&closing])), before_money);
        let (long, short) = sides(&table.0, &closing);
        prop_assert_eq!((long, short), (markets[0].open_interest_lots.wide(), long));
        let after = health_of(&closing, &markets);
        prop_assert!(is_no_riskier(&before, &after));
        let is_bounded = took_no_more_than_its_deficit(&before, &after, fills.len());
        prop_assert!(is_bounded, "{:?} of {:?}", after, before);
        for (at, other) in table.0.iter().enumerate() {
            let now = health_of(other, &markets);
            let (held, was) = (other.lots(M0).get(), held_before[at]);
            prop_assert!(held.abs() <= was.abs() && held * was >= 0);
            let bore = fills.iter().any(|fill| fill.account.index() == at);
            prop_assert!(is_no_riskier(&before_others[at], &now) || (is_safe(&now) && bore));
        }
        // Nothing stays open while someone rich enough holds the other side.
        let rich = table.0.last().unwrap();
        if rich.lots(M0).signum() * held.signum() == -1 {
            prop_assert_eq!(closed, wanted);
        }
    }
}

/// Lots that are due: of accounts that could still pay, a part.
fn due(account: &Account, markets: &[Market]) -> Lots {
    let held = account.lots(M0).unsigned_abs();
    if health_of(account, markets).equity_atoms.is_negative() {
        held
    } else {
        lots(held.get().div_ceil(5))
    }
}

/// A lot less of a position of this sign.
fn one_less(sign: i64) -> SignedLots {
    signed(-sign)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Several accounts against one queue, those with the mildest price for a lot first, in rounds:
    /// none takes more than its deficit, and what stays open nobody can bear a lot of.
    #[test]
    fn accounts_that_close_together_ask_everyone_who_could_bear_it(
        market in any_market(0),
        long in any::<bool>(),
        first in 0_u32..12,
        closers in prop::collection::vec((1_i64..2_000, -600_i128..40), 1..6),
        others in others(),
    ) {
        let mut markets = [market];
        let order = if first % 2 == 0 { AdlOrder::ProRata } else { AdlOrder::Ranked };
        markets[0].params.adl_order = order;
        let sign = if long { 1 } else { -1 };
        let closer = |(size, equity_permille): &(i64, i128)| {
            let at_mark = value(&markets[0], sign * size);
            account(at_mark.abs() * equity_permille / 1_000 - at_mark, &[(0, sign * size, 0)])
        };
        let mut closing: Vec<Account> = closers.iter().map(closer).collect();
        let opposite = |(size, profit, equity): &(i64, i128, i128)| {
            holder(&markets[0], -sign * size, *profit, *equity)
        };
        let accounts: Vec<Account> = others.iter().map(opposite).collect();
        let long_lots = |a: &Account| a.lots(M0).max(SignedLots::ZERO).unsigned_abs();
        let longs: Lots = closing.iter().chain(&accounts).map(long_lots).sum();
        markets[0].open_interest_lots = longs;
        let mut left: Vec<Lots> = closing.iter().map(|account| due(account, &markets)).collect();
        let before_money = money(accounts.iter().chain(&closing));
        let before_others: Vec<Health> = accounts.iter().map(|a| health_of(a, &markets)).collect();

        let mut table = Table(accounts);
        let mut all = Vec::new();
        // Rounds, until one closes nothing.
        loop {
            let mut order: Vec<usize> =
                (0..closing.len()).filter(|at| !left[*at].is_zero()).collect();
            order.sort_by_key(|at| {
                let (of, market) = (&closing[*at], &markets[0]);
                let health = health_of(of, &markets);
                bankruptcy_quote_delta(market, of.lots(M0), one_less(sign), &health).unwrap()
            });
            let found = counterparties(&table.0, sign, &markets);
            let wanted = left.iter().copied().sum();
            let mut queue =
                Queue::new(M0, wanted, &found, id(first), markets.as_slice()).unwrap();
            let before_round = all.len();
            for at in order {
                let of = &mut closing[at];
                let before = health_of(of, &markets);
                let fills = queue.close(of, left[at], &mut table, markets.as_mut_slice()).unwrap();
                let after = health_of(of, &markets);
                prop_assert!(is_no_riskier(&before, &after));
                let is_bounded = took_no_more_than_its_deficit(&before, &after, fills.len());
                prop_assert!(is_bounded, "{:?} of {:?}", after, before);
                left[at] -= fills.iter().map(|fill| fill.lots).sum::<Lots>();
                all.extend(fills);
            }
            if all.len() == before_round {
                break;
            }
        }
        prop_assert_eq!(money(table.0.iter().chain(&closing)), before_money);
        for (at, other) in table.0.iter().enumerate() {
            let now = health_of(other, &markets);
            let bore = all.iter().any(|fill| fill.account.index() == at);
            prop_assert!(is_no_riskier(&before_others[at], &now) || (is_safe(&now) && bore));
        }
        let is_opposite = |other: &&Account| other.lots(M0).signum() == -sign;
        for (of, _) in closing.iter().zip(&left).filter(|(_, left)| !left.is_zero()) {
            for other in table.0.iter().filter(is_opposite) {
                let (mut of, mut markets) = (of.clone(), markets.clone());
                let mut table = Table(vec![other.clone()]);
                let alone = holders(&[(1, 0)]);
                let more = deleverage(&mut of, Lots::ONE, &alone, &mut table, &mut markets);
                prop_assert_eq!(more, [], "{:?} could have borne a lot of {:?}", other, of);
            }
        }
    }
}

#[test]
fn an_account_goes_on_where_the_one_before_ended() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].open_interest_lots = lots(12);
    // Short 4, 4 and 2 with a tenth of notional less than nothing; against longs with profits of 3
    // to 2 to 1.
    let mut closing =
        [4, 4, 2].map(|held: i64| account(usdc(90 * i128::from(held)), &[(0, -held, 0)]));
    let rows = [(6, 300), (4, 200), (2, 100)].map(|(held, profit)| {
        account(usdc(5_000), &[(0, held, usdc(i128::from(held) * 100 - profit))])
    });
    let found = counterparties(&rows, -1, &markets);
    let mut table = Table(rows.to_vec());
    // Shares of 10: 5, 3⅓ and 1⅔ lots; asked for from the second account on.
    let mut queue = Queue::new(M0, lots(10), &found, id(1), markets.as_slice()).unwrap();
    let seen = closing.each_mut().map(|of| {
        let held = of.lots(M0).unsigned_abs();
        let fills = queue.close(of, held, &mut table, markets.as_mut_slice()).unwrap();
        plain(&fills).into_iter().map(|(account, size, _)| (account, size)).collect::<Vec<_>>()
    });
    assert_eq!(seen, [vec![(1, 3), (2, 1)], vec![(2, 1), (0, 3)], vec![(0, 2)]]);
}

#[test]
fn ties_go_to_the_lower_account_id() {
    assert_eq!(shares_of(5, &[(9, 10), (9, 10), (9, 10)]), [(0, 2), (1, 2), (2, 1)]);
    assert_eq!(shares_of(1, &[(9, 10), (9, 10)]), [(0, 1)]);
    let shares = shares_of(10, &[(2, 90), (9, 10), (9, 30)]);
    assert_eq!(shares, [(0, 2), (1, 2), (2, 6)], "what passes a position is shared");
    assert_eq!(shares_of(10, &[(9, 0), (9, -5)]), [], "none in profit");
    let huge = (u64::MAX, i128::MAX / 2);
    assert_eq!(shares_of(u64::MAX, &[huge, huge]).len(), 2);
}

#[test]
fn the_profitable_pay_first() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].open_interest_lots = lots(10);
    // Short 10 with nothing left: 50 below zero.
    let mut closing = account(usdc(950), &[(0, -10, 0)]);
    let rows = vec![
        account(usdc(5_000), &[(0, 4, usdc(400))]),
        account(usdc(5_000), &[(0, 4, usdc(200))]),
        account(usdc(5_000), &[(0, 2, usdc(150))]),
    ];
    let found = counterparties(&rows, -10, &markets);
    let mut table = Table(rows);
    let fills = deleverage(&mut closing, lots(8), &found, &mut table, &mut markets);
    let seen = plain(&fills);
    // Shares 6.4 and 1.6 of 8: the first is filled up at 4, the second at 2, and the rest goes on
    // to those who can bear it.
    assert_eq!(seen, vec![(1, 4, -380), (2, 2, -190), (0, 2, -190)]);
    assert_eq!((closing.lots(M0), closing.collateral_atoms), (signed(-2), usdc(190)));
    assert_eq!(markets[0].open_interest_lots, lots(2));
}

#[test]
fn by_rank_the_most_profitable_and_leveraged_pays_first() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].params.adl_order = AdlOrder::Ranked;
    markets[0].open_interest_lots = lots(10);
    let mut closing = account(usdc(950), &[(0, -10, 0)]);
    let rows = vec![
        // 50 % profit at a leverage of 0.08; 25 % at 2.
        account(usdc(5_000), &[(0, 4, usdc(200))]),
        account(usdc(100), &[(0, 4, usdc(300))]),
        account(usdc(5_000), &[(0, 2, usdc(200))]),
    ];
    let found = counterparties(&rows, -10, &markets);
    let ranks: Vec<i128> = found.iter().map(|c| c.rank).collect();
    assert_eq!(ranks, [500_000 * 76_923, 250_000 * 2_000_000, 0]);
    let mut table = Table(rows);
    let fills = deleverage(&mut closing, lots(7), &found, &mut table, &mut markets);
    let seen = plain(&fills);
    assert_eq!(seen, vec![(1, 4, -380), (0, 3, -285)]);
    let one = atoms(1);
    let broke = Health { notional_atoms: one, ..Health::default() };
    assert_eq!((rank(one, one, &broke), rank(Atoms::ZERO, one, &broke)), (Ok(i128::MAX), Ok(0)));
}

#[test]
fn who_cannot_bear_a_whole_share_bears_a_part_and_the_next_are_asked() {
    // The first has earned 50 a lot, or 10.
    let earned = [(-usdc(400), 500, vec![(0, 1), (1, 3)]), (usdc(0), 900, vec![(1, 3)])];
    let orders = [AdlOrder::ProRata, AdlOrder::Ranked];
    for (adl_order, (collateral, cost, expected)) in
        orders.into_iter().flat_map(|order| earned.clone().map(|earned| (order, earned)))
    {
        let mut markets = [market(0, 10, 100, 1_000_000)];
        markets[0].params.adl_order = adl_order;
        markets[0].open_interest_lots = lots(13);
        // 400 below zero: each lot costs its counterparty 40.
        let mut closing = account(usdc(600), &[(0, -10, 0)]);
        let rows = vec![
            // 100 of equity and 50 of maintenance margin: after one lot 60 and 45, after two 20 and
            // 40. Lots that have earned less than 40 leave it no riskier, or stay.
            account(collateral, &[(0, 10, usdc(cost))]),
            account(usdc(5_000), &[(0, 3, usdc(300))]),
        ];
        let found = counterparties(&rows, -10, &markets);
        let mut table = Table(rows);
        let fills = deleverage(&mut closing, lots(10), &found, &mut table, &mut markets);
        let seen: Vec<_> = plain(&fills).iter().map(|fill| (fill.0, fill.1)).collect();
        assert_eq!(seen, expected, "{adl_order:?}");
    }
}

#[test]
fn a_fill_reduces_both_positions_and_leaves_neither_account_riskier() {
    let mut markets: [Market; 1] = [market(0, 5, 50_000, 1_000_000)];
    markets[0].open_interest_lots = lots(3);
    let mut quote = |collateral: Atoms, held: i64, wanted| {
        let mut closing = account(usdc(49_000), &[(0, -1, 0)]);
        let mut table = Table(vec![account(collateral, &[(0, held, 0)])]);
        let before = (closing.clone(), table.0.clone());
        let found = holders(&[(1, 0)]);
        let fills = deleverage(&mut closing, lots(wanted), &found, &mut table, &mut markets);
        assert!(!fills.is_empty() || before == (closing, table.0), "no fill changes nothing");
        plain(&fills).first().map(|fill| (fill.1, fill.2))
    };
    assert_eq!(quote(usdc(50_000), -1, 1), None, "the counterparty is short too");
    assert_eq!(quote(usdc(50_000), 0, 1), None, "the counterparty holds nothing");
    assert_eq!(quote(usdc(50_000), 1, 0), None, "nothing is asked for");
    assert_eq!(quote(-usdc(50_001), 1, 1), None, "it would end below −1");
    assert_eq!(quote(-usdc(49_001), 1, 1), None, "it would end at −1");
    assert_eq!(quote(-usdc(49_000), 1, 1), Some((1, -49_000)), "it ends at 0");
    assert_eq!(quote(usdc(50_000), 1, 1), Some((1, -49_000)));
    assert_eq!(quote(usdc(50_000), 1, 2), Some((1, -49_000)), "no more than is held");
}

#[test]
fn a_final_settlement_closes_at_the_price_whoever_can_pay() {
    assert!(closes_at_settlement_price(Atoms::ZERO));
    assert!(!closes_at_settlement_price(atoms(-1)));
}

/// Fresh lots close against fresh lots, no more than there are on either side.
#[test]
fn rules_7_fresh_lots_are_closed_against_fresh_ones_first() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].open_interest_lots = lots(14);
    // Short 10 with nothing left: 50 below zero. Of the longs' lots 3 and 2 are fresh.
    let mut closing = account(usdc(950), &[(0, -10, 0)]);
    let rows = [(6, 3), (6, 2), (2, 0)].map(|(held, fresh)| {
        let mut row = account(usdc(5_000), &[(0, held, usdc(i128::from(held) * 80))]);
        let of = &mut row.positions[0].fresh;
        *of = of.changed(7, signed(held - fresh), signed(held));
        row
    });
    markets[0].clock_ms = TimeMs::new(7 * 600_000);
    let found = counterparties(&rows, -10, &markets);
    assert_eq!(found.iter().map(|c| c.fresh_lots.get()).collect::<Vec<_>>(), [3, 2, 0]);
    let mut table = Table(rows.to_vec());
    let mut queue = Queue::of_fresh(M0, lots(4), &found, id(1)).unwrap();
    let fills = queue.close(&mut closing, lots(4), &mut table, markets.as_mut_slice()).unwrap();
    let seen: Vec<_> = plain(&fills).iter().map(|fill| (fill.0, fill.1)).collect();
    assert_eq!(seen, [(1, 2), (0, 2)], "shares of 4: 2.4 and 1.6, from the second account on");
    let found = counterparties(&table.0, -6, &markets);
    let mut queue = Queue::of_fresh(M0, lots(4), &found, id(1)).unwrap();
    let fills = queue.close(&mut closing, lots(4), &mut table, markets.as_mut_slice()).unwrap();
    assert_eq!(plain(&fills).iter().map(|fill| (fill.0, fill.1)).collect::<Vec<_>>(), [(0, 1)]);
    let left = table.0.iter().map(|row| row.positions[0].fresh.lots(7).get());
    assert_eq!(left.collect::<Vec<_>>(), [0, 0, 0]);
}

use proptest::prelude::*;
use tidemark_proto::params::AdlOrder;
use tidemark_proto::units::{AccountId, Atoms, Lots, SignedLots};

use super::{account, any_market, market, usdc};
use crate::adl::{
    counterparty, is_no_riskier, pro_rata, rank, Accounts, AdlFill, Counterparty, Queue, SIGMA_PPM,
};
use crate::conservation::{account_atoms, market_lots};
use crate::liquidation::zero_quote_delta;
use crate::margin::{health_without_orders, Health};
use crate::settlement::closes_at_settlement_price;
use crate::{Account, Market};

struct Table(Vec<Account>);

impl Accounts for Table {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(id as usize).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) {
        self.0[id as usize] = account;
    }
}

/// Closes up to `lots` of one account's position against `counterparties`.
fn deleverage(
    closing: &mut Account,
    lots: Lots,
    counterparties: &[Counterparty],
    table: &mut Table,
    markets: &mut [Market],
) -> Vec<AdlFill> {
    let mut queue = Queue::new(0, lots, counterparties, 0, markets).unwrap();
    queue.close(closing, lots, table, markets)
}

fn holders(rows: &[(Lots, Atoms)]) -> Vec<Counterparty> {
    (0..)
        .zip(rows)
        .map(|(account, &(lots, profit_atoms))| Counterparty {
            account,
            lots,
            profit_atoms,
            rank: 0,
        })
        .collect()
}

/// One lot at a time to whoever is farthest behind its share: what `pro_rata` comes to, found the
/// slow way. Exact shares are compared, so this is only for cases without a cap.
fn within_one_of_its_share(
    lots: Lots,
    rows: &[(Lots, Atoms)],
    shares: &[(AccountId, Lots)],
) -> bool {
    let total: i128 = rows.iter().map(|(_, profit)| (*profit).max(0)).sum();
    (0..).zip(rows).all(|(id, (_, profit))| {
        let share = shares
            .iter()
            .find(|(account, _)| *account == id)
            .map_or(0, |(_, lots)| i128::from(*lots));
        (share * total - i128::from(lots) * (*profit).max(0)).abs() < total.max(1)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn shares_add_up_and_stay_within_positions(lots in 0_u64..5_000, rows in prop::collection::vec((0_u64..1_000, -50_i128..1_000), 0..12)) {
        let shares = pro_rata(lots, &holders(&rows)).unwrap();
        let capacity: u64 = rows.iter().filter(|(_, profit)| *profit > 0).map(|(lots, _)| lots).sum();
        prop_assert_eq!(shares.iter().map(|(_, lots)| lots).sum::<u64>(), lots.min(capacity));
        prop_assert!(shares.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (id, share) in &shares {
            let (held, profit) = rows[*id as usize];
            prop_assert!((1..=held).contains(share) && profit > 0);
        }
        // Among those with room left, shares are in proportion, but for a lot; who was filled up
        // had earned at least that.
        let open = |id: AccountId| shares.iter().find(|(a, _)| *a == id).map_or(0, |(_, share)| *share);
        for (i, a) in (0..).zip(&rows).filter(|(_, row)| row.0 > 0 && row.1 > 0) {
            for (j, b) in (0..).zip(&rows).filter(|(_, row)| row.0 > 0 && row.1 > 0) {
                if open(j) < b.0 {
                    prop_assert!((i128::from(open(i)) - 1) * b.1 < (i128::from(open(j)) + 1) * a.1);
                }
            }
        }
    }

    #[test]
    fn without_a_cap_everyone_is_within_a_lot_of_its_share(lots in 0_u64..5_000, profits in prop::collection::vec(-50_i128..1_000, 1..12)) {
        let rows: Vec<(Lots, Atoms)> = profits.into_iter().map(|profit| (1 << 40, profit)).collect();
        let shares = pro_rata(lots, &holders(&rows)).unwrap();
        prop_assert!(within_one_of_its_share(lots, &rows, &shares));
    }

    /// Against random holders: lots and money are conserved, the position bounds what is closed,
    /// and the deficit what is taken.
    #[test]
    fn deleveraging_takes_no_more_than_the_position_or_the_deficit(
        market in any_market(0), lots in prop_oneof![1_i64..3_000, -3_000_i64..-1], equity_permille in -600_i128..40, eighths in 1_i64..=8,
        others in prop::collection::vec((1_i64..1_500, -30_i128..60, 0_i128..100), 1..8),
    ) {
        let mut markets = [market];
        let value = |lots: SignedLots| markets[0].value_atoms(markets[0].mark().unwrap(), i128::from(lots)).unwrap();
        let mut closing = account(0, &[(0, lots, 0)]);
        closing.collateral_atoms = value(lots).abs() * equity_permille / 1_000 - value(lots);
        // Opposite positions, with a profit and an equity in percent of notional; the last takes
        // the rest of open interest.
        let mut accounts: Vec<Account> = others.iter().map(|(size, profit, equity)| {
            let held = -lots.signum() * size;
            let notional = value(held).abs();
            account(notional * (equity - profit) / 100, &[(0, held, value(held) - notional * profit / 100)])
        }).collect();
        let rest = -lots - accounts.iter().map(|a| a.lots(0)).sum::<i64>();
        accounts.push(account(usdc(1_000_000_000), &[(0, rest, value(rest))]));
        let longs = |accounts: &[Account], closing: &Account| market_lots(accounts.iter().chain([closing]), 0).unwrap();
        markets[0].open_interest_lots = longs(&accounts, &closing).0 as u64;
        let money = |accounts: &[Account], closing: &Account| accounts.iter().chain([closing]).map(|a| account_atoms(a).unwrap()).sum::<i128>();
        let before_money = money(&accounts, &closing);
        let before = health_without_orders(&closing, markets.as_slice()).unwrap();
        let before_others: Vec<Health> = accounts.iter().map(|a| health_without_orders(a, markets.as_slice()).unwrap()).collect();
        markets[0].params.adl_order = if lots % 2 == 0 { AdlOrder::ProRata } else { AdlOrder::Ranked };
        let found: Vec<Counterparty> = (0..).zip(&accounts)
            .filter_map(|(id, a)| counterparty(id, a, 0, lots, markets.as_slice()).unwrap())
            .collect();
        let wanted = (lots.unsigned_abs() * eighths.unsigned_abs()).div_ceil(8);

        let held_before: Vec<i64> = accounts.iter().map(|a| a.lots(0)).collect();
        let mut table = Table(accounts);
        let fills = deleverage(&mut closing, wanted, &found, &mut table, &mut markets);

        let closed: u64 = fills.iter().map(|fill| fill.lots).sum();
        prop_assert!(closed <= wanted);
        prop_assert_eq!(closing.lots(0).unsigned_abs(), lots.unsigned_abs() - closed);
        prop_assert_eq!(money(&table.0, &closing), before_money);
        let (long, short) = longs(&table.0, &closing);
        prop_assert_eq!((long, short), (i128::from(markets[0].open_interest_lots), long));
        let after = health_without_orders(&closing, markets.as_slice()).unwrap();
        prop_assert!(is_no_riskier(&before, &after));
        // Taken: by how much the closing account did better than at the mark.
        let taken = after.equity_atoms - before.equity_atoms;
        prop_assert!(taken <= (-before.equity_atoms).max(0) + fills.len() as i128, "took {} of {:?}", taken, before);
        for (id, other) in table.0.iter().enumerate() {
            let now = health_without_orders(other, markets.as_slice()).unwrap();
            let (held, was) = (other.lots(0), held_before[id]);
            prop_assert!(held.abs() <= was.abs() && held * was >= 0);
            let unharmed = is_no_riskier(&before_others[id], &now);
            let mine: Vec<_> = fills.iter().filter(|fill| fill.account == id as AccountId).collect();
            prop_assert!(unharmed || (now.equity_atoms >= now.maintenance_atoms && now.equity_atoms >= 0 && !mine.is_empty()));
        }
        // Nothing stays open while someone rich enough holds the other side.
        let rich = table.0.last().unwrap();
        if rich.lots(0).signum() * lots.signum() == -1 {
            prop_assert_eq!(closed, wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Several accounts against one queue, those with the mildest price for a lot first, in rounds:
    /// none takes more than its deficit, and what stays open nobody can bear a lot of.
    #[test]
    fn accounts_that_close_together_ask_everyone_who_could_bear_it(
        market in any_market(0), long in any::<bool>(), first in 0_u32..12,
        closers in prop::collection::vec((1_i64..2_000, -600_i128..40), 1..6),
        others in prop::collection::vec((1_i64..1_500, -30_i128..60, 0_i128..100), 1..8),
    ) {
        let mut markets = [market];
        markets[0].params.adl_order = if first % 2 == 0 { AdlOrder::ProRata } else { AdlOrder::Ranked };
        let sign = if long { 1 } else { -1 };
        let value = |lots: SignedLots| markets[0].value_atoms(markets[0].mark().unwrap(), i128::from(lots)).unwrap();
        let mut closing: Vec<Account> = closers.iter().map(|(lots, equity_permille)| {
            let held = sign * lots;
            account(value(held).abs() * equity_permille / 1_000 - value(held), &[(0, held, 0)])
        }).collect();
        let accounts: Vec<Account> = others.iter().map(|(size, profit, equity)| {
            let held = -sign * size;
            let notional = value(held).abs();
            account(notional * (equity - profit) / 100, &[(0, held, value(held) - notional * profit / 100)])
        }).collect();
        let longs = closing.iter().chain(&accounts).map(|a| a.lots(0).max(0)).sum::<i64>();
        markets[0].open_interest_lots = longs.unsigned_abs();
        let health = |of: &Account, markets: &[Market]| health_without_orders(of, markets).unwrap();
        // Lots that are due: of accounts that could still pay, a part.
        let due = |of: &Account, markets: &[Market]| {
            let lots = of.lots(0).unsigned_abs();
            if health(of, markets).equity_atoms < 0 { lots } else { lots.div_ceil(5) }
        };
        let mut left: Vec<Lots> = closing.iter().map(|of| due(of, &markets)).collect();
        let money = |accounts: &[Account], closing: &[Account]| accounts.iter().chain(closing).map(|a| account_atoms(a).unwrap()).sum::<i128>();
        let before_money = money(&accounts, &closing);
        let before_others: Vec<Health> = accounts.iter().map(|a| health(a, &markets)).collect();

        let mut table = Table(accounts);
        let mut all = Vec::new();
        // Rounds, until one closes nothing.
        loop {
            let mut order: Vec<usize> = (0..closing.len()).filter(|at| left[*at] > 0).collect();
            order.sort_by_key(|at| {
                let of = &closing[*at];
                zero_quote_delta(&markets[0], of.lots(0), -sign, &health(of, &markets), SIGMA_PPM).unwrap()
            });
            let found: Vec<Counterparty> = (0..).zip(&table.0)
                .filter_map(|(id, a)| counterparty(id, a, 0, sign, markets.as_slice()).unwrap())
                .collect();
            let mut queue = Queue::new(0, left.iter().sum(), &found, first, markets.as_slice()).unwrap();
            let before_round = all.len();
            for at in order {
                let of = &mut closing[at];
                let before = health(of, &markets);
                let fills = queue.close(of, left[at], &mut table, markets.as_mut_slice());
                let after = health(of, &markets);
                prop_assert!(is_no_riskier(&before, &after));
                let taken = after.equity_atoms - before.equity_atoms;
                prop_assert!(taken <= (-before.equity_atoms).max(0) + fills.len() as i128, "took {} of {:?}", taken, before);
                left[at] -= fills.iter().map(|fill| fill.lots).sum::<Lots>();
                all.extend(fills);
            }
            if all.len() == before_round {
                break;
            }
        }
        prop_assert_eq!(money(&table.0, &closing), before_money);
        for (id, other) in (0..).zip(&table.0) {
            let now = health(other, &markets);
            let was = &before_others[id as usize];
            let bore = all.iter().any(|fill| fill.account == id);
            prop_assert!(is_no_riskier(was, &now) || (now.equity_atoms >= now.maintenance_atoms && now.equity_atoms >= 0 && bore));
        }
        for (of, _) in closing.iter().zip(&left).filter(|(_, left)| **left > 0) {
            for other in table.0.iter().filter(|other| other.lots(0) * sign < 0) {
                let (mut of, mut markets) = (of.clone(), markets.clone());
                let alone = [Counterparty { account: 0, lots: 1, profit_atoms: 0, rank: 0 }];
                let mut table = Table(vec![other.clone()]);
                let more = deleverage(&mut of, 1, &alone, &mut table, &mut markets);
                prop_assert_eq!(more, [], "{:?} could have borne a lot of {:?}", other, of);
            }
        }
    }
}

#[test]
fn an_account_goes_on_where_the_one_before_ended() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].open_interest_lots = 12;
    // Short 4, 4 and 2 with a tenth of notional less than nothing; against longs with profits of 3
    // to 2 to 1.
    let mut closing =
        [4, 4, 2].map(|lots: i64| account(usdc(90 * i128::from(lots)), &[(0, -lots, 0)]));
    let rows = [(6, 300), (4, 200), (2, 100)].map(|(lots, profit)| {
        account(usdc(5_000), &[(0, lots, usdc(i128::from(lots) * 100 - profit))])
    });
    let found: Vec<Counterparty> = (0..)
        .zip(&rows)
        .filter_map(|(id, a)| counterparty(id, a, 0, -1, markets.as_slice()).unwrap())
        .collect();
    let mut table = Table(rows.to_vec());
    // Shares of 10: 5, 3⅓ and 1⅔ lots; asked for from the second account on.
    let mut queue = Queue::new(0, 10, &found, 1, markets.as_slice()).unwrap();
    let seen = closing.each_mut().map(|of| {
        let lots = of.lots(0).unsigned_abs();
        let fills = queue.close(of, lots, &mut table, markets.as_mut_slice());
        fills.iter().map(|fill| (fill.account, fill.lots)).collect::<Vec<_>>()
    });
    assert_eq!(seen, [vec![(1, 3), (2, 1)], vec![(2, 1), (0, 3)], vec![(0, 2)]]);
}

#[test]
fn ties_go_to_the_lower_account_id() {
    let shares = |lots, rows: &[(Lots, Atoms)]| pro_rata(lots, &holders(rows)).unwrap();
    assert_eq!(shares(5, &[(9, 10), (9, 10), (9, 10)]), vec![(0, 2), (1, 2), (2, 1)]);
    assert_eq!(shares(1, &[(9, 10), (9, 10)]), vec![(0, 1)]);
    assert_eq!(
        shares(10, &[(2, 90), (9, 10), (9, 30)]),
        vec![(0, 2), (1, 2), (2, 6)],
        "what passes a position is shared"
    );
    assert_eq!(shares(10, &[(9, 0), (9, -5)]), vec![], "none in profit");
    assert_eq!(shares(u64::MAX, &[(u64::MAX, i128::MAX / 2), (u64::MAX, i128::MAX / 2)]).len(), 2);
}

#[test]
fn the_profitable_pay_first() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].open_interest_lots = 10;
    // Short 10 with nothing left: 50 below zero.
    let mut closing = account(usdc(950), &[(0, -10, 0)]);
    let rows = vec![
        account(usdc(5_000), &[(0, 4, usdc(400))]),
        account(usdc(5_000), &[(0, 4, usdc(200))]),
        account(usdc(5_000), &[(0, 2, usdc(150))]),
    ];
    let found: Vec<Counterparty> = (0..)
        .zip(&rows)
        .filter_map(|(id, a)| counterparty(id, a, 0, -10, markets.as_slice()).unwrap())
        .collect();
    let mut table = Table(rows);
    let fills = deleverage(&mut closing, 8, &found, &mut table, &mut markets);
    let seen: Vec<_> =
        fills.iter().map(|fill| (fill.account, fill.lots, fill.quote_atoms)).collect();
    // Shares 6.4 and 1.6 of 8: the first is filled up at 4, the second at 2, and the rest goes on
    // to those who can bear it.
    assert_eq!(seen, vec![(1, 4, -usdc(380)), (2, 2, -usdc(190)), (0, 2, -usdc(190))]);
    assert_eq!((closing.lots(0), closing.collateral_atoms), (-2, usdc(190)));
    assert_eq!(markets[0].open_interest_lots, 2);
}

#[test]
fn by_rank_the_most_profitable_and_leveraged_pays_first() {
    let mut markets = [market(0, 10, 100, 1_000_000)];
    markets[0].params.adl_order = AdlOrder::Ranked;
    markets[0].open_interest_lots = 10;
    let mut closing = account(usdc(950), &[(0, -10, 0)]);
    let rows = vec![
        // 50 % profit at a leverage of 0.08; 25 % at 2.
        account(usdc(5_000), &[(0, 4, usdc(200))]),
        account(usdc(100), &[(0, 4, usdc(300))]),
        account(usdc(5_000), &[(0, 2, usdc(200))]),
    ];
    let found: Vec<Counterparty> = (0..)
        .zip(&rows)
        .filter_map(|(id, a)| counterparty(id, a, 0, -10, markets.as_slice()).unwrap())
        .collect();
    let ranks: Vec<i128> = found.iter().map(|c| c.rank).collect();
    assert_eq!(ranks, [500_000 * 76_923, 250_000 * 2_000_000, 0]);
    let mut table = Table(rows);
    let fills = deleverage(&mut closing, 7, &found, &mut table, &mut markets);
    let seen: Vec<_> =
        fills.iter().map(|fill| (fill.account, fill.lots, fill.quote_atoms)).collect();
    assert_eq!(seen, vec![(1, 4, -usdc(380)), (0, 3, -usdc(285))]);
    let broke = Health { equity_atoms: 0, notional_atoms: 1, ..Health::default() };
    assert_eq!((rank(1, 1, &broke), rank(0, 1, &broke)), (i128::MAX, 0));
}

#[test]
fn who_cannot_bear_a_whole_share_bears_a_part_and_the_next_are_asked() {
    for adl_order in [AdlOrder::ProRata, AdlOrder::Ranked] {
        let mut markets = [market(0, 10, 100, 1_000_000)];
        markets[0].params.adl_order = adl_order;
        markets[0].open_interest_lots = 13;
        // 400 below zero: each lot costs its counterparty 40.
        let mut closing = account(usdc(600), &[(0, -10, 0)]);
        let rows = vec![
            // 100 of equity and 50 of maintenance margin: after one lot 60 and 45, after two 20 and
            // 40.
            account(0, &[(0, 10, usdc(900))]),
            account(usdc(5_000), &[(0, 3, usdc(300))]),
        ];
        let found: Vec<Counterparty> = (0..)
            .zip(&rows)
            .filter_map(|(id, a)| counterparty(id, a, 0, -10, markets.as_slice()).unwrap())
            .collect();
        let mut table = Table(rows);
        let fills = deleverage(&mut closing, 10, &found, &mut table, &mut markets);
        let seen: Vec<_> = fills.iter().map(|fill| (fill.account, fill.lots)).collect();
        assert_eq!(seen, vec![(0, 1), (1, 3)], "{adl_order:?}");
    }
}

#[test]
fn a_fill_reduces_both_positions_and_leaves_neither_account_riskier() {
    let mut markets: [Market; 1] = [market(0, 5, 50_000, 1_000_000)];
    markets[0].open_interest_lots = 3;
    let mut quote = |other: (Atoms, i64), lots| {
        let mut closing = account(usdc(49_000), &[(0, -1, 0)]);
        let mut table = Table(vec![account(other.0, &[(0, other.1, 0)])]);
        let before = (closing.clone(), table.0.clone());
        let found = Counterparty { account: 0, lots: 1, profit_atoms: 0, rank: 0 };
        let fills = deleverage(&mut closing, lots, &[found], &mut table, &mut markets);
        assert!(!fills.is_empty() || before == (closing, table.0), "no fill changes nothing");
        fills.first().map(|fill| (fill.lots, fill.quote_atoms))
    };
    assert_eq!(quote((usdc(50_000), -1), 1), None, "the counterparty is short too");
    assert_eq!(quote((usdc(50_000), 0), 1), None, "the counterparty holds nothing");
    assert_eq!(quote((usdc(50_000), 1), 0), None, "nothing is asked for");
    assert_eq!(quote((-usdc(50_001), 1), 1), None, "it would end below −1");
    assert_eq!(quote((-usdc(49_001), 1), 1), None, "it would end at −1");
    assert_eq!(quote((-usdc(49_000), 1), 1), Some((1, -usdc(49_000))), "it ends at 0");
    assert_eq!(quote((usdc(50_000), 1), 1), Some((1, -usdc(49_000))));
    assert_eq!(quote((usdc(50_000), 1), 2), Some((1, -usdc(49_000))), "no more than is held");
}

#[test]
fn a_final_settlement_closes_at_the_price_whoever_can_pay() {
    assert!(closes_at_settlement_price(0));
    assert!(!closes_at_settlement_price(-1));
}

//! Positions conserve equity; accounts, funds and pools conserve money.

use proptest::prelude::*;
use tidemark_proto::units::{Atoms, Lots, OwnerId, Side};
use tidemark_proto::Code;

use crate::conservation::Totals;
use crate::debt;
use crate::fees::{collect, trade_fees};
use crate::health::health_without_orders;
use crate::position::{apply_fill, settle_funding, trade};
use crate::tests::{
    account, any_market, atoms, lots, market, market_lots, ppm, signed, ticks, usdc, M0,
};
use crate::{Account, Market, Treasury};

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// However cost is split, equity moves by the price's distance from the mark, and the fee;
    /// funding due changes nothing.
    #[test]
    fn a_fill_changes_equity_by_its_price_and_fee_alone(
        market in any_market(0),
        held in -5_000_i64..5_000,
        cost in -1_000_000_007_i128..1_000_000_007,
        funding in -3_000_000_000_i128..3_000_000_000,
        fills in prop::collection::vec(
            (side(), 1_u64..400_000, 1_u64..7_000, -50_i128..5_000),
            1..12,
        ),
    ) {
        let mut market = market;
        market.open_interest_lots += lots(5_000);
        let mut account = account(11, &[(0, held, if held == 0 { 0 } else { cost })]);
        market.funding.cumulative_index = funding;
        for (side, price, size, fee) in fills {
            let equity = |account: &Account, market: &Market| {
                health_without_orders(account, std::slice::from_ref(market)).unwrap().equity_atoms
            };
            let before = equity(&account, &market);
            let fee = atoms(fee);
            apply_fill(&mut account, &mut market, side, ticks(price), lots(size), fee).unwrap();
            let distance = market.mark().unwrap().wide() - i128::from(price);
            let gain = atoms(distance * i128::from(size) * market.k.wide());
            let gain = if side == Side::Buy { gain } else { -gain };
            prop_assert_eq!(equity(&account, &market), before + gain - fee);
            if account.lots(M0).is_zero() {
                prop_assert_eq!(account.position(M0).unwrap().cost_atoms, Atoms::ZERO);
            }
            let settled = settle_funding(&mut account, &mut market).unwrap();
            prop_assert_eq!(settled, Atoms::ZERO, "a fill settles first");
        }
    }

    /// Reducing in parts realises no more, in sum, at any moment, than the exact share.
    #[test]
    fn released_cost_is_rounded_against_the_account(
        held in 1_i64..1_000,
        cost in 0_i128..1_000_000,
        part in 1_i64..1_000,
        is_short: bool,
    ) {
        let part = part.min(held);
        let sign = if is_short { -1 } else { 1 };
        let mut market = market(0, 10, 1, 1);
        market.open_interest_lots = lots(1_000);
        let mut account = account(0, &[(0, held * sign, cost * i128::from(sign))]);
        let delta = signed(-part * sign);
        let effect = trade(&mut account, &mut market, delta, Atoms::ZERO, Atoms::ZERO).unwrap();
        let realised = effect.realised_atoms.get();
        let exact_times_held = -cost * i128::from(sign) * i128::from(part);
        prop_assert!(realised * i128::from(held) <= exact_times_held);
        prop_assert!((realised + 1) * i128::from(held) > exact_times_held);
        prop_assert_eq!(account.collateral_atoms.get(), realised);
    }

    /// Trades, funding, fees, rebates, deposits, debts: money is what came in less what went out,
    /// after each of them.
    #[test]
    fn money_is_conserved_to_the_atom(
        markets in (any_market(0), any_market(1)),
        deeds in prop::collection::vec(
            (
                0_usize..6,
                0_usize..5,
                0_usize..5,
                0_usize..2,
                1_u64..200_000,
                1_u64..5_000,
                -40_000_000_i128..40_000_000,
            ),
            1..60,
        ),
    ) {
        let mut world = World::new([markets.0, markets.1]);
        for deed in deeds {
            world.act(deed);
            prop_assert_eq!(world.imbalance(), Atoms::ZERO, "after {:?}", deed);
            for market in &world.markets {
                let lots = market_lots(&world.accounts, market.params.id);
                let open = market.open_interest_lots.wide();
                prop_assert_eq!(lots, (open, open));
            }
        }
        // Payers paid no less than receivers drew: what is left of a pool is dust, and it is not
        // negative.
        for market in 0..2 {
            for account in 0..world.accounts.len() {
                world.settle(account, market);
            }
            let pool = world.markets[market].funding_pool_atoms.get();
            prop_assert!((0..=world.settlements).contains(&pool));
        }
        prop_assert_eq!(world.imbalance(), Atoms::ZERO);
    }
}

/// Some accounts that trade with each other.
struct World {
    accounts: Vec<Account>,
    markets: [Market; 2],
    treasury: Treasury,
    totals: Totals,
    deposits: Atoms,
    settlements: i128,
}

impl World {
    fn new(mut markets: [Market; 2]) -> Self {
        for market in &mut markets {
            market.open_interest_lots = Lots::ZERO;
        }
        let accounts = (0..5).map(|number| Account::new(OwnerId::ZERO, number)).collect();
        let treasury = Treasury { insurance_atoms: usdc(1), ..Treasury::default() };
        let (totals, deposits) = (Totals::default(), usdc(1));
        Self { accounts, markets, treasury, totals, deposits, settlements: 0 }
    }

    fn imbalance(&self) -> Atoms {
        let (treasury, deposits) = (&self.treasury, self.deposits);
        self.totals
            .imbalance_atoms(treasury, &self.markets, Atoms::ZERO, deposits, Atoms::ZERO)
            .unwrap()
    }

    /// Changes one account, and its part of the totals.
    fn change(
        &mut self,
        account: usize,
        deed: impl FnOnce(&mut Account, &mut [Market; 2], &mut Treasury),
    ) {
        let before = self.accounts[account].clone();
        deed(&mut self.accounts[account], &mut self.markets, &mut self.treasury);
        self.totals.replace(Some(&before), Some(&self.accounts[account])).unwrap();
    }

    fn settle(&mut self, account: usize, market: usize) {
        self.settlements += 1;
        self.change(account, |account, markets, _| {
            settle_funding(account, &mut markets[market]).unwrap();
        });
    }

    fn act(&mut self, deed: (usize, usize, usize, usize, u64, u64, i128)) {
        let (kind, a, b, market, price, size, amount) = deed;
        let (price, size) = (ticks(price), lots(size));
        match kind {
            0 => {
                let paid_in = atoms(amount.abs());
                self.deposits += paid_in;
                self.change(a, |account, _, _| account.collateral_atoms += paid_in);
            }
            1 => self.markets[market].funding.cumulative_index += amount,
            2 => self.settle(a, market),
            3 => self.change(a, |account, markets, treasury| {
                let parts = debt::shares(account, markets[market].params.id).unwrap();
                for (market, part) in parts {
                    let market = &mut markets[market.index()];
                    let settled = debt::settle(account, market, treasury, part);
                    let refused = settled.map_err(|r| r.code()).err();
                    assert_eq!(refused, account.has_position().then_some(Code::InvalidArgument));
                }
                assert!(account.has_position() || !account.collateral_atoms.is_negative());
            }),
            4 => self.markets[market].sweep_funding_dust(&mut self.treasury),
            _ if a != b => {
                let notional = price.notional_atoms(size, self.markets[market].k).unwrap();
                let fees = trade_fees(notional, ppm((amount % 300) as i64), ppm(450)).unwrap();
                let trades = [(a, Side::Buy, fees.taker_atoms), (b, Side::Sell, fees.maker_atoms)];
                for (who, side, fee) in trades {
                    self.settlements += 1;
                    self.change(who, |account, markets, _| {
                        apply_fill(account, &mut markets[market], side, price, size, fee).unwrap();
                    });
                }
                let market = &mut self.markets[market];
                collect(fees.net_atoms(), ppm(500_000), market, &mut self.treasury).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn opening_reducing_turning_and_closing() {
    let mut market = market(0, 10, 100, 1);
    let mut account = Account::new(OwnerId::ZERO, 0);
    let mut fill = |side, price, size| {
        let (price, size) = (ticks(price), lots(size));
        let effect = apply_fill(&mut account, &mut market, side, price, size, Atoms::ZERO).unwrap();
        let position = account.position(M0).unwrap();
        let (cost, realised) = (position.cost_atoms.get(), effect.realised_atoms.get());
        (position.lots.get(), cost, realised, market.open_interest_lots.get())
    };
    assert_eq!(fill(Side::Buy, 100, 2), (2, 200, 0, 2));
    assert_eq!(fill(Side::Buy, 101, 1), (3, 301, 0, 3));
    assert_eq!(fill(Side::Sell, 110, 1), (2, 200, 9, 2), "301/3 is released as 101");
    assert_eq!(fill(Side::Sell, 90, 5), (-3, -270, -20, 0), "closes 2, opens 3 short");
    assert_eq!(fill(Side::Buy, 80, 1), (-2, -180, 10, 0));
    assert_eq!(fill(Side::Buy, 95, 2), (0, 0, -10, 0));
    assert_eq!(account.collateral_atoms, atoms(-11));
}

#[test]
fn a_fill_beyond_the_units_changes_nothing() {
    let mut market = market(0, 10, 100, u64::MAX);
    let mut account = account(5, &[(0, i64::MAX, 0)]);
    let before = (account.clone(), market.clone());
    for (price, size) in [(u64::MAX, u64::MAX), (u64::MAX, 1 << 62), (1, 1), (1, u64::MAX)] {
        let (price, size) = (ticks(price), lots(size));
        let refusal =
            apply_fill(&mut account, &mut market, Side::Buy, price, size, Atoms::ZERO).unwrap_err();
        assert_eq!(refusal.code(), Code::Overflow);
        assert_eq!((&account, &market), (&before.0, &before.1));
    }
}

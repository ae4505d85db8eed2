//! Fills of orders that take: the most that the account bears, and never below 0 (rules §3.10).

use proptest::prelude::*;
use tidemark_proto::units::{Atoms, Lots, MarketId, Ppm, Side, SignedLots, Ticks};

use super::{AtZeroPrice, Taking, Terms};
use crate::fees::trade_fees;
use crate::health::{health, Health};
use crate::interest::{open_interest_with, raise_atoms};
use crate::orders::{order_totals, OpenOrder, OrderTotals};
use crate::position::{apply_fill, signed_lots};
use crate::tests::{account, any_market, atoms, lots, market, ppm, ticks, usdc, M0, M1};
use crate::zero_price::{resting_zero_price, zero_quote_delta};
use crate::{Account, Market};

const TAKER_PPM: Ppm = Ppm::new(450);
const MAX_FEE_PPM: Ppm = Ppm::new(700);

/// An account, its resting orders, and the two markets that it trades.
#[derive(Clone, Debug)]
struct World {
    markets: [Market; 2],
    account: Account,
    orders: Vec<(MarketId, OpenOrder)>,
}

impl World {
    fn new(markets: [Market; 2], held: [i64; 2], share: i128) -> Self {
        let account = account(0, &[(0, held[0], 0), (1, held[1], 0)]);
        let mut world = Self { markets, account, orders: Vec::new() };
        for market in &mut world.markets {
            // A world that holds the other side.
            market.open_interest_lots += lots(1_000_000);
        }
        let health = world.health();
        let wanted = health.maintenance_atoms
            + atoms((health.initial_atoms - health.maintenance_atoms).get() * share / 8);
        world.account.collateral_atoms = wanted - health.equity_atoms;
        world
    }

    fn totals(&self, market: MarketId) -> OrderTotals {
        let of = |(of, order): &(MarketId, OpenOrder)| (*of == market).then_some(*order);
        let open: Vec<OpenOrder> = self.orders.iter().filter_map(of).collect();
        let cell = &self.markets[market.index()];
        order_totals(&open, cell.mark().unwrap(), cell.k, MAX_FEE_PPM).unwrap()
    }

    fn health(&self) -> Health {
        health(&self.account, self.markets.as_slice(), |market| Ok(self.totals(market))).unwrap()
    }

    fn reducible(&self, market: MarketId, side: Side) -> Lots {
        let held = self.account.lots(market);
        let reduces = !held.is_zero() && Side::reducing(held) == side;
        if reduces {
            held.unsigned_abs()
        } else {
            Lots::ZERO
        }
    }

    /// True if an exit could rest here without free collateral.
    fn may_rest(&self, market: MarketId, order: &OpenOrder, health: &Health) -> bool {
        let cell = &self.markets[market.index()];
        let zero = resting_zero_price(cell, self.account.lots(market), health).unwrap();
        let one = |price: Ticks| price.notional_atoms(Lots::ONE, cell.k).unwrap();
        let fee = one(order.price_ticks).mul_ppm_ceil(MAX_FEE_PPM).unwrap();
        match order.side {
            Side::Sell => one(order.price_ticks) - fee >= one(zero),
            Side::Buy => one(order.price_ticks) + fee <= one(zero),
        }
    }

    fn at_zero_price(&self, health: &Health) -> AtZeroPrice {
        let hinders = |(market, order): &(MarketId, OpenOrder)| {
            !order.reduce_only || !self.may_rest(*market, order, health)
        };
        if self.orders.iter().any(hinders) {
            return AtZeroPrice::Never;
        }
        if self.orders.is_empty() {
            return AtZeroPrice::Always;
        }
        AtZeroPrice::While {
            equity_atoms: health.equity_atoms,
            maintenance_atoms: health.maintenance_atoms,
        }
    }

    fn taking(&self, market: MarketId, side: Side) -> Taking {
        let health = self.health();
        let totals = self.totals(market);
        let terms = Terms {
            health: &health,
            position: self.account.position(market).unwrap(),
            totals: &totals,
            taker_ppm: TAKER_PPM,
            spends_free: true,
            at_zero_price: self.at_zero_price(&health),
            drawable_atoms: Atoms::ZERO,
        };
        Taking::new(&self.markets[market.index()], side, terms).unwrap()
    }

    fn fill(&mut self, market: MarketId, side: Side, price: Ticks, size: Lots, rate: Ppm) {
        if size.is_zero() {
            return;
        }
        let cell = &mut self.markets[market.index()];
        let notional = price.notional_atoms(size, cell.k).unwrap();
        let fee = trade_fees(notional, Ppm::ZERO, rate).unwrap().taker_atoms;
        apply_fill(&mut self.account, cell, side, price, size, fee).unwrap();
        // Exits without a position go.
        let orders = std::mem::take(&mut self.orders);
        let stays = |(of, order): &(MarketId, OpenOrder)| {
            !order.lots.is_zero()
                && (!order.reduce_only || !self.reducible(*of, order.side).is_zero())
        };
        self.orders = orders.into_iter().filter(|order| stays(order)).collect();
    }

    /// An order at this distance of the mark, in thousandths.
    fn order(&self, market: MarketId, side: Side, per_mille: u64, size: u64) -> OpenOrder {
        let mark = self.markets[market.index()].mark().unwrap();
        let price_ticks = ticks((mark.get() * per_mille / 1_000).max(1));
        OpenOrder { side, price_ticks, lots: lots(size), reduce_only: false }
    }

    fn step(&mut self, step: Step) {
        let Step { kind, second, sell, per_mille, size, which } = step;
        let market = if second { M1 } else { M0 };
        let side = if sell { Side::Sell } else { Side::Buy };
        let order = self.order(market, side, per_mille, size);
        match kind {
            0 | 1 => {
                let mut taking = self.taking(market, side);
                let cell = self.markets[market.index()].clone();
                let taken = taking.take(&cell, order.price_ticks, order.lots).unwrap();
                self.fill(market, side, order.price_ticks, taken, TAKER_PPM);
                let health = self.health();
                let counted = taking.health();
                assert!(counted.equity_atoms <= health.equity_atoms);
                assert_eq!(counted.maintenance_atoms, health.maintenance_atoms);
            }
            2 => self.rest(market, order),
            3 => self.rest(market, OpenOrder { reduce_only: true, ..order }),
            _ if self.orders.is_empty() => {}
            _ => {
                let which = which % self.orders.len();
                let (market, resting) = self.orders[which];
                let mut size = resting.lots.min(lots(size));
                if resting.reduce_only {
                    size = size.min(self.reducible(market, resting.side));
                }
                self.orders[which].1.lots -= size;
                self.fill(market, resting.side, resting.price_ticks, size, MAX_FEE_PPM);
            }
        }
    }

    /// Places an order that rests, if the rules admit it.
    fn rest(&mut self, market: MarketId, order: OpenOrder) {
        if order.reduce_only && self.reducible(market, order.side).is_zero() {
            return;
        }
        let health = self.health();
        let hindered = self.at_zero_price(&health) == AtZeroPrice::Never;
        let exits = order.reduce_only && !hindered && self.may_rest(market, &order, &health);
        self.orders.push((market, order));
        if !exits && self.health().free_atoms().is_negative() {
            self.orders.pop();
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    second: bool,
    sell: bool,
    per_mille: u64,
    size: u64,
    which: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0_u8..6, any::<bool>(), any::<bool>(), 700_u64..1_300, 1_u64..4_000, 0_usize..8).prop_map(
        |(kind, second, sell, per_mille, size, which)| Step {
            kind,
            second,
            sell,
            per_mille,
            size,
            which,
        },
    )
}

fn any_world() -> impl Strategy<Value = World> {
    let held = || -3_000_i64..3_000;
    (any_market(0), any_market(1), held(), held(), 0_i128..20).prop_map(
        |(first, second, of_first, of_second, share)| {
            World::new([first, second], [of_first, of_second], share)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// While marks stand, whatever an account and its friends do with exits, entries and resting
    /// orders of two markets, the account keeps what it owes: the fund has nothing to pay.
    #[test]
    fn no_account_ends_below_zero_while_marks_stand(
        world in any_world(),
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut world = world;
        for step in steps {
            let before = world.health();
            world.step(step);
            let after = world.health();
            prop_assert!(
                !after.equity_atoms.is_negative(),
                "{step:?} took equity from {} to {}", before.equity_atoms, after.equity_atoms
            );
        }
    }

    /// The way out is open: with nothing that increases, whatever is at the zero price or better,
    /// the fee counted, is taken whole.
    #[test]
    fn no_exit_at_the_zero_price_or_better_is_refused(
        world in any_world(),
        second in any::<bool>(),
        part in 1_u64..=8,
        per_mille in 500_u64..1_500,
        equity_percent in -150_i128..300,
    ) {
        let mut world = world;
        let market = if second { M1 } else { M0 };
        let held = world.account.lots(market);
        prop_assume!(!held.is_zero());
        let health = world.health();
        let wanted = health.maintenance_atoms.get() * equity_percent / 100;
        world.account.collateral_atoms += atoms(wanted) - health.equity_atoms;
        let health = world.health();
        let size = lots((held.unsigned_abs().get() * part).div_ceil(8));
        let side = Side::reducing(held);
        let order = world.order(market, side, per_mille, size.get());
        let cell = world.markets[market.index()].clone();
        let delta = signed_lots(side, size).unwrap();
        let sigma_ppm = cell.params.zero_price_sigma_ppm;
        let zero = zero_quote_delta(&cell, held, delta, &health, sigma_ppm).unwrap();
        let cost = order.price_ticks.position_atoms(delta, cell.k).unwrap();
        let fee = atoms(cost.get().abs()).mul_ppm_ceil(TAKER_PPM).unwrap();
        let taken = world.taking(market, side).take(&cell, order.price_ticks, size).unwrap();
        if -cost - fee >= zero {
            prop_assert_eq!(taken, size);
        } else if health.free_atoms().is_negative() {
            prop_assert!(taken < size);
        }
    }

    /// An entry takes the most lots that leave free collateral at 0 or more, at the rate that open
    /// interest raises: a naive count agrees.
    #[test]
    fn an_entry_takes_the_most_that_free_collateral_bears(
        world in any_world(),
        steps in prop::collection::vec(step(), 0..6),
        sell in any::<bool>(),
        per_mille in 950_u64..1_050,
        size in 1_u64..40,
    ) {
        let mut world = world;
        for step in steps {
            world.step(step);
        }
        let own = if sell { Side::Sell } else { Side::Buy };
        let side = world.account.lots(M0).side().unwrap_or(own);
        let order = world.order(M0, side, per_mille, size);
        let (cell, held) = (world.markets[0].clone(), world.account.lots(M0));
        let taken = world.taking(M0, side).take(&cell, order.price_ticks, order.lots).unwrap();
        let bears = |size: u64| {
            let mut world = world.clone();
            world.fill(M0, side, order.price_ticks, lots(size), TAKER_PPM);
            let interest = open_interest_with(cell.open_interest_lots, held, side, lots(size));
            let position = world.account.position(M0).unwrap();
            let raise = raise_atoms(&world.markets[0], position, &world.totals(M0), interest);
            world.health().free_atoms() >= raise.unwrap()
        };
        let most = (1..=size).take_while(|size| bears(*size)).last().unwrap_or(0);
        let most = if world.health().free_atoms().is_negative() { 0 } else { most };
        prop_assert_eq!(taken, lots(most));
    }
}

/// An order that turns a position: the part that reduces is an exit, the rest an entry.
#[test]
fn a_turn_is_an_exit_and_then_an_entry() {
    let plain = [market(0, 10, 100, 1_000_000), market(1, 10, 100, 1_000_000)];
    let mut world = World::new(plain, [10, 0], 8);
    // The ten lots cost nothing: equity is 100 USDC.
    world.account.collateral_atoms = usdc(100 - 1_000);
    let cell = world.markets[0].clone();
    let take = |world: &World, price, size| {
        world.taking(M0, Side::Sell).take(&cell, ticks(price), lots(size)).unwrap()
    };
    // Free collateral is 0: the ten lots that are held go at any price down to the zero price.
    assert_eq!(take(&world, 91, 10), lots(10));
    assert_eq!(take(&world, 89, 10), lots(0), "less the fee, worse than the zero price of 90");
    // At the mark ten lots release 100 USDC of margin, less their fee of 0.45: nine more fit.
    assert_eq!(take(&world, 100, 30), lots(19));
    // From below 0 too, as two orders would: the exit comes first, at the zero price or better, and
    // what it releases is free.
    world.account.collateral_atoms = usdc(99 - 1_000);
    assert!(world.health().free_atoms().is_negative());
    assert_eq!(take(&world, 100, 30), lots(19));
    assert_eq!(take(&world, 89, 30), lots(0), "no exit, no entry");
    assert_eq!(world.account.lots(M0), SignedLots::new(10));
}

/// Collateral of a parent covers what increases, and is counted as it is drawn.
#[test]
fn what_is_drawn_from_a_parent_is_what_the_entry_lacks() {
    let plain = [market(0, 10, 100, 1_000_000), market(1, 10, 100, 1_000_000)];
    let mut world = World::new(plain, [0, 0], 8);
    world.account.collateral_atoms = usdc(15);
    let health = world.health();
    let terms = Terms {
        health: &health,
        position: world.account.position(M0).unwrap(),
        totals: &OrderTotals::default(),
        taker_ppm: ppm(0),
        spends_free: true,
        at_zero_price: AtZeroPrice::Always,
        drawable_atoms: usdc(20),
    };
    let mut taking = Taking::new(&world.markets[0], Side::Buy, terms).unwrap();
    assert_eq!(taking.take(&world.markets[0], ticks(100), lots(2)).unwrap(), lots(2));
    assert_eq!(taking.drawn_atoms(), usdc(5));
    assert_eq!(taking.take(&world.markets[0], ticks(100), lots(2)).unwrap(), lots(1));
    assert_eq!(taking.drawn_atoms(), usdc(15));
}

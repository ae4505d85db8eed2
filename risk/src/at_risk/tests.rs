use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use tidemark_proto::units::{Atoms, OwnerId, Side};

use super::*;
use crate::liquidation::liquidation_price;
use crate::orders::{order_totals, OpenOrder};
use crate::position::settle_funding;
use crate::tests::{any_market, atoms, id, lots, market, signed, ticks, tiers, usdc};

const ACCOUNTS: usize = 12;
const MARKETS: usize = 3;

fn market_at(index: usize) -> MarketId {
    MarketId::from_index(index).unwrap()
}

fn account_at(index: usize) -> AccountId {
    AccountId::from_index(index).unwrap()
}

/// A world small enough to look at whole.
#[derive(Clone, Debug)]
struct World {
    markets: Vec<Market>,
    accounts: Vec<Account>,
    /// By account and market.
    orders: Vec<[Vec<OpenOrder>; MARKETS]>,
    max_fee_ppm: Ppm,
    /// By market: from which account on its holders wait for a review.
    reviews: [Option<AccountId>; MARKETS],
    /// Accounts that were looked at.
    read: RefCell<BTreeSet<AccountId>>,
}

impl World {
    fn new(markets: Vec<Market>, accounts: usize) -> Self {
        Self {
            markets,
            accounts: vec![Account::new(OwnerId::ZERO, 0); accounts],
            orders: vec![Default::default(); accounts],
            max_fee_ppm: Ppm::new(450),
            reviews: [None; MARKETS],
            read: RefCell::default(),
        }
    }

    fn by_scan(&self) -> Vec<Found> {
        ids(self.accounts()).filter_map(|id| at_risk(self, id)).collect()
    }

    /// The review of a market begins, or goes on: by so many accounts, which the index is told.
    fn review_goes_on(&mut self, at: usize, begins: bool, by: usize, index: &mut AtRiskIndex) {
        let from = if begins { Some(AccountId::ZERO) } else { self.reviews[at] };
        let Some(from) = from else { return };
        let to = from.index() + by;
        self.reviews[at] = (to < self.accounts.len()).then(|| account_at(to));
        let passed = from..account_at(to);
        self.holders(at)
            .into_iter()
            .filter(|id| passed.contains(id))
            .for_each(|id| index.touch(id));
    }

    fn holders(&self, at: usize) -> Vec<AccountId> {
        let market = market_at(at);
        let concerns = |id: &AccountId| {
            let (account, orders) = (&self.accounts[id.index()], &self.orders[id.index()]);
            !account.lots(market).is_zero() || !orders[at].is_empty()
        };
        ids(self.accounts()).filter(concerns).collect()
    }
}

impl Markets for World {
    fn market(&self, id: MarketId) -> Option<&Market> {
        self.markets.get(id.index())
    }
}

impl Source for World {
    fn accounts(&self) -> u32 {
        self.accounts.len() as u32
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.read.borrow_mut().insert(id);
        self.accounts.get(id.index())
    }

    fn order_totals(&self, id: AccountId, market: &Market) -> Result<OrderTotals, RiskError> {
        let orders = &self.orders[id.index()][market.params.id.index()];
        if orders.is_empty() {
            return Ok(OrderTotals::default());
        }
        order_totals(orders, market.mark()?, market.k, self.max_fee_ppm)
    }

    fn max_fee_ppm(&self) -> Ppm {
        self.max_fee_ppm
    }

    fn review(&self, market: MarketId) -> Option<AccountId> {
        self.reviews.get(market.index()).copied().flatten()
    }
}

/// The accounts that were found.
fn accounts_of(found: Vec<Found>) -> Vec<AccountId> {
    found.into_iter().map(|(id, _)| id).collect()
}

/// An event in the world.
#[derive(Clone, Debug)]
enum Step {
    /// The mark moves by a part.
    Move(usize, i64),
    /// The mark is somewhere else.
    Jump(usize, Option<u64>),
    /// All marks move by a part.
    MoveAll(i64),
    /// Funding of a part of the mark.
    Funding(usize, i64),
    Params(usize, Vec<tidemark_proto::params::MarginTier>, i64, Option<i128>),
    /// A review begins, or one goes on by so many accounts.
    Review(usize, bool, usize),
    MaxFee(i64),
    /// Collateral becomes so that equity is a part of notional.
    Collateral(usize, i64),
    Trade(usize, usize, i64, i128),
    Orders(usize, usize, Vec<(bool, i64, u64, bool)>),
    Leverage(usize, usize, u32),
    Settle(usize, usize),
    /// Entries of nothing go.
    Drop(usize),
    NewAccount,
    /// Nothing; or the index begins anew.
    Rest(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let of = || 0_usize..60;
    let ppm = || prop_oneof![-1_000_i64..1_000, -20_000_i64..20_000, -150_000_i64..150_000];
    let order = (any::<bool>(), -30_000_i64..30_000, 1_u64..2_000, prop::bool::weighted(0.3));
    prop_oneof![
        6 => (of(), ppm()).prop_map(|(m, p)| Step::Move(m, p)),
        3 => ppm().prop_map(Step::MoveAll),
        1 => (of(), prop::option::weighted(0.9, prop_oneof![0_u64..200_000, any::<u64>()]))
            .prop_map(|(m, t)| Step::Jump(m, t)),
        2 => (of(), prop_oneof![-2_000_i64..2_000, -40_000_i64..40_000])
            .prop_map(|(m, p)| Step::Funding(m, p)),
        1 => (of(), tiers(), 1_i64..=1_000_000, prop::option::of(1_i128..1_000_000))
            .prop_map(|(m, t, f, o)| Step::Params(m, t, f, o)),
        1 => (of(), any::<bool>(), 0_usize..8).prop_map(|(m, b, n)| Step::Review(m, b, n)),
        1 => (0_i64..2_000).prop_map(Step::MaxFee),
        4 => (of(), prop_oneof![-20_000_i64..200_000, 0_i64..2_000_000])
            .prop_map(|(a, p)| Step::Collateral(a, p)),
        3 => (of(), of(), -3_000_i64..3_000, -3_000_i128..3_000)
            .prop_map(|(a, m, l, c)| Step::Trade(a, m, l, c)),
        2 => (of(), of(), prop::collection::vec(order, 0..4))
            .prop_map(|(a, m, o)| Step::Orders(a, m, o)),
        1 => (of(), of(), 0_u32..60).prop_map(|(a, m, l)| Step::Leverage(a, m, l)),
        1 => (of(), of()).prop_map(|(a, m)| Step::Settle(a, m)),
        2 => of().prop_map(Step::Drop),
        1 => Just(Step::NewAccount),
        2 => prop::bool::weighted(0.05).prop_map(Step::Rest),
    ]
}

fn moved(price: Ticks, ppm: i64) -> Ticks {
    let (price, ppm) = (price.wide(), i128::from(ppm));
    let moved = price + price * ppm / 1_000_000 + ppm.signum();
    ticks(moved.clamp(0, i128::from(u64::MAX)) as u64)
}

/// A lot's value at the mark, or at a bounded one.
fn per_lot(of: &Market) -> i128 {
    of.mark_ticks.unwrap_or(Ticks::ONE).min(ticks(1 << 40)).wide() * of.k.wide()
}

impl World {
    /// Carries a step out, and tells the index what it must be told.
    fn go(&mut self, step: &Step, index: &mut AtRiskIndex) {
        let accounts = self.accounts.len();
        let (account, place) = match step {
            Step::Collateral(a, _)
            | Step::Trade(a, ..)
            | Step::Orders(a, ..)
            | Step::Leverage(a, ..)
            | Step::Drop(a)
            | Step::Settle(a, _) => {
                let account = a % accounts;
                index.touch(account_at(account));
                (account, *a)
            }
            Step::Move(m, _)
            | Step::Jump(m, _)
            | Step::Funding(m, _)
            | Step::Params(m, ..)
            | Step::Review(m, ..) => (0, *m),
            _ => (0, 0),
        };
        // With new parameters begins a review, which comes to few at once.
        match step {
            Step::Params(m, ..) => self.review_goes_on(m % MARKETS, true, m % 5, index),
            Step::Review(m, begins, by) => self.review_goes_on(m % MARKETS, *begins, *by, index),
            _ => {}
        }
        let of = &mut self.markets[place % MARKETS];
        match step {
            Step::Review(..) => {}
            Step::Move(_, ppm) => of.mark_ticks = of.mark_ticks.map(|mark| moved(mark, *ppm)),
            Step::Jump(_, mark) => of.mark_ticks = mark.map(Ticks::new),
            Step::MoveAll(ppm) => {
                for of in &mut self.markets {
                    of.mark_ticks = of.mark_ticks.map(|mark| moved(mark, *ppm));
                }
            }
            Step::Funding(_, ppm) => {
                of.funding.cumulative_index += per_lot(of) * i128::from(*ppm);
            }
            Step::Params(_, tiers, fraction, open_interest) => {
                of.params.tiers.clone_from(tiers);
                of.params.maintenance_fraction_ppm = Ppm::new(*fraction);
                of.params.oi_lower_atoms = usdc(1_000);
                of.params.oi_upper_atoms =
                    open_interest.map_or(Atoms::ZERO, |above| usdc(1_000 + above));
            }
            Step::MaxFee(ppm) => self.max_fee_ppm = Ppm::new(*ppm),
            Step::Collateral(_, ppm) => {
                let totals = |id: MarketId| {
                    self.order_totals(account_at(account), &self.markets[id.index()])
                };
                if let Ok(now) = health(&self.accounts[account], self.markets.as_slice(), totals) {
                    let notional = now.notional_atoms.max(now.reserve_atoms).get();
                    let wanted = notional.checked_mul(i128::from(*ppm));
                    let change = wanted
                        .and_then(|wanted| atoms(wanted / 1_000_000).checked_sub(now.equity_atoms));
                    let row = &mut self.accounts[account].collateral_atoms;
                    *row = row
                        .saturating_add(change.unwrap_or(Atoms::ZERO))
                        .clamp(-usdc(1 << 40), usdc(1 << 40));
                }
            }
            Step::Trade(_, m, held, cost) => {
                let of = &self.markets[m % MARKETS];
                let position = self.accounts[account].position_mut(of.params.id);
                (position.lots, position.funding_index) =
                    (signed(*held), of.funding.cumulative_index);
                position.cost_atoms = atoms(cost * per_lot(of));
            }
            Step::Orders(_, m, orders) => {
                let at = m % MARKETS;
                let mark = self.markets[at].mark_ticks.unwrap_or(ticks(1_000));
                self.accounts[account].position_mut(market_at(at));
                let open = |(buys, ppm, size, reduce_only): &(bool, i64, u64, bool)| OpenOrder {
                    side: if *buys { Side::Buy } else { Side::Sell },
                    price_ticks: moved(mark, *ppm),
                    lots: lots(*size),
                    reduce_only: *reduce_only,
                };
                self.orders[account][at] = orders.iter().map(open).collect();
            }
            Step::Leverage(_, m, leverage) => {
                self.accounts[account].position_mut(market_at(m % MARKETS)).leverage = *leverage;
            }
            Step::Settle(_, m) => {
                let _ = settle_funding(&mut self.accounts[account], &mut self.markets[m % MARKETS]);
            }
            Step::Drop(_) => {
                let orders = &self.orders[account];
                self.accounts[account].positions.retain(|position| {
                    !position.lots.is_zero() || !orders[position.market.index()].is_empty()
                });
            }
            Step::NewAccount => {
                self.accounts.push(self.accounts[0].clone());
                self.orders.push(Default::default());
            }
            Step::Rest(anew) => {
                if *anew {
                    *index = AtRiskIndex::default();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The whole point: over long histories of anything that changes a margin, the index finds what
    /// a scan finds.
    #[test]
    fn the_index_finds_exactly_those_that_a_full_scan_finds(
        markets in (any_market(0), any_market(1), any_market(2)),
        steps in prop::collection::vec(step(), 40..250),
    ) {
        let mut world = World::new(vec![markets.0, markets.1, markets.2], ACCOUNTS);
        let mut index = AtRiskIndex::default();
        for (at, step) in steps.iter().enumerate() {
            world.go(step, &mut index);
            for at in 0..MARKETS {
                let members: BTreeSet<AccountId> =
                    index.members_from(market_at(at), AccountId::ZERO)
                        .chain(index.unevaluated(world.accounts()))
                        .collect();
                let has_all = world.holders(at).iter().all(|id| members.contains(id));
                prop_assert!(has_all, "{:?} at {:?}", members, step);
            }
            prop_assert_eq!(index.find(&world), world.by_scan(), "at {}: {:?}", at, step);
            for at in 0..MARKETS {
                let members = &index.markets[at].members;
                let members: Vec<AccountId> = members.iter_from(AccountId::ZERO).collect();
                let holders = world.holders(at);
                let has_all = holders.iter().all(|id| members.contains(id));
                prop_assert!(has_all, "{:?} of {:?}", members, holders);
                let known = |id: &&AccountId| {
                    let account = &world.accounts[id.index()];
                    Assessment::of(&world, **id, account, &mut Vec::new()).is_ok()
                };
                let has_no_other = members.iter().filter(known).all(|id| holders.contains(id));
                prop_assert!(has_no_other, "{:?} of {:?}", members, holders);
            }
        }
    }
}

/// An account of positions `(lots, leverage, orders)` whose slack is a part of its notional.
fn account_with_slack() -> impl Strategy<Value = World> {
    let order = (any::<bool>(), -30_000_i64..30_000, 1_u64..2_000, prop::bool::weighted(0.3));
    let orders = prop_oneof![Just(Vec::new()), prop::collection::vec(order, 0..4)];
    let held = prop_oneof![Just(0), -3_i64..3, -3_000_i64..3_000];
    let position = (held, prop_oneof![Just(0), 1_u32..4, 1_u32..60], orders);
    let slack_ppm = prop_oneof![Just(0), 0_i64..2_000, 0_i64..400_000];
    (
        (any_market(0), any_market(1), any_market(2)),
        prop::collection::vec(position, 1..=MARKETS),
        slack_ppm,
    )
        .prop_map(|(markets, positions, slack_ppm)| {
            let mut world = World::new(vec![markets.0, markets.1, markets.2], 1);
            let nobody = &mut AtRiskIndex::default();
            for (at, (held, leverage, orders)) in positions.into_iter().enumerate() {
                world.go(&Step::Trade(0, at, held, i128::from(held)), nobody);
                world.go(&Step::Leverage(0, at, leverage), nobody);
                world.go(&Step::Orders(0, at, orders), nobody);
            }
            let has_orders = world.orders[0].iter().any(|orders| !orders.is_empty());
            let totals =
                |market: MarketId| world.order_totals(id(0), &world.markets[market.index()]);
            let health = health(&world.accounts[0], world.markets.as_slice(), totals).unwrap();
            let needed = if has_orders { health.reserve_atoms } else { health.maintenance_atoms };
            let notional = health.notional_atoms.max(health.reserve_atoms).get();
            let slack = atoms(notional * i128::from(slack_ppm) / 1_000_000);
            world.accounts[0].collateral_atoms += needed + slack - health.equity_atoms;
            world
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Every mark at one of its bounds, and funding in between: still out of danger.
    #[test]
    fn no_move_within_the_bounds_endangers(
        mut world in account_with_slack(),
        moves in prop::collection::vec(
            (any::<bool>(), -20_000_i64..20_000, prop_oneof![Just(4_u64), 0_u64..=4]),
            MARKETS,
        ),
    ) {
        let mut index = AtRiskIndex::default();
        prop_assert_eq!(index.find(&world), []);
        prop_assert!(index.in_danger.is_empty(), "bounds can be told");
        for (at, (falls, funding_ppm, quarters)) in moves.into_iter().enumerate() {
            let key = |axis| {
                let is_of = |key: &&Key| key.market == market_at(at) && key.axis == axis;
                index.accounts[0].iter().find(is_of).map(|key| i128::from(key.key))
            };
            let of = &mut world.markets[at];
            let mark = of.mark_ticks.unwrap().wide();
            // No more funding than what closes the bounds on the mark.
            let change = mark * of.k.wide() * i128::from(funding_ppm);
            let drift = index.markets[at].rates.drift_ticks(change, of.k).unwrap();
            let low = key(Axis::Low).unwrap_or(mark / 2);
            let high = -key(Axis::High).unwrap_or(-2 * mark);
            let is_within = low + drift <= mark && mark <= high - drift;
            let (change, drift) = if is_within { (change, drift) } else { (0, 0) };
            let bound = if falls { low + drift } else { high - drift };
            let now = (mark + (bound - mark) * i128::from(quarters) / 4).max(0);
            of.mark_ticks = Some(ticks(now as u64));
            of.funding.cumulative_index += change;
        }
        let crossed = |at: &usize| {
            let levels = index.markets[*at].levels(&world.markets[*at]);
            let is_crossed =
                |key: &Key| levels.get(key.axis as usize).is_some_and(|level| key.key > *level);
            index.accounts[0].iter().any(|key| key.market == market_at(*at) && is_crossed(key))
        };
        prop_assume!(!(0..MARKETS).any(|at| crossed(&at)));
        prop_assert_eq!(world.by_scan(), []);
    }
}

/// Long and short of one market, each with so much collateral in USDC.
fn one_market(collateral: &[(i64, i128)]) -> World {
    let mut world = World::new(vec![market(0, 20, 1_000, 1_000_000)], collateral.len());
    for (account, (held, usdc_each)) in world.accounts.iter_mut().zip(collateral) {
        account.collateral_atoms = usdc(*usdc_each);
        let position = account.position_mut(MarketId::ZERO);
        (position.lots, position.cost_atoms) = (signed(*held), usdc(i128::from(*held) * 1_000));
    }
    world
}

#[test]
fn an_account_whose_margin_cannot_be_computed_is_found_in_every_search() {
    let mut world = one_market(&[(10, 5_000), (-10, 5_000)]);
    world.accounts[0].position_mut(MarketId::ZERO).cost_atoms = Atoms::MIN;
    let mut index = AtRiskIndex::default();
    for _ in 0..2 {
        assert_eq!(accounts_of(index.find(&world)), [id(0)]);
        assert_eq!(accounts_of(world.by_scan()), [id(0)]);
    }
    // Where there never was a mark, nobody is in danger yet.
    world.markets[0].mark_ticks = None;
    assert_eq!((index.find(&world), world.by_scan()), (vec![], vec![]));
}

#[test]
fn an_account_whose_bound_was_not_passed_is_not_read() {
    // 10 lots at 1 000: 20 to 90 % of equity in steps; maintenance is 2.5 %.
    let collateral: Vec<(i64, i128)> =
        (2..10).flat_map(|tenth| [(10, tenth * 1_000), (-10, tenth * 1_000)]).collect();
    let mut world = one_market(&collateral);
    let mut index = AtRiskIndex::default();
    assert_eq!(index.find(&world), []);
    for mark in [990, 1_010, 1_100, 900, 1_000] {
        world.read.take();
        world.markets[0].mark_ticks = Some(ticks(mark));
        assert_eq!(index.find(&world), []);
        assert_eq!(world.read.take(), BTreeSet::new(), "at {mark}");
    }
    // A long with 20 % is below 2.5 % at 820 and lower; the next one is far.
    world.markets[0].mark_ticks = Some(ticks(820));
    assert_eq!(accounts_of(index.find(&world)), [id(0)]);
    assert_eq!(world.read.take(), BTreeSet::from([id(0)]));
    // In danger, it is looked at again, and left once it is out of it.
    assert_eq!(accounts_of(index.find(&world)), [id(0)]);
    world.markets[0].mark_ticks = Some(ticks(900));
    assert_eq!(index.find(&world), []);
    assert_eq!(world.read.take(), BTreeSet::from([id(0)]));
    assert_eq!(index.find(&world), []);
    assert_eq!(world.read.take(), BTreeSet::new());
}

#[test]
fn one_positions_bound_is_its_liquidation_price() {
    for held in [10_i64, -10] {
        let mut world = one_market(&[(held, 1_000)]);
        let health =
            crate::health::health_without_orders(&world.accounts[0], world.markets.as_slice())
                .unwrap();
        let price = liquidation_price(&world.markets[0], signed(held), &health).unwrap().unwrap();
        let mut index = AtRiskIndex::default();
        index.find(&world);
        world.read.take();
        // Up to two ticks before it nobody looks; beyond it, the account is found.
        let beyond = |away: i64| price.get().saturating_add_signed(-held.signum() * away);
        for (mark, found) in [(beyond(-2), false), (beyond(1), true)] {
            world.markets[0].mark_ticks = Some(ticks(mark));
            let is_found = !index.find(&world).is_empty();
            let is_read = !world.read.take().is_empty();
            assert_eq!((is_found, is_read), (found, found), "{held} at {mark}, price {price}");
        }
    }
}

#[test]
fn funding_alone_endangers_without_anyone_else_being_read() {
    // 10 lots at 1 000 each: 300 and 3 000 USDC of collateral, of which 250 is maintenance.
    let mut world = one_market(&[(10, 300), (10, 3_000), (-10, 3_000)]);
    let mut index = AtRiskIndex::default();
    assert_eq!(index.find(&world), []);
    world.read.take();
    world.markets[0].funding.cumulative_index += 6 * 1_000_000 * 1_000_000;
    assert_eq!(accounts_of(index.find(&world)), [id(0)]);
    assert_eq!(world.read.take(), BTreeSet::from([id(0)]));
}

#[test]
fn who_places_orders_again_and_again_leaves_nothing_behind() {
    let mut world = one_market(&[(10, 6_000)]);
    let mut index = AtRiskIndex::default();
    for round in 0..20_000_u64 {
        // Nearer every time, so that each round has a bound of its own.
        let order = OpenOrder {
            side: Side::Buy,
            price_ticks: ticks(900),
            lots: lots(1 + round % 50),
            reduce_only: false,
        };
        world.orders[0][0] = vec![order];
        index.touch(id(0));
        assert_eq!(index.find(&world), []);
    }
    assert!(index.memory_bytes() < 200_000, "{} bytes", index.memory_bytes());
}

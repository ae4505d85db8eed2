//! The buckets against a model that keeps every hour, every trade and every order, and counts block
//! by block.

use proptest::prelude::*;
use tidemark_proto::types::Draw;
use tidemark_proto::units::{Atoms, TimeMs};

use super::*;

const BASE: u64 = 100;

const HOUR_MS: u64 = 3_600_000;

/// An order of the model.
#[derive(Clone, Copy, Debug)]
struct Order {
    height: u64,
    /// Its draw has come back, or never will.
    is_settled: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Draw {
        orders: u64,
        cancels: u64,
    },
    Place(u32),
    /// The order at a place ends, or trades for the first time.
    End(usize),
    Trade(usize, u64),
    GiveBack(u64),
    Deposit(i64),
    /// Blocks, and the time between two.
    Wait {
        blocks: u64,
        ms: u64,
    },
}

/// Everything that ever happened.
#[derive(Clone, Default)]
struct Model {
    orders_parts: u64,
    cancels_parts: u64,
    /// The block up to which the buckets are filled.
    height: u64,
    /// Net deposits from a time on.
    deposits: Vec<(u64, i64)>,
    trades: Vec<(u64, u64)>,
    orders: Vec<Order>,
}

impl Model {
    /// The least net deposit, looked up in every hour of the window.
    fn least(&self, now_ms: u64) -> i64 {
        let now = now_ms / HOUR_MS;
        let held = |hour: u64| {
            let (from, to) = (hour * HOUR_MS, (hour + 1) * HOUR_MS);
            let before = self.deposits.iter().rev().find(|(at, _)| *at < from);
            let within = self.deposits.iter().filter(|(at, _)| (from..to).contains(at));
            let before = before.map_or(0, |(_, net)| *net);
            within.map(|(_, net)| *net).fold(before, i64::min)
        };
        (now.saturating_sub(24)..=now).map(held).min().unwrap()
    }

    fn size(&self, now_ms: u64) -> u64 {
        let usdc = self.least(now_ms).clamp(0, 10_000_000_000) as u64 / 1_000_000;
        let today = now_ms / (24 * HOUR_MS);
        let counts = |at: &u64| at / (24 * HOUR_MS) + 30 >= today;
        let traded: u64 = self.trades.iter().filter(|(at, _)| counts(at)).map(|of| of.1).sum();
        BASE + 10 * usdc + traded / 1_000_000
    }

    /// With the buckets filled block by block, up to the admission of one: by their size there,
    /// however long nobody has looked.
    fn filled(&self, height: u64, now_ms: u64) -> Self {
        let (mut filled, most) = (self.clone(), self.size(now_ms) * 10_000);
        while filled.height < height {
            filled.height += 1;
            let mut back = 0;
            for order in &mut filled.orders {
                if !order.is_settled && order.height + 20 < filled.height {
                    order.is_settled = true;
                    back += 10_000;
                }
            }
            filled.orders_parts = (filled.orders_parts + most / 10_000 + back).min(most);
            filled.cancels_parts = (filled.cancels_parts + most / 10_000).min(most);
        }
        filled.orders_parts = filled.orders_parts.min(most);
        filled.cancels_parts = filled.cancels_parts.min(most);
        filled
    }
}

fn step() -> impl Strategy<Value = Step> {
    let wait = |blocks: std::ops::Range<u64>, ms: std::ops::Range<u64>| {
        (blocks, ms).prop_map(|(blocks, ms)| Step::Wait { blocks, ms })
    };
    prop_oneof![
        3 => (0_u64..40, 0_u64..40).prop_map(|(orders, cancels)| Step::Draw { orders, cancels }),
        3 => (1_u32..5).prop_map(Step::Place),
        2 => (0_usize..64).prop_map(Step::End),
        2 => (0_usize..64, 0_u64..3_000_000).prop_map(|(at, atoms)| Step::Trade(at, atoms)),
        1 => (0_u64..3).prop_map(Step::GiveBack),
        2 => (-30_000_000_i64..30_000_000).prop_map(Step::Deposit),
        4 => wait(1..4, 100..2_000),
        2 => wait(1..40, 100..2_000),
        1 => wait(1..3, HOUR_MS..40 * HOUR_MS),
    ]
}

proptest! {
    #[test]
    fn rules_10_buckets_hold_what_a_count_block_by_block_says(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (mut height, mut now_ms) = (7, 1_700_000_000_000_u64);
        let mut row = Allowance::new(height, BASE);
        let mut model = Model {
            orders_parts: BASE * 10_000,
            cancels_parts: BASE * 10_000,
            height,
            ..Model::default()
        };
        for step in steps {
            let time_ms = TimeMs::new(now_ms);
            let at = Moment { height, time_ms, volume_ms: time_ms, base: BASE };
            match step {
                Step::Draw { orders, cancels } => {
                    let draw = Draw { orders, cancels };
                    let is_there = row.left(&at).covers(draw, Draw::default()).is_ok();
                    let seen = model.filled(height, now_ms);
                    let left = (seen.orders_parts / 10_000, seen.cancels_parts / 10_000);
                    prop_assert_eq!(is_there, orders <= left.0 && cancels <= left.1);
                    if is_there {
                        row.draw(&at, draw);
                        model = seen;
                        model.orders_parts -= orders * 10_000;
                        model.cancels_parts -= cancels * 10_000;
                    }
                }
                Step::Place(placed) => {
                    model = model.filled(height, now_ms);
                    // A block settles once.
                    row.settle(&at, &Tally { placed, ..Tally::default() });
                    let order = Order { height, is_settled: false };
                    model.orders.extend(vec![order; placed as usize]);
                    (height, now_ms) = (height + 1, now_ms + 500);
                }
                Step::End(of) => {
                    let mut seen = model.filled(height, now_ms);
                    let open = |order: &&mut Order| !order.is_settled;
                    if let Some(order) = seen.orders.iter_mut().filter(open).nth(of) {
                        order.is_settled = true;
                        let gone = vec![(order.height, 1)];
                        row.settle(&at, &Tally { gone, ..Tally::default() });
                        model = seen;
                    }
                }
                Step::Trade(of, atoms) => {
                    model = model.filled(height, now_ms);
                    let before = model.size(now_ms);
                    model.trades.push((now_ms, atoms));
                    let size = model.size(now_ms);
                    let open = |order: &&mut Order| !order.is_settled;
                    let order = model.orders.iter_mut().filter(open).nth(of);
                    let traded_atoms = Atoms::from_u64(atoms);
                    let mut tally = Tally { traded_atoms, ..Tally::default() };
                    let mut back = size - before;
                    if let Some(order) = order {
                        order.is_settled = true;
                        tally.note_gone(order.height);
                        tally.back.orders = 1;
                        back += 1;
                    }
                    row.settle(&at, &tally);
                    let grown = (size - before) * 10_000;
                    model.orders_parts = (model.orders_parts + back * 10_000).min(size * 10_000);
                    model.cancels_parts = (model.cancels_parts + grown).min(size * 10_000);
                }
                Step::GiveBack(cancels) => {
                    let back = Draw { orders: 0, cancels };
                    model = model.filled(height, now_ms);
                    row.settle(&at, &Tally { back, ..Tally::default() });
                    let most = model.size(now_ms) * 10_000;
                    model.cancels_parts = (model.cancels_parts + cancels * 10_000).min(most);
                }
                Step::Deposit(atoms) => {
                    let before = row.left(&at);
                    row.deposit(&at, Atoms::new(atoms.into()));
                    let net = model.deposits.last().map_or(0, |(_, net)| *net) + atoms;
                    model = model.filled(height, now_ms);
                    model.deposits.push((now_ms, net));
                    let after = row.left(&at);
                    prop_assert!(after.draws().orders <= before.draws().orders, "money gives none");
                    prop_assert!(after.draws().cancels <= before.draws().cancels);
                }
                Step::Wait { blocks, ms } => {
                    (height, now_ms) = (height + blocks, now_ms + blocks * ms);
                }
            }
            let time_ms = TimeMs::new(now_ms);
            let at = Moment { height, time_ms, volume_ms: time_ms, base: BASE };
            let seen = model.filled(height, now_ms);
            let left = row.left(&at);
            prop_assert_eq!(left.size, seen.size(now_ms));
            let parts = (seen.orders_parts, seen.cancels_parts);
            prop_assert_eq!((left.orders_parts, left.cancels_parts), parts);
        }
    }

    /// Two owners move the same money to and fro.
    #[test]
    fn rules_10_moving_equity_between_two_owners_creates_no_allowance(
        moves in prop::collection::vec((any::<bool>(), 0_i64..20_000, 0_u64..30), 1..60),
    ) {
        let usdc = 1_000_000;
        let whole = 20_000 * usdc;
        let mut now_ms = 1_700_000_000_000_u64;
        let mut owners = [Allowance::new(0, BASE), Allowance::new(0, BASE)];
        let mut held = [whole, 0];
        let moment = |height, now_ms| {
            let time_ms = TimeMs::new(now_ms);
            Moment { height, time_ms, volume_ms: time_ms, base: BASE }
        };
        owners[0].deposit(&moment(0, now_ms), Atoms::new(whole.into()));
        for (height, (from_first, amount, hours)) in (1..).zip(moves) {
            let (from, to) = if from_first { (0, 1) } else { (1, 0) };
            let amount = (amount * usdc).min(held[from]);
            let at = moment(height, now_ms);
            owners[from].deposit(&at, Atoms::new((-amount).into()));
            owners[to].deposit(&at, Atoms::new(amount.into()));
            (held[from], held[to]) = (held[from] - amount, held[to] + amount);
            now_ms += hours * HOUR_MS;
            let at = moment(height + 1, now_ms);
            let sizes = owners[0].size(&at) + owners[1].size(&at);
            prop_assert!(sizes <= 2 * BASE + 10 * 20_000, "{sizes}");
        }
    }
}

#[test]
fn rules_10_an_empty_bucket_is_full_after_ten_thousand_blocks_and_not_before() {
    for base in [1, 7, 1_000, 12_345] {
        let mut row = Allowance::new(0, base);
        let at = |height| {
            let time_ms = TimeMs::new(1_700_000_000_000);
            Moment { height, time_ms, volume_ms: time_ms, base }
        };
        row.draw(&at(1), Draw { orders: base, cancels: 0 });
        for height in 2..10_001 {
            // Written in each block, so that nothing may be lost by rounding.
            row.draw(&at(height), Draw::default());
            assert!(row.left(&at(height)).draws().orders < base);
        }
        assert_eq!(row.left(&at(10_001)).draws(), Draw { orders: base, cancels: base });
        assert_eq!(row.left(&at(10_000)).blocks_until_full(), Draw { orders: 1, cancels: 0 });
    }
}

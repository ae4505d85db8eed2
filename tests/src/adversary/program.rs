//! Programs of an adversary: steps, their random making, their change and their words.

use std::fmt;

use tidemark_proto::units::Side;

use crate::sim::rng::Rng;

/// Accounts with capital, each an owner of its own, since an account never trades with itself.
pub const ACTORS: u64 = 4;

/// Most steps of a program.
const MOST_STEPS: usize = 12;

/// A price by its distance from the index, or from the mark, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// From the mark, not from the index.
    pub from_mark: bool,
    /// The distance.
    pub bps: i32,
}

/// One thing that an account does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Rests an order on each side.
    Paint {
        /// Of the bid.
        bid: Price,
        /// Of the ask.
        ask: Price,
        /// Percent of what the account can afford on each side; 0 is one lot.
        percent: u8,
    },
    /// Rests an order.
    Rest {
        /// Which way.
        side: Side,
        /// Where.
        price: Price,
        /// Percent of what the account can afford.
        percent: u8,
        /// May only reduce.
        reduce_only: bool,
    },
    /// Takes what is there.
    Take {
        /// Which way.
        side: Side,
        /// As far as this.
        price: Price,
        /// Percent of what the account can afford.
        percent: u8,
    },
    /// Trades with another of the owner's accounts.
    Pair {
        /// The account on the other side.
        with: u8,
        /// Side of the first.
        side: Side,
        /// Where.
        price: Price,
        /// Percent of what the account can afford.
        percent: u8,
    },
    /// Closes the position at market.
    Close,
    /// Cancels everything.
    CancelAll,
    /// Puts stops of one lot into many small accounts, 200 each.
    Stops {
        /// Which way.
        side: Side,
        /// The trigger.
        price: Price,
    },
    /// Puts sells of one lot far from the market into many small accounts; each expires with the
    /// next block.
    Expiring,
    /// Registers keepers.
    Keepers {
        /// Amount that each sets aside.
        atoms: u64,
    },
    /// Takes collateral out.
    Withdraw {
        /// Percent of the collateral.
        percent: u8,
    },
    /// Asks for the largest listed position.
    TakeOver,
    /// Trades in isolated mode from now on.
    Isolate,
    /// Rests an order with exits on both sides of its price.
    Bracket {
        /// Which way.
        side: Side,
        /// Where.
        price: Price,
        /// Percent of what the account can afford.
        percent: u8,
        /// How far the exits are, in hundredths of a percent.
        bps: u16,
    },
    /// Closes the position once the mark goes so far against it from its best.
    Trail {
        /// Hundredths of a percent.
        bps: u16,
    },
}

/// One step: after some blocks, an account acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Blocks since the step before; 0 is the same block.
    pub wait: u8,
    /// The account.
    pub who: u8,
    /// Its action.
    pub action: Action,
}

/// The steps of an adversary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Step>);

const DISTANCES: [i32; 21] = [
    -2_000, -1_500, -1_000, -960, -500, -480, -300, -150, -100, -50, -10, 10, 50, 100, 150, 300,
    480, 500, 960, 1_500, 2_000,
];
const PERCENT: [u8; 6] = [0, 1, 10, 50, 90, 98];
const WAITS: [u8; 10] = [0, 1, 1, 1, 1, 2, 3, 10, 40, 90];

fn price(rng: &mut Rng) -> Price {
    let bps = if rng.chance(25) { 0 } else { *rng.pick(&DISTANCES) };
    Price { from_mark: rng.chance(30), bps }
}

fn side(rng: &mut Rng) -> Side {
    if rng.chance(50) {
        Side::Buy
    } else {
        Side::Sell
    }
}

fn action(rng: &mut Rng) -> Action {
    match rng.within(0, 99) {
        0..=19 => {
            let (bid, ask) = (price(rng), price(rng));
            // A bid above the ask is no painting.
            let (bid, ask) = if bid.bps <= ask.bps { (bid, ask) } else { (ask, bid) };
            let ask = if bid.bps == ask.bps { Price { bps: ask.bps + 1, ..ask } } else { ask };
            Action::Paint { bid, ask, percent: *rng.pick(&[0, 0, 0, 10]) }
        }
        20..=36 => Action::Rest {
            side: side(rng),
            price: price(rng),
            percent: *rng.pick(&PERCENT),
            reduce_only: rng.chance(15),
        },
        37..=44 => {
            Action::Take { side: side(rng), price: price(rng), percent: *rng.pick(&PERCENT) }
        }
        45..=66 => Action::Pair {
            with: rng.within(0, ACTORS - 1) as u8,
            side: side(rng),
            price: price(rng),
            percent: *rng.pick(&PERCENT),
        },
        67..=72 => Action::Close,
        73..=80 => Action::CancelAll,
        81..=84 => Action::Stops { side: side(rng), price: price(rng) },
        85 | 86 => Action::Expiring,
        87..=89 => Action::Keepers { atoms: *rng.pick(&[1, 1_000_000, 1_000_000_000]) },
        90..=94 => Action::Withdraw { percent: *rng.pick(&[10, 50, 100]) },
        95..=97 => Action::TakeOver,
        98 => Action::Isolate,
        _ if rng.chance(50) => Action::Trail { bps: *rng.pick(&[1, 10, 50, 300]) },
        _ => Action::Bracket {
            side: side(rng),
            price: price(rng),
            percent: *rng.pick(&PERCENT),
            bps: *rng.pick(&[1, 10, 50, 300]),
        },
    }
}

fn step(rng: &mut Rng) -> Step {
    Step { wait: *rng.pick(&WAITS), who: rng.within(0, ACTORS - 1) as u8, action: action(rng) }
}

impl Program {
    /// A random program.
    pub fn random(rng: &mut Rng) -> Self {
        let steps = rng.within(2, 7);
        Self((0..steps).map(|_| step(rng)).collect())
    }

    /// The program with a change: a step more, less, moved or another one.
    #[must_use]
    pub fn changed(&self, rng: &mut Rng) -> Self {
        let mut steps = self.0.clone();
        for _ in 0..rng.within(1, 2) {
            let at = rng.within(0, steps.len().saturating_sub(1) as u64) as usize;
            match rng.within(0, 9) {
                0..=2 if steps.len() < MOST_STEPS => steps.insert(at, step(rng)),
                3 if steps.len() > 1 => drop(steps.remove(at)),
                4 if steps.len() > 1 => {
                    let to = rng.within(0, steps.len() as u64 - 1) as usize;
                    steps.swap(at, to);
                }
                5 => steps[at].wait = *rng.pick(&WAITS),
                6 => steps[at].who = rng.within(0, ACTORS - 1) as u8,
                7 | 8 => steps[at].action = tuned(steps[at].action, rng),
                _ => steps[at] = step(rng),
            }
        }
        Self(steps)
    }

    /// The program without one of its steps; the next one waits for both.
    #[must_use]
    pub fn without(&self, at: usize) -> Self {
        let mut steps = self.0.clone();
        let gone = steps.remove(at);
        if let Some(next) = steps.get_mut(at) {
            next.wait = next.wait.saturating_add(gone.wait);
        }
        Self(steps)
    }
}

/// An action with other numbers.
fn tuned(action: Action, rng: &mut Rng) -> Action {
    let near = |rng: &mut Rng, of: Price| match rng.within(0, 3) {
        0 => price(rng),
        1 => Price { from_mark: !of.from_mark, ..of },
        _ => Price { bps: of.bps + rng.around(60) as i32, ..of },
    };
    match action {
        Action::Paint { bid, ask, percent } => {
            let (bid, ask) =
                if rng.chance(50) { (near(rng, bid), ask) } else { (bid, near(rng, ask)) };
            Action::Paint { bid, ask, percent }
        }
        Action::Rest { side, price, percent, reduce_only } => match rng.within(0, 2) {
            0 => Action::Rest { side: side.opposite(), price, percent, reduce_only },
            1 => Action::Rest { side, price: near(rng, price), percent, reduce_only },
            _ => Action::Rest { side, price, percent: *rng.pick(&PERCENT), reduce_only },
        },
        Action::Take { side, price, percent } => match rng.within(0, 2) {
            0 => Action::Take { side: side.opposite(), price, percent },
            1 => Action::Take { side, price: near(rng, price), percent },
            _ => Action::Take { side, price, percent: *rng.pick(&PERCENT) },
        },
        Action::Pair { with, side, price, percent } => match rng.within(0, 3) {
            0 => Action::Pair { with: rng.within(0, ACTORS - 1) as u8, side, price, percent },
            1 => Action::Pair { with, side: side.opposite(), price, percent },
            2 => Action::Pair { with, side, price: near(rng, price), percent },
            _ => Action::Pair { with, side, price, percent: *rng.pick(&PERCENT) },
        },
        Action::Stops { side, price } => Action::Stops { side, price: near(rng, price) },
        _ => self::action(rng),
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.from_mark { "mark" } else { "index" };
        write!(f, "{from} {:+}.{:02} %", self.bps / 100, (self.bps % 100).abs())
    }
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Buy => "buys",
        Side::Sell => "sells",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paint { bid, ask, percent: 0 } => {
                write!(f, "bids one lot at {bid}, asks one lot at {ask}")
            }
            Self::Paint { bid, ask, percent } => {
                write!(f, "bids at {bid} and asks at {ask} with {percent} % of its margin each")
            }
            Self::Rest { side, price, percent, reduce_only } => {
                let only = if *reduce_only { ", reduce-only" } else { "" };
                write!(
                    f,
                    "{} at {price}, resting, with {percent} % of its margin{only}",
                    word(*side)
                )
            }
            Self::Take { side, price, percent } => {
                write!(f, "{} up to {price} at once with {percent} % of its margin", word(*side))
            }
            Self::Pair { with, side, price, percent } => {
                write!(
                    f,
                    "{} from or to {with} at {price} with {percent} % of its margin",
                    word(*side)
                )
            }
            Self::Close => write!(f, "closes at market"),
            Self::CancelAll => write!(f, "cancels all"),
            Self::Stops { side, price } => {
                write!(f, "12 800 stops that {} one lot wait at {price}", word(*side))
            }
            Self::Expiring => write!(f, "12 800 orders expire with the next block"),
            Self::Keepers { atoms } => write!(f, "64 keepers set {atoms} atoms aside each"),
            Self::Withdraw { percent } => write!(f, "withdraws {percent} %"),
            Self::TakeOver => write!(f, "takes over the first listed position"),
            Self::Isolate => write!(f, "changes to isolated mode"),
            Self::Bracket { side, price, percent, bps } => {
                write!(
                    f,
                    "{} at {price}, resting, with {percent} % of its margin, exits {bps} bp away",
                    word(*side)
                )
            }
            Self::Trail { bps } => write!(f, "trails its position by {bps} bp"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            writeln!(f, "  +{:<3} account {} {}", step.wait, step.who, step.action)?;
        }
        Ok(())
    }
}

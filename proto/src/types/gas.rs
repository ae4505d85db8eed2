//! Gas: the bound on what a transaction may cause (rules §10.4). A transaction declares how much it
//! may use; blocks are filled by what is declared. One gas is meant to stand for at most 5 ns of
//! execution; the fuzz part `work` searches for what takes longer.

use super::message::Message;
use super::operation::Operation;
use super::order::{OrderType, PegTo, Place, PostOnly, TimeInForce, MAX_REDUCE_ONLY_ORDERS};
use super::scale::Scale;

/// Any transaction: its signature, its sequence, and the first sum of its account's open orders in
/// the block.
pub const TX: u64 = 20_000;

/// A listing, or new parameters of a market.
pub const ADMINISTRATION: u64 = 200_000;

/// An agent that is authorised or revoked: its row, with the nonces that it has used.
pub const AGENT: u64 = 5_000;

/// An order that may take, with its check of margin over [`ROWS_INCLUDED`] positions.
pub const PLACE: u64 = 400;

/// An order that cannot take.
pub const POST: u64 = 300;

/// A trigger, and the end of the order that waits for it, also where the order ends with its
/// position.
pub const WAIT: u64 = 400;

/// A trailing stop: its part of what a better mark moves.
pub const TRAIL: u64 = 400;

/// A bracket's exit: its look for a place beside others, its beginning, and the lots of fills.
pub const FOLLOWS: u64 = 800;

/// A pegged order, which moves in block after block.
pub const PEGGED: u64 = 4_000;

/// A reduce-only order that shrinks or leaves with its owner's position.
pub const RESIZE: u64 = 50;

/// A reduce-only order that may rest: it comes in where others of its account and side may have to
/// shrink, and shrinks and leaves as they do.
pub const REDUCE_ONLY: u64 = RESIZE * MAX_REDUCE_ONLY_ORDERS as u64;

/// A cancel, where it acts first.
pub const CANCEL: u64 = 100;

/// A further try of a cancel, behind its account's earlier operations of a class (rules §8.9). A
/// cancel has paid for both before it begins, so that none is without.
pub const TRY: u64 = 50;

/// A cancel-all with its further tries, or the dead man's switch.
pub const CANCEL_ALL: u64 = 500;

/// One maker that is looked at, met or not: with its level, the trade, and the events.
pub const VISIT: u64 = 350;

/// One order that is looked at for its price or for margin.
pub const LOOK: u64 = 20;

/// One order of a cancel-all, or one that a batch of all or none names.
pub const NAMED: u64 = 80;

/// The search for the lots of a refused order that collateral would cover.
pub const SEARCH: u64 = 800;

/// One position of an account that is looked at.
pub const ROW: u64 = 20;

/// One account of isolated collateral that is looked at.
pub const ACCOUNT: u64 = 100;

/// Positions that an operation may look at without more gas.
pub const ROWS_INCLUDED: u64 = 8;

/// Open orders that an operation may add up without more gas.
pub const ORDERS_INCLUDED: u64 = 400;

/// Open orders that a transaction may add up before its operations without more gas.
pub const TX_ORDERS_INCLUDED: u64 = 2_000;

/// Makers that a client declares for each order that may take, unless it says more.
const USUAL_VISITS: u64 = 20;

/// Positions that a client declares for each operation with a check of margin.
const USUAL_ROWS: u64 = 50;

/// Orders that a client declares for a cancel-all.
const USUAL_CANCELS: u64 = 300;

/// Gas that a client declares for a setting or a transfer, which check margin.
const USUAL_SETTING: u64 = 10_000;

/// Most orders that a pegged order's price looks at.
pub const PEG_LOOKS: usize = 1_000;

fn static_place(order: &Place) -> u64 {
    let placed = if order.post_only == PostOnly::Off { PLACE } else { POST };
    let waits = order.trigger.map_or(0, |trigger| WAIT + trigger.trail.map_or(0, |_| TRAIL));
    let rests = order.time_in_force.rests() && order.order_type == OrderType::Limit;
    let reduces = if order.reduce_only && rests { REDUCE_ONLY } else { 0 };
    placed + waits + reduces + if order.peg.is_some() { PEGGED } else { 0 }
}

fn static_rung(scale: &Scale) -> u64 {
    let placed = if scale.post_only == PostOnly::Off { PLACE } else { POST };
    let rests = scale.time_in_force.rests();
    placed + if scale.reduce_only && rests { REDUCE_ONLY } else { 0 }
}

/// Gas for what an order usually visits when it is placed.
fn usual_place(order: &Place) -> u64 {
    if order.trigger.is_some() {
        return usual_wait(order.reduce_only);
    }
    let walks = if order.time_in_force == TimeInForce::Fok { 2 } else { 1 };
    let takes = if order.post_only == PostOnly::Off { walks * USUAL_VISITS * VISIT } else { 0 };
    let looks = match order.peg {
        Some(peg) if peg.to == PegTo::Best => PEG_LOOKS as u64 * LOOK,
        _ => 0,
    };
    takes + looks + USUAL_ROWS * ROW
}

/// Gas for what an order usually visits that waits: margin, for its trigger reserve.
const fn usual_wait(reduce_only: bool) -> u64 {
    if reduce_only {
        0
    } else {
        USUAL_ROWS * ROW
    }
}

impl Operation {
    /// Gas by the operation's kind alone: all that it costs before it visits anything.
    #[must_use]
    pub fn static_gas(&self) -> u64 {
        match self {
            Self::Cancel { .. } => CANCEL + 2 * TRY,
            Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => CANCEL_ALL,
            Self::Place(order) => static_place(order),
            Self::Replace { .. } => PLACE,
            Self::Twap(twap) => WAIT + PLACE * u64::from(twap.slices),
            Self::Scale(scale) => u64::from(scale.count) * static_rung(scale),
            Self::Oco(pair) => static_place(&pair.0) + static_place(&pair.1),
            Self::Bracket(bracket) => {
                let exits = bracket.exits().map(|exit| static_place(exit) + FOLLOWS);
                static_place(&bracket.entry) + exits.sum::<u64>()
            }
        }
    }

    /// Gas beyond the static for what the operation usually visits.
    fn usual_visits(&self) -> u64 {
        match self {
            Self::Cancel { .. } => 0,
            Self::Twap(twap) => usual_wait(twap.reduce_only),
            Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => {
                USUAL_CANCELS * NAMED + USUAL_ROWS * ROW
            }
            Self::Place(order) => usual_place(order),
            Self::Replace { .. } => USUAL_VISITS * VISIT + USUAL_ROWS * ROW,
            Self::Scale(scale) => {
                let takes = if scale.post_only == PostOnly::Off { USUAL_VISITS * VISIT } else { 0 };
                u64::from(scale.count) * (takes + USUAL_ROWS * ROW)
            }
            Self::Oco(pair) => usual_place(&pair.0) + usual_place(&pair.1),
            Self::Bracket(bracket) => usual_place(&bracket.entry),
        }
    }
}

impl Message {
    /// Gas by the message's kind alone; a transaction that declares less is refused.
    #[must_use]
    pub fn static_gas(&self) -> u64 {
        match self {
            Self::Orders { operations, .. } => {
                TX + operations.iter().map(Operation::static_gas).sum::<u64>()
            }
            Self::ListMarket(_) | Self::UpdateMarket(_) => TX + ADMINISTRATION,
            Self::AuthorizeAgent(_) | Self::RevokeAgent { .. } => TX + AGENT,
            _ => TX,
        }
    }

    /// Gas that a client declares where nobody says how much: the static part, and what each
    /// operation usually visits: 20 makers for each order that may take, and accounts of up to 50
    /// positions.
    #[must_use]
    pub fn usual_gas(&self) -> u64 {
        self.static_gas().saturating_add(self.usual_visits())
    }

    fn usual_visits(&self) -> u64 {
        match self {
            Self::Orders { operations, all_or_none, .. } => {
                let each: u64 = operations.iter().map(Operation::usual_visits).sum();
                // A batch of all or none looks at everything before it begins.
                if *all_or_none {
                    2 * (each + NAMED * operations.len() as u64)
                } else {
                    each
                }
            }
            Self::ListMarket(_)
            | Self::UpdateMarket(_)
            | Self::AuthorizeAgent(_)
            | Self::RevokeAgent { .. } => 0,
            _ => USUAL_SETTING,
        }
    }
}

/// Divides gas beyond the static among operations, in proportion to what each usually visits: by
/// the transaction alone, so that no operation's part depends on another's outcome.
#[must_use]
pub fn shares(operations: &[Operation], beyond: u64) -> Vec<u64> {
    let weight = |operation: &Operation| operation.usual_visits().max(1);
    let all = operations.iter().fold(0_u64, |sum, operation| sum.saturating_add(weight(operation)));
    let share = |operation: &Operation| {
        let weight = weight(operation);
        match beyond.checked_mul(weight) {
            Some(product) => product / all.max(1),
            // A part of 64 bits fits 64 bits.
            None => {
                let part = u128::from(beyond) * u128::from(weight) / u128::from(all.max(1));
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    };
    operations.iter().map(share).collect()
}

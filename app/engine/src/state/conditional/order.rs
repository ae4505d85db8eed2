//! One conditional order: its condition, and what depends on it.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_matching::TriggerDirection;
use tidemark_proto::types::{Peg, Place, Trail, Trigger, TriggerKind};
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, OwnerId, Side, Ticks, TimeMs};

use super::slicing::Slicing;

/// The condition of an order, or the dependence of another order on it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Kind {
    /// It waits for the mark; its `trigger` is given.
    Trigger(Place),
    /// The mark has reached it, and it waits for its turn.
    Reached(Reached),
    /// It waits for its next slice.
    Slicing(Slicing),
    /// It has triggered, and waits for the next block to close what was left.
    Retrying(Retrying),
    /// It rests on the book; an order that waits goes with it.
    Resting,
    /// An exit that waits for its entry to fill; `lots` have filled, which it will close.
    Dormant(Place),
    /// It rests on the book, and its price follows another.
    Pegged(Pegged),
}

/// An order that the mark has reached, and its place among those (rules §2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reached {
    /// The order as it waited.
    pub place: Place,
    /// The owner whose turns it shares.
    pub owner: OwnerId,
    /// Higher ones come first: 0 could increase; others reduce, by notional.
    pub class: u8,
    /// Owners' orders of a class come in rounds.
    pub round: u64,
}

/// Blocks after its trigger in which what is left of a closing order is tried again.
pub const RETRIES: u32 = 10;

/// A triggered order that closes, and what it has left (rules §2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Retrying {
    /// The order as it waited, with the lots that are left; 0 with `whole_position`.
    pub place: Place,
    /// Blocks in which it is still tried.
    pub tries_left: u32,
}

/// The reference of a pegged order, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pegged {
    /// The reference and the distance from it.
    pub peg: Peg,
    /// The price beyond which it does not go.
    pub limit_ticks: Option<Ticks>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Conditional {
    /// Its id, of the same sequence as the book's.
    pub order_id: OrderId,
    /// The account that owns it.
    pub account: AccountId,
    /// The order that goes with it; 0 is none.
    pub partner: OrderId,
    /// The order on the book whose fills it closes; 0 is none.
    pub entry: OrderId,
    /// Its condition.
    pub kind: Kind,
}

impl Conditional {
    /// The order that it would place, of one that waits for a mark or has triggered.
    #[must_use]
    pub const fn place(&self) -> Option<&Place> {
        match &self.kind {
            Kind::Trigger(place)
            | Kind::Dormant(place)
            | Kind::Reached(Reached { place, .. })
            | Kind::Retrying(Retrying { place, .. }) => Some(place),
            Kind::Slicing(_) | Kind::Resting | Kind::Pegged(_) => None,
        }
    }

    /// The client's id; 0 is none, or of a resting order: the book knows its.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        match &self.kind {
            Kind::Slicing(slicing) => slicing.twap.client_id,
            _ => self.place().map_or(ClientId::NONE, |place| place.client_id),
        }
    }

    /// Its side; `None` for a resting order: the book knows its.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match &self.kind {
            Kind::Slicing(slicing) => Some(slicing.twap.side),
            _ => self.place().map(|place| place.side),
        }
    }

    /// Lots that are still to be placed; 0 for the whole position, and for a resting order.
    #[must_use]
    pub fn lots(&self) -> Lots {
        match &self.kind {
            Kind::Slicing(slicing) => slicing.twap.lots.saturating_sub(slicing.filled_lots),
            _ => self.place().map_or(Lots::ZERO, |place| place.lots),
        }
    }

    /// Returns true if the order is off the book.
    #[must_use]
    pub const fn waits(&self) -> bool {
        !matches!(self.kind, Kind::Resting | Kind::Pegged(_))
    }

    /// Returns true if the order waits to reduce a position: it goes with the position.
    #[must_use]
    pub fn is_exit(&self) -> bool {
        self.only_reduces() && !self.is_dormant()
    }

    /// Returns true if the order waits for its entry to fill.
    #[must_use]
    pub const fn is_dormant(&self) -> bool {
        matches!(self.kind, Kind::Dormant(_))
    }

    /// Returns true if the order waits for its entry no more: lots have filled, and it is to wait
    /// for its trigger.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        matches!(&self.kind, Kind::Dormant(place) if !place.lots.is_zero())
    }

    /// Returns true if the order waits and only reduces.
    #[must_use]
    pub fn only_reduces(&self) -> bool {
        match &self.kind {
            Kind::Slicing(slicing) => slicing.twap.reduce_only,
            _ => self.place().is_some_and(|place| place.reduce_only),
        }
    }

    /// Returns true if the order waits and could increase exposure: it has a trigger reserve.
    #[must_use]
    pub fn increases(&self) -> bool {
        self.waits() && !self.only_reduces()
    }

    /// Its trigger price, while it waits for the mark to reach that.
    pub(super) fn trigger(&self) -> Option<(TriggerDirection, Ticks)> {
        let (direction, trigger) = self.waits_for()?;
        trigger.trail.is_none().then_some((direction, trigger.price_ticks))
    }

    /// Its distance from the best mark, while its trigger follows that.
    pub(super) fn trail(&self) -> Option<(TriggerDirection, Trail)> {
        let (direction, trigger) = self.waits_for()?;
        trigger.trail.map(|trail| (direction, trail))
    }

    fn waits_for(&self) -> Option<(TriggerDirection, Trigger)> {
        match &self.kind {
            Kind::Trigger(order) => {
                order.trigger.map(|trigger| (reach(order.side, trigger), trigger))
            }
            _ => None,
        }
    }

    pub(super) fn expires_ms(&self) -> Option<TimeMs> {
        match &self.kind {
            Kind::Trigger(order)
            | Kind::Dormant(order)
            | Kind::Reached(Reached { place: order, .. }) => order.expires_ms(),
            _ => None,
        }
    }

    pub(super) const fn next_ms(&self) -> Option<TimeMs> {
        match &self.kind {
            Kind::Slicing(slicing) => Some(slicing.next_ms),
            _ => None,
        }
    }

    /// Returns true if the order closes the whole position.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.place().is_some_and(|place| place.whole_position)
    }
}

/// How the mark reaches a trigger.
#[must_use]
pub const fn reach(side: Side, trigger: Trigger) -> TriggerDirection {
    match (trigger.kind, side) {
        (TriggerKind::Stop, Side::Sell) | (TriggerKind::TakeProfit, Side::Buy) => {
            TriggerDirection::Falling
        }
        (TriggerKind::Stop, Side::Buy) | (TriggerKind::TakeProfit, Side::Sell) => {
            TriggerDirection::Rising
        }
    }
}

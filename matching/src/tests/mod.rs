//! Tests of the book against its rules, a reference model, and its own structure. The feature
//! `model` compiles the parts that the fuzz target needs.

pub mod bytes;
#[cfg(test)]
mod icebergs;
mod invariants;
mod model;
mod pair;
#[cfg(test)]
mod properties;
mod roots;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod small_scope;

use std::collections::BTreeMap;

use tidemark_proto::units::{AccountId, Lots, Side};
#[cfg(test)]
use tidemark_proto::units::{ClientId, SelfTradePrevention, Ticks};

use crate::{Event, Host};
#[cfg(test)]
use crate::{NewOrder, PostOnly, TimeInForce};

/// Positions that follow fills, and all events.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestHost {
    pub(crate) positions: BTreeMap<AccountId, i128>,
    pub(crate) events: Vec<Event>,
}

impl Host for TestHost {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        let position = self.positions.get(&owner).copied().unwrap_or(0);
        let reducible = if side == Side::Sell { position } else { -position };
        u64::try_from(reducible.max(0)).map_or(Lots::MAX, Lots::new)
    }

    fn event(&mut self, event: Event) {
        if let Event::Fill { maker, taker, taker_side, lots, .. } = event {
            let bought = lots.wide() * if taker_side == Side::Buy { 1 } else { -1 };
            *self.positions.entry(taker).or_default() += bought;
            *self.positions.entry(maker).or_default() -= bought;
        }
        self.events.push(event);
    }
}

/// A plain good-till-cancelled order.
#[cfg(test)]
pub(crate) fn gtc(owner: u32, side: Side, price_ticks: u64, lots: u64) -> NewOrder {
    NewOrder {
        owner: AccountId::new(owner),
        client_id: ClientId::NONE,
        side,
        price_ticks: Ticks::new(price_ticks),
        lots: Lots::new(lots),
        display_lots: Lots::ZERO,
        time_in_force: TimeInForce::Gtc,
        post_only: PostOnly::Off,
        reduce_only: false,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: 500,
    }
}

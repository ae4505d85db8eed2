//! Tests of the book against its rules, a reference model, and its own structure. The feature
//! `model` compiles the parts that the fuzz target needs.

pub mod bytes;
#[cfg(test)]
mod icebergs;
mod invariants;
mod model;
mod model_taker;
#[cfg(test)]
mod order_tree;
mod pair;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reductions;
mod roots;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod small_scope;
#[cfg(test)]
mod visits;
#[cfg(test)]
mod walks;

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::{AccountId, Lots, Side, TimeMs};
#[cfg(test)]
use tidemark_proto::units::{ClientId, SelfTradePrevention, Ticks};
use tidemark_proto::Code;

use crate::{Event, Host};
#[cfg(test)]
use crate::{NewOrder, PostOnly, TimeInForce};

/// Positions that follow fills, and all events.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestHost {
    pub(crate) positions: BTreeMap<AccountId, i128>,
    pub(crate) events: Vec<Event>,
    /// The block's time.
    pub(crate) now_ms: TimeMs,
    /// Accounts whose orders are dead unless they are reduce-only.
    pub(crate) frozen: BTreeSet<AccountId>,
}

impl Host for TestHost {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        let position = self.positions.get(&owner).copied().unwrap_or(0);
        let reducible = if side == Side::Sell { position } else { -position };
        u64::try_from(reducible.max(0)).map_or(Lots::MAX, Lots::new)
    }

    fn now_ms(&self) -> TimeMs {
        self.now_ms
    }

    fn any_dead(&self) -> bool {
        !self.frozen.is_empty()
    }

    fn why_dead(&self, owner: AccountId, reduce_only: bool) -> Option<Code> {
        (!reduce_only && self.frozen.contains(&owner)).then_some(Code::Pruned)
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
        max_visits: u32::MAX,
    }
}

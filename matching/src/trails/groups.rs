//! The groups of trailing triggers as a snapshot holds them.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{OrderId, Ticks};

use super::{Group, OneWay, Trails};
use crate::triggers::TriggerDirection;

/// The groups of one direction and the mark that is left, as a snapshot holds them besides the
/// orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TrailGroups {
    /// Id of the first order and best mark of each group, from the bottom on; empty ones as well.
    pub groups: Vec<(OrderId, Ticks)>,
    /// As in [`TrailMarks`].
    pub left_ticks: Option<Ticks>,
}

impl Trails {
    /// Returns the groups of both directions, falling first.
    #[must_use]
    pub fn groups(&self) -> [TrailGroups; 2] {
        [self.falling.kept(), self.rising.kept()]
    }

    /// Returns trailing triggers with these groups ([`Trails::groups`]) and without orders, which
    /// are then to be inserted.
    #[must_use]
    pub fn restored([falling, rising]: [TrailGroups; 2]) -> Self {
        Self {
            falling: OneWay::restored(TriggerDirection::Falling, falling),
            rising: OneWay::restored(TriggerDirection::Rising, rising),
        }
    }
}

impl OneWay {
    fn kept(&self) -> TrailGroups {
        let groups = self.groups.iter().map(|group| (group.first, group.best_ticks)).collect();
        TrailGroups { groups, left_ticks: self.left_ticks }
    }

    fn restored(direction: TriggerDirection, kept: TrailGroups) -> Self {
        let mut of = Self::new(direction);
        for (first, best_ticks) in kept.groups {
            of.push(Group::new(first, best_ticks));
        }
        of.left_ticks = kept.left_ticks;
        of
    }
}

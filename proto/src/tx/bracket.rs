//! Reads an order with its exits from the wire and checks how they belong together.

use super::message::invalid;
use super::place::place_order;
use crate::codes::Refusal;
use crate::types::{Bracket, Place, TriggerKind};
use crate::v1;

/// Reads a bracket.
pub(super) fn bracket(wire: &v1::PlaceBracket) -> Result<Bracket, Refusal> {
    let leg = |leg: &v1::PlaceOrder, name: &str| {
        let named =
            |refusal: Refusal| Refusal::new(refusal.code, format!("{name}: {}", refusal.message));
        place_order(leg).map_err(named)
    };
    let entry = wire.entry.as_ref().ok_or_else(|| invalid("entry is missing".into()))?;
    let entry = leg(entry, "entry")?;
    if entry.trigger.is_some() || entry.peg.is_some() || entry.reduce_only {
        return Err(invalid(
            "the entry of a bracket comes at once, is not pegged, and may increase".into(),
        ));
    }
    let exit = |wire: &Option<v1::PlaceOrder>, name: &str, kind: TriggerKind| {
        let Some(wire) = wire else { return Ok(None) };
        let exit = leg(&v1::PlaceOrder { reduce_only: true, ..*wire }, name)?;
        check_exit(&entry, &exit, name, kind)?;
        Ok(Some(exit))
    };
    let gain = exit(&wire.take_profit, "take_profit", TriggerKind::TakeProfit)?;
    let loss = exit(&wire.stop_loss, "stop_loss", TriggerKind::Stop)?;
    match (gain, loss) {
        (Some(exit), second) => Ok(Bracket { entry, exit, second }),
        (None, Some(exit)) => Ok(Bracket { entry, exit, second: None }),
        (None, None) => Err(invalid("take_profit and stop_loss are both missing".into())),
    }
}

/// Checks that an exit closes what an entry fills.
fn check_exit(entry: &Place, exit: &Place, name: &str, kind: TriggerKind) -> Result<(), Refusal> {
    if exit.market != entry.market || exit.side != entry.side.opposite() {
        return Err(invalid(format!("{name} is of the entry's market and of the other side")));
    }
    if exit.trigger.is_none_or(|trigger| trigger.kind != kind || trigger.trail.is_some()) {
        return Err(invalid(format!("{name} has a trigger of its name, at a price")));
    }
    if !exit.lots.is_zero() || exit.whole_position || !exit.display_lots.is_zero() {
        return Err(invalid(format!(
            "{name} has the lots that the entry fills: lots is {}, must be 0, and whole_position \
             and display_lots must not be set",
            exit.lots
        )));
    }
    Ok(())
}

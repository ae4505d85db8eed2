//! The one order of a batch that takes, whose cost is known from a walk.

use tidemark_matching::NewOrder;
use tidemark_proto::units::AccountId;
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::Account;

use crate::exec::account::cost;
use crate::exec::account::health::{self, OrderChange};
use crate::exec::operation::market_plan::PlannedOrder;
use crate::exec::operation::purse::Purse;
use crate::exec::order::incoming::Incoming;
use crate::exec::order::{admission, checks, taking};
use crate::refusal::Refusal;
use crate::state::State;

/// Checks that the one order of a batch that takes is admitted whole beside the others.
pub(crate) fn check(
    state: &mut State,
    purse: &mut Purse,
    (account, row): (AccountId, &Account),
    others: &[OrderChange],
    (planned, order): (&PlannedOrder, OpenOrder),
    refusal: &Refusal,
) -> Result<(), Refusal> {
    // What the others need is there without it: they may come first, and it may find nothing.
    let needs = |other: &OrderChange| other.add.is_some() || other.waits > 0;
    let free = health::health_with(state, row, account, others)?.free_atoms();
    if free.is_negative() && others.iter().any(needs) {
        return Err(refusal.clone());
    }
    let PlannedOrder { at, order: place, ready } = planned;
    let market = place.market;
    let rests = checks::rests(ready.time_in_force);
    let incoming = Incoming { market, order, replaced: None, may_take: true, rests };
    let request = admission::new_order(state, &purse.meter, account, place, *ready)?;
    let request = NewOrder { max_visits: purse.makers(*at), ..request };
    let walked = (&incoming, &request);
    cost::all_orders(&mut purse.meter, state, account)?;
    let visits = taking::check_whole(state, account, row, others, walked, refusal)?;
    purse.meter.pay_for_makers(visits);
    Ok(())
}

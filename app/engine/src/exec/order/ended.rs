//! Client ids of orders that have ended (rules §2.7): learnt from the block's events, which tell
//! every end.

use tidemark_proto::units::{AccountId, ClientId, MarketId, OrderId};
use tidemark_proto::Code;

use crate::events::{Event, Fill};
use crate::exec::ctx::Ctx;
use crate::invariant::invariant;
use crate::refusal::Refusal;
use crate::state::State;

/// Most rows of a market that a block looks at.
const MOST_FORGOTTEN: u32 = 4;

/// Remembers the client ids of orders that have ended since the last call.
pub(crate) fn note_all(ctx: &mut Ctx<'_>) {
    let from = std::mem::replace(&mut ctx.noted, ctx.events.len());
    let Ctx { exchange, events, .. } = ctx;
    for event in events.get(from..).unwrap_or_default() {
        match event {
            // One that was replaced comes back.
            Event::Removed { market, order_id, account, client_id, code, .. }
                if *code != Code::Replaced =>
            {
                note(exchange, *market, *account, (*client_id, *order_id));
            }
            // One that was placed ends as the order that it became.
            Event::Triggered { market, order_id, account, client_id, refusal: Some(_), .. } => {
                note(exchange, *market, *account, (*client_id, *order_id));
            }
            Event::Fill(fill) => note_fill(exchange, fill),
            _ => {}
        }
    }
}

fn note_fill(state: &mut State, fill: &Fill) {
    if fill.maker_remaining_lots.is_zero() {
        let order = (fill.maker_client_id, fill.maker_order_id);
        note(state, fill.market, fill.maker, order);
    }
    if fill.taker_remaining_lots.is_zero() {
        let order = (fill.taker_client_id, fill.taker_order_id);
        note(state, fill.market, fill.taker, order);
    }
}

/// Remembers the client id of an order that has ended.
pub(crate) fn note(
    state: &mut State,
    market: MarketId,
    account: AccountId,
    (client_id, order_id): (ClientId, OrderId),
) {
    let now_ms = state.chain.time_ms;
    let noted = state.markets.slot_mut(market).ended.note(account, (client_id, order_id), now_ms);
    invariant!(state, market, Order, noted, "no room for the client ids of account {}", account);
}

/// At a block's end: forgets the client ids of accounts that have held nothing in a market for a
/// day. Of each market the [`MOST_FORGOTTEN`] rows that have stood longest are looked at.
pub(crate) fn forget_idle(state: &mut State) {
    let now_ms = state.chain.time_ms;
    for market in state.markets.ids() {
        for _ in 0..MOST_FORGOTTEN {
            let Some(account) = state.markets.slot(market).ended.idle(now_ms) else { break };
            let row = state.accounts.get(account);
            let holds = row.is_some_and(|row| row.position(market).is_some());
            let ended = &mut state.markets.slot_mut(market).ended;
            if holds {
                ended.keep(account, now_ms);
            } else {
                ended.forget(account);
            }
        }
    }
}

/// Checks that no order of the account that has ended lately had this client id.
///
/// # Errors
/// `DUPLICATE_CLIENT_ID`.
pub(crate) fn check(
    state: &State,
    account: AccountId,
    market: MarketId,
    client_id: ClientId,
) -> Result<(), Refusal> {
    match state.market(market)?.ended.get(account, client_id) {
        Some(order_id) => Err(Refusal::ClientIdEnded { client_id, order_id }),
        None => Ok(()),
    }
}

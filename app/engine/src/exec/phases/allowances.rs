//! Owners' allowances in a block (rules §10.13): what its transactions draw, before their first
//! operation, and what comes back, behind the last.

use tidemark_proto::types::{Draw, Message};
use tidemark_proto::units::{Atoms, OrderId, OwnerId};

use crate::events::Event;
use crate::exec::account::{cost, health};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::phases::schedule::{Progress, Schedule, Scheduled};
use crate::exec::phases::tallies::Tallies;
use crate::refusal::Refusal;
use crate::state::State;

/// The next order id of every market, as the block's first transaction finds it.
pub(super) fn next_ids(state: &State) -> Vec<OrderId> {
    state.markets.iter().map(|slot| slot.book.next_order_id()).collect()
}

/// Draws what the admitted transactions do, and takes the flat fee of those that pay.
pub(super) fn draw(ctx: &mut Ctx<'_>, schedule: &mut Schedule<'_>) {
    let at = ctx.exchange.chain.moment();
    for owner in &schedule.owners {
        let txs = schedule.txs.get(owner.txs.clone()).unwrap_or_default();
        let draws = txs.iter().map(|scheduled| scheduled.admitted.draw);
        let draw = draws.fold(Draw::default(), Draw::and);
        if draw == Draw::default() {
            continue;
        }
        if let Some(row) = ctx.exchange.allowances.get_mut(owner.id) {
            row.draw(&at, draw);
        }
    }
    for scheduled in schedule.txs.iter_mut().filter(|scheduled| scheduled.admitted.beyond > 0) {
        charge(ctx, scheduled);
    }
}

/// Takes a transaction's flat fee. One that cannot pay is refused, and its owner is not believed
/// for a while: else refusals would be free for whoever promises to pay.
fn charge(ctx: &mut Ctx<'_>, scheduled: &mut Scheduled<'_>) {
    let admitted = scheduled.admitted;
    ctx.meter = Meter::of(admitted.tx.gas_limit.saturating_sub(admitted.tx.message.static_gas()));
    let paid = pay(ctx, admitted.owner, &admitted.tx.message, admitted.beyond);
    scheduled.spent = ctx.meter.spent();
    match paid {
        Ok(fee_atoms) => scheduled.flat_fee_atoms = fee_atoms,
        Err(refusal) => {
            let height = ctx.exchange.chain.height;
            if let Some(row) = ctx.exchange.allowances.get_mut(admitted.owner) {
                row.has_not_paid(height);
            }
            let refusal = Refusal::FlatFee { beyond: admitted.beyond, refusal: Box::new(refusal) };
            scheduled.progress = Progress::Ends { refusal: Some(Box::new(refusal)), spent: 0 };
        }
    }
}

/// Moves the flat fee of some operations from what a subaccount could withdraw to the insurance
/// fund; returns it.
fn pay(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    message: &Message,
    operations: u64,
) -> Result<Atoms, Refusal> {
    let Message::Orders { subaccount, .. } = message else { return Ok(Atoms::ZERO) };
    let account = cash::existing(ctx.exchange, owner, *subaccount)?;
    let fee_atoms = ctx.exchange.chain.params.flat_fee_atoms;
    let fee_atoms = Atoms::new(fee_atoms.get().saturating_mul(operations.into()));
    cost::margin(&mut ctx.meter, ctx.exchange, account)?;
    cash::settle_funding(ctx.exchange, account)?;
    let lacking_atoms =
        fee_atoms.saturating_sub(health::health(ctx.exchange, account)?.withdrawable_atoms());
    if lacking_atoms.is_positive() {
        return Err(Refusal::InsufficientCollateral { lacking_atoms });
    }
    let fund_atoms = ctx.exchange.chain.treasury.insurance_atoms.checked_add(fee_atoms);
    let fund_atoms = fund_atoms.ok_or_else(|| Refusal::overflow("the insurance fund"))?;
    cash::credit(ctx.exchange, account, Atoms::ZERO.saturating_sub(fee_atoms))?;
    ctx.exchange.chain.treasury.insurance_atoms = fund_atoms;
    ctx.events.push(Event::FlatFee { account, operations, fee_atoms });
    Ok(fee_atoms)
}

/// Gives back at the block's end: `first_ids` are the next order ids as its first transaction found
/// them.
pub(super) fn settle(ctx: &mut Ctx<'_>, schedule: &Schedule<'_>, first_ids: &[OrderId]) {
    let at = ctx.exchange.chain.moment();
    for (slot, first) in ctx.exchange.markets.iter_mut().zip(first_ids) {
        slot.cell.placed.note(at.height, *first, slot.book.next_order_id());
    }
    let places = std::mem::take(&mut ctx.exchange.derived.tally_places);
    let mut tallies = Tallies::of(ctx.exchange, places);
    for scheduled in &schedule.txs {
        tallies.count_results(scheduled);
    }
    tallies.count_events(&ctx.events, &ctx.triggered);
    let (rows, places) = tallies.end();
    ctx.exchange.derived.tally_places = places;
    for (owner, tally) in rows {
        if let Some(row) = ctx.exchange.allowances.get_mut(owner) {
            row.settle(&at, &tally);
        }
    }
}

//! Ladders of orders: all rungs or none.

use tidemark_proto::types::Scale;
use tidemark_proto::units::AccountId;

use crate::exec::ctx::Ctx;
use crate::exec::operation::plan::Plan;
use crate::exec::operation::purse::Purse;
use crate::exec::order::request;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Places a ladder, all rungs or none.
///
/// # Errors
/// The refusal of the first rung that would not be accepted.
pub(crate) fn scale(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    scale: &Scale,
) -> Result<OperationResult, Refusal> {
    let mut purse = Purse::of_one(ctx.meter.left());
    let mut plan = Plan::new(&ctx.later);
    let checked = plan
        .ladder(ctx.exchange, account, 0, scale)
        .and_then(|()| plan.check(ctx.exchange, &mut purse, account))
        .map_err(|(_, refusal)| refusal);
    ctx.meter.spend(purse.meter.spent());
    checked?;
    ctx.meter = std::mem::take(&mut ctx.meter).prepaid();
    place_rungs(ctx, account, scale)
}

pub(crate) fn place_rungs(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    scale: &Scale,
) -> Result<OperationResult, Refusal> {
    let mut sum = OperationResult::default();
    for rung in scale.rungs() {
        let placed = request::place(ctx, account, &rung)?;
        if sum.placed == 0 {
            sum.order_id = placed.order_id;
        }
        sum.placed = sum.placed.saturating_add(1);
        sum.filled_lots = sum.filled_lots.saturating_add(placed.filled_lots);
        sum.resting_lots = sum.resting_lots.saturating_add(placed.resting_lots);
        sum.rest_code = sum.rest_code.or(placed.rest_code);
        sum.notional_atoms = sum.notional_atoms.saturating_add(placed.notional_atoms);
        sum.fee_atoms = sum.fee_atoms.saturating_add(placed.fee_atoms);
    }
    Ok(sum)
}

//! A message of order operations: its gas divided, its operations each alone or all or none.

use tidemark_proto::types::gas::{shares, LOOK, TX_ORDERS_INCLUDED};
use tidemark_proto::types::Operation;
use tidemark_proto::units::AccountId;

use crate::exec::account::{cost, health};
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::operation::{batch, dispatch, prefetch};
use crate::outcome::OperationResult;

/// Carries out the operations of a subaccount with `beyond` gas over the static. Returns their
/// results, and the gas beyond the static that they took.
pub(crate) fn run(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operations: &[Operation],
    all_or_none: bool,
    beyond: u64,
) -> (Vec<OperationResult>, u64) {
    prefetch::prefetch(ctx.exchange, account, operations);
    let mut taken = add_up(ctx, account, operations, beyond);
    let beyond = beyond.saturating_sub(taken);
    if all_or_none {
        let (results, spent) = batch::run(ctx, account, operations, beyond);
        return (results, taken.saturating_add(spent));
    }
    let each = operations.iter().zip(shares(operations, beyond));
    let results = each.map(|(operation, share)| {
        ctx.meter = Meter::of(share);
        let result = dispatch::run(ctx, account, operation);
        taken = taken.saturating_add(ctx.meter.spent());
        result
    });
    (results.collect(), taken)
}

/// Adds up the account's open orders before the first operation that needs their sum, if the gas
/// reaches over them; else each operation pays for it. Returns the gas that it took.
fn add_up(ctx: &mut Ctx<'_>, account: AccountId, operations: &[Operation], beyond: u64) -> u64 {
    let needs_margin = |operation: &Operation| {
        !matches!(
            operation,
            Operation::Cancel { .. }
                | Operation::CancelAll { .. }
                | Operation::ScheduleCancelAll { .. }
        )
    };
    if !operations.iter().any(needs_margin) {
        return 0;
    }
    let mut meter = Meter::of(beyond);
    if cost::positions(&mut meter, ctx.exchange, account).is_err() {
        return 0;
    }
    let orders = cost::orders_to_add_up(ctx.exchange, account);
    let gas = orders.saturating_sub(TX_ORDERS_INCLUDED).saturating_mul(LOOK);
    if orders > 0 && meter.charge(gas).is_ok() {
        health::remember_totals(ctx.exchange, account);
    }
    meter.spent()
}

//! Batches whose operations are accepted together or not at all.

use tidemark_proto::types::gas::shares;
use tidemark_proto::types::Operation;
use tidemark_proto::units::AccountId;

use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::operation::plan::Plan;
use crate::exec::operation::purse::Purse;
use crate::exec::operation::{dispatch, scale};
use crate::exec::order::ended;
use crate::invariant::report;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Carries out a batch whose operations are all accepted, or refuses each: the one that fails with
/// its code, the others with `BATCH_REFUSED`. Cancels and reductions run first, then the rest in
/// its order. Half of the gas beyond the static is the checks'; who is carried out has what they
/// left. Returns the results, and the gas that they took.
pub(crate) fn run(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operations: &[Operation],
    beyond: u64,
) -> (Vec<OperationResult>, u64) {
    ended::note_all(ctx);
    let mut purse = Purse::of(operations, beyond);
    let planned = Plan::of(ctx.exchange, &ctx.later, &mut purse, (account, operations));
    let mut taken = purse.meter.spent();
    if let Err((failed, refusal)) = planned {
        let market = operations.get(failed).and_then(Operation::market);
        report(ctx.exchange, account, market, &refusal);
        let refused = |at: usize| {
            let refusal = match at == failed {
                true => refusal.clone(),
                false => {
                    Refusal::BatchRefused { operation: failed, refusal: Box::new(refusal.clone()) }
                }
            };
            OperationResult { refusal: Some(Box::new(refusal)), ..OperationResult::default() }
        };
        return ((0..operations.len()).map(refused).collect(), taken);
    }
    let shares = shares(operations, beyond.saturating_sub(taken));
    let mut results = vec![OperationResult::default(); operations.len()];
    for first in [true, false] {
        for ((operation, share), result) in operations.iter().zip(&shares).zip(&mut results) {
            if frees(operation) == first {
                ctx.meter = Meter::of(*share).prepaid();
                *result = match operation {
                    Operation::Scale(scale) => scale::place_rungs(ctx, account, scale)
                        .unwrap_or_else(|refusal| {
                            dispatch::refused(ctx, account, operation.market(), refusal)
                        }),
                    _ => dispatch::run(ctx, account, operation),
                };
                taken = taken.saturating_add(ctx.meter.spent());
            }
        }
    }
    (results, taken)
}

/// Returns true if an operation can only free margin and room.
const fn frees(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Cancel { .. }
            | Operation::CancelAll { .. }
            | Operation::Replace { .. }
            | Operation::ScheduleCancelAll { .. }
    )
}

//! Batches whose operations are accepted together or not at all.

use tidemark_proto::types::Operation;
use tidemark_proto::units::AccountId;

use crate::exec::ctx::Ctx;
use crate::exec::operation::plan::Plan;
use crate::exec::operation::{dispatch, scale};
use crate::invariant::report;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Carries out a batch whose operations are all accepted, or refuses each: the one that fails with
/// its code, the others with `BATCH_REFUSED`. Cancels and reductions run first, then the rest in
/// its order.
pub(crate) fn run(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operations: &[Operation],
) -> Vec<OperationResult> {
    if let Err((failed, refusal)) = Plan::of(ctx.exchange, account, operations) {
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
        return (0..operations.len()).map(refused).collect();
    }
    let mut results = vec![OperationResult::default(); operations.len()];
    for first in [true, false] {
        for (operation, result) in operations.iter().zip(&mut results) {
            if frees(operation) == first {
                *result = match operation {
                    Operation::Scale(scale) => scale::place_rungs(ctx, account, scale)
                        .unwrap_or_else(|refusal| {
                            dispatch::refused(ctx, account, operation.market(), refusal)
                        }),
                    _ => dispatch::run(ctx, account, operation),
                };
            }
        }
    }
    results
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

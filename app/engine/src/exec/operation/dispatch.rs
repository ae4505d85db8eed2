//! The one dispatcher of operations: each runs in the account that trades its market.

use tidemark_proto::types::Operation;
use tidemark_proto::units::{AccountId, MarketId};
use tidemark_proto::Code;

use crate::exec::collateral::{isolated, rows};
use crate::exec::ctx::Ctx;
use crate::exec::operation::{cancel_schedule, scale};
use crate::exec::order::conditional::{bracket, enter, pair};
use crate::exec::order::replace::Replacement;
use crate::exec::order::{ended, request};
use crate::invariant::report;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Carries out one operation of a subaccount in the account that trades its market. Collateral that
/// a refused order had drawn goes back.
pub(crate) fn run(ctx: &mut Ctx<'_>, parent: AccountId, operation: &Operation) -> OperationResult {
    let Some(market) = operation.market() else {
        return everywhere(ctx, parent, operation);
    };
    ended::note_all(ctx);
    let result = isolated::account_for(ctx.exchange, parent, market).and_then(|account| {
        let result = isolated::refunding(ctx, account, |ctx| carry_out(ctx, account, operation));
        if result.is_err() {
            rows::drop_entry(ctx.exchange, account, market);
        }
        result
    });
    result.unwrap_or_else(|refusal| refused(ctx, parent, Some(market), refusal))
}

/// An operation on all markets: in the subaccount, and in all its isolated collateral as far as the
/// gas reaches.
fn everywhere(ctx: &mut Ctx<'_>, parent: AccountId, operation: &Operation) -> OperationResult {
    let mut result = match carry_out(ctx, parent, operation) {
        Ok(result) => result,
        Err(refusal) => return refused(ctx, parent, None, refusal),
    };
    // The switch of a subaccount is that of all its isolated collateral.
    if !matches!(operation, Operation::CancelAll { .. }) {
        return result;
    }
    let isolated = match isolated::all_of_paid(ctx, parent) {
        Ok(isolated) => isolated,
        Err(refusal) if refusal.code() == Code::OutOfGas => {
            return OperationResult { rest_code: Some(Code::OutOfGas), ..result };
        }
        Err(refusal) => return refused(ctx, parent, None, refusal),
    };
    for account in isolated {
        if result.rest_code.is_some() {
            break;
        }
        let part = carry_out(ctx, account, operation)
            .unwrap_or_else(|refusal| refused(ctx, account, None, refusal));
        result.cancelled = result.cancelled.saturating_add(part.cancelled);
        result.rest_code = part.rest_code;
    }
    result
}

/// Carries out one operation of an account; the dispatcher's only match over operations.
fn carry_out(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operation: &Operation,
) -> Result<OperationResult, Refusal> {
    match operation {
        Operation::Place(order) => request::place(ctx, account, order),
        Operation::Cancel { market, order } => request::cancel(ctx, account, *market, *order),
        Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks } => {
            let changes = Replacement {
                price_ticks: *price_ticks,
                lots: *lots,
                trigger_price_ticks: *trigger_price_ticks,
            };
            request::replace(ctx, account, *market, *order, changes)
        }
        Operation::CancelAll { market, side } => {
            let (cancelled, rest_code) =
                request::cancel_all(ctx, account, *market, *side, Code::Cancelled)?;
            Ok(OperationResult { cancelled, rest_code, ..Default::default() })
        }
        Operation::ScheduleCancelAll { at_ms } => {
            cancel_schedule::schedule(ctx.exchange, account, *at_ms)
        }
        Operation::Scale(scale) => scale::scale(ctx, account, scale),
        Operation::Twap(twap) => enter::twap(ctx, account, twap),
        Operation::Oco(pair) => pair::oco(ctx, account, pair),
        Operation::Bracket(of) => bracket::place(ctx, account, of),
    }
}

/// A refusal as an operation's result; one for a broken invariant is reported besides.
pub(crate) fn refused(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: Option<MarketId>,
    refusal: Refusal,
) -> OperationResult {
    report(ctx.exchange, account, market, &refusal);
    OperationResult { refusal: Some(Box::new(refusal)), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::tests::two_markets;

    #[test]
    #[should_panic(expected = "a broken invariant was planted")]
    fn a_refusal_for_a_broken_invariant_of_a_calculation_is_reported() {
        let mut state = two_markets();
        let planted = Refusal::broken("a broken invariant was planted");
        let rung = Refusal::Rung { number: 1, refusal: Box::new(planted) };
        let market = Some(MarketId::ZERO);
        refused(&mut Ctx::new(&mut state), AccountId::ZERO, market, rung);
    }

    #[test]
    fn any_other_refusal_is_a_result_and_no_more() {
        let mut state = two_markets();
        let result =
            refused(&mut Ctx::new(&mut state), AccountId::ZERO, None, Refusal::overflow("a sum"));
        assert_eq!(result.refusal.as_deref(), Some(&Refusal::overflow("a sum")));
        assert_eq!(state.derived.violations, Vec::<String>::new());
    }
}

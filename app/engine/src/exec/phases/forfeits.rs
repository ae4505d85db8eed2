//! Parts of trigger reserves that are forfeited (rules §2.11).

use tidemark_proto::types::TRIGGER_FORFEIT;
use tidemark_proto::units::{AccountId, Atoms, MarketId};
use tidemark_proto::Code;

use crate::exec::account::health::{self, OrderChange};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::invariant::report;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Returns true if an order found no collateral for a single lot.
pub(super) fn lacks_collateral(placed: &Result<OperationResult, Refusal>) -> bool {
    let code = match placed {
        Ok(result) if result.filled_lots.is_zero() => result.rest_code,
        Ok(_) => None,
        Err(refusal) => Some(refusal.code()),
    };
    code == Some(Code::InsufficientCollateral)
}

/// An order that could increase has triggered and lacks collateral: part of its trigger reserve
/// goes to the insurance fund, as far as the account's free collateral has it. Returns how much.
pub(super) fn forfeit(ctx: &mut Ctx<'_>, account: AccountId, market: MarketId) -> Atoms {
    let state = &mut *ctx.exchange;
    let moved = health::free_with(state, account, OrderChange::none(market)).and_then(|free| {
        let atoms = TRIGGER_FORFEIT.min(free.max(Atoms::ZERO));
        cash::credit(state, account, Atoms::ZERO.saturating_sub(atoms))?;
        let treasury = &mut state.chain.treasury;
        state.markets.slot_mut(market).cell.market.change_fund(treasury, atoms)?;
        Ok(atoms)
    });
    moved.unwrap_or_else(|refusal| {
        report(ctx.exchange, account, Some(market), &refusal);
        Atoms::ZERO
    })
}

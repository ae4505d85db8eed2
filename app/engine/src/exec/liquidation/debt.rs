//! Bad debt: which markets bear what an account without positions owes (rules §7.6).

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, MarketId};
use tidemark_risk::health::Health;
use tidemark_risk::{debt, RiskError};

use crate::events::Arithmetic;
use crate::exec::account::{health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Step};
use crate::refusal::Refusal;
use crate::state::State;

/// Stage 6: an account without positions and with negative collateral. Each market in which its
/// lots have lost bears a part: its fund pays, the rest is booked. Funding and fees alone are the
/// market's that was closed first, or the account's first, where it closed its last position
/// itself. There are at most as many parts as the account has entries.
pub(crate) fn book(ctx: &mut Ctx<'_>, step: &Step) -> Result<(), Refusal> {
    let closed = step.left.first().map(|left| left.market);
    let row = lookup::account(ctx.exchange, step.account)?;
    let first = row.positions.first().map(|position| position.market);
    let otherwise = closed.or(first);
    let otherwise =
        otherwise.ok_or(RiskError::Invariant("an account in debt has traded in a market"))?;
    let shares = debt::shares(row, otherwise)?;
    let health = health::health(ctx.exchange, step.account)?;
    for share in shares {
        book_in(ctx, step, &health, share)?;
    }
    forget(ctx.exchange, step.account, |_| false)
}

/// One market's part.
fn book_in(
    ctx: &mut Ctx<'_>,
    step: &Step,
    health: &Health,
    (market, part): (MarketId, Atoms),
) -> Result<(), Refusal> {
    let cell = &mut ctx.exchange.markets.slot_mut(market).cell;
    let account = ctx.exchange.accounts.get_mut(step.account);
    let account = account.ok_or(Refusal::UnknownAccount(step.account))?;
    let treasury = &mut ctx.exchange.chain.treasury;
    let (fund_paid_atoms, bad_debt_atoms) =
        debt::settle(account, &mut cell.market, treasury, part)?;
    ctx.exchange.chain.outflow.losses.book(bad_debt_atoms);
    let facts =
        ClosingTerms { stage: LiquidationStage::BadDebt, market, ..ClosingTerms::default() };
    let arithmetic = Arithmetic { fund_owed_atoms: part, bad_debt_atoms, ..Arithmetic::default() };
    ctx.events.push(step.event(
        ctx.exchange,
        health,
        facts,
        ClosedPart { fund_paid_atoms, arithmetic, ..ClosedPart::default() },
    ));
    Ok(())
}

/// Where an account falls below maintenance, what it had closed before counts for no debt: it could
/// bear it. A settlement that is under way has closed its positions right before this sweep.
pub(crate) fn enters_danger(state: &mut State, account: AccountId) -> Result<(), Refusal> {
    let row = lookup::account(state, account)?;
    // Most have nothing to forget.
    if !row.has_position() || !debt::has_closed(row, |_| false) {
        return Ok(());
    }
    let settling = state.markets.cells().filter(|cell| cell.is_settling());
    let settling: Vec<MarketId> = settling.map(|cell| cell.market.params.id).collect();
    forget(state, account, |market| settling.contains(&market))
}

fn forget(
    state: &mut State,
    account: AccountId,
    counts: impl Fn(MarketId) -> bool,
) -> Result<(), Refusal> {
    let row = state.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
    debt::forget_closed(row, counts);
    Ok(())
}

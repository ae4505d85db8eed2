//! Isolated margin (rules §3.13): a position with collateral of its own.
//!
//! A subaccount's isolated collateral, position and orders in one market are an account of their
//! own in the table, which names its parent. Margin, sweep, deleveraging and audit treat it as any
//! other account, and a loss ends where its collateral does. Collateral moves in as orders need it,
//! and back to the parent once neither position nor order is left.

use std::collections::BTreeSet;

use tidemark_proto::types::gas::ACCOUNT;
use tidemark_proto::units::{AccountId, Atoms, MarketId, OwnerId};
use tidemark_proto::Code;
use tidemark_risk::{Account, Isolated, Markets};

use crate::events::{Event, Fill};
use crate::exec::account::lookup;
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::invariant::{broken_account, invariant};
use crate::refusal::Refusal;
use crate::state::{Failure, IsolatedSlot, State};
use crate::symbol::Symbol;

/// Most markets, over all its subaccounts, in which an owner has or had isolated collateral.
const MAX_ISOLATED: usize = 256;

fn slot(state: &State, parent: AccountId, market: MarketId) -> Option<IsolatedSlot> {
    let row = state.accounts.get(parent)?;
    state.owners.get(row.owner)?.isolated(row.number, market).copied()
}

/// The isolated collateral of a subaccount in a market, made when there is none.
fn ensure(state: &mut State, parent: AccountId, market: MarketId) -> Result<IsolatedSlot, Refusal> {
    if let Some(slot) = slot(state, parent, market) {
        restore(state, parent, slot)?;
        return Ok(slot);
    }
    let row = lookup::account(state, parent)?;
    let (owner, subaccount) = (row.owner, row.number);
    let used = lookup::owner(state, owner)?.isolated.len();
    if used >= MAX_ISOLATED {
        return Err(Refusal::TooManyIsolated { used, most: MAX_ISOLATED });
    }
    let account = Account::isolated_from(parent, row, market);
    let account =
        state.accounts.push(account).ok_or_else(|| Refusal::overflow("the number of accounts"))?;
    let slot = IsolatedSlot { subaccount, market, account, active: false };
    put(state, owner, slot)?;
    Ok(slot)
}

/// Gives an isolated account a row, if it has none: it went when it held nothing.
fn restore(state: &mut State, parent: AccountId, slot: IsolatedSlot) -> Result<(), Refusal> {
    if !state.accounts.has(slot.account) {
        let row = lookup::account(state, parent)?;
        let row = Account::isolated_from(parent, row, slot.market);
        state.accounts.put(slot.account, row);
    }
    Ok(())
}

fn put(state: &mut State, owner: OwnerId, slot: IsolatedSlot) -> Result<(), Refusal> {
    lookup::owner_mut(state, owner)?.set_isolated(slot);
    Ok(())
}

/// The account in which a subaccount trades a market: itself in cross mode, its isolated collateral
/// otherwise.
///
/// # Errors
/// `TOO_MANY_ISOLATED` where it has to be made; `UNKNOWN_ACCOUNT`.
pub(crate) fn account_for(
    state: &mut State,
    parent: AccountId,
    market: MarketId,
) -> Result<AccountId, Refusal> {
    let only = state.markets.market(market).is_some_and(|market| market.params.isolated_only);
    if only {
        return ensure(state, parent, market).map(|slot| slot.account);
    }
    match slot(state, parent, market).filter(|slot| slot.active) {
        Some(slot) => restore(state, parent, slot).map(|()| slot.account),
        None => Ok(parent),
    }
}

fn is_in_use(state: &State, account: AccountId, market: MarketId) -> bool {
    !lookup::held(state, account, market).is_zero()
        || state.markets.slot(market).book.open_orders(account) > 0
        || state.markets.slot(market).conditional.increasing(account) > 0
}

/// Sets a subaccount's margin mode in a market, while it has no position and no order there. Its
/// leverage there goes along.
pub(crate) fn set_mode(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    isolated: bool,
) -> Result<(), Refusal> {
    let parent = cash::existing(state, owner, subaccount)?;
    let params = &state.market(market)?.cell.market.params;
    if params.isolated_only && !isolated {
        return Err(Refusal::IsolatedOnly { symbol: Symbol::from(&params.symbol) });
    }
    let from = account_for(state, parent, market)?;
    let waiting = state.markets.slot(market).conditional.waiting(from);
    if is_in_use(state, from, market) || waiting > 0 {
        let resting = state.markets.slot(market).book.open_orders(from);
        return Err(Refusal::MarginModeInUse {
            held_lots: lookup::held(state, from, market),
            open: resting.saturating_add(waiting),
        });
    }
    if !isolated && from == parent {
        return Ok(());
    }
    let leverage =
        lookup::account(state, from)?.position(market).map_or(0, |position| position.leverage);
    let slot = ensure(state, parent, market)?;
    let to = if isolated { slot.account } else { parent };
    if from != to && leverage != 0 {
        lookup::check_room_for_leverage(state, to, market)?;
        lookup::position_mut(state, from, market)?.leverage = 0;
        lookup::position_mut(state, to, market)?.leverage = leverage;
    }
    put(state, owner, IsolatedSlot { active: isolated, ..slot })
}

/// Moves collateral between a subaccount and its isolated collateral in a market: in when positive,
/// out when negative.
pub(crate) fn adjust(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    change_atoms: Atoms,
) -> Result<(), Refusal> {
    let parent = cash::existing(state, owner, subaccount)?;
    state.market(market)?;
    let isolated = account_for(state, parent, market)?;
    if isolated == parent || !is_in_use(state, isolated, market) {
        return Err(Refusal::NotIsolated(market));
    }
    let (from, to) =
        if change_atoms.is_positive() { (parent, isolated) } else { (isolated, parent) };
    let amount_atoms =
        change_atoms.checked_abs().ok_or_else(|| Refusal::overflow("change_atoms"))?;
    cash::check_removable(state, from, amount_atoms)?;
    cash::shift(state, from, to, amount_atoms)
}

/// Moves an order's shortfall from the parent into isolated collateral, under the rules of a
/// withdrawal: profit that is not realised does not move.
///
/// # Errors
/// `INSUFFICIENT_COLLATERAL` where it is not isolated, or the parent has less; `STALE_INDEX`.
pub(crate) fn cover(
    state: &mut State,
    account: AccountId,
    lacking_atoms: Atoms,
) -> Result<(), Refusal> {
    let Some(isolated) = lookup::account(state, account)?.isolated else {
        return Err(Refusal::InsufficientCollateral { lacking_atoms });
    };
    cash::check_removable(state, isolated.parent, lacking_atoms).map_err(
        |refusal| match refusal.code() {
            Code::InsufficientWithdrawable => {
                Refusal::IsolatedNotCovered { lacking_atoms, refusal: Box::new(refusal) }
            }
            _ => refusal,
        },
    )?;
    cash::shift(state, isolated.parent, account, lacking_atoms)
}

/// Carries something out for an account; collateral that it drew from a parent goes back when it is
/// refused.
///
/// # Errors
/// Those of what is carried out, and of the parent's funding.
pub(crate) fn refunding<T>(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    carry_out: impl FnOnce(&mut Ctx<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let isolated = lookup::account(ctx.exchange, account)?.isolated;
    let Some(Isolated { parent, market }) = isolated else { return carry_out(ctx) };
    // Funding first, so that what the parent's collateral falls by is what was drawn.
    cash::settle_funding(ctx.exchange, parent)?;
    let had = lookup::account(ctx.exchange, parent)?.collateral_atoms;
    let result = carry_out(ctx);
    let drawn = had.saturating_sub(lookup::account(ctx.exchange, parent)?.collateral_atoms);
    if result.is_err() && drawn.is_positive() {
        // Moved a moment ago: it is there, and it fits.
        if let Err(refusal) = cash::shift(ctx.exchange, account, parent, drawn) {
            let why = refusal.labelled();
            invariant!(
                ctx.exchange,
                market,
                Collateral,
                "drawn collateral could not go back: {}",
                why
            );
        }
    }
    result
}

/// The account in which a subaccount trades a market, if there is one: none is made.
pub(crate) fn account_if_any(
    state: &State,
    parent: AccountId,
    market: MarketId,
) -> Option<AccountId> {
    if is_cross(state, parent, market) {
        return Some(parent);
    }
    slot(state, parent, market).map(|slot| slot.account)
}

/// Returns true if a subaccount trades a market with its own collateral.
pub(crate) fn is_cross(state: &State, parent: AccountId, market: MarketId) -> bool {
    let only = state.markets.market(market).is_some_and(|market| market.params.isolated_only);
    !only && slot(state, parent, market).is_none_or(|slot| !slot.active)
}

/// All isolated collateral of a subaccount, as far as there is any.
pub(crate) fn all_of(state: &State, parent: AccountId) -> Result<Vec<AccountId>, Refusal> {
    let row = lookup::account(state, parent)?;
    let owner = lookup::owner(state, row.owner)?;
    let slots = owner.isolated_of(row.number).map(|slot| slot.account);
    Ok(slots.filter(|account| state.accounts.has(*account)).collect())
}

/// All isolated collateral of a subaccount, of which each is paid for before it is looked at.
///
/// # Errors
/// `OUT_OF_GAS`.
pub(crate) fn all_of_paid(ctx: &mut Ctx<'_>, parent: AccountId) -> Result<Vec<AccountId>, Refusal> {
    let row = lookup::account(ctx.exchange, parent)?;
    // The owner's whole list is searched for those of the subaccount.
    let slots = lookup::owner(ctx.exchange, row.owner)?.isolated.len();
    ctx.meter.charge((slots as u64).saturating_mul(ACCOUNT))?;
    all_of(ctx.exchange, parent)
}

/// At a block's end: isolated collateral without a position, an order on the book or one that waits
/// and could increase goes back to its parent. Only accounts that the block wrote to, or that lost
/// an order in it, can have become so; they are returned.
pub(crate) fn return_idle(ctx: &mut Ctx<'_>) -> BTreeSet<AccountId> {
    let state = &mut *ctx.exchange;
    let mut touched: BTreeSet<AccountId> = state.accounts.dirty().iter().copied().collect();
    for event in &ctx.events {
        match event {
            Event::Removed { account, .. }
            | Event::Triggered { account, .. }
            | Event::Slice { account, .. } => touched.extend([*account]),
            Event::Fill(Fill { maker, taker, .. }) => touched.extend([*maker, *taker]),
            _ => {}
        }
    }
    for account in touched.iter().copied() {
        let Some(row) = state.accounts.get(account) else {
            let sentence = format!("account {account} was written and is not");
            broken_account(state, account, Failure::Collateral, sentence);
            continue;
        };
        let atoms = row.collateral_atoms;
        let Some(isolated) = row.isolated.filter(|_| atoms.is_positive()) else { continue };
        if !is_in_use(state, account, isolated.market) {
            // The supply cap keeps every sum of collateral below 64 bits.
            if let Err(refusal) = cash::shift(state, account, isolated.parent, atoms) {
                let why = refusal.labelled();
                invariant!(
                    state,
                    isolated.market,
                    Collateral,
                    "idle collateral could not go back: {}",
                    why
                );
            }
        }
    }
    touched
}

//! The dead man's switch: an account's orders are cancelled at a block time, unless it sets the
//! switch anew before (rules §2.18).

use tidemark_proto::units::{AccountId, TimeMs};
use tidemark_proto::Code;

use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::request;
use crate::invariant::broken_account;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::{Failure, State};

/// Shortest time ahead, in milliseconds of block time.
const MIN_AHEAD_MS: TimeMs = TimeMs::new(5_000);

/// Longest time ahead.
const MAX_AHEAD_MS: TimeMs = TimeMs::new(86_400_000);

/// Orders that go in one block, after which the next accounts wait for the next block.
const MAX_PER_BLOCK: u32 = 10_000;

/// Checks that a switch is far enough ahead, and not too far.
///
/// # Errors
/// `SCHEDULE_OUT_OF_RANGE`.
pub(crate) fn check(state: &State, at_ms: Option<TimeMs>) -> Result<(), Refusal> {
    let now_ms = state.chain.time_ms;
    let ahead = now_ms.saturating_add(MIN_AHEAD_MS)..=now_ms.saturating_add(MAX_AHEAD_MS);
    match at_ms {
        Some(at_ms) if !ahead.contains(&at_ms) => {
            Err(Refusal::ScheduleOutOfRange { at_ms, from_ms: *ahead.start(), to_ms: *ahead.end() })
        }
        _ => Ok(()),
    }
}

/// Sets an account's switch, or clears it.
///
/// # Errors
/// As for [`check`].
pub(crate) fn schedule(
    state: &mut State,
    account: AccountId,
    at_ms: Option<TimeMs>,
) -> Result<OperationResult, Refusal> {
    check(state, at_ms)?;
    // The switch of a subaccount is that of all its isolated collateral.
    if lookup::account(state, account)?.isolated.is_some() {
        return Ok(OperationResult::default());
    }
    set(state, account, at_ms.unwrap_or(TimeMs::ZERO))?;
    Ok(OperationResult::default())
}

fn set(state: &mut State, account: AccountId, at_ms: TimeMs) -> Result<(), Refusal> {
    let row = state.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
    let before_ms = std::mem::replace(&mut row.cancel_all_at_ms, at_ms);
    state.derived.cancel_schedule.remove(&(before_ms, account));
    if !at_ms.is_zero() {
        state.derived.cancel_schedule.insert((at_ms, account));
    }
    Ok(())
}

/// Takes a due switch out of the queue, whatever else; returns the accounts that it is of.
fn take_due(
    state: &mut State,
    at_ms: TimeMs,
    account: AccountId,
) -> Result<Vec<AccountId>, Refusal> {
    state.derived.cancel_schedule.remove(&(at_ms, account));
    set(state, account, TimeMs::ZERO)?;
    let mut accounts = vec![account];
    accounts.extend(isolated::all_of(state, account)?);
    Ok(accounts)
}

/// Phase 3: carries out the switches that are due, earliest first, then by account.
pub(crate) fn run_due(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    let mut cancelled = 0_u32;
    while cancelled < MAX_PER_BLOCK {
        let Some((at_ms, account)) = ctx.exchange.derived.cancel_schedule.first().copied() else {
            break;
        };
        if at_ms > now_ms {
            break;
        }
        let accounts = take_due(ctx.exchange, at_ms, account).unwrap_or_else(|refusal| {
            let why = refusal.labelled();
            let sentence = format!("the due switch of account {account} is of nobody: {why}");
            broken_account(ctx.exchange, account, Failure::Switch, sentence);
            Vec::new()
        });
        for account in accounts {
            let gone = request::cancel_all(ctx, account, None, None, Code::CancelScheduled);
            let (gone, _) = gone.unwrap_or_else(|refusal| {
                let why = refusal.labelled();
                let sentence = format!("a due switch of account {account} failed: {why}");
                broken_account(ctx.exchange, account, Failure::Switch, sentence);
                (0, None)
            });
            // An account that has nothing to cancel costs a look all the same.
            cancelled = cancelled.saturating_add(gone).saturating_add(1);
        }
    }
}

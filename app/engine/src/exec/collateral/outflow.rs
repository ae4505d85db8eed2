//! Money that leaves the exchange: withdrawals, and the queue of those that the hour's and the
//! day's bucket do not let out yet (rules §§3.12, 3.15).

use tidemark_proto::units::{Atoms, OwnerId};

use crate::exec::account::lookup;
use crate::exec::collateral::cash;
use crate::refusal::Refusal;
use crate::state::outflow::MAX_QUEUED;
use crate::state::State;

/// Takes collateral off the exchange: at once if nobody waits and the buckets let all of it out; in
/// turn otherwise.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "messages carry amounts of at most 64 bits, so that each has a negative"
)]
pub(crate) fn withdraw(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let account = cash::existing(state, owner, subaccount)?;
    cash::check_withdrawable(state, account, amount_atoms)?;
    let after_atoms = state.chain.withdrawals_atoms.checked_add(amount_atoms);
    let after_atoms = after_atoms.ok_or_else(|| Refusal::overflow("the sum of withdrawals"))?;
    let outflow = &state.chain.outflow;
    let fits = amount_atoms <= outflow.left_atoms(&state.chain.params);
    let at_once = fits && outflow.queue.rows().is_empty();
    if !at_once && !outflow.queue.has_place_for(owner) {
        return Err(Refusal::WithdrawalQueueFull { most: MAX_QUEUED });
    }
    cash::credit(state, account, -amount_atoms)?;
    state.note_deposit(owner, -amount_atoms);
    let chain = &mut state.chain;
    chain.withdrawals_atoms = after_atoms;
    if at_once {
        chain.outflow.spend(amount_atoms);
    } else {
        chain.outflow.queue.enter(owner, amount_atoms, chain.height);
    }
    Ok(())
}

/// Puts all that an owner waits for back into the collateral of one of its subaccounts; its place
/// is lost.
pub(crate) fn take_back(state: &mut State, owner: OwnerId, subaccount: u32) -> Result<(), Refusal> {
    // What has left a subaccount may have been all of it.
    let opened = lookup::owner(state, owner)?.account(subaccount);
    opened.ok_or(Refusal::UnknownSubaccount(subaccount))?;
    let queued = state.chain.outflow.queue.of(owner).ok_or(Refusal::NothingQueued)?;
    let amount_atoms = queued.amount_atoms;
    cash::check_supply(state, amount_atoms)?;
    let after_atoms = state.chain.withdrawals_atoms.checked_sub(amount_atoms);
    let after_atoms = after_atoms.ok_or_else(|| Refusal::overflow("the sum of withdrawals"))?;
    let account = state.ensure_account(owner, subaccount)?;
    cash::credit(state, account, amount_atoms)?;
    state.note_deposit(owner, amount_atoms);
    state.chain.withdrawals_atoms = after_atoms;
    state.chain.outflow.queue.leave(owner);
    Ok(())
}

/// Serves the queue after the sweep, unless the gate is shut: at most one turn an owner.
pub(crate) fn serve(state: &mut State) {
    let chain = &mut state.chain;
    if chain.height > chain.withdrawals_gated_until {
        chain.outflow.serve(&chain.params);
    }
}

/// Shuts the gate if the negative equity that the sweep left, and the debt booked in the block, are
/// large.
pub(crate) fn note_losses(state: &mut State, deficit_atoms: Atoms) {
    if state.chain.outflow.losses.note(deficit_atoms) {
        state.chain.gate_withdrawals();
    }
}

//! Money that comes to a subaccount: deposits and transfers, an owner's first credit, and the price
//! of subaccounts beyond the free ones (rules §§1.7, 1.8).

use tidemark_proto::types::Address;
use tidemark_proto::units::{AccountId, Atoms, OwnerId};

use crate::exec::account::lookup;
use crate::exec::collateral::cash;
use crate::refusal::Refusal;
use crate::state::{State, MAX_SUBACCOUNTS, MAX_WAITING};

/// Credits collateral on a minter's word; an address that is no owner yet becomes one by enough of
/// it (rules §1.7).
pub(crate) fn deposit(
    state: &mut State,
    signer: &Address,
    recipient: Address,
    subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    if !state.chain.minters.contains(signer) {
        return Err(Refusal::NotAMinter(*signer));
    }
    let after_atoms = state.chain.deposits_atoms.checked_add(amount_atoms);
    let after_atoms = after_atoms.ok_or_else(|| Refusal::overflow("the sum of deposits"))?;
    cash::check_supply(state, amount_atoms)?;
    match state.owner_id(&recipient) {
        Some(owner) => {
            Opening::of(state, owner, subaccount, amount_atoms)?.credit(state, amount_atoms)?;
            state.note_deposit(owner, amount_atoms);
        }
        None => first_credit(state, recipient, subaccount, amount_atoms)?,
    }
    state.chain.deposits_atoms = after_atoms;
    Ok(())
}

/// Moves collateral between two subaccounts of one owner, under the rules of a withdrawal.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "messages carry amounts of at most 64 bits, so that each has a negative"
)]
pub(crate) fn transfer(
    state: &mut State,
    owner: OwnerId,
    from_subaccount: u32,
    to_subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let from = cash::existing(state, owner, from_subaccount)?;
    cash::check_withdrawable(state, from, amount_atoms)?;
    let opening = Opening::of(state, owner, to_subaccount, amount_atoms)?;
    opening.credit(state, amount_atoms)?;
    cash::credit(state, from, -amount_atoms)
}

/// A subaccount that money comes to, and the part of the money that opens it.
#[derive(Clone, Copy, Debug)]
struct Opening {
    owner: OwnerId,
    subaccount: u32,
    fee_atoms: Atoms,
}

impl Opening {
    /// Of a subaccount that an amount comes to. One that was never opened costs the governed fee,
    /// once its owner has opened as many as are free: the amount pays for it, and something is
    /// left.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `SUBACCOUNT_FEE`.
    fn of(
        state: &State,
        owner: OwnerId,
        subaccount: u32,
        amount_atoms: Atoms,
    ) -> Result<Self, Refusal> {
        check_number(subaccount)?;
        let params = &state.chain.params;
        let row = lookup::owner(state, owner)?;
        let opened = row.accounts.len();
        let is_free = row.account(subaccount).is_some()
            || u32::try_from(opened).is_ok_and(|opened| opened < params.free_subaccounts);
        let fee_atoms = if is_free { Atoms::ZERO } else { params.subaccount_fee_atoms };
        if amount_atoms <= fee_atoms {
            return Err(Refusal::SubaccountFee { subaccount, opened, amount_atoms, fee_atoms });
        }
        Ok(Self { owner, subaccount, fee_atoms })
    }

    /// Opens the subaccount, moves its fee from the amount to the insurance fund, and credits it
    /// with the rest.
    ///
    /// # Errors
    /// `OVERFLOW`; nothing is credited then.
    fn credit(self, state: &mut State, amount_atoms: Atoms) -> Result<(), Refusal> {
        let account = state.ensure_account(self.owner, self.subaccount)?;
        pay_in(state, account, amount_atoms, self.fee_atoms)
    }
}

/// Credits an account with an amount less a fee, which goes to the insurance fund.
fn pay_in(
    state: &mut State,
    account: AccountId,
    amount_atoms: Atoms,
    fee_atoms: Atoms,
) -> Result<(), Refusal> {
    let fund_atoms = state.chain.treasury.insurance_atoms.checked_add(fee_atoms);
    let fund_atoms = fund_atoms.ok_or_else(|| Refusal::overflow("the insurance fund"))?;
    cash::credit(state, account, amount_atoms.saturating_sub(fee_atoms))?;
    state.chain.treasury.insurance_atoms = fund_atoms;
    Ok(())
}

fn check_number(subaccount: u32) -> Result<(), Refusal> {
    if subaccount < MAX_SUBACCOUNTS {
        return Ok(());
    }
    Err(Refusal::SubaccountTooHigh { subaccount, bound: MAX_SUBACCOUNTS })
}

/// Takes a minted credit of an address that is no owner yet: it becomes one when the sum of its
/// credits reaches the governed least. A part of the sum goes to the insurance fund then, and the
/// rest to the subaccount that this credit names. Until then the sum waits under the address; one
/// that waits anew must be worth the fee, and there must be room.
///
/// # Errors
/// `INVALID_ARGUMENT`, `FIRST_CREDIT_TOO_SMALL`, `FIRST_CREDITS_FULL`, `OVERFLOW`.
fn first_credit(
    state: &mut State,
    address: Address,
    subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    check_number(subaccount)?;
    let (params, waiting) = (&state.chain.params, &state.chain.first_credits);
    let (least_atoms, fee_atoms) = (params.first_credit_min_atoms, params.owner_fee_atoms);
    let waits_atoms = waiting.of(&address);
    let sum_atoms = waits_atoms.checked_add(amount_atoms);
    let sum_atoms = sum_atoms.ok_or_else(|| Refusal::overflow("a first credit"))?;
    if sum_atoms < least_atoms {
        if sum_atoms < fee_atoms {
            return Err(Refusal::FirstCreditTooSmall { amount_atoms, fee_atoms, least_atoms });
        }
        if !waiting.has_place_for(&address) {
            return Err(Refusal::FirstCreditsFull { most: MAX_WAITING, least_atoms });
        }
        state.chain.first_credits.set(address, sum_atoms);
        return Ok(());
    }
    let owner = state.ensure_owner(address)?;
    let account = state.ensure_account(owner, subaccount)?;
    pay_in(state, account, sum_atoms, fee_atoms)?;
    state.note_deposit(owner, sum_atoms);
    state.chain.first_credits.set(address, Atoms::ZERO);
    Ok(())
}

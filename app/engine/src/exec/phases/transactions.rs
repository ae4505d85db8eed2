//! Phase 6: transactions, each refused alone.

use tidemark_proto::types::{DecodedTx, Message};
use tidemark_proto::units::OwnerId;

use crate::exec::administration;
use crate::exec::block::CheckedTx;
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::operation::{batch, dispatch, keepers, prefetch, settings};
use crate::outcome::{OperationResult, TxOutcome};
use crate::refusal::Refusal;
use crate::state::{check_timeout, unknown_signer, State};

/// Carries out transactions in the order given, which ProcessProposal has checked.
pub(crate) fn run(ctx: &mut Ctx<'_>, txs: &[CheckedTx]) -> Vec<TxOutcome> {
    let one = |tx: &CheckedTx| match tx {
        Ok(tx) => outcome(tx, admit(ctx.exchange, tx).and_then(|owner| carry_out(ctx, owner, tx))),
        Err(refusal) => {
            TxOutcome { refusal: Some(Box::new(refusal.clone().into())), ..TxOutcome::default() }
        }
    };
    txs.iter().map(one).collect()
}

fn outcome(tx: &DecodedTx, result: Result<Vec<OperationResult>, Refusal>) -> TxOutcome {
    let (refusal, results) = match result {
        Ok(results) => (None, results),
        Err(refusal) => (Some(Box::new(refusal)), Vec::new()),
    };
    let gas = tx.message.gas();
    TxOutcome {
        hash: tx.hash,
        signer: Some(tx.signer),
        refusal,
        results,
        gas_wanted: gas,
        gas_used: gas,
    }
}

/// Takes the signer's sequence. A transaction refused here changes nothing; any other uses its
/// sequence up.
fn admit(state: &mut State, tx: &DecodedTx) -> Result<OwnerId, Refusal> {
    let owner = state.owner_id(&tx.signer).ok_or_else(|| unknown_signer(&tx.signer))?;
    let next = state.owners.get(owner).map_or(0, |owner| owner.sequence);
    if tx.sequence != next {
        let sequence = tx.sequence;
        return Err(if sequence < next {
            Refusal::SequenceReplayed { sequence, next }
        } else {
            Refusal::SequenceGap { sequence, next }
        });
    }
    check_timeout(tx, state.chain.height)?;
    let sequence = next.checked_add(1).ok_or_else(|| Refusal::overflow("the sequence"))?;
    let row = state.owners.get_mut(owner).ok_or_else(|| unknown_signer(&tx.signer))?;
    row.sequence = sequence;
    Ok(owner)
}

fn carry_out(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    tx: &DecodedTx,
) -> Result<Vec<OperationResult>, Refusal> {
    match &tx.message {
        Message::Orders { subaccount, operations, all_or_none } => {
            let account = cash::existing(ctx.exchange, owner, *subaccount)?;
            prefetch::prefetch(ctx.exchange, account, operations);
            if *all_or_none {
                return Ok(batch::run(ctx, account, operations));
            }
            return Ok(operations
                .iter()
                .map(|operation| dispatch::run(ctx, account, operation))
                .collect());
        }
        Message::Deposit { recipient, subaccount, amount_atoms } => {
            cash::deposit(ctx.exchange, &tx.signer, *recipient, *subaccount, *amount_atoms)
        }
        Message::Withdraw { subaccount, amount_atoms } => {
            cash::withdraw(ctx.exchange, owner, *subaccount, *amount_atoms)
        }
        Message::Transfer { from_subaccount, to_subaccount, amount_atoms } => {
            cash::transfer(ctx.exchange, owner, *from_subaccount, *to_subaccount, *amount_atoms)
        }
        Message::SetLeverage { subaccount, market, leverage } => {
            settings::set_leverage(ctx.exchange, owner, *subaccount, *market, *leverage)
        }
        Message::SetSelfTradePrevention { subaccount, policy } => {
            settings::set_self_trade_prevention(ctx.exchange, owner, *subaccount, *policy)
        }
        Message::SetMarginMode { subaccount, market, isolated } => {
            isolated::set_mode(ctx.exchange, owner, *subaccount, *market, *isolated)
        }
        Message::AdjustIsolatedMargin { subaccount, market, change_atoms } => {
            isolated::adjust(ctx.exchange, owner, *subaccount, *market, *change_atoms)
        }
        Message::RegisterBackstop { subaccount, market, set_aside_atoms } => {
            keepers::register(ctx.exchange, owner, *subaccount, *market, *set_aside_atoms)
        }
        Message::Takeover { subaccount, market, account, lots } => {
            keepers::takeover(ctx.exchange, owner, *subaccount, *market, *account, *lots)
        }
        Message::ListMarket(params) => {
            administration::list_market(ctx.exchange, &tx.signer, params)
        }
        Message::UpdateMarket(params) => administration::update_market(ctx, &tx.signer, params),
    }
    .map(|()| Vec::new())
}

//! Phase 6: transactions, each refused alone.

use tidemark_proto::types::{Class, DecodedTx, Message};
use tidemark_proto::units::OwnerId;

use crate::exec::administration;
use crate::exec::block::CheckedTx;
use crate::exec::collateral::{cash, entry, isolated, outflow};
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::operation::{keepers, orders, settings};
use crate::exec::phases::impact;
use crate::outcome::TxOutcome;
use crate::refusal::Refusal;
use crate::state::{check_timeout, unknown_signer, State};

/// Carries out transactions in the order given, which ProcessProposal has checked, and reads the
/// books' impact prices before the first of them that may take.
pub(crate) fn run(ctx: &mut Ctx<'_>, txs: &[CheckedTx]) -> Vec<TxOutcome> {
    let cancels_first = ctx.exchange.chain.params.cancels_first;
    let may_take = |tx: &CheckedTx| {
        tx.as_ref().is_ok_and(|tx| tx.message.class(cancels_first) == Class::Orders)
    };
    let takers_from = txs.iter().position(may_take).unwrap_or(txs.len());
    let (before, takers) = txs.split_at(takers_from);
    let mut outcomes = Vec::with_capacity(txs.len());
    outcomes.extend(before.iter().map(|tx| outcome(ctx, tx)));
    impact::read(ctx);
    outcomes.extend(takers.iter().map(|tx| outcome(ctx, tx)));
    ctx.meter = Meter::default();
    outcomes
}

fn outcome(ctx: &mut Ctx<'_>, tx: &CheckedTx) -> TxOutcome {
    match tx {
        Ok(tx) => carried_out(ctx, tx),
        Err(refusal) => {
            TxOutcome { refusal: Some(Box::new(refusal.clone().into())), ..TxOutcome::default() }
        }
    }
}

fn carried_out(ctx: &mut Ctx<'_>, tx: &DecodedTx) -> TxOutcome {
    let static_gas = tx.message.static_gas();
    // Decoding has refused a transaction that declares less than its static gas.
    let beyond = tx.gas_limit.saturating_sub(static_gas);
    ctx.meter = Meter::of(beyond);
    let mut spent = 0;
    let admitted = admit(ctx.exchange, tx);
    let used_sequence = admitted.is_ok().then_some(tx.sequence);
    let result = admitted.and_then(|owner| match &tx.message {
        Message::Orders { subaccount, operations, all_or_none } => {
            let account = cash::existing(ctx.exchange, owner, *subaccount)?;
            let (results, gas) = orders::run(ctx, account, operations, *all_or_none, beyond);
            spent = gas;
            Ok(results)
        }
        message => {
            let result = carry_out(ctx, owner, tx, message);
            spent = ctx.meter.spent();
            result.map(|()| Vec::new())
        }
    });
    let (refusal, results) = match result {
        Ok(results) => (None, results),
        Err(refusal) => (Some(Box::new(refusal)), Vec::new()),
    };
    TxOutcome {
        hash: tx.hash,
        signer: Some(tx.signer),
        message: Some(tx.message.name()),
        used_sequence,
        refusal,
        results,
        gas_wanted: tx.gas_limit,
        gas_used: static_gas.saturating_add(spent),
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

/// Carries out a message of one account that is no batch of orders.
fn carry_out(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    tx: &DecodedTx,
    message: &Message,
) -> Result<(), Refusal> {
    match message {
        // `carried_out` runs orders.
        Message::Orders { .. } => Ok(()),
        Message::Deposit { recipient, subaccount, amount_atoms } => {
            entry::deposit(ctx.exchange, &tx.signer, *recipient, *subaccount, *amount_atoms)
        }
        Message::Withdraw { subaccount, amount_atoms } => {
            settings::pay_for_margin(ctx, owner, *subaccount)?;
            outflow::withdraw(ctx.exchange, owner, *subaccount, *amount_atoms)
        }
        Message::TakeBackWithdrawal { subaccount } => {
            outflow::take_back(ctx.exchange, owner, *subaccount)
        }
        Message::Transfer { from_subaccount, to_subaccount, amount_atoms } => {
            settings::pay_for_margin(ctx, owner, *from_subaccount)?;
            entry::transfer(ctx.exchange, owner, *from_subaccount, *to_subaccount, *amount_atoms)
        }
        Message::SetLeverage { subaccount, market, leverage } => {
            settings::pay_for_margin(ctx, owner, *subaccount)?;
            settings::set_leverage(ctx.exchange, owner, *subaccount, *market, *leverage)
        }
        Message::SetSelfTradePrevention { subaccount, policy } => {
            settings::set_self_trade_prevention(ctx, owner, *subaccount, *policy)
        }
        Message::SetMarginMode { subaccount, market, isolated } => {
            isolated::set_mode(ctx.exchange, owner, *subaccount, *market, *isolated)
        }
        Message::AdjustIsolatedMargin { subaccount, market, change_atoms } => {
            settings::pay_for_margin(ctx, owner, *subaccount)?;
            isolated::adjust(ctx.exchange, owner, *subaccount, *market, *change_atoms)
        }
        Message::RegisterBackstop { subaccount, market, set_aside_atoms } => {
            settings::pay_for_margin(ctx, owner, *subaccount)?;
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
}

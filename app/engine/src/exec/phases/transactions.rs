//! Phase 6: the transactions of a block, in the order that the application gives them (rules §8.2):
//! admission of all, then class after class, in each the owners by draw, of each owner the
//! transactions by sequence, of each transaction the operations in their order.

use tidemark_proto::types::{Address, Class, Message};
use tidemark_proto::units::{AccountId, Atoms, OwnerId};

use crate::admission::{self, Admission, Admitted};
use crate::beacon::Beacon;
use crate::exec::account::agents;
use crate::exec::administration;
use crate::exec::block::CheckedTx;
use crate::exec::collateral::{cash, entry, isolated, outflow};
use crate::exec::ctx::Ctx;
use crate::exec::later::LaterOrders;
use crate::exec::meter::Meter;
use crate::exec::operation::orders::OrdersRun;
use crate::exec::operation::turn::Turn;
use crate::exec::operation::{keepers, settings};
use crate::exec::phases::schedule::{OwnerTurns, Progress, Schedule, Scheduled};
use crate::exec::phases::{allowances, impact};
use crate::outcome::TxOutcome;
use crate::refusal::Refusal;
use crate::state::State;

/// Carries out a block's transactions, whatever the order in which the block lists them, and reads
/// the books' impact prices before the first operation that may take.
pub(crate) fn run(ctx: &mut Ctx<'_>, txs: &[CheckedTx]) -> Vec<TxOutcome> {
    let mut outcomes: Vec<TxOutcome> = txs.iter().map(not_yet).collect();
    let admission = admit(ctx.exchange, txs);
    for (at, refusal) in admission.refused {
        refuse(outcomes.get_mut(at), refusal);
    }
    let chain = &ctx.exchange.chain;
    let cancels_first = chain.params.cancels_first;
    let mut schedule = Schedule::of(admission.admitted, Beacon::of(chain), cancels_first);
    end_late(&mut schedule, chain.height);
    use_sequences(ctx.exchange, &schedule);
    use_nonces(ctx.exchange, &schedule);
    let first_ids = allowances::next_ids(ctx.exchange);
    allowances::draw(ctx, &mut schedule);
    for class in Class::ALL {
        if class == Class::Orders {
            impact::read(ctx);
        }
        let Schedule { owners, txs } = &mut schedule;
        for owner in owners.iter_mut().filter(|owner| owner.classes.has(class)) {
            let txs = txs.get_mut(owner.txs.clone()).unwrap_or_default();
            take_turn(ctx, owner, txs, Turn::new(class, cancels_first, owner.keeps_in(class)));
        }
    }
    allowances::settle(ctx, &schedule, &first_ids);
    for scheduled in schedule.txs {
        finish(outcomes.get_mut(scheduled.admitted.at), scheduled);
    }
    ctx.meter = Meter::default();
    outcomes
}

/// The outcome of a transaction before it is carried out.
fn not_yet(tx: &CheckedTx) -> TxOutcome {
    match tx {
        Ok(tx) => TxOutcome {
            hash: tx.hash,
            signer: Some(tx.signer),
            agent: tx.agent,
            message: Some(tx.message.name()),
            used_sequence: None,
            refusal: None,
            results: Vec::new(),
            gas_wanted: tx.gas_limit,
            gas_used: tx.message.static_gas(),
            flat_fee_atoms: Atoms::ZERO,
        },
        Err(refusal) => {
            TxOutcome { refusal: Some(Box::new(refusal.clone().into())), ..TxOutcome::default() }
        }
    }
}

fn refuse(outcome: Option<&mut TxOutcome>, refusal: Refusal) {
    if let Some(outcome) = outcome {
        outcome.refusal = Some(Box::new(refusal));
    }
}

/// Ends the transactions that came too late: their sequences are used, and nothing else is done.
fn end_late(schedule: &mut Schedule<'_>, height: u64) {
    for scheduled in schedule.txs.iter_mut().filter(|scheduled| scheduled.admitted.is_late) {
        let timeout_height = scheduled.admitted.tx.timeout_height;
        let refusal = Some(Box::new(Refusal::TimedOut { timeout_height, height }));
        scheduled.progress = Progress::Ends { refusal, spent: 0 };
    }
}

/// Admits the block's transactions. What is refused here changes nothing; any other uses its
/// sequence or its nonce up.
fn admit<'a>(state: &State, txs: &'a [CheckedTx]) -> Admission<'a> {
    let decoded = txs.iter().enumerate();
    let decoded = decoded.filter_map(|(at, tx)| Some((at, &**tx.as_ref().ok()?)));
    admission::admit(decoded, &state.before_this_block())
}

fn use_sequences(state: &mut State, schedule: &Schedule<'_>) {
    for owner in &schedule.owners {
        let txs = schedule.txs.get(owner.txs.clone()).unwrap_or_default();
        // Agents' come behind the owner's own.
        let own = txs.iter().rfind(|scheduled| scheduled.admitted.tx.agent.is_none());
        let row = own.and_then(|_| state.owners.get_mut(owner.id));
        if let Some((last, row)) = own.zip(row) {
            row.sequence = last.admitted.tx.sequence.saturating_add(1);
        }
    }
}

/// In the order of nonces, so that which of them are remembered depends on no other order.
fn use_nonces(state: &mut State, schedule: &Schedule<'_>) {
    for Admitted { owner, tx, .. } in schedule.txs.iter().map(|scheduled| scheduled.admitted) {
        if let Some(key) = &tx.agent {
            agents::use_nonce(state, owner, key, tx.sequence);
        }
    }
}

/// Carries out what an owner's transactions do in one class.
fn take_turn(ctx: &mut Ctx<'_>, owner: &mut OwnerTurns, txs: &mut [Scheduled<'_>], mut turn: Turn) {
    if turn.class == Class::Orders {
        ctx.later = std::mem::take(&mut owner.later);
    }
    for (number, scheduled) in txs.iter_mut().enumerate() {
        if scheduled.classes.has(turn.class) {
            carry_out(ctx, scheduled, &mut turn, number);
        }
    }
    ctx.later = LaterOrders::default();
    if turn.class == Class::PostOnly {
        owner.later = turn.into_later();
    }
}

/// Carries out what a transaction does in one class.
fn carry_out(ctx: &mut Ctx<'_>, scheduled: &mut Scheduled<'_>, turn: &mut Turn, number: usize) {
    let tx = scheduled.admitted.tx;
    // Decoding has refused a transaction that declares less than its static gas.
    let spent = scheduled.spent;
    let beyond = || tx.gas_limit.saturating_sub(tx.message.static_gas()).saturating_sub(spent);
    let owner = scheduled.admitted.owner;
    if matches!(scheduled.progress, Progress::Waits) {
        scheduled.progress = match &tx.message {
            Message::Orders { subaccount, operations, all_or_none, .. } => {
                let batch = (operations.as_slice(), *all_or_none);
                match account_of(ctx.exchange, scheduled.admitted, *subaccount) {
                    Ok(account) => Progress::Runs(OrdersRun::begin(ctx, account, batch, beyond())),
                    Err(refusal) => Progress::Ends { refusal: Some(Box::new(refusal)), spent: 0 },
                }
            }
            message => {
                ctx.meter = Meter::of(beyond());
                let done = check_agent(ctx.exchange, scheduled.admitted)
                    .and_then(|()| other(ctx, owner, &tx.signer, message));
                let refusal = done.err().map(Box::new);
                Progress::Ends { refusal, spent: ctx.meter.spent() }
            }
        };
    }
    if let Progress::Runs(run) = &mut scheduled.progress {
        run.act(ctx, turn, number);
    }
}

/// Refuses what an agent signed that the block has revoked.
fn check_agent(state: &State, Admitted { owner, tx, .. }: Admitted<'_>) -> Result<(), Refusal> {
    tx.agent.as_ref().map_or(Ok(()), |key| agents::check_not_revoked(state, owner, key))
}

/// The account of a batch, unless the block has revoked the agent that signed for it.
fn account_of(
    state: &State,
    admitted: Admitted<'_>,
    subaccount: u32,
) -> Result<AccountId, Refusal> {
    check_agent(state, admitted)?;
    cash::existing(state, admitted.owner, subaccount)
}

fn finish(outcome: Option<&mut TxOutcome>, scheduled: Scheduled<'_>) {
    let Some(outcome) = outcome else { return };
    let tx = scheduled.admitted.tx;
    outcome.used_sequence = Some(tx.sequence);
    outcome.flat_fee_atoms = scheduled.flat_fee_atoms;
    let paid = scheduled.spent;
    let spent = match scheduled.progress {
        Progress::Waits => 0,
        Progress::Runs(run) => {
            outcome.results = run.results;
            run.taken
        }
        Progress::Ends { refusal, spent } => {
            outcome.refusal = refusal;
            spent
        }
    };
    outcome.gas_used = outcome.gas_used.saturating_add(paid).saturating_add(spent);
}

/// Carries out a message of one account that is no batch of orders.
fn other(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    signer: &Address,
    message: &Message,
) -> Result<(), Refusal> {
    match message {
        // [`carry_out`] runs orders.
        Message::Orders { .. } => Ok(()),
        Message::Deposit { recipient, subaccount, amount_atoms } => {
            entry::deposit(ctx.exchange, signer, *recipient, *subaccount, *amount_atoms)
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
        Message::AuthorizeAgent(authorisation) => {
            agents::authorize(ctx.exchange, owner, authorisation)
        }
        Message::RevokeAgent { key } => agents::revoke(ctx.exchange, owner, key),
        Message::ListMarket(params) => administration::list_market(ctx.exchange, signer, params),
        Message::UpdateMarket(params) => administration::update_market(ctx, signer, params),
    }
}

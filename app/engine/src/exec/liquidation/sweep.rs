//! Phase 4: the liquidation sweep (rules §§7.7, 7.8), part of every block, right after the prices.
//!
//! Every account below maintenance gets its step in the block that shows it. Positions in a market
//! whose index is stale, or that is paused or quarantined, count at their last mark and are left
//! alone.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Ppm};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation::next_stage;

use crate::exec::account::{at_risk, health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Step};
use crate::exec::liquidation::{backstop, close, deleverage, step};
use crate::exec::order::prune;
use crate::invariant::broken_account;
use crate::refusal::Refusal;

/// Examines every account at risk, in order of id. All accounts are pruned before the first
/// position is closed, so that liquidations meet only reserved orders on the book. No account's
/// pruning changes another's margin.
pub(crate) fn sweep(ctx: &mut Ctx<'_>) {
    let mut due = Vec::new();
    for account in at_risk::find(ctx.exchange) {
        match look_at(ctx, account) {
            Ok(step) => due.extend(step),
            // Admission keeps amounts far below the bounds of every calculation.
            Err(refusal) => {
                let why = refusal.labelled();
                let sentence = format!("account {account} could not be examined: {why}");
                broken_account(ctx.exchange, account, sentence);
            }
        }
    }
    let before = backstop::unlist(ctx.exchange);
    run_steps(ctx, due.iter_mut());
    deleverage::for_all(ctx, &mut due);
    run_steps(ctx, due.iter_mut().filter(|step| step.deleverages));
    backstop::list(ctx, &due, &before);
}

fn run_steps<'a>(ctx: &mut Ctx<'_>, steps: impl Iterator<Item = &'a mut Step>) {
    for step in steps {
        if let Err(refusal) = run_stages(ctx, step) {
            let (account, why) = (step.account, refusal.labelled());
            let sentence = format!("a liquidation step of account {account} failed: {why}");
            broken_account(ctx.exchange, account, sentence);
        }
    }
}

/// Prunes an account; returns its step if the account is below maintenance, or in debt without a
/// position.
fn look_at(ctx: &mut Ctx<'_>, account: AccountId) -> Result<Option<Step>, Refusal> {
    ctx.work.visit_account();
    let equity_atoms = health::health(ctx.exchange, account)?.equity_atoms;
    if equity_atoms.is_negative() {
        ctx.exchange.chain.gate_withdrawals();
    }
    let (health, cancelled) = prune::restore_reserve(ctx, account)?;
    let in_debt =
        equity_atoms.is_negative() && !lookup::account(ctx.exchange, account)?.has_position();
    let due = health.is_liquidatable() || in_debt;
    Ok(due.then_some(Step::new(account, cancelled)))
}

/// Carries out a step's stages. Deleveraging waits until all steps that need it have come to it;
/// the next call carries out the stages after it.
fn run_stages(ctx: &mut Ctx<'_>, step: &mut Step) -> Result<(), Refusal> {
    // `next_stage` ascends: at most one round for each of the six stages.
    loop {
        let health = health::health(ctx.exchange, step.account)?;
        let account = lookup::account(ctx.exchange, step.account)?;
        let backstop_ppm = account
            .positions
            .iter()
            .filter(|position| !position.lots.is_zero())
            .map(|position| {
                ctx.exchange.markets.slot(position.market).cell.market.params.backstop_ppm
            })
            .max();
        // Without a position there is no maintenance margin, and so nothing for keepers to take.
        let has_position = account.has_position();
        let Some(stage) =
            next_stage(step.done, &health, has_position, backstop_ppm.unwrap_or(Ppm::ZERO))
        else {
            return Ok(());
        };
        match stage {
            LiquidationStage::Prune => report_prune(ctx, step, &health)?,
            LiquidationStage::Book => close::on_book(ctx, step)?,
            LiquidationStage::Backstop => backstop::by_keepers(ctx, step)?,
            LiquidationStage::InsuranceFund => close::with_fund(ctx, step)?,
            LiquidationStage::Adl if !step.deleverages => {
                step.deleverages = true;
                return Ok(());
            }
            LiquidationStage::Adl => {}
            LiquidationStage::BadDebt => close::book_debt(ctx, step)?,
        }
        step.done = Some(stage);
    }
}

fn report_prune(ctx: &mut Ctx<'_>, step: &Step, health: &Health) -> Result<(), Refusal> {
    let largest = step::closable(ctx.exchange, step.account)?.first().copied();
    if let Some((market, lots)) = largest.filter(|_| step.cancelled > 0) {
        let facts = ClosingTerms {
            stage: LiquidationStage::Prune,
            market,
            held: lots,
            ..ClosingTerms::default()
        };
        ctx.events.push(step.event(ctx.exchange, health, facts, ClosedPart::default()));
    }
    Ok(())
}

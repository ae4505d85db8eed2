//! Phase 4: the liquidation sweep (rules §7), part of every block, right after the prices.
//!
//! Every account below maintenance gets its step in the block that shows it. Positions in a market
//! whose index is stale, or that is paused or quarantined, count at their last mark and are left
//! alone.

mod backstop;
mod close;
mod deleverage;
mod prune;

use crate::exec::ctx::Ctx;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, SignedLots, Ticks};
use tidemark_proto::Refusal;
use tidemark_risk::adl;
use tidemark_risk::liquidation::{next_stage, ZeroTerms};
use tidemark_risk::margin::Health;
use tidemark_risk::settlement::closes_at_settlement_price;
use tidemark_risk::Market;

use super::{at_risk, margin};
use crate::events::{Arithmetic, Event, Liquidation};
use crate::state::State;

/// Looks at every account in danger; the accounts' ids give the order. All accounts are pruned
/// before the first position is closed: what a liquidation meets on the book was reserved. No
/// account's pruning changes another's margin.
pub(super) fn sweep(ctx: &mut Ctx<'_>) {
    let mut due = Vec::new();
    for account in at_risk::find(ctx.exchange) {
        match look_at(ctx, account) {
            Ok(step) => due.extend(step),
            // An account whose margin cannot be computed is left as it is: admission keeps amounts
            // far below the bounds.
            Err(refusal) => tracing::debug!(account, "reserve: {refusal}"),
        }
    }
    let before = backstop::unlist(ctx.exchange);
    run(ctx, due.iter_mut());
    deleverage::for_all(ctx, &mut due);
    run(ctx, due.iter_mut().filter(|step| step.deleverages));
    backstop::list(ctx, &due, &before);
}

fn run<'a>(ctx: &mut Ctx<'_>, steps: impl Iterator<Item = &'a mut Step>) {
    for step in steps {
        if let Err(refusal) = step.run(ctx) {
            tracing::debug!(account = step.account, "liquidation step: {refusal}");
        }
    }
}

/// In a final settlement: an account with equity below 0, for which the fund has paid
/// `fund_paid_atoms`. What is still below 0 is deleveraged in this market.
///
/// # Errors
/// `OVERFLOW`.
pub(super) fn deleverage_insolvent(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    fund_paid_atoms: Atoms,
) -> Result<(), Refusal> {
    let step = Step::new(account, 0);
    let held = margin::held(ctx.exchange, account, market);
    let health = margin::health(ctx.exchange, account)?;
    if fund_paid_atoms > 0 {
        let facts =
            Facts { stage: LiquidationStage::InsuranceFund, market, held, ..Facts::default() };
        ctx.events.push(step.event(
            ctx.exchange,
            &health,
            facts,
            Closed { fund_paid_atoms, ..Closed::default() },
        ));
    }
    if !closes_at_settlement_price(health.equity_atoms) {
        deleverage::for_one(ctx, &step, (market, held), &health)?;
    }
    Ok(())
}

/// Prunes an account; returns its step when it is below maintenance, or in debt without a position.
fn look_at(ctx: &mut Ctx<'_>, account: AccountId) -> Result<Option<Step>, Refusal> {
    ctx.work.visit_account();
    let equity_atoms = margin::health(ctx.exchange, account)?.equity_atoms;
    if equity_atoms < 0 {
        ctx.exchange.chain.gate_withdrawals();
    }
    let (health, cancelled) = restore_reserve(ctx, account)?;
    let in_debt = equity_atoms < 0 && !margin::account(ctx.exchange, account)?.has_position();
    let due = health.is_liquidatable() || in_debt;
    Ok(due.then_some(Step::new(account, cancelled)))
}

/// Leaves an account as the reserve lemma has it (rules §3): free collateral of at least 0, or no
/// order that increases exposure and no reduce-only order worse than the zero price. Below
/// maintenance, no order that increases exposure at all. Returns its margin after, and how many
/// orders that increase went.
pub(super) fn restore_reserve(
    ctx: &mut Ctx<'_>,
    account: AccountId,
) -> Result<(Health, u32), Refusal> {
    let health = margin::health(ctx.exchange, account)?;
    if health.free_atoms() >= 0 {
        return Ok((health, 0));
    }
    margin::settle(ctx.exchange, account)?;
    let cancelled = if health.is_liquidatable() {
        prune::increasing(ctx, account)
    } else {
        prune::until_free(ctx, account)?
    };
    let health = margin::health(ctx.exchange, account)?;
    if health.free_atoms() < 0 {
        prune::worse_than_zero(ctx, account, &health)?;
    }
    Ok((health, cancelled))
}

/// One account's liquidation in one block.
struct Step {
    account: AccountId,
    /// Orders that the prune stage cancelled.
    cancelled: u32,
    /// What the block's step has still to close, by market.
    left: Vec<(MarketId, Lots)>,
    /// The last stage that was carried out.
    done: Option<LiquidationStage>,
    /// It has come to deleveraging.
    deleverages: bool,
}

impl Step {
    fn new(account: AccountId, cancelled: u32) -> Self {
        Self { account, cancelled, left: Vec::new(), done: None, deleverages: false }
    }

    /// Carries the stages out; deleveraging waits for all that come to it, and what is after it
    /// comes with the next call.
    fn run(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Refusal> {
        // `next_stage` ascends: at most one round for each of the six stages.
        loop {
            let health = margin::health(ctx.exchange, self.account)?;
            let account = margin::account(ctx.exchange, self.account)?;
            let backstop_ppm = account
                .positions
                .iter()
                .filter(|position| position.lots != 0)
                .map(|position| {
                    ctx.exchange.markets.slot(position.market).cell.market.params.backstop_ppm
                })
                .max();
            let has_position = account.has_position();
            let Some(stage) =
                next_stage(self.done, &health, has_position, backstop_ppm.unwrap_or(0))
            else {
                return Ok(());
            };
            match stage {
                LiquidationStage::Prune => self.report_prune(ctx, &health)?,
                LiquidationStage::Book => close::on_book(ctx, self)?,
                LiquidationStage::Backstop => backstop::by_keepers(ctx, self)?,
                LiquidationStage::InsuranceFund => close::with_fund(ctx, self)?,
                LiquidationStage::Adl if !self.deleverages => {
                    self.deleverages = true;
                    return Ok(());
                }
                LiquidationStage::Adl => {}
                LiquidationStage::BadDebt => close::book_debt(ctx, self)?,
            }
            self.done = Some(stage);
        }
    }

    fn report_prune(&self, ctx: &mut Ctx<'_>, health: &Health) -> Result<(), Refusal> {
        let largest = close::closable(ctx.exchange, self.account)?.first().copied();
        if let Some((market, lots)) = largest.filter(|_| self.cancelled > 0) {
            let facts =
                Facts { stage: LiquidationStage::Prune, market, held: lots, ..Facts::default() };
            ctx.events.push(self.event(ctx.exchange, health, facts, Closed::default()));
        }
        Ok(())
    }

    fn event(&self, state: &State, health: &Health, facts: Facts, closed: Closed) -> Event {
        let cell = &state.markets.slot(facts.market).cell;
        Event::Liquidation(Box::new(Liquidation {
            market: facts.market,
            account: self.account,
            stage: facts.stage,
            side: tidemark_proto::units::Side::reducing(facts.held),
            lots: closed.lots,
            price_ticks: closed.price_ticks,
            mark_ticks: cell.market.mark_ticks.unwrap_or(0),
            zero_price_ticks: facts.zero_price_ticks,
            equity_atoms: health.equity_atoms,
            maintenance_atoms: health.maintenance_atoms,
            fee_atoms: closed.fee_atoms,
            fund_paid_atoms: closed.fund_paid_atoms,
            orders_cancelled: if facts.stage == LiquidationStage::Prune {
                self.cancelled
            } else {
                0
            },
            arithmetic: Arithmetic {
                held_lots: facts.held,
                limit_ticks: facts.limit_ticks,
                sigma_ppm: sigma_ppm(&cell.market, facts.stage),
                due: facts.due,
                ..closed.arithmetic
            },
        }))
    }
}

/// σ of a stage's zero price.
fn sigma_ppm(market: &Market, stage: LiquidationStage) -> Ppm {
    match stage {
        LiquidationStage::Adl => adl::SIGMA_PPM,
        _ => market.params.zero_price_sigma_ppm,
    }
}

/// Why a position is closed.
#[derive(Clone, Copy, Default)]
struct Facts {
    stage: LiquidationStage,
    market: MarketId,
    /// The position before.
    held: SignedLots,
    zero_price_ticks: Ticks,
    /// What the zero price comes from.
    due: Option<ZeroTerms>,
    /// The worst price to close at.
    limit_ticks: Ticks,
}

/// What a stage closed of a position.
#[derive(Clone, Copy, Default)]
struct Closed {
    lots: Lots,
    price_ticks: Ticks,
    fee_atoms: Atoms,
    fund_paid_atoms: Atoms,
    /// The stage's own part of it.
    arithmetic: Arithmetic,
}

//! Stage 5: open remainders are closed against opposite positions at the zero price (rules §7.5).
//!
//! All accounts of a block that come to it do so together, market by market and side by side: each
//! holder of the other side is examined once, and those in profit share the whole amount. So a
//! block costs the accounts that close plus the accounts that hold the other side, not their
//! product; and no more than the market's gas, a half of which is for looking at holders.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, SignedLots};
use tidemark_risk::adl::{AdlFill, Counterparty, Queue};
use tidemark_risk::health::Health;
use tidemark_risk::settlement::closes_at_settlement_price;
use tidemark_risk::zero_price::bankruptcy_quote_delta;

use crate::events::Event;
use crate::exec::account::{health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::budget::{Budgets, Third, COUNTERPARTY_GAS, HOLDER_GAS};
use crate::exec::liquidation::counterparties::{counterparties, drawn, Bound, TableAccounts};
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Step};
use crate::exec::liquidation::{claims, step};
use crate::exec::meter::Budget;
use crate::exec::order::{cancel, prune};
use crate::invariant::{broken_account, invariant};
use crate::refusal::Refusal;
use crate::state::{EndangeredAccount, Failure, State};

/// Most rounds of one side of a market in a block. One is enough where every position stays in its
/// margin tier: a lot's zero price changes where it leaves one, and a market has at most so many.
const MAX_ROUNDS: u32 = 8;

/// Gas of a position that closes: a counterparty or more, and its own margin.
const CLOSING_GAS: u64 = 2 * COUNTERPARTY_GAS;

/// A position that is to be closed, or a part of it.
struct PositionToClose {
    /// Index of the account's step.
    step: usize,
    held: SignedLots,
    lots: Lots,
    /// The part of them that was added a short while ago.
    fresh_lots: Lots,
    health: Health,
    /// Quote of one lot at its zero price; a lower one asks less of a counterparty.
    lot_quote_atoms: Atoms,
}

/// One side of a market that steps have to close.
struct ClosingSide {
    market: MarketId,
    is_short: bool,
    /// Indices of the steps, those that lack most first.
    steps: Vec<usize>,
    /// Gas that is left for it.
    gas: u64,
}

/// Deleverages for all accounts that have come to it, as far as each market's gas goes.
pub(crate) fn for_all(ctx: &mut Ctx<'_>, steps: &mut [Step], budgets: &mut Budgets) {
    // A side keeps a quarter of its gas for those that are listed longest by itself.
    budgets.release(Third::Deleveraging);
    let sides = sides(ctx, steps, |step| step.deleverages);
    close_sides(ctx, steps, budgets, &sides, ClosingSide::close);
}

/// Closes fresh lots against fresh ones, for insolvent accounts whose turn on the book came first
/// for it ([`Step::closes_fresh`]): before others' liquidations fill orders by which the other side
/// of such lots would leave.
pub(crate) fn fresh_first(ctx: &mut Ctx<'_>, steps: &mut [Step], budgets: &mut Budgets) {
    let sides = sides(ctx, steps, |step| step.closes_fresh);
    close_sides(ctx, steps, budgets, &sides, ClosingSide::close_fresh);
}

/// Closes side after side within each market's gas.
fn close_sides(
    ctx: &mut Ctx<'_>,
    steps: &mut [Step],
    budgets: &mut Budgets,
    sides: &Sides,
    close: impl Fn(&mut ClosingSide, &mut Ctx<'_>, &mut [Step]) -> Result<(), Refusal>,
) {
    for ((market, is_short), side) in sides {
        // A market's gas is divided between its sides, if it has both.
        let has_other = !is_short && sides.contains_key(&(*market, true));
        let left = budgets.left(*market, Third::Deleveraging);
        let gas = if has_other { left / 2 } else { left };
        let mut side =
            ClosingSide { market: *market, is_short: *is_short, steps: side.clone(), gas };
        let closed = close(&mut side, ctx, steps);
        budgets.spend(*market, Third::Deleveraging, gas.saturating_sub(side.gas));
        if let Err(refusal) = closed {
            let why = refusal.labelled();
            invariant!(ctx.exchange, *market, Deleveraging, "deleveraging failed: {}", why);
        }
    }
}

/// Indices of the steps that close, by market and side, longs before shorts.
type Sides = BTreeMap<(MarketId, bool), Vec<usize>>;

/// The sides of markets that some of the steps have to close.
fn sides(ctx: &mut Ctx<'_>, steps: &[Step], comes: impl Fn(&Step) -> bool) -> Sides {
    let mut sides = Sides::new();
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| comes(step)) {
        match step::closable(ctx.exchange, step.account) {
            Ok(closable) => {
                for (market, held) in closable {
                    sides.entry((market, held.is_negative())).or_default().push(at);
                }
            }
            Err(refusal) => {
                let (account, why) = (step.account, refusal.labelled());
                let sentence = format!("account {account} could not be deleveraged: {why}");
                broken_account(ctx.exchange, account, Failure::Deleveraging, sentence);
            }
        }
    }
    sides
}

impl ClosingSide {
    /// Round after round, until one closes nothing or the gas ends. The steps that the gas did not
    /// reach are carried over.
    #[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
    fn close(&mut self, ctx: &mut Ctx<'_>, steps: &mut [Step]) -> Result<(), Refusal> {
        let mut asked = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            if self.gas == 0 || !self.steps.iter().any(|at| self.is_open(ctx, &steps[*at])) {
                break;
            }
            if self.round(ctx, steps, &mut asked)?.is_zero() {
                break;
            }
        }
        for at in &self.steps {
            if !asked.contains(at) && self.is_open(ctx, &steps[*at]) {
                steps[*at].carried = true;
            }
        }
        Ok(())
    }

    /// Fresh lots against fresh ones alone, round after round, until one closes nothing or the gas
    /// ends.
    fn close_fresh(&mut self, ctx: &mut Ctx<'_>, steps: &mut [Step]) -> Result<(), Refusal> {
        for _ in 0..MAX_ROUNDS {
            if self.gas == 0 {
                break;
            }
            let counterparties = self.counterparties(ctx)?;
            if self.fresh_pass(ctx, steps, &counterparties, &mut BTreeSet::new())?.is_zero() {
                break;
            }
        }
        Ok(())
    }

    /// Holders of the other side, as far as half of the gas reaches; charges the look at them.
    fn counterparties(&mut self, ctx: &mut Ctx<'_>) -> Result<Vec<Counterparty>, Refusal> {
        let sign = if self.is_short { Side::Sell } else { Side::Buy };
        let bound = Bound::of(self.gas / 2);
        let (found, looked_at) = counterparties(ctx.exchange, self.market, sign, bound)?;
        self.spend(looked_at.saturating_mul(HOLDER_GAS));
        Ok(found)
    }

    /// Closes fresh lots against those of the counterparties; says how many.
    fn fresh_pass(
        &mut self,
        ctx: &mut Ctx<'_>,
        steps: &mut [Step],
        counterparties: &[Counterparty],
        asked: &mut BTreeSet<usize>,
    ) -> Result<Lots, Refusal> {
        if counterparties.iter().all(|of| of.fresh_lots.is_zero()) {
            return Ok(Lots::ZERO);
        }
        let lots = |closing: &PositionToClose| closing.fresh_lots;
        let closings = self.closings(ctx, steps)?;
        let fresh = sum(&closings, lots);
        if fresh.is_zero() {
            return Ok(Lots::ZERO);
        }
        let first = drawn(ctx.exchange);
        let mut queue = Queue::of_fresh(self.market, fresh, counterparties, first)?;
        self.pass(ctx, steps, (&closings, lots), &mut queue, asked)
    }

    fn is_open(&self, ctx: &Ctx<'_>, step: &Step) -> bool {
        let held = lookup::held(ctx.exchange, step.account, self.market);
        held.is_negative() == self.is_short
            && !step.lots_due(self.market, held, LiquidationStage::Adl, true).is_zero()
    }

    fn spend(&mut self, gas: u64) {
        self.gas = self.gas.saturating_sub(gas);
    }

    /// The steps that the gas reaches: for three quarters of it those that lack most, then those
    /// that are listed longest.
    #[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
    fn batch(&self, ctx: &Ctx<'_>, steps: &[Step]) -> Vec<usize> {
        let most = (self.gas / CLOSING_GAS).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let open = self.steps.iter().copied().filter(|at| self.is_open(ctx, &steps[*at]));
        let mut batch: Vec<usize> = open.collect();
        if batch.len() > most {
            let mut others = batch.split_off(most.saturating_sub(most / 4));
            // Stable: those that lack most stay first among those listed as long.
            others.sort_by_key(|at| steps[*at].row.since);
            batch.extend(others.into_iter().take(most / 4));
        }
        batch
    }

    /// Closes positions of the side, as far as anyone can bear it; says how many lots. Fresh lots
    /// go against fresh ones first: who opened both sides a short while ago bears its own loss.
    fn round(
        &mut self,
        ctx: &mut Ctx<'_>,
        steps: &mut [Step],
        asked: &mut BTreeSet<usize>,
    ) -> Result<Lots, Refusal> {
        let counterparties = self.counterparties(ctx)?;
        let closed = self.fresh_pass(ctx, steps, &counterparties, asked)?;
        let closings = self.closings(ctx, steps)?;
        let all = sum(&closings, |closing| closing.lots);
        let mut queue = queue(ctx.exchange, self.market, &counterparties, all)?;
        let lots = |closing: &PositionToClose| closing.lots;
        let others = self.pass(ctx, steps, (&closings, lots), &mut queue, asked)?;
        Ok(closed.saturating_add(others))
    }

    /// Closes so many lots of each against one queue.
    #[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
    fn pass(
        &mut self,
        ctx: &mut Ctx<'_>,
        steps: &mut [Step],
        (closings, lots_of): (&[PositionToClose], impl Fn(&PositionToClose) -> Lots),
        queue: &mut Queue,
        asked: &mut BTreeSet<usize>,
    ) -> Result<Lots, Refusal> {
        queue.limit((self.gas / COUNTERPARTY_GAS).max(1));
        let mut closed = Lots::ZERO;
        for closing in closings {
            let (visits, wanted) = (queue.visits_left(), lots_of(closing));
            if visits == 0 {
                break;
            }
            if wanted.is_zero() {
                continue;
            }
            asked.insert(closing.step);
            let position = (self.market, closing.held);
            let step = &mut steps[closing.step];
            let lots = close(ctx, step, queue, position, (wanted, &closing.health))?;
            step.took(self.market, lots);
            closed = closed.saturating_add(lots);
            let visits = visits.saturating_sub(queue.visits_left()).saturating_add(1);
            self.spend(visits.saturating_mul(COUNTERPARTY_GAS));
        }
        Ok(closed)
    }

    /// Returns the positions that steps have to close now, first those whose price asks least of a
    /// counterparty: one that cannot bear a lot of these can bear none after it.
    #[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
    fn closings(&self, ctx: &Ctx<'_>, steps: &[Step]) -> Result<Vec<PositionToClose>, Refusal> {
        let mut closings = Vec::new();
        for at in self.batch(ctx, steps) {
            closings.extend(closing(ctx.exchange, &steps[at], at, self.market)?);
        }
        closings.sort_by_key(|closing| closing.lot_quote_atoms);
        Ok(closings)
    }
}

/// Lots of positions, all together.
fn sum(closings: &[PositionToClose], lots: impl Fn(&PositionToClose) -> Lots) -> Lots {
    closings.iter().map(lots).fold(Lots::ZERO, Lots::saturating_add)
}

/// Returns the position that a step has to close in a market now.
fn closing(
    state: &State,
    step: &Step,
    at: usize,
    market: MarketId,
) -> Result<Option<PositionToClose>, Refusal> {
    let (held, health) =
        (lookup::held(state, step.account, market), health::health(state, step.account)?);
    let is_insolvent = step::is_insolvent(state, step.account, &health)?;
    let lots = step.lots_due(market, held, LiquidationStage::Adl, is_insolvent);
    if lots.is_zero() || !health.is_liquidatable() {
        return Ok(None);
    }
    let market_row = &state.markets.slot(market).cell.market;
    let lot_quote_atoms =
        bankruptcy_quote_delta(market_row, held, step::closing_delta(held, Lots::ONE), &health)?;
    let window = market_row.window();
    let fresh_lots = claims::fresh(state, step.account, market).lots(window).min(lots);
    Ok(Some(PositionToClose { step: at, held, lots, fresh_lots, health, lot_quote_atoms }))
}

fn queue(
    state: &State,
    market: MarketId,
    counterparties: &[Counterparty],
    lots: Lots,
) -> Result<Queue, Refusal> {
    Ok(Queue::new(market, lots, counterparties, drawn(state), &state.markets)?)
}

fn close(
    ctx: &mut Ctx<'_>,
    step: &Step,
    queue: &mut Queue,
    (market, held): (MarketId, SignedLots),
    (lots, health): (Lots, &Health),
) -> Result<Lots, Refusal> {
    let mut closing = lookup::account(ctx.exchange, step.account)?.clone();
    let fills = queue.close(
        &mut closing,
        lots,
        &mut TableAccounts(&mut ctx.exchange.accounts),
        &mut ctx.exchange.markets,
    )?;
    if fills.is_empty() {
        return Ok(Lots::ZERO);
    }
    let row = ctx.exchange.accounts.get_mut(step.account);
    *row.ok_or(Refusal::UnknownAccount(step.account))? = closing;
    report(ctx, step, health, (market, held), &fills);
    cancel::fit_reduce_only(ctx, step.account, market, Side::reducing(held));
    for fill in &fills {
        cancel::fit_reduce_only(ctx, fill.account, market, Side::reducing(held).opposite());
        prune::within(ctx, fill.account)?;
    }
    Ok(fills.iter().map(|fill| fill.lots).sum())
}

fn report(
    ctx: &mut Ctx<'_>,
    step: &Step,
    health: &Health,
    (market, held): (MarketId, SignedLots),
    fills: &[AdlFill],
) {
    let lots: Lots = fills.iter().map(|fill| fill.lots).sum();
    let quote_atoms: Atoms = fills.iter().map(|fill| fill.quote_atoms).sum();
    let position = (market, held);
    step::report_off_book(
        ctx,
        step,
        health,
        LiquidationStage::Adl,
        position,
        (lots, quote_atoms, Atoms::ZERO),
    );
    let side = Side::reducing(held).opposite();
    for fill in fills {
        let price_ticks = step::average_ticks(ctx.exchange, market, fill.quote_atoms, fill.lots);
        ctx.events.push(Event::Adl {
            market,
            account: fill.account,
            side,
            price_ticks,
            lots: fill.lots,
        });
    }
}

/// In a final settlement: an account with equity below 0, for which the fund has paid
/// `fund_paid_atoms`. What is still below 0 is deleveraged in this market, as far as the gas
/// reaches. Returns true if the gas ended it before its end.
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn deleverage_insolvent(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    fund_paid_atoms: Atoms,
    gas: &mut Budget,
) -> Result<bool, Refusal> {
    let step = Step::new(EndangeredAccount::new(account, ctx.exchange.chain.height));
    let held = lookup::held(ctx.exchange, account, market);
    let health = health::health(ctx.exchange, account)?;
    if fund_paid_atoms.is_positive() {
        let facts = ClosingTerms {
            stage: LiquidationStage::InsuranceFund,
            market,
            held,
            ..ClosingTerms::default()
        };
        ctx.events.push(step.event(
            ctx.exchange,
            &health,
            facts,
            ClosedPart { fund_paid_atoms, ..ClosedPart::default() },
        ));
    }
    if closes_at_settlement_price(health.equity_atoms) {
        return Ok(false);
    }
    let lots = held.unsigned_abs();
    let sign = if held.is_negative() { Side::Sell } else { Side::Buy };
    let bound = Bound::of(gas.left() / 2);
    let (counterparties, looked_at) = counterparties(ctx.exchange, market, sign, bound)?;
    gas.spend(looked_at.saturating_mul(HOLDER_GAS));
    let mut queue = queue(ctx.exchange, market, &counterparties, lots)?;
    let visits = u64::from(gas.pieces(COUNTERPARTY_GAS)).max(1);
    queue.limit(visits);
    let closed = close(ctx, &step, &mut queue, (market, held), (lots, &health))?;
    gas.spend(visits.saturating_sub(queue.visits_left()).saturating_mul(COUNTERPARTY_GAS));
    Ok(closed < lots && !closed.is_zero())
}

//! Phase 4: the liquidation sweep (rules §§7.7, 7.8, 7.12), part of every block, right after the
//! prices.
//!
//! Every account below maintenance is found in the block that shows it, and has its step in that
//! block as far as the gas goes: those that lack most first, and those that are listed longest.
//! Positions in a market whose index is stale, or that is paused or quarantined, count at their
//! last mark and are left alone.

use std::cmp::Reverse;

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, MarketId};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation::{next_stage, Beyond};
use tidemark_risk::Position;

use crate::exec::account::{at_risk, health, lookup};
use crate::exec::collateral::{cash, outflow};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::budget::{Budgets, Third, STEP_GAS};
use crate::exec::liquidation::deficits::BelowZero;
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Kept, Left, Step};
use crate::exec::liquidation::{backstop, close, danger, debt, deleverage, review, step};
use crate::exec::order::prune;
use crate::invariant::broken_account;
use crate::refusal::Refusal;
use crate::state::{EndangeredAccount, Failure, State};

/// Looks at every account at risk. All accounts are pruned, or frozen, before the first position is
/// closed, so that liquidations meet only reserved orders on the book. No account's pruning changes
/// another's margin.
pub(crate) fn sweep(ctx: &mut Ctx<'_>) {
    ctx.exchange.danger.frozen.clear();
    review::go_on(ctx);
    let mut active = vec![false; ctx.exchange.markets.len()];
    let looked_at = look_at_all(ctx, &mut active);
    let equities = looked_at.iter().map(|of| (of.row.account, of.health.equity_atoms));
    let below_zero = BelowZero::of(equities);
    let mut steps = prune_all(ctx, looked_at);
    let before = backstop::unlist(ctx.exchange);
    let mut budgets = Budgets::divided(ctx.exchange, &active);
    fresh_first(ctx, &mut steps, &mut budgets);
    by_rank(ctx, &mut steps, &mut budgets, Third::Book, first_turn);
    further_turns(ctx, &mut steps, &mut budgets);
    for step in &mut steps {
        go_on(ctx, step, &mut budgets);
    }
    by_rank(ctx, &mut steps, &mut budgets, Third::OffBook, run_stages);
    deleverage::for_all(ctx, &mut steps, &mut budgets);
    for step in steps.iter_mut().filter(|step| step.deleverages) {
        carry_out(ctx, step, &mut budgets, run_stages);
    }
    danger::note(ctx, &steps);
    backstop::list(ctx, &steps, &before);
    outflow::note_losses(ctx.exchange, below_zero.left(ctx.exchange, &steps));
}

/// An account at risk, before anything is done about it.
struct LookedAt {
    row: EndangeredAccount,
    health: Health,
    /// `MM − E`; a difference beyond 127 bits keeps its sign.
    shortfall_atoms: Atoms,
    /// True where free collateral is below 0 and some order may have to go.
    is_pruned: bool,
    /// True below maintenance, or in debt without a position.
    is_due: bool,
    /// The market whose gas pays for its step.
    home: Option<MarketId>,
}

/// All accounts at risk: those first that lack most of their maintenance margin, ties by account
/// id. Marks the markets in which a position may be closed.
fn look_at_all(ctx: &mut Ctx<'_>, active: &mut [bool]) -> Vec<LookedAt> {
    let listed = std::mem::take(&mut ctx.exchange.danger.listed);
    let mut listed = listed.into_iter().peekable();
    let height = ctx.exchange.chain.height;
    let mut all = Vec::new();
    // Ascending, as the list is: rows of accounts are read in the order in which they are stored.
    for (account, found) in at_risk::find(ctx.exchange) {
        ctx.work.visit_account();
        while listed.next_if(|row| row.account < account).is_some() {}
        let row = listed.next_if(|row| row.account == account);
        let row = row.unwrap_or_else(|| EndangeredAccount::new(account, height));
        let looked_at = found
            .map_err(Refusal::from)
            .and_then(|health| look_at(ctx.exchange, row, health, active));
        match looked_at {
            Ok(of) => all.push(of),
            Err(refusal) => fail(ctx, account, "could not be examined", &refusal),
        }
    }
    all.sort_by_cached_key(|of| (Reverse(of.shortfall_atoms), of.row.account));
    all
}

fn look_at(
    state: &State,
    row: EndangeredAccount,
    health: Health,
    active: &mut [bool],
) -> Result<LookedAt, Refusal> {
    let account = row.account;
    let holdings = lookup::account(state, account)?;
    let has_orders = |market| {
        let slot = state.markets.slot(market);
        slot.book.open_orders(account) > 0 || slot.conditional.increasing(account) > 0
    };
    let is_pruned = health.free_atoms().is_negative()
        && holdings.positions.iter().any(|position| has_orders(position.market));
    let is_due =
        health.is_liquidatable() || health.equity_atoms.is_negative() && !holdings.has_position();
    let tell = |market: MarketId| {
        if let Some(active) = active.get_mut(market.index()) {
            *active = true;
        }
    };
    let home = if is_due { step::home(state, account, tell)? } else { None };
    let shortfall_atoms = health.maintenance_atoms.saturating_sub(health.equity_atoms);
    Ok(LookedAt { row, health, shortfall_atoms, is_pruned, is_due, home })
}

/// Admission keeps amounts far below the bounds of every calculation.
fn fail(ctx: &mut Ctx<'_>, account: AccountId, what: &str, refusal: &Refusal) {
    let why = refusal.labelled();
    broken_account(
        ctx.exchange,
        account,
        Failure::Margin,
        format!("account {account} {what}: {why}"),
    );
}

/// Prunes accounts without free collateral, or freezes them; returns the steps of those below
/// maintenance, or in debt without a position.
fn prune_all(ctx: &mut Ctx<'_>, looked_at: Vec<LookedAt>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(looked_at.len());
    for of in looked_at {
        let account = of.row.account;
        let pruned = if of.is_pruned { pruned(ctx, &of) } else { Ok(()) };
        let enters = of.is_due && of.row.since == ctx.exchange.chain.height;
        let entered = if enters { debt::enters_danger(ctx.exchange, account) } else { Ok(()) };
        match pruned.and(entered) {
            Ok(()) if of.is_due => steps.push(Step { home: of.home, ..Step::new(of.row) }),
            Ok(()) => {}
            Err(refusal) => fail(ctx, account, "could not be examined", &refusal),
        }
    }
    steps
}

fn pruned(ctx: &mut Ctx<'_>, of: &LookedAt) -> Result<(), Refusal> {
    let cancelled = prune::within(ctx, of.row.account)?;
    if of.is_due && cancelled > 0 {
        report_prune(ctx, of.row.account, cancelled, &of.health)?;
    }
    Ok(())
}

/// Carries something out for one step; says whether the gas reached it.
fn carry_out(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
    work: impl Fn(&mut Ctx<'_>, &mut Step, &mut Budgets) -> Result<bool, Refusal>,
) -> bool {
    work(ctx, step, budgets).unwrap_or_else(|refusal| {
        let (account, why) = (step.account, refusal.labelled());
        let sentence = format!("a liquidation step of account {account} failed: {why}");
        broken_account(ctx.exchange, account, Failure::Liquidation, sentence);
        true
    })
}

/// Carries something out for all steps: those that lack most first, for three quarters of the gas;
/// then those that are listed longest, which are the others.
#[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
fn by_rank(
    ctx: &mut Ctx<'_>,
    steps: &mut [Step],
    budgets: &mut Budgets,
    third: Third,
    work: impl Fn(&mut Ctx<'_>, &mut Step, &mut Budgets) -> Result<bool, Refusal>,
) {
    let mut others = Vec::new();
    for (at, step) in steps.iter_mut().enumerate() {
        if !carry_out(ctx, step, budgets, &work) {
            others.push(at);
        }
    }
    budgets.release(third);
    // Stable: those that lack most stay first among those listed as long.
    others.sort_by_key(|at| steps[*at].row.since);
    for at in others {
        carry_out(ctx, &mut steps[at], budgets, &work);
    }
}

/// Insolvent accounts with fresh lots, before all others: their turn on the book, then their fresh
/// lots against those of the other side. An owner of both sides would else leave one by orders that
/// others' liquidations fill, and leave the loss of the other to strangers.
fn fresh_first(ctx: &mut Ctx<'_>, steps: &mut [Step], budgets: &mut Budgets) {
    for step in steps.iter_mut() {
        match closes_fresh(ctx.exchange, step) {
            Ok(closes) => step.closes_fresh = closes,
            Err(refusal) => fail(ctx, step.account, "could not be examined", &refusal),
        }
        if step.closes_fresh {
            carry_out(ctx, step, budgets, first_turn);
        }
    }
    deleverage::fresh_first(ctx, steps, budgets);
}

/// Returns true for an insolvent account that holds fresh lots: by its health of now, as the turns
/// before its own may have filled its exits.
fn closes_fresh(state: &State, step: &Step) -> Result<bool, Refusal> {
    let positions = &lookup::account(state, step.account)?.positions;
    let is_fresh = |position: &Position| {
        let window = state.markets.slot(position.market).cell.market.window();
        !position.fresh.lots(window).is_zero()
    };
    if step.home.is_none() || !positions.iter().any(is_fresh) {
        return Ok(false);
    }
    let health = health::health(state, step.account)?;
    Ok(health.equity_atoms.is_negative() && step::is_insolvent(state, step.account, &health)?)
}

/// The first turn of stage 2; of those that had it already nothing more.
fn first_turn(ctx: &mut Ctx<'_>, step: &mut Step, budgets: &mut Budgets) -> Result<bool, Refusal> {
    if step.reached {
        return Ok(true);
    }
    let Some(home) = step.home else { return Ok(true) };
    if budgets.left(home, Third::Book) == 0 {
        return Ok(false);
    }
    step.reached = true;
    step.done = Some(LiquidationStage::Book);
    cash::settle_funding(ctx.exchange, step.account)?;
    close::on_book(ctx, step, budgets)?;
    // Afterwards, so that who begins with gas left meets a maker.
    budgets.spend(home, Third::Book, STEP_GAS);
    Ok(true)
}

/// Turn after turn for those that the bound of makers ended, while their markets have gas: each
/// turn uses some up.
#[expect(clippy::indexing_slicing, reason = "indices are those of the steps")]
fn further_turns(ctx: &mut Ctx<'_>, steps: &mut [Step], budgets: &mut Budgets) {
    let bound = |left: &&Left| left.kept == Kept::ByBound && !left.lots.is_zero();
    let of = |(at, step): (usize, &Step)| -> Vec<(usize, MarketId)> {
        step.left.iter().filter(bound).map(|left| (at, left.market)).collect()
    };
    let mut waiting: Vec<(usize, MarketId)> = steps.iter().enumerate().flat_map(of).collect();
    while !waiting.is_empty() {
        waiting.retain(|(at, market)| {
            // A turn that fails is the account's last.
            let turn = |ctx: &mut Ctx<'_>, step: &mut Step, budgets: &mut Budgets| {
                close::turn(ctx, step, budgets, *market).map(|by_bound| !by_bound)
            };
            !carry_out(ctx, &mut steps[*at], budgets, turn)
        });
    }
}

/// After the turns: what bound and gas have kept open for too long goes on to the later stages, in
/// accounts that the gas has not reached at all too.
fn go_on(ctx: &mut Ctx<'_>, step: &mut Step, budgets: &mut Budgets) {
    let Some(home) = step.home else { return };
    if !step.reached && step.row.is_overdue(home) {
        let enter = |ctx: &mut Ctx<'_>, step: &mut Step, budgets: &mut Budgets| {
            if !budgets.take(home, Third::OffBook, STEP_GAS) {
                return Ok(false);
            }
            cash::settle_funding(ctx.exchange, step.account)?;
            close::without_book(ctx, step)?;
            (step.reached, step.done) = (true, Some(LiquidationStage::Book));
            Ok(true)
        };
        carry_out(ctx, step, budgets, enter);
    }
    for left in step.left.iter_mut().filter(|left| left.kept == Kept::ByBound) {
        if step.row.is_overdue(left.market) {
            left.kept = Kept::Overdue;
        }
    }
}

/// Carries out a step's stages after the book. Deleveraging waits until all steps that need it have
/// come to it; the next call carries out the stages after it.
fn run_stages(ctx: &mut Ctx<'_>, step: &mut Step, budgets: &mut Budgets) -> Result<bool, Refusal> {
    let Some(home) = step.home.filter(|_| step.reached) else { return Ok(true) };
    // `next_stage` ascends: at most one round for each of the six stages.
    loop {
        let health = health::health(ctx.exchange, step.account)?;
        // Without a position there is no maintenance margin, and so nothing for keepers to take.
        let has_position = lookup::account(ctx.exchange, step.account)?.has_position();
        let beyond = Beyond {
            backstop_ppm: step::backstop_ppm(ctx.exchange, step.account)?,
            is_insolvent: step::is_insolvent(ctx.exchange, step.account, &health)?,
            is_overdue: step.is_overdue(),
        };
        let Some(stage) = next_stage(step.done, &health, has_position, beyond) else {
            return Ok(true);
        };
        if stage == LiquidationStage::Adl {
            if !step.deleverages {
                step.deleverages = true;
                return Ok(true);
            }
        } else {
            step.carried = budgets.left(home, Third::OffBook) == 0;
            if step.carried {
                return Ok(false);
            }
        }
        let mut works = stage != LiquidationStage::Adl;
        match stage {
            LiquidationStage::Backstop => works = backstop::by_keepers(ctx, step, budgets)?,
            LiquidationStage::InsuranceFund => close::with_fund(ctx, step, budgets)?,
            LiquidationStage::BadDebt => debt::book(ctx, step)?,
            // Orders went before, positions were closed on the book before; deleveraging is for all
            // steps together.
            LiquidationStage::Prune | LiquidationStage::Book | LiquidationStage::Adl => {}
        }
        if works {
            budgets.spend(home, Third::OffBook, STEP_GAS);
        }
        step.done = Some(stage);
    }
}

fn report_prune(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    cancelled: u32,
    health: &Health,
) -> Result<(), Refusal> {
    let largest = step::closable(ctx.exchange, account)?.first().copied();
    if let Some((market, lots)) = largest {
        let facts = ClosingTerms {
            stage: LiquidationStage::Prune,
            market,
            held: lots,
            ..ClosingTerms::default()
        };
        let event =
            step::event(ctx.exchange, (account, cancelled), health, facts, ClosedPart::default());
        ctx.events.push(event);
    }
    Ok(())
}

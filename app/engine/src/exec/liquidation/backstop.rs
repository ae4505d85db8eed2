//! Stage 3: keepers take over the rest that the book left, at the zero price; and the list that
//! tells them of it (rules §7.3).
//!
//! In one block: the takeovers that keepers requested, in the order of their transactions and of
//! any part of the position; then shares of the step's remaining lots, pro rata to the collateral
//! set aside. A takeover uses up the keeper's set-aside collateral alone, a tenth of it in a block
//! at most. What keepers leave of an account that can still pay stays listed.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, SignedLots};
use tidemark_risk::backstop::{set_aside_used_atoms, take_over, TakeoverOutcome, TakeoverPrice};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation::{fund_allowance_atoms, pay_from_fund, takes_at_zero_price};
use tidemark_risk::sharing::{most_that_bears, share, Claim};
use tidemark_risk::{Keeper, Market, RiskError};

use crate::events::Event;
use crate::exec::account::{health, lookup};
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::budget::{Budgets, Third, KEEPER_GAS};
use crate::exec::liquidation::step::Step;
use crate::exec::liquidation::{claims, step};
use crate::exec::order::cancel;
use crate::invariant::broken_account;
use crate::refusal::Refusal;
use crate::state::{Failure, ListedPosition, MarketCell, State, Takeover, MAX_LISTED};

/// Lets keepers take what is due of a step. Returns true if there was something for them.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
pub(crate) fn by_keepers(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
) -> Result<bool, Refusal> {
    let mut any_due = false;
    for (market, held) in step::closable(ctx.exchange, step.account)? {
        let health = health::health(ctx.exchange, step.account)?;
        let market_row = &ctx.exchange.markets.slot(market).cell.market;
        if market_row.keepers.is_empty() {
            continue;
        }
        let takes = takes_at_zero_price(&health, market_row.params.backstop_ppm);
        let (price, takes) = if health.equity_atoms.is_negative() {
            let is_insolvent = step::is_insolvent(ctx.exchange, step.account, &health)?;
            (TakeoverPrice::BelowMark, is_insolvent)
        } else {
            (TakeoverPrice::Zero, takes)
        };
        let due = |step: &Step, state: &State| due(state, step, market, price, takes);
        if due(step, ctx.exchange).is_zero() {
            continue;
        }
        any_due = true;
        let mut taken = Taken::default();
        let of = Closing { account: step.account, market, price };
        let all_asked = asked_for(ctx, of, due(step, ctx.exchange), budgets, &mut taken)?;
        let asked = taken.lots;
        step.took(market, asked);
        let due = due(step, ctx.exchange);
        let all_shared = pro_rata(ctx, of, due, budgets, &mut taken)?;
        step.took(market, taken.lots - asked);
        if !all_asked || !all_shared {
            step.keep_open(market);
        }
        let closed = (taken.lots, taken.quote_atoms, taken.fund_paid_atoms);
        step::report_off_book(
            ctx,
            step,
            &health,
            LiquidationStage::Backstop,
            (market, held),
            closed,
        );
        cancel::fit_reduce_only(ctx, step.account, market, Side::reducing(held));
    }
    Ok(any_due)
}

/// Lots of a step that keepers may take. Below 0 the fund pays for them, so they are old ones, and
/// none that the book has not refused at the price.
fn due(state: &State, step: &Step, market: MarketId, price: TakeoverPrice, takes: bool) -> Lots {
    let held = lookup::held(state, step.account, market);
    match price {
        TakeoverPrice::Zero => step.lots_due(market, held, LiquidationStage::Backstop, takes),
        TakeoverPrice::BelowMark => step
            .lots_due(market, held, LiquidationStage::InsuranceFund, takes)
            .min(claims::old_lots(state, step.account, market)),
    }
}

/// The position that keepers take, and its price.
#[derive(Clone, Copy)]
struct Closing {
    account: AccountId,
    market: MarketId,
    price: TakeoverPrice,
}

/// The part of a position that keepers have taken.
#[derive(Default)]
struct Taken {
    lots: Lots,
    /// Payments of the fund to the closing account.
    fund_paid_atoms: Atoms,
    /// Quote that the closing account got (positive) or paid.
    quote_atoms: Atoms,
}

/// Serves the takeovers that wait for this position; returns false where the market's gas ended
/// before all were served.
fn asked_for(
    ctx: &mut Ctx<'_>,
    of: Closing,
    due: Lots,
    budgets: &mut Budgets,
    taken: &mut Taken,
) -> Result<bool, Refusal> {
    let waiting = &ctx.exchange.markets.slot(of.market).cell.takeovers;
    let waiting: Vec<Takeover> =
        waiting.iter().filter(|takeover| takeover.account == of.account).copied().collect();
    for takeover in waiting {
        if !budgets.take(of.market, Third::OffBook, KEEPER_GAS) {
            return Ok(false);
        }
        let lots = match of.price {
            TakeoverPrice::Zero => takeover.lots,
            TakeoverPrice::BelowMark => takeover.lots.min(due.saturating_sub(taken.lots)),
        };
        take(ctx, of, lots, takeover.keeper, taken)?;
    }
    Ok(true)
}

/// Shares `lots` among the keepers pro rata to their set-aside collateral, largest remainder, ties
/// by account id. The part that a keeper cannot bear goes to keepers that bore theirs: each round
/// ends the sharing, or a keeper's part in it. Returns false where the market's gas ended before
/// all were asked.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn pro_rata(
    ctx: &mut Ctx<'_>,
    of: Closing,
    lots: Lots,
    budgets: &mut Budgets,
    taken: &mut Taken,
) -> Result<bool, Refusal> {
    let market = of.market;
    let mut left = lots;
    let mut able: Vec<AccountId> = ctx
        .exchange
        .markets
        .slot(market)
        .cell
        .market
        .keepers
        .iter()
        .map(|keeper| keeper.account)
        .collect();
    while !left.is_zero() && !able.is_empty() {
        let claim = |keeper: &AccountId| {
            let weight_atoms = set_aside(ctx.exchange, market, *keeper);
            Claim { account: *keeper, most_lots: left, weight_atoms }
        };
        let shares = share(left, able.iter().map(claim))?;
        able.clear();
        for (keeper, wanted) in shares {
            if !budgets.take(market, Third::OffBook, KEEPER_GAS) {
                return Ok(false);
            }
            let got = take(ctx, of, wanted, keeper, taken)?;
            left -= got;
            if got == wanted {
                able.push(keeper);
            }
        }
    }
    Ok(true)
}

fn set_aside(state: &State, market: MarketId, keeper: AccountId) -> Atoms {
    row_of(state, market, keeper).map_or(Atoms::ZERO, |row| row.set_aside_atoms)
}

fn row_of(state: &State, market: MarketId, keeper: AccountId) -> Option<Keeper> {
    let keepers = &state.markets.slot(market).cell.market.keepers;
    let at = keepers.binary_search_by_key(&keeper, |row| row.account);
    at.ok().and_then(|at| keepers.get(at)).copied()
}

/// One keeper takes up to `lots`: as many as a tenth of its set-aside collateral bears, and as the
/// fund pays for, premiums included; returns how many.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn take(
    ctx: &mut Ctx<'_>,
    of: Closing,
    lots: Lots,
    keeper: AccountId,
    taken: &mut Taken,
) -> Result<Lots, Refusal> {
    let (closing, market) = (of.account, of.market);
    // A keeper without room for one more isolated account takes nothing: the others are asked, and
    // the account that closes goes on to the next stage.
    let Ok(trader) = isolated::account_for(ctx.exchange, keeper, market) else {
        return Ok(Lots::ZERO);
    };
    let held = lookup::held(ctx.exchange, closing, market);
    let lots = lots.min(held.unsigned_abs());
    let Some(row) = row_of(ctx.exchange, market, keeper) else { return Ok(Lots::ZERO) };
    if trader == closing || lots.is_zero() {
        return Ok(Lots::ZERO);
    }
    cash::settle_funding(ctx.exchange, trader)?;
    let health = health::health(ctx.exchange, closing)?;
    let free_atoms = health::health(ctx.exchange, trader)?.free_atoms();
    let usable_atoms = row.usable_atoms();
    let market_row = &ctx.exchange.markets.slot(market).cell.market;
    let allowance_atoms = fund_allowance_atoms(market_row, &ctx.exchange.chain.treasury);
    let room_atoms = market_row.ledger.room_atoms(market_row.day());
    let bears = |lots: Lots| {
        let delta = step::closing_delta(held, lots);
        let attempt = attempt(ctx.exchange, of, trader, delta, &health)?;
        if attempt.owed_atoms > allowance_atoms || attempt.premium_atoms > room_atoms {
            return Ok(None);
        }
        let free_after = health::health_as(ctx.exchange, trader, &attempt.keeper)?.free_atoms();
        let used = RiskError::borne(set_aside_used_atoms(free_atoms, free_after, usable_atoms))?;
        Ok::<_, Refusal>(used.map(|used| (lots, attempt, used)))
    };
    let most = most_that_bears(lots, bears)?;
    let Some((lots, attempt, used_atoms)) = most else { return Ok(Lots::ZERO) };
    taken.lots += lots;
    taken.quote_atoms += attempt.quote_atoms;
    taken.fund_paid_atoms += attempt.owed_atoms;
    carry_out(ctx, (closing, keeper, trader), held, lots, attempt, used_atoms)?;
    Ok(lots)
}

/// Makes an attempt the state.
fn carry_out(
    ctx: &mut Ctx<'_>,
    (closing, keeper, trader): (AccountId, AccountId, AccountId),
    held: SignedLots,
    lots: Lots,
    attempt: TakeoverOutcome,
    used_atoms: Atoms,
) -> Result<(), Refusal> {
    let market = attempt.market.params.id;
    let fresh = claims::fresh(ctx.exchange, closing, market);
    let (closing_row, mut keeper_row) = (attempt.closing, attempt.keeper);
    let (market_row, quote_atoms) = (attempt.market, attempt.quote_atoms);
    keeper_row.collateral_atoms = keeper_row
        .collateral_atoms
        .checked_add(used_atoms)
        .ok_or_else(|| Refusal::overflow("the keeper's collateral"))?;
    let side = Side::reducing(held).opposite();
    let cell = &mut ctx.exchange.markets.slot_mut(market).cell;
    cell.market = market_row;
    use_up(&mut cell.market, keeper, used_atoms);
    for (account, row) in [(closing, closing_row), (trader, keeper_row)] {
        let place = ctx.exchange.accounts.get_mut(account);
        *place.ok_or(Refusal::UnknownAccount(account))? = row;
    }
    if attempt.owed_atoms.is_positive() {
        let market_row = &mut ctx.exchange.markets.slot_mut(market).cell.market;
        let paid = pay_from_fund(market_row, &mut ctx.exchange.chain.treasury, attempt.owed_atoms)?;
        market_row.ledger.count(market_row.day(), Atoms::ZERO, attempt.premium_atoms);
        cash::credit(ctx.exchange, closing, paid)?;
        claims::keep_fresh(ctx.exchange, (closing, market), fresh)?;
    }
    cancel::fit_reduce_only(ctx, trader, market, side);
    let price_ticks = step::average_ticks(ctx.exchange, market, quote_atoms, lots);
    ctx.events.push(Event::TakenOver {
        market,
        account: trader,
        side,
        price_ticks,
        lots,
        set_aside_used_atoms: used_atoms,
    });
    Ok(())
}

/// Takes used collateral off a keeper's set-aside; a keeper without any leaves the list.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn use_up(market_row: &mut Market, keeper: AccountId, used_atoms: Atoms) {
    for entry in market_row.keepers.iter_mut().filter(|entry| entry.account == keeper) {
        entry.set_aside_atoms -= used_atoms;
        entry.used_in_block_atoms += used_atoms;
    }
    market_row.keepers.retain(|entry| entry.set_aside_atoms.is_positive());
}

fn attempt(
    state: &State,
    of: Closing,
    keeper: AccountId,
    delta: SignedLots,
    health: &Health,
) -> Result<TakeoverOutcome, Refusal> {
    let market_row = &state.market(of.market)?.cell.market;
    let (closing, keeper) = (lookup::account(state, of.account)?, lookup::account(state, keeper)?);
    Ok(take_over(closing, keeper, market_row, delta, health, of.price)?)
}

/// Takes the last sweep's positions off the lists; returns the markets that had any.
pub(crate) fn unlist(state: &mut State) -> Vec<bool> {
    let clear = |cell: &mut MarketCell| !std::mem::take(&mut cell.listed).is_empty();
    state.markets.cells_mut().map(clear).collect()
}

/// Most accounts that one sweep looks at to list their positions.
const MAX_LOOKED_AT: usize = 4_096;

/// Lists the positions that are open in accounts still below maintenance, those that lack most
/// first, and drops the takeovers that this sweep has served.
pub(crate) fn list(ctx: &mut Ctx<'_>, steps: &[Step], had_any: &[bool]) {
    for step in steps.iter().take(MAX_LOOKED_AT) {
        let open = match open_of(ctx.exchange, step.account) {
            Ok(open) => open,
            Err(refusal) => {
                let (account, why) = (step.account, refusal.labelled());
                let sentence = format!("account {account} could not be listed: {why}");
                broken_account(ctx.exchange, account, Failure::Margin, sentence);
                continue;
            }
        };
        for (market, listed) in open {
            let cell = &mut ctx.exchange.markets.slot_mut(market).cell;
            if cell.listed.len() < MAX_LISTED {
                cell.listed.push(listed);
            }
        }
    }
    for (at, cell) in ctx.exchange.markets.cells_mut().enumerate() {
        cell.takeovers.clear();
        if !cell.listed.is_empty() || had_any.get(at) == Some(&true) {
            ctx.events.push(Event::ListedPositions { market: cell.market.params.id });
        }
    }
}

fn open_of(state: &State, account: AccountId) -> Result<Vec<(MarketId, ListedPosition)>, Refusal> {
    let health = health::health(state, account)?;
    if !health.is_liquidatable() {
        return Ok(Vec::new());
    }
    let one = |(market, lots): (MarketId, SignedLots)| {
        let zero_price_ticks = health::zero_price_at(state, account, market, &health)?;
        let (equity_atoms, maintenance_atoms) = (health.equity_atoms, health.maintenance_atoms);
        Ok((
            market,
            ListedPosition { account, lots, zero_price_ticks, equity_atoms, maintenance_atoms },
        ))
    };
    step::closable(state, account)?.into_iter().map(one).collect()
}

//! Stage 3: keepers take over the rest that the book left, at the zero price; and the list that
//! tells them of it (rules §7.3).
//!
//! In one block: the takeovers that keepers requested, in the order of their transactions and of
//! any part of the position; then shares of the step's remaining lots, pro rata to the collateral
//! set aside. A takeover uses up the keeper's set-aside collateral alone; when that is gone the
//! stage passes on to the fund and to deleveraging.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, SignedLots};
use tidemark_risk::backstop::{set_aside_used_atoms, take_over, TakeoverOutcome};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation::is_deep;
use tidemark_risk::sharing::{most_that_bears, share, Claim};
use tidemark_risk::{Market, RiskError};

use crate::events::Event;
use crate::exec::account::{health, lookup};
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::budget::{Budgets, Third, KEEPER_GAS};
use crate::exec::liquidation::step;
use crate::exec::liquidation::step::Step;
use crate::exec::order::cancel;
use crate::invariant::broken_account;
use crate::refusal::Refusal;
use crate::state::{Failure, ListedPosition, MarketCell, State, Takeover, MAX_LISTED};

#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
pub(crate) fn by_keepers(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
) -> Result<(), Refusal> {
    for (market, held) in step::closable(ctx.exchange, step.account)? {
        let health = health::health(ctx.exchange, step.account)?;
        let market_row = &ctx.exchange.markets.slot(market).cell.market;
        let is_deep = is_deep(&health, market_row.params.backstop_ppm);
        let due =
            |step: &Step, held| step.lots_due(market, held, LiquidationStage::Backstop, is_deep);
        if market_row.keepers.is_empty()
            || health.equity_atoms.is_negative()
            || due(step, held).is_zero()
        {
            continue;
        }
        let mut fills = Vec::new();
        let all_asked = asked_for(ctx, step.account, market, budgets, &mut fills)?;
        let asked: Lots = fills.iter().map(|fill: &KeeperFill| fill.lots).sum();
        step.took(market, asked);
        let due = due(step, lookup::held(ctx.exchange, step.account, market));
        let (shared, all_shared) = pro_rata(ctx, (step.account, market), due, budgets, &mut fills)?;
        step.took(market, shared);
        if !all_asked || !all_shared {
            step.keep_open(market);
        }
        let closed = (asked + shared, fills.iter().map(|fill| fill.quote_atoms).sum());
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
    Ok(())
}

/// One keeper's part of a position.
struct KeeperFill {
    lots: Lots,
    /// Quote that the closing account got (positive) or paid.
    quote_atoms: Atoms,
}

/// Serves the takeovers that wait for this position; returns false where the market's gas ended
/// before all were served.
fn asked_for(
    ctx: &mut Ctx<'_>,
    closing: AccountId,
    market: MarketId,
    budgets: &mut Budgets,
    fills: &mut Vec<KeeperFill>,
) -> Result<bool, Refusal> {
    let waiting = &ctx.exchange.markets.slot(market).cell.takeovers;
    let waiting: Vec<Takeover> =
        waiting.iter().filter(|takeover| takeover.account == closing).copied().collect();
    for takeover in waiting {
        if !budgets.take(market, Third::OffBook, KEEPER_GAS) {
            return Ok(false);
        }
        fills.extend(take(ctx, closing, market, takeover.lots, takeover.keeper)?);
    }
    Ok(true)
}

/// Shares `lots` among the keepers pro rata to their set-aside collateral, largest remainder, ties
/// by account id. The part that a keeper cannot bear goes to keepers that bore theirs: each round
/// ends the sharing, or a keeper's part in it. Returns the lots that they took; and false where the
/// market's gas ended before all were asked.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn pro_rata(
    ctx: &mut Ctx<'_>,
    (closing, market): (AccountId, MarketId),
    lots: Lots,
    budgets: &mut Budgets,
    fills: &mut Vec<KeeperFill>,
) -> Result<(Lots, bool), Refusal> {
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
                return Ok((lots - left, false));
            }
            let filled = take(ctx, closing, market, wanted, keeper)?;
            let got = filled.as_ref().map_or(Lots::ZERO, |fill| fill.lots);
            left -= got;
            if got == wanted {
                able.push(keeper);
            }
            fills.extend(filled);
        }
    }
    Ok((lots - left, true))
}

#[expect(
    clippy::indexing_slicing,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn set_aside(state: &State, market: MarketId, keeper: AccountId) -> Atoms {
    let keepers = &state.markets.slot(market).cell.market.keepers;
    let at = keepers.binary_search_by_key(&keeper, |entry| entry.account);
    at.map_or(Atoms::ZERO, |at| keepers[at].set_aside_atoms)
}

/// One keeper takes up to `lots`, as many as its set-aside collateral bears; `None` when that is
/// none.
fn take(
    ctx: &mut Ctx<'_>,
    closing: AccountId,
    market: MarketId,
    lots: Lots,
    keeper: AccountId,
) -> Result<Option<KeeperFill>, Refusal> {
    // A keeper without room for one more isolated account takes nothing: the others are asked, and
    // the account that closes goes on to the next stage.
    let Ok(trader) = isolated::account_for(ctx.exchange, keeper, market) else { return Ok(None) };
    let held = lookup::held(ctx.exchange, closing, market);
    let lots = lots.min(held.unsigned_abs());
    let set_aside_atoms = set_aside(ctx.exchange, market, keeper);
    if trader == closing || set_aside_atoms.is_zero() || lots.is_zero() {
        return Ok(None);
    }
    cash::settle_funding(ctx.exchange, trader)?;
    let health = health::health(ctx.exchange, closing)?;
    let free_atoms = health::health(ctx.exchange, trader)?.free_atoms();
    let bears = |lots: Lots| {
        let delta = step::closing_delta(held, lots);
        let taken = attempt(ctx.exchange, (closing, trader), market, delta, &health)?;
        let free_after = health::health_as(ctx.exchange, trader, &taken.keeper)?.free_atoms();
        let used = RiskError::borne(set_aside_used_atoms(free_atoms, free_after, set_aside_atoms))?;
        Ok::<_, Refusal>(used.map(|used| (lots, taken, used)))
    };
    let Some((lots, taken, used_atoms)) = most_that_bears(lots, bears)? else { return Ok(None) };
    let (closing_row, mut keeper_row) = (taken.closing, taken.keeper);
    let (market_row, quote_atoms) = (taken.market, taken.quote_atoms);
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
    Ok(Some(KeeperFill { lots, quote_atoms }))
}

/// Takes used collateral off a keeper's set-aside; a keeper without any leaves the list.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "keepers take at most the lots and the collateral that they were given"
)]
fn use_up(market_row: &mut Market, keeper: AccountId, used_atoms: Atoms) {
    for entry in market_row.keepers.iter_mut().filter(|entry| entry.account == keeper) {
        entry.set_aside_atoms -= used_atoms;
    }
    market_row.keepers.retain(|entry| entry.set_aside_atoms.is_positive());
}

fn attempt(
    state: &State,
    (closing, keeper): (AccountId, AccountId),
    market: MarketId,
    delta: SignedLots,
    health: &Health,
) -> Result<TakeoverOutcome, Refusal> {
    let market_row = &state.market(market)?.cell.market;
    let (closing, keeper) = (lookup::account(state, closing)?, lookup::account(state, keeper)?);
    Ok(take_over(closing, keeper, market_row, delta, health)?)
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

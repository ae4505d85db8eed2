//! The stages that close positions on the book (rules §§7.2, 7.4).

use tidemark_matching::{NewOrder, PostOnly, TimeInForce};
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{
    Atoms, ClientId, Lots, MarketId, SelfTradePrevention, Side, SignedLots, Ticks,
};
use tidemark_proto::Code;
use tidemark_risk::health::Health;
use tidemark_risk::liquidation::{self, FillOutcome};
use tidemark_risk::zero_price::{zero_price_ticks, ZeroTerms};
use tidemark_risk::{claim, Market};

use crate::events::Arithmetic;
use crate::exec::account::{health, lookup};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::budget::{Budgets, Third, MAKER_GAS};
use crate::exec::liquidation::claims;
use crate::exec::liquidation::step;
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Kept, Left, Step};
use crate::exec::order::book_host::BookHost;
use crate::exec::order::place;
use crate::refusal::Refusal;
use crate::state::State;

/// Stage 2: on the book at the zero price or better, until the account is at maintenance. The first
/// turn in each market.
pub(crate) fn on_book(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
) -> Result<(), Refusal> {
    for (market, held) in step::closable(ctx.exchange, step.account)? {
        let health = health::health(ctx.exchange, step.account)?;
        if !health.is_liquidatable() {
            return Ok(());
        }
        let cell = &ctx.exchange.markets.slot(market).cell.market;
        let lots = liquidation::step_lots(cell, held, &health)?;
        step.left.push(Left { market, lots, kept: Kept::ByBound });
        turn(ctx, step, budgets, market)?;
    }
    Ok(())
}

/// Takes up all that the block's step has to close, of an account that has waited for the book for
/// too long.
pub(crate) fn without_book(ctx: &mut Ctx<'_>, step: &mut Step) -> Result<(), Refusal> {
    let health = health::health(ctx.exchange, step.account)?;
    for (market, held) in step::closable(ctx.exchange, step.account)? {
        let cell = &ctx.exchange.markets.slot(market).cell.market;
        let lots = liquidation::step_lots(cell, held, &health)?;
        step.left.push(Left { market, lots, kept: Kept::ByBound });
    }
    Ok(())
}

/// One turn of stage 2 in one market. Returns true if its bound of makers ended it, so that the
/// book may have more.
#[expect(clippy::arithmetic_side_effects, reason = "a step closes at most the lots that it places")]
pub(crate) fn turn(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
    market: MarketId,
) -> Result<bool, Refusal> {
    let health = health::health(ctx.exchange, step.account)?;
    let held = lookup::held(ctx.exchange, step.account, market);
    let Some(at) = step.left.iter().position(|left| left.market == market) else {
        return Ok(false);
    };
    let Some(lots) = step.left.get(at).map(|left| left.lots.min(held.unsigned_abs())) else {
        return Ok(false);
    };
    let gas = budgets.left(market, Third::Book);
    if lots.is_zero() || !health.is_liquidatable() || gas == 0 {
        return Ok(false);
    }
    let cell = &ctx.exchange.markets.slot(market).cell.market;
    let (zero, due) = zero_price(cell, (held, lots), LiquidationStage::Book, &health)?;
    let facts = ClosingTerms {
        stage: LiquidationStage::Book,
        market,
        held,
        zero_price_ticks: zero,
        due: Some(due),
        limit_ticks: zero,
    };
    let affordable = u32::try_from(gas / MAKER_GAS).unwrap_or(u32::MAX).max(1);
    let makers = liquidation::turn_makers(cell, lots)?.min(affordable);
    let closed = immediate(ctx, step, &health, facts, (lots, makers))?;
    budgets.spend(market, Third::Book, closed.makers.max(1).saturating_mul(MAKER_GAS));
    let by_bound = closed.ended_by_bound && closed.part.lots < lots;
    if let Some(left) = step.left.get_mut(at) {
        left.lots = lots - closed.part.lots;
        left.kept = if by_bound { Kept::ByBound } else { Kept::ByPrice };
    }
    Ok(by_bound)
}

/// The price at which closing `lots` leaves the account as far below maintenance as it is, in
/// proportion.
fn zero_price(
    market: &Market,
    (held, lots): (SignedLots, Lots),
    stage: LiquidationStage,
    health: &Health,
) -> Result<(Ticks, ZeroTerms), Refusal> {
    let delta = step::closing_delta(held, lots);
    let terms = ZeroTerms::of(market, held, delta, health, step::sigma_ppm(market, stage))?;
    Ok((zero_price_ticks(market.k, delta, terms.quote_atoms)?, terms))
}

/// Stage 4: on the book beyond the zero price, no further than the fund's limit, and no more lots
/// than the fund can pay for.
pub(crate) fn with_fund(
    ctx: &mut Ctx<'_>,
    step: &mut Step,
    budgets: &mut Budgets,
) -> Result<(), Refusal> {
    for (market, held) in step::closable(ctx.exchange, step.account)? {
        let health = health::health(ctx.exchange, step.account)?;
        let is_insolvent = step::is_insolvent(ctx.exchange, step.account, &health)?;
        let lots = step.lots_due(market, held, LiquidationStage::InsuranceFund, is_insolvent);
        let lots = lots.min(claims::old_lots(ctx.exchange, step.account, market));
        let gas = budgets.left(market, Third::OffBook);
        if lots.is_zero() || !health.is_liquidatable() {
            continue;
        }
        if gas == 0 {
            step.keep_open(market);
            continue;
        }
        let cell = &ctx.exchange.markets.slot(market).cell.market;
        let limit = liquidation::fund_limit_ticks(cell, held)?;
        let allowance = liquidation::fund_allowance_atoms(cell, &ctx.exchange.chain.treasury);
        let fundable = claim::fundable_lots(cell, held, lots, &health, limit, allowance)?;
        if fundable.is_zero() {
            continue;
        }
        let of = (held, fundable);
        let (zero, due) = zero_price(cell, of, LiquidationStage::InsuranceFund, &health)?;
        let facts = ClosingTerms {
            stage: LiquidationStage::InsuranceFund,
            market,
            held,
            zero_price_ticks: zero,
            due: Some(due),
            limit_ticks: limit,
        };
        let affordable = u32::try_from(gas / MAKER_GAS).unwrap_or(u32::MAX).max(1);
        let makers = liquidation::turn_makers(cell, fundable)?.min(affordable);
        let fresh = claims::fresh(ctx.exchange, step.account, market);
        let closed = immediate(ctx, step, &health, facts, (fundable, makers))?;
        claims::keep_fresh(ctx.exchange, (step.account, market), fresh)?;
        budgets.spend(market, Third::OffBook, closed.makers.saturating_mul(MAKER_GAS));
        step.took(market, closed.part.lots);
        if closed.ended_by_bound {
            step.keep_open(market);
        }
    }
    Ok(())
}

/// The result of a turn on the book.
struct Turn {
    part: ClosedPart,
    /// Makers that it met.
    makers: u64,
    /// True if the bound of makers ended it.
    ended_by_bound: bool,
}

/// Closes up to `lots` on the book at once, at the limit or better, with at most so many makers;
/// settles fee or fund payment against the zero price.
fn immediate(
    ctx: &mut Ctx<'_>,
    step: &Step,
    health: &Health,
    facts: ClosingTerms,
    (lots, max_makers): (Lots, u32),
) -> Result<Turn, Refusal> {
    let order = NewOrder {
        owner: step.account,
        client_id: ClientId::NONE,
        side: Side::reducing(facts.held),
        price_ticks: facts.limit_ticks,
        lots,
        display_lots: Lots::ZERO,
        time_in_force: TimeInForce::Ioc,
        post_only: PostOnly::Off,
        reduce_only: true,
        stp: SelfTradePrevention::CancelMaker,
        max_fills: max_makers,
        max_visits: max_makers,
    };
    let (book, mut host) = BookHost::split(ctx, facts.market);
    host.liquidation = true;
    host.taker_lots = lots;
    let before = host.events.len();
    let placed = book.place(&order, &mut host)?;
    place::closed_by_taker(host.events, before, placed.order_id);
    let (filled, quote_atoms) = (placed.filled_lots, host.quote_atoms);
    let makers = u64::from(placed.visits);
    let ended_by_bound = matches!(placed.rest, Some(Code::MaxFills | Code::OutOfGas));
    if filled.is_zero() {
        return Ok(Turn { part: ClosedPart::default(), makers, ended_by_bound });
    }
    let part = settle(step, ctx.exchange, health, facts, filled, quote_atoms)?;
    ctx.events.push(step.event(ctx.exchange, health, facts, part));
    Ok(Turn { part, makers, ended_by_bound })
}

/// Takes the liquidation fee, or in stage 4 lets the fund pay the fill's shortfall from the zero
/// price. On the book before it, a fill falls short only where its lots release more margin each
/// than the step's others: that part of a deficit stays with the account.
fn settle(
    step: &Step,
    state: &mut State,
    health: &Health,
    facts: ClosingTerms,
    filled: Lots,
    quote_atoms: Atoms,
) -> Result<ClosedPart, Refusal> {
    let market = &mut state.markets.slot_mut(facts.market).cell.market;
    let delta = step::closing_delta(facts.held, filled);
    let sigma_ppm = step::sigma_ppm(market, facts.stage);
    let zero = ZeroTerms::of(market, facts.held, delta, health, sigma_ppm)?;
    let treasury = &mut state.chain.treasury;
    let fee_ppm = market.params.liquidation_fee_ppm;
    let fee_cap_atoms = liquidation::fee_cap_atoms(quote_atoms, fee_ppm)?
        .min(liquidation::maintenance_fee_cap_atoms(zero.margin_fall_atoms)?);
    let outcome = liquidation::fill_outcome(quote_atoms, zero.quote_atoms, fee_cap_atoms)?;
    let (fee, paid, owed) = match outcome {
        FillOutcome::Fee(fee) => {
            market.change_fund(treasury, fee)?;
            market.ledger.count(market.day(), fee, Atoms::ZERO);
            (fee, Atoms::ZERO, Atoms::ZERO)
        }
        FillOutcome::FundPays(owed) if facts.stage == LiquidationStage::InsuranceFund => {
            (Atoms::ZERO, liquidation::pay_from_fund(market, treasury, owed)?, owed)
        }
        FillOutcome::FundPays(_) => Default::default(),
    };
    let price_ticks = step::average_ticks(state, facts.market, quote_atoms, filled);
    let change_atoms = paid.checked_sub(fee).ok_or_else(|| Refusal::overflow("a fee"))?;
    cash::credit(state, step.account, change_atoms)?;
    let arithmetic = Arithmetic {
        closed: Some(zero),
        quote_atoms,
        fee_cap_atoms,
        fund_owed_atoms: owed,
        ..Arithmetic::default()
    };
    Ok(ClosedPart { lots: filled, price_ticks, fee_atoms: fee, fund_paid_atoms: paid, arithmetic })
}

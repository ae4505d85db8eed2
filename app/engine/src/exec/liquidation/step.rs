//! One account's liquidation in one block, and how its parts are reported.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, Side, SignedLots, Ticks};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation;
use tidemark_risk::zero_price::{ZeroTerms, BANKRUPTCY_SIGMA_PPM};
use tidemark_risk::Market;

use crate::events::{Arithmetic, Event, Liquidation};
use crate::exec::account::lookup;
use crate::exec::ctx::Ctx;
use crate::invariant::invariant;
use crate::refusal::Refusal;
use crate::state::State;

/// One account's liquidation in one block.
pub(crate) struct Step {
    pub account: AccountId,
    /// Orders that the prune stage cancelled.
    pub cancelled: u32,
    /// Lots that the block's step has still to close, by market.
    pub left: Vec<(MarketId, Lots)>,
    /// The last stage that was carried out.
    pub done: Option<LiquidationStage>,
    /// True once the step needs deleveraging.
    pub deleverages: bool,
}

impl Step {
    pub(crate) fn new(account: AccountId, cancelled: u32) -> Self {
        Self { account, cancelled, left: Vec::new(), done: None, deleverages: false }
    }

    pub(crate) fn event(
        &self,
        state: &State,
        health: &Health,
        facts: ClosingTerms,
        closed: ClosedPart,
    ) -> Event {
        let cell = &state.markets.slot(facts.market).cell;
        Event::Liquidation(Box::new(Liquidation {
            market: facts.market,
            account: self.account,
            stage: facts.stage,
            side: Side::reducing(facts.held),
            lots: closed.lots,
            price_ticks: closed.price_ticks,
            mark_ticks: cell.market.mark_ticks.unwrap_or(Ticks::ZERO),
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

impl Step {
    /// Returns the lots of a position that are still to be closed in this block: all of them once
    /// equity is negative, else the rest of the step.
    pub(crate) fn lots_due(&self, market: MarketId, held: SignedLots, health: &Health) -> Lots {
        if health.equity_atoms.is_negative() {
            return held.unsigned_abs();
        }
        let left =
            self.left.iter().find(|(id, _)| *id == market).map_or(Lots::ZERO, |(_, left)| *left);
        left.min(held.unsigned_abs())
    }

    /// Takes lots that a stage closed off the rest. Once equity is negative a stage closes more
    /// than the rest, and in markets that the step had left alone.
    pub(crate) fn took(&mut self, market: MarketId, lots: Lots) {
        if let Some((_, left)) = self.left.iter_mut().find(|(id, _)| *id == market) {
            *left = left.saturating_sub(lots);
        }
    }
}

/// σ of a stage's zero price.
fn sigma_ppm(market: &Market, stage: LiquidationStage) -> Ppm {
    match stage {
        LiquidationStage::Adl => BANKRUPTCY_SIGMA_PPM,
        _ => market.params.zero_price_sigma_ppm,
    }
}

/// Why a position is closed.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClosingTerms {
    pub stage: LiquidationStage,
    pub market: MarketId,
    /// The position before.
    pub held: SignedLots,
    pub zero_price_ticks: Ticks,
    /// Terms of the zero price.
    pub due: Option<ZeroTerms>,
    /// The worst price to close at.
    pub limit_ticks: Ticks,
}

/// The part of a position that a stage closed.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClosedPart {
    pub lots: Lots,
    pub price_ticks: Ticks,
    pub fee_atoms: Atoms,
    pub fund_paid_atoms: Atoms,
    /// The stage's own part of it.
    pub arithmetic: Arithmetic,
}

/// The account's positions that may be closed now, largest maintenance margin first.
pub(crate) fn closable(
    state: &State,
    account: AccountId,
) -> Result<Vec<(MarketId, SignedLots)>, Refusal> {
    let mut order = liquidation::closing_order(lookup::account(state, account)?, &state.markets)?;
    order.retain(|(market, _)| {
        let cell = &state.markets.slot(*market).cell;
        let max_age_ms = cell.market.params.max_oracle_age_ms;
        cell.is_live() && !cell.index.is_stale(state.chain.time_ms, max_age_ms)
    });
    Ok(order)
}

/// Against a position: sell a long, buy a short. A position of `SignedLots::MIN` has no size among
/// `SignedLots`; all but one lot of it closes.
#[expect(clippy::arithmetic_side_effects, reason = "the conversion leaves `SignedLots::MIN` out")]
pub(crate) fn closing_delta(held: SignedLots, lots: Lots) -> SignedLots {
    let lots = lots.signed(Side::Buy).unwrap_or(SignedLots::MAX);
    if held.is_positive() {
        -lots
    } else {
        lots
    }
}

/// Average price of a fill, rounded against the account: down for a sale, up for a purchase.
pub(crate) fn average_ticks(
    state: &mut State,
    market: MarketId,
    quote_atoms: Atoms,
    lots: Lots,
) -> Ticks {
    let k = state.markets.slot(market).cell.market.k;
    let ticks = lots.wide().checked_mul(k.wide()).and_then(|lots_k| {
        let ticks = if quote_atoms.is_positive() {
            quote_atoms.mul_div_floor(1, lots_k)
        } else {
            quote_atoms.checked_neg()?.mul_div_ceil(1, lots_k)
        };
        u64::try_from(ticks?.get()).ok()
    });
    if ticks.is_none() {
        invariant!(state, market, "{} lots for {} atoms have no price", lots, quote_atoms);
    }
    ticks.map_or(Ticks::ZERO, Ticks::new)
}

/// Reports the lots that were closed outside the book, at the zero price; nothing where there were
/// none.
pub(crate) fn report_off_book(
    ctx: &mut Ctx<'_>,
    step: &Step,
    health: &Health,
    stage: LiquidationStage,
    (market, held): (MarketId, SignedLots),
    (lots, quote_atoms): (Lots, Atoms),
) {
    if lots.is_zero() {
        return;
    }
    let price_ticks = average_ticks(ctx.exchange, market, quote_atoms, lots);
    let market_row = &ctx.exchange.markets.slot(market).cell.market;
    // Each part closed at its own rounding of this.
    let (delta, sigma_ppm) = (closing_delta(held, lots), sigma_ppm(market_row, stage));
    let zero = match ZeroTerms::of(market_row, held, delta, health, sigma_ppm) {
        Ok(zero) => Some(zero),
        Err(why) => {
            invariant!(ctx.exchange, market, "lots that closed have no zero price: {}", why);
            None
        }
    };
    let facts = ClosingTerms {
        stage,
        market,
        held,
        zero_price_ticks: price_ticks,
        due: zero,
        limit_ticks: price_ticks,
    };
    let arithmetic = Arithmetic { closed: zero, quote_atoms, ..Arithmetic::default() };
    ctx.events.push(step.event(
        ctx.exchange,
        health,
        facts,
        ClosedPart { lots, price_ticks, arithmetic, ..ClosedPart::default() },
    ));
}

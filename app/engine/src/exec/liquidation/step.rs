//! One account's liquidation in one block, and how its parts are reported.

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, Side, SignedLots, Ticks};
use tidemark_risk::health::Health;
use tidemark_risk::liquidation;
use tidemark_risk::margin::Marked;
use tidemark_risk::zero_price::{ZeroTerms, BANKRUPTCY_SIGMA_PPM};
use tidemark_risk::{Market, Position};

use crate::events::{Arithmetic, Event, Liquidation};
use crate::exec::account::lookup;
use crate::exec::ctx::Ctx;
use crate::invariant::invariant;
use crate::refusal::Refusal;
use crate::state::{EndangeredAccount, State};

/// One account's liquidation in one block.
pub(crate) struct Step {
    pub account: AccountId,
    /// The account as the sweeps before have left it.
    pub row: EndangeredAccount,
    /// The market whose gas pays for the step: that of the position which closes first. `None`
    /// where no position may be closed now.
    pub home: Option<MarketId>,
    /// Positions of the block's step, by market; empty until the step was reached.
    pub left: Vec<Left>,
    /// True once the gas has reached the step.
    pub reached: bool,
    /// True where the gas ended before a stage that the step had come to.
    pub carried: bool,
    /// The last stage that was carried out.
    pub done: Option<LiquidationStage>,
    /// True where an insolvent account has fresh lots to close: its turn on the book comes first.
    pub closes_fresh: bool,
    /// True once the step needs deleveraging.
    pub deleverages: bool,
}

/// The part of a position that a step has still to close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub market: MarketId,
    pub lots: Lots,
    pub kept: Kept,
}

/// Why the book has left lots open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// No price was acceptable: the later stages take them.
    ByPrice,
    /// The bound of a turn, or the gas: the book may have more, and no later stage takes them.
    ByBound,
    /// As before, and so for the blocks before: keepers and deleveraging take them, the fund does
    /// not.
    Overdue,
}

impl Step {
    pub(crate) fn new(row: EndangeredAccount) -> Self {
        Self {
            account: row.account,
            row,
            home: None,
            left: Vec::new(),
            reached: false,
            carried: false,
            done: Some(LiquidationStage::Prune),
            closes_fresh: false,
            deleverages: false,
        }
    }

    pub(crate) fn event(
        &self,
        state: &State,
        health: &Health,
        facts: ClosingTerms,
        closed: ClosedPart,
    ) -> Event {
        event(state, (self.account, 0), health, facts, closed)
    }
}

/// A step of an account as its event, with the orders that it cancelled.
pub(crate) fn event(
    state: &State,
    (account, orders_cancelled): (AccountId, u32),
    health: &Health,
    facts: ClosingTerms,
    closed: ClosedPart,
) -> Event {
    let cell = &state.markets.slot(facts.market).cell;
    Event::Liquidation(Box::new(Liquidation {
        market: facts.market,
        account,
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
        orders_cancelled,
        arithmetic: Arithmetic {
            held_lots: facts.held,
            limit_ticks: facts.limit_ticks,
            sigma_ppm: sigma_ppm(&cell.market, facts.stage),
            due: facts.due,
            ..closed.arithmetic
        },
    }))
}

impl Step {
    /// Returns the lots of a position that a stage after the book may close in this block: what the
    /// book refused at the price, where the account's equity lets the stage take it
    /// (`takes_refused`); and what has been open for too long for other reasons, but not by the
    /// fund.
    pub(crate) fn lots_due(
        &self,
        market: MarketId,
        held: SignedLots,
        stage: LiquidationStage,
        takes_refused: bool,
    ) -> Lots {
        let Some(left) = self.left.iter().find(|left| left.market == market) else {
            return Lots::ZERO;
        };
        let takes = match left.kept {
            Kept::ByPrice => takes_refused,
            Kept::ByBound => false,
            Kept::Overdue => stage != LiquidationStage::InsuranceFund,
        };
        if takes {
            left.lots.min(held.unsigned_abs())
        } else {
            Lots::ZERO
        }
    }

    /// Leaves lots for the next block: the gas of their market ended before the stage, or the bound
    /// of makers in it.
    pub(crate) fn keep_open(&mut self, market: MarketId) {
        if let Some(left) = self.left.iter_mut().find(|left| left.market == market) {
            left.kept = Kept::ByBound;
        }
    }

    /// Returns true if some lots go on to the later stages whatever the account's equity is.
    pub(crate) fn is_overdue(&self) -> bool {
        self.left.iter().any(|left| left.kept == Kept::Overdue && !left.lots.is_zero())
    }

    /// Takes lots that a stage closed off the rest. A keeper may take over more than the rest.
    pub(crate) fn took(&mut self, market: MarketId, lots: Lots) {
        if let Some(left) = self.left.iter_mut().find(|left| left.market == market) {
            left.lots = left.lots.saturating_sub(lots);
        }
    }
}

/// σ of a stage's zero price: the fund and deleveraging close at the bankruptcy price.
pub(crate) fn sigma_ppm(market: &Market, stage: LiquidationStage) -> Ppm {
    match stage {
        LiquidationStage::InsuranceFund | LiquidationStage::Adl => BANKRUPTCY_SIGMA_PPM,
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

/// Returns true if an account's equity is below 0 at the marks, and with every index in place of
/// its mark. A market that is being settled has no other price than its mark.
pub(crate) fn is_insolvent(
    state: &State,
    account: AccountId,
    health: &Health,
) -> Result<bool, Refusal> {
    let overflow = || Refusal::overflow("equity at the indices");
    let mut equity_atoms = health.equity_atoms;
    for Position { market, lots, .. } in &lookup::account(state, account)?.positions {
        let cell = &state.markets.slot(*market).cell;
        let (Some(mark), Some(index)) = (cell.market.mark_ticks, cell.index.index_ticks()) else {
            continue;
        };
        if lots.is_zero() || cell.settlement.is_some() {
            continue;
        }
        let value = |ticks: Ticks| ticks.position_atoms(*lots, cell.market.k);
        let change = value(index).zip(value(mark)).and_then(|(at, now)| at.checked_sub(now));
        let after = change.and_then(|change| equity_atoms.checked_add(change));
        equity_atoms = after.ok_or_else(overflow)?;
    }
    Ok(liquidation::is_insolvent(health, equity_atoms))
}

/// The largest `backstop` of an account's markets.
pub(crate) fn backstop_ppm(state: &State, account: AccountId) -> Result<Ppm, Refusal> {
    let open = lookup::account(state, account)?.positions.iter();
    let open = open.filter(|position| !position.lots.is_zero());
    let of =
        open.map(|position| state.markets.slot(position.market).cell.market.params.backstop_ppm);
    Ok(of.max().unwrap_or(Ppm::ZERO))
}

/// The account's positions that may be closed now, largest maintenance margin first.
pub(crate) fn closable(
    state: &State,
    account: AccountId,
) -> Result<Vec<(MarketId, SignedLots)>, Refusal> {
    let mut order = liquidation::closing_order(lookup::account(state, account)?, &state.markets)?;
    order.retain(|(market, _)| may_close(state, *market));
    Ok(order)
}

/// Returns true if positions of a market may be closed now.
fn may_close(state: &State, market: MarketId) -> bool {
    let cell = &state.markets.slot(market).cell;
    let max_age_ms = cell.market.params.max_oracle_age_ms;
    cell.is_live() && !cell.index.is_stale(state.chain.time_ms, max_age_ms)
}

/// The market of the position that closes first, as [`closable`] has it; tells each market in which
/// one may be closed. Of an account in debt without a position it is its first market.
pub(crate) fn home(
    state: &State,
    account: AccountId,
    mut tell: impl FnMut(MarketId),
) -> Result<Option<MarketId>, Refusal> {
    let row = lookup::account(state, account)?;
    if !row.has_position() {
        let first = row.positions.first().map(|position| position.market);
        first.into_iter().for_each(tell);
        return Ok(first);
    }
    let mut largest: Option<(Atoms, MarketId)> = None;
    for Position { market, lots, .. } in &row.positions {
        if lots.is_zero() || !may_close(state, *market) {
            continue;
        }
        tell(*market);
        let margin = Marked::of(&state.markets.slot(*market).cell.market, *lots)?;
        let margin = margin.maintenance_atoms;
        let is_larger =
            |(most, of): (Atoms, MarketId)| margin > most || margin == most && *market < of;
        if largest.is_none_or(is_larger) {
            largest = Some((margin, *market));
        }
    }
    Ok(largest.map(|(_, market)| market))
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
        invariant!(
            state,
            market,
            Liquidation,
            "{} lots for {} atoms have no price",
            lots,
            quote_atoms
        );
    }
    ticks.map_or(Ticks::ZERO, Ticks::new)
}

/// Reports the lots that were closed outside the book, at the zero price or with a payment of the
/// fund; nothing where there were none.
pub(crate) fn report_off_book(
    ctx: &mut Ctx<'_>,
    step: &Step,
    health: &Health,
    stage: LiquidationStage,
    (market, held): (MarketId, SignedLots),
    (lots, quote_atoms, fund_paid_atoms): (Lots, Atoms, Atoms),
) {
    if lots.is_zero() {
        return;
    }
    let price_ticks = average_ticks(ctx.exchange, market, quote_atoms, lots);
    let market_row = &ctx.exchange.markets.slot(market).cell.market;
    // Each part closed at its own rounding of this.
    let sigma_ppm = match fund_paid_atoms.is_zero() {
        true => sigma_ppm(market_row, stage),
        false => BANKRUPTCY_SIGMA_PPM,
    };
    let delta = closing_delta(held, lots);
    let zero = match ZeroTerms::of(market_row, held, delta, health, sigma_ppm) {
        Ok(zero) => Some(zero),
        Err(why) => {
            invariant!(
                ctx.exchange,
                market,
                Liquidation,
                "lots that closed have no zero price: {}",
                why
            );
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
    let fund_owed_atoms = fund_paid_atoms;
    let arithmetic =
        Arithmetic { closed: zero, quote_atoms, fund_owed_atoms, ..Arithmetic::default() };
    ctx.events.push(step.event(
        ctx.exchange,
        health,
        facts,
        ClosedPart { lots, price_ticks, fund_paid_atoms, arithmetic, ..ClosedPart::default() },
    ));
}

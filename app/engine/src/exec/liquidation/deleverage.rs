//! Stage 5: open remainders are closed against opposite positions at the zero price (rules §7.5).
//!
//! All accounts of a block that come to it do so together, market by market and side by side: each
//! holder of the other side is examined once, and those in profit share the whole amount. So a
//! block costs the accounts that close plus the accounts that hold the other side, not their
//! product.

use std::collections::BTreeMap;

use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, SignedLots};
use tidemark_risk::adl::{self, AdlFill, Queue};
use tidemark_risk::health::Health;
use tidemark_risk::settlement::closes_at_settlement_price;
use tidemark_risk::zero_price::bankruptcy_quote_delta;
use tidemark_risk::Account;

use crate::events::Event;
use crate::exec::account::{at_risk, health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::step;
use crate::exec::liquidation::step::{ClosedPart, ClosingTerms, Step};
use crate::exec::order::{cancel, prune};
use crate::invariant::{broken_account, invariant};
use crate::refusal::Refusal;
use crate::state::table::Table;
use crate::state::State;

/// Most rounds of one side of a market in a block. One is enough where every position stays in its
/// margin tier: a lot's zero price changes where it leaves one, and a market has at most so many.
const MAX_ROUNDS: u32 = 8;

/// A position that is to be closed, or a part of it.
struct PositionToClose {
    /// Index of the account's step.
    step: usize,
    held: SignedLots,
    lots: Lots,
    health: Health,
    /// Quote of one lot at its zero price; a lower one asks less of a counterparty.
    lot_quote_atoms: Atoms,
}

/// Deleverages for all accounts that have come to it.
pub(crate) fn for_all(ctx: &mut Ctx<'_>, steps: &mut [Step]) {
    let mut sides: BTreeMap<(MarketId, bool), Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.deleverages) {
        match step::closable(ctx.exchange, step.account) {
            Ok(closable) => {
                for (market, held) in closable {
                    sides.entry((market, held.is_negative())).or_default().push(at);
                }
            }
            Err(refusal) => {
                let (account, why) = (step.account, refusal.labelled());
                let sentence = format!("account {account} could not be deleveraged: {why}");
                broken_account(ctx.exchange, account, sentence);
            }
        }
    }
    for ((market, is_short), side) in sides {
        for _ in 0..MAX_ROUNDS {
            let closed = closings(ctx.exchange, steps, &side, market, is_short)
                .and_then(|closings| round(ctx, market, closings, steps));
            match closed {
                Ok(Lots::ZERO) => break,
                Ok(_) => {}
                Err(refusal) => {
                    let why = refusal.labelled();
                    invariant!(ctx.exchange, market, "deleveraging failed: {}", why);
                    break;
                }
            }
        }
    }
}

/// Returns the positions of one side of a market that steps have to close now, first those whose
/// price asks least of a counterparty: one that cannot bear a lot of these can bear none after it.
#[expect(
    clippy::indexing_slicing,
    reason = "indices are those of the steps; the divisor is at least 1"
)]
fn closings(
    state: &State,
    steps: &[Step],
    side: &[usize],
    market: MarketId,
    is_short: bool,
) -> Result<Vec<PositionToClose>, Refusal> {
    let mut closings = Vec::new();
    for at in side {
        let closing = closing(state, &steps[*at], *at, market)?;
        closings.extend(closing.filter(|closing| closing.held.is_negative() == is_short));
    }
    closings.sort_by_key(|closing| closing.lot_quote_atoms);
    Ok(closings)
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
    let lots = step.lots_due(market, held, &health);
    if lots.is_zero() || !health.is_liquidatable() {
        return Ok(None);
    }
    let market_row = &state.markets.slot(market).cell.market;
    let lot_quote_atoms =
        bankruptcy_quote_delta(market_row, held, step::closing_delta(held, Lots::ONE), &health)?;
    Ok(Some(PositionToClose { step: at, held, lots, health, lot_quote_atoms }))
}

/// Closes positions of one side of a market, as far as anyone can bear it; says how many lots.
#[expect(
    clippy::indexing_slicing,
    reason = "indices are those of the steps; the divisor is at least 1"
)]
fn round(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    closings: Vec<PositionToClose>,
    steps: &mut [Step],
) -> Result<Lots, Refusal> {
    let Some(first) = closings.first() else { return Ok(Lots::ZERO) };
    let lots = closings.iter().fold(Lots::ZERO, |sum, closing| sum.saturating_add(closing.lots));
    let mut queue = queue(ctx.exchange, market, first.held, lots)?;
    let mut all = Lots::ZERO;
    for closing in closings {
        let step = &mut steps[closing.step];
        let closed =
            close(ctx, step, &mut queue, (market, closing.held), closing.lots, &closing.health)?;
        step.took(market, closed);
        all = all.saturating_add(closed);
    }
    Ok(all)
}

/// Closes up to `lots` of one position alone; says how many.
fn for_one(
    ctx: &mut Ctx<'_>,
    step: &Step,
    (market, held): (MarketId, SignedLots),
    health: &Health,
) -> Result<Lots, Refusal> {
    let lots = held.unsigned_abs();
    let mut queue = queue(ctx.exchange, market, held, lots)?;
    close(ctx, step, &mut queue, (market, held), lots, health)
}

/// Everyone with an opposite position. Where shares begin is drawn from the block before, which
/// nobody has in their hand.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "indices are those of the steps; the divisor is at least 1"
)]
fn queue(
    state: &mut State,
    market: MarketId,
    held: SignedLots,
    lots: Lots,
) -> Result<Queue, Refusal> {
    let mut counterparties = Vec::new();
    for id in at_risk::holders(state, market) {
        let account = lookup::account(state, id)?;
        counterparties.extend(adl::counterparty(id, account, market, held, &state.markets)?);
    }
    let [a, b, c, d, ..] = state.chain.block_hash;
    let first = AccountId::new(u32::from_le_bytes([a, b, c, d]) % state.accounts.len().max(1));
    Ok(Queue::new(market, lots, &counterparties, first, &state.markets)?)
}

fn close(
    ctx: &mut Ctx<'_>,
    step: &Step,
    queue: &mut Queue,
    (market, held): (MarketId, SignedLots),
    lots: Lots,
    health: &Health,
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
    cancel::drop_spent_reduce_only(ctx, step.account, market, Side::reducing(held));
    for fill in &fills {
        cancel::drop_spent_reduce_only(ctx, fill.account, market, Side::reducing(held).opposite());
        prune::restore_reserve(ctx, fill.account)?;
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
    step::report_off_book(ctx, step, health, LiquidationStage::Adl, position, (lots, quote_atoms));
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

/// Accounts as deleveraging reads and writes them.
struct TableAccounts<'a>(&'a mut Table<AccountId, Account>);

impl adl::Accounts for TableAccounts<'_> {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(id).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) -> Option<()> {
        *self.0.get_mut(id)? = account;
        Some(())
    }
}

/// In a final settlement: an account with equity below 0, for which the fund has paid
/// `fund_paid_atoms`. What is still below 0 is deleveraged in this market.
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn deleverage_insolvent(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    fund_paid_atoms: Atoms,
) -> Result<(), Refusal> {
    let step = Step::new(account, 0);
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
    if !closes_at_settlement_price(health.equity_atoms) {
        for_one(ctx, &step, (market, held), &health)?;
    }
    Ok(())
}

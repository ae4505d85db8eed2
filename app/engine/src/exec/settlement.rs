//! The final settlement of a market that is closed for good (rules §7.11): its orders
//! are cancelled and its positions closed at its last good index, in bounded steps over as
//! many blocks as it takes.
//!
//! 1. Orders are cancelled.
//! 2. Accounts with equity below 0 at the price: the fund pays up to its cap of the block; a rest
//!    below 0 is deleveraged at its zero price, against those in profit first.
//! 3. Longs are closed against shorts at the price, so that after each step longs are still shorts.
//!    Equity stays as it is: the price is the mark. The next sweep books an account's remaining
//!    debt as bad debt.
//! 4. In the block after the last pair, when debts are booked: keepers get back the collateral that
//!    they set aside; the market's own fund repays its bad debt, and the rest of the fund goes to
//!    the shared one.

use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, SignedLots, Ticks};
use tidemark_proto::Code;
use tidemark_risk::liquidation::pay_from_fund;
use tidemark_risk::position::apply_fill;
use tidemark_risk::settlement::closes_at_settlement_price;

use crate::events::Event;
use crate::exec::account::{at_risk, health, lookup};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::deleverage;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::conditional::removal;
use crate::exec::order::prune;
use crate::invariant::invariant;
use crate::refusal::Refusal;
use crate::state::{Settlement, SettlementStage, State};

/// Most orders of a market that are cancelled in one block.
const MAX_ORDERS: u32 = 10_000;

/// Most holders whose equity one block examines, in each market.
const MAX_ACCOUNTS: u32 = 10_000;

/// Most accounts that one block deleverages: each may meet every holder of an opposite position.
const MAX_DELEVERAGED: u32 = 16;

/// Most pairs of positions that one block closes.
const MAX_PAIRS: u32 = 2_000;

/// Begins a market's settlement at its last good index.
pub(crate) fn begin(state: &mut State, market: MarketId) {
    let cell = &mut state.markets.slot_mut(market).cell;
    // A market that never had an index never had a position: 0 settles none.
    let price_ticks = cell.index.index_ticks().unwrap_or(Ticks::ZERO);
    cell.settlement = Some(Settlement { price_ticks, stage: SettlementStage::Orders });
}

/// A block's part of every settlement that is under way.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    for market in ctx.exchange.markets.ids() {
        let cell = &ctx.exchange.markets.slot(market).cell;
        let Some(settlement) = cell.settlement else { continue };
        if cell.quarantined.is_some() {
            continue;
        }
        let next = match settlement.stage {
            SettlementStage::Orders => cancel(ctx, market),
            SettlementStage::Insolvent(from) => close_insolvent(ctx, market, from),
            SettlementStage::Positions => close_pairs(ctx, market, settlement.price_ticks),
            SettlementStage::Done => continue,
        };
        match next {
            Ok(stage) => {
                ctx.exchange.markets.slot_mut(market).cell.settlement =
                    Some(Settlement { stage, ..settlement })
            }
            // Admission keeps every amount far below 127 bits.
            Err(refusal) => {
                let why = refusal.labelled();
                invariant!(ctx.exchange, market, "the settlement cannot go on: {}", why);
            }
        }
    }
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "counts end at their bounds; no more is taken than there is"
)]
fn cancel(ctx: &mut Ctx<'_>, market: MarketId) -> Result<SettlementStage, Refusal> {
    let waiting = removal::close(ctx, market, MAX_ORDERS);
    let (book, mut host) = BookHost::split(ctx, market);
    for side in [Side::Buy, Side::Sell] {
        let mut cancelled = 0;
        while cancelled < MAX_ORDERS {
            let Some(order) =
                book.best(side).and_then(|level| book.queue(side, level.price_ticks).next())
            else {
                break;
            };
            book.cancel(order.order_id, order.owner, Code::MarketClosed, &mut host)?;
            cancelled += 1;
        }
    }
    let done = book.live_orders() == 0 && !waiting;
    Ok(if done { SettlementStage::Insolvent(AccountId::ZERO) } else { SettlementStage::Orders })
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "counts end at their bounds; no more is taken than there is"
)]
fn close_insolvent(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    from: AccountId,
) -> Result<SettlementStage, Refusal> {
    let holders =
        at_risk::holders(ctx.exchange, market).into_iter().skip_while(|account| *account < from);
    let (mut looked_at, mut deleveraged) = (0, 0);
    let mut pruning = prune::Budget::of_block(ctx.exchange);
    for account in holders {
        if looked_at == MAX_ACCOUNTS || deleveraged == MAX_DELEVERAGED {
            return Ok(SettlementStage::Insolvent(account));
        }
        looked_at += 1;
        let equity_atoms = health::health(ctx.exchange, account)?.equity_atoms;
        if closes_at_settlement_price(equity_atoms)
            || lookup::held(ctx.exchange, account, market).is_zero()
        {
            continue;
        }
        deleveraged += 1;
        ctx.exchange.chain.gate_withdrawals();
        let market_row = &mut ctx.exchange.markets.slot_mut(market).cell.market;
        let owed_atoms = equity_atoms.checked_neg();
        let owed_atoms = owed_atoms.ok_or_else(|| Refusal::overflow("negative equity"))?;
        let paid = pay_from_fund(market_row, &mut ctx.exchange.chain.treasury, owed_atoms)?;
        cash::credit(ctx.exchange, account, paid)?;
        deleverage::deleverage_insolvent(ctx, account, market, paid, &mut pruning)?;
    }
    Ok(SettlementStage::Positions)
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "counts end at their bounds; no more is taken than there is"
)]
fn close_pairs(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    price_ticks: Ticks,
) -> Result<SettlementStage, Refusal> {
    if ctx.exchange.markets.slot(market).cell.market.open_interest_lots.is_zero() {
        release(ctx.exchange, market)?;
        return Ok(SettlementStage::Done);
    }
    // The lowest ids last, where they are taken from.
    let positions = at_risk::holders(ctx.exchange, market).into_iter().rev();
    let positions = positions.map(|account| (account, lookup::held(ctx.exchange, account, market)));
    let (mut longs, mut shorts): (Vec<_>, Vec<_>) =
        positions.filter(|(_, held)| !held.is_zero()).partition(|(_, held)| held.is_positive());
    for _ in 0..MAX_PAIRS {
        let (Some((long, bought)), Some((short, sold))) = (longs.last_mut(), shorts.last_mut())
        else {
            break;
        };
        let lots = bought.unsigned_abs().min(sold.unsigned_abs());
        for (account, side) in [(*long, Side::Sell), (*short, Side::Buy)] {
            close_at(ctx.exchange, market, account, side, price_ticks, lots)?;
            ctx.events.push(Event::Settled { market, account, side, price_ticks, lots });
        }
        // The lots of a long have a sign: they come from one.
        let lots = lots.signed(Side::Buy).unwrap_or(SignedLots::MAX);
        *bought -= lots;
        *sold += lots;
        if bought.is_zero() {
            longs.pop();
        }
        if sold.is_zero() {
            shorts.pop();
        }
    }
    Ok(SettlementStage::Positions)
}

fn close_at(
    state: &mut State,
    market: MarketId,
    account: AccountId,
    side: Side,
    price_ticks: Ticks,
    lots: Lots,
) -> Result<(), Refusal> {
    let row = state.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
    let market_row = &mut state.markets.slot_mut(market).cell.market;
    apply_fill(row, market_row, side, price_ticks, lots, Atoms::ZERO)?;
    Ok(())
}

/// Distributes the market's own money once nobody holds a position in it.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "counts end at their bounds; no more is taken than there is"
)]
fn release(state: &mut State, market: MarketId) -> Result<(), Refusal> {
    let market_row = &mut state.markets.slot_mut(market).cell.market;
    for keeper in std::mem::take(&mut market_row.keepers) {
        cash::credit(state, keeper.account, keeper.set_aside_atoms)?;
    }
    let (market_row, treasury) =
        (&mut state.markets.slot_mut(market).cell.market, &mut state.chain.treasury);
    let own_atoms = std::mem::take(&mut market_row.insurance_atoms);
    let repaid = own_atoms.min(market_row.bad_debt_atoms);
    market_row.bad_debt_atoms -= repaid;
    let total = treasury.insurance_atoms.checked_add(own_atoms - repaid);
    treasury.insurance_atoms = total.ok_or_else(|| Refusal::overflow("the insurance fund"))?;
    Ok(())
}

//! The final settlement of a market that is closed for good (rules §7.11): its orders
//! are cancelled and its positions closed at its last good index, over as many blocks as its budget
//! needs (rules §7.12).
//!
//! 1. Orders are cancelled.
//! 2. Accounts with equity below 0 at the price: the fund pays for their lots that are not fresh,
//!    within its bounds; a rest below 0 is deleveraged at its zero price, against those in profit
//!    first.
//! 3. Longs are closed against shorts at the price, so that after each step longs are still shorts.
//!    Equity stays as it is: the price is the mark. The next sweep books an account's remaining
//!    debt as bad debt.
//! 4. In the block after the last pair, when debts are booked: keepers get back the collateral that
//!    they set aside; the market's own fund repays its bad debt, and the rest of the fund goes to
//!    the shared one.

use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, Ticks};
use tidemark_proto::Code;
use tidemark_risk::liquidation::pay_from_fund;
use tidemark_risk::position::apply_fill;
use tidemark_risk::settlement::closes_at_settlement_price;

use crate::events::Event;
use crate::exec::account::at_risk::Holders;
use crate::exec::account::{health, lookup};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::{claims, deleverage};
use crate::exec::meter::Budget;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::conditional::removal;
use crate::invariant::invariant;
use crate::refusal::Refusal;
use crate::state::{Settlement, SettlementStage, State};

/// Gas of an order that is cancelled.
const ORDER_GAS: u64 = 300;

/// Gas of a look at a holder's equity.
const EQUITY_GAS: u64 = 200;

/// Gas of a look at a holder's position.
const POSITION_GAS: u64 = 40;

/// Gas of a pair of positions that is closed: two rows and their paths to the accounts' root.
const PAIR_GAS: u64 = 3_000;

/// Begins a market's settlement at its last good index.
pub(crate) fn begin(state: &mut State, market: MarketId) {
    let cell = &mut state.markets.slot_mut(market).cell;
    // A market that never had an index never had a position: 0 settles none.
    let price_ticks = cell.index.index_ticks().unwrap_or(Ticks::ZERO);
    cell.settlement = Some(Settlement { price_ticks, stage: SettlementStage::Orders });
}

/// A block's part of every settlement that is under way: an eighth of the sweep's gas, evenly.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let state = &*ctx.exchange;
    let settles = |market: &MarketId| state.markets.slot(*market).cell.is_settling();
    let under_way: Vec<MarketId> = state.markets.ids().filter(settles).collect();
    let gas = (state.chain.params.sweep_gas / 8).checked_div(under_way.len() as u64).unwrap_or(0);
    for market in under_way {
        let Some(settlement) = ctx.exchange.markets.slot(market).cell.settlement else { continue };
        // However small the part, each block settles something.
        let mut gas = Budget::of(gas.max(1));
        let next = match settlement.stage {
            SettlementStage::Orders => cancel(ctx, market, &mut gas),
            SettlementStage::Insolvent(from) => close_insolvent(ctx, market, from, &mut gas),
            SettlementStage::Positions { longs, shorts } => {
                close_pairs(ctx, (market, settlement.price_ticks), (longs, shorts), &mut gas)
            }
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
                invariant!(
                    ctx.exchange,
                    market,
                    Settlement,
                    "the settlement cannot go on: {}",
                    why
                );
            }
        }
    }
}

fn cancel(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    gas: &mut Budget,
) -> Result<SettlementStage, Refusal> {
    let waiting = removal::close(ctx, market, gas.pieces(ORDER_GAS));
    gas.spend(u64::from(waiting).saturating_mul(ORDER_GAS));
    let (book, mut host) = BookHost::split(ctx, market);
    for side in [Side::Buy, Side::Sell] {
        while !gas.is_spent() {
            let Some(order) =
                book.best(side).and_then(|level| book.queue(side, level.price_ticks).next())
            else {
                break;
            };
            book.cancel(order.order_id, order.owner, Code::MarketClosed, &mut host)?;
            gas.spend(ORDER_GAS);
        }
    }
    let slot = ctx.exchange.markets.slot(market);
    let done = slot.book.live_orders() == 0 && slot.conditional.is_empty();
    Ok(if done { SettlementStage::Insolvent(AccountId::ZERO) } else { SettlementStage::Orders })
}

/// Looks at the equity of holders, from an account on, as far as the gas reaches.
fn close_insolvent(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    from: AccountId,
    gas: &mut Budget,
) -> Result<SettlementStage, Refusal> {
    let most = gas.pieces(EQUITY_GAS) as usize;
    let holders: Vec<AccountId> =
        Holders::of(ctx.exchange, market).from(from).take(most.saturating_add(1)).collect();
    for (at, account) in holders.into_iter().enumerate() {
        if at == most || gas.is_spent() {
            return Ok(SettlementStage::Insolvent(account));
        }
        gas.spend(EQUITY_GAS);
        let equity_atoms = health::health(ctx.exchange, account)?.equity_atoms;
        if closes_at_settlement_price(equity_atoms)
            || lookup::held(ctx.exchange, account, market).is_zero()
        {
            continue;
        }
        let overflow = || Refusal::overflow("negative equity");
        let held = lookup::held(ctx.exchange, account, market).unsigned_abs().wide();
        let old = claims::old_lots(ctx.exchange, account, market).wide();
        let deficit_atoms = equity_atoms.checked_neg().ok_or_else(overflow)?;
        let owed_atoms = deficit_atoms.mul_div_floor(old, held).ok_or_else(overflow)?;
        let market_row = &mut ctx.exchange.markets.slot_mut(market).cell.market;
        let paid = pay_from_fund(market_row, &mut ctx.exchange.chain.treasury, owed_atoms)?;
        cash::credit(ctx.exchange, account, paid)?;
        if deleverage::deleverage_insolvent(ctx, account, market, paid, gas)? {
            return Ok(SettlementStage::Insolvent(account));
        }
    }
    Ok(SettlementStage::Positions { longs: AccountId::ZERO, shorts: AccountId::ZERO })
}

/// The next positions of one side, by account id.
struct Walk {
    /// The first last, where they are taken from.
    open: Vec<(AccountId, Lots)>,
    /// The holder behind those that were looked at; the first of all at the end.
    next: AccountId,
}

impl Walk {
    /// Looks at a market's holders from an account on: at most as many as a quarter of the gas is
    /// for, and until as many positions are found as the gas closes pairs.
    fn of(
        state: &mut State,
        market: MarketId,
        (from, side): (AccountId, Side),
        gas: &mut Budget,
    ) -> Self {
        let most = Budget::of(gas.left() / 4).pieces(POSITION_GAS).max(1);
        let pairs = gas.pieces(PAIR_GAS) as usize;
        let holders = Holders::of(state, market);
        let (mut open, mut looked_at, mut next) = (Vec::new(), 0_u32, AccountId::ZERO);
        for account in holders.from(from) {
            if looked_at == most || open.len() >= pairs {
                next = account;
                break;
            }
            looked_at = looked_at.saturating_add(1);
            let held = lookup::held(holders.state(), account, market);
            if !held.is_zero() && Side::reducing(held) == side.opposite() {
                open.push((account, held.unsigned_abs()));
            }
        }
        gas.spend(u64::from(looked_at).saturating_mul(POSITION_GAS));
        open.reverse();
        Self { open, next }
    }

    /// The account that the next block begins with.
    fn rest(&self) -> AccountId {
        self.open.last().map_or(self.next, |(account, _)| *account)
    }

    /// Takes lots off the first position.
    fn close(&mut self, lots: Lots) {
        let Some((_, left)) = self.open.last_mut() else { return };
        *left = left.saturating_sub(lots);
        if left.is_zero() {
            self.open.pop();
        }
    }
}

/// Closes longs against shorts, each side from an account on: nobody below it holds any of it.
fn close_pairs(
    ctx: &mut Ctx<'_>,
    (market, price_ticks): (MarketId, Ticks),
    (longs, shorts): (AccountId, AccountId),
    gas: &mut Budget,
) -> Result<SettlementStage, Refusal> {
    if ctx.exchange.markets.slot(market).cell.market.open_interest_lots.is_zero() {
        release(ctx.exchange, market)?;
        return Ok(SettlementStage::Done);
    }
    let mut longs = Walk::of(ctx.exchange, market, (longs, Side::Buy), gas);
    let mut shorts = Walk::of(ctx.exchange, market, (shorts, Side::Sell), gas);
    while let (Some((long, bought)), Some((short, sold))) =
        (longs.open.last().copied(), shorts.open.last().copied())
    {
        if gas.is_spent() {
            break;
        }
        let lots = bought.min(sold);
        for (account, side) in [(long, Side::Sell), (short, Side::Buy)] {
            close_at(ctx.exchange, market, account, side, price_ticks, lots)?;
            ctx.events.push(Event::Settled { market, account, side, price_ticks, lots });
        }
        gas.spend(PAIR_GAS);
        longs.close(lots);
        shorts.close(lots);
    }
    Ok(SettlementStage::Positions { longs: longs.rest(), shorts: shorts.rest() })
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

//! An order's walk over makers, of which each fill is admitted when it comes (rules §§3.8, 3.10).

use tidemark_proto::types::gas::SEARCH;
use tidemark_proto::units::{AccountId, Atoms, Lots, Ppm, Ticks};
use tidemark_proto::Code;
use tidemark_risk::fees::{highest_taker_ppm, max_fee_ppm};
use tidemark_risk::health::Health;
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::taking::{AtZeroPrice, Taking, Terms};
use tidemark_risk::{Account, Market, Position};

use crate::exec::account::health::{Hindrances, OrderChange};
use crate::exec::account::{health, lookup};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::order::incoming::Incoming;
use crate::refusal::Refusal;
use crate::state::State;

/// An order's walk over makers, of which each fill is admitted when it comes. A walk without
/// effects and the one that trades begin at the same state.
#[derive(Debug)]
pub(crate) struct Walk {
    account: AccountId,
    pub max_fee_ppm: Ppm,
    pub start: Taking,
    pub now: Taking,
}

impl Walk {
    /// Begins anew.
    pub(crate) fn begin(&mut self) {
        self.now = self.start.clone();
    }

    /// Lots that are admitted at a price. An amount beyond what is computed admits none.
    pub(crate) fn admit(&mut self, market: &Market, price_ticks: Ticks, lots: Lots) -> Lots {
        self.now.take(market, price_ticks, lots).unwrap_or(Lots::ZERO)
    }

    /// A resting order of the account has left the book, or lots of it: what the order reserved is
    /// free for the next fills. The walk counts on less where that cannot be computed.
    pub(crate) fn release(&mut self, market: &Market, account: AccountId, order: &OpenOrder) {
        if account == self.account {
            let _ = self.now.release(market, order, self.max_fee_ppm);
        }
    }
}

/// The account as an order of it begins to take.
pub(crate) fn assess(
    state: &State,
    account: AccountId,
    incoming: &Incoming<'_>,
) -> Result<(Walk, Hindrances), Refusal> {
    assess_beside(state, account, lookup::account(state, account)?, &[], incoming)
}

/// The account as an order of it begins to take, beside `others` that are to be placed, in order of
/// market. `row` has an entry for each of their markets.
pub(crate) fn assess_beside(
    state: &State,
    account: AccountId,
    row: &Account,
    others: &[OrderChange],
    incoming: &Incoming<'_>,
) -> Result<(Walk, Hindrances), Refusal> {
    let own = [incoming.change(None)];
    let changes = if others.is_empty() { own.as_slice() } else { others };
    let health = health::health_with(state, row, account, changes)?;
    let hindrances = health::hindrances(state, account, incoming.replaced_id(), &health)?;
    let at_zero_price = match hindrances {
        _ if others.iter().any(|other| other.add.is_some() || other.waits > 0) => {
            AtZeroPrice::Never
        }
        Hindrances { first: Some(_), .. } => AtZeroPrice::Never,
        Hindrances { exits_rest: false, .. } => AtZeroPrice::Always,
        Hindrances { .. } => AtZeroPrice::While {
            equity_atoms: health.equity_atoms,
            maintenance_atoms: health.maintenance_atoms,
        },
    };
    let walk = walk(state, (account, row), changes, incoming, &health, at_zero_price)?;
    Ok((walk, hindrances))
}

/// A walk of an account whose margin, and condition for exits at the zero price, are known.
fn walk(
    state: &State,
    (account, row): (AccountId, &Account),
    changes: &[OrderChange],
    incoming: &Incoming<'_>,
    health: &Health,
    at_zero_price: AtZeroPrice,
) -> Result<Walk, Refusal> {
    let (params, now_ms) = (&state.chain.params, state.chain.volume_ms());
    let fee_ppm = max_fee_ppm(&params.fee_tiers);
    let slot = state.market(incoming.market)?;
    let totals = health::totals(slot, account, changes, fee_ppm)?;
    let position = row.position(incoming.market).copied();
    let position = position.unwrap_or(Position::empty(incoming.market));
    let trader = row.isolated.map_or(account, |isolated| isolated.parent);
    let volume_atoms = lookup::account(state, trader)?.volume.atoms(now_ms);
    let may_draw = !incoming.order.reduce_only;
    let parent = row.isolated.map(|isolated| isolated.parent).filter(|_| may_draw);
    let terms = Terms {
        health,
        position: &position,
        totals: &totals,
        taker_ppm: highest_taker_ppm(&params.fee_tiers, volume_atoms),
        spends_free: !state.danger.is_frozen(account, &state.accounts),
        at_zero_price,
        drawable_atoms: parent.map_or(Atoms::ZERO, |parent| cash::removable(state, parent)),
    };
    let start = Taking::new(&slot.cell.market, incoming.order.side, terms)?;
    let now = start.clone();
    Ok(Walk { account, max_fee_ppm: fee_ppm, start, now })
}

/// A refusal for want of collateral, with the lots that would fit, if gas is left to search for
/// them.
pub(crate) fn with_what_fits(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    incoming: &Incoming<'_>,
    refusal: Refusal,
) -> Refusal {
    if refusal.code() != Code::InsufficientCollateral || incoming.order.reduce_only {
        return refusal;
    }
    if ctx.meter.charge(SEARCH).is_err() {
        return refusal;
    }
    let fits = restable_lots(ctx.exchange, account, incoming).unwrap_or(Lots::ZERO);
    admitted(incoming.order.lots, fits, refusal)
}

/// The lots of an increasing order that could rest. Exits do not count, so the account's orders are
/// not looked at one by one: a refused order does not pay for that.
fn restable_lots(
    state: &State,
    account: AccountId,
    incoming: &Incoming<'_>,
) -> Result<Lots, Refusal> {
    let (row, changes) = (lookup::account(state, account)?, [incoming.change(None)]);
    let health = health::health_with(state, row, account, &changes)?;
    let never = AtZeroPrice::Never;
    let walk = walk(state, (account, row), &changes, incoming, &health, never)?;
    let market = &state.market(incoming.market)?.cell.market;
    Ok(walk.now.restable_lots(market, &incoming.order, walk.max_fee_ppm)?)
}

/// A refusal, with the lots that would have been admitted.
pub(crate) fn admitted(lots: Lots, fits_lots: Lots, refusal: Refusal) -> Refusal {
    Refusal::Admitted { lots, fits_lots, refusal: Box::new(refusal) }
}

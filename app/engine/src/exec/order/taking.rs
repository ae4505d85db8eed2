//! Admission of an order that takes, fill by fill (rules §§3.8, 3.10): what free collateral does
//! not cover at the order's limit is judged at the prices that the order meets.

use tidemark_matching::{Fillable, NewOrder, Reject, TimeInForce};
use tidemark_proto::types::gas::{NAMED, VISIT};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId};
use tidemark_proto::Code;
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::Account;

use crate::exec::account::health::OrderChange;
use crate::exec::account::{cost, health, lookup};
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::incoming::{Admission, Incoming};
use crate::exec::order::walk::{admitted, assess, assess_beside, Walk};
use crate::exec::order::{admission, prune};
use crate::refusal::Refusal;
use crate::state::State;

/// An order whose fills are admitted one by one.
pub(crate) struct ByFill {
    pub walk: Walk,
    /// Why free collateral does not cover it whole.
    pub why: Refusal,
}

/// Prepares an order that was admitted. Returns its walk where its fills are to be admitted one by
/// one, and the reason.
///
/// # Errors
/// As for [`prepare`].
pub(crate) fn begin(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    incoming: &Incoming<'_>,
    request: &mut NewOrder,
    admission: Admission,
) -> Result<Option<Box<ByFill>>, Refusal> {
    let Admission::ByFill(why) = admission else { return Ok(None) };
    let walk = prepare(ctx, account, incoming, request, &why)?;
    Ok(Some(Box::new(ByFill { walk, why })))
}

/// Prepares an order whose fills are to be admitted one by one. The order walks without effects
/// first where the walk decides about more than its fills: about a rest that would rest, about
/// collateral to draw, about orders that make way. A walk without effects and the one that trades
/// have half of the visits each.
///
/// # Errors
/// `refusal` where the rest could not rest; `OUT_OF_GAS`.
fn prepare(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    incoming: &Incoming<'_>,
    request: &mut NewOrder,
    refusal: &Refusal,
) -> Result<Walk, Refusal> {
    cost::all_orders(&mut ctx.meter, ctx.exchange, account)?;
    let (mut walk, hindrances) = assess(ctx.exchange, account, incoming)?;
    request.max_visits = admission::max_visits(&ctx.meter, request.max_fills);
    let draws = !walk.now.left_to_draw_atoms().is_zero();
    // A fill-or-kill order may yet find too little to trade with.
    let is_immediate = request.time_in_force == TimeInForce::Ioc;
    let makes_way = incoming.order.reduce_only && is_immediate && hindrances.first.is_some();
    if !incoming.rests && !draws && !makes_way {
        return Ok(walk);
    }
    request.max_visits /= 2;
    let fillable;
    (walk, fillable) = rehearse(ctx, incoming.market, request, walk);
    if makes_way && fillable.stop == Some(Code::InsufficientCollateral) {
        make_way(ctx, account, incoming)?;
        (walk, _) = assess(ctx.exchange, account, incoming)?;
        walk.start.drew(Atoms::ZERO);
        return Ok(walk);
    }
    let mut drawn_atoms = walk.now.drawn_atoms();
    if incoming.rests {
        let lacking = check_rest(ctx.exchange, account, incoming, &walk, fillable, refusal)?;
        drawn_atoms = drawn_atoms.saturating_add(lacking);
        if fillable.stop == Some(Code::OutOfGas) {
            // The walk that trades may get further: it passes over no maker that its own fills
            // take out. What nobody has judged does not rest.
            (request.time_in_force, request.display_lots) = (TimeInForce::Ioc, Lots::ZERO);
        }
    }
    if drawn_atoms.is_positive() {
        isolated::cover(ctx.exchange, account, drawn_atoms)?;
    }
    // The walk that trades may get further than the one that looked, and draws nothing.
    walk.start.drew(drawn_atoms);
    Ok(walk)
}

/// Walks without effects.
fn rehearse(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    request: &NewOrder,
    walk: Walk,
) -> (Walk, Fillable) {
    let mut walk = walk;
    let (book, mut host) = BookHost::split(ctx, market);
    host.walk = Some(&mut walk);
    let fillable = book.fillable_lots(request, &mut host);
    ctx.meter.pay_for_makers(fillable.visits);
    (walk, fillable)
}

/// Cancels what keeps an order that closes from trading.
fn make_way(ctx: &mut Ctx<'_>, account: AccountId, incoming: &Incoming<'_>) -> Result<(), Refusal> {
    let row = lookup::account(ctx.exchange, account)?;
    let changes = [incoming.change(Some(incoming.order))];
    let health = health::health_with(ctx.exchange, row, account, &changes)?;
    let looked_at = prune::make_way(ctx, account, health.free_atoms())?;
    ctx.meter.pay(looked_at, NAMED);
    Ok(())
}

/// Checks that what a walk leaves of an order may rest at its limit. Returns the collateral that
/// it draws for this.
fn check_rest(
    state: &State,
    account: AccountId,
    incoming: &Incoming<'_>,
    walk: &Walk,
    fillable: Fillable,
    refusal: &Refusal,
) -> Result<Atoms, Refusal> {
    let order = incoming.order;
    let refused = |fits: Lots| admitted(order.lots, fits, refusal.clone());
    if fillable.stop == Some(Code::InsufficientCollateral) {
        return Err(refused(fillable.lots));
    }
    let rest = OpenOrder { lots: order.lots.saturating_sub(fillable.lots), ..order };
    let rest = admission::part(rest, walk.now.held());
    // What ends a walk otherwise ends the order; where gas did, its rest does not come to rest.
    if fillable.stop.is_some() || rest.lots.is_zero() {
        return Ok(Atoms::ZERO);
    }
    let market = &state.market(incoming.market)?.cell.market;
    let free = walk.now.free_beside(market, &rest, walk.max_fee_ppm)?;
    if walk.now.spends_free() && !free.is_negative() {
        return Ok(Atoms::ZERO);
    }
    if order.reduce_only {
        admission::admit_without_free(state, account, incoming, &rest, &walk.now.health())?;
        return Ok(Atoms::ZERO);
    }
    let lacking = free.saturating_neg();
    if walk.now.spends_free() && lacking <= walk.now.left_to_draw_atoms() {
        return Ok(lacking);
    }
    let more = walk.now.restable_lots(market, &rest, walk.max_fee_ppm)?;
    Err(refused(fillable.lots.saturating_add(more)))
}

/// The account's own refusal in place of the book's, which knows no collateral.
pub(crate) fn explained(reject: Reject, lots: Lots, by_fill: Option<Box<ByFill>>) -> Refusal {
    match by_fill {
        Some(by_fill) if reject.code == Code::InsufficientCollateral => {
            admitted(lots, Lots::new(reject.bound), by_fill.why)
        }
        _ => reject.into(),
    }
}

/// Checks that an order of a batch would be admitted whole as it walks beside the batch's other
/// orders, whose changes are in order of market. Returns the makers that were looked at.
///
/// # Errors
/// `refusal`, with the lots that would be admitted; `OUT_OF_GAS` if the walk did not reach its end:
/// the walk of the order itself may get further.
pub(crate) fn check_whole(
    state: &mut State,
    account: AccountId,
    row: &Account,
    others: &[OrderChange],
    (incoming, request): (&Incoming<'_>, &NewOrder),
    refusal: &Refusal,
) -> Result<u32, Refusal> {
    let (walk, _) = assess_beside(state, account, row, others, incoming)?;
    let mut ctx = Ctx::new(state);
    let (walk, fillable) = rehearse(&mut ctx, incoming.market, request, walk);
    if fillable.stop == Some(Code::InsufficientCollateral) {
        return Err(admitted(request.lots, fillable.lots, refusal.clone()));
    }
    if fillable.stop == Some(Code::OutOfGas) {
        return Err(Refusal::OutOfGas { needed: VISIT, left: 0 });
    }
    if incoming.rests {
        check_rest(state, account, incoming, &walk, fillable, refusal)?;
    }
    Ok(fillable.visits)
}

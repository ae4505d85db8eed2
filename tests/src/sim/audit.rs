//! Checks of what must hold after the sweep and after every block, found by looking at everything.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_engine::exec::account::health::open_order;
use tidemark_engine::state::State;
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Side, SignedLots,
};
use tidemark_risk::orders::order_totals;
use tidemark_risk::Account;

use super::figures::{figures, unpaid};

/// The first thing that does not hold.
pub type Finding = Result<(), String>;

/// Fails with a sentence unless `holds`.
pub fn ensure(holds: bool, sentence: impl FnOnce() -> String) -> Finding {
    if holds {
        Ok(())
    } else {
        Err(sentence())
    }
}

/// Everything that one state can show at the end of a block.
///
/// # Errors
/// A sentence naming what does not hold.
pub fn state(state: &State) -> Finding {
    swept(state)?;
    isolated(state)?;
    rows(state)
}

/// Every entry of an account is there for something.
fn rows(state: &State) -> Finding {
    for market in state.markets.ids() {
        let slot = state.markets.slot(market);
        for (id, account) in state.accounts.iter() {
            let Some(entry) = account.position(market) else { continue };
            let waits = slot.conditional.iter().any(|order| order.account == id);
            let orders = slot.book.open_orders(id) > 0 || waits;
            let owes = account.collateral_atoms.is_negative() || !entry.realised_atoms.is_zero();
            ensure(!entry.lots.is_zero() || entry.leverage != 0 || orders || owes, || {
                format!("account {id} has an entry of nothing in market {market}")
            })?;
        }
    }
    Ok(())
}

/// Checks accounts after blocks of nothing: each that the last of them has not changed has a row
/// for something (rules §1.9). `before` is the state before that block.
///
/// # Errors
/// A sentence naming an account that holds nothing.
pub fn quiet_rows(before: &State, state: &State) -> Finding {
    for (id, account) in state.accounts.iter() {
        if before.accounts.get(id) != Some(account) {
            continue;
        }
        let is_parent = |(_, other): (AccountId, &Account)| {
            other.isolated.is_some_and(|isolated| isolated.parent == id)
        };
        let mut keepers = state.markets.cells().flat_map(|cell| &cell.market.keepers);
        let has_setting = account.isolated.is_none() && account.stp != Default::default();
        let holds = !account.collateral_atoms.is_zero()
            || !account.positions.is_empty()
            || !account.cancel_all_at_ms.is_zero()
            || account.volume != Default::default()
            || has_setting
            || state.accounts.iter().any(is_parent)
            || keepers.any(|keeper| keeper.account == id);
        ensure(holds, || format!("account {id} has a row for nothing"))?;
    }
    Ok(())
}

/// Checks what holds within a block too, after its sweep: isolated collateral that is not needed
/// goes back at the block's end.
///
/// # Errors
/// As for [`state`].
pub fn swept(state: &State) -> Finding {
    money(state)?;
    for market in state.markets.ids() {
        positions(state, market)?;
        funding(state, market)?;
        book(state, market)?;
        waiting(state, market)?;
        known_totals(state, market)?;
    }
    reserves(state)
}

/// Isolated collateral stands for one market only, and is gone when nothing is there.
fn isolated(state: &State) -> Finding {
    for (id, account) in state.accounts.iter() {
        let Some(isolated) = account.isolated else { continue };
        let orders = |market: MarketId| state.markets.slot(market).book.open_orders(id);
        let elsewhere = state.markets.ids().filter(|market| *market != isolated.market);
        let is_alone = account.positions.iter().all(|position| position.market == isolated.market);
        ensure(is_alone && elsewhere.map(orders).sum::<u32>() == 0, || {
            format!("account {id} is isolated in market {} and trades elsewhere", isolated.market)
        })?;
        let waiting = state.markets.slot(isolated.market).conditional.iter();
        let reserves =
            waiting.filter(|of| of.account == id && of.waits() && !of.only_reduces()).count();
        let idle = !account.has_position() && orders(isolated.market) == 0 && reserves == 0;
        ensure(!idle || !account.collateral_atoms.is_positive(), || {
            format!("account {id} keeps {} atoms for nothing", account.collateral_atoms)
        })?;
    }
    Ok(())
}

/// `Σ collateral − Σ cost + funds + first credits that wait + pools − bad debt = deposits −
/// withdrawals`, to the atom; no fund below 0.
fn money(state: &State) -> Finding {
    let mut sum = Atoms::ZERO;
    for (_, account) in state.accounts.iter() {
        sum += account.collateral_atoms;
        sum -= account.positions.iter().map(|position| position.cost_atoms).sum::<Atoms>();
    }
    let treasury = &state.chain.treasury;
    sum += treasury.insurance_atoms + treasury.validators_atoms + state.chain.first_credits.atoms();
    for cell in state.markets.cells() {
        sum += cell.market.funding_pool_atoms - cell.market.bad_debt_atoms;
        sum += cell.market.insurance_atoms;
        sum += cell.market.keepers.iter().map(|keeper| keeper.set_aside_atoms).sum::<Atoms>();
        let has_own_money = !cell.market.insurance_atoms.is_negative()
            && cell.market.keepers.iter().all(|keeper| keeper.set_aside_atoms.is_positive());
        ensure(has_own_money, || {
            format!("{:?}, {:?}", cell.market.insurance_atoms, cell.market.keepers)
        })?;
        ensure(!cell.market.bad_debt_atoms.is_negative(), || {
            format!("bad debt is {}", cell.market.bad_debt_atoms)
        })?;
    }
    let came_in = state.chain.deposits_atoms - state.chain.withdrawals_atoms;
    ensure(sum == came_in, || format!("{sum} atoms are on the chain, {came_in} came in"))?;
    let is_negative =
        treasury.insurance_atoms.is_negative() || treasury.validators_atoms.is_negative();
    ensure(!is_negative, || format!("{treasury:?}"))
}

fn positions(state: &State, market: MarketId) -> Finding {
    let (mut longs, mut shorts) = (0_i128, 0_i128);
    for (id, account) in state.accounts.iter() {
        for position in account.positions.iter().filter(|position| position.market == market) {
            longs += position.lots.wide().max(0);
            shorts -= position.lots.wide().min(0);
            ensure(!position.lots.is_zero() || position.cost_atoms.is_zero(), || {
                format!(
                    "account {id} has no lots of market {market} for {} atoms",
                    position.cost_atoms
                )
            })?;
        }
    }
    let of = &state.markets.slot(market).cell.market;
    let (open_interest, cap) = (of.open_interest_lots, of.params.max_open_interest_lots);
    ensure(open_interest <= cap, || {
        format!("market {market}: open interest is {open_interest}, at most {cap}")
    })?;
    ensure(longs == shorts && longs == open_interest.wide(), || {
        format!("market {market}: {longs} lots long, {shorts} short, open interest {open_interest}")
    })
}

/// The pool can always pay everyone that funding is owed to, and what it keeps beyond that is dust.
fn funding(state: &State, market: MarketId) -> Finding {
    let cell = &state.markets.slot(market).cell;
    let of_market = state.accounts.iter().flat_map(|(_, account)| &account.positions);
    let of_market = of_market.filter(|position| position.market == market);
    let owed: Atoms = of_market.map(|position| unpaid(cell, position)).sum();
    let dust = cell.market.funding_pool_atoms + owed;
    // At most an atom a settlement: far below a USDC in any history here.
    ensure((Atoms::ZERO..Atoms::USDC).contains(&dust), || {
        format!("market {market}: the funding pool is {dust} atoms off")
    })
}

fn book(state: &State, market: MarketId) -> Finding {
    let book = &state.markets.slot(market).book;
    if let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) {
        ensure(bid.price_ticks < ask.price_ticks, || {
            format!("market {market}: {bid:?} crosses {ask:?}")
        })?;
    }
    let (mut seen, mut client_ids, mut live) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut reducing: BTreeMap<(AccountId, Side), Vec<i128>> = BTreeMap::new();
    for side in [Side::Buy, Side::Sell] {
        for level in book.levels(side) {
            let queue: Vec<_> = book.queue(side, level.price_ticks).collect();
            let lots: Lots = queue.iter().map(|order| order.shown_lots()).sum();
            ensure((lots, queue.len()) == (level.lots, level.count as usize), || {
                format!("market {market}: {level:?} has {} orders of {lots} lots", queue.len())
            })?;
            for order in queue {
                live += 1;
                let named = order.client_id == ClientId::NONE
                    || client_ids.insert((order.owner, order.client_id));
                ensure(seen.insert(order.order_id) && named && !order.lots.is_zero(), || {
                    format!("market {market}: {order:?} twice, or of nothing")
                })?;
                let account = state.accounts.get(order.owner).ok_or("an order without account")?;
                if order.reduce_only {
                    reducing.entry((order.owner, side)).or_default().push(order.lots.wide());
                }
                ensure(account.position(market).is_some(), || {
                    format!("market {market}: {order:?} without an entry in its account")
                })?;
            }
        }
    }
    reduce_only(state, market, &reducing)?;
    ensure(live == book.live_orders(), || format!("market {market}: {live} orders rest"))
}

/// Reduce-only orders show no more than the position that they reduce, and are twenty at most.
fn reduce_only(
    state: &State,
    market: MarketId,
    reducing: &BTreeMap<(AccountId, Side), Vec<i128>>,
) -> Finding {
    for ((owner, side), orders) in reducing {
        let held = state.accounts.get(*owner).map_or(SignedLots::ZERO, |row| row.lots(market));
        let position = if *side == Side::Sell { held.wide() } else { -held.wide() };
        let lots: i128 = orders.iter().sum();
        ensure(lots <= position && orders.len() <= 20, || {
            format!(
                "market {market}: account {owner} holds {held} and has {} reduce-only orders of \
                 {lots} lots",
                orders.len()
            )
        })?;
    }
    Ok(())
}

/// Totals that the block has kept up to date are those of the orders in the book.
fn known_totals(state: &State, market: MarketId) -> Finding {
    let slot = state.markets.slot(market);
    for (id, known, basis) in slot.order_totals.iter() {
        let orders: Vec<_> = slot.book.orders_of(id).map(|order| open_order(&order)).collect();
        let totals = order_totals(&orders, basis.mark_ticks, basis.k, basis.fee_ppm);
        ensure(totals.as_ref() == Ok(known), || {
            format!("market {market}: account {id} has orders of {totals:?}, known are {known:?}")
        })?;
    }
    Ok(())
}

/// Orders that wait: ids of their own, few enough with those on the book, paired both ways, and
/// none to close a position that is not there.
fn waiting(state: &State, market: MarketId) -> Finding {
    let slot = state.markets.slot(market);
    let (orders, book) = (&slot.conditional, &slot.book);
    for order in orders.iter() {
        let account = state.accounts.get(order.account).ok_or("a waiting order without account")?;
        ensure(account.position(market).is_some(), || {
            format!("market {market}: {order:?} without an entry in its account")
        })?;
        ensure(book.order(order.order_id).is_some() != order.waits(), || {
            format!("market {market}: {order:?} on the book while it waits, or not on it")
        })?;
        let paired = order.partner == OrderId::NONE
            || orders.get(order.partner).is_some_and(|partner| partner.partner == order.order_id);
        ensure(paired, || format!("market {market}: {order:?} without its pair"))?;
        let held = account.lots(market);
        ensure(
            !order.is_exit() || (!held.is_zero() && Some(Side::reducing(held)) == order.side()),
            || format!("market {market}: {order:?} for a position of {held} lots"),
        )?;
        let has_entry = book.order(order.entry).is_some_and(|entry| entry.owner == order.account);
        ensure(
            has_entry || (order.entry == OrderId::NONE && (!order.is_dormant() || order.is_due())),
            || format!("market {market}: {order:?} without its entry"),
        )?;
        let twice = order.client_id() != ClientId::NONE
            && book.order_by_client_id(order.account, order.client_id()).is_some();
        ensure(!twice, || format!("market {market}: the client id of {order:?} rests too"))?;
    }
    Ok(())
}

/// Checks the promise of the reserve lemma (rules §3.7): free collateral of at least 0, or no order
/// that increases, but where the account is frozen. And debt is booked: an account below 0 has a
/// position, or waits for the sweep's budget.
fn reserves(state: &State) -> Finding {
    for (id, account) in state.accounts.iter() {
        let of = figures(state, id, account);
        let is_frozen = state.danger.is_frozen(id, &state.accounts);
        ensure(!of.free().is_negative() || of.increasing_orders == 0 || is_frozen, || {
            format!("account {id} has {} atoms free and increasing orders: {of:?}", of.free())
        })?;
        let waits = is_frozen || account.has_position();
        ensure(!account.collateral_atoms.is_negative() || waits, || {
            format!("account {id} has {} atoms and no position", account.collateral_atoms)
        })?;
    }
    Ok(())
}

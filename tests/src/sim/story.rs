//! Checks of a block as a change: its events tell of every lot that moved, reduce-only
//! orders reduce, whoever was below maintenance had a step, and nobody else; nobody took out profit
//! that is not realised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidemark_engine::events::{BlockEvents, Event, Fill};
use tidemark_engine::state::{MarketSlot, State};
use tidemark_matching::OrderView;
use tidemark_proto::types::{DecodedTx, LiquidationStage, Message, Operation};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OrderId, Side, SignedLots, Ticks};
use tidemark_proto::{Code, Refusal};
use tidemark_risk::{Account, Keeper};

use super::audit::{ensure, Finding};
use super::figures::{figures, maintenance, may_liquidate, without_orders, Figures};
use super::filled;

/// A block's transactions as its nodes decoded them.
pub type Txs = [Result<Arc<DecodedTx>, Refusal>];

/// One block, seen from before it, after its sweep, and after it.
pub struct Block<'a> {
    /// The state before.
    pub before: &'a State,
    /// The state after a block with the same prices and no transactions.
    pub swept: &'a State,
    /// Events of that block without transactions.
    pub sweep: &'a BlockEvents,
    /// After the block without its transactions: what orders that waited have done.
    pub quiet: &'a State,
    /// The state after.
    pub after: &'a State,
    /// The block's events.
    pub events: &'a BlockEvents,
    /// Its transactions.
    pub txs: &'a Txs,
}

impl Block<'_> {
    /// Everything that the block's change can show.
    ///
    /// # Errors
    /// A sentence naming what does not hold.
    pub fn check(&self) -> Finding {
        let swept = self.sweep.events.len();
        ensure(self.events.events.get(..swept) == Some(&self.sweep.events), || {
            "the events up to the sweep depend on the transactions".to_owned()
        })?;
        self.batches_of_all_or_none_are_one()?;
        self.every_lot_is_told()?;
        filled::known(self.before, self.after, self.events)?;
        self.everyone_below_maintenance_has_a_step()?;
        self.everyone_below_maintenance_is_listed_or_frozen()?;
        self.only_those_below_maintenance_are_closed()?;
        self.the_safe_are_not_touched_by_the_sweep()?;
        self.nobody_pays_more_than_a_deficit()?;
        self.keepers_risk_what_they_set_aside()?;
        self.withdrawals_leave_what_is_not_cash()
    }

    /// Either every operation of such a batch was accepted, or none.
    fn batches_of_all_or_none_are_one(&self) -> Finding {
        for (tx, outcome) in self.txs.iter().zip(&self.events.txs) {
            let Ok(Message::Orders { all_or_none: true, operations, .. }) =
                tx.as_ref().map(|tx| &tx.message)
            else {
                continue;
            };
            let refused = outcome.results.iter().filter(|result| result.code() != Code::Ok).count();
            ensure(refused == 0 || refused == operations.len(), || {
                format!(
                    "of a batch of all or none {refused} were refused: {operations:?} {:?}",
                    outcome.results
                )
            })?;
        }
        Ok(())
    }

    fn every_lot_is_told(&self) -> Finding {
        let mut lots: BTreeMap<(AccountId, MarketId), SignedLots> = BTreeMap::new();
        for (id, account) in self.before.accounts.iter() {
            lots.extend(
                account.positions.iter().map(|position| ((id, position.market), position.lots)),
            );
        }
        let reduce_only = self.reduce_only_orders();
        let mut trade = |account, market, side, by: Lots, reduces: bool| {
            let held = lots.entry((account, market)).or_default();
            let before = *held;
            *held += by.signed(side).ok_or("a trade of too many lots")?;
            let is_less =
                before.signum() * held.signum() >= 0 && held.unsigned_abs() < before.unsigned_abs();
            ensure(is_less || !reduces, || {
                format!(
                    "account {account} went from {before} to {held} lots of market {market}, \
                     reduce-only or frozen"
                )
            })
        };
        for (at, event) in self.events.events.iter().enumerate() {
            match event {
                Event::Fill(fill) => {
                    let is = |order: OrderId| reduce_only.contains(&(fill.market, order));
                    // The sweep may freeze a counterparty after it has traded on the book.
                    let has_swept = at >= self.sweep.events.len();
                    let is_frozen = |account| has_swept && self.is_frozen(account);
                    let closing =
                        fill.liquidation || is(fill.taker_order_id) || is_frozen(fill.taker);
                    trade(fill.taker, fill.market, fill.taker_side, fill.lots, closing)?;
                    let maker_reduces = is(fill.maker_order_id) || is_frozen(fill.maker);
                    trade(
                        fill.maker,
                        fill.market,
                        fill.taker_side.opposite(),
                        fill.lots,
                        maker_reduces,
                    )?;
                }
                Event::Adl { market, account, side, lots, .. } => {
                    trade(*account, *market, *side, *lots, true)?
                }
                Event::Liquidation(step)
                    if matches!(step.stage, LiquidationStage::Adl | LiquidationStage::Backstop) =>
                {
                    trade(step.account, step.market, step.side, step.lots, true)?;
                }
                Event::TakenOver { market, account, side, lots, .. } => {
                    trade(*account, *market, *side, *lots, false)?
                }
                Event::Settled { market, account, side, lots, .. } => {
                    trade(*account, *market, *side, *lots, true)?
                }
                _ => {}
            }
        }
        for ((id, market), told) in lots {
            let held = self.after.accounts.get(id);
            let held = held.map_or(SignedLots::ZERO, |account| account.lots(market));
            ensure(held == told, || {
                format!(
                    "account {id} holds {held} lots of market {market}, its events tell of {told}"
                )
            })?;
        }
        Ok(())
    }

    /// Reduce-only orders that rested before, or came in this block.
    fn reduce_only_orders(&self) -> BTreeSet<(MarketId, OrderId)> {
        let mut found = BTreeSet::new();
        for (market, slot) in self.before.markets.ids().zip(self.before.markets.iter()) {
            let book = &slot.book;
            for side in [Side::Buy, Side::Sell] {
                let orders =
                    book.levels(side).flat_map(|level| book.queue(side, level.price_ticks));
                found.extend(
                    orders.filter(|order| order.reduce_only).map(|order| (market, order.order_id)),
                );
            }
        }
        for (tx, outcome) in self.txs.iter().zip(&self.events.txs) {
            let Ok(Message::Orders { operations, .. }) = tx.as_ref().map(|tx| &tx.message) else {
                continue;
            };
            for (operation, result) in operations.iter().zip(&outcome.results) {
                if let Operation::Place(place) = operation {
                    if place.reduce_only && result.code() == Code::Ok {
                        found.insert((place.market, result.order_id));
                    }
                }
            }
        }
        found
    }

    fn everyone_below_maintenance_has_a_step(&self) -> Finding {
        let stepped: BTreeSet<AccountId> = self.stepped().map(|(account, _)| account).collect();
        for (id, account) in self.before.accounts.iter() {
            let shown = without_orders(self.swept, account);
            let Some(now) = self.swept.accounts.get(id) else { continue };
            if !shown.below_maintenance() || stepped.contains(&id) {
                continue;
            }
            let left = figures(self.swept, id, now);
            ensure(left.increasing_orders == 0 || self.is_frozen(id), || {
                format!("account {id} is below maintenance with increasing orders: {left:?}")
            })?;
            if !left.below_maintenance() {
                continue;
            }
            let row = self.swept.danger.listed.iter().find(|row| row.account == id);
            let is_carried = |market: MarketId| {
                self.is_frozen(id)
                    || row.is_some_and(|row| row.kept.iter().any(|kept| kept.market == market))
            };
            for position in now.positions.iter().filter(|position| !position.lots.is_zero()) {
                let market = position.market;
                // The budget ended before it.
                if is_carried(market) {
                    continue;
                }
                let offered = self.offered(id, market, position.lots, &left);
                ensure(!may_liquidate(self.swept, market) || !offered, || {
                    format!("account {id} had no step in market {market}: {left:?}, {position:?}")
                })?;
            }
        }
        Ok(())
    }

    /// After the sweep an account below maintenance has been closed, or is listed so that the next
    /// sweep knows since when, or is frozen until a review comes to it. And no list holds it twice.
    fn everyone_below_maintenance_is_listed_or_frozen(&self) -> Finding {
        let listed: Vec<AccountId> =
            self.swept.danger.listed.iter().map(|row| row.account).collect();
        ensure(listed.is_sorted_by(|a, b| a < b), || format!("listed out of order: {listed:?}"))?;
        for (id, account) in self.swept.accounts.iter() {
            let of = figures(self.swept, id, account);
            let is_known = listed.binary_search(&id).is_ok() || self.is_frozen(id);
            ensure(!of.below_maintenance() || is_known, || {
                format!("account {id} is below maintenance, neither listed nor frozen: {of:?}")
            })?;
            // What the budget did not reach and is not listed is there for its orders alone.
            let waits =
                self.swept.danger.frozen.contains(&id) && listed.binary_search(&id).is_err();
            ensure(!waits || !of.equity.is_negative(), || {
                format!("account {id} is frozen below 0 and not listed: {of:?}")
            })?;
        }
        Ok(())
    }

    /// Frozen after the sweep.
    fn is_frozen(&self, id: AccountId) -> bool {
        self.swept.danger.is_frozen(id, &self.swept.accounts)
    }

    /// True if somebody else's order would have closed a lot at the zero price or better.
    fn offered(&self, id: AccountId, market: MarketId, lots: SignedLots, of: &Figures) -> bool {
        let slot = self.swept.markets.slot(market);
        let (cell, book) = (&slot.cell, &slot.book);
        let makers = Side::reducing(lots).opposite();
        let mut orders =
            book.levels(makers).flat_map(|level| book.queue(makers, level.price_ticks));
        let is_dead = |order: &OrderView| !order.reduce_only && self.is_frozen(order.owner);
        let best = orders.find(|order| order.owner != id && !is_dead(order));
        let Some(best) = best else { return false };
        let params = &cell.market.params;
        let k = cell.market.k.wide();
        // Signed: the higher, the better for the account that is closed.
        let worth = |ticks: Ticks| ticks.wide() * k * lots.wide();
        let mark = worth(cell.market.mark_ticks.unwrap_or_default());
        let sigma = params.zero_price_sigma_ppm.wide();
        let share = of.equity.get() * sigma / 1_000_000 * maintenance(cell, lots).get()
            / of.maintenance.get().max(1);
        // A tick's worth of slack: prices are whole ticks, and closing in parts has a price of its
        // own.
        let size = lots.unsigned_abs().wide();
        worth(best.price_ticks) - size * k > mark - share
    }

    fn stepped(&self) -> impl Iterator<Item = (AccountId, MarketId)> + '_ {
        self.sweep.events.iter().filter_map(|event| match event {
            Event::Liquidation(step) => Some((step.account, step.market)),
            _ => None,
        })
    }

    fn only_those_below_maintenance_are_closed(&self) -> Finding {
        let mut touched = BTreeSet::new();
        for event in &self.events.events {
            match event {
                Event::Fill(Fill { maker, taker, .. }) => touched.extend([*maker, *taker]),
                Event::Adl { account, .. }
                | Event::TakenOver { account, .. }
                | Event::Settled { account, .. } => {
                    touched.extend([*account]);
                }
                Event::Liquidation(step) => {
                    let settles = self.swept.markets.slot(step.market).cell.settlement.is_some();
                    let may = settles || may_liquidate(self.swept, step.market);
                    ensure(step.lots.is_zero() || may, || {
                        format!("{step:?} in a market that is stale or does not trade")
                    })?;
                    let Some(account) = self.before.accounts.get(step.account) else { continue };
                    let shown = without_orders(self.swept, account);
                    let due = shown.below_maintenance()
                        || shown.equity.is_negative()
                        || touched.contains(&step.account);
                    ensure(due, || {
                        format!("{step:?} of an account at or above maintenance: {shown:?}")
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who is at or above maintenance, has no orders that reserve collateral, and meets nobody in
    /// the sweep, is to the last bit as before. Isolated accounts and their parents are left out:
    /// idle collateral goes back at the end of a block.
    fn the_safe_are_not_touched_by_the_sweep(&self) -> Finding {
        let mut met = BTreeSet::new();
        for event in &self.sweep.events {
            match event {
                Event::Fill(Fill { maker, taker, .. }) => met.extend([*maker, *taker]),
                Event::Adl { account, .. }
                | Event::TakenOver { account, .. }
                | Event::Settled { account, .. } => {
                    met.insert(*account);
                }
                _ => {}
            }
        }
        for account in self
            .before
            .accounts
            .iter()
            .filter_map(|(id, row)| row.isolated.map(|of| [id, of.parent]))
        {
            met.extend(account);
        }
        // Collateral that a keeper set aside goes back in phase 3, and at the end of its market.
        for cell in self.before.markets.cells() {
            let height = self.events.height;
            let is_back = |keeper: &&Keeper| {
                let due = keeper.give_back.is_some_and(|back| back.at_height <= height);
                due || cell.settlement.is_some()
            };
            met.extend(cell.market.keepers.iter().filter(is_back).map(|keeper| keeper.account));
        }
        for (id, account) in self.before.accounts.iter().filter(|(id, _)| !met.contains(id)) {
            let shown = without_orders(self.swept, account);
            let reserves = |slot: &MarketSlot| {
                slot.book.open_orders(id) > 0 || slot.conditional.increasing(id) > 0
            };
            let has_orders = self.before.markets.iter().any(reserves);
            let is_safe = !shown.below_maintenance() && !shown.equity.is_negative() && !has_orders;
            let now = self.swept.accounts.get(id);
            // But for its dead man's switch.
            let as_it_was = now
                .map(|now| Account { cancel_all_at_ms: now.cancel_all_at_ms, ..account.clone() });
            ensure(!is_safe || now == as_it_was.as_ref(), || {
                format!("account {id} was touched by the sweep: {shown:?}; {account:?} is {now:?}")
            })?;
        }
        Ok(())
    }

    /// The gain of a deleveraged account beyond the mark comes from its counterparties: no more
    /// than it lacked, but for an atom a part.
    fn nobody_pays_more_than_a_deficit(&self) -> Finding {
        let mut parts = 0;
        // A step is told before its parts.
        for event in self.events.events.iter().rev() {
            match event {
                Event::Adl { .. } => parts += 1,
                Event::Liquidation(step) if step.stage == LiquidationStage::Adl => {
                    let fair = step.mark_ticks.wide()
                        * step.lots.wide()
                        * self.after.markets.slot(step.market).cell.market.k.wide();
                    let fair = if step.side == Side::Sell { fair } else { -fair };
                    let haircut = step.arithmetic.quote_atoms - Atoms::new(fair);
                    let lacked = (-step.equity_atoms).max(Atoms::ZERO);
                    ensure(haircut <= lacked + Atoms::new(parts), || {
                        format!("{parts} counterparties paid {haircut} for {step:?}")
                    })?;
                    parts = 0;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A takeover uses up set-aside collateral; it leaves a keeper's free collateral as it was, and
    /// so at least at 0.
    fn keepers_risk_what_they_set_aside(&self) -> Finding {
        for event in &self.sweep.events {
            let Event::TakenOver { account, set_aside_used_atoms, .. } = event else { continue };
            let Some(row) = self.swept.accounts.get(*account) else { continue };
            let free = figures(self.swept, *account, row).free();
            ensure(!free.is_negative() && !set_aside_used_atoms.is_negative(), || {
                format!("keeper {account} has {free} atoms free after {event:?}")
            })?;
        }
        Ok(())
    }

    /// Checked for accounts of which a withdrawal is the only cash operation in its block: it meets
    /// what the phases before left.
    fn withdrawals_leave_what_is_not_cash(&self) -> Finding {
        let mut taken: BTreeMap<AccountId, (u32, Atoms)> = BTreeMap::new();
        for (tx, outcome) in self.txs.iter().zip(&self.events.txs) {
            let Some(tx) = tx.as_ref().ok().filter(|_| outcome.code() == Code::Ok) else {
                continue;
            };
            let account = |address, subaccount| {
                self.after
                    .owner_id(address)
                    .and_then(|owner| self.after.account_id(owner, subaccount))
            };
            let (changes, out) = match &tx.message {
                Message::Withdraw { subaccount, amount_atoms } => {
                    (vec![account(&tx.signer, *subaccount)], *amount_atoms)
                }
                Message::Deposit { recipient, subaccount, .. } => {
                    (vec![account(recipient, *subaccount)], Atoms::ZERO)
                }
                Message::Transfer { from_subaccount, to_subaccount, amount_atoms } => (
                    vec![
                        account(&tx.signer, *from_subaccount),
                        account(&tx.signer, *to_subaccount),
                    ],
                    *amount_atoms,
                ),
                Message::SetLeverage { subaccount, .. }
                | Message::SetMarginMode { subaccount, .. }
                | Message::AdjustIsolatedMargin { subaccount, .. }
                | Message::TakeBackWithdrawal { subaccount }
                | Message::RegisterBackstop { subaccount, .. } => {
                    (vec![account(&tx.signer, *subaccount)], Atoms::ZERO)
                }
                // Other parameters, other margins.
                Message::UpdateMarket(_) => return Ok(()),
                _ => continue,
            };
            // A credit that waits for its address to become an owner is of no account.
            let known = changes.into_iter().enumerate().filter_map(|(at, id)| Some((at, id?)));
            for (at, id) in known {
                let entry = taken.entry(id).or_default();
                *entry = (entry.0 + 1, if at == 0 { out } else { Atoms::ZERO });
            }
        }
        for (id, (_, out)) in taken.into_iter().filter(|(_, (count, _))| *count == 1) {
            let Some(account) = self.quiet.accounts.get(id) else { continue };
            let most = figures(self.quiet, id, account).withdrawable();
            ensure(out <= most, || {
                format!("account {id} took out {out}, withdrawable were {most}")
            })?;
        }
        Ok(())
    }
}

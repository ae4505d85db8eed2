//! The exchange as a book sees it while it matches: positions for reduce-only orders, and a sink of
//! events.

use tidemark_matching::{Book, Event as BookEvent, Host, OrderView};
use tidemark_proto::params::ChainParams;
use tidemark_proto::units::{
    AccountId, Atoms, Lots, MarketId, OrderId, Ppm, Side, SignedLots, Ticks, TimeMs,
};
use tidemark_proto::Code;
use tidemark_risk::fees::{self, FeeRates, TradeFees};
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::{position, Account, Treasury};

use crate::events::{Event, Fill, Work};
use crate::exec::account::health;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::links;
use crate::exec::order::live_orders::{time_of_expiry, why_dead};
use crate::exec::order::walk::Walk;
use crate::invariant::broken_in;
use crate::refusal::Refusal;
use crate::state::conditional::ConditionalOrders;
use crate::state::table::Table;
use crate::state::totals_cache::TotalsCache;
use crate::state::{Danger, Failure, FilledLots, MarketCell};

/// One market's surroundings for the length of one book operation. Every fill is applied to both
/// accounts at once.
pub(crate) struct BookHost<'a> {
    pub accounts: &'a mut Table<AccountId, Account>,
    pub cell: &'a mut MarketCell,
    /// Accounts whose increasing orders are dead: the sweep's budget did not reach them.
    pub danger: &'a Danger,
    /// Broken invariants that no block has reported yet.
    pub violations: &'a mut Vec<String>,
    pub conditional: &'a mut ConditionalOrders,
    /// Lots that resting orders have traded.
    pub filled: &'a mut FilledLots,
    pub order_totals: &'a mut TotalsCache,
    pub treasury: &'a mut Treasury,
    pub params: &'a ChainParams,
    pub now_ms: TimeMs,
    /// Time by which traded volume is counted.
    pub volume_ms: TimeMs,
    pub events: &'a mut Vec<Event>,
    pub work: &'a mut Work,
    /// Lots of the taker that have not traded yet.
    pub taker_lots: Lots,
    /// Lots of the taker that have.
    pub taker_filled_lots: Lots,
    /// The taker is the liquidation sweep: it pays no taker fee, and the maker gets no rebate.
    pub liquidation: bool,
    /// Quote that the taker's fills paid or earned, without fees: negative for a buy.
    pub quote_atoms: Atoms,
    /// Fees of the taker's fills.
    pub taker_fee_atoms: Atoms,
    /// Admits the taker's fills, where free collateral does not cover it at its limit.
    pub walk: Option<&'a mut Walk>,
    /// The order whose end takes others of its pair out of the book; 0 is none.
    pub closed_by: OrderId,
}

/// Notional and fees of a taker's fills.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub notional_atoms: Atoms,
    pub fee_atoms: Atoms,
}

impl<'a> BookHost<'a> {
    /// A market's book and its surroundings.
    pub fn split(ctx: &'a mut Ctx<'_>, market: MarketId) -> (&'a mut Book, Self) {
        let state = &mut *ctx.exchange;
        let volume_ms = state.chain.volume_ms();
        let slot = state.markets.slot_mut(market);
        let host = Self {
            accounts: &mut state.accounts,
            cell: &mut slot.cell,
            danger: &state.danger,
            violations: &mut state.derived.violations,
            conditional: &mut slot.conditional,
            filled: &mut slot.filled,
            order_totals: &mut slot.order_totals,
            treasury: &mut state.chain.treasury,
            params: &state.chain.params,
            now_ms: state.chain.time_ms,
            volume_ms,
            events: &mut ctx.events,
            work: &mut ctx.work,
            taker_lots: Lots::ZERO,
            taker_filled_lots: Lots::ZERO,
            liquidation: false,
            quote_atoms: Atoms::ZERO,
            taker_fee_atoms: Atoms::ZERO,
            walk: None,
            closed_by: OrderId::NONE,
        };
        (&mut slot.book, host)
    }

    /// Returns the sums over the taker's fills so far.
    pub fn taken(&self) -> Taken {
        let notional_atoms = self.quote_atoms.checked_abs().unwrap_or(Atoms::MAX);
        Taken { notional_atoms, fee_atoms: self.taker_fee_atoms }
    }

    fn row(&self, account: AccountId) -> Result<&Account, Refusal> {
        self.accounts.get(account).ok_or(Refusal::UnknownAccount(account))
    }

    fn rates(&self, account: AccountId) -> Result<FeeRates, Refusal> {
        let volume_atoms = self.row(self.trader(account)?)?.volume.atoms(self.volume_ms);
        Ok(fees::rates(&self.params.fee_tiers, volume_atoms))
    }

    /// Returns the account whose volume counts an account's trades: isolated collateral trades for
    /// its parent.
    fn trader(&self, account: AccountId) -> Result<AccountId, Refusal> {
        let isolated = self.row(account)?.isolated;
        Ok(isolated.map_or(account, |isolated| isolated.parent))
    }

    /// Applies a trade to both accounts. The reserve lemma (rules §3.7) is why nothing is checked
    /// here: what it does not cover was admitted by the walk.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a notional and lots of 64 bits have a negative in 128"
    )]
    fn trade(&mut self, fill: &mut Fill) -> Result<(), Refusal> {
        let notional = fill
            .price_ticks
            .notional_atoms(fill.lots, self.cell.market.k)
            .ok_or_else(|| Refusal::overflow("a trade's notional"))?;
        let taker_ppm =
            if self.liquidation { Ppm::ZERO } else { self.rates(fill.taker)?.taker_ppm };
        let trade_fees = fees::trade_fees(notional, self.rates(fill.maker)?.maker_ppm, taker_ppm)?;
        let TradeFees { taker_atoms, maker_atoms } = trade_fees;
        (fill.taker_fee_atoms, fill.maker_fee_atoms) = (taker_atoms, maker_atoms);
        let signed = if fill.taker_side == Side::Buy { -notional } else { notional };
        let quote_atoms = self.quote_atoms.checked_add(signed);
        self.quote_atoms = quote_atoms.ok_or_else(|| Refusal::overflow("an order's quote"))?;
        let fees_atoms = self.taker_fee_atoms.checked_add(taker_atoms);
        self.taker_fee_atoms = fees_atoms.ok_or_else(|| Refusal::overflow("an order's fees"))?;
        self.apply(fill.taker, fill.taker_side, fill, taker_atoms, notional)?;
        self.apply(fill.maker, fill.taker_side.opposite(), fill, maker_atoms, notional)?;
        fees::collect(
            trade_fees.net_atoms(),
            self.params.insurance_fee_ppm,
            &mut self.cell.market,
            self.treasury,
        )?;
        Ok(())
    }

    fn apply(
        &mut self,
        account: AccountId,
        side: Side,
        fill: &Fill,
        fee: Atoms,
        notional: Atoms,
    ) -> Result<(), Refusal> {
        let row = self.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
        position::apply_fill(row, &mut self.cell.market, side, fill.price_ticks, fill.lots, fee)?;
        let trader = self.trader(account)?;
        let row = self.accounts.get_mut(trader).ok_or(Refusal::UnknownAccount(trader))?;
        row.volume.add(self.volume_ms, notional);
        Ok(())
    }

    /// Applies a fill, reports it, and takes out the orders that end with it.
    fn fill(&mut self, event: BookEvent) {
        let BookEvent::Fill {
            maker_order_id,
            maker,
            maker_client_id,
            maker_remaining_lots,
            maker_reduce_only,
            taker_order_id,
            taker,
            taker_client_id,
            taker_side,
            price_ticks,
            lots,
        } = event
        else {
            let sentence = "the fill of a book is another event".to_string();
            broken_in(self.cell, self.violations, Failure::Fill, sentence);
            return;
        };
        let market = self.cell.market.params.id;
        let side = taker_side.opposite();
        self.order_totals
            .remove(maker, &OpenOrder { side, price_ticks, lots, reduce_only: maker_reduce_only });
        let has_not_traded = |order_id| self.filled.get(order_id).is_zero();
        let is_makers_first = has_not_traded(maker_order_id);
        let is_takers_first =
            !self.liquidation && self.taker_filled_lots.is_zero() && has_not_traded(taker_order_id);
        // The lots that a liquidation has still to close; 0 for any other taker.
        self.taker_lots = self.taker_lots.saturating_sub(lots);
        self.taker_filled_lots = self.taker_filled_lots.saturating_add(lots);
        let mut fill = Fill {
            market,
            price_ticks,
            lots,
            taker_side,
            maker,
            maker_order_id,
            maker_client_id,
            maker_fee_atoms: Atoms::ZERO,
            maker_remaining_lots,
            taker,
            taker_order_id,
            taker_client_id,
            taker_fee_atoms: Atoms::ZERO,
            taker_remaining_lots: self.taker_lots,
            liquidation: self.liquidation,
            is_makers_first,
            is_takers_first,
        };
        if let Err(refusal) = self.trade(&mut fill) {
            // Admission bounds every amount.
            let sentence = format!("a fill could not be applied: {}", refusal.labelled());
            broken_in(self.cell, self.violations, Failure::Fill, sentence);
        }
        self.events.push(Event::Fill(fill));
        self.follow_fill(&fill);
    }

    /// Carries out what depends on a fill: the lots of exits, and orders that end with it.
    fn follow_fill(&mut self, fill: &Fill) {
        let Fill { maker, maker_order_id, maker_remaining_lots, .. } = *fill;
        let Fill { taker, taker_order_id, taker_side, lots, .. } = *fill;
        self.fill_entry(maker_order_id, lots);
        // A replaced order may take, and have exits or a partner.
        self.fill_entry(taker_order_id, lots);
        self.count_filled(maker_order_id, lots, maker_remaining_lots);
        if self.conditional.pegged(maker_order_id).is_none() {
            self.release_partner(maker_order_id);
        }
        self.release_partner(taker_order_id);
        self.detach(maker, taker_side.opposite(), lots);
        self.detach(taker, taker_side, lots);
    }

    /// After a fill: who held `before` lots and holds none on that side any more loses the orders
    /// that close its position.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a notional and lots of 64 bits have a negative in 128"
    )]
    fn detach(&mut self, account: AccountId, side: Side, lots: Lots) {
        let market = self.cell.market.params.id;
        if self.conditional.is_empty() {
            return;
        }
        // An account without a row has broken the fill's own invariant already.
        let held = self.accounts.get(account).map_or(0, |account| account.lots(market).wide());
        let signed = if side == Side::Buy { lots.wide() } else { -lots.wide() };
        let before = held - signed;
        if before != 0 && before.signum() != held.signum() {
            links::detach(self.conditional, market, account, self.events);
        }
    }

    /// Counts what an order has traded, of which `rest_lots` stay on the book.
    fn count_filled(&mut self, order_id: OrderId, lots: Lots, rest_lots: Lots) {
        if rest_lots.is_zero() {
            self.left(order_id);
        } else if !lots.is_zero() && !self.filled.add(order_id, lots) {
            let sentence = format!("no room for what order {order_id} has traded");
            broken_in(self.cell, self.violations, Failure::Order, sentence);
        }
    }

    /// An order has left the book without a trade, or a replaced one does not come back to it.
    pub(crate) fn left(&mut self, order_id: OrderId) {
        self.filled.forget(order_id);
        if self.conditional.is_empty() {
            return;
        }
        let market = self.cell.market.params.id;
        links::entry_left(self.conditional, market, order_id, self.events);
        self.release_partner(order_id);
    }

    /// An order has filled: so much more is for its exits to close.
    fn fill_entry(&mut self, order_id: OrderId, lots: Lots) {
        if !self.conditional.is_empty() {
            self.conditional.fill_exits(order_id, lots);
        }
    }

    /// A resting order has traded or gone: so does the one that waits beside it.
    pub(crate) fn release_partner(&mut self, order_id: OrderId) {
        if !self.conditional.is_empty() {
            // A resting order's partner waits: nothing is left for the book to cancel.
            let market = self.cell.market.params.id;
            links::release(self.conditional, market, order_id, Code::OcoPartner, self.events);
        }
    }

    /// A resting order has left the book without a trade, or lots of it.
    fn released(&mut self, owner: AccountId, order: &OpenOrder) {
        self.order_totals.remove(owner, order);
        if let Some(walk) = &mut self.walk {
            walk.release(&self.cell.market, owner, order);
        }
    }

    fn rested(&self, order: &OrderView) -> Event {
        let pegged = self.conditional.pegged(order.order_id);
        Event::rested(self.cell.market.params.id, order, pegged)
    }
}

impl Host for BookHost<'_> {
    fn any_dead(&self) -> bool {
        self.danger.any_frozen()
    }

    fn why_dead(&self, owner: AccountId, reduce_only: bool) -> Option<Code> {
        why_dead(self.danger, self.accounts, owner, reduce_only)
    }

    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        // Without a row the order is as one without a position, and goes: nothing trades.
        debug_assert!(self.accounts.get(owner).is_some(), "account {owner} has an order, no row");
        let held = self
            .accounts
            .get(owner)
            .map_or(SignedLots::ZERO, |account| account.lots(self.cell.market.params.id));
        if !held.is_zero() && Side::reducing(held) == side {
            held.unsigned_abs()
        } else {
            Lots::ZERO
        }
    }

    fn now_ms(&self) -> TimeMs {
        time_of_expiry(self.now_ms)
    }

    fn begin_walk(&mut self) -> bool {
        let Some(walk) = &mut self.walk else { return false };
        walk.begin();
        true
    }

    fn admit(&mut self, price_ticks: Ticks, lots: Lots) -> Lots {
        let Some(walk) = &mut self.walk else { return lots };
        walk.admit(&self.cell.market, price_ticks, lots)
    }

    fn event(&mut self, event: BookEvent) {
        self.work.visit_order();
        let market = self.cell.market.params.id;
        let event = match event {
            fill @ BookEvent::Fill { .. } => return self.fill(fill),
            BookEvent::Rested(order) => {
                // An order reserves margin, whatever way it came into the book.
                self.accounts.touch(order.owner);
                self.order_totals.add(order.owner, &health::open_order(&order));
                self.count_filled(order.order_id, self.taker_filled_lots, order.lots);
                self.rested(&order)
            }
            // Its owner has nothing new to learn: the fill told what is left.
            BookEvent::Refilled(_) => return,
            BookEvent::Reduced { order, by_lots, .. } => {
                self.released(
                    order.owner,
                    &OpenOrder { lots: by_lots, ..health::open_order(&order) },
                );
                Event::Reduced {
                    market,
                    order_id: order.order_id,
                    account: order.owner,
                    lots: order.lots,
                }
            }
            BookEvent::Removed { order, reason } => {
                self.released(order.owner, &health::open_order(&order));
                self.events.push(Event::Removed {
                    market,
                    order_id: order.order_id,
                    account: order.owner,
                    client_id: order.client_id,
                    lots: order.lots,
                    code: reason,
                    closed_by: self.closed_by,
                    loses_draw: self.filled.get(order.order_id).is_zero(),
                });
                // It comes back.
                if reason != Code::Replaced {
                    self.left(order.order_id);
                }
                return;
            }
        };
        self.events.push(event);
    }
}

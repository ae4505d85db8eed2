//! Margin figures of an account: from the published view, with the replica's open orders of the
//! same block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidemark_consensus::publish::Publisher;
use tidemark_engine::state::{IsolatedSlot, MarketCell, Owner, View};
use tidemark_market_data::{owner_of, wire_atoms, AccountOrders, MarketData};
use tidemark_proto::types::{Address, TRIGGER_RESERVE};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Side, Ticks};
use tidemark_proto::{v1, Code, Refusal};
use tidemark_risk::health::{self as risk_health, Health, MarketTerms};
use tidemark_risk::orders::{order_totals, OpenOrder, OrderTotals};
use tidemark_risk::{fees, liquidation, Account, Keeper, Markets, Position, RiskError};

/// How long the replica may lag behind the published view before a query is answered without it.
const QUERY_WITHIN: Duration = Duration::from_secs(2);

/// The account of a subaccount.
///
/// # Errors
/// `INVALID_ARGUMENT` if the address is not valid bech32, `UNKNOWN_ACCOUNT` if it was never opened.
pub(super) fn find(view: &View, owner: &str, subaccount: u32) -> Result<AccountId, Refusal> {
    let address = Address::parse(owner)?;
    view.owner(&address).and_then(|owner| owner.account(subaccount)).ok_or_else(|| {
        let message =
            format!("subaccount {subaccount} of {address} does not exist: it never got a deposit");
        Refusal::new(Code::UnknownAccount, message)
    })
}

/// A view, and something read from the replica at the same height. Under load the two may part for
/// a moment; after some tries the newest of each has to do.
pub(super) async fn at_one_height<T>(
    publisher: &Publisher,
    market_data: &MarketData,
    read: impl Fn(&View) -> (u64, T),
) -> (Arc<View>, T) {
    for _ in 0..8 {
        let view = publisher.view();
        let height = view.chain.height;
        let caught_up = market_data.catch_up(height, QUERY_WITHIN).await;
        let (replica_height, found) = read(&view);
        if replica_height == height {
            return (view, found);
        }
        if !caught_up {
            break;
        }
    }
    let view = publisher.view();
    let found = read(&view).1;
    (view, found)
}

/// The orders of an account without any.
pub(super) static NO_ORDERS: AccountOrders = AccountOrders::NONE;

/// An account with its open orders: the inputs of its margin.
pub(super) struct AccountMargin<'a> {
    view: &'a View,
    id: AccountId,
    pub owner: &'a Owner,
    pub account: &'a Account,
    orders: &'a AccountOrders,
}

impl<'a> AccountMargin<'a> {
    /// # Errors
    /// `UNKNOWN_ACCOUNT`.
    pub(super) fn of(
        view: &'a View,
        id: AccountId,
        orders: &'a AccountOrders,
    ) -> Result<Self, Refusal> {
        let (owner, account) = view.account(id).ok_or_else(|| {
            Refusal::new(Code::UnknownAccount, format!("account {id} holds nothing"))
        })?;
        Ok(Self { view, id, owner, account, orders })
    }

    pub(super) fn totals(&self, market: MarketId) -> Result<OrderTotals, RiskError> {
        let of_market =
            self.orders.resting.iter().filter(|order| order.market == u32::from(market.get()));
        let open = |order: &v1::Order| OpenOrder {
            side: if order.side() == v1::Side::Sell { Side::Sell } else { Side::Buy },
            price_ticks: Ticks::new(order.price_ticks),
            lots: Lots::new(order.lots),
            reduce_only: order.reduce_only,
        };
        let open: Vec<_> = of_market.map(open).collect();
        let waiting_atoms = self.waiting_atoms(market);
        if open.is_empty() && waiting_atoms.is_zero() {
            return Ok(OrderTotals::default());
        }
        let market = self.view.existing(market)?;
        let fee_ppm = fees::max_fee_ppm(&self.view.chain.params.fee_tiers);
        let totals = order_totals(&open, market.mark()?, market.k, fee_ppm)?;
        Ok(OrderTotals { waiting_atoms, ..totals })
    }

    /// Trigger reserve of the account's orders in a market.
    fn waiting_atoms(&self, market: MarketId) -> Atoms {
        let orders = self.orders.increasing.get(&market).copied().unwrap_or(0);
        Atoms::new(TRIGGER_RESERVE.get().saturating_mul(i128::from(orders)))
    }

    pub(super) fn health(&self) -> Result<Health, RiskError> {
        risk_health::health(self.account, self.view, |market| self.totals(market))
    }

    fn position(&self, position: &Position, health: &Health) -> Result<v1::Position, Refusal> {
        let market = self.view.existing(position.market)?;
        let terms = MarketTerms::of(market, position, &self.totals(position.market)?)?;
        let price = liquidation::liquidation_price(market, position.lots, health)?;
        Ok(v1::Position {
            market: u32::from(position.market.get()),
            lots: position.lots.get(),
            cost_atoms: wire_atoms(position.cost_atoms),
            notional_atoms: wire_atoms(terms.value_atoms.max(-terms.value_atoms)),
            unrealised_atoms: wire_atoms(terms.unrealised_atoms),
            unpaid_funding_atoms: wire_atoms(terms.unpaid_funding_atoms),
            mark_ticks: market.mark_ticks.map_or(0, Ticks::get),
            liquidation_price_ticks: price.map_or(0, Ticks::get),
            leverage: position.leverage,
            maintenance_atoms: wire_atoms(terms.maintenance_atoms),
            reserve_atoms: wire_atoms(terms.reserve_atoms),
            fresh_lots: position.fresh.lots(market.window()).get(),
            realised_atoms: wire_atoms(position.realised_atoms),
            isolated: self.account.isolated.map(|_| v1::IsolatedMargin {
                account_id: self.id.get(),
                collateral_atoms: wire_atoms(self.account.collateral_atoms),
                equity_atoms: wire_atoms(health.equity_atoms),
                free_atoms: wire_atoms(health.free_atoms()),
                removable_atoms: wire_atoms(health.withdrawable_atoms()),
            }),
        })
    }

    /// Positions, and entries that say something else: a leverage, or isolated collateral.
    fn positions(&self, health: &Health) -> Result<Vec<v1::Position>, Refusal> {
        let isolated = self.account.isolated.is_some() && !self.account.collateral_atoms.is_zero();
        let shown = self.account.positions.iter();
        let shown =
            shown.filter(|position| !position.lots.is_zero() || position.leverage != 0 || isolated);
        shown.map(|position| self.position(position, health)).collect()
    }
}

/// Accounts, each followed by those that hold its isolated collateral.
pub(super) fn with_isolated(view: &View, ids: &[AccountId]) -> Vec<AccountId> {
    ids.iter()
        .flat_map(|id| std::iter::once(*id).chain(isolated_of(view, *id).map(|slot| slot.account)))
        .collect()
}

/// The markets in which an account is or was in isolated mode; not each holds something.
pub(super) fn isolated_of(view: &View, id: AccountId) -> impl Iterator<Item = &IsolatedSlot> + '_ {
    let found = view.account(id);
    found.into_iter().flat_map(|(owner, account)| owner.isolated_of(account.number))
}

/// One subaccount with its figures at the view's marks, and with its isolated positions, which
/// count in none of its figures. `orders` are the open orders by account.
///
/// # Errors
/// `UNKNOWN_ACCOUNT`, or `OVERFLOW` where amounts pass 127 bits.
pub(super) fn subaccount(
    view: &View,
    id: AccountId,
    orders: &BTreeMap<AccountId, AccountOrders>,
) -> Result<v1::Subaccount, Refusal> {
    let orders_of = |id: AccountId| orders.get(&id).unwrap_or(&NO_ORDERS);
    let account_margin = AccountMargin::of(view, id, orders_of(id))?;
    let (owner, account) = (account_margin.owner, account_margin.account);
    let health = account_margin.health()?;
    let mut positions = account_margin.positions(&health)?;
    let (mut open_orders, mut isolated_markets) = (orders_of(id).resting.len(), Vec::new());
    for slot in isolated_of(view, id) {
        if view.accounts.has(slot.account) {
            let account_margin = AccountMargin::of(view, slot.account, orders_of(slot.account))?;
            positions.extend(account_margin.positions(&account_margin.health()?)?);
            open_orders += orders_of(slot.account).resting.len();
        }
        let market = u32::from(slot.market.get());
        let only = view.market(market)?.market.params.isolated_only;
        isolated_markets.extend((slot.active || only).then_some(market));
    }
    positions.sort_by_key(|position| position.market);
    let markets = orders_of(id).increasing.keys();
    let waiting_atoms: Atoms = markets.map(|market| account_margin.waiting_atoms(*market)).sum();
    Ok(v1::Subaccount {
        owner: owner.address.to_string(),
        subaccount: account.number,
        account_id: id.get(),
        collateral_atoms: wire_atoms(account.collateral_atoms),
        equity_atoms: wire_atoms(health.equity_atoms),
        reserve_atoms: wire_atoms(health.reserve_atoms),
        maintenance_atoms: wire_atoms(health.maintenance_atoms),
        free_atoms: wire_atoms(health.free_atoms()),
        withdrawable_atoms: wire_atoms(health.withdrawable_atoms()),
        positions,
        self_trade_prevention: v1::SelfTradePrevention::from(account.stp) as i32,
        open_orders: u32::try_from(open_orders).unwrap_or(u32::MAX),
        volume_30d_atoms: wire_atoms(account.volume.atoms(view.chain.volume_ms())),
        isolated_markets,
        set_aside: set_aside_of(view, id),
        waiting_atoms: wire_atoms(waiting_atoms),
    })
}

/// The collateral that an account has set aside, by market.
fn set_aside_of(view: &View, id: AccountId) -> Vec<v1::Keeper> {
    let of = |cell: &MarketCell| {
        let keepers = &cell.market.keepers;
        let at = keepers.binary_search_by_key(&id, |row| row.account).ok()?;
        Some(keeper(view, u32::from(cell.market.params.id.get()), keepers.get(at)?))
    };
    view.markets.iter().filter_map(of).collect()
}

/// A keeper of a market on the wire.
pub(super) fn keeper(view: &View, market: u32, row: &Keeper) -> v1::Keeper {
    let (owner, subaccount) = owner_of(view, row.account);
    v1::Keeper {
        market,
        owner,
        subaccount,
        account_id: row.account.get(),
        set_aside_atoms: wire_atoms(row.set_aside_atoms),
        lasting_atoms: wire_atoms(row.lasting_atoms()),
        back_at_height: row.give_back.map_or(0, |back| back.at_height),
        made_room: row.made_room,
    }
}

/// Ids of an owner's accounts that hold something: of one subaccount, or all in order of number.
///
/// # Errors
/// `UNKNOWN_ACCOUNT` for an owner or a subaccount that never got a deposit.
pub(super) fn accounts_of(
    view: &View,
    owner: &str,
    subaccount: Option<u32>,
) -> Result<Vec<AccountId>, Refusal> {
    if let Some(number) = subaccount {
        let id = find(view, owner, number)?;
        return Ok(if view.accounts.has(id) { vec![id] } else { Vec::new() });
    }
    let address = Address::parse(owner)?;
    let unknown = || {
        let message = match view.chain.first_credits.of(&address) {
            Atoms::ZERO => format!("account {address} not found: it never got a deposit"),
            waits_atoms => format!(
                "account {address} not found: {waits_atoms} atoms wait for the rest of its first \
                 credit, {} make it an owner",
                view.chain.params.first_credit_min_atoms
            ),
        };
        Refusal::new(Code::UnknownAccount, message)
    };
    let mut accounts = view.owner(&address).ok_or_else(unknown)?.accounts.clone();
    accounts.retain(|(_, id)| view.accounts.has(*id));
    accounts.sort_unstable();
    Ok(accounts.into_iter().map(|(_, id)| id).collect())
}

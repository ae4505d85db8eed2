//! Why an account stands where it does: each term of its margin, from the functions that the chain
//! itself decides by; and its past liquidations.

use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, Side, Ticks};
use tidemark_proto::{v1, Refusal};
use tidemark_risk::health::{Health, MarketTerms};
use tidemark_risk::interest::affordable_lots;
use tidemark_risk::margin::{self, TierPart};
use tidemark_risk::orders::{OpenOrder, OrderTotals, ReserveTerms};
use tidemark_risk::{fees, liquidation, Market, Position, RiskError};

use super::account::{find, isolated_of, with_isolated, AccountMargin, NO_ORDERS};
use super::query::QueryServer;
use tidemark_engine::state::View;
use tidemark_market_data::{wire_atoms, wire_lots, AccountOrders};

/// Steps of an answer where the request does not say, and at most.
const USUAL_STEPS: u32 = 100;
const MOST_STEPS: u32 = 1_000;

fn tiers(
    parts: impl Iterator<Item = Result<TierPart, RiskError>>,
) -> Result<Vec<v1::TierPart>, RiskError> {
    let wire = |part: TierPart| v1::TierPart {
        lower_atoms: wire_atoms(part.lower_atoms),
        upper_atoms: wire_atoms(part.upper_atoms),
        part_atoms: wire_atoms(part.part_atoms),
        rate_ppm: part.rate_ppm.get(),
    };
    parts.map(|part| part.map(wire)).collect()
}

/// Every term of an account at the view's marks, with its open orders of the same block; in the
/// markets of `shown`.
///
/// # Errors
/// `UNKNOWN_ACCOUNT`, or `OVERFLOW` where amounts pass 127 bits.
fn explain(
    view: &View,
    id: AccountId,
    orders: &AccountOrders,
    shown: impl Fn(MarketId) -> bool,
) -> Result<v1::ExplainResponse, Refusal> {
    let account_margin = AccountMargin::of(view, id, orders)?;
    let (owner, account) = (account_margin.owner, account_margin.account);
    let health = account_margin.health()?;
    let explained =
        |cell: &tidemark_engine::state::MarketCell| -> Result<Option<v1::MarketTerms>, Refusal> {
            let market = &cell.market;
            let id = market.params.id;
            if market.mark_ticks.is_none() || !shown(id) {
                return Ok(None);
            }
            let position = account.position(id).copied().unwrap_or(Position::empty(id));
            let fee_ppm = fees::max_fee_ppm(&view.chain.params.fee_tiers);
            market_terms(market, &position, &account_margin.totals(id)?, &health, fee_ppm).map(Some)
        };
    let markets = view.markets.iter().filter_map(|cell| explained(cell).transpose());
    Ok(v1::ExplainResponse {
        height: view.chain.height,
        time_ms: view.chain.time_ms.get(),
        owner: owner.address.to_string(),
        subaccount: account.number,
        account_id: id.get(),
        collateral_atoms: wire_atoms(account.collateral_atoms),
        markets: markets.collect::<Result<_, _>>()?,
        equity_atoms: wire_atoms(health.equity_atoms),
        initial_atoms: wire_atoms(health.initial_atoms),
        maintenance_atoms: wire_atoms(health.maintenance_atoms),
        reserve_atoms: wire_atoms(health.reserve_atoms),
        free_atoms: wire_atoms(health.free_atoms()),
        cash_atoms: wire_atoms(health.cash_atoms),
        notional_atoms: wire_atoms(health.notional_atoms),
        retained_atoms: wire_atoms(health.retained_atoms()),
        withdrawable_atoms: wire_atoms(health.withdrawable_atoms()),
        liquidatable: health.is_liquidatable(),
        isolated: Vec::new(),
    })
}

fn market_terms(
    market: &Market,
    position: &Position,
    totals: &OrderTotals,
    health: &Health,
    max_fee_ppm: Ppm,
) -> Result<v1::MarketTerms, Refusal> {
    let params = &market.params;
    let terms = MarketTerms::of(market, position, totals)?;
    let reserve = ReserveTerms::of(market, position, totals)?;
    let farthest = margin::marked_atoms(market, reserve.farthest_lots())?;
    let notional = terms.value_atoms.max(-terms.value_atoms);
    let price = liquidation::liquidation_price(market, position.lots, health)?;
    let mark_ticks = market.mark()?;
    let open_interest = market.value_atoms(mark_ticks, market.open_interest_lots.wide());
    let affordable = |side: Side| {
        let order =
            OpenOrder { side, price_ticks: mark_ticks, lots: Lots::ZERO, reduce_only: false };
        let most = params.max_order_lots;
        affordable_lots(market, position, totals, health.free_atoms(), &order, most, max_fee_ppm)
    };
    Ok(v1::MarketTerms {
        market: u32::from(params.id.get()),
        lots: position.lots.get(),
        mark_ticks: mark_ticks.get(),
        k: market.k.get(),
        value_atoms: wire_atoms(terms.value_atoms),
        cost_atoms: wire_atoms(position.cost_atoms),
        unrealised_atoms: wire_atoms(terms.unrealised_atoms),
        funding_index: market.funding.cumulative_index.to_string(),
        position_funding_index: position.funding_index.to_string(),
        unpaid_funding_atoms: wire_atoms(terms.unpaid_funding_atoms),
        leverage: position.leverage,
        initial_tiers: tiers(margin::initial_tiers(params, notional, Atoms::ZERO))?,
        initial_atoms: wire_atoms(terms.initial_atoms),
        maintenance_tiers: tiers(margin::maintenance_tiers(params, notional))?,
        maintenance_fraction_ppm: params.maintenance_fraction_ppm.get(),
        maintenance_atoms: wire_atoms(terms.maintenance_atoms),
        buy_lots: wire_lots(totals.buy_lots),
        sell_lots: wire_lots(totals.sell_lots),
        reduce_only_buy_lots: wire_lots(totals.reduce_only_buy_lots),
        reduce_only_sell_lots: wire_lots(totals.reduce_only_sell_lots),
        highest_lots: wire_lots(reserve.highest_lots),
        lowest_lots: wire_lots(reserve.lowest_lots),
        reserve_tiers: tiers(margin::initial_tiers(params, farthest, Atoms::ZERO))?,
        reserve_margin_atoms: wire_atoms(reserve.margin_atoms),
        adverse_atoms: wire_atoms(reserve.adverse_atoms),
        max_fee_atoms: wire_atoms(reserve.max_fee_atoms),
        max_fee_ppm: max_fee_ppm.get(),
        reserve_atoms: wire_atoms(terms.reserve_atoms),
        liquidation_price_ticks: price.map_or(0, Ticks::get),
        affordable_buy_lots: affordable(Side::Buy)?.get(),
        affordable_sell_lots: affordable(Side::Sell)?.get(),
        waiting_atoms: wire_atoms(reserve.waiting_atoms),
        open_interest_atoms: wire_atoms(open_interest.unwrap_or(Atoms::MAX)),
    })
}

impl QueryServer {
    pub(super) async fn explain_account(
        &self,
        request: &v1::ExplainRequest,
    ) -> Result<v1::ExplainResponse, Refusal> {
        let (view, _, orders) =
            self.accounts_with_orders(&request.owner, Some(request.subaccount)).await?;
        let id = find(&view, &request.owner, request.subaccount)?;
        let orders_of = |id: AccountId| orders.get(&id).unwrap_or(&NO_ORDERS);
        let isolated = |market: MarketId| {
            let only = view
                .markets
                .get(market.index())
                .is_some_and(|cell| cell.market.params.isolated_only);
            only || isolated_of(&view, id).any(|slot| slot.market == market && slot.active)
        };
        let mut answer = explain(&view, id, orders_of(id), |market| !isolated(market))?;
        for slot in isolated_of(&view, id).filter(|slot| view.accounts.has(slot.account)) {
            answer.isolated.push(explain(
                &view,
                slot.account,
                orders_of(slot.account),
                |market| market == slot.market,
            )?);
        }
        Ok(answer)
    }

    pub(super) fn past_liquidations(
        &self,
        request: &v1::LiquidationHistoryRequest,
    ) -> Result<v1::LiquidationHistoryResponse, Refusal> {
        let view = self.publisher.view();
        let accounts = with_isolated(&view, &[find(&view, &request.owner, request.subaccount)?]);
        let most = if request.limit == 0 { USUAL_STEPS } else { request.limit.min(MOST_STEPS) };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (since_height, steps) =
            self.market_data.past_liquidations(&accounts, request.sequence, most);
        Ok(v1::LiquidationHistoryResponse { since_height, steps })
    }
}

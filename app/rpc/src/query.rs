//! `QueryService`: the last committed state, from the published view and the market-data replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_engine::state::outflow::QueuedWithdrawal;
use tidemark_engine::state::{MarketCell, SettlementStage, View, MAX_PENDING_SEQUENCES};
use tidemark_market_data::{listed, wire_atoms, AccountOrders, MarketData};
use tidemark_proto::units::{AccountId, Atoms, MarketId, Ticks};
use tidemark_proto::v1::query_service_server::QueryService;
use tidemark_proto::{types, v1, Refusal};
use tidemark_risk::liquidation::next_allowance;
use tonic::{Request, Response, Status};

use super::account::{accounts_of, at_one_height, find, keeper, subaccount, with_isolated};
use super::agents::agents;
use super::export::{export, ExportStream};
use super::one_export::Exports;
use super::standing::Standing;

/// Funding is paid at each full hour of block time.
const HOUR_MS: u64 = 3_600_000;

/// Open orders of each account.
type OrdersByAccount = BTreeMap<AccountId, AccountOrders>;

/// The service.
pub(super) struct QueryServer {
    pub publisher: Arc<Publisher>,
    pub queue: Arc<TxQueue>,
    pub market_data: Arc<MarketData>,
    /// Name of this node's price feed.
    pub feed: String,
    pub exports: Exports,
    pub standing: Standing,
}

/// An amount that is never negative, on the wire: what passes 64 bits is shown as the nearest that
/// fits.
fn unsigned_atoms(atoms: Atoms) -> u64 {
    u64::try_from(atoms.get().max(0)).unwrap_or(u64::MAX)
}

/// An owner's allowance in the next block.
fn allowance(view: &View, queue: &TxQueue, owner: &types::Address) -> Option<v1::Allowance> {
    let left = view.allowance(owner, view.chain.time_ms)?;
    let (draws, waiting, full) = (left.draws(), queue.draws(owner), left.blocks_until_full());
    Some(v1::Allowance {
        size: left.size,
        orders_left: draws.orders,
        cancels_left: draws.cancels,
        orders_waiting: waiting.orders,
        cancels_waiting: waiting.cancels,
        orders_full_after_blocks: full.orders,
        cancels_full_after_blocks: full.cancels,
    })
}

fn params(view: &View) -> v1::ParamsResponse {
    let (chain, params) = (&view.chain, &view.chain.params);
    let tiers = params.fee_tiers.iter().map(|tier| v1::params_response::FeeTier {
        min_volume_atoms: unsigned_atoms(tier.min_volume_atoms),
        maker_ppm: tier.maker_ppm.get(),
        taker_ppm: tier.taker_ppm.get(),
    });
    v1::ParamsResponse {
        fee_tiers: tiers.collect(),
        insurance_fee_ppm: params.insurance_fee_ppm.get(),
        max_block_gas: params.max_block_gas,
        max_tx_bytes: params.max_tx_bytes,
        cancels_first: params.cancels_first,
        halt_ms: params.halt_ms.get(),
        withdrawal_gate_blocks: params.withdrawal_gate_blocks,
        max_operations: u32::try_from(types::MAX_OPERATIONS).unwrap_or(u32::MAX),
        max_pending_sequences: u32::try_from(MAX_PENDING_SEQUENCES).unwrap_or(u32::MAX),
        admin: chain.admin.to_string(),
        minters: chain.minters.iter().map(ToString::to_string).collect(),
        hour_outflow_atoms: unsigned_atoms(params.hour_outflow_atoms),
        day_outflow_atoms: unsigned_atoms(params.day_outflow_atoms),
        first_credit_min_atoms: unsigned_atoms(params.first_credit_min_atoms),
        owner_fee_atoms: unsigned_atoms(params.owner_fee_atoms),
        free_subaccounts: params.free_subaccounts,
        subaccount_fee_atoms: unsigned_atoms(params.subaccount_fee_atoms),
        allowance_base: params.allowance_base,
        flat_fee_atoms: unsigned_atoms(params.flat_fee_atoms),
    }
}

fn market_state(
    view: &View,
    cell: &MarketCell,
    (reporting_power, total_power): &(Vec<u64>, u64),
) -> v1::MarketState {
    let (market, ticks) = (&cell.market, |price: Option<Ticks>| price.map_or(0, Ticks::get));
    let (now_ms, treasury) = (view.chain.time_ms, &view.chain.treasury);
    let bucket_atoms = market.bucket_atoms(treasury);
    let (fund_allowance_atoms, blocks_without_fund) = next_allowance(market, treasury);
    v1::MarketState {
        params: Some((&market.params).into()),
        k: market.k.get(),
        index_ticks: ticks(cell.index.index_ticks()),
        index_time_ms: cell.index.index.map_or(0, |point| point.time_ms.get()),
        stale: cell.index.is_stale(now_ms, market.params.max_oracle_age_ms),
        mark_ticks: ticks(market.mark_ticks),
        last_trade_ticks: ticks(cell.last_trade.map(|trade| trade.price_ticks)),
        best_bid_ticks: ticks(cell.top.0),
        best_ask_ticks: ticks(cell.top.1),
        open_interest_lots: market.open_interest_lots.get(),
        funding_rate_ppm: market.funding.last_rate_8h_ppm.get(),
        predicted_funding_ppm: market.predicted_rate_8h_ppm().get(),
        bad_debt_atoms: wire_atoms(market.bad_debt_atoms),
        quarantined: cell.quarantined.is_some(),
        reporting_power: reporting_power.get(market.params.id.index()).copied().unwrap_or(0),
        total_power: *total_power,
        insurance_atoms: wire_atoms(market.insurance_atoms),
        set_aside_atoms: wire_atoms(market.set_aside_atoms()),
        settlement_price_ticks: ticks(cell.settlement.map(|settlement| settlement.price_ticks)),
        settled: cell
            .settlement
            .is_some_and(|settlement| settlement.stage == SettlementStage::Done),
        fund_bucket_size_atoms: unsigned_atoms(bucket_atoms),
        fund_bucket_atoms: unsigned_atoms(market.fund_bucket.held_atoms(bucket_atoms)),
        fund_allowance_atoms: unsigned_atoms(fund_allowance_atoms),
        blocks_without_fund,
    }
}

fn backstop(view: &View, market: Option<u32>) -> Result<v1::BackstopResponse, Refusal> {
    let cells = match market {
        Some(market) => std::slice::from_ref(view.market(market)?),
        None => view.markets.as_slice(),
    };
    let mut out = v1::BackstopResponse { height: view.chain.height, ..Default::default() };
    for cell in cells {
        let market = u32::from(cell.market.params.id.get());
        out.keepers.extend(cell.market.keepers.iter().map(|row| keeper(view, market, row)));
        out.listed.extend(listed(view, cell.market.params.id));
        out.takeovers.extend(cell.takeovers.iter().map(|takeover| v1::WaitingTakeover {
            market,
            account_id: takeover.account.get(),
            keeper_account_id: takeover.keeper.get(),
            lots: takeover.lots.get(),
        }));
    }
    Ok(out)
}

fn funding(cell: &MarketCell) -> v1::FundingResponse {
    let funding = &cell.market.funding;
    v1::FundingResponse {
        last_rate_ppm: funding.last_rate_8h_ppm.get(),
        predicted_rate_ppm: cell.market.predicted_rate_8h_ppm().get(),
        next_ms: funding.hour.saturating_add(1).saturating_mul(HOUR_MS),
        samples: funding.premium_samples,
        cumulative_index: funding.cumulative_index.to_string(),
    }
}

fn market_id(view: &View, market: u32) -> Result<MarketId, Refusal> {
    Ok(view.market(market)?.market.params.id)
}

impl QueryServer {
    fn respond<T>(&self, result: Result<T, Refusal>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|refusal| self.standing.refuse(refusal))
    }

    /// An owner's accounts, or one, and all their open orders by account, those of isolated
    /// collateral among them; all of one height.
    pub(super) async fn accounts_with_orders(
        &self,
        owner: &str,
        subaccount: Option<u32>,
    ) -> Result<(Arc<View>, Vec<AccountId>, OrdersByAccount), Refusal> {
        let (view, orders) = at_one_height(&self.publisher, &self.market_data, |view| {
            let ids = accounts_of(view, owner, subaccount);
            let read = |ids: Vec<_>| {
                let books = with_isolated(view, &ids);
                let (height, orders) = self.market_data.orders_of_all(&books);
                (height, (ids, books.into_iter().zip(orders).collect::<BTreeMap<_, _>>()))
            };
            match ids.map(read) {
                Ok((height, orders)) => (height, Ok(orders)),
                // It is of the view alone.
                Err(refusal) => (view.chain.height, Err(refusal)),
            }
        })
        .await;
        orders.map(|(ids, orders)| (view, ids, orders))
    }

    async fn accounts(&self, request: &v1::AccountRequest) -> Result<v1::AccountResponse, Refusal> {
        let (view, ids, orders) =
            self.accounts_with_orders(&request.owner, request.subaccount).await?;
        let subaccounts = ids.iter().map(|id| subaccount(&view, *id, &orders));
        let owner = ids.first().and_then(|id| view.account(*id)).map(|(owner, _)| owner);
        let known =
            types::Address::parse(&request.owner).ok().and_then(|address| view.owner(&address));
        let owner = owner.or(known);
        let queue = view.chain.outflow.queue.rows();
        let is_own = |row: &QueuedWithdrawal| {
            view.owners.get(row.owner).map(|owner| owner.address) == owner.map(|own| own.address)
        };
        let place = queue.iter().position(is_own);
        let queued = place.and_then(|at| queue.get(at)).map(|row| row.amount_atoms);
        let sequence = owner.map_or(0, |owner| owner.sequence);
        let next_free = owner.and_then(|owner| self.queue.next_free(&owner.address));
        Ok(v1::AccountResponse {
            height: view.chain.height,
            sequence,
            next_sequence: next_free.unwrap_or(sequence).max(sequence),
            subaccounts: subaccounts.collect::<Result<_, _>>()?,
            queued_withdrawal_atoms: unsigned_atoms(queued.unwrap_or(Atoms::ZERO)),
            queued_ahead: place.and_then(|at| u32::try_from(at).ok()).unwrap_or(0),
            allowance: owner.and_then(|owner| allowance(&view, &self.queue, &owner.address)),
        })
    }

    fn orders(&self, request: &v1::OrdersRequest) -> Result<v1::OrdersResponse, Refusal> {
        let view = self.publisher.view();
        let account = find(&view, &request.owner, request.subaccount)?;
        let market = request.market.map(|market| market_id(&view, market)).transpose()?;
        let accounts = with_isolated(&view, &[account]);
        let (height, orders, conditional) = self.market_data.orders_and_waiting(&accounts, market);
        let cancel_all_at_ms =
            view.account(account).map_or(0, |(_, account)| account.cancel_all_at_ms.get());
        Ok(v1::OrdersResponse { height, orders, conditional, cancel_all_at_ms })
    }

    fn markets(&self, request: &v1::MarketsRequest) -> Result<v1::MarketsResponse, Refusal> {
        let view = self.publisher.view();
        let power = self.market_data.reporting_power();
        let state = |cell: &MarketCell| market_state(&view, cell, &power);
        let markets = match request.market {
            Some(market) => vec![state(view.market(market)?)],
            None => view.markets.iter().map(state).collect(),
        };
        Ok(v1::MarketsResponse { markets })
    }

    fn book(&self, request: &v1::BookRequest) -> Result<v1::BookResponse, Refusal> {
        let market = market_id(&self.publisher.view(), request.market)?;
        let book =
            self.market_data.book(market, usize::try_from(request.depth).unwrap_or(usize::MAX));
        Ok(v1::BookResponse {
            height: book.height,
            sequence: book.sequence,
            bids: book.bids,
            asks: book.asks,
            checksum: book.checksum,
        })
    }
}

#[tonic::async_trait]
impl QueryService for QueryServer {
    type ExportStream = ExportStream;

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let view = self.publisher.view();
        let chain = &view.chain;
        let treasury = &chain.treasury;
        let left = chain.outflow.left(&chain.params);
        let gated_until = chain.withdrawals_gated_until;
        Ok(Response::new(v1::StatusResponse {
            chain_id: view.chain.chain_id.clone(),
            height: view.chain.height,
            time_ms: view.chain.time_ms.get(),
            app_hash: view.app_hash.to_vec(),
            protocol_version: view.chain.protocol_version,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            feed: self.feed.clone(),
            withdrawals_gated_until: if gated_until > chain.height { gated_until } else { 0 },
            hour_outflow_left_atoms: unsigned_atoms(left.hour_atoms),
            day_outflow_left_atoms: unsigned_atoms(left.day_atoms),
            queued_withdrawals_atoms: unsigned_atoms(chain.outflow.queue.atoms()),
            insurance_atoms: unsigned_atoms(treasury.insurance_atoms),
            fund_bucket_atoms: unsigned_atoms(treasury.bucket.held_atoms(treasury.bucket_atoms())),
            events_from_height: self.market_data.held().oldest,
            genesis_hash: chain.genesis_hash.to_vec(),
        }))
    }

    async fn params(
        &self,
        _: Request<v1::ParamsRequest>,
    ) -> Result<Response<v1::ParamsResponse>, Status> {
        Ok(Response::new(params(&self.publisher.view())))
    }

    async fn markets(
        &self,
        request: Request<v1::MarketsRequest>,
    ) -> Result<Response<v1::MarketsResponse>, Status> {
        self.respond(Self::markets(self, request.get_ref()))
    }

    async fn account(
        &self,
        request: Request<v1::AccountRequest>,
    ) -> Result<Response<v1::AccountResponse>, Status> {
        self.respond(self.accounts(request.get_ref()).await)
    }

    async fn orders(
        &self,
        request: Request<v1::OrdersRequest>,
    ) -> Result<Response<v1::OrdersResponse>, Status> {
        self.respond(Self::orders(self, request.get_ref()))
    }

    async fn book(
        &self,
        request: Request<v1::BookRequest>,
    ) -> Result<Response<v1::BookResponse>, Status> {
        self.respond(Self::book(self, request.get_ref()))
    }

    async fn funding(
        &self,
        request: Request<v1::FundingRequest>,
    ) -> Result<Response<v1::FundingResponse>, Status> {
        let view = self.publisher.view();
        self.respond(view.market(request.get_ref().market).map(funding).map_err(Refusal::from))
    }

    async fn oracle(
        &self,
        request: Request<v1::OracleRequest>,
    ) -> Result<Response<v1::OracleResponse>, Status> {
        self.respond(Self::oracle(self, request.get_ref()))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.respond(self.explain_account(request.get_ref()).await)
    }

    async fn liquidation_history(
        &self,
        request: Request<v1::LiquidationHistoryRequest>,
    ) -> Result<Response<v1::LiquidationHistoryResponse>, Status> {
        self.respond(self.past_liquidations(request.get_ref()))
    }

    async fn agents(
        &self,
        request: Request<v1::AgentsRequest>,
    ) -> Result<Response<v1::AgentsResponse>, Status> {
        self.respond(agents(&self.publisher.view(), request.get_ref()))
    }

    async fn backstop(
        &self,
        request: Request<v1::BackstopRequest>,
    ) -> Result<Response<v1::BackstopResponse>, Status> {
        self.respond(backstop(&self.publisher.view(), request.get_ref().market))
    }

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let seat = self.exports.begin(request.extensions().get().cloned())?;
        let read = |_: &View| self.market_data.all_orders();
        let (view, orders) = at_one_height(&self.publisher, &self.market_data, read).await;
        Ok(Response::new(export(view, orders, seat)))
    }
}

//! The metrics themselves, and how a block is counted.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{CounterVec, Error};
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tidemark_consensus::publish::{OwnReport, Published, Publisher};
use tidemark_engine::events::{BlockEvents, Event, Liquidation};
use tidemark_engine::phase::Phase;
use tidemark_engine::state::{MarketCell, View};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, MarketId, Ticks, ATOMS_PER_USDC};
use tidemark_proto::{v1, Code};

use super::distance::{distances, BUCKETS};
use super::oracle::OracleMetrics;
use crate::MarketData;

/// Gauges are recomputed at most this often.
const REFRESH: Duration = Duration::from_secs(1);

/// A node without a block for this long is not healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// Of a thousand million: sizes and prices are given in 10⁻⁹.
const E9: f64 = 1e9;

/// Methods that are counted by name; a client can invent others without end.
const METHODS: &[&str] = &[
    "/tidemark.v1.OrderService/Submit",
    "/tidemark.v1.QueryService/Status",
    "/tidemark.v1.QueryService/Params",
    "/tidemark.v1.QueryService/Markets",
    "/tidemark.v1.QueryService/Account",
    "/tidemark.v1.QueryService/Orders",
    "/tidemark.v1.QueryService/Book",
    "/tidemark.v1.QueryService/Funding",
    "/tidemark.v1.QueryService/Oracle",
    "/tidemark.v1.QueryService/Explain",
    "/tidemark.v1.QueryService/LiquidationHistory",
    "/tidemark.v1.QueryService/Backstop",
    "/tidemark.v1.QueryService/Export",
    "/tidemark.v1.StreamService/Book",
    "/tidemark.v1.StreamService/OrderBook",
    "/tidemark.v1.StreamService/Trades",
    "/tidemark.v1.StreamService/Liquidations",
    "/tidemark.v1.StreamService/Account",
    "/tidemark.v1.StreamService/Blocks",
    "/tidemark.v1.StreamService/Listed",
    "/cosmos.auth.v1beta1.Query/Account",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Every metric of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    last_block: Mutex<Option<Instant>>,
    block_height: IntGauge,
    block_timestamp: Gauge,
    block_phase: HistogramVec,
    transactions: IntCounterVec,
    operations: IntCounterVec,
    trades: IntCounterVec,
    traded_notional: CounterVec,
    orders_triggered: IntCounterVec,
    twap_slices: IntCounterVec,
    liquidations: IntCounterVec,
    liquidated_notional: CounterVec,
    invariant_violations: IntCounter,
    proposals_rejected: IntCounter,
    accounts: IntGauge,
    insurance_fund: Gauge,
    markets_quarantined: IntGauge,
    submit_waiters: IntGauge,
    grpc_requests: IntCounterVec,
    stream_subscribers: IntGaugeVec,
    market: MarketGauges,
    oracle: OracleMetrics,
}

/// Gauges that every market has.
#[derive(Debug)]
struct MarketGauges {
    book_depth: GaugeVec,
    book_levels: IntGaugeVec,
    book_spread: IntGaugeVec,
    mark_price: GaugeVec,
    index_price: GaugeVec,
    funding_rate: GaugeVec,
    predicted_funding_rate: GaugeVec,
    open_interest: GaugeVec,
    oracle_age: GaugeVec,
    reporting_power: GaugeVec,
    bad_debt: GaugeVec,
    backstop_capacity: GaugeVec,
    market_insurance: GaugeVec,
    near_accounts: IntGaugeVec,
    near_notional: GaugeVec,
}

/// Makes metrics and registers them.
pub(super) struct Maker(Registry);

impl Maker {
    fn add<T: Collector + Clone + 'static>(&self, metric: Result<T, Error>) -> Result<T, Error> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub fn count(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn amount(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Error> {
        self.add(CounterVec::new(Opts::new(name, help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn whole(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn one(&self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.add(Gauge::new(name, help))
    }

    fn one_whole(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help))
    }

    fn phases(&self) -> Result<HistogramVec, Error> {
        // 50 µs to 1.6 s, doubling.
        let buckets = prometheus::exponential_buckets(0.000_05, 2.0, 16)?;
        let help = "Time that a phase of a block took on this node";
        let opts = HistogramOpts::new("tidemark_block_phase_seconds", help).buckets(buckets);
        self.add(HistogramVec::new(opts, &["phase"]))
    }

    fn market_gauges(&self) -> Result<MarketGauges, Error> {
        let (market, side, near) = (&["market"], &["market", "side"], &["market", "distance"]);
        Ok(MarketGauges {
            book_depth: self.gauge(
                "tidemark_book_depth_lots",
                "Lots of all resting orders of a side",
                side,
            )?,
            book_levels: self.whole("tidemark_book_levels", "Price levels of a side", side)?,
            book_spread: self.whole(
                "tidemark_book_spread_ticks",
                "Best ask less best bid; absent when a side is empty",
                market,
            )?,
            mark_price: self.gauge(
                "tidemark_mark_price_usdc",
                "Mark price of one base unit",
                market,
            )?,
            index_price: self.gauge(
                "tidemark_index_price_usdc",
                "Index price of one base unit, however old",
                market,
            )?,
            funding_rate: self.gauge(
                "tidemark_funding_rate_ratio",
                "Last funding rate for 8 hours; positive: longs pay",
                market,
            )?,
            predicted_funding_rate: self.gauge(
                "tidemark_funding_predicted_rate_ratio",
                "Funding rate for 8 hours that the running hour would end with now",
                market,
            )?,
            open_interest: self.gauge(
                "tidemark_open_interest_base_units",
                "Sum of long positions",
                market,
            )?,
            oracle_age: self.gauge(
                "tidemark_oracle_age_seconds",
                "Block time since the last index of a quorum",
                market,
            )?,
            reporting_power: self.gauge(
                "tidemark_oracle_reporting_power_ratio",
                "Voting power that reported the market's index in the last block, of all",
                market,
            )?,
            backstop_capacity: self.gauge(
                "tidemark_backstop_capacity_usdc",
                "Collateral that keepers set aside to take over liquidated positions",
                market,
            )?,
            market_insurance: self.gauge(
                "tidemark_market_insurance_fund_usdc",
                "The insurance fund of a market that is isolated for all; 0 in others",
                market,
            )?,
            bad_debt: self.gauge(
                "tidemark_bad_debt_usdc",
                "Debt of closed accounts that fees have not repaid yet",
                market,
            )?,
            near_accounts: self.whole(
                "tidemark_accounts_near_liquidation",
                "Accounts whose liquidation price is within this distance of the mark; larger \
                 distances include smaller ones",
                near,
            )?,
            near_notional: self.gauge(
                "tidemark_notional_near_liquidation_usdc",
                "Notional of the positions whose liquidation price is within this distance of the \
                 mark; larger distances include smaller ones",
                near,
            )?,
        })
    }
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// Never with the names as they are: a name taken twice or not allowed.
    pub fn new() -> Result<Arc<Self>, Error> {
        let m = Maker(Registry::new());
        let metrics = Self {
            last_block: Mutex::default(),
            block_height: m
                .one_whole("tidemark_block_height", "Height of the last committed block")?,
            block_timestamp: m.one(
                "tidemark_block_timestamp_seconds",
                "Block time of the last committed block, Unix time",
            )?,
            block_phase: m.phases()?,
            transactions: m.count(
                "tidemark_transactions_total",
                "Transactions in blocks, by outcome: ok or the word of the refusal",
                &["outcome"],
            )?,
            operations: m.count(
                "tidemark_operations_total",
                "Order operations in blocks, by outcome: ok or the word of the refusal",
                &["outcome"],
            )?,
            trades: m.count("tidemark_trades_total", "Trades", &["market"])?,
            traded_notional: m.amount(
                "tidemark_traded_notional_usdc_total",
                "Notional of trades",
                &["market"],
            )?,
            orders_triggered: m.count(
                "tidemark_orders_triggered_total",
                "Orders whose trigger the mark reached, by what became of them: ok (placed) or \
                 the word of the refusal",
                &["market", "outcome"],
            )?,
            twap_slices: m.count(
                "tidemark_twap_slices_total",
                "Slices of TWAP orders, by outcome: ok or the word of the refusal",
                &["market", "outcome"],
            )?,
            liquidations: m.count(
                "tidemark_liquidations_total",
                "Liquidation steps",
                &["market", "stage"],
            )?,
            liquidated_notional: m.amount(
                "tidemark_liquidated_notional_usdc_total",
                "Notional closed by liquidation steps, at the mark",
                &["market", "stage"],
            )?,
            invariant_violations: m.add(IntCounter::new(
                "tidemark_invariant_violations_total",
                "Invariants found broken at the end of a block",
            ))?,
            proposals_rejected: m.add(IntCounter::new(
                "tidemark_proposals_rejected_total",
                "Proposed blocks that this node found wrong and voted against",
            ))?,
            accounts: m.one_whole("tidemark_accounts", "Subaccounts")?,
            insurance_fund: m.one("tidemark_insurance_fund_usdc", "The insurance fund")?,
            markets_quarantined: m.one_whole(
                "tidemark_markets_quarantined",
                "Markets paused because an invariant failed",
            )?,
            submit_waiters: m.one_whole(
                "tidemark_submit_waiters",
                "Clients waiting for a transaction's commit",
            )?,
            grpc_requests: m.count(
                "tidemark_grpc_requests_total",
                "gRPC requests answered, streams when they end",
                &["method", "code"],
            )?,
            stream_subscribers: m.whole(
                "tidemark_stream_subscribers",
                "Open streams",
                &["stream"],
            )?,
            market: m.market_gauges()?,
            oracle: OracleMetrics::new(&m)?,
            registry: m.0,
        };
        Ok(Arc::new(metrics))
    }

    /// Takes every block from now on, on a thread of its own.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(
        self: &Arc<Self>,
        publisher: &Publisher,
        market_data: Arc<MarketData>,
    ) -> std::io::Result<()> {
        let (blocks, metrics) = (publisher.subscribe(), Arc::clone(self));
        let own_report = publisher.own_report_cell();
        let watch = move || {
            let mut newest: Option<Published> = None;
            let mut due = Instant::now();
            loop {
                match blocks.recv_timeout(REFRESH) {
                    Ok(block) => {
                        metrics.count_block(&block);
                        newest = Some(block);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let started = Instant::now();
                if started < due {
                    continue;
                }
                if let Some(block) = newest.take() {
                    metrics.refresh(
                        &block.view,
                        &block.events,
                        &market_data,
                        own_report.get().as_ref(),
                    );
                    // With very many accounts it takes long: a tenth of a core is enough.
                    due = Instant::now() + REFRESH.max(started.elapsed() * 9);
                }
            }
        };
        std::thread::Builder::new().name("metrics".into()).spawn(watch)?;
        Ok(())
    }

    /// Counts what a block did.
    pub(super) fn count_block(&self, block: &Published) {
        let (view, events) = (&block.view, &block.events);
        *self.last_block.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.block_height.set(i64::try_from(events.height).unwrap_or(i64::MAX));
        self.block_timestamp.set(events.time_ms as f64 / 1e3);
        for phase in Phase::ALL {
            let time = block.times.get(phase);
            // Only the proposer prepares.
            if !time.is_zero() {
                self.block_phase.with_label_values(&[phase.name()]).observe(time.as_secs_f64());
            }
        }
        for tx in &events.txs {
            self.transactions.with_label_values(&[outcome(tx.code.number())]).inc();
            for result in &tx.results {
                self.operations.with_label_values(&[outcome(result.code.number())]).inc();
            }
        }
        for event in &events.events {
            match event {
                Event::Fill(fill) => {
                    let Some(cell) = cell(view, fill.market) else { continue };
                    self.trades.with_label_values(&[symbol(cell)]).inc();
                    let notional = notional_usdc(cell, fill.price_ticks, fill.lots);
                    self.traded_notional.with_label_values(&[symbol(cell)]).inc_by(notional);
                }
                Event::Liquidation(step) => self.count_liquidation(view, step),
                Event::Triggered { market, code, .. } => {
                    count_outcome(&self.orders_triggered, view, *market, code.number());
                }
                Event::Slice { market, slice, .. } => {
                    count_outcome(&self.twap_slices, view, *market, slice.code.number());
                }
                _ => {}
            }
        }
        self.oracle.count(view, events);
        self.proposals_rejected.inc_by(u64::from(block.times.rejected_proposals));
        self.invariant_violations
            .inc_by(u64::try_from(events.violations.len()).unwrap_or(u64::MAX));
    }

    fn count_liquidation(&self, view: &View, step: &Liquidation) {
        let Some(cell) = cell(view, step.market) else { return };
        let stage = v1::LiquidationStage::from(step.stage)
            .as_str_name()
            .trim_start_matches("LIQUIDATION_STAGE_")
            .to_ascii_lowercase();
        let labels = [symbol(cell), stage.as_str()];
        self.liquidations.with_label_values(&labels).inc();
        let notional = notional_usdc(cell, step.mark_ticks, step.lots);
        self.liquidated_notional.with_label_values(&labels).inc_by(notional);
    }

    /// Sets the gauges to a block's state.
    pub(super) fn refresh(
        &self,
        view: &View,
        events: &BlockEvents,
        market_data: &MarketData,
        own_report: Option<&OwnReport>,
    ) {
        self.oracle.refresh(view, &events.prices, own_report);
        self.accounts.set(i64::from(view.accounts.len()));
        self.insurance_fund.set(usdc(view.chain.treasury.insurance_atoms));
        let total_power = events.prices.total_power;
        for (cell, prices) in view.markets.iter().zip(&events.prices.markets) {
            let part = if total_power == 0 {
                0.0
            } else {
                prices.reporting_power as f64 / total_power as f64
            };
            self.market.reporting_power.with_label_values(&[symbol(cell)]).set(part);
        }
        let quarantined = view.markets.iter().filter(|cell| cell.quarantined.is_some()).count();
        self.markets_quarantined.set(i64::try_from(quarantined).unwrap_or(i64::MAX));
        self.submit_waiters
            .set(i64::try_from(market_data.outcomes().waiting()).unwrap_or(i64::MAX));
        for (cell, near) in view.markets.iter().zip(distances(view)) {
            self.market.set(cell, view.chain.time_ms, market_data);
            for ((label, _), near) in BUCKETS.iter().zip(near) {
                let labels = [symbol(cell), *label];
                self.market.near_accounts.with_label_values(&labels).set(near.accounts);
                self.market.near_notional.with_label_values(&labels).set(usdc(near.notional_atoms));
            }
        }
    }

    /// Counts an answered request.
    pub fn grpc_request(&self, method: &str, code: tonic::Code) {
        let method =
            METHODS.iter().find(|known| **known == method).map_or("other", |known| &known[1..]);
        self.grpc_requests.with_label_values(&[method, &format!("{code:?}")]).inc();
    }

    /// Counts a stream in.
    pub fn stream_opened(&self, stream: &str) {
        self.stream_subscribers.with_label_values(&[stream]).inc();
    }

    /// Counts a stream out.
    pub fn stream_closed(&self, stream: &str) {
        self.stream_subscribers.with_label_values(&[stream]).dec();
    }

    /// The last height, and whether its block came within the last minute.
    #[must_use]
    pub fn health(&self) -> (i64, bool) {
        let last = *self.last_block.lock().unwrap_or_else(PoisonError::into_inner);
        (self.block_height.get(), last.is_some_and(|at| at.elapsed() < HEALTHY_WITHIN))
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// What the encoder says; never with metrics of one registry.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    #[cfg(test)]
    pub(super) fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}

impl MarketGauges {
    fn set(&self, cell: &MarketCell, now_ms: u64, market_data: &MarketData) {
        let (market, params) = (&cell.market, &cell.market.params);
        let label = [symbol(cell)];
        for (side, depth) in ["buy", "sell"].into_iter().zip(market_data.depth(params.id)) {
            let labels = [symbol(cell), side];
            self.book_depth.with_label_values(&labels).set(depth.lots as f64);
            self.book_levels
                .with_label_values(&labels)
                .set(i64::try_from(depth.levels).unwrap_or(i64::MAX));
        }
        match cell.top {
            (Some(bid), Some(ask)) => {
                let spread = i64::try_from(ask.saturating_sub(bid)).unwrap_or(i64::MAX);
                self.book_spread.with_label_values(&label).set(spread);
            }
            // A gauge that would lie is taken away; it may not be there.
            _ => drop(self.book_spread.remove_label_values(&label)),
        }
        if let Some(mark) = market.mark_ticks {
            self.mark_price.with_label_values(&label).set(price_usdc(params, mark));
        }
        if let Some(index) = cell.index.index {
            self.index_price.with_label_values(&label).set(price_usdc(params, index.ticks));
            let age_ms = now_ms.saturating_sub(index.time_ms);
            self.oracle_age.with_label_values(&label).set(age_ms as f64 / 1e3);
        }
        self.funding_rate.with_label_values(&label).set(ratio(market.funding.last_rate_8h_ppm));
        self.predicted_funding_rate
            .with_label_values(&label)
            .set(ratio(market.predicted_rate_8h_ppm()));
        let base_units = market.open_interest_lots as f64 * params.lot_size_e9 as f64 / E9;
        self.open_interest.with_label_values(&label).set(base_units);
        self.bad_debt.with_label_values(&label).set(usdc(market.bad_debt_atoms));
        self.backstop_capacity.with_label_values(&label).set(usdc(market.set_aside_atoms()));
        self.market_insurance.with_label_values(&label).set(usdc(market.insurance_atoms));
    }
}

fn cell(view: &View, market: MarketId) -> Option<&MarketCell> {
    view.markets.get(usize::from(market))
}

pub(super) fn symbol(cell: &MarketCell) -> &str {
    &cell.market.params.symbol
}

fn count_outcome(of: &IntCounterVec, view: &View, market: MarketId, code: u32) {
    if let Some(cell) = cell(view, market) {
        of.with_label_values(&[symbol(cell), outcome(code)]).inc();
    }
}

fn outcome(code: u32) -> &'static str {
    match Code::from_number(code) {
        Some(Code::Ok) => "ok",
        Some(code) => code.word(),
        None => "other",
    }
}

fn usdc(atoms: Atoms) -> f64 {
    atoms as f64 / ATOMS_PER_USDC as f64
}

pub(super) fn ratio(ppm: i64) -> f64 {
    ppm as f64 / 1e6
}

fn price_usdc(params: &MarketParams, ticks: Ticks) -> f64 {
    ticks as f64 * params.tick_size_e9 as f64 / E9
}

fn notional_usdc(cell: &MarketCell, price_ticks: Ticks, lots: u64) -> f64 {
    usdc(
        tidemark_proto::units::notional_atoms(price_ticks, lots, cell.market.k)
            .unwrap_or(Atoms::MAX),
    )
}

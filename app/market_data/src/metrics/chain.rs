//! Metrics of the chain as a whole, and how a block is counted.

use prometheus::{CounterVec, Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use tidemark_consensus::publish::PublishedBlock;
use tidemark_engine::events::{Event, Liquidation};
use tidemark_engine::outcome::code;
use tidemark_engine::phase::Phase;
use tidemark_engine::state::View;
use tidemark_proto::units::MarketId;
use tidemark_proto::{v1, Code};

use super::declare::metrics;
use super::figures::{cell, count, notional_usdc, outcome, seconds, symbol, usdc};
use crate::MarketData;

metrics! {
    /// Metrics of the chain and of the transactions in its blocks.
    #[derive(Debug)]
    pub(super) struct ChainMetrics {
        block_height: IntGauge = "tidemark_block_height"
            "Height of the last committed block";
        block_timestamp: Gauge = "tidemark_block_timestamp_seconds"
            "Block time of the last committed block, Unix time";
        block_phase: HistogramVec = "tidemark_block_phase_seconds" ["phase"]
            "Time that a phase of a block took on this node";
        transactions: IntCounterVec = "tidemark_transactions_total" ["outcome"]
            "Transactions in blocks, by outcome: ok or the word of the refusal";
        operations: IntCounterVec = "tidemark_operations_total" ["outcome"]
            "Order operations in blocks, by outcome: ok or the word of the refusal";
        trades: IntCounterVec = "tidemark_trades_total" ["market"]
            "Trades";
        traded_notional: CounterVec = "tidemark_traded_notional_usdc_total" ["market"]
            "Notional of trades";
        orders_triggered: IntCounterVec = "tidemark_orders_triggered_total" ["market", "outcome"]
            "Orders whose trigger the mark reached, by what became of them: ok (placed) or \
             the word of the refusal";
        twap_slices: IntCounterVec = "tidemark_twap_slices_total" ["market", "outcome"]
            "Slices of TWAP orders, by outcome: ok or the word of the refusal";
        liquidations: IntCounterVec = "tidemark_liquidations_total" ["market", "stage"]
            "Liquidation steps";
        liquidated_notional: CounterVec = "tidemark_liquidated_notional_usdc_total"
            ["market", "stage"]
            "Notional closed by liquidation steps, at the mark";
        invariant_violations: IntCounter = "tidemark_invariant_violations_total"
            "Invariants found broken at the end of a block";
        proposals_rejected: IntCounter = "tidemark_proposals_rejected_total"
            "Proposed blocks that this node found wrong and voted against";
        accounts: IntGauge = "tidemark_accounts"
            "Subaccounts and isolated accounts that hold something";
        insurance_fund: Gauge = "tidemark_insurance_fund_usdc"
            "The insurance fund";
        fund_bucket: Gauge = "tidemark_insurance_fund_bucket_usdc"
            "What the insurance fund may still pay for all markets that share it, before more \
             comes back";
        markets_quarantined: IntGauge = "tidemark_markets_quarantined"
            "Markets paused because an invariant failed";
        withdrawals_queued: IntGauge = "tidemark_withdrawals_queued"
            "Owners that wait for withdrawals to leave";
        withdrawals_queued_usdc: Gauge = "tidemark_withdrawals_queued_usdc"
            "What they wait for";
        outflow_left: GaugeVec = "tidemark_withdrawals_left_usdc" ["window"]
            "What the hour's and the day's bucket still let out";
        withdrawals_gated: IntGauge = "tidemark_withdrawals_gated_blocks"
            "Blocks for which withdrawals are still gated";
        submit_waiters: IntGauge = "tidemark_submit_waiters"
            "Clients waiting for a transaction's commit";
    }
}

impl ChainMetrics {
    /// Counts a block.
    pub fn count(&self, block: &PublishedBlock) {
        let (view, events) = (&block.view, &block.events);
        self.block_height.set(i64::try_from(events.height).unwrap_or(i64::MAX));
        self.block_timestamp.set(seconds(events.time_ms));
        for phase in Phase::ALL {
            let time = block.times.get(phase);
            // Only the proposer prepares.
            if !time.is_zero() {
                self.block_phase.with_label_values(&[phase.name()]).observe(time.as_secs_f64());
            }
        }
        for tx in &events.txs {
            self.transactions.with_label_values(&[outcome(tx.code())]).inc();
            for result in &tx.results {
                self.operations.with_label_values(&[outcome(result.code())]).inc();
            }
        }
        events.events.iter().for_each(|event| self.count_event(view, event));
        self.proposals_rejected.inc_by(u64::from(block.times.rejected_proposals));
        self.invariant_violations
            .inc_by(u64::try_from(events.violations.len()).unwrap_or(u64::MAX));
    }

    fn count_event(&self, view: &View, event: &Event) {
        match event {
            Event::Fill(fill) => {
                let Some(cell) = cell(view, fill.market) else { return };
                self.trades.with_label_values(&[symbol(cell)]).inc();
                let notional = notional_usdc(cell, fill.price_ticks, fill.lots);
                self.traded_notional.with_label_values(&[symbol(cell)]).inc_by(notional);
            }
            Event::Liquidation(step) => self.count_liquidation(view, step),
            Event::Triggered { market, refusal, .. } => {
                let code = code(refusal.as_deref());
                count_outcome(&self.orders_triggered, view, *market, code);
            }
            Event::Slice { market, slice, .. } => {
                count_outcome(&self.twap_slices, view, *market, slice.code());
            }
            _ => {}
        }
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

    /// Sets the gauges.
    pub fn refresh(&self, view: &View, market_data: &MarketData) {
        self.accounts.set(i64::from(view.accounts.rows()));
        let treasury = &view.chain.treasury;
        self.insurance_fund.set(usdc(treasury.insurance_atoms));
        self.fund_bucket.set(usdc(treasury.bucket.held_atoms(treasury.bucket_atoms())));
        let quarantined = view.markets.iter().filter(|cell| cell.quarantined.is_some()).count();
        self.markets_quarantined.set(count(quarantined));
        self.refresh_outflow(view);
        self.submit_waiters.set(count(market_data.outcomes().waiting()));
    }

    fn refresh_outflow(&self, view: &View) {
        let chain = &view.chain;
        let (queue, left) = (&chain.outflow.queue, chain.outflow.left(&chain.params));
        self.withdrawals_queued.set(count(queue.rows().len()));
        self.withdrawals_queued_usdc.set(usdc(queue.atoms()));
        self.outflow_left.with_label_values(&["hour"]).set(usdc(left.hour_atoms));
        self.outflow_left.with_label_values(&["day"]).set(usdc(left.day_atoms));
        let gated = chain.withdrawals_gated_until.saturating_sub(chain.height);
        self.withdrawals_gated.set(i64::try_from(gated).unwrap_or(i64::MAX));
    }
}

fn count_outcome(counter: &IntCounterVec, view: &View, market: MarketId, code: Code) {
    if let Some(cell) = cell(view, market) {
        counter.with_label_values(&[symbol(cell), outcome(code)]).inc();
    }
}

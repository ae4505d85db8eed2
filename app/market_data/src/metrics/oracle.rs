//! Metrics of validators' price reports. A validator's address is a label: there are as many as the
//! set has members, and an operator asks whose feed is wrong before anything else.

use prometheus::{GaugeVec, IntCounterVec};
use tidemark_consensus::publish::OwnReport;
use tidemark_engine::events::{BlockEvents, PriceRound, VoteReport};
use tidemark_engine::state::View;
use tidemark_oracle::index::{deviation_ppm, IndexStep};

use super::declare::metrics;
use super::figures::{cell, ratio, symbol};
use crate::prices::{largest_deviations_ppm, outcome, OUTCOMES};

metrics! {
    /// Who reported, and how far from the index.
    #[derive(Debug)]
    pub(super) struct OracleMetrics {
        reports: IntCounterVec = "tidemark_oracle_reports_total" ["validator", "outcome"]
            "Votes in blocks by what they said of prices: reported, nothing, invalid, late, or \
             blanked";
        blanked_power: IntCounterVec = "tidemark_oracle_blanked_power_total" ["proposer"]
            "Voting power whose price reports the proposers of blocks left out";
        bounded: IntCounterVec = "tidemark_oracle_index_bounded_total" ["market"]
            "Blocks that moved the index by its bound instead of to the median";
        largest_deviation: GaugeVec = "tidemark_oracle_largest_deviation_ratio" ["market"]
            "Largest distance from the index of a price reported in the last block, of the \
             index";
        validator_deviation: GaugeVec = "tidemark_oracle_validator_deviation_ratio" ["validator"]
            "Largest distance from an index of the validator's prices in the last block, of \
             the index; absent when it reported none";
        own_deviation: GaugeVec = "tidemark_oracle_own_deviation_ratio" ["market"]
            "Distance of this node's own last price from the index, of the index; positive is \
             above, absent when it has none";
    }
}

impl OracleMetrics {
    /// Counts a block.
    pub fn count(&self, view: &View, events: &BlockEvents) {
        for vote in &events.prices.votes {
            let labels =
                [hex::encode_upper(vote.validator), OUTCOMES[outcome(&vote.report)].to_owned()];
            self.reports.with_label_values(&labels).inc();
            if vote.report == VoteReport::Blanked {
                let proposer = hex::encode_upper(events.prices.proposer);
                self.blanked_power.with_label_values(&[proposer]).inc_by(vote.power);
            }
        }
        for (cell, prices) in view.markets.iter().zip(&events.prices.markets) {
            let bounded = matches!(prices.step, IndexStep::Bounded { .. });
            self.bounded.with_label_values(&[symbol(cell)]).inc_by(u64::from(bounded));
        }
    }

    /// Sets the gauges.
    pub fn refresh(&self, view: &View, round: &PriceRound, own: Option<&OwnReport>) {
        let index = |market| cell(view, market).and_then(|cell| cell.index.index_ticks());
        let (markets, validators) = largest_deviations_ppm(round, index);
        // What nobody reports any more is not to stand as if it were.
        self.largest_deviation.reset();
        self.validator_deviation.reset();
        self.own_deviation.reset();
        for (market, ppm) in markets {
            if let Some(cell) = cell(view, market) {
                self.largest_deviation.with_label_values(&[symbol(cell)]).set(ratio(ppm));
            }
        }
        for (validator, ppm) in validators {
            self.validator_deviation
                .with_label_values(&[hex::encode_upper(validator)])
                .set(ratio(ppm));
        }
        for price in own.into_iter().flat_map(|own| &own.report.prices) {
            let both = price.index_ticks.zip(index(price.market));
            if let Some((cell, (ticks, index))) = cell(view, price.market).zip(both) {
                let ppm = deviation_ppm(ticks, index);
                self.own_deviation.with_label_values(&[symbol(cell)]).set(ratio(ppm));
            }
        }
    }
}

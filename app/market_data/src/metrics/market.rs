//! Gauges that every market has.

use prometheus::{GaugeVec, IntGaugeVec};
use tidemark_engine::events::PriceRound;
use tidemark_engine::state::{MarketCell, View};
use tidemark_proto::units::TimeMs;
use tidemark_risk::liquidation::next_allowance;
use tidemark_risk::{Keeper, Treasury};

use super::declare::metrics;
use super::distance::{distances, BUCKETS};
use super::figures::{count, price_usdc, ratio, seconds, symbol, usdc, E9};
use crate::MarketData;

metrics! {
    /// Gauges that every market has.
    #[derive(Debug)]
    pub(super) struct MarketMetrics {
        book_depth: GaugeVec = "tidemark_book_depth_lots" ["market", "side"]
            "Lots of all resting orders of a side";
        book_levels: IntGaugeVec = "tidemark_book_levels" ["market", "side"]
            "Price levels of a side";
        book_spread: IntGaugeVec = "tidemark_book_spread_ticks" ["market"]
            "Best ask less best bid; absent when a side is empty";
        mark_price: GaugeVec = "tidemark_mark_price_usdc" ["market"]
            "Mark price of one base unit";
        mark_book: GaugeVec = "tidemark_mark_book_premium_ratio" ["market"]
            "What the book says in the mark: its premium over the index, of the index";
        index_price: GaugeVec = "tidemark_index_price_usdc" ["market"]
            "Index price of one base unit, however old";
        funding_rate: GaugeVec = "tidemark_funding_rate_ratio" ["market"]
            "Last funding rate for 8 hours; positive: longs pay";
        predicted_funding_rate: GaugeVec = "tidemark_funding_predicted_rate_ratio" ["market"]
            "Funding rate for 8 hours that the running hour would end with now";
        open_interest: GaugeVec = "tidemark_open_interest_base_units" ["market"]
            "Sum of long positions";
        oracle_age: GaugeVec = "tidemark_oracle_age_seconds" ["market"]
            "Block time since the last index of a quorum";
        reporting_power: GaugeVec = "tidemark_oracle_reporting_power_ratio" ["market"]
            "Voting power that reported the market's index in the last block, of all";
        backstop_capacity: GaugeVec = "tidemark_backstop_capacity_usdc" ["market"]
            "Collateral that keepers set aside to take over liquidated positions";
        backstop_lasting: GaugeVec = "tidemark_backstop_lasting_usdc" ["market"]
            "Part of it that keepers have not taken back";
        backstop_keepers: IntGaugeVec = "tidemark_backstop_keepers" ["market"]
            "Keepers with a place; a market has 64";
        market_insurance: GaugeVec = "tidemark_market_insurance_fund_usdc" ["market"]
            "The insurance fund of a market that is isolated for all; 0 in others";
        fund_bucket: GaugeVec = "tidemark_market_fund_bucket_usdc" ["market"]
            "What the insurance fund may still pay for the market, before more comes back";
        fund_allowance: GaugeVec = "tidemark_market_fund_allowance_usdc" ["market"]
            "What the insurance fund may pay for the market in the next block; 0 for 50 blocks \
             after a halt or a stale index";
        bad_debt: GaugeVec = "tidemark_bad_debt_usdc" ["market"]
            "Debt of closed accounts that fees have not repaid yet";
        near_accounts: IntGaugeVec = "tidemark_accounts_near_liquidation" ["market", "distance"]
            "Accounts whose liquidation price is within this distance of the mark; larger \
             distances include smaller ones";
        near_notional: GaugeVec = "tidemark_notional_near_liquidation_usdc" ["market", "distance"]
            "Notional of the positions whose liquidation price is within this distance of the \
             mark; larger distances include smaller ones";
    }
}

impl MarketMetrics {
    /// Sets the gauges of every market.
    pub fn refresh(&self, view: &View, round: &PriceRound, market_data: &MarketData) {
        for (cell, prices) in view.markets.iter().zip(&round.markets) {
            let part = match round.total_power {
                0 => 0.0,
                total_power => prices.reporting_power as f64 / total_power as f64,
            };
            self.reporting_power.with_label_values(&[symbol(cell)]).set(part);
        }
        for (cell, near) in view.markets.iter().zip(distances(view)) {
            self.set(cell, view.chain.time_ms, market_data);
            self.set_fund(cell, &view.chain.treasury);
            for ((label, _), near) in BUCKETS.iter().zip(near) {
                let labels = [symbol(cell), *label];
                self.near_accounts.with_label_values(&labels).set(near.accounts);
                self.near_notional.with_label_values(&labels).set(usdc(near.notional_atoms));
            }
        }
    }

    fn set_fund(&self, cell: &MarketCell, treasury: &Treasury) {
        let (market, label) = (&cell.market, [symbol(cell)]);
        let held = market.fund_bucket.held_atoms(market.bucket_atoms(treasury));
        self.fund_bucket.with_label_values(&label).set(usdc(held));
        let (allowance, _) = next_allowance(market, treasury);
        self.fund_allowance.with_label_values(&label).set(usdc(allowance));
    }

    fn set(&self, cell: &MarketCell, now_ms: TimeMs, market_data: &MarketData) {
        let (market, params) = (&cell.market, &cell.market.params);
        let label = [symbol(cell)];
        for (side, depth) in ["buy", "sell"].into_iter().zip(market_data.depth(params.id)) {
            let labels = [symbol(cell), side];
            self.book_depth.with_label_values(&labels).set(depth.lots as f64);
            self.book_levels.with_label_values(&labels).set(count(depth.levels));
        }
        match cell.top {
            (Some(bid), Some(ask)) => {
                let spread = ask.saturating_sub(bid);
                let spread = i64::try_from(spread.get()).unwrap_or(i64::MAX);
                self.book_spread.with_label_values(&label).set(spread);
            }
            // A gauge that would lie is taken away; it may not be there.
            _ => drop(self.book_spread.remove_label_values(&label)),
        }
        if let Some(mark) = market.mark_ticks {
            self.mark_price.with_label_values(&label).set(price_usdc(params, mark));
        }
        let book_ppb = cell.mark.book_ppb(params.mark_band_ppm);
        self.mark_book.with_label_values(&label).set(book_ppb.get() as f64 / E9);
        if let Some(index) = cell.index.index {
            self.index_price.with_label_values(&label).set(price_usdc(params, index.ticks));
            let age_ms = now_ms.saturating_sub(index.time_ms);
            self.oracle_age.with_label_values(&label).set(seconds(age_ms));
        }
        self.funding_rate.with_label_values(&label).set(ratio(market.funding.last_rate_8h_ppm));
        self.predicted_funding_rate
            .with_label_values(&label)
            .set(ratio(market.predicted_rate_8h_ppm()));
        let base_units = market.open_interest_lots.get() as f64 * params.lot_size_e9 as f64 / E9;
        self.open_interest.with_label_values(&label).set(base_units);
        self.bad_debt.with_label_values(&label).set(usdc(market.bad_debt_atoms));
        self.backstop_capacity.with_label_values(&label).set(usdc(market.set_aside_atoms()));
        let lasting = market.keepers.iter().map(Keeper::lasting_atoms).sum();
        self.backstop_lasting.with_label_values(&label).set(usdc(lasting));
        let placed = market.keepers.iter().filter(|keeper| !keeper.made_room).count();
        self.backstop_keepers.with_label_values(&label).set(count(placed));
        self.market_insurance.with_label_values(&label).set(usdc(market.insurance_atoms));
    }
}

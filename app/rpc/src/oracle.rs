//! `QueryService.Oracle`: what the validators report, and how far each is from the index.

use tidemark_engine::state::{MarketCell, View};
use tidemark_market_data::prices::{largest_deviations_ppm, outcome, PriceWatch};
use tidemark_oracle::index::deviation_ppm;
use tidemark_proto::units::{MarketId, Ppm, Ticks};
use tidemark_proto::{v1, Refusal};

use super::query::QueryServer;

impl QueryServer {
    /// One market with what every validator last said of it, or all in sum.
    pub(super) fn oracle(
        &self,
        request: &v1::OracleRequest,
    ) -> Result<v1::OracleResponse, Refusal> {
        let view = self.publisher.view();
        let one = request.market.map(|market| view.market(market)).transpose()?;
        let watch = self.market_data.prices();
        let index = |market: MarketId| {
            view.markets.get(market.index()).and_then(|cell| cell.index.index_ticks())
        };
        let (of_markets, of_validators) = largest_deviations_ppm(&watch.round, index);
        let own = self.publisher.own_report_cell().get();
        let market = |cell: &MarketCell| {
            let id = cell.market.params.id;
            let own =
                own.iter().flat_map(|own| &own.report.prices).find(|price| price.market == id);
            let mut state = market_state(&view, &watch, cell);
            state.own_index_ticks = own.and_then(|price| price.index_ticks).map_or(0, Ticks::get);
            state.own_external_ticks =
                own.and_then(|price| price.external_ticks).map_or(0, Ticks::get);
            state.max_deviation_ppm = wire_distance(of_markets.get(&id));
            state
        };
        let validator = |(address, known): (&[u8; 20], _)| {
            let mut row = validator_row(&view, &watch, address, known, one);
            row.max_deviation_ppm = wire_distance(of_validators.get(address));
            row
        };
        Ok(v1::OracleResponse {
            height: view.chain.height,
            time_ms: view.chain.time_ms.get(),
            feed: self.feed.clone(),
            own_height: own.as_ref().map_or(0, |own| own.height),
            total_power: watch.round.total_power,
            markets: match one {
                Some(cell) => vec![market(cell)],
                None => view.markets.iter().map(market).collect(),
            },
            validators: watch.validators.iter().map(validator).collect(),
        })
    }
}

/// A distance from the index on the wire; 0 where there is none.
fn wire_distance(distance: Option<&Ppm>) -> u64 {
    distance.map_or(0, |distance| distance.get().unsigned_abs())
}

fn market_state(view: &View, watch: &PriceWatch, cell: &MarketCell) -> v1::OracleMarket {
    let (id, now_ms) = (cell.market.params.id, view.chain.time_ms);
    let age_ms = |point: Option<tidemark_oracle::index::PricePoint>| {
        point.map_or(0, |point| now_ms.saturating_sub(point.time_ms).get())
    };
    let round = watch.round.markets.get(id.index());
    v1::OracleMarket {
        market: u32::from(id.get()),
        index_ticks: cell.index.index_ticks().map_or(0, Ticks::get),
        index_age_ms: age_ms(cell.index.index),
        stale: cell.index.is_stale(now_ms, cell.market.params.max_oracle_age_ms),
        external_ticks: cell.index.external.map_or(0, |point| point.ticks.get()),
        external_age_ms: age_ms(cell.index.external),
        reporting_power: round.map_or(0, |round| round.reporting_power),
        bounded: round.is_some_and(|round| {
            matches!(round.step, tidemark_oracle::index::IndexStep::Bounded { .. })
        }),
        ..Default::default()
    }
}

fn validator_row(
    view: &View,
    watch: &PriceWatch,
    address: &[u8; 20],
    known: &tidemark_market_data::prices::ValidatorPrices,
    one: Option<&MarketCell>,
) -> v1::OracleValidator {
    let vote = watch.round.votes.iter().find(|vote| vote.validator == *address);
    let price = one.and_then(|cell| {
        let (price, time_ms) = known.last.get(&cell.market.params.id)?;
        let deviation = price.index_ticks.zip(cell.index.index_ticks());
        Some(v1::ValidatorPrice {
            index_ticks: price.index_ticks.map_or(0, Ticks::get),
            external_ticks: price.external_ticks.map_or(0, Ticks::get),
            age_ms: view.chain.time_ms.saturating_sub(*time_ms).get(),
            deviation_ppm: deviation.map_or(0, |(ticks, index)| deviation_ppm(ticks, index).get()),
        })
    });
    let markets =
        vote.and_then(|vote| vote.report.prices()).map_or(0, |report| report.prices.len());
    let [reported, nothing, invalid, late, blanked] = known.blocks;
    v1::OracleValidator {
        address: address.iter().map(|byte| format!("{byte:02X}")).collect(),
        power: known.power,
        said: vote.map_or(0, |vote| 1 + i32::try_from(outcome(&vote.report)).unwrap_or(0)),
        markets: u32::try_from(markets).unwrap_or(u32::MAX),
        reported,
        nothing,
        invalid,
        late,
        blanked,
        price,
        ..Default::default()
    }
}

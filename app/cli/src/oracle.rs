//! `oracle status`: who reports prices and how far each is from the index; or what a sidecar says
//! of its venues.

use serde_json::{json, Value};
use tidemark_client::format::{percent, price_or_dash, price_or_null};
use tidemark_client::{Market, Markets, Table};
use tidemark_oracle::index::deviation_ppm;
use tidemark_proto::units::{Ppm, Ticks};
use tidemark_proto::v1;

use super::args::OracleCommand;
use super::sidecar::{self, age};
use super::{find, CliError, Context};

pub(super) async fn run(context: &Context, command: &OracleCommand) -> Result<(), CliError> {
    let OracleCommand::Status { market, sidecar } = command;
    if let Some(address) = sidecar {
        // The node is not asked: this works before it runs, and while it does not.
        let answer = sidecar::ask(address, market.as_deref()).await?;
        context.print(|| sidecar::text(address, &answer), || sidecar::json(address, &answer));
        return Ok(());
    }
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let one =
        market.as_ref().map(|symbol| find(&markets, symbol)).transpose()?.map(|(market, _)| market);
    let answer = client.oracle(one.map(|market| market.id)).await?;
    context.print(|| text(&answer, &markets, one), || json(&answer, &markets, one));
    Ok(())
}

fn word(validator: &v1::OracleValidator) -> &'static str {
    match validator.said() {
        v1::ReportOutcome::Reported => "reports",
        v1::ReportOutcome::Nothing => "nothing",
        v1::ReportOutcome::Invalid => "invalid",
        v1::ReportOutcome::Late => "late",
        v1::ReportOutcome::Blanked => "blanked",
        v1::ReportOutcome::Unspecified => "-",
    }
}

fn power(part: u64, total: u64) -> String {
    format!("{part} of {total}")
}

fn signed_ppm(ticks: u64, index_ticks: u64) -> Option<Ppm> {
    let (ticks, index_ticks) = (Ticks::new(ticks), Ticks::new(index_ticks));
    (!ticks.is_zero() && !index_ticks.is_zero()).then(|| deviation_ppm(ticks, index_ticks))
}

fn shown(rate: Option<Ppm>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| percent(rate.get()))
}

fn text(answer: &v1::OracleResponse, markets: &Markets, one: Option<&Market>) -> String {
    let own = match answer.own_height {
        0 => "this node has reported nothing since its start".to_owned(),
        height => format!("own report of height {height}"),
    };
    let mut prices = Table::new(
        1,
        &[
            "market",
            "index",
            "age",
            "state",
            "power",
            "external",
            "own",
            "own deviation",
            "largest deviation",
        ],
    );
    for row in &answer.markets {
        let Some(market) = markets.by_id(row.market) else { continue };
        let state = match (row.stale, row.bounded) {
            (true, _) => "stale",
            (false, true) => "bounded",
            (false, false) => "fresh",
        };
        prices.row(vec![
            market.symbol.clone(),
            price_or_dash(market, Ticks::new(row.index_ticks)),
            age(row.index_age_ms),
            state.to_owned(),
            power(row.reporting_power, answer.total_power),
            price_or_dash(market, Ticks::new(row.external_ticks)),
            price_or_dash(market, Ticks::new(row.own_index_ticks)),
            shown(signed_ppm(row.own_index_ticks, row.index_ticks)),
            percent(i64::try_from(row.max_deviation_ppm).unwrap_or(i64::MAX)),
        ]);
    }
    format!(
        "height {}, feed {}; {own}\n\n{}\n\n{}",
        answer.height,
        answer.feed,
        prices.render(),
        validators(answer, one).render()
    )
}

fn validators(answer: &v1::OracleResponse, one: Option<&Market>) -> Table {
    let mut heading = vec!["validator", "power", "last block", "markets", "largest deviation"];
    heading.extend(["reported", "nothing", "invalid", "late", "blanked"]);
    if one.is_some() {
        heading.extend(["price", "age", "deviation"]);
    }
    let mut table = Table::new(1, &heading);
    for row in &answer.validators {
        let mut cells = vec![
            row.address.clone(),
            row.power.to_string(),
            word(row).to_owned(),
            row.markets.to_string(),
            percent(i64::try_from(row.max_deviation_ppm).unwrap_or(i64::MAX)),
        ];
        cells.extend(
            [row.reported, row.nothing, row.invalid, row.late, row.blanked]
                .map(|count| count.to_string()),
        );
        if let Some(market) = one {
            cells.extend(match &row.price {
                Some(price) => [
                    price_or_dash(market, Ticks::new(price.index_ticks)),
                    age(price.age_ms),
                    percent(price.deviation_ppm),
                ],
                None => ["-", "-", "-"].map(str::to_owned),
            });
        }
        table.row(cells);
    }
    table
}

fn json(answer: &v1::OracleResponse, markets: &Markets, one: Option<&Market>) -> Value {
    let market = |row: &v1::OracleMarket| {
        let market = markets.by_id(row.market)?;
        let price = |ticks| price_or_null(market, Ticks::new(ticks));
        Some(json!({
            "market": market.symbol,
            "index": price(row.index_ticks),
            "index_age_ms": row.index_age_ms,
            "stale": row.stale,
            "bounded": row.bounded,
            "external": price(row.external_ticks),
            "external_age_ms": row.external_age_ms,
            "reporting_power": row.reporting_power,
            "own_index": price(row.own_index_ticks),
            "own_external": price(row.own_external_ticks),
            "own_deviation_ppm": signed_ppm(row.own_index_ticks, row.index_ticks),
            "max_deviation_ppm": row.max_deviation_ppm,
        }))
    };
    let validator = |row: &v1::OracleValidator| {
        let price = row.price.as_ref().zip(one).map(|(price, market)| {
            json!({
                "index": price_or_null(market, Ticks::new(price.index_ticks)),
                "external": price_or_null(market, Ticks::new(price.external_ticks)),
                "age_ms": price.age_ms,
                "deviation_ppm": price.deviation_ppm,
            })
        });
        json!({
            "address": row.address,
            "power": row.power,
            "last_block": word(row),
            "markets": row.markets,
            "max_deviation_ppm": row.max_deviation_ppm,
            "blocks": {
                "reported": row.reported,
                "nothing": row.nothing,
                "invalid": row.invalid,
                "late": row.late,
                "blanked": row.blanked,
            },
            "price": price,
        })
    };
    json!({
        "height": answer.height,
        "feed": answer.feed,
        "own_height": (answer.own_height > 0).then_some(answer.own_height),
        "total_power": answer.total_power,
        "markets": answer.markets.iter().filter_map(market).collect::<Vec<_>>(),
        "validators": answer.validators.iter().map(validator).collect::<Vec<_>>(),
    })
}

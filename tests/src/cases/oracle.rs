//! Oracle figures, through the production median and quorum.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_oracle::median::{quorum_median, weighted_median as median, Quorum, Weighted};
use tidemark_proto::units::Ticks;

use super::expect;

/// Runs one `weighted_median` case.
pub fn weighted_median(case: &Value) -> Result<(), String> {
    let rows = case["inputs"]["price_weight"].as_array().ok_or("no array price_weight")?;
    let reports = rows
        .iter()
        .map(|row| Ok((decimal(&row[0])?, power(&row[1])?)))
        .collect::<Result<Vec<_>, String>>()?;
    let scale = common_scale(&reports);
    let got = median(&mut in_units(&reports, scale)?).map(|units| from_units(units, scale));
    expect("price", &optional_decimal(&case["expected"]["price"])?, &got)
}

/// Runs one `stake_weighted_median_with_quorum` case: a pair that is not expected must have no
/// price.
pub fn weighted_median_with_quorum(case: &Value) -> Result<(), String> {
    let inputs = &case["inputs"];
    let quorum = quorum(&inputs["quorum"])?;
    let total = match &inputs["total_stake"] {
        Value::Null => {
            let stakes = inputs["stakes"].as_object().into_iter().flatten();
            stakes.map(|(_, stake)| power(stake)).sum::<Result<u64, _>>()?
        }
        total => power(total)?,
    };
    let mut pairs = BTreeMap::<&str, Vec<(Decimal, u64)>>::new();
    for (validator, prices) in inputs["submitted"].as_object().ok_or("no object submitted")? {
        let stake = &inputs["stakes"][validator.as_str()];
        // One who is no validator has no stake.
        let stake = if stake.is_null() { 0 } else { power(stake)? };
        for (pair, price) in prices.as_object().ok_or("a submission is no object")? {
            pairs.entry(pair).or_default().push((decimal(price)?, stake));
        }
    }
    let mut got = BTreeMap::new();
    for (pair, reports) in pairs {
        let scale = common_scale(&reports);
        if let Some(units) = quorum_median(&mut in_units(&reports, scale)?, total.into(), quorum) {
            got.insert(pair.to_owned(), from_units(units, scale));
        }
    }
    let expected = case["expected"].as_object().ok_or("no object expected")?;
    let expected = expected
        .iter()
        .filter(|(_, price)| !price.is_null())
        .map(|(pair, price)| Ok((pair.clone(), decimal(price)?)))
        .collect::<Result<BTreeMap<_, _>, String>>()?;
    expect("prices", &expected, &got)
}

/// The part of stake that the case asks for, reached at equality.
fn quorum(value: &Value) -> Result<Quorum, String> {
    let part = if value.is_null() { Decimal::new(667, 3) } else { decimal(value)? };
    let convert = |n: i128| {
        u32::try_from(n).map_err(|_| format!("quorum {part} is not below 2^32 in its digits"))
    };
    Ok(Quorum {
        numerator: convert(part.mantissa())?,
        denominator: convert(10_i128.pow(part.scale()))?,
        inclusive: true,
    })
}

fn common_scale(reports: &[(Decimal, u64)]) -> u32 {
    reports.iter().map(|(price, _)| price.normalize().scale()).max().unwrap_or(0)
}

/// Prices as whole numbers of `10^-scale`, exactly.
fn in_units(reports: &[(Decimal, u64)], scale: u32) -> Result<Vec<Weighted>, String> {
    let convert = |&(price, power): &(Decimal, u64)| {
        let price = price.normalize();
        let units = 10_i128
            .checked_pow(scale - price.scale())
            .and_then(|factor| price.mantissa().checked_mul(factor))
            .and_then(|units| u64::try_from(units).ok());
        let units = units.ok_or(format!("price {price} is not a 64-bit number of 10^-{scale}"))?;
        Ok((Ticks::new(units), power))
    };
    reports.iter().map(convert).collect()
}

fn from_units(units: Ticks, scale: u32) -> Decimal {
    Decimal::from_i128_with_scale(units.wide(), scale).normalize()
}

/// A decimal, given as a string or a number, normalised so that equal values compare and print
/// alike.
fn decimal(value: &Value) -> Result<Decimal, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse::<Decimal>().map(|decimal| decimal.normalize()).map_err(|e| format!("{value}: {e}"))
}

fn optional_decimal(value: &Value) -> Result<Option<Decimal>, String> {
    if value.is_null() {
        Ok(None)
    } else {
        decimal(value).map(Some)
    }
}

/// A weight or stake: a whole number, given as a number or a string.
fn power(value: &Value) -> Result<u64, String> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text).ok_or_else(|| format!("{value} is no whole number"))
}

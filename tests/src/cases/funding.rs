//! Funding figures, through the production premium, rate and settlement.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_oracle::impact::impact_prices;
use tidemark_proto::units::{
    Atoms, AtomsPerTickLot, Lots, MarketId, NanoTicks, Ppm, Side, SignedLots, Ticks,
};
use tidemark_risk::funding::{premium_ppm, rate_8h_ppm, settlement_micro_atoms};

use super::expect;
use super::world::{
    common_unit, decimal, decimal_or, expect_figure, in_units, plain_market, ppm, product_in_units,
    ticks,
};

/// Levels of a side as decimals, without empty ones.
fn levels(side: &Value) -> Result<Vec<(Decimal, Decimal)>, String> {
    let rows = side.as_array().into_iter().flatten();
    let rows = rows
        .map(|row| Ok((decimal(&row[0])?, decimal(&row[1])?)))
        .collect::<Result<Vec<_>, String>>()?;
    Ok(rows.into_iter().filter(|(_, size)| !size.is_zero()).collect())
}

/// Runs one `premium_from_book` case. Its quote unit is the finest in which tick, lot and notional
/// are whole.
pub fn premium_from_book(case: &Value) -> Result<(), String> {
    let inputs = &case["inputs"];
    let (mut bids, mut asks) = (levels(&inputs["bids"])?, levels(&inputs["asks"])?);
    bids.sort_by_key(|level| std::cmp::Reverse(level.0));
    asks.sort_by_key(|level| level.0);
    let index = decimal(&inputs["index_price"])?;
    let all = || bids.iter().chain(&asks);
    let tick = common_unit(all().map(|(price, _)| *price).chain([index]))?;
    // 10⁻⁹ is the finest lot there is.
    let lot = common_unit(all().map(|(_, size)| *size).chain([Decimal::ONE]))?;
    let notional = decimal_or(&inputs["impact_notional"], Decimal::ZERO)?;
    let quote_decimals = (tick.scale() + lot.scale()).max(notional.scale());

    let unsigned = |value: i128| u64::try_from(value).map_err(|e| e.to_string());
    let k = AtomsPerTickLot::new(unsigned(product_in_units(tick, lot, quote_decimals)?)?);
    let notional = Atoms::new(product_in_units(notional, Decimal::ONE, quote_decimals)?);
    let in_engine = |side: &[(Decimal, Decimal)]| -> Result<Vec<(Ticks, Lots)>, String> {
        let level = |(price, size): &(Decimal, Decimal)| {
            Ok((ticks(*price, tick)?, Lots::new(unsigned(in_units(*size, lot)?)?)))
        };
        side.iter().map(level).collect()
    };
    let impact = |side, levels: &[(Decimal, Decimal)]| {
        let [price] = impact_prices(side, [notional], k, in_engine(levels)?);
        Ok::<_, String>(price)
    };
    let max_abs = match &inputs["max_abs_premium"] {
        Value::Null => Ppm::MAX,
        bound => ppm(decimal(bound)?)?,
    };
    let (bid, ask) = (impact(Side::Buy, &bids)?, impact(Side::Sell, &asks)?);
    let got = premium_ppm(ticks(index, tick)?, bid, ask, max_abs);
    expect_figure(&case["expected"], "premium", Decimal::new(got.get(), 6))
}

fn whole(value: &Value) -> Result<i128, String> {
    in_units(decimal(value)?, Decimal::ONE)
}

fn signed_lots(size: Decimal, lot: Decimal) -> Result<SignedLots, String> {
    i64::try_from(in_units(size, lot)?).map(SignedLots::new).map_err(|e| e.to_string())
}

/// Runs one `settlement` case.
pub fn settlement(case: &Value) -> Result<(), String> {
    let inputs = &case["inputs"];
    let (now, then) = (whole(&inputs["index_now"])?, whole(&inputs["index_at_last_settlement"])?);
    let lots = signed_lots(decimal(&inputs["size"])?, Decimal::ONE)?;
    let got = settlement_micro_atoms(now, then, lots).map_err(|e| e.to_string())?;
    expect("account_quote_change_ppm", &whole(&case["expected"]["account_quote_change_ppm"])?, &got)
}

/// Runs one `payment_by_position` case: the index has moved by the payment for one unit. Positions
/// and changes are one figure each, or one for each account.
pub fn payment_by_position(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let payment = decimal(field(inputs, &["payment", "funding"])?)?;
    let sizes = by_account(field(inputs, &["size", "position", "volume"])?)?;
    let wanted =
        by_account(field(expected, &["change", "payment", "transfer", "amount", "quote"])?)?;
    for (account, wanted) in wanted {
        let size = *sizes.get(account).ok_or(format!("{account:?} has no position"))?;
        let (unit, lot) = (common_unit([payment])?, common_unit([size])?);
        let got = settlement_micro_atoms(in_units(payment, unit)?, 0, signed_lots(size, lot)?)
            .map_err(|e| e.to_string())?;
        let got = Decimal::try_from_i128_with_scale(got, 0).map_err(|e| e.to_string())?;
        let got = unit.checked_mul(lot).and_then(|part| got.checked_mul(part));
        let got = got.ok_or("the payment has too many digits")?;
        expect(&format!("payment of {account:?}"), &wanted, &got.normalize())?;
    }
    Ok(())
}

/// The first field with one of these words in its name.
fn field<'a>(of: &'a Value, words: &[&str]) -> Result<&'a Value, String> {
    let named = |name: &String| words.iter().any(|word| name.contains(word));
    let found = of.as_object().into_iter().flatten().find(|(name, _)| named(name));
    found.map(|(_, value)| value).ok_or_else(|| format!("no figure named like {words:?} in {of}"))
}

/// A figure for each account; a figure alone is that of the account without a name.
fn by_account(value: &Value) -> Result<BTreeMap<&str, Decimal>, String> {
    match value.as_object() {
        Some(rows) => rows.iter().map(|(name, row)| Ok((name.as_str(), decimal(row)?))).collect(),
        None => Ok(BTreeMap::from([("", decimal(value)?)])),
    }
}

/// Runs one `rate_premium_plus_clamped_interest` case.
pub fn rate(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let figure =
        |field: &str| (!inputs[field].is_null()).then(|| decimal(&inputs[field])).transpose();
    let oracle = decimal(&inputs["oracle_price"])?;
    let (bid, ask) = (figure("impact_bid")?, figure("impact_ask")?);
    let tick = common_unit([Some(oracle), bid, ask].into_iter().flatten())?;
    let mut market = plain_market(MarketId::ZERO, Ppm::ONE, Ppm::ONE)?;
    market.params.interest_ppm = ppm(decimal_or(&inputs["interest_8h"], Decimal::ZERO)?)?;
    if !inputs["clamp"].is_null() {
        market.params.funding_clamp_ppm = ppm(decimal(&inputs["clamp"])?)?;
    }
    let impact = |price: Option<Decimal>| -> Result<Option<NanoTicks>, String> {
        Ok(price.map(|price| ticks(price, tick)).transpose()?.map(NanoTicks::of))
    };
    let premium = premium_ppm(ticks(oracle, tick)?, impact(bid)?, impact(ask)?, Ppm::MAX);
    let rate_8h = Decimal::new(rate_8h_ppm(&market.params, premium).get(), 6);
    expect_figure(expected, "premium", Decimal::new(premium.get(), 6))?;
    expect_figure(expected, "rate_8h", rate_8h)?;
    expect_figure(expected, "rate_1h", rate_8h / Decimal::from(8))?;
    expect_figure(&case["derived"], "rate_1h", rate_8h / Decimal::from(8))
}

//! Margin and liquidation figures, through the production margin and liquidation functions.

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_proto::units::Ticks;
use tidemark_proto::{Code, Refusal};
use tidemark_risk::liquidation::{self, fill_outcome, zero_quote_delta, FillOutcome, Marked};
use tidemark_risk::margin::{
    effective_initial_ppm, health_without_orders, initial_margin, maintenance_margin, Health,
};

use super::expect;
use super::world::{
    atoms, decimal, decimal_or, expect_figure, expects_refusal, plain_market, ppm,
    product_in_units, usdc, World,
};

fn text(refusal: Refusal) -> String {
    refusal.to_string()
}

/// Compares the account's health with what the case expects of it.
fn expect_health(expected: &Value, health: &Health) -> Result<(), String> {
    expect_figure(expected, "equity", usdc(health.equity_atoms))?;
    expect_figure(expected, "total_initial_margin", usdc(health.initial_atoms))?;
    expect_figure(expected, "total_maintenance_margin", usdc(health.maintenance_atoms))
}

/// Runs one `bankruptcy_close` case.
pub fn bankruptcy_close(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let mut world = World::new(case, &[&case["account"]], &[close])?;
    let account = world.account(&case["account"])?;
    let id = world.id(&close["market"]);
    let delta = world.lots(id, &close["size_delta"])?;
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(expected, &health)?;
    let market = world.markets.get(usize::from(id)).ok_or("the market to close is not listed")?;
    let quote = zero_quote_delta(market, account.lots(id), delta, &health, 1_000_000);
    let (refused, _) = expects_refusal(expected);
    let quote = match quote {
        Err(refusal) if refused && refusal.code == Code::WouldIncrease => return Ok(()),
        Err(refusal) => return Err(format!("expected {expected}, got {refusal}")),
        Ok(quote) if refused => {
            return Err(format!("expected a refusal, got quote_delta {}", usdc(quote)))
        }
        Ok(quote) => quote,
    };
    expect_figure(expected, "quote_delta", usdc(quote))?;
    expect_figure(expected, "price", usdc(quote) / -(Decimal::from(delta) * world.lot(id)))
}

/// Runs one `liquidation_fee_or_fund_payment` case.
pub fn fee_or_fund_payment(case: &Value) -> Result<(), String> {
    let (fill, expected) = (&case["fill"], &case["expected"]);
    let mut world = World::new(case, &[&case["account"]], &[fill])?;
    let account = world.account(&case["account"])?;
    let id = world.id(&fill["market"]);
    let lots = world.lots(id, &fill["size"])?.abs();
    let price = world.ticks(id, &fill["price"])?;
    let delta = if fill["side"] == "buy" { lots } else { -lots };
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(expected, &health)?;
    let market = &world.markets[usize::from(id)];
    let zero = zero_quote_delta(market, account.lots(id), delta, &health, 1_000_000);
    let zero = match (zero, expects_refusal(expected).0) {
        (Err(_), true) => return Ok(()),
        (Ok(_), true) => return Err("expected a refusal, got a zero price".into()),
        (zero, false) => zero.map_err(text)?,
    };
    let fill_quote =
        market.value_atoms(price, -i128::from(delta)).ok_or("the fill is beyond 127 bits")?;
    let max_fee = ppm(decimal_or(&case["params"]["max_liquidation_fee"], 1)?)?;
    let fund_delta = match fill_outcome(fill_quote, zero, max_fee).map_err(text)? {
        FillOutcome::Fee(fee) => fee,
        FillOutcome::FundPays(paid) => -paid,
    };
    expect_figure(expected, "bankruptcy_quote_delta", usdc(zero))?;
    expect_figure(expected, "fill_quote_delta", usdc(fill_quote))?;
    expect_figure(expected, "insurance_fund_delta", usdc(fund_delta))
}

/// Runs one `is_liquidatable` case.
pub fn is_liquidatable(case: &Value) -> Result<(), String> {
    let mut world = World::new(case, &[&case["account"]], &[])?;
    let account = world.account(&case["account"])?;
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(&case["expected"], &health)?;
    expect(
        "liquidatable",
        &case["expected"]["liquidatable"].as_bool(),
        &Some(health.is_liquidatable()),
    )
}

/// Runs one `margin_requirement` case.
pub fn margin_requirement(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let price = decimal(&inputs["price"])?;
    let rate = ppm(decimal(&inputs["initial_margin_fraction"])?)?;
    let mut market =
        plain_market(0, rate, ppm(decimal_or(&inputs["maintenance_fraction_of_initial"], 1)?)?)?;
    market.params.oi_lower_atoms = atoms(decimal_or(&inputs["oi_notional_lower_cap"], 0)?)?;
    market.params.oi_upper_atoms = atoms(decimal_or(&inputs["oi_notional_upper_cap"], 0)?)?;
    let params = &market.params;
    // A notional is in whole atoms by definition; a case may name a size that no lot divides.
    let notional = product_in_units(decimal(&inputs["size"])?.abs(), price, 6)?;
    let open_interest = product_in_units(decimal_or(&inputs["open_interest"], 0)?.abs(), price, 6)?;
    let effective =
        effective_initial_ppm(rate, open_interest, params.oi_lower_atoms, params.oi_upper_atoms)
            .map_err(text)?;
    expect_figure(expected, "effective_imf", Decimal::new(effective, 6))?;
    let initial = initial_margin(params, notional, 0, open_interest).map_err(text)?;
    expect_figure(expected, "initial_margin", usdc(initial))?;
    expect_figure(
        expected,
        "maintenance_margin",
        usdc(maintenance_margin(params, notional).map_err(text)?),
    )
}

/// Decimals of the price in a `liquidation_price` case: finer than any tolerance.
const PRICE_DECIMALS: u32 = 8;

/// Runs one `liquidation_price` case: one lot of the whole size, and a quote unit in which
/// everything is whole.
pub fn liquidation_price(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let size = decimal(&inputs["size"])?;
    let quote_decimals = PRICE_DECIMALS + size.scale();
    let quote = |value: Decimal| product_in_units(value, Decimal::ONE, quote_decimals);
    let mut market =
        plain_market(0, ppm(decimal(&inputs["maintenance_margin_fraction"])?)?, 1_000_000)?;
    market.k = u64::try_from(size.mantissa().unsigned_abs()).map_err(|e| e.to_string())?;
    let mark = product_in_units(decimal(&inputs["price_now"])?, Decimal::ONE, PRICE_DECIMALS)?;
    market.mark_ticks = Some(Ticks::try_from(mark).map_err(|e| e.to_string())?);
    let lots = if size.is_sign_negative() { -1 } else { 1 };
    let own = Marked::of(&market, lots).map_err(text)?.maintenance_atoms;
    let health = Health {
        equity_atoms: quote(decimal(&inputs["equity"])?)?,
        maintenance_atoms: own
            + quote(decimal_or(&inputs["other_positions_maintenance_margin"], 0)?)?,
        ..Health::default()
    };
    let got = liquidation::liquidation_price(&market, lots, &health).map_err(text)?;
    match got {
        Some(ticks) => {
            let price = Decimal::from(ticks) / Decimal::from(10_u64.pow(PRICE_DECIMALS));
            if expected["liquidation_price"].is_null() {
                return Err(format!("expected no liquidation price, got {price}"));
            }
            expect_figure(expected, "liquidation_price", price)
        }
        // A price of 0 or less is none: no mark falls that far.
        None if expected["liquidation_price"].is_null() => Ok(()),
        None if decimal(&expected["liquidation_price"])? <= Decimal::ZERO => Ok(()),
        None => {
            Err(format!("expected liquidation_price {}, got none", expected["liquidation_price"]))
        }
    }
}

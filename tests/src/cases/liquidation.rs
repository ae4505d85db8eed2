//! Margin and liquidation figures, through the production margin and liquidation functions.

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, MarketId, Ppm, Side, SignedLots};
use tidemark_risk::health::{health_without_orders, Health};
use tidemark_risk::liquidation::{self, fee_cap_atoms, fill_outcome, FillOutcome};
use tidemark_risk::margin::Marked;
use tidemark_risk::margin::{effective_initial_ppm, initial_margin, maintenance_margin};
use tidemark_risk::zero_price::bankruptcy_quote_delta;
use tidemark_risk::RiskError;

use super::expect;
use super::world::{
    atoms, decimal, decimal_or, expect_figure, expects_refusal, from_units, in_units, plain_market,
    ppm, product_in_units, ticks, World, QUOTE_DECIMALS,
};

fn text(error: RiskError) -> String {
    error.to_string()
}

/// Compares the account's health with what the case expects of it.
fn expect_health(world: &World, expected: &Value, health: &Health) -> Result<(), String> {
    world.expect_quote(expected, "equity", health.equity_atoms)?;
    world.expect_quote(expected, "total_initial_margin", health.initial_atoms)?;
    world.expect_quote(expected, "total_maintenance_margin", health.maintenance_atoms)
}

/// Runs one `bankruptcy_close` case.
pub fn bankruptcy_close(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let mut world = World::new(case, &[&case["account"]], &[close])?;
    let account = world.account(&case["account"])?;
    let id = world.id(&close["market"]);
    let delta = world.lots(id, &close["size_delta"])?;
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(&world, expected, &health)?;
    let market = world.markets.get(id.index()).ok_or("the market to close is not listed")?;
    let quote = bankruptcy_quote_delta(market, account.lots(id), delta, &health);
    let (refused, _) = expects_refusal(expected);
    let quote = match quote {
        Err(RiskError::DoesNotReduce { .. }) if refused => return Ok(()),
        Err(error) => return Err(format!("expected {expected}, got {error}")),
        Ok(quote) if refused => {
            return Err(format!("expected a refusal, got quote_delta {}", world.usdc(quote)?))
        }
        Ok(quote) => quote,
    };
    world.expect_quote(expected, "quote_delta", quote)?;
    expect_figure(expected, "price", world.usdc(quote)? / -world.size(id, delta))
}

/// Runs one `liquidation_fee_or_fund_payment` case.
pub fn fee_or_fund_payment(case: &Value) -> Result<(), String> {
    let (fill, expected) = (&case["fill"], &case["expected"]);
    let mut world = World::new(case, &[&case["account"]], &[fill])?;
    let account = world.account(&case["account"])?;
    let id = world.id(&fill["market"]);
    let size = world.lots(id, &fill["size"])?.unsigned_abs();
    let price = world.ticks(id, &fill["price"])?;
    let side = if fill["side"] == "buy" { Side::Buy } else { Side::Sell };
    let delta = size.signed(side).ok_or("the fill is beyond 63 bits")?;
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(&world, expected, &health)?;
    let market = world.markets.get(id.index()).ok_or("the market of the fill is not listed")?;
    let zero = bankruptcy_quote_delta(market, account.lots(id), delta, &health);
    let zero = match (zero, expects_refusal(expected).0) {
        (Err(_), true) => return Ok(()),
        (Ok(_), true) => return Err("expected a refusal, got a zero price".into()),
        (zero, false) => zero.map_err(text)?,
    };
    let fill_quote =
        market.value_atoms(price, -delta.wide()).ok_or("the fill is beyond 127 bits")?;
    let max_fee = ppm(decimal_or(&case["params"]["max_liquidation_fee"], Decimal::ONE)?)?;
    let fee_cap = fee_cap_atoms(fill_quote, max_fee).map_err(text)?;
    let fund_delta = match fill_outcome(fill_quote, zero, fee_cap).map_err(text)? {
        FillOutcome::Fee(fee) => fee,
        FillOutcome::FundPays(paid) => -paid,
    };
    world.expect_quote(expected, "bankruptcy_quote_delta", zero)?;
    world.expect_quote(expected, "fill_quote_delta", fill_quote)?;
    world.expect_quote(expected, "insurance_fund_delta", fund_delta)
}

/// Runs one `is_liquidatable` case.
pub fn is_liquidatable(case: &Value) -> Result<(), String> {
    let mut world = World::new(case, &[&case["account"]], &[])?;
    let account = world.account(&case["account"])?;
    let health = health_without_orders(&account, world.markets.as_slice()).map_err(text)?;
    expect_health(&world, &case["expected"], &health)?;
    match case["expected"]["liquidatable"].as_bool() {
        Some(wanted) => expect("liquidatable", &wanted, &health.is_liquidatable()),
        None => Ok(()),
    }
}

/// Runs one `margin_requirement` case. A notional is in whole quote steps by definition, whatever
/// its size and price are.
pub fn margin_requirement(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let price = decimal(&inputs["price"])?;
    let rate = ppm(decimal(&inputs["initial_margin_fraction"])?)?;
    let fraction = ppm(decimal_or(&inputs["maintenance_fraction_of_initial"], Decimal::ONE)?)?;
    let or_zero = |field: &str| decimal_or(&inputs[field], Decimal::ZERO);
    let lower = or_zero("oi_notional_lower_cap")?;
    let upper = or_zero("oi_notional_upper_cap")?;
    let step = decimal_or(&case["quote_step"], Decimal::new(1, QUOTE_DECIMALS))?;
    let mut market = plain_market(MarketId::ZERO, rate, fraction)?;
    let params = &mut market.params;
    (params.oi_lower_atoms, params.oi_upper_atoms) =
        (Atoms::new(in_units(lower, step)?), Atoms::new(in_units(upper, step)?));
    let notional = product_in_steps(decimal(&inputs["size"])?.abs(), price, step)?;
    let open_interest = product_in_steps(or_zero("open_interest")?.abs(), price, step)?;
    let effective =
        effective_initial_ppm(rate, open_interest, params.oi_lower_atoms, params.oi_upper_atoms)
            .map_err(text)?;
    expect_figure(expected, "effective_imf", Decimal::new(effective.get(), 6))?;
    let initial = initial_margin(params, notional, 0, open_interest).map_err(text)?;
    expect_figure(expected, "initial_margin", steps(initial, step)?)?;
    let maintenance = maintenance_margin(params, notional).map_err(text)?;
    expect_figure(expected, "maintenance_margin", steps(maintenance, step)?)
}

/// `a·b` in whole steps, cut toward zero.
fn product_in_steps(a: Decimal, b: Decimal, step: Decimal) -> Result<Atoms, String> {
    let decimals = step.normalize().scale();
    let units = product_in_units(step, Decimal::ONE, decimals)?;
    product_in_units(a, b, decimals)?
        .checked_div(units)
        .map(Atoms::new)
        .ok_or_else(|| "the quote step is 0".to_owned())
}

/// So many steps, as an amount.
fn steps(number: Atoms, step: Decimal) -> Result<Decimal, String> {
    let number = from_units(number.get(), 0)?;
    number.checked_mul(step).ok_or_else(|| format!("{number} steps of {step} are too many"))
}

/// Fewest decimals of the price in a `liquidation_price` case: finer than any tolerance.
const PRICE_DECIMALS: u32 = 8;

/// Runs one `liquidation_price` case: one lot of the whole size, and a quote unit in which
/// everything is whole.
pub fn liquidation_price(case: &Value) -> Result<(), String> {
    let (inputs, expected) = (&case["inputs"], &case["expected"]);
    let (size, price_now) = (decimal(&inputs["size"])?, decimal(&inputs["price_now"])?);
    let equity = decimal(&inputs["equity"])?;
    let others = decimal_or(&inputs["other_positions_maintenance_margin"], Decimal::ZERO)?;
    let price_decimals = PRICE_DECIMALS.max(price_now.scale());
    let quote_decimals = (price_decimals + size.scale()).max(equity.scale()).max(others.scale());
    let rate = ppm(decimal(&inputs["maintenance_margin_fraction"])?)?;
    let mut market = plain_market(MarketId::ZERO, rate, Ppm::ONE)?;
    let k = product_in_units(size.abs(), Decimal::new(1, price_decimals), quote_decimals)?;
    market.k = u64::try_from(k).map(AtomsPerTickLot::new).map_err(|e| e.to_string())?;
    market.mark_ticks = Some(ticks(price_now, Decimal::new(1, price_decimals))?);
    let lots = SignedLots::new(if size.is_sign_negative() { -1 } else { 1 });
    let own = Marked::of(&market, lots).map_err(text)?.maintenance_atoms;
    let health = Health {
        equity_atoms: atoms(equity, quote_decimals)?,
        maintenance_atoms: own
            .checked_add(atoms(others, quote_decimals)?)
            .ok_or("maintenance margin is beyond 127 bits")?,
        ..Health::default()
    };
    let got = liquidation::liquidation_price(&market, lots, &health).map_err(text)?;
    match got {
        Some(ticks) => {
            let price = from_units(ticks.wide(), price_decimals)?;
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

//! Accounts and markets of a case, in the engine's units: tick, lot and `k` are chosen so that its
//! figures are exact.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{Atoms, MarketId, Ppm, SignedLots, Ticks};
use tidemark_risk::{Account, Market};

/// A decimal, given as a string or a number.
pub fn decimal(value: &Value) -> Result<Decimal, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse::<Decimal>()
        .or_else(|_| Decimal::from_scientific(&text))
        .map(|decimal| decimal.normalize())
        .map_err(|e| format!("{value} is no decimal: {e}"))
}

/// As [`decimal`], `default` where there is none.
pub fn decimal_or(value: &Value, default: i64) -> Result<Decimal, String> {
    if value.is_null() {
        Ok(Decimal::from(default))
    } else {
        decimal(value)
    }
}

/// `a·b` in units of `10^-decimals`, cut toward zero to a whole number of them.
pub fn product_in_units(a: Decimal, b: Decimal, decimals: u32) -> Result<i128, String> {
    let (a, b) = (a.normalize(), b.normalize());
    let product = a.mantissa().checked_mul(b.mantissa());
    let (scale, wanted) = (a.scale() + b.scale(), decimals);
    let power = |n: u32| 10_i128.checked_pow(n);
    let units = if scale <= wanted {
        product.zip(power(wanted - scale)).and_then(|(product, power)| product.checked_mul(power))
    } else {
        product.zip(power(scale - wanted)).map(|(product, power)| product / power)
    };
    units.ok_or_else(|| format!("{a} times {b} is beyond 127 bits of 10^-{decimals}"))
}

/// A value in whole units of `unit`.
pub fn in_units(value: Decimal, unit: Decimal) -> Result<i128, String> {
    let (value, unit) = (value.normalize(), unit.normalize());
    let scale = value.scale().max(unit.scale());
    let scaled = |d: Decimal| 10_i128.checked_pow(scale - d.scale())?.checked_mul(d.mantissa());
    scaled(value)
        .zip(scaled(unit))
        .filter(|(value, unit)| *unit != 0 && value % unit == 0)
        .map(|(value, unit)| value / unit)
        .ok_or_else(|| format!("{value} is not a whole number of {unit}"))
}

/// USDC to atoms.
pub fn atoms(value: Decimal) -> Result<Atoms, String> {
    in_units(value, Decimal::new(1, 6))
}

/// Atoms to USDC.
pub fn usdc(atoms: Atoms) -> Decimal {
    Decimal::try_from_i128_with_scale(atoms, 6).unwrap_or(Decimal::MAX).normalize()
}

/// A rate to ppm.
pub fn ppm(rate: Decimal) -> Result<Ppm, String> {
    Ppm::try_from(in_units(rate, Decimal::new(1, 6))?).map_err(|e| e.to_string())
}

/// The largest unit of which all values are whole multiples; 1 where all are 0.
pub fn common_unit(values: impl IntoIterator<Item = Decimal>) -> Decimal {
    values
        .into_iter()
        .map(|value| value.abs().normalize())
        .filter(|value| !value.is_zero())
        .reduce(|a, b| {
            let scale = a.scale().max(b.scale());
            let scaled = |d: Decimal| d.mantissa() * 10_i128.pow(scale - d.scale());
            let (mut a, mut b) = (scaled(a), scaled(b));
            while b != 0 {
                (a, b) = (b, a % b);
            }
            Decimal::from_i128_with_scale(a, scale).normalize()
        })
        .unwrap_or(Decimal::ONE)
}

/// A market with one margin tier; `k` and mark are to be set by the caller.
pub fn plain_market(
    id: MarketId,
    initial_ppm: Ppm,
    maintenance_fraction_ppm: Ppm,
) -> Result<Market, String> {
    let mut params = MarketParams::with_defaults("CASE-USD", 1_000_000_000, 1_000_000_000, 1);
    params.id = id;
    params.tiers =
        vec![MarginTier { upper_notional_atoms: Atoms::MAX, initial_margin_ppm: initial_ppm }];
    params.maintenance_fraction_ppm = maintenance_fraction_ppm;
    Market::new(params).map_err(|e| e.to_string())
}

/// The markets of a case.
pub struct World {
    /// By id.
    pub markets: Vec<Market>,
    /// Name, tick and lot size of each.
    units: Vec<(String, Decimal, Decimal)>,
}

/// Every size and price that a case names for a market beside its oracle price.
#[derive(Default)]
struct Figures {
    sizes: Vec<Decimal>,
    prices: Vec<Decimal>,
}

impl World {
    /// Reads `case.markets`. `accounts` are all the case's accounts; `others` its objects that name
    /// a market with a size or a price.
    pub fn new(case: &Value, accounts: &[&Value], others: &[&Value]) -> Result<Self, String> {
        let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
        for account in accounts {
            for (market, size) in account["positions"].as_object().into_iter().flatten() {
                figures.entry(market.clone()).or_default().sizes.push(decimal(size)?);
            }
        }
        for other in others {
            let of = figures.entry(name(&other["market"])).or_default();
            for field in
                ["size", "size_delta", "price"].into_iter().filter(|field| !other[*field].is_null())
            {
                let list = if field == "price" { &mut of.prices } else { &mut of.sizes };
                list.push(decimal(&other[field])?);
            }
        }
        let mut world = Self { markets: Vec::new(), units: Vec::new() };
        for (market, params) in case["markets"].as_object().into_iter().flatten() {
            world.list(market, params, figures.remove(market).unwrap_or_default())?;
        }
        Ok(world)
    }

    fn list(&mut self, market_name: &str, of: &Value, mut figures: Figures) -> Result<(), String> {
        let oracle = decimal(&of["oracle_price"])?;
        figures.prices.push(oracle);
        let (tick, mut lot) = (common_unit(figures.prices), common_unit(figures.sizes));
        let exact_k = |lot| in_units(tick * lot, Decimal::new(1, 6));
        let k = loop {
            let k =
                exact_k(lot).map_err(|e| format!("{market_name}: tick {tick}, lot {lot}: {e}"))?;
            match u64::try_from(k) {
                Ok(k) => break k,
                Err(_) => lot /= Decimal::TEN,
            }
        };
        let initial = decimal_or(&of["initial_margin_fraction"], 1)?;
        let maintenance = decimal_or(&of["maintenance_margin_fraction"], 1)?;
        let fraction = if initial.is_zero() { Decimal::ONE } else { maintenance / initial };
        let id = MarketId::try_from(self.markets.len()).map_err(|e| e.to_string())?;
        let mut market = plain_market(id, ppm(initial)?, ppm(fraction.normalize())?)?;
        market.k = k;
        market.mark_ticks = Some(ticks(oracle, tick)?);
        self.markets.push(market);
        self.units.push((market_name.to_owned(), tick, lot));
        Ok(())
    }

    /// Id of a market; one that does not exist gets an id that is not listed.
    pub fn id(&self, market: &Value) -> MarketId {
        let name = name(market);
        let at = self.units.iter().position(|(known, ..)| *known == name);
        at.and_then(|at| MarketId::try_from(at).ok()).unwrap_or(MarketId::MAX)
    }

    /// Lot size of a market.
    pub fn lot(&self, market: MarketId) -> Decimal {
        self.units.get(usize::from(market)).map_or(Decimal::ONE, |(_, _, lot)| *lot)
    }

    /// A size in signed lots.
    pub fn lots(&self, market: MarketId, size: &Value) -> Result<SignedLots, String> {
        SignedLots::try_from(in_units(decimal(size)?, self.lot(market))?).map_err(|e| e.to_string())
    }

    /// A price in ticks.
    pub fn ticks(&self, market: MarketId, price: &Value) -> Result<Ticks, String> {
        let (_, tick, _) = self.units.get(usize::from(market)).ok_or("no such market")?;
        ticks(decimal(price)?, *tick)
    }

    /// An account: its quote balance is collateral, with positions that cost nothing. Longs count
    /// as open interest.
    pub fn account(&mut self, account: &Value) -> Result<Account, String> {
        let mut made = Account::new(0, 0);
        made.collateral_atoms = atoms(decimal(&account["quote_balance"])?)?;
        for (market, size) in account["positions"].as_object().into_iter().flatten() {
            let id = self.id(&Value::from(market.as_str()));
            let lots = self.lots(id, size)?;
            if lots != 0 {
                made.position_mut(id).lots = lots;
            }
            if let Some(market) = self.markets.get_mut(usize::from(id)) {
                market.open_interest_lots += lots.max(0).unsigned_abs();
            }
        }
        Ok(made)
    }

    /// An account as cases write it: quote balance and open positions, as text.
    pub fn describe(
        &self,
        account: &Account,
    ) -> Result<(String, BTreeMap<String, String>), String> {
        let money =
            tidemark_risk::conservation::account_atoms(account).map_err(|e| e.to_string())?;
        let positions =
            account.positions.iter().filter(|position| position.lots != 0).map(|position| {
                let (name, _, lot) = &self.units[usize::from(position.market)];
                (name.clone(), (Decimal::from(position.lots) * lot).normalize().to_string())
            });
        Ok((usdc(money).to_string(), positions.collect()))
    }
}

/// What [`World::describe`] should give for an expected account.
pub fn described(expected: &Value) -> Result<(String, BTreeMap<String, String>), String> {
    let positions = expected["positions"].as_object().into_iter().flatten();
    let positions = positions
        .map(|(name, size)| Ok((name.clone(), decimal(size)?)))
        .filter(|entry: &Result<_, String>| !entry.as_ref().is_ok_and(|(_, size)| size.is_zero()))
        .map(|entry| entry.map(|(name, size)| (name, size.to_string())))
        .collect::<Result<_, String>>()?;
    Ok((decimal(&expected["quote_balance"])?.to_string(), positions))
}

/// Compares a figure where the case expects one, within its tolerance; without one, to the digits
/// that the case gives.
pub fn expect_figure(expected: &Value, what: &str, got: Decimal) -> Result<(), String> {
    let Some(wanted) = expected.get(what).filter(|value| !value.is_null()) else { return Ok(()) };
    let wanted = decimal(wanted)?;
    let tolerance = decimal_or(&expected["tolerance"], 0)?;
    let rounded = got.round_dp(wanted.scale().max(6));
    if (rounded - wanted).abs() <= tolerance {
        return Ok(());
    }
    Err(format!("expected {what} {wanted}, got {}", got.normalize()))
}

/// Whether the case expects a refusal, and with which reason.
pub fn expects_refusal(expected: &Value) -> (bool, Option<&str>) {
    let reason =
        ["reason", "error", "rejected"].into_iter().find_map(|field| expected[field].as_str());
    let refused = expected["accepted"] == false || expected["rejected"] == true || reason.is_some();
    (refused, reason)
}

fn name(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ticks(price: Decimal, tick: Decimal) -> Result<Ticks, String> {
    Ticks::try_from(in_units(price, tick)?).map_err(|e| format!("price {price}: {e}"))
}

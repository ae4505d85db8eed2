//! Accounts and markets of a case, in the engine's units: tick, lot and quote unit are chosen so
//! that its figures are exact.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{
    Atoms, AtomsPerTickLot, Lots, MarketId, OwnerId, Ppm, SignedLots, Ticks,
};
use tidemark_risk::margin::marked_atoms;
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
pub fn decimal_or(value: &Value, default: Decimal) -> Result<Decimal, String> {
    if value.is_null() {
        Ok(default)
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

/// USDC to whole units of `10^-decimals`.
pub fn atoms(value: Decimal, decimals: u32) -> Result<Atoms, String> {
    in_units(value, Decimal::new(1, decimals)).map(Atoms::new)
}

/// Units of `10^-decimals` to USDC.
pub fn usdc(atoms: Atoms, decimals: u32) -> Result<Decimal, String> {
    from_units(atoms.get(), decimals)
}

/// Whole units of `10^-decimals` as a decimal.
pub fn from_units(units: i128, decimals: u32) -> Result<Decimal, String> {
    let value = Decimal::try_from_i128_with_scale(units, decimals).map_err(|e| e.to_string())?;
    Ok(value.normalize())
}

/// A rate to ppm.
pub fn ppm(rate: Decimal) -> Result<Ppm, String> {
    i64::try_from(in_units(rate, Decimal::new(1, 6))?).map(Ppm::new).map_err(|e| e.to_string())
}

/// The largest unit of which all values are whole multiples; 1 where all are 0.
pub fn common_unit(values: impl IntoIterator<Item = Decimal>) -> Result<Decimal, String> {
    let values: Vec<Decimal> = values.into_iter().map(|value| value.abs().normalize()).collect();
    let scale = values.iter().map(Decimal::scale).max().unwrap_or(0);
    let mut unit = 0;
    for value in values {
        let (mut a, mut b) = (unit, product_in_units(value, Decimal::ONE, scale)?);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        unit = a;
    }
    if unit == 0 {
        return Ok(Decimal::ONE);
    }
    from_units(unit, scale)
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

/// Decimals of an atom on the chain, and of the quote step in which cases round.
pub const QUOTE_DECIMALS: u32 = 6;

/// The markets of a case.
pub struct World {
    /// By id.
    pub markets: Vec<Market>,
    /// Decimals of the case's quote unit: those of an atom, or more where the case's prices, sizes
    /// and amounts are not whole numbers of atoms.
    quote_decimals: u32,
    /// Name, tick and lot size of each.
    units: Vec<(String, Decimal, Decimal)>,
}

/// Every size and price that a case names for a market beside its oracle price.
#[derive(Default)]
struct Figures {
    sizes: Vec<Decimal>,
    prices: Vec<Decimal>,
}

/// Fields whose values are amounts of quote.
const QUOTE_FIELDS: [&str; 9] = [
    "equity",
    "total_initial_margin",
    "total_maintenance_margin",
    "quote_delta",
    "bankruptcy_quote_delta",
    "fill_quote_delta",
    "insurance_fund_delta",
    "transfer_quote_to_closing_account",
    "quote_balance",
];

/// The most decimals of any amount of quote within a value.
fn quote_decimals(value: &Value) -> Result<u32, String> {
    let mut most = 0;
    for (name, field) in value.as_object().into_iter().flatten() {
        let own = if QUOTE_FIELDS.contains(&name.as_str()) && !field.is_null() {
            decimal(field)?.scale()
        } else {
            quote_decimals(field)?
        };
        most = most.max(own);
    }
    for element in value.as_array().into_iter().flatten() {
        most = most.max(quote_decimals(element)?);
    }
    Ok(most)
}

impl World {
    /// Reads `case.markets`. `accounts` are all the case's accounts; `others` its objects that name
    /// a market with a size or a price.
    pub fn new(case: &Value, accounts: &[&Value], others: &[&Value]) -> Result<Self, String> {
        let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
        let mut decimals = QUOTE_DECIMALS.max(quote_decimals(&case["expected"])?);
        for account in accounts {
            decimals = decimals.max(quote_decimals(account)?);
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
        let markets = case["markets"].as_object();
        let mut units = Vec::new();
        for (market, params) in markets.into_iter().flatten() {
            let mut of = figures.remove(market).unwrap_or_default();
            of.prices.push(decimal(&params["oracle_price"])?);
            let (tick, lot) = (common_unit(of.prices)?, common_unit(of.sizes)?);
            decimals = decimals.max(tick.scale() + lot.scale());
            units.push((market.clone(), tick, lot));
        }
        let mut world = Self { markets: Vec::new(), quote_decimals: decimals, units };
        for (at, params) in markets.into_iter().flat_map(|markets| markets.values()).enumerate() {
            let market = world.market(at, params)?;
            world.markets.push(market);
        }
        Ok(world)
    }

    /// The market at a place in the case. Its lot is divided until `k` fits.
    fn market(&mut self, at: usize, of: &Value) -> Result<Market, String> {
        let (name, tick, lot) = self.units.get_mut(at).ok_or("a market without units")?;
        let k = loop {
            let k = product_in_units(*tick, *lot, self.quote_decimals)?;
            match u64::try_from(k) {
                Ok(k) => break k,
                Err(_) => *lot = (*lot / Decimal::TEN).normalize(),
            }
        };
        let exact = from_units(k.into(), self.quote_decimals)?;
        if tick.checked_mul(*lot).is_none_or(|product| product != exact) {
            return Err(format!("{name}: tick {tick} times lot {lot} has too many digits"));
        }
        let oracle = decimal(&of["oracle_price"])?;
        let initial = decimal_or(&of["initial_margin_fraction"], Decimal::ONE)?;
        let maintenance = decimal_or(&of["maintenance_margin_fraction"], initial)?;
        let fraction = if initial.is_zero() { Decimal::ONE } else { maintenance / initial };
        let id = MarketId::from_index(at).ok_or("too many markets")?;
        let mut market = plain_market(id, ppm(initial)?, ppm(fraction.normalize())?)?;
        market.k = AtomsPerTickLot::new(k);
        market.mark_ticks = Some(ticks(oracle, *tick)?);
        // The sources have no backstop: an account is deleveraged below 0, and not before.
        market.params.backstop_ppm = Ppm::ZERO;
        Ok(market)
    }

    /// An amount of quote in the case's own unit.
    pub fn atoms(&self, value: Decimal) -> Result<Atoms, String> {
        atoms(value, self.quote_decimals)
    }

    /// Units of the case's quote as USDC.
    pub fn usdc(&self, atoms: Atoms) -> Result<Decimal, String> {
        usdc(atoms, self.quote_decimals)
    }

    /// Compares an amount of quote where the case expects one.
    pub fn expect_quote(&self, expected: &Value, what: &str, got: Atoms) -> Result<(), String> {
        let Some(wanted) = expected.get(what).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        let (wanted, got) = (decimal(wanted)?, self.usdc(got)?);
        let tolerance = decimal_or(&expected["tolerance"], Decimal::ZERO)?;
        if self.is_met(wanted, got, tolerance) {
            return Ok(());
        }
        Err(format!("expected {what} {wanted}, got {got}"))
    }

    /// True if an amount is the expected one, within `tolerance`. A case that rounds to quote steps
    /// where the world counts in finer units is met within one step for each market.
    pub fn is_met(&self, wanted: Decimal, got: Decimal, tolerance: Decimal) -> bool {
        let rounds = self.quote_decimals > QUOTE_DECIMALS
            && wanted.scale() <= QUOTE_DECIMALS
            && got.scale() > QUOTE_DECIMALS;
        let steps = Decimal::from(if rounds { self.markets.len() } else { 0 });
        (wanted - got).abs() <= tolerance + steps * Decimal::new(1, QUOTE_DECIMALS)
    }

    /// Id of a market; one that does not exist gets an id that is not listed.
    pub fn id(&self, market: &Value) -> MarketId {
        let name = name(market);
        let at = self.units.iter().position(|(known, ..)| *known == name);
        at.and_then(MarketId::from_index).unwrap_or(MarketId::MAX)
    }

    /// Lot size of a market.
    pub fn lot(&self, market: MarketId) -> Decimal {
        self.units.get(market.index()).map_or(Decimal::ONE, |(_, _, lot)| *lot)
    }

    /// A size in signed lots.
    pub fn lots(&self, market: MarketId, size: &Value) -> Result<SignedLots, String> {
        let lots = in_units(decimal(size)?, self.lot(market))?;
        i64::try_from(lots).map(SignedLots::new).map_err(|e| e.to_string())
    }

    /// A price in ticks.
    pub fn ticks(&self, market: MarketId, price: &Value) -> Result<Ticks, String> {
        let (_, tick, _) = self.units.get(market.index()).ok_or("no such market")?;
        ticks(decimal(price)?, *tick)
    }

    /// An account. Its positions were entered at the mark, so that it is neither in profit nor at a
    /// loss, whatever its quote balance. Longs count as open interest.
    pub fn account(&mut self, account: &Value) -> Result<Account, String> {
        let mut made = Account::new(OwnerId::ZERO, 0);
        made.collateral_atoms =
            self.atoms(decimal_or(&account["quote_balance"], Decimal::ZERO)?)?;
        for (market, size) in account["positions"].as_object().into_iter().flatten() {
            let id = self.id(&Value::from(market.as_str()));
            let lots = self.lots(id, size)?;
            let Some(market) = self.markets.get_mut(id.index()) else {
                if lots.is_zero() {
                    continue;
                }
                return Err(format!("a position in {market}, which is not in `markets`"));
            };
            if lots.is_zero() {
                continue;
            }
            let cost = marked_atoms(market, lots.wide()).map_err(|e| e.to_string())?;
            let position = made.position_mut(id);
            (position.lots, position.cost_atoms) = (lots, cost);
            made.collateral_atoms = made
                .collateral_atoms
                .checked_add(cost)
                .ok_or("the account's quote is beyond 127 bits")?;
            market.open_interest_lots += lots.max(SignedLots::ZERO).unsigned_abs();
        }
        Ok(made)
    }

    /// Compares quote balance and open positions of an account with those that a case expects.
    pub fn expect_account(
        &self,
        expected: &Value,
        what: &str,
        account: &Account,
    ) -> Result<(), String> {
        let quote =
            tidemark_risk::conservation::account_atoms(account).map_err(|e| e.to_string())?;
        self.expect_quote(expected, "quote_balance", quote).map_err(|e| format!("{what}: {e}"))?;
        let Some(wanted) = expected["positions"].as_object() else { return Ok(()) };
        let wanted = wanted
            .iter()
            .map(|(name, size)| Ok((name.clone(), decimal(size)?)))
            .filter(|entry: &Result<_, String>| !entry.as_ref().is_ok_and(|e| e.1.is_zero()))
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let mut got = BTreeMap::new();
        for position in account.positions.iter().filter(|position| !position.lots.is_zero()) {
            let (name, ..) = self.units.get(position.market.index()).ok_or("an unknown market")?;
            got.insert(name.clone(), self.size(position.market, position.lots));
        }
        super::expect(&format!("positions of {what}"), &wanted, &got)
    }

    /// Lots as a size.
    pub fn size(&self, market: MarketId, lots: SignedLots) -> Decimal {
        self.whole_size(market, lots.wide())
    }

    /// Unsigned lots as a size.
    pub fn unsigned_size(&self, market: MarketId, lots: Lots) -> Decimal {
        self.whole_size(market, lots.wide())
    }

    fn whole_size(&self, market: MarketId, lots: i128) -> Decimal {
        let lots = Decimal::try_from_i128_with_scale(lots, 0).unwrap_or(Decimal::MAX);
        lots.checked_mul(self.lot(market)).unwrap_or(Decimal::MAX).normalize()
    }
}

/// Compares a price or a rate where the case expects one, within its tolerance; without one, to the
/// digits that the case gives.
pub fn expect_figure(expected: &Value, what: &str, got: Decimal) -> Result<(), String> {
    let Some(wanted) = expected.get(what).filter(|value| !value.is_null()) else { return Ok(()) };
    let wanted = decimal(wanted)?;
    let tolerance = decimal_or(&expected["tolerance"], Decimal::ZERO)?;
    let rounded = got.round_dp(wanted.scale().max(6));
    if (rounded - wanted).abs() <= tolerance {
        return Ok(());
    }
    Err(format!("expected {what} {wanted}, got {}", got.normalize()))
}

/// True if the case expects a refusal; and the reason that it names.
pub fn expects_refusal(expected: &Value) -> (bool, Option<&str>) {
    let reason =
        ["reason", "error", "rejected"].into_iter().find_map(|field| expected[field].as_str());
    let refused = expected["accepted"] == false || expected["rejected"] == true || reason.is_some();
    (refused, reason)
}

fn name(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A price in ticks of a size.
pub fn ticks(price: Decimal, tick: Decimal) -> Result<Ticks, String> {
    let ticks = u64::try_from(in_units(price, tick)?);
    ticks.map(Ticks::new).map_err(|e| format!("price {price}: {e}"))
}

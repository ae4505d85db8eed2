//! Markets by symbol, and the way between decimals that people write and the chain's ticks, lots
//! and atoms.

use rust_decimal::Decimal;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, SignedLots, Ticks};
use tidemark_proto::v1;

/// Decimals of a USDC amount: an atom is 10⁻⁶.
const USDC_SCALE: u32 = 6;

/// A market's sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Market {
    /// Its id on the wire.
    pub id: u32,
    /// Its symbol, e.g. `BTC-USD`.
    pub symbol: String,
    /// USDC per base unit in one tick.
    pub tick_size: Decimal,
    /// Base units in one lot.
    pub lot_size: Decimal,
    /// Atoms per tick·lot.
    pub k: AtomsPerTickLot,
}

impl Market {
    /// From its parameters.
    #[must_use]
    pub fn new(params: &v1::MarketParams, k: AtomsPerTickLot) -> Self {
        let size = |e9: u64| Decimal::from_i128_with_scale(i128::from(e9), 9).normalize();
        Self {
            id: params.id,
            symbol: params.symbol.clone(),
            tick_size: size(params.tick_size_e9),
            lot_size: size(params.lot_size_e9),
            k,
        }
    }

    /// A price in USDC as ticks.
    ///
    /// # Errors
    /// A sentence that names the tick and the nearest prices, when it is not a whole number of
    /// ticks of at least 1.
    pub fn ticks(&self, price: Decimal) -> Result<Ticks, String> {
        whole_units(price, self.tick_size).map(Ticks::new).map_err(|problem| {
            let (symbol, tick) = (&self.symbol, self.tick_size);
            match problem {
                NotWhole::Between(below, above) => format!(
                    "price {price} is not a whole number of {symbol}'s ticks of {tick} USDC: the \
                     nearest are {below} and {above}"
                ),
                NotWhole::OutOfRange => {
                    format!(
                        "price {price} is out of range: {symbol} takes prices from {tick} USDC, \
                         its tick size"
                    )
                }
            }
        })
    }

    /// A difference between two prices in USDC as ticks.
    ///
    /// # Errors
    /// A sentence that names the tick and the nearest differences, when it is not a whole number of
    /// ticks.
    pub fn tick_difference(&self, difference: Decimal) -> Result<i64, String> {
        if difference.is_zero() {
            return Ok(0);
        }
        let sign = if difference.is_sign_negative() { -1 } else { 1 };
        let (symbol, tick) = (&self.symbol, self.tick_size);
        let ticks = whole_units(difference.abs(), tick).map_err(|problem| match problem {
            NotWhole::Between(below, above) => {
                let (below, above) = (below * Decimal::from(sign), above * Decimal::from(sign));
                format!(
                    "{difference} is not a whole number of {symbol}'s ticks of {tick} USDC: the \
                     nearest are {below} and {above}"
                )
            }
            NotWhole::OutOfRange => {
                format!("{difference} is out of range: {symbol}'s tick is {tick} USDC")
            }
        })?;
        let ticks = i64::try_from(ticks).map_err(|_| format!("{difference} is out of range"))?;
        Ok(ticks * sign)
    }

    /// A size in base units as lots.
    ///
    /// # Errors
    /// A sentence that names the lot and the nearest sizes, when it is not a whole number of lots
    /// of at least 1.
    pub fn lots(&self, size: Decimal) -> Result<Lots, String> {
        whole_units(size, self.lot_size).map(Lots::new).map_err(|problem| {
            let (symbol, lot, base) = (&self.symbol, self.lot_size, self.base());
            match problem {
                NotWhole::Between(below, above) => format!(
                    "size {size} is not a whole number of {symbol}'s lots of {lot} {base}: the \
                     nearest are {below} and {above}"
                ),
                NotWhole::OutOfRange => {
                    format!(
                        "size {size} is out of range: {symbol} takes sizes from {lot} {base}, its \
                         lot size"
                    )
                }
            }
        })
    }

    /// The unit of sizes: the symbol's part before the first dash.
    #[must_use]
    pub fn base(&self) -> &str {
        self.symbol.split('-').next().unwrap_or(&self.symbol)
    }

    /// Ticks as a price in USDC, with as many decimals as the tick has.
    #[must_use]
    pub fn price(&self, ticks: Ticks) -> Decimal {
        scaled(ticks.wide(), self.tick_size)
    }

    /// The value of one lot at a price.
    #[must_use]
    pub fn lot_atoms(&self, price: Ticks) -> Atoms {
        price.notional_atoms(Lots::ONE, self.k).unwrap_or(Atoms::MAX)
    }

    /// A difference of ticks in USDC, with as many decimals as the tick has.
    #[must_use]
    pub fn price_difference(&self, ticks: i64) -> Decimal {
        scaled(i128::from(ticks), self.tick_size)
    }

    /// Lots as a size in base units, with as many decimals as the lot has.
    #[must_use]
    pub fn size(&self, lots: Lots) -> Decimal {
        scaled(lots.wide(), self.lot_size)
    }

    /// A position as a size in base units, negative for a short one, with as many decimals as the
    /// lot has.
    #[must_use]
    pub fn position_size(&self, lots: SignedLots) -> Decimal {
        scaled(lots.wide(), self.lot_size)
    }
}

/// The most lots that `amount` pays for at `lot_atoms` each; a lot that costs nothing costs an
/// atom.
#[must_use]
pub fn lots_within(amount: Atoms, lot_atoms: Atoms) -> Lots {
    let count = amount.max(Atoms::ZERO).get() / lot_atoms.get().max(1);
    u64::try_from(count).map_or(Lots::MAX, Lots::new)
}

enum NotWhole {
    /// The whole multiples below and above.
    Between(Decimal, Decimal),
    OutOfRange,
}

fn whole_units(value: Decimal, unit: Decimal) -> Result<u64, NotWhole> {
    let units = value.checked_div(unit).ok_or(NotWhole::OutOfRange)?;
    let floor = units.floor();
    let multiple = |count: Decimal| count.checked_mul(unit).ok_or(NotWhole::OutOfRange);
    // The quotient may have been rounded; the product of a whole number of units is exact.
    let exact = [floor, floor + Decimal::ONE]
        .into_iter()
        .find(|count| multiple(*count).ok() == Some(value));
    match exact {
        Some(count) => {
            u64::try_from(count).ok().filter(|count| *count > 0).ok_or(NotWhole::OutOfRange)
        }
        None if floor < Decimal::ONE => Err(NotWhole::OutOfRange),
        None => Err(NotWhole::Between(multiple(floor)?, multiple(floor + Decimal::ONE)?)),
    }
}

/// `count·unit` with the decimals of `unit`; the largest decimal where it passes 96 bits.
fn scaled(count: i128, unit: Decimal) -> Decimal {
    let product = count.checked_mul(unit.mantissa());
    let decimal =
        product.and_then(|product| Decimal::try_from_i128_with_scale(product, unit.scale()).ok());
    decimal.unwrap_or(if count < 0 { Decimal::MIN } else { Decimal::MAX })
}

/// Atoms, signed or not as the message has them, as USDC.
#[must_use]
pub fn usdc(atoms: impl Into<i128>) -> Decimal {
    scaled(atoms.into(), Decimal::new(1, USDC_SCALE))
}

/// A USDC amount as atoms.
///
/// # Errors
/// A sentence, when it is not positive, has more than six decimals, or passes 64 bits.
pub fn atoms_of_usdc(amount: Decimal) -> Result<u64, String> {
    whole_units(amount, Decimal::new(1, USDC_SCALE)).map_err(|problem| match problem {
        NotWhole::Between(..) => {
            format!("amount {amount} has more than {USDC_SCALE} decimals: USDC has {USDC_SCALE}")
        }
        NotWhole::OutOfRange => {
            format!("amount {amount} must be at least 0.000001 USDC and below 2^64 of them")
        }
    })
}

/// All markets of a chain.
#[derive(Clone, Debug, Default)]
pub struct Markets {
    states: Vec<(Market, v1::MarketState)>,
}

impl Markets {
    /// From the node's answer.
    #[must_use]
    pub fn new(states: Vec<v1::MarketState>) -> Self {
        let with_sizes = |state: v1::MarketState| {
            let market = Market::new(state.params.as_ref()?, AtomsPerTickLot::new(state.k));
            Some((market, state))
        };
        Self { states: states.into_iter().filter_map(with_sizes).collect() }
    }

    /// Each with its state, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &(Market, v1::MarketState)> {
        self.states.iter()
    }

    /// The market of a symbol, in any case of letters.
    ///
    /// # Errors
    /// A sentence that names the known ones, and the nearest where it looks like a slip.
    pub fn find(&self, symbol: &str) -> Result<&(Market, v1::MarketState), String> {
        let found =
            self.states.iter().find(|(market, _)| market.symbol.eq_ignore_ascii_case(symbol));
        found.ok_or_else(|| self.unknown(symbol))
    }

    /// The mark of a market, if it has one.
    #[must_use]
    pub fn mark_ticks(&self, id: u32) -> Option<Ticks> {
        let state =
            self.states.iter().find(|(market, _)| market.id == id).map(|(_, state)| state)?;
        Some(Ticks::new(state.mark_ticks)).filter(|mark| !mark.is_zero())
    }

    /// The market of an id.
    #[must_use]
    pub fn by_id(&self, id: u32) -> Option<&Market> {
        self.states.iter().map(|(market, _)| market).find(|market| market.id == id)
    }

    fn unknown(&self, symbol: &str) -> String {
        let known: Vec<_> = self.states.iter().map(|(market, _)| market.symbol.as_str()).collect();
        if known.is_empty() {
            return format!("there is no market {symbol}: this chain has none yet");
        }
        let wanted = symbol.to_ascii_uppercase();
        let nearest = known.iter().map(|name| (distance(&wanted, name), *name)).min();
        let near = |&(distance, name): &(usize, &str)| {
            // The base alone, as in `BTC`, is as good as a slip of two letters.
            distance <= 2
                || name.split('-').next()
                    == Some(wanted.split(['-', '/', '_']).next().unwrap_or(""))
        };
        let hint = nearest
            .filter(near)
            .map_or(".".to_owned(), |(_, name)| format!(", did you mean {name}?"));
        format!("there is no market {symbol}{hint} Known: {}", known.join(", "))
    }
}

/// Edit distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn market(symbol: &str, tick_size_e9: u64, lot_size_e9: u64) -> Market {
        let params = v1::MarketParams {
            symbol: symbol.into(),
            tick_size_e9,
            lot_size_e9,
            ..Default::default()
        };
        Market::new(&params, AtomsPerTickLot::new(10))
    }

    fn btc() -> Market {
        market("BTC-USD", 100_000_000, 100_000)
    }

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_become_whole_ticks_and_lots() {
        assert_eq!(btc().ticks(dec("60000")), Ok(Ticks::new(600_000)));
        assert_eq!(btc().ticks(dec("60000.10")), Ok(Ticks::new(600_001)));
        assert_eq!(btc().lots(dec("0.0123")), Ok(Lots::new(123)));
        assert_eq!(btc().price(Ticks::new(600_001)).to_string(), "60000.1");
        assert_eq!(btc().price(Ticks::new(600_000)).to_string(), "60000.0");
        assert_eq!(btc().position_size(SignedLots::new(-5)).to_string(), "-0.0005");
    }

    #[test]
    fn what_is_not_whole_is_refused_with_its_neighbours() {
        assert_eq!(
            btc().ticks(dec("60000.05")).unwrap_err(),
            "price 60000.05 is not a whole number of BTC-USD's ticks of 0.1 USDC: the nearest are \
             60000.0 and 60000.1"
        );
        assert_eq!(
            btc().lots(dec("0.00015")).unwrap_err(),
            "size 0.00015 is not a whole number of BTC-USD's lots of 0.0001 BTC: the nearest are \
             0.0001 and 0.0002"
        );
        for bad in ["0", "-1", "0.05", "79228162514264337593543950335"] {
            let refusal = btc().ticks(dec(bad)).unwrap_err();
            assert!(refusal.contains("out of range") && refusal.contains("0.1 USDC"), "{refusal}");
        }
    }

    #[test]
    fn a_difference_of_prices_has_a_sign() {
        for (difference, ticks) in [("0", 0), ("-5", -50), ("0.1", 1), ("-0.0", 0)] {
            assert_eq!(btc().tick_difference(dec(difference)), Ok(ticks));
        }
        assert_eq!(btc().price_difference(-50).to_string(), "-5.0");
        assert!(btc().tick_difference(dec("-0.15")).unwrap_err().contains("-0.1 and -0.2"));
        for bad in ["0.05", "-0.05", "79228162514264337593543950335", "922337203685477581"] {
            assert!(btc().tick_difference(dec(bad)).unwrap_err().contains("out of range"), "{bad}");
        }
    }

    #[test]
    fn usdc_has_six_decimals() {
        assert_eq!(atoms_of_usdc(dec("1000")), Ok(1_000_000_000));
        assert_eq!(atoms_of_usdc(dec("0.000001")), Ok(1));
        assert!(atoms_of_usdc(dec("1.0000001")).unwrap_err().contains("6 decimals"));
        assert!(atoms_of_usdc(dec("0")).is_err());
        assert!(atoms_of_usdc(dec("-3")).is_err());
        assert_eq!(usdc(-1_500_000_i64).to_string(), "-1.500000");
        assert_eq!(usdc(i128::MAX), Decimal::MAX);
    }

    #[test]
    fn a_mistyped_market_lists_the_known_ones() {
        let state = |symbol: &str, id| v1::MarketState {
            params: Some(v1::MarketParams { id, symbol: symbol.into(), ..Default::default() }),
            ..Default::default()
        };
        let markets = Markets::new(vec![state("BTC-USD", 0), state("ETH-USD", 1)]);
        assert_eq!(markets.find("eth-usd").unwrap().0.id, 1);
        let known = "Known: BTC-USD, ETH-USD";
        for (typed, sentence) in [
            ("BTC-USDT", format!("there is no market BTC-USDT, did you mean BTC-USD? {known}")),
            ("btc", format!("there is no market btc, did you mean BTC-USD? {known}")),
            ("DOGE-EUR", format!("there is no market DOGE-EUR. {known}")),
        ] {
            assert_eq!(markets.find(typed).unwrap_err(), sentence);
        }
        assert!(Markets::default().find("BTC-USD").unwrap_err().contains("has none"));
    }

    proptest! {
        #[test]
        fn ticks_of_a_price_give_the_same_ticks(ticks in 1..u64::MAX, tick_exponent in 0_u32..12) {
            let ticks = Ticks::new(ticks);
            let market = market("X-USD", 10_u64.pow(tick_exponent), 1);
            let price = market.price(ticks);
            prop_assume!(price != Decimal::MAX);
            prop_assert_eq!(market.ticks(price), Ok(ticks));
        }

        #[test]
        fn a_price_is_taken_only_when_it_is_exactly_its_ticks(
            mantissa in 1_i64..i64::MAX,
            scale in 0_u32..12,
            tick in 1_u64..1_000_000_000_000,
        ) {
            let market = market("X-USD", tick, 1);
            let price = Decimal::new(mantissa, scale);
            if let Ok(ticks) = market.ticks(price) {
                prop_assert_eq!(market.price(ticks).normalize(), price.normalize());
            }
        }
    }
}

//! Numbers, times and addresses for people. Amounts, rates and times are taken as messages carry
//! them, as bare integers; prices and sizes, which depend on a market, are taken in units.

use rust_decimal::Decimal;
use tidemark_proto::units::Ticks;
use tidemark_proto::v1;
use time::OffsetDateTime;

use super::{usdc, Market};

/// A number with thousands separated and `places` decimals.
#[must_use]
pub fn grouped(value: Decimal, places: u32) -> String {
    let value = value.round_dp(places);
    let value = if value.is_zero() { Decimal::ZERO } else { value };
    let text = format!("{value:.*}", places as usize);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, String::new()), |(w, f)| (w, format!(".{f}")));
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}

/// Parts per million as a percentage.
#[must_use]
pub fn percent(ppm: i64) -> String {
    format!("{} %", Decimal::new(ppm, 4))
}

/// Atoms as USDC with two decimals; JSON has all six.
#[must_use]
pub fn money(atoms: impl Into<i128>) -> String {
    grouped(usdc(atoms), 2)
}

/// Atoms as USDC with all their digits, at least two.
#[must_use]
pub fn exact_money(atoms: i64) -> String {
    let places = usdc(atoms).normalize().scale().max(2);
    grouped(usdc(atoms), places)
}

/// A price, or a dash where there is none.
#[must_use]
pub fn price_or_dash(market: &Market, ticks: Ticks) -> String {
    if ticks.is_zero() {
        "-".to_owned()
    } else {
        market.price(ticks).to_string()
    }
}

/// A price, or null where there is none.
#[must_use]
pub fn price_or_null(market: &Market, ticks: Ticks) -> Option<Decimal> {
    (!ticks.is_zero()).then(|| market.price(ticks))
}

/// The cost of a base unit of a position: `c / (q·k)` ticks. For display only.
#[must_use]
pub fn entry_price(market: &Market, position: &v1::Position) -> Decimal {
    let per_tick = Decimal::from(position.lots).checked_mul(Decimal::from(market.k.get()));
    let ticks =
        per_tick.and_then(|per_tick| Decimal::from(position.cost_atoms).checked_div(per_tick));
    let price = ticks.and_then(|ticks| ticks.checked_mul(market.tick_size));
    price.unwrap_or_default().round_dp(market.tick_size.scale())
}

/// Unix milliseconds as `2025-10-10 21:14:03 UTC`; the milliseconds where no calendar reaches.
#[must_use]
pub fn time_text(time_ms: u64) -> String {
    match utc(time_ms) {
        Some(time) => format!("{} {} UTC", time.date(), clock_text(time)),
        None => format!("{time_ms} ms"),
    }
}

/// Unix milliseconds as the time of day, `21:14:03`.
#[must_use]
pub fn clock(time_ms: u64) -> String {
    utc(time_ms).map_or_else(String::new, clock_text)
}

fn utc(time_ms: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(time_ms / 1_000).ok()?).ok()
}

fn clock_text(time: OffsetDateTime) -> String {
    let (hour, minute, second) = time.to_hms();
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// An address that fits a line: `tide1abcd…wxyz`.
#[must_use]
pub fn short(address: &str) -> String {
    match (address.get(..9), address.len().checked_sub(4).and_then(|at| address.get(at..))) {
        (Some(start), Some(end)) if address.len() > 16 => format!("{start}…{end}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidemark_proto::units::AtomsPerTickLot;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (value, places, text) in [
            ("1234567.891", 2, "1,234,567.89"),
            ("-1234.5", 2, "-1,234.50"),
            ("999", 0, "999"),
            ("-0.001", 2, "0.00"),
            ("100000", 1, "100,000.0"),
        ] {
            assert_eq!(grouped(value.parse().unwrap(), places), text);
        }
        assert_eq!(percent(100), "0.0100 %");
    }

    #[test]
    fn times_are_civil_dates() {
        for (time_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_760_130_843_999, "2025-10-10 21:14:03 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(time_text(time_ms), text);
        }
        assert_eq!(time_text(u64::MAX), "18446744073709551615 ms");
        assert_eq!(clock(1_760_130_843_999), "21:14:03");
    }

    #[test]
    fn an_entry_price_is_the_cost_of_a_base_unit() {
        let params = v1::MarketParams {
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            ..Default::default()
        };
        let market = Market::new(&params, AtomsPerTickLot::new(10));
        // 0.5 BTC short at 60 000.0: 600 000 ticks · 5 000 lots · 10 atoms.
        let position =
            v1::Position { lots: -5_000, cost_atoms: -30_000_000_000, ..Default::default() };
        assert_eq!(entry_price(&market, &position).to_string(), "60000.0");
        assert_eq!(entry_price(&market, &v1::Position::default()), Decimal::ZERO);
    }

    #[test]
    fn addresses_are_shortened_in_the_middle() {
        assert_eq!(short("tide1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5lzv7xu"), "tide1qypq…v7xu");
        assert_eq!(short("tide1x"), "tide1x");
    }
}

//! Columns for people.

use rust_decimal::Decimal;

/// Rows under a heading; columns of numbers are flush right.
pub struct Table {
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// A table whose first `left` columns are words and the others numbers.
    #[must_use]
    pub fn new(left: usize, heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()], left }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Lines of text, without a newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.left {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

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

#[cfg(test)]
mod tests {
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
    fn columns_line_up() {
        let mut table = Table::new(1, &["market", "mark"]);
        table.row(vec!["BTC-USD".into(), "60000.0".into()]);
        table.row(vec!["SOL-USD".into(), "5".into()]);
        assert_eq!(table.render(), "market      mark\nBTC-USD  60000.0\nSOL-USD        5");
    }
}

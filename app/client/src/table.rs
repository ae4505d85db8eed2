//! Tables for people, in the terminal.

use comfy_table::{presets, CellAlignment};

/// Spaces to the right of a column.
const GAP: u16 = 2;

/// Rows under a heading, without lines; columns of numbers are flush right.
pub struct Table {
    table: comfy_table::Table,
}

impl Table {
    /// A table whose first `left` columns are words and the others numbers.
    #[must_use]
    pub fn new(left: usize, heading: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_header(heading);
        for column in table.column_iter_mut() {
            let number = column.index >= left;
            column.set_padding((0, GAP));
            column.set_cell_alignment(match number {
                true => CellAlignment::Right,
                false => CellAlignment::Left,
            });
        }
        Self { table }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.table.add_row(cells);
    }

    /// Lines of text, without a newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        self.table.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(1, &["market", "mark"]);
        table.row(vec!["BTC-USD".into(), "60000.0".into()]);
        table.row(vec!["SOL-USD".into(), "5".into()]);
        assert_eq!(table.render(), "market      mark\nBTC-USD  60000.0\nSOL-USD        5");
    }

    #[test]
    fn empty_and_wide_cells_keep_the_columns() {
        let mut table = Table::new(0, &["bid", "ask"]);
        table.row(vec![String::new(), "a sentence is not wrapped".repeat(10)]);
        let lines = table.render();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(lines.starts_with("bid  "), "{lines}");
    }
}

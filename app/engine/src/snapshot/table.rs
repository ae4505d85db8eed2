//! Tables of rows as bytes: the number of slots, then each slot's row or none. Slots are written
//! with the rows, since a row's slot is its id.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::state::table::{RowId, Table, TableView};

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

pub(super) fn write_table<K: RowId, T: BorshSerialize>(
    rows: &TableView<K, T>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    rows.len().serialize(out)?;
    rows.ids().try_for_each(|id| rows.get(id).serialize(out))
}

/// Reads a table. Memory grows with the bytes read: a slot without a row takes one of them.
pub(super) fn read_table<K: RowId, T: BorshDeserialize + BorshSerialize + Clone>(
    input: &mut impl io::Read,
) -> io::Result<Table<K, T>> {
    let mut table = Table::default();
    for slot in 0..u32::deserialize_reader(input)? {
        let row = Option::<T>::deserialize_reader(input)?;
        table.push_slot(row).ok_or_else(|| invalid(format!("there is no slot {slot}")))?;
    }
    Ok(table)
}

//! First credits that are too small to make an address an owner, and wait for the rest (rules
//! §1.7).

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::Address;
use tidemark_proto::units::Atoms;

/// Most addresses that wait.
pub const MAX_WAITING: usize = 1_024;

/// An address that has been credited, and is no owner yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Row {
    address: Address,
    /// All credits so far; above 0.
    atoms: Atoms,
}

/// Waiting first credits, by address; at most [`MAX_WAITING`].
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FirstCredits(Vec<Row>);

impl FirstCredits {
    fn place(&self, address: &Address) -> Result<usize, usize> {
        self.0.binary_search_by_key(address, |row| row.address)
    }

    /// The sum that waits under an address; 0 if none does.
    #[must_use]
    pub fn of(&self, address: &Address) -> Atoms {
        let row = self.place(address).ok().and_then(|at| self.0.get(at));
        row.map_or(Atoms::ZERO, |row| row.atoms)
    }

    /// Addresses that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if no address waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who waits, by address, and the sums.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, Atoms)> {
        self.0.iter().map(|row| (&row.address, row.atoms))
    }

    /// All that waits.
    #[must_use]
    pub fn atoms(&self) -> Atoms {
        self.0.iter().fold(Atoms::ZERO, |sum, row| sum.saturating_add(row.atoms))
    }

    /// Returns true if an address waits, or may.
    pub(crate) fn has_place_for(&self, address: &Address) -> bool {
        self.0.len() < MAX_WAITING || self.place(address).is_ok()
    }

    /// Sets the sum that waits under an address; 0 takes it out. Ask
    /// [`FirstCredits::has_place_for`] first.
    pub(crate) fn set(&mut self, address: Address, atoms: Atoms) {
        match self.place(&address) {
            Ok(at) if atoms.is_zero() => {
                self.0.remove(at);
            }
            Ok(at) => {
                if let Some(row) = self.0.get_mut(at) {
                    row.atoms = atoms;
                }
            }
            Err(_) if atoms.is_zero() => {}
            Err(at) => self.0.insert(at, Row { address, atoms }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against a map.
        #[test]
        fn waiting_credits_are_those_of_a_map(
            steps in prop::collection::vec((0_u8..9, 0_i128..4), 0..60),
        ) {
            let (mut credits, mut model) = (FirstCredits::default(), BTreeMap::new());
            for (address, atoms) in steps {
                let address = Address([address; 20]);
                credits.set(address, Atoms::new(atoms));
                model.insert(address, Atoms::new(atoms));
                model.retain(|_, atoms| !atoms.is_zero());
                prop_assert_eq!(credits.atoms(), model.values().copied().sum::<Atoms>());
                prop_assert_eq!(credits.len(), model.len());
                let rows = credits.iter().map(|(address, atoms)| (*address, atoms));
                prop_assert_eq!(rows.collect::<BTreeMap<_, _>>(), model.clone());
            }
            for address in (0..9).map(|at| Address([at; 20])) {
                let expected = model.get(&address).copied().unwrap_or(Atoms::ZERO);
                prop_assert_eq!(credits.of(&address), expected);
            }
        }
    }

    #[test]
    fn there_is_an_end_of_room_but_not_for_who_waits() {
        let mut credits = FirstCredits::default();
        let address = |number: usize| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
            Address(bytes)
        };
        for number in 0..MAX_WAITING {
            assert!(credits.has_place_for(&address(number)));
            credits.set(address(number), Atoms::new(1));
        }
        assert!(
            credits.has_place_for(&address(7)) && !credits.has_place_for(&address(MAX_WAITING))
        );
        credits.set(address(7), Atoms::ZERO);
        assert!(credits.has_place_for(&address(MAX_WAITING)));
    }
}

//! A set of accounts in pages of bits: in order of id, an account for a bit where accounts lie
//! close.

use std::collections::BTreeMap;

use tidemark_proto::units::AccountId;

const WORD_BITS: u32 = 6;
const PAGE_BITS: u32 = 12;
const PAGE_WORDS: usize = 1 << (PAGE_BITS - WORD_BITS);

/// A set of accounts. A page is there while one of its accounts is.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(BTreeMap<u32, Box<[u64; PAGE_WORDS]>>);

/// Page, word and bit of an account.
fn place(id: AccountId) -> (u32, usize, u64) {
    let id = id.get();
    let word = (id >> WORD_BITS) as usize % PAGE_WORDS;
    (id >> PAGE_BITS, word, 1 << (id % (1 << WORD_BITS)))
}

impl Members {
    /// Adds an account.
    #[expect(clippy::indexing_slicing, reason = "a word's place is below the page's length")]
    pub fn insert(&mut self, id: AccountId) {
        let (page, word, bit) = place(id);
        self.0.entry(page).or_insert_with(|| Box::new([0; PAGE_WORDS]))[word] |= bit;
    }

    /// Takes an account out.
    #[expect(clippy::indexing_slicing, reason = "a word's place is below the page's length")]
    pub fn remove(&mut self, id: AccountId) {
        let (number, word, bit) = place(id);
        if let Some(page) = self.0.get_mut(&number) {
            page[word] &= !bit;
            if page[word] == 0 && page.iter().all(|word| *word == 0) {
                self.0.remove(&number);
            }
        }
    }

    /// Those of an id and above, ascending.
    pub fn iter_from(&self, from: AccountId) -> impl Iterator<Item = AccountId> + '_ {
        let (first_page, _, _) = place(from);
        let pages = self.0.range(first_page..);
        let all = pages.flat_map(|(number, page)| {
            (0_u32..).zip(page.iter()).flat_map(move |(at, word)| {
                let first = (number << PAGE_BITS) | (at << WORD_BITS);
                bits(*word).map(move |bit| AccountId::new(first | bit))
            })
        });
        // At most the rest of one page is passed over.
        all.skip_while(move |id| *id < from)
    }

    /// Bytes on the heap, the tree's own nodes aside.
    #[expect(clippy::arithmetic_side_effects, reason = "memory that exists can be counted")]
    pub fn memory_bytes(&self) -> usize {
        self.0.len() * (size_of::<[u64; PAGE_WORDS]>() + size_of::<(u32, usize)>())
    }
}

/// The set bits of a word, ascending.
fn bits(word: u64) -> impl Iterator<Item = u32> {
    let rest = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
    rest.take_while(|word| *word != 0).map(u64::trailing_zeros)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_in_order(
            steps in prop::collection::vec(
                (any::<bool>(), prop_oneof![0_u32..300, 4_000_u32..4_200, any::<u32>()]),
                0..200,
            ),
            from in prop_oneof![0_u32..300, 4_000_u32..4_200, any::<u32>()],
        ) {
            let (mut members, mut plain) = (Members::default(), BTreeSet::new());
            for (comes, id) in steps {
                let id = AccountId::new(id);
                if comes {
                    members.insert(id);
                    plain.insert(id);
                } else {
                    members.remove(id);
                    plain.remove(&id);
                }
            }
            prop_assert!(members.iter_from(AccountId::ZERO).eq(plain.iter().copied()));
            let from = AccountId::new(from);
            prop_assert!(members.iter_from(from).eq(plain.range(from..).copied()));
            let pages: BTreeSet<u32> = plain.iter().map(|id| id.get() >> PAGE_BITS).collect();
            prop_assert_eq!(members.0.len(), pages.len());
        }
    }
}

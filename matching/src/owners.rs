//! An account's live orders: the newest one, how many, and how many of them are reduce-only. In pages by account id, freed
//! when none of their accounts has an order.

use tidemark_proto::units::{AccountId, Side};

use crate::arena::NONE;

const PAGE_BITS: u32 = 8;
const PAGE_OWNERS: usize = 1 << PAGE_BITS;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Slot of the newest order, [`NONE`] without any.
    pub(crate) newest: u32,
    pub(crate) count: u32,
    /// Reduce-only ones among them, by side.
    pub(crate) reduce_only: [u32; 2],
}

const NO_ORDERS: Owner = Owner { newest: NONE, count: 0, reduce_only: [0; 2] };

#[derive(Clone, Debug)]
struct Page {
    owners: Box<[Owner; PAGE_OWNERS]>,
    /// Orders of all its accounts.
    orders: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    /// Page of each block of account ids, [`NONE`] where there is none.
    directory: Vec<u32>,
    pages: Vec<Page>,
    spare: Vec<u32>,
}

const fn locate(owner: AccountId) -> (usize, usize) {
    ((owner >> PAGE_BITS) as usize, owner as usize & (PAGE_OWNERS - 1))
}

impl Owners {
    /// The account's entry; without orders, one that says so.
    #[inline]
    pub(crate) fn get(&self, owner: AccountId) -> Owner {
        let (block, offset) = locate(owner);
        match self.directory.get(block) {
            Some(page) if *page != NONE => self.pages[*page as usize].owners[offset],
            _ => NO_ORDERS,
        }
    }

    /// Enters `slot` as the account's newest order and returns the one that was.
    pub(crate) fn push(&mut self, owner: AccountId, slot: u32, reduce_only: Option<Side>) -> u32 {
        let (block, offset) = locate(owner);
        if self.directory.len() <= block {
            self.directory.resize(block + 1, NONE);
        }
        if self.directory[block] == NONE {
            self.directory[block] = self.new_page();
        }
        let page = &mut self.pages[self.directory[block] as usize];
        page.orders += 1;
        let entry = &mut page.owners[offset];
        entry.count += 1;
        if let Some(side) = reduce_only {
            entry.reduce_only[side as usize] += 1;
        }
        std::mem::replace(&mut entry.newest, slot)
    }

    fn new_page(&mut self) -> u32 {
        self.spare.pop().unwrap_or_else(|| {
            self.pages.push(Page { owners: Box::new([NO_ORDERS; PAGE_OWNERS]), orders: 0 });
            (self.pages.len() - 1) as u32
        })
    }

    /// Takes one order off the account; `new_newest` is given when it was the newest.
    pub(crate) fn remove(&mut self, owner: AccountId, new_newest: Option<u32>, reduce_only: Option<Side>) {
        let (block, offset) = locate(owner);
        let number = self.directory[block];
        let page = &mut self.pages[number as usize];
        let entry = &mut page.owners[offset];
        entry.count -= 1;
        if let Some(slot) = new_newest {
            entry.newest = slot;
        }
        if let Some(side) = reduce_only {
            entry.reduce_only[side as usize] -= 1;
        }
        page.orders -= 1;
        if page.orders == 0 {
            self.spare.push(number);
            self.directory[block] = NONE;
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.directory.capacity() + self.spare.capacity()) * size_of::<u32>()
            + self.pages.capacity() * size_of::<Page>()
            + self.pages.len() * size_of::<[Owner; PAGE_OWNERS]>()
    }
}

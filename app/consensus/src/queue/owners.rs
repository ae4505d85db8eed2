//! All owners' queues, with what is known of all of them together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidemark_engine::state::View;
use tidemark_proto::types::{Address, DecodedTx, TxHash};

use super::dropped::{DropReason, Dropped, DroppedHashes};
use super::limits::{memory_bytes, Limits};
use super::owner::{OwnerQueue, Slot, Waiting};
use super::refusal::QueueRefusal;
use super::Origin;
use crate::journal::Recovered;

/// Owners' queues with totals and indices.
#[derive(Debug, Default)]
pub(super) struct Owners {
    pub(super) owners: BTreeMap<Address, OwnerQueue>,
    /// Owners by memory: the largest makes room.
    by_memory: BTreeSet<(usize, Address)>,
    /// Owners by turn.
    pub(super) by_turn: BTreeMap<u64, Address>,
    /// Owners by the height after which something of theirs ends.
    by_end: BTreeSet<(u64, Address)>,
    pub(super) dropped: DroppedHashes,
    /// Taken out between a block's view and [`super::TxQueue::committed`], which finds out which of
    /// them the block has.
    pub(super) overtaken: Vec<Arc<DecodedTx>>,
    /// Where each transaction waits, by its identity.
    pub(super) by_hash: BTreeMap<TxHash, (Address, Slot)>,
    /// Those that clients brought and CometBFT's mempool has not seen.
    pub(super) unoffered: BTreeSet<(Address, Slot)>,
    /// Those of the journal that are to be taken again, the first of them last.
    pub(super) recovered: Vec<Recovered>,
    pub(super) transactions: usize,
    pub(super) memory_bytes: usize,
    pub(super) gap_bytes: usize,
    next_turn: u64,
}

impl Owners {
    pub(super) fn holds(&self, tx: &DecodedTx) -> bool {
        let waiting = self.owners.get(&tx.signer).and_then(|owner| owner.get(&Slot::of(tx)));
        waiting.is_some_and(|waiting| waiting.tx.hash == tx.hash)
    }

    /// Returns true if a client of this node has brought a transaction that waits.
    pub(super) fn is_of_a_client(&self, tx: &DecodedTx) -> bool {
        let waiting = self.owners.get(&tx.signer).and_then(|owner| owner.get(&Slot::of(tx)));
        waiting.is_some_and(|it| it.tx.hash == tx.hash && it.origin == Origin::Client)
    }

    /// Notes that a transaction that waits has come once more.
    pub(super) fn comes_again(&mut self, tx: &DecodedTx, origin: Origin) {
        let slot = Slot::of(tx);
        if origin != Origin::Client {
            self.unoffered.remove(&(tx.signer, slot));
        }
        if let Some(waiting) = self.owners.get_mut(&tx.signer).and_then(|it| it.get_mut(&slot)) {
            match origin {
                Origin::Client => waiting.origin = origin,
                Origin::Mempool => waiting.is_plain = true,
                Origin::Bundle => {}
            }
        }
    }

    /// Refuses what a mempool brings again after it was dropped. A client may ask again.
    pub(super) fn refuses_again(&self, tx: &DecodedTx, origin: Origin) -> Result<(), QueueRefusal> {
        if origin != Origin::Client && self.dropped.contains(&tx.hash) {
            return Err(QueueRefusal::DroppedBefore);
        }
        Ok(())
    }

    /// Checks that there is room for a transaction that is not here.
    pub(super) fn room(
        &self,
        tx: &DecodedTx,
        view: &View,
        limits: &Limits,
    ) -> Result<(), QueueRefusal> {
        let next = view.sequence(&tx.signer).unwrap_or(0);
        let none = OwnerQueue::default();
        let owner = self.owners.get(&tx.signer).unwrap_or(&none);
        let (sequence, next_free) = (tx.sequence, owner.next_free(next));
        if owner.get(&Slot::of(tx)).is_some() {
            return Err(match tx.agent {
                Some(_) => QueueRefusal::NoncePending { nonce_ms: sequence },
                None => QueueRefusal::SequencePending { sequence, next_free },
            });
        }
        let more = memory_bytes(tx);
        let bytes = owner.memory_bytes().saturating_add(more);
        if bytes > limits.owner_bytes {
            return Err(QueueRefusal::OwnerFull { bytes, most_bytes: limits.owner_bytes });
        }
        let is_full = self.memory_bytes.saturating_add(more) > limits.bytes
            || self.transactions >= limits.transactions;
        let largest = self.by_memory.last().map_or(0, |(largest, _)| *largest);
        if is_full && bytes >= largest {
            return Err(self.full());
        }
        let fits_gap = owner.gap_bytes().saturating_add(more) <= limits.owner_gap_bytes
            && self.gap_bytes.saturating_add(more) <= limits.gap_bytes;
        if tx.agent.is_none() && sequence > next_free && !fits_gap {
            return Err(QueueRefusal::GapFull {
                sequence,
                next_free,
                waiting_bytes: owner.gap_bytes(),
                owner_bytes: limits.owner_gap_bytes,
                all_bytes: self.gap_bytes,
                most_bytes: limits.gap_bytes,
            });
        }
        Ok(())
    }

    /// Checks that the owner's allowance covers a transaction beside those that wait here.
    pub(super) fn allows(&self, tx: &DecodedTx, view: &View) -> Result<(), QueueRefusal> {
        let left = view.allowance(&tx.signer, view.chain.time_ms).unwrap_or_default();
        let waiting = self.owners.get(&tx.signer).map(OwnerQueue::draws).unwrap_or_default();
        match left.is_paid(&tx.message) {
            true => Ok(()),
            false => Ok(left.covers(tx.message.draw(), waiting)?),
        }
    }

    pub(super) fn full(&self) -> QueueRefusal {
        QueueRefusal::QueueFull { transactions: self.transactions, bytes: self.memory_bytes }
    }

    /// A transaction that was dropped, as whoever asks for it is told.
    pub(super) fn dropped_tx(&self, tx: &DecodedTx, view: &View, why: DropReason) -> Dropped {
        let next = view.sequence(&tx.signer).unwrap_or(0);
        let owner = self.owners.get(&tx.signer);
        Dropped {
            hash: tx.hash,
            number: tx.number(),
            timeout_height: tx.timeout_height,
            height: view.chain.height,
            next_free: owner.map_or(next, |owner| owner.next_free(next)),
            why,
        }
    }

    /// Drops the last transactions of the largest owners while there is too much.
    pub(super) fn make_room(&mut self, limits: &Limits) -> Vec<Waiting> {
        let mut evicted = Vec::new();
        while self.memory_bytes > limits.bytes || self.transactions > limits.transactions {
            let Some(&(_, largest)) = self.by_memory.last() else { break };
            evicted.extend(self.update(largest, OwnerQueue::drop_last));
        }
        evicted
    }

    /// An owner of whom something has ended at this height.
    pub(super) fn ended(&self, height: u64) -> Option<Address> {
        let (end, address) = *self.by_end.first()?;
        (end <= height).then_some(address)
    }

    /// Takes out the transactions of the journal that were accepted at this height or before.
    pub(super) fn recovered_of(&mut self, height: u64) -> Vec<Recovered> {
        let later = self.recovered.partition_point(|tx| tx.accepted_height > height);
        let mut due = self.recovered.split_off(later);
        due.reverse();
        due
    }

    /// Changes an owner's queue and keeps totals and indices right.
    pub(super) fn update<R>(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut OwnerQueue) -> R,
    ) -> R {
        let mut owner = match self.owners.remove(&address) {
            Some(owner) => {
                self.unlist(address, &owner);
                owner
            }
            None => OwnerQueue::with_turn(self.take_turn()),
        };
        let result = change(&mut owner);
        if !owner.is_empty() {
            self.list(address, owner);
        }
        result
    }

    fn take_turn(&mut self) -> u64 {
        let turn = self.next_turn;
        self.next_turn = self.next_turn.saturating_add(1);
        turn
    }

    pub(super) fn put_last(&mut self, address: Address) {
        let turn = self.take_turn();
        if let Some(owner) = self.owners.get_mut(&address) {
            self.by_turn.remove(&owner.turn);
            owner.turn = turn;
            self.by_turn.insert(turn, address);
        }
    }

    fn list(&mut self, address: Address, owner: OwnerQueue) {
        self.transactions = self.transactions.saturating_add(owner.len());
        self.memory_bytes = self.memory_bytes.saturating_add(owner.memory_bytes());
        self.gap_bytes = self.gap_bytes.saturating_add(owner.gap_bytes());
        self.by_memory.insert((owner.memory_bytes(), address));
        self.by_turn.insert(owner.turn, address);
        self.by_end.insert((owner.due_after(), address));
        self.owners.insert(address, owner);
    }

    fn unlist(&mut self, address: Address, owner: &OwnerQueue) {
        self.transactions = self.transactions.saturating_sub(owner.len());
        self.memory_bytes = self.memory_bytes.saturating_sub(owner.memory_bytes());
        self.gap_bytes = self.gap_bytes.saturating_sub(owner.gap_bytes());
        self.by_memory.remove(&(owner.memory_bytes(), address));
        self.by_turn.remove(&owner.turn);
        self.by_end.remove(&(owner.due_after(), address));
    }
}

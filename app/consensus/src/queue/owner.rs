//! The transactions of an owner that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::bytes::Bytes;
use tidemark_engine::state::check_timeout;
use tidemark_proto::types::{AgentKey, Class, DecodedTx, Draw, Message, TxHash};

use super::dropped::DropReason;
use super::limits::{memory_bytes, GAP_BLOCKS};
use super::Origin;

/// A transaction that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) tx: Arc<DecodedTx>,
    pub(super) bytes: Bytes,
    pub(super) bytes_hash: TxHash,
    /// Memory that it takes.
    pub(super) memory_bytes: usize,
    /// Its draw on its owner's allowance; none where it pays.
    pub(super) draw: Draw,
    /// The last block that may hold it, as far as this node goes.
    pub(super) last_height: u64,
    pub(super) origin: Origin,
    /// It came by CheckTx first: wallets and explorers look for it in the block by its hash.
    pub(super) is_plain: bool,
}

impl Waiting {
    /// A verified transaction with its bytes, which are copied: as a part of the frame that they
    /// came in they would keep all of it alive.
    pub(super) fn new(
        (tx, bytes_hash): (Arc<DecodedTx>, TxHash),
        bytes: &[u8],
        last_height: u64,
        origin: Origin,
    ) -> Self {
        let (memory_bytes, bytes) = (memory_bytes(&tx), Bytes::copy_from_slice(bytes));
        let pays = tx.message.pays_flat_fee();
        let draw = if pays { Draw::default() } else { tx.message.draw() };
        let is_plain = origin == Origin::Mempool;
        Self { tx, bytes, bytes_hash, memory_bytes, draw, last_height, origin, is_plain }
    }

    /// Reason why it ends after the block of a height.
    pub(super) fn end(&self, height: u64) -> DropReason {
        let next = height.saturating_add(1);
        match check_timeout(&self.tx, next) {
            Err(refusal) => DropReason::Refused(refusal.into()),
            Ok(()) if self.last_height <= height => DropReason::Lifetime,
            Ok(()) => DropReason::Behind,
        }
    }
}

/// The name of a transaction among its owner's: own ones by sequence, then agents' by nonce and
/// key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Own(u64),
    Agent(u64, AgentKey),
}

impl Slot {
    pub(super) fn of(tx: &DecodedTx) -> Self {
        Self::new(tx.agent, tx.sequence)
    }

    pub(super) fn new(agent: Option<AgentKey>, number: u64) -> Self {
        match agent {
            Some(key) => Self::Agent(number, key),
            None => Self::Own(number),
        }
    }
}

/// An owner's transactions: by sequence a run without a gap from the account's next sequence on,
/// which is ready for a block, and what has come before its turn; beside them those of agents, each
/// of which is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnerQueue {
    txs: BTreeMap<u64, Waiting>,
    by_agents: BTreeMap<(u64, AgentKey), Waiting>,
    /// The first sequence from the account's next one on that no transaction here has.
    first_missing: u64,
    memory_bytes: usize,
    /// The draws of all of them.
    draws: Draw,
    /// The part of `memory_bytes` that is behind `first_missing`.
    gap_bytes: usize,
    /// The last block for which what is behind `first_missing` is kept.
    gap_until: u64,
    /// The height for which agents' transactions were last looked through: what was admitted then
    /// is admitted until the next block.
    looked_at: u64,
    /// When the owner's turn is, among owners: the smallest is first.
    pub(super) turn: u64,
}

/// Returns true for a transaction that does nothing but end orders.
pub(super) fn only_cancels(waiting: &Waiting) -> bool {
    match &waiting.tx.message {
        Message::Orders { operations, .. } => {
            operations.iter().all(|operation| operation.class() == Class::Cancels)
        }
        _ => false,
    }
}

impl OwnerQueue {
    pub(super) fn with_turn(turn: u64) -> Self {
        Self { turn, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.txs.is_empty() && self.by_agents.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.txs.len().saturating_add(self.by_agents.len())
    }

    /// How many of its transactions clients of this node brought.
    pub(super) fn of_clients(&self) -> usize {
        let all = self.txs.values().chain(self.by_agents.values());
        all.filter(|waiting| waiting.origin == Origin::Client).count()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(super) fn draws(&self) -> Draw {
        self.draws
    }

    pub(super) fn gap_bytes(&self) -> usize {
        self.gap_bytes
    }

    /// The first sequence that no transaction has, here or in the chain.
    pub(super) fn next_free(&self, next: u64) -> u64 {
        self.first_missing.max(next)
    }

    pub(super) fn get(&self, slot: &Slot) -> Option<&Waiting> {
        match slot {
            Slot::Own(sequence) => self.txs.get(sequence),
            Slot::Agent(nonce_ms, key) => self.by_agents.get(&(*nonce_ms, *key)),
        }
    }

    pub(super) fn get_mut(&mut self, slot: &Slot) -> Option<&mut Waiting> {
        match slot {
            Slot::Own(sequence) => self.txs.get_mut(sequence),
            Slot::Agent(nonce_ms, key) => self.by_agents.get_mut(&(*nonce_ms, *key)),
        }
    }

    /// The next block height at which [`Self::expire`] has something to do.
    pub(super) fn due_after(&self) -> u64 {
        let all = self.txs.values().chain(self.by_agents.values());
        let lives = all.map(|waiting| waiting.last_height);
        let gap = (self.gap_bytes > 0).then_some(self.gap_until);
        lives.chain(gap).min().unwrap_or(u64::MAX)
    }

    /// Adds a transaction whose slot is free, in the block after `height`.
    pub(super) fn insert(&mut self, waiting: Waiting, height: u64) {
        let sequence = waiting.tx.sequence;
        self.memory_bytes = self.memory_bytes.saturating_add(waiting.memory_bytes);
        self.draws = self.draws.and(waiting.draw);
        if let Some(key) = waiting.tx.agent {
            self.by_agents.insert((sequence, key), waiting);
            return;
        }
        if self.gap_bytes == 0 {
            self.gap_until = height.saturating_add(GAP_BLOCKS);
        }
        self.gap_bytes = self.gap_bytes.saturating_add(waiting.memory_bytes);
        self.txs.insert(sequence, waiting);
        self.close_gap(self.first_missing, height);
    }

    /// Takes out what is below the account's next sequence, and what an agent signed that is not
    /// admitted any more.
    pub(super) fn advance(
        &mut self,
        next: u64,
        height: u64,
        admits: impl Fn(&DecodedTx) -> bool,
    ) -> Vec<Waiting> {
        let by_agents = match self.looked_at == height {
            true => Vec::new(),
            false => self.drop_by_agents(|waiting| !admits(&waiting.tx)),
        };
        self.looked_at = height;
        let rest = self.txs.split_off(&next);
        let gone = std::mem::replace(&mut self.txs, rest);
        let first_missing = self.first_missing;
        for (sequence, waiting) in &gone {
            self.forget(waiting, *sequence >= first_missing);
        }
        self.first_missing = first_missing.max(next);
        self.close_gap(first_missing, height);
        gone.into_values().chain(by_agents).collect()
    }

    /// Takes out of what agents signed the transactions that a test names.
    fn drop_by_agents(&mut self, is_gone: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let slots = self.by_agents.iter().filter(|(_, waiting)| is_gone(waiting));
        let slots: Vec<_> = slots.map(|(slot, _)| *slot).collect();
        let gone: Vec<_> = slots.iter().filter_map(|slot| self.by_agents.remove(slot)).collect();
        gone.iter().for_each(|waiting| self.forget(waiting, false));
        gone
    }

    /// Takes out what may not be in the block after `height`, and of the owner's own everything
    /// behind it: from the first transaction whose life is over, or from the gap if that has lasted
    /// too long.
    pub(super) fn expire(&mut self, height: u64) -> Vec<Waiting> {
        let mut gone = self.drop_by_agents(|waiting| waiting.last_height <= height);
        let ended = self.txs.iter().find(|(_, waiting)| waiting.last_height <= height);
        let ended = ended.map(|(sequence, _)| *sequence);
        let gap = (self.gap_bytes > 0 && self.gap_until <= height).then_some(self.first_missing);
        if let Some(from) = ended.into_iter().chain(gap).min() {
            gone.extend(self.drop_from(from));
        }
        gone
    }

    /// Takes out the last transaction, one of an agent first.
    pub(super) fn drop_last(&mut self) -> Option<Waiting> {
        if let Some((_, waiting)) = self.by_agents.pop_last() {
            self.forget(&waiting, false);
            return Some(waiting);
        }
        let (&last, _) = self.txs.last_key_value()?;
        self.drop_from(last).pop()
    }

    /// Takes out a transaction and everything behind it.
    fn drop_from(&mut self, from: u64) -> Vec<Waiting> {
        let gone = self.txs.split_off(&from);
        let first_missing = self.first_missing;
        for (sequence, waiting) in &gone {
            self.forget(waiting, *sequence >= first_missing);
        }
        self.first_missing = self.first_missing.min(from);
        gone.into_values().collect()
    }

    /// The transactions that may be in the next block, those of agents that only end orders first;
    /// the owner's own in order, from the account's next sequence on, as long as they are admitted.
    pub(super) fn ready<'a, A>(
        &'a self,
        next: u64,
        admits: A,
    ) -> impl Iterator<Item = &'a Waiting> + use<'a, A>
    where
        A: Fn(&&'a Waiting) -> bool + Copy + 'a,
    {
        let from_next = self.txs.range(next..);
        let run = (next..).zip(from_next).take_while(|(at, (sequence, _))| at == *sequence);
        let own = run.map(|it| it.1 .1).take_while(admits);
        let by_agents = |cancels: bool| {
            let all = self.by_agents.values();
            // In this order: what is admitted has drawn on the allowance of what comes behind it.
            all.filter(move |waiting| only_cancels(waiting) == cancels).filter(admits)
        };
        by_agents(true).chain(own).chain(by_agents(false))
    }

    fn forget(&mut self, waiting: &Waiting, behind_gap: bool) {
        self.memory_bytes = self.memory_bytes.saturating_sub(waiting.memory_bytes);
        self.draws = self.draws.less(waiting.draw);
        if behind_gap {
            self.gap_bytes = self.gap_bytes.saturating_sub(waiting.memory_bytes);
        }
    }

    /// Moves `first_missing`, which was at `before`, beyond what is there. A gap that stays behind
    /// it is a new one if it moves.
    fn close_gap(&mut self, before: u64, height: u64) {
        while let Some(waiting) = self.txs.get(&self.first_missing) {
            self.gap_bytes = self.gap_bytes.saturating_sub(waiting.memory_bytes);
            self.first_missing = self.first_missing.saturating_add(1);
        }
        if self.first_missing != before {
            self.gap_until = height.saturating_add(GAP_BLOCKS);
        }
    }
}

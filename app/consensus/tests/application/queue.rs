//! The queue of transactions, and the incidents in which some kept all others waiting.

use std::sync::{Arc, Mutex};

use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestCheckTx, RequestFinalizeBlock, RequestPrepareProposal,
};
use tidemark_consensus::block_txs::BlockTxs;
use tidemark_consensus::journal::Journal;
use tidemark_consensus::queue::{
    DropSink, Dropped, Limits, Origin, GAP_BLOCKS, TX_LIFETIME_BLOCKS,
};
use tidemark_proto::Code;

use super::rig::{history, DecidedBlock, Rig, INDEX};
use super::traffic::{heavy, of_a_stranger, signed, Trade};

/// A chain whose traders have collateral, and the block after it.
struct Chain {
    rig: Rig,
    last: DecidedBlock,
    height: i64,
}

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Dropped>>);

impl DropSink for Told {
    fn dropped(&self, dropped: Vec<Dropped>) {
        self.0.lock().expect("nobody panics").extend(dropped);
    }
}

impl Told {
    /// Sequences and sentences, since it was last asked.
    fn take(&self) -> Vec<(u64, String)> {
        let told = std::mem::take(&mut *self.0.lock().expect("nobody panics"));
        told.iter().map(|it| (it.number.number, it.refusal().to_string())).collect()
    }
}

impl Chain {
    fn new(limits: Limits) -> Self {
        Self::of(Rig::with_limits(1, INDEX, limits))
    }

    /// A chain whose queue tells what it drops.
    fn telling(limits: Limits) -> (Self, Arc<Told>) {
        let told = Arc::new(Told::default());
        let sink: Arc<dyn DropSink> = told.clone();
        (Self::of(Rig::with_drops(limits, sink)), told)
    }

    fn of(rig: Rig) -> Self {
        let decided = history(&[]);
        for block in &decided {
            rig.finalize(&block.block);
            rig.node.commit();
        }
        let last = decided[decided.len() - 1].clone();
        let height = last.block.height;
        Self { rig, last, height }
    }

    /// The senders' transactions of this node's next proposal, those of its list first.
    fn proposal(&self) -> Vec<Bytes> {
        let request = RequestPrepareProposal {
            txs: Vec::new(),
            height: self.height + 1,
            ..self.last.prepare.clone()
        };
        let txs = self.rig.node.prepare_proposal(request).txs;
        BlockTxs::read(self.height.unsigned_abs() + 1, &txs).txs
    }

    /// Carries out a block of these transactions, whoever proposed it.
    fn block(&mut self, txs: &[Bytes]) {
        self.height += 1;
        let mut all = vec![self.last.block.txs[0].clone()];
        all.extend_from_slice(txs);
        let hash = vec![u8::try_from(self.height).unwrap_or(0); 32].into();
        let block =
            RequestFinalizeBlock { txs: all, height: self.height, hash, ..self.last.block.clone() };
        self.rig.finalize(&block);
        self.rig.node.commit();
    }

    fn recheck(&self, tx: &Bytes) -> bool {
        let request = RequestCheckTx { tx: tx.clone(), r#type: CheckTxType::Recheck as i32 };
        self.rig.node.check_tx(request).code == 0
    }

    fn knows(&self, tx: &Bytes) -> bool {
        self.rig.cache.knows(&Sha256::digest(tx).into())
    }

    fn code(&self, tx: &Bytes) -> Code {
        Code::from_number(self.rig.check(tx)).expect("a code of ours")
    }
}

fn order(trader: usize, sequence: u64) -> Bytes {
    signed(Trade::new(trader, true, -30, 1), sequence, 0)
}

/// Two accounts, each with 63 transactions behind a sequence that it never sent, stopped all
/// trading for good: they were the oldest in every mempool.
#[test]
fn n1_126_gapped_transactions_of_two_accounts_and_an_honest_order_is_in_the_next_block() {
    let mut chain = Chain::new(Limits::default());
    let gapped: Vec<Bytes> =
        (1..64).flat_map(|sequence| [heavy(1, sequence), heavy(2, sequence)]).collect();
    let bytes: usize = gapped.iter().map(Bytes::len).sum();
    assert!(bytes > 4 << 20, "{bytes} bytes: more than a block");
    let taken = gapped.iter().filter(|tx| chain.code(tx) == Code::Ok).count();
    assert!((2..64).contains(&taken), "{taken}: some may wait, within a bound by owner");
    let honest = order(0, 0);
    assert_eq!(chain.code(&honest), Code::Ok);
    assert_eq!(chain.proposal(), std::slice::from_ref(&honest));
    chain.block(&[honest]);
    assert!(gapped.iter().any(|tx| chain.recheck(tx)));
    for _ in 0..GAP_BLOCKS {
        chain.block(&[]);
    }
    assert!(!gapped.iter().any(|tx| chain.recheck(tx)), "the mempool is rid of them");
    assert_eq!(chain.rig.queue.size(), (0, 0));
    // What was refused once stays refused, whichever node gossips it again.
    assert_eq!(chain.code(&gapped[0]), Code::TxExpired);
}

#[test]
fn sequences_that_come_in_any_order_are_in_one_block() {
    let chain = Chain::new(Limits::default());
    for sequence in [3, 1, 0, 2] {
        assert_eq!(chain.code(&order(0, sequence)), Code::Ok);
    }
    assert_eq!(chain.proposal().len(), 4);
}

#[test]
fn a_second_transaction_with_a_waiting_sequence_is_refused_with_the_next_free_one() {
    let chain = Chain::new(Limits::default());
    assert_eq!(chain.code(&order(0, 0)), Code::Ok);
    assert_eq!(chain.code(&order(0, 1)), Code::Ok);
    assert_eq!(chain.code(&order(0, 0)), Code::Ok, "the same bytes");
    let other = signed(Trade::new(0, true, -30, 2), 0, 0);
    let request = RequestCheckTx { tx: other, ..Default::default() };
    let answer = chain.rig.node.check_tx(request);
    assert_eq!(answer.code, Code::SequencePending.number());
    assert!(answer.log.ends_with("the next free one is 2"), "{}", answer.log);
}

/// An account with cancels of unknown orders, 64 KiB each, filled block after block.
#[test]
fn h4_an_account_that_fills_the_queue_leaves_each_other_its_turn() {
    let mut chain = Chain::new(Limits::default());
    let flood: Vec<Bytes> = (0..64).map(|sequence| heavy(1, sequence)).collect();
    let waiting = flood.iter().filter(|tx| chain.code(tx) == Code::Ok).count();
    assert!(waiting > 20, "{waiting} wait");
    assert_eq!(chain.code(&order(0, 0)), Code::Ok);
    let proposal = chain.proposal();
    assert!(proposal.contains(&order(0, 0)));
    assert!(proposal.len() < waiting, "the test's blocks hold 1 MB");
    chain.block(&proposal);
    assert_eq!(chain.code(&order(2, 0)), Code::Ok);
    assert!(chain.proposal().contains(&order(2, 0)));
}

/// A stranger without an account filled 3.6 GB of memory: what it sent was verified and kept before
/// its account was looked at.
#[test]
fn m1_unknown_signers_leave_nothing_behind_and_push_nothing_out() {
    let chain = Chain::new(Limits::default());
    let known = order(0, 0);
    assert_eq!(chain.code(&known), Code::Ok);
    let before = chain.rig.queue.size();
    for number in 0..200 {
        let tx = of_a_stranger(number);
        assert_eq!(chain.code(&tx), Code::UnknownAccount);
        assert!(!chain.knows(&tx));
    }
    assert!(chain.knows(&known));
    assert_eq!(chain.rig.queue.size(), before);
}

#[test]
fn m1_a_full_queue_makes_room_at_the_cost_of_whoever_has_most() {
    let limits = Limits { transactions: 10, ..Limits::default() };
    let chain = Chain::new(limits);
    for sequence in 0..10 {
        assert_eq!(chain.code(&order(1, sequence)), Code::Ok);
    }
    assert_eq!(chain.code(&order(1, 10)), Code::Overloaded, "its own would go");
    for sequence in 0..4 {
        assert_eq!(chain.code(&order(0, sequence)), Code::Ok);
    }
    assert_eq!(chain.rig.queue.size().0, 10);
    assert!(chain.recheck(&order(1, 5)) && !chain.recheck(&order(1, 6)), "the last ones went");
    assert!((0..4).all(|sequence| chain.recheck(&order(0, sequence))));
}

#[test]
fn a_transaction_lives_50_blocks_on_a_node_or_to_its_timeout_height() {
    let mut chain = Chain::new(Limits::default());
    let timed = signed(Trade::new(1, true, -30, 1), 0, chain.height.unsigned_abs() + 3);
    let behind = order(1, 1);
    assert_eq!((chain.code(&order(0, 0)), chain.code(&timed)), (Code::Ok, Code::Ok));
    assert_eq!(chain.code(&behind), Code::Ok);
    for left in (0..TX_LIFETIME_BLOCKS).rev() {
        chain.block(&[]);
        assert_eq!(chain.recheck(&order(0, 0)), left > 0);
        let lives = left + 3 > TX_LIFETIME_BLOCKS;
        assert_eq!((chain.recheck(&timed), chain.recheck(&behind)), (lives, lives), "{left}");
    }
    assert_eq!(chain.code(&order(0, 0)), Code::TxExpired);
}

#[test]
fn who_loses_a_race_for_a_sequence_waits_no_longer() {
    let mut chain = Chain::new(Limits::default());
    let (mine, other) = (order(0, 0), signed(Trade::new(0, true, -30, 2), 0, 0));
    assert_eq!(chain.code(&mine), Code::Ok);
    assert_eq!(chain.code(&order(0, 1)), Code::Ok);
    chain.block(&[other]);
    assert!(!chain.recheck(&mine) && chain.recheck(&order(0, 1)));
    assert_eq!(chain.proposal(), [order(0, 1)]);
}

#[test]
fn what_was_accepted_is_in_a_block_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Journal::open(folder.path()).expect("a journal");
    let decided = history(&[]);
    let (journal, recovered) = open();
    let rig = Rig::with_journal(1, INDEX, journal, recovered);
    let replay = |rig: &Rig, blocks: &[DecidedBlock]| {
        for block in blocks {
            rig.finalize(&block.block);
            rig.node.commit();
        }
    };
    replay(&rig, &decided);
    for sequence in [1, 0] {
        rig.queue.offer(&order(0, sequence), Origin::Client).expect("it is accepted");
    }
    // From a peer: it is not this node's to keep.
    assert_eq!(rig.check(&order(1, 0)), 0);
    // SIGKILL: nothing is closed.
    std::mem::forget(rig);
    let (journal, recovered) = open();
    let rig = Rig::with_journal(1, INDEX, journal, recovered);
    let (last, before) = decided.split_last().expect("a block");
    replay(&rig, before);
    assert_eq!(rig.queue.size().0, 0, "not before the node has the blocks of that time");
    replay(&rig, std::slice::from_ref(last));
    let chain = Chain { rig, last: last.clone(), height: last.block.height };
    assert_eq!(chain.proposal(), [order(0, 0), order(0, 1)]);
    assert_eq!(chain.rig.queue.unoffered(10).len(), 2);
}

#[test]
fn what_ends_in_the_queue_is_told_with_the_next_free_sequence_and_so_is_all_behind_it() {
    let (mut chain, told) = Chain::telling(Limits::default());
    let start = chain.height.unsigned_abs();
    let timed = signed(Trade::new(0, true, -30, 1), 1, start + 2);
    for tx in [order(0, 0), timed, order(0, 2), order(1, 3)] {
        assert_eq!(chain.code(&tx), Code::Ok);
    }
    chain.block(&[]);
    assert!(told.take().is_empty());
    chain.block(&[]);
    let height = start + 2;
    let behind = format!(
        "TX_DROPPED: this node dropped it at block {height}: it waits no longer for the sequences \
         before it; another node may have it, up to the use of sequence 2; the next free sequence \
         is 1"
    );
    let late = format!(
        "TX_EXPIRED: timeout height {height}, the next block is {}; the next free sequence is 1",
        height + 1
    );
    assert_eq!(told.take(), [(1, late), (2, behind)]);
    for _ in 2..GAP_BLOCKS {
        assert!(told.take().is_empty());
        chain.block(&[]);
    }
    let gap = told.take();
    assert!(gap[0].1.ends_with("the use of sequence 3; the next free sequence is 0"), "{gap:?}");
    for _ in GAP_BLOCKS..TX_LIFETIME_BLOCKS {
        assert!(told.take().is_empty());
        chain.block(&[]);
    }
    let old = told.take();
    assert!(old[0].1.contains("it has waited for 50 blocks; another node may have it"), "{old:?}");
    assert_eq!((old.len(), chain.rig.queue.size()), (1, (0, 0)));
}

#[test]
fn who_loses_a_sequence_or_makes_room_is_told_and_what_a_block_has_is_not() {
    let limits = Limits { transactions: 4, ..Limits::default() };
    let (mut chain, told) = Chain::telling(limits);
    let other = signed(Trade::new(0, true, -30, 2), 0, 0);
    for tx in [order(0, 0), order(0, 1)] {
        assert_eq!(chain.code(&tx), Code::Ok);
    }
    chain.block(&[other]);
    let lost = told.take();
    let sentence =
        "SEQUENCE_REPLAYED: sequence 0, the account is at 1; the next free sequence is 2";
    assert_eq!(lost, [(0, sentence.to_owned())]);
    chain.block(&[order(0, 1)]);
    assert!(told.take().is_empty());
    for tx in [order(0, 2), order(0, 3), order(0, 4), order(1, 0)] {
        assert_eq!(chain.code(&tx), Code::Ok);
    }
    assert!(told.take().is_empty());
    assert_eq!(chain.code(&order(1, 1)), Code::Ok);
    let evicted = told.take();
    assert_eq!(evicted.len(), 1);
    assert!(
        evicted[0].0 == 4 && evicted[0].1.ends_with("the next free sequence is 4"),
        "{evicted:?}"
    );
}

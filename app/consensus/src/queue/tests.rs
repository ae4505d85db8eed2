//! The parts of the queue beside naive models.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tidemark_engine::admission::tx_bytes;
use tidemark_proto::types::{AgentKey, CancelBy, Message, Operation};
use tidemark_proto::units::{MarketId, OrderId};

use super::owner::OwnerQueue;
use super::*;

/// An owner's transaction of a size, with so much gas; `cancels` or is a message without orders.
fn tx(owner: u8, sequence: u64, size: usize, gas_limit: u64, cancels: bool) -> Arc<DecodedTx> {
    let message = if cancels {
        let order = CancelBy::Order(OrderId::new(1));
        let operations = vec![Operation::Cancel { market: MarketId::new(0), order }];
        Message::Orders { subaccount: 0, operations, all_or_none: false, pays_flat_fee: false }
    } else {
        Message::TakeBackWithdrawal { subaccount: 0 }
    };
    let mut hash = [owner; 32];
    hash[..8].copy_from_slice(&sequence.to_le_bytes());
    let signer = Address([owner; 20]);
    Arc::new(DecodedTx {
        hash,
        signer,
        agent: None,
        sequence,
        timeout_height: 0,
        gas_limit,
        message,
        size,
    })
}

fn waiting(tx: Arc<DecodedTx>, last_height: u64) -> Waiting {
    let bytes_hash = tx.hash;
    Waiting::new((tx, bytes_hash), &[], last_height, Origin::Mempool)
}

/// A change of one owner's transactions.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A transaction with this sequence comes, if none waits, and may wait so many blocks.
    Come(u64, u64),
    /// A block uses so many sequences.
    Block(u64),
    /// The last transaction makes room.
    DropLast,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u64, 1..30_u64).prop_map(|(sequence, life)| Step::Come(sequence, life)),
        3 => (0..4_u64).prop_map(Step::Block),
        1 => Just(Step::DropLast),
    ]
}

/// By the letter: sequences with the heights up to which they wait.
#[derive(Default)]
struct Model {
    txs: BTreeMap<u64, u64>,
    next: u64,
    height: u64,
    /// The missing sequence, and since when something waits behind it.
    gap: Option<(u64, u64)>,
}

impl Model {
    fn first_missing(&self) -> u64 {
        (self.next..).find(|at| !self.txs.contains_key(at)).unwrap_or(u64::MAX)
    }

    fn gap_of(&self) -> Option<u64> {
        let missing = self.first_missing();
        self.txs.range(missing..).next().map(|_| missing)
    }

    fn note_gap(&mut self) {
        self.gap = match (self.gap_of(), self.gap) {
            (Some(missing), Some((before, since))) if missing == before => Some((missing, since)),
            (Some(missing), _) => Some((missing, self.height)),
            (None, _) => None,
        };
    }
}

proptest! {
    #[test]
    fn an_owner_s_transactions_wait_as_the_letter_says(steps in vec(step(), 1..60)) {
        let (mut owner, mut model) = (OwnerQueue::default(), Model::default());
        for step in steps {
            match step {
                Step::Come(ahead, life) => {
                    let sequence = model.next + ahead;
                    if !model.txs.contains_key(&sequence) {
                        let last_height = model.height + life;
                        let come = waiting(tx(1, sequence, 100, 1, false), last_height);
                        owner.insert(come, model.height);
                        model.txs.insert(sequence, last_height);
                    }
                }
                Step::Block(used) => {
                    model.height += 1;
                    model.next += used;
                    owner.advance(model.next, model.height, |_| true);
                    model.txs = model.txs.split_off(&model.next);
                    model.note_gap();
                    let height = model.height;
                    let ended = model.txs.iter().find(|(_, last)| **last <= height);
                    let gap = model.gap.filter(|(_, since)| since + GAP_BLOCKS <= height);
                    let from = ended.map(|it| *it.0).into_iter().chain(gap.map(|it| it.0)).min();
                    let due = owner.due_after() <= height;
                    let gone = owner.expire(height).len();
                    prop_assert_eq!(gone > 0, due);
                    let expected = from.map_or(0, |from| model.txs.split_off(&from).len());
                    prop_assert_eq!(gone, expected);
                }
                Step::DropLast => {
                    let last = owner.drop_last().map(|waiting| waiting.tx.sequence);
                    prop_assert_eq!(last, model.txs.pop_last().map(|it| it.0));
                }
            }
            model.note_gap();
            let missing = model.first_missing();
            prop_assert_eq!(owner.next_free(model.next), missing);
            let ready = owner.ready(model.next, |_| true).map(|it| it.tx.sequence);
            let ready: Vec<u64> = ready.collect();
            prop_assert_eq!(ready, (model.next..missing).collect::<Vec<_>>());
            prop_assert_eq!(owner.len(), model.txs.len());
            let memory = |sequences: usize| sequences * memory_bytes(&tx(1, 0, 100, 1, false));
            prop_assert_eq!(owner.memory_bytes(), memory(model.txs.len()));
            prop_assert_eq!(owner.gap_bytes(), memory(model.txs.range(missing..).count()));
        }
    }

    /// Within the block's bounds, each owner's from its first on; nothing that fits is left out.
    #[test]
    fn a_block_is_filled_with_owners_runs(
        owners in vec(vec((1..60_000_usize, 1..40_000_u64, any::<bool>()), 0..12), 0..12),
        bytes in 1_000..600_000_u64,
        gas in 1_000..400_000_u64,
    ) {
        let owners: Vec<Vec<Waiting>> = (0_u8..)
            .zip(owners)
            .map(|(owner, txs)| {
                let tx = |(at, (size, gas, cancels))| waiting(tx(owner, at, size, gas, cancels), 9);
                (0..).zip(txs).map(tx).collect()
            })
            .collect();
        let budget = BlockBudget { bytes, gas };
        let chosen = turns::choose(owners.iter().map(|owner| owner.iter()), budget);
        let size = |it: &Waiting| tx_bytes(it.tx.size);
        let used: u64 = chosen.iter().map(|it| size(it)).sum();
        let burnt: u64 = chosen.iter().map(|it| it.tx.gas_limit).sum();
        prop_assert!(used <= bytes && burnt <= gas);
        for (owner, txs) in (0_u8..).zip(&owners) {
            let is_of = |it: &&&Waiting| it.tx.signer.0[0] == owner;
            let part: Vec<&&Waiting> = chosen.iter().filter(is_of).collect();
            let sequences: Vec<u64> = part.iter().map(|it| it.tx.sequence).collect();
            prop_assert_eq!(&sequences, &(0..part.len() as u64).collect::<Vec<_>>());
            let Some(left) = txs.get(part.len()) else { continue };
            let fits = used + size(left) <= bytes && burnt + left.tx.gas_limit <= gas;
            prop_assert!(!fits, "what fits is not left out");
        }
    }
}

#[test]
fn owners_who_could_fill_many_blocks_leave_each_other_a_turn() {
    let flood = |owner: u8| -> Vec<Waiting> {
        (0..64).map(|at| waiting(tx(owner, at, 60_000, 90_000_000, false), 9)).collect()
    };
    let mut owners: Vec<Vec<Waiting>> = (0..200).map(flood).collect();
    owners.push(vec![waiting(tx(255, 0, 300, 30_000, false), 9)]);
    owners.push(vec![waiting(tx(254, 0, 300, 30_000, true), 9)]);
    let budget = BlockBudget { bytes: 4 << 20, gas: 100_000_000 };
    let chosen = turns::choose(owners.iter().map(|owner| owner.iter()), budget);
    let of = |owner: u8| chosen.iter().position(|it| it.tx.signer.0[0] == owner);
    assert!(of(255).is_some());
    assert_eq!(of(254), Some(0), "cancels first");
}

fn by_agent(nonce_ms: u64, cancels: bool, last_height: u64) -> Waiting {
    let agent = Some(AgentKey::Ed25519([7; 32]));
    let tx = DecodedTx { agent, ..(*tx(1, nonce_ms, 100, 1, cancels)).clone() };
    waiting(Arc::new(tx), last_height)
}

#[test]
fn rules_10_what_agents_sign_is_ready_in_any_order_and_goes_one_by_one() {
    let mut owner = OwnerQueue::default();
    let numbers = |gone: Vec<Waiting>| gone.iter().map(|it| it.tx.sequence).collect::<Vec<_>>();
    for waiting in [
        by_agent(30, false, 50),
        by_agent(20, true, 50),
        by_agent(10, false, 8),
        by_agent(40, false, 50),
        waiting(tx(1, 0, 100, 1, false), 50),
        // Behind a gap.
        waiting(tx(1, 2, 100, 1, false), 50),
    ] {
        owner.insert(waiting, 1);
    }
    let ready: Vec<u64> = owner.ready(0, |_| true).map(|it| it.tx.sequence).collect();
    assert_eq!(ready, [20, 0, 10, 30, 40], "cancels of agents come first");
    assert_eq!(owner.next_free(0), 1, "an agent uses no sequence");
    assert_eq!(owner.due_after(), 8);
    assert_eq!(numbers(owner.expire(8)), [10], "and holds back no other");
    assert_eq!(numbers(owner.advance(1, 8, |tx| tx.sequence != 30)), [0, 30]);
    let again = owner.advance(1, 8, |_| panic!("what is admitted is looked at once a block"));
    assert!(again.is_empty());
    assert_eq!(numbers(owner.drop_last().into_iter().collect()), [40]);
    assert_eq!(owner.len(), 2);
    let left = owner.memory_bytes();
    assert_eq!(left - owner.gap_bytes(), by_agent(20, true, 50).memory_bytes);
    assert_eq!(numbers(owner.expire(50)), [20, 2]);
    assert_eq!((owner.is_empty(), owner.memory_bytes()), (true, 0));
}

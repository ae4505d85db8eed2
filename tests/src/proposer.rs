//! A simple proposer for histories without CometBFT: what a node's queue chooses from is not kept
//! from one block to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemark_engine::admission::{tx_bytes, BlockBudget};
use tidemark_proto::types::{Address, DecodedTx};

/// Chooses transactions for a block from those in the mempool, in arrival order.
///
/// Of each account it takes the run of sequences from `next_sequence(account)` on, as far as the
/// budget reaches and `allows` says yes; the others wait for a later block, and agents' are not
/// looked at. Returns
/// indices into `txs`, accounts in the order of their first arrival, each one's transactions by
/// sequence.
pub fn select(
    txs: &[Arc<DecodedTx>],
    mut budget: BlockBudget,
    next_sequence: impl Fn(&Address) -> Option<u64>,
    mut allows: impl FnMut(&DecodedTx) -> bool,
) -> Vec<usize> {
    let mut by_account: BTreeMap<Address, Vec<usize>> = BTreeMap::new();
    let mut arrival: Vec<Address> = Vec::new();
    for (index, tx) in txs.iter().enumerate().filter(|(_, tx)| tx.agent.is_none()) {
        let queue = by_account.entry(tx.signer).or_default();
        if queue.is_empty() {
            arrival.push(tx.signer);
        }
        queue.push(index);
    }
    let mut chosen: Vec<usize> = Vec::new();
    for account in arrival {
        let (Some(mut next), Some(mut queue)) =
            (next_sequence(&account), by_account.remove(&account))
        else {
            continue;
        };
        queue.sort_by_key(|&index| txs[index].sequence);
        for index in queue {
            let tx = &txs[index];
            if tx.sequence < next {
                continue;
            }
            let (size, gas) = (tx_bytes(tx.size), tx.gas_limit);
            let fits = size <= budget.bytes && gas <= budget.gas;
            if tx.sequence > next || !fits || !allows(tx) {
                break;
            }
            budget.bytes -= size;
            budget.gas -= gas;
            next += 1;
            chosen.push(index);
        }
    }
    chosen
}

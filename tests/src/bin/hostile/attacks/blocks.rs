//! Full blocks of right transactions that nobody but the proposer has seen.

use std::sync::Arc;

use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::types::gas;
use tidemark_proto::v1;
use tidemark_tests::byzantine::unseen::UnseenBlocks;
use tokio::task::JoinSet;

use super::{least_gas, owners, unknown_cancel, Attacker, PAUSE};

/// Blocks that wait for their proposer, at most.
const AHEAD: usize = 3;
/// Gas of a block.
const BLOCK_GAS: u64 = 100_000_000;
/// Gas of a transaction: the smallest there is, so that a block has as many signatures as it can.
const TX_GAS: u64 = least_gas(gas::CANCEL + 2 * gas::TRY, 1);

/// Signs blocks, as fast as the share lets it, and writes them into the proposer's home.
pub fn unseen(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    let attacker = Arc::clone(attacker);
    tasks.spawn(async move {
        let blocks = UnseenBlocks::of(&attacker.plan.home);
        let names = owners("unseen blocks");
        let signers: Vec<Signer> = names.iter().map(|name| attacker.signer(name)).collect();
        let each = BLOCK_GAS / TX_GAS / signers.len() as u64;
        let mut number = 0;
        while attacker.goes_on() {
            if blocks.waiting() >= AHEAD {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let mut txs = Vec::new();
            for signer in &signers {
                let sequences = number * each..(number + 1) * each;
                txs.extend(sequences.filter_map(|sequence| cancel(signer, sequence)));
                // The process tells its counts meanwhile.
                tokio::task::yield_now().await;
            }
            attacker.tally.sent();
            match blocks.write(number, &txs) {
                Ok(()) => number += 1,
                Err(error) => {
                    eprintln!("cannot write a block: {error}");
                    return;
                }
            }
        }
    });
}

fn cancel(signer: &Signer, sequence: u64) -> Option<Vec<u8>> {
    let operation = v1::Operation { operation: Some(unknown_cancel()) };
    let message = v1::MsgOrders { operations: vec![operation], ..Default::default() };
    let options = TxOptions { sequence, gas_limit: Some(TX_GAS), ..TxOptions::default() };
    signer.sign(message, options).ok()
}

//! A full peer that is no validator, and hands the others the same transactions for ever.

use std::collections::VecDeque;
use std::sync::Arc;

use tidemark_comet::rpc_client::RpcClient;
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::v1;
use tidemark_tests::harness::{limit, place};
use tokio::task::JoinSet;

use super::{owners, Attacker};

/// Transactions that a task goes on repeating: the last so many.
const KEPT: usize = 256;
/// Repeats of old ones for each new one.
const REPEATS: usize = 64;

/// New transactions, each through the peer alone; then those that are in blocks already, again and
/// again, as they are or signed anew. One in 16 goes to an honest node's CometBFT itself, which
/// tells the code.
pub fn repeats(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    for (task, name) in owners("repeats of a peer").into_iter().enumerate() {
        let attacker = Arc::clone(attacker);
        tasks.spawn(async move {
            let Ok(peer) = RpcClient::new(&attacker.plan.peer) else { return };
            let repeater = Repeater { signer: attacker.signer(&name), attacker, peer, task };
            let Some(mut sequence) = repeater.next_sequence().await else { return };
            let mut kept = VecDeque::new();
            while repeater.attacker.goes_on() {
                let Some(tx) = repeater.sign(sequence, 0) else { return };
                repeater.send(&repeater.peer, &tx).await;
                kept.push_back((sequence, tx));
                if kept.len() > KEPT {
                    kept.pop_front();
                }
                repeater.repeat(&mut kept).await;
                sequence = repeater.next_sequence().await.unwrap_or(sequence + 1);
            }
        });
    }
}

struct Repeater {
    attacker: Arc<Attacker>,
    peer: RpcClient,
    signer: Signer,
    task: usize,
}

impl Repeater {
    async fn next_sequence(&self) -> Option<u64> {
        self.attacker.next_sequence(&self.signer).await
    }

    /// An order far from the mark; another salt makes other bytes.
    fn sign(&self, sequence: u64, salt: u64) -> Option<Vec<u8>> {
        let price = self.attacker.plan.mark_ticks * 9 / 10;
        let operation = place(limit(0, v1::Side::Buy, price, 1)).into();
        let message = v1::MsgOrders { operations: vec![operation], ..Default::default() };
        let options = TxOptions { sequence, salt, ..TxOptions::default() };
        self.signer.sign(message, options).ok()
    }

    async fn send(&self, comet: &RpcClient, tx: &[u8]) {
        self.attacker.tally.sent();
        self.attacker.tally.broadcast(comet.broadcast_tx_sync(tx).await);
    }

    async fn repeat(&self, kept: &mut VecDeque<(u64, Vec<u8>)>) {
        for turn in 1..=REPEATS {
            let Some((sequence, tx)) = kept.pop_front() else { return };
            let honest = self.attacker.comet(self.task);
            let comet = if turn % 16 == 0 { honest } else { &self.peer };
            if turn % 2 == 0 {
                let salt = self.attacker.number(&format!("repeat {}", self.task), sequence);
                let Some(tx) = self.sign(sequence, salt ^ turn as u64 | 1) else { return };
                self.send(comet, &tx).await;
            } else {
                self.send(comet, &tx).await;
            }
            kept.push_back((sequence, tx));
            if !self.attacker.goes_on() {
                return;
            }
        }
    }
}

//! Floods of transactions over gRPC and over CometBFT's RPC.

use std::sync::Arc;

use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::types::{gas, MAX_OPERATIONS};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::limit;
use tokio::task::JoinSet;

use super::{
    batch, large_stop, least_gas, owners, secret, unknown_cancel, Attacker, CHAIN_ID, PAUSE,
};

/// Sequences beyond the next one that a node lets wait.
const WINDOW: u64 = 63;
/// Tasks of a flood that needs no owner of its own.
const TASKS: usize = 4;
/// Every so many transactions one goes through CometBFT, or is waited for.
const EVERY: u64 = 8;

/// Starts a task for each owner of an attack.
fn for_each_owner<F>(
    attack: &str,
    attacker: &Arc<Attacker>,
    tasks: &mut JoinSet<()>,
    task: impl Fn(Arc<Attacker>, Signer, usize) -> F,
) where
    F: std::future::Future<Output = ()> + Send + 'static,
{
    for (number, name) in owners(attack).iter().enumerate() {
        tasks.spawn(task(Arc::clone(attacker), attacker.signer(name), number));
    }
}

/// Large transactions behind a sequence that never comes.
pub fn gaps(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    for_each_owner("gap flood", attacker, tasks, |attacker, signer, number| async move {
        let mut salt = 0;
        while attacker.goes_on() {
            let Some(next) = attacker.next_sequence(&signer).await else { continue };
            for ahead in 1..=WINDOW {
                salt += 1;
                let options = TxOptions { sequence: next + ahead, salt, ..TxOptions::default() };
                let Ok(tx) = batch(&signer, &large_stop(), options) else { return };
                let node = number + usize::try_from(ahead).unwrap_or(0);
                attacker.submit(node, tx, v1::WaitFor::Accepted).await;
                if !attacker.goes_on() {
                    return;
                }
            }
        }
    });
}

/// A transaction with other bytes each time: another signature, or a field that is not there.
pub fn variants(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    let names = owners("byte variants");
    for task in 0..TASKS {
        let (attacker, signer) = (Arc::clone(attacker), attacker.signer(&names[0]));
        tasks.spawn(async move {
            let Some(sequence) = attacker.next_sequence(&signer).await else { return };
            let options = TxOptions { sequence, ..TxOptions::default() };
            let Ok(tx) = batch(&signer, &large_stop(), options) else { return };
            let mut turn = 0;
            while attacker.goes_on() {
                turn += 1;
                let tx = variant(&tx, attacker.number(&format!("variant {task}"), turn), turn);
                if turn % EVERY == 0 {
                    attacker.tally.sent();
                    attacker.tally.broadcast(attacker.comet(task).broadcast_tx_sync(&tx).await);
                } else {
                    attacker.submit(task, tx, v1::WaitFor::Accepted).await;
                }
            }
        });
    }
}

/// A transaction ends with the 64 bytes of its signature.
fn variant(tx: &[u8], random: u64, turn: u64) -> Vec<u8> {
    let mut tx = tx.to_vec();
    if turn % 4 == 1 {
        // Field 15, a number.
        tx.extend([15 << 3, (random & 0x7f) as u8]);
        return tx;
    }
    let end = tx.len().saturating_sub(16);
    for (byte, other) in tx[end..].iter_mut().zip(random.to_le_bytes()) {
        *byte ^= other | 1;
    }
    tx
}

/// Right transactions of signers without an account.
pub fn strangers(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    for task in 0..TASKS {
        let attacker = Arc::clone(attacker);
        tasks.spawn(async move {
            let mut turn = 0;
            while attacker.goes_on() {
                turn += 1;
                let name = format!("stranger {} {task} {turn}", attacker.plan.seed);
                let Ok(signer) = Signer::from_secret(&secret(&name), CHAIN_ID) else { continue };
                let signer = signer.for_genesis(&attacker.genesis_hash);
                let Ok(tx) = batch(&signer, &large_stop(), TxOptions::default()) else { return };
                if turn % EVERY == 0 {
                    attacker.tally.sent();
                    attacker.tally.broadcast(attacker.comet(task).broadcast_tx_sync(&tx).await);
                } else {
                    attacker.submit(task, tx, v1::WaitFor::Accepted).await;
                }
            }
        });
    }
}

/// Batches of 512 fill-or-kill orders or cancels, all of which a block refuses.
pub fn refused(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    for_each_owner("refused operations", attacker, tasks, |attacker, signer, number| async move {
        let (operation, gas_each) = if number % 2 == 0 {
            (unknown_cancel(), gas::CANCEL + 2 * gas::TRY)
        } else {
            (fill_or_kill(attacker.plan.mark_ticks), gas::PLACE)
        };
        let gas_limit = Some(least_gas(gas_each, MAX_OPERATIONS as u64));
        let mut sequence = None;
        while attacker.goes_on() {
            let next = match sequence {
                Some(next) => next,
                None => match attacker.next_sequence(&signer).await {
                    Some(next) => next,
                    None => continue,
                },
            };
            let options = TxOptions { sequence: next, gas_limit, ..TxOptions::default() };
            let Ok(tx) = batch(&signer, &operation, options) else { return };
            let waits = next % EVERY == 0;
            let wait = if waits { v1::WaitFor::Committed } else { v1::WaitFor::Accepted };
            match attacker.submit(number, tx, wait).await {
                None => sequence = Some(next + 1),
                Some(Code::SequenceReplayed | Code::SequencePending) => sequence = None,
                Some(_) => {
                    sequence = None;
                    tokio::time::sleep(PAUSE / 10).await;
                }
            }
        }
    });
}

/// More lots than any book has, at a price that meets some.
fn fill_or_kill(mark_ticks: u64) -> Operation {
    Operation::Place(v1::PlaceOrder {
        time_in_force: v1::TimeInForce::Fok.into(),
        ..limit(0, v1::Side::Buy, mark_ticks + mark_ticks / 100, 1_000_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_a_transaction_are_other_bytes_each_time() {
        let tx = vec![7; 100];
        let made: std::collections::BTreeSet<Vec<u8>> =
            (0..64).map(|turn| variant(&tx, turn * 0x0101_0101, turn)).collect();
        assert!(made.len() > 32 && !made.contains(&tx), "{} variants", made.len());
    }
}

//! Signed beforehand, so that signing does not compete with the nodes; then sent by many accounts,
//! several transactions of each on their way at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemark_client::{Client, ClientError};
use tidemark_proto::tx::TxOptions;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{limit, place, signer};
use tidemark_tests::net::traffic::Random;
use tokio::task::JoinSet;

/// How long a transaction may take to its block.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait before one that a busy node did not take is sent again.
const OVERLOADED_WAIT: Duration = Duration::from_millis(10);
/// Every so many operations of an account, one takes back what rests: the first of a hundred, so
/// that the others meet a book.
const CANCEL_EVERY: usize = 100;

/// A load.
pub struct Batch {
    /// Its name in reports.
    pub title: &'static str,
    /// Operations in a transaction.
    size: usize,
    accounts: usize,
    /// Transactions of one account that are on their way at once; the chain lets 64 wait.
    in_flight: usize,
    /// Transactions of one account, at most.
    txs: usize,
    time: Duration,
}

impl Batch {
    /// One order at a time, for latency; then as many as go, singly and by the hundred.
    pub fn all(seconds: u64) -> [Self; 3] {
        let time = Duration::from_secs(seconds);
        let per_second = |rate: u64, accounts: u64| {
            usize::try_from(rate * seconds / accounts).unwrap_or(usize::MAX)
        };
        [
            Self {
                title: "one at a time",
                size: 1,
                accounts: 1,
                in_flight: 1,
                txs: 1_000,
                time: Duration::from_secs(seconds.min(4)),
            },
            Self {
                title: "orders in ones",
                size: 1,
                accounts: 40,
                in_flight: 12,
                txs: per_second(4_000, 40),
                time,
            },
            Self {
                title: "orders in hundreds",
                size: 100,
                accounts: 20,
                in_flight: 4,
                txs: per_second(1_200, 20),
                time,
            },
        ]
    }

    /// The names of its accounts' keys.
    pub fn names(&self) -> Vec<String> {
        (0..self.accounts)
            .map(|number| format!("bench-{}-{}-{number}", self.size, self.in_flight))
            .collect()
    }
}

/// The effect of a load.
pub struct Done {
    /// Orders that were taken.
    pub orders: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// From submission to the answer with the block, of each transaction, ascending.
    pub latencies_ms: Vec<f64>,
    /// From the first submission to the last answer.
    pub elapsed: Duration,
}

type Signed = Vec<Vec<u8>>;

/// Every account's transactions, in order of sequence.
///
/// # Errors
/// A sentence when a task fails.
pub async fn sign(
    batch: &Batch,
    mark_ticks: u64,
    genesis_hash: [u8; 32],
) -> Result<Vec<Signed>, String> {
    let mut tasks = Vec::new();
    for (number, name) in batch.names().into_iter().enumerate() {
        let (size, txs) = (batch.size, batch.txs);
        tasks.push(tokio::task::spawn_blocking(move || {
            let key = signer(&name).for_genesis(&genesis_hash);
            let mut random = Random::new(number as u64);
            (0..txs)
                .map(|tx| {
                    let operations = (0..size)
                        .map(|index| operation(&mut random, tx * size + index, mark_ticks));
                    let operations = operations.map(v1::Operation::from).collect();
                    let orders = v1::MsgOrders { operations, ..Default::default() };
                    key.sign(orders, TxOptions { sequence: tx as u64, ..TxOptions::default() })
                        .map_err(|e| e.to_string())
                })
                .collect::<Result<Signed, String>>()
        }));
    }
    let mut signed = Vec::new();
    for task in tasks {
        signed.push(task.await.map_err(|e| e.to_string())??);
    }
    Ok(signed)
}

/// Quotes from 0.3 % to 1.3 % off the mark; each tenth order takes from them.
fn operation(random: &mut Random, number: usize, mark: u64) -> Operation {
    let side = random.side();
    if number % CANCEL_EVERY == 0 {
        return Operation::CancelAll(v1::CancelAll::default());
    }
    let lots = 1 + random.below(20);
    let market = 0;
    if number % 10 == 9 {
        let through = if side == v1::Side::Buy { mark + mark / 50 } else { mark - mark / 50 };
        let take = limit(market, side, through, lots);
        return place(v1::PlaceOrder { time_in_force: v1::TimeInForce::Ioc.into(), ..take });
    }
    let away = mark * 3 / 1_000 + random.below(mark / 100);
    place(limit(market, side, if side == v1::Side::Buy { mark - away } else { mark + away }, lots))
}

/// Sends until the time is up or everything is sent, and waits for what is on its way.
///
/// # Errors
/// The first failure that is no answer of the chain.
pub async fn run(batch: &Batch, signed: Vec<Signed>, clients: &[Client]) -> Result<Done, String> {
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for (account, client) in signed.into_iter().zip(clients.iter().cycle()) {
        let (account, next) = (Arc::new(account), Arc::new(AtomicUsize::new(0)));
        for _ in 0..batch.in_flight {
            let (account, next, client, until) =
                (Arc::clone(&account), Arc::clone(&next), client.clone(), start + batch.time);
            senders.spawn(async move {
                let mut part = Part::default();
                while Instant::now() < until {
                    let Some(tx) = account.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    part.send(&client, tx).await?;
                }
                Ok::<_, String>(part)
            });
        }
    }
    let mut done =
        Done { orders: 0, refused: 0, latencies_ms: Vec::new(), elapsed: Duration::ZERO };
    while let Some(part) = senders.join_next().await {
        let part = part.map_err(|e| e.to_string())??;
        done.orders += part.orders;
        done.refused += part.refused;
        done.latencies_ms.extend(part.latencies_ms);
    }
    done.elapsed = start.elapsed();
    done.latencies_ms.sort_by(f64::total_cmp);
    Ok(done)
}

#[derive(Default)]
struct Part {
    orders: u64,
    refused: u64,
    latencies_ms: Vec<f64>,
}

impl Part {
    async fn send(&mut self, client: &Client, tx: &[u8]) -> Result<(), String> {
        let start = Instant::now();
        let answer = loop {
            match client.submit(tx.to_vec(), v1::WaitFor::Committed, COMMIT_TIMEOUT).await {
                Err(ClientError::Refused(refusal))
                    if matches!(refusal.code, Code::Overloaded | Code::NodeBehind) =>
                {
                    tokio::time::sleep(OVERLOADED_WAIT).await;
                }
                answer => break answer.map_err(|e| e.to_string())?,
            }
        };
        if answer.outcome() != v1::SubmitOutcome::Committed {
            return Err(format!(
                "transaction {} is not in a block after {} s",
                answer.tx_hash,
                COMMIT_TIMEOUT.as_secs()
            ));
        }
        self.latencies_ms.push(start.elapsed().as_secs_f64() * 1_000.0);
        for result in &answer.results {
            // An immediate order that met nothing was carried out too; a cancel is no order.
            let done = result.code == 0 || result.code == Code::Unfilled.number();
            self.refused += u64::from(!done);
            self.orders += u64::from(done && result.cancelled == 0);
        }
        Ok(())
    }
}

//! From a cancel to its effect, with own orders on their way before it.

use std::time::Instant;

use serde::Serialize;
use tidemark_client::Client;
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;
use tidemark_tests::harness::{limit, place, signer};
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::traffic::{fund, mark};
use tidemark_tests::net::{progress, target_folder, wait_for, Net, NetOptions};

use crate::verdict::percentile;

/// Own orders on their way before the cancel.
const PENDING: [u64; 4] = [0, 1, 12, 60];
/// Cancels of each.
const TURNS: usize = 25;
/// The pause after a block, in which all of them come to all nodes.
const TIMEOUT_COMMIT_MS: u64 = 500;
const OWNER: &str = "cancels";

/// The figures of so many orders on their way.
#[derive(Debug, Serialize)]
struct Row {
    pending: u64,
    blocks_p50: u64,
    blocks_p99: u64,
    ms_p50: u64,
    ms_p99: u64,
    /// Cancels after which one of the orders lived on.
    left_something: u64,
}

/// Measures on four validators; true if each cancel ended all orders in the next block.
///
/// # Errors
/// A sentence when the net does not run, or a transaction is refused.
pub async fn run() -> Result<bool, String> {
    let options = NetOptions { timeout_commit_ms: TIMEOUT_COMMIT_MS, ..NetOptions::validators(4) };
    let net = Net::start(options).await?;
    let client = net.client(0).await?;
    let mark_ticks = wait_for("a mark", || mark(&client)).await;
    fund(&client, &[OWNER.to_owned()], 1_000_000).await?;
    let genesis_hash = client.genesis_hash().await.map_err(|e| e.to_string())?;
    let signer = signer(OWNER).for_genesis(&genesis_hash);
    let mut owner = Owner { client, signer, sequence: 0, price_ticks: mark_ticks * 9 / 10 };
    let mut rows = Vec::new();
    for pending in PENDING {
        let row = owner.row(pending).await?;
        progress(&format!("{row:?}"));
        rows.push(row);
    }
    println!("| own orders on their way | blocks p50 | p99 | ms p50 | p99 |");
    println!("|---:|---:|---:|---:|---:|");
    let mut all = Vec::new();
    for row in &rows {
        let Row { pending, blocks_p50, blocks_p99, ms_p50, ms_p99, .. } = row;
        println!("| {pending} | {blocks_p50} | {blocks_p99} | {ms_p50} | {ms_p99} |");
        let name = |what: &str| format!("cancel behind {pending} orders, {what}");
        all.push(Measure {
            floor: Some(1.0),
            ..Measure::cost(name("p99"), *blocks_p99 as f64, "blocks")
        });
        all.push(Measure::cost(name("p50 in ms"), *ms_p50 as f64, "ms"));
        all.push(Measure::cost(name("p99 in ms"), *ms_p99 as f64, "ms"));
    }
    measures::write(&target_folder()?.join("bench"), "cancels", &all, &rows)?;
    Ok(rows.iter().all(|row| row.blocks_p99 <= 1 && row.left_something == 0))
}

struct Owner {
    client: Client,
    signer: Signer,
    sequence: u64,
    price_ticks: u64,
}

impl Owner {
    fn sign(&mut self, operation: Operation) -> Result<Vec<u8>, String> {
        let operations = vec![v1::Operation { operation: Some(operation) }];
        let message = v1::MsgOrders { operations, ..Default::default() };
        let options = TxOptions { sequence: self.sequence, ..TxOptions::default() };
        self.sequence += 1;
        self.signer.sign(message, options).map_err(|e| e.to_string())
    }

    fn order(&mut self) -> Result<Vec<u8>, String> {
        self.sign(place(limit(0, v1::Side::Buy, self.price_ticks, 1)))
    }

    async fn send(&self, tx: Vec<u8>, wait: v1::WaitFor) -> Result<v1::SubmitResponse, String> {
        let timeout = std::time::Duration::from_secs(20);
        self.client.submit(tx, wait, timeout).await.map_err(|e| e.to_string())
    }

    async fn row(&mut self, pending: u64) -> Result<Row, String> {
        let (mut blocks, mut ms, mut left_something) = (Vec::new(), Vec::new(), 0);
        for _ in 0..TURNS {
            let (until, after_ms, left) = self.turn(pending).await?;
            blocks.push(until);
            ms.push(after_ms);
            left_something += u64::from(left > 0);
        }
        blocks.sort_unstable();
        ms.sort_unstable();
        Ok(Row {
            pending,
            blocks_p50: percentile(&blocks, 50),
            blocks_p99: percentile(&blocks, 99),
            ms_p50: percentile(&ms, 50),
            ms_p99: percentile(&ms, 99),
            left_something,
        })
    }

    /// An order rests; as a block is announced, so many more are sent, and then the end of all.
    /// Returns the blocks and the time from the cancel to its effect, and the orders that are left.
    async fn turn(&mut self, pending: u64) -> Result<(u64, u64, usize), String> {
        let resting = self.order()?;
        self.send(resting, v1::WaitFor::Committed).await?;
        let mut announced = self.client.block_stream().await.map_err(|e| e.to_string())?;
        let block = announced.message().await.map_err(|e| e.to_string())?;
        let height = block.ok_or("the stream of blocks ended")?.height;
        let mut orders = Vec::new();
        for _ in 0..pending {
            orders.push(self.order()?);
        }
        let cancel = self.sign(Operation::CancelAll(v1::CancelAll::default()))?;
        for order in orders {
            self.send(order, v1::WaitFor::Accepted).await?;
        }
        let sent = Instant::now();
        let answer = self.send(cancel, v1::WaitFor::Committed).await?;
        let after_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        let address = self.signer.address().to_string();
        let left = self.client.open_orders(&address, 0, None).await.map_err(|e| e.to_string())?;
        Ok((answer.height.saturating_sub(height), after_ms, left.orders.len()))
    }
}

//! Results under the real CometBFT: blocks full of the largest, and answers that are true.

mod answers;

use std::time::Duration;

use serde_json::Value;
use tidemark_proto::tx::TxOptions;
use tidemark_proto::types::MAX_OPERATIONS;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::signer;
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{progress, Net, NetOptions};

const OWNERS: usize = 20;
/// Fewer than an account may have in the mempool.
const BATCHES: u64 = 60;

/// A batch of all or none whose first operation is refused: 512 results of a few bytes of request.
fn batch(name: &str, sequence: u64) -> Vec<u8> {
    let unknown = v1::CancelOrder { order_id: 1_000_000, ..Default::default() };
    let operation = v1::Operation { operation: Some(Operation::Cancel(unknown)) };
    let operations = vec![operation; MAX_OPERATIONS];
    let message =
        v1::MsgOrders { operations, mode: v1::BatchMode::All.into(), ..Default::default() };
    signer(name).sign(message, TxOptions { sequence, ..Default::default() }).unwrap()
}

/// How many transactions of a block were refused so.
async fn refused(net: &Net, height: u64) -> usize {
    let results = net.comet(0).block_results(height).await.unwrap();
    let results = results["txs_results"].as_array().cloned().unwrap_or_default();
    let code = Value::from(Code::UnknownOrder.number());
    results.iter().filter(|result| result["code"] == code).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_full_of_refused_batches_do_not_stop_the_chain() {
    let mut options = NetOptions::validators(1);
    // Time for the mempool to fill between two blocks.
    options.timeout_commit_ms = 5_000;
    let net = Net::start(options).await.unwrap();
    let client = net.client(0).await.unwrap();
    let names: Vec<String> = (0..OWNERS).map(|number| format!("owner-{number}")).collect();
    fund(&client, &names, 100).await.unwrap();
    let from = net.height(0).await.unwrap();
    let comet = net.comet(0);
    for name in &names {
        for sequence in 0..BATCHES {
            let sent = comet.broadcast_tx_sync(&batch(name, sequence)).await.unwrap();
            assert_eq!(sent.code, 0, "{}", sent.log);
        }
    }
    let all = OWNERS * usize::try_from(BATCHES).unwrap();
    let (mut height, mut done, mut most) = (from, 0, 0);
    while done < all {
        height += 1;
        net.wait_height(0, height).await.unwrap();
        let here = refused(&net, height).await;
        (done, most) = (done + here, most.max(here));
    }
    progress(&format!("{all} batches of {MAX_OPERATIONS} refused, {most} of them in one block"));
    assert!(most > 500, "the fullest block has {most}");
    let height = net.height(0).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), net.wait_height(0, height + 2))
        .await
        .unwrap()
        .unwrap();
    // It takes what is sent.
    fund(&client, &names[..1], 1).await.unwrap();
}

//! Transactions under the real CometBFT: blocks full of the largest results, answers that are true,
//! and the short form of agents.

mod answers;

use std::time::Duration;

use serde_json::Value;
use tidemark_client::agent::{self, authorize_agent, revoke_agent};
use tidemark_client::{AgentSender, Sender};
use tidemark_proto::tx::{AgentSigner, Signer, TxOptions};
use tidemark_proto::types::{gas, MAX_OPERATIONS};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{limit, place, secret, signer};
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

const OWNERS: usize = 20;
/// Fewer than an account may have in the mempool.
const BATCHES: u64 = 60;

/// A batch of all or none whose first operation is refused: 512 results of a few bytes of request,
/// with the least gas that finds the first order unknown.
fn batch(signer: &Signer, sequence: u64) -> Vec<u8> {
    let unknown = v1::CancelOrder { order_id: 1_000_000, ..Default::default() };
    let operation = v1::Operation { operation: Some(Operation::Cancel(unknown)) };
    let operations = vec![operation; MAX_OPERATIONS];
    let message =
        v1::MsgOrders { operations, mode: v1::BatchMode::All.into(), ..Default::default() };
    let least_gas = gas::TX + (gas::CANCEL + 2 * gas::TRY) * MAX_OPERATIONS as u64 + gas::NAMED;
    let gas_limit = Some(least_gas);
    signer.sign(message, TxOptions { sequence, gas_limit, ..Default::default() }).unwrap()
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
    let genesis_hash = client.genesis_hash().await.unwrap();
    for name in &names {
        let signer = signer(name).for_genesis(&genesis_hash);
        for sequence in 0..BATCHES {
            let sent = comet.broadcast_tx_sync(&batch(&signer, sequence)).await.unwrap();
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

/// An agent's orders reach a block by gRPC and by CometBFT alone, and the same bytes again tell the
/// same outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_trades_until_it_is_revoked() {
    let net = Net::start(NetOptions::validators(1)).await.unwrap();
    let client = net.client(0).await.unwrap();
    fund(&client, &["alice".to_owned()], 10_000).await.unwrap();
    let price = wait_for("an index", || async {
        let markets = client.markets().await.ok()?;
        markets.find("BTC-USD").ok().map(|(_, state)| state.index_ticks).filter(|index| *index > 0)
    })
    .await;
    let domain = client.signing_domain().await.unwrap();
    let (owner, bot) = (signer("alice").address(), AgentSigner::ed25519(secret("bot"), domain));
    let key = bot.key();
    let mut alice = Sender::new(client.clone(), signer("alice"));
    let message = authorize_agent(&key, v1::AgentScope::Trading, &[0], u64::MAX);
    alice.submit(&message, v1::WaitFor::Committed).await.unwrap();
    let agents = client.agents(&owner.to_string()).await.unwrap().agents;
    assert_eq!((agents.len(), agents[0].agent_key.as_slice()), (1, key.as_bytes()));
    assert_eq!((agents[0].scope(), agents[0].subaccounts.as_slice()), (message.scope(), &[0][..]));

    let mut bot = AgentSender::new(client.clone(), bot, owner);
    let bid = || vec![place(limit(0, v1::Side::Buy, price - 1_000, 1))];
    let bids = || agent::batch(0, bid(), v1::BatchMode::Each);
    let by_grpc = bot.sign(bids()).unwrap();
    let wait = Duration::from_secs(20);
    for _ in 0..2 {
        let answer =
            client.submit(by_grpc.bytes.clone(), v1::WaitFor::Committed, wait).await.unwrap();
        assert_eq!(answer.tx_hash, hex::encode_upper(by_grpc.identity));
        assert_eq!((answer.results.len(), answer.results[0].resting_lots), (1, 1));
    }
    let by_comet = bot.sign(bids()).unwrap();
    let sent = net.comet(0).broadcast_tx_sync(&by_comet.bytes).await.unwrap();
    assert_eq!(sent.code, 0, "{}", sent.log);
    wait_for("both orders", || async {
        let orders = client.open_orders(&owner.to_string(), 0, None).await.ok()?.orders;
        (orders.len() == 2).then_some(())
    })
    .await;
    alice.submit(&revoke_agent(&key), v1::WaitFor::Committed).await.unwrap();
    let refused = bot.submit(bids(), v1::WaitFor::Committed).await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::UnknownAgent));
}

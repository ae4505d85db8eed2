//! Bad transactions: each is refused with its own code wherever it is handed in, and changes
//! nothing.

mod bad_input;

use std::sync::Arc;

use bad_input::{bad_transactions, deposit, Bad, Given};
use sha2::{Digest as _, Sha256};
use tendermint_abci::Application as _;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{
    RequestFinalizeBlock, RequestInitChain, RequestProcessProposal, ResponseFinalizeBlock,
    ValidatorUpdate,
};
use tendermint_proto::v0_38::crypto::{public_key::Sum, PublicKey};
use tendermint_proto::v0_38::types::{AbciParams, BlockParams, ConsensusParams};
use tidemark_client::Sender;
use tidemark_comet::rpc_client::RpcError;
use tidemark_consensus::abci::Node;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::state::View;
use tidemark_node::config::FeedConfig;
use tidemark_proto::v1;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::Code;
use tidemark_tests::harness::{genesis, signer, CHAIN_ID, FAUCET, GENESIS_MS};
use tidemark_tests::net::{markets, progress, Net, NetOptions};

/// A node's ABCI application at genesis, without CometBFT.
fn application() -> Node {
    application_with(Arc::new(Publisher::new(Arc::new(View::empty(CHAIN_ID)))))
}

fn application_with(publisher: Arc<Publisher>) -> Node {
    let feed = FeedConfig::Off.build(std::path::Path::new("")).unwrap();
    let cache = Arc::new(TxCache::new(CHAIN_ID));
    let queue = Arc::new(TxQueue::new(Arc::clone(&publisher), cache));
    let node = Node::new(publisher, queue, feed, 2);
    let validator = ValidatorUpdate {
        pub_key: Some(PublicKey { sum: Some(Sum::Ed25519(vec![1; 32])) }),
        power: 10,
    };
    let consensus_params = ConsensusParams {
        abci: Some(AbciParams { vote_extensions_enable_height: 1 }),
        block: Some(BlockParams { max_bytes: 4 << 20, max_gas: -1 }),
        ..Default::default()
    };
    node.init_chain(RequestInitChain {
        time: Some(time(0)),
        chain_id: CHAIN_ID.into(),
        consensus_params: Some(consensus_params),
        validators: vec![validator],
        app_state_bytes: serde_json::to_vec(&genesis(markets(), 0)).unwrap().into(),
        initial_height: 1,
    });
    node
}

fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds: i64::try_from(GENESIS_MS / 1_000).unwrap() + seconds, nanos: 0 }
}

/// The first block, which has no extended commit, with these transactions.
fn first_block(node: &Node, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
    let txs = txs.iter().map(|tx| tx.clone().into()).collect();
    let hash = vec![7; 32].into();
    node.finalize_block(RequestFinalizeBlock {
        txs,
        hash,
        height: 1,
        time: Some(time(1)),
        ..Default::default()
    })
}

fn accepts(node: &Node, txs: &[Vec<u8>]) -> bool {
    let txs = txs.iter().map(|tx| tx.clone().into()).collect();
    let request =
        RequestProcessProposal { txs, height: 1, time: Some(time(1)), ..Default::default() };
    node.process_proposal(request).status == ProposalStatus::Accept as i32
}

/// In a block the sequence must be the very next, so one that may wait in a mempool is a gap there,
/// and one that is used up by the block itself is replayed.
#[test]
fn bad_input_in_a_block_gets_its_own_code_and_changes_nothing() {
    let publisher = Arc::new(Publisher::new(Arc::new(View::empty(CHAIN_ID))));
    application_with(Arc::clone(&publisher));
    let genesis_hash = publisher.view().chain.genesis_hash;
    let faucet = signer(FAUCET).for_genesis(&genesis_hash);
    // Of two transactions with one sequence the one with the smaller hash is admitted.
    let rival = Sha256::digest(deposit(&faucet, "mallory", 0));
    let mut goods = (0..1_000).map(|number| deposit(&faucet, &format!("alice {number}"), 0));
    let good = goods.find(|good| Sha256::digest(good) < rival).expect("a smaller hash");
    let clean = first_block(&application(), std::slice::from_ref(&good));
    assert_eq!(clean.tx_results.iter().map(|result| result.code).collect::<Vec<_>>(), [0]);
    assert!(accepts(&application(), std::slice::from_ref(&good)));

    let mut block = vec![good.clone()];
    let mut expected = vec![Code::Ok];
    let mut bads = bad_transactions(&faucet, Given { next: 1, height: 1, window: 1, genesis_hash });
    bads.push(Bad::new("the same bytes again", good.clone(), Code::SequenceReplayed));
    for Bad { name, tx, code } in bads {
        assert!(
            !accepts(&application(), &[good.clone(), tx.clone()]),
            "a proposal with {name} is accepted"
        );
        let alone = first_block(&application(), &[good.clone(), tx.clone()]);
        assert_eq!(alone.tx_results[1].code, code.number(), "{name}: {}", alone.tx_results[1].log);
        assert_eq!(alone.tx_results[1].codespace, "tidemark", "{name}");
        assert!(
            alone.tx_results[1].log.starts_with(&format!("{code}: ")),
            "{name}: {}",
            alone.tx_results[1].log
        );
        assert_eq!(alone.app_hash, clean.app_hash, "{name} changed the state");
        block.push(tx);
        expected.push(code);
    }
    let all = first_block(&application(), &block);
    let codes: Vec<u32> = all.tx_results.iter().map(|result| result.code).collect();
    assert_eq!(codes, expected.into_iter().map(Code::number).collect::<Vec<_>>());
    assert_eq!(all.app_hash, clean.app_hash, "all of them together changed the state");
}

/// Over the network: gRPC's status, word and number; CheckTx's code; and the accounts as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_its_own_code_and_changes_nothing() {
    let net = Net::start(NetOptions::validators(1)).await.unwrap();
    let client = net.client(0).await.unwrap();
    let genesis_hash = client.genesis_hash().await.unwrap();
    let faucet = signer(FAUCET).for_genesis(&genesis_hash);
    let good = deposit(&faucet, "alice", 0);
    let wait = std::time::Duration::from_secs(20);
    let committed = client.submit(good.clone(), v1::WaitFor::Committed, wait).await.unwrap();
    assert_eq!(committed.outcome(), v1::SubmitOutcome::Committed);
    let before = accounts(&client).await;

    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("http://{}", net.grpc(0))).unwrap();
    let mut orders = OrderServiceClient::new(endpoint.connect().await.unwrap());
    let height = committed.height;
    let bads = bad_transactions(&faucet, Given { next: 1, height, window: 64, genesis_hash });
    let count = bads.len();
    for Bad { name, tx, code } in bads {
        let request = v1::SubmitRequest { tx: tx.clone(), ..Default::default() };
        let status = orders.submit(request).await.expect_err(name);
        let number = status.metadata().get("tidemark-code").and_then(|value| value.to_str().ok());
        assert_eq!(number, Some(code.number().to_string().as_str()), "{name}: {status:?}");
        assert!(status.message().starts_with(&format!("{code}: ")), "{name}: {status:?}");
        assert_eq!(status.code(), bad_input::grpc_status(code), "{name}: {status:?}");
        match net.comet(0).broadcast_tx_sync(&tx).await {
            Ok(checked) => {
                assert_eq!(checked.code, code.number(), "{name}: {checked:?}");
                assert_eq!(checked.codespace, "tidemark", "{name}");
            }
            // CometBFT's own refusal, before it asks.
            Err(RpcError::TxTooLarge(_)) => assert_eq!(code, Code::TxTooLarge, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    progress(&format!("{count} kinds of bad transactions refused twice each"));
    // The very same bytes are no error: they tell what they did.
    let again = client.submit(good, v1::WaitFor::Committed, wait).await.unwrap();
    assert_eq!(again, committed);

    net.wait_height(0, net.height(0).await.unwrap() + 3).await.unwrap();
    assert_eq!(accounts(&client).await, before);
    let metrics = net.metrics(0).await.unwrap();
    assert_eq!(
        metrics.sum("tidemark_transactions_total", &[]),
        Some(1.0),
        "nothing bad was in a block"
    );
    // The account goes on as if nothing had been.
    let mut sender = Sender::new(client.clone(), signer(FAUCET));
    let message = v1::MsgDeposit {
        recipient: signer("alice").address().to_string(),
        amount_atoms: 1,
        ..Default::default()
    };
    sender.submit(&message, v1::WaitFor::Committed).await.unwrap();
}

/// The two accounts, without the height at which they were read.
async fn accounts(client: &tidemark_client::Client) -> Vec<(u64, Vec<v1::Subaccount>)> {
    let mut found = Vec::new();
    for name in [FAUCET, "alice"] {
        let account = client.account(&signer(name).address().to_string(), None).await.unwrap();
        found.push((account.sequence, account.subaccounts));
    }
    found
}

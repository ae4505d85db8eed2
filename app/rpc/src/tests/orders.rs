//! Submit: never a false refusal.

use sha2::{Digest as _, Sha256};
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::v1::{SubmitOutcome, SubmitRequest, SubmitResponse, WaitFor};
use tidemark_proto::Code;
use tonic::Status;

use super::*;

async fn submit(
    channel: &Channel,
    tx: &[u8],
    wait_for: WaitFor,
    timeout_ms: u32,
) -> Result<SubmitResponse, Status> {
    let request = SubmitRequest { tx: tx.to_vec(), wait_for: wait_for as i32, timeout_ms };
    OrderServiceClient::new(channel.clone()).submit(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn accepted_is_what_waits_in_the_node_s_queue() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    let response = submit(&channel, &tx, WaitFor::Accepted, 0).await.unwrap();
    assert_eq!(response.outcome(), SubmitOutcome::Accepted);
    assert_eq!(response.tx_hash.len(), 64);
    assert!(node.queue.holds(&tx));
    let again = submit(&channel, &tx, WaitFor::Accepted, 0).await.unwrap();
    assert_eq!(again, response, "a resend is no error");
    node.comet.saw(1).await;
}

#[tokio::test]
async fn five_transactions_with_one_sequence_are_accepted_once() {
    let mut node = Node::start().await;
    node.fund(2);
    let channel = node.channel().await;
    let mut answers = Vec::new();
    for lots in 1..=5 {
        node.sequences.insert(2, 0);
        let tx = node.order(2, v1::Side::Buy, PRICE - 10, lots);
        answers.push(submit(&channel, &tx, WaitFor::Accepted, 0).await);
    }
    assert_eq!(answers.remove(0).unwrap().outcome(), SubmitOutcome::Accepted);
    for answer in answers {
        let status = answer.unwrap_err();
        assert_eq!(code_of(&status), Code::SequencePending.number());
        assert!(status.message().ends_with("the next free one is 1"), "{status:?}");
    }
}

#[tokio::test]
async fn refusals_before_the_mempool_send_nothing() {
    let mut node = Node::start().await;
    node.fund(2);
    let channel = node.channel().await;
    let mut forged = node.order(2, v1::Side::Buy, PRICE, 1);
    *forged.last_mut().unwrap() ^= 1;
    let stranger = node.order(3, v1::Side::Buy, PRICE, 1);
    for (tx, code, grpc) in [
        (forged, Code::BadSignature, tonic::Code::Unauthenticated),
        (vec![1, 2, 3], Code::TxMalformed, tonic::Code::InvalidArgument),
        (vec![0; 200_000], Code::TxTooLarge, tonic::Code::InvalidArgument),
        (stranger, Code::UnknownAccount, tonic::Code::NotFound),
    ] {
        let status = submit(&channel, &tx, WaitFor::Committed, 0).await.unwrap_err();
        assert_eq!((code_of(&status), status.code()), (code.number(), grpc), "{status:?}");
        assert!(status.message().starts_with(&format!("{}: ", code.word())), "{status:?}");
    }
    let tx = node.order(2, v1::Side::Buy, PRICE, 1);
    let status = submit(&channel, &tx, WaitFor::Committed, 60_001).await.unwrap_err();
    assert_eq!(code_of(&status), Code::InvalidArgument.number());
    assert_eq!(*node.comet.seen.borrow(), 0);
    assert_eq!(node.market_data.outcomes().waiting(), 0);
}

#[tokio::test]
async fn committed_comes_with_the_block_and_a_result_per_operation() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    let (sent, bytes) = (channel.clone(), tx.clone());
    let waiting = tokio::spawn(async move { submit(&sent, &bytes, WaitFor::Committed, 0).await });
    node.comet.saw(1).await;
    node.block(&[]);
    node.block(std::slice::from_ref(&tx));
    let response = waiting.await.unwrap().unwrap();
    assert_eq!((response.outcome(), response.height), (SubmitOutcome::Committed, 3));
    assert_eq!((response.results[0].code, response.results[0].resting_lots), (0, 3));
    // The same bytes again, however late: what they did, and nothing is sent.
    for wait_for in [WaitFor::Accepted, WaitFor::Committed] {
        assert_eq!(submit(&channel, &tx, wait_for, 0).await.unwrap(), response);
    }
    assert_eq!(*node.comet.seen.borrow(), 1);
}

#[tokio::test]
async fn a_resend_between_the_view_and_the_replica_is_not_refused() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    let published = node.publish(std::slice::from_ref(&tx));
    let resend = tokio::spawn(async move { submit(&channel, &tx, WaitFor::Accepted, 0).await });
    tokio::task::yield_now().await;
    node.market_data.apply(&published);
    assert_eq!(resend.await.unwrap().unwrap().outcome(), SubmitOutcome::Committed);
}

#[tokio::test]
async fn who_loses_a_sequence_hears_it_with_the_block_and_who_won() {
    let mut node = Node::start().await;
    node.fund(2);
    let (first, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    node.sequences.insert(2, 0);
    let second = node.order(2, v1::Side::Buy, PRICE - 10, 4);
    let (sent, bytes) = (channel.clone(), second.clone());
    let waiting =
        tokio::spawn(async move { submit(&sent, &bytes, WaitFor::Committed, 60_000).await });
    node.comet.saw(1).await;
    node.block(std::slice::from_ref(&first));
    let status = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    let status = status.unwrap().unwrap_err();
    assert_eq!(
        (code_of(&status), status.code()),
        (Code::SequenceReplayed.number(), tonic::Code::Aborted)
    );
    let winner = hex::encode_upper(Sha256::digest(&first));
    assert_eq!(
        status.message(),
        format!(
            "SEQUENCE_REPLAYED: sequence 0, the account is at 1; transaction {winner} in block 2 \
             used it up"
        )
    );
    // Whoever was only told that it is accepted hears the same when asking again.
    let again = submit(&channel, &second, WaitFor::Accepted, 0).await.unwrap_err();
    assert_eq!(again.message(), status.message());
}

#[tokio::test]
async fn who_is_too_late_hears_it_with_the_block() {
    let mut node = Node::start().await;
    node.fund(2);
    let message = v1::MsgTakeBackWithdrawal::default();
    let options = TxOptions { timeout_height: 3, ..TxOptions::default() };
    let tx = signer(2).sign(message, options).unwrap();
    let channel = node.channel().await;
    let waiting =
        tokio::spawn(async move { submit(&channel, &tx, WaitFor::Committed, 60_000).await });
    node.comet.saw(1).await;
    node.block(&[]);
    node.block(&[]);
    let status = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    assert_eq!(code_of(&status.unwrap().unwrap_err()), Code::TxExpired.number());
}

#[tokio::test]
async fn a_transaction_refused_whole_is_a_status() {
    let mut node = Node::start().await;
    node.fund(2);
    let withdraw = v1::MsgWithdraw { amount_atoms: 999_000_000_000_000, ..Default::default() };
    let (tx, channel) = (node.sign(2, withdraw), node.channel().await);
    let (sent, bytes) = (channel.clone(), tx.clone());
    let waiting = tokio::spawn(async move { submit(&sent, &bytes, WaitFor::Committed, 0).await });
    node.comet.saw(1).await;
    node.block(&[tx]);
    let status = waiting.await.unwrap().unwrap_err();
    assert_eq!(code_of(&status), Code::InsufficientWithdrawable.number());
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn what_is_not_known_is_unknown() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    let outcome = |response: Result<SubmitResponse, Status>| response.unwrap().outcome();
    // Taken, but in no block in time.
    assert_eq!(outcome(submit(&channel, &tx, WaitFor::Committed, 1).await), SubmitOutcome::Unknown);
    // Whatever the mempool says, the transaction waits here.
    for mempool in [Mempool::IsSilent, Mempool::Fails("broadcast confirmation not received")] {
        node.comet.set(mempool);
        assert_eq!(
            outcome(submit(&channel, &tx, WaitFor::Accepted, 0).await),
            SubmitOutcome::Accepted
        );
        assert_eq!(
            outcome(submit(&channel, &tx, WaitFor::Committed, 1).await),
            SubmitOutcome::Unknown
        );
    }
    assert_eq!(node.market_data.outcomes().waiting(), 0);
}

#[tokio::test]
async fn what_the_mempool_does_not_take_is_offered_again_in_order() {
    let mut node = Node::start().await;
    node.fund(2);
    let channel = node.channel().await;
    let full = "mempool is full: number of txs 5000 (max: 5000)";
    node.comet.set(Mempool::Fails(full));
    let txs: Vec<_> = (1..=3).map(|lots| node.order(2, v1::Side::Buy, PRICE - 10, lots)).collect();
    for tx in &txs {
        let answer = submit(&channel, tx, WaitFor::Accepted, 0).await.unwrap();
        assert_eq!(answer.outcome(), SubmitOutcome::Accepted);
    }
    node.comet.saw(2).await;
    let waiting = |node: &Node| node.queue.unoffered(10).len();
    assert_eq!(waiting(&node), 3);
    node.comet.set(Mempool::Takes);
    while waiting(&node) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(txs.iter().all(|tx| node.queue.holds(tx)), "they wait for their block");
}

#[tokio::test]
async fn a_node_that_is_told_of_validators_hands_on_to_the_first_that_takes_it() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let start_ms = u64::try_from(now.as_millis()).unwrap();
    let (mut far, mut near) = (Node::start_at(start_ms).await, Node::start_at(start_ms).await);
    far.fund(2);
    near.fund(2);
    let txs = [near.order(2, v1::Side::Buy, PRICE, 1), near.order(2, v1::Side::Buy, PRICE, 2)];
    near.server.stop().await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let forward = Forward::to(&[nobody, format!("http://{}", far.server.address())]).unwrap();
    let deps = Deps {
        publisher: near.publisher,
        market_data: near.market_data,
        queue: Arc::clone(&near.queue),
        comet: RpcClient::new(&near.comet.address).unwrap(),
        forward,
        metrics: near.metrics,
        feed: String::new(),
        readiness: near.readiness,
    };
    let server = serve("127.0.0.1:0".parse().unwrap(), deps).unwrap();
    let address = format!("http://{}", server.address());
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    for tx in &txs {
        submit(&channel, tx, WaitFor::Accepted, 0).await.unwrap();
    }
    while !txs.iter().all(|tx| far.queue.holds(tx)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*near.comet.seen.borrow(), 0, "nothing went to its own mempool");
    assert!(near.queue.unoffered(10).len() < 2, "and is handed on once");
    assert!(Forward::to(&["no address".to_owned()]).is_err());
}

#[tokio::test]
async fn a_node_that_is_behind_does_not_judge_by_its_state() {
    let mut node = Node::start_at(1_000).await;
    node.fund(2);
    let (stranger, replayed) =
        (node.order(3, v1::Side::Buy, PRICE, 1), node.order(2, v1::Side::Buy, PRICE, 1));
    node.sequences.insert(2, 0);
    let other = node.order(2, v1::Side::Buy, PRICE, 2);
    node.block(&[other]);
    let channel = node.channel().await;
    for tx in [stranger, replayed] {
        let status = submit(&channel, &tx, WaitFor::Accepted, 0).await.unwrap_err();
        assert_eq!(code_of(&status), Code::NodeBehind.number(), "{status:?}");
    }
}

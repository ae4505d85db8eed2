//! Submit: never a false refusal.

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
async fn accepted_is_what_the_mempool_took() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    let response = submit(&channel, &tx, WaitFor::Accepted, 0).await.unwrap();
    assert_eq!(response.outcome(), SubmitOutcome::Accepted);
    assert_eq!(response.tx_hash.len(), 64);
    node.comet.set(Mempool::Fails("tx already exists in cache"));
    let again = submit(&channel, &tx, WaitFor::Accepted, 0).await.unwrap();
    assert_eq!(again, response, "a resend is no error");
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
async fn a_sequence_that_other_bytes_used_is_refused() {
    let mut node = Node::start().await;
    node.fund(2);
    let (first, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    node.sequences.insert(2, 0);
    let second = node.order(2, v1::Side::Buy, PRICE - 10, 4);
    let (sent, bytes) = (channel.clone(), second.clone());
    let waiting =
        tokio::spawn(async move { submit(&sent, &bytes, WaitFor::Committed, 1_000).await });
    node.comet.saw(1).await;
    node.block(&[first]);
    let status = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (code_of(&status), status.code()),
        (Code::SequenceReplayed.number(), tonic::Code::Aborted)
    );
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
    // No answer, or one that says nothing of the transaction.
    for mempool in [Mempool::IsSilent, Mempool::Fails("broadcast confirmation not received")] {
        node.comet.set(mempool);
        assert_eq!(
            outcome(submit(&channel, &tx, WaitFor::Accepted, 0).await),
            SubmitOutcome::Unknown
        );
        assert_eq!(
            outcome(submit(&channel, &tx, WaitFor::Committed, 1).await),
            SubmitOutcome::Unknown
        );
    }
    assert_eq!(node.market_data.outcomes().waiting(), 0);
}

#[tokio::test]
async fn the_mempool_s_refusals_keep_their_code() {
    let mut node = Node::start().await;
    node.fund(2);
    let (tx, channel) = (node.order(2, v1::Side::Buy, PRICE - 10, 3), node.channel().await);
    for (mempool, code, grpc, says) in [
        (
            Mempool::Fails("mempool is full: number of txs 5000 (max: 5000)"),
            Code::Overloaded,
            tonic::Code::ResourceExhausted,
            "OVERLOADED: the mempool is full, it was not taken: mempool is full: number of txs \
             5000 (max: 5000)",
        ),
        (
            Mempool::Refuses(7, "SEQUENCE_GAP: why"),
            Code::SequenceGap,
            tonic::Code::Aborted,
            "SEQUENCE_GAP: why",
        ),
        (
            Mempool::Refuses(12, "RATE_LIMITED: why"),
            Code::RateLimited,
            tonic::Code::ResourceExhausted,
            "RATE_LIMITED: why",
        ),
    ] {
        node.comet.set(mempool);
        for wait_for in [WaitFor::Accepted, WaitFor::Committed] {
            let status = submit(&channel, &tx, wait_for, 0).await.unwrap_err();
            assert_eq!(
                (code_of(&status), status.code(), status.message()),
                (code.number(), grpc, says)
            );
        }
    }
    assert_eq!(node.market_data.outcomes().waiting(), 0);
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
        assert_eq!(code_of(&status), Code::Overloaded.number(), "{status:?}");
    }
}

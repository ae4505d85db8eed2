//! Answers by hash and by sequence, positions of streams, and bounds of what one client may ask.

use tidemark_consensus::queue::TX_LIFETIME_BLOCKS;
use tidemark_proto::v1::answer_request::By;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::v1::stream_service_client::StreamServiceClient;
use tidemark_proto::v1::{AnswerResponse, SubmitRequest};
use tidemark_proto::Code;
use tonic::Status;

use super::*;

async fn ask(node: &Node, by: Option<By>) -> Result<AnswerResponse, Status> {
    let mut client = OrderServiceClient::new(node.channel().await);
    client.answer(v1::AnswerRequest { by }).await.map(tonic::Response::into_inner)
}

fn sequence(secret: u8, sequence: u64) -> Option<By> {
    let owner = signer(secret).address().to_string();
    Some(By::Sequence(v1::AccountSequence { owner, sequence }))
}

fn hash_of(node: &Node, tx: &[u8]) -> String {
    hex::encode_upper(node.cache.check(tx, 1 << 20).unwrap().hash)
}

#[tokio::test]
async fn an_answer_is_found_by_hash_and_by_account_and_sequence() {
    let mut node = Node::start().await;
    node.fund(2);
    let tx = node.order(2, v1::Side::Buy, PRICE - 10, 3);
    let hash = hash_of(&node, &tx);
    let early = ask(&node, Some(By::TxHash(hash.clone()))).await.unwrap_err();
    assert_eq!(
        (early.code(), code_of(&early)),
        (tonic::Code::NotFound, Code::UnknownTransaction.number())
    );
    assert!(early.message().contains("is in blocks 1 to 1"), "{early:?}");
    let unused = ask(&node, sequence(2, 0)).await.unwrap_err();
    assert_eq!(code_of(&unused), Code::UnknownTransaction.number());
    assert!(unused.message().contains("the account's next is 0"), "{unused:?}");
    node.block(&[tx]);
    let answer = ask(&node, Some(By::TxHash(hash.clone()))).await.unwrap();
    assert_eq!((answer.height, &answer.tx_hash, answer.code), (2, &hash, 0));
    assert_eq!((answer.results[0].resting_lots, answer.sequence), (3, Some(0)));
    assert_eq!(ask(&node, Some(By::TxHash(hash.to_lowercase()))).await.unwrap(), answer);
    assert_eq!(ask(&node, sequence(2, 0)).await.unwrap(), answer);
    for (by, code) in [
        (None, Code::InvalidArgument),
        (Some(By::TxHash("12".into())), Code::InvalidArgument),
        (sequence(9, 0), Code::UnknownAccount),
    ] {
        assert_eq!(code_of(&ask(&node, by).await.unwrap_err()), code.number());
    }
}

#[tokio::test]
async fn what_was_accepted_and_dropped_is_answered_at_once_and_for_certain_when_it_is_too_late() {
    let mut node = Node::start().await;
    node.fund(2);
    let height = node.state.chain.height;
    let timeout_height = height + TX_LIFETIME_BLOCKS + 2;
    let options = TxOptions { timeout_height, ..TxOptions::default() };
    let tx = signer(2).sign(v1::MsgTakeBackWithdrawal::default(), options).unwrap();
    let hash = hash_of(&node, &tx);
    let mut client = OrderServiceClient::new(node.channel().await);
    let request = SubmitRequest { tx, wait_for: v1::WaitFor::Committed.into(), timeout_ms: 60_000 };
    let waiting = tokio::spawn(async move { client.submit(request).await });
    node.comet.saw(1).await;
    let until = format!("waits for a block on this node, up to block {}", height + 50);
    for by in [Some(By::TxHash(hash.clone())), sequence(2, 0)] {
        let pending = ask(&node, by).await.unwrap_err();
        assert_eq!(code_of(&pending), Code::UnknownTransaction.number());
        assert!(pending.message().ends_with(&until), "{pending:?}");
    }
    for _ in 0..TX_LIFETIME_BLOCKS {
        node.block(&[]);
        node.queue.committed(&[]);
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    let answer = answer.unwrap().unwrap().into_inner();
    assert_eq!(
        (answer.outcome(), answer.code),
        (v1::SubmitOutcome::Unknown, Code::TxDropped.number())
    );
    let until = format!("up to block {timeout_height} or the use of sequence 0");
    assert!(answer.message.contains(&until), "{answer:?}");
    for by in [Some(By::TxHash(hash.clone())), sequence(2, 0)] {
        let status = ask(&node, by).await.unwrap_err();
        assert_eq!(code_of(&status), Code::TxDropped.number());
        assert!(status.message().ends_with(&answer.message), "{status:?}");
    }
    for _ in 0..2 {
        node.block(&[]);
    }
    let late = ask(&node, Some(By::TxHash(hash.clone()))).await.unwrap_err();
    assert_eq!(code_of(&late), Code::TxExpired.number());
    let other = node.sign(2, v1::MsgTakeBackWithdrawal::default());
    node.block(&[other]);
    let lost = ask(&node, Some(By::TxHash(hash))).await.unwrap_err();
    assert_eq!(code_of(&lost), Code::SequenceReplayed.number());
    assert!(lost.message().ends_with("used it up"), "{lost:?}");
}

#[tokio::test]
async fn an_answer_before_what_the_node_has_is_out_of_range() {
    let mut node = Node::start().await;
    node.publish(&[]);
    node.fund(2);
    let tx = node.order(2, v1::Side::Buy, PRICE - 10, 3);
    node.publish(&[tx]);
    // The market data of another node that begins here.
    let (state, market_data) = (node.state, MarketData::new());
    let mut later = Node::start_with(node.start_ms, Arc::clone(&market_data)).await;
    later.state = state;
    later.block(&[]);
    let old = ask(&later, sequence(2, 0)).await.unwrap_err();
    assert_eq!((old.code(), code_of(&old)), (tonic::Code::OutOfRange, Code::OutOfRange.number()));
    assert!(old.message().contains("before block 4, where"), "{old:?}");
}

#[tokio::test]
async fn who_loses_a_race_for_a_sequence_hears_of_the_winner_and_its_block() {
    let mut node = Node::start().await;
    node.fund(2);
    let won = node.order(2, v1::Side::Buy, PRICE - 10, 3);
    node.sequences.insert(2, 0);
    let lost = node.order(2, v1::Side::Buy, PRICE - 10, 4);
    let hash = hash_of(&node, &won);
    node.block(&[won]);
    let mut client = OrderServiceClient::new(node.channel().await);
    let refused =
        client.submit(SubmitRequest { tx: lost, ..Default::default() }).await.unwrap_err();
    assert_eq!(code_of(&refused), Code::SequenceReplayed.number());
    assert!(
        refused.message().ends_with(&format!("; transaction {hash} in block 2 used it up")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_request_above_the_bound_is_an_invalid_argument() {
    let node = Node::start().await;
    let mut client = OrderServiceClient::new(node.channel().await);
    let tx = vec![0; (4 << 20) + 1];
    let refused = client.submit(SubmitRequest { tx, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    assert_eq!(code_of(&refused), Code::InvalidArgument.number());
    assert!(refused.message().contains("the limit is: 4194304 bytes"), "{refused:?}");
}

#[tokio::test]
async fn a_position_above_the_newest_block_or_before_the_first_is_refused() {
    let mut node = Node::start().await;
    node.publish(&[]);
    node.block(&[]);
    node.block(&[]);
    let mut client = StreamServiceClient::new(node.channel().await);
    for (from_height, sentence) in [(9, "above the node's newest block 3"), (1, "(block 2) on")] {
        let blocks = v1::StreamBlocksRequest { from_height };
        let refused = client.blocks(blocks).await.unwrap_err();
        assert_eq!(
            (refused.code(), code_of(&refused)),
            (tonic::Code::OutOfRange, Code::OutOfRange.number())
        );
        assert!(refused.message().contains(sentence), "{refused:?}");
    }
    let mut all = client.blocks(v1::StreamBlocksRequest { from_height: 2 }).await.unwrap();
    for height in [2, 3] {
        assert_eq!(all.get_mut().message().await.unwrap().unwrap().height, height);
    }
    assert!(client.blocks(v1::StreamBlocksRequest { from_height: 4 }).await.is_ok());
}

#[tokio::test]
async fn trades_and_books_are_told_from_a_height_on() {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let (bid, ask) =
        (node.order(2, v1::Side::Buy, PRICE, 5), node.order(3, v1::Side::Sell, PRICE, 2));
    node.block(&[bid, ask]);
    let more = node.order(3, v1::Side::Sell, PRICE, 1);
    node.block(&[more]);
    let mut client = StreamServiceClient::new(node.channel().await);
    let trades = v1::StreamTradesRequest { market: Some(0), from_height: 3 };
    let mut trades = client.trades(trades).await.unwrap().into_inner();
    for lots in [2, 1] {
        assert_eq!(trades.message().await.unwrap().unwrap().lots, lots);
    }
    let book = v1::StreamBookRequest { market: 0, from_height: 4 };
    let mut book = client.book(book).await.unwrap().into_inner();
    let update = book.message().await.unwrap().unwrap();
    assert_eq!((update.height, update.snapshot, update.sequence), (4, false, 2));
    let orders = v1::StreamOrderBookRequest { market: 0, from_height: 3 };
    let mut orders = client.order_book(orders).await.unwrap().into_inner();
    let update = orders.message().await.unwrap().unwrap();
    assert_eq!((update.height, update.snapshot, update.sequence), (3, false, 1));
}

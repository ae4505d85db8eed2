//! A node whose newest block is old, as during a replay: it says so, and refuses nothing for its
//! state.

use tidemark_proto::v1::answer_request::By;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::v1::query_service_client::QueryServiceClient;
use tidemark_proto::v1::stream_service_client::StreamServiceClient;
use tidemark_proto::Code;
use tonic::Status;

use super::*;
use crate::standing::{BEHIND_KEY, BLOCK_TIME_KEY, HEIGHT_KEY};

/// A node whose two blocks are of 1970, with one owner that has sent one transaction.
async fn old() -> Node {
    let mut node = Node::start_at(1_000).await;
    with_an_order(&mut node);
    node
}

fn with_an_order(node: &mut Node) {
    node.fund(2);
    let order = node.order(2, v1::Side::Buy, PRICE - 10, 1);
    node.block(&[order]);
}

fn owner(secret: u8) -> String {
    signer(secret).address().to_string()
}

fn is_behind(status: &Status) {
    assert_eq!(code_of(status), Code::NodeBehind.number(), "{status:?}");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("newest block, 2, is "), "{status:?}");
    assert!(status.metadata().contains_key(BEHIND_KEY), "{status:?}");
}

#[tokio::test]
async fn queries_of_what_may_exist_by_now_are_not_refused() {
    let node = old().await;
    let channel = node.channel().await;
    let mut queries = QueryServiceClient::new(channel.clone());
    let stranger = v1::AccountRequest { owner: owner(9), subaccount: None };
    is_behind(&queries.account(stranger).await.unwrap_err());
    is_behind(&queries.book(v1::BookRequest { market: 7, depth: 1 }).await.unwrap_err());
    let orders = v1::OrdersRequest { owner: owner(9), ..Default::default() };
    is_behind(&queries.orders(orders).await.unwrap_err());
    let wrong = v1::AccountRequest { owner: "nobody".into(), subaccount: None };
    let refused = queries.account(wrong).await.unwrap_err();
    assert_ne!(code_of(&refused), Code::NodeBehind.number(), "the request alone is wrong");
    let request =
        cosmos_sdk_proto::cosmos::auth::v1beta1::QueryAccountRequest { address: owner(9) };
    let mut auth = cosmos_sdk_proto::cosmos::auth::v1beta1::query_client::QueryClient::new(channel);
    is_behind(&auth.account(request).await.unwrap_err());
}

#[tokio::test]
async fn answers_and_positions_that_may_exist_by_now_are_not_refused() {
    let node = old().await;
    let channel = node.channel().await;
    let mut orders = OrderServiceClient::new(channel.clone());
    let sequence =
        |secret, sequence| By::Sequence(v1::AccountSequence { owner: owner(secret), sequence });
    for by in [sequence(2, 1), sequence(9, 0), By::TxHash("00".repeat(32))] {
        is_behind(&orders.answer(v1::AnswerRequest { by: Some(by) }).await.unwrap_err());
    }
    let by = Some(sequence(2, 0));
    let answer = orders.answer(v1::AnswerRequest { by }).await.unwrap().into_inner();
    assert_eq!((answer.height, answer.code), (2, 0), "what is known is told");
    let mut streams = StreamServiceClient::new(channel);
    let request = v1::StreamBlocksRequest { from_height: 100 };
    is_behind(&streams.blocks(request).await.unwrap_err());
    let account = v1::StreamAccountRequest { owner: owner(9), ..Default::default() };
    is_behind(&streams.account(account).await.unwrap_err());
}

#[tokio::test]
async fn every_answer_tells_the_newest_block_and_whether_it_is_old() {
    let (behind, mut current) = (old().await, Node::start().await);
    with_an_order(&mut current);
    for (node, is_behind) in [(&behind, true), (&current, false)] {
        let mut queries = QueryServiceClient::new(node.channel().await);
        let status = queries.status(v1::StatusRequest {}).await.unwrap();
        let told = |key: &str| {
            let value = status.metadata().get(key)?;
            value.to_str().unwrap().parse::<u64>().ok()
        };
        assert_eq!(told(HEIGHT_KEY), Some(2));
        assert_eq!(told(BLOCK_TIME_KEY), Some(node.start_ms + 200));
        assert_eq!(told(BEHIND_KEY).is_some(), is_behind);
        assert!(told(BEHIND_KEY).is_none_or(|behind_ms| behind_ms > 1_700_000_000_000));
        let mut streams = StreamServiceClient::new(node.channel().await);
        let stream = streams.blocks(v1::StreamBlocksRequest { from_height: 1 }).await.unwrap();
        assert_eq!(stream.metadata().contains_key(BEHIND_KEY), is_behind);
    }
}

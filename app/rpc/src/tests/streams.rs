//! Streams: gap-free, resumable, and ended with a reason.

use tidemark_market_data::order_book::l3_root;
use tidemark_proto::units::OrderId;
use tidemark_proto::v1::account_event::Event;
use tidemark_proto::v1::stream_service_client::StreamServiceClient;
use tidemark_proto::Code;

use super::*;

fn account(secret: u8, after_sequence: u64) -> v1::StreamAccountRequest {
    v1::StreamAccountRequest {
        owner: signer(secret).address().to_string(),
        subaccount: 0,
        after_sequence,
        from_height: 0,
    }
}

#[tokio::test]
async fn a_book_stream_begins_with_the_book_and_goes_on_without_gaps() {
    let mut node = Node::start().await;
    node.fund(2);
    let bid = node.order(2, v1::Side::Buy, PRICE - 1, 5);
    node.block(&[bid]);
    let mut client = StreamServiceClient::new(node.channel().await);
    let mut book = client
        .book(v1::StreamBookRequest { market: 0, from_height: 0 })
        .await
        .unwrap()
        .into_inner();
    let (ask, more) =
        (node.order(2, v1::Side::Sell, PRICE + 1, 2), node.order(2, v1::Side::Buy, PRICE - 1, 1));
    node.block(&[ask]);
    node.block(&[]);
    node.block(&[more]);
    let mut updates = Vec::new();
    for _ in 0..3 {
        updates.push(book.message().await.unwrap().unwrap());
    }
    let level = |price_ticks, lots, orders| v1::Level { price_ticks, lots, orders };
    assert!(updates[0].snapshot && !updates[1].snapshot);
    assert_eq!((&updates[0].bids[..], updates[0].asks.len()), (&[level(PRICE - 1, 5, 1)][..], 0));
    assert_eq!((updates[1].bids.len(), &updates[1].asks[..]), (0, &[level(PRICE + 1, 2, 1)][..]));
    assert_eq!(updates[2].bids, [level(PRICE - 1, 6, 2)]);
    assert_eq!(updates.iter().map(|update| update.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(updates.iter().map(|update| update.height).collect::<Vec<_>>(), [2, 3, 5]);
    assert_eq!(updates[2].checksum, node.state.markets[0].book.l2_root());
    let refused =
        client.book(v1::StreamBookRequest { market: 3, from_height: 0 }).await.unwrap_err();
    assert_eq!(code_of(&refused), Code::UnknownMarket.number());
}

#[tokio::test]
async fn an_order_book_stream_tells_every_order_and_its_checksum_is_the_chains() {
    let mut node = Node::start().await;
    node.fund(2);
    let bid = node.order(2, v1::Side::Buy, PRICE - 1, 5);
    node.block(&[bid]);
    let mut client = StreamServiceClient::new(node.channel().await);
    let request = v1::StreamOrderBookRequest { market: 0, from_height: 0 };
    let mut book = client.order_book(request).await.unwrap().into_inner();
    let more = node.order(2, v1::Side::Buy, PRICE - 1, 1);
    node.block(&[more]);
    let (first, second) =
        (book.message().await.unwrap().unwrap(), book.message().await.unwrap().unwrap());
    assert_eq!((first.snapshot, first.more, second.snapshot), (true, false, false));
    assert_eq!((first.sequence, second.sequence), (1, 2));
    let changes = first.changes.iter().chain(&second.changes);
    let orders: Vec<v1::RestingOrder> = changes
        .map(|change| match change.change {
            Some(v1::order_book_change::Change::Rests(order)) => order,
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(orders.iter().map(|order| order.shown_lots).collect::<Vec<_>>(), [5, 1]);
    let next_order_id = OrderId::new(second.next_order_id);
    assert_eq!(l3_root(orders.iter(), next_order_id).to_vec(), second.checksum);
    assert_eq!(second.checksum, node.state.markets[0].book.l3_root());
}

#[tokio::test]
async fn an_account_stream_tells_an_order_s_life_and_resumes_after_a_sequence() {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let mut client = StreamServiceClient::new(node.channel().await);
    let mut live = client.account(account(2, 0)).await.unwrap().into_inner();
    let bid = node.order(2, v1::Side::Buy, PRICE, 5);
    node.block(&[bid]);
    let ask = node.order(3, v1::Side::Sell, PRICE, 2);
    node.block(&[ask]);
    let rested = live.message().await.unwrap().unwrap();
    let filled = live.message().await.unwrap().unwrap();
    assert!(
        matches!(rested.event, Some(Event::Rested(v1::OrderRested { lots: 5, .. }))),
        "{rested:?}"
    );
    let Some(Event::Filled(fill)) = filled.event else { panic!("{filled:?}") };
    assert_eq!(
        (fill.maker, fill.lots, fill.remaining_lots, filled.order_id),
        (true, 2, 3, rested.order_id)
    );
    assert_eq!((rested.sequence >> 24, filled.sequence >> 24), (3, 4));
    for (after, expected) in [(1, vec![&rested, &filled]), (rested.sequence, vec![&filled])] {
        // Sequence 1 is of height 0, before the first block: everything is still kept.
        let after = if after == 1 { 1 << 24 } else { after };
        let mut resumed = client.account(account(2, after)).await.unwrap().into_inner();
        for event in expected {
            assert_eq!(&resumed.message().await.unwrap().unwrap(), event);
        }
    }
    let stranger = client.account(account(9, 0)).await.unwrap_err();
    assert_eq!(stranger.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn trades_and_blocks_are_told_as_they_come() {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let mut client = StreamServiceClient::new(node.channel().await);
    let mut trades = client
        .trades(v1::StreamTradesRequest { market: None, from_height: 0 })
        .await
        .unwrap()
        .into_inner();
    let mut blocks =
        client.blocks(v1::StreamBlocksRequest { from_height: 0 }).await.unwrap().into_inner();
    let (bid, ask) =
        (node.order(2, v1::Side::Buy, PRICE, 5), node.order(3, v1::Side::Sell, PRICE, 2));
    node.block(&[bid, ask]);
    let trade = trades.message().await.unwrap().unwrap();
    assert_eq!((trade.price_ticks, trade.lots, trade.height), (PRICE, 2, 3));
    let block = blocks.message().await.unwrap().unwrap();
    assert_eq!(
        (block.height, block.txs, block.operations, block.operations_refused, block.trades),
        (3, 2, 2, 0, 1)
    );
    assert_eq!(block.app_hash, node.state.app_hash);
}

#[tokio::test]
async fn a_stream_that_was_passed_by_ends_with_a_reason_and_so_does_a_late_resume() {
    let mut node = Node::start().await;
    node.fund(2);
    let mut client = StreamServiceClient::new(node.channel().await);
    let mut liquidations = client
        .liquidations(v1::StreamLiquidationsRequest { market: None, from_height: 0 })
        .await
        .unwrap()
        .into_inner();
    // No await in between: the stream's reader cannot run while the ring goes round.
    for _ in 0..10_001 {
        node.block(&[]);
    }
    let ended = liquidations.message().await.unwrap_err();
    assert_eq!(
        (ended.code(), code_of(&ended)),
        (tonic::Code::ResourceExhausted, Code::Overloaded.number())
    );
    let late = client.account(account(2, 1 << 24)).await.unwrap_err();
    assert_eq!((late.code(), code_of(&late)), (tonic::Code::OutOfRange, Code::OutOfRange.number()));
    assert!(late.message().contains("the node has events from 50331648 (block 3) on"), "{late:?}");
}

#[tokio::test]
async fn a_stopping_node_ends_its_streams() {
    let node = Node::start().await;
    let mut client = StreamServiceClient::new(node.channel().await);
    let mut blocks =
        client.blocks(v1::StreamBlocksRequest { from_height: 0 }).await.unwrap().into_inner();
    let metrics = Arc::clone(&node.metrics);
    node.server.stop().await;
    assert_eq!(blocks.message().await.unwrap_err().code(), tonic::Code::Unavailable);
    let text = String::from_utf8(metrics.text().unwrap()).unwrap();
    assert!(text.contains("tidemark_stream_subscribers{stream=\"blocks\"} 0"), "{text}");
    assert!(text.contains(
        "tidemark_grpc_requests_total{code=\"Unavailable\",method=\"tidemark.v1.StreamService/\
         Blocks\"} 1"
    ));
}

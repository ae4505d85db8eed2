//! Queries, health, reflection, and the port.

use cosmos_sdk_proto::cosmos::auth::v1beta1::query_client::QueryClient as AuthClient;
use cosmos_sdk_proto::cosmos::auth::v1beta1::{
    BaseAccount, QueryAccountRequest, QueryParamsRequest,
};
use prost::Message as _;
use tidemark_market_data::readiness::Check;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::v1::query_service_client::QueryServiceClient;
use tidemark_proto::Code;
use tokio_stream::StreamExt as _;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::ServerReflectionRequest;

use super::*;

/// Two funded accounts that have traded 2 of 5 lots at [`PRICE`], in block 3.
async fn traded() -> (Node, Channel) {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let (bid, ask) =
        (node.order(2, v1::Side::Buy, PRICE, 5), node.order(3, v1::Side::Sell, PRICE, 2));
    node.block(&[bid, ask]);
    let channel = node.channel().await;
    (node, channel)
}

#[tokio::test]
async fn state_is_read_as_of_the_last_block() {
    let (node, channel) = traded().await;
    let mut client = QueryServiceClient::new(channel);
    let status = client.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.chain_id.as_str(), status.height, status.feed.as_str()), (CHAIN, 3, "test"));
    assert_eq!(status.app_hash, node.state.app_hash);
    let params = client.params(v1::ParamsRequest {}).await.unwrap().into_inner();
    assert_eq!((params.max_operations, params.admin), (512, minter().address().to_string()));
    let markets =
        client.markets(v1::MarketsRequest { market: None }).await.unwrap().into_inner().markets;
    let market = &markets[0];
    assert_eq!(
        (market.k, market.index_ticks, market.mark_ticks, market.stale),
        (10, PRICE, PRICE, false)
    );
    assert_eq!(
        (market.open_interest_lots, market.last_trade_ticks, market.best_bid_ticks),
        (2, PRICE, PRICE)
    );
    let refused = client.markets(v1::MarketsRequest { market: Some(9) }).await.unwrap_err();
    assert_eq!(
        (code_of(&refused), refused.code()),
        (Code::UnknownMarket.number(), tonic::Code::NotFound)
    );
    let funding = client.funding(v1::FundingRequest { market: 0 }).await.unwrap().into_inner();
    assert_eq!(funding.cumulative_index, "0");
}

#[tokio::test]
async fn book_and_orders_are_those_of_the_chain() {
    let (mut node, channel) = traded().await;
    let mut client = QueryServiceClient::new(channel);
    let book = client.book(v1::BookRequest { market: 0, depth: 0 }).await.unwrap().into_inner();
    assert_eq!(book.bids, [v1::Level { price_ticks: PRICE, lots: 3, orders: 1 }]);
    assert_eq!((book.asks.len(), book.sequence, book.height), (0, 1, 3));
    assert_eq!(book.checksum, node.state.markets[0].book.l2_root());
    let owner = signer(2).address().to_string();
    let request = v1::OrdersRequest { owner: owner.clone(), subaccount: 0, market: Some(0) };
    let orders = client.orders(request).await.unwrap().into_inner().orders;
    assert_eq!((orders.len(), orders[0].lots, orders[0].side()), (1, 3, v1::Side::Buy));
    let none = v1::OrdersRequest { owner, subaccount: 5, market: None };
    assert_eq!(client.orders(none).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn an_account_s_figures_are_those_of_margin() {
    let (_node, channel) = traded().await;
    let mut client = QueryServiceClient::new(channel);
    let ask = |owner: &Signer| v1::AccountRequest {
        owner: owner.address().to_string(),
        subaccount: None,
    };
    let answer = client.account(ask(&signer(2))).await.unwrap().into_inner();
    assert_eq!((answer.height, answer.sequence, answer.subaccounts.len()), (3, 1, 1));
    let account = &answer.subaccounts[0];
    let position = &account.positions[0];
    let notional = i64::try_from(PRICE).unwrap() * 2 * 10;
    assert_eq!(
        (position.lots, position.notional_atoms, position.cost_atoms),
        (2, notional, notional)
    );
    assert_eq!((account.open_orders, account.equity_atoms), (1, account.collateral_atoms));
    assert_eq!(account.free_atoms, account.equity_atoms - account.reserve_atoms);
    // 5 lots, held or ordered, at 50×: 2 %.
    let margin = i64::try_from(PRICE).unwrap() * 5 * 10 / 50;
    assert!((margin..margin + 100_000).contains(&account.reserve_atoms), "{account:?}");
    assert_eq!(position.reserve_atoms, account.reserve_atoms);
    assert_eq!(position.liquidation_price_ticks, 0, "a million USDC cannot be lost on 2 lots");
    let short = client.account(ask(&signer(3))).await.unwrap().into_inner();
    assert_eq!(short.subaccounts[0].positions[0].lots, -2);
    assert!(short.subaccounts[0].positions[0].liquidation_price_ticks > PRICE);
    let minter = client.account(ask(&minter())).await.unwrap().into_inner();
    assert_eq!((minter.sequence, minter.subaccounts.len()), (2, 0));
    let stranger = client.account(ask(&signer(9))).await.unwrap_err();
    assert_eq!(code_of(&stranger), Code::UnknownAccount.number());
}

#[tokio::test]
async fn an_account_tells_the_next_free_sequence() {
    let (mut node, channel) = traded().await;
    let owner = signer(2).address().to_string();
    let mut orders = OrderServiceClient::new(channel.clone());
    for sequence in [1, 2, 4] {
        node.sequences.insert(2, sequence);
        let tx = node.order(2, v1::Side::Buy, PRICE, 1);
        orders.submit(v1::SubmitRequest { tx, ..Default::default() }).await.unwrap();
    }
    let request = v1::AccountRequest { owner, subaccount: None };
    let account = QueryServiceClient::new(channel).account(request).await.unwrap().into_inner();
    assert_eq!((account.sequence, account.next_sequence), (1, 3));
}

#[tokio::test]
async fn wallets_read_their_sequence() {
    let (node, channel) = traded().await;
    let mut client = AuthClient::new(channel);
    let address = signer(2).address().to_string();
    let answer = client
        .account(QueryAccountRequest { address: address.clone() })
        .await
        .unwrap()
        .into_inner();
    let any = answer.account.unwrap();
    assert_eq!(any.type_url, "/cosmos.auth.v1beta1.BaseAccount");
    let account = BaseAccount::decode(any.value.as_slice()).unwrap();
    let number = node.publisher.view().signing_domain().account_number();
    assert_ne!(number, 0);
    assert_eq!((account.address, account.account_number, account.sequence), (address, number, 1));
    let unknown = QueryAccountRequest { address: signer(9).address().to_string() };
    assert_eq!(client.account(unknown).await.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(
        client.params(QueryParamsRequest {}).await.unwrap_err().code(),
        tonic::Code::Unimplemented
    );
}

#[tokio::test]
async fn the_export_holds_owners_positions_and_orders() {
    let (_node, channel) = traded().await;
    let stream =
        QueryServiceClient::new(channel).export(v1::ExportRequest {}).await.unwrap().into_inner();
    let chunks: Vec<_> = stream.map(|chunk| chunk.unwrap().json).collect().await;
    let read: Value = serde_json::from_slice(&chunks.concat()).unwrap();
    assert_eq!(read["owners"].as_array().unwrap().len(), 3);
    assert_eq!(read["owners"][1]["subaccounts"][0]["positions"][0]["lots"], 2);
    assert_eq!(read["orders"][0]["lots"], 3);
    assert_eq!(read["chain"]["height"], 3);
}

#[tokio::test]
async fn health_follows_readiness() {
    let node = Node::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(node.channel().await);
    let failed = Check { name: "disk", ok: false, reason: "it is full".into() };
    let not_ready = Condition { ready: vec![failed], ..Condition::default() };
    for (condition, serving) in [(not_ready, 2), (Condition::default(), 1)] {
        node.readiness.tell(condition);
        for service in ["", "tidemark.v1.OrderService", "tidemark.v1.StreamService"] {
            loop {
                let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
                if health.check(request).await.unwrap().into_inner().status == serving {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test]
async fn reflection_answers() {
    let node = Node::start().await;
    let channel = node.channel().await;
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list");
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in
        ["tidemark.v1.OrderService", "tidemark.v1.QueryService", "tidemark.v1.StreamService"]
    {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[tokio::test]
async fn a_busy_port_gives_a_sentence() {
    let node = Node::start().await;
    let other = Node::start().await;
    let deps = Deps {
        publisher: Arc::clone(&other.publisher),
        market_data: Arc::clone(&other.market_data),
        queue: Arc::clone(&other.queue),
        comet: RpcClient::new(&other.comet.address).unwrap(),
        forward: Forward::default(),
        metrics: Arc::clone(&other.metrics),
        feed: String::new(),
        readiness: other.readiness.clone(),
    };
    let address = node.server.address();
    let why = serve(address, deps).unwrap_err();
    assert!(
        why.starts_with(&format!("gRPC cannot listen on {address}: another process does")),
        "{why}"
    );
}

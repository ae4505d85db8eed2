//! A typed gRPC client: what the command line, the demo traders, tests and benchmarks speak to a
//! node with. Not consensus: clocks and decimals are allowed.

pub mod agent;
mod error;
pub mod export;
pub mod format;
pub mod key_file;
mod market;
pub mod options;
mod order_sender;
mod recent_height;
mod sender;
mod table;
pub mod terminal;
pub mod words;

use std::time::Duration;

use tidemark_proto::oracle_v1;
use tidemark_proto::oracle_v1::sidecar_service_client::SidecarServiceClient;
use tidemark_proto::types::SigningDomain;
use tidemark_proto::v1;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tidemark_proto::v1::query_service_client::QueryServiceClient;
use tidemark_proto::v1::stream_service_client::StreamServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::Streaming;

pub use agent::AgentSender;
pub use error::ClientError;
pub use market::{atoms_of_usdc, lots_within, usdc, Market, Markets};
pub use order_sender::{OrderKey, OrderSender};
pub use sender::{Receipt, Sender};
pub use table::Table;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read: a whole book of some 100 000 levels a side.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Everything behind the prices of the sidecar at `address`.
///
/// # Errors
/// [`ClientError`] as of a node: unreachable, no address, or failed.
pub async fn sidecar_status(address: &str) -> Result<oracle_v1::StatusResponse, ClientError> {
    let client = Client::connect(address).await?;
    let mut service = SidecarServiceClient::new(client.channel.clone())
        .max_decoding_message_size(MAX_ANSWER_BYTES);
    let answer = service.status(Client::request(oracle_v1::StatusRequest {})).await;
    answer.map(tonic::Response::into_inner).map_err(|status| client.error(&status))
}

/// A connection to one node. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    node: String,
    channel: Channel,
}

impl Client {
    /// Connects to a node's gRPC address, e.g. `http://127.0.0.1:9090`; `http://` may be left out.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when nothing answers there, [`ClientError::BadAddress`] when it
    /// is no address.
    pub async fn connect(node: &str) -> Result<Self, ClientError> {
        let node = if node.contains("://") { node.to_owned() } else { format!("http://{node}") };
        let bad_address = |why: String| ClientError::BadAddress { node: node.clone(), why };
        if !node.starts_with("http://") {
            return Err(bad_address("it must begin with http://".into()));
        }
        let endpoint =
            Endpoint::from_shared(node.clone()).map_err(|error| bad_address(error.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        let channel = endpoint.connect().await.map_err(|error| ClientError::Unreachable {
            node: node.clone(),
            why: error::root_cause(&error),
        })?;
        Ok(Self { node, channel })
    }

    /// The node's address as it was given.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone())
    }

    fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn streams(&self) -> StreamServiceClient<Channel> {
        StreamServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn request<T>(message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(QUERY_TIMEOUT);
        request
    }

    fn error(&self, status: &tonic::Status) -> ClientError {
        ClientError::of_query(&self.node, status)
    }

    /// Sends signed bytes as they are. Sending the same bytes again is harmless.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the chain refuses the transaction, [`ClientError::Unknown`]
    /// when an answer is missing, [`ClientError::Unreachable`] when it was not sent.
    pub async fn submit(
        &self,
        tx: Vec<u8>,
        wait_for: v1::WaitFor,
        timeout: Duration,
    ) -> Result<v1::SubmitResponse, ClientError> {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let request = v1::SubmitRequest { tx, wait_for: wait_for.into(), timeout_ms };
        let mut request = tonic::Request::new(request);
        // The node answers within its own timeout; the rest is for the way there and back.
        request.set_timeout(timeout.saturating_add(Duration::from_secs(5)));
        let answer = self.orders().submit(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| ClientError::of_submit(&self.node, &status))
    }

    /// The answer to a transaction that is in a block.
    ///
    /// # Errors
    /// [`ClientError`]; `UNKNOWN_TRANSACTION` when it is in none that the node has, `OUT_OF_RANGE`
    /// when it lies before them.
    pub async fn answer(
        &self,
        by: v1::answer_request::By,
    ) -> Result<v1::AnswerResponse, ClientError> {
        let request = Self::request(v1::AnswerRequest { by: Some(by) });
        let answer = self.orders().answer(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// The chain's height, time and app hash, and what the node runs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<v1::StatusResponse, ClientError> {
        let answer = self.queries().status(Self::request(v1::StatusRequest {})).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// The hash of the chain's state at genesis, which signatures are for.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Failed`] when the node does not tell it.
    pub async fn genesis_hash(&self) -> Result<[u8; 32], ClientError> {
        let hash = self.status().await?.genesis_hash;
        hash.as_slice().try_into().map_err(|_| {
            let message = format!("a genesis hash of {} bytes, must be 32", hash.len());
            ClientError::Failed { code: "Status".into(), message }
        })
    }

    /// The chain that signatures are for, as the node tells it.
    ///
    /// # Errors
    /// As of [`Self::genesis_hash`].
    pub async fn signing_domain(&self) -> Result<SigningDomain, ClientError> {
        let chain_id = self.status().await?.chain_id;
        Ok(SigningDomain::new(&chain_id, &self.genesis_hash().await?))
    }

    /// An owner's agents.
    ///
    /// # Errors
    /// [`ClientError`]; `UNKNOWN_ACCOUNT` for an owner that never got a deposit.
    pub async fn agents(&self, owner: &str) -> Result<v1::AgentsResponse, ClientError> {
        let request = v1::AgentsRequest { owner: owner.to_owned() };
        let answer = self.queries().agents(Self::request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Parameters of the whole chain.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn params(&self) -> Result<v1::ParamsResponse, ClientError> {
        let answer = self.queries().params(Self::request(v1::ParamsRequest {})).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Every market with its state.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn markets(&self) -> Result<Markets, ClientError> {
        let answer =
            self.queries().markets(Self::request(v1::MarketsRequest { market: None })).await;
        answer
            .map(|answer| Markets::new(answer.into_inner().markets))
            .map_err(|status| self.error(&status))
    }

    /// One subaccount of an owner, or all.
    ///
    /// # Errors
    /// [`ClientError`]; `UNKNOWN_ACCOUNT` for an owner that never got a deposit.
    pub async fn account(
        &self,
        owner: &str,
        subaccount: Option<u32>,
    ) -> Result<v1::AccountResponse, ClientError> {
        let request = v1::AccountRequest { owner: owner.to_owned(), subaccount };
        let answer = self.queries().account(Self::request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Open orders of a subaccount, in one market or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_orders(
        &self,
        owner: &str,
        subaccount: u32,
        market: Option<u32>,
    ) -> Result<v1::OrdersResponse, ClientError> {
        let request = v1::OrdersRequest { owner: owner.to_owned(), subaccount, market };
        let answer = self.queries().orders(Self::request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// The best `depth` levels of a side of a book; 0 is all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn book(&self, market: u32, depth: u32) -> Result<v1::BookResponse, ClientError> {
        let answer = self.queries().book(Self::request(v1::BookRequest { market, depth })).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Last and predicted funding of a market.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn funding(&self, market: u32) -> Result<v1::FundingResponse, ClientError> {
        let answer = self.queries().funding(Self::request(v1::FundingRequest { market })).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Price reports of the validators; with a market, also each validator's price of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn oracle(&self, market: Option<u32>) -> Result<v1::OracleResponse, ClientError> {
        let answer = self.queries().oracle(Self::request(v1::OracleRequest { market })).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Each term of a subaccount's margin.
    ///
    /// # Errors
    /// [`ClientError`]; `UNKNOWN_ACCOUNT`.
    pub async fn explain(
        &self,
        owner: &str,
        subaccount: u32,
    ) -> Result<v1::ExplainResponse, ClientError> {
        let request = v1::ExplainRequest { owner: owner.to_owned(), subaccount };
        let answer = self.queries().explain(Self::request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// A subaccount's liquidation steps that the node has seen, newest first, or one by its
    /// sequence.
    ///
    /// # Errors
    /// [`ClientError`]; `UNKNOWN_ACCOUNT`.
    pub async fn liquidation_history(
        &self,
        owner: &str,
        subaccount: u32,
        sequence: Option<u64>,
    ) -> Result<v1::LiquidationHistoryResponse, ClientError> {
        let request = v1::LiquidationHistoryRequest {
            owner: owner.to_owned(),
            subaccount,
            sequence,
            limit: 0,
        };
        let answer = self.queries().liquidation_history(Self::request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Keepers, listed positions and waiting takeovers, of one market or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backstop(&self, market: Option<u32>) -> Result<v1::BackstopResponse, ClientError> {
        let answer = self.queries().backstop(Self::request(v1::BackstopRequest { market })).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Listed positions of one market or all, in each block in which they changed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn listed_stream(
        &self,
        market: Option<u32>,
    ) -> Result<Streaming<v1::ListedUpdate>, ClientError> {
        let answer =
            self.streams().listed(v1::StreamListedRequest { market, from_height: 0 }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// One message a block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_stream(&self) -> Result<Streaming<v1::BlockSummary>, ClientError> {
        let answer = self.streams().blocks(v1::StreamBlocksRequest { from_height: 0 }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// A book, then its changes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn book_stream(&self, market: u32) -> Result<Streaming<v1::BookUpdate>, ClientError> {
        let answer = self.streams().book(v1::StreamBookRequest { market, from_height: 0 }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Trades of one market or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trade_stream(
        &self,
        market: Option<u32>,
    ) -> Result<Streaming<v1::Trade>, ClientError> {
        let answer =
            self.streams().trades(v1::StreamTradesRequest { market, from_height: 0 }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Liquidations of one market or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn liquidation_stream(
        &self,
        market: Option<u32>,
    ) -> Result<Streaming<v1::Liquidation>, ClientError> {
        let answer = self
            .streams()
            .liquidations(v1::StreamLiquidationsRequest { market, from_height: 0 })
            .await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Orders and fills of one subaccount, after a sequence; 0 starts now.
    ///
    /// # Errors
    /// [`ClientError`]; `OUT_OF_RANGE` as [`ClientError::Failed`] when the node no longer has what
    /// came after that sequence.
    pub async fn account_stream(
        &self,
        owner: &str,
        subaccount: u32,
        after_sequence: u64,
    ) -> Result<Streaming<v1::AccountEvent>, ClientError> {
        let owner = owner.to_owned();
        let from_height = 0;
        let request = v1::StreamAccountRequest { owner, subaccount, after_sequence, from_height };
        let answer = self.streams().account(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Orders and fills of one subaccount, from a block on.
    ///
    /// # Errors
    /// As of [`Self::account_stream`].
    pub async fn account_stream_from(
        &self,
        owner: &str,
        subaccount: u32,
        from_height: u64,
    ) -> Result<Streaming<v1::AccountEvent>, ClientError> {
        let owner = owner.to_owned();
        let after_sequence = 0;
        let request = v1::StreamAccountRequest { owner, subaccount, after_sequence, from_height };
        let answer = self.streams().account(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// The error for the status with which a stream ended.
    #[must_use]
    pub fn stream_ended(&self, status: &tonic::Status) -> ClientError {
        self.error(status)
    }
}

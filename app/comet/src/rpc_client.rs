//! A small client of CometBFT's JSON-RPC: what the node needs of it, over kept-alive connections.

use std::time::Duration;

use base64::{engine::general_purpose::STANDARD as BASE64, Engine};
use http::{header, uri::Authority, Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Deserialize;
use serde_json::{json, Value};

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// How long a call may take unless the caller says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// CometBFT closes a connection that was idle for 10 s; ours are given up before, so that no call
/// meets the closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that are kept open while idle.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No answer in time. A transaction may or may not have been accepted.
    #[error("CometBFT gave no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// No connection: nothing was sent.
    #[error("CometBFT cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke during the call. A transaction may or may not have been accepted.
    #[error("the connection to CometBFT broke: {0}")]
    Broken(String),
    /// The mempool is full: by transactions or by bytes.
    #[error("{0}")]
    MempoolFull(String),
    /// The mempool has seen these bytes: they wait in it, are in a block, or were just refused.
    #[error("the transaction is already in the mempool's cache")]
    TxInCache,
    /// More bytes than the mempool takes.
    #[error("{0}")]
    TxTooLarge(String),
    /// Another error that CometBFT answers with.
    #[error("CometBFT refuses ({code}): {message}")]
    Refused {
        /// JSON-RPC's code.
        code: i64,
        /// Its message and data.
        message: String,
    },
    /// An answer that is not what the method gives, or is larger than is read.
    #[error("CometBFT's answer cannot be read: {0}")]
    BadAnswer(String),
}

impl RpcError {
    /// True if a transaction that met this error may yet be in a block.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Broken(_) | Self::BadAnswer(_) | Self::TxInCache)
    }
}

/// The answer of `CheckTx` to a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Broadcast {
    /// 0 when the mempool took it.
    pub code: u32,
    /// The refusal's sentence.
    pub log: String,
    /// The application's codespace.
    pub codespace: String,
    /// SHA-256 of the transaction, in upper-case hex.
    pub hash: String,
}

/// Where CometBFT stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The chain's id.
    pub chain_id: String,
    /// The node's id among peers.
    pub node_id: String,
    /// The newest block's height; 0 before the first.
    pub latest_height: u64,
    /// The newest block's time, RFC 3339.
    pub latest_time: String,
    /// The app hash in the newest block's header, which is that of the height before, in upper-case
    /// hex.
    pub latest_app_hash: String,
    /// True while it is catching up.
    pub catching_up: bool,
}

/// The client. Clones share their connections.
#[derive(Clone, Debug)]
pub struct RpcClient {
    http: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    timeout: Duration,
}

impl RpcClient {
    /// A client of the CometBFT at `address`, which is `host:port`. Calls take up to five seconds.
    ///
    /// # Errors
    /// A sentence, when `address` is not of that form.
    pub fn new(address: &str) -> Result<Self, String> {
        let authority: Option<Authority> =
            address.parse().ok().filter(|a: &Authority| a.port().is_some());
        let uri = authority.and_then(|authority| format!("http://{authority}/").parse().ok());
        let uri = uri.ok_or_else(|| format!("'{address}' is not host:port"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self { http, uri, timeout: DEFAULT_TIMEOUT })
    }

    /// This client with another limit on the time of each call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Hands a transaction to the mempool and waits for `CheckTx`.
    ///
    /// # Errors
    /// [`RpcError`]. A refusal by `CheckTx` is no error but a `Broadcast` whose code is not 0.
    pub async fn broadcast_tx_sync(&self, tx: &[u8]) -> Result<Broadcast, RpcError> {
        read(self.call("broadcast_tx_sync", json!({ "tx": BASE64.encode(tx) })).await?)
    }

    /// Where CometBFT stands.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn status(&self) -> Result<Status, RpcError> {
        let answer: StatusAnswer = read(self.call("status", json!({})).await?)?;
        let StatusAnswer { node_info, sync_info } = answer;
        let latest_height = sync_info.latest_block_height.parse();
        Ok(Status {
            chain_id: node_info.network,
            node_id: node_info.id,
            latest_height: latest_height
                .map_err(|error| RpcError::BadAnswer(format!("height: {error}")))?,
            latest_time: sync_info.latest_block_time,
            latest_app_hash: sync_info.latest_app_hash,
            catching_up: sync_info.catching_up,
        })
    }

    /// The results of the block at `height`, as CometBFT gives them.
    ///
    /// # Errors
    /// [`RpcError`]: `Refused` for a height that is not there.
    pub async fn block_results(&self, height: u64) -> Result<Value, RpcError> {
        self.call("block_results", json!({ "height": height.to_string() })).await
    }

    /// Calls any method; the result is as CometBFT gives it.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .map_err(|error| RpcError::BadAnswer(error.to_string()))?;
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let answer = answer.map_err(|_| RpcError::Timeout(self.timeout))??;
        result_of(&answer)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, RpcError> {
        let response =
            self.http.request(request).await.map_err(|error| match error.is_connect() {
                true => RpcError::Unreachable(with_causes(&error)),
                false => RpcError::Broken(with_causes(&error)),
            })?;
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| {
            match error.is::<LengthLimitError>() {
                true => RpcError::BadAnswer(format!("it has more than {MAX_ANSWER_BYTES} bytes")),
                false => RpcError::Broken(error.to_string()),
            }
        })
    }
}

#[derive(Deserialize)]
struct StatusAnswer {
    node_info: NodeInfo,
    sync_info: SyncInfo,
}

#[derive(Deserialize)]
struct NodeInfo {
    id: String,
    network: String,
}

#[derive(Deserialize)]
struct SyncInfo {
    latest_block_height: String,
    latest_block_time: String,
    latest_app_hash: String,
    catching_up: bool,
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: String,
}

fn read<T: serde::de::DeserializeOwned>(result: Value) -> Result<T, RpcError> {
    serde_json::from_value(result).map_err(|error| RpcError::BadAnswer(error.to_string()))
}

fn result_of(answer: &[u8]) -> Result<Value, RpcError> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|error| RpcError::BadAnswer(error.to_string()))?;
    match answer {
        Answer { error: Some(error), .. } => Err(typed(error)),
        Answer { result: Some(result), .. } => Ok(result),
        Answer { .. } => {
            Err(RpcError::BadAnswer("it has neither a result nor an error".to_owned()))
        }
    }
}

/// CometBFT gives the mempool's errors no numbers, only words (its `mempool/errors.go`,
/// `mempool/cache.go`).
fn typed(error: AnswerError) -> RpcError {
    let AnswerError { code, message, data } = error;
    if data.contains("tx already exists in cache") {
        RpcError::TxInCache
    } else if data.contains("mempool is full") {
        RpcError::MempoolFull(data)
    } else if data.contains("Tx too large") {
        RpcError::TxTooLarge(data)
    } else {
        RpcError::Refused { code, message: format!("{message}: {data}") }
    }
}

/// The error with its causes, which hyper leaves out of its own text.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers each request of one connection with the next body; after the last, reads on and
    /// answers nothing.
    async fn server(bodies: Vec<String>) -> RpcClient {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in bodies {
                read_request(&mut stream).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        RpcClient::new(&address).unwrap()
    }

    async fn read_request(stream: &mut tokio::net::TcpStream) {
        let mut text = String::new();
        // The body is the last of what comes, and JSON: it ends with the brace that closes it.
        while !text.ends_with("}}") && !text.ends_with("\"}") {
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0);
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    fn error(data: &str) -> String {
        json!({
            "jsonrpc": "2.0",
            "id": 1,
            "error": { "code": -32603, "message": "Internal error", "data": data },
        })
        .to_string()
    }

    #[tokio::test]
    async fn answers_come_over_one_connection_and_errors_have_types() {
        let checked =
            json!({ "code": 7, "data": "", "log": "no", "codespace": "tidemark", "hash": "AB" });
        let status = json!({
            "node_info": { "id": "aa", "network": "chain" },
            "sync_info": {
                "latest_block_height": "12",
                "latest_block_time": "t",
                "latest_app_hash": "CD",
                "catching_up": false,
            },
        });
        let full = "mempool is full: number of txs 5000 (max: 5000), total txs bytes 1 (max: 2)";
        let client = server(vec![
            json!({ "result": checked }).to_string(),
            json!({ "result": status }).to_string(),
            error("tx already exists in cache"),
            error(full),
            error("Tx too large. Max size is 5, but got 6"),
            error("height 9 must be less than or equal to 8"),
            "<html>".to_owned(),
            "{}".to_owned(),
        ])
        .await;
        let broadcast = client.broadcast_tx_sync(b"tx").await.unwrap();
        assert_eq!(
            (broadcast.code, broadcast.log.as_str(), broadcast.hash.as_str()),
            (7, "no", "AB")
        );
        let status = client.status().await.unwrap();
        assert_eq!((status.latest_height, status.chain_id.as_str()), (12, "chain"));
        assert_eq!(client.broadcast_tx_sync(b"tx").await, Err(RpcError::TxInCache));
        assert_eq!(
            client.broadcast_tx_sync(b"tx").await,
            Err(RpcError::MempoolFull(full.to_owned()))
        );
        assert!(matches!(client.broadcast_tx_sync(b"tx").await, Err(RpcError::TxTooLarge(_))));
        assert!(matches!(
            client.block_results(9).await,
            Err(RpcError::Refused { code: -32603, .. })
        ));
        assert!(matches!(client.status().await, Err(RpcError::BadAnswer(_))));
        assert!(matches!(client.status().await, Err(RpcError::BadAnswer(_))));
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_no_listener_is_unreachable() {
        let silent = server(Vec::new()).await.with_timeout(Duration::from_millis(50));
        assert_eq!(silent.status().await, Err(RpcError::Timeout(Duration::from_millis(50))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = RpcClient::new(&listener.local_addr().unwrap().to_string()).unwrap();
        drop(listener);
        let error = nobody.status().await.unwrap_err();
        assert!(matches!(error, RpcError::Unreachable(_)) && !error.is_unknown(), "{error}");
    }

    #[tokio::test]
    async fn an_answer_beyond_the_cap_is_not_read() {
        let client = server(vec!["x".repeat(MAX_ANSWER_BYTES + 1)]).await;
        let error = client.status().await.unwrap_err();
        assert!(
            matches!(&error, RpcError::BadAnswer(reason) if reason.contains("more than")),
            "{error}"
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "localhost", "host name:1", "http://127.0.0.1:1"] {
            assert!(RpcClient::new(address).is_err(), "{address}");
        }
    }
}

//! The services over a real connection, with a chain of blocks in the test's hands and a stand-in
//! for CometBFT.

mod answers;
mod behind;
mod explain;
mod orders;
mod queries;
mod streams;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{json, Value};
use tidemark_comet::rpc_client::RpcClient;
use tidemark_consensus::publish::{PublishedBlock, Publisher};
use tidemark_consensus::queue::TxQueue;
use tidemark_consensus::timing::BlockTimes;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::exec::{execute, Block};
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::State;
use tidemark_market_data::metrics::Metrics;
use tidemark_market_data::readiness::{Condition, Readiness};
use tidemark_market_data::MarketData;
use tidemark_oracle::index::PricePoint;
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::units::{Atoms, Ticks, TimeMs};
use tidemark_proto::{v1, Refusal};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Channel;

use super::forward::Forward;
use super::server::{serve, Deps, ServerHandle};

const CHAIN: &str = "test-1";
const PRICE: u64 = 500_000;

fn signer(secret: u8) -> Signer {
    Signer::from_secret(&[secret; 32], CHAIN).unwrap()
}

/// Mints; signs deposits.
fn minter() -> Signer {
    signer(1)
}

/// The answer of the test's CometBFT to `broadcast_tx_sync`.
#[derive(Clone, Debug)]
enum Mempool {
    Takes,
    Fails(&'static str),
    IsSilent,
}

/// A stand-in for CometBFT's JSON-RPC.
struct Comet {
    address: String,
    mempool: Arc<Mutex<Mempool>>,
    /// How many transactions came.
    seen: watch::Receiver<usize>,
}

impl Comet {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mempool = Arc::new(Mutex::new(Mempool::Takes));
        let (sender, seen) = watch::channel(0);
        let (sender, answers) = (Arc::new(sender), Arc::clone(&mempool));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sender, answers) = (Arc::clone(&sender), Arc::clone(&answers));
                let service = service_fn(move |request| {
                    let reply = answers.lock().unwrap().clone();
                    answer(request, reply, Arc::clone(&sender))
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, mempool, seen }
    }

    fn set(&self, mempool: Mempool) {
        *self.mempool.lock().unwrap() = mempool;
    }

    /// Waits until so many transactions have come.
    async fn saw(&self, count: usize) {
        self.seen.clone().wait_for(|seen| *seen >= count).await.unwrap();
    }
}

async fn answer(
    request: Request<Incoming>,
    mempool: Mempool,
    seen: Arc<watch::Sender<usize>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(call["method"], "broadcast_tx_sync");
    BASE64.decode(call["params"]["tx"].as_str().unwrap()).unwrap();
    seen.send_modify(|count| *count += 1);
    let text = match mempool {
        Mempool::Takes => {
            let result = json!({ "code": 0, "data": "", "log": "", "codespace": "", "hash": "" });
            json!({ "result": result })
        }
        Mempool::Fails(data) => {
            json!({ "error": { "code": -32603, "message": "Internal error", "data": data } })
        }
        Mempool::IsSilent => std::future::pending().await,
    };
    Ok(Response::new(Full::new(text.to_string().into())))
}

/// A chain in the test's hands, served.
struct Node {
    state: State,
    publisher: Arc<Publisher>,
    market_data: Arc<MarketData>,
    cache: Arc<TxCache>,
    queue: Arc<TxQueue>,
    comet: Comet,
    server: ServerHandle,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    start_ms: u64,
    /// Index and perpetual price of the next blocks.
    price: u64,
    sequences: std::collections::BTreeMap<u8, u64>,
}

impl Node {
    async fn start() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self::start_at(u64::try_from(now.as_millis()).unwrap()).await
    }

    /// With a genesis of that time.
    async fn start_at(start_ms: u64) -> Self {
        Self::start_with(start_ms, MarketData::new()).await
    }

    async fn start_with(start_ms: u64, market_data: Arc<MarketData>) -> Self {
        let genesis = Genesis {
            // Figures stay round.
            params: ChainParams { owner_fee_atoms: Atoms::ZERO, ..ChainParams::default() },
            markets: vec![MarketParams {
                // Tests trade single lots.
                min_order_atoms: Atoms::ZERO,
                ..MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50)
            }],
            admin: minter().address().to_string(),
            minters: vec![minter().address().to_string()],
            insurance_atoms: 0,
        };
        let state = State::genesis(&genesis, CHAIN, TimeMs::new(start_ms), Vec::new()).unwrap();
        let publisher = Arc::new(Publisher::new(Arc::new(state.view())));
        let cache = Arc::new(TxCache::new(CHAIN));
        let queue = TxQueue::new(Arc::clone(&publisher), Arc::clone(&cache));
        let outcomes = Arc::clone(market_data.outcomes());
        let queue = Arc::new(queue.with_drops(outcomes));
        let (comet, metrics) = (Comet::start().await, Metrics::new().unwrap());
        let readiness = Readiness::default();
        readiness.tell(Condition::default());
        let deps = Deps {
            publisher: Arc::clone(&publisher),
            market_data: Arc::clone(&market_data),
            queue: Arc::clone(&queue),
            comet: RpcClient::new(&comet.address).unwrap().with_timeout(Duration::from_millis(300)),
            forward: Forward::default(),
            metrics: Arc::clone(&metrics),
            feed: "test".into(),
            readiness: readiness.clone(),
        };
        let server = serve("127.0.0.1:0".parse().unwrap(), deps).unwrap();
        let sequences = std::collections::BTreeMap::new();
        Self {
            state,
            publisher,
            market_data,
            cache,
            queue,
            comet,
            server,
            metrics,
            readiness,
            start_ms,
            price: PRICE,
            sequences,
        }
    }

    /// Runs a block and publishes it, without the market-data thread's part.
    fn publish(&mut self, txs: &[Vec<u8>]) -> PublishedBlock {
        let height = self.state.chain.height + 1;
        let time_ms = TimeMs::new(self.start_ms + height * 100);
        let price = Some(PricePoint { ticks: Ticks::new(self.price), time_ms });
        (self.state.markets[0].cell.index.index, self.state.markets[0].cell.index.external) =
            (price, price);
        let txs =
            txs.iter().map(|tx| self.cache.check(tx, 1 << 20)).collect::<Vec<Result<_, Refusal>>>();
        let block =
            Block { height, time_ms, hash: [7; 32], proposer: [1; 20], ballots: Vec::new(), txs };
        let events = Arc::new(execute(&mut self.state, &block, &mut |_| {}));
        assert_eq!(events.violations, Vec::<String>::new());
        let published = PublishedBlock {
            view: Arc::new(self.state.view()),
            events,
            times: BlockTimes::default(),
            is_replayed: false,
        };
        self.publisher.publish(published.clone());
        published
    }

    fn block(&mut self, txs: &[Vec<u8>]) {
        let published = self.publish(txs);
        self.market_data.apply(&published);
    }

    /// Signs with the key's next sequence.
    fn sign<M: tidemark_proto::tx::Sendable>(&mut self, secret: u8, message: M) -> Vec<u8> {
        let sequence = self.sequences.entry(secret).or_default();
        let tx = signer(secret)
            .sign(message, TxOptions { sequence: *sequence, ..TxOptions::default() })
            .unwrap();
        *sequence += 1;
        tx
    }

    /// A block that gives a key 1 000 000 USDC.
    fn fund(&mut self, secret: u8) {
        let recipient = signer(secret).address().to_string();
        let deposit =
            v1::MsgDeposit { recipient, amount_atoms: 1_000_000_000_000, ..Default::default() };
        let tx = self.sign(1, deposit);
        self.block(&[tx]);
    }

    /// A transaction that places one order.
    fn order(&mut self, secret: u8, side: v1::Side, price_ticks: u64, lots: u64) -> Vec<u8> {
        let place = v1::PlaceOrder {
            market: 0,
            side: side as i32,
            price_ticks,
            lots,
            ..Default::default()
        };
        let operation = Some(v1::operation::Operation::Place(place));
        let operations = vec![v1::Operation { operation }];
        self.sign(secret, v1::MsgOrders { operations, ..Default::default() })
    }

    async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.server.address());
        Channel::from_shared(address).unwrap().connect().await.unwrap()
    }
}

fn code_of(status: &tonic::Status) -> u32 {
    status.metadata().get(super::status::CODE_KEY).unwrap().to_str().unwrap().parse().unwrap()
}

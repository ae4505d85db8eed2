//! The transport, `init` and the supervision, with the real CometBFT and an application that only
//! counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU16, Ordering},
        Arc, Mutex, PoisonError,
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    ExecTxResult, RequestCheckTx, RequestFinalizeBlock, RequestInfo, RequestInitChain,
    ResponseCheckTx, ResponseCommit, ResponseFinalizeBlock, ResponseInfo, ResponseInitChain,
};
use tidemark_comet::cometbft::{Comet, COMETBFT};
use tidemark_comet::ports::{Ports, PORTS_PER_NODE};
use tidemark_comet::rpc_client::{RpcClient, RpcError};
use tidemark_comet::tools::ensure_installed;
use tidemark_consensus::abci::server::{Address, Server, ServerOptions};
use tidemark_node::config::NodeConfig;
use tidemark_node::init::{init, ExistingHome, Genesis, InitError, NodeInit};

/// Counts blocks and transactions. A transaction that starts with `x` is refused.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Counted>>);

#[derive(Clone, Debug, Default)]
struct Counted {
    height: i64,
    txs: u64,
    app_state: Vec<u8>,
    initial_height: i64,
    extensions_from: i64,
}

impl Counter {
    fn with<T>(&self, use_it: impl FnOnce(&mut Counted) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Application for Counter {
    fn info(&self, _: RequestInfo) -> ResponseInfo {
        let height = self.with(|counted| counted.height);
        ResponseInfo {
            last_block_height: height,
            last_block_app_hash: app_hash(height).into(),
            ..Default::default()
        }
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.with(|counted| {
            counted.app_state = request.app_state_bytes.to_vec();
            counted.initial_height = request.initial_height;
            let abci = request.consensus_params.and_then(|params| params.abci);
            counted.extensions_from = abci.map_or(0, |abci| abci.vote_extensions_enable_height);
        });
        ResponseInitChain { app_hash: app_hash(0).into(), ..Default::default() }
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        match request.tx.first() {
            Some(b'x') => ResponseCheckTx { code: 7, log: "no".into(), ..Default::default() },
            _ => ResponseCheckTx::default(),
        }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.with(|counted| {
            counted.height = request.height;
            counted.txs += request.txs.len() as u64;
        });
        ResponseFinalizeBlock {
            tx_results: vec![ExecTxResult::default(); request.txs.len()],
            app_hash: app_hash(request.height).into(),
            ..Default::default()
        }
    }

    fn commit(&self) -> ResponseCommit {
        ResponseCommit::default()
    }
}

fn app_hash(height: i64) -> Vec<u8> {
    [&[7; 24][..], &height.to_be_bytes()].concat()
}

/// Ports that no other test of this binary has and no other program listens on.
fn free_ports(nodes: u16) -> Vec<Ports> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 21_000 + (std::process::id() % 1_000) as u16 * 8;
    for _ in 0..200 {
        let base = start + NEXT.fetch_add(nodes * PORTS_PER_NODE, Ordering::SeqCst);
        let ports: Vec<_> =
            (0..nodes).map(|index| Ports::of_node(base, index, nodes).unwrap()).collect();
        if ports.iter().all(|ports| ports.check_free().is_ok()) {
            return ports;
        }
    }
    panic!("no free ports from {start}");
}

fn genesis() -> Genesis {
    Genesis::New {
        chain_id: "tidemark-test".into(),
        app_version: 1,
        max_block_bytes: 4 * 1024 * 1024,
        app_state: json!({ "markets": [1, 2] }),
    }
}

fn cometbft() -> PathBuf {
    ensure_installed(&COMETBFT, &mut |line| eprintln!("{line}")).unwrap()
}

/// A counter, its server, its CometBFT and a client of that.
struct Node {
    counter: Counter,
    // Dropped in this order: CometBFT first, as when a node stops.
    comet: Comet,
    server: Server,
    rpc: RpcClient,
    home: PathBuf,
}

impl Node {
    fn start(binary: &Path, home: &Path, address: &Address) -> Self {
        let config = NodeConfig::load(home).unwrap();
        let counter = Counter::default();
        let server = Server::start(address, ServerOptions::default(), counter.clone()).unwrap();
        let comet = Comet::spawn(binary, home, &server.address().to_string()).unwrap();
        let rpc = RpcClient::new(&config.comet_rpc_addr).unwrap();
        Self { counter, comet, server, rpc, home: home.to_owned() }
    }

    async fn wait_for_height(&self, height: i64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.counter.with(|counted| counted.height) < height {
            if let Some(sentence) = self.comet.ended().borrow().clone() {
                panic!("{sentence}");
            }
            let log = || fs::read_to_string(self.comet.log()).unwrap_or_default();
            assert!(Instant::now() < deadline, "height {height} never came; the log: {}", log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Processes whose command line names `home`.
fn processes_of(home: &Path) -> Vec<String> {
    let home = home.to_str().unwrap();
    let lines = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(home)).collect()
}

async fn reaches_height_20(address: impl FnOnce(&Path, Ports) -> Address) {
    let binary = cometbft();
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(1)[0];
    let node = NodeInit { timeout_commit_ms: 0, ..NodeInit::local(folder.path(), "one", ports) };
    init(&binary, &[node], &genesis(), ExistingHome::Refuse).unwrap();
    let node = Node::start(&binary, folder.path(), &address(folder.path(), ports));
    node.wait_for_height(1).await;
    let start = Instant::now();
    node.wait_for_height(20).await;
    let blocks_per_s = 19_000_000 / start.elapsed().as_micros().max(1);
    println!("{}: {blocks_per_s} blocks/s, one validator, empty blocks", node.server.address());
    assert_eq!(node.server.connections(), 4);
    genesis_has_arrived(&node);
    rpc_answers(&node).await;
    let Node { comet, server, home, .. } = node;
    drop(comet);
    assert_eq!(processes_of(&home), Vec::<String>::new());
    server.stop();
}

fn genesis_has_arrived(node: &Node) {
    let counted = node.counter.with(|counted| counted.clone());
    let app_state: serde_json::Value = serde_json::from_slice(&counted.app_state).unwrap();
    assert_eq!(app_state, json!({ "markets": [1, 2] }));
    assert_eq!((counted.initial_height, counted.extensions_from), (1, 1));
}

async fn rpc_answers(node: &Node) {
    let Node { rpc, counter, .. } = node;
    let status = rpc.status().await.unwrap();
    assert!(status.latest_height >= 19 && !status.catching_up, "{status:?}");
    assert_eq!(status.chain_id, "tidemark-test");
    let taken = rpc.broadcast_tx_sync(b"a transaction").await.unwrap();
    assert_eq!((taken.code, taken.hash.len()), (0, 64));
    assert_eq!(rpc.broadcast_tx_sync(b"a transaction").await, Err(RpcError::TxInCache));
    let refused = rpc.broadcast_tx_sync(b"x").await.unwrap();
    assert_eq!((refused.code, refused.log.as_str()), (7, "no"));
    let too_large = rpc.broadcast_tx_sync(&[b'a'; 524_289]).await;
    assert!(matches!(too_large, Err(RpcError::TxTooLarge(_))), "{too_large:?}");
    let results = rpc.block_results(5).await.unwrap();
    assert_eq!(results["height"], "5");
    let missing = rpc.block_results(1_000_000).await;
    assert!(matches!(missing, Err(RpcError::Refused { .. })), "{missing:?}");
    let height = counter.with(|counted| counted.height);
    node.wait_for_height(height + 3).await;
    assert_eq!(counter.with(|counted| counted.txs), 1);
}

#[tokio::test]
async fn one_validator_reaches_height_20_over_a_unix_socket() {
    reaches_height_20(|home, _| Address::Unix(home.join("app.sock"))).await;
}

#[tokio::test]
async fn one_validator_reaches_height_20_over_tcp() {
    reaches_height_20(|_, ports| format!("tcp://127.0.0.1:{}", ports.abci()).parse().unwrap())
        .await;
}

/// CometBFT does not always end by itself when its application is gone; the guard ends it all the
/// same.
#[tokio::test]
async fn cometbft_is_gone_after_a_stop_whose_application_went_first() {
    let binary = cometbft();
    let folder = tempfile::tempdir().unwrap();
    let node = NodeInit::local(folder.path(), "one", free_ports(1)[0]);
    let address = node.abci_addr();
    init(&binary, &[node], &genesis(), ExistingHome::Refuse).unwrap();
    let node = Node::start(&binary, folder.path(), &address);
    node.wait_for_height(2).await;
    let Node { comet, server, home, .. } = node;
    let ended = comet.ended();
    server.stop();
    comet.stop();
    let sentence = ended.borrow().clone().unwrap();
    assert!(sentence.contains("cometbft.log"), "{sentence}");
    assert_eq!(processes_of(&home), Vec::<String>::new());
}

#[tokio::test]
async fn four_validators_made_together_agree() {
    let binary = cometbft();
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(4).into_iter().enumerate();
    let nodes: Vec<_> = ports
        .map(|(index, ports)| {
            NodeInit::local(folder.path().join(format!("n{index}")), format!("n{index}"), ports)
        })
        .collect();
    init(&binary, &nodes, &genesis(), ExistingHome::Refuse).unwrap();
    let running: Vec<_> =
        nodes.iter().map(|node| Node::start(&binary, &node.home, &node.abci_addr())).collect();
    for node in &running {
        node.wait_for_height(5).await;
    }
    let sent = running[0].rpc.broadcast_tx_sync(b"for all").await.unwrap();
    assert_eq!(sent.code, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.iter().any(|node| node.counter.with(|counted| counted.txs) == 0) {
        assert!(Instant::now() < deadline, "the transaction never reached all nodes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(running);
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}

/// Every file below `folder`, with its bytes.
fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap()));
    files.chain(folders.iter().flat_map(|folder| files_below(folder))).collect()
}

#[test]
fn init_leaves_a_home_that_is_in_use_alone_unless_told() {
    let binary = cometbft();
    let folder = tempfile::tempdir().unwrap();
    let node = NodeInit::local(folder.path(), "one", Ports::default());
    let nodes = [node];
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    init(&binary, &nodes, &genesis(), ExistingHome::Refuse).unwrap();
    let before = files_below(folder.path());
    let refusal = init(&binary, &nodes, &genesis(), ExistingHome::Refuse).unwrap_err();
    assert!(
        matches!(refusal, InitError::HomeInUse { .. })
            && refusal.to_string().contains("--overwrite"),
        "{refusal}"
    );
    assert_eq!(files_below(folder.path()), before);
    let running =
        Server::start(&nodes[0].abci_addr(), ServerOptions::default(), Counter::default()).unwrap();
    let refusal = init(&binary, &nodes, &genesis(), ExistingHome::Overwrite).unwrap_err();
    assert!(matches!(refusal, InitError::Running(_)), "{refusal}");
    drop(running);
    assert_eq!(files_below(folder.path()), before);
    init(&binary, &nodes, &genesis(), ExistingHome::Overwrite).unwrap();
    let after = files_below(folder.path());
    let key = folder.path().join("config/priv_validator_key.json");
    assert_ne!(after[&key], before[&key]);
    assert_eq!(after[&folder.path().join("notes.txt")], b"mine");
}

#[test]
fn init_refuses_what_cometbft_would_refuse_later() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let node = NodeInit::local(&home, "one", Ports::default());
    let with_id = |chain_id: &str| Genesis::New {
        chain_id: chain_id.into(),
        app_version: 1,
        max_block_bytes: 1 << 20,
        app_state: json!({}),
    };
    let try_init = |node: NodeInit, genesis: &Genesis| {
        init(Path::new("no-such-cometbft"), &[node], genesis, ExistingHome::Refuse).unwrap_err()
    };
    assert!(matches!(
        try_init(node.clone(), &with_id("")),
        InitError::BadChainId { length: 0, .. }
    ));
    assert!(matches!(
        try_init(node.clone(), &with_id(&"x".repeat(51))),
        InitError::BadChainId { length: 51, .. }
    ));
    assert!(matches!(
        try_init(NodeInit { power: 0, ..node }, &with_id("a")),
        InitError::NoValidator
    ));
    let deep = NodeInit::local(folder.path().join("x".repeat(100)), "one", Ports::default());
    assert!(matches!(try_init(deep, &with_id("a")), InitError::Address(_)));
    assert!(!home.exists());
}

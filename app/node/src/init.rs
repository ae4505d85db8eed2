//! Makes the homes of nodes: keys, genesis and configuration.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{json, Value};
use tidemark_comet::config::{tune, CometConfig};
use tidemark_comet::ports::Ports;
use tidemark_consensus::abci::server::{Address, BindError};

use super::config::{FeedConfig, NodeConfig};
use super::node_key;
use super::snapshots::SnapshotConfig;
use super::watch::DiskBounds;

/// One node to make.
#[derive(Clone, Debug)]
pub struct NodeInit {
    /// Its folder.
    pub home: PathBuf,
    /// Its name among peers and in dashboards.
    pub moniker: String,
    /// Its voting power at genesis; 0 for a node that does not validate. Ignored with an existing
    /// genesis.
    pub power: u64,
    /// Its ports.
    pub ports: Ports,
    /// The host name or IP address at which the other nodes reach it.
    pub host: String,
    /// The interface on which it listens for peers.
    pub p2p_listen: IpAddr,
    /// The interface on which it serves RPC, gRPC and metrics.
    pub service_listen: IpAddr,
    /// Peers to hold connections to, beside the nodes made with it: `id@host:port`.
    pub persistent_peers: Vec<String>,
    /// The pause after each block, in ms.
    pub timeout_commit_ms: u64,
    /// True if the node indexes transactions for `tx_search`.
    pub tx_index: bool,
    /// True if several nodes share a machine or a private network.
    pub devnet: bool,
    /// Its snapshots.
    pub snapshots: SnapshotConfig,
    /// Where its prices come from.
    pub feed: FeedConfig,
}

impl NodeInit {
    /// A validator of power 10 on this machine, reachable from it only, with blocks every ~100 ms.
    #[must_use]
    pub fn local(home: impl Into<PathBuf>, moniker: impl Into<String>, ports: Ports) -> Self {
        Self {
            home: home.into(),
            moniker: moniker.into(),
            power: 10,
            ports,
            host: Ipv4Addr::LOCALHOST.to_string(),
            p2p_listen: Ipv4Addr::LOCALHOST.into(),
            service_listen: Ipv4Addr::LOCALHOST.into(),
            persistent_peers: Vec::new(),
            timeout_commit_ms: 100,
            tx_index: false,
            devnet: true,
            snapshots: SnapshotConfig::default(),
            feed: FeedConfig::Off,
        }
    }

    /// The address at which the node serves ABCI.
    #[must_use]
    pub fn abci_addr(&self) -> Address {
        Address::Unix(self.home.join("app.sock"))
    }

    fn comet_config(&self, persistent_peers: String) -> CometConfig {
        CometConfig {
            proxy_app: self.abci_addr().to_string(),
            moniker: self.moniker.clone(),
            p2p_listen: SocketAddr::new(self.p2p_listen, self.ports.p2p()),
            rpc_listen: SocketAddr::new(self.service_listen, self.ports.comet_rpc()),
            metrics_listen: SocketAddr::new(self.service_listen, self.ports.comet_metrics()),
            persistent_peers,
            timeout_commit_ms: self.timeout_commit_ms,
            tx_index: self.tx_index,
            devnet: self.devnet,
        }
    }

    fn node_config(&self) -> NodeConfig {
        NodeConfig {
            grpc_addr: SocketAddr::new(self.service_listen, self.ports.grpc()),
            metrics_addr: SocketAddr::new(self.service_listen, self.ports.metrics()),
            abci_addr: None,
            comet_rpc_addr: SocketAddr::new(
                loopback_if_any(self.service_listen),
                self.ports.comet_rpc(),
            )
            .to_string(),
            forward_to: Vec::new(),
            threads: 0,
            disk: DiskBounds::default(),
            snapshots: self.snapshots,
            feed: self.feed.clone(),
        }
    }
}

/// The address to dial for a service that listens on `listen`: the loopback, if that is every
/// interface.
fn loopback_if_any(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The genesis that all nodes made together share.
#[derive(Clone, Debug)]
pub enum Genesis {
    /// A new chain, whose validators are the nodes with power.
    New {
        /// The chain's id: 1 to 50 characters.
        chain_id: String,
        /// The protocol version at genesis.
        app_version: u64,
        /// The largest block, in bytes.
        max_block_bytes: u64,
        /// The application's state in `InitChain`.
        app_state: Value,
    },
    /// The genesis file of a chain that exists.
    Existing(Value),
}

/// Treatment of a home that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingHome {
    /// Leave it and say so.
    Refuse,
    /// Delete what a node keeps there, keys too. Other files in the folder stay.
    Overwrite,
}

/// Reasons why nodes cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The home holds a node.
    #[error(
        "{} already holds a node ({found}): start it, choose another --home, or pass --overwrite \
         to delete it with its keys",
        home.display()
    )]
    HomeInUse {
        /// The folder.
        home: PathBuf,
        /// The kind of data that is there.
        found: &'static str,
    },
    /// A node runs there.
    #[error("a node is running on {}: stop it first, or choose another --home", .0.display())]
    Running(PathBuf),
    /// A home in which no socket can be.
    #[error(transparent)]
    Address(#[from] BindError),
    /// An id that CometBFT refuses.
    #[error("the chain id '{chain_id}' has {length} characters: it must have 1 to 50")]
    BadChainId {
        /// The id.
        chain_id: String,
        /// Its length.
        length: usize,
    },
    /// No node has power.
    #[error("no node has voting power: a new chain needs at least one validator")]
    NoValidator,
    /// CometBFT failed.
    #[error("`cometbft {command}` on {} failed: {said}", home.display())]
    Comet {
        /// Its subcommand.
        command: &'static str,
        /// The home.
        home: PathBuf,
        /// The node's sentence.
        said: String,
    },
    /// A file of CometBFT's that is not as the pinned version writes it.
    #[error("cannot use {}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The node's own key cannot be made.
    #[error("{0}")]
    NodeKey(String),
    /// The operating system refuses.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The attempt, as an infinitive.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InitError {
    let path = path.to_owned();
    move |source| InitError::Io { doing, path, source }
}

/// Files of a node in its home. `ExistingHome::Overwrite` deletes these and nothing else.
const NODE_FILES: [&str; 7] =
    ["config", "data", "snapshots", "app.sock", "cometbft.log", "cometbft.log.1", "tidemarkd.log"];

/// Makes every node's home: fresh keys, one genesis, a tuned `config.toml` that knows the other
/// nodes, and `tidemarkd.toml`. `cometbft` is the binary's path. Homes must be absolute to be
/// usable from anywhere.
///
/// # Errors
/// [`InitError`]. Nothing is written when a home has data and may not be overwritten.
pub fn init(
    cometbft: &Path,
    nodes: &[NodeInit],
    genesis: &Genesis,
    existing: ExistingHome,
) -> Result<(), InitError> {
    check(nodes, genesis)?;
    for node in nodes {
        if node.abci_addr().is_live() {
            return Err(InitError::Running(node.home.clone()));
        }
        if existing == ExistingHome::Refuse {
            refuse_if_in_use(&node.home)?;
        }
    }
    let mut made = Vec::with_capacity(nodes.len());
    for node in nodes {
        fs::create_dir_all(&node.home).map_err(failed("create", &node.home))?;
        if existing == ExistingHome::Overwrite {
            clear(&node.home)?;
        }
        made.push(make_keys(cometbft, node)?);
    }
    let genesis = match genesis {
        Genesis::Existing(genesis) => genesis.clone(),
        Genesis::New { chain_id, app_version, max_block_bytes, app_state } => {
            let time = made.first().map_or(Value::Null, |first| first.genesis_time.clone());
            let validators: Vec<_> =
                made.iter().filter_map(|keys| keys.validator.clone()).collect();
            new_genesis(&time, chain_id, *app_version, *max_block_bytes, &validators, app_state)
        }
    };
    for (index, node) in nodes.iter().enumerate() {
        let others = made
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, keys)| &keys.peer);
        let peers: Vec<_> = node.persistent_peers.iter().chain(others).cloned().collect();
        write_configuration(node, &genesis, peers.join(","))?;
    }
    Ok(())
}

fn check(nodes: &[NodeInit], genesis: &Genesis) -> Result<(), InitError> {
    nodes.iter().try_for_each(|node| node.abci_addr().check_length())?;
    let Genesis::New { chain_id, .. } = genesis else { return Ok(()) };
    let length = chain_id.chars().count();
    if !(1..=50).contains(&length) {
        return Err(InitError::BadChainId { chain_id: chain_id.clone(), length });
    }
    if nodes.iter().all(|node| node.power == 0) {
        return Err(InitError::NoValidator);
    }
    Ok(())
}

/// Refuses a home with keys or blocks.
fn refuse_if_in_use(home: &Path) -> Result<(), InitError> {
    let signs = [
        ("data/blockstore.db", "blocks"),
        ("snapshots", "snapshots"),
        ("config/priv_validator_key.json", "a validator key"),
        ("config/genesis.json", "a genesis file"),
    ];
    match signs.into_iter().find(|(sign, _)| home.join(sign).exists()) {
        Some((_, found)) => Err(InitError::HomeInUse { home: home.to_owned(), found }),
        None => Ok(()),
    }
}

fn clear(home: &Path) -> Result<(), InitError> {
    for name in NODE_FILES {
        let path = home.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.map_err(failed("remove", &path))?;
    }
    Ok(())
}

/// Keys of a node that the other nodes must know.
struct Keys {
    /// `id@host:port`.
    peer: String,
    /// Its entry in the genesis, if it validates.
    validator: Option<Value>,
    /// Now, as CometBFT writes it.
    genesis_time: Value,
}

/// Lets `cometbft init` make the keys and the base files.
fn make_keys(cometbft: &Path, node: &NodeInit) -> Result<Keys, InitError> {
    run(cometbft, "init", &node.home)?;
    let id = run(cometbft, "show-node-id", &node.home)?;
    let genesis = read_json(&node.home.join("config/genesis.json"))?;
    let key = read_json(&node.home.join("config/priv_validator_key.json"))?;
    let validator = (node.power > 0).then(|| {
        json!({
            "address": key["address"],
            "pub_key": key["pub_key"],
            "power": node.power.to_string(),
            "name": node.moniker,
        })
    });
    let peer = format!("{}@{}:{}", id.trim(), node.host, node.ports.p2p());
    Ok(Keys { peer, validator, genesis_time: genesis["genesis_time"].clone() })
}

fn run(cometbft: &Path, command: &'static str, home: &Path) -> Result<String, InitError> {
    let output =
        Command::new(cometbft).arg(command).arg("--home").arg(home).stdin(Stdio::null()).output();
    let output = output.map_err(failed("run", cometbft))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(InitError::Comet { command, home: home.to_owned(), said })
}

fn read_json(path: &Path) -> Result<Value, InitError> {
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    serde_json::from_str(&text)
        .map_err(|error| InitError::BadFile { path: path.to_owned(), reason: error.to_string() })
}

/// CometBFT's genesis document. It writes 64-bit numbers as strings.
fn new_genesis(
    time: &Value,
    chain_id: &str,
    app_version: u64,
    max_block_bytes: u64,
    validators: &[Value],
    app_state: &Value,
) -> Value {
    json!({
        "genesis_time": time,
        "chain_id": chain_id,
        "initial_height": "1",
        "consensus_params": {
            // Gas is limited by the application, which knows what each operation may cost.
            "block": { "max_bytes": max_block_bytes.to_string(), "max_gas": "-1" },
            // Evidence counts for two days; both bounds must pass, and blocks come fast, so the
            // time decides.
            "evidence": {
                "max_age_num_blocks": "100000",
                "max_age_duration": "172800000000000",
                "max_bytes": (max_block_bytes / 4).min(1_048_576).to_string(),
            },
            "validator": { "pub_key_types": ["ed25519"] },
            "version": { "app": app_version.to_string() },
            // Prices come with the votes, from the first block on.
            "abci": { "vote_extensions_enable_height": "1" },
        },
        "validators": validators,
        "app_hash": "",
        "app_state": app_state,
    })
}

fn write_configuration(
    node: &NodeInit,
    genesis: &Value,
    persistent_peers: String,
) -> Result<(), InitError> {
    let write = |name: &str, text: String| {
        let path = node.home.join("config").join(name);
        fs::write(&path, text).map_err(failed("write", &path))
    };
    let config_path = node.home.join("config/config.toml");
    let config = fs::read_to_string(&config_path).map_err(failed("read", &config_path))?;
    let config = tune(&config, &node.comet_config(persistent_peers))
        .map_err(|reason| InitError::BadFile { path: config_path, reason })?;
    write("config.toml", config)?;
    node_key::load_or_make(&node.home).map_err(InitError::NodeKey)?;
    write("genesis.json", format!("{genesis:#}\n"))?;
    write(super::config::FILE_NAME, node.node_config().to_text())
}

//! `tidemarkd init`: the home of one node, for a new chain or one that exists.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use tidemark_client::key_file::{
    new_words, Key, KeyError, Passphrase, PassphraseSource, Protection,
};
use tidemark_comet::cometbft::COMETBFT;
use tidemark_comet::ports::Ports;
use tidemark_comet::tools::ensure_installed;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::PROTOCOL_VERSION;
use tidemark_node::config::FeedConfig;
use tidemark_node::init::{self, ExistingHome, NodeInit};
use tidemark_proto::params::{ChainParams, MarketParams};

/// Largest block of a new chain: a block of this size crosses a 1 Gbit/s link in 32 ms.
const MAX_BLOCK_BYTES: u64 = 4 * 1024 * 1024;

/// Options of `tidemarkd init`.
#[derive(Args, Clone, Debug)]
pub struct InitOptions {
    /// The folder to make.
    #[arg(long)]
    home: PathBuf,
    /// The node's name among peers.
    #[arg(long, default_value = "node")]
    moniker: String,
    /// Id of the new chain.
    #[arg(long, default_value = "tidemark-local", conflicts_with = "genesis")]
    chain_id: String,
    /// Join the chain of this genesis file instead of making a new one.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Markets of the new chain: a JSON array of parameters, as `tidemark markets --output json`
    /// shows them.
    #[arg(long, value_name = "FILE", conflicts_with = "genesis")]
    markets: Option<PathBuf>,
    /// Address that lists markets and changes parameters; without it, a key is made in the home,
    /// encrypted with a passphrase.
    #[arg(long, conflicts_with = "genesis")]
    admin: Option<String>,
    /// File whose first line is the passphrase of the admin's key that is made [default:
    /// TIDEMARK_PASSPHRASE, else asked].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin", "genesis"])]
    passphrase_file: Option<PathBuf>,
    /// Write the admin's key that is made unencrypted: who reads the node's home is the admin.
    #[arg(long, conflicts_with_all = ["admin", "genesis", "passphrase_file"])]
    plain_admin_key: bool,
    /// Address that may credit deposits; may be repeated; without it, the admin may.
    #[arg(long, conflicts_with = "genesis")]
    minter: Vec<String>,
    /// Peers to hold connections to: id@host:port, comma-separated.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Host name or address at which other nodes reach this one; without it, this machine only.
    #[arg(long)]
    host: Option<String>,
    /// First of the node's six ports: P2P, RPC, ABCI, CometBFT's metrics, gRPC, metrics.
    #[arg(long, default_value_t = 26656)]
    ports: u16,
    /// Pause after each block, in milliseconds.
    #[arg(long, default_value_t = 100)]
    block_time_ms: u64,
    /// Index transactions for `tx_search`, which CosmJS polls; costs a validator throughput.
    #[arg(long)]
    tx_index: bool,
    /// Report the prices of the price sidecar at this loopback address; without it, none, until a
    /// feed is chosen in tidemarkd.toml.
    #[arg(long, value_name = "ADDRESS")]
    sidecar: Option<SocketAddr>,
    /// Delete what a node keeps in this folder, its keys too.
    #[arg(long)]
    overwrite: bool,
}

/// Makes the home and says what was made.
///
/// # Errors
/// A sentence that says what to do.
pub fn run(options: &InitOptions) -> Result<(), String> {
    let home = std::path::absolute(&options.home).map_err(|e| format!("--home: {e}"))?;
    let ports = Ports::of_node(options.ports, 0, 1).map_err(|e| e.to_string())?;
    let mut node = NodeInit::local(&home, &options.moniker, ports);
    node.persistent_peers.clone_from(&options.peers);
    node.timeout_commit_ms = options.block_time_ms;
    node.tx_index = options.tx_index;
    node.feed = options.sidecar.map_or(FeedConfig::Off, FeedConfig::sidecar);
    node.feed.check().map_err(|why| format!("--sidecar: {why}"))?;
    if let Some(host) = &options.host {
        node.host.clone_from(host);
        node.p2p_listen = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        node.devnet = false;
    }
    let existing = if options.overwrite { ExistingHome::Overwrite } else { ExistingHome::Refuse };
    let (genesis, made_admin) = match &options.genesis {
        Some(file) => {
            // It joins as a full node; validators are those of the genesis.
            node.power = 0;
            (init::Genesis::Existing(read_json(file)?), None)
        }
        None => new_chain(options)?,
    };
    let comet =
        ensure_installed(&COMETBFT, &mut |line| eprintln!("{line}")).map_err(|e| e.to_string())?;
    init::init(&comet, &[node], &genesis, existing).map_err(|e| e.to_string())?;
    println!("made {}", home.display());
    if let Some((admin, passphrase)) = made_admin {
        let path = home.join("config").join("admin.json");
        let protection = passphrase.as_ref().map_or(Protection::Plain, Protection::Passphrase);
        admin.save_new(&path, protection).map_err(|e| e.to_string())?;
        println!(
            "admin and minter {}: move {} to a machine that runs no node, as the folder of keys \
             of `tidemark` (--home DIR, DIR/keys/admin.json)",
            admin.address,
            path.display()
        );
    }
    match options.sidecar {
        Some(address) => {
            println!("prices: from tidemark-oracle at {address}; run it on this machine")
        }
        None => {
            println!("prices: choose a feed in {}", home.join("config/tidemarkd.toml").display())
        }
    }
    println!("start it with: tidemarkd start --home {}", home.display());
    Ok(())
}

/// The admin's key that was made, and its passphrase unless it is plain.
type AdminKey = (Key, Option<Passphrase>);

/// Asks for the passphrase before anything is written.
fn new_admin(options: &InitOptions) -> Result<AdminKey, String> {
    let text = |error: KeyError| error.to_string();
    let key = Key::from_words("admin", &new_words().map_err(text)?).map_err(text)?;
    if options.plain_admin_key {
        return Ok((key, None));
    }
    let source =
        PassphraseSource::usual(options.passphrase_file.clone()).or_plain("--plain-admin-key");
    let passphrase = source.for_new("the admin's key").map_err(text)?;
    Ok((key, Some(passphrase)))
}

fn new_chain(options: &InitOptions) -> Result<(init::Genesis, Option<AdminKey>), String> {
    let mut made = None;
    let admin = match &options.admin {
        Some(address) => address.clone(),
        None => {
            let (key, _) = made.insert(new_admin(options)?);
            key.address.clone()
        }
    };
    let markets: Vec<MarketParams> = match &options.markets {
        Some(file) => serde_json::from_value(read_json(file)?)
            .map_err(|e| format!("{}: {e}", file.display()))?,
        None => Vec::new(),
    };
    let minters =
        if options.minter.is_empty() { vec![admin.clone()] } else { options.minter.clone() };
    let genesis =
        Genesis { params: ChainParams::default(), markets, admin, minters, insurance_atoms: 0 };
    let app_state = serde_json::to_value(&genesis).map_err(|e| e.to_string())?;
    // The same check as at InitChain, before anything is written.
    let bytes = serde_json::to_vec(&app_state).map_err(|e| e.to_string())?;
    Genesis::read(&bytes).map_err(|refusal| refusal.message)?;
    let genesis = init::Genesis::New {
        chain_id: options.chain_id.clone(),
        app_version: u64::from(PROTOCOL_VERSION),
        max_block_bytes: MAX_BLOCK_BYTES,
        app_state,
    };
    Ok((genesis, made))
}

fn read_json(file: &Path) -> Result<serde_json::Value, String> {
    let text =
        fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

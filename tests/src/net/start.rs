//! The start of a network: homes of its nodes, and their processes.

use std::path::Path;

use tidemark_comet::cometbft::COMETBFT;
use tidemark_comet::tools::ensure_installed;
use tidemark_engine::state::PROTOCOL_VERSION;
use tidemark_node::config::FeedConfig;
use tidemark_node::init::{self, ExistingHome, NodeInit};

use super::relay::Relays;
use super::{feed, program, progress, reserve, Net, NetOptions, Node};
use crate::harness::{genesis, CHAIN_ID};

/// Largest block, in bytes.
const MAX_BLOCK_BYTES: u64 = 4 * 1024 * 1024;

impl Net {
    /// Makes the nodes' homes, starts them, and waits until each has a block.
    ///
    /// # Errors
    /// A sentence that names what failed: the build, CometBFT's installation, or a node with its
    /// log.
    pub async fn start(options: NetOptions) -> Result<Self, String> {
        let count = u16::try_from(options.nodes.len()).map_err(|_| "too many nodes".to_owned())?;
        let program = program::tidemarkd()?;
        let comet = ensure_installed(&COMETBFT, &mut progress).map_err(|e| e.to_string())?;
        let folder = tempfile::Builder::new().prefix("tidemark-net-").tempdir();
        let folder = folder.map_err(|e| format!("cannot make a temporary folder: {e}"))?;
        let (reserved, ports) = reserve::ports(count)?;
        let peer_ports: Vec<u16> = ports.iter().map(|ports| ports.p2p()).collect();
        let relays = if options.relays { Some(Relays::start(&peer_ports).await) } else { None };
        let relays = relays.transpose().map_err(|e| format!("cannot start relays: {e}"))?;
        let nodes = options.nodes.iter().zip(ports).enumerate();
        let nodes = nodes.map(|(index, (options, ports))| Node {
            home: folder.path().join(format!("node{index}")),
            ports,
            options: options.clone(),
            process: None,
            comet: None,
        });
        let nodes = nodes.collect();
        let folder = Some(folder);
        let mut net = Self { nodes, program, comet, folder, relays, _ports: reserved };
        net.init(&options)?;
        progress(&format!("{count} node(s) in {}", net.folder().display()));
        for index in 0..net.nodes.len() {
            net.restart(index)?;
            if net.nodes[index].options.external_comet {
                net.start_comet(index, None)?;
            }
        }
        net.ready().await?;
        Ok(net)
    }

    fn init(&self, options: &NetOptions) -> Result<(), String> {
        let inits = self.nodes.iter().enumerate().map(|(index, node)| {
            let mut init = NodeInit::local(&node.home, format!("node{index}"), node.ports);
            init.power = node.options.power;
            init.timeout_commit_ms = options.timeout_commit_ms;
            init.tx_index = options.tx_index;
            init.snapshots.interval = options.snapshot_interval;
            let validator = u32::try_from(index).unwrap_or(u32::MAX);
            let usual = || {
                if node.options.power > 0 {
                    feed(validator, Vec::new())
                } else {
                    FeedConfig::Off
                }
            };
            init.feed = node.options.feed.clone().unwrap_or_else(usual);
            init
        });
        let inits = inits.collect::<Vec<_>>();
        let mut app_state = genesis(options.markets.clone(), options.insurance_usdc);
        app_state.params.allowance_base = options.allowance_base;
        let app_state = serde_json::to_value(app_state);
        let genesis = init::Genesis::New {
            chain_id: CHAIN_ID.to_owned(),
            app_version: u64::from(PROTOCOL_VERSION),
            max_block_bytes: MAX_BLOCK_BYTES,
            app_state: app_state.map_err(|e| e.to_string())?,
        };
        init::init(&self.comet, &inits, &genesis, ExistingHome::Refuse)
            .map_err(|e| e.to_string())?;
        // A mempool without room refuses every transaction before it asks the application.
        let closed = self.nodes.iter().filter(|node| !node.options.mempool);
        for node in closed {
            replace(&node.home.join("config/config.toml"), "\nsize = 20000\n", "\nsize = 0\n")?;
        }
        let wait = format!("\ntimeout_prevote = \"{}ms\"\n", options.timeout_prevote_ms);
        for (index, node) in self.nodes.iter().enumerate() {
            let file = node.home.join("config/config.toml");
            replace(&file, "\ntimeout_prevote = \"500ms\"\n", &wait)?;
            if let Some(relays) = &self.relays {
                self.dial_through(relays, index, &file)?;
            }
        }
        Ok(())
    }

    /// Lets a node dial the others through relays, and look for no other way to them.
    fn dial_through(&self, relays: &Relays, node: usize, file: &Path) -> Result<(), String> {
        replace(file, "\npex = true\n", "\npex = false\n")?;
        for (other, dialled) in self.nodes.iter().enumerate().filter(|(other, _)| *other != node) {
            let at = |port: u16| format!("@127.0.0.1:{port}");
            replace(file, &at(dialled.ports.p2p()), &at(relays.port(node, other)))?;
        }
        Ok(())
    }
}

/// Replaces a text that must be in a file once.
fn replace(path: &Path, from: &str, to: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    if text.matches(from).count() != 1 {
        return Err(format!("{} does not have {from:?} once", path.display()));
    }
    std::fs::write(path, text.replace(from, to))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

//! Makes a devnet's folder: keys, genesis, and a home a node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tidemark_client::key_file::{
    new_words, AgentFile, AgentKeyPair, Key, KeyError, KeyFile, PassphraseSource, Protection,
};
use tidemark_client::Client;
use tidemark_comet::cometbft::COMETBFT;
use tidemark_comet::ports::Ports;
use tidemark_comet::tools::ensure_installed;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::PROTOCOL_VERSION;
use tidemark_feed::replay::{Playback, Replay};
use tidemark_feed::FeedError;
use tidemark_node::config::{FeedConfig, NodeConfig};
use tidemark_node::init::{self, ExistingHome, NodeInit};
use tidemark_proto::params::ChainParams;
use tidemark_proto::types::Address;
use tidemark_proto::v1::StatusResponse;
use tokio::task::JoinSet;

use super::account::{AgentOf, Role, Trader, TRADERS};
use super::options::DevnetOptions;
use super::{say, script};

/// Every devnet's chain.
const CHAIN_ID: &str = "tidemark-devnet";
/// The insurance fund at genesis: 50 000 USDC.
const INSURANCE_ATOMS: u64 = 50_000_000_000;
/// The allowance of each owner: the makers quote whole ladders twice a second, and no deposit has
/// lain for a day.
const ALLOWANCE_BASE: u64 = 10_000_000;
/// Largest block, in bytes.
const MAX_BLOCK_BYTES: u64 = 4 * 1024 * 1024;
/// The play of a file without `--for` and `--speed` takes two minutes.
const REPLAY_MS: u64 = 120_000;
/// From the writing of the options to the first price that moves: what one node, and each more,
/// takes to start.
const LEAD_MS: (u64, u64) = (1_000, 250);

/// Tells a devnet's folder from any other, and what is in it.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    validators: u16,
    ports: u16,
}

const MARKER: &str = "devnet.json";

/// A devnet that is ready to start.
pub struct Setup {
    home: PathBuf,
    validators: u16,
    ports: u16,
    /// Of the traders.
    pub seed: u64,
    /// True if prices are recorded ones.
    pub replay: bool,
    /// Signs deposits.
    pub faucet: Key,
    keys: Vec<Key>,
    /// In the order of `keys`.
    agents: Vec<AgentKeyPair>,
}

impl Setup {
    /// Makes the folder, or with `--keep` makes ready the one that is there.
    ///
    /// # Errors
    /// A sentence that says what to do: a taken port, a folder with something else in it, no Go, a
    /// file that is no replay.
    pub fn make(options: &DevnetOptions, home: &Path) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        for number in 0..options.validators {
            let ports =
                Ports::of_node(options.ports, number, options.validators).map_err(|e| text(&e))?;
            ports.check_free().map_err(|e| text(&e))?;
        }
        // A mistake in a file is told before a minute of installation.
        let recording = recording(options)?;
        let comet = ensure_installed(&COMETBFT, &mut |line| say(options.output, line))
            .map_err(|e| text(&e))?;
        let feeds = feeds(options, recording);
        let kept = former(options, home)?;
        let key = |path: PathBuf, name: &str| key(&path, name).map_err(|e| e.to_string());
        let faucet = key(home.join("faucet.json"), "faucet")?;
        let admin = key(home.join("keys/admin.json"), "admin")?;
        let name_key = |(name, _): &(&str, Role)| key(home.join(format!("keys/{name}.json")), name);
        let keys = TRADERS.iter().map(name_key).collect::<Result<Vec<_>, _>>()?;
        let agent_of = |key: &Key| agent(&home.join(format!("agents/{}.json", key.name)), key);
        let agents = keys.iter().map(agent_of).collect::<Result<Vec<_>, _>>()?;
        let setup = Self {
            home: home.to_owned(),
            validators: options.validators,
            ports: options.ports,
            seed: options.seed,
            replay: options.replay.is_some(),
            faucet,
            keys,
            agents,
        };
        if kept {
            setup.renew_feeds(feeds)?;
        } else {
            setup.init(options, &comet, &admin, feeds)?;
        }
        Ok(setup)
    }

    fn init(
        &self,
        options: &DevnetOptions,
        comet: &Path,
        admin: &Key,
        feeds: Vec<FeedConfig>,
    ) -> Result<(), String> {
        let genesis = Genesis {
            params: ChainParams { allowance_base: ALLOWANCE_BASE, ..ChainParams::default() },
            markets: script::markets(),
            admin: admin.address.clone(),
            minters: vec![self.faucet.address.clone()],
            insurance_atoms: INSURANCE_ATOMS,
        };
        let app_state = serde_json::to_value(genesis).map_err(|error| error.to_string())?;
        let genesis = init::Genesis::New {
            chain_id: CHAIN_ID.to_owned(),
            app_version: u64::from(PROTOCOL_VERSION),
            max_block_bytes: MAX_BLOCK_BYTES,
            app_state,
        };
        let mut inits = Vec::new();
        for (number, feed) in (0..self.validators).zip(feeds) {
            let ports = Ports::of_node(self.ports, number, self.validators)
                .map_err(|error| error.to_string())?;
            let mut node = NodeInit::local(self.node_home(number), format!("node{number}"), ports);
            node.timeout_commit_ms =
                u64::try_from(options.block_time.as_millis()).unwrap_or(u64::MAX);
            node.tx_index = options.tx_index;
            node.feed = feed;
            inits.push(node);
        }
        // First of all, so that what is left of a failed start is known as a devnet's.
        let marker = Marker { validators: self.validators, ports: self.ports };
        let marker = serde_json::to_string(&marker).map_err(|error| error.to_string())?;
        fs::write(self.home.join(MARKER), marker)
            .map_err(|error| format!("cannot write {MARKER}: {error}"))?;
        init::init(comet, &inits, &genesis, ExistingHome::Overwrite)
            .map_err(|error| error.to_string())
    }

    /// A chain that goes on needs prices that start now.
    fn renew_feeds(&self, feeds: Vec<FeedConfig>) -> Result<(), String> {
        for (number, feed) in (0..self.validators).zip(feeds) {
            let home = self.node_home(number);
            let mut config = NodeConfig::load(&home).map_err(|error| error.to_string())?;
            config.feed = feed;
            let path = home.join("config").join(tidemark_node::config::FILE_NAME);
            fs::write(&path, config.to_text())
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn node_home(&self, number: u16) -> PathBuf {
        self.home.join(format!("node{number}"))
    }

    /// Each node's home and gRPC address.
    #[must_use]
    pub fn nodes(&self) -> Vec<(PathBuf, String)> {
        let address = |(number, ports): (u16, Ports)| {
            (self.node_home(number), format!("http://127.0.0.1:{}", ports.grpc()))
        };
        self.all_ports().map(address).collect()
    }

    fn all_ports(&self) -> impl Iterator<Item = (u16, Ports)> + '_ {
        (0..self.validators).filter_map(|number| {
            Some((number, Ports::of_node(self.ports, number, self.validators).ok()?))
        })
    }

    /// gRPC and metrics of each node, a line each.
    #[must_use]
    pub fn end_points(&self) -> String {
        let line = |(number, ports): (u16, Ports)| {
            format!(
                "node{number}  gRPC http://127.0.0.1:{}  metrics http://127.0.0.1:{}/metrics",
                ports.grpc(),
                ports.metrics()
            )
        };
        self.all_ports().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Lines that are printed once at the start.
    #[must_use]
    pub fn banner(&self, feed: &str) -> String {
        let validators = if self.validators == 1 {
            "1 validator".to_owned()
        } else {
            format!("{} validators", self.validators)
        };
        format!(
            "Devnet {CHAIN_ID} is up: {validators}, prices {feed}, data in {}\n{}\ntry: tidemark \
             keys add me --plain && tidemark deposit --amount 10000 --faucet-key {}",
            self.home.display(),
            self.end_points(),
            self.home.join("faucet.json").display(),
        )
    }

    /// The demo traders, not yet funded, with agents that are not yet authorised.
    ///
    /// # Errors
    /// A sentence when the node does not tell what signatures are for.
    pub async fn traders(&self, client: &Client) -> Result<Vec<Trader>, String> {
        let domain = client.signing_domain().await.map_err(|error| error.to_string())?;
        let trader = |(agent, (name, role)): (&AgentKeyPair, &(&str, Role))| {
            let agent = AgentOf { signer: agent.signer(domain.clone()), owner: agent.owner() };
            Trader::new(name, *role, client.clone(), agent, self.seed)
        };
        Ok(self.agents.iter().zip(TRADERS).map(trader).collect())
    }

    /// Lets each trader's agent trade, signed by the trader's own key. All at once: each is another
    /// owner.
    ///
    /// # Errors
    /// A sentence when a key is none, or the chain refuses.
    pub async fn authorise(
        &self,
        traders: &[Trader],
        status: &StatusResponse,
    ) -> Result<(), String> {
        let mut tasks = JoinSet::new();
        for (key, trader) in self.keys.iter().zip(traders) {
            let owner = key.signer(&status.chain_id).map_err(|error| error.to_string())?;
            tasks.spawn(trader.authorise(owner, status.time_ms));
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

/// A file of recorded prices.
struct Recording {
    path: PathBuf,
    length_ms: u64,
}

/// The recording that `--replay` names; `None` without one.
fn recording(options: &DevnetOptions) -> Result<Option<Recording>, String> {
    let Some(file) = &options.replay else { return Ok(None) };
    let problem = |why: &dyn std::fmt::Display| format!("--replay {}: {why}", file.display());
    let path = std::path::absolute(file).map_err(|error| problem(&error))?;
    let length_ms = recorded_ms(&path).map_err(|why| problem(&why))?;
    Ok(Some(Recording { path, length_ms }))
}

/// One feed a node, whose prices start now; they differ in the validators' noise only.
fn feeds(options: &DevnetOptions, recording: Option<Recording>) -> Vec<FeedConfig> {
    let start_at_ms = unix_ms() + LEAD_MS.0 + LEAD_MS.1 * u64::from(options.validators);
    let synthetic = |validator: u16| FeedConfig::Synthetic {
        seed: options.seed,
        start_at_ms,
        validator: u32::from(validator),
        shocks: script::shocks(),
    };
    let Some(Recording { path, length_ms }) = recording else {
        return (0..options.validators).map(synthetic).collect();
    };
    let span_ms =
        options.span.and_then(|span| u64::try_from(span.as_millis()).ok()).unwrap_or(REPLAY_MS);
    let fitting = length_ms.div_ceil(span_ms.max(1)).clamp(1, 10_000);
    let speed = options.speed.unwrap_or(u32::try_from(fitting).unwrap_or(10_000));
    let feed =
        FeedConfig::Replay { file: path, speed, start_at_ms, repeat: options.span.is_none() };
    vec![feed; usize::from(options.validators)]
}

/// How long a recording is.
fn recorded_ms(file: &Path) -> Result<u64, String> {
    let replay = Replay::open(file, Playback { start_at_ms: 0, speed: 1, looped: false });
    let replay = replay.map_err(|error| match error {
        FeedError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    Ok(replay.length_ms())
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The key in a file, which is made when there is none: unencrypted, since it is worth nothing and
/// nobody is to be asked for it. Of one that the user has encrypted since, the passphrase is asked.
fn key(path: &Path, name: &str) -> Result<Key, KeyError> {
    if path.exists() {
        return KeyFile::load(path)?.open(&PassphraseSource::usual(None));
    }
    let key = Key::from_words(name, &new_words()?)?;
    key.save_new(path, Protection::Plain)?;
    Ok(key)
}

/// The agent of a trader in a file, which is made when there is none: unencrypted, as its owner's.
fn agent(path: &Path, owner: &Key) -> Result<AgentKeyPair, String> {
    let text = |error: KeyError| error.to_string();
    if path.exists() {
        let agent = AgentFile::load(path).map_err(text)?;
        return agent.open(&PassphraseSource::usual(None)).map_err(text);
    }
    let address = Address::parse(&owner.address).map_err(|refusal| refusal.to_string())?;
    let agent = AgentKeyPair::generate(&owner.name, address).map_err(text)?;
    agent.save_new(path, Protection::Plain).map_err(text)?;
    Ok(agent)
}

/// Clears the way for a new devnet, or says that the one before goes on (`true`).
fn former(options: &DevnetOptions, home: &Path) -> Result<bool, String> {
    let marker = fs::read_to_string(home.join(MARKER)).ok();
    let marker: Option<Marker> = marker.and_then(|text| serde_json::from_str(&text).ok());
    match marker {
        Some(marker) if options.keep => {
            let wanted = Marker { validators: options.validators, ports: options.ports };
            if (marker.validators, marker.ports) != (wanted.validators, wanted.ports) {
                return Err(format!(
                    "the devnet in {} has --validators {} --ports {}: say the same with --keep, \
                     or leave --keep out for a new one",
                    home.display(),
                    marker.validators,
                    marker.ports
                ));
            }
            Ok(true)
        }
        Some(marker) => {
            let what = format!(
                "resetting the devnet before in {} (keys stay; --keep goes on with it)",
                home.display()
            );
            say(options.output, &what);
            for number in 0..marker.validators {
                let node = home.join(format!("node{number}"));
                if node.exists() {
                    fs::remove_dir_all(&node)
                        .map_err(|error| format!("cannot remove {}: {error}", node.display()))?;
                }
            }
            Ok(false)
        }
        None if home.join("node0").exists() => Err(format!(
            "{} holds a node that `tidemarkd devnet` did not make: choose another --home",
            home.display()
        )),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        devnet: DevnetOptions,
    }

    #[test]
    fn a_recording_that_is_not_there_is_told_with_its_name() {
        let read = |words: &[&str]| recording(&Cli::parse_from(words).devnet);
        assert!(matches!(read(&["devnet"]), Ok(None)));
        let why = read(&["devnet", "--replay", "/no/such.csv"]).err().unwrap_or_default();
        assert!(why.starts_with("--replay /no/such.csv: "), "{why}");
    }
}

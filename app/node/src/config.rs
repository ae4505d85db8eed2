//! `config/tidemarkd.toml`: the node's own options.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tidemark_comet::rpc_client::RpcClient;
use tidemark_consensus::abci::server::Address;

use super::snapshots::SnapshotConfig;
use super::watch::DiskBounds;

/// The file's name, in the home's `config` folder.
pub const FILE_NAME: &str = "tidemarkd.toml";

/// Oldest price of the sidecar that is reported, in ms, unless configured otherwise.
pub const SIDECAR_MAX_AGE_MS: u64 = 5_000;

/// More threads than this are a mistake in the file.
pub const MAX_THREADS: u16 = 256;

/// The node's options. Nothing here may change what the state machine computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
    /// Where ABCI is served; a socket file in the home when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abci_addr: Option<Address>,
    /// Host and port of CometBFT's JSON-RPC.
    pub comet_rpc_addr: String,
    /// Nodes to which this one hands on what its clients bring, as `http://host:port` of their
    /// gRPC, where it is no validator's; through CometBFT's mempool when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_to: Vec<String>,
    /// Threads for verification and execution; 0 for one a core.
    pub threads: u16,
    /// Bounds on the room on the home's disk.
    #[serde(default)]
    pub disk: DiskBounds,
    /// Snapshots of the state.
    #[serde(default)]
    pub snapshots: SnapshotConfig,
    /// Where prices come from.
    pub feed: FeedConfig,
}

/// Where a validator's prices come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum FeedConfig {
    /// It reports none.
    Off,
    /// Invented ones, for devnets.
    Synthetic {
        /// Of the walk. All validators of a devnet must have the same.
        seed: u64,
        /// When the walk starts, in Unix ms: the same for all.
        start_at_ms: u64,
        /// Which validator this is: seeds its noise.
        validator: u32,
        /// Scripted moves.
        #[serde(default)]
        shocks: Vec<ShockConfig>,
    },
    /// Recorded ones, played from a file.
    Replay {
        /// A `.csv` or `.csv.gz`.
        file: PathBuf,
        /// How many times faster than recorded.
        speed: u32,
        /// When the play starts, in Unix ms: the same for all.
        start_at_ms: u64,
        /// True if it starts again at its end.
        repeat: bool,
    },
    /// Those of real venues, from the price sidecar on this machine.
    Sidecar {
        /// Where it serves.
        address: SocketAddr,
        /// Oldest price that is reported, in ms.
        max_age_ms: u64,
    },
}

/// A scripted move of a synthetic price, in force from its end on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShockConfig {
    /// The market's symbol.
    pub market: String,
    /// When it begins, in ms after the walk's start.
    pub at_ms: u64,
    /// How far it goes, in ppm of the price.
    pub move_ppm: i32,
    /// Over how many ms.
    pub over_ms: u64,
}

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file, or none that can be read.
    #[error("cannot read {}: {source}; `tidemarkd init` makes it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A syntax error, an unknown key or a value of the wrong kind, with its line.
    #[error("{} is not valid:\n{reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The mistake and its place.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads the options of the node at `home`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join("config").join(FILE_NAME);
        match fs::read_to_string(&path) {
            Ok(text) => {
                Self::from_text(&text).map_err(|reason| ConfigError::Invalid { path, reason })
            }
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    /// Reads options from the file's text.
    ///
    /// # Errors
    /// A sentence with the line of the mistake.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let config: Self = toml_edit::de::from_str(text).map_err(|error| error.to_string())?;
        if config.threads > MAX_THREADS {
            return Err(format!("threads = {} is more than {MAX_THREADS}", config.threads));
        }
        RpcClient::new(&config.comet_rpc_addr)
            .map_err(|reason| format!("comet_rpc_addr: {reason}"))?;
        config.disk.check()?;
        config.snapshots.check()?;
        config.feed.check()?;
        Ok(config)
    }

    /// The address at which the node at `home` serves ABCI.
    #[must_use]
    pub fn abci_addr(&self, home: &Path) -> Address {
        self.abci_addr.clone().unwrap_or_else(|| Address::Unix(home.join("app.sock")))
    }

    /// The file's text, with a comment on each option.
    #[must_use]
    pub fn to_text(&self) -> String {
        let quoted = |text: &str| toml_edit::Value::from(text).to_string();
        let abci_addr = match &self.abci_addr {
            Some(address) => format!("abci_addr = {}", quoted(&address.to_string())),
            None => "# abci_addr = \"tcp://127.0.0.1:26658\"".to_owned(),
        };
        let forward_to = if self.forward_to.is_empty() {
            "# forward_to = [\"http://validator.example:26660\"]".to_owned()
        } else {
            let addresses: Vec<_> = self.forward_to.iter().map(|it| quoted(it)).collect();
            format!("forward_to = [{}]", addresses.join(", "))
        };
        format!(
            "# The options of tidemarkd. Unknown keys are refused. CometBFT's own options are \
             in config.toml.\n\
             \n# Where gRPC is served: orders, queries and streams.\ngrpc_addr = \"{}\"\n\
             \n# Where Prometheus metrics are served.\nmetrics_addr = \"{}\"\n\
             \n# Where ABCI is served to CometBFT. Without it, the file app.sock in the home.\n\
             {abci_addr}\n\
             \n# Host and port of CometBFT's JSON-RPC, to which transactions are handed.\n\
             comet_rpc_addr = {}\n\
             \n# Validators' gRPC addresses, to which a node that is no validator's hands on what \
             its clients bring. Without them, CometBFT's mempool carries it.\n\
             {forward_to}\n\
             \n# Threads for verification and execution; 0 for one a core. Results do not \
             depend on it.\n\
             threads = {}\n\
             \n# Room on the disk of this folder, in MiB: with less than warn_mib free the node \
             warns, with less than stop_mib it ends in order, with exit code 3.\n\
             [disk]\nwarn_mib = {}\nstop_mib = {}\n\
             {}\
             \n# Where this validator's prices come from:\n\
             #   kind = \"off\"        none; the node reports no prices\n\
             #   kind = \"synthetic\"  invented, for devnets: seed, start_at_ms, validator, \
             shocks\n\
             #   kind = \"replay\"     from a file: file, speed, start_at_ms, repeat\n\
             #   kind = \"sidecar\"    of real venues, from tidemark-oracle on this machine: \
             address, max_age_ms\n\
             [feed]\n{}",
            self.grpc_addr,
            self.metrics_addr,
            quoted(&self.comet_rpc_addr),
            self.threads,
            self.disk.warn_mib,
            self.disk.stop_mib,
            self.snapshots.to_text(),
            self.feed.to_text(),
        )
    }
}

impl FeedConfig {
    /// The price sidecar at `address`, with the default bound on ages.
    #[must_use]
    pub fn sidecar(address: SocketAddr) -> Self {
        Self::Sidecar { address, max_age_ms: SIDECAR_MAX_AGE_MS }
    }

    /// Checks the settings that a file's syntax does not.
    ///
    /// # Errors
    /// A sentence that names the setting, its bound and the value.
    pub fn check(&self) -> Result<(), String> {
        let Self::Sidecar { address, max_age_ms } = self else { return Ok(()) };
        if !address.ip().is_loopback() {
            return Err(format!(
                "feed address = {:?} is not on loopback: nobody else's prices are believed",
                address.to_string()
            ));
        }
        if !(100..=60_000).contains(max_age_ms) {
            return Err(format!("feed max_age_ms = {max_age_ms}, must be 100 to 60000"));
        }
        Ok(())
    }

    fn to_text(&self) -> String {
        match self {
            Self::Off => "kind = \"off\"\n".to_owned(),
            Self::Synthetic { seed, start_at_ms, validator, shocks } => {
                let shock = |ShockConfig { market, at_ms, move_ppm, over_ms }: &ShockConfig| {
                    let market = toml_edit::Value::from(market.as_str());
                    format!(
                        "    {{ market = {market}, at_ms = {at_ms}, move_ppm = {move_ppm}, \
                         over_ms = {over_ms} }},\n"
                    )
                };
                let shocks: String = shocks.iter().map(shock).collect();
                format!(
                    "kind = \"synthetic\"\nseed = {seed}\nstart_at_ms = {start_at_ms}\nvalidator \
                     = {validator}\n# Scripted moves, each in force from its end on.\nshocks = \
                     [\n{shocks}]\n"
                )
            }
            Self::Replay { file, speed, start_at_ms, repeat } => format!(
                "kind = \"replay\"\nfile = {}\nspeed = {speed}\nstart_at_ms = \
                 {start_at_ms}\nrepeat = {repeat}\n",
                toml_edit::Value::from(file.to_string_lossy().as_ref()),
            ),
            Self::Sidecar { address, max_age_ms } => {
                format!("kind = \"sidecar\"\naddress = \"{address}\"\nmax_age_ms = {max_age_ms}\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(feed: FeedConfig) -> NodeConfig {
        NodeConfig {
            grpc_addr: "127.0.0.1:26660".parse().unwrap(),
            metrics_addr: "[::1]:26661".parse().unwrap(),
            abci_addr: None,
            comet_rpc_addr: "localhost:26657".into(),
            forward_to: Vec::new(),
            threads: 2,
            disk: DiskBounds { warn_mib: 7_000, stop_mib: 800 },
            snapshots: SnapshotConfig { interval: 250, archive: true },
            feed,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let drop =
            ShockConfig { market: "BTC-USD".into(), at_ms: 5, move_ppm: -90_000, over_ms: 10 };
        let feeds = [
            FeedConfig::Off,
            FeedConfig::Synthetic {
                seed: 7,
                start_at_ms: 1_700_000_000_000,
                validator: 3,
                shocks: Vec::new(),
            },
            FeedConfig::Synthetic {
                seed: 7,
                start_at_ms: 1,
                validator: 3,
                shocks: vec![drop.clone(), drop],
            },
            FeedConfig::Replay {
                file: "a \"b\"/c.csv.gz".into(),
                speed: 60,
                start_at_ms: 1,
                repeat: true,
            },
            FeedConfig::sidecar("[::1]:26670".parse().unwrap()),
        ];
        for feed in feeds {
            let mut config = config(feed);
            for abci_addr in [None, Some("tcp://127.0.0.1:26658".parse().unwrap())] {
                config.abci_addr = abci_addr;
                config.forward_to.push(format!("http://10.0.0.{}:26660", config.forward_to.len()));
                assert_eq!(NodeConfig::from_text(&config.to_text()), Ok(config.clone()));
            }
        }
    }

    #[test]
    fn a_file_without_bounds_on_the_disk_has_the_default_ones() {
        let text = config(FeedConfig::Off).to_text();
        let old = text.replace("[disk]\nwarn_mib = 7000\nstop_mib = 800\n", "");
        assert_ne!(old, text);
        assert_eq!(NodeConfig::from_text(&old).unwrap().disk, DiskBounds::default());
    }

    #[test]
    fn the_sidecar_is_on_this_machine_and_its_prices_are_fresh() {
        let text = config(FeedConfig::sidecar("127.0.0.1:26670".parse().unwrap())).to_text();
        for (right, wrong, named) in [
            (
                "127.0.0.1:26670",
                "10.0.0.1:26670",
                "feed address = \"10.0.0.1:26670\" is not on loopback",
            ),
            ("127.0.0.1:26670", "localhost", "address"),
            (
                "max_age_ms = 5000",
                "max_age_ms = 60001",
                "feed max_age_ms = 60001, must be 100 to 60000",
            ),
            ("max_age_ms = 5000", "max_age = 5000", "max_age"),
        ] {
            let refusal = NodeConfig::from_text(&text.replace(right, wrong)).unwrap_err();
            assert!(refusal.contains(named), "{wrong}: {refusal}");
        }
    }

    #[test]
    fn mistakes_are_refused_with_the_key_that_has_them() {
        let text = config(FeedConfig::Synthetic {
            seed: 7,
            start_at_ms: 1,
            validator: 0,
            shocks: Vec::new(),
        })
        .to_text();
        let mistakes = [
            ("threads = 2", "thread = 2", "thread"),
            ("threads = 2", "threads = -2", "threads"),
            ("threads = 2", "threads = 257", "257"),
            ("threads = 2", "", "threads"),
            ("stop_mib = 800", "stop_mib = 7001", "disk stop_mib = 7001 is above"),
            ("stop_mib = 800", "stop_bytes = 800", "stop_bytes"),
            ("interval = 250", "interval = 9", "snapshots interval = 9, must be 0 or at least 10"),
            ("archive = true", "archives = true", "archives"),
            ("seed = 7", "sede = 7", "sede"),
            ("kind = \"synthetic\"", "kind = \"live\"", "live"),
            ("grpc_addr = \"127.0.0.1:26660\"", "grpc_addr = \"127.0.0.1\"", "grpc_addr"),
            ("\"localhost:26657\"", "\"http://localhost:26657\"", "comet_rpc_addr"),
            ("# abci_addr = \"tcp", "abci_addr = \"udp", "udp://"),
        ];
        for (right, wrong, named) in mistakes {
            let mistaken = text.replace(right, wrong);
            assert_ne!(mistaken, text, "{right}");
            let refusal = NodeConfig::from_text(&mistaken).unwrap_err();
            assert!(refusal.contains(named), "{wrong}: {refusal}");
        }
    }
}

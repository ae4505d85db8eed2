//! The devnet's options.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidemark_client::options::{duration, Output};

/// Run a whole exchange on this machine: nodes, prices and demo traders
#[derive(Clone, Debug, Args)]
pub struct DevnetOptions {
    /// How many validators, each a process with its own CometBFT
    #[arg(
        long,
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=16),
        value_name = "N"
    )]
    pub validators: u16,
    /// Play recorded prices (.csv or .csv.gz) instead of made-up ones
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// How many times faster than recorded
    /// [default: the whole file in the time of --for, or in two minutes]
    #[arg(
        long,
        requires = "replay",
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        value_name = "TIMES"
    )]
    pub speed: Option<u32>,
    /// End after this long, e.g. 60s [default: at Ctrl-C]
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    pub span: Option<Duration>,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Of made-up prices and of what the demo traders do
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder of nodes, keys and logs [default: ~/.tidemark/devnet]
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Pause after each block
    #[arg(long, value_parser = duration, default_value = "200ms", value_name = "DURATION")]
    pub block_time: Duration,
    /// Index transactions for `tx_search`, which CosmJS polls
    #[arg(long)]
    pub tx_index: bool,
    /// First port of the first node; each takes ten, gRPC is the fifth
    #[arg(long, default_value_t = 9086, value_name = "PORT")]
    pub ports: u16,
    /// Go on with the chain of the devnet before, instead of a new one
    #[arg(long)]
    pub keep: bool,
}

impl DevnetOptions {
    /// The devnet's folder, absolute.
    ///
    /// # Errors
    /// A sentence when there is no home folder.
    pub fn home(&self) -> Result<PathBuf, String> {
        let home = match &self.home {
            Some(home) => home.clone(),
            None => match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
                Some(user) => PathBuf::from(user).join(".tidemark/devnet"),
                None => return Err("HOME is not set: choose a folder with --home".to_owned()),
            },
        };
        std::path::absolute(&home).map_err(|error| format!("--home {}: {error}", home.display()))
    }
}

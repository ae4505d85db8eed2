//! The grammar of `agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tidemark_client::options::{duration, time_ms};

/// `agent …`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make a key that signs orders for you, and authorise it
    New(NewAgent),
    /// An owner's agents, and what they may
    List {
        /// Address of the owner [default: your key's]
        owner: Option<String>,
    },
    /// Take an agent's authorisation back, at once; orders stay
    Revoke {
        /// Its name, its file, or its public key in hex
        #[arg(value_name = "NAME|KEY")]
        agent: String,
    },
}

/// The operations of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// All commands of orders.
    Trade,
    /// cancel, cancel-all and dead-man.
    Cancel,
}

/// `agent new`
#[derive(Debug, Args)]
pub struct NewAgent {
    /// Its name: letters, digits, `-` and `_` [default: the first free of agent-1, agent-2 …]
    #[arg(long)]
    pub name: Option<String>,
    /// The operations that it may sign
    #[arg(long, value_enum, default_value_t = ScopeArg::Trade)]
    pub scope: ScopeArg,
    /// Subaccounts that it may act on, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    pub subaccounts: Vec<u32>,
    /// How long it may, from the last block's time on
    #[arg(
        long,
        value_parser = duration,
        default_value = "30d",
        conflicts_with = "until",
        value_name = "DURATION"
    )]
    pub valid_for: Duration,
    /// Until when it may, in UTC: 2026-12-31 or 2026-12-31T18:00:00Z
    #[arg(long, value_parser = time_ms, value_name = "TIME")]
    pub until: Option<u64>,
    /// Its file [default: agents/NAME.json in the folder of --home]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// File whose first line is the agent's passphrase [default: TIDEMARK_NEW_PASSPHRASE, else
    /// asked]
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Write it unencrypted: who reads the file may trade
    #[arg(long, conflicts_with = "new_passphrase_file")]
    pub plain: bool,
}

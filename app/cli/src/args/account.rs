//! Options of commands that read an account.

use clap::{Args, Subcommand};

/// Whose account.
#[derive(Debug, Args)]
pub struct Who {
    /// Address to look at [default: your key's]
    #[arg(long)]
    pub address: Option<String>,
}

/// `account`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Account {
    /// Whose.
    #[command(flatten)]
    pub who: Who,
    /// More than the figures.
    #[command(subcommand)]
    pub command: Option<AccountCommand>,
}

/// `account …`
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Each term of the subaccount's margin, or the arithmetic of a past liquidation
    Explain(Explain),
}

/// `account explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Whose.
    #[command(flatten)]
    pub who: Who,
    /// A past liquidation step by its number; without a number, all that the node has
    #[arg(long, num_args = 0..=1, value_name = "STEP")]
    pub liquidation: Option<Option<u64>>,
}

/// `orders`
#[derive(Debug, Args)]
pub struct Orders {
    /// Whose.
    #[command(flatten)]
    pub who: Who,
    /// Only in this market
    #[arg(long)]
    pub market: Option<String>,
}

/// `events`
#[derive(Debug, Args)]
pub struct Events {
    /// Whose.
    #[command(flatten)]
    pub who: Who,
    /// Begin with what came after this sequence number, as far as the node still has it
    /// [default: with what comes]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "SEQUENCE")]
    pub after: u64,
    /// Begin with this block, as far as the node still has it
    #[arg(long, conflicts_with = "after", value_name = "HEIGHT")]
    pub from: Option<u64>,
}

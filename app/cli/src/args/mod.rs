//! The command line's grammar.

mod account;
mod agent;
mod market;
mod orders;
mod place;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use tidemark_client::options::Output;

pub use account::*;
pub use agent::*;
pub use market::*;
pub use orders::*;
pub use place::*;

/// Trade on a Tidemark chain.
#[derive(Debug, Parser)]
#[command(
    name = "tidemark",
    version,
    disable_help_subcommand = true,
    disable_help_flag = true,
    after_help = "Exit codes: 0 done · 1 refused by the chain · 2 usage · 3 node not reachable · \
                  4 outcome unknown"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// gRPC address of the node
    #[arg(
        hide_env_values = true,
        long,
        global = true,
        env = "TIDEMARK_NODE",
        default_value = "http://127.0.0.1:9090",
        value_name = "URL"
    )]
    pub node: String,
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Folder of the keys [default: ~/.tidemark]
    #[arg(long, global = true, hide_env_values = true, env = "TIDEMARK_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Key to act with; may be left out while there is only one
    #[arg(long, global = true, hide_env_values = true, env = "TIDEMARK_KEY", value_name = "NAME")]
    pub key: Option<String>,
    /// Agent that signs orders in the key's place, by its name or its file; empty is none
    #[arg(
        long,
        global = true,
        hide_env_values = true,
        env = "TIDEMARK_AGENT",
        value_name = "NAME|FILE"
    )]
    pub agent: Option<String>,
    /// File whose first line is the key's passphrase [default: TIDEMARK_PASSPHRASE, else asked]
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Numbered subaccount to act on
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub subaccount: u32,
    /// Gas to declare for a transaction [default: what it usually needs; a single order looks at
    /// up to 100 makers]
    #[arg(long, global = true, value_name = "GAS")]
    pub gas: Option<u64>,
    /// Pay the flat fee for what the allowance of orders or cancels does not cover [default: such a
    /// transaction is refused]
    #[arg(long, global = true)]
    pub pay_fee: bool,
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    pub help: Option<bool>,
}

/// The command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, list and show keys, and change their passphrases
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make, list and revoke agents: keys that sign orders for you and move no money
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Credit collateral, signed by a devnet's faucet
    Deposit(Deposit),
    /// Take collateral off the exchange
    Withdraw(Amount),
    /// Put all that waits to be withdrawn back into the subaccount
    TakeBack,
    /// Move collateral between two of your subaccounts
    Transfer(Transfer),
    /// Set the leverage of a market, at most its tier's
    Leverage(Leverage),
    /// Set whether positions of a market have collateral of their own
    MarginMode(MarginModeArgs),
    /// Move collateral into or out of an isolated position
    #[command(subcommand)]
    IsolatedMargin(IsolatedMarginCommand),
    /// One order operation.
    #[command(flatten)]
    Order(OrderCommand),
    /// Send up to 512 order commands in one transaction, one a line
    Batch(Batch),
    /// Send a transaction again whose outcome is not known, and tell what became of it
    Resend(Resend),
    /// Tell what became of a transaction, and send nothing
    Answer(Answer),
    /// Collateral, equity and margin of an account
    Account(Account),
    /// Open positions of an account
    Positions(Who),
    /// Open orders of an account, those that wait, and its dead man's switch
    Orders(Orders),
    /// The best levels of order books
    Book(Book),
    /// All markets with their prices
    Markets,
    /// Last and next funding
    Funding(OneMarket),
    /// Height and time of the chain
    Status,
    /// Fees and limits of the chain
    Params,
    /// Validators' price reports
    #[command(subcommand)]
    Oracle(OracleCommand),
    /// Show, list and change markets
    #[command(subcommand)]
    Market(MarketCommand),
    /// Follow a book, trades and liquidations as they happen
    Watch(OneMarket),
    /// Follow an account's orders and fills as they happen
    Events(Events),
    /// Take over liquidated positions within limits, and close them on the book
    Keeper(KeeperArgs),
    /// Set collateral aside to take over liquidated positions of a market, or take it back
    SetAside(SetAside),
}

/// `keys …`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, encrypted with a passphrase, and show the 24 words that restore it
    #[command(visible_alias = "new")]
    Add {
        /// Its name: letters, digits, `-` and `_`
        name: String,
        /// Restore it from words, read from standard input
        #[arg(long)]
        recover: bool,
        /// Write it unencrypted: who reads the file has the key
        #[arg(long, conflicts_with = "passphrase_file")]
        plain: bool,
    },
    /// Change a key's passphrase, or give one to a key without
    Passphrase {
        /// The key's name
        name: String,
        /// File whose first line is the new passphrase [default: TIDEMARK_NEW_PASSPHRASE, else
        /// asked]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Take the passphrase away: who reads the file then has the key
        #[arg(long, conflicts_with = "new_passphrase_file")]
        remove: bool,
    },
    /// All keys
    List,
    /// One key's address
    Show {
        /// Its name
        name: String,
    },
}

/// `resend`
#[derive(Debug, Args)]
pub struct Resend {
    /// The transaction's hash, as the error named it
    #[arg(value_name = "HASH")]
    pub tx_hash: String,
    /// How far to wait
    #[command(flatten)]
    pub wait: Wait,
}

/// `answer`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("by").required(true).args(["tx_hash", "sequence", "nonce"]))]
pub struct Answer {
    /// The transaction's hash
    #[arg(value_name = "HASH")]
    pub tx_hash: Option<String>,
    /// The sequence of the key that it used up
    #[arg(long, value_name = "N")]
    pub sequence: Option<u64>,
    /// The nonce of --agent that it used up
    #[arg(long, value_name = "MS")]
    pub nonce: Option<u64>,
}

/// `deposit`
#[derive(Debug, Args)]
pub struct Deposit {
    /// How much, in USDC
    #[arg(long, value_name = "USDC")]
    pub amount: Decimal,
    /// Address to credit [default: your key's]
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    /// Key file of the faucet [default: ~/.tidemark/devnet/faucet.json]
    #[arg(long, hide_env_values = true, env = "TIDEMARK_FAUCET", value_name = "FILE")]
    pub faucet_key: Option<PathBuf>,
}

/// An amount.
#[derive(Debug, Args)]
pub struct Amount {
    /// How much, in USDC
    #[arg(long, value_name = "USDC")]
    pub amount: Decimal,
}

/// `transfer`
#[derive(Debug, Args)]
pub struct Transfer {
    /// How much, in USDC
    #[arg(long, value_name = "USDC")]
    pub amount: Decimal,
    /// Subaccount that gets it; it comes from --subaccount
    #[arg(long, value_name = "N")]
    pub to_subaccount: u32,
}

/// `leverage`
#[derive(Debug, Args)]
pub struct Leverage {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// At most this many times the margin; 0 is the most that the tier allows
    #[arg(long, value_name = "TIMES")]
    pub leverage: u32,
}

/// Cross or isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// All the subaccount's collateral stands for the position.
    Cross,
    /// The position has collateral of its own, and loses no more than that.
    Isolated,
}

/// `margin-mode`
#[derive(Debug, Args)]
pub struct MarginModeArgs {
    /// Market, e.g. BTC-USD; without a position or an order of yours
    #[arg(long)]
    pub market: String,
    /// Collateral that stands for its positions
    #[arg(long, value_enum)]
    pub mode: ModeArg,
}

/// `isolated-margin …`
#[derive(Debug, Subcommand)]
pub enum IsolatedMarginCommand {
    /// From the subaccount to the position
    Add(MarketAmount),
    /// From the position to the subaccount, as far as it is free
    Remove(MarketAmount),
}

/// A market and an amount.
#[derive(Debug, Args)]
pub struct MarketAmount {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// How much, in USDC
    #[arg(long, value_name = "USDC")]
    pub amount: Decimal,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_mistakes_are_refused() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("tidemark place --market BTC-USD --side buy --price 1 --size 1 --post-only")
            .is_ok());
        assert!(parse(
            "tidemark place --market BTC-USD --side buy --price 1 --size 1 --post-only slide"
        )
        .is_ok());
        assert!(
            parse("tidemark account explain --liquidation --address tide1x --output json").is_ok()
        );
        assert!(parse("tidemark account explain --liquidation 17").is_ok());
        for bad in [
            "tidemark",
            "tidemark account explain --liquidation last",
            "tidemark place --market BTC-USD --side up --price 1 --size 1",
            "tidemark place --market BTC-USD --side buy --price x --size 1",
            "tidemark cancel --market BTC-USD",
            "tidemark cancel --market BTC-USD --id 1 --client-id 2",
            "tidemark replace --market BTC-USD --id 1",
            "tidemark batch",
            "tidemark deposit",
            "tidemark oracle status --sidecar",
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }
}

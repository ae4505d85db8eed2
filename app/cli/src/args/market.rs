//! Options of commands about markets, and of the keeper.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rust_decimal::Decimal;

/// `book`
#[derive(Debug, Args)]
pub struct Book {
    /// Market, e.g. BTC-USD [default: all]
    #[arg(long)]
    pub market: Option<String>,
    /// Levels a side; 0 is all
    #[arg(long, default_value_t = 10, value_name = "LEVELS")]
    pub depth: u32,
}

/// A market, or all.
#[derive(Debug, Args)]
pub struct OneMarket {
    /// Market, e.g. BTC-USD [default: all]
    #[arg(long)]
    pub market: Option<String>,
}

/// `oracle …`
#[derive(Debug, Subcommand)]
pub enum OracleCommand {
    /// Who reports prices, how old they are, and how far from the index; the node's own report
    /// beside it
    Status {
        /// Market, e.g. BTC-USD, with what each validator says of it [default: all, in sum]
        #[arg(long)]
        market: Option<String>,
        /// Ask this price sidecar instead of the node: its connections, and every venue's price,
        /// age, weight and whether it is used
        #[arg(long, value_name = "ADDR")]
        sidecar: Option<String>,
    },
}

/// `keeper`
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// Collateral to set aside in a market, e.g. BTC-USD=5000; once for each market to keep
    #[arg(long, required = true, value_name = "MARKET=USDC")]
    pub set_aside: Vec<String>,
    /// Largest position in one market, in USDC of notional
    #[arg(long, value_name = "USDC")]
    pub max_market: Decimal,
    /// Largest sum of all positions, in USDC of notional
    #[arg(long, value_name = "USDC")]
    pub max_total: Decimal,
    /// Least gain of a takeover after the hedge's slippage and fee, in millionths
    #[arg(long, default_value_t = 500, value_name = "PPM")]
    pub min_edge_ppm: u32,
    /// Farthest from the mark that a hedge trades, in millionths
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(0..=500_000),
        value_name = "PPM"
    )]
    pub max_slippage_ppm: u32,
    /// Metrics page of the node, to tell what is near liquidation, e.g. 127.0.0.1:9100
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Tell what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `set-aside`
#[derive(Debug, Args)]
pub struct SetAside {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// How much in all, in USDC; 0 takes all back, after 50 blocks
    #[arg(long, value_name = "USDC")]
    pub amount: Decimal,
}

/// `market …`
#[derive(Debug, Subcommand)]
pub enum MarketCommand {
    /// Parameters of a market; with --output json in the form that `update` reads
    Show {
        /// Its symbol
        market: String,
    },
    /// Print a file for `list-new` with the rules' defaults
    Template {
        /// Its symbol, e.g. DOGE-USD
        symbol: String,
        /// USDC per base unit in one tick
        #[arg(long)]
        tick_size: Decimal,
        /// Base units in one lot
        #[arg(long)]
        lot_size: Decimal,
        /// Largest leverage
        #[arg(long, value_parser = clap::value_parser!(u32).range(4..=100))]
        max_leverage: u32,
    },
    /// List a market (signed by the chain's admin)
    ListNew {
        /// JSON of its parameters
        file: PathBuf,
        /// Let positions share the accounts' collateral; without it each has collateral of its own
        #[arg(long)]
        shares_collateral: bool,
    },
    /// Change a market's parameters (signed by the chain's admin)
    Update {
        /// JSON of its parameters
        file: PathBuf,
    },
}

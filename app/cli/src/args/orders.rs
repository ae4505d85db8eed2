//! The grammar of order commands, which `tidemark batch` reads line by line too.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use tidemark_client::options::duration;

use super::Place;

/// A command that is one operation of a transaction.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Place an order: limit, market, stop, take-profit, trailing, iceberg or pegged
    Place(Place),
    /// Close the whole position, as it is then, at a take-profit or a stop, whichever comes first
    Exits(Exits),
    /// A limit order and a stop of which one cancels the other
    Oco(Oco),
    /// An order in equal parts over time
    Twap(Twap),
    /// A ladder of limit orders between two prices, all of them or none
    Scale(Scale),
    /// Cancel an order
    Cancel(OrderName),
    /// Change an order's price, size or trigger; a smaller size keeps its place in the queue
    Replace(Replace),
    /// Cancel all orders, or those of one market or side
    CancelAll(CancelAll),
    /// Cancel all orders at a time from now, unless it is set anew before
    DeadMan(DeadMan),
}

impl OrderCommand {
    /// The word that it is typed with.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Exits(_) => "exits",
            Self::Oco(_) => "oco",
            Self::Twap(_) => "twap",
            Self::Scale(_) => "scale",
            Self::Cancel(_) => "cancel",
            Self::Replace(_) => "replace",
            Self::CancelAll(_) => "cancel-all",
            Self::DeadMan(_) => "dead-man",
        }
    }

    /// True for what an agent that only cancels may sign.
    #[must_use]
    pub fn only_cancels(&self) -> bool {
        matches!(self, Self::Cancel(_) | Self::CancelAll(_) | Self::DeadMan(_))
    }

    /// The value of `--wait`, if given.
    #[must_use]
    pub fn wait(&self) -> Option<WaitArg> {
        let wait = match self {
            Self::Place(args) => &args.wait,
            Self::Exits(args) => &args.wait,
            Self::Oco(args) => &args.wait,
            Self::Twap(args) => &args.wait,
            Self::Scale(args) => &args.wait,
            Self::Cancel(args) => &args.wait,
            Self::Replace(args) => &args.order.wait,
            Self::CancelAll(args) => &args.wait,
            Self::DeadMan(args) => &args.wait,
        };
        wait.until
    }
}

/// A line of a batch: an order command without the program's name and options.
#[derive(Debug, Parser)]
#[command(
    name = "batch",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    subcommand_value_name = "OPERATION",
    subcommand_help_heading = "Operations"
)]
pub struct BatchLine {
    /// The operation.
    #[command(subcommand)]
    pub command: OrderCommand,
}

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SideArg {
    /// Buy.
    Buy,
    /// Sell.
    Sell,
}

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    /// At --price or better.
    Limit,
    /// At once; --price, if given, is the worst price to take.
    Market,
}

/// How long an order stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TifArg {
    /// Good till cancelled.
    Gtc,
    /// Good till --expires has passed.
    Gtt,
    /// Immediate or cancel.
    Ioc,
    /// Fill or kill.
    Fok,
}

/// Treatment of a post-only order that would trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PostOnlyArg {
    /// It is refused.
    Reject,
    /// It moves to one tick outside the other side's best price.
    Slide,
}

/// The reference of a pegged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PegArg {
    /// The mark.
    Mark,
    /// The best price of its own side.
    Best,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitArg {
    /// Until it is in a block.
    Committed,
    /// Until the node has taken it.
    Accepted,
}

/// Options of order commands.
#[derive(Debug, Args)]
pub struct Wait {
    /// How far to wait [default: committed]
    #[arg(long = "wait", value_enum)]
    pub until: Option<WaitArg>,
}

/// Options of orders that may rest.
#[derive(Debug, Args)]
pub struct Resting {
    /// Time to live, e.g. 30s, 10m, 2h; makes it gtt
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub expires: Option<Duration>,
    /// Never take: be refused, or slide outside the other side
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        default_missing_value = "reject",
        value_name = "reject|slide"
    )]
    pub post_only: Option<PostOnlyArg>,
}

/// Options of all new orders.
#[derive(Debug, Args)]
pub struct Common {
    /// Only reduce the position
    #[arg(long)]
    pub reduce_only: bool,
    /// Your own number for it; sending the same again is then harmless
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub client_id: u64,
}

/// `exits`
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("exit").required(true).multiple(true).args(["take_profit", "stop"])
)]
pub struct Exits {
    /// Market that you have a position in, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// Close it when the mark has gone this far in its favour
    #[arg(long, value_name = "PRICE")]
    pub take_profit: Option<Decimal>,
    /// Close it when the mark has gone this far against it
    #[arg(long, value_name = "PRICE")]
    pub stop: Option<Decimal>,
    /// Your own number for the take-profit, and one more for the stop; sending the same again is
    /// then harmless
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub client_id: u64,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `oco`
#[derive(Debug, Args)]
pub struct Oco {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// Buy or sell: both orders
    #[arg(long, value_enum)]
    pub side: SideArg,
    /// Size of each in base units, a whole number of lots
    #[arg(long)]
    pub size: Decimal,
    /// Price of the limit order, which rests
    #[arg(long)]
    pub price: Decimal,
    /// Price that the mark must reach for the stop: below it before a sell, above it before a buy
    #[arg(long, value_name = "PRICE")]
    pub stop: Decimal,
    /// The stop places a limit order at this price [default: a market order]
    #[arg(long, value_name = "PRICE")]
    pub stop_limit: Option<Decimal>,
    /// Expiry and post-only.
    #[command(flatten)]
    pub resting: Resting,
    /// Both may only reduce the position
    #[arg(long)]
    pub reduce_only: bool,
    /// Your own number for the limit order, and one more for the stop; sending the same again is
    /// then harmless
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub client_id: u64,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `twap`
#[derive(Debug, Args)]
pub struct Twap {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// Buy or sell
    #[arg(long, value_enum)]
    pub side: SideArg,
    /// Size of all parts in base units, a whole number of lots
    #[arg(long)]
    pub size: Decimal,
    /// In how many parts
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1_000), value_name = "N")]
    pub slices: u32,
    /// Time between two parts, from 1s to 1d; the first goes with the next block
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub interval: Duration,
    /// How far beyond the mark a part may trade, in millionths [default: the market's]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=999_999), value_name = "PPM")]
    pub slippage_ppm: Option<u32>,
    /// No part trades beyond this price
    #[arg(long, value_name = "PRICE")]
    pub limit: Option<Decimal>,
    /// Reduce-only and the client's number.
    #[command(flatten)]
    pub common: Common,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `scale`
#[derive(Debug, Args)]
pub struct Scale {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// Buy or sell
    #[arg(long, value_enum)]
    pub side: SideArg,
    /// Price of the first order
    #[arg(long, value_name = "PRICE")]
    pub from: Decimal,
    /// Price of the last order
    #[arg(long, value_name = "PRICE")]
    pub to: Decimal,
    /// Size of all orders in base units, a whole number of lots
    #[arg(long)]
    pub size: Decimal,
    /// How many orders
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=100), value_name = "N")]
    pub orders: u32,
    /// Size of the last order as a multiple of the first's, 0.01 to 100 [default: 1]
    #[arg(long, value_name = "RATIO")]
    pub skew: Option<Decimal>,
    /// Expiry and post-only.
    #[command(flatten)]
    pub resting: Resting,
    /// All may only reduce the position
    #[arg(long)]
    pub reduce_only: bool,
    /// Your own number for the first order; the others count on from it
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub client_id: u64,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// An order by either of its numbers.
#[derive(Debug, Args)]
pub struct OrderName {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// The chain's number of the order
    #[arg(
        long,
        conflicts_with = "client_id",
        required_unless_present = "client_id",
        value_name = "N"
    )]
    pub id: Option<u64>,
    /// Your own number of it
    #[arg(long, value_name = "N")]
    pub client_id: Option<u64>,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `replace`
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change")
        .required(true)
        .multiple(true)
        .args(["price", "size", "total", "trigger"])
)]
pub struct Replace {
    /// Which order.
    #[command(flatten)]
    pub order: OrderName,
    /// New price in USDC
    #[arg(long)]
    pub price: Option<Decimal>,
    /// New open size in base units; 0 cancels the order
    #[arg(long)]
    pub size: Option<Decimal>,
    /// New size in base units with what has traded; no more than that cancels the order
    #[arg(long, conflicts_with = "size", value_name = "SIZE")]
    pub total: Option<Decimal>,
    /// New trigger price of a stop or take-profit that waits
    #[arg(long, value_name = "PRICE")]
    pub trigger: Option<Decimal>,
}

/// `cancel-all`
#[derive(Debug, Args)]
pub struct CancelAll {
    /// Only in this market
    #[arg(long)]
    pub market: Option<String>,
    /// Only on this side
    #[arg(long, value_enum)]
    pub side: Option<SideArg>,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `dead-man`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("when").required(true).args(["after", "off"]))]
pub struct DeadMan {
    /// So long after the last block's time, from 6s to 1d; setting it again moves it
    #[arg(long = "in", value_parser = duration, value_name = "DURATION")]
    pub after: Option<Duration>,
    /// Switch it off
    #[arg(long)]
    pub off: bool,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

/// `batch`
#[derive(Debug, Args)]
pub struct Batch {
    /// File of order commands, one a line, e.g. `place --market BTC-USD …`; `-` is standard input;
    /// `#` begins a comment
    pub file: PathBuf,
    /// Accept all of them, or carry out none
    #[arg(long)]
    pub all_or_none: bool,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

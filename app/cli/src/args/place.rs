//! The command that places one order.

use clap::Args;
use rust_decimal::Decimal;

use super::{Common, PegArg, Resting, SideArg, TifArg, TypeArg, Wait};

/// `place`
#[derive(Debug, Args)]
pub struct Place {
    /// Market, e.g. BTC-USD
    #[arg(long)]
    pub market: String,
    /// Buy or sell
    #[arg(long, value_enum)]
    pub side: SideArg,
    /// Price in USDC, a whole number of ticks; of a pegged order the limit beyond which it does not
    /// go
    #[arg(long)]
    pub price: Option<Decimal>,
    /// Size in base units, a whole number of lots
    #[arg(long)]
    pub size: Option<Decimal>,
    /// Kind of order [default: limit; market with a trigger and no --price]
    #[arg(long = "type", value_enum)]
    pub order_type: Option<TypeArg>,
    /// How long it stays [default: gtc; ioc for market orders]
    #[arg(long, value_enum)]
    pub tif: Option<TifArg>,
    /// Expiry and post-only.
    #[command(flatten)]
    pub resting: Resting,
    /// Wait for the mark to go against a position: to fall to this price before a sell, to rise to
    /// it before a buy
    #[arg(long, conflicts_with = "take_profit", value_name = "PRICE")]
    pub stop: Option<Decimal>,
    /// Wait for the mark to go in a position's favour: to rise to this price before a sell, to fall
    /// to it before a buy
    #[arg(long, value_name = "PRICE")]
    pub take_profit: Option<Decimal>,
    /// Trailing stop: wait for the mark to go so many USDC against a position from its best since
    /// then; only reduces
    #[arg(
        long,
        conflicts_with_all = ["stop", "take_profit", "trail_percent"],
        value_name = "USDC"
    )]
    pub trail: Option<Decimal>,
    /// As --trail, in percent of the best mark
    #[arg(long, conflicts_with_all = ["stop", "take_profit"], value_name = "PERCENT")]
    pub trail_percent: Option<Decimal>,
    /// Close what this order fills when the mark has gone so far in its favour
    #[arg(
        long,
        conflicts_with_all = [
            "stop", "take_profit", "trail", "trail_percent", "peg", "reduce_only"
        ],
        value_name = "PRICE"
    )]
    pub with_take_profit: Option<Decimal>,
    /// Close what this order fills when the mark has gone so far against it
    #[arg(
        long,
        conflicts_with_all = [
            "stop", "take_profit", "trail", "trail_percent", "peg", "reduce_only"
        ],
        value_name = "PRICE"
    )]
    pub with_stop: Option<Decimal>,
    /// With --stop, --take-profit or --trail: close the whole position as it is then; without
    /// --size
    #[arg(long, conflicts_with = "size")]
    pub whole_position: bool,
    /// Iceberg: show at most so much of the size at a time
    #[arg(long, value_name = "SIZE")]
    pub display: Option<Decimal>,
    /// Rest at a distance from the mark or from the best price of its side, and follow it; never
    /// take
    #[arg(long, value_enum)]
    pub peg: Option<PegArg>,
    /// Distance of the peg in USDC, a whole number of ticks; negative is below [default: 0]
    #[arg(long, requires = "peg", allow_hyphen_values = true, value_name = "USDC")]
    pub peg_offset: Option<Decimal>,
    /// Reduce-only and the client's number.
    #[command(flatten)]
    pub common: Common,
    /// Waiting.
    #[command(flatten)]
    pub wait: Wait,
}

//! From a command to the operation that it describes.

mod place;
mod several;

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use tidemark_client::{Market, Markets, OrderSender};
use tidemark_proto::units::{Lots, SignedLots, Ticks, TimeMs};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use crate::args::{self, DeadMan, OrderCommand, PostOnlyArg, SideArg};
use crate::CliError;
use place::place;
use several::{exits, oco, scale, twap, with_exits};

/// Shortest time ahead of a dead man's switch: five seconds of the chain, and one until the next
/// block.
const MIN_AHEAD: Duration = Duration::from_secs(6);
/// Longest time ahead of a dead man's switch, and between two slices.
const DAY: Duration = Duration::from_secs(86_400);
/// Shortest time between two slices.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Chain data that turns a command into an operation.
#[derive(Default)]
pub(super) struct ChainData {
    pub(super) markets: Markets,
    /// Time of the last block, where a command counts from it.
    now_ms: TimeMs,
    /// Lots held by market, where a command is about a position.
    held: BTreeMap<u32, SignedLots>,
}

impl ChainData {
    /// Asks the node for what the commands need.
    pub(super) async fn of(
        sender: &OrderSender,
        subaccount: u32,
        commands: &[&OrderCommand],
    ) -> Result<Self, CliError> {
        let client = sender.client();
        let markets = client.markets().await?;
        let now_ms = match commands.iter().any(|command| counts_time(command)) {
            true => TimeMs::new(client.status().await?.time_ms),
            false => TimeMs::ZERO,
        };
        let mut held = BTreeMap::new();
        if commands.iter().any(|command| matches!(command, OrderCommand::Exits(_))) {
            let account = client.account(&sender.owner(), Some(subaccount)).await?;
            let positions = account.subaccounts.iter().flat_map(|sub| &sub.positions);
            held = positions
                .map(|position| (position.market, SignedLots::new(position.lots)))
                .collect();
        }
        Ok(Self { markets, now_ms, held })
    }

    /// The market that an operation is of.
    pub(super) fn market_of(&self, operation: &Operation) -> Option<&Market> {
        super::market_id(operation).and_then(|id| self.markets.by_id(id))
    }

    /// The operation that a command describes.
    ///
    /// # Errors
    /// A sentence that names what does not fit, and what to do.
    pub(super) fn operation(&self, command: &OrderCommand) -> Result<Operation, String> {
        let find = |symbol: &str| self.markets.find(symbol).map(|(market, _)| market);
        Ok(match command {
            OrderCommand::Place(args) => {
                let market = find(&args.market)?;
                with_exits(args, market, place(args, market, self.now_ms)?)?
            }
            OrderCommand::Exits(args) => {
                let market = find(&args.market)?;
                exits(args, market, self.held.get(&market.id).copied().unwrap_or_default())?
            }
            OrderCommand::Oco(args) => Operation::Oco(oco(args, find(&args.market)?, self.now_ms)?),
            OrderCommand::Twap(args) => Operation::Twap(twap(args, find(&args.market)?)?),
            OrderCommand::Scale(args) => {
                Operation::Scale(scale(args, find(&args.market)?, self.now_ms)?)
            }
            OrderCommand::Cancel(args) => Operation::Cancel(v1::CancelOrder {
                market: find(&args.market)?.id,
                order_id: args.id.unwrap_or(0),
                client_id: args.client_id.unwrap_or(0),
            }),
            OrderCommand::Replace(args) => {
                Operation::Replace(replace(args, find(&args.order.market)?)?)
            }
            OrderCommand::CancelAll(args) => Operation::CancelAll(v1::CancelAll {
                market: args.market.as_deref().map(find).transpose()?.map(|market| market.id),
                side: args.side.map_or(v1::Side::Unspecified, side).into(),
            }),
            OrderCommand::DeadMan(args) => {
                Operation::ScheduleCancelAll(dead_man(args, self.now_ms)?)
            }
        })
    }
}

/// True if a command counts from the last block's time.
fn counts_time(command: &OrderCommand) -> bool {
    match command {
        OrderCommand::Place(args) => args.resting.expires.is_some(),
        OrderCommand::Oco(args) => args.resting.expires.is_some(),
        OrderCommand::Scale(args) => args.resting.expires.is_some(),
        OrderCommand::DeadMan(args) => args.after.is_some(),
        _ => false,
    }
}

fn side(side: SideArg) -> v1::Side {
    match side {
        SideArg::Buy => v1::Side::Buy,
        SideArg::Sell => v1::Side::Sell,
    }
}

fn post_only(post_only: Option<PostOnlyArg>) -> i32 {
    match post_only {
        None => v1::PostOnly::Off,
        Some(PostOnlyArg::Reject) => v1::PostOnly::Reject,
        Some(PostOnlyArg::Slide) => v1::PostOnly::Slide,
    }
    .into()
}

fn millis(span: Duration) -> TimeMs {
    u64::try_from(span.as_millis()).map_or(TimeMs::MAX, TimeMs::new)
}

/// A span as options take it: in the largest unit that it is a whole number of.
pub(super) fn span_text(span: Duration) -> String {
    let ms = millis(span).get();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms != 0 && ms % unit == 0) {
        Some((unit, word)) => format!("{}{word}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// The price of an option; a refusal names the option.
fn ticks(market: &Market, option: &str, price: Decimal) -> Result<Ticks, String> {
    market.ticks(price).map_err(|refusal| format!("{option}: {refusal}"))
}

/// The price of an option that may be missing: 0 is none.
fn optional_ticks(market: &Market, option: &str, price: Option<Decimal>) -> Result<Ticks, String> {
    price.map_or(Ok(Ticks::ZERO), |price| ticks(market, option, price))
}

/// A size that is shared among as many parts as an option says.
fn lots_for(market: &Market, option: &str, parts: u32, size: Decimal) -> Result<Lots, String> {
    let lots = market.lots(size)?;
    if Lots::new(u64::from(parts)) <= lots {
        return Ok(lots);
    }
    let (lot, base) = (market.lot_size, market.base());
    Err(format!(
        "{option} is {parts}, but {size} {base} is only {lots} times the lot of {lot}: each part \
         has one at least"
    ))
}

/// Until when an order stays, if to a time; 0 is for ever.
fn expiry(expires: Option<Duration>, now_ms: TimeMs) -> TimeMs {
    expires.map_or(TimeMs::ZERO, |after| now_ms.saturating_add(millis(after)))
}

/// The second of two client ids.
fn next_client_id(client_id: u64) -> Result<u64, String> {
    match client_id {
        0 => Ok(0),
        _ => client_id
            .checked_add(1)
            .ok_or_else(|| format!("--client-id {client_id} has no next number")),
    }
}

fn replace(args: &args::Replace, market: &Market) -> Result<v1::ReplaceOrder, String> {
    let lots = |size: Decimal| match size.is_zero() {
        true => Ok(Lots::ZERO),
        false => market.lots(size),
    };
    Ok(v1::ReplaceOrder {
        market: market.id,
        order_id: args.order.id.unwrap_or(0),
        client_id: args.order.client_id.unwrap_or(0),
        price_ticks: args.price.map_or(Ok(Ticks::ZERO), |price| market.ticks(price))?.get(),
        lots: args.size.map(lots).transpose()?.map(Lots::get),
        total_lots: args.total.map(lots).transpose()?.map(Lots::get),
        trigger_price_ticks: optional_ticks(market, "--trigger", args.trigger)?.get(),
    })
}

fn dead_man(args: &DeadMan, now_ms: TimeMs) -> Result<v1::ScheduleCancelAll, String> {
    let Some(after) = args.after else { return Ok(v1::ScheduleCancelAll { at_ms: 0 }) };
    if !(MIN_AHEAD..=DAY).contains(&after) {
        return Err(format!("--in is {}, must be 6s to 1d", span_text(after)));
    }
    Ok(v1::ScheduleCancelAll { at_ms: now_ms.saturating_add(millis(after)).get() })
}

#[cfg(test)]
mod tests;

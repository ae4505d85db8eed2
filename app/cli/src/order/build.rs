//! From a command to the operation that it describes.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use tidemark_client::{Market, Markets, Sender};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use crate::args::{
    self, DeadMan, Exits, Oco, OrderCommand, PegArg, PostOnlyArg, SideArg, TifArg, TypeArg,
};
use crate::CliError;

/// Shortest time ahead of a dead man's switch: five seconds of the chain, and one until the next
/// block.
const MIN_AHEAD: Duration = Duration::from_secs(6);
/// Longest time ahead of a dead man's switch, and between two slices.
const DAY: Duration = Duration::from_secs(86_400);
/// Shortest time between two slices.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Chain data that turns a command into an operation.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) markets: Markets,
    /// Time of the last block, where a command counts from it.
    now_ms: u64,
    /// Lots held by market, where a command is about a position.
    held: BTreeMap<u32, i64>,
}

impl Desk {
    /// Asks the node for what the commands need.
    pub(super) async fn of(
        sender: &Sender,
        subaccount: u32,
        commands: &[&OrderCommand],
    ) -> Result<Self, CliError> {
        let client = sender.client();
        let markets = client.markets().await?;
        let now_ms = match commands.iter().any(|command| counts_time(command)) {
            true => client.status().await?.time_ms,
            false => 0,
        };
        let mut held = BTreeMap::new();
        if commands.iter().any(|command| matches!(command, OrderCommand::Exits(_))) {
            let account = client.account(&sender.address(), Some(subaccount)).await?;
            let positions = account.subaccounts.iter().flat_map(|sub| &sub.positions);
            held = positions.map(|position| (position.market, position.lots)).collect();
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
                Operation::Place(place(args, find(&args.market)?, self.now_ms)?)
            }
            OrderCommand::Exits(args) => {
                let market = find(&args.market)?;
                exits(args, market, self.held.get(&market.id).copied().unwrap_or(0))?
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

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span as options take it: in the largest unit that it is a whole number of.
pub(super) fn span_text(span: Duration) -> String {
    let ms = millis(span);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms != 0 && ms % unit == 0) {
        Some((unit, word)) => format!("{}{word}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// The price of an option; a refusal names the option.
fn ticks(market: &Market, option: &str, price: Decimal) -> Result<u64, String> {
    market.ticks(price).map_err(|refusal| format!("{option}: {refusal}"))
}

fn optional_ticks(market: &Market, option: &str, price: Option<Decimal>) -> Result<u64, String> {
    price.map_or(Ok(0), |price| ticks(market, option, price))
}

/// A size that is shared among as many parts as an option says.
fn lots_for(market: &Market, option: &str, parts: u32, size: Decimal) -> Result<u64, String> {
    let lots = market.lots(size)?;
    if u64::from(parts) <= lots {
        return Ok(lots);
    }
    let (lot, base) = (market.lot_size, market.base());
    Err(format!(
        "{option} is {parts}, but {size} {base} is only {lots} times the lot of {lot}: each part \
         has one at least"
    ))
}

/// Until when an order stays, if to a time.
fn expiry(expires: Option<Duration>, now_ms: u64) -> u64 {
    expires.map_or(0, |after| now_ms.saturating_add(millis(after)))
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

/// One new order.
pub(super) fn place(
    args: &args::Place,
    market: &Market,
    now_ms: u64,
) -> Result<v1::PlaceOrder, String> {
    let (trigger, trigger_price_ticks) = match (args.stop, args.take_profit) {
        (Some(price), _) => (v1::Trigger::Stop, ticks(market, "--stop", price)?),
        (None, Some(price)) => (v1::Trigger::TakeProfit, ticks(market, "--take-profit", price)?),
        (None, None) => (v1::Trigger::None, 0),
    };
    let waits = trigger != v1::Trigger::None;
    let is_market = match args.order_type {
        Some(order_type) => order_type == TypeArg::Market,
        None => waits && args.price.is_none() && args.peg.is_none(),
    };
    let expires = args.resting.expires;
    let tif = args.tif.unwrap_or(match (is_market, expires) {
        (true, _) => TifArg::Ioc,
        (false, Some(_)) => TifArg::Gtt,
        (false, None) => TifArg::Gtc,
    });
    let rests = !is_market && matches!(tif, TifArg::Gtc | TifArg::Gtt);
    if args.peg.is_some() {
        check_pegged(args, rests, waits)?;
    }
    let price_ticks = match args.price {
        Some(price) => market.ticks(price)?,
        None if is_market || args.peg.is_some() => 0,
        None if waits => {
            return Err("a limit order needs --price; to trade at the market's price when the \
                        mark is there, leave --type out"
                .into())
        }
        None => {
            return Err("a limit order needs --price; for one at the market's price use --type \
                        market"
                .into())
        }
    };
    match (tif, expires) {
        (_, Some(_)) if is_market && waits => {
            return Err("--expires is for limit orders: give --price, or cancel a market order \
                        that waits when it is no longer wanted"
                .into())
        }
        (TifArg::Gtt, None) => return Err("--tif gtt needs --expires, e.g. --expires 10m".into()),
        (TifArg::Gtc | TifArg::Ioc | TifArg::Fok, Some(_)) => {
            return Err("--expires goes with --tif gtt only".into())
        }
        (TifArg::Gtt, Some(_)) | (_, None) => {}
    }
    if is_market && matches!(tif, TifArg::Gtc | TifArg::Gtt) {
        return Err("a market order trades at once: leave --tif out, or use ioc or fok".into());
    }
    if args.resting.post_only.is_some() && !rests {
        return Err(
            "a post-only order must be able to rest: a limit order with --tif gtc or gtt".into()
        );
    }
    if args.whole_position && !waits {
        return Err("--whole-position closes what is held when the mark reaches a price: say \
                    which with --stop or --take-profit"
            .into());
    }
    let lots = match args.size {
        Some(size) => market.lots(size)?,
        None if args.whole_position => 0,
        None if waits => return Err("say how much with --size, or --whole-position".into()),
        None => return Err("say how much with --size".into()),
    };
    Ok(v1::PlaceOrder {
        market: market.id,
        side: side(args.side).into(),
        price_ticks,
        lots,
        r#type: if is_market { v1::OrderType::Market } else { v1::OrderType::Limit }.into(),
        time_in_force: match tif {
            TifArg::Gtc => v1::TimeInForce::Gtc,
            TifArg::Gtt => v1::TimeInForce::Gtt,
            TifArg::Ioc => v1::TimeInForce::Ioc,
            TifArg::Fok => v1::TimeInForce::Fok,
        }
        .into(),
        expires_ms: expiry(expires, now_ms),
        post_only: post_only(args.resting.post_only),
        reduce_only: args.common.reduce_only || args.whole_position,
        client_id: args.common.client_id,
        trigger: trigger.into(),
        trigger_price_ticks,
        whole_position: args.whole_position,
        display_lots: display_lots(args, market, rests)?,
        peg: match args.peg {
            None => v1::Peg::None,
            Some(PegArg::Mark) => v1::Peg::Mark,
            Some(PegArg::Best) => v1::Peg::Best,
        }
        .into(),
        peg_offset_ticks: args.peg_offset.map_or(Ok(0), |offset| {
            market.tick_difference(offset).map_err(|refusal| format!("--peg-offset: {refusal}"))
        })?,
    })
}

fn check_pegged(args: &args::Place, rests: bool, waits: bool) -> Result<(), String> {
    if waits {
        return Err("a pegged order rests at once: leave --stop and --take-profit out".into());
    }
    if !rests {
        return Err(
            "a pegged order rests and never takes: a limit order with --tif gtc or gtt".into()
        );
    }
    if args.resting.post_only == Some(PostOnlyArg::Reject) {
        return Err(
            "a pegged order never takes, and slides where it would: leave --post-only out".into()
        );
    }
    Ok(())
}

/// How many lots an iceberg order shows; 0 is all.
fn display_lots(args: &args::Place, market: &Market, rests: bool) -> Result<u64, String> {
    let Some(display) = args.display else { return Ok(0) };
    let lots = market.lots(display).map_err(|refusal| format!("--display: {refusal}"))?;
    match args.size {
        _ if !rests => Err("only an order that may rest has a part to show: a limit order with \
                            --tif gtc or gtt"
            .into()),
        None => {
            Err("--display is a part of --size: an order for the whole position has none".into())
        }
        Some(size) if display > size => {
            Err(format!("--display is {display}, more than --size, {size}"))
        }
        Some(_) => Ok(lots),
    }
}

/// The orders that close a whole position when the mark reaches a price.
fn exits(args: &Exits, market: &Market, held: i64) -> Result<Operation, String> {
    let symbol = &market.symbol;
    let (side, word) = match held {
        0 => {
            return Err(format!(
                "there is no position in {symbol} to close: see `tidemark positions`"
            ))
        }
        1.. => (v1::Side::Sell, "long"),
        _ => (v1::Side::Buy, "short"),
    };
    if let (Some(gain), Some(loss)) = (args.take_profit, args.stop) {
        let (right, order) = match side {
            v1::Side::Sell => (loss < gain, "below"),
            _ => (loss > gain, "above"),
        };
        if !right {
            return Err(format!(
                "the position in {symbol} is {word}: its --stop, {loss}, must be {order} its \
                 --take-profit, {gain}"
            ));
        }
    }
    let exit = |trigger: v1::Trigger, trigger_price_ticks: u64, client_id: u64| v1::PlaceOrder {
        market: market.id,
        side: side.into(),
        r#type: v1::OrderType::Market.into(),
        time_in_force: v1::TimeInForce::Ioc.into(),
        reduce_only: true,
        whole_position: true,
        trigger: trigger.into(),
        trigger_price_ticks,
        client_id,
        ..Default::default()
    };
    let second_id = next_client_id(args.client_id)?;
    let gain = args.take_profit.map(|price| ticks(market, "--take-profit", price)).transpose()?;
    let loss = args.stop.map(|price| ticks(market, "--stop", price)).transpose()?;
    let gain = gain.map(|price| exit(v1::Trigger::TakeProfit, price, args.client_id));
    let loss = loss.map(|price| exit(v1::Trigger::Stop, price, second_id));
    match (gain, loss) {
        (Some(first), Some(second)) => {
            Ok(Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(second) }))
        }
        (Some(only), None) => Ok(Operation::Place(only)),
        (None, Some(only)) => {
            Ok(Operation::Place(v1::PlaceOrder { client_id: args.client_id, ..only }))
        }
        (None, None) => Err("say where to close it with --take-profit, --stop or both".into()),
    }
}

/// A limit order and a stop.
fn oco(args: &Oco, market: &Market, now_ms: u64) -> Result<v1::PlaceOco, String> {
    let (right, order) = match args.side {
        SideArg::Sell => (args.stop < args.price, "below"),
        SideArg::Buy => (args.stop > args.price, "above"),
    };
    if !right {
        let word = if args.side == SideArg::Sell { "sell" } else { "buy" };
        return Err(format!(
            "to {word}, --stop, {}, must be {order} --price, {}",
            args.stop, args.price
        ));
    }
    let expires_ms = expiry(args.resting.expires, now_ms);
    let stays = if expires_ms == 0 { v1::TimeInForce::Gtc } else { v1::TimeInForce::Gtt };
    let limit = v1::PlaceOrder {
        market: market.id,
        side: side(args.side).into(),
        price_ticks: ticks(market, "--price", args.price)?,
        lots: market.lots(args.size)?,
        time_in_force: stays.into(),
        expires_ms,
        post_only: post_only(args.resting.post_only),
        reduce_only: args.reduce_only,
        client_id: args.client_id,
        ..Default::default()
    };
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: ticks(market, "--stop", args.stop)?,
        post_only: v1::PostOnly::Off.into(),
        client_id: next_client_id(args.client_id)?,
        ..limit
    };
    let stop = match args.stop_limit {
        Some(price) => {
            v1::PlaceOrder { price_ticks: ticks(market, "--stop-limit", price)?, ..stop }
        }
        // It goes with the limit order when that one expires.
        None => v1::PlaceOrder {
            r#type: v1::OrderType::Market.into(),
            price_ticks: 0,
            time_in_force: v1::TimeInForce::Ioc.into(),
            expires_ms: 0,
            ..stop
        },
    };
    Ok(v1::PlaceOco { first: Some(limit), second: Some(stop) })
}

/// An order in parts.
fn twap(args: &args::Twap, market: &Market) -> Result<v1::PlaceTwap, String> {
    if !(MIN_INTERVAL..=DAY).contains(&args.interval) {
        return Err(format!("--interval is {}, must be 1s to 1d", span_text(args.interval)));
    }
    let lots = lots_for(market, "--slices", args.slices, args.size)?;
    Ok(v1::PlaceTwap {
        market: market.id,
        side: side(args.side).into(),
        lots,
        slices: args.slices,
        interval_ms: millis(args.interval),
        slippage_ppm: args.slippage_ppm.unwrap_or(0),
        limit_ticks: optional_ticks(market, "--limit", args.limit)?,
        reduce_only: args.common.reduce_only,
        client_id: args.common.client_id,
    })
}

/// A ladder of limit orders.
fn scale(args: &args::Scale, market: &Market, now_ms: u64) -> Result<v1::PlaceScale, String> {
    let skew_ppm = match args.skew {
        None => 0,
        Some(skew) => {
            let ppm =
                skew.checked_mul(Decimal::from(1_000_000)).filter(|ppm| ppm.fract().is_zero());
            let ppm = ppm.and_then(|ppm| u32::try_from(ppm).ok());
            ppm.filter(|ppm| (10_000..=100_000_000).contains(ppm)).ok_or_else(|| {
                format!("--skew is {skew}, must be 0.01 to 100 with at most six decimals")
            })?
        }
    };
    let (from_ticks, to_ticks) =
        (ticks(market, "--from", args.from)?, ticks(market, "--to", args.to)?);
    if from_ticks == to_ticks {
        return Err(format!("--from and --to are both {}: a ladder has two ends", args.from));
    }
    Ok(v1::PlaceScale {
        market: market.id,
        side: side(args.side).into(),
        from_ticks,
        to_ticks,
        lots: lots_for(market, "--orders", args.orders, args.size)?,
        count: args.orders,
        skew_ppm,
        post_only: post_only(args.resting.post_only),
        reduce_only: args.reduce_only,
        expires_ms: expiry(args.resting.expires, now_ms),
        client_id: args.client_id,
    })
}

fn replace(args: &args::Replace, market: &Market) -> Result<v1::ReplaceOrder, String> {
    Ok(v1::ReplaceOrder {
        market: market.id,
        order_id: args.order.id.unwrap_or(0),
        client_id: args.order.client_id.unwrap_or(0),
        price_ticks: args.price.map_or(Ok(0), |price| market.ticks(price))?,
        lots: args.size.map_or(Ok(0), |size| market.lots(size))?,
        trigger_price_ticks: optional_ticks(market, "--trigger", args.trigger)?,
    })
}

fn dead_man(args: &DeadMan, now_ms: u64) -> Result<v1::ScheduleCancelAll, String> {
    let Some(after) = args.after else { return Ok(v1::ScheduleCancelAll { at_ms: 0 }) };
    if !(MIN_AHEAD..=DAY).contains(&after) {
        return Err(format!("--in is {}, must be 6s to 1d", span_text(after)));
    }
    Ok(v1::ScheduleCancelAll { at_ms: now_ms.saturating_add(millis(after)) })
}

#[cfg(test)]
mod tests;

//! Commands that place several orders: `exits`, `oco`, `twap` and `scale`.

use rust_decimal::Decimal;
use tidemark_client::words::{position_word, side_word};
use tidemark_client::Market;
use tidemark_proto::units::{Side, SignedLots, Ticks, TimeMs};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::{
    expiry, lots_for, millis, next_client_id, optional_ticks, post_only, side, span_text, ticks,
    DAY, MIN_INTERVAL,
};
use crate::args::{Exits, Oco, Place, Scale, SideArg, Twap};

/// The orders that close a whole position when the mark reaches a price.
pub(super) fn exits(args: &Exits, market: &Market, held: SignedLots) -> Result<Operation, String> {
    let symbol = &market.symbol;
    if held.is_zero() {
        return Err(format!("there is no position in {symbol} to close: see `tidemark positions`"));
    }
    let side = v1::Side::from(Side::reducing(held));
    if let (Some(gain), Some(loss)) = (args.take_profit, args.stop) {
        let (right, order) = match side {
            v1::Side::Sell => (loss < gain, "below"),
            _ => (loss > gain, "above"),
        };
        if !right {
            return Err(format!(
                "the position in {symbol} is {}: its --stop, {loss}, must be {order} its \
                 --take-profit, {gain}",
                position_word(held)
            ));
        }
    }
    let exit = |trigger: v1::Trigger, price_ticks: Ticks, client_id: u64| v1::PlaceOrder {
        whole_position: true,
        client_id,
        ..exit_at_market(market, side, trigger, price_ticks)
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

/// A market order that reduces once the mark reaches a price.
fn exit_at_market(
    market: &Market,
    side: v1::Side,
    trigger: v1::Trigger,
    trigger_price_ticks: Ticks,
) -> v1::PlaceOrder {
    v1::PlaceOrder {
        market: market.id,
        side: side.into(),
        r#type: v1::OrderType::Market.into(),
        time_in_force: v1::TimeInForce::Ioc.into(),
        reduce_only: true,
        trigger: trigger.into(),
        trigger_price_ticks: trigger_price_ticks.get(),
        ..Default::default()
    }
}

/// An order, with the exits that its options name.
pub(super) fn with_exits(
    args: &Place,
    market: &Market,
    entry: v1::PlaceOrder,
) -> Result<Operation, String> {
    let (gain, loss) = (args.with_take_profit, args.with_stop);
    if gain.is_none() && loss.is_none() {
        return Ok(Operation::Place(entry));
    }
    let (side, order) = match args.side {
        SideArg::Buy => (v1::Side::Sell, "below"),
        SideArg::Sell => (v1::Side::Buy, "above"),
    };
    if let (Some(gain), Some(loss)) = (gain, loss) {
        if (loss < gain) != (side == v1::Side::Sell) || loss == gain {
            return Err(format!(
                "to {}, --with-stop, {loss}, must be {order} --with-take-profit, {gain}",
                side_word(self::side(args.side))
            ));
        }
    }
    let mut client_id = args.common.client_id;
    let mut exit = |option: &str, trigger: v1::Trigger, price: Decimal| {
        client_id = next_client_id(client_id)?;
        let exit = exit_at_market(market, side, trigger, ticks(market, option, price)?);
        Ok::<_, String>(v1::PlaceOrder { client_id, ..exit })
    };
    let gain =
        gain.map(|price| exit("--with-take-profit", v1::Trigger::TakeProfit, price)).transpose()?;
    let loss = loss.map(|price| exit("--with-stop", v1::Trigger::Stop, price)).transpose()?;
    let bracket = v1::PlaceBracket { entry: Some(entry), take_profit: gain, stop_loss: loss };
    Ok(Operation::Bracket(bracket))
}

/// A limit order and a stop.
pub(super) fn oco(args: &Oco, market: &Market, now_ms: TimeMs) -> Result<v1::PlaceOco, String> {
    let (right, order) = match args.side {
        SideArg::Sell => (args.stop < args.price, "below"),
        SideArg::Buy => (args.stop > args.price, "above"),
    };
    if !right {
        return Err(format!(
            "to {}, --stop, {}, must be {order} --price, {}",
            side_word(side(args.side)),
            args.stop,
            args.price
        ));
    }
    let expires_ms = expiry(args.resting.expires, now_ms);
    let stays = if expires_ms.is_zero() { v1::TimeInForce::Gtc } else { v1::TimeInForce::Gtt };
    let limit = v1::PlaceOrder {
        market: market.id,
        side: side(args.side).into(),
        price_ticks: ticks(market, "--price", args.price)?.get(),
        lots: market.lots(args.size)?.get(),
        time_in_force: stays.into(),
        expires_ms: expires_ms.get(),
        post_only: post_only(args.resting.post_only),
        reduce_only: args.reduce_only,
        client_id: args.client_id,
        ..Default::default()
    };
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: ticks(market, "--stop", args.stop)?.get(),
        post_only: v1::PostOnly::Off.into(),
        client_id: next_client_id(args.client_id)?,
        ..limit
    };
    let stop = match args.stop_limit {
        Some(price) => {
            v1::PlaceOrder { price_ticks: ticks(market, "--stop-limit", price)?.get(), ..stop }
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
pub(super) fn twap(args: &Twap, market: &Market) -> Result<v1::PlaceTwap, String> {
    if !(MIN_INTERVAL..=DAY).contains(&args.interval) {
        return Err(format!("--interval is {}, must be 1s to 1d", span_text(args.interval)));
    }
    let lots = lots_for(market, "--slices", args.slices, args.size)?;
    Ok(v1::PlaceTwap {
        market: market.id,
        side: side(args.side).into(),
        lots: lots.get(),
        slices: args.slices,
        interval_ms: millis(args.interval).get(),
        slippage_ppm: args.slippage_ppm.unwrap_or(0),
        limit_ticks: optional_ticks(market, "--limit", args.limit)?.get(),
        reduce_only: args.common.reduce_only,
        client_id: args.common.client_id,
    })
}

/// A ladder of limit orders.
pub(super) fn scale(
    args: &Scale,
    market: &Market,
    now_ms: TimeMs,
) -> Result<v1::PlaceScale, String> {
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
        from_ticks: from_ticks.get(),
        to_ticks: to_ticks.get(),
        lots: lots_for(market, "--orders", args.orders, args.size)?.get(),
        count: args.orders,
        skew_ppm,
        post_only: post_only(args.resting.post_only),
        reduce_only: args.reduce_only,
        expires_ms: expiry(args.resting.expires, now_ms).get(),
        client_id: args.client_id,
    })
}

//! `place`: one new order.

use rust_decimal::Decimal;
use tidemark_client::Market;
use tidemark_proto::units::{Lots, Ticks, TimeMs};
use tidemark_proto::v1;

use super::{expiry, post_only, side, ticks};
use crate::args::{PegArg, Place, PostOnlyArg, TifArg, TypeArg};

/// The kind of an order, from its options together.
struct Kind {
    is_market: bool,
    /// The order waits for a trigger.
    waits: bool,
    tif: TifArg,
    /// The order may rest on the book.
    rests: bool,
}

impl Kind {
    fn of(args: &Place) -> Self {
        let trails = args.trail.is_some() || args.trail_percent.is_some();
        let waits = args.stop.is_some() || args.take_profit.is_some() || trails;
        let is_market = match args.order_type {
            Some(order_type) => order_type == TypeArg::Market,
            None => waits && args.price.is_none() && args.peg.is_none(),
        };
        let tif = args.tif.unwrap_or(match (is_market, args.resting.expires) {
            (true, _) => TifArg::Ioc,
            (false, Some(_)) => TifArg::Gtt,
            (false, None) => TifArg::Gtc,
        });
        let rests = !is_market && matches!(tif, TifArg::Gtc | TifArg::Gtt);
        Self { is_market, waits, tif, rests }
    }
}

/// One new order.
pub(super) fn place(
    args: &Place,
    market: &Market,
    now_ms: TimeMs,
) -> Result<v1::PlaceOrder, String> {
    let (trigger, trigger_price_ticks) = trigger(args, market)?;
    let (trail_ticks, trail_ppm) = trail(args, market)?;
    let trails = trail_ticks > 0 || trail_ppm > 0;
    let kind = Kind::of(args);
    if args.peg.is_some() {
        check_pegged(args, &kind)?;
    }
    let price_ticks = price_ticks(args, market, &kind)?;
    check_lifetime(args, &kind)?;
    let lots = lots(args, market, &kind)?;
    Ok(v1::PlaceOrder {
        market: market.id,
        side: side(args.side).into(),
        price_ticks: price_ticks.get(),
        lots: lots.get(),
        r#type: if kind.is_market { v1::OrderType::Market } else { v1::OrderType::Limit }.into(),
        time_in_force: match kind.tif {
            TifArg::Gtc => v1::TimeInForce::Gtc,
            TifArg::Gtt => v1::TimeInForce::Gtt,
            TifArg::Ioc => v1::TimeInForce::Ioc,
            TifArg::Fok => v1::TimeInForce::Fok,
        }
        .into(),
        expires_ms: expiry(args.resting.expires, now_ms).get(),
        post_only: post_only(args.resting.post_only),
        reduce_only: args.common.reduce_only || args.whole_position || trails,
        client_id: args.common.client_id,
        trigger: trigger.into(),
        trigger_price_ticks: trigger_price_ticks.get(),
        whole_position: args.whole_position,
        display_lots: display_lots(args, market, &kind)?.get(),
        peg: match args.peg {
            None => v1::Peg::None,
            Some(PegArg::Mark) => v1::Peg::Mark,
            Some(PegArg::Best) => v1::Peg::Best,
        }
        .into(),
        peg_offset_ticks: args.peg_offset.map_or(Ok(0), |offset| {
            market.tick_difference(offset).map_err(|refusal| format!("--peg-offset: {refusal}"))
        })?,
        trail_ticks,
        trail_ppm,
    })
}

fn trigger(args: &Place, market: &Market) -> Result<(v1::Trigger, Ticks), String> {
    Ok(match (args.stop, args.take_profit) {
        (Some(price), _) => (v1::Trigger::Stop, ticks(market, "--stop", price)?),
        (None, Some(price)) => (v1::Trigger::TakeProfit, ticks(market, "--take-profit", price)?),
        (None, None) if args.trail.is_some() || args.trail_percent.is_some() => {
            (v1::Trigger::Stop, Ticks::ZERO)
        }
        (None, None) => (v1::Trigger::None, Ticks::ZERO),
    })
}

/// The distance of a trailing stop, in ticks or in parts per million.
fn trail(args: &Place, market: &Market) -> Result<(u64, u32), String> {
    if let Some(distance) = args.trail {
        let ticks = market.tick_difference(distance);
        let ticks = ticks.map_err(|refusal| format!("--trail: {refusal}"))?;
        let ticks = u64::try_from(ticks).ok().filter(|ticks| *ticks > 0);
        return ticks
            .map(|ticks| (ticks, 0))
            .ok_or_else(|| format!("--trail is {distance}, must be above 0"));
    }
    let Some(percent) = args.trail_percent else { return Ok((0, 0)) };
    let ppm = percent.checked_mul(Decimal::from(10_000)).filter(|ppm| ppm.fract().is_zero());
    let ppm = ppm.and_then(|ppm| u32::try_from(ppm).ok());
    let ppm = ppm.filter(|ppm| (1..=999_999).contains(ppm)).ok_or_else(|| {
        format!(
            "--trail-percent is {percent}, must be 0.0001 to 99.9999 with at most four decimals"
        )
    })?;
    Ok((0, ppm))
}

/// The price; 0 for market orders and for pegged ones without a limit.
fn price_ticks(args: &Place, market: &Market, kind: &Kind) -> Result<Ticks, String> {
    match args.price {
        Some(price) => market.ticks(price),
        None if kind.is_market || args.peg.is_some() => Ok(Ticks::ZERO),
        None if kind.waits => Err("a limit order needs --price; to trade at the market's price \
                                   when the mark is there, leave --type out"
            .into()),
        None => {
            Err("a limit order needs --price; for one at the market's price use --type market"
                .into())
        }
    }
}

/// Refuses options about time and waiting that contradict each other.
fn check_lifetime(args: &Place, kind: &Kind) -> Result<(), String> {
    match (kind.tif, args.resting.expires) {
        (_, Some(_)) if kind.is_market && kind.waits => {
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
    if kind.is_market && matches!(kind.tif, TifArg::Gtc | TifArg::Gtt) {
        return Err("a market order trades at once: leave --tif out, or use ioc or fok".into());
    }
    if args.resting.post_only.is_some() && !kind.rests {
        return Err(
            "a post-only order must be able to rest: a limit order with --tif gtc or gtt".into()
        );
    }
    if args.whole_position && !kind.waits {
        return Err("--whole-position closes what is held when the mark reaches a price: say \
                    which with --stop, --take-profit or --trail"
            .into());
    }
    Ok(())
}

fn lots(args: &Place, market: &Market, kind: &Kind) -> Result<Lots, String> {
    match args.size {
        Some(size) => market.lots(size),
        None if args.whole_position => Ok(Lots::ZERO),
        None if kind.waits => Err("say how much with --size, or --whole-position".into()),
        None => Err("say how much with --size".into()),
    }
}

/// Refuses options that a pegged order cannot have.
fn check_pegged(args: &Place, kind: &Kind) -> Result<(), String> {
    if kind.waits {
        return Err("a pegged order rests at once: leave --stop and --take-profit out".into());
    }
    if !kind.rests {
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
fn display_lots(args: &Place, market: &Market, kind: &Kind) -> Result<Lots, String> {
    let Some(display) = args.display else { return Ok(Lots::ZERO) };
    let lots = market.lots(display).map_err(|refusal| format!("--display: {refusal}"))?;
    match args.size {
        _ if !kind.rests => {
            Err("only an order that may rest has a part to show: a limit order with \
                            --tif gtc or gtt"
                .into())
        }
        None => {
            Err("--display is a part of --size: an order for the whole position has none".into())
        }
        Some(size) if display > size => {
            Err(format!("--display is {display}, more than --size, {size}"))
        }
        Some(_) => Ok(lots),
    }
}

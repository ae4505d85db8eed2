//! Words for people: sides, states and stages, and a line for an event.

use tidemark_proto::units::{Lots, SignedLots, Ticks};
use tidemark_proto::v1;

use super::format::{clock, short};
use super::{usdc, Market};

/// The word for a side.
#[must_use]
pub fn side_word(side: v1::Side) -> &'static str {
    match side {
        v1::Side::Buy => "buy",
        v1::Side::Sell => "sell",
        v1::Side::Unspecified => "-",
    }
}

/// The past of a side's verb.
#[must_use]
pub fn past_word(side: v1::Side) -> &'static str {
    match side {
        v1::Side::Sell => "sold",
        v1::Side::Buy | v1::Side::Unspecified => "bought",
    }
}

/// The present of a side's verb.
#[must_use]
pub fn present_word(side: v1::Side) -> &'static str {
    match side {
        v1::Side::Sell => "sells",
        v1::Side::Buy | v1::Side::Unspecified => "buys",
    }
}

/// The word for the side of a position.
#[must_use]
pub fn position_word(lots: SignedLots) -> &'static str {
    if lots.is_positive() {
        "long"
    } else {
        "short"
    }
}

/// One word for what a market takes now.
#[must_use]
pub fn state_word(state: &v1::MarketState) -> &'static str {
    if state.quarantined {
        return "quarantined";
    }
    match state.params.as_ref().map(v1::MarketParams::status) {
        Some(v1::MarketStatus::Paused) => "paused",
        Some(v1::MarketStatus::ReduceOnly) => "reduce-only",
        Some(v1::MarketStatus::Closed) if state.settled => "settled",
        Some(v1::MarketStatus::Closed) => "closed",
        _ if state.stale => "stale index",
        _ => "active",
    }
}

/// A stage in the rules' words.
#[must_use]
pub fn stage_word(stage: v1::LiquidationStage) -> &'static str {
    match stage {
        v1::LiquidationStage::Unspecified => "unspecified",
        v1::LiquidationStage::Prune => "prune",
        v1::LiquidationStage::Book => "book",
        v1::LiquidationStage::Backstop => "backstop",
        v1::LiquidationStage::InsuranceFund => "insurance_fund",
        v1::LiquidationStage::Adl => "adl",
        v1::LiquidationStage::BadDebt => "bad_debt",
    }
}

/// A trade in words.
#[must_use]
pub fn trade_line(market: &Market, trade: &v1::Trade) -> Option<String> {
    let forced = if trade.liquidation { "  liquidation" } else { "" };
    let side = side_word(trade.taker_side());
    let (size, price) =
        (market.size(Lots::new(trade.lots)), market.price(Ticks::new(trade.price_ticks)));
    Some(format!(
        "{}  {:<8} {side:<4} {size:>12} at {price}{forced}",
        clock(trade.time_ms),
        market.symbol
    ))
}

/// A liquidation step in words.
#[must_use]
pub fn liquidation_line(market: &Market, event: &v1::Liquidation) -> Option<String> {
    let (size, price, base) = (
        market.size(Lots::new(event.lots)),
        market.price(Ticks::new(event.price_ticks)),
        market.base(),
    );
    let who = short(&event.owner);
    let verb = past_word(event.side());
    let what = match event.stage() {
        v1::LiquidationStage::Prune => {
            format!("{} orders of {who} cancelled", event.orders_cancelled)
        }
        v1::LiquidationStage::Book => {
            format!("{verb} {size} {base} of {who} on the book at {price}")
        }
        v1::LiquidationStage::Backstop => {
            format!("backstop took {size} {base} of {who} at {price}")
        }
        v1::LiquidationStage::InsuranceFund => {
            let paid = match event.fund_paid_atoms {
                0 => "without a loss to the insurance fund".to_owned(),
                paid => format!("the insurance fund paid {} USDC", usdc(paid).round_dp(2)),
            };
            format!("{verb} {size} {base} of {who} at {price}, {paid}")
        }
        v1::LiquidationStage::Adl => {
            format!("{size} {base} of {who} closed against winners at {price} (ADL)")
        }
        v1::LiquidationStage::BadDebt => format!("bad debt of {who} booked"),
        v1::LiquidationStage::Unspecified => return None,
    };
    Some(format!("{}  {:<8} LIQUIDATION {what}", clock(event.time_ms), market.symbol))
}

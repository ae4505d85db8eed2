//! The arithmetic of liquidation steps.

use serde_json::{json, Value};
use tidemark_client::format::{
    exact_money as exact, percent, price_or_dash, price_or_null, time_text,
};
use tidemark_client::words::{position_word, side_word, stage_word};
use tidemark_client::{usdc, Markets, Table};
use tidemark_proto::units::{Lots, SignedLots, Ticks};
use tidemark_proto::v1;

use super::lines;

pub(super) fn steps_table(steps: &[v1::Liquidation], markets: &Markets) -> String {
    let heading = [
        "step",
        "market",
        "stage",
        "block",
        "size",
        "price",
        "mark",
        "zero price",
        "equity",
        "maintenance",
        "fee",
        "fund paid",
        "bad debt",
    ];
    let mut table = Table::new(3, &heading);
    for step in steps {
        let Some(market) = markets.by_id(step.market) else { continue };
        table.row(vec![
            step.sequence.to_string(),
            market.symbol.clone(),
            stage_word(step.stage()).to_owned(),
            step.height.to_string(),
            market.size(Lots::new(step.lots)).to_string(),
            price_or_dash(market, Ticks::new(step.price_ticks)),
            price_or_dash(market, Ticks::new(step.mark_ticks)),
            price_or_dash(market, Ticks::new(step.zero_price_ticks)),
            exact(step.equity_atoms),
            exact(step.maintenance_atoms),
            exact(step.fee_atoms),
            exact(step.fund_paid_atoms),
            exact(step.bad_debt_atoms),
        ]);
    }
    table.render()
}

/// `5,400.00 − floor(σ 1 · E 12.30 · 54.00 / MM 45.00) = 5,400.00 − 14.76 = 5,385.24`.
fn zero_text(step: &v1::Liquidation, terms: &v1::ZeroTerms) -> String {
    format!(
        "value {} − σ {} · equity {} · margin {} / maintenance {} = {} − {} = {}",
        exact(terms.value_fall_atoms),
        percent(step.sigma_ppm),
        exact(step.equity_atoms),
        exact(terms.margin_fall_atoms),
        exact(step.maintenance_atoms),
        exact(terms.value_fall_atoms),
        exact(terms.equity_share_atoms),
        exact(terms.quote_atoms)
    )
}

pub(super) fn step_text(step: &v1::Liquidation, markets: &Markets) -> String {
    let Some(market) = markets.by_id(step.market) else { return String::new() };
    let size = |lots: i64| market.position_size(SignedLots::new(lots)).abs();
    let (equity, maintenance) = (exact(step.equity_atoms), exact(step.maintenance_atoms));
    let mut rows = vec![("account", format!("equity {equity}, maintenance {maintenance}"))];
    if step.held_lots != 0 {
        let side = position_word(SignedLots::new(step.held_lots));
        let mark = price_or_dash(market, Ticks::new(step.mark_ticks));
        rows.push(("position", format!("{side} {} at mark {mark}", size(step.held_lots))));
    }
    if step.orders_cancelled > 0 {
        rows.push((
            "cancelled",
            format!("{} orders that increase exposure", step.orders_cancelled),
        ));
    }
    if let Some(due) = &step.due {
        let (due_size, zero) =
            (size(due.delta_lots), price_or_dash(market, Ticks::new(step.zero_price_ticks)));
        rows.push((
            "zero price",
            format!("of {due_size}: {} → {zero} a base unit", zero_text(step, due)),
        ));
        rows.push(("limit", price_or_dash(market, Ticks::new(step.limit_ticks))));
    }
    if let Some(closed) = &step.closed {
        let (price, quote) =
            (price_or_dash(market, Ticks::new(step.price_ticks)), exact(step.quote_atoms));
        rows.push(("closed", format!("{} at {price} for {quote}", size(closed.delta_lots))));
        rows.push(("at zero", zero_text(step, closed)));
        let improvement = exact(step.quote_atoms.saturating_sub(closed.quote_atoms));
        let cap = exact(step.fee_cap_atoms);
        if step.fee_cap_atoms != 0 && step.fund_owed_atoms == 0 {
            let fee = exact(step.fee_atoms);
            rows.push(("fee", format!("min(improvement {improvement}, cap {cap}) = {fee}")));
        }
    }
    if step.fund_owed_atoms != 0 {
        let (owed, paid) = (exact(step.fund_owed_atoms), exact(step.fund_paid_atoms));
        rows.push(("fund", format!("owed {owed}, paid {paid}")));
    }
    if step.bad_debt_atoms != 0 {
        rows.push(("bad debt", exact(step.bad_debt_atoms)));
    }
    let heading = format!(
        "step {}: {} in {} at block {}, {}",
        step.sequence,
        stage_word(step.stage()),
        market.symbol,
        step.height,
        time_text(step.time_ms)
    );
    format!("{heading}\n{}", lines(&rows)).trim_end().to_owned()
}

pub(super) fn step_json(step: &v1::Liquidation, markets: &Markets) -> Option<Value> {
    let market = markets.by_id(step.market)?;
    let zero = |terms: &v1::ZeroTerms| {
        json!({
            "size": market.position_size(SignedLots::new(terms.delta_lots)),
            "value_fall": usdc(terms.value_fall_atoms),
            "margin_fall": usdc(terms.margin_fall_atoms),
            "equity_share": usdc(terms.equity_share_atoms),
            "quote": usdc(terms.quote_atoms),
        })
    };
    Some(json!({
        "sequence": step.sequence,
        "height": step.height,
        "time_ms": step.time_ms,
        "market": market.symbol,
        "stage": stage_word(step.stage()),
        "side": side_word(step.side()),
        "held": market.position_size(SignedLots::new(step.held_lots)),
        "size": market.size(Lots::new(step.lots)),
        "price": price_or_null(market, Ticks::new(step.price_ticks)),
        "mark": price_or_null(market, Ticks::new(step.mark_ticks)),
        "zero_price": price_or_null(market, Ticks::new(step.zero_price_ticks)),
        "limit": price_or_null(market, Ticks::new(step.limit_ticks)),
        "sigma_ppm": step.sigma_ppm,
        "equity": usdc(step.equity_atoms),
        "maintenance": usdc(step.maintenance_atoms),
        "due": step.due.as_ref().map(zero),
        "closed": step.closed.as_ref().map(zero),
        "quote": usdc(step.quote_atoms),
        "fee": usdc(step.fee_atoms),
        "fee_cap": usdc(step.fee_cap_atoms),
        "fund_owed": usdc(step.fund_owed_atoms),
        "fund_paid": usdc(step.fund_paid_atoms),
        "bad_debt": usdc(step.bad_debt_atoms),
        "orders_cancelled": step.orders_cancelled,
    }))
}

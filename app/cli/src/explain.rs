//! `account explain`: every term of an account's margin, and the arithmetic of its past
//! liquidations.

use serde_json::{json, Value};
use tidemark_client::format::{
    exact_money as exact, percent, price_or_dash, price_or_null, time_text,
};
use tidemark_client::words::{position_word, side_word, stage_word};
use tidemark_client::{usdc, Market, Markets, Table};
use tidemark_proto::v1;

use super::args::Explain;
use super::{CliError, Context};

pub(super) async fn run(context: &Context, args: &Explain) -> Result<(), CliError> {
    let address = context.address(&args.who.address)?;
    let subaccount = context.global.subaccount;
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let Some(sequence) = args.liquidation else {
        let answer = client.explain(&address, subaccount).await?;
        let text = || {
            let isolated = answer
                .isolated
                .iter()
                .map(|of| format!("\n\nisolated, {}", account_text(of, &markets)));
            account_text(&answer, &markets) + &isolated.collect::<String>()
        };
        context.print(text, || account_json(&answer, &markets));
        return Ok(());
    };
    let answer = client.liquidation_history(&address, subaccount, sequence).await?;
    let since = answer.since_height;
    if let (Some(sequence), true) = (sequence, answer.steps.is_empty()) {
        return Err(CliError::Usage(format!(
            "{address} has no liquidation step {sequence} in subaccount {subaccount} since block \
             {since}, from which on this node has them: list them with --liquidation"
        )));
    }
    let text = || match sequence {
        Some(_) => answer.steps.iter().map(|step| step_text(step, &markets)).collect(),
        None if answer.steps.is_empty() => {
            format!(
                "{address} had no liquidation step in subaccount {subaccount} since block {since}."
            )
        }
        None => {
            format!("since block {since}, newest first\n{}", steps_table(&answer.steps, &markets))
        }
    };
    context.print(text, || {
        let steps = answer.steps.iter().filter_map(|step| step_json(step, &markets));
        json!({
            "address": address,
            "subaccount": subaccount,
            "since_height": since,
            "steps": steps.collect::<Vec<_>>(),
        })
    });
    Ok(())
}

/// Lines of a name and what it is.
fn lines(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, text)| format!("  {name:<13} {text}\n")).collect()
}

fn account_text(answer: &v1::ExplainResponse, markets: &Markets) -> String {
    let sum = |term: fn(&v1::MarketTerms) -> i64| answer.markets.iter().map(term).sum::<i64>();
    let (unrealised, funding) = (sum(|of| of.unrealised_atoms), sum(|of| of.unpaid_funding_atoms));
    let state = if answer.liquidatable {
        "below maintenance: it is being liquidated"
    } else {
        "not below maintenance"
    };
    let rows = [
        (
            "equity",
            format!(
                "collateral {} + unrealised {} − unpaid funding {} = {}",
                exact(answer.collateral_atoms),
                exact(unrealised),
                exact(funding),
                exact(answer.equity_atoms)
            ),
        ),
        ("maintenance", format!("{}, {state}", exact(answer.maintenance_atoms))),
        ("reserve", exact(answer.reserve_atoms)),
        (
            "free",
            format!(
                "equity {} − reserve {} = {}",
                exact(answer.equity_atoms),
                exact(answer.reserve_atoms),
                exact(answer.free_atoms)
            ),
        ),
        (
            "withdrawable",
            format!(
                "min(cash {}, equity {}) − max(reserve {}, 10 % of notional {}) = {}",
                exact(answer.cash_atoms),
                exact(answer.equity_atoms),
                exact(answer.reserve_atoms),
                exact(answer.notional_atoms),
                exact(answer.withdrawable_atoms)
            ),
        ),
    ];
    let heading = format!(
        "{} subaccount {} at block {}, {}\n",
        answer.owner,
        answer.subaccount,
        answer.height,
        time_text(answer.time_ms)
    );
    let of_markets = answer.markets.iter().filter_map(|terms| {
        Some(format!("\n{}", market_text(markets.by_id(terms.market)?, terms)))
    });
    format!("{heading}{}{}", lines(&rows), of_markets.collect::<String>()).trim_end().to_owned()
}

/// `1,000.00 at 2 % + 500.00 at 4 %`.
fn tiers_text(tiers: &[v1::TierPart]) -> String {
    let part =
        |tier: &v1::TierPart| format!("{} at {}", exact(tier.part_atoms), percent(tier.rate_ppm));
    tiers.iter().map(part).collect::<Vec<_>>().join(" + ")
}

/// Initial margin of a notional: its tiers, and the leverage that may ask for more.
fn initial_text(tiers: &[v1::TierPart], leverage: u32, margin_atoms: i64) -> String {
    let own =
        if leverage == 0 { String::new() } else { format!(", or notional/{leverage} if more") };
    format!("{}{own} = {}", tiers_text(tiers), exact(margin_atoms))
}

fn market_text(market: &Market, terms: &v1::MarketTerms) -> String {
    let mark = market.price(terms.mark_ticks);
    let mut rows = Vec::new();
    if terms.lots != 0 {
        let side = position_word(terms.lots);
        let size = market.size(terms.lots).abs();
        rows.push((
            "position",
            format!("{side} {size} at mark {mark} = {}", exact(terms.value_atoms)),
        ));
        rows.push((
            "unrealised",
            format!(
                "value {} − cost {} = {}",
                exact(terms.value_atoms),
                exact(terms.cost_atoms),
                exact(terms.unrealised_atoms)
            ),
        ));
        rows.push((
            "funding",
            format!(
                "{} lots · (index {} − paid {}) / 10^6 = {} unpaid",
                terms.lots,
                terms.funding_index,
                terms.position_funding_index,
                exact(terms.unpaid_funding_atoms)
            ),
        ));
        rows.push((
            "maintenance",
            format!(
                "{} of ({}) = {}",
                percent(terms.maintenance_fraction_ppm),
                tiers_text(&terms.maintenance_tiers),
                exact(terms.maintenance_atoms)
            ),
        ));
        rows.push((
            "initial",
            initial_text(&terms.initial_tiers, terms.leverage, terms.initial_atoms),
        ));
    }
    let has_orders = terms.max_fee_atoms != 0
        || [
            terms.buy_lots,
            terms.sell_lots,
            terms.reduce_only_buy_lots,
            terms.reduce_only_sell_lots,
        ]
        .iter()
        .any(|lots| *lots != 0);
    if has_orders {
        let size = |lots: i64| market.size(lots).to_string();
        rows.push((
            "orders",
            format!(
                "buys {}, sells {}, reduce-only buys {}, reduce-only sells {}: filled they reach \
                 {} or {}",
                size(terms.buy_lots),
                size(terms.sell_lots),
                size(terms.reduce_only_buy_lots),
                size(terms.reduce_only_sell_lots),
                size(terms.highest_lots),
                size(terms.lowest_lots)
            ),
        ));
        rows.push((
            "reserve",
            format!(
                "margin {} + adverse {} + fees at {} {} = {}",
                initial_text(&terms.reserve_tiers, terms.leverage, terms.reserve_margin_atoms),
                exact(terms.adverse_atoms),
                percent(terms.max_fee_ppm),
                exact(terms.max_fee_atoms),
                exact(terms.reserve_atoms)
            ),
        ));
    }
    if terms.lots != 0 {
        rows.push((
            "liquidation",
            format!("at mark {}", price_or_dash(market, terms.liquidation_price_ticks)),
        ));
    }
    let size = |lots: u64| market.size(lots);
    let (buy, sell) = (size(terms.affordable_buy_lots), size(terms.affordable_sell_lots));
    rows.push(("can still", format!("buy {buy} or sell {sell} at the mark {mark}")));
    format!("{}\n{}", market.symbol, lines(&rows))
}

fn tiers_json(tiers: &[v1::TierPart]) -> Vec<Value> {
    let part = |tier: &v1::TierPart| {
        json!({
            "lower": usdc(tier.lower_atoms),
            "upper": (tier.upper_atoms != i64::MAX).then(|| usdc(tier.upper_atoms)),
            "part": usdc(tier.part_atoms),
            "rate_ppm": tier.rate_ppm,
        })
    };
    tiers.iter().map(part).collect()
}

fn account_json(answer: &v1::ExplainResponse, markets: &Markets) -> Value {
    let of_markets = answer.markets.iter();
    let of_markets =
        of_markets.filter_map(|terms| Some(market_json(markets.by_id(terms.market)?, terms)));
    json!({
        "address": answer.owner,
        "subaccount": answer.subaccount,
        "account_id": answer.account_id,
        "height": answer.height,
        "time_ms": answer.time_ms,
        "collateral": usdc(answer.collateral_atoms),
        "equity": usdc(answer.equity_atoms),
        "initial": usdc(answer.initial_atoms),
        "maintenance": usdc(answer.maintenance_atoms),
        "reserve": usdc(answer.reserve_atoms),
        "free": usdc(answer.free_atoms),
        "cash": usdc(answer.cash_atoms),
        "notional": usdc(answer.notional_atoms),
        "retained": usdc(answer.retained_atoms),
        "withdrawable": usdc(answer.withdrawable_atoms),
        "liquidatable": answer.liquidatable,
        "markets": of_markets.collect::<Vec<_>>(),
        "isolated": answer.isolated.iter().map(|of| account_json(of, markets)).collect::<Vec<_>>(),
    })
}

fn market_json(market: &Market, terms: &v1::MarketTerms) -> Value {
    let size = |lots: i64| market.size(lots);
    let bound = |lots: u64| market.size(lots);
    json!({
        "market": market.symbol,
        "size": size(terms.lots),
        "lots": terms.lots,
        "k": terms.k,
        "mark": market.price(terms.mark_ticks),
        "value": usdc(terms.value_atoms),
        "cost": usdc(terms.cost_atoms),
        "unrealised": usdc(terms.unrealised_atoms),
        "funding_index": terms.funding_index,
        "position_funding_index": terms.position_funding_index,
        "unpaid_funding": usdc(terms.unpaid_funding_atoms),
        "leverage": terms.leverage,
        "open_interest": usdc(terms.open_interest_atoms),
        "initial_tiers": tiers_json(&terms.initial_tiers),
        "initial": usdc(terms.initial_atoms),
        "maintenance_tiers": tiers_json(&terms.maintenance_tiers),
        "maintenance_fraction_ppm": terms.maintenance_fraction_ppm,
        "maintenance": usdc(terms.maintenance_atoms),
        "orders": {
            "buys": size(terms.buy_lots),
            "sells": size(terms.sell_lots),
            "reduce_only_buys": size(terms.reduce_only_buy_lots),
            "reduce_only_sells": size(terms.reduce_only_sell_lots),
        },
        "highest_size": size(terms.highest_lots),
        "lowest_size": size(terms.lowest_lots),
        "reserve_tiers": tiers_json(&terms.reserve_tiers),
        "reserve_margin": usdc(terms.reserve_margin_atoms),
        "adverse": usdc(terms.adverse_atoms),
        "max_fee": usdc(terms.max_fee_atoms),
        "max_fee_ppm": terms.max_fee_ppm,
        "reserve": usdc(terms.reserve_atoms),
        "liquidation_price": price_or_null(market, terms.liquidation_price_ticks),
        "affordable_buy": bound(terms.affordable_buy_lots),
        "affordable_sell": bound(terms.affordable_sell_lots),
    })
}

fn steps_table(steps: &[v1::Liquidation], markets: &Markets) -> String {
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
            market.size(step.lots).to_string(),
            price_or_dash(market, step.price_ticks),
            price_or_dash(market, step.mark_ticks),
            price_or_dash(market, step.zero_price_ticks),
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

fn step_text(step: &v1::Liquidation, markets: &Markets) -> String {
    let Some(market) = markets.by_id(step.market) else { return String::new() };
    let size = |lots: i64| market.size(lots).abs();
    let (equity, maintenance) = (exact(step.equity_atoms), exact(step.maintenance_atoms));
    let mut rows = vec![("account", format!("equity {equity}, maintenance {maintenance}"))];
    if step.held_lots != 0 {
        let side = position_word(step.held_lots);
        let mark = price_or_dash(market, step.mark_ticks);
        rows.push(("position", format!("{side} {} at mark {mark}", size(step.held_lots))));
    }
    if step.orders_cancelled > 0 {
        rows.push((
            "cancelled",
            format!("{} orders that increase exposure", step.orders_cancelled),
        ));
    }
    if let Some(due) = &step.due {
        let (due_size, zero) = (size(due.delta_lots), price_or_dash(market, step.zero_price_ticks));
        rows.push((
            "zero price",
            format!("of {due_size}: {} → {zero} a base unit", zero_text(step, due)),
        ));
        rows.push(("limit", price_or_dash(market, step.limit_ticks)));
    }
    if let Some(closed) = &step.closed {
        let (price, quote) = (price_or_dash(market, step.price_ticks), exact(step.quote_atoms));
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

fn step_json(step: &v1::Liquidation, markets: &Markets) -> Option<Value> {
    let market = markets.by_id(step.market)?;
    let zero = |terms: &v1::ZeroTerms| {
        json!({
            "size": market.size(terms.delta_lots),
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
        "held": market.size(step.held_lots),
        "size": market.size(step.lots),
        "price": price_or_null(market, step.price_ticks),
        "mark": price_or_null(market, step.mark_ticks),
        "zero_price": price_or_null(market, step.zero_price_ticks),
        "limit": price_or_null(market, step.limit_ticks),
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

//! Every term of an account's margin.

use serde_json::{json, Value};
use tidemark_client::format::{
    exact_money as exact, percent, price_or_dash, price_or_null, time_text,
};
use tidemark_client::words::position_word;
use tidemark_client::{usdc, Market, Markets};
use tidemark_proto::units::{Lots, SignedLots, Ticks};
use tidemark_proto::v1;

use super::{lines, Row};

pub(super) fn account_text(answer: &v1::ExplainResponse, markets: &Markets) -> String {
    let sum = |term: fn(&v1::MarketTerms) -> i64| answer.markets.iter().map(term).sum::<i64>();
    let unrealised = sum(|terms| terms.unrealised_atoms);
    let funding = sum(|terms| terms.unpaid_funding_atoms);
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
    let mark = market.price(Ticks::new(terms.mark_ticks));
    let mut rows = Vec::new();
    if terms.lots != 0 {
        rows.extend(position_rows(market, terms));
    }
    if has_orders(terms) {
        rows.extend(order_rows(market, terms));
    }
    if terms.lots != 0 {
        rows.push((
            "liquidation",
            format!("at mark {}", price_or_dash(market, Ticks::new(terms.liquidation_price_ticks))),
        ));
    }
    let size = |lots: u64| market.size(Lots::new(lots));
    let (buy, sell) = (size(terms.affordable_buy_lots), size(terms.affordable_sell_lots));
    rows.push(("can still", format!("buy {buy} or sell {sell} at the mark {mark}")));
    format!("{}\n{}", market.symbol, lines(&rows))
}

/// The terms of an open position.
fn position_rows(market: &Market, terms: &v1::MarketTerms) -> Vec<Row> {
    let mark = market.price(Ticks::new(terms.mark_ticks));
    let mut rows = Vec::new();
    let side = position_word(SignedLots::new(terms.lots));
    let size = market.position_size(SignedLots::new(terms.lots)).abs();
    rows.push(("position", format!("{side} {size} at mark {mark} = {}", exact(terms.value_atoms))));
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
    rows.push(("initial", initial_text(&terms.initial_tiers, terms.leverage, terms.initial_atoms)));
    rows
}

fn has_orders(terms: &v1::MarketTerms) -> bool {
    terms.max_fee_atoms != 0
        || terms.waiting_atoms != 0
        || [
            terms.buy_lots,
            terms.sell_lots,
            terms.reduce_only_buy_lots,
            terms.reduce_only_sell_lots,
        ]
        .iter()
        .any(|lots| *lots != 0)
}

/// The trigger reserve, where there is one.
fn waiting_text(waiting_atoms: i64) -> String {
    if waiting_atoms == 0 {
        return String::new();
    }
    format!(" + orders that wait {}", exact(waiting_atoms))
}

/// The terms of open orders.
fn order_rows(market: &Market, terms: &v1::MarketTerms) -> Vec<Row> {
    let mut rows = Vec::new();
    let size = |lots: i64| market.position_size(SignedLots::new(lots)).to_string();
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
            "margin {} + adverse {} + fees at {} {}{} = {}",
            initial_text(&terms.reserve_tiers, terms.leverage, terms.reserve_margin_atoms),
            exact(terms.adverse_atoms),
            percent(terms.max_fee_ppm),
            exact(terms.max_fee_atoms),
            waiting_text(terms.waiting_atoms),
            exact(terms.reserve_atoms)
        ),
    ));
    rows
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

pub(super) fn account_json(answer: &v1::ExplainResponse, markets: &Markets) -> Value {
    let of_markets = answer.markets.iter();
    let of_markets =
        of_markets.filter_map(|terms| Some(market_json(markets.by_id(terms.market)?, terms)));
    let isolated = answer.isolated.iter().map(|account| account_json(account, markets));
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
        "isolated": isolated.collect::<Vec<_>>(),
    })
}

fn market_json(market: &Market, terms: &v1::MarketTerms) -> Value {
    let size = |lots: i64| market.position_size(SignedLots::new(lots));
    let bound = |lots: u64| market.size(Lots::new(lots));
    json!({
        "market": market.symbol,
        "size": size(terms.lots),
        "lots": terms.lots,
        "k": terms.k,
        "mark": market.price(Ticks::new(terms.mark_ticks)),
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
        "waiting_reserve": usdc(terms.waiting_atoms),
        "reserve": usdc(terms.reserve_atoms),
        "liquidation_price": price_or_null(market, Ticks::new(terms.liquidation_price_ticks)),
        "affordable_buy": bound(terms.affordable_buy_lots),
        "affordable_sell": bound(terms.affordable_sell_lots),
    })
}

//! Commands that only read.

use serde_json::{json, Value};
use tidemark_client::format::{
    entry_price, grouped, money, percent, price_or_dash, price_or_null, time_text,
};
use tidemark_client::words::{position_word, state_word};
use tidemark_client::{usdc, Client, Market, Markets, Table};
use tidemark_proto::units::{Lots, SignedLots, Ticks};
use tidemark_proto::v1;

use super::args::{OneMarket, Who};
use super::waits::{allowance_json, allowance_text, queued_text, waiting_text};
use super::{find, funds, CliError, Context};

/// The market that was named, or all.
pub(super) fn chosen<'a>(
    markets: &'a Markets,
    symbol: &Option<String>,
) -> Result<Vec<&'a (Market, v1::MarketState)>, CliError> {
    match symbol {
        Some(symbol) => Ok(vec![find(markets, symbol)?]),
        None => Ok(markets.iter().collect()),
    }
}

pub(super) async fn status(context: &Context) -> Result<(), CliError> {
    let client = context.connect().await?;
    let status = client.status().await?;
    let time = time_text(status.time_ms);
    let rows = [
        ("node", client.node().to_owned()),
        ("chain", status.chain_id.clone()),
        ("height", status.height.to_string()),
        ("time", time.clone()),
        ("app hash", hex::encode(&status.app_hash)),
        ("version", format!("{} (protocol {})", status.version, status.protocol_version)),
        ("price feed", status.feed.clone()),
        ("insurance fund", funds::fund_text(&status)),
        ("withdrawals", funds::outflow_text(&status)),
    ];
    context.print(
        || lines(&rows),
        || {
            json!({
                "node": client.node(),
                "chain_id": status.chain_id,
                "height": status.height,
                "time_ms": status.time_ms,
                "time": time,
                "app_hash": hex::encode(&status.app_hash),
                "protocol_version": status.protocol_version,
                "version": status.version,
                "feed": status.feed,
                "insurance": usdc(status.insurance_atoms),
                "fund_bucket": usdc(status.fund_bucket_atoms),
                "withdrawals_gated_until": status.withdrawals_gated_until,
                "hour_outflow_left": usdc(status.hour_outflow_left_atoms),
                "day_outflow_left": usdc(status.day_outflow_left_atoms),
                "queued_withdrawals": usdc(status.queued_withdrawals_atoms),
            })
        },
    );
    Ok(())
}

fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:<width$}  {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn tiers_text(params: &v1::ParamsResponse) -> String {
    let mut tiers = Table::new(0, &["30-day volume", "maker", "taker"]);
    for tier in &params.fee_tiers {
        let volume = grouped(usdc(tier.min_volume_atoms), 0);
        tiers.row(vec![volume, percent(tier.maker_ppm), percent(tier.taker_ppm)]);
    }
    tiers.render()
}

pub(super) async fn params(context: &Context) -> Result<(), CliError> {
    let params = context.connect().await?.params().await?;
    let tier = |tier: &v1::params_response::FeeTier| {
        json!({
            "min_volume": usdc(tier.min_volume_atoms),
            "maker_ppm": tier.maker_ppm,
            "taker_ppm": tier.taker_ppm,
        })
    };
    let text = || {
        let rows = [
            ("insurance fund's part of fees", percent(params.insurance_fee_ppm)),
            ("gas of a block", params.max_block_gas.to_string()),
            ("bytes of a transaction", params.max_tx_bytes.to_string()),
            ("operations of a transaction", params.max_operations.to_string()),
            ("sequences that may wait", params.max_pending_sequences.to_string()),
            ("cancels run first", if params.cancels_first { "yes" } else { "no" }.to_owned()),
            ("halt that gates withdrawals", format!("{} s", params.halt_ms / 1_000)),
            ("blocks of a withdrawal gate", params.withdrawal_gate_blocks.to_string()),
            ("withdrawals of an hour", grouped(usdc(params.hour_outflow_atoms), 0)),
            ("withdrawals of a day", grouped(usdc(params.day_outflow_atoms), 0)),
            ("least first credit", grouped(usdc(params.first_credit_min_atoms), 0)),
            ("of it to the insurance fund", grouped(usdc(params.owner_fee_atoms), 0)),
            ("subaccounts that cost nothing", params.free_subaccounts.to_string()),
            ("price of each further one", grouped(usdc(params.subaccount_fee_atoms), 0)),
            ("orders and cancels of an owner", params.allowance_base.to_string()),
            ("price of each beyond", usdc(params.flat_fee_atoms).normalize().to_string()),
            ("admin", params.admin.clone()),
            ("minters", params.minters.join(", ")),
        ];
        format!("{}\n\n{}", tiers_text(&params), lines(&rows))
    };
    context.print(text, || {
        json!({
            "fee_tiers": params.fee_tiers.iter().map(tier).collect::<Vec<_>>(),
            "insurance_fee_ppm": params.insurance_fee_ppm,
            "max_block_gas": params.max_block_gas,
            "max_tx_bytes": params.max_tx_bytes,
            "max_operations": params.max_operations,
            "max_pending_sequences": params.max_pending_sequences,
            "cancels_first": params.cancels_first,
            "halt_ms": params.halt_ms,
            "withdrawal_gate_blocks": params.withdrawal_gate_blocks,
            "hour_outflow": usdc(params.hour_outflow_atoms),
            "day_outflow": usdc(params.day_outflow_atoms),
            "first_credit_min": usdc(params.first_credit_min_atoms),
            "owner_fee": usdc(params.owner_fee_atoms),
            "free_subaccounts": params.free_subaccounts,
            "subaccount_fee": usdc(params.subaccount_fee_atoms),
            "allowance_base": params.allowance_base,
            "flat_fee": usdc(params.flat_fee_atoms),
            "admin": params.admin,
            "minters": params.minters,
        })
    });
    Ok(())
}

pub(super) async fn markets(context: &Context) -> Result<(), CliError> {
    let markets = context.connect().await?.markets().await?;
    let text = || {
        let heading = [
            "market",
            "state",
            "index",
            "mark",
            "last",
            "bid",
            "ask",
            "open interest",
            "funding/8h",
            "fund pays",
            "tick",
            "lot",
        ];
        let mut table = Table::new(2, &heading);
        for (market, state) in markets.iter() {
            let price = |ticks| price_or_dash(market, Ticks::new(ticks));
            table.row(vec![
                market.symbol.clone(),
                state_word(state).to_owned(),
                price(state.index_ticks),
                price(state.mark_ticks),
                price(state.last_trade_ticks),
                price(state.best_bid_ticks),
                price(state.best_ask_ticks),
                market.size(Lots::new(state.open_interest_lots)).to_string(),
                percent(state.funding_rate_ppm),
                grouped(usdc(state.fund_allowance_atoms), 0),
                market.tick_size.to_string(),
                market.lot_size.to_string(),
            ]);
        }
        table.render()
    };
    context
        .print(text, || markets.iter().map(|(market, state)| market_json(market, state)).collect());
    Ok(())
}

fn market_json(market: &Market, state: &v1::MarketState) -> Value {
    let price = |ticks| price_or_null(market, Ticks::new(ticks));
    json!({
        "id": market.id,
        "market": market.symbol,
        "state": state_word(state),
        "tick_size": market.tick_size,
        "lot_size": market.lot_size,
        "index": price(state.index_ticks),
        "index_time_ms": state.index_time_ms,
        "mark": price(state.mark_ticks),
        "last": price(state.last_trade_ticks),
        "bid": price(state.best_bid_ticks),
        "ask": price(state.best_ask_ticks),
        "open_interest": market.size(Lots::new(state.open_interest_lots)),
        "funding_rate_8h_ppm": state.funding_rate_ppm,
        "predicted_funding_8h_ppm": state.predicted_funding_ppm,
        "bad_debt": usdc(state.bad_debt_atoms),
        "insurance": usdc(state.insurance_atoms),
        "set_aside": usdc(state.set_aside_atoms),
        "fund_bucket_size": usdc(state.fund_bucket_size_atoms),
        "fund_bucket": usdc(state.fund_bucket_atoms),
        "fund_allowance": usdc(state.fund_allowance_atoms),
        "blocks_without_fund": state.blocks_without_fund,
        "settlement_price": price(state.settlement_price_ticks),
        "settled": state.settled,
        "reporting_power": state.reporting_power,
        "total_power": state.total_power,
    })
}

pub(super) async fn funding(context: &Context, args: &OneMarket) -> Result<(), CliError> {
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let mut rows = Vec::new();
    for (market, _) in chosen(&markets, &args.market)? {
        rows.push((market, client.funding(market.id).await?));
    }
    let text = || {
        let mut table =
            Table::new(1, &["market", "last (8 h)", "next (8 h)", "samples", "paid at"]);
        for (market, funding) in &rows {
            table.row(vec![
                market.symbol.clone(),
                percent(funding.last_rate_ppm),
                percent(funding.predicted_rate_ppm),
                funding.samples.to_string(),
                time_text(funding.next_ms),
            ]);
        }
        table.render()
    };
    let one = |(market, funding): &(&Market, v1::FundingResponse)| {
        json!({
            "market": market.symbol,
            "last_rate_8h_ppm": funding.last_rate_ppm,
            "predicted_rate_8h_ppm": funding.predicted_rate_ppm,
            "samples": funding.samples,
            "next_ms": funding.next_ms,
            "cumulative_index": funding.cumulative_index,
        })
    };
    context.print(text, || rows.iter().map(one).collect());
    Ok(())
}

/// An account's answer with the markets that its positions are in.
async fn fetch(
    context: &Context,
    who: &Who,
) -> Result<(String, v1::AccountResponse, Markets, Client), CliError> {
    let address = context.address(&who.address)?;
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let account = client.account(&address, None).await?;
    Ok((address, account, markets, client))
}

pub(super) async fn account(context: &Context, who: &Who) -> Result<(), CliError> {
    let (address, account, markets, _) = fetch(context, who).await?;
    let text = || {
        let heading = [
            "subaccount",
            "collateral",
            "equity",
            "reserved",
            "maintenance",
            "free",
            "withdrawable",
            "open orders",
            "30-day volume",
        ];
        let mut table = Table::new(0, &heading);
        for sub in &account.subaccounts {
            table.row(vec![
                sub.subaccount.to_string(),
                money(sub.collateral_atoms),
                money(sub.equity_atoms),
                money(sub.reserve_atoms),
                money(sub.maintenance_atoms),
                money(sub.free_atoms),
                money(sub.withdrawable_atoms),
                sub.open_orders.to_string(),
                money(sub.volume_30d_atoms),
            ]);
        }
        format!(
            "{address} at block {}, next sequence {}\n{}{}{}{}{}{}",
            account.height,
            account.sequence,
            table.render(),
            waiting_text(&account),
            queued_text(&account),
            funds::fresh_text(&account, &markets),
            funds::set_aside_text(&account, &markets),
            allowance_text(&account)
        )
    };
    context.print(text, || account_json(&address, &account, &markets));
    Ok(())
}

fn account_json(address: &str, account: &v1::AccountResponse, markets: &Markets) -> Value {
    let one = |sub: &v1::Subaccount| {
        json!({
            "subaccount": sub.subaccount,
            "account_id": sub.account_id,
            "collateral": usdc(sub.collateral_atoms),
            "equity": usdc(sub.equity_atoms),
            "reserve": usdc(sub.reserve_atoms),
            "waiting_reserve": usdc(sub.waiting_atoms),
            "maintenance": usdc(sub.maintenance_atoms),
            "free": usdc(sub.free_atoms),
            "withdrawable": usdc(sub.withdrawable_atoms),
            "open_orders": sub.open_orders,
            "isolated_markets": sub.isolated_markets,
            "volume_30d": usdc(sub.volume_30d_atoms),
            "set_aside": sub.set_aside.iter().map(|kept| funds::set_aside_json(kept, markets))
                .collect::<Vec<_>>(),
            "positions": positions_of(sub, markets)
                .map(|(market, position)| position_json(market, position))
                .collect::<Vec<_>>(),
        })
    };
    json!({
        "address": address,
        "height": account.height,
        "sequence": account.sequence,
        "queued_withdrawal": usdc(account.queued_withdrawal_atoms),
        "queued_ahead": account.queued_ahead,
        "allowance": allowance_json(account),
        "subaccounts": account.subaccounts.iter().map(one).collect::<Vec<_>>(),
    })
}

fn positions_of<'a>(
    sub: &'a v1::Subaccount,
    markets: &'a Markets,
) -> impl Iterator<Item = (&'a Market, &'a v1::Position)> {
    let open = sub.positions.iter().filter(|position| position.lots != 0);
    open.filter_map(|position| Some((markets.by_id(position.market)?, position)))
}

fn position_json(market: &Market, position: &v1::Position) -> Value {
    json!({
        "market": market.symbol,
        "size": market.position_size(SignedLots::new(position.lots)),
        "entry": entry_price(market, position),
        "mark": price_or_null(market, Ticks::new(position.mark_ticks)),
        "notional": usdc(position.notional_atoms),
        "unrealised": usdc(position.unrealised_atoms),
        "unpaid_funding": usdc(position.unpaid_funding_atoms),
        "liquidation_price": price_or_null(market, Ticks::new(position.liquidation_price_ticks)),
        "leverage": position.leverage,
        "maintenance": usdc(position.maintenance_atoms),
        "reserve": usdc(position.reserve_atoms),
        "fresh": market.size(Lots::new(position.fresh_lots)),
        "realised": usdc(position.realised_atoms),
        "margin_mode": if position.isolated.is_some() { "isolated" } else { "cross" },
        "isolated": position.isolated.map(|isolated| json!({
            "account_id": isolated.account_id,
            "collateral": usdc(isolated.collateral_atoms),
            "equity": usdc(isolated.equity_atoms),
            "free": usdc(isolated.free_atoms),
            "removable": usdc(isolated.removable_atoms),
        })),
    })
}

pub(super) async fn positions(context: &Context, who: &Who) -> Result<(), CliError> {
    let (address, account, markets, _) = fetch(context, who).await?;
    let open: Vec<_> = account
        .subaccounts
        .iter()
        .flat_map(|sub| {
            positions_of(sub, &markets)
                .map(move |(market, position)| (sub.subaccount, market, position))
        })
        .collect();
    let text = || {
        if open.is_empty() {
            return format!("{address} has no open position.");
        }
        positions_table(&open)
    };
    let one = |(subaccount, market, position): &(u32, &Market, &v1::Position)| {
        let mut json = position_json(market, position);
        json["subaccount"] = json!(subaccount);
        json
    };
    context.print(text, || open.iter().map(one).collect());
    Ok(())
}

fn positions_table(open: &[(u32, &Market, &v1::Position)]) -> String {
    let heading = [
        "market",
        "side",
        "subaccount",
        "size",
        "entry",
        "mark",
        "notional",
        "profit",
        "liquidation",
        "leverage",
        "maintenance",
        "margin",
    ];
    let mut table = Table::new(2, &heading);
    for (subaccount, market, position) in open {
        table.row(vec![
            market.symbol.clone(),
            position_word(SignedLots::new(position.lots)).to_owned(),
            subaccount.to_string(),
            market.position_size(SignedLots::new(position.lots)).abs().to_string(),
            entry_price(market, position).to_string(),
            price_or_dash(market, Ticks::new(position.mark_ticks)),
            money(position.notional_atoms),
            money(position.unrealised_atoms),
            price_or_dash(market, Ticks::new(position.liquidation_price_ticks)),
            if position.leverage == 0 {
                "most".to_owned()
            } else {
                format!("{}x", position.leverage)
            },
            money(position.maintenance_atoms),
            match &position.isolated {
                Some(isolated) => format!("isolated {}", money(isolated.collateral_atoms)),
                None => "cross".to_owned(),
            },
        ]);
    }
    table.render()
}

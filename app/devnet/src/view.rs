//! The devnet in a terminal; without one, a line a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use tidemark_client::format::{entry_price, grouped, percent, price_or_dash};
use tidemark_client::terminal::draw;
use tidemark_client::words::state_word;
use tidemark_client::{usdc, Client, Table};
use tidemark_proto::units::{Lots, SignedLots, Ticks};
use tidemark_proto::v1;

use super::board::Board;
use super::options::DevnetOptions;
use super::{say, with, SharedBoard};

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(500);
/// Between two lines.
const LINE: Duration = Duration::from_secs(1);
/// Lines of trades and of liquidations in a picture.
const SHOWN_LINES: usize = 5;

/// Accounts in a picture.
const SHOWN_ACCOUNTS: usize = 8;

/// Shows the board until it is stopped; with `live`, as a picture that is drawn over.
pub async fn show(
    client: Client,
    board: SharedBoard,
    named: Vec<(String, String)>,
    options: DevnetOptions,
    end_points: String,
    live: bool,
) {
    let mut pause = tokio::time::interval(if live { REDRAW } else { LINE });
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        if let Ok(markets) = client.markets().await {
            with(&board, |board| board.markets = markets);
        }
        if !live {
            say(options.output, &with(&board, |board| line(board)));
            continue;
        }
        let mut accounts = Vec::with_capacity(named.len());
        for (name, address) in &named {
            let answer = client.account(address, Some(0)).await;
            accounts.extend(
                answer
                    .ok()
                    .and_then(|answer| answer.subaccounts.into_iter().next())
                    .map(|sub| (name.clone(), sub)),
            );
        }
        let picture = with(&board, |board| {
            board.accounts = accounts;
            picture(board, &options, &end_points)
        });
        draw(&picture);
    }
}

fn clock(started: Option<Instant>) -> String {
    let seconds = started.map_or(0, |started| started.elapsed().as_secs());
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

fn counts(board: &Board) -> String {
    let refused: u64 = board.orders.refused.values().sum();
    let stages = board.liquidations.iter().map(|(stage, count)| format!("{stage} {count}"));
    let stages = stages.collect::<Vec<_>>().join(", ");
    let stages = if stages.is_empty() { "none yet".to_owned() } else { stages };
    let number = |count: u64| grouped(Decimal::from(count), 0);
    format!(
        "{} operations, {} refused · {} trades · liquidations: {stages}",
        number(board.orders.sent),
        number(refused),
        number(board.trades)
    )
}

/// One line for logs.
fn line(board: &Board) -> String {
    let prices = board.markets.iter().map(|(market, state)| {
        let stale = if state.stale { " stale" } else { "" };
        format!("{} {}{stale}", market.base(), price_or_dash(market, Ticks::new(state.mark_ticks)))
    });
    let prices = prices.collect::<Vec<_>>().join("  ");
    format!("{}  block {}  {prices}  {}", clock(board.started), board.height, counts(board))
}

fn picture(board: &Board, options: &DevnetOptions, end_points: &str) -> String {
    let span = options.span.map_or(String::new(), |span| format!(" of {} s", span.as_secs()));
    let elapsed_ms = board.started.map_or(0, |started| started.elapsed().as_millis() as i64);
    let rate =
        Decimal::from(board.blocks).checked_div(Decimal::new(elapsed_ms, 3)).unwrap_or_default();
    let hashes = match &board.hashes.parted {
        None => format!("app hashes equal at {} heights", board.hashes.equal),
        Some(sentence) => sentence.clone(),
    };
    format!(
        "Tidemark devnet · {} validator(s) · prices {} · {}{span}\nblock {} · {rate:.1} a second \
         · {hashes}\n{end_points}\n\n{}\n\n{}\n\nliquidations\n{}\n\n{}\n\ntrades\n{}\n\nCtrl-C \
         ends",
        options.validators,
        board.feed,
        clock(board.started),
        board.height,
        markets(board),
        counts(board),
        last(&board.liquidation_lines),
        accounts(board),
        last(&board.trade_lines),
    )
}

fn last(lines: &VecDeque<String>) -> String {
    if lines.is_empty() {
        return "  none yet".to_owned();
    }
    lines
        .iter()
        .rev()
        .take(SHOWN_LINES)
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn markets(board: &Board) -> String {
    let heading =
        ["market", "state", "index", "mark", "bid", "ask", "last", "open int.", "fund./8h"];
    let mut table = Table::new(2, &heading);
    for (market, state) in board.markets.iter() {
        let price = |ticks| price_or_dash(market, Ticks::new(ticks));
        table.row(vec![
            market.symbol.clone(),
            state_word(state).to_owned(),
            price(state.index_ticks),
            price(state.mark_ticks),
            price(state.best_bid_ticks),
            price(state.best_ask_ticks),
            price(state.last_trade_ticks),
            market.size(Lots::new(state.open_interest_lots)).to_string(),
            percent(state.predicted_funding_ppm),
        ]);
    }
    table.render()
}

/// Positions of the demo accounts, those nearest to liquidation first.
fn accounts(board: &Board) -> String {
    let mut rows: Vec<(i128, Vec<String>)> = Vec::new();
    for (name, account) in &board.accounts {
        let open = account.positions.iter().filter(|position| position.lots != 0);
        for position in open {
            let Some(market) = board.markets.by_id(position.market) else { continue };
            let health = health_percent(account);
            rows.push((
                health,
                vec![
                    name.clone(),
                    market.symbol.clone(),
                    market.position_size(SignedLots::new(position.lots)).to_string(),
                    entry_price(market, position).to_string(),
                    grouped(usdc(position.unrealised_atoms), 0),
                    grouped(usdc(account.equity_atoms), 0),
                    if health > 9_999 { "> 9999 %".to_owned() } else { format!("{health} %") },
                    price_or_dash(market, Ticks::new(position.liquidation_price_ticks)),
                ],
            ));
        }
    }
    rows.sort_by_key(|(health, _)| *health);
    let heading =
        ["account", "market", "size", "entry", "profit", "equity", "health", "liquidation"];
    let mut table = Table::new(2, &heading);
    rows.into_iter().take(SHOWN_ACCOUNTS).for_each(|(_, row)| table.row(row));
    table.render()
}

/// Equity over maintenance margin in percent: below 100, the account is liquidated.
fn health_percent(account: &v1::Subaccount) -> i128 {
    match account.maintenance_atoms {
        0 => i128::MAX,
        maintenance => i128::from(account.equity_atoms) * 100 / i128::from(maintenance),
    }
}

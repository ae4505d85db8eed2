//! Follows the nodes' streams and writes the board.

use std::sync::Arc;
use std::time::Duration;

use tidemark_client::words::{liquidation_line, stage_word, trade_line};
use tidemark_client::Client;
use tokio::task::JoinSet;

use super::board::Hashes;
use super::{with, SharedBoard};

/// Before a stream that ended is opened again.
const REOPEN: Duration = Duration::from_millis(200);

/// Follows blocks of every node, trades and liquidations of the first.
pub fn follow(tasks: &mut JoinSet<()>, clients: &[Client], board: &SharedBoard) {
    with(board, |board| board.hashes = Hashes::new(clients.len()));
    for (node, client) in clients.iter().enumerate() {
        tasks.spawn(blocks(node, client.clone(), Arc::clone(board)));
    }
    if let Some(first) = clients.first() {
        tasks.spawn(trades(first.clone(), Arc::clone(board)));
        tasks.spawn(liquidations(first.clone(), Arc::clone(board)));
    }
}

async fn blocks(node: usize, client: Client, board: SharedBoard) {
    loop {
        if let Ok(mut stream) = client.block_stream().await {
            while let Ok(Some(block)) = stream.message().await {
                with(&board, |board| board.block(node, block));
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

async fn trades(client: Client, board: SharedBoard) {
    loop {
        if let Ok(mut stream) = client.trade_stream(None).await {
            while let Ok(Some(trade)) = stream.message().await {
                with(&board, |board| {
                    let line = board
                        .markets
                        .by_id(trade.market)
                        .and_then(|market| trade_line(market, &trade));
                    board.trade(line);
                });
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

async fn liquidations(client: Client, board: SharedBoard) {
    loop {
        if let Ok(mut stream) = client.liquidation_stream(None).await {
            while let Ok(Some(event)) = stream.message().await {
                with(&board, |board| {
                    let line = board
                        .markets
                        .by_id(event.market)
                        .and_then(|market| liquidation_line(market, &event));
                    board.liquidation(&event, stage_word(event.stage()), line);
                });
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

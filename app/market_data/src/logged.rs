//! A block in the bytes of the event log, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use tidemark_event_log::format::{identity_digest, sequence_digest, Body, Key};
use tidemark_proto::units::{AccountId, TimeMs};
use tidemark_proto::v1;

use super::history::Block;
use super::outcomes::CommittedTx;

/// The part of a block that the event log keeps. The same block gives the same bytes.
#[must_use]
pub fn encode(block: &Block) -> Body {
    let accounts: BTreeMap<u32, &Vec<v1::AccountEvent>> =
        block.accounts.iter().map(|(account, events)| (account.get(), events)).collect();
    let txs: Vec<v1::LoggedTx> = block.txs.iter().map(|tx| tx.logged()).collect();
    let keys = txs.iter().enumerate().flat_map(|(at, tx)| keys(at, tx)).collect();
    let message = v1::LoggedBlock {
        summary: Some(block.summary.clone()),
        trades: block.trades.clone(),
        liquidations: block.liquidations.clone(),
        listed: block.listed.clone(),
        books: block.books.clone(),
        order_books: block.order_books.clone(),
        accounts: accounts
            .into_iter()
            .map(|(account_id, events)| v1::LoggedAccount { account_id, events: events.clone() })
            .collect(),
        txs,
    };
    Body { time_ms: block.time_ms.get(), keys, payload: message.encode_to_vec() }
}

/// Keys by which an answer is found again.
fn keys(at: usize, tx: &v1::LoggedTx) -> impl Iterator<Item = Key> {
    let position = u32::try_from(at).unwrap_or(u32::MAX);
    let identity = tx.tx_hash.as_slice().try_into().ok().map(|hash| identity_digest(&hash));
    let address: Option<[u8; 20]> = tx.signer.as_slice().try_into().ok();
    let sequence = tx.sequence_plus_1.checked_sub(1);
    let of_account = address.zip(sequence).map(|(by, sequence)| sequence_digest(&by, sequence));
    identity.into_iter().chain(of_account).map(move |digest| Key { digest, position })
}

/// A block from the event log; `None` if the payload is no block.
#[must_use]
pub fn decode(payload: &[u8]) -> Option<Block> {
    let message = v1::LoggedBlock::decode(payload).ok()?;
    let summary = message.summary?;
    let (height, time_ms) = (summary.height, TimeMs::new(summary.time_ms));
    let answer = |tx| Arc::new(CommittedTx::from_log(height, tx));
    Some(Block {
        height,
        time_ms,
        summary,
        trades: message.trades,
        liquidations: message.liquidations,
        listed: message.listed,
        books: message.books,
        order_books: message.order_books,
        accounts: message
            .accounts
            .into_iter()
            .map(|account| (AccountId::new(account.account_id), account.events))
            .collect(),
        txs: message.txs.into_iter().map(answer).collect(),
    })
}

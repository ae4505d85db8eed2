//! Decoders of bytes that others wrote: they read or refuse, and what they read is written back as
//! it was.

use std::sync::LazyLock;

use prost::Message as _;
use tendermint_proto::v0_38::abci::{ExtendedCommitInfo, ExtendedVoteInfo, Validator};
use tidemark_client::key_file;
use tidemark_consensus::abci::server::FrameReader;
use tidemark_consensus::votes;
use tidemark_engine::exec::{BallotExtension, PriceBallot};
use tidemark_engine::genesis::Genesis;
use tidemark_feed::replay::{Playback, Replay};
use tidemark_matching::Book;
use tidemark_node::config::NodeConfig;
use tidemark_oracle::report::{self, Limits};
use tidemark_proto::tx::{decode, Sendable as _, TxOptions};
use tidemark_proto::types::Address;
use tidemark_proto::units::Ticks;
use tidemark_proto::v1;

use crate::harness::{domain, genesis, limit, place, plain_market, signer, BlockInput};
use crate::sim::{simulated_genesis, Config, Proposer, ShadowNode};

const MAX_TX_BYTES: usize = 64 * 1024;

/// Types of messages, and one that does not exist.
const MESSAGES: [&str; 16] = [
    "MsgOrders",
    "MsgListMarket",
    "MsgUpdateMarket",
    "MsgDeposit",
    "MsgWithdraw",
    "MsgTakeBackWithdrawal",
    "MsgTransfer",
    "MsgSetLeverage",
    "MsgSetSelfTradePrevention",
    "MsgSetMarginMode",
    "MsgAdjustIsolatedMargin",
    "MsgRegisterBackstop",
    "MsgTakeover",
    "MsgAuthorizeAgent",
    "MsgRevokeAgent",
    "MsgNone",
];

/// The blocks of a history, and a book at its end.
static HISTORY: LazyLock<(Vec<BlockInput>, Vec<u8>)> = LazyLock::new(|| {
    let mut node = ShadowNode::new(&simulated_genesis(), 1);
    let mut proposer = Proposer::new(&Config::new(3, 60));
    let mut inputs = Vec::new();
    for _ in 0..60 {
        let input = proposer.next(&node).expect("a block");
        node.run(&input);
        inputs.push(input);
    }
    let mut book = Vec::new();
    node.state.markets[0].book.freeze().write(&mut book).expect("memory");
    (inputs, book)
});

pub(super) fn no_seeds() -> Vec<Vec<u8>> {
    Vec::new()
}

pub(super) fn transactions() -> Vec<Vec<u8>> {
    HISTORY.0.iter().flat_map(|input| input.txs.clone()).collect()
}

pub(super) fn transaction(bytes: &[u8]) -> bool {
    let Ok(tx) = decode(bytes, MAX_TX_BYTES, &domain()) else { return false };
    let valid = || HISTORY.0.iter().flat_map(|input| &input.txs);
    if tx.verify(&domain()).is_ok() && !valid().any(|valid| **valid == *bytes) {
        let same = |valid: &[u8]| {
            decode(valid, MAX_TX_BYTES, &domain())
                .is_ok_and(|valid| valid.tx.message == tx.tx.message)
        };
        assert!(valid().any(|valid| same(valid)), "a signature holds for one message alone");
    }
    true
}

pub(super) fn messages() -> Vec<Vec<u8>> {
    let sender = signer("fuzz").address().to_string();
    let params = Some((&plain_market("ONE-USD", 20)).into());
    let mut market = v1::MsgListMarket { params, ..Default::default() };
    market.envelope(sender.clone(), 0);
    let operation = Some(place(limit(0, v1::Side::Buy, 1, 1)));
    let operations = vec![v1::Operation { operation }];
    let mut orders = v1::MsgOrders { operations, ..Default::default() };
    orders.envelope(sender, 0);
    let (market, orders) = (market.encode_to_vec(), orders.encode_to_vec());
    let of_kind = |kind: u8| {
        let valid = if matches!(kind, 1 | 2) { &market } else { &orders };
        [&[kind], valid.as_slice()].concat()
    };
    (0..MESSAGES.len() as u8).map(of_kind).collect()
}

/// The first byte is the type, the others the message.
pub(super) fn message(bytes: &[u8]) -> bool {
    let Some((kind, value)) = bytes.split_first() else { return false };
    let name = MESSAGES[usize::from(*kind) % MESSAGES.len()];
    let any =
        cosmos_sdk_proto::Any { type_url: format!("/tidemark.v1.{name}"), value: value.to_vec() };
    let bytes = signer("fuzz").sign_any(any, TxOptions::default()).expect("the key signs");
    decode(&bytes, MAX_TX_BYTES, &domain()).is_ok()
}

/// The bytes of a vote's extension, where it has one.
fn said(ballot: &PriceBallot) -> Option<Vec<u8>> {
    match &ballot.extension {
        BallotExtension::Bytes(bytes) => Some(bytes.clone()),
        BallotExtension::Missing | BallotExtension::Blanked => None,
    }
}

fn extended_commit(input: &BlockInput) -> ExtendedCommitInfo {
    let vote = |ballot: &PriceBallot| ExtendedVoteInfo {
        validator: Some(Validator {
            address: ballot.validator.to_vec().into(),
            power: i64::try_from(ballot.power).unwrap_or(i64::MAX),
        }),
        vote_extension: said(ballot).unwrap_or_default().into(),
        extension_signature: vec![0; 64].into(),
        block_id_flag: if ballot.extension == BallotExtension::Missing { 1 } else { 2 },
    };
    ExtendedCommitInfo { round: 0, votes: input.block.ballots.iter().map(vote).collect() }
}

pub(super) fn commits() -> Vec<Vec<u8>> {
    HISTORY.0.iter().map(|input| votes::encode(&extended_commit(input))).collect()
}

pub(super) fn commit(bytes: &[u8]) -> bool {
    let Ok(read) = votes::decode(bytes) else { return false };
    assert_eq!(votes::encode(&read), bytes, "a commit is written back as it was");
    let _ = votes::ballots(&read).count();
    let _ = votes::check(&read, &Default::default(), &[], "chain", 1);
    true
}

pub(super) fn reports() -> Vec<Vec<u8>> {
    let ballots = HISTORY.0.iter().flat_map(|input| &input.block.ballots);
    ballots.filter_map(said).collect()
}

pub(super) fn report(bytes: &[u8]) -> bool {
    let mut is_read = false;
    for base in [None, Some(Ticks::new(100)), Some(Ticks::MAX)] {
        let base = |_| base;
        if let Ok(read) = report::decode(bytes, &base, Limits::default()) {
            let again = report::encode(&read, &base, Limits::default());
            assert_eq!(again.as_deref(), Ok(bytes), "a report is written back as it was");
            is_read = true;
        }
    }
    is_read
}

pub(super) fn frames(bytes: &[u8]) -> bool {
    let (mut reader, mut is_read) = (FrameReader::new(bytes, 1 << 16), false);
    while let Ok(Some(_)) = reader.next_request() {
        is_read = true;
    }
    is_read
}

pub(super) fn snapshots() -> Vec<Vec<u8>> {
    vec![HISTORY.1.clone()]
}

pub(super) fn snapshot(bytes: &[u8]) -> bool {
    let Ok(book) = Book::from_snapshot(&mut &bytes[..]) else { return false };
    let mut again = Vec::new();
    book.freeze().write(&mut again).expect("memory");
    assert_eq!(again, bytes[..again.len()], "a book is written back as it was");
    true
}

pub(super) fn genesis_files() -> Vec<Vec<u8>> {
    let genesis = genesis(vec![plain_market("ONE-USD", 20)], 5);
    vec![serde_json::to_vec(&genesis).expect("JSON")]
}

pub(super) fn genesis_file(bytes: &[u8]) -> bool {
    Genesis::read(bytes).is_ok()
}

pub(super) fn price_files() -> Vec<Vec<u8>> {
    let rows = "time_ms,venue,symbol,price\n1000,a,BTC-USD,100.5\n2000,b,BTCUSD_PERP,101\n";
    vec![rows.as_bytes().to_vec()]
}

pub(super) fn price_file(bytes: &[u8]) -> bool {
    let playback = Playback { start_at_ms: 0, speed: 1, looped: false };
    Replay::read("rows.csv", bytes, playback).is_ok()
}

pub(super) fn texts() -> Vec<Vec<u8>> {
    let words = key_file::new_words().map(|words| words.to_string()).unwrap_or_default();
    let address = signer("someone").address().to_string();
    vec![words.into_bytes(), address.into_bytes(), b"threads = 1\n".to_vec()]
}

/// Texts that people write: configuration, addresses, and the words of a key.
pub(super) fn text(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_read = [
        NodeConfig::from_text(&text).is_ok(),
        tidemark_feed::sidecar::config::Config::from_text(&text).is_ok(),
        Address::parse(&text).is_ok(),
        key_file::read_words(&text).is_ok(),
    ];
    is_read.contains(&true)
}

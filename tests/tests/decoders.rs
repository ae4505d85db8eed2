//! Every decoder that reads what others wrote, on random bytes and on valid ones with a few
//! changed: it refuses or reads, and never panics. (ABCI frames have their own tests beside the
//! server.)

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use tendermint_proto::v0_38::abci::{ExtendedCommitInfo, ExtendedVoteInfo, Validator};
use tidemark_consensus::votes;
use tidemark_engine::exec::PriceBallot;
use tidemark_engine::genesis::Genesis;
use tidemark_feed::replay::{Playback, Replay};
use tidemark_matching::Book;
use tidemark_node::config::NodeConfig;
use tidemark_oracle::report::{self, Limits};
use tidemark_proto::tx::{decode, Sendable, TxOptions};
use tidemark_proto::types::Address;
use tidemark_proto::units::Ticks;
use tidemark_proto::v1;
use tidemark_tests::harness::{genesis, limit, place, plain_market, signer, BlockInput};
use tidemark_tests::sim::{simulated_genesis, Config, Proposer, ShadowNode};

/// A history's blocks, and a book at its end: real bytes to change.
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
    node.state.markets[0].book.to_snapshot(&mut book).expect("memory");
    (inputs, book)
});

/// An extended commit with these votes.
fn commit_of(ballots: &[PriceBallot]) -> ExtendedCommitInfo {
    let vote = |ballot: &PriceBallot| ExtendedVoteInfo {
        validator: Some(Validator {
            address: ballot.validator.to_vec().into(),
            power: ballot.power as i64,
        }),
        vote_extension: ballot.extension.clone().unwrap_or_default().into(),
        extension_signature: vec![0; 64].into(),
        block_id_flag: if ballot.extension.is_some() { 2 } else { 1 },
    };
    ExtendedCommitInfo { round: 0, votes: ballots.iter().map(vote).collect() }
}

/// Changes of valid bytes: positions and new values; then a cut.
#[derive(Clone, Debug)]
struct Damage {
    bytes: Vec<(Index, u8)>,
    inserted: Option<(Index, Vec<u8>)>,
    cut: Option<Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    let inserted =
        prop::option::weighted(0.3, (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9)));
    let cut = prop::option::weighted(0.2, any::<Index>());
    (bytes, inserted, cut).prop_map(|(bytes, inserted, cut)| Damage { bytes, inserted, cut })
}

fn damaged(valid: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for (at, value) in &damage.bytes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some((at, more)) = &damage.inserted {
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, more.iter().copied());
    }
    if let Some(cut) = &damage.cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

const MAX_TX_BYTES: usize = 64 * 1024;

fn playback() -> Playback {
    Playback { start_at_ms: 0, speed: 1, looped: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn transactions(noise in noise(), at in any::<Index>(), damage in damage()) {
        let _ = decode(&noise, MAX_TX_BYTES);
        let txs: Vec<_> = HISTORY.0.iter().flat_map(|input| &input.txs).collect();
        let valid = txs[at.index(txs.len())];
        let changed = damaged(valid, &damage);
        // What still decodes is another transaction, whose signature does not hold, or the same.
        if let Ok(tx) = decode(&changed, MAX_TX_BYTES) {
            let same = decode(valid, MAX_TX_BYTES).is_ok_and(|was| was.tx.message == tx.tx.message);
            prop_assert!(same || tx.verify(tidemark_tests::harness::CHAIN_ID).is_err());
        }
    }

    #[test]
    fn messages_of_every_type(kind in 0_usize..13, value in noise(), damage in damage()) {
        let names = [
            "MsgDeposit", "MsgWithdraw", "MsgTransfer", "MsgSetLeverage",
            "MsgSetSelfTradePrevention",
            "MsgListMarket", "MsgUpdateMarket", "MsgOrders", "MsgNone", "MsgSetMarginMode",
            "MsgAdjustIsolatedMargin",
            "MsgRegisterBackstop", "MsgTakeover",
        ];
        let signer = signer("fuzz");
        let params = Some((&plain_market("ONE-USD", 20)).into());
        let mut market = v1::MsgListMarket { params, ..Default::default() };
        market.envelope(signer.address().to_string(), 0);
        let operation = Some(place(limit(0, v1::Side::Buy, 1, 1)));
        let operations = vec![v1::Operation { operation }];
        let mut orders = v1::MsgOrders { operations, ..Default::default() };
        orders.envelope(signer.address().to_string(), 0);
        let valid =
            if matches!(kind, 5 | 6) { market.encode_to_vec() } else { orders.encode_to_vec() };
        for value in [value, damaged(&valid, &damage)] {
            let any = tendermint_any(names[kind], value);
            let bytes = signer.sign_any(any, TxOptions::default()).expect("the key signs");
            let _ = decode(&bytes, MAX_TX_BYTES);
        }
    }

    #[test]
    fn extended_commits_and_reports(
        noise in noise(),
        at in 1_usize..60,
        damage in damage(),
        base in any::<Option<u64>>(),
    ) {
        let _ = votes::decode(&noise);
        let commit = commit_of(&HISTORY.0[at].block.ballots);
        let bytes = votes::encode(&commit);
        prop_assert_eq!(votes::decode(&bytes), Ok(commit.clone()));
        let changed = damaged(&bytes, &damage);
        if let Ok(read) = votes::decode(&changed) {
            prop_assert_eq!(votes::encode(&read), changed);
            let _ = votes::ballots(&read).count();
            let _ = votes::check(&read, &Default::default(), &[], "chain", 1);
        }
        let base = |_| base.map(Ticks::new);
        let _ = report::decode(&noise, &base, Limits::default());
        for vote in &commit.votes {
            let changed = damaged(&[&vote.vote_extension[..], &[0]].concat(), &damage);
            if let Ok(read) = report::decode(&changed, &base, Limits::default()) {
                prop_assert_eq!(report::encode(&read, &base, Limits::default()), Ok(changed));
            }
        }
    }

    #[test]
    fn book_snapshots(noise in noise(), damage in damage()) {
        let _ = Book::from_snapshot(&mut noise.as_slice());
        prop_assert!(Book::from_snapshot(&mut HISTORY.1.as_slice()).is_ok());
        let changed = damaged(&HISTORY.1, &damage);
        if let Ok(book) = Book::from_snapshot(&mut changed.as_slice()) {
            let mut again = Vec::new();
            book.to_snapshot(&mut again).expect("memory");
            prop_assert_eq!(&again[..], &changed[..again.len()]);
        }
    }

    #[test]
    fn genesis_files(noise in noise(), damage in damage()) {
        let _ = Genesis::read(&noise);
        let valid = genesis(vec![plain_market("ONE-USD", 20)], 5);
        let valid = serde_json::to_vec(&valid).expect("JSON");
        prop_assert!(Genesis::read(&valid).is_ok());
        let _ = Genesis::read(&damaged(&valid, &damage));
    }

    #[test]
    fn texts_of_people(noise in noise(), damage in damage(), text in ".{0,120}") {
        let rows = b"time_ms,venue,symbol,price\n1000,a,BTC-USD,100.5\n2000,b,BTCUSD_PERP,101\n3000,a,BTC-USD,99\n";
        prop_assert!(Replay::read("rows.csv", &rows[..], playback()).is_ok());
        for bytes in [noise, damaged(rows, &damage)] {
            let _ = Replay::read("rows.csv", bytes.as_slice(), playback());
            let _ = NodeConfig::from_text(&String::from_utf8_lossy(&bytes));
        }
        let _ = NodeConfig::from_text(&text);
        let _ = Address::parse(&text);
        let valid = signer("someone").address().to_string();
        let _ = Address::parse(&String::from_utf8_lossy(&damaged(valid.as_bytes(), &damage)));
    }
}

fn tendermint_any(name: &str, value: Vec<u8>) -> cosmos_sdk_proto::Any {
    cosmos_sdk_proto::Any { type_url: format!("/tidemark.v1.{name}"), value }
}

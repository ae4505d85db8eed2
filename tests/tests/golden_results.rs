//! The bytes behind CometBFT's `LastResultsHash`, one line for each kind of result, and the bytes
//! of the validators' prices in a block: formats that never change within a protocol version, in
//! `golden_results.txt`. When a change is meant:
//! `TIDEMARK_BLESS=1 cargo test --release -p tidemark-tests --test golden_results` writes the file
//! anew.

use std::fmt::Write as _;

use prost::Message as _;
use tendermint_proto::v0_38::abci::{
    ExecTxResult, ExtendedCommitInfo, ExtendedVoteInfo, Validator,
};
use tidemark_consensus::encode::{list_result, tx_result};
use tidemark_consensus::votes;
use tidemark_engine::outcome::TxOutcome;
use tidemark_proto::tx::{list_rows, operation_results};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{limit, one_market, place, signer, Chain};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_results.txt");

/// The part of a result that CometBFT hashes.
fn hashed(result: &ExecTxResult) -> Vec<u8> {
    ExecTxResult {
        code: result.code,
        data: result.data.clone(),
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        ..Default::default()
    }
    .encode_to_vec()
}

/// The outcome of the only transaction of the next block.
fn only(chain: &mut Chain) -> TxOutcome {
    let mut txs = chain.block().txs;
    assert_eq!(txs.len(), 1);
    txs.remove(0)
}

fn orders(chain: &mut Chain, name: &str, operations: Vec<Operation>) -> TxOutcome {
    chain.orders(name, operations);
    only(chain)
}

fn batch(chain: &mut Chain, name: &str, operations: Vec<Operation>) -> TxOutcome {
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    let mode = v1::BatchMode::All.into();
    chain
        .send(name, v1::MsgOrders { operations: operations.collect(), mode, ..Default::default() });
    only(chain)
}

fn trades(chain: &mut Chain) -> Vec<(&'static str, TxOutcome)> {
    let post_only = v1::PlaceOrder { post_only: 1, ..limit(0, Buy, 118, 1) };
    let cancel = |order_id| Operation::Cancel(v1::CancelOrder { order_id, ..Default::default() });
    let scale = v1::PlaceScale {
        side: Buy.into(),
        from_ticks: 95,
        to_ticks: 90,
        lots: 6,
        count: 3,
        ..Default::default()
    };
    let stop = v1::PlaceOrder { trigger: 1, trigger_price_ticks: 80, ..limit(0, Sell, 70, 2) };
    let pair = v1::PlaceOco { first: Some(limit(0, Sell, 120, 2)), second: Some(stop) };
    vec![
        ("an order that rests", orders(chain, "maker", vec![place(limit(0, Sell, 101, 10))])),
        ("an order that trades", orders(chain, "taker", vec![place(limit(0, Buy, 101, 4))])),
        (
            "an order whose rest is cancelled",
            orders(
                chain,
                "taker",
                vec![place(v1::PlaceOrder { time_in_force: 2, ..limit(0, Buy, 101, 9) })],
            ),
        ),
        ("a ladder", orders(chain, "maker", vec![Operation::Scale(scale)])),
        ("a pair", orders(chain, "maker", vec![Operation::Oco(pair)])),
        ("a cancel, and one of no order", orders(chain, "maker", vec![cancel(5), cancel(99)])),
        (
            "a cancel-all",
            orders(chain, "maker", vec![Operation::CancelAll(v1::CancelAll::default())]),
        ),
        ("all operations refused", orders(chain, "taker", vec![cancel(98), cancel(99)])),
        ("a batch of all or none", batch(chain, "maker", vec![place(limit(0, Sell, 115, 1)); 2])),
        (
            "a refused batch of all or none",
            batch(
                chain,
                "taker",
                vec![place(limit(0, Buy, 90, 1)), place(post_only), place(limit(0, Buy, 90, 1))],
            ),
        ),
    ]
}

/// Every kind of outcome, driven into by a chain.
fn outcomes() -> Vec<(&'static str, TxOutcome)> {
    let mut chain = one_market(&["maker", "taker"]);
    let mut outcomes = trades(&mut chain);
    chain.deposit("maker", 5);
    outcomes.push(("a deposit", only(&mut chain)));
    chain.send("maker", v1::MsgSetLeverage { leverage: 5, ..Default::default() });
    outcomes.push(("a setting", only(&mut chain)));
    let amount_atoms = 1_000_000_000_000;
    chain.send("maker", v1::MsgWithdraw { amount_atoms, ..Default::default() });
    outcomes.push(("a refused withdrawal", only(&mut chain)));
    chain.send(
        "maker",
        v1::MsgOrders {
            subaccount: 7,
            operations: vec![v1::Operation { operation: Some(place(limit(0, Buy, 90, 1))) }],
            ..Default::default()
        },
    );
    outcomes.push(("orders refused whole", only(&mut chain)));
    chain.send_raw(b"not a transaction".to_vec());
    outcomes.push(("bytes that do not decode", only(&mut chain)));
    outcomes
}

/// The result of each, and that of a block's own list of all of them.
fn results() -> (Vec<(&'static str, ExecTxResult)>, ExecTxResult) {
    let (names, outcomes): (Vec<_>, Vec<_>) = outcomes().into_iter().unzip();
    let results = names.into_iter().zip(outcomes.iter().map(tx_result)).collect();
    (results, list_result(&outcomes))
}

/// Prices of four validators: reported, blanked, absent, and without a report.
fn prices() -> Vec<u8> {
    let vote = |number: u8, extension: &[u8], signature: usize, block_id_flag| ExtendedVoteInfo {
        validator: Some(Validator { address: vec![number; 20].into(), power: 10 }),
        vote_extension: extension.to_vec().into(),
        extension_signature: vec![number; signature].into(),
        block_id_flag,
    };
    let votes = vec![
        vote(1, &[1, 2, 3], 64, 2),
        vote(2, &[], 0, 2),
        vote(3, &[], 0, 1),
        vote(4, &[], 64, 2),
    ];
    votes::encode(&ExtendedCommitInfo { round: 1, votes })
}

#[test]
fn rules_10_the_bytes_behind_the_hash_of_results_are_as_they_were() {
    let (results, list) = results();
    let mut now = String::new();
    for (name, result) in &results {
        writeln!(now, "{} {name}", hex::encode(hashed(result))).expect("memory");
    }
    writeln!(now, "{} a list of all these", hex::encode(hashed(&list))).expect("memory");
    writeln!(now, "{} the validators' prices", hex::encode(prices())).expect("memory");
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &now).expect("a writable file");
    }
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(now, then, "results have other bytes now; see the head of this file");
    for (name, result) in &results {
        let operations = operation_results(&result.data).expect("data of a result");
        assert!(operations.iter().all(|operation| operation.message.is_empty()), "{name}");
    }
    let rows = list_rows(&list.data).expect("data of a list");
    assert_eq!(rows.len(), results.len());
    for (row, (name, result)) in rows.iter().zip(&results) {
        let of_result = operation_results(&result.data).expect("data of a result");
        assert_eq!((row.code, &row.results), (result.code, &of_result), "{name}");
    }
}

#[test]
fn rules_10_the_codes_of_transactions_are_those_of_what_became_of_them() {
    let (results, _) = results();
    let codes: Vec<(&str, u32)> =
        results.iter().map(|(name, result)| (*name, result.code)).collect();
    let expected = [
        ("an order that rests", 0),
        ("an order that trades", 0),
        ("an order whose rest is cancelled", 0),
        ("a ladder", 0),
        ("a pair", 0),
        ("a cancel, and one of no order", 0),
        ("a cancel-all", 0),
        ("all operations refused", 115),
        ("a batch of all or none", 0),
        ("a refused batch of all or none", 107),
        ("a deposit", 0),
        ("a setting", 0),
        ("a refused withdrawal", 123),
        ("orders refused whole", 8),
        ("bytes that do not decode", 2),
    ];
    assert_eq!(codes, expected);
    let (_, traded) = &results[1];
    let traded = operation_results(&traded.data).expect("data").remove(0);
    // 4 lots at 101 USDC, and 450 ppm of it.
    assert_eq!((traded.notional_atoms, traded.fee_atoms), (404_000_000, 181_800));
    let taker = signer("taker").address().to_string();
    assert_eq!(results[1].1.events[0].attributes[1].value, taker);
}

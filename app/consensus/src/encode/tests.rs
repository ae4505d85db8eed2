use prost::Message as _;
use tidemark_proto::tx::operation_results;
use tidemark_proto::types::{
    Address, MAX_OPERATIONS, MAX_OPERATION_RESULT_BYTES, MAX_TX_RESULT_BYTES,
};
use tidemark_proto::units::{Lots, OrderId};

use super::*;

fn refused(code: Code, sentence: &str) -> OperationResult {
    let refusal = Refusal::from(tidemark_proto::Refusal::new(code, sentence));
    OperationResult { refusal: Some(Box::new(refusal)), ..Default::default() }
}

fn orders(results: Vec<OperationResult>) -> TxOutcome {
    TxOutcome {
        signer: Some(Address([7; 20])),
        message: Some("MsgOrders"),
        results,
        gas_wanted: 3_000,
        gas_used: 2_000,
        ..Default::default()
    }
}

/// A batch of all or none whose second operation failed.
fn refused_batch(operations: usize) -> TxOutcome {
    let cause = refused(Code::WouldCross, &"x".repeat(4_000));
    let refusal = cause.refusal.clone().expect("a refusal");
    let refusal = Refusal::BatchRefused { operation: 1, refusal };
    let with_it = OperationResult { refusal: Some(Box::new(refusal)), ..Default::default() };
    let mut results = vec![with_it; operations];
    results[1] = cause;
    orders(results)
}

#[test]
fn rules_10_a_transaction_has_code_0_if_any_operation_was_carried_out() {
    let done = OperationResult { order_id: OrderId::new(5), ..Default::default() };
    let both = tx_result(&orders(vec![refused(Code::WouldCross, "no"), done]));
    assert_eq!((both.code, both.log.as_str(), both.codespace.as_str()), (0, "", ""));
    assert_eq!((both.gas_wanted, both.gas_used), (3_000, 2_000));
    let neither = [refused(Code::WouldCross, "no"), refused(Code::Expired, "late")];
    let none = tx_result(&orders(neither.to_vec()));
    assert_eq!((none.code, none.log.as_str()), (107, "WOULD_CROSS: no"));
    assert_eq!(none.codespace, "tidemark");
    let codes = |result: &ExecTxResult| {
        let results = operation_results(&result.data).expect("data");
        results.iter().map(|result| result.code).collect::<Vec<_>>()
    };
    assert_eq!((codes(&both), codes(&none)), (vec![107, 0], vec![107, 114]));
}

#[test]
fn rules_10_a_refused_batch_has_the_code_of_the_operation_that_failed() {
    let result = tx_result(&refused_batch(3));
    assert_eq!(result.code, Code::WouldCross.number());
    let results = operation_results(&result.data).expect("data");
    let codes: Vec<_> = results.iter().map(|result| result.code).collect();
    assert_eq!(codes, [206, 107, 206]);
}

#[test]
fn rules_10_no_sentence_is_in_the_data_of_a_result() {
    let outcome = refused_batch(3);
    let results = operation_results(&tx_result(&outcome).data).expect("data");
    assert!(results.iter().all(|result| result.message.is_empty()));
    assert_eq!(operation_answer(&outcome.results[1]).message.len(), 4_000, "people get it");
    // Another wording is another log, and the same data.
    let reworded = orders(vec![refused(Code::WouldCross, "other words")]);
    let worded = orders(vec![refused(Code::WouldCross, "words")]);
    let (reworded, worded) = (tx_result(&reworded), tx_result(&worded));
    assert_eq!(reworded.data, worded.data);
    assert_ne!(reworded.log, worded.log);
}

#[test]
fn rules_10_each_transaction_has_the_event_by_which_explorers_find_it() {
    for outcome in [orders(vec![OperationResult::default()]), refused_batch(2)] {
        let [event] = tx_result(&outcome).events.try_into().expect("one event");
        let attributes = event.attributes.iter();
        let attributes: Vec<_> =
            attributes.map(|one| (one.key.as_str(), one.value.as_str(), one.index)).collect();
        let sender = Address([7; 20]).to_string();
        let expected =
            [("action", "/tidemark.v1.MsgOrders", true), ("sender", sender.as_str(), true)];
        assert_eq!((event.r#type.as_str(), attributes), ("message", expected.to_vec()));
    }
    assert_eq!(tx_result(&TxOutcome::default()).events, []);
}

#[test]
fn rules_10_no_result_takes_more_bytes_than_its_bound() {
    let largest = OperationResult {
        order_id: OrderId::new(u64::MAX),
        filled_lots: Lots::new(u64::MAX),
        resting_lots: Lots::new(u64::MAX),
        rest_code: Some(Code::TooManyTakeovers),
        cancelled: u32::MAX,
        second_order_id: OrderId::new(u64::MAX),
        placed: u32::MAX,
        notional_atoms: Atoms::MAX,
        fee_atoms: Atoms::MIN,
        ..refused(Code::TooManyTakeovers, &"é".repeat(2_000))
    };
    // The longest name of a message.
    let message = Some("MsgSetSelfTradePrevention");
    for operations in [0, 1, MAX_OPERATIONS] {
        let outcome = TxOutcome {
            message,
            refusal: (operations == 0).then(|| largest.refusal.clone()).flatten(),
            gas_wanted: u64::MAX,
            gas_used: u64::MAX,
            ..orders(vec![largest.clone(); operations])
        };
        let result = tx_result(&outcome);
        assert!(result.log.len() <= MAX_LOG_BYTES && result.log.starts_with("TOO_MANY_TAKEOVERS"));
        let reply = tendermint_proto::v0_38::abci::ResponseFinalizeBlock {
            tx_results: vec![result],
            ..Default::default()
        };
        let bytes = reply.encoded_len() as u64;
        let bound = MAX_TX_RESULT_BYTES + operations as u64 * MAX_OPERATION_RESULT_BYTES;
        assert!(bytes <= bound, "{bytes} bytes of {operations} operations, at most {bound}");
        let spare = 64 + operations as u64;
        assert!(bytes + spare > bound, "the bound is near: {bytes} of {bound}");
    }
}

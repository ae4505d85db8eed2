//! Outcomes as the wire has them: in a block, codes and numbers; in a node's own answers, with the
//! sentence of each refusal, which is made here and nowhere else.

use tendermint_proto::v0_38::abci::{Event, EventAttribute, ExecTxResult};
use tidemark_engine::outcome::{OperationResult, TwapSlice, TxOutcome};
use tidemark_engine::refusal::Refusal;
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::tx::{list_data, result_data, type_url};
use tidemark_proto::units::Atoms;
use tidemark_proto::{v1, Code};

/// Most bytes of the sentence in the log of a transaction's result. The log is not part of
/// consensus.
pub const MAX_LOG_BYTES: usize = 256;

/// The sentence of a refusal; empty where nothing was refused.
#[must_use]
pub fn sentence(refusal: Option<&Refusal>) -> String {
    refusal.map(Refusal::sentence).unwrap_or_default()
}

/// An operation's result in a block: no sentence is part of consensus.
#[must_use]
pub fn operation_result(result: &OperationResult) -> v1::OperationResult {
    v1::OperationResult {
        code: result.code().number(),
        order_id: result.order_id.get(),
        filled_lots: result.filled_lots.get(),
        resting_lots: result.resting_lots.get(),
        rest_code: result.rest_code.map_or(0, Code::number),
        cancelled: result.cancelled,
        message: String::new(),
        notional_atoms: nearest(result.notional_atoms).max(0).unsigned_abs(),
        fee_atoms: nearest(result.fee_atoms),
        second_order_id: result.second_order_id.get(),
        placed: result.placed,
    }
}

/// An operation's result in an answer of this node to a client: with its sentence.
#[must_use]
pub fn operation_answer(result: &OperationResult) -> v1::OperationResult {
    let message = sentence(result.refusal.as_deref());
    v1::OperationResult { message, ..operation_result(result) }
}

fn operation_results(outcome: &TxOutcome) -> Vec<v1::OperationResult> {
    outcome.results.iter().map(operation_result).collect()
}

/// The result of a block's own list: a row for each of its transactions, without a sentence or an
/// event. Its code is 0, whatever became of them.
#[must_use]
pub fn list_result(outcomes: &[TxOutcome]) -> ExecTxResult {
    let gas = |gas_of: fn(&TxOutcome) -> u64| {
        let gas = outcomes.iter().map(gas_of).fold(0, u64::saturating_add);
        i64::try_from(gas).unwrap_or(i64::MAX)
    };
    let rows = outcomes.iter().map(|outcome| v1::BlockListRow {
        code: outcome.refused_for().map_or(Code::Ok, Refusal::code).number(),
        gas_wanted: outcome.gas_wanted,
        gas_used: outcome.gas_used,
        results: operation_results(outcome),
    });
    ExecTxResult {
        data: list_data(rows.collect()).into(),
        gas_wanted: gas(|outcome| outcome.gas_wanted),
        gas_used: gas(|outcome| outcome.gas_used),
        ..Default::default()
    }
}

/// A transaction's result in a block. Code, data and gas are part of consensus: CometBFT hashes
/// them into the next header. Log and events are not.
#[must_use]
pub fn tx_result(outcome: &TxOutcome) -> ExecTxResult {
    let refusal = outcome.refused_for();
    ExecTxResult {
        code: refusal.map_or(Code::Ok, Refusal::code).number(),
        data: result_data(outcome.message, operation_results(outcome)).into(),
        log: refusal.map(|refusal| cut(refusal.labelled())).unwrap_or_default(),
        gas_wanted: i64::try_from(outcome.gas_wanted).unwrap_or(i64::MAX),
        gas_used: i64::try_from(outcome.gas_used).unwrap_or(i64::MAX),
        codespace: refusal.map(|_| CODESPACE.into()).unwrap_or_default(),
        events: message_event(outcome).into_iter().collect(),
        ..Default::default()
    }
}

/// The event by which wallets and explorers of Cosmos chains find an account's transactions.
fn message_event(outcome: &TxOutcome) -> Option<Event> {
    let attribute =
        |key: &str, value: String| EventAttribute { key: key.into(), value, index: true };
    let action = attribute("action", type_url(outcome.message?));
    let sender = attribute("sender", outcome.signer?.to_string());
    Some(Event { r#type: "message".into(), attributes: vec![action, sender] })
}

/// A sentence without the bytes beyond the bound.
fn cut(mut sentence: String) -> String {
    let within = |at: &usize| sentence.is_char_boundary(*at);
    if let Some(end) = (0..=MAX_LOG_BYTES).rev().find(within).filter(|end| *end < sentence.len()) {
        sentence.truncate(end);
    }
    sentence
}

/// An amount on the wire: the nearest that fits in 64 bits.
fn nearest(amount: Atoms) -> i64 {
    let beyond = if amount.is_negative() { i64::MIN } else { i64::MAX };
    i64::try_from(amount.get()).unwrap_or(beyond)
}

/// A slice of a TWAP.
#[must_use]
pub fn twap_slice(slice: &TwapSlice) -> v1::TwapSlice {
    v1::TwapSlice {
        code: slice.code().number(),
        placed_order_id: slice.placed_order_id.get(),
        lots: slice.lots.get(),
        filled_lots: slice.filled_lots.get(),
        slices_left: slice.slices_left,
        forfeited_atoms: nearest(slice.forfeited_atoms),
        message: sentence(slice.refusal.as_deref()),
    }
}

#[cfg(test)]
mod tests;

//! The data of a transaction's result in a block: Cosmos' `TxMsgData` with one response, so that
//! wallets and explorers read it as any chain's (rules §10.6). It has codes and numbers only.

use cosmrs::proto::cosmos::base::abci::v1beta1::TxMsgData;
use cosmrs::Any;
use prost::Message as _;

use super::block::BLOCK_LIST;
use crate::codes::{Code, Refusal};
use crate::v1;

/// Type URL of a message of the chain by its name.
#[must_use]
pub fn type_url(message: &str) -> String {
    format!("/tidemark.v1.{message}")
}

/// The data of the result of a transaction whose message has this name; `None` for one that does
/// not decode.
#[must_use]
pub fn result_data(message: Option<&str>, results: Vec<v1::OperationResult>) -> Vec<u8> {
    let response = |message: &str| Any {
        type_url: format!("{}Response", type_url(message)),
        // Every other response is an empty message, whose bytes are those of a list without rows.
        value: v1::MsgOrdersResponse { results }.encode_to_vec(),
    };
    let msg_responses = message.map(response).into_iter().collect();
    TxMsgData { msg_responses, ..Default::default() }.encode_to_vec()
}

/// The data of the result of a block's own list, with a row for each of its transactions.
#[must_use]
pub fn list_data(rows: Vec<v1::BlockListRow>) -> Vec<u8> {
    let value = v1::BlockListResponse { rows }.encode_to_vec();
    let response = Any { type_url: format!("{BLOCK_LIST}Response"), value };
    TxMsgData { msg_responses: vec![response], ..Default::default() }.encode_to_vec()
}

/// The rows of a block's own list, read from the data of its result; `None` for the data of any
/// other result.
#[must_use]
pub fn list_rows(data: &[u8]) -> Option<Vec<v1::BlockListRow>> {
    let data = TxMsgData::decode(data).ok()?;
    let [response] = data.msg_responses.as_slice() else { return None };
    if response.type_url.strip_suffix("Response") != Some(BLOCK_LIST) {
        return None;
    }
    let list = v1::BlockListResponse::decode(response.value.as_slice()).ok()?;
    Some(list.rows)
}

/// The results of a transaction's operations, read from its data.
///
/// # Errors
/// `TX_MALFORMED` for bytes that are no `TxMsgData` with at most one response.
pub fn operation_results(data: &[u8]) -> Result<Vec<v1::OperationResult>, Refusal> {
    let malformed =
        |why: String| Refusal::new(Code::TxMalformed, format!("a result's data: {why}"));
    let data = TxMsgData::decode(data).map_err(|error| malformed(error.to_string()))?;
    match data.msg_responses.as_slice() {
        [] => Ok(Vec::new()),
        [response] => v1::MsgOrdersResponse::decode(response.value.as_slice())
            .map(|response| response.results)
            .map_err(|error| malformed(error.to_string())),
        several => Err(malformed(format!("{} responses, at most 1", several.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MAX_OPERATION_RESULT_BYTES;

    #[test]
    fn no_result_of_an_operation_takes_more_than_the_bound() {
        let largest = v1::OperationResult {
            code: Code::ALL.iter().map(|code| code.number()).max().unwrap(),
            order_id: u64::MAX,
            filled_lots: u64::MAX,
            resting_lots: u64::MAX,
            rest_code: Code::ALL.iter().map(|code| code.number()).max().unwrap(),
            cancelled: u32::MAX,
            message: String::new(),
            notional_atoms: u64::MAX,
            fee_atoms: i64::MIN,
            second_order_id: u64::MAX,
            placed: u32::MAX,
        };
        let bytes = |count| {
            v1::MsgOrdersResponse { results: vec![largest.clone(); count] }.encoded_len() as u64
        };
        assert_eq!(bytes(3) - bytes(2), MAX_OPERATION_RESULT_BYTES);
    }

    #[test]
    fn data_reads_back_as_the_response_of_its_message() {
        let results = vec![v1::OperationResult { code: 110, ..Default::default() }; 2];
        let data = result_data(Some("MsgOrders"), results.clone());
        assert_eq!(operation_results(&data), Ok(results));
        let response = TxMsgData::decode(data.as_slice()).unwrap().msg_responses.remove(0);
        assert_eq!(response.type_url, "/tidemark.v1.MsgOrdersResponse");
        let deposit = TxMsgData::decode(&*result_data(Some("MsgDeposit"), Vec::new())).unwrap();
        assert_eq!(deposit.msg_responses[0].type_url, "/tidemark.v1.MsgDepositResponse");
        assert_eq!(deposit.msg_responses[0].value, Vec::<u8>::new());
        assert_eq!(result_data(None, Vec::new()), Vec::<u8>::new());
        assert!(operation_results(b"no data").is_err());
    }

    #[test]
    fn the_data_of_a_list_reads_back_as_its_rows_and_that_of_a_transaction_as_none() {
        let row = v1::BlockListRow { code: 7, gas_wanted: 20_400, ..Default::default() };
        let rows = vec![row, v1::BlockListRow::default()];
        assert_eq!(list_rows(&list_data(rows.clone())), Some(rows));
        let results = vec![v1::OperationResult { code: 110, ..Default::default() }];
        assert_eq!(list_rows(&result_data(Some("MsgOrders"), results)), None);
        assert_eq!(list_rows(b"no data"), None);
    }
}

//! Commands of orders: each becomes one operation of a transaction, or a line of a batch.

mod batch;
mod build;
mod outcome;

use serde_json::json;
use tidemark_client::format::grouped;
use tidemark_client::{usdc, ClientError, Market, Receipt};
use tidemark_proto::units::Lots;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::Code;

use super::agents::OrderSigner;
use super::args::OrderCommand;
use super::{wait_for, CliError, Context};
use build::ChainData;

pub(super) use batch::run as batch;
pub(super) use outcome::{mark_words, peg_words};

/// Sends one operation and says what became of it.
pub(super) async fn run(context: &Context, command: &OrderCommand) -> Result<(), CliError> {
    let subaccount = context.global.subaccount;
    let mut signer = OrderSigner::of(context).await?;
    signer.check(subaccount, &[command])?;
    let chain_data = ChainData::of(&signer.sender, subaccount, &[command]).await?;
    let operation = chain_data.operation(command).map_err(CliError::Usage)?;
    let Receipt { tx_hash, height, results, flat_fee_atoms } =
        signer.sender.orders(subaccount, vec![operation], wait_for(command.wait())).await?;
    let Some(height) = height else {
        print_accepted(context, &tx_hash);
        return Ok(());
    };
    let Some(result) = results.first() else { return Err(without_result(height, tx_hash)) };
    if result.code != 0 {
        let hint = outcome::hint(&operation, result, &chain_data.markets);
        return Err(CliError::refused(result.code, &format!("{}{hint}", result.message)));
    }
    let market = chain_data.market_of(&operation);
    context.print(
        || {
            let sentence = outcome::sentence(&operation, result, market);
            format!("{sentence} (block {height}){}", fee_words(flat_fee_atoms))
        },
        || {
            let mut json = outcome::result_json(&operation, result, market);
            json["outcome"] = json!("committed");
            json["tx_hash"] = json!(tx_hash);
            json["height"] = json!(height);
            json["flat_fee"] = json!(usdc(flat_fee_atoms));
            json
        },
    );
    Ok(())
}

/// The flat fee that a transaction paid, if it paid one.
pub(super) fn fee_words(flat_fee_atoms: i64) -> String {
    match flat_fee_atoms {
        0 => String::new(),
        atoms => format!(", flat fee {} USDC", grouped(usdc(atoms), 6)),
    }
}

pub(super) fn print_accepted(context: &Context, tx_hash: &str) {
    context.print(
        || format!("accepted by the node, not yet in a block (transaction {tx_hash})"),
        || json!({"outcome": "accepted", "tx_hash": tx_hash}),
    );
}

/// A block holds the transaction, but the answer says nothing of an operation.
fn without_result(height: u64, tx_hash: String) -> CliError {
    let why = format!("block {height} has no result for transaction {tx_hash}");
    let tx_hash = Some(tx_hash);
    ClientError::Unknown { why, last_height: 0, tx_hash, tx: Vec::new() }.into()
}

/// The word of a refusal or removal; `None` where there is none.
fn word(code: u32) -> Option<&'static str> {
    Code::from_number(code).filter(|code| *code != Code::Ok).map(Code::word)
}

/// The id of the market that an operation is of; `None` when it is of all.
fn market_id(operation: &Operation) -> Option<u32> {
    match operation {
        Operation::Place(place) => Some(place.market),
        Operation::Cancel(cancel) => Some(cancel.market),
        Operation::Replace(replace) => Some(replace.market),
        Operation::Twap(twap) => Some(twap.market),
        Operation::Scale(scale) => Some(scale.market),
        Operation::Oco(pair) => pair.second.as_ref().map(|order| order.market),
        Operation::Bracket(of) => of.entry.as_ref().map(|order| order.market),
        Operation::CancelAll(all) => all.market,
        Operation::ScheduleCancelAll(_) => None,
    }
}

/// The size that would have been taken, of a sentence that says `admits N of M lots`.
fn fitting(message: &str, market: Option<&Market>) -> String {
    let said = message.split_once("admits ").and_then(|(_, rest)| rest.split(' ').next());
    let lots = said.and_then(|lots| lots.parse().ok());
    lots.zip(market).map_or_else(String::new, |(lots, market)| {
        format!("; {} {} would fit", market.size(Lots::new(lots)), market.base())
    })
}

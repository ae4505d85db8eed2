//! `tidemark answer`: what became of a transaction.

use std::fs;

use tidemark_client::{Client, ClientError, Receipt};
use tidemark_proto::tx::timeout_height;
use tidemark_proto::v1::answer_request::By;
use tidemark_proto::{v1, Code, Refusal};

use super::args::Answer;
use super::resend::{kept, parse_hash, print};
use super::{CliError, Context};

pub(super) async fn run(context: &Context, args: &Answer) -> Result<(), CliError> {
    let by = by(context, args)?;
    let tx_hash = match &by {
        By::TxHash(hash) => Some(hash.clone()),
        By::Sequence(_) | By::Nonce(_) => None,
    };
    let kept = tx_hash.as_ref().and_then(|hash| kept(context, hash).ok());
    let last_height = kept.as_ref().map_or(0, |(_, tx)| timeout_height(tx));
    let client = context.connect().await?;
    let found = match find(&client, by, last_height).await {
        Err(ClientError::Unknown { why, .. }) => {
            let tx = kept.map_or_else(Vec::new, |(_, tx)| tx);
            return Err(ClientError::Unknown { why, last_height, tx_hash, tx }.into());
        }
        found => found,
    };
    let is_ended = match &found {
        Ok(_) => true,
        Err(error) => error.code().is_some_and(Code::is_of_ended),
    };
    if let Some((path, _)) = kept.filter(|_| is_ended) {
        // It is of no more use; one that stays does no harm.
        let _ = fs::remove_file(path);
    }
    print(context, &found?);
    Ok(())
}

fn by(context: &Context, args: &Answer) -> Result<By, CliError> {
    if let Some(hash) = &args.tx_hash {
        return Ok(By::TxHash(parse_hash(hash)?));
    }
    if let Some(sequence) = args.sequence {
        let owner = context.key_file()?.address().to_owned();
        return Ok(By::Sequence(v1::AccountSequence { owner, sequence }));
    }
    let agent = context
        .agent()?
        .ok_or_else(|| CliError::Usage("--nonce is an agent's: name it with --agent".to_owned()))?;
    let agent_key = hex::decode(agent.key_hex()).unwrap_or_default();
    let (owner, nonce_ms) = (agent.owner().to_string(), args.nonce.unwrap_or(0));
    Ok(By::Nonce(v1::AgentNonce { owner, agent_key, nonce_ms }))
}

/// The deed of a block with a transaction, or why none will do anything; [`ClientError::Unknown`]
/// if one may yet.
async fn find(client: &Client, by: By, last_height: u64) -> Result<Receipt, ClientError> {
    // Before the answer: it then covers all blocks up to this height.
    let status = client.status().await?;
    match client.answer(by).await {
        Ok(v1::AnswerResponse { height, tx_hash, code: 0, results, flat_fee_atoms, .. }) => {
            Ok(Receipt { tx_hash, height: Some(height), results, flat_fee_atoms })
        }
        Ok(answer) => {
            let code = Code::from_number(answer.code).unwrap_or(Code::InvalidArgument);
            let message = format!("{} (block {})", answer.message, answer.height);
            Err(Refusal::new(code, message).into())
        }
        Err(ClientError::Refused(Refusal {
            code: Code::UnknownTransaction | Code::TxDropped,
            message,
        })) => Err(undecided(&status, last_height, message)),
        Err(error) => Err(error),
    }
}

/// The error for a transaction that is in no block which the node has.
fn undecided(status: &v1::StatusResponse, last_height: u64, why: String) -> ClientError {
    let first = last_height.saturating_sub(LIFE_BLOCKS).max(1);
    let has_all = status.events_from_height <= first;
    if last_height == 0 || status.height < last_height || !has_all {
        return ClientError::Unknown { why, last_height, tx_hash: None, tx: Vec::new() };
    }
    let message = format!(
        "it is in no block up to {last_height}, the last that could carry it out: nothing was done"
    );
    Refusal::new(Code::TxExpired, message).into()
}

/// Blocks before its timeout height in which what this program signs may be.
const LIFE_BLOCKS: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_transaction_is_certain_after_its_timeout_height_and_not_before() {
        let undecided = |height, events_from_height, last_height| {
            let status = v1::StatusResponse { height, events_from_height, ..Default::default() };
            undecided(&status, last_height, "in no block".into())
        };
        let is_unknown = |error: &ClientError| matches!(error, ClientError::Unknown { .. });
        assert!(is_unknown(&undecided(99, 1, 100)));
        let ended = undecided(100, 50, 100);
        assert_eq!(ended.code(), Some(Code::TxExpired), "{ended}");
        assert!(
            is_unknown(&undecided(100, 51, 100)),
            "it may be in a block before the log's start"
        );
        assert!(is_unknown(&undecided(100, 1, 0)), "it has no timeout height");
    }
}

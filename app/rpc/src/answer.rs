//! `OrderService.Answer`: what became of a transaction, from the node's event log.

use tidemark_market_data::outcomes::CommittedTx;
use tidemark_proto::types::{Address, TxHash};
use tidemark_proto::v1::answer_request::By;
use tidemark_proto::{v1, Code, Refusal};

use super::order::{OrderServer, TxName};

/// The hash that a client names in hex.
fn parse_hash(text: &str) -> Result<TxHash, Refusal> {
    let mut hash = TxHash::default();
    hex::decode_to_slice(text, &mut hash).map_err(|_| {
        let message = format!("tx_hash has {} characters, must be 64 of hex", text.len());
        Refusal::new(Code::InvalidArgument, message)
    })?;
    Ok(hash)
}

fn response(committed: &CommittedTx) -> v1::AnswerResponse {
    v1::AnswerResponse {
        height: committed.height,
        tx_hash: hex::encode_upper(committed.hash()),
        code: committed.code().number(),
        message: committed.message(),
        results: committed.results(),
        sequence: committed.sequence().map(|(_, sequence)| sequence),
    }
}

impl OrderServer {
    /// Finds an answer, once the replica has what the view has.
    pub(super) async fn find_answer(
        &self,
        request: v1::AnswerRequest,
    ) -> Result<v1::AnswerResponse, Refusal> {
        self.catch_up().await;
        match request.by {
            Some(By::TxHash(text)) => {
                let found = self.market_data.answer(&parse_hash(&text)?).await;
                found.as_deref().map(response).ok_or_else(|| self.not_found("this hash"))
            }
            Some(By::Sequence(v1::AccountSequence { owner, sequence })) => {
                self.answer_of_sequence(&owner, sequence).await
            }
            None => {
                let message = "neither tx_hash nor sequence is set; one of them must be";
                Err(Refusal::new(Code::InvalidArgument, message))
            }
        }
    }

    async fn answer_of_sequence(
        &self,
        owner: &str,
        sequence: u64,
    ) -> Result<v1::AnswerResponse, Refusal> {
        let address = Address::parse(owner)?;
        let next = self.publisher.view().sequence(&address).ok_or_else(|| {
            let message = format!("{address} does not exist: it never got a deposit");
            Refusal::new(Code::UnknownAccount, message)
        })?;
        if let Some(found) = self.market_data.answer_of_sequence(address, sequence).await {
            return Ok(response(&found));
        }
        if sequence >= next {
            let message =
                format!("sequence {sequence} is not used up: the account's next is {next}");
            return Err(Refusal::new(Code::UnknownTransaction, message));
        }
        let oldest = self.market_data.held().oldest;
        if oldest > 1 {
            let message = format!(
                "sequence {sequence} was used up before block {oldest}, where this node's event \
                 log starts"
            );
            return Err(Refusal::new(Code::OutOfRange, message));
        }
        Err(self.not_found(&format!("sequence {sequence}")))
    }

    fn not_found(&self, what: &str) -> Refusal {
        let held = self.market_data.held();
        let message = format!(
            "no transaction of {what} is in blocks {} to {}, which this node has",
            held.oldest, held.newest
        );
        Refusal::new(Code::UnknownTransaction, message)
    }

    /// The refusal of a sequence that another transaction used up, with that transaction and its
    /// block, if the node has it.
    pub(super) async fn with_winner(&self, tx: TxName, refusal: Refusal) -> Refusal {
        let message = match self.market_data.answer_of_sequence(tx.signer, tx.sequence).await {
            Some(other) if other.hash() != tx.hash => return other.used_up(refusal),
            _ => match self.market_data.held().oldest {
                0 | 1 => refusal.message,
                oldest => format!(
                    "{}; it was used up before block {oldest}, where this node's event log starts",
                    refusal.message
                ),
            },
        };
        Refusal { message, ..refusal }
    }
}

//! `OrderService.Answer`: what became of a transaction, from the node's event log.

use tidemark_consensus::queue::Dropped;
use tidemark_engine::refusal as engine;
use tidemark_market_data::outcomes::CommittedTx;
use tidemark_proto::types::{Address, AgentKey, TxHash, TxNumber, NONCE_BEHIND_MS};
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
    let number = committed.number();
    let own = number.filter(|number| number.agent.is_none());
    let of_agent = number.filter(|number| number.agent.is_some());
    v1::AnswerResponse {
        height: committed.height,
        tx_hash: hex::encode_upper(committed.hash()),
        code: committed.code().number(),
        message: committed.message(),
        results: committed.results(),
        sequence: own.map(|number| number.number),
        nonce_ms: of_agent.map(|number| number.number),
        flat_fee_atoms: committed.flat_fee_atoms(),
    }
}

/// The answer to a transaction that is in no block and waits for one in this node's queue.
fn waits_here(hash: &TxHash, last_height: u64) -> Refusal {
    let message = format!(
        "transaction {} waits for a block on this node, up to block {last_height}",
        hex::encode_upper(hash)
    );
    Refusal::new(Code::UnknownTransaction, message)
}

impl OrderServer {
    /// Finds an answer, once the replica has what the view has.
    pub(super) async fn find_answer(
        &self,
        request: v1::AnswerRequest,
    ) -> Result<v1::AnswerResponse, Refusal> {
        self.catch_up().await;
        match request.by {
            Some(By::TxHash(text)) => self.answer_of_hash(&parse_hash(&text)?).await,
            Some(By::Sequence(v1::AccountSequence { owner, sequence })) => {
                let owner = Address::parse(&owner)?;
                self.answer_of(TxNumber { owner, agent: None, number: sequence }).await
            }
            Some(By::Nonce(v1::AgentNonce { owner, agent_key, nonce_ms })) => {
                let (owner, key) = (Address::parse(&owner)?, AgentKey::from_bytes(&agent_key)?);
                self.answer_of(TxNumber { owner, agent: Some(key), number: nonce_ms }).await
            }
            None => {
                let message = "none of tx_hash, sequence and nonce is set; one of them must be";
                Err(Refusal::new(Code::InvalidArgument, message))
            }
        }
    }

    async fn answer_of_hash(&self, hash: &TxHash) -> Result<v1::AnswerResponse, Refusal> {
        // The queue before the event log, which reads from disk.
        let is_known = self.market_data.outcomes().known(hash).is_some();
        if let Some(last_height) = self.queue.waits_until(hash).filter(|_| !is_known) {
            return Err(waits_here(hash, last_height));
        }
        if let Some(found) = self.market_data.answer(hash).await {
            return Ok(response(&found));
        }
        match self.market_data.outcomes().dropped(hash) {
            Some(dropped) => Err(self.end_of(&dropped).await),
            None => Err(self.not_found("this hash")),
        }
    }

    async fn answer_of(&self, number: TxNumber) -> Result<v1::AnswerResponse, Refusal> {
        let view = self.publisher.view();
        let next = view.sequence(&number.owner).ok_or_else(|| {
            let message = format!("{} does not exist: it never got a deposit", number.owner);
            self.standing.judge(Refusal::new(Code::UnknownAccount, message))
        })?;
        let is_known = self.market_data.outcomes().known_by_number(&number).is_some();
        if let Some((hash, last_height)) = self.queue.waiting(&number).filter(|_| !is_known) {
            return Err(waits_here(&hash, last_height));
        }
        if let Some(found) = self.market_data.answer_of(number).await {
            return Ok(response(&found));
        }
        if let Some(dropped) = self.market_data.outcomes().dropped_with(&number) {
            return Err(self.end_of(&dropped).await);
        }
        let (what, is_unused) = match number.agent {
            Some(_) => (format!("nonce {}", number.number), false),
            None => (format!("sequence {}", number.number), number.number >= next),
        };
        if is_unused {
            let message = format!("{what} is not used up: the account's next is {next}");
            return Err(self.standing.judge(Refusal::new(Code::UnknownTransaction, message)));
        }
        let oldest = self.market_data.held().oldest;
        if oldest > 1 && number.agent.is_none() {
            let message = format!(
                "{what} was used up before block {oldest}, where this node's event log starts"
            );
            return Err(Refusal::new(Code::OutOfRange, message));
        }
        Err(self.not_found(&what))
    }

    /// The answer to a transaction that this node has dropped and that no block has: certain as
    /// soon as the state says that none can have it.
    async fn end_of(&self, dropped: &Dropped) -> Refusal {
        let view = self.publisher.view();
        let Dropped { hash, number, timeout_height, .. } = *dropped;
        let next = view.sequence(&number.owner).unwrap_or(0);
        let is_late = timeout_height != 0 && timeout_height <= view.chain.height;
        let last_ms = number.number.saturating_add(NONCE_BEHIND_MS.get());
        let is_old = number.agent.is_some() && last_ms < view.chain.time_ms.get();
        if number.agent.is_none() && number.number < next {
            let refusal = engine::Refusal::SequenceReplayed { sequence: number.number, next };
            return self.with_winner(TxName { hash, number }, refusal.into()).await;
        }
        if is_late {
            let height = view.chain.height.saturating_add(1);
            return engine::Refusal::TimedOut { timeout_height, height }.into();
        }
        if is_old {
            let message =
                format!("nonce is {}, block time is {}", number.number, view.chain.time_ms);
            return Refusal::new(Code::NonceTooOld, message);
        }
        dropped.refusal()
    }

    fn not_found(&self, what: &str) -> Refusal {
        let held = self.market_data.held();
        let message = format!(
            "no transaction of {what} is in blocks {} to {}, which this node has",
            held.oldest, held.newest
        );
        self.standing.judge(Refusal::new(Code::UnknownTransaction, message))
    }

    /// The refusal of a number that another transaction used up, with that transaction and its
    /// block, if the node has it.
    pub(super) async fn with_winner(&self, tx: TxName, refusal: Refusal) -> Refusal {
        let message = match self.market_data.answer_of(tx.number).await {
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

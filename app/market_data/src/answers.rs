//! Answers to transactions: those of the last blocks from memory, older ones from the event log.

use std::sync::Arc;

use tidemark_event_log::format::{identity_digest, sequence_digest};
use tidemark_event_log::{EventLog, LogError};
use tidemark_proto::types::{TxHash, TxNumber};

use super::outcomes::CommittedTx;
use super::{logged, MarketData};

/// How many answers of one digest are looked at. Blocks hold at most a few of one identity, and
/// one of a sequence; two of the same digest by chance are rarer still.
const MAX_PLACES: usize = 16;

impl MarketData {
    /// The answer to a transaction, by its identity.
    pub async fn answer(&self, hash: &TxHash) -> Option<Arc<CommittedTx>> {
        if let Some(known) = self.outcomes.known(hash) {
            return Some(known);
        }
        let hash = *hash;
        let is_it = move |tx: &CommittedTx| tx.hash() == hash;
        self.logged_answer(identity_digest(&hash), is_it).await
    }

    /// The answer to the transaction that used a number up.
    pub async fn answer_of(&self, number: TxNumber) -> Option<Arc<CommittedTx>> {
        if let Some(known) = self.outcomes.known_by_number(&number) {
            return Some(known);
        }
        let is_it = move |tx: &CommittedTx| tx.number() == Some(number);
        // One digest for an owner's sequences and its agents' nonces.
        self.logged_answer(sequence_digest(&number.owner.0, number.number), is_it).await
    }

    async fn logged_answer(
        &self,
        digest: u64,
        is_it: impl Fn(&CommittedTx) -> bool + Send + 'static,
    ) -> Option<Arc<CommittedTx>> {
        let log = self.log.as_ref()?;
        let state = Arc::clone(&log.state);
        let found = log.of_answers.run(move || find(&state.log, digest, is_it)).await?;
        found.inspect_err(|error| tracing::error!("an answer cannot be read: {error}")).ok()?
    }
}

/// The newest answer that is meant and was not refused for a sequence that its own first
/// appearance had used up; else the oldest.
fn find(
    log: &EventLog,
    digest: u64,
    is_it: impl Fn(&CommittedTx) -> bool,
) -> Result<Option<Arc<CommittedTx>>, LogError> {
    let mut replayed = None;
    for place in log.find(digest, MAX_PLACES)? {
        let Some(body) = log.read(place.height)? else { continue };
        let block = logged::decode(&body.payload).ok_or(LogError::Broken(place.height))?;
        let position = usize::try_from(place.position).unwrap_or(usize::MAX);
        let Some(tx) = block.txs.get(position).filter(|tx| is_it(tx)) else { continue };
        if !tx.code().is_of_repeats() {
            return Ok(Some(Arc::clone(tx)));
        }
        replayed = Some(Arc::clone(tx));
    }
    Ok(replayed)
}

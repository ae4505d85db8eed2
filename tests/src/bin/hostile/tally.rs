//! Counts of what an attacker's process sent and heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tidemark_client::ClientError;
use tidemark_comet::rpc_client::{Broadcast, RpcError};
use tidemark_proto::{v1, Code};

/// Counts so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Transactions sent, streams and connections opened.
    pub sent: u64,
    /// Taken by a node.
    pub taken: u64,
    /// Refusals by the code's word: of transactions, of operations in blocks, of streams.
    pub refused: BTreeMap<String, u64>,
    /// Connections that a node closed.
    pub closed: u64,
    /// No answer in time, or none that has a code.
    pub unanswered: u64,
}

impl Counts {
    /// How many were refused by a code, whichever.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Counts that the tasks of a process share.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy.
    pub fn now(&self) -> Counts {
        self.counts().clone()
    }

    /// Something was sent or opened.
    pub fn sent(&self) {
        self.counts().sent += 1;
    }

    /// A node took it.
    pub fn taken(&self) {
        self.counts().taken += 1;
    }

    /// A node refused it.
    pub fn refused(&self, code: Code) {
        *self.counts().refused.entry(code.word().to_owned()).or_default() += 1;
    }

    /// A node closed a connection.
    pub fn closed(&self) {
        self.counts().closed += 1;
    }

    /// There was no answer with a code.
    pub fn unanswered(&self) {
        self.counts().unanswered += 1;
    }

    /// The answer to a submission; the code of a refusal.
    pub fn submitted(&self, answer: Result<v1::SubmitResponse, ClientError>) -> Option<Code> {
        match answer {
            Ok(answer) => {
                self.taken();
                for result in answer.results.iter().filter(|result| result.code != 0) {
                    self.refused(Code::from_number(result.code).unwrap_or(Code::InvalidArgument));
                }
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    /// A failure of a call; the code, if there is one.
    pub fn failed(&self, error: &ClientError) -> Option<Code> {
        let code = error.code();
        match code {
            Some(code) => self.refused(code),
            None => self.unanswered(),
        }
        code
    }

    /// The answer of CometBFT's mempool.
    pub fn broadcast(&self, answer: Result<Broadcast, RpcError>) {
        match answer {
            Ok(Broadcast { code: 0, .. }) | Err(RpcError::TxInCache) => self.taken(),
            Ok(Broadcast { code, .. }) => match Code::from_number(code) {
                Some(code) => self.refused(code),
                None => self.unanswered(),
            },
            Err(_) => self.unanswered(),
        }
    }
}

//! A node that replays, syncs or is cut off says so: with every answer it tells its newest block,
//! and it refuses nothing for a state that may be of the past.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use tidemark_consensus::publish::{Publisher, BEHIND};
use tidemark_proto::grpc::grpc_code;
use tidemark_proto::{Code, Refusal};
use tonic::Status;

use super::status::status;

/// Metadata key of the newest block's height as the answer began.
pub const HEIGHT_KEY: &str = "tidemark-height";

/// Metadata key of its time, in Unix ms.
pub const BLOCK_TIME_KEY: &str = "tidemark-block-time-ms";

/// Metadata key of its age by the node's clock, in ms; there only while the node is behind.
pub const BEHIND_KEY: &str = "tidemark-behind-ms";

/// Looks at the node's newest block.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    publisher: Arc<Publisher>,
}

/// A newest block that is too old.
#[derive(Clone, Copy, Debug)]
struct Behind {
    height: u64,
    age: Duration,
}

impl Standing {
    pub fn new(publisher: Arc<Publisher>) -> Self {
        Self { publisher }
    }

    fn behind(&self) -> Option<Behind> {
        let view = self.publisher.view();
        let age = age(view.chain.time_ms.get());
        (age > BEHIND).then_some(Behind { height: view.chain.height, age })
    }

    /// The refusal, unless the node is behind: then nothing is known against the request.
    pub fn judge(&self, refusal: Refusal) -> Refusal {
        let Some(Behind { height, age }) = self.behind() else { return refusal };
        let (word, age_s) = (refusal.code.word(), age.as_secs());
        let message = match height {
            0 => format!("this node has no block yet, so it cannot tell ({word})"),
            _ => format!(
                "this node's newest block, {height}, is {age_s} s old, so it cannot tell ({word}); \
                 nothing was sent"
            ),
        };
        Refusal::new(Code::NodeBehind, message)
    }

    /// As [`Standing::judge`], where the refusal may be for the request alone: that stands.
    pub fn judge_query(&self, refusal: Refusal) -> Refusal {
        use tonic::Code::{
            Aborted, AlreadyExists, FailedPrecondition, NotFound, OutOfRange, PermissionDenied,
        };
        let is_of_state = matches!(
            grpc_code(refusal.code),
            Aborted | AlreadyExists | FailedPrecondition | NotFound | OutOfRange | PermissionDenied
        );
        if is_of_state {
            self.judge(refusal)
        } else {
            refusal
        }
    }

    /// The status of a query's refusal.
    pub fn refuse(&self, refusal: impl Into<Refusal>) -> Status {
        status(&self.judge_query(refusal.into()))
    }

    /// Tells the newest block in the headers of an answer.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let view = self.publisher.view();
        let (height, time_ms) = (view.chain.height, view.chain.time_ms.get());
        headers.insert(HEIGHT_KEY, HeaderValue::from(height));
        headers.insert(BLOCK_TIME_KEY, HeaderValue::from(time_ms));
        let age = age(time_ms);
        if age > BEHIND {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            headers.insert(BEHIND_KEY, HeaderValue::from(age_ms));
        }
    }
}

/// How long ago a block time was, by this machine's clock; 0 for one ahead of it.
fn age(time_ms: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(time_ms))
}

//! Errors between a client and the chain, told apart by what the user must do.

use sha2::{Digest as _, Sha256};
use tidemark_proto::tx::timeout_height;
use tidemark_proto::{Code, Refusal};
use tonic::Status;

/// Errors of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The chain refused; nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing answers at the node's address; nothing was sent.
    #[error(
        "no node answers at {node} ({why}); start one with `tidemarkd devnet`, or name another \
         with --node"
    )]
    Unreachable {
        /// The address.
        node: String,
        /// The system's error.
        why: String,
    },
    /// It is not known whether the transaction is or will be in a block.
    #[error(
        "the outcome is not known ({why}): it may yet be in a block{}, so look at the account \
         before sending another",
        up_to(*.last_height)
    )]
    Unknown {
        /// The missing part of the answer.
        why: String,
        /// The last block that may carry it out; 0 if it has no timeout height.
        last_height: u64,
        /// The transaction's hash, if it is known.
        tx_hash: Option<String>,
        /// Its bytes, if they are known: sending them again is harmless, and the answer tells.
        tx: Vec<u8>,
    },
    /// The address is not one.
    #[error("{node:?} is not a node's address: {why}")]
    BadAddress {
        /// The address as it was given.
        node: String,
        /// The reason.
        why: String,
    },
    /// The node failed in a way that the chain has no code for.
    #[error("the node answered {code}: {message}")]
    Failed {
        /// gRPC's word for it.
        code: String,
        /// The node's sentence.
        message: String,
    },
}

/// Until when a transaction may be in a block.
fn up_to(last_height: u64) -> String {
    match last_height {
        0 => String::new(),
        height => format!(" up to block {height}, and in none after it"),
    }
}

/// The metadata key with the number of the chain's code.
const CODE_KEY: &str = "tidemark-code";

impl ClientError {
    /// The chain's code, where it refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// This error, with the transaction whose outcome is unknown.
    #[must_use]
    pub(super) fn about(self, sent: Vec<u8>) -> Self {
        match self {
            Self::Unknown { why, tx_hash, .. } => {
                let tx_hash = tx_hash.or_else(|| Some(hex::encode_upper(Sha256::digest(&sent))));
                Self::Unknown { why, last_height: timeout_height(&sent), tx_hash, tx: sent }
            }
            other => other,
        }
    }

    /// This error, about the transaction with this hash.
    #[must_use]
    pub fn named(self, hash: &str) -> Self {
        match self {
            Self::Unknown { why, last_height, tx, .. } => {
                Self::Unknown { why, last_height, tx_hash: Some(hash.to_owned()), tx }
            }
            other => other,
        }
    }

    /// The failure of a call that changes nothing.
    pub(super) fn of_query(node: &str, status: &Status) -> Self {
        if let Some(refusal) = refusal(status) {
            return Self::Refused(refusal);
        }
        let transport = std::error::Error::source(status).is_some();
        match status.code() {
            tonic::Code::Unavailable => unreachable_node(node, status),
            tonic::Code::Unknown | tonic::Code::Cancelled if transport => {
                unreachable_node(node, status)
            }
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Self::Unreachable {
                node: node.to_owned(),
                why: "it took too long to answer".into(),
            },
            _ => failed(status),
        }
    }

    /// The failure of a call that may have changed something.
    pub(super) fn of_submit(node: &str, status: &Status) -> Self {
        if let Some(refusal) = refusal(status) {
            return Self::Refused(refusal);
        }
        if never_sent(status) {
            return unreachable_node(node, status);
        }
        match status.code() {
            // Said by the server before it does anything.
            tonic::Code::InvalidArgument
            | tonic::Code::Unimplemented
            | tonic::Code::ResourceExhausted => failed(status),
            _ => Self::Unknown { why: why(status), last_height: 0, tx_hash: None, tx: Vec::new() },
        }
    }
}

/// The chain's refusal in a status: its number in the metadata, or else its word before the
/// sentence.
fn refusal(status: &Status) -> Option<Refusal> {
    let number =
        status.metadata().get(CODE_KEY).and_then(|value| value.to_str().ok()?.parse().ok());
    let (word, sentence) = status.message().split_once(": ").unwrap_or(("", status.message()));
    let by_word = || Code::ALL.iter().copied().find(|code| code.word() == word);
    let code = number.and_then(Code::from_number).or_else(by_word)?;
    let message = if word == code.word() { sentence } else { status.message() };
    Some(Refusal::new(code, message))
}

fn unreachable_node(node: &str, status: &Status) -> ClientError {
    ClientError::Unreachable { node: node.to_owned(), why: why(status) }
}

fn failed(status: &Status) -> ClientError {
    ClientError::Failed {
        code: format!("{:?}", status.code()),
        message: status.message().to_owned(),
    }
}

fn why(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => status.message().to_owned(),
    }
}

/// True if the connection was refused, so that no byte of the request left.
fn never_sent(status: &Status) -> bool {
    let mut error = std::error::Error::source(status);
    while let Some(cause) = error {
        let io = cause.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        error = cause.source();
    }
    false
}

/// The innermost error: transports wrap theirs in several that only say "transport error".
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    // "Connection refused (os error 111)": the number helps nobody.
    let text = innermost.to_string();
    let sentence = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: tonic::Code, message: &str, number: Option<u32>) -> Status {
        let mut status = Status::new(code, message);
        if let Some(number) = number {
            status.metadata_mut().insert(CODE_KEY, number.into());
        }
        status
    }

    #[test]
    fn a_refusal_is_read_from_the_number_or_else_the_word() {
        let invalid = tonic::Code::InvalidArgument;
        let expected = Some(Refusal::new(Code::BadSignature, "not yours"));
        assert_eq!(refusal(&status(invalid, "BAD_SIGNATURE: not yours", Some(4))), expected);
        assert_eq!(refusal(&status(invalid, "BAD_SIGNATURE: not yours", None)), expected);
        assert_eq!(refusal(&status(invalid, "not yours", Some(4))), expected);
        assert_eq!(refusal(&status(invalid, "bad request: not yours", None)), None);
        assert_eq!(refusal(&status(invalid, "not yours", Some(99_999))), None);
    }

    #[test]
    fn a_lost_answer_to_a_submission_is_unknown_and_to_a_query_unreachable() {
        for code in
            [tonic::Code::Unavailable, tonic::Code::DeadlineExceeded, tonic::Code::Cancelled]
        {
            let lost = status(code, "gone", None);
            assert!(
                matches!(ClientError::of_submit("n", &lost), ClientError::Unknown { .. }),
                "{code:?}"
            );
            assert!(
                matches!(ClientError::of_query("n", &lost), ClientError::Unreachable { .. }),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_connection_refused_is_known_not_to_have_been_sent() {
        let io = std::io::Error::new(
            std::io::ErrorKind::ConnectionRefused,
            "Connection refused (os error 111)",
        );
        let refused = Status::from_error(Box::new(io));
        let error = ClientError::of_submit("http://n", &refused);
        assert!(
            matches!(&error, ClientError::Unreachable { why, .. } if why == "connection refused"),
            "{error}"
        );
    }
}

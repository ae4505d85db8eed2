//! How a command ends.

use serde_json::{json, Value};
use tidemark_client::key_file::KeyError;
use tidemark_client::ClientError;
use tidemark_proto::{Code, Refusal};

/// Errors of a command; their exit codes are stable (docs/cli.md).
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// From the node, or on the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The command cannot be carried out as it was typed.
    #[error("{0}")]
    Usage(String),
    /// Of a batch whose operations stand alone, some were refused.
    #[error("{refused} of {of} operations refused, {} done", .of.saturating_sub(*.refused))]
    Partly {
        /// How many were refused.
        refused: usize,
        /// How many there were.
        of: usize,
    },
    /// Nothing answers at a price sidecar's address, or something else does.
    #[error(
        "no price sidecar at {address} ({why}); `tidemark-oracle start` starts one, and its \
         `listen` is the address"
    )]
    NoSidecar {
        /// The address.
        address: String,
        /// The system's error.
        why: String,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl CliError {
    /// The refusal of one operation.
    #[must_use]
    pub fn refused(code: u32, message: &str) -> Self {
        let known = Code::from_number(code);
        let message =
            if known.is_some() { message.to_owned() } else { format!("code {code}: {message}") };
        ClientError::Refused(Refusal::new(known.unwrap_or(Code::InvalidArgument), message)).into()
    }

    /// 1 refused by the chain, 2 usage, 3 node (or sidecar) not reachable, 4 outcome unknown.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Refused(refusal)) if refusal.code == Code::NodeBehind => 3,
            Self::Client(ClientError::Refused(_) | ClientError::Failed { .. })
            | Self::Partly { .. } => 1,
            Self::Client(ClientError::BadAddress { .. }) | Self::Usage(_) | Self::Key(_) => 2,
            Self::Client(ClientError::Unreachable { .. }) | Self::NoSidecar { .. } => 3,
            Self::Client(ClientError::Unknown { .. }) => 4,
        }
    }

    /// For programs: `{"error": {"exit_code", "code", "message", "tx_hash", "last_height"}}`;
    /// `code` is the chain's word, or null. `hint` ends the message.
    #[must_use]
    pub fn to_json(&self, hint: &str) -> Value {
        let (code, message) = match self {
            Self::Client(ClientError::Refused(refusal)) => {
                (Some(refusal.code.word()), refusal.message.clone())
            }
            other => (None, other.to_string()),
        };
        let (tx_hash, last_height) = match self {
            Self::Client(ClientError::Unknown { tx_hash, last_height, .. }) => {
                (tx_hash.clone(), Some(*last_height).filter(|height| *height > 0))
            }
            _ => (None, None),
        };
        json!({
            "error": {
                "exit_code": self.exit_code(),
                "code": code,
                "message": message + hint,
                "tx_hash": tx_hash,
                "last_height": last_height,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        let tx_hash = Some("AB".into());
        let why = "lost".into();
        let unknown = ClientError::Unknown { why, last_height: 7, tx_hash, tx: Vec::new() };
        let unreachable = ClientError::Unreachable { node: "n".into(), why: "refused".into() };
        for (error, exit_code) in [
            (CliError::refused(110, "free is 1"), 1),
            (CliError::refused(60_000, "new"), 1),
            (CliError::Usage("no".into()), 2),
            (CliError::refused(22, "its newest block is old"), 3),
            (CliError::from(unreachable), 3),
            (CliError::from(unknown), 4),
        ] {
            assert_eq!(error.exit_code(), exit_code, "{error}");
            assert_eq!(error.to_json("")["error"]["exit_code"], exit_code);
        }
        let partly = CliError::Partly { refused: 2, of: 5 };
        assert_eq!(
            (partly.exit_code(), partly.to_string().as_str()),
            (1, "2 of 5 operations refused, 3 done")
        );
        assert_eq!(
            CliError::refused(110, "free is 1").to_string(),
            "INSUFFICIENT_COLLATERAL: free is 1"
        );
    }
}

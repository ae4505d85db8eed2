//! A transaction's content, without its signature.

use super::address::Address;
use super::agent::AgentKey;
use super::message::Message;

/// The identity of a transaction (rules §10.1): SHA-256 of a `TxRaw`'s bytes; of what an agent
/// signed, SHA-256 of the signed bytes.
pub type TxHash = [u8; 32];

/// A transaction as the engine carries it out. Whoever hands it to the engine has verified its
/// signature.
#[derive(Clone, Debug)]
pub struct DecodedTx {
    /// Its identity.
    pub hash: TxHash,
    /// The owner who signed, or whose agent did.
    pub signer: Address,
    /// The agent that signed in the owner's place.
    pub agent: Option<AgentKey>,
    /// The signer's sequence; an agent's nonce, in milliseconds.
    pub sequence: u64,
    /// Last height at which the transaction may be in a block; 0 is any.
    pub timeout_height: u64,
    /// Gas that the transaction declares: at least the static gas of its message.
    pub gas_limit: u64,
    /// The transaction's one message.
    pub message: Message,
    /// Number of the transaction's bytes.
    pub size: usize,
}

impl DecodedTx {
    /// The number that it uses up.
    #[must_use]
    pub const fn number(&self) -> TxNumber {
        TxNumber { owner: self.signer, agent: self.agent, number: self.sequence }
    }
}

/// A number that one transaction at most uses up: a sequence of an owner, or a nonce of one of its
/// agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxNumber {
    /// The owner.
    pub owner: Address,
    /// The agent; `None` where the owner itself signed.
    pub agent: Option<AgentKey>,
    /// The sequence; an agent's nonce, in milliseconds.
    pub number: u64,
}

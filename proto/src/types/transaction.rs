//! A transaction's content, without its signature.

use super::address::Address;
use super::message::Message;

/// SHA-256 of a transaction's bytes.
pub type TxHash = [u8; 32];

/// A transaction as the engine carries it out. Whoever hands it to the engine has verified its
/// signature.
#[derive(Clone, Debug)]
pub struct DecodedTx {
    /// SHA-256 of the transaction's bytes.
    pub hash: TxHash,
    /// The owner who signed.
    pub signer: Address,
    /// The signer's sequence.
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

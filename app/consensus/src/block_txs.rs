//! The transactions of a block as its proposer lays them out: the validators' prices, the block's
//! own list, and those that stand by themselves (rules §10.7).

use prost::bytes::Bytes;
use tidemark_proto::tx::block;

use crate::queue::Chosen;
use crate::votes;

/// Bytes of a block that its own list takes beside its transactions, at most. What a transaction
/// takes in the list is no more than by itself.
pub const LIST_BYTES: u64 = block::MAX_WRAPPING_BYTES + FRAME_BYTES;

const FRAME_BYTES: u64 = 8;

/// The transactions of a block.
#[derive(Debug)]
pub struct BlockTxs {
    /// The bytes with the validators' prices; `None` in a block that has none.
    pub prices: Option<Bytes>,
    /// How many of `txs`, from the first on, are in the block's own list; `None` without a list.
    pub listed: Option<usize>,
    /// Senders' transactions: those of the list, then those that stand by themselves.
    pub txs: Vec<Bytes>,
}

impl BlockTxs {
    /// Reads the transactions of a block of this height. What is at a list's place and is none in
    /// its one form stands by itself, and is refused as a transaction.
    #[must_use]
    pub fn read(height: u64, all: &[Bytes]) -> Self {
        let (prices, rest) = match all.split_first() {
            Some((first, rest)) if votes::required(height) => (Some(first.clone()), rest),
            _ => (None, all),
        };
        let list = rest.first().and_then(block::unwrap_list);
        let listed = list.as_ref().map(Vec::len);
        let alone = rest.get(usize::from(list.is_some())..).unwrap_or_default();
        let txs = list.into_iter().flatten().chain(alone.iter().cloned()).collect();
        Self { prices, listed, txs }
    }
}

/// Lays out what a proposer has chosen: what is not plain in one list, if there is anything, and
/// then the plain ones.
pub(crate) fn lay_out(chosen: Vec<Chosen>) -> impl Iterator<Item = Bytes> {
    let (plain, listed): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|tx| tx.is_plain);
    let list = (!listed.is_empty()).then(|| block::wrap_list(listed.iter().map(|tx| &*tx.bytes)));
    list.map(Bytes::from).into_iter().chain(plain.into_iter().map(|tx| tx.bytes))
}

//! Room for the extended commit: the bounds that a validator set asks of blocks and of the socket.

use tendermint_proto::v0_38::types::ConsensusParams;
use tidemark_engine::admission;
use tidemark_proto::tx::block::MAX_WRAPPING_BYTES;

use super::MAX_EXTENSION_BYTES;
use crate::abci::server::MAX_FRAME_BYTES;
use crate::block_txs;

/// Most bytes of one vote in the injected transaction: an address of 20 bytes and a power of up to
/// 10, a flag, an extension, a signature of 64 bytes, and what protobuf adds to each.
pub const MAX_VOTE_BYTES: u64 = 35 + 2 + (MAX_EXTENSION_BYTES as u64 + 3) + 66 + 3;

/// Most bytes of the injected transaction beside its votes: its wrapping and a round.
const BESIDE_VOTES_BYTES: u64 = MAX_WRAPPING_BYTES + 11;

/// Most bytes of one vote in what CometBFT gives a proposer: a late vote's extension is as long as
/// a message between nodes may be (`MaxVoteExtensionSize` in its `types/vote.go`).
const MAX_LATE_VOTE_BYTES: u64 = (1 << 20) + 256;

/// The block size that CometBFT takes for `block.max_bytes = -1` (its `MaxBlockSizeBytes`).
const UNLIMITED_BLOCK_BYTES: u64 = 104_857_600;

/// Bytes of a block beside its transactions and evidence, after CometBFT's `MaxDataBytes`: frames,
/// header, commit.
const BESIDE_DATA_BYTES: u64 = 11 + 626 + 94;

/// Bytes of one signature in a block's commit.
const COMMIT_SIGNATURE_BYTES: u64 = 109 + 2;

/// Most bytes of the injected transaction in a block, with its protobuf frame.
#[must_use]
pub fn max_injected_bytes(validators: usize) -> u64 {
    let votes = (validators as u64).saturating_mul(MAX_VOTE_BYTES);
    admission::tx_bytes(0).saturating_add(BESIDE_VOTES_BYTES).saturating_add(votes)
}

/// Checks the length of an injected transaction before it is decoded: each vote of two bytes would
/// take a hundred in memory, and a block has room for two million of them.
///
/// # Errors
/// A sentence with the length and the bound.
pub fn check_bytes(bytes: usize, validators: usize) -> Result<(), String> {
    let most = max_injected_bytes(validators);
    if bytes as u64 <= most {
        return Ok(());
    }
    Err(format!(
        "the extended commit has {bytes} bytes, that of {validators} validators at most {most}"
    ))
}

/// Most bytes of a block.
#[must_use]
pub fn block_bytes(params: &ConsensusParams) -> u64 {
    match params.block.as_ref().map_or(0, |block| block.max_bytes) {
        -1 => UNLIMITED_BLOCK_BYTES,
        bytes => u64::try_from(bytes).unwrap_or(0),
    }
}

/// Checks that blocks of a chain with so many validators have room for the injected transaction and
/// a list of one transaction of `max_tx_bytes` behind it, and that the largest request of CometBFT
/// has room in a frame of the socket. To be asked at InitChain and before each change of the
/// validator set or of the block size.
///
/// # Errors
/// A sentence with the parameter to change, its value and the least or largest that would do.
pub fn check(
    params: &ConsensusParams,
    validators: usize,
    max_tx_bytes: usize,
) -> Result<(), String> {
    let block = params.block.as_ref().map_or(0, |block| block.max_bytes);
    let block_bytes = block_bytes(params);
    let evidence = params.evidence.as_ref().map_or(0, |evidence| evidence.max_bytes);
    let evidence_bytes = u64::try_from(evidence).unwrap_or(0);
    let injected_bytes = max_injected_bytes(validators);
    let commit_bytes = (validators as u64).saturating_mul(COMMIT_SIGNATURE_BYTES);
    let needed_bytes = [
        injected_bytes,
        block_txs::LIST_BYTES,
        admission::tx_bytes(max_tx_bytes),
        commit_bytes,
        BESIDE_DATA_BYTES,
        evidence_bytes,
    ]
    .into_iter()
    .fold(0, u64::saturating_add);
    if block_bytes < needed_bytes {
        return Err(format!(
            "consensus_params.block.max_bytes is {block}, must be at least {needed_bytes} with \
             {validators} validators: {injected_bytes} for their price reports, {max_tx_bytes} for \
             one transaction, {evidence_bytes} for evidence, the rest for header and commit"
        ));
    }
    let votes_bytes = (validators as u64).saturating_mul(MAX_LATE_VOTE_BYTES);
    let frame_bytes = block_bytes.saturating_add(votes_bytes);
    if frame_bytes > MAX_FRAME_BYTES as u64 {
        return Err(format!(
            "consensus_params.block.max_bytes is {block} and there are {validators} validators: \
             CometBFT may send {frame_bytes} bytes at once, the application reads at most \
             {MAX_FRAME_BYTES}"
        ));
    }
    Ok(())
}

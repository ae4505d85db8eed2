//! Room for the results of a full block in the reply to FinalizeBlock (rules §10.6).

use tendermint_proto::v0_38::types::ConsensusParams;
use tidemark_proto::types::MAX_RESULT_BYTES_PER_GAS;

use super::server::MAX_REPLY_BYTES;
use crate::votes::room::block_bytes;

/// Bytes of the reply beside the results of senders' transactions: app hash, the empty result of
/// the validators' prices, the frames of a list's rows. A row takes less than a result by itself.
const BESIDE_RESULTS_BYTES: u64 = 1_024;

/// Checks that the largest replies of a chain have room in a frame of the socket: the results of a
/// block full of gas, and a proposal full of bytes. To be asked at InitChain and before each change
/// of block gas or block size. CometBFT ends when a reply does not come, and asks for the same
/// block at every start: a chain whose reply has no room would stand for ever.
///
/// # Errors
/// A sentence with the values, and the largest block gas that would do.
pub(super) fn check(params: &ConsensusParams, max_block_gas: u64) -> Result<(), String> {
    let block_bytes = block_bytes(params);
    let results_bytes = max_block_gas.saturating_mul(MAX_RESULT_BYTES_PER_GAS);
    let reply_bytes = [results_bytes, block_bytes, BESIDE_RESULTS_BYTES];
    let reply_bytes = reply_bytes.into_iter().fold(0, u64::saturating_add);
    let most_bytes = MAX_REPLY_BYTES as u64;
    if reply_bytes <= most_bytes {
        return Ok(());
    }
    let left_bytes = most_bytes.saturating_sub(BESIDE_RESULTS_BYTES).saturating_sub(block_bytes);
    Err(format!(
        "max_block_gas is {max_block_gas} and consensus_params.block.max_bytes {block_bytes}: the \
         reply to a full block may have {reply_bytes} bytes, CometBFT reads at most {most_bytes}. \
         With such blocks max_block_gas must be at most {}",
        left_bytes / MAX_RESULT_BYTES_PER_GAS
    ))
}

#[cfg(test)]
mod tests {
    use tendermint_proto::v0_38::types::BlockParams;

    use super::*;

    #[test]
    fn rules_10_block_gas_with_which_a_full_reply_has_no_room_is_refused() {
        let params = |max_bytes| ConsensusParams {
            block: Some(BlockParams { max_bytes, max_gas: -1 }),
            ..Default::default()
        };
        let usual = params(4 << 20);
        assert_eq!(check(&usual, 100_000_000), Ok(()));
        let most = (MAX_REPLY_BYTES as u64 - 1_024 - (4 << 20)) / 2;
        assert_eq!(check(&usual, most), Ok(()));
        let refusal = check(&usual, most + 1).unwrap_err();
        assert!(refusal.starts_with(&format!("max_block_gas is {}", most + 1)), "{refusal}");
        assert!(refusal.ends_with(&format!("must be at most {most}")), "{refusal}");
        assert!(check(&params(-1), most).is_err(), "CometBFT's largest block leaves less");
        assert!(check(&usual, u64::MAX).is_err());
    }
}

//! Signatures over vote extensions, verified together (ADR 19).

use ed25519_consensus::batch::{self, Item};
use ed25519_consensus::VerificationKeyBytes;
use prost::Message as _;
use rand_core::OsRng;
use tendermint_proto::v0_38::abci::ExtendedVoteInfo;
use tendermint_proto::v0_38::types::CanonicalVoteExtension;
use tidemark_engine::state::Validator;

use super::MAX_EXTENSION_BYTES;

/// The commit that extensions are signed for, and who may have signed.
pub(super) struct Signed<'a> {
    pub(super) validators: &'a [Validator],
    pub(super) chain_id: &'a str,
    pub(super) height: i64,
    pub(super) round: i32,
}

impl Signed<'_> {
    /// The signature over a vote's extension, with the bytes that it signs and its validator's key.
    pub(super) fn of(&self, vote: &ExtendedVoteInfo) -> Result<Item, String> {
        if vote.vote_extension.len() > MAX_EXTENSION_BYTES {
            return Err(format!(
                "has an extension of {} bytes, at most {MAX_EXTENSION_BYTES}",
                vote.vote_extension.len()
            ));
        }
        let address = vote.validator.as_ref().map_or(&[][..], |validator| &validator.address[..]);
        let validator = self
            .validators
            .iter()
            .find(|validator| validator.address == address)
            .ok_or("is of no validator of this chain")?;
        let signed = CanonicalVoteExtension {
            extension: vote.vote_extension.to_vec(),
            height: self.height,
            round: i64::from(self.round),
            chain_id: self.chain_id.to_owned(),
        }
        .encode_length_delimited_to_vec();
        let signature = ed25519_consensus::Signature::try_from(&vote.extension_signature[..])
            .map_err(|_| "has no signature over its extension")?;
        Ok(Item::from((VerificationKeyBytes::from(validator.public_key), signature, &signed)))
    }
}

/// True if all signatures are right. Verifies them together, which takes less than half the time. A
/// wrong one passes with a chance of 2⁻¹²⁸; the coefficients are drawn for each call, so nobody can
/// aim at them.
pub(super) fn all_right(signatures: &[(usize, Item)]) -> bool {
    let mut together = batch::Verifier::new();
    signatures.iter().for_each(|(_, item)| together.queue(item.clone()));
    together.verify(OsRng).is_ok()
}

/// The number of the first vote whose signature is not its validator's.
pub(super) fn first_wrong(signatures: &[(usize, Item)]) -> Option<usize> {
    if all_right(signatures) {
        return None;
    }
    // One by one, to name the offender.
    wrong(signatures).next()
}

/// The numbers of all votes whose signature is not its validator's.
pub(super) fn wrong(signatures: &[(usize, Item)]) -> impl Iterator<Item = usize> + '_ {
    let one_by_one = signatures.iter().filter(|(_, item)| item.clone().verify_single().is_err());
    one_by_one.map(|(index, _)| *index)
}

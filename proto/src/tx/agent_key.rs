//! Public keys of agents and what they sign.

use ed25519_consensus::VerificationKey;
use secp256k1::{ecdsa, PublicKey};
use sha2::{Digest, Sha256};

use super::message::invalid;
use crate::codes::{Code, Refusal};
use crate::types::AgentKey;

/// A signature that is right, for any content, under exactly the ed25519 keys of small order: the
/// neutral point, and zero.
const OF_WEAK_KEYS: [u8; 64] = {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature
};

/// Reads a key that an owner authorises.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no point of its curve, and for an ed25519 key under which anybody
/// can sign.
pub(super) fn checked_key(bytes: &[u8]) -> Result<AgentKey, Refusal> {
    let key = AgentKey::from_bytes(bytes)?;
    let of_curve = match &key {
        AgentKey::Ed25519(bytes) => VerificationKey::try_from(*bytes).is_ok(),
        AgentKey::Secp256k1(bytes) => PublicKey::from_slice(bytes).is_ok(),
    };
    if !of_curve {
        return Err(invalid(format!("agent_key {key} is not a point of its curve")));
    }
    let is_ed25519 = matches!(key, AgentKey::Ed25519(_));
    if is_ed25519 && verify(&key, b"", &OF_WEAK_KEYS).is_ok() {
        return Err(invalid(format!("agent_key {key} is of small order: anybody can sign for it")));
    }
    Ok(key)
}

/// Checks a signature: ed25519 by ZIP 215, secp256k1 over SHA-256 with the lower of the two `s`.
///
/// # Errors
/// `BAD_SIGNATURE`.
pub(super) fn verify(key: &AgentKey, signed: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
    let is_right = match key {
        AgentKey::Ed25519(bytes) => {
            let signature = ed25519_consensus::Signature::from(*signature);
            VerificationKey::try_from(*bytes)
                .is_ok_and(|key| key.verify(&signature, signed).is_ok())
        }
        AgentKey::Secp256k1(bytes) => {
            let digest = secp256k1::Message::from_digest(Sha256::digest(signed).into());
            // Refuses the second form of a signature, with `n - s` in place of `s`.
            ecdsa::Signature::from_compact(signature)
                .and_then(|signature| {
                    ecdsa::verify(&signature, digest, &PublicKey::from_slice(bytes)?)
                })
                .is_ok()
        }
    };
    if is_right {
        return Ok(());
    }
    let message = format!("not agent {key}'s signature for this chain and content");
    Err(Refusal::new(Code::BadSignature, message))
}

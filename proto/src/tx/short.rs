//! The short form of a transaction: a batch of orders, or a keeper's message, that an agent signs
//! (rules §10.12).
//!
//! It travels as the one message of a `TxRaw` without auth info and signature, so that all of
//! `block.txs` decodes alike.

use cosmrs::Any;
use prost::Message as _;
use sha2::{Digest, Sha256};

use super::agent_key;
use super::block;
use super::decode::check_gas;
use super::message::{batch, register_backstop, takeover};
use crate::codes::{Code, Refusal};
use crate::types::{Address, AgentKey, DecodedTx, Message, SigningDomain, TxHash};
use crate::v1;
use crate::v1::agent_orders::Keeper;

/// Type URL of the short form.
pub const SIGNED: &str = "/tidemark.v1.MsgSigned";

/// The beginning of whatever an agent signs: no other bytes that a key signs begin so.
pub const PURPOSE: &str = "tidemark.v1.AgentOrders";

/// An agent's signature that is still to be verified.
#[derive(Clone, Debug)]
pub(super) struct AgentProof {
    key: AgentKey,
    signature: [u8; 64],
    signed: Vec<u8>,
}

impl AgentProof {
    /// Checks the signature.
    pub fn verify(&self) -> Result<(), Refusal> {
        agent_key::verify(&self.key, &self.signed, &self.signature)
    }
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::TxMalformed, message)
}

/// The bytes that an agent signs.
fn signed_bytes(domain: &SigningDomain, content: &[u8]) -> Vec<u8> {
    let mut signed = domain.prefix(PURPOSE);
    signed.extend(content);
    signed
}

/// The request of a content.
fn content(orders: v1::AgentOrders) -> Result<Message, Refusal> {
    let (subaccount, terms) = (orders.subaccount, (orders.mode, orders.pays_flat_fee));
    let Some(keeper) = orders.keeper else {
        return batch(subaccount, orders.operations, terms);
    };
    if !orders.operations.is_empty() || terms != (0, false) {
        return Err(Refusal::new(
            Code::InvalidArgument,
            "a keeper's message stands alone: operations, mode and pays_flat_fee must be absent",
        ));
    }
    match keeper {
        Keeper::SetAside(message) => register_backstop(message.of_owner(subaccount)),
        Keeper::TakeListed(message) => takeover(message.of_owner(subaccount)),
    }
}

/// Reads the short form from the message of a `TxRaw` with these bytes.
pub(super) fn decode(
    any: &Any,
    bytes: &[u8],
    domain: &SigningDomain,
) -> Result<(DecodedTx, AgentProof), Refusal> {
    if block::wrap(SIGNED, &any.value) != bytes {
        return Err(malformed(format!(
            "around {SIGNED} a transaction has empty auth info, no signature and nothing else"
        )));
    }
    let form = |what: &str| {
        malformed(format!("{what} is not in its one form: known fields, in order, none empty"))
    };
    let message = v1::MsgSigned::decode(any.value.as_slice())
        .map_err(|error| malformed(format!("{SIGNED} does not decode: {error}")))?;
    if message.encode_to_vec() != any.value {
        return Err(form(SIGNED));
    }
    let orders = v1::AgentOrders::decode(message.content.as_slice())
        .map_err(|error| malformed(format!("content: {error}")))?;
    if orders.encode_to_vec() != message.content {
        return Err(form("content"));
    }
    let signature = <[u8; 64]>::try_from(message.signature.as_slice()).map_err(|_| {
        let length = message.signature.len();
        Refusal::new(Code::TxUnsigned, format!("signature of {length} bytes, must be 64"))
    })?;
    let owner = <[u8; 20]>::try_from(orders.owner.as_slice())
        .map_err(|_| malformed(format!("owner of {} bytes, must be 20", orders.owner.len())))?;
    let key = AgentKey::from_bytes(&orders.agent_key)?;
    let (sequence, gas_limit, timeout_height) =
        (orders.nonce_ms, orders.gas_limit, orders.timeout_height);
    let content = content(orders)?;
    check_gas(gas_limit, &content)?;
    let signed = signed_bytes(domain, &message.content);
    let tx = DecodedTx {
        hash: Sha256::digest(&signed).into(),
        signer: Address(owner),
        agent: Some(key),
        sequence,
        timeout_height,
        gas_limit,
        message: content,
        size: bytes.len(),
    };
    Ok((tx, AgentProof { key, signature, signed }))
}

/// A transaction in the short form, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOrders {
    /// The bytes that a node takes: a `TxRaw`.
    pub bytes: Vec<u8>,
    /// The transaction's identity, by which nodes name it.
    pub identity: TxHash,
}

enum Secret {
    Ed25519(Box<ed25519_consensus::SigningKey>),
    Secp256k1(secp256k1::SecretKey),
}

/// An agent's key that signs for one chain.
pub struct AgentSigner {
    secret: Secret,
    domain: SigningDomain,
}

impl AgentSigner {
    /// An ed25519 key of a secret of 32 bytes.
    #[must_use]
    pub fn ed25519(secret: [u8; 32], domain: SigningDomain) -> Self {
        let secret = Secret::Ed25519(Box::new(secret.into()));
        Self { secret, domain }
    }

    /// A secp256k1 key of a secret of 32 bytes.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it is not a secret key of the curve.
    pub fn secp256k1(secret: [u8; 32], domain: SigningDomain) -> Result<Self, Refusal> {
        let key = secp256k1::SecretKey::from_secret_bytes(secret).map_err(|_| {
            Refusal::new(Code::InvalidArgument, "not a secp256k1 secret key of 32 bytes")
        })?;
        Ok(Self { secret: Secret::Secp256k1(key), domain })
    }

    /// The public key, which an owner authorises.
    #[must_use]
    pub fn key(&self) -> AgentKey {
        match &self.secret {
            Secret::Ed25519(secret) => AgentKey::Ed25519(secret.verification_key().to_bytes()),
            Secret::Secp256k1(secret) => AgentKey::Secp256k1(secret.public_key().serialize()),
        }
    }

    /// The chain that it signs for.
    #[must_use]
    pub fn domain(&self) -> &SigningDomain {
        &self.domain
    }

    /// Signs a content for an owner, whose address and agent key are filled in.
    #[must_use]
    pub fn sign(&self, owner: &Address, orders: v1::AgentOrders) -> SignedOrders {
        let (owner, agent_key) = (owner.0.to_vec(), self.key().as_bytes().to_vec());
        let content = v1::AgentOrders { owner, agent_key, ..orders }.encode_to_vec();
        let signed = signed_bytes(&self.domain, &content);
        let signature = self.sign_bytes(&signed).to_vec();
        let message = v1::MsgSigned { content, signature };
        SignedOrders {
            bytes: block::wrap(SIGNED, message.encode_to_vec()),
            identity: Sha256::digest(&signed).into(),
        }
    }

    fn sign_bytes(&self, signed: &[u8]) -> [u8; 64] {
        match &self.secret {
            Secret::Ed25519(secret) => secret.sign(signed).to_bytes(),
            Secret::Secp256k1(secret) => {
                let digest = secp256k1::Message::from_digest(Sha256::digest(signed).into());
                secp256k1::ecdsa::sign(digest, secret).serialize_compact()
            }
        }
    }
}

/// Gas that clients declare for a content where nobody says how much
/// ([`Message::usual_gas`](crate::types::Message::usual_gas)); for one that is refused as it is,
/// the most of 32 bits.
#[must_use]
pub fn usual_gas(orders: &v1::AgentOrders) -> u64 {
    content(orders.clone()).map_or(u64::from(u32::MAX), |content| content.usual_gas())
}

//! The stateless check of a transaction: size, form, signature.

use cosmrs::proto::cosmos::crypto::secp256k1::PubKey;
use cosmrs::proto::cosmos::tx::v1beta1 as wire;
use cosmrs::proto::cosmos::tx::v1beta1::mode_info::{Single, Sum};
use prost::Message as _;
use ripemd::Ripemd160;
use secp256k1::{ecdsa, PublicKey};
use sha2::{Digest, Sha256};

use super::block::is_of_proposers;
use super::bundle::BUNDLE;
use super::message::{chain_tag, from_any};
use super::short::{self, AgentProof, SIGNED};
use crate::codes::{Code, Refusal};
use crate::types::{Address, DecodedTx, Message, SigningDomain, TxHash};

/// Longest memo.
pub const MAX_MEMO_BYTES: usize = 256;

const SIGN_MODE_DIRECT: i32 = 1;
const SECP256K1_TYPE_URL: &str = "/cosmos.crypto.secp256k1.PubKey";

/// A transaction whose form is right; its signature is checked by [`SignedTx::verify`].
#[derive(Clone, Debug)]
pub struct SignedTx {
    /// The transaction's content: the part that the engine reads.
    pub tx: DecodedTx,
    /// SHA-256 of all its bytes, the signature's among them.
    pub bytes_hash: TxHash,
    proof: Proof,
}

/// A signature that is still to be verified, with what it is to be verified by.
#[derive(Clone, Debug)]
enum Proof {
    Owner(Box<OwnerProof>),
    Agent(AgentProof),
}

/// An owner's signature of a `SignDoc`.
#[derive(Clone, Debug)]
struct OwnerProof {
    chain_tag: u32,
    public_key: CompressedKey,
    signature: [u8; 64],
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
}

/// A public key as it is on the wire: one coordinate of the point, and the other one's parity.
/// Computing the point costs a tenth of a verification, and belongs to it.
type CompressedKey = [u8; 33];

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::TxMalformed, message)
}

/// Reads a transaction of a chain.
///
/// # Errors
/// `TX_TOO_LARGE`, `TX_MALFORMED`, `NOT_AUTHORISED` for a proposer's or a node's message,
/// `TX_UNSIGNED`, `UNKNOWN_MESSAGE`, `OPERATION_COUNT`, `WRONG_SIGNER`, `OUT_OF_GAS`, or the
/// refusal of the field that is wrong.
pub fn decode(bytes: &[u8], max_bytes: usize, domain: &SigningDomain) -> Result<SignedTx, Refusal> {
    if bytes.len() > max_bytes {
        return Err(Refusal::new(
            Code::TxTooLarge,
            format!("{} bytes, at most {max_bytes}", bytes.len()),
        ));
    }
    let raw = wire::TxRaw::decode(bytes).map_err(|e| malformed(format!("not a TxRaw: {e}")))?;
    let body = wire::TxBody::decode(raw.body_bytes.as_slice())
        .map_err(|e| malformed(format!("body: {e}")))?;
    let auth = wire::AuthInfo::decode(raw.auth_info_bytes.as_slice())
        .map_err(|e| malformed(format!("auth info: {e}")))?;
    check_form(bytes, &raw, &body, &auth)?;
    check_body(&body)?;
    let [any] = body.messages.as_slice() else {
        return Err(malformed(format!("{} messages, must be 1", body.messages.len())));
    };
    check_sendable(&any.type_url)?;
    if any.type_url == SIGNED {
        let (tx, proof) = short::decode(any, bytes, domain)?;
        let bytes_hash = Sha256::digest(bytes).into();
        return Ok(SignedTx { tx, bytes_hash, proof: Proof::Agent(proof) });
    }
    let (public_key, sequence) = signer(&auth)?;
    let signature = signature(&raw.signatures)?;
    let envelope = from_any(any)?;
    let signer = address_of(&public_key);
    if Address::parse(&envelope.sender)? != signer {
        return Err(Refusal::new(
            Code::WrongSigner,
            format!("sender is {}, signed by {signer}", envelope.sender),
        ));
    }
    let gas_limit = auth.fee.map_or(0, |fee| fee.gas_limit);
    check_gas(gas_limit, &envelope.message)?;
    let hash = Sha256::digest(bytes).into();
    let tx = DecodedTx {
        hash,
        signer,
        agent: None,
        sequence,
        timeout_height: body.timeout_height,
        gas_limit,
        message: envelope.message,
        size: bytes.len(),
    };
    let proof = Proof::Owner(Box::new(OwnerProof {
        chain_tag: envelope.chain_tag,
        public_key,
        signature,
        body_bytes: raw.body_bytes,
        auth_info_bytes: raw.auth_info_bytes,
    }));
    Ok(SignedTx { tx, bytes_hash: hash, proof })
}

/// Refuses the messages that proposers and nodes write.
fn check_sendable(type_url: &str) -> Result<(), Refusal> {
    let why = if is_of_proposers(type_url) {
        format!("only a proposer writes {type_url} into its block")
    } else if type_url == BUNDLE {
        format!("{BUNDLE} is how nodes carry transactions; it is in no block")
    } else {
        return Ok(());
    };
    Err(Refusal::new(Code::NotAuthorised, why))
}

/// Refuses a message whose static gas is not declared.
pub(super) fn check_gas(gas_limit: u64, message: &Message) -> Result<(), Refusal> {
    let gas = message.static_gas();
    if gas_limit < gas {
        let message = format!("gas limit {gas_limit}, needs at least {gas}");
        return Err(Refusal::new(Code::OutOfGas, message));
    }
    Ok(())
}

/// Checks that a transaction is in its one form, which its re-encoding gives: else whoever carries
/// it could give it other bytes, and another hash, under the same signature.
fn check_form(
    bytes: &[u8],
    raw: &wire::TxRaw,
    body: &wire::TxBody,
    auth: &wire::AuthInfo,
) -> Result<(), Refusal> {
    let part = if raw.encode_to_vec() != bytes {
        "the transaction"
    } else if body.encode_to_vec() != raw.body_bytes {
        "body"
    } else if auth.encode_to_vec() != raw.auth_info_bytes {
        "auth info"
    } else {
        return Ok(());
    };
    Err(malformed(format!("{part} is not in its one form: known fields, in order, none empty")))
}

fn check_body(body: &wire::TxBody) -> Result<(), Refusal> {
    if body.memo.len() > MAX_MEMO_BYTES {
        return Err(malformed(format!(
            "memo of {} bytes, at most {MAX_MEMO_BYTES}",
            body.memo.len()
        )));
    }
    if !body.extension_options.is_empty() || !body.non_critical_extension_options.is_empty() {
        return Err(malformed("extension options are not supported"));
    }
    Ok(())
}

fn signer(auth: &wire::AuthInfo) -> Result<(CompressedKey, u64), Refusal> {
    let unsigned = |why: String| Refusal::new(Code::TxUnsigned, why);
    let [info] = auth.signer_infos.as_slice() else {
        return Err(unsigned(format!("{} signers, must be 1", auth.signer_infos.len())));
    };
    let mode = info.mode_info.as_ref().and_then(|mode| mode.sum.as_ref());
    if !matches!(mode, Some(Sum::Single(Single { mode: SIGN_MODE_DIRECT }))) {
        return Err(unsigned("the sign mode must be SIGN_MODE_DIRECT".into()));
    }
    let any =
        info.public_key.as_ref().ok_or_else(|| unsigned("the signer has no public key".into()))?;
    if any.type_url != SECP256K1_TYPE_URL {
        let shown: String = any.type_url.chars().take(80).collect();
        return Err(unsigned(format!("public key type {shown:?}, must be {SECP256K1_TYPE_URL:?}")));
    }
    let key = PubKey::decode(any.value.as_slice())
        .map_err(|error| unsigned(format!("the public key: {error}")))?
        .key;
    let length = key.len();
    let key = key.try_into().map_err(|_| {
        unsigned(format!("public key of {length} bytes, must be a compressed point of 33"))
    })?;
    Ok((key, info.sequence))
}

fn signature(signatures: &[Vec<u8>]) -> Result<[u8; 64], Refusal> {
    let [signature] = signatures else {
        return Err(Refusal::new(
            Code::TxUnsigned,
            format!("{} signatures, must be 1", signatures.len()),
        ));
    };
    signature.as_slice().try_into().map_err(|_| {
        Refusal::new(
            Code::TxUnsigned,
            format!("signature of {} bytes, must be 64", signature.len()),
        )
    })
}

/// The address of a public key: RIPEMD-160 of its SHA-256, as everywhere in Cosmos.
pub(super) fn address_of(key: &CompressedKey) -> Address {
    Address(Ripemd160::digest(Sha256::digest(key)).into())
}

/// The bytes that are signed: a `SignDoc` with the chain's one account number, so that a signature
/// can be checked without state.
pub(super) fn sign_bytes(
    body_bytes: &[u8],
    auth_info_bytes: &[u8],
    domain: &SigningDomain,
) -> Vec<u8> {
    wire::SignDoc {
        body_bytes: body_bytes.to_vec(),
        auth_info_bytes: auth_info_bytes.to_vec(),
        chain_id: domain.chain_id().to_owned(),
        account_number: domain.account_number(),
    }
    .encode_to_vec()
}

impl SignedTx {
    /// Checks that the signer, or its agent, signed the transaction for the chain.
    ///
    /// # Errors
    /// `WRONG_CHAIN` if the message names another chain, `TX_UNSIGNED` if the public key is not a
    /// point of the curve, else `BAD_SIGNATURE`.
    pub fn verify(&self, domain: &SigningDomain) -> Result<(), Refusal> {
        match &self.proof {
            Proof::Owner(proof) => proof.verify(&self.tx, domain),
            Proof::Agent(proof) => proof.verify(),
        }
    }
}

impl OwnerProof {
    fn verify(&self, tx: &DecodedTx, domain: &SigningDomain) -> Result<(), Refusal> {
        let chain_id = domain.chain_id();
        let tag = chain_tag(chain_id);
        if self.chain_tag != 0 && self.chain_tag != tag {
            return Err(Refusal::new(
                Code::WrongChain,
                format!("chain tag {:08x}, this is {chain_id} ({tag:08x})", self.chain_tag),
            ));
        }
        let bytes = sign_bytes(&self.body_bytes, &self.auth_info_bytes, domain);
        let key = PublicKey::from_slice(&self.public_key).map_err(|_| {
            Refusal::new(Code::TxUnsigned, "the public key is not a point of secp256k1")
        })?;
        let digest = secp256k1::Message::from_digest(Sha256::digest(&bytes).into());
        // Refuses the second form of a signature, with `n - s` in place of `s`.
        let verified = ecdsa::Signature::from_compact(&self.signature)
            .and_then(|signature| ecdsa::verify(&signature, digest, &key));
        verified.map_err(|_| {
            let (signer, number) = (tx.signer, domain.account_number());
            let message = format!(
                "not {signer}'s signature for chain {chain_id}, account number {number}, sequence \
                 {}",
                tx.sequence
            );
            Refusal::new(Code::BadSignature, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::signature::Verifier as _;
    use k256::ecdsa::{Signature, VerifyingKey};
    use proptest::prelude::*;

    use super::*;
    use crate::tx::{Signer, TxOptions};
    use crate::v1;

    fn here() -> SigningDomain {
        SigningDomain::without_genesis("chain-1")
    }

    fn proof(tx: &mut SignedTx) -> &mut OwnerProof {
        match &mut tx.proof {
            Proof::Owner(proof) => proof,
            Proof::Agent(_) => panic!("an owner signed"),
        }
    }

    /// Returns true if another library accepts the signature too.
    fn verified_by_k256(tx: &mut SignedTx) -> bool {
        let OwnerProof { public_key, signature, body_bytes, auth_info_bytes, .. } = proof(tx);
        let bytes = sign_bytes(body_bytes, auth_info_bytes, &here());
        let key = VerifyingKey::from_sec1_bytes(public_key);
        key.and_then(|key| key.verify(&bytes, &Signature::from_slice(signature)?)).is_ok()
    }

    /// The second form of the signature, with `n - s` in place of `s`.
    fn high_s(signature: &[u8; 64]) -> [u8; 64] {
        let signature = Signature::from_slice(signature).unwrap();
        let (r, s) = signature.split_scalars();
        let twin = Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap();
        twin.to_bytes().into()
    }

    fn signed(secret: [u8; 32], sequence: u64) -> Option<SignedTx> {
        let signer = Signer::from_secret(&secret, here().chain_id()).ok()?;
        let message = v1::MsgDeposit { amount_atoms: 1, ..Default::default() };
        let message = v1::MsgDeposit { recipient: signer.address().to_string(), ..message };
        let bytes = signer.sign(message, TxOptions { sequence, ..TxOptions::default() }).unwrap();
        Some(decode(&bytes, 1 << 16, &here()).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn two_libraries_agree_about_signatures(
            secret: [u8; 32],
            sequence: u64,
            flips in proptest::collection::vec((0..97_usize, any::<u8>()), 0..3),
            fill in proptest::option::of((0..2_usize, prop_oneof![Just(0), Just(0xff)])),
        ) {
            let Some(mut tx) = signed(secret, sequence) else { return Ok(()) };
            prop_assert_eq!(tx.verify(&here()), Ok(()));
            prop_assert!(verified_by_k256(&mut tx));
            let right = proof(&mut tx).signature;
            proof(&mut tx).signature = high_s(&right);
            prop_assert_eq!(tx.verify(&here()).unwrap_err().code, Code::BadSignature);
            prop_assert!(!verified_by_k256(&mut tx));
            proof(&mut tx).signature = right;
            for (at, bits) in flips {
                match at.checked_sub(64) {
                    None => proof(&mut tx).signature[at] ^= bits,
                    Some(at) => proof(&mut tx).public_key[at] ^= bits,
                }
            }
            if let Some((half, byte)) = fill {
                proof(&mut tx).signature[32 * half..][..32].fill(byte);
            }
            prop_assert_eq!(tx.verify(&here()).is_ok(), verified_by_k256(&mut tx));
        }
    }
}

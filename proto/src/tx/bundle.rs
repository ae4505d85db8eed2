//! Bundles: transactions that a validator's node carries to the others together (rules §10.14).
//! The unit of gossip, never of a block.
//!
//! A bundle is the one message of a `TxRaw` like those that proposers write, so that CometBFT's
//! tools decode it. Its node signs a prefix of the chain and the message's bytes before the
//! signature.

use ed25519_consensus::{Signature, SigningKey, VerificationKey};
use prost::bytes::Bytes;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::block::{self, MIN_LISTED_BYTES};
use super::fields::{begin_field, field, framed_bytes, FIRST};
use crate::codes::{Code, Refusal};
use crate::types::SigningDomain;

/// Type URL of a bundle.
pub const BUNDLE: &str = "/tidemark.v1.Bundle";

/// The beginning of what a node signs for a bundle.
pub const BUNDLE_PURPOSE: &str = "tidemark.v1.Bundle";

/// Most bytes of a bundle beside its transactions with their frames: the frames of body, message
/// and value, the type URL, maker, counter, height, signature.
pub const MAX_BUNDLE_FRAME_BYTES: usize = 6 + 6 + 2 + BUNDLE.len() + 6 + 22 + 11 + 11 + 66;

const COUNTER: u8 = 0x10;
const HEIGHT: u8 = 0x18;
const TX: u8 = 0x22;
const SIGNATURE: u8 = 0x2a;

/// A bundle's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleHead {
    /// The address of the validator whose node made it.
    pub maker: [u8; 20],
    /// Each once, of a maker; at least 1.
    pub counter: u64,
    /// The height of the maker's last block; at least 1.
    pub made_at_height: u64,
}

/// A bundle in its one form; its signature is still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its own fields.
    pub head: BundleHead,
    /// Its transactions, in place.
    pub txs: Vec<Bytes>,
    content: Bytes,
    signature: [u8; 64],
}

/// Bytes that a transaction of so many takes in a bundle.
#[must_use]
pub fn bundled_bytes(tx_bytes: usize) -> usize {
    framed_bytes(tx_bytes)
}

/// Makes a bundle of transactions.
#[must_use]
pub fn make_bundle<'a>(
    head: &BundleHead,
    txs: impl Iterator<Item = &'a [u8]>,
    (secret, domain): (&SigningKey, &SigningDomain),
) -> Vec<u8> {
    let mut content = Vec::new();
    begin_field(&mut content, FIRST, head.maker.len());
    content.extend_from_slice(&head.maker);
    content.push(COUNTER);
    encode_varint(head.counter, &mut content);
    content.push(HEIGHT);
    encode_varint(head.made_at_height, &mut content);
    for tx in txs {
        begin_field(&mut content, TX, tx.len());
        content.extend_from_slice(tx);
    }
    let signature = secret.sign(&signed_bytes(domain, &content)).to_bytes();
    begin_field(&mut content, SIGNATURE, signature.len());
    content.extend_from_slice(&signature);
    block::wrap(BUNDLE, content)
}

fn signed_bytes(domain: &SigningDomain, content: &[u8]) -> Vec<u8> {
    let mut signed = domain.prefix(BUNDLE_PURPOSE);
    signed.extend_from_slice(content);
    signed
}

/// Returns true for what is wrapped as a bundle is, whether or not it is one.
#[must_use]
pub fn is_bundle(bytes: &[u8]) -> bool {
    block::unwrap(BUNDLE, bytes).is_ok()
}

impl Bundle {
    /// Reads a bundle: its own fields, at least one transaction, none below [`MIN_LISTED_BYTES`],
    /// the signature, and nothing else. Nothing is copied.
    ///
    /// # Errors
    /// `TX_MALFORMED`.
    pub fn read(bytes: &Bytes) -> Result<Self, Refusal> {
        let malformed = |why: &str| Refusal::new(Code::TxMalformed, format!("bundle: {why}"));
        let value = block::unwrap(BUNDLE, bytes).map_err(|why| malformed(&why))?;
        let parts = Self::parts(bytes, value);
        let bundle = parts.ok_or_else(|| malformed("it is not in its one form"))?;
        let shortest = bundle.txs.iter().map(Bytes::len).min().unwrap_or(0);
        if shortest < MIN_LISTED_BYTES {
            let why = "it has no transaction, or one of fewer bytes than a signature";
            return Err(malformed(why));
        }
        Ok(bundle)
    }

    fn parts(bytes: &Bytes, value: &[u8]) -> Option<Self> {
        let (maker, rest) = field(FIRST, value)?;
        let (counter, rest) = number(COUNTER, rest)?;
        let (made_at_height, mut rest) = number(HEIGHT, rest)?;
        let mut txs = Vec::new();
        while let Some((tx, behind)) = field(TX, rest) {
            txs.push(bytes.slice_ref(tx));
            rest = behind;
        }
        let content = value.get(..value.len().checked_sub(rest.len())?)?;
        let (signature, behind) = field(SIGNATURE, rest)?;
        let head = BundleHead { maker: maker.try_into().ok()?, counter, made_at_height };
        let signature = signature.try_into().ok()?;
        let content = bytes.slice_ref(content);
        behind.is_empty().then_some(Self { head, txs, content, signature })
    }

    /// Checks that a node with this key signed the bundle for the chain.
    ///
    /// # Errors
    /// `BAD_SIGNATURE`.
    pub fn verify(&self, key: &[u8; 32], domain: &SigningDomain) -> Result<(), Refusal> {
        let signed = signed_bytes(domain, &self.content);
        let signature = Signature::from(self.signature);
        let is_right = VerificationKey::try_from(*key)
            .is_ok_and(|key| key.verify(&signature, &signed).is_ok());
        if is_right {
            return Ok(());
        }
        let chain_id = domain.chain_id();
        let message = format!("bundle: not its maker's signature for chain {chain_id}");
        Err(Refusal::new(Code::BadSignature, message))
    }
}

/// The number of the field that a message begins with, if it has this tag, is written in the fewest
/// bytes and not 0; and what is behind it.
fn number(tag: u8, message: &[u8]) -> Option<(u64, &[u8])> {
    let mut behind = message.strip_prefix(&[tag])?;
    let before = behind.len();
    let number = decode_varint(&mut behind).ok()?;
    let is_shortest = before.saturating_sub(behind.len()) == encoded_len_varint(number);
    (number != 0 && is_shortest).then_some((number, behind))
}

//! Bytes of a segment: version 1, frozen (docs/event-log.md). All integers are little-endian.

use sha2::{Digest as _, Sha256};

/// SHA-256 of something.
pub type Hash = [u8; 32];

/// Version of the format.
pub const VERSION: u32 = 1;

/// First bytes of a segment.
const MAGIC: [u8; 8] = *b"TMEVLOG\0";

/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 32 + 32;

/// Bytes of a record before its body: length, height, previous hash, hash.
pub const RECORD_HEAD_BYTES: usize = 4 + 8 + 32 + 32;

/// Bytes of one key in a body.
const KEY_BYTES: usize = 8 + 4;

/// Most bytes of a record's body. A full block's events take a tenth of it.
pub const MAX_BODY_BYTES: usize = 256 << 20;

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Height of its first record.
    pub first_height: u64,
    /// SHA-256 of the chain's id.
    pub chain: Hash,
    /// Hash of the record before the first; zeros where the log does not have it.
    pub previous: Hash,
}

impl Header {
    /// The header's bytes: magic, version, first height, chain, previous hash, and SHA-256 of all
    /// of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.first_height.to_le_bytes());
        bytes.extend(self.chain);
        bytes.extend(self.previous);
        let check = Sha256::digest(&bytes);
        bytes.extend(check);
        bytes
    }

    /// Reads a header; `None` if a byte of it is wrong.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, check) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 32);
        if Sha256::digest(fields)[..] != *check {
            return None;
        }
        let mut rest = fields.strip_prefix(&MAGIC)?;
        if take(&mut rest).map(u32::from_le_bytes)? != VERSION {
            return None;
        }
        let first_height = u64::from_le_bytes(take(&mut rest)?);
        Some(Self { first_height, chain: take(&mut rest)?, previous: take(&mut rest)? })
    }
}

/// Bytes by which an answer is found again, and the answer's place in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// First bytes of a hash: a match is to be confirmed by the payload.
    pub digest: u64,
    /// Which of the block's transactions it is.
    pub position: u32,
}

/// The digest of a transaction's identity.
#[must_use]
pub fn identity_digest(identity: &Hash) -> u64 {
    digest(&[b"identity", identity])
}

/// The digest of an account's sequence, or an agent's nonce.
#[must_use]
pub fn sequence_digest(address: &[u8; 20], sequence: u64) -> u64 {
    digest(&[b"sequence", address, &sequence.to_le_bytes()])
}

fn digest(parts: &[&[u8]]) -> u64 {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

/// A record's body: what of a block is chained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The block's time.
    pub time_ms: u64,
    /// Keys of its answers.
    pub keys: Vec<Key>,
    /// The block's events and answers.
    pub payload: Vec<u8>,
}

impl Body {
    /// Time, number of keys, keys, payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = 8 + 4 + self.keys.len() * KEY_BYTES + self.payload.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(self.time_ms.to_le_bytes());
        bytes.extend(u32::try_from(self.keys.len()).unwrap_or(u32::MAX).to_le_bytes());
        for key in &self.keys {
            bytes.extend(key.digest.to_le_bytes());
            bytes.extend(key.position.to_le_bytes());
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// Reads a body; `None` if it is shorter than it says.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let time_ms = u64::from_le_bytes(take(&mut bytes)?);
        let count = usize::try_from(u32::from_le_bytes(take(&mut bytes)?)).ok()?;
        // Before the room for them is made.
        if count.checked_mul(KEY_BYTES)? > bytes.len() {
            return None;
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            let digest = u64::from_le_bytes(take(&mut bytes)?);
            keys.push(Key { digest, position: u32::from_le_bytes(take(&mut bytes)?) });
        }
        Some(Self { time_ms, keys, payload: bytes.to_vec() })
    }
}

/// Fields of a record before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Bytes of the body.
    pub length: u32,
    /// The block's height.
    pub height: u64,
    /// Hash of the record before.
    pub previous: Hash,
    /// [`record_hash`] of this one.
    pub hash: Hash,
}

impl RecordHead {
    /// The head of a record with this body, of at most [`MAX_BODY_BYTES`].
    #[must_use]
    pub fn of(height: u64, previous: &Hash, body: &[u8]) -> Self {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self { length, height, previous: *previous, hash: record_hash(height, previous, body) }
    }

    /// Length, height, previous hash, hash.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_HEAD_BYTES);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.height.to_le_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.hash);
        bytes
    }

    /// Reads a head; `None` if there are too few bytes.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let length = u32::from_le_bytes(take(&mut bytes)?);
        let height = u64::from_le_bytes(take(&mut bytes)?);
        Some(Self { length, height, previous: take(&mut bytes)?, hash: take(&mut bytes)? })
    }

    /// Returns true if the body is the one that was chained.
    #[must_use]
    pub fn fits(&self, body: &[u8]) -> bool {
        record_hash(self.height, &self.previous, body) == self.hash
    }
}

/// SHA-256 of the format's name, the height, the previous hash and the body.
#[must_use]
pub fn record_hash(height: u64, previous: &Hash, body: &[u8]) -> Hash {
    let hash = Sha256::new().chain_update(b"tidemark event log 1");
    hash.chain_update(height.to_le_bytes())
        .chain_update(previous)
        .chain_update(body)
        .finalize()
        .into()
}

/// The first `N` bytes, which are taken away.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of docs/event-log.md: other languages check their readers by it.
    #[test]
    fn version_1_is_frozen() {
        let chain = Sha256::digest(b"tidemark-test-1").into();
        let header = Header { first_height: 7, chain, previous: [0; 32] };
        assert_eq!(hex::encode(header.encode()), include_str!("../vectors/header.hex").trim());
        assert_eq!(Header::decode(&header.encode()), Some(header));
        let keys = vec![
            Key { digest: identity_digest(&[1; 32]), position: 0 },
            Key { digest: sequence_digest(&[2; 20], 9), position: 0 },
        ];
        let body = Body { time_ms: 1_700_000_000_000, keys, payload: b"payload".to_vec() };
        let bytes = body.encode();
        let head = RecordHead::of(7, &[0; 32], &bytes);
        let record = hex::encode([head.encode(), bytes.clone()].concat());
        assert_eq!(record, include_str!("../vectors/record.hex").trim());
        assert_eq!(RecordHead::decode(&head.encode()), Some(head));
        assert_eq!(Body::decode(&bytes), Some(body));
        assert!(head.fits(&bytes));
    }

    #[test]
    fn a_body_that_claims_more_keys_than_it_has_is_refused() {
        let mut bytes = Body::default().encode();
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Body::decode(&bytes), None);
    }
}

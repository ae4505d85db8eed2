//! The manifest of a snapshot: its block, and the hash of each chunk.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidemark_engine::state::merkle::Hash;

use super::chunks::CHUNK_BYTES;

/// Most chunks: 100 GB.
const MAX_CHUNKS: usize = 10_000;

/// Most bytes of a manifest's file.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// A chunk: a file of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Its length.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// The content of a snapshot: its block, and its chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the state's layout.
    pub format: u16,
    /// Version of the rules.
    pub protocol_version: u32,
    /// The chain's id.
    pub chain_id: String,
    /// The block after which the state was as it is.
    pub height: u64,
    /// Its time, in Unix ms.
    pub time_ms: u64,
    /// The app hash after it, in hex: the next block's header carries it.
    pub app_hash: String,
    /// CometBFT's parameters of consensus, in hex of their protobuf form.
    pub consensus_params: String,
    /// The height from which on CometBFT kept its blocks.
    pub retain_height: u64,
    /// The state's bytes.
    pub chunks: Vec<Chunk>,
}

impl Manifest {
    /// Length of the state's bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).fold(0, u64::saturating_add)
    }

    /// The app hash.
    ///
    /// # Errors
    /// A sentence if it is no hash.
    pub fn hash(&self) -> Result<Hash, String> {
        hash(&self.app_hash)
    }

    /// The file: a line of JSON, and one with its SHA-256.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("strings and numbers");
        let sum = hex::encode(Sha256::digest(&json));
        format!("{json}\n{sum}\n").into_bytes()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A sentence with what is wrong.
    pub(super) fn from_file(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let (json, sum) = text.split_once('\n').ok_or("it has no second line")?;
        if sum.strip_suffix('\n') != Some(&hex::encode(Sha256::digest(json))) {
            return Err("it does not have the hash in its second line".to_owned());
        }
        let manifest: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let chunks = manifest.chunks.len();
        if chunks > MAX_CHUNKS {
            return Err(format!("{chunks} chunks, at most {MAX_CHUNKS}"));
        }
        let too_long = manifest.chunks.iter().position(|chunk| chunk.bytes > CHUNK_BYTES as u64);
        match too_long {
            Some(at) => Err(format!("chunk {at} is longer than {CHUNK_BYTES} bytes")),
            None => Ok(manifest),
        }
    }
}

/// A hash from hex.
pub(super) fn hash(text: &str) -> Result<Hash, String> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|error| format!("{text:?}: {error}"))?;
    Ok(hash)
}

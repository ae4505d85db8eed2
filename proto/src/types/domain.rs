//! The chain that signatures are for.

/// First bytes of the genesis hash that signatures cover.
const GENESIS_TAG_BYTES: usize = 8;

/// The chain that signatures are for: its id, and the genesis that tells it from another chain of
/// the same id, so that the two share no signature (rules §10.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningDomain {
    chain_id: String,
    genesis_tag: [u8; GENESIS_TAG_BYTES],
}

impl SigningDomain {
    /// The domain of a chain by its id and the hash of its genesis state.
    #[must_use]
    pub fn new(chain_id: &str, genesis_hash: &[u8; 32]) -> Self {
        let mut genesis_tag = [0; GENESIS_TAG_BYTES];
        genesis_tag.copy_from_slice(&genesis_hash[..GENESIS_TAG_BYTES]);
        Self { chain_id: chain_id.to_owned(), genesis_tag }
    }

    /// The domain of a chain whose genesis hash is all zeros: no node runs one.
    #[must_use]
    pub fn without_genesis(chain_id: &str) -> Self {
        Self::new(chain_id, &[0; 32])
    }

    /// Returns false for [`Self::without_genesis`].
    #[must_use]
    pub fn has_genesis(&self) -> bool {
        self.genesis_tag != [0; GENESIS_TAG_BYTES]
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// The account number in the `SignDoc` of every `TxRaw`: the first six bytes of the genesis
    /// hash, big endian, which clients in JavaScript hold without loss.
    #[must_use]
    pub fn account_number(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.genesis_tag;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The bytes before the content of whatever an agent signs: `purpose`, a zero, the length of
    /// the chain id in one byte, the chain id, the first eight bytes of the genesis hash.
    #[must_use]
    pub fn prefix(&self, purpose: &str) -> Vec<u8> {
        // CometBFT takes no chain id of more than 50 bytes.
        let length = u8::try_from(self.chain_id.len()).unwrap_or(u8::MAX);
        let mut bytes = purpose.as_bytes().to_vec();
        bytes.extend([0, length]);
        bytes.extend(self.chain_id.as_bytes());
        bytes.extend(self.genesis_tag);
        bytes
    }
}

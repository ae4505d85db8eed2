//! Owners' addresses.

use borsh::{BorshDeserialize, BorshSerialize};
use subtle_encoding::bech32;

use crate::codes::{Code, Refusal};

/// Prefix of the bech32 form of addresses.
pub const ADDRESS_PREFIX: &str = "tide";

/// An owner: `RIPEMD-160(SHA-256(compressed secp256k1 key))`, written in bech32 with the prefix
/// `tide`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// Reads the bech32 form, in lower case, or in upper case if the first letter is.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the reason and the (shortened) text.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let shown: String = text.chars().take(64).collect();
        let invalid =
            |why: String| Refusal::new(Code::InvalidArgument, format!("address {shown:?}: {why}"));
        if text.len() > 90 {
            return Err(invalid(format!("{} characters, at most 90", text.len())));
        }
        let is_upper = text.starts_with(char::is_uppercase);
        let decode = if is_upper { bech32::decode_upper } else { bech32::decode };
        let (prefix, bytes) = decode(text)
            .ok()
            .filter(|(prefix, bytes)| is_account(prefix, bytes))
            .ok_or_else(|| invalid("not bech32".into()))?;
        if prefix != ADDRESS_PREFIX {
            return Err(invalid(format!("prefix {prefix:?}, must be {ADDRESS_PREFIX:?}")));
        }
        let array = bytes.as_slice().try_into();
        array.map(Self).map_err(|_| invalid(format!("{} bytes, must be 20", bytes.len())))
    }
}

/// True if a decoded text could be an account of a Cosmos chain.
fn is_account(prefix: &str, bytes: &[u8]) -> bool {
    !bytes.is_empty() && prefix.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9'))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&bech32::encode(ADDRESS_PREFIX, self.0))
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

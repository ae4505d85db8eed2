//! Owners' addresses.

use borsh::{BorshDeserialize, BorshSerialize};
use cosmrs::AccountId;

use crate::codes::{Code, Refusal};

/// Prefix of the bech32 form of addresses.
pub const ADDRESS_PREFIX: &str = "tide";

/// An owner: `RIPEMD-160(SHA-256(compressed secp256k1 key))`, written in bech32 with the prefix
/// `tide`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// Reads the bech32 form.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with what is wrong and the (shortened) text.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let shown: String = text.chars().take(64).collect();
        let invalid =
            |why: String| Refusal::new(Code::InvalidArgument, format!("address {shown:?}: {why}"));
        if text.len() > 90 {
            return Err(invalid(format!("{} characters, at most 90", text.len())));
        }
        let account: AccountId = text.parse().map_err(|_| invalid("not bech32".into()))?;
        if account.prefix() != ADDRESS_PREFIX {
            return Err(invalid(format!(
                "prefix {:?}, must be {ADDRESS_PREFIX:?}",
                account.prefix()
            )));
        }
        let bytes = account.to_bytes();
        let array = bytes.as_slice().try_into();
        array.map(Self).map_err(|_| invalid(format!("{} bytes, must be 20", bytes.len())))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match AccountId::new(ADDRESS_PREFIX, &self.0) {
            Ok(account) => f.write_str(account.as_ref()),
            Err(_) => Err(std::fmt::Error),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

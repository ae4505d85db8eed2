//! Agents: keys that sign orders for an owner.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codes::{Code, Refusal};
use crate::params::MAX_SUBACCOUNTS;
use crate::units::TimeMs;

/// Most agents of an owner.
pub const MAX_AGENTS: usize = 8;

/// How long before block time an agent's nonce may lie.
pub const NONCE_BEHIND_MS: TimeMs = TimeMs::new(60_000);

/// How long after block time an agent's nonce may lie.
pub const NONCE_AHEAD_MS: TimeMs = TimeMs::new(5_000);

/// Most used nonces of an agent that are remembered; smaller ones than these are refused.
pub const MAX_NONCES: usize = 1_024;

/// The public key of an agent. Its bytes say of which kind it is: 32 are ed25519, 33 a compressed
/// point of secp256k1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum AgentKey {
    /// An ed25519 key.
    Ed25519([u8; 32]),
    /// A secp256k1 key, compressed.
    Secp256k1([u8; 33]),
}

impl AgentKey {
    /// The key of these bytes, which are not looked at.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for another number of bytes than 32 or 33.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        if let Ok(key) = bytes.try_into() {
            return Ok(Self::Ed25519(key));
        }
        bytes.try_into().map(Self::Secp256k1).map_err(|_| {
            let length = bytes.len();
            let message = format!(
                "agent_key has {length} bytes, must be 32 (ed25519) or 33 (compressed secp256k1)"
            );
            Refusal::new(Code::InvalidArgument, message)
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key,
            Self::Secp256k1(key) => key,
        }
    }
}

/// In lower-case hex.
impl std::fmt::Display for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The operations that an agent may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AgentScope {
    /// All operations of a batch, and a keeper's messages.
    Trading,
    /// Cancels, cancel-all, and the dead man's switch.
    Cancelling,
}

/// A set of an owner's subaccounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subaccounts(u128);

// A bit for each subaccount.
const _: () = assert!(MAX_SUBACCOUNTS <= u128::BITS);

impl Subaccounts {
    /// All that the owner has and will have.
    pub const ALL: Self = Self(u128::MAX);

    /// The subaccounts of these numbers, in any order; of none, [`Self::ALL`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a number that no subaccount has, or one that comes twice.
    pub fn of(numbers: &[u32]) -> Result<Self, Refusal> {
        if numbers.is_empty() {
            return Ok(Self::ALL);
        }
        let invalid = |message: String| Refusal::new(Code::InvalidArgument, message);
        let mut set = 0_u128;
        for &number in numbers {
            if number >= MAX_SUBACCOUNTS {
                return Err(invalid(format!(
                    "subaccount is {number}, must be below {MAX_SUBACCOUNTS}"
                )));
            }
            let bit = 1_u128 << number;
            if set & bit != 0 {
                return Err(invalid(format!("subaccount {number} is given twice")));
            }
            set |= bit;
        }
        Ok(Self(set))
    }

    /// Returns true if a subaccount is one of them.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        number < MAX_SUBACCOUNTS && self.0 >> number & 1 == 1
    }

    /// Their numbers, ascending; none for [`Self::ALL`].
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        let named = if self == Self::ALL { 0 } else { self.0 };
        (0..MAX_SUBACCOUNTS).filter(move |number| named >> number & 1 == 1)
    }
}

/// The leave that an owner gives a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Authorisation {
    /// The agent's key.
    pub key: AgentKey,
    /// The operations.
    pub scope: AgentScope,
    /// The subaccounts.
    pub subaccounts: Subaccounts,
    /// The first block time at which it has ended.
    pub until_ms: TimeMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subaccounts_are_those_that_were_named_or_all() {
        let some = Subaccounts::of(&[127, 0, 3]).unwrap();
        assert_eq!(some.numbers().collect::<Vec<_>>(), [0, 3, 127]);
        assert!(some.contains(3) && !some.contains(4) && !some.contains(128));
        let all = Subaccounts::of(&[]).unwrap();
        assert!(all.contains(0) && all.contains(127) && !all.contains(128));
        assert_eq!(all.numbers().count(), 0);
        for wrong in [&[128][..], &[1, 1], &[u32::MAX]] {
            assert_eq!(Subaccounts::of(wrong).unwrap_err().code, Code::InvalidArgument);
        }
        let each: Vec<u32> = (0..MAX_SUBACCOUNTS).collect();
        assert_eq!(Subaccounts::of(&each), Ok(Subaccounts::ALL));
    }

    #[test]
    fn a_key_is_of_the_kind_that_its_length_says() {
        assert_eq!(AgentKey::from_bytes(&[7; 32]), Ok(AgentKey::Ed25519([7; 32])));
        assert_eq!(AgentKey::from_bytes(&[2; 33]), Ok(AgentKey::Secp256k1([2; 33])));
        for length in [0, 31, 34, 64] {
            assert_eq!(
                AgentKey::from_bytes(&vec![0; length]).unwrap_err().code,
                Code::InvalidArgument
            );
        }
        assert_eq!(AgentKey::Ed25519([0xab; 32]).to_string(), "ab".repeat(32));
    }
}

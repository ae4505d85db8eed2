//! Refusals of what an owner's allowance does not cover (rules §10.13).

use thiserror::Error;

/// A bucket of an owner's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Of orders and replacements.
    Orders,
    /// Of cancels.
    Cancels,
}

/// Reason why a transaction is refused `RATE_LIMITED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{}: {left} left of {size}, the transaction {} {asked}{}; {}",
    .bucket.name(), .bucket.verb(), Waiting(*.waiting), Refill(*.blocks)
)]
pub struct AllowanceRefusal {
    /// The bucket that has too little.
    pub bucket: Bucket,
    /// Whole operations that it has.
    pub left: u64,
    /// Operations that it has when it is full.
    pub size: u64,
    /// The draw of the transaction.
    pub asked: u64,
    /// Draws of the owner's transactions that wait on this node.
    pub waiting: u64,
    /// Blocks after which it has enough; `None` if it never has.
    pub blocks: Option<u64>,
}

impl Bucket {
    const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Cancels => "cancels",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Orders => "may place",
            Self::Cancels => "cancels",
        }
    }
}

struct Waiting(u64);

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            waiting => write!(f, " beside {waiting} that wait"),
        }
    }
}

struct Refill(Option<u64>);

impl std::fmt::Display for Refill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(1) => f.write_str("the next block refills enough"),
            Some(blocks) => write!(f, "{blocks} blocks refill enough"),
            None => f.write_str("it never has as many: send fewer, or pay the flat fee"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_10_a_refusal_says_what_is_left_and_when_there_is_enough() {
        let refusal = AllowanceRefusal {
            bucket: Bucket::Orders,
            left: 12,
            size: 1_100,
            asked: 20,
            waiting: 0,
            blocks: Some(73),
        };
        assert_eq!(
            refusal.to_string(),
            "orders: 12 left of 1100, the transaction may place 20; 73 blocks refill enough"
        );
        let of_cancels = AllowanceRefusal { bucket: Bucket::Cancels, ..refusal };
        let never = AllowanceRefusal { asked: 2_000, waiting: 3, blocks: None, ..of_cancels };
        assert_eq!(
            never.to_string(),
            "cancels: 12 left of 1100, the transaction cancels 2000 beside 3 that wait; it never \
             has as many: send fewer, or pay the flat fee"
        );
    }
}

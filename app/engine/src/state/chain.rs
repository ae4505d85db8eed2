//! The chain beside its accounts and markets: height, parameters, validators, treasury.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_oracle::extension::NodeKey;
use tidemark_proto::params::ChainParams;
use tidemark_proto::types::Address;
use tidemark_proto::units::{AccountId, Atoms, TimeMs};
use tidemark_risk::Treasury;

use super::allowance::Moment;
use super::first_credits::FirstCredits;
use super::merkle::Hash;
use super::outflow::Outflow;

/// Rules that this binary carries out; part of the app hash, so that nodes of other rules part at
/// once.
pub const PROTOCOL_VERSION: u32 = 2;

/// A validator of the chain's set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// First 20 bytes of SHA-256 of the key.
    pub address: [u8; 20],
    /// Ed25519.
    pub public_key: [u8; 32],
    /// Voting power.
    pub power: u64,
    /// The key of its node, once it has registered one (rules §10.14).
    pub node_key: Option<RegisteredKey>,
}

impl Validator {
    /// A validator whose node has registered no key.
    #[must_use]
    pub fn new(address: [u8; 20], public_key: [u8; 32], power: u64) -> Self {
        Self { address, public_key, power, node_key: None }
    }
}

/// The key by which a validator's node signs bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RegisteredKey {
    /// Ed25519.
    pub key: NodeKey,
    /// The block that registered it.
    pub since_height: u64,
}

/// State of the whole chain beside accounts and markets.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chain {
    /// [`PROTOCOL_VERSION`] of the rules in force.
    pub protocol_version: u32,
    /// The chain's id.
    pub chain_id: String,
    /// The app hash of the state at genesis with zeros here: what tells the chain from another of
    /// the same id.
    pub genesis_hash: Hash,
    /// Height of the last block carried out; 0 at genesis.
    pub height: u64,
    /// Its time.
    pub time_ms: TimeMs,
    /// Its hash: the next block's beacon.
    pub block_hash: Hash,
    /// Governed parameters.
    pub params: ChainParams,
    /// The address that lists markets and changes parameters.
    pub admin: Address,
    /// Addresses that credit deposits.
    pub minters: Vec<Address>,
    /// The validator set.
    pub validators: Vec<Validator>,
    /// Insurance fund and fee pools.
    pub treasury: Treasury,
    /// All that was ever deposited, the insurance fund's start included.
    pub deposits_atoms: Atoms,
    /// All that was ever withdrawn, what waits in the queue included.
    pub withdrawals_atoms: Atoms,
    /// Last height at which withdrawals are gated.
    pub withdrawals_gated_until: u64,
    /// Whole days without a block, which traded volume does not age by.
    pub skipped_days: u32,
    /// Money that may leave the exchange, and who waits for it.
    pub outflow: Outflow,
    /// Credits of addresses that are no owners yet.
    pub first_credits: FirstCredits,
    /// Of accounts with an entry of a loss alone, the first whose turn it is to be looked at.
    pub owing_from: AccountId,
}

const DAY_MS: u64 = 86_400_000;

impl Chain {
    /// Gates withdrawals for the governed number of blocks from this one on.
    pub(crate) fn gate_withdrawals(&mut self) {
        self.withdrawals_gated_until =
            self.height.saturating_add(self.params.withdrawal_gate_blocks);
    }

    /// Lets block time come to `now_ms`. Traded volume ages by one day at most, the buckets of
    /// outflow refill for a pause of `halt_ms` at most.
    pub(crate) fn advance(&mut self, now_ms: TimeMs) {
        let passed_ms = now_ms.saturating_sub(self.time_ms);
        let deposits_atoms = self.deposits_atoms.saturating_sub(self.withdrawals_atoms);
        self.outflow.advance(&self.params, (now_ms, passed_ms), deposits_atoms);
        self.outflow.losses.begin_block(self.treasury.insurance_atoms);
        self.skipped_days = self.skipped_days_at(now_ms);
        self.time_ms = now_ms;
    }

    /// Days without a block, once a block of this time has come.
    fn skipped_days_at(&self, now_ms: TimeMs) -> u32 {
        let days = (now_ms.get() / DAY_MS).saturating_sub(self.time_ms.get() / DAY_MS);
        let skipped = u32::try_from(days.saturating_sub(1)).unwrap_or(u32::MAX);
        self.skipped_days.saturating_add(skipped)
    }

    /// Block time less the days without a block: the time by which traded volume is counted
    /// (rules §6.1).
    #[must_use]
    pub fn volume_ms(&self) -> TimeMs {
        less_days(self.time_ms, self.skipped_days)
    }

    /// The block of this state, as allowances count it.
    pub(crate) fn moment(&self) -> Moment {
        let (height, time_ms) = (self.height, self.time_ms);
        Moment { height, time_ms, volume_ms: self.volume_ms(), base: self.params.allowance_base }
    }

    /// The next block, which has this time, as allowances count it.
    #[must_use]
    pub fn next_moment(&self, time_ms: TimeMs) -> Moment {
        Moment {
            height: self.height.saturating_add(1),
            time_ms,
            volume_ms: less_days(time_ms, self.skipped_days_at(time_ms)),
            base: self.params.allowance_base,
        }
    }
}

fn less_days(time_ms: TimeMs, days: u32) -> TimeMs {
    time_ms.saturating_sub(TimeMs::new(u64::from(days).saturating_mul(DAY_MS)))
}

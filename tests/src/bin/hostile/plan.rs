//! The plan of a run, which the attackers' processes read from a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Kinds of attackers' processes, as the command line and the report name them.
pub const ATTACKS: [&str; 9] = [
    "gap flood",
    "byte variants",
    "unknown signers",
    "refused operations",
    "repeats of a peer",
    "remixed bundles",
    "unseen blocks",
    "slow readers",
    "idle connections",
];

/// Addresses, and the chain that attackers sign for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The honest validators' gRPC, `host:port`.
    pub grpc: Vec<String>,
    /// The honest validators' CometBFT.
    pub comet: Vec<String>,
    /// The CometBFT of the peer that is no validator.
    pub peer: String,
    /// The home of the validator that misbehaves.
    pub home: PathBuf,
    /// The chain's genesis, in hex.
    pub genesis_hash: String,
    /// The mark of the first market.
    pub mark_ticks: u64,
    /// How long an attack lasts.
    pub seconds: u64,
    /// The seed of everything random.
    pub seed: u64,
}

impl Plan {
    /// Writes the plan.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string(self).map_err(|e| e.to_string())?;
        std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    /// Reads a plan.
    pub fn read(path: &Path) -> Result<Self, String> {
        let cannot = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| cannot(&e))?;
        serde_json::from_str(&text).map_err(|e| cannot(&e))
    }

    /// The genesis that signatures are for.
    pub fn genesis(&self) -> Result<[u8; 32], String> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.genesis_hash, &mut hash).map_err(|e| e.to_string())?;
        Ok(hash)
    }
}

/// The names of an attack's owners; each has a deposit before the attack begins.
pub fn owners(attack: &str) -> Vec<String> {
    let count = match attack {
        "gap flood" | "refused operations" | "repeats of a peer" => 8,
        "byte variants" => 1,
        "unseen blocks" => 64,
        _ => 0,
    };
    (0..count).map(|number| format!("{attack} {number}")).collect()
}

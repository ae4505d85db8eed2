//! Who proposed each block, as CometBFT's headers tell it.

use std::collections::BTreeMap;

use serde_json::{json, Value};
use tidemark_tests::net::Net;

/// Headers of one call.
const HEADERS: u64 = 20;

/// The heights that a validator proposed.
#[derive(Debug, Default)]
pub struct Proposed {
    /// Each known height, with true if the validator proposed it.
    by_height: BTreeMap<u64, bool>,
}

impl Proposed {
    /// Asks the first node for all headers of these heights.
    ///
    /// # Errors
    /// A sentence when CometBFT does not answer.
    pub async fn by(net: &Net, validator: usize, from: u64, to: u64) -> Result<Self, String> {
        let status = net.comet(validator).call("status", json!({})).await;
        let status = status.map_err(|e| e.to_string())?;
        let address = status["validator_info"]["address"].clone();
        let mut by_height = BTreeMap::new();
        let mut low = from;
        while low <= to {
            let high = (low + HEADERS - 1).min(to);
            let range = json!({ "minHeight": low.to_string(), "maxHeight": high.to_string() });
            let answer = net.comet(0).call("blockchain", range).await;
            let answer = answer.map_err(|e| e.to_string())?;
            for meta in answer["block_metas"].as_array().into_iter().flatten() {
                let header: &Value = &meta["header"];
                let height = header["height"].as_str().and_then(|height| height.parse().ok());
                by_height.extend(
                    height.map(|height: u64| (height, header["proposer_address"] == address)),
                );
            }
            low = high + 1;
        }
        Ok(Self { by_height })
    }

    /// Blocks after `after`, up to `to`, that the others proposed. A block of the validator itself
    /// counts if it is the last.
    pub fn of_others(&self, after: u64, to: u64) -> u64 {
        let is_theirs = |height: &u64| self.by_height.get(height) == Some(&true);
        (after + 1..=to).filter(|height| *height == to || !is_theirs(height)).count() as u64
    }

    /// Blocks that the validator proposed.
    pub fn count(&self) -> usize {
        self.by_height.values().filter(|is_theirs| **is_theirs).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_validator_between_do_not_count() {
        let by_height = [(1, false), (2, true), (3, false), (4, false), (5, true)].into();
        let proposed = Proposed { by_height };
        let counts = [(1, 3), (0, 4), (2, 3), (1, 2), (4, 5)]
            .map(|(after, to)| proposed.of_others(after, to));
        assert_eq!(counts, [1, 3, 1, 1, 1]);
        assert_eq!(proposed.count(), 2);
    }
}

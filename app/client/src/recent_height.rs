//! The newest block of a node, as far as a sender has to know it.

use std::time::{Duration, Instant};

use super::{Client, ClientError};

/// For so many blocks a transaction may be carried out: as long as a node's queue keeps one. After
/// that its end is certain.
const LIFE_BLOCKS: u64 = 50;

/// A height that was seen longer ago is asked for anew: blocks come every 6 ms at best.
const RECENT: Duration = Duration::from_millis(100);

/// The height of a node's newest block, as it was a moment ago.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecentHeight(Option<(u64, Instant)>);

impl RecentHeight {
    /// Notes a block that the node has.
    pub fn saw(&mut self, height: u64) {
        self.0 = Some((height, Instant::now()));
    }

    /// The timeout height of a transaction that is sent now.
    pub async fn timeout_height(&mut self, client: &Client) -> Result<u64, ClientError> {
        let recent = self.0.filter(|(_, at)| at.elapsed() < RECENT);
        let height = match recent {
            Some((height, _)) => height,
            None => client.status().await?.height,
        };
        if recent.is_none() {
            self.saw(height);
        }
        Ok(height.saturating_add(LIFE_BLOCKS))
    }
}

//! A keeper: sets collateral aside as backstop, asks for listed positions that earn enough, and
//! closes what it got on the book. Outside consensus; it speaks gRPC as any client does.
//!
//! It holds no state of its own. Before each decision it reads its account, the markets and the
//! lists from the node, so that a restart, of itself or of the node, loses nothing; and everything
//! that it sends may be sent twice: capacity is named in all, a takeover replaces the last one for
//! the same position, and hedges only reduce.

pub mod decide;
mod note;
mod outlook;
mod session;

use std::time::Duration;

use decide::Limits;
use tidemark_client::{ClientError, OrderKey};
use tidemark_proto::units::Atoms;

pub use note::Note;

/// The first wait before the node is tried again; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Options of a keeper.
#[derive(Clone, Debug)]
pub struct Config {
    /// gRPC address of the node.
    pub node: String,
    /// Address of the node's metrics page, `host:port`, to tell the outlook from; none is told
    /// without.
    pub metrics: Option<String>,
    /// Subaccount to act with. All its positions are taken for the keeper's own, and closed.
    pub subaccount: u32,
    /// Markets by symbol, with the amount to set aside in each. Others are left alone.
    pub markets: Vec<(String, Atoms)>,
    /// Bounds of its decisions.
    pub limits: Limits,
    /// Tell what would be sent, and send nothing.
    pub dry_run: bool,
}

/// Keeps until something is wrong that waiting does not heal: a refused configuration, an account
/// that does not exist. Where the node is away, it is tried again and again. Drop the future to end
/// it.
///
/// # Errors
/// [`ClientError`] that names what is wrong.
pub async fn run(
    config: &Config,
    key: &OrderKey,
    mut tell: impl FnMut(Note),
) -> Result<(), ClientError> {
    let mut retry = FIRST_RETRY;
    let mut ever = false;
    loop {
        let mut connected = false;
        let ended = session::run(config, key, |note| {
            connected |= matches!(note, Note::Connected { .. });
            tell(note);
        })
        .await;
        ever |= connected;
        let final_word = match ended {
            ClientError::Unreachable { .. }
            | ClientError::Unknown { .. }
            | ClientError::Failed { .. } => false,
            // A node that has just started may not have come to the account's first block yet.
            ClientError::Refused(_) => !ever,
            ClientError::BadAddress { .. } => true,
        };
        if final_word {
            return Err(ended);
        }
        let why = ended.to_string();
        retry = if connected { FIRST_RETRY } else { retry.saturating_mul(2).min(LAST_RETRY) };
        tell(Note::Lost { why, retry_ms: u64::try_from(retry.as_millis()).unwrap_or(u64::MAX) });
        tokio::time::sleep(retry).await;
    }
}

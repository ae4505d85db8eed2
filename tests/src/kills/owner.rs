//! An owner that goes on trading through the kills of its node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidemark_client::{Client, ClientError};
use tidemark_proto::{v1, Code};
use tokio::task::JoinSet;

use crate::net::orders::{Owner, Signed};

/// Between two transactions of an owner.
const EVERY: Duration = Duration::from_millis(100);
/// Transactions of an owner that are followed at once, at most.
const IN_FLIGHT: usize = 48;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer is looked for: longer than a transaction lives, and a restart takes.
const LOST_AFTER: Duration = Duration::from_secs(120);
/// How long a node may take after its start to know the newest sequence.
const CATCHES_UP: Duration = Duration::from_secs(30);
/// Between two looks, and before a transaction is sent again.
const POLL: Duration = Duration::from_millis(100);

/// The fate of a transaction that a node accepted.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Its owner's address.
    pub owner: String,
    /// Its order.
    pub client_id: u64,
    /// True if it places the order, false if it takes the order back.
    pub places: bool,
    /// The code of its answer, 0 if it was carried out; `None` if there was no answer.
    pub answer: Option<u32>,
    /// True if it was sent again because the first answer was lost.
    pub sent_again: bool,
}

/// The surroundings of an owner.
#[derive(Clone)]
pub struct Trader {
    /// Its node.
    pub client: Client,
    /// Where its orders rest.
    pub price_ticks: u64,
    /// Tells it to stop.
    pub stop: Arc<AtomicBool>,
    /// All that was accepted, with its end.
    pub fates: Arc<Mutex<Vec<Fate>>>,
}

impl Trader {
    /// Trades until it is told to stop. Returns the owner's address, and the client id of an order
    /// that comes and goes after all others.
    ///
    /// # Errors
    /// A sentence when the node stays away.
    pub async fn trade(
        self,
        name: String,
        genesis_hash: [u8; 32],
    ) -> Result<(String, u64), String> {
        let mut owner = Owner::new(&name, &genesis_hash);
        let mut following = JoinSet::new();
        let mut resting = None;
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(EVERY).await;
            while following.try_join_next().is_some() {}
            if following.len() >= IN_FLIGHT {
                continue;
            }
            let (signed, places) = match resting.take() {
                Some(client_id) => (owner.cancel(client_id), false),
                None => (owner.place(v1::Side::Buy, self.price_ticks), true),
            };
            resting = places.then_some(signed.client_id);
            match self.accepted(&signed).await {
                Some(sent_again) => {
                    let (trader, address) = (self.clone(), owner.address());
                    following.spawn(async move {
                        trader.follow(address, signed, places, sent_again).await;
                    });
                }
                // Its sequence is free: what the node says is next.
                None => owner.learn(&self.client).await.unwrap_or(()),
            }
        }
        while following.join_next().await.is_some() {}
        let last = self.last_order(&mut owner).await?;
        Ok((owner.address(), last))
    }

    /// Sends until the node accepts or refuses. Where the answer was lost the very same bytes are
    /// sent again, which is harmless. `None` if it was refused, else whether it was sent again.
    async fn accepted(&self, signed: &Signed) -> Option<bool> {
        let (start, mut sent_again) = (Instant::now(), false);
        while start.elapsed() < LOST_AFTER {
            let tx = signed.tx.clone();
            match self.client.submit(tx, v1::WaitFor::Accepted, TIMEOUT).await {
                Ok(_) => return Some(sent_again),
                Err(ClientError::Refused(refusal)) => match refusal.code {
                    Code::Overloaded | Code::NodeBehind | Code::RateLimited => {}
                    // A node that has just started knows no account, or an older sequence.
                    Code::UnknownAccount | Code::SequenceGap if start.elapsed() < CATCHES_UP => {}
                    _ => return None,
                },
                Err(ClientError::Unknown { .. }) => sent_again = true,
                Err(_) => {}
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    async fn follow(&self, owner: String, signed: Signed, places: bool, sent_again: bool) {
        let start = Instant::now();
        let mut answer = None;
        while answer.is_none() && start.elapsed() < LOST_AFTER {
            tokio::time::sleep(POLL).await;
            answer = super::answer(&self.client, &signed.hash).await;
        }
        let fate = Fate { owner, client_id: signed.client_id, places, answer, sent_again };
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).push(fate);
    }

    /// An order that comes and goes when nothing else of its owner is on its way.
    async fn last_order(&self, owner: &mut Owner) -> Result<u64, String> {
        owner.learn(&self.client).await?;
        let placed = owner.place(v1::Side::Buy, self.price_ticks);
        let cancel = owner.cancel(placed.client_id);
        for signed in [&placed, &cancel] {
            let tx = signed.tx.clone();
            let answer = self.client.submit(tx, v1::WaitFor::Committed, LOST_AFTER / 3).await;
            answer.map_err(|e| format!("the last order: {e}"))?;
        }
        Ok(placed.client_id)
    }
}

//! Honest owners: single orders far from the mark and their cancels, at a fixed pace whatever
//! becomes of them, each followed to its block.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidemark_client::{Client, ClientError};
use tidemark_proto::v1::answer_request::By;
use tidemark_proto::{v1, Code};
use tidemark_tests::net::orders::{told, Owner, Signed, Told};
use tidemark_tests::net::Net;
use tokio::task::JoinSet;

/// The number of owners.
pub const OWNERS: usize = 20;
/// Between two transactions of an owner.
const EVERY: Duration = Duration::from_millis(500);
/// Transactions of an owner that are followed at once, at most.
const IN_FLIGHT: usize = 48;
/// How long a call waits for its block.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transaction is looked for before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Between two looks for an answer, and before a transaction is sent again.
const POLL: Duration = Duration::from_millis(50);

/// The fate of a transaction that was sent.
#[derive(Clone, Debug)]
pub struct Fate {
    /// The owner's number.
    owner: usize,
    /// Its order.
    client_id: u64,
    /// True if it places the order, false if it takes the order back.
    places: bool,
    /// When it was sent.
    pub sent: Instant,
    /// The newest block of its node when it was sent.
    pub sent_height: u64,
    /// Its end.
    pub end: End,
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In the block of this height, carried out, and answered after so long, where it was waited
    /// for.
    Done { height: u64, after: Option<Duration> },
    /// Refused by a code; where the node had accepted it, in a block.
    Refused(Code),
    /// Accepted, and found nowhere.
    Lost,
    /// Never accepted: there was no answer for as long as it is looked for.
    Unanswered,
}

/// Running owners.
pub struct Load {
    stop: Arc<AtomicBool>,
    fates: Arc<Mutex<Vec<Fate>>>,
    tasks: JoinSet<Result<Owner, String>>,
    from_height: u64,
    price_ticks: u64,
}

/// The names of the owners.
pub fn names() -> Vec<String> {
    (0..OWNERS).map(|number| format!("honest {number}")).collect()
}

/// Sends one owner's transactions.
struct Trader {
    number: usize,
    client: Client,
    height: Arc<AtomicU64>,
    fates: Arc<Mutex<Vec<Fate>>>,
    stop: Arc<AtomicBool>,
    price_ticks: u64,
}

impl Load {
    /// Lets all owners send, each to one of these nodes.
    ///
    /// # Errors
    /// A sentence when a node does not answer.
    pub async fn start(
        net: &Net,
        heights: &[Arc<AtomicU64>],
        genesis_hash: &[u8; 32],
        mark_ticks: u64,
    ) -> Result<Self, String> {
        let (stop, fates) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Fate>>>::default());
        let mut tasks = JoinSet::new();
        let (from_height, price_ticks) = (net.height(0).await?, mark_ticks * 95 / 100);
        for (number, name) in names().iter().enumerate() {
            let node = number % heights.len();
            let client = net.client(node).await?;
            let mut owner = Owner::new(name, genesis_hash);
            owner.learn(&client).await?;
            let trader = Trader {
                number,
                client,
                height: Arc::clone(&heights[node]),
                fates: Arc::clone(&fates),
                stop: Arc::clone(&stop),
                price_ticks: price_ticks - number as u64,
            };
            tasks.spawn(Arc::new(trader).trade(owner));
        }
        Ok(Self { stop, fates, tasks, from_height, price_ticks })
    }

    /// The fates of those sent from a moment on.
    pub fn since(&self, start: Instant) -> Vec<Fate> {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates.iter().filter(|fate| fate.sent >= start).cloned().collect()
    }

    /// Tells all to stop, waits for what is on its way, and compares what was accepted with the
    /// events of each account.
    ///
    /// # Errors
    /// A sentence when a node does not answer.
    pub async fn stop(mut self, client: &Client) -> Result<(Vec<Fate>, Proof), String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut proof = Proof::default();
        let mut owners = Vec::new();
        while let Some(owner) = self.tasks.join_next().await {
            owners.push(owner.map_err(|e| e.to_string())??);
        }
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (number, name) in names().iter().enumerate() {
            let address = tidemark_tests::harness::signer(name).address().to_string();
            let owner = owners.iter_mut().find(|owner| owner.address() == address);
            let owner = owner.ok_or_else(|| format!("{name} has gone"))?;
            let last = last_order(owner, client, self.price_ticks).await?;
            let told = told(client, &address, self.from_height, last).await?;
            proof.add(fates.iter().filter(|fate| fate.owner == number), &told);
        }
        Ok((fates, proof))
    }
}

/// An order that is placed and taken back when nothing else is on its way; its client id.
async fn last_order(owner: &mut Owner, client: &Client, price_ticks: u64) -> Result<u64, String> {
    owner.learn(client).await?;
    let placed = owner.place(v1::Side::Buy, price_ticks);
    let cancel = owner.cancel(placed.client_id);
    for signed in [&placed, &cancel] {
        let answer = client.submit(signed.tx.clone(), v1::WaitFor::Committed, LOST_AFTER).await;
        answer.map_err(|e| format!("the last order: {e}"))?;
    }
    Ok(placed.client_id)
}

/// The comparison of what owners were told with the events of their accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proof {
    /// Orders that were carried out and are in the events once.
    pub once: u64,
    /// Orders that were carried out and are in no event.
    pub never: u64,
    /// Orders that are in the events more than once.
    pub doubled: u64,
}

impl Proof {
    fn add<'a>(&mut self, fates: impl Iterator<Item = &'a Fate>, told: &BTreeMap<u64, Told>) {
        for fate in fates {
            let Told { rested, removed } = told.get(&fate.client_id).copied().unwrap_or_default();
            let count = if fate.places { rested } else { removed };
            match (count, fate.end) {
                (2.., _) => self.doubled += 1,
                (1, _) => self.once += 1,
                (_, End::Done { .. }) => self.never += 1,
                _ => {}
            }
        }
    }
}

impl Trader {
    async fn trade(self: Arc<Self>, mut owner: Owner) -> Result<Owner, String> {
        let mut following: JoinSet<bool> = JoinSet::new();
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut resting = None;
        let mut turn = self.number as u64;
        while !self.stop.load(Ordering::Relaxed) {
            clock.tick().await;
            let mut in_order = true;
            while let Some(done) = following.try_join_next() {
                in_order &= done.map_err(|e| e.to_string())?;
            }
            if !in_order {
                // A transaction that was refused for good has left its sequence free.
                owner.learn(&self.client).await?;
            }
            if following.len() >= IN_FLIGHT {
                continue;
            }
            let (signed, places) = match resting.take() {
                Some(client_id) => (owner.cancel(client_id), false),
                None => (owner.place(v1::Side::Buy, self.price_ticks), true),
            };
            resting = places.then_some(signed.client_id);
            turn += 1;
            let trader = Arc::clone(&self);
            // In turns for both: two places, two cancels.
            let waits = (turn / 2) % 2 == 0;
            following.spawn(async move { trader.follow(signed, places, waits).await });
        }
        while following.join_next().await.is_some() {}
        Ok(owner)
    }

    /// Sends a transaction, follows it to its end, and notes that. Returns false if its sequence
    /// was not used.
    async fn follow(&self, signed: Signed, places: bool, waits: bool) -> bool {
        let (sent, sent_height) = (Instant::now(), self.height.load(Ordering::Relaxed));
        let end = self.end(&signed, waits, sent).await;
        let client_id = signed.client_id;
        let fate = Fate { owner: self.number, client_id, places, sent, sent_height, end };
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).push(fate);
        matches!(end, End::Done { .. })
    }

    async fn end(&self, signed: &Signed, waits: bool, sent: Instant) -> End {
        let wait = if waits { v1::WaitFor::Committed } else { v1::WaitFor::Accepted };
        while sent.elapsed() < LOST_AFTER {
            match self.client.submit(signed.tx.clone(), wait, TIMEOUT).await {
                Ok(answer) if answer.outcome() == v1::SubmitOutcome::Committed => {
                    let refused = answer.results.iter().find(|result| result.code != 0);
                    let code = refused.and_then(|result| Code::from_number(result.code));
                    let after = Some(sent.elapsed());
                    let done = End::Done { height: answer.height, after };
                    return code.map_or(done, End::Refused);
                }
                Ok(_) => return self.find(signed, sent).await,
                Err(ClientError::Refused(refusal)) => match refusal.code {
                    // Not taken, or not yet: again.
                    Code::Overloaded | Code::NodeBehind | Code::RateLimited => {}
                    code => return End::Refused(code),
                },
                Err(_) => {}
            }
            tokio::time::sleep(POLL).await;
        }
        End::Unanswered
    }

    /// Looks for the answer to a transaction that was accepted.
    async fn find(&self, signed: &Signed, sent: Instant) -> End {
        while sent.elapsed() < LOST_AFTER {
            if let Ok(found) = self.client.answer(By::TxHash(signed.hash.clone())).await {
                let refused =
                    found.results.iter().map(|result| result.code).find(|code| *code != 0);
                let code = Some(found.code).filter(|code| *code != 0).or(refused);
                let done = End::Done { height: found.height, after: None };
                return code.and_then(Code::from_number).map_or(done, End::Refused);
            }
            tokio::time::sleep(POLL).await;
        }
        End::Lost
    }
}

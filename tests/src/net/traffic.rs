//! Traders for a network: seeded, each on one node, until they are told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tidemark_client::{Client, ClientError, Sender};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;
use tokio::task::JoinSet;

use crate::harness::{limit, place, signer, FAUCET};
use crate::sim::rng::Rng;

/// How many batches a trader sends between two looks at the marks.
const LOOK_EVERY: u32 = 10;
/// The wait after something went wrong.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Credits each name with `usdc`, and waits for the last deposit's block, which comes after the
/// others'.
///
/// # Errors
/// A sentence when a deposit is refused.
pub async fn fund(client: &Client, names: &[String], usdc: u64) -> Result<(), String> {
    let mut faucet = Sender::new(client.clone(), signer(FAUCET));
    for (index, name) in names.iter().enumerate() {
        let message = v1::MsgDeposit {
            recipient: signer(name).address().to_string(),
            amount_atoms: usdc * 1_000_000,
            ..Default::default()
        };
        // The faucet's next sequences may run ahead of the chain by less than a mempool holds of
        // one account.
        let last = index + 1 == names.len() || index % 32 == 31;
        let wait_for = if last { v1::WaitFor::Committed } else { v1::WaitFor::Accepted };
        faucet
            .submit(&message, wait_for)
            .await
            .map_err(|e| format!("a deposit for {name}: {e}"))?;
    }
    Ok(())
}

/// Draws from a seed.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// A number below `bound`, or 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.bits().checked_rem(bound).unwrap_or(0)
    }

    /// Buy or sell.
    pub fn side(&mut self) -> v1::Side {
        if self.below(2) == 0 {
            v1::Side::Buy
        } else {
            v1::Side::Sell
        }
    }
}

/// Counts of what traders did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Batches that are in a block.
    pub batches: u64,
    /// Their operations.
    pub operations: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Batches of which nobody knew in time whether they are in a block.
    pub unknown: u64,
    /// Anything else that went wrong.
    pub errors: Vec<String>,
}

/// Running traders.
pub struct Traders {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Tally>,
}

impl Traders {
    /// Lets each of `names` trade through the client beside it.
    #[must_use]
    pub fn start(traders: Vec<(String, Client)>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (number, (name, client)) in (1..).zip(traders) {
            let random = Random::new(seed.wrapping_add(number << 32));
            tasks.spawn(trade(name, client, random, Arc::clone(&stop)));
        }
        Self { stop, tasks }
    }

    /// Tells them to stop, and adds up what they did.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        while let Some(tally) = self.tasks.join_next().await {
            let tally = tally.unwrap_or_else(|error| Tally {
                errors: vec![error.to_string()],
                ..Tally::default()
            });
            all.batches += tally.batches;
            all.operations += tally.operations;
            all.refused += tally.refused;
            all.unknown += tally.unknown;
            all.errors.extend(tally.errors);
        }
        all
    }
}

async fn trade(name: String, client: Client, mut random: Random, stop: Arc<AtomicBool>) -> Tally {
    let mut sender = Sender::new(client.clone(), signer(&name));
    let mut tally = Tally::default();
    let mut marks = Vec::new();
    let mut sent: u32 = 0;
    while !stop.load(Ordering::Relaxed) {
        if sent % LOOK_EVERY == 0 {
            marks = match client.markets().await {
                Ok(markets) => markets.iter().map(|(_, state)| state.mark_ticks).collect(),
                Err(error) => {
                    tally.errors.push(format!("{name}: {error}"));
                    break;
                }
            };
        }
        sent = sent.wrapping_add(1);
        let operations: Vec<Operation> =
            (0..1 + random.below(8)).map(|_| operation(&mut random, &marks)).collect();
        match sender.orders(0, operations, v1::WaitFor::Committed).await {
            Ok(done) => {
                tally.batches += 1;
                tally.operations += done.results.len() as u64;
                tally.refused +=
                    done.results.iter().filter(|result| result.code != 0).count() as u64;
            }
            Err(ClientError::Unknown { .. }) => tally.unknown += 1,
            Err(error) => {
                tally.errors.push(format!("{name}: {error}"));
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    tally
}

/// Quotes near the mark, takers, orders that wait or come in parts, cancels, and now and then
/// something that must be refused.
fn operation(random: &mut Random, marks: &[u64]) -> Operation {
    let market = random.below(marks.len() as u64);
    let mark = usize::try_from(market)
        .ok()
        .and_then(|market| marks.get(market))
        .copied()
        .unwrap_or(0)
        .max(1_000);
    let market = u32::try_from(market).unwrap_or(0);
    let side = random.side();
    let away = random.below(mark / 1_000 + 1);
    let behind = if side == v1::Side::Buy { mark - away } else { mark + away };
    let through = if side == v1::Side::Buy { mark + mark / 500 } else { mark - mark / 500 };
    let lots = 1 + random.below(50);
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: if side == v1::Side::Buy { mark + away + 1 } else { mark - away - 1 },
        r#type: v1::OrderType::Market.into(),
        ..limit(market, side, 0, lots)
    };
    match random.below(26) {
        20 => place(stop),
        21 => place(v1::PlaceOrder {
            peg: v1::Peg::Mark.into(),
            peg_offset_ticks: if side == v1::Side::Buy { -1 } else { 1 },
            ..limit(market, side, 0, lots)
        }),
        22 => Operation::Twap(v1::PlaceTwap {
            market,
            side: side.into(),
            lots: lots + 4,
            slices: 4,
            interval_ms: 1_000,
            ..Default::default()
        }),
        23 => Operation::Scale(v1::PlaceScale {
            market,
            side: side.into(),
            from_ticks: behind,
            to_ticks: if side == v1::Side::Buy { behind - 20 } else { behind + 20 },
            lots: lots + 4,
            count: 4,
            post_only: v1::PostOnly::Slide.into(),
            ..Default::default()
        }),
        24 => Operation::Oco(v1::PlaceOco {
            first: Some(limit(market, side, behind, lots)),
            second: Some(v1::PlaceOrder { lots, ..stop }),
        }),
        25 => place(v1::PlaceOrder {
            display_lots: lots.div_ceil(5),
            ..limit(market, side, behind, lots)
        }),
        0..=8 => place(v1::PlaceOrder {
            post_only: v1::PostOnly::Slide.into(),
            ..limit(market, side, behind, lots)
        }),
        9..=12 => place(v1::PlaceOrder {
            time_in_force: v1::TimeInForce::Ioc.into(),
            ..limit(market, side, through, lots)
        }),
        13..=15 => place(limit(market, side, behind, lots)),
        16..=18 => Operation::CancelAll(v1::CancelAll { market: Some(market), side: side.into() }),
        // No such order.
        _ => Operation::Cancel(v1::CancelOrder { market, order_id: u64::MAX, client_id: 0 }),
    }
}

/// The mark of BTC-USD, once there is one and its index is fresh.
pub async fn mark(client: &Client) -> Option<u64> {
    let markets = client.markets().await.ok()?;
    let (_, state) = markets.find("BTC-USD").ok()?;
    (!state.stale && state.mark_ticks > 0).then_some(state.mark_ticks)
}

/// Sends operations of subaccount 0, all of which must be accepted.
///
/// # Panics
/// When one was refused, or the batch did not come into a block.
pub async fn send(sender: &mut Sender, operations: Vec<Operation>) {
    let done =
        sender.orders(0, operations, v1::WaitFor::Committed).await.expect("a committed batch");
    assert!(done.results.iter().all(|result| result.code == 0), "{done:?}");
}

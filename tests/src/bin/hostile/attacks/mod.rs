//! The attackers, each kind in a process of its own.

mod blocks;
mod bundles;
mod floods;
mod peer;
mod readers;

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tidemark_client::Client;
use tidemark_comet::rpc_client::RpcClient;
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::types::{gas, MAX_OPERATIONS};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{secret, signer, CHAIN_ID};
use tokio::task::JoinSet;

use crate::plan::{owners, Plan};
use crate::tally::Tally;

/// How often a process tells its counts.
const TELL: Duration = Duration::from_secs(2);

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The wait after a call that had no answer, or when there is nothing to do.
const PAUSE: Duration = Duration::from_millis(50);

/// An attacker's connections, and its end.
struct Attacker {
    plan: Plan,
    genesis_hash: [u8; 32],
    clients: Vec<Client>,
    comets: Vec<RpcClient>,
    tally: Tally,
    until: Instant,
}

impl Attacker {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    fn client(&self, number: usize) -> &Client {
        &self.clients[number % self.clients.len()]
    }

    fn comet(&self, number: usize) -> &RpcClient {
        &self.comets[number % self.comets.len()]
    }

    fn signer(&self, name: &str) -> Signer {
        signer(name).for_genesis(&self.genesis_hash)
    }

    /// A number that is another one for each name and each turn of this run.
    fn number(&self, name: &str, turn: u64) -> u64 {
        let text = format!("{} {name} {turn}", self.plan.seed);
        let hash: [u8; 32] = Sha256::digest(text).into();
        u64::from_le_bytes(std::array::from_fn(|at| hash[at]))
    }

    /// Submits and counts; the code of a refusal. Rests where there was no answer.
    async fn submit(&self, node: usize, tx: Vec<u8>, wait_for: v1::WaitFor) -> Option<Code> {
        self.tally.sent();
        let answer = self.client(node).submit(tx, wait_for, TIMEOUT).await;
        let is_silent = answer.as_ref().is_err_and(|error| error.code().is_none());
        let code = self.tally.submitted(answer);
        if is_silent {
            tokio::time::sleep(PAUSE).await;
        }
        code
    }

    /// An account's next free sequence, as a node tells it.
    async fn next_sequence(&self, signer: &Signer) -> Option<u64> {
        let account = self.client(0).account(&signer.address().to_string(), None).await;
        if account.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        account.ok().map(|account| account.next_sequence.max(account.sequence))
    }
}

/// The program `hostile attack PLAN KIND`: waits for a line, attacks, and tells its counts, one
/// line of JSON each time. Ends with its time, or when whoever started it has gone.
pub async fn run(plan: &Path, kind: &str) -> Result<(), String> {
    let plan = Plan::read(plan)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| e.to_string())?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_line(&mut String::new());
        std::process::exit(0);
    });
    let tally = Tally::default();
    let attacker = Arc::new(connect(plan, tally.clone()).await?);
    let teller = tokio::spawn(async move {
        loop {
            tell(&tally);
            tokio::time::sleep(TELL).await;
        }
    });
    let mut tasks = JoinSet::new();
    match kind {
        "gap flood" => floods::gaps(&attacker, &mut tasks),
        "byte variants" => floods::variants(&attacker, &mut tasks),
        "unknown signers" => floods::strangers(&attacker, &mut tasks),
        "refused operations" => floods::refused(&attacker, &mut tasks),
        "repeats of a peer" => peer::repeats(&attacker, &mut tasks),
        "remixed bundles" => bundles::remixed(&attacker, &mut tasks),
        "unseen blocks" => blocks::unseen(&attacker, &mut tasks),
        "slow readers" => readers::slow(&attacker, &mut tasks),
        "idle connections" => readers::idle(&attacker, &mut tasks),
        _ => return Err(format!("there is no attack {kind:?}")),
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|e| e.to_string())?;
    }
    teller.abort();
    tell(&attacker.tally);
    Ok(())
}

async fn connect(plan: Plan, tally: Tally) -> Result<Attacker, String> {
    let mut clients = Vec::new();
    for address in &plan.grpc {
        clients.push(Client::connect(address).await.map_err(|e| e.to_string())?);
    }
    let comets = plan.comet.iter().map(|address| RpcClient::new(address));
    Ok(Attacker {
        genesis_hash: plan.genesis()?,
        comets: comets.collect::<Result<_, _>>()?,
        until: Instant::now() + Duration::from_secs(plan.seconds),
        clients,
        plan,
        tally,
    })
}

fn tell(tally: &Tally) {
    let text = serde_json::to_string(&tally.now()).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A batch of the most operations.
fn batch(
    signer: &Signer,
    operation: &Operation,
    options: TxOptions,
) -> Result<Vec<u8>, tidemark_proto::Refusal> {
    let operation = v1::Operation { operation: Some(*operation) };
    let operations = vec![operation; MAX_OPERATIONS];
    signer.sign(v1::MsgOrders { operations, ..Default::default() }, options)
}

/// A stop order with numbers that take many bytes: 512 of them are 39 KB.
fn large_stop() -> Operation {
    Operation::Place(v1::PlaceOrder {
        side: v1::Side::Buy.into(),
        r#type: v1::OrderType::Market.into(),
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 1 << 48,
        price_ticks: 1 << 49,
        lots: 1 << 34,
        client_id: u64::MAX,
        ..Default::default()
    })
}

/// The end of an order that does not exist.
fn unknown_cancel() -> Operation {
    Operation::Cancel(v1::CancelOrder { market: 0, order_id: u64::MAX, client_id: 0 })
}

/// The least gas that an operation may declare in a batch of so many.
const fn least_gas(operation: u64, count: u64) -> u64 {
    gas::TX + operation * count
}

//! The demo accounts: who they are, the faucet that pays them, and the agents that trade for them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemark_client::agent::authorize_agent;
use tidemark_client::key_file::Key;
use tidemark_client::{AgentSender, Client, ClientError, Sender};
use tidemark_proto::tx::{AgentSigner, Signer};
use tidemark_proto::types::Address;
use tidemark_proto::units::SignedLots;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tokio::sync::Mutex;

use super::random::Random;
use super::{with, SharedBoard};

/// The strategy of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Quotes both sides of every market.
    Maker,
    /// Trades small sizes at random, and never lets a position grow large.
    Taker,
    /// Buys one market with all that its margin allows, and holds.
    Degen {
        /// Its market.
        market: &'static str,
        /// Leverage while prices are recorded ones; with made-up prices it is near the most.
        replay_leverage: u64,
    },
}

const fn degen(market: &'static str, replay_leverage: u64) -> Role {
    Role::Degen { market, replay_leverage }
}

/// Every demo account.
pub const TRADERS: &[(&str, Role)] = &[
    ("maker-1", Role::Maker),
    ("maker-2", Role::Maker),
    ("taker-1", Role::Taker),
    ("taker-2", Role::Taker),
    ("taker-3", Role::Taker),
    ("taker-4", Role::Taker),
    ("degen-btc-1", degen("BTC-USD", 12)),
    ("degen-btc-2", degen("BTC-USD", 20)),
    ("degen-btc-3", degen("BTC-USD", 35)),
    ("degen-eth-1", degen("ETH-USD", 10)),
    ("degen-eth-2", degen("ETH-USD", 18)),
    ("degen-sol-1", degen("SOL-USD", 8)),
    ("degen-sol-2", degen("SOL-USD", 15)),
];

impl Role {
    /// Collateral at the start, in USDC.
    #[must_use]
    pub fn collateral_usdc(self) -> u64 {
        match self {
            Self::Maker => 5_000_000,
            Self::Taker => 100_000,
            Self::Degen { market: "SOL-USD", .. } => 4_000,
            Self::Degen { .. } => 2_000,
        }
    }
}

/// Before a busy node is asked again.
const BUSY: Duration = Duration::from_millis(200);

/// Signs deposits. Clones share one key and its sequence.
#[derive(Clone)]
pub struct Faucet {
    sender: Arc<Mutex<Sender>>,
}

impl Faucet {
    /// A faucet on a node.
    ///
    /// # Errors
    /// A sentence when the key is none.
    pub fn new(client: Client, key: &Key, chain_id: &str) -> Result<Self, String> {
        let signer = key.signer(chain_id).map_err(|error| error.to_string())?;
        Ok(Self { sender: Arc::new(Mutex::new(Sender::new(client, signer))) })
    }

    /// Credits an address, and waits for the block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deposit(&self, recipient: &str, usdc: u64) -> Result<(), ClientError> {
        self.send(recipient, usdc, v1::WaitFor::Committed).await
    }

    async fn send(
        &self,
        recipient: &str,
        usdc: u64,
        wait_for: v1::WaitFor,
    ) -> Result<(), ClientError> {
        let amount_atoms = usdc.saturating_mul(1_000_000);
        let message =
            v1::MsgDeposit { recipient: recipient.to_owned(), amount_atoms, ..Default::default() };
        self.sender.lock().await.submit(&message, wait_for).await.map(|_| ())
    }

    /// Credits a trader; a node that has just started may not take transactions yet, and is asked
    /// again.
    async fn pay(&self, trader: &Trader, wait_for: v1::WaitFor) -> Result<(), ClientError> {
        loop {
            let sent = self.send(&trader.address(), trader.role.collateral_usdc(), wait_for).await;
            match &sent {
                Err(error) if matches!(error.code(), Some(Code::Overloaded | Code::NodeBehind)) => {
                    tokio::time::sleep(BUSY).await
                }
                _ => return sent,
            }
        }
    }

    /// Credits every trader. Only the last deposit is waited for: sequences make it the last to be
    /// carried out.
    ///
    /// # Errors
    /// A sentence when a deposit is refused.
    pub async fn fund_all(&self, traders: &[Trader]) -> Result<(), String> {
        for (index, trader) in traders.iter().enumerate() {
            let last = index + 1 == traders.len();
            let wait_for = if last { v1::WaitFor::Committed } else { v1::WaitFor::Accepted };
            self.pay(trader, wait_for)
                .await
                .map_err(|error| format!("the faucet cannot pay {}: {error}", trader.name))?;
        }
        Ok(())
    }
}

/// The key that trades for an owner.
pub struct AgentOf {
    /// Signs for the chain.
    pub signer: AgentSigner,
    /// The owner.
    pub owner: Address,
}

/// A demo account. An agent trades for it: its own key signs that, and nothing else.
pub struct Trader {
    /// Its name, also of its key file.
    pub name: String,
    /// Its strategy.
    pub role: Role,
    sender: AgentSender,
    /// Its own draws.
    pub random: Random,
}

/// So long may a demo account's agent trade: each start of a devnet gives it as much anew.
const AGENT_VALID_MS: u64 = 30 * 86_400_000;

impl Trader {
    /// An account that has not sent anything yet.
    #[must_use]
    pub fn new(name: &str, role: Role, client: Client, agent: AgentOf, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            role,
            sender: AgentSender::new(client, agent.signer, agent.owner),
            random: Random::new(seed, name),
        }
    }

    /// Lets the agent trade for the account, signed by the account's own key.
    ///
    /// # Errors
    /// A sentence when the chain refuses.
    pub fn authorise(
        &self,
        owner: Signer,
        now_ms: u64,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let until_ms = now_ms.saturating_add(AGENT_VALID_MS);
        let message = authorize_agent(&self.sender.key(), v1::AgentScope::Trading, &[], until_ms);
        let mut owner = Sender::new(self.client().clone(), owner);
        let name = self.name.clone();
        async move {
            let authorised = owner.submit(&message, v1::WaitFor::Committed).await;
            authorised
                .map(drop)
                .map_err(|error| format!("{name} cannot authorise its agent: {error}"))
        }
    }

    /// Its bech32 address.
    #[must_use]
    pub fn address(&self) -> String {
        self.sender.owner().to_string()
    }

    /// The node that it trades on.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.sender.client()
    }

    /// Sends a batch, waits for its block, and counts on the board what became of each operation.
    ///
    /// # Errors
    /// [`ClientError`] when the batch as a whole was not carried out, or nobody knows.
    pub async fn send(
        &mut self,
        operations: Vec<Operation>,
        board: &SharedBoard,
    ) -> Result<Vec<v1::OperationResult>, ClientError> {
        let sent = operations.len() as u64;
        with(board, |board| board.traffic.send());
        let (mode, wait_for) = (v1::BatchMode::Each, v1::WaitFor::Committed);
        let submitted = self.sender.batch(0, operations, mode, wait_for).await;
        with(board, |board| {
            board.traffic.settle(submitted.is_ok().then(Instant::now));
            board.orders.sent += sent;
            match &submitted {
                Ok(submitted) => {
                    let refused = submitted
                        .results
                        .iter()
                        .filter_map(|result| Code::from_number(result.code));
                    refused.for_each(|code| board.orders.count(code, 1));
                }
                Err(ClientError::Refused(refusal)) => board.orders.count(refusal.code, sent),
                Err(_) => board.orders.unknown += sent,
            }
        });
        submitted.map(|submitted| submitted.results)
    }

    /// Its only subaccount, if it has one.
    pub async fn account(&self) -> Option<v1::Subaccount> {
        let answer = self.client().account(&self.address(), Some(0)).await.ok()?;
        answer.subaccounts.into_iter().next()
    }
}

/// An account's position in a market.
#[must_use]
pub fn position_lots(account: &v1::Subaccount, market: u32) -> SignedLots {
    account
        .positions
        .iter()
        .find(|position| position.market == market)
        .map_or(SignedLots::ZERO, |position| SignedLots::new(position.lots))
}

//! One connection of a keeper: a decision after each block that it is awake for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use tidemark_client::words::side_word;
use tidemark_client::{usdc, Client, ClientError, Markets, OrderKey, OrderSender, Receipt};
use tidemark_proto::params::MIN_SET_ASIDE_ATOMS;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, Ppm, SignedLots, Ticks};
use tidemark_proto::v1::agent_orders::Keeper;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code, Refusal};

use super::decide::{hedges, takes, top_up, Holdings, MarketSnapshot, MarketSnapshots};
use super::{outlook, Config, Note};

/// A block that is older is the past of a node that catches up: nothing is decided from it.
const OLDEST_BLOCK: Duration = Duration::from_secs(30);
/// Between a set-aside that the chain refused and the next: then others' collateral is back.
const RETRY_BLOCKS: u64 = 50;
/// Between two looks at the metrics page.
const OUTLOOK_EVERY: Duration = Duration::from_secs(30);

/// Connects and keeps until the connection is lost; says why.
pub(super) async fn run(
    config: &Config,
    key: &OrderKey,
    mut tell: impl FnMut(Note),
) -> ClientError {
    match Session::open(config, key, &mut tell).await {
        Ok(mut session) => match session.keep(&mut tell).await {
            Ok(()) => ClientError::Unreachable {
                node: config.node.clone(),
                why: "its stream has ended".into(),
            },
            Err(error) => error,
        },
        Err(error) => error,
    }
}

struct Session<'a> {
    config: &'a Config,
    sender: OrderSender,
    taker_fee_ppm: Ppm,
    /// The amount to set aside, by market.
    targets: BTreeMap<u32, Atoms>,
    /// No decision before the state of this height: what was sent shows in it.
    not_before: u64,
    holdings: Holdings,
    /// The keeper's rows as they were told last, by market.
    told: BTreeMap<u32, v1::Keeper>,
    /// No set-aside before this height: the chain has refused one.
    set_aside_from: u64,
    outlook_at: Option<Instant>,
}

/// The inputs of one decision, all from one node.
struct ChainSnapshot {
    height: u64,
    markets: Markets,
    snapshots: MarketSnapshots,
    account: v1::Subaccount,
    backstop: v1::BackstopResponse,
}

impl<'a> Session<'a> {
    async fn open(
        config: &'a Config,
        key: &OrderKey,
        tell: &mut impl FnMut(Note),
    ) -> Result<Self, ClientError> {
        let client = Client::connect(&config.node).await?;
        let markets = client.markets().await?;
        let mut targets = BTreeMap::new();
        for (symbol, atoms) in &config.markets {
            let (market, _) = markets.find(symbol).map_err(invalid)?;
            if atoms.is_positive() && *atoms < MIN_SET_ASIDE_ATOMS {
                return Err(invalid(format!(
                    "{} USDC cannot be set aside in {symbol}: at least {}",
                    usdc(atoms.get()),
                    usdc(MIN_SET_ASIDE_ATOMS.get())
                )));
            }
            targets.insert(market.id, *atoms);
        }
        let tiers = client.params().await?.fee_tiers;
        let taker_fee_ppm =
            tiers.iter().map(|tier| Ppm::new(tier.taker_ppm)).max().unwrap_or_default();
        let sender = key.sender(client).await?;
        let session = Self {
            config,
            sender,
            taker_fee_ppm,
            targets,
            not_before: 0,
            holdings: Holdings::new(),
            told: BTreeMap::new(),
            set_aside_from: 0,
            outlook_at: config.metrics.as_ref().map(|_| Instant::now()),
        };
        let height = session.look().await?.height;
        tell(Note::Connected { node: config.node.clone(), height });
        Ok(session)
    }

    /// One decision after each block; of blocks that came meanwhile only the last counts.
    async fn keep(&mut self, tell: &mut impl FnMut(Note)) -> Result<(), ClientError> {
        let client = self.sender.client().clone();
        let mut blocks = client.block_stream().await?;
        loop {
            let first = blocks.message().await.map_err(|status| client.stream_ended(&status))?;
            let Some(mut block) = first else { return Ok(()) };
            while let Some(next) = blocks.message().now_or_never() {
                match next.map_err(|status| client.stream_ended(&status))? {
                    Some(next) => block = next,
                    None => return Ok(()),
                }
            }
            if block.height >= self.not_before && age(block.time_ms) <= OLDEST_BLOCK {
                self.decide(tell).await?;
            }
            if let (Some(at), Some(address)) = (self.outlook_at, &self.config.metrics) {
                if Instant::now() >= at {
                    outlook::read(address).await.into_iter().for_each(&mut *tell);
                    self.outlook_at = Some(Instant::now() + OUTLOOK_EVERY);
                }
            }
        }
    }

    async fn look(&self) -> Result<ChainSnapshot, ClientError> {
        let client = self.sender.client();
        let markets = client.markets().await?;
        let backstop = client.backstop(None).await?;
        let mut answer = client.account(&self.sender.owner(), Some(self.config.subaccount)).await?;
        let account =
            answer.subaccounts.pop().ok_or_else(|| invalid("the subaccount is missing".into()))?;
        let chosen = markets.iter().filter(|(market, _)| self.targets.contains_key(&market.id));
        let snapshots = chosen.map(|(market, state)| {
            let params = state.params.as_ref();
            let trades = params.is_some_and(|params| {
                matches!(params.status(), v1::MarketStatus::Active | v1::MarketStatus::ReduceOnly)
            });
            let snapshot = MarketSnapshot {
                mark_ticks: Ticks::new(state.mark_ticks),
                k: AtomsPerTickLot::new(state.k),
                max_order_lots: params
                    .map_or(Lots::ZERO, |params| Lots::new(params.max_order_lots)),
                live: trades && !state.stale && !state.quarantined,
            };
            (market.id, snapshot)
        });
        Ok(ChainSnapshot {
            height: answer.height.min(backstop.height),
            snapshots: snapshots.collect(),
            markets,
            account,
            backstop,
        })
    }

    async fn decide(&mut self, tell: &mut impl FnMut(Note)) -> Result<(), ClientError> {
        let chain = self.look().await?;
        if chain.height < self.not_before {
            return Ok(());
        }
        let positions =
            chain.account.positions.iter().filter(|entry| self.targets.contains_key(&entry.market));
        let holdings: Holdings =
            positions.map(|entry| (entry.market, SignedLots::new(entry.lots))).collect();
        for (market, lots) in &holdings {
            if !lots.is_zero() && self.holdings.get(market) != Some(lots) {
                tell(Note::TookOver {
                    market: chain.symbol(*market),
                    lots: *lots,
                    height: chain.height,
                });
            }
        }
        self.holdings = holdings;
        self.tell_capacity(&chain, tell);
        self.set_aside(&chain, tell).await?;
        self.take(&chain, tell).await?;
        self.hedge(&chain, tell).await
    }

    /// Tells what the chain holds of the keeper's, where that has changed.
    fn tell_capacity(&mut self, chain: &ChainSnapshot, tell: &mut impl FnMut(Note)) {
        let rows = &chain.account.set_aside;
        let is_gone = |market: &u32| !rows.iter().any(|row| row.market == *market);
        let gone: Vec<u32> = self.told.keys().copied().filter(is_gone).collect();
        let gone = gone.into_iter().filter_map(|market| self.told.remove(&market));
        let gone: Vec<_> =
            gone.map(|row| v1::Keeper { market: row.market, ..Default::default() }).collect();
        for row in rows.iter().chain(&gone) {
            let had = match row.set_aside_atoms {
                0 => None,
                _ => self.told.insert(row.market, row.clone()),
            };
            if had.as_ref() != Some(row) {
                tell(Note::Capacity {
                    market: chain.symbol(row.market),
                    atoms: Atoms::new(i128::from(row.set_aside_atoms)),
                    lasting: Atoms::new(i128::from(row.lasting_atoms)),
                    back_at: row.back_at_height,
                    made_room: row.made_room,
                });
            }
        }
    }

    async fn set_aside(
        &mut self,
        chain: &ChainSnapshot,
        tell: &mut impl FnMut(Note),
    ) -> Result<(), ClientError> {
        if chain.height < self.set_aside_from {
            return Ok(());
        }
        let mut withdrawable =
            Atoms::new(i128::from(chain.account.withdrawable_atoms)).max(Atoms::ZERO);
        for (market, target) in self.targets.clone() {
            let own = chain.account.set_aside.iter().filter(|row| row.market == market);
            let now: Atoms =
                own.map(|row| Atoms::new(i128::from(row.set_aside_atoms)).max(Atoms::ZERO)).sum();
            let top_up = top_up(target, MIN_SET_ASIDE_ATOMS, now, withdrawable);
            let Some(atoms) = top_up else { continue };
            withdrawable = (withdrawable - (atoms - now)).max(Atoms::ZERO);
            let symbol = chain.symbol(market);
            let set_aside_atoms = u64::try_from(atoms.get())
                .map_err(|_| invalid(format!("{atoms} atoms are more than 64 bits hold")))?;
            let message = Keeper::SetAside(v1::SetAside { market, set_aside_atoms });
            let what = ("set-aside", symbol.as_str());
            if self.send(What::Keeper(message), what, tell).await?.is_some() {
                tell(Note::SetAside { market: symbol, atoms });
            } else if !self.config.dry_run {
                self.set_aside_from = chain.height + RETRY_BLOCKS;
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        chain: &ChainSnapshot,
        tell: &mut impl FnMut(Note),
    ) -> Result<(), ClientError> {
        let limits = &self.config.limits;
        let own = chain.account.account_id;
        let listed = &chain.backstop.listed;
        for take in takes(limits, &chain.snapshots, &self.holdings, listed, own, self.taker_fee_ppm)
        {
            let message = Keeper::TakeListed(v1::TakeListed {
                market: take.market,
                account_id: take.account_id,
                lots: take.lots.get(),
            });
            let symbol = chain.symbol(take.market);
            let sent = self.send(What::Keeper(message), ("takeover", &symbol), tell).await?;
            if let Some(height) = sent.and_then(|receipt| receipt.height) {
                let (account_id, lots, edge_ppm) = (take.account_id, take.lots, take.edge_ppm);
                tell(Note::Asked { market: symbol, account_id, lots, edge_ppm });
                // It is served in the next block's sweep.
                self.not_before = self.not_before.max(height + 1);
            }
        }
        Ok(())
    }

    async fn hedge(
        &mut self,
        chain: &ChainSnapshot,
        tell: &mut impl FnMut(Note),
    ) -> Result<(), ClientError> {
        let orders = hedges(&self.config.limits, &chain.snapshots, &self.holdings, chain.height);
        for order in orders {
            let symbol = chain.symbol(order.market);
            let sent = self.send(What::Order(order), ("hedge", &symbol), tell).await?;
            let Some(submitted) = sent else { continue };
            let height = submitted.height.unwrap_or(0);
            for result in &submitted.results {
                let side = side_word(order.side());
                if result.filled_lots > 0 {
                    let (lots, limit_ticks) =
                        (Lots::new(result.filled_lots), Ticks::new(order.price_ticks));
                    tell(Note::Hedged { market: symbol.clone(), side, lots, limit_ticks, height });
                } else if result.code != Code::Ok.number() && result.code != Code::Unfilled.number()
                {
                    let why = result.message.clone();
                    tell(Note::Refused { what: "hedge", market: symbol.clone(), why });
                }
            }
        }
        Ok(())
    }

    /// Sends, unless it is a dry run; a refusal is told, and is no reason to end.
    async fn send(
        &mut self,
        message: What,
        (what, market): (&'static str, &str),
        tell: &mut impl FnMut(Note),
    ) -> Result<Option<Receipt>, ClientError> {
        if self.config.dry_run {
            tell(Note::WouldSend { what: format!("{what} in {market}: {message:?}") });
            return Ok(None);
        }
        let (subaccount, wait_for) = (self.config.subaccount, v1::WaitFor::Committed);
        let sent = match message {
            What::Keeper(message) => self.sender.keep(subaccount, message, wait_for).await,
            What::Order(order) => {
                self.sender.orders(subaccount, vec![Operation::Place(order)], wait_for).await
            }
        };
        match sent {
            Ok(receipt) => {
                self.not_before = self.not_before.max(receipt.height.unwrap_or(0));
                Ok(Some(receipt))
            }
            Err(ClientError::Refused(refusal)) => {
                tell(Note::Refused { what, market: market.to_owned(), why: refusal.to_string() });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A message of the keeper's.
#[derive(Debug)]
enum What {
    Keeper(Keeper),
    Order(v1::PlaceOrder),
}

impl ChainSnapshot {
    fn symbol(&self, market: u32) -> String {
        self.markets
            .by_id(market)
            .map_or_else(|| market.to_string(), |market| market.symbol.clone())
    }
}

fn age(time_ms: u64) -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_millis(time_ms));
    since.unwrap_or_default()
}

fn invalid(why: String) -> ClientError {
    Refusal::new(Code::InvalidArgument, why).into()
}

//! The chain on which a program runs: the production state machine without signatures and
//! consensus, the honest people around the owner, and the block-by-block run.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemark_engine::events::BlockEvents;
use tidemark_engine::exec::{execute, Block, PriceBallot};
use tidemark_engine::state::{State, Validator};
use tidemark_oracle::report::PriceReport;
use tidemark_proto::types::{Address, DecodedTx, Message, Operation, Place, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, MarketId, Side, Ticks, TimeMs};

use super::deeds::{cancel_all, order, orders, place};
use super::people::People;
use super::program::Program;
use super::verdict::{Ledger, Verdict};
use super::weather::{moved, Book, Weather, INDEX_TICKS};
use crate::harness::{ballot, genesis, test_market, CHAIN_ID, GENESIS_MS};

/// The insurance fund, in USDC.
pub const FUND_USDC: u64 = 1_000_000;

const MARKET: MarketId = MarketId::ZERO;
/// Atoms per tick·lot.
const K: i128 = 10;
/// Blocks after the last step: what a program has set going ends.
const AFTERMATH: u32 = 40;
/// Blocks before a program, and their interval: the strangers' lots are not fresh any more (rules
/// §7.14).
const AGEING_BLOCKS: u32 = 160;
const AGEING_INTERVAL_MS: u64 = 8_000;
/// Block time of the first block: the hour of funding ends 5 minutes after a program begins.
const FIRST_MS: u64 = 55 * 60_000 - AGEING_BLOCKS as u64 * AGEING_INTERVAL_MS;

/// A chain at a block, and who is on it.
pub struct World {
    /// The state machine.
    pub state: State,
    /// Everybody.
    pub people: People,
    /// Their surroundings.
    pub weather: Weather,
    /// The index that was reported last.
    pub index_ticks: u64,
    /// Blocks since the program began.
    pub block: u32,
    pub(super) now_ms: u64,
    quoted_ticks: u64,
    pending: Vec<(Address, Message)>,
}

impl World {
    /// The chain of a weather, before a program: everybody has collateral, two strangers hold
    /// positions at 45x, one has a stop.
    ///
    /// # Panics
    /// When the chain does not start.
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        let params = test_market("BTC-USD", 100_000_000, 100_000, 50);
        let validators = vec![Validator::new([1; 20], [1; 32], 10)];
        let genesis = genesis(vec![params], FUND_USDC);
        let mut state = State::genesis(&genesis, CHAIN_ID, TimeMs::new(GENESIS_MS), validators)
            .expect("a valid genesis");
        state.chain.params.max_block_gas = u64::MAX;
        let now_ms = GENESIS_MS - GENESIS_MS % 3_600_000 + 3_600_000 + FIRST_MS;
        let mut world = Self {
            state,
            people: People::new(),
            weather: Weather {
                index: super::weather::Index::Quiet,
                interval_ms: AGEING_INTERVAL_MS,
                ..weather
            },
            index_ticks: INDEX_TICKS,
            block: 0,
            now_ms,
            quoted_ticks: 0,
            pending: Vec::new(),
        };
        world.fund();
        world.run_block();
        world.open();
        for _ in 0..AGEING_BLOCKS {
            world.run_block();
        }
        (world.weather, world.block) = (weather, 0);
        world
    }

    /// A copy on which a program runs.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            state: self.state.fork(),
            people: self.people.clone(),
            pending: self.pending.clone(),
            ..*self
        }
    }

    pub(super) fn send(&mut self, who: Address, message: Message) {
        self.pending.push((who, message));
    }

    /// The account of an address's subaccount 0.
    #[must_use]
    pub fn account(&self, who: &Address) -> Option<AccountId> {
        self.state.account_id(self.state.owner_id(who)?, 0)
    }

    /// Carries out one block with what was sent.
    pub fn run_block(&mut self) -> BlockEvents {
        let index = self.weather.index_ticks(self.block, self.index_ticks);
        self.index_ticks = index.unwrap_or(self.index_ticks);
        self.quote();
        let height = self.state.chain.height + 1;
        let block = Block {
            height,
            time_ms: TimeMs::new(self.now_ms),
            hash: Sha256::digest(height.to_le_bytes()).into(),
            proposer: [1; 20],
            ballots: index.map(|ticks| self.ballot(ticks)).into_iter().collect(),
            txs: self.transactions(),
        };
        let events = execute(&mut self.state, &block, &mut |_| ());
        self.block += 1;
        self.now_ms += self.weather.pace_ms(self.block);
        events
    }

    fn ballot(&self, ticks: u64) -> PriceBallot {
        let index = Some(Ticks::new(ticks));
        let external_ticks = index.filter(|_| self.weather.has_external);
        ballot(
            &self.state,
            vec![PriceReport { market: MARKET, index_ticks: index, external_ticks }],
        )
    }

    /// The pending messages as transactions, without signatures.
    fn transactions(&mut self) -> Vec<Result<Arc<DecodedTx>, tidemark_proto::Refusal>> {
        let mut next: BTreeMap<Address, u64> = BTreeMap::new();
        let mut decoded = Vec::new();
        for (at, (signer, message)) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let owner = self.state.owner_id(&signer).and_then(|id| self.state.owners.get(id));
            let sequence =
                next.entry(signer).or_insert_with(|| owner.map_or(0, |owner| owner.sequence));
            let name = [self.state.chain.height, at as u64].map(u64::to_le_bytes).concat();
            decoded.push(Ok(Arc::new(DecodedTx {
                hash: Sha256::digest(name).into(),
                signer,
                agent: None,
                sequence: *sequence,
                timeout_height: 0,
                gas_limit: u64::from(u32::MAX),
                message,
                size: 200,
            })));
            *sequence += 1;
        }
        decoded
    }

    /// The maker renews its quotes when the index has moved; another honest quote expires with
    /// each block.
    fn quote(&mut self) {
        let (maker, quoter) = (self.people.maker, self.people.quoter);
        let at = self.index_ticks;
        if self.block > 0 {
            let expires_ms = TimeMs::new(self.now_ms + 1);
            let time_in_force = TimeInForce::Gtt { expires_ms };
            let post_only = PostOnly::Slide;
            let quote = Place { time_in_force, post_only, ..order(Side::Sell, moved(at, 10), 10) };
            self.send(quoter, place(quote));
        }
        let levels: &[(i32, u64)] = match self.weather.book {
            Book::Empty => return,
            Book::Thin => &[(10, 20_000)],
            Book::Full => &[(5, 100_000), (10, 200_000), (20, 200_000), (40, 300_000)],
        };
        if self.account(&maker).is_none() || self.quoted_ticks == at {
            return;
        }
        self.quoted_ticks = at;
        self.send(maker, orders(0, vec![cancel_all()]));
        let both = |(bps, amount): &(i32, u64)| {
            [(Side::Buy, -bps), (Side::Sell, *bps)].map(|(side, bps)| {
                let ticks = moved(at, bps);
                let lots = amount * 1_000_000 / (ticks * K as u64);
                Operation::Place(Place { post_only: PostOnly::Slide, ..order(side, ticks, lots) })
            })
        };
        let operations = levels.iter().flat_map(both).collect();
        self.send(maker, orders(0, operations));
    }

    /// Carries out a program, its aftermath included, and says what it did.
    #[must_use]
    pub fn run(mut self, program: &Program) -> Verdict {
        let mut ledger = Ledger::new(&self);
        let last = super::weather::HORIZON - AFTERMATH;
        let mut steps = program.0.iter().peekable();
        let mut due = steps.peek().map_or(0, |step| u32::from(step.wait));
        let settled_at = self.weather.settled_at();
        while (steps.peek().is_some() || self.block < settled_at) && self.block < last {
            while let Some(step) = steps.next_if(|_| self.block >= due) {
                self.act(step.who, step.action);
                if let Some(next) = steps.peek() {
                    due = self.block + u32::from(next.wait);
                }
            }
            self.step(&mut ledger);
        }
        for _ in 0..AFTERMATH {
            self.step(&mut ledger);
        }
        ledger.verdict(&self)
    }

    fn step(&mut self, ledger: &mut Ledger) {
        let index_before = self.index_ticks;
        let lots_before = ledger.lots(self);
        let events = self.run_block();
        ledger.take(self, index_before, lots_before, &events);
    }

    /// The code with which a message would be answered in the next block.
    #[must_use]
    pub fn answer(&self, who: &Address, message: Message) -> &'static str {
        let mut world = self.fork();
        world.pending.clear();
        world.send(*who, message);
        let events = world.run_block();
        let own = events.txs.iter().find(|tx| tx.signer == Some(*who));
        own.map_or("", |tx| crate::harness::word(tx))
    }

    /// The one market.
    pub const MARKET: MarketId = MARKET;
    /// Atoms per tick·lot.
    pub const K: i128 = K;
}

//! One market as the state holds it, and the table of all markets.

use std::ops::{Deref, DerefMut};

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_matching::Book;
use tidemark_oracle::impact::Impact;
use tidemark_oracle::index::IndexState;
use tidemark_oracle::mark::{LastTrade, MarkState};
use tidemark_proto::params::MarketStatus;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, SignedLots, Ticks};
use tidemark_risk::{Market, Markets, MarketsMut};

use super::allowance::PlacedIds;
use super::conditional::ConditionalOrders;
use super::ended::EndedClientIds;
use super::failure::Failure;
use super::filled::FilledLots;
use super::totals_cache::TotalsCache;
use crate::refusal::Refusal;

/// A market without its orders.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MarketCell {
    /// Parameters, mark, funding, open interest.
    pub market: Market,
    /// The index from the validators' reports.
    pub index: IndexState,
    /// Averages behind the mark.
    pub mark: MarkState,
    /// The last trade.
    pub last_trade: Option<LastTrade>,
    /// Impact prices that the last block's book showed for the mark; `None` without the depth on
    /// both sides.
    pub last_impact: Option<Impact>,
    /// The next mark's impact prices: of each side the less favourable of the last two blocks'.
    pub impact: Option<Impact>,
    /// Best bid and ask after the last block.
    pub top: (Option<Ticks>, Option<Ticks>),
    /// Why the market was quarantined; positions are kept.
    pub quarantined: Option<Failure>,
    /// The admin asked to end the quarantine: it ends once an audit passes.
    pub quarantine_lift_requested: bool,
    /// Updates of the book so far: the sequence of its stream.
    pub book_sequence: u64,
    /// Positions below maintenance that the last sweep left open, for keepers; at most
    /// [`MAX_LISTED`].
    pub listed: Vec<ListedPosition>,
    /// Takeovers to be served in the next sweep; at most [`MAX_TAKEOVERS`].
    pub takeovers: Vec<Takeover>,
    /// The final settlement, once the market is being closed.
    pub settlement: Option<Settlement>,
    /// The blocks that placed the last orders, for the allowances of their owners.
    pub placed: PlacedIds,
}

/// Most listed positions of one market.
pub const MAX_LISTED: usize = 256;

/// Most takeovers of one market that wait.
pub const MAX_TAKEOVERS: usize = 256;

/// A position that keepers may ask for (rules §7.10), as the sweep left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ListedPosition {
    /// The account that owns it.
    pub account: AccountId,
    /// Positive is long.
    pub lots: SignedLots,
    /// The zero price of all of it at this block's mark.
    pub zero_price_ticks: Ticks,
    /// The account's equity.
    pub equity_atoms: Atoms,
    /// The account's maintenance margin.
    pub maintenance_atoms: Atoms,
}

/// A keeper's request for part of a listed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Takeover {
    /// The keeper.
    pub keeper: AccountId,
    /// The account that holds the position.
    pub account: AccountId,
    /// At most so many.
    pub lots: Lots,
}

/// The progress of a market's final settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settlement {
    /// The last good index, at which every position is settled; 0 in a market that never had an
    /// index, where nobody has a position.
    pub price_ticks: Ticks,
    /// The stage under way.
    pub stage: SettlementStage,
}

/// The stages of a final settlement; one stage's work may take several blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SettlementStage {
    /// Orders are cancelled.
    Orders,
    /// Accounts whose equity is below 0 at the price: the fund pays, the rest is deleveraged. From
    /// this account id on.
    Insolvent(AccountId),
    /// Longs are closed against shorts at the price.
    Positions {
        /// No account below it is long.
        longs: AccountId,
        /// No account below it is short.
        shorts: AccountId,
    },
    /// Nothing is left.
    Done,
}

impl MarketCell {
    /// A market at listing.
    #[must_use]
    pub fn new(market: Market) -> Self {
        Self {
            market,
            index: IndexState::default(),
            mark: MarkState::default(),
            last_trade: None,
            last_impact: None,
            impact: None,
            top: (None, None),
            quarantined: None,
            quarantine_lift_requested: false,
            book_sequence: 0,
            listed: Vec::new(),
            takeovers: Vec::new(),
            settlement: None,
            placed: PlacedIds::default(),
        }
    }

    /// Returns true if a final settlement is under way and may go on.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        let under_way = |of: &Settlement| of.stage != SettlementStage::Done;
        self.quarantined.is_none() && self.settlement.as_ref().is_some_and(under_way)
    }

    /// Returns true if the market trades and liquidates: it is not paused, closed or quarantined.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let status = self.market.params.status;
        self.quarantined.is_none()
            && matches!(status, MarketStatus::Active | MarketStatus::ReduceOnly)
    }
}

/// One market with its book and its conditional orders.
#[derive(Clone, Debug)]
pub struct MarketSlot {
    /// Parameters, prices and funding.
    pub cell: MarketCell,
    /// Resting orders.
    pub book: Book,
    /// Orders off the book, and resting ones that others depend on.
    pub conditional: ConditionalOrders,
    /// Client ids of orders that have ended.
    pub ended: EndedClientIds,
    /// Lots that resting orders have traded.
    pub filled: FilledLots,
    /// Totals of open orders that this block has worked out; derived, and empty between blocks.
    pub order_totals: TotalsCache,
}

impl MarketSlot {
    /// A market at listing.
    #[must_use]
    pub fn new(market: Market) -> Self {
        Self {
            cell: MarketCell::new(market),
            book: Book::new(),
            conditional: ConditionalOrders::default(),
            ended: EndedClientIds::default(),
            filled: FilledLots::default(),
            order_totals: TotalsCache::default(),
        }
    }
}

/// All markets, by id from 0.
#[derive(Clone, Debug, Default)]
pub struct MarketSlots(Vec<MarketSlot>);

impl MarketSlots {
    /// Appends a market: its id is the number of markets before it.
    pub fn push(&mut self, slot: MarketSlot) {
        self.0.push(slot);
    }

    /// The ids of all markets, ascending.
    pub fn ids(&self) -> impl Iterator<Item = MarketId> + 'static {
        (0..self.0.len()).map_while(MarketId::from_index)
    }

    /// Every market without its orders, by id.
    pub fn cells(&self) -> impl Iterator<Item = &MarketCell> {
        self.0.iter().map(|slot| &slot.cell)
    }

    /// Every market without its orders, by id, to be changed.
    pub fn cells_mut(&mut self) -> impl Iterator<Item = &mut MarketCell> {
        self.0.iter_mut().map(|slot| &mut slot.cell)
    }

    /// The market of an id that the chain holds: one that was looked up before, or that an account
    /// has an entry for.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "only ids of listed markets are stored")]
    pub fn slot(&self, id: MarketId) -> &MarketSlot {
        &self.0[id.index()]
    }

    /// The market of an id that the chain holds, to be changed.
    #[expect(clippy::indexing_slicing, reason = "only ids of listed markets are stored")]
    pub fn slot_mut(&mut self, id: MarketId) -> &mut MarketSlot {
        &mut self.0[id.index()]
    }
}

impl Deref for MarketSlots {
    type Target = [MarketSlot];

    fn deref(&self) -> &[MarketSlot] {
        &self.0
    }
}

impl DerefMut for MarketSlots {
    fn deref_mut(&mut self) -> &mut [MarketSlot] {
        &mut self.0
    }
}

impl Markets for MarketSlots {
    fn market(&self, id: MarketId) -> Option<&Market> {
        self.0.get(id.index()).map(|slot| &slot.cell.market)
    }
}

impl MarketsMut for MarketSlots {
    fn market_mut(&mut self, id: MarketId) -> Option<&mut Market> {
        self.0.get_mut(id.index()).map(|slot| &mut slot.cell.market)
    }
}

/// The refusal of a market id that is not listed.
#[must_use]
pub(crate) fn unknown_market(id: impl Into<u32>, listed: usize) -> Refusal {
    Refusal::UnknownMarket { market: id.into(), listed }
}

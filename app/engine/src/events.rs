//! The events of a block for market data, fills and metrics. Nothing here feeds back into
//! consensus.

use tidemark_matching::OrderView;
use tidemark_oracle::index::IndexStep;
use tidemark_oracle::report::{Report, ReportError};
use tidemark_proto::types::{ConditionalOrder, LiquidationStage, PostOnly};
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Ppm, Side, SignedLots, Ticks, TimeMs,
};
use tidemark_proto::Code;
use tidemark_risk::zero_price::ZeroTerms;

use crate::outcome::{TwapSlice, TxOutcome};
use crate::refusal::Refusal;
use crate::state::conditional::Pegged;
use crate::state::merkle::Hash;

/// The events of one block, in order.
#[derive(Clone, Debug, Default)]
pub struct BlockEvents {
    /// Height of the block.
    pub height: u64,
    /// Its time.
    pub time_ms: TimeMs,
    /// The app hash after it.
    pub app_hash: Hash,
    /// Outcomes of senders' transactions: those of the block's own list, then those that stand by
    /// themselves, each in block order.
    pub txs: Vec<TxOutcome>,
    /// In order; an event's sequence is `height·2²⁴ + index`.
    pub events: Vec<Event>,
    /// Books that changed.
    pub books: Vec<BookDelta>,
    /// Violated invariants, as sentences; empty in a healthy chain.
    pub violations: Vec<String>,
    /// The validators' price reports.
    pub prices: PriceRound,
    /// Counts of orders and accounts that the block visited.
    pub work: Work,
}

/// A meter of visits: the same block visits the same on every node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Orders that came to rest, traded, shrank or left, and conditional orders whose turn came.
    pub orders: u64,
    /// Accounts that the liquidation sweep examined.
    pub accounts: u64,
}

impl Work {
    /// Counts one order. A meter that is full stays full.
    pub fn visit_order(&mut self) {
        self.orders = self.orders.saturating_add(1);
    }

    /// Counts one account.
    pub fn visit_account(&mut self) {
        self.accounts = self.accounts.saturating_add(1);
    }
}

/// The price reports of a block's extended commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceRound {
    /// The address of the block's proposer, who blanked what is blanked.
    pub proposer: [u8; 20],
    /// Voting power of all validators; 0 in a block without an extended commit.
    pub total_power: u64,
    /// One for each validator, in the commit's order.
    pub votes: Vec<PriceVote>,
    /// One for each market, by id.
    pub markets: Vec<MarketPrices>,
}

/// The price report of one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceVote {
    /// Its address: the first 20 bytes of SHA-256 of its key.
    pub validator: [u8; 20],
    /// Its voting power.
    pub power: u64,
    /// The report, or its absence.
    pub report: VoteReport,
}

/// A validator's part in a block's prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteReport {
    /// Its vote is not in the commit.
    Late,
    /// The proposer left its extension out.
    Blanked,
    /// It voted without a report.
    Nothing,
    /// Its report does not decode.
    Invalid(ReportError),
    /// Its report.
    Prices(Report),
}

impl VoteReport {
    /// The report, if it is one.
    #[must_use]
    pub const fn prices(&self) -> Option<&Report> {
        match self {
            Self::Prices(report) => Some(report),
            Self::Late | Self::Blanked | Self::Nothing | Self::Invalid(_) => None,
        }
    }
}

/// The effect of a block's reports on one market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketPrices {
    /// Voting power that reported its index.
    pub reporting_power: u64,
    /// The step of the index.
    pub step: IndexStep,
}

/// One thing that happened in a market or to an account.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // fields are named by the exchange rules' terms and carry their units
pub enum Event {
    /// An order, or its remainder, rests on the book.
    Rested {
        market: MarketId,
        order_id: OrderId,
        account: AccountId,
        client_id: ClientId,
        side: Side,
        price_ticks: Ticks,
        lots: Lots,
        reduce_only: bool,
        expires_ms: TimeMs,
        /// Most lots that an iceberg order shows at a time; 0 is all.
        display_lots: Lots,
        post_only: PostOnly,
        /// The reference of its price, if it is pegged.
        pegged: Option<Pegged>,
    },
    /// A resting order lost quantity without a trade and rests on.
    Reduced { market: MarketId, order_id: OrderId, account: AccountId, lots: Lots },
    /// An order, or its remainder, left without a trade.
    Removed {
        market: MarketId,
        order_id: OrderId,
        account: AccountId,
        client_id: ClientId,
        lots: Lots,
        code: Code,
        /// The order that closed it: the other one of its pair, or one of the same account that
        /// would have traded with it; 0 where no order did.
        closed_by: OrderId,
        /// It has not traded: what it drew from its owner's allowance does not come back.
        loses_draw: bool,
    },
    /// An order waits for its trigger or its next slice; as it is now.
    Conditional { account: AccountId, order: Box<ConditionalOrder> },
    /// The mark has reached an order's trigger: it was placed, or refused with a code, and waits no
    /// more.
    Triggered {
        market: MarketId,
        order_id: OrderId,
        account: AccountId,
        client_id: ClientId,
        placed_order_id: OrderId,
        /// Reason why its order was refused; `None` if it was placed.
        refusal: Option<Box<Refusal>>,
        /// The part of its trigger reserve that went to the insurance fund.
        forfeited_atoms: Atoms,
    },
    /// A TWAP's slice was placed, or refused with a code.
    Slice {
        market: MarketId,
        order_id: OrderId,
        account: AccountId,
        client_id: ClientId,
        slice: TwapSlice,
        /// The order as it waits on; `None` after its last slice.
        left: Option<Box<ConditionalOrder>>,
    },
    /// A trade.
    Fill(Fill),
    /// A step of a liquidation.
    Liquidation(Box<Liquidation>),
    /// A position was closed against a deleveraged one, at the zero price.
    Adl { market: MarketId, account: AccountId, side: Side, price_ticks: Ticks, lots: Lots },
    /// A keeper took over part of a liquidated position, at its zero price.
    TakenOver {
        market: MarketId,
        account: AccountId,
        side: Side,
        price_ticks: Ticks,
        lots: Lots,
        set_aside_used_atoms: Atoms,
    },
    /// A position was closed by its market's final settlement.
    Settled { market: MarketId, account: AccountId, side: Side, price_ticks: Ticks, lots: Lots },
    /// The market's listed positions changed: the state has the new ones.
    ListedPositions { market: MarketId },
    /// A transaction paid the flat fee for so many operations that its owner's allowance did not
    /// cover.
    FlatFee { account: AccountId, operations: u64, fee_atoms: Atoms },
    /// An hour's funding was paid, at an eighth of this rate.
    Funding { market: MarketId, rate_8h_ppm: Ppm },
}

impl Event {
    /// An order as it rests on a market's book.
    pub(crate) fn rested(market: MarketId, order: &OrderView, pegged: Option<Pegged>) -> Self {
        Self::Rested {
            market,
            order_id: order.order_id,
            account: order.owner,
            client_id: order.client_id,
            side: order.side,
            price_ticks: order.price_ticks,
            lots: order.lots,
            reduce_only: order.reduce_only,
            expires_ms: order.expires_ms.unwrap_or(TimeMs::ZERO),
            display_lots: order.display_lots,
            post_only: order.post_only,
            pegged,
        }
    }
}

/// A trade between a maker and a taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as above
pub struct Fill {
    pub market: MarketId,
    pub price_ticks: Ticks,
    pub lots: Lots,
    pub taker_side: Side,
    pub maker: AccountId,
    pub maker_order_id: OrderId,
    pub maker_client_id: ClientId,
    pub maker_fee_atoms: Atoms,
    pub maker_remaining_lots: Lots,
    pub taker: AccountId,
    pub taker_order_id: OrderId,
    pub taker_client_id: ClientId,
    pub taker_fee_atoms: Atoms,
    pub taker_remaining_lots: Lots,
    /// The taker is the liquidation sweep.
    pub liquidation: bool,
    /// The maker's order had not traded before.
    pub is_makers_first: bool,
    /// The taker's order had not traded before; false of the liquidation sweep.
    pub is_takers_first: bool,
}

/// A step of a liquidation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as above
pub struct Liquidation {
    pub market: MarketId,
    pub account: AccountId,
    pub stage: LiquidationStage,
    pub side: Side,
    pub lots: Lots,
    pub price_ticks: Ticks,
    pub mark_ticks: Ticks,
    pub zero_price_ticks: Ticks,
    pub equity_atoms: Atoms,
    pub maintenance_atoms: Atoms,
    pub fee_atoms: Atoms,
    pub fund_paid_atoms: Atoms,
    pub orders_cancelled: u32,
    pub arithmetic: Arithmetic,
}

/// The arithmetic behind a liquidation step's figures (rules §§7.2 to 7.9). Figures that a
/// stage does not work out are 0 or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arithmetic {
    /// The position before the step.
    pub held_lots: SignedLots,
    /// The worst price at which the step would close.
    pub limit_ticks: Ticks,
    /// σ of the zero price.
    pub sigma_ppm: Ppm,
    /// The zero price of the lots that the step was to close: `zero_price_ticks` is its quote a
    /// lot.
    pub due: Option<ZeroTerms>,
    /// The zero price of the lots that it closed.
    pub closed: Option<ZeroTerms>,
    /// Quote that the account got (positive) or paid for it.
    pub quote_atoms: Atoms,
    /// The most that the liquidation fee could be.
    pub fee_cap_atoms: Atoms,
    /// The fill's shortfall from the zero price; the fund paid it as far as its caps allowed.
    pub fund_owed_atoms: Atoms,
    /// Debt that was booked.
    pub bad_debt_atoms: Atoms,
}

/// Levels of one book that a block changed, and the root after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookDelta {
    /// The book's market.
    pub market: MarketId,
    /// Price, lots, orders; 0 lots where the level is gone.
    pub bids: Vec<(Ticks, Lots, u32)>,
    /// As for bids.
    pub asks: Vec<(Ticks, Lots, u32)>,
    /// The L2 root that the app hash commits to.
    pub l2_root: Hash,
    /// The L3 root that the app hash commits to.
    pub l3_root: Hash,
    /// The id of the book's next order, which the L3 root commits to as well.
    pub next_order_id: OrderId,
}

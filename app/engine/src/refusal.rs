//! Refusals: one variant for each reason, with the bound and the value that it is about.
//!
//! Inside the engine a refusal is numbers. Its sentence is made where a result, an event or an
//! answer is encoded, by [`Refusal::sentence`]; no rule of the engine reads it.

use thiserror::Error;
use tidemark_matching::Reject;
use tidemark_proto::types::{Address, CancelBy};
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, SignedLots, Ticks, TimeMs,
};
use tidemark_proto::Code;
use tidemark_risk::RiskError;

mod agents;
mod allowance;
mod convert;
mod reasons;

pub use agents::AgentRefusal;
pub use allowance::{AllowanceRefusal, Bucket};
pub use reasons::{Dependence, NotReplaceable};

use crate::state::Failure;
use crate::symbol::Symbol;

/// Reason why a transaction or an operation is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentence of a variant documents its fields, which carry their units
pub enum Refusal {
    /// A check of a message or of parameters, made before the engine; it brings its own sentence.
    #[error("{}", .0.message)]
    Stated(Box<tidemark_proto::Refusal>),
    /// A calculation without a result.
    #[error("{0}")]
    Risk(#[from] RiskError),
    /// A refusal by the book.
    #[error("{}", book_sentence(.0))]
    Book(Reject),
    #[error("{0} is beyond 127 bits")]
    Overflow(&'static str),

    // Transactions.
    #[error("{0} is not known here: it needs a deposit first")]
    UnknownSigner(Address),
    #[error("sequence {sequence}, the account is at {next}")]
    SequenceReplayed { sequence: u64, next: u64 },
    #[error("sequence {sequence}, the account is at {next}")]
    SequenceGap { sequence: u64, next: u64 },
    #[error("sequence {sequence}, the account is at {next} and may run to {last}")]
    SequenceTooFar { sequence: u64, next: u64, last: u64 },
    #[error("timeout height {timeout_height}, the next block is {height}")]
    TimedOut { timeout_height: u64, height: u64 },
    #[error("declares {gas} gas, {left} are left of the {max_gas} of a block")]
    GasAboveBlock { gas: u64, left: u64, max_gas: u64 },
    #[error("{left} gas is left of what was declared, the next step takes {needed}")]
    OutOfGas { needed: u64, left: u64 },

    /// A refusal of an agent.
    #[error("{0}")]
    Agent(#[from] AgentRefusal),
    /// A draw that the owner's allowance does not cover.
    #[error("{0}")]
    Allowance(#[from] AllowanceRefusal),
    #[error(
        "the allowance does not cover {beyond} operations, and free collateral does not pay the \
         flat fee for them: {refusal}"
    )]
    FlatFee { beyond: u64, refusal: Box<Refusal> },

    // Look-ups.
    #[error("there is no market {market}; {listed} are listed, with ids from 0")]
    UnknownMarket { market: u32, listed: usize },
    #[error("account {0} does not exist")]
    UnknownAccount(AccountId),
    #[error("subaccount {0} holds nothing: it needs a deposit first")]
    UnknownSubaccount(u32),
    #[error("the account has no live {} in market {market}", OrderName(*.order))]
    UnknownOrder { order: CancelBy, market: MarketId },

    // Collateral.
    #[error("subaccount is {subaccount}, must be below {bound}")]
    SubaccountTooHigh { subaccount: u32, bound: u32 },
    #[error(
        "amount_atoms is {amount_atoms}: {least_atoms} make an address an owner, and from \
         {fee_atoms} on a credit waits for the rest"
    )]
    FirstCreditTooSmall { amount_atoms: Atoms, fee_atoms: Atoms, least_atoms: Atoms },
    #[error(
        "{most} addresses wait for the rest of their first credit; {least_atoms} atoms at once \
         make an address an owner"
    )]
    FirstCreditsFull { most: usize, least_atoms: Atoms },
    #[error(
        "amount_atoms is {amount_atoms}, must be more than {fee_atoms}: the owner has opened \
         {opened} subaccounts, and subaccount {subaccount} costs that"
    )]
    SubaccountFee { subaccount: u32, opened: usize, amount_atoms: Atoms, fee_atoms: Atoms },
    #[error("{0} is not a minter")]
    NotAMinter(Address),
    #[error(
        "amount_atoms is {amount_atoms}, {supply_atoms} are on the chain, at most {most_atoms}"
    )]
    SupplyCap { amount_atoms: Atoms, supply_atoms: Atoms, most_atoms: Atoms },
    #[error("withdrawals are gated up to block {gated_until}, this is {height}")]
    WithdrawalsGated { gated_until: u64, height: u64 },
    #[error("{most} owners wait for money to leave, and the owner is none of them")]
    WithdrawalQueueFull { most: usize },
    #[error("the owner has no withdrawal that waits")]
    NothingQueued,
    #[error("the index of {symbol} is stale and the account has a position or orders there")]
    StaleForRemoval { symbol: Symbol },
    #[error("amount_atoms is {amount_atoms}, withdrawable are {withdrawable_atoms}")]
    AboveWithdrawable { amount_atoms: Atoms, withdrawable_atoms: Atoms },
    #[error("the owner has isolated collateral in {used} markets, at most {most}")]
    TooManyIsolated { used: usize, most: usize },
    #[error("the account has chosen a leverage in {chosen} other markets, at most {most}")]
    TooManyLeverages { chosen: usize, most: usize },
    #[error("{symbol} is isolated for every account")]
    IsolatedOnly { symbol: Symbol },
    #[error("the position is {held_lots} lots and {open} orders are open: both must be 0")]
    MarginModeInUse { held_lots: SignedLots, open: u32 },
    #[error("the subaccount has no isolated position or order in market {0}")]
    NotIsolated(MarketId),
    #[error("the order would leave -{lacking_atoms} atoms of free collateral, must be at least 0")]
    InsufficientCollateral { lacking_atoms: Atoms },
    #[error("free collateral admits {fits_lots} of {lots} lots: {refusal}")]
    Admitted { lots: Lots, fits_lots: Lots, refusal: Box<Refusal> },
    #[error("the order needs {lacking_atoms} atoms more of isolated collateral: {refusal}")]
    IsolatedNotCovered { lacking_atoms: Atoms, refusal: Box<Refusal> },

    // A market's status and prices.
    #[error("{symbol} is quarantined: {why}")]
    Quarantined { symbol: Symbol, why: Failure },
    #[error("{symbol} takes only reduce-only orders")]
    ReduceOnlyMarket { symbol: Symbol },
    #[error("{symbol} is paused: cancels only")]
    Paused { symbol: Symbol },
    #[error("{symbol} is closed")]
    Closed { symbol: Symbol },
    #[error("{symbol} never had an index price")]
    NoIndex { symbol: Symbol },
    #[error(
        "the index of {symbol} is older than {max_age_ms} ms: reduce-only orders and cancels only"
    )]
    StaleIndex { symbol: Symbol, max_age_ms: TimeMs },

    // One order.
    #[error("expires_ms is {expires_ms}, block time is {now_ms}")]
    Expired { expires_ms: TimeMs, now_ms: TimeMs },
    #[error("lots is 0, must be at least 1")]
    NoLots,
    #[error("lots is {lots}, must be at most {most_lots}")]
    TooManyLots { lots: Lots, most_lots: Lots },
    #[error(
        "the order is worth {notional_atoms} atoms at {price_ticks} ticks, must be at least \
         {least_atoms}"
    )]
    WorthTooLittle { notional_atoms: Atoms, price_ticks: Ticks, least_atoms: Atoms },
    #[error("display_lots is {display_lots}, must be at least {least_lots}")]
    DisplayTooSmall { display_lots: Lots, least_lots: Lots },
    #[error("price is {price_ticks} ticks, must be {low_ticks} to {high_ticks}")]
    PriceOutOfBand { price_ticks: Ticks, low_ticks: Ticks, high_ticks: Ticks },
    #[error("{open} open orders, at most {most}")]
    TooManyOpenOrders { open: u32, most: u32 },
    #[error("{resting} reduce-only orders rest on this side, with {more} more at most {most}")]
    TooManyReduceOnly { resting: u32, more: u32, most: u32 },
    #[error("client id {client_id} is that of live order {order_id}")]
    ClientIdTaken { client_id: ClientId, order_id: OrderId },
    #[error(
        "client id {client_id} is that of order {order_id}, among the last that have ended of the \
         account in the market"
    )]
    ClientIdEnded { client_id: ClientId, order_id: OrderId },
    #[error("the position is {held_lots} lots: there is nothing to reduce on this side")]
    NothingToReduce { held_lots: SignedLots },
    #[error("lots is {lots}, the position that it waits to reduce is {held_lots} lots")]
    MoreThanPosition { lots: Lots, held_lots: SignedLots },
    #[error("{waiting} orders wait to reduce the position, with {more} more at most {most}")]
    TooManyExits { waiting: u32, more: u32, most: u32 },
    #[error("open interest could become {open_interest_lots} lots, at most {most_lots}")]
    OpenInterestCap { open_interest_lots: u128, most_lots: Lots },
    #[error(
        "free collateral is below 0 and order {0} increases exposure: cancel such orders first"
    )]
    IncreasingOrdersOpen(OrderId),
    #[error(
        "free collateral would be below 0, and order {order_id} rests at {price_ticks} ticks, \
         worse than the zero price {zero_ticks}: cancel it first"
    )]
    WorseExitOpen { order_id: OrderId, price_ticks: Ticks, zero_ticks: Ticks },
    #[error(
        "the sweep's budget did not reach account {0} in this block: until the next it may only \
         cancel, reduce at its zero price or better, and add collateral"
    )]
    AccountFrozen(AccountId),
    #[error("price is {price_ticks} ticks: less its fee, worse than the zero price {zero_ticks}")]
    WorseThanZeroPrice { price_ticks: Ticks, zero_ticks: Ticks },
    #[error("order {order_id}: {why}")]
    NotReplaceable { order_id: OrderId, why: NotReplaceable },
    #[error("no order that is not pegged rests on this side: there is no best price to follow")]
    NoReferencePrice,
    #[error("the trigger price is {trigger_ticks} ticks, the mark is {mark_ticks}: it is reached")]
    TriggerReached { trigger_ticks: Ticks, mark_ticks: Ticks },
    #[error(
        "the trigger price is {trigger_ticks} ticks: an earlier mark than {mark_ticks} passed it, \
         and orders which that mark reached still wait to be told"
    )]
    TriggerInBacklog { trigger_ticks: Ticks, mark_ticks: Ticks },
    #[error("at this distance from the mark, {mark_ticks} ticks, there is no trigger price")]
    TrailTooFar { mark_ticks: Ticks },
    #[error("order {0} is a TWAP: cancel it and place another")]
    TwapNotReplaceable(OrderId),
    #[error("order {0} closes the whole position: it has no lots to change")]
    WholePositionHasNoLots(OrderId),
    #[error("client id {0} is that of both orders")]
    ClientIdOfBoth(ClientId),

    // Batches and ladders.
    #[error("{0}")]
    BatchDependent(Dependence),
    #[error("operation {operation} of the batch was refused: {}", .refusal.labelled())]
    BatchRefused { operation: usize, refusal: Box<Refusal> },
    #[error("client id {0} is given twice in the batch")]
    ClientIdTwice(ClientId),
    #[error(
        "post-only price {price_ticks} ticks would trade with the best opposite, {best_ticks}"
    )]
    WouldCross { price_ticks: Ticks, best_ticks: Ticks },
    #[error("fill-or-kill for {lots} lots, but only {fillable_lots} can trade")]
    NotFillable { lots: Lots, fillable_lots: Lots },
    #[error("gas for {visits} makers does not reach over {lots} lots")]
    FillOrKillOutOfGas { lots: Lots, visits: u32 },
    #[error("rung {number}: {refusal}")]
    Rung { number: usize, refusal: Box<Refusal> },

    // Settings and keepers.
    #[error("at_ms is {at_ms}, must be {from_ms} to {to_ms}")]
    ScheduleOutOfRange { at_ms: TimeMs, from_ms: TimeMs, to_ms: TimeMs },
    #[error("leverage is {leverage}, must be 1 to {most}, or 0 for the tier's most")]
    LeverageOutOfRange { leverage: u32, most: u32 },
    #[error("at leverage {leverage} free collateral would be {free_atoms} atoms")]
    LeverageNotCovered { leverage: u32, free_atoms: Atoms },
    #[error("set_aside_atoms is {set_aside_atoms}, one keeper sets aside at most {most_atoms}")]
    SetAsideCap { set_aside_atoms: Atoms, most_atoms: Atoms },
    #[error("set_aside_atoms is {set_aside_atoms}, must be 0 or at least {least_atoms}")]
    SetAsideTooSmall { set_aside_atoms: Atoms, least_atoms: Atoms },
    #[error(
        "the market has {most} keepers, the smallest with {smallest_atoms} atoms, and {made_room} \
         of at most {most} that made room"
    )]
    BackstopFull { most: usize, smallest_atoms: Atoms, made_room: usize },
    #[error(
        "subaccount {subaccount} of the same owner has set collateral aside for market {market}"
    )]
    OwnerIsKeeper { subaccount: u32, market: MarketId },
    #[error("subaccount {subaccount} set nothing aside for market {market}")]
    NotAKeeper { subaccount: u32, market: MarketId },
    #[error("account {account} has no listed position in market {market}")]
    NotListed { account: AccountId, market: MarketId },
    #[error("{waiting} takeovers wait, at most {most}")]
    TooManyTakeovers { waiting: usize, most: usize },

    // Administration.
    #[error("{0} is not the admin")]
    NotTheAdmin(Address),
    #[error("symbol {0} is listed already")]
    SymbolListed(Symbol),
    #[error("{0} markets are listed")]
    TooManyMarkets(usize),
    #[error(
        "isolated_only must stay {isolated_only} while there are positions ({open_interest_lots} \
         lots) or orders ({orders})"
    )]
    IsolatedOnlyStays { isolated_only: bool, open_interest_lots: Lots, orders: u32 },
    #[error("symbol, tick_size_e9 and lot_size_e9 must stay {:?}, got {:?}", .0.0, .0.1)]
    UnitsStay(Box<(MarketUnits, MarketUnits)>),
    #[error("{symbol} is being settled for good: its status must stay closed")]
    BeingSettled { symbol: Symbol },
}

/// Symbol, tick size and lot size of a market, in billionths.
pub type MarketUnits = (Symbol, u64, u64);

/// An order as the operation names it.
struct OrderName(CancelBy);

impl std::fmt::Display for OrderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            CancelBy::Order(id) => write!(f, "order {id}"),
            CancelBy::Client(id) => write!(f, "order with client id {id}"),
        }
    }
}

fn book_sentence(reject: &Reject) -> String {
    tidemark_proto::Refusal::from(*reject).message
}

/// Makes [`Refusal::code`] of a table of every variant: one that it forgets does not compile.
macro_rules! codes {
    ($($variant:pat => $code:expr,)+) => {
        impl Refusal {
            /// The code that clients match on.
            #[must_use]
            pub fn code(&self) -> Code {
                match self {
                    $($variant => $code,)+
                }
            }
        }
    };
}

codes! {
    Refusal::Stated(refusal) => refusal.code,
    Refusal::Risk(error) => error.code(),
    Refusal::Book(reject) => reject.code,
    Refusal::Rung { refusal, .. } | Refusal::Admitted { refusal, .. } => refusal.code(),
    Refusal::Overflow(_) => Code::Overflow,
    Refusal::UnknownSigner(_)
    | Refusal::UnknownAccount(_)
    | Refusal::UnknownSubaccount(_) => Code::UnknownAccount,
    Refusal::SequenceReplayed { .. } => Code::SequenceReplayed,
    Refusal::SequenceGap { .. } | Refusal::SequenceTooFar { .. } => Code::SequenceGap,
    Refusal::TimedOut { .. } => Code::TxExpired,
    Refusal::GasAboveBlock { .. }
    | Refusal::OutOfGas { .. }
    | Refusal::FillOrKillOutOfGas { .. } => Code::OutOfGas,
    Refusal::Agent(refusal) => refusal.code(),
    Refusal::Allowance(_) => Code::RateLimited,
    Refusal::FlatFee { refusal, .. } => refusal.code(),
    Refusal::UnknownMarket { .. } => Code::UnknownMarket,
    Refusal::UnknownOrder { .. } => Code::UnknownOrder,
    Refusal::SubaccountTooHigh { .. } | Refusal::SupplyCap { .. } => Code::InvalidArgument,
    Refusal::FirstCreditTooSmall { .. } => Code::FirstCreditTooSmall,
    Refusal::FirstCreditsFull { .. } => Code::FirstCreditsFull,
    Refusal::SubaccountFee { .. } => Code::SubaccountFee,
    Refusal::NotAMinter(_) | Refusal::NotTheAdmin(_) => Code::NotAuthorised,
    Refusal::WithdrawalsGated { .. } => Code::WithdrawalsGated,
    Refusal::WithdrawalQueueFull { .. } => Code::WithdrawalQueueFull,
    Refusal::NothingQueued => Code::NothingQueued,
    Refusal::StaleForRemoval { .. }
    | Refusal::NoIndex { .. }
    | Refusal::StaleIndex { .. } => Code::StaleIndex,
    Refusal::AboveWithdrawable { .. } => Code::InsufficientWithdrawable,
    Refusal::TooManyLeverages { .. } => Code::TooManyLeverages,
    Refusal::TooManyIsolated { .. } => Code::TooManyIsolated,
    Refusal::IsolatedOnly { .. } => Code::IsolatedOnly,
    Refusal::MarginModeInUse { .. } => Code::MarginModeInUse,
    Refusal::NotIsolated(_) => Code::NotIsolated,
    Refusal::InsufficientCollateral { .. }
    | Refusal::IsolatedNotCovered { .. }
    | Refusal::LeverageNotCovered { .. } => Code::InsufficientCollateral,
    Refusal::SymbolListed(_)
    | Refusal::TooManyMarkets(_)
    | Refusal::IsolatedOnlyStays { .. }
    | Refusal::UnitsStay(_) => Code::InvalidParams,

    // Orders, batches, settings and keepers.
    Refusal::Quarantined { .. } | Refusal::Paused { .. } => Code::MarketPaused,
    Refusal::ReduceOnlyMarket { .. } => Code::MarketReduceOnly,
    Refusal::Closed { .. } | Refusal::BeingSettled { .. } => Code::MarketClosed,
    Refusal::Expired { .. } => Code::Expired,
    Refusal::NoLots
    | Refusal::WorthTooLittle { .. }
    | Refusal::DisplayTooSmall { .. } => Code::QuantityTooSmall,
    Refusal::TooManyLots { .. } => Code::QuantityTooLarge,
    Refusal::PriceOutOfBand { .. } | Refusal::TrailTooFar { .. } => Code::PriceOutOfBand,
    Refusal::TooManyOpenOrders { .. }
    | Refusal::TooManyReduceOnly { .. }
    | Refusal::TooManyExits { .. } => Code::TooManyOpenOrders,
    Refusal::ClientIdTaken { .. }
    | Refusal::ClientIdEnded { .. }
    | Refusal::ClientIdOfBoth(_)
    | Refusal::ClientIdTwice(_) => Code::DuplicateClientId,
    Refusal::NothingToReduce { .. }
    | Refusal::MoreThanPosition { .. } => Code::WouldIncrease,
    Refusal::OpenInterestCap { .. } => Code::OpenInterestCap,
    Refusal::IncreasingOrdersOpen(_) => Code::IncreasingOrdersOpen,
    Refusal::AccountFrozen(_) => Code::AccountFrozen,
    Refusal::WorseThanZeroPrice { .. }
    | Refusal::WorseExitOpen { .. } => Code::WorseThanZeroPrice,
    Refusal::NotReplaceable { .. }
    | Refusal::TwapNotReplaceable(_)
    | Refusal::WholePositionHasNoLots(_) => Code::NotReplaceable,
    Refusal::NoReferencePrice => Code::NoReferencePrice,
    Refusal::TriggerReached { .. }
    | Refusal::TriggerInBacklog { .. } => Code::TriggerReached,
    Refusal::BatchDependent(_) => Code::BatchDependent,
    Refusal::BatchRefused { .. } => Code::BatchRefused,
    Refusal::WouldCross { .. } => Code::WouldCross,
    Refusal::NotFillable { .. } => Code::NotFillable,
    Refusal::ScheduleOutOfRange { .. } => Code::ScheduleOutOfRange,
    Refusal::LeverageOutOfRange { .. } => Code::LeverageOutOfRange,
    Refusal::SetAsideCap { .. } => Code::SetAsideCap,
    Refusal::SetAsideTooSmall { .. } => Code::SetAsideTooSmall,
    Refusal::BackstopFull { .. } => Code::BackstopFull,
    Refusal::OwnerIsKeeper { .. } => Code::OwnerIsKeeper,
    Refusal::NotAKeeper { .. } => Code::NotAKeeper,
    Refusal::NotListed { .. } => Code::NotListed,
    Refusal::TooManyTakeovers { .. } => Code::TooManyTakeovers,
}

impl Refusal {
    /// The sentence for people, which names the bound and the value: for whoever encodes a result,
    /// an event or an answer.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.to_string()
    }

    /// The code's word before the sentence.
    #[must_use]
    pub fn labelled(&self) -> String {
        format!("{}: {self}", self.code())
    }

    /// The refusal of what rests on a statement that always holds, and does not.
    #[must_use]
    pub const fn broken(statement: &'static str) -> Self {
        Self::Risk(RiskError::Invariant(statement))
    }

    /// The statement that always holds, where a refusal is for one that does not: a fault of the
    /// engine itself.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<&'static str> {
        match self {
            Self::Risk(RiskError::Invariant(statement)) => Some(statement),
            Self::Rung { refusal, .. }
            | Self::Admitted { refusal, .. }
            | Self::BatchRefused { refusal, .. }
            | Self::FlatFee { refusal, .. }
            | Self::IsolatedNotCovered { refusal, .. } => refusal.broken_invariant(),
            _ => None,
        }
    }

    /// The refusal of an amount that passes 127 bits; `what` names it.
    #[must_use]
    pub const fn overflow(what: &'static str) -> Self {
        Self::Overflow(what)
    }
}

//! Messages in the engine's terms, read from the wire with every field checked.

use cosmrs::Any;
use sha2::{Digest, Sha256};

use super::address::Address;
use crate::codes::{Code, Refusal};
use crate::convert;
use crate::params::MarketParams;
use crate::units::{AccountId, Atoms, Lots, MarketId, OrderId, SelfTradePrevention, Side, Ticks, TimeMs};
use crate::v1;

/// Most operations in one message (rules §10).
pub const MAX_OPERATIONS: usize = 512;

/// What a transaction asks for.
#[allow(missing_docs)] // the fields are those of the wire's messages
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Credit collateral; the signer must be a minter.
    Deposit { recipient: Address, subaccount: u32, amount_atoms: Atoms },
    /// Take collateral off the exchange.
    Withdraw { subaccount: u32, amount_atoms: Atoms },
    /// Move collateral between the signer's subaccounts.
    Transfer { from_subaccount: u32, to_subaccount: u32, amount_atoms: Atoms },
    /// Set a subaccount's leverage in a market; 0 is the tier's maximum.
    SetLeverage { subaccount: u32, market: MarketId, leverage: u32 },
    /// Set a subaccount's self-trade policy.
    SetSelfTradePrevention { subaccount: u32, policy: SelfTradePrevention },
    /// List a market; the signer must be the admin.
    ListMarket(Box<MarketParams>),
    /// Replace a market's parameters; the signer must be the admin.
    UpdateMarket(Box<MarketParams>),
    /// Set whether a subaccount's position in a market is isolated.
    SetMarginMode { subaccount: u32, market: MarketId, isolated: bool },
    /// Move collateral into (positive) or out of a market's isolated collateral.
    AdjustIsolatedMargin { subaccount: u32, market: MarketId, change_atoms: Atoms },
    /// Set what is set aside to take over liquidated positions of a market; 0 withdraws it.
    RegisterBackstop { subaccount: u32, market: MarketId, set_aside_atoms: Atoms },
    /// Ask for part of a listed position at its zero price.
    Takeover { subaccount: u32, market: MarketId, account: AccountId, lots: Lots },
    /// Order operations of one subaccount, each refused alone.
    Orders { subaccount: u32, operations: Vec<Operation> },
}

/// One operation of a batch.
#[allow(missing_docs)] // the fields are those of the wire's messages
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new order.
    Place(Place),
    /// Cancel one order.
    Cancel { market: MarketId, order: CancelBy },
    /// Change one order's price, open quantity, or both; `None` leaves it.
    Replace { market: MarketId, order: CancelBy, price_ticks: Option<Ticks>, lots: Option<Lots> },
    /// Cancel all orders, of one market or all, of one side or both.
    CancelAll { market: Option<MarketId>, side: Option<Side> },
}

impl Operation {
    /// The market that it is about; `None` when it is about all.
    #[must_use]
    pub const fn market(&self) -> Option<MarketId> {
        match self {
            Self::Place(place) => Some(place.market),
            Self::Cancel { market, .. } | Self::Replace { market, .. } => Some(*market),
            Self::CancelAll { market, .. } => *market,
        }
    }
}

/// How an order is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelBy {
    /// By the chain's id.
    Order(OrderId),
    /// By the client's.
    Client(u64),
}

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderType {
    /// At the price or better.
    Limit,
    /// At once, at the protection price or better; price 0 is `mark ± market_slippage`.
    Market,
}

/// How long an order stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// Until this block time.
    Gtt(TimeMs),
    /// What does not trade at once is cancelled.
    Ioc,
    /// All at once, or nothing.
    Fok,
}

/// What an order that must not take does when it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOnly {
    /// It may take.
    Off,
    /// It is refused.
    Reject,
    /// It moves to one tick outside the best opposite price.
    Slide,
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Limit or protection price; 0 only for market orders.
    pub price_ticks: Ticks,
    /// How much.
    pub lots: Lots,
    /// Limit or market.
    pub order_type: OrderType,
    /// How long.
    pub time_in_force: TimeInForce,
    /// Whether it may take.
    pub post_only: PostOnly,
    /// Whether it may only reduce the position.
    pub reduce_only: bool,
    /// The client's id; 0 is none.
    pub client_id: u64,
}

/// Order of execution in a block (rules §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Deposits, transfers, withdrawals, settings.
    Cash = 0,
    /// Cancels only.
    Cancels = 1,
    /// Cancels and post-only orders.
    PostOnly = 2,
    /// The rest.
    Orders = 3,
}

/// The first four bytes of SHA-256(chain id), little endian.
#[must_use]
pub fn chain_tag(chain_id: &str) -> u32 {
    let hash = Sha256::digest(chain_id.as_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// A message with the envelope fields that all have.
pub(super) struct Envelope {
    pub sender: String,
    pub chain_tag: u32,
    pub message: Message,
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}

fn decode<M: prost::Message + Default>(any: &Any) -> Result<M, Refusal> {
    M::decode(any.value.as_slice()).map_err(|error| {
        Refusal::new(Code::TxMalformed, format!("{} does not decode: {error}", any.type_url))
    })
}

fn market_id(id: u32) -> Result<MarketId, Refusal> {
    MarketId::try_from(id)
        .map_err(|_| Refusal::new(Code::UnknownMarket, format!("market id {id} is above {}", MarketId::MAX)))
}

fn params(wire: Option<v1::MarketParams>) -> Result<Box<MarketParams>, Refusal> {
    let wire = wire.ok_or_else(|| invalid("params is missing".into()))?;
    MarketParams::try_from(&wire).map(Box::new)
}

/// Reads a message by its type URL.
pub(super) fn from_any(any: &Any) -> Result<Envelope, Refusal> {
    let envelope = |sender, chain_tag, message| Ok(Envelope { sender, chain_tag, message });
    match any.type_url.as_str() {
        "/tidemark.v1.MsgOrders" => {
            let m: v1::MsgOrders = decode(any)?;
            let count = m.operations.len();
            if !(1..=MAX_OPERATIONS).contains(&count) {
                return Err(Refusal::new(
                    Code::OperationCount,
                    format!("{count} operations, must be 1 to {MAX_OPERATIONS}"),
                ));
            }
            let operations = m.operations.into_iter().enumerate().map(|(index, wire)| {
                operation(wire).map_err(|r| Refusal::new(r.code, format!("operation {index}: {}", r.message)))
            });
            let operations = operations.collect::<Result<_, _>>()?;
            envelope(m.sender, m.chain_tag, Message::Orders { subaccount: m.subaccount, operations })
        }
        "/tidemark.v1.MsgDeposit" => {
            let m: v1::MsgDeposit = decode(any)?;
            let recipient = Address::parse(&m.recipient)?;
            let amount_atoms = convert::amount(m.amount_atoms)?;
            envelope(
                m.sender,
                m.chain_tag,
                Message::Deposit { recipient, subaccount: m.subaccount, amount_atoms },
            )
        }
        "/tidemark.v1.MsgWithdraw" => {
            let m: v1::MsgWithdraw = decode(any)?;
            let amount_atoms = convert::amount(m.amount_atoms)?;
            envelope(m.sender, m.chain_tag, Message::Withdraw { subaccount: m.subaccount, amount_atoms })
        }
        "/tidemark.v1.MsgTransfer" => {
            let m: v1::MsgTransfer = decode(any)?;
            let amount_atoms = convert::amount(m.amount_atoms)?;
            if m.from_subaccount == m.to_subaccount {
                return Err(invalid(format!(
                    "from_subaccount and to_subaccount are both {}",
                    m.to_subaccount
                )));
            }
            let (from_subaccount, to_subaccount) = (m.from_subaccount, m.to_subaccount);
            envelope(
                m.sender,
                m.chain_tag,
                Message::Transfer { from_subaccount, to_subaccount, amount_atoms },
            )
        }
        "/tidemark.v1.MsgSetLeverage" => {
            let m: v1::MsgSetLeverage = decode(any)?;
            let market = market_id(m.market)?;
            let message = Message::SetLeverage { subaccount: m.subaccount, market, leverage: m.leverage };
            envelope(m.sender, m.chain_tag, message)
        }
        "/tidemark.v1.MsgSetSelfTradePrevention" => {
            let m: v1::MsgSetSelfTradePrevention = decode(any)?;
            let policy = convert::self_trade_prevention(m.policy)?;
            let message = Message::SetSelfTradePrevention { subaccount: m.subaccount, policy };
            envelope(m.sender, m.chain_tag, message)
        }
        "/tidemark.v1.MsgListMarket" => {
            let m: v1::MsgListMarket = decode(any)?;
            envelope(m.sender, m.chain_tag, Message::ListMarket(params(m.params)?))
        }
        "/tidemark.v1.MsgUpdateMarket" => {
            let m: v1::MsgUpdateMarket = decode(any)?;
            envelope(m.sender, m.chain_tag, Message::UpdateMarket(params(m.params)?))
        }
        "/tidemark.v1.MsgSetMarginMode" => {
            let m: v1::MsgSetMarginMode = decode(any)?;
            let (subaccount, market) = (m.subaccount, market_id(m.market)?);
            let isolated = match v1::MarginMode::try_from(m.mode) {
                Ok(mode) => mode == v1::MarginMode::Isolated,
                Err(_) => return Err(invalid(format!("mode is {}, must be 0 or 1", m.mode))),
            };
            envelope(m.sender, m.chain_tag, Message::SetMarginMode { subaccount, market, isolated })
        }
        "/tidemark.v1.MsgAdjustIsolatedMargin" => {
            let m: v1::MsgAdjustIsolatedMargin = decode(any)?;
            let (subaccount, market) = (m.subaccount, market_id(m.market)?);
            let size = convert::amount(m.change_atoms.unsigned_abs())?;
            let change_atoms = if m.change_atoms < 0 { -size } else { size };
            envelope(
                m.sender,
                m.chain_tag,
                Message::AdjustIsolatedMargin { subaccount, market, change_atoms },
            )
        }
        "/tidemark.v1.MsgRegisterBackstop" => {
            let m: v1::MsgRegisterBackstop = decode(any)?;
            let (subaccount, market) = (m.subaccount, market_id(m.market)?);
            let set_aside_atoms =
                if m.set_aside_atoms == 0 { 0 } else { convert::amount(m.set_aside_atoms)? };
            envelope(m.sender, m.chain_tag, Message::RegisterBackstop { subaccount, market, set_aside_atoms })
        }
        "/tidemark.v1.MsgTakeover" => {
            let m: v1::MsgTakeover = decode(any)?;
            let (subaccount, market, lots) = (m.subaccount, market_id(m.market)?, m.lots);
            if lots == 0 {
                return Err(Refusal::new(Code::QuantityTooSmall, "lots is 0, must be at least 1"));
            }
            let account = m.account_id;
            envelope(m.sender, m.chain_tag, Message::Takeover { subaccount, market, account, lots })
        }
        other => {
            let shown: String = other.chars().take(80).collect();
            Err(Refusal::new(Code::UnknownMessage, format!("message type {shown:?} is not known")))
        }
    }
}

fn operation(wire: v1::Operation) -> Result<Operation, Refusal> {
    use v1::operation::Operation as Wire;
    match wire.operation {
        None => Err(invalid("has no content".into())),
        Some(Wire::Place(place)) => place_order(&place).map(Operation::Place),
        Some(Wire::Cancel(cancel)) => {
            let market = market_id(cancel.market)?;
            Ok(Operation::Cancel { market, order: named(cancel.order_id, cancel.client_id)? })
        }
        Some(Wire::Replace(replace)) => {
            let market = market_id(replace.market)?;
            let order = named(replace.order_id, replace.client_id)?;
            let given = |value: u64| (value != 0).then_some(value);
            let (price_ticks, lots) = (given(replace.price_ticks), given(replace.lots));
            if price_ticks.is_none() && lots.is_none() {
                return Err(invalid("price_ticks and lots are both 0: nothing to replace".into()));
            }
            Ok(Operation::Replace { market, order, price_ticks, lots })
        }
        Some(Wire::CancelAll(all)) => {
            let market = all.market.map(market_id).transpose()?;
            Ok(Operation::CancelAll { market, side: convert::side(all.side)? })
        }
    }
}

fn named(order_id: u64, client_id: u64) -> Result<CancelBy, Refusal> {
    match (order_id, client_id) {
        (0, 0) => Err(invalid("order_id and client_id are both 0".into())),
        (0, client) => Ok(CancelBy::Client(client)),
        (order, _) => Ok(CancelBy::Order(order)),
    }
}

fn place_order(wire: &v1::PlaceOrder) -> Result<Place, Refusal> {
    let market = market_id(wire.market)?;
    let side = convert::side(wire.side)?.ok_or_else(|| invalid("side is missing".into()))?;
    let order_type = match v1::OrderType::try_from(wire.r#type) {
        Ok(v1::OrderType::Limit) => OrderType::Limit,
        Ok(v1::OrderType::Market) => OrderType::Market,
        Err(_) => return Err(invalid(format!("type is {}, must be 0 or 1", wire.r#type))),
    };
    let time_in_force = match v1::TimeInForce::try_from(wire.time_in_force) {
        Ok(v1::TimeInForce::Gtc) => TimeInForce::Gtc,
        Ok(v1::TimeInForce::Gtt) => TimeInForce::Gtt(wire.expires_ms),
        Ok(v1::TimeInForce::Ioc) => TimeInForce::Ioc,
        Ok(v1::TimeInForce::Fok) => TimeInForce::Fok,
        Err(_) => return Err(invalid(format!("time_in_force is {}, must be 0 to 3", wire.time_in_force))),
    };
    let post_only = match v1::PostOnly::try_from(wire.post_only) {
        Ok(v1::PostOnly::Off) => PostOnly::Off,
        Ok(v1::PostOnly::Reject) => PostOnly::Reject,
        Ok(v1::PostOnly::Slide) => PostOnly::Slide,
        Err(_) => return Err(invalid(format!("post_only is {}, must be 0 to 2", wire.post_only))),
    };
    let rests = matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Gtt(_));
    let place = Place {
        market,
        side,
        price_ticks: wire.price_ticks,
        lots: wire.lots,
        order_type,
        time_in_force,
        post_only,
        reduce_only: wire.reduce_only,
        client_id: wire.client_id,
    };
    match (order_type, post_only) {
        (OrderType::Market, PostOnly::Reject | PostOnly::Slide) => {
            Err(invalid("a market order cannot be post-only".into()))
        }
        (OrderType::Market, PostOnly::Off) if matches!(time_in_force, TimeInForce::Gtt(_)) => {
            Err(invalid("a market order cannot be good till a time".into()))
        }
        (OrderType::Limit, _) if wire.price_ticks == 0 => {
            Err(Refusal::new(Code::PriceOutOfBand, "price_ticks is 0, must be at least 1"))
        }
        (OrderType::Limit, PostOnly::Reject | PostOnly::Slide) if !rests => {
            Err(invalid("a post-only order cannot be immediate".into()))
        }
        _ => Ok(place),
    }
}

impl Message {
    /// When in a block it runs (rules §8). With `cancels_first` off, cancels run among the orders.
    #[must_use]
    pub fn class(&self, cancels_first: bool) -> Class {
        let Self::Orders { operations, .. } = self else { return Class::Cash };
        let class_of = |operation: &Operation| match operation {
            Operation::Cancel { .. } | Operation::CancelAll { .. } => Class::Cancels,
            Operation::Place(place) if place.post_only != PostOnly::Off => Class::PostOnly,
            Operation::Place(_) | Operation::Replace { .. } => Class::Orders,
        };
        let highest = operations.iter().map(class_of).max().unwrap_or(Class::Orders);
        if cancels_first {
            highest
        } else {
            Class::Orders
        }
    }

    /// Gas by what the message may do, from the message alone (rules §10).
    #[must_use]
    pub fn gas(&self) -> u64 {
        const TX: u64 = 1_000;
        let operation = |operation: &Operation| match operation {
            Operation::Cancel { .. } => 50,
            Operation::CancelAll { .. } => 500,
            Operation::Place(place) if place.post_only != PostOnly::Off => 100,
            Operation::Place(_) | Operation::Replace { .. } => 200,
        };
        match self {
            Self::Orders { operations, .. } => TX + operations.iter().map(operation).sum::<u64>(),
            Self::ListMarket(_) | Self::UpdateMarket(_) => 10 * TX,
            _ => TX,
        }
    }

    /// How many operations it carries.
    #[must_use]
    pub fn operations(&self) -> usize {
        match self {
            Self::Orders { operations, .. } => operations.len(),
            _ => 1,
        }
    }
}

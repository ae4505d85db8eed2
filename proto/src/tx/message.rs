//! Messages in the engine's terms, read from the wire with every field checked.

use cosmrs::Any;
use sha2::{Digest, Sha256};

use super::address::Address;
use crate::codes::{Code, Refusal};
use crate::convert;
use crate::params::MarketParams;
use crate::units::{AccountId, Atoms, Lots, MarketId, SelfTradePrevention};
use crate::v1;

use super::operation::{operation, Operation};

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
    /// Order operations of one subaccount, each refused alone, or all of them together.
    Orders { subaccount: u32, operations: Vec<Operation>, all_or_none: bool },
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

pub(super) fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}

fn decode<M: prost::Message + Default>(any: &Any) -> Result<M, Refusal> {
    M::decode(any.value.as_slice()).map_err(|error| {
        Refusal::new(Code::TxMalformed, format!("{} does not decode: {error}", any.type_url))
    })
}

pub(super) fn market_id(id: u32) -> Result<MarketId, Refusal> {
    MarketId::try_from(id).map_err(|_| {
        Refusal::new(Code::UnknownMarket, format!("market id {id} is above {}", MarketId::MAX))
    })
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
                operation(wire)
                    .map_err(|r| Refusal::new(r.code, format!("operation {index}: {}", r.message)))
            });
            let operations = operations.collect::<Result<_, _>>()?;
            let all_or_none = match v1::BatchMode::try_from(m.mode) {
                Ok(v1::BatchMode::Each) => false,
                Ok(v1::BatchMode::All) => true,
                Err(_) => return Err(invalid(format!("mode is {}, must be 0 or 1", m.mode))),
            };
            let subaccount = m.subaccount;
            envelope(m.sender, m.chain_tag, Message::Orders { subaccount, operations, all_or_none })
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
            envelope(
                m.sender,
                m.chain_tag,
                Message::Withdraw { subaccount: m.subaccount, amount_atoms },
            )
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
            let message =
                Message::SetLeverage { subaccount: m.subaccount, market, leverage: m.leverage };
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
            envelope(
                m.sender,
                m.chain_tag,
                Message::RegisterBackstop { subaccount, market, set_aside_atoms },
            )
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

impl Message {
    /// When in a block it runs (rules §8). With `cancels_first` off, cancels run among the orders.
    #[must_use]
    pub fn class(&self, cancels_first: bool) -> Class {
        let Self::Orders { operations, .. } = self else { return Class::Cash };
        let highest = operations.iter().map(Operation::class).max().unwrap_or(Class::Orders);
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
        match self {
            Self::Orders { operations, .. } => {
                TX + operations.iter().map(Operation::gas).sum::<u64>()
            }
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

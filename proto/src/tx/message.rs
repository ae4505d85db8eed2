//! Reads messages from the wire and checks every field.

use cosmrs::Any;
use sha2::{Digest, Sha256};

use super::operation::operation;
use crate::codes::{Code, Refusal};
use crate::convert;
use crate::params::MarketParams;
use crate::types::{Address, Message, MAX_OPERATIONS};
use crate::units::MarketId;
use crate::v1;

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

//! Reads messages from the wire and checks every field.

use cosmrs::Any;
use sha2::{Digest, Sha256};

use super::agent_key::checked_key;
use super::operation::operation;
use crate::codes::{Code, Refusal};
use crate::convert;
use crate::params::MarketParams;
use crate::types::{
    Address, AgentKey, AgentScope, Authorisation, Message, Subaccounts, MAX_OPERATIONS,
};
use crate::units::{AccountId, Atoms, Lots, MarketId, TimeMs};
use crate::v1;

/// The first four bytes of SHA-256(chain id), little endian.
#[must_use]
pub fn chain_tag(chain_id: &str) -> u32 {
    let hash = Sha256::digest(chain_id.as_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// A message with the fields that all messages of the wire have.
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
    u16::try_from(id).map(MarketId::new).map_err(|_| {
        Refusal::new(Code::UnknownMarket, format!("market id {id} is above {}", MarketId::MAX))
    })
}

fn params(wire: Option<v1::MarketParams>) -> Result<Box<MarketParams>, Refusal> {
    let wire = wire.ok_or_else(|| invalid("params is missing".into()))?;
    MarketParams::try_from(&wire).map(Box::new)
}

/// Reads a message by its type URL.
pub(super) fn from_any(any: &Any) -> Result<Envelope, Refusal> {
    macro_rules! read {
        ($message:ty, $read:expr) => {{
            let mut m: $message = decode(any)?;
            let (sender, chain_tag) = (std::mem::take(&mut m.sender), m.chain_tag);
            let read: fn($message) -> Result<Message, Refusal> = $read;
            Ok(Envelope { sender, chain_tag, message: read(m)? })
        }};
    }
    match any.type_url.as_str() {
        "/tidemark.v1.MsgOrders" => read!(v1::MsgOrders, orders),
        "/tidemark.v1.MsgDeposit" => read!(v1::MsgDeposit, deposit),
        "/tidemark.v1.MsgWithdraw" => read!(v1::MsgWithdraw, withdraw),
        "/tidemark.v1.MsgTakeBackWithdrawal" => read!(v1::MsgTakeBackWithdrawal, |m| {
            Ok(Message::TakeBackWithdrawal { subaccount: m.subaccount })
        }),
        "/tidemark.v1.MsgTransfer" => read!(v1::MsgTransfer, transfer),
        "/tidemark.v1.MsgSetLeverage" => read!(v1::MsgSetLeverage, set_leverage),
        "/tidemark.v1.MsgSetSelfTradePrevention" => {
            read!(v1::MsgSetSelfTradePrevention, set_self_trade_prevention)
        }
        "/tidemark.v1.MsgListMarket" => {
            read!(v1::MsgListMarket, list_market)
        }
        "/tidemark.v1.MsgUpdateMarket" => {
            read!(v1::MsgUpdateMarket, |m| Ok(Message::UpdateMarket(params(m.params)?)))
        }
        "/tidemark.v1.MsgSetMarginMode" => read!(v1::MsgSetMarginMode, set_margin_mode),
        "/tidemark.v1.MsgAdjustIsolatedMargin" => {
            read!(v1::MsgAdjustIsolatedMargin, adjust_isolated_margin)
        }
        "/tidemark.v1.MsgRegisterBackstop" => read!(v1::MsgRegisterBackstop, register_backstop),
        "/tidemark.v1.MsgTakeover" => read!(v1::MsgTakeover, takeover),
        "/tidemark.v1.MsgAuthorizeAgent" => read!(v1::MsgAuthorizeAgent, authorize_agent),
        "/tidemark.v1.MsgRevokeAgent" => read!(v1::MsgRevokeAgent, |m| {
            Ok(Message::RevokeAgent { key: AgentKey::from_bytes(&m.agent_key)? })
        }),
        other => {
            let shown: String = other.chars().take(80).collect();
            Err(Refusal::new(Code::UnknownMessage, format!("message type {shown:?} is not known")))
        }
    }
}

fn orders(m: v1::MsgOrders) -> Result<Message, Refusal> {
    batch(m.subaccount, m.operations, (m.mode, m.pays_flat_fee))
}

/// Reads a batch of operations, whoever signs it.
pub(super) fn batch(
    subaccount: u32,
    operations: Vec<v1::Operation>,
    (mode, pays_flat_fee): (i32, bool),
) -> Result<Message, Refusal> {
    let count = operations.len();
    if !(1..=MAX_OPERATIONS).contains(&count) {
        return Err(Refusal::new(
            Code::OperationCount,
            format!("{count} operations, must be 1 to {MAX_OPERATIONS}"),
        ));
    }
    let operations = operations.into_iter().enumerate().map(|(index, wire)| {
        operation(wire)
            .map_err(|r| Refusal::new(r.code, format!("operation {index}: {}", r.message)))
    });
    let operations = operations.collect::<Result<_, _>>()?;
    let all_or_none = match v1::BatchMode::try_from(mode) {
        Ok(v1::BatchMode::Each) => false,
        Ok(v1::BatchMode::All) => true,
        Err(_) => return Err(invalid(format!("mode is {mode}, must be 0 or 1"))),
    };
    Ok(Message::Orders { subaccount, operations, all_or_none, pays_flat_fee })
}

fn deposit(m: v1::MsgDeposit) -> Result<Message, Refusal> {
    let recipient = Address::parse(&m.recipient)?;
    let amount_atoms = convert::amount(m.amount_atoms)?;
    Ok(Message::Deposit { recipient, subaccount: m.subaccount, amount_atoms })
}

fn withdraw(m: v1::MsgWithdraw) -> Result<Message, Refusal> {
    let amount_atoms = convert::amount(m.amount_atoms)?;
    Ok(Message::Withdraw { subaccount: m.subaccount, amount_atoms })
}

fn transfer(m: v1::MsgTransfer) -> Result<Message, Refusal> {
    let amount_atoms = convert::amount(m.amount_atoms)?;
    let (from_subaccount, to_subaccount) = (m.from_subaccount, m.to_subaccount);
    if from_subaccount == to_subaccount {
        return Err(invalid(format!("from_subaccount and to_subaccount are both {to_subaccount}")));
    }
    Ok(Message::Transfer { from_subaccount, to_subaccount, amount_atoms })
}

/// Parameters that the defaults of a listing leave as they are pass their check once more.
fn list_market(m: v1::MsgListMarket) -> Result<Message, Refusal> {
    let listed = params(m.params)?.as_listed(m.shares_collateral);
    listed.check()?;
    Ok(Message::ListMarket(Box::new(listed)))
}

fn set_leverage(m: v1::MsgSetLeverage) -> Result<Message, Refusal> {
    let market = market_id(m.market)?;
    Ok(Message::SetLeverage { subaccount: m.subaccount, market, leverage: m.leverage })
}

fn set_self_trade_prevention(m: v1::MsgSetSelfTradePrevention) -> Result<Message, Refusal> {
    let policy = convert::self_trade_prevention(m.policy)?;
    Ok(Message::SetSelfTradePrevention { subaccount: m.subaccount, policy })
}

fn set_margin_mode(m: v1::MsgSetMarginMode) -> Result<Message, Refusal> {
    let market = market_id(m.market)?;
    let isolated = match v1::MarginMode::try_from(m.mode) {
        Ok(mode) => mode == v1::MarginMode::Isolated,
        Err(_) => return Err(invalid(format!("mode is {}, must be 0 or 1", m.mode))),
    };
    Ok(Message::SetMarginMode { subaccount: m.subaccount, market, isolated })
}

fn adjust_isolated_margin(m: v1::MsgAdjustIsolatedMargin) -> Result<Message, Refusal> {
    let market = market_id(m.market)?;
    let size = convert::amount(m.change_atoms.unsigned_abs())?;
    let change_atoms = if m.change_atoms < 0 { -size } else { size };
    Ok(Message::AdjustIsolatedMargin { subaccount: m.subaccount, market, change_atoms })
}

pub(super) fn register_backstop(m: v1::MsgRegisterBackstop) -> Result<Message, Refusal> {
    let market = market_id(m.market)?;
    let set_aside_atoms =
        if m.set_aside_atoms == 0 { Atoms::ZERO } else { convert::amount(m.set_aside_atoms)? };
    Ok(Message::RegisterBackstop { subaccount: m.subaccount, market, set_aside_atoms })
}

pub(super) fn takeover(m: v1::MsgTakeover) -> Result<Message, Refusal> {
    let market = market_id(m.market)?;
    if m.lots == 0 {
        return Err(Refusal::new(Code::QuantityTooSmall, "lots is 0, must be at least 1"));
    }
    let (account, lots) = (AccountId::new(m.account_id), Lots::new(m.lots));
    Ok(Message::Takeover { subaccount: m.subaccount, market, account, lots })
}

fn authorize_agent(m: v1::MsgAuthorizeAgent) -> Result<Message, Refusal> {
    let scope = match v1::AgentScope::try_from(m.scope) {
        Ok(v1::AgentScope::Trading) => AgentScope::Trading,
        Ok(v1::AgentScope::Cancelling) => AgentScope::Cancelling,
        Ok(v1::AgentScope::Unspecified) | Err(_) => {
            let message = format!("scope is {}, must be 1 (trading) or 2 (cancelling)", m.scope);
            return Err(invalid(message));
        }
    };
    Ok(Message::AuthorizeAgent(Box::new(Authorisation {
        key: checked_key(&m.agent_key)?,
        scope,
        subaccounts: Subaccounts::of(&m.subaccounts)?,
        until_ms: TimeMs::new(m.until_ms),
    })))
}

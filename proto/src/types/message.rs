//! Messages in the engine's terms.

use super::address::Address;
use super::agent::{AgentKey, Authorisation};
use super::operation::Operation;
use crate::params::MarketParams;
use crate::units::{AccountId, Atoms, Lots, MarketId, SelfTradePrevention};

/// Most operations in one message (rules §10.3).
pub const MAX_OPERATIONS: usize = 512;

/// The request of a transaction.
#[allow(missing_docs)] // the fields are those of the wire's messages
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Credit collateral; the signer must be a minter.
    Deposit { recipient: Address, subaccount: u32, amount_atoms: Atoms },
    /// Take collateral off the exchange.
    Withdraw { subaccount: u32, amount_atoms: Atoms },
    /// Take all that waits in the queue of withdrawals back.
    TakeBackWithdrawal { subaccount: u32 },
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
    /// Isolate a subaccount's position in a market, or end its isolation.
    SetMarginMode { subaccount: u32, market: MarketId, isolated: bool },
    /// Move collateral into (positive) or out of a market's isolated collateral.
    AdjustIsolatedMargin { subaccount: u32, market: MarketId, change_atoms: Atoms },
    /// Set the amount set aside to take over liquidated positions of a market; 0 withdraws it.
    RegisterBackstop { subaccount: u32, market: MarketId, set_aside_atoms: Atoms },
    /// Ask for part of a listed position at its zero price.
    Takeover { subaccount: u32, market: MarketId, account: AccountId, lots: Lots },
    /// Let an agent sign orders, from this block's time on.
    AuthorizeAgent(Box<Authorisation>),
    /// End what an agent may.
    RevokeAgent { key: AgentKey },
    /// Order operations of one subaccount, each refused alone, or all of them together.
    /// The sender pays the flat fee for what the allowance does not cover.
    Orders { subaccount: u32, operations: Vec<Operation>, all_or_none: bool, pays_flat_fee: bool },
}

/// Order of execution in a block (rules §8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Deposits, transfers, withdrawals, settings.
    Cash = 0,
    /// Cancels.
    Cancels = 1,
    /// Post-only orders.
    PostOnly = 2,
    /// Orders that may take.
    Orders = 3,
}

impl Class {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Cash, Self::Cancels, Self::PostOnly, Self::Orders];
}

impl Message {
    /// Name of the message on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "MsgDeposit",
            Self::Withdraw { .. } => "MsgWithdraw",
            Self::TakeBackWithdrawal { .. } => "MsgTakeBackWithdrawal",
            Self::Transfer { .. } => "MsgTransfer",
            Self::SetLeverage { .. } => "MsgSetLeverage",
            Self::SetSelfTradePrevention { .. } => "MsgSetSelfTradePrevention",
            Self::ListMarket(_) => "MsgListMarket",
            Self::UpdateMarket(_) => "MsgUpdateMarket",
            Self::SetMarginMode { .. } => "MsgSetMarginMode",
            Self::AdjustIsolatedMargin { .. } => "MsgAdjustIsolatedMargin",
            Self::RegisterBackstop { .. } => "MsgRegisterBackstop",
            Self::Takeover { .. } => "MsgTakeover",
            Self::AuthorizeAgent(_) => "MsgAuthorizeAgent",
            Self::RevokeAgent { .. } => "MsgRevokeAgent",
            Self::Orders { .. } => "MsgOrders",
        }
    }

    /// Number of operations in the message.
    #[must_use]
    pub fn operations(&self) -> usize {
        match self {
            Self::Orders { operations, .. } => operations.len(),
            _ => 1,
        }
    }
}

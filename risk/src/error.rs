//! Errors of every calculation, each with its values; sentences are made where a result is encoded.

use thiserror::Error;
use tidemark_proto::units::{Atoms, MarketId, SignedLots};
use tidemark_proto::{Code, Refusal};

/// Reason why a calculation has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RiskError {
    /// No market has this id.
    #[error("market {0} does not exist")]
    UnknownMarket(MarketId),
    /// The market never had a mark.
    #[error("market {symbol} has no mark price yet")]
    NoMark {
        /// Symbol of the market.
        symbol: String,
    },
    /// The named amount does not fit.
    #[error("{0} is beyond 127 bits")]
    Overflow(&'static str),
    /// The change does not reduce the position, or changes it by more than there is.
    #[error("a change of {delta_lots} lots does not close any part of a position of {held_lots}")]
    DoesNotReduce {
        /// Change of the position.
        delta_lots: SignedLots,
        /// Position before.
        held_lots: SignedLots,
    },
    /// The price of no lots was asked for.
    #[error("a zero price needs at least one lot")]
    NoLots,
    /// Debt was to be settled while a position was open.
    #[error("debt is settled after the last position is closed")]
    PositionOpen,
    /// An account would end riskier than it was.
    #[error("the {0} would end riskier")]
    Riskier(Party),
    /// A keeper's set-aside collateral does not cover a takeover.
    #[error(
        "a takeover needs {used_atoms} atoms, {set_aside_atoms} are set aside, {free_atoms} are \
         free"
    )]
    TakeoverUncovered {
        /// Fall of free collateral that the takeover brings.
        used_atoms: Atoms,
        /// Collateral that the keeper set aside.
        set_aside_atoms: Atoms,
        /// Free collateral of the keeper before.
        free_atoms: Atoms,
    },
    /// A statement that always holds does not: a fault of the engine itself.
    #[error("{0}")]
    Invariant(&'static str),
}

/// Account on one side of a deleveraging fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The account whose position is closed.
    Closing,
    /// The account that it is closed against.
    Counterparty,
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closing => "closing account",
            Self::Counterparty => "counterparty",
        })
    }
}

impl RiskError {
    /// The value, or `None` where a rule says that an account does not bear a change; any other
    /// error stays one.
    ///
    /// # Errors
    /// All but [`RiskError::Riskier`] and [`RiskError::TakeoverUncovered`].
    pub fn borne<T>(result: Result<T, Self>) -> Result<Option<T>, Self> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Self::Riskier(_) | Self::TakeoverUncovered { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The code that clients match on.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::UnknownMarket(_) => Code::UnknownMarket,
            Self::NoMark { .. } => Code::StaleIndex,
            Self::Overflow(_) => Code::Overflow,
            Self::Invariant(_) => Code::InvariantBroken,
            Self::DoesNotReduce { .. } => Code::WouldIncrease,
            Self::NoLots | Self::PositionOpen => Code::InvalidArgument,
            Self::Riskier(_) | Self::TakeoverUncovered { .. } => Code::InsufficientCollateral,
        }
    }
}

impl From<RiskError> for Refusal {
    fn from(error: RiskError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The value, or the error that names the statement which it breaks.
pub(crate) fn invariant<T>(value: Option<T>, statement: &'static str) -> Result<T, RiskError> {
    value.ok_or(RiskError::Invariant(statement))
}

/// The value, or the error that names it.
pub(crate) fn fits<T>(value: Option<T>, what: &'static str) -> Result<T, RiskError> {
    value.ok_or(RiskError::Overflow(what))
}

#[cfg(test)]
mod tests;

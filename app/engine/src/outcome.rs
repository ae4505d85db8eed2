//! Outcomes of transactions, operations and slices, with their refusals as values.

use tidemark_proto::types::{Address, AgentKey, TxHash};
use tidemark_proto::units::{Atoms, Lots, OrderId};
use tidemark_proto::Code;

use crate::refusal::Refusal;

/// The outcome of a transaction.
#[derive(Clone, Debug, Default)]
pub struct TxOutcome {
    /// SHA-256 of its bytes.
    pub hash: TxHash,
    /// The signer; `None` when the transaction does not decode.
    pub signer: Option<Address>,
    /// The agent that signed for the signer; `None` where the owner signed itself.
    pub agent: Option<AgentKey>,
    /// Name of its message on the wire; `None` when the transaction does not decode.
    pub message: Option<&'static str>,
    /// The sequence, or the agent's nonce, that it used up; `None` where it was refused without
    /// using one up.
    pub used_sequence: Option<u64>,
    /// Reason why all of it was refused; `None` if it was carried out.
    pub refusal: Option<Box<Refusal>>,
    /// One for each operation.
    pub results: Vec<OperationResult>,
    /// Gas that the transaction takes of its block; 0 when it does not decode.
    pub gas_wanted: u64,
    /// Gas that its execution took; 0 when it does not decode.
    pub gas_used: u64,
    /// The flat fee that it paid for what its owner's allowance did not cover.
    pub flat_fee_atoms: Atoms,
}

impl TxOutcome {
    /// `Ok`, or the code of the refusal of the whole transaction.
    #[must_use]
    pub fn code(&self) -> Code {
        code(self.refusal.as_deref())
    }

    /// The refusal that stands for the transaction in its block (rules §10.6); `None` if any of its
    /// operations was carried out. In a batch of all or none it is that of the operation which
    /// failed, not of those that were refused with it.
    #[must_use]
    pub fn refused_for(&self) -> Option<&Refusal> {
        if self.refusal.is_some() {
            return self.refusal.as_deref();
        }
        let refusals = self.results.iter().map(|result| result.refusal.as_deref());
        let refusals: Vec<&Refusal> = refusals.collect::<Option<_>>()?;
        let own = refusals.iter().find(|it| !matches!(it, Refusal::BatchRefused { .. }));
        own.or(refusals.first()).copied()
    }
}

/// The result of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationResult {
    /// Reason why it was refused; `None` if it was carried out.
    pub refusal: Option<Box<Refusal>>,
    /// The order that was placed, replaced or cancelled.
    pub order_id: OrderId,
    /// Lots that traded.
    pub filled_lots: Lots,
    /// Lots that rest on the book.
    pub resting_lots: Lots,
    /// Why a part that neither traded nor rests was cancelled; `None` if there is no such part. Of
    /// a reduce-only order another part may rest.
    pub rest_code: Option<Code>,
    /// Number of orders that a cancel-all cancelled.
    pub cancelled: u32,
    /// The second order of an OCO pair.
    pub second_order_id: OrderId,
    /// Number of orders that a scale placed: `order_id` is the first, the others follow one by one.
    pub placed: u32,
    /// Notional of the lots that traded.
    pub notional_atoms: Atoms,
    /// Taker fees of the lots that traded; negative when they were paid to the taker.
    pub fee_atoms: Atoms,
}

impl OperationResult {
    /// `Ok`, or the code of the refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        code(self.refusal.as_deref())
    }
}

/// One slice of a TWAP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TwapSlice {
    /// Reason why it was refused; `None` if its order was placed.
    pub refusal: Option<Box<Refusal>>,
    /// The order that was placed; 0 if the slice was refused.
    pub placed_order_id: OrderId,
    /// Lots of the slice.
    pub lots: Lots,
    /// Lots of the slice that traded.
    pub filled_lots: Lots,
    /// Slices still to come.
    pub slices_left: u32,
    /// The part of the trigger reserve that went to the insurance fund.
    pub forfeited_atoms: Atoms,
}

impl TwapSlice {
    /// `Ok`, or the code of the refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        code(self.refusal.as_deref())
    }
}

/// `Ok`, or the code of a refusal.
#[must_use]
pub fn code(refusal: Option<&Refusal>) -> Code {
    refusal.map_or(Code::Ok, Refusal::code)
}

//! Codes of refusals as codes of gRPC.

use crate::codes::Code;

/// The gRPC code under which a refusal is sent.
///
/// A refusal that the transaction alone decides is `INVALID_ARGUMENT`; one that the state decides,
/// and may decide otherwise later, is `FAILED_PRECONDITION`, unless a closer code exists.
#[must_use]
pub const fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::Ok => tonic::Code::Ok,
        Code::TxTooLarge
        | Code::TxMalformed
        | Code::WrongChain
        | Code::UnknownMessage
        | Code::OperationCount
        | Code::OutOfGas
        | Code::InvalidArgument
        | Code::QuantityTooSmall
        | Code::QuantityTooLarge
        | Code::LeverageOutOfRange
        | Code::SetAsideCap
        | Code::SetAsideTooSmall
        | Code::FirstCreditTooSmall
        | Code::SubaccountFee
        | Code::InvalidParams => tonic::Code::InvalidArgument,
        Code::TxUnsigned | Code::BadSignature => tonic::Code::Unauthenticated,
        Code::NotAuthorised | Code::WrongSigner | Code::AgentScope => tonic::Code::PermissionDenied,
        Code::UnknownAccount
        | Code::UnknownMarket
        | Code::UnknownOrder
        | Code::UnknownAgent
        | Code::NotListed
        | Code::UnknownTransaction
        | Code::TxDropped
        | Code::NothingQueued => tonic::Code::NotFound,
        Code::DuplicateClientId => tonic::Code::AlreadyExists,
        // The client reads its sequence again and signs anew.
        Code::SequenceReplayed
        | Code::SequenceGap
        | Code::SequencePending
        | Code::NonceUsed
        | Code::NonceTooOld
        | Code::NonceTooNew => tonic::Code::Aborted,
        Code::RateLimited
        | Code::Overloaded
        | Code::TooManyOpenOrders
        | Code::TooManyIsolated
        | Code::BackstopFull
        | Code::TooManyAgents
        | Code::FirstCreditsFull
        | Code::TooManyLeverages
        | Code::TooManyTakeovers
        | Code::WithdrawalQueueFull => tonic::Code::ResourceExhausted,
        Code::Overflow | Code::OutOfRange => tonic::Code::OutOfRange,
        Code::InvariantBroken => tonic::Code::Internal,
        Code::NodeBehind => tonic::Code::Unavailable,
        _ => tonic::Code::FailedPrecondition,
    }
}

//! Outcomes as the wire has them: the one place where a refusal gets its sentence.

use tidemark_engine::outcome::{OperationResult, TwapSlice};
use tidemark_engine::refusal::Refusal;
use tidemark_proto::{v1, Code};

/// The sentence of a refusal; empty where nothing was refused.
#[must_use]
pub fn sentence(refusal: Option<&Refusal>) -> String {
    refusal.map(Refusal::sentence).unwrap_or_default()
}

/// An operation's result.
#[must_use]
pub fn operation_result(result: &OperationResult) -> v1::OperationResult {
    v1::OperationResult {
        code: result.code().number(),
        order_id: result.order_id.get(),
        filled_lots: result.filled_lots.get(),
        resting_lots: result.resting_lots.get(),
        rest_code: result.rest_code.map_or(0, Code::number),
        cancelled: result.cancelled,
        message: sentence(result.refusal.as_deref()),
        second_order_id: result.second_order_id.get(),
        placed: result.placed,
    }
}

/// A slice of a TWAP.
#[must_use]
pub fn twap_slice(slice: &TwapSlice) -> v1::TwapSlice {
    v1::TwapSlice {
        code: slice.code().number(),
        placed_order_id: slice.placed_order_id.get(),
        lots: slice.lots.get(),
        filled_lots: slice.filled_lots.get(),
        slices_left: slice.slices_left,
        message: sentence(slice.refusal.as_deref()),
    }
}

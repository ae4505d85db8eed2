//! Refusals of other crates as the engine's, and the engine's at the edge.

use tidemark_matching::Reject;

use super::Refusal;

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self::Book(reject)
    }
}

impl From<tidemark_proto::Refusal> for Refusal {
    fn from(refusal: tidemark_proto::Refusal) -> Self {
        Self::Stated(Box::new(refusal))
    }
}

/// The edge's form of a refusal: its code and its sentence.
impl From<Refusal> for tidemark_proto::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.sentence())
    }
}

impl From<&Refusal> for tidemark_proto::Refusal {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.code(), refusal.sentence())
    }
}

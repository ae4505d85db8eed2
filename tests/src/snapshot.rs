//! A state by way of its snapshot.

use tidemark_engine::snapshot;
use tidemark_engine::state::State;

/// A state as its own bytes give it.
///
/// # Panics
/// When they do not.
#[must_use]
pub fn restored(state: &State) -> State {
    snapshot::read(&mut &*snapshot_bytes(state), &state.app_hash).expect("its own bytes")
}

/// The bytes of a state.
///
/// # Panics
/// Never: a vector takes all bytes.
#[must_use]
pub fn snapshot_bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot::Frozen::of(state).write(&mut bytes).expect("memory");
    bytes
}

//! The state as bytes, of histories with everything in them.

use tidemark_engine::snapshot;
use tidemark_engine::state::State;
use tidemark_tests::sim::{simulated_genesis, Config, Proposer, ShadowNode};
use tidemark_tests::snapshot::snapshot_bytes;

/// The state of a random history.
fn state_after(blocks: u64, seed: u64) -> State {
    let mut node = ShadowNode::new(&simulated_genesis(), 1);
    let mut proposer = Proposer::new(&Config::new(seed, blocks));
    for _ in 0..blocks {
        let input = proposer.next(&node).expect("a block");
        node.run(&input);
    }
    node.state
}

#[test]
fn damaged_bytes_are_refused_wherever_the_damage_is() {
    let state = state_after(40, 11);
    let whole = snapshot_bytes(&state);
    let step = whole.len() / 400 + 1;
    for at in (0..whole.len()).step_by(step) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(snapshot::read(&mut &*damaged, &state.app_hash).is_err(), "byte {at}");
        damaged[at] = if whole[at] == 255 { 0 } else { 255 };
        assert!(snapshot::read(&mut &*damaged, &state.app_hash).is_err(), "byte {at}");
        assert!(snapshot::read(&mut &whole[..at], &state.app_hash).is_err(), "{at} bytes");
    }
}

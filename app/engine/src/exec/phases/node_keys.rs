//! Phase 0, behind the clock: node keys that validators register with their votes (rules §10.14).

use tidemark_oracle::extension::{self, NodeKey};

use crate::exec::block::{BallotExtension, Block};
use crate::state::{RegisteredKey, State, Validator};

/// How many blocks a registered key stands at least. Bundles live as long, so a validator that
/// changes its key has those of two keys at most.
pub const KEY_STANDS_BLOCKS: u64 = 50;

/// Registers the keys of the block's votes. One that comes before its validator's last one has
/// stood for [`KEY_STANDS_BLOCKS`] is passed over: its node sends it again.
pub(crate) fn register(state: &mut State, block: &Block) {
    let height = block.height;
    for ballot in &block.ballots {
        let BallotExtension::Bytes(bytes) = &ballot.extension else { continue };
        let (Some(key), _) = extension::split(bytes) else { continue };
        let mut validators = state.chain.validators.iter_mut();
        let voter = validators.find(|validator| validator.address == ballot.validator);
        if let Some(voter) = voter.filter(|voter| may_register(voter, key, height)) {
            voter.node_key = Some(RegisteredKey { key: *key, since_height: height });
        }
    }
}

fn may_register(validator: &Validator, key: &NodeKey, height: u64) -> bool {
    validator.node_key.is_none_or(|registered| {
        let stands_until = registered.since_height.saturating_add(KEY_STANDS_BLOCKS);
        registered.key != *key && stands_until <= height
    })
}

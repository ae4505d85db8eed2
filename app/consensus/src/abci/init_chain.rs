//! InitChain: the state at genesis.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tendermint_proto::v0_38::abci::{RequestInitChain, ResponseInitChain, ValidatorUpdate};
use tendermint_proto::v0_38::crypto::public_key::Sum;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::State;
use tidemark_engine::state::Validator;

use super::{reply_room, time_ms, Consensus, Node};
use crate::votes::room;

/// Builds the state from genesis. A genesis that cannot be run stops the process with a sentence:
/// there is no chain to keep up. CometBFT sends InitChain again when it died before the first
/// Commit: the first block is then carried out anew.
pub(super) fn init_chain(node: &Node, request: RequestInitChain) -> ResponseInitChain {
    let state =
        build(node, &request).unwrap_or_else(|why| panic!("this genesis cannot be run: {why}"));
    let app_hash = state.app_hash;
    let view = state.view();
    node.inner.cache.begin(view.signing_domain());
    let params = request.consensus_params.unwrap_or_default();
    node.inner.queue.begin(room::block_bytes(&params));
    node.inner.publisher.reset(Arc::new(view));
    if let Some(snapshots) = node.inner.snapshots.get() {
        snapshots.put_aside();
    }
    *node.consensus() = Consensus { state: Some(state), params, ..Consensus::default() };
    ResponseInitChain {
        consensus_params: None,
        validators: Vec::new(),
        app_hash: app_hash.to_vec().into(),
    }
}

fn build(node: &Node, request: &RequestInitChain) -> Result<State, String> {
    let known = node.inner.cache.chain_id();
    if request.chain_id != known {
        return Err(format!(
            "CometBFT runs chain {:?}, the application was started for {known:?}",
            request.chain_id
        ));
    }
    if request.initial_height != 1 {
        return Err(format!("initial_height is {}, must be 1", request.initial_height));
    }
    let extensions_from = request
        .consensus_params
        .as_ref()
        .and_then(|params| params.abci.as_ref())
        .map_or(0, |abci| abci.vote_extensions_enable_height);
    if extensions_from != 1 {
        return Err(format!(
            "consensus_params.abci.vote_extensions_enable_height is {extensions_from}, must be 1: \
             prices come by vote extension"
        ));
    }
    let genesis = Genesis::read(&request.app_state_bytes).map_err(|refusal| refusal.to_string())?;
    let validators = request.validators.iter().map(validator).collect::<Result<Vec<_>, _>>()?;
    let count = validators.len();
    let time_ms = time_ms(request.time.as_ref());
    let state = State::genesis(&genesis, &request.chain_id, time_ms, validators)
        .map_err(|refusal| refusal.to_string())?;
    let params = request.consensus_params.clone().unwrap_or_default();
    room::check(&params, count, state.max_tx_bytes())?;
    reply_room::check(&params, state.chain.params.max_block_gas)?;
    Ok(state)
}

fn validator(update: &ValidatorUpdate) -> Result<Validator, String> {
    let key = update.pub_key.as_ref().and_then(|key| key.sum.as_ref());
    let Some(Sum::Ed25519(key)) = key else {
        return Err("a validator's key is not ed25519".into());
    };
    let public_key: [u8; 32] = key
        .as_slice()
        .try_into()
        .map_err(|_| format!("a validator's key has {} bytes, must be 32", key.len()))?;
    let power = u64::try_from(update.power)
        .map_err(|_| format!("a validator's power is {}", update.power))?;
    let digest: [u8; 32] = Sha256::digest(public_key).into();
    let mut address = [0; 20];
    address.copy_from_slice(&digest[..20]);
    Ok(Validator::new(address, public_key, power))
}

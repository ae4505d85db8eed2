//! Authorisation and revocation of agents, and the nonces that they use (rules §10.10, §10.11).

use tidemark_proto::types::{AgentKey, Authorisation, MAX_AGENTS};
use tidemark_proto::units::{AgentId, OwnerId};
use tidemark_risk::RiskError;

use crate::refusal::{AgentRefusal, Refusal};
use crate::state::agents::{agent_of, agents_of, Agent};
use crate::state::nonces::Nonces;
use crate::state::{Owner, State};

fn row(state: &State, owner: OwnerId) -> Result<&Owner, Refusal> {
    Ok(state.owners.get(owner).ok_or(RiskError::Invariant("an agent's owner exists"))?)
}

/// Authorises an agent, over what its key might before. It begins with the block's time, or after
/// the greatest nonce that the key, or another one that the owner took leave of, has used.
///
/// # Errors
/// `INVALID_ARGUMENT` for a time that has passed, `AGENT_KEY_TAKEN`, `TOO_MANY_AGENTS`, `OVERFLOW`.
pub(crate) fn authorize(
    state: &mut State,
    owner: OwnerId,
    authorisation: &Authorisation,
) -> Result<(), Refusal> {
    let (now_ms, height, key) = (state.chain.time_ms, state.chain.height, authorisation.key);
    if authorisation.until_ms <= now_ms {
        let until_ms = authorisation.until_ms;
        return Err(AgentRefusal::UntilPast { until_ms, now_ms }.into());
    }
    check_free(state, owner, &key)?;
    // What else would be dropped for its expiry is found before anything is written.
    let id = place(state, owner, &key)?;
    if let Some((holder, held)) = holder(state, &key) {
        release(state, holder, held)?;
    }
    if let Some(id) = id {
        release(state, owner, id)?;
    }
    let floor_ms = row(state, owner)?.nonce_floor_ms.max(now_ms);
    let nonces = Nonces::after(floor_ms);
    let agent = Agent { owner, authorisation: *authorisation, height, nonces };
    match id {
        Some(id) => {
            state.agents.put(id, agent);
        }
        None => {
            let id = state.agents.push(agent);
            let id = id.ok_or_else(|| Refusal::overflow("the number of agents"))?;
            let row = state.owners.get_mut(owner);
            let row = row.ok_or(RiskError::Invariant("an agent's owner exists"))?;
            row.agents.push(id);
        }
    }
    state.derived.agent_owners.insert(key, owner);
    Ok(())
}

/// The owner that a key is an agent of, and its row.
fn holder(state: &State, key: &AgentKey) -> Option<(OwnerId, AgentId)> {
    let owner = *state.derived.agent_owners.get(key)?;
    let (id, _) = agent_of(state.owners.get(owner)?, &state.agents, key)?;
    Some((owner, id))
}

/// Refuses a key that another owner's agent has, unless that one has expired.
fn check_free(state: &State, owner: OwnerId, key: &AgentKey) -> Result<(), Refusal> {
    let Some((holder, id)) = holder(state, key) else { return Ok(()) };
    let agent = state.agents.get(id).filter(|agent| !agent.has_expired(state.chain.time_ms));
    match agent {
        Some(agent) if holder != owner => {
            let until_ms = agent.authorisation.until_ms;
            Err(AgentRefusal::KeyTaken { until_ms }.into())
        }
        _ => Ok(()),
    }
}

/// Where an owner's agent goes: its own place, an empty one, or that of one which has expired;
/// `None` is a new one.
fn place(state: &State, owner: OwnerId, key: &AgentKey) -> Result<Option<AgentId>, Refusal> {
    let (owner, now_ms) = (row(state, owner)?, state.chain.time_ms);
    let own = agent_of(owner, &state.agents, key).map(|(id, _)| id);
    let empty = || owner.agents.iter().copied().find(|id| !state.agents.has(*id));
    let expired = || {
        agents_of(owner, &state.agents)
            .find(|(_, agent)| agent.has_expired(now_ms))
            .map(|(id, _)| id)
    };
    match own.or_else(empty).or_else(expired) {
        None if owner.agents.len() >= MAX_AGENTS => Err(AgentRefusal::TooMany(MAX_AGENTS).into()),
        place => Ok(place),
    }
}

/// Takes an agent's row, if there is one, out of its place. The owner's floor keeps the greatest
/// nonce that it has used, so that none counts again after a new authorisation.
fn release(state: &mut State, owner: OwnerId, id: AgentId) -> Result<(), Refusal> {
    let Some(agent) = state.agents.remove(id) else { return Ok(()) };
    let row = state.owners.get_mut(owner);
    let row = row.ok_or(RiskError::Invariant("an agent's owner exists"))?;
    row.nonce_floor_ms = row.nonce_floor_ms.max(agent.nonces.highest_ms());
    state.derived.agent_owners.remove(&agent.authorisation.key);
    Ok(())
}

/// Revokes an agent.
///
/// # Errors
/// `UNKNOWN_AGENT`.
pub(crate) fn revoke(state: &mut State, owner: OwnerId, key: &AgentKey) -> Result<(), Refusal> {
    let row = row(state, owner)?;
    let found = agent_of(row, &state.agents, key);
    let (id, _) = found.ok_or_else(|| AgentRefusal::Unknown(Box::new((*key, row.address))))?;
    release(state, owner, id)
}

/// Uses the nonce of a transaction that was admitted.
pub(crate) fn use_nonce(state: &mut State, owner: OwnerId, key: &AgentKey, nonce_ms: u64) {
    let now_ms = state.chain.time_ms;
    let found = state.owners.get(owner).and_then(|owner| agent_of(owner, &state.agents, key));
    let id = found.map(|(id, _)| id);
    if let Some(agent) = id.and_then(|id| state.agents.get_mut(id)) {
        agent.nonces.take(nonce_ms, now_ms);
    }
}

/// Checks that an agent whose nonce is taken may still act for its owner: nothing earlier in the
/// block has revoked or replaced its authorisation.
///
/// # Errors
/// `AGENT_REVOKED`.
pub(crate) fn check_not_revoked(
    state: &State,
    owner: OwnerId,
    key: &AgentKey,
) -> Result<(), Refusal> {
    let agent = agent_of(row(state, owner)?, &state.agents, key);
    match agent {
        Some((_, agent)) if agent.height < state.chain.height => Ok(()),
        _ => Err(AgentRefusal::Revoked(Box::new(*key)).into()),
    }
}

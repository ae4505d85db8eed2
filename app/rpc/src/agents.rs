//! An owner's agents, from the published view.

use tidemark_engine::state::agents::{agents_of, Agent};
use tidemark_engine::state::{unknown_signer, View};
use tidemark_proto::types::{Address, AgentScope};
use tidemark_proto::{v1, Refusal};

/// Answers with the agents of an owner.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no address, `UNKNOWN_ACCOUNT` for one that is no owner.
pub(super) fn agents(
    view: &View,
    request: &v1::AgentsRequest,
) -> Result<v1::AgentsResponse, Refusal> {
    let address = Address::parse(&request.owner)?;
    let owner = view.owner(&address).ok_or_else(|| Refusal::from(unknown_signer(&address)))?;
    let agents = agents_of(owner, &view.agents).map(|(_, agent)| wire_agent(view, agent));
    let (height, time_ms) = (view.chain.height, view.chain.time_ms.get());
    Ok(v1::AgentsResponse { height, time_ms, agents: agents.collect() })
}

fn wire_agent(view: &View, agent: &Agent) -> v1::Agent {
    let authorisation = &agent.authorisation;
    let scope = match authorisation.scope {
        AgentScope::Trading => v1::AgentScope::Trading,
        AgentScope::Cancelling => v1::AgentScope::Cancelling,
    };
    let (from_ms, to_ms) = agent.nonces.window_ms(view.chain.time_ms);
    v1::Agent {
        agent_key: authorisation.key.as_bytes().to_vec(),
        scope: scope.into(),
        subaccounts: authorisation.subaccounts.numbers().collect(),
        until_ms: authorisation.until_ms.get(),
        expired: agent.has_expired(view.chain.time_ms),
        nonce_from_ms: from_ms,
        nonce_to_ms: to_ms,
    }
}

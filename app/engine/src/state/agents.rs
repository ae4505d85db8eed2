//! Agents: keys that sign orders for an owner, each with the nonces that it has used.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::{
    AgentKey, AgentScope, Authorisation, Class, DecodedTx, Message, Operation,
};
use tidemark_proto::units::{AgentId, OwnerId, TimeMs};

use super::nonces::Nonces;
use super::owners::Owner;
use super::table::TableView;
use crate::refusal::AgentRefusal;

/// An agent of an owner.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Agent {
    /// The owner.
    pub owner: OwnerId,
    /// Scope, subaccounts and end, as the owner gave them.
    pub authorisation: Authorisation,
    /// The block of the authorisation, which holds from the next one on.
    pub height: u64,
    /// Its nonces.
    pub nonces: Nonces,
}

impl Agent {
    /// Returns true at a block time at which it may nothing any more.
    #[must_use]
    pub fn has_expired(&self, now_ms: TimeMs) -> bool {
        self.authorisation.until_ms <= now_ms
    }

    /// Checks that the authorisation covers a transaction in a block.
    ///
    /// # Errors
    /// `AGENT_EXPIRED`, `AGENT_SCOPE`.
    pub fn covers(&self, tx: &DecodedTx, now_ms: TimeMs) -> Result<(), AgentRefusal> {
        let Authorisation { scope, subaccounts, until_ms, .. } = self.authorisation;
        if self.has_expired(now_ms) {
            return Err(AgentRefusal::Expired { until_ms, now_ms });
        }
        let (subaccount, operations) = signable(&tx.message)?;
        if !subaccounts.contains(subaccount) {
            return Err(AgentRefusal::Subaccount(subaccount));
        }
        match (scope, operations) {
            (AgentScope::Trading, _) => Ok(()),
            (AgentScope::Cancelling, None) => Err(AgentRefusal::NoCancel(tx.message.name())),
            (AgentScope::Cancelling, Some(operations)) => cancels_only(operations),
        }
    }
}

/// The subaccount of a message that agents may sign, and its operations, if it is a batch: of what
/// moves no money out of the owner's accounts, changes no setting and authorises nobody.
fn signable(message: &Message) -> Result<(u32, Option<&[Operation]>), AgentRefusal> {
    match message {
        Message::Orders { subaccount, operations, .. } => Ok((*subaccount, Some(operations))),
        Message::RegisterBackstop { subaccount, .. } | Message::Takeover { subaccount, .. } => {
            Ok((*subaccount, None))
        }
        Message::Deposit { .. }
        | Message::Withdraw { .. }
        | Message::TakeBackWithdrawal { .. }
        | Message::Transfer { .. }
        | Message::SetLeverage { .. }
        | Message::SetSelfTradePrevention { .. }
        | Message::ListMarket(_)
        | Message::UpdateMarket(_)
        | Message::SetMarginMode { .. }
        | Message::AdjustIsolatedMargin { .. }
        | Message::AuthorizeAgent(_)
        | Message::RevokeAgent { .. } => Err(AgentRefusal::Message(message.name())),
    }
}

fn cancels_only(operations: &[Operation]) -> Result<(), AgentRefusal> {
    let other = operations.iter().position(|operation| operation.class() != Class::Cancels);
    other.map_or(Ok(()), |operation| Err(AgentRefusal::CancelsOnly { operation }))
}

/// An owner's agents: id and row of each that is authorised, expired ones among them.
pub fn agents_of<'a>(
    owner: &'a Owner,
    agents: &'a TableView<AgentId, Agent>,
) -> impl Iterator<Item = (AgentId, &'a Agent)> + 'a {
    owner.agents.iter().filter_map(|id| Some((*id, agents.get(*id)?)))
}

/// The agent of an owner with a key.
#[must_use]
pub fn agent_of<'a>(
    owner: &'a Owner,
    agents: &'a TableView<AgentId, Agent>,
    key: &AgentKey,
) -> Option<(AgentId, &'a Agent)> {
    agents_of(owner, agents).find(|(_, agent)| agent.authorisation.key == *key)
}

/// Checks that a transaction which an agent signed may be in a block of this height and time, by
/// the state before the block: the agent was authorised in an earlier block, its authorisation
/// covers the transaction, and its nonce is new.
///
/// # Errors
/// `UNKNOWN_AGENT`, `AGENT_EXPIRED`, `AGENT_SCOPE`, `NONCE_TOO_OLD`, `NONCE_TOO_NEW`, `NONCE_USED`.
pub fn admits(
    owner: Option<&Owner>,
    agents: &TableView<AgentId, Agent>,
    (tx, key): (&DecodedTx, &AgentKey),
    (height, now_ms): (u64, TimeMs),
) -> Result<AgentId, AgentRefusal> {
    let found = owner.and_then(|owner| agent_of(owner, agents, key));
    let found = found.filter(|(_, agent)| agent.height < height);
    let (id, agent) = found.ok_or_else(|| AgentRefusal::Unknown(Box::new((*key, tx.signer))))?;
    agent.covers(tx, now_ms)?;
    agent.nonces.check(tx.sequence, now_ms)?;
    Ok(id)
}

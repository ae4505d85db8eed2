//! Who signs orders: the owner's key, or an agent within what it may.

use tidemark_client::key_file::{AgentFile, AgentKeyPair};
use tidemark_client::{AgentSender, Client, ClientError, OrderKey, OrderSender};
use tidemark_proto::{v1, Code, Refusal};

use crate::args::OrderCommand;
use crate::{CliError, Context, MIN_GAS};

/// The signer of order commands.
pub(crate) struct OrderSigner {
    /// The sender, of either kind.
    pub sender: OrderSender,
    /// Name and authorisation of the agent, if one signs.
    agent: Option<(String, v1::Agent)>,
}

impl OrderSigner {
    /// The agent that the options name, or else the key; asks for the passphrase.
    pub async fn of(context: &Context) -> Result<Self, CliError> {
        match context.agent()? {
            Some(file) => Self::of_agent(context, file).await,
            None => {
                let sender = context.sender(&context.owners_key()?).await?;
                let sender = sender.with_flat_fee(context.global.pay_fee);
                Ok(Self { sender: OrderSender::Owner(sender), agent: None })
            }
        }
    }

    async fn of_agent(context: &Context, file: AgentFile) -> Result<Self, CliError> {
        let client = context.connect().await?;
        let name = file.name().to_owned();
        let (pair, agent) = authorised(context, &client, file).await?;
        let signer = pair.signer(client.signing_domain().await?);
        let sender = AgentSender::new(client, signer, pair.owner());
        let sender = sender.with_gas(context.global.gas, MIN_GAS);
        let sender = sender.with_flat_fee(context.global.pay_fee);
        Ok(Self { sender: OrderSender::Agent(sender), agent: Some((name, agent)) })
    }

    /// Refuses a keeper's messages where the agent may not sign them, before anything is sent.
    pub fn check_keeper(&self, subaccount: u32) -> Result<(), CliError> {
        let Some((name, agent)) = &self.agent else { return Ok(()) };
        may_keep(name, agent, subaccount)
    }

    /// Refuses commands that the agent may not sign, before anything is sent.
    pub fn check(&self, subaccount: u32, commands: &[&OrderCommand]) -> Result<(), CliError> {
        let Some((name, agent)) = &self.agent else { return Ok(()) };
        may(name, agent, subaccount, commands)
            .map_err(|why| refused(Code::AgentScope, format!("{why}; nothing was sent")))
    }
}

/// The open key of a keeper: the agent's that the options name, if it may keep, else the owner's.
pub(crate) async fn keepers_key(context: &Context) -> Result<OrderKey, CliError> {
    let Some(file) = context.agent()? else { return Ok(OrderKey::Owner(context.owners_key()?)) };
    let name = file.name().to_owned();
    let (pair, agent) = authorised(context, &context.connect().await?, file).await?;
    may_keep(&name, &agent, context.global.subaccount)?;
    Ok(OrderKey::Agent(pair))
}

/// An agent's open key and its authorisation, which the chain has and whose time has not passed;
/// asks for the passphrase behind that.
async fn authorised(
    context: &Context,
    client: &Client,
    file: AgentFile,
) -> Result<(AgentKeyPair, v1::Agent), CliError> {
    let (name, owner) = (file.name().to_owned(), file.owner());
    let answer = client.agents(&owner.to_string()).await?;
    let is_it = |agent: &v1::Agent| hex::encode(&agent.agent_key) == file.key_hex();
    let Some(agent) = answer.agents.into_iter().find(is_it) else {
        let message = format!(
            "{name} is no agent of {owner}: it was never authorised, or it was revoked; nothing \
             was sent"
        );
        return Err(refused(Code::UnknownAgent, message));
    };
    if agent.expired {
        let message = format!(
            "the time of agent {name} has passed: `tidemark agent new` makes another; nothing was \
             sent"
        );
        return Err(refused(Code::AgentExpired, message));
    }
    Ok((file.open(&context.passphrase())?, agent))
}

fn may_keep(name: &str, agent: &v1::Agent, subaccount: u32) -> Result<(), CliError> {
    let why = match acts_on(name, agent, subaccount) {
        Ok(()) if agent.scope() == v1::AgentScope::Trading => return Ok(()),
        Ok(()) => format!("agent {name} may only cancel, and a keeper sets aside, asks and trades"),
        Err(why) => why,
    };
    Err(refused(Code::AgentScope, format!("{why}; nothing was sent")))
}

fn acts_on(name: &str, agent: &v1::Agent, subaccount: u32) -> Result<(), String> {
    if agent.subaccounts.is_empty() || agent.subaccounts.contains(&subaccount) {
        return Ok(());
    }
    let numbers: Vec<String> = agent.subaccounts.iter().map(u32::to_string).collect();
    let numbers = numbers.join(", ");
    Err(format!("agent {name} may act on subaccounts {numbers}, not on {subaccount}"))
}

fn may(
    name: &str,
    agent: &v1::Agent,
    subaccount: u32,
    commands: &[&OrderCommand],
) -> Result<(), String> {
    acts_on(name, agent, subaccount)?;
    let not_cancel = commands.iter().find(|command| !command.only_cancels());
    match not_cancel {
        Some(command) if agent.scope() != v1::AgentScope::Trading => Err(format!(
            "agent {name} may cancel, cancel-all and set the dead man's switch, not {}",
            command.word()
        )),
        _ => Ok(()),
    }
}

fn refused(code: Code, message: String) -> CliError {
    ClientError::Refused(Refusal::new(code, message)).into()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::BatchLine;

    #[test]
    fn what_an_agent_may_not_is_told_before_anything_is_sent() {
        let command = |line: &str| BatchLine::parse_from(line.split(' ')).command;
        let place = command("place --market X --side buy --price 1 --size 1");
        let (all, off) = (command("cancel-all"), command("dead-man --off"));
        let agent = |scope: v1::AgentScope, subaccounts: &[u32]| v1::Agent {
            scope: scope.into(),
            subaccounts: subaccounts.to_vec(),
            ..Default::default()
        };
        let trades = agent(v1::AgentScope::Trading, &[]);
        let cancels = agent(v1::AgentScope::Cancelling, &[0, 3]);
        assert_eq!(may("bot", &trades, 7, &[&place, &all]), Ok(()));
        assert!(may_keep("bot", &trades, 7).is_ok());
        let refused = may_keep("bot", &cancels, 0).unwrap_err().to_string();
        assert!(refused.contains("agent bot may only cancel"), "{refused}");
        assert_eq!(may("bot", &cancels, 3, &[&all, &off]), Ok(()));
        assert_eq!(
            may("bot", &cancels, 1, &[&all]).unwrap_err(),
            "agent bot may act on subaccounts 0, 3, not on 1"
        );
        assert_eq!(
            may("bot", &cancels, 0, &[&all, &place]).unwrap_err(),
            "agent bot may cancel, cancel-all and set the dead man's switch, not place"
        );
    }
}

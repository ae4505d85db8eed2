//! Whoever signs an owner's orders and a keeper's messages.

use tidemark_proto::v1::agent_orders::Keeper;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code, Refusal};

use super::key_file::{AgentKeyPair, Key};
use super::{AgentSender, Client, ClientError, Receipt, Sender};

/// An open key that signs for an owner, on any node and chain: the owner's own, or an agent's.
#[derive(Clone, Debug)]
pub enum OrderKey {
    /// The owner's key.
    Owner(Key),
    /// An agent's.
    Agent(AgentKeyPair),
}

impl OrderKey {
    /// Signs for the chain of a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sender(&self, client: Client) -> Result<OrderSender, ClientError> {
        Ok(match self {
            Self::Owner(key) => {
                let chain_id = client.status().await?.chain_id;
                let signer = key
                    .signer(&chain_id)
                    .map_err(|error| Refusal::new(Code::InvalidArgument, error.to_string()))?;
                OrderSender::Owner(Sender::new(client, signer))
            }
            Self::Agent(pair) => {
                let signer = pair.signer(client.signing_domain().await?);
                OrderSender::Agent(AgentSender::new(client, signer, pair.owner()))
            }
        })
    }
}

/// A key that signs for an owner what needs no more than an agent: the owner's own, or an agent's.
pub enum OrderSender {
    /// The owner's key.
    Owner(Sender),
    /// An agent's.
    Agent(AgentSender),
}

impl OrderSender {
    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        match self {
            Self::Owner(sender) => sender.client(),
            Self::Agent(sender) => sender.client(),
        }
    }

    /// The owner's bech32 address.
    #[must_use]
    pub fn owner(&self) -> String {
        match self {
            Self::Owner(sender) => sender.address(),
            Self::Agent(sender) => sender.owner().to_string(),
        }
    }

    /// Order operations of one subaccount, up to 512, each alone, or all or none.
    ///
    /// # Errors
    /// As of [`Sender::batch`] and [`AgentSender::batch`].
    pub async fn batch(
        &mut self,
        subaccount: u32,
        operations: Vec<Operation>,
        mode: v1::BatchMode,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        match self {
            Self::Owner(sender) => sender.batch(subaccount, operations, mode, wait_for).await,
            Self::Agent(sender) => sender.batch(subaccount, operations, mode, wait_for).await,
        }
    }

    /// Order operations of one subaccount, up to 512, each alone.
    ///
    /// # Errors
    /// As of [`Self::batch`].
    pub async fn orders(
        &mut self,
        subaccount: u32,
        operations: Vec<Operation>,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        self.batch(subaccount, operations, v1::BatchMode::Each, wait_for).await
    }

    /// A keeper's message of one subaccount, which is done or refused as a whole.
    ///
    /// # Errors
    /// As of [`Sender::submit`] and [`AgentSender::submit`].
    pub async fn keep(
        &mut self,
        subaccount: u32,
        message: Keeper,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let sender = match self {
            Self::Owner(sender) => sender,
            Self::Agent(sender) => {
                let keeper = Some(message);
                let orders = v1::AgentOrders { subaccount, keeper, ..Default::default() };
                return sender.submit(orders, wait_for).await;
            }
        };
        match message {
            Keeper::SetAside(message) => {
                sender.submit(&message.of_owner(subaccount), wait_for).await
            }
            Keeper::TakeListed(message) => {
                sender.submit(&message.of_owner(subaccount), wait_for).await
            }
        }
    }
}

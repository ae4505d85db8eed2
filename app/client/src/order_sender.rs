//! Whoever signs an owner's orders.

use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::{AgentSender, Client, ClientError, Receipt, Sender};

/// A key that signs an owner's orders: the owner's own, or an agent's.
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
}

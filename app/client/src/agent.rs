//! Trading by an agent's key: what its owner signs once, and what it signs itself.

use std::time::{SystemTime, UNIX_EPOCH};

use tidemark_proto::tx::{usual_gas, AgentSigner, SignedOrders};
use tidemark_proto::types::{Address, AgentKey};
use tidemark_proto::{v1, Code};

use super::recent_height::RecentHeight;
use super::sender::salt;
use super::{Client, ClientError, Receipt};

/// How often a transaction whose nonce another sender of the key has used is signed anew.
const RACE_TRIES: u32 = 16;

/// So far apart do the nonces of senders that met lie next, at most: far less than a nonce may lie
/// ahead of block time.
const APART_MS: u64 = 32;

/// The message by which an owner lets a key sign its orders until a block time, for these
/// subaccounts or, where none is named, for all. [`Sender::submit`](super::Sender::submit) signs it
/// with the owner's key.
#[must_use]
pub fn authorize_agent(
    key: &AgentKey,
    scope: v1::AgentScope,
    subaccounts: &[u32],
    until_ms: u64,
) -> v1::MsgAuthorizeAgent {
    v1::MsgAuthorizeAgent {
        agent_key: key.as_bytes().to_vec(),
        scope: scope.into(),
        subaccounts: subaccounts.to_vec(),
        until_ms,
        ..Default::default()
    }
}

/// The message by which an owner takes that back.
#[must_use]
pub fn revoke_agent(key: &AgentKey) -> v1::MsgRevokeAgent {
    v1::MsgRevokeAgent { agent_key: key.as_bytes().to_vec(), ..Default::default() }
}

/// The content of a batch, for [`AgentSender::sign`] and [`AgentSender::submit`].
#[must_use]
pub fn batch(
    subaccount: u32,
    operations: Vec<v1::operation::Operation>,
    mode: v1::BatchMode,
) -> v1::AgentOrders {
    let operations = operations.into_iter().map(v1::Operation::from).collect();
    v1::AgentOrders { subaccount, operations, mode: mode.into(), ..Default::default() }
}

/// An agent of an owner on a node. It needs no sequence: nonces are this machine's time, each at
/// least a millisecond after the one before; where that is too far from block time, because a clock
/// is wrong or blocks are slow, they follow block time. Senders that share a key may meet at a
/// nonce: the one that is refused takes another.
pub struct AgentSender {
    client: Client,
    signer: AgentSigner,
    owner: Address,
    last_nonce_ms: u64,
    /// How far nonces lie behind this machine's time.
    behind_ms: i64,
    height: RecentHeight,
    /// Gas to declare; `None` is what a batch usually needs, and at least `min_gas`.
    gas_limit: Option<u64>,
    min_gas: u64,
    pays_flat_fee: bool,
}

impl AgentSender {
    /// A sender for an owner's accounts.
    #[must_use]
    pub fn new(client: Client, signer: AgentSigner, owner: Address) -> Self {
        Self {
            client,
            signer,
            owner,
            last_nonce_ms: 0,
            behind_ms: 0,
            height: RecentHeight::default(),
            gas_limit: None,
            min_gas: 0,
            pays_flat_fee: false,
        }
    }

    /// A sender that declares so much gas for each transaction; `None` is what its batch usually
    /// needs, and at least `min_gas`.
    #[must_use]
    pub fn with_gas(self, gas_limit: Option<u64>, min_gas: u64) -> Self {
        Self { gas_limit, min_gas, ..self }
    }

    /// A sender whose batches pay the flat fee for what the owner's allowance does not cover, if
    /// they are to.
    #[must_use]
    pub fn with_flat_fee(self, pays_flat_fee: bool) -> Self {
        Self { pays_flat_fee, ..self }
    }

    /// The agent's public key.
    #[must_use]
    pub fn key(&self) -> AgentKey {
        self.signer.key()
    }

    /// The owner that it signs for.
    #[must_use]
    pub fn owner(&self) -> Address {
        self.owner
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Signs a content with the next nonce and a salt, and with the usual gas unless it has some.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the system gives no randomness.
    pub fn sign(&mut self, orders: v1::AgentOrders) -> Result<SignedOrders, ClientError> {
        let mut orders = v1::AgentOrders { nonce_ms: self.next_nonce_ms(), ..orders };
        orders.salt = short_salt()?;
        if orders.gas_limit == 0 {
            let usual = || usual_gas(&orders).max(self.min_gas);
            orders.gas_limit = self.gas_limit.unwrap_or_else(usual);
        }
        Ok(self.signer.sign(&self.owner, orders))
    }

    /// Signs a content, to be carried out within 50 blocks, and submits it. A transaction that is
    /// refused for its nonce was not carried out, so it is signed anew with another; after an
    /// unknown outcome nothing is sent again, and 50 blocks later nothing comes of it any more. No
    /// two transactions of senders are the same, so that the answer to one is never that to another
    /// with the same content: where two of the key meet at a millisecond, one is refused for its
    /// nonce.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Unknown`] or [`ClientError::Unreachable`].
    pub async fn submit(
        &mut self,
        orders: v1::AgentOrders,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let mut races = 0;
        loop {
            let timeout_height = self.height.timeout_height(&self.client).await?;
            let signed = self.sign(v1::AgentOrders { timeout_height, ..orders.clone() })?;
            match self.send(signed, wait_for).await {
                Err(error) if races < RACE_TRIES && is_of_nonces(&error) => {
                    races += 1;
                    self.another_nonce(error.code()).await?;
                }
                Ok(receipt) => {
                    receipt.height.into_iter().for_each(|height| self.height.saw(height));
                    return Ok(receipt);
                }
                error => return error,
            }
        }
    }

    /// Signs a batch of operations of one subaccount, each alone, or all or none, and submits it.
    ///
    /// # Errors
    /// As of [`Self::submit`].
    pub async fn batch(
        &mut self,
        subaccount: u32,
        operations: Vec<v1::operation::Operation>,
        mode: v1::BatchMode,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let orders = batch(subaccount, operations, mode);
        let orders = v1::AgentOrders { pays_flat_fee: self.pays_flat_fee, ..orders };
        self.submit(orders, wait_for).await
    }

    async fn send(
        &self,
        signed: SignedOrders,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let identity = hex::encode_upper(signed.identity);
        let answer = self.client.send(signed.bytes, wait_for).await;
        answer.map_err(|error| error.named(&identity))
    }

    /// Makes the next nonce another than the one that was refused.
    async fn another_nonce(&mut self, code: Option<Code>) -> Result<(), ClientError> {
        if code == Some(Code::NonceUsed) {
            // Another sender of the key had this millisecond. They part by chance.
            self.last_nonce_ms = self.last_nonce_ms.saturating_add(salt()? % APART_MS);
            return Ok(());
        }
        // After the block, as that of an authorisation may be the last one.
        let block_ms = self.client.status().await?.time_ms.saturating_add(1);
        let signed = |time_ms: u64| i64::try_from(time_ms).unwrap_or(i64::MAX);
        self.behind_ms = signed(unix_ms()).saturating_sub(signed(block_ms));
        self.last_nonce_ms = 0;
        Ok(())
    }

    fn next_nonce_ms(&mut self) -> u64 {
        let now_ms = unix_ms().saturating_add_signed(self.behind_ms.saturating_neg());
        self.last_nonce_ms = now_ms.max(self.last_nonce_ms.saturating_add(1));
        self.last_nonce_ms
    }
}

/// Returns true for a refusal of a nonce: nothing was carried out.
fn is_of_nonces(error: &ClientError) -> bool {
    matches!(error.code(), Some(Code::NonceUsed | Code::NonceTooNew | Code::NonceTooOld))
}

/// A salt for the short form.
fn short_salt() -> Result<u32, ClientError> {
    let [a, b, c, d, ..] = salt()?.to_le_bytes();
    Ok(u32::from_le_bytes([a, b, c, d]))
}

/// This machine's time.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

//! Signs and submits one key's transactions and keeps count of its sequence.

use std::time::Duration;

use tidemark_proto::tx::{timeout_height, Sendable, Signer, TxOptions};
use tidemark_proto::{v1, Code, Refusal};

use super::recent_height::RecentHeight;
use super::{Client, ClientError};

/// How long a submission waits for its block.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a transaction that ran ahead of the chain is sent again.
const GAP_TRIES: u32 = 3;
/// The wait before that.
const GAP_WAIT: Duration = Duration::from_millis(250);
/// How often a transaction whose sequence another one took is signed anew: each time one of those
/// that compete for the account's sequences gets one, and an account has 64 that wait at most.
const RACE_TRIES: u32 = 64;

/// A key on a node, with its next sequence. Where several senders share a key, each takes the next
/// sequence that is free; one alone need not ask for it.
pub struct Sender {
    client: Client,
    signer: Signer,
    next_sequence: Option<u64>,
    height: RecentHeight,
    /// Gas to declare; `None` is what a message usually needs, and at least `min_gas`.
    gas_limit: Option<u64>,
    min_gas: u64,
    pays_flat_fee: bool,
}

/// The node's answer to a transaction that was not refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// The transaction's identity, upper-case hex: SHA-256 of its bytes, or of what an agent signs.
    pub tx_hash: String,
    /// The block that it is in; `None` when it is only accepted.
    pub height: Option<u64>,
    /// One for each operation, once in a block.
    pub results: Vec<v1::OperationResult>,
    /// The flat fee that it paid, once in a block.
    pub flat_fee_atoms: i64,
}

impl Receipt {
    fn of(answer: v1::SubmitResponse, tx: &[u8]) -> Result<Self, ClientError> {
        let v1::SubmitResponse {
            outcome, tx_hash, height, results, message, flat_fee_atoms, ..
        } = answer;
        let receipt = |height| Self { tx_hash: tx_hash.clone(), height, results, flat_fee_atoms };
        match v1::SubmitOutcome::try_from(outcome) {
            Ok(v1::SubmitOutcome::Committed) => Ok(receipt(Some(height))),
            Ok(v1::SubmitOutcome::Accepted) => Ok(receipt(None)),
            Ok(v1::SubmitOutcome::Unknown) | Err(_) => {
                let why = match message.as_str() {
                    "" => format!("transaction {tx_hash} was not seen in a block in time"),
                    _ => message,
                };
                let (last_height, tx_hash) = (timeout_height(tx), Some(tx_hash));
                Err(ClientError::Unknown { why, last_height, tx_hash, tx: tx.to_vec() })
            }
        }
    }
}

impl Client {
    /// Sends signed bytes as they are, for the first time or again: they are carried out once at
    /// most, and while the node remembers, the answer tells what became of them.
    ///
    /// # Errors
    /// As [`Client::submit`]; [`ClientError::Unknown`] also where they are in no block in time.
    pub async fn send(&self, tx: Vec<u8>, wait_for: v1::WaitFor) -> Result<Receipt, ClientError> {
        match self.submit(tx.clone(), wait_for, COMMIT_TIMEOUT).await {
            Ok(answer) => Receipt::of(answer, &tx),
            Err(error) => Err(error.about(tx)),
        }
    }
}

impl Sender {
    /// A sender that learns its sequence from the node when it first sends.
    #[must_use]
    pub fn new(client: Client, signer: Signer) -> Self {
        Self {
            client,
            signer,
            next_sequence: None,
            height: RecentHeight::default(),
            gas_limit: None,
            min_gas: 0,
            pays_flat_fee: false,
        }
    }

    /// A sender that declares so much gas for each transaction; `None` is what its message usually
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

    /// The key's bech32 address.
    #[must_use]
    pub fn address(&self) -> String {
        self.signer.address().to_string()
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Signs `message` and submits it. A transaction that is refused for its sequence was not
    /// carried out, so it is signed anew with the next free one; after an unknown outcome nothing
    /// is sent again, and 50 blocks later nothing comes of it any more. No two transactions of
    /// senders are the same, so that the answer to one is never that to another with the same
    /// content.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Unknown`] or [`ClientError::Unreachable`].
    pub async fn submit<M: Sendable + Clone>(
        &mut self,
        message: &M,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let salt = salt()?;
        let (mut races, mut gaps) = (0, 0);
        loop {
            self.learn_genesis().await?;
            let sequence = self.sequence().await?;
            let options = TxOptions {
                sequence,
                timeout_height: self.height.timeout_height(&self.client).await?,
                gas_limit: self.gas_limit,
                min_gas: self.min_gas,
                salt,
            };
            let tx = self.signer.sign(message.clone(), options)?;
            let error = match self.client.send(tx, wait_for).await {
                Ok(receipt) => {
                    self.next_sequence = Some(sequence.saturating_add(1));
                    receipt.height.into_iter().for_each(|height| self.height.saw(height));
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            match error.code() {
                Some(Code::SequenceReplayed | Code::SequencePending) if races < RACE_TRIES => {
                    races += 1;
                    self.next_sequence = None;
                }
                Some(Code::SequenceGap) if gaps + 1 < GAP_TRIES => {
                    gaps += 1;
                    // What was sent before may still be on its way into a block.
                    tokio::time::sleep(GAP_WAIT).await;
                    if gaps + 1 == GAP_TRIES {
                        self.next_sequence = None;
                    }
                }
                _ => {
                    // Whether the sequence was used is the node's to say.
                    self.next_sequence = None;
                    return Err(error);
                }
            }
        }
    }

    /// Order operations of one subaccount, up to 512, waiting for their block.
    ///
    /// # Errors
    /// As [`Sender::submit`].
    pub async fn orders(
        &mut self,
        subaccount: u32,
        operations: Vec<v1::operation::Operation>,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        self.batch(subaccount, operations, v1::BatchMode::Each, wait_for).await
    }

    /// Order operations of one subaccount, up to 512, each alone, or all or none.
    ///
    /// # Errors
    /// As [`Sender::submit`].
    pub async fn batch(
        &mut self,
        subaccount: u32,
        operations: Vec<v1::operation::Operation>,
        mode: v1::BatchMode,
        wait_for: v1::WaitFor,
    ) -> Result<Receipt, ClientError> {
        let operations = operations.into_iter().map(v1::Operation::from).collect();
        let (mode, pays_flat_fee) = (mode.into(), self.pays_flat_fee);
        let message =
            v1::MsgOrders { subaccount, operations, mode, pays_flat_fee, ..Default::default() };
        self.submit(&message, wait_for).await
    }

    /// Asks the node for the genesis that signatures are for, unless the key came with one.
    async fn learn_genesis(&mut self) -> Result<(), ClientError> {
        if self.signer.domain().has_genesis() {
            return Ok(());
        }
        self.signer.set_genesis(&self.client.genesis_hash().await?);
        Ok(())
    }

    async fn sequence(&mut self) -> Result<u64, ClientError> {
        if let Some(sequence) = self.next_sequence {
            return Ok(sequence);
        }
        let address = self.address();
        let sequence = match self.client.account(&address, None).await {
            Ok(account) => {
                self.height.saw(account.height);
                // A node of before pending sequences tells none.
                account.next_sequence.max(account.sequence)
            }
            Err(ClientError::Refused(Refusal { code: Code::UnknownAccount, .. })) => {
                let why = format!("{address} is not known to this chain: it needs a deposit first");
                return Err(Refusal::new(Code::UnknownAccount, why).into());
            }
            Err(error) => return Err(error),
        };
        self.next_sequence = Some(sequence);
        Ok(sequence)
    }
}

/// Makes a transaction unlike any other.
pub(super) fn salt() -> Result<u64, ClientError> {
    getrandom::u64().map_err(|error| {
        let why = format!("the system gives no randomness: {error}; nothing was sent");
        Refusal::new(Code::InvalidArgument, why).into()
    })
}

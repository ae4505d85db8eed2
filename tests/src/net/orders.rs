//! Orders that are followed: each has a client id of its own, is found again by its hash, and is
//! counted among the events of its account.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidemark_client::Client;
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::v1;
use tidemark_proto::v1::account_event::Event;
use tidemark_proto::v1::operation::Operation;

use crate::harness::{limit, place, signer};

/// Bits of an event's sequence below its height.
const SEQUENCE_BITS: u32 = 24;

/// How long a stream of events may be silent before its end is taken to be lost.
const SILENT: Duration = Duration::from_secs(30);

/// An owner that places orders far from the mark, and takes them back.
pub struct Owner {
    signer: Signer,
    next_sequence: u64,
    next_client_id: u64,
}

/// A signed transaction of one operation.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its bytes.
    pub tx: Vec<u8>,
    /// Its identity, upper-case hex.
    pub hash: String,
    /// The sequence that it uses.
    pub sequence: u64,
    /// The order that it places, or takes back.
    pub client_id: u64,
}

/// How often an account's events say that an order came, and that it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// It rests.
    pub rested: u64,
    /// It is gone.
    pub removed: u64,
}

impl Owner {
    /// An owner who has never sent anything.
    #[must_use]
    pub fn new(name: &str, genesis_hash: &[u8; 32]) -> Self {
        let signer = signer(name).for_genesis(genesis_hash);
        Self { signer, next_sequence: 0, next_client_id: 1 }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        self.signer.address().to_string()
    }

    /// Asks a node for the next sequence, where it is not known.
    ///
    /// # Errors
    /// A sentence when the node does not answer.
    pub async fn learn(&mut self, client: &Client) -> Result<(), String> {
        let account = client.account(&self.address(), None).await.map_err(|e| e.to_string())?;
        self.next_sequence = account.next_sequence.max(account.sequence);
        Ok(())
    }

    /// An order of one lot of the first market.
    ///
    /// # Panics
    /// When the key refuses to sign.
    pub fn place(&mut self, side: v1::Side, price_ticks: u64) -> Signed {
        let client_id = self.next_client_id;
        self.next_client_id += 1;
        let order = v1::PlaceOrder { client_id, ..limit(0, side, price_ticks, 1) };
        self.sign(client_id, place(order))
    }

    /// The end of the order with this client id.
    ///
    /// # Panics
    /// When the key refuses to sign.
    pub fn cancel(&mut self, client_id: u64) -> Signed {
        let cancel = v1::CancelOrder { market: 0, order_id: 0, client_id };
        self.sign(client_id, Operation::Cancel(cancel))
    }

    fn sign(&mut self, client_id: u64, operation: Operation) -> Signed {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let operations = vec![v1::Operation { operation: Some(operation) }];
        let message = v1::MsgOrders { operations, ..Default::default() };
        let options = TxOptions { sequence, ..TxOptions::default() };
        let tx = self.signer.sign(message, options).expect("the key signs");
        let hash = hex::encode_upper(Sha256::digest(&tx));
        Signed { tx, hash, sequence, client_id }
    }
}

/// The events of an owner's orders from a height on, up to the one that says that `last` is gone.
///
/// # Errors
/// A sentence when the stream ends, or says nothing for long.
pub async fn told(
    client: &Client,
    owner: &str,
    from_height: u64,
    last: u64,
) -> Result<BTreeMap<u64, Told>, String> {
    let after = from_height << SEQUENCE_BITS;
    let stream = client.account_stream(owner, 0, after).await;
    let mut stream = stream.map_err(|error| format!("the events of {owner}: {error}"))?;
    let mut all = BTreeMap::<u64, Told>::new();
    loop {
        let event = tokio::time::timeout(SILENT, stream.message()).await;
        let event = event.map_err(|_| format!("{owner}: no event of order {last}"))?;
        let event = event.map_err(|status| format!("the events of {owner}: {status}"))?;
        let event = event.ok_or_else(|| format!("the events of {owner} ended"))?;
        let told = all.entry(event.client_id).or_default();
        match event.event {
            Some(Event::Rested(_)) => told.rested += 1,
            Some(Event::Removed(_)) => told.removed += 1,
            _ => {}
        }
        if event.client_id == last && told.removed > 0 {
            return Ok(all);
        }
    }
}

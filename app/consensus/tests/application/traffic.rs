//! Transactions of traders, and of those who are none.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use tidemark_proto::tx::{Sendable, TxOptions};
use tidemark_proto::types::{gas, MAX_OPERATIONS};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::rig::{signer, FAUCET, INDEX_TICKS, TRADERS};

/// A trader's order in a block.
#[derive(Clone, Copy, Debug)]
pub struct Trade {
    /// Which of [`TRADERS`].
    pub trader: usize,
    pub buys: bool,
    /// The limit, in ticks below or above the index.
    pub away: i64,
    pub lots: u64,
}

impl Trade {
    /// An order that rests or trades a little around the index.
    pub fn new(trader: usize, buys: bool, away: i64, lots: u64) -> Self {
        Self { trader, buys, away, lots }
    }

    pub fn message(self) -> v1::MsgOrders {
        let side = if self.buys { v1::Side::Buy } else { v1::Side::Sell };
        let order = v1::PlaceOrder {
            side: side.into(),
            price_ticks: INDEX_TICKS.saturating_add_signed(self.away),
            lots: self.lots,
            ..Default::default()
        };
        let operation = v1::Operation::from(Operation::Place(order));
        v1::MsgOrders { operations: vec![operation], ..Default::default() }
    }
}

/// Signs with each key's next sequence.
#[derive(Default)]
pub struct Sequences(BTreeMap<String, u64>);

impl Sequences {
    fn sign<M: Sendable>(&mut self, name: &str, message: M) -> Bytes {
        self.sign_with_gas(name, message, None)
    }

    fn sign_with_gas<M: Sendable>(
        &mut self,
        name: &str,
        message: M,
        gas_limit: Option<u64>,
    ) -> Bytes {
        let sequence = self.0.entry(name.to_owned()).or_default();
        let options = TxOptions { sequence: *sequence, gas_limit, ..TxOptions::default() };
        *sequence += 1;
        sign(name, message, options)
    }

    pub fn deposit(&mut self, name: &str) -> Bytes {
        let recipient = signer(name).address().to_string();
        let amount_atoms = 1_000_000 * 1_000_000;
        self.sign(FAUCET, v1::MsgDeposit { recipient, amount_atoms, ..Default::default() })
    }

    pub fn order(&mut self, trade: Trade) -> Bytes {
        self.sign(TRADERS[trade.trader % TRADERS.len()], trade.message())
    }
}

fn sign<M: Sendable>(name: &str, message: M, options: TxOptions) -> Bytes {
    signer(name).sign(message, options).expect("the key signs").into()
}

/// An order as it is sent, with any sequence and timeout.
pub fn signed(trade: Trade, sequence: u64, timeout_height: u64) -> Bytes {
    let options = TxOptions { sequence, timeout_height, ..TxOptions::default() };
    sign(TRADERS[trade.trader % TRADERS.len()], trade.message(), options)
}

/// The largest transaction for its operations: 512 stop orders with large numbers, 39 KB and more.
pub fn heavy(trader: usize, sequence: u64) -> Bytes {
    let order = v1::PlaceOrder {
        side: v1::Side::Buy.into(),
        price_ticks: u64::MAX,
        lots: u64::MAX,
        time_in_force: v1::TimeInForce::Gtt.into(),
        expires_ms: u64::MAX,
        client_id: u64::MAX,
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: u64::MAX,
        reduce_only: true,
        ..Default::default()
    };
    let operation = v1::Operation::from(Operation::Place(order));
    let operations = vec![operation; MAX_OPERATIONS];
    let message = v1::MsgOrders { operations, ..Default::default() };
    let options = TxOptions { sequence, ..TxOptions::default() };
    sign(TRADERS[trader % TRADERS.len()], message, options)
}

/// An order, rightly signed, of someone without an account.
pub fn of_a_stranger(number: u64) -> Bytes {
    let message = Trade::new(0, true, 0, 1).message();
    sign(&format!("stranger {number}"), message, TxOptions::default())
}

/// Batches of all or none which are refused, as many as fit into `max_bytes`: the results of the
/// most operations for the fewest bytes, with the least gas that finds the first order unknown.
pub fn refused_batches(max_bytes: usize) -> Vec<Bytes> {
    let unknown = v1::CancelOrder { order_id: 1, ..Default::default() };
    let operations = vec![v1::Operation::from(Operation::Cancel(unknown)); MAX_OPERATIONS];
    let mode = v1::BatchMode::All.into();
    let message = v1::MsgOrders { operations, mode, ..Default::default() };
    let least_gas = gas::TX + (gas::CANCEL + 2 * gas::TRY) * MAX_OPERATIONS as u64 + gas::NAMED;
    let (mut sequences, mut left) = (Sequences::default(), max_bytes);
    let batch = || sequences.sign_with_gas(TRADERS[0], message.clone(), Some(least_gas));
    std::iter::repeat_with(batch)
        .take_while(|tx| {
            let fits = tx.len() <= left;
            left = left.saturating_sub(tx.len());
            fits
        })
        .collect()
}

//! Work for gas: one transaction on a chain that is laid out for an attacker, and the time that the
//! transaction takes for each gas that it pays. The search keeps what takes longest.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // time is the objective

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tidemark_engine::exec::{execute, Block};
use tidemark_engine::phase::Phase;
use tidemark_engine::state::State;
use tidemark_proto::tx::{decode, TxOptions};
use tidemark_proto::units::TimeMs;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell, TimeInForce};

use super::Bytes;
use crate::harness::{genesis, limit, place, plain_market, signer, Chain, FAUCET};

const MARKETS: u16 = 40;
const ATTACKER: &str = "attacker";

/// Times that a transaction is carried out; the least time counts.
const TURNS: u32 = 3;

/// The cost of one input.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Time of the block's transactions.
    pub ns: u64,
    /// Gas that the transaction used.
    pub gas: u64,
}

impl Cost {
    /// Nanoseconds for a thousand gas.
    #[must_use]
    pub const fn ns_per_kilogas(&self) -> u64 {
        self.ns.saturating_mul(1_000) / if self.gas == 0 { 1 } else { self.gas }
    }
}

/// A chain whose every structure is as long to walk as a few hundred USDC make it: spent
/// reduce-only orders at the best ask, pegged orders at the best bid, and an attacker with orders
/// in forty markets, half of them isolated.
fn laid_out() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let listed =
            (0..MARKETS).map(|market| plain_market(&format!("M{market}-USD"), 20)).collect();
        let mut chain = Chain::new(&genesis(listed, 1_000));
        (0..MARKETS).for_each(|market| chain.index(market, 100));
        for name in [ATTACKER, "short", "pegger"] {
            chain.deposit(name, 1_000_000);
        }
        let owner = signer("long").address().to_string();
        for subaccount in 0..60 {
            let recipient = owner.clone();
            let amount_atoms = 1_000_000_000;
            let deposit =
                v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() };
            chain.send(FAUCET, deposit);
        }
        chain.orders("short", vec![place(limit(0, Sell, 100, 60))]);
        for market in 0..u32::from(MARKETS) / 2 {
            let mode = v1::MarginMode::Isolated.into();
            let market = 2 * market + 1;
            chain.send(ATTACKER, v1::MsgSetMarginMode { market, mode, ..Default::default() });
        }
        chain.block();
        let exit = v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 105, 1) };
        for orders in [vec![place(limit(0, Buy, 100, 1))], vec![place(exit); 100]] {
            for subaccount in 0..60 {
                chain.send("long", batch(subaccount, false, orders.clone()));
            }
            chain.block();
        }
        let peg = v1::PlaceOrder {
            peg: v1::Peg::Best.into(),
            peg_offset_ticks: 1,
            ..limit(0, Buy, 0, 1)
        };
        chain.orders("pegger", vec![place(limit(0, Buy, 90, 1))]);
        chain.block();
        chain.orders("pegger", vec![place(peg); 150]);
        let quotes = (0..400).map(|at| place(limit(at % 40, Buy, 80 + u64::from(at / 40), 1)));
        chain.orders(ATTACKER, quotes.collect());
        chain.block();
        chain.state
    })
}

fn batch(subaccount: u32, all_or_none: bool, operations: Vec<Operation>) -> v1::MsgOrders {
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    let mode = i32::from(all_or_none);
    v1::MsgOrders { subaccount, operations: operations.collect(), mode, ..Default::default() }
}

/// The operations that some bytes spell: runs of one kind, which is what an attacker sends.
fn operations(bytes: &mut Bytes<'_>) -> Vec<Operation> {
    let mut all = Vec::new();
    while !bytes.is_empty() && all.len() < 512 {
        let (kind, more) = (bytes.below(8), bytes.byte());
        let operation = one(kind, bytes);
        let run = (1 + usize::from(more) * 2).min(512 - all.len());
        all.extend(std::iter::repeat_n(operation, run));
    }
    all
}

fn one(kind: u8, bytes: &mut Bytes<'_>) -> Operation {
    let market = u32::from(bytes.below(4));
    let quantity = 1 + u64::from(bytes.byte());
    let price = 75 + u64::from(bytes.below(32));
    let order = limit(market, if bytes.below(2) == 0 { Buy } else { Sell }, price, quantity);
    match kind {
        0 => place(v1::PlaceOrder { time_in_force: TimeInForce::Fok.into(), ..order }),
        1 => place(v1::PlaceOrder { time_in_force: TimeInForce::Ioc.into(), ..order }),
        2 => Operation::CancelAll(v1::CancelAll {
            market: (bytes.below(2) == 0).then_some(market),
            side: i32::from(bytes.below(3)),
        }),
        3 => place(v1::PlaceOrder {
            peg: v1::Peg::Best.into(),
            peg_offset_ticks: 1,
            price_ticks: 0,
            ..order
        }),
        4 => Operation::Scale(v1::PlaceScale {
            market,
            side: order.side,
            from_ticks: price,
            to_ticks: price + 10,
            lots: 10_000,
            count: 2 + u32::from(bytes.below(99)),
            ..Default::default()
        }),
        5 => Operation::Cancel(v1::CancelOrder {
            market,
            client_id: u64::from(bytes.byte()),
            ..Default::default()
        }),
        6 => Operation::Replace(v1::ReplaceOrder {
            market,
            order_id: u64::from(bytes.byte()) * 8,
            price_ticks: price,
            ..Default::default()
        }),
        _ => place(v1::PlaceOrder { post_only: v1::PostOnly::Slide.into(), ..order }),
    }
}

/// The transaction that some bytes spell, as a block after the laid-out state.
fn block(bytes: &[u8], state: &State) -> Option<Block> {
    let mut bytes = Bytes(bytes);
    let all_or_none = bytes.below(3) == 0;
    // From what an operation usually visits to a thousandth of a block for each.
    let more = u64::from(bytes.byte()) * u64::from(bytes.byte()) * 1_000;
    let message = batch(0, all_or_none, operations(&mut bytes));
    let owner = state.owner_id(&signer(ATTACKER).address())?;
    let sequence = state.owners.get(owner)?.sequence;
    let options = TxOptions { sequence, min_gas: more, ..TxOptions::default() };
    let bytes = signer(ATTACKER).sign(message, options).ok()?;
    let tx = decode(&bytes, state.max_tx_bytes()).ok()?.tx;
    let height = state.chain.height + 1;
    let time_ms = TimeMs::new(state.chain.time_ms.get() + 1_000);
    Some(Block {
        height,
        time_ms,
        hash: [7; 32],
        proposer: [1; 20],
        ballots: Vec::new(),
        txs: vec![Ok(tx.into())],
    })
}

/// The cost of the transaction that some bytes spell; `None` if its form is refused.
#[must_use]
pub fn cost(bytes: &[u8]) -> Option<Cost> {
    let state = laid_out();
    let block = block(bytes, state)?;
    let (mut least, mut gas) = (Duration::MAX, 0);
    for _ in 0..TURNS {
        let mut state = state.fork();
        let (mut lap, mut taken) = (Instant::now(), Duration::ZERO);
        let events = execute(&mut state, &block, &mut |phase| {
            if phase == Phase::Transactions {
                taken = lap.elapsed();
            }
            lap = Instant::now();
        });
        assert_eq!(events.violations, Vec::<String>::new());
        let outcome = events.txs.first()?;
        assert!(outcome.gas_used <= outcome.gas_wanted, "{outcome:?}");
        (least, gas) = (least.min(taken), outcome.gas_used);
    }
    Some(Cost { ns: u64::try_from(least.as_nanos()).unwrap_or(u64::MAX), gas })
}

pub(super) fn run(bytes: &[u8]) -> bool {
    cost(bytes).is_some()
}

/// The worst inputs that a search has found, one for each kind of operation that it went through.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let kinds = 0..8_u8;
    let mut seeds: Vec<Vec<u8>> =
        kinds.map(|kind| vec![1, 20, 20, kind, 255, 0, 255, 31, 0, 0]).collect();
    seeds.extend(WORST.iter().map(|bytes| bytes.to_vec()));
    seeds
}

/// Found by `just fuzz work`.
const WORST: [&[u8]; 2] = [
    // A cancel of everything, and post-only orders, all or none.
    &[0, 20, 20, 2, 0, 0, 0, 0, 0, 1, 0, 7, 255, 0, 0, 0, 0],
    // Fill-or-kill over every spent maker.
    &[1, 255, 255, 0, 255, 0, 255, 31, 0],
];

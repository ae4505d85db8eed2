//! Blocks at the gas limit that hold nothing but one kind of transaction: the kinds that take
//! longest for their gas where the state is as large as it takes to fill a block with them.

use std::time::Duration;

use tidemark_engine::exec::{execute, Block};
use tidemark_engine::phase::Phase;
use tidemark_engine::state::MAX_SUBACCOUNTS;
use tidemark_proto::params::ChainParams;
use tidemark_proto::types::gas;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::fuzz::work::{batch, exits, EXITS};
use tidemark_tests::harness::{genesis, limit, place, plain_market, signer, Chain, FAUCET};
use tidemark_tests::measures::{self, Measure};

const TAKER: &str = "taker";

/// Orders of a transaction.
const ORDERS_OF_TX: u64 = 50;

/// Owners whose subaccounts get ready in one block.
const OWNERS_A_BLOCK: u32 = 8;

/// The makers that a block's orders trade with.
struct Kind {
    name: &'static str,
    /// Makers that one order trades with.
    makers: u64,
    /// Lots that each sells.
    lots: u64,
    /// Visits for each.
    visits: u64,
    /// Each closes its position, with twenty reduce-only orders behind the one that trades.
    has_exits: bool,
}

const KINDS: [Kind; 2] = [
    // The worst that `just fuzz work` has found for one transaction.
    Kind { name: "exits", makers: 12, lots: EXITS, visits: EXITS, has_exits: true },
    // Every visit is an account that nothing else in the block has touched.
    Kind { name: "accounts", makers: 200, lots: 1, visits: 1, has_exits: false },
];

impl Kind {
    const fn gas_of_tx(&self) -> u64 {
        gas::TX + ORDERS_OF_TX * (gas::PLACE + self.makers * self.visits * gas::VISIT)
    }
}

/// Carries out a block of each kind; returns their processor time in milliseconds.
///
/// # Errors
/// When a block does not use the gas that it declares.
pub fn run() -> Result<Vec<Measure>, String> {
    KINDS.iter().map(one).collect()
}

fn one(kind: &Kind) -> Result<Measure, String> {
    let (mut chain, txs) = laid_out(kind);
    for _ in 0..txs {
        let order = place(limit(0, Buy, 105, kind.makers * kind.lots));
        chain.orders(TAKER, vec![order; ORDERS_OF_TX as usize]);
    }
    let input = chain.next_input();
    let txs = chain.cache.check_all(&input.txs, chain.state.max_tx_bytes(), 1);
    let block = Block { txs, ..input.block.clone() };
    let (start, mut lap) = (measures::thread_time(), measures::thread_time());
    let mut times = vec![Duration::ZERO; Phase::ALL.len()];
    let events = execute(&mut chain.state, &block, &mut |phase| {
        let now = measures::thread_time();
        times[phase as usize] += now.saturating_sub(lap);
        lap = now;
    });
    let whole = measures::thread_time().saturating_sub(start);
    let used: u64 = events.txs.iter().map(|tx| tx.gas_used).sum();
    let limit = ChainParams::default().max_block_gas;
    if used > limit || used < limit / 100 * 97 || !events.violations.is_empty() {
        return Err(format!("{used} of {limit} gas used: {:?}", events.violations));
    }
    let count = events.events.len();
    println!("{used} gas in {} transactions, {count} events", events.txs.len());
    println!("| phase | ms |\n|---|---:|");
    for phase in Phase::ALL.iter().filter(|phase| !times[**phase as usize].is_zero()) {
        let ms = times[*phase as usize].as_secs_f64() * 1e3;
        println!("| {} | {ms:.0} |", phase.name());
    }
    let ms = whole.as_secs_f64() * 1e3;
    println!("\nthe whole block: {ms:.0} ms\n");
    Ok(Measure::cost(format!("full_block_{}", kind.name), ms, "ms"))
}

/// A chain with as many makers as a block's gas reaches, and the transactions that reach them.
fn laid_out(kind: &Kind) -> (Chain, u64) {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    let txs = ChainParams::default().max_block_gas / kind.gas_of_tx();
    let makers = txs * ORDERS_OF_TX * kind.makers;
    let owners = u32::try_from(makers.div_ceil(u64::from(MAX_SUBACCOUNTS))).expect("few owners");
    println!("{}: {} accounts", kind.name, owners * MAX_SUBACCOUNTS);
    chain.index(0, 100);
    for name in [TAKER, "short"] {
        chain.deposit(name, 1_000_000_000);
    }
    chain.block();
    spread(&mut chain, owners, |_, _| vec![]);
    if kind.has_exits {
        let all = u64::from(owners * MAX_SUBACCOUNTS) * EXITS;
        chain.orders("short", vec![place(limit(0, Sell, 100, all))]);
        chain.block();
        spread(&mut chain, owners, |_, _| vec![place(limit(0, Buy, 100, EXITS))]);
        spread(&mut chain, owners, exits);
    } else {
        spread(&mut chain, owners, |_, offer| vec![place(limit(0, Sell, offer, kind.lots))]);
    }
    chain.gas_limit = Some(kind.gas_of_tx());
    (chain, txs)
}

/// Blocks in which each subaccount of the owners sends its orders; without orders, gets a deposit.
fn spread(chain: &mut Chain, owners: u32, orders: impl Fn(u32, u64) -> Vec<Operation>) {
    for owner in 0..owners {
        let name = format!("long-{owner}");
        let recipient = signer(&name).address().to_string();
        for subaccount in 0..MAX_SUBACCOUNTS {
            let orders = orders(subaccount, 105);
            if orders.is_empty() {
                let (recipient, amount_atoms) = (recipient.clone(), 1_000_000_000);
                let deposit =
                    v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() };
                chain.send(FAUCET, deposit);
            } else {
                chain.send(&name, batch(subaccount, false, orders));
            }
        }
        if (owner + 1) % OWNERS_A_BLOCK == 0 || owner + 1 == owners {
            chain.block();
        }
    }
}

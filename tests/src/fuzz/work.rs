//! Work for gas: one transaction on a chain that is laid out for an attacker, and the time that the
//! transaction takes for each gas that it pays. The search keeps what takes longest.

use std::sync::OnceLock;
use std::time::Duration;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::exec::{execute, Block};
use tidemark_engine::phase::Phase;
use tidemark_engine::state::{State, MAX_SUBACCOUNTS};
use tidemark_proto::tx::{decode, TxOptions};
use tidemark_proto::types::gas;
use tidemark_proto::units::TimeMs;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell, TimeInForce};
use tidemark_proto::Code;

use super::Bytes;
use crate::harness::{domain, genesis, limit, place, plain_market, signer, Chain, FAUCET};
use crate::measures;

const MARKETS: u16 = 40;
const ATTACKER: &str = "attacker";

/// An account whose orders have used its collateral up.
const POOR: &str = "poor";

/// Times that a transaction is carried out; the least time counts.
const TURNS: u32 = 3;

/// The cost of one input.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time of the block's transactions.
    pub ns: u64,
    /// Gas that the transaction used.
    pub gas: u64,
    /// Gas that orders which went with the position or the pair that it closed had paid for that
    /// when they were placed.
    pub paid_before: u64,
    /// Orders that came, traded, shrank or left, and the events that tell of them.
    pub visits: u64,
}

impl Cost {
    /// Nanoseconds for a thousand gas, whoever paid it.
    #[must_use]
    pub const fn ns_per_kilogas(&self) -> u64 {
        self.ns_per(self.gas.saturating_add(self.paid_before))
    }

    /// Nanoseconds for a thousand gas of the transaction itself.
    #[must_use]
    pub const fn ns_per_kilogas_of_its_own(&self) -> u64 {
        self.ns_per(self.gas)
    }

    const fn ns_per(&self, gas: u64) -> u64 {
        self.ns.saturating_mul(1_000) / if gas == 0 { 1 } else { gas }
    }
}

/// The part of the gas of a placement that is for the order's end.
fn paid_before(events: &BlockEvents) -> u64 {
    let of = |event: &Event| match event {
        Event::Removed { code: Code::NothingToReduce, .. } => gas::RESIZE,
        Event::Removed { code: Code::OcoPartner, .. } => gas::CANCEL,
        _ => 0,
    };
    events.events.iter().map(of).sum()
}

/// A chain whose every structure is as long to walk as some thousand USDC make it: accounts whose
/// offer at the best ask ends twenty reduce-only orders behind it, pegged orders at the best bid,
/// an attacker with orders in forty markets, half of them isolated, and an account without free
/// collateral, with orders that wait to close its position.
fn laid_out() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let listed =
            (0..MARKETS).map(|market| plain_market(&format!("M{market}-USD"), 20)).collect();
        let mut chain = Chain::new(&genesis(listed, 1_000));
        (0..MARKETS).for_each(|market| chain.index(market, 100));
        for name in [ATTACKER, "short", "pegger"] {
            chain.deposit(name, 10_000_000);
        }
        chain.deposit(POOR, 1_000);
        for market in 0..u32::from(MARKETS) / 2 {
            let mode = v1::MarginMode::Isolated.into();
            let market = 2 * market + 1;
            chain.send(ATTACKER, v1::MsgSetMarginMode { market, mode, ..Default::default() });
        }
        spread(&mut chain, "long", |_, _| vec![]);
        let all = u64::from(MAX_SUBACCOUNTS) * EXITS + 1_000 + POOR_LOTS;
        chain.orders("short", vec![place(limit(0, Sell, 100, all))]);
        chain.block();
        chain.orders(ATTACKER, vec![place(limit(0, Buy, 100, 1_000))]);
        chain.orders(POOR, vec![place(limit(0, Buy, 100, POOR_LOTS))]);
        spread(&mut chain, "long", |_, _| vec![place(limit(0, Buy, 100, EXITS))]);
        spread(&mut chain, "long", exits);
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
        use_up(&mut chain);
        chain.state
    })
}

/// Lots of the poor account's position.
const POOR_LOTS: u64 = 20;

/// Waiting exits, and bids until one is refused for want of collateral.
fn use_up(chain: &mut Chain) {
    chain.orders(POOR, vec![place(stop()); POOR_LOTS as usize]);
    let bids = (0..400).map(|at| place(limit(at % 40, Buy, 80 + u64::from(at / 40), 1 + 8)));
    chain.orders(POOR, bids.collect());
    let events = chain.block();
    let results = events.txs.iter().flat_map(|tx| &tx.results);
    let refused = results.last().is_some_and(|last| last.code() == Code::InsufficientCollateral);
    assert!(refused, "the account has free collateral left");
}

/// Lots of an account's position, and reduce-only orders behind its offer of the whole.
pub const EXITS: u64 = 20;

/// A block in which each subaccount of an owner sends its orders; without orders, gets a deposit.
fn spread(chain: &mut Chain, name: &str, orders: impl Fn(u32, u64) -> Vec<Operation>) {
    for subaccount in 0..MAX_SUBACCOUNTS {
        let orders = orders(subaccount, 105);
        if orders.is_empty() {
            let recipient = signer(name).address().to_string();
            let amount_atoms = 1_000_000_000;
            let deposit =
                v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() };
            chain.send(FAUCET, deposit);
        } else {
            chain.send(name, batch(subaccount, false, orders));
        }
    }
    chain.block();
}

/// An offer of a whole position, and the reduce-only orders that go when it trades: of every kind
/// that more has to be undone for.
#[must_use]
pub fn exits(subaccount: u32, offer: u64) -> Vec<Operation> {
    let exit = |at: u64| v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, offer + at, 1) };
    let one = |at: u64| match subaccount % 4 {
        0 => place(exit(1)),
        1 => place(exit(1 + at % 14)),
        2 => place(v1::PlaceOrder {
            client_id: 1 + at,
            time_in_force: TimeInForce::Gtt.into(),
            expires_ms: u64::MAX >> 12,
            ..exit(1 + at % 14)
        }),
        _ => Operation::Oco(v1::PlaceOco { first: Some(exit(1 + at % 14)), second: Some(stop()) }),
    };
    let offer = place(limit(0, Sell, offer, EXITS));
    std::iter::once(offer).chain((0..EXITS).map(one)).collect()
}

/// An exit that waits.
fn stop() -> v1::PlaceOrder {
    v1::PlaceOrder {
        reduce_only: true,
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 85,
        ..limit(0, Sell, 84, 1)
    }
}

/// A batch of a subaccount.
#[must_use]
pub fn batch(subaccount: u32, all_or_none: bool, operations: Vec<Operation>) -> v1::MsgOrders {
    let operations = operations.into_iter().map(v1::Operation::from);
    let mode = i32::from(all_or_none);
    v1::MsgOrders { subaccount, operations: operations.collect(), mode, ..Default::default() }
}

/// The operations that some bytes spell: runs of one kind, which is what an attacker sends.
fn operations(bytes: &mut Bytes<'_>) -> Vec<Operation> {
    let mut all = Vec::new();
    while !bytes.is_empty() && all.len() < 512 {
        let (kind, more) = (bytes.below(9), bytes.byte());
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
        7 => place(v1::PlaceOrder { reduce_only: true, price_ticks: 101 + price % 16, ..order }),
        _ => place(v1::PlaceOrder { post_only: v1::PostOnly::Slide.into(), ..order }),
    }
}

/// The transaction that some bytes spell, as a block after the laid-out state.
fn block(bytes: &[u8], state: &State) -> Option<Block> {
    let mut bytes = Bytes(bytes);
    let first = bytes.byte();
    let all_or_none = first % 3 == 0;
    let sender = signer(if first / 3 % 2 == 0 { ATTACKER } else { POOR });
    // From what an operation usually visits to a thousandth of a block for each.
    let more = u64::from(bytes.byte()) * u64::from(bytes.byte()) * 1_000;
    let message = batch(0, all_or_none, operations(&mut bytes));
    let owner = state.owner_id(&sender.address())?;
    let sequence = state.owners.get(owner)?.sequence;
    let options = TxOptions { sequence, min_gas: more, ..TxOptions::default() };
    let bytes = sender.sign(message, options).ok()?;
    let tx = decode(&bytes, state.max_tx_bytes(), &domain()).ok()?.tx;
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
    let mut least = Duration::MAX;
    let mut cost = None;
    for _ in 0..TURNS {
        let mut state = state.fork();
        let (mut lap, mut taken) = (measures::thread_time(), Duration::ZERO);
        let events = execute(&mut state, &block, &mut |phase| {
            let now = measures::thread_time();
            if phase == Phase::Transactions {
                taken = now.saturating_sub(lap);
            }
            lap = now;
        });
        assert_eq!(events.violations, Vec::<String>::new());
        let outcome = events.txs.first()?;
        assert!(outcome.gas_used <= outcome.gas_wanted, "{outcome:?}");
        least = least.min(taken);
        cost = Some(Cost {
            ns: u64::try_from(least.as_nanos()).unwrap_or(u64::MAX),
            gas: outcome.gas_used,
            paid_before: paid_before(&events),
            visits: events.work.orders + events.events.len() as u64,
        });
    }
    cost
}

pub(super) fn run(bytes: &[u8]) -> bool {
    cost(bytes).is_some()
}

/// One input for each kind of operation, and the worst that searches have found.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let kinds = 0..9_u8;
    let mut seeds: Vec<Vec<u8>> = kinds
        .flat_map(|kind| [1, 4].map(|sender| vec![sender, 20, 20, kind, 255, 0, 255, 31, 0, 0]))
        .collect();
    seeds.extend(worst());
    seeds
}

/// The worst inputs that searches have found.
#[must_use]
pub fn worst() -> Vec<Vec<u8>> {
    let is_input = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let bytes = |line: &str| hex::decode(line.replace(' ', "")).ok();
    WORST.lines().filter(is_input).filter_map(bytes).collect()
}

const WORST: &str = include_str!("../../corpus/work.txt");

//! The cost of a block's transactions without consensus and signatures: batches of a market maker's
//! kind on one market, or many.
#![allow(clippy::float_arithmetic)] // a benchmark measures time

mod worst;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::exec::{execute, Block};
use tidemark_engine::phase::Phase;
use tidemark_proto::params::ChainParams;
use tidemark_proto::tx::TxOptions;
use tidemark_proto::types::gas;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side, TimeInForce};
use tidemark_proto::Code;
use tidemark_tests::harness::{genesis, limit, place, plain_market, signer, Chain, CHAIN_ID};
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::target_folder;

/// Index of every market, in ticks.
const INDEX_TICKS: u64 = 100_000;

/// The size of the run.
struct Options {
    /// Blocks timed.
    blocks: u32,
    /// Accounts that quote, one batch of 100 operations each in every block.
    makers: u32,
    /// Markets; each maker quotes in one.
    markets: u16,
    /// Quotes of a maker that stay on the book from before, far from the touch.
    resting: u32,
    /// Only the one block of the transactions that take longest for their gas.
    worst: bool,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { blocks: 40, makers: 40, markets: 4, resting: 0, worst: false };
        while let Some(name) = args.next() {
            if name == "--worst" {
                options.worst = true;
                continue;
            }
            let value: u32 = args.next()?.parse().ok()?;
            match name.as_str() {
                "--blocks" => options.blocks = value.max(1),
                "--makers" => options.makers = value,
                "--markets" => options.markets = u16::try_from(value.max(1)).ok()?,
                "--resting" if value <= 100 => options.resting = value,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!(
            "usage: bench-exec [--blocks N] [--makers N] [--markets N] [--resting N], of the last \
             at most 100; or bench-exec --worst"
        );
        return ExitCode::from(2);
    };
    match if options.worst { worst() } else { run(&options) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-exec: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The block of the worst transactions.
fn worst() -> Result<(), String> {
    let measures = worst::run()?;
    let path = target_folder()?.join("bench");
    let written = measures::write(&path, "exec-worst", &measures, &serde_json::json!({}))?;
    println!("\nwritten to {}", written.display());
    Ok(())
}

fn run(options: &Options) -> Result<(), String> {
    let mut chain = funded(options);
    let mut times: Vec<(Phase, Duration)> =
        Phase::ALL.iter().map(|phase| (*phase, Duration::ZERO)).collect();
    let (mut operations, mut refused) = (0_usize, 0_usize);
    let (mut gas_used, mut paid_for) = (0_u64, Duration::ZERO);
    for block in 0..options.blocks {
        for maker in 0..options.makers {
            chain.orders(&name(maker), batch(maker, block, options));
        }
        let input = chain.next_input();
        let txs = chain.cache.check_all(&input.txs, chain.state.max_tx_bytes(), 1);
        let block = Block { txs, ..input.block.clone() };
        let (mut lap, mut processor) = (Instant::now(), measures::thread_time());
        let events = execute(&mut chain.state, &block, &mut |phase| {
            times[phase as usize].1 += lap.elapsed();
            let now = measures::thread_time();
            if phase == Phase::Transactions {
                paid_for += now - processor;
            }
            (lap, processor) = (Instant::now(), now);
        });
        gas_used += events.txs.iter().map(|tx| tx.gas_used).sum::<u64>();
        let results = || events.txs.iter().flat_map(|tx| &tx.results);
        operations += results().count();
        refused += results().filter(|result| result.code() != Code::Ok).count();
        assert!(events.violations.is_empty(), "{:?}", events.violations);
    }
    println!("{operations} operations in {} blocks, {refused} refused", options.blocks);
    let whole: Duration = times.iter().map(|(_, time)| *time).sum();
    let rate = operations as f64 / whole.as_secs_f64();
    let mut measures = vec![Measure::throughput("operations", rate, "operations/s")];
    println!("| phase | µs a block | ns an operation |\n|---|---:|---:|");
    for (phase, time) in times.iter().filter(|(_, time)| !time.is_zero()) {
        let block_us = time.as_secs_f64() * 1e6 / f64::from(options.blocks);
        let operation_ns = time.as_secs_f64() * 1e9 / operations.max(1) as f64;
        println!("| {} | {block_us:.0} | {operation_ns:.0} |", phase.name());
        measures.push(Measure::cost(phase.name(), operation_ns, "ns an operation"));
    }
    let ns_per_gas = paid_for.as_secs_f64() * 1e9 / gas_used.max(1) as f64;
    println!("\ntransactions: {ns_per_gas:.3} ns of processor time for each gas used");
    measures.push(Measure::cost("ns_per_gas", ns_per_gas, "ns a gas"));
    let us = unseen_us();
    let block_ms = us / 1e3 * (ChainParams::default().max_block_gas / gas::TX) as f64;
    println!("a signature that nobody has verified: {us:.1} µs; a full block: {block_ms:.0} ms");
    measures.push(Measure::cost("unseen_block", block_ms, "ms of one core"));
    let path = target_folder()?.join("bench");
    let tables = serde_json::json!({
        "blocks": options.blocks,
        "makers": options.makers,
        "markets": options.markets,
        "resting": options.resting,
    });
    println!("\nwritten to {}", measures::write(&path, "exec", &measures, &tables)?.display());
    Ok(())
}

/// Processor time to decode and verify one of the smallest transactions, in microseconds.
fn unseen_us() -> f64 {
    let cancel = |at: u64| {
        let order = v1::CancelOrder { client_id: 1 + at, ..Default::default() };
        let operation = v1::Operation { operation: Some(Operation::Cancel(order)) };
        let message = v1::MsgOrders { operations: vec![operation], ..Default::default() };
        let options = TxOptions { sequence: at, ..TxOptions::default() };
        signer("unseen").sign(message, options).expect("a valid message")
    };
    let txs: Vec<Vec<u8>> = (0..1_000).map(cancel).collect();
    let (cache, start) = (TxCache::new(CHAIN_ID), measures::thread_time());
    let checked = cache.check_all(&txs, 1 << 20, 1);
    let spent = measures::thread_time() - start;
    assert!(checked.iter().all(Result::is_ok), "signed for this chain");
    spent.as_secs_f64() * 1e6 / txs.len() as f64
}

fn name(maker: u32) -> String {
    format!("maker-{maker}")
}

/// Makers with collateral and their far quotes.
fn funded(options: &Options) -> Chain {
    let markets =
        (0..options.markets).map(|market| plain_market(&format!("M{market}-USD"), 20)).collect();
    let mut chain = Chain::new(&genesis(markets, 1_000));
    (0..options.markets).for_each(|market| chain.index(market, INDEX_TICKS));
    (0..options.makers).for_each(|maker| chain.deposit(&name(maker), 1_000_000_000));
    chain.block();
    for maker in 0..if options.resting == 0 { 0 } else { options.makers } {
        let market = market_of(maker, options);
        let far =
            |number| place(limit(market, Side::Buy, INDEX_TICKS - 2_000 - u64::from(number), 1));
        chain.orders(&name(maker), (0..options.resting).map(far).collect());
    }
    chain.block();
    chain
}

fn market_of(maker: u32, options: &Options) -> u32 {
    maker % u32::from(options.markets)
}

/// A cancel of all asks, 90 quotes of which half are bids that are cancelled one by one, and
/// takers: 100 operations.
fn batch(maker: u32, block: u32, options: &Options) -> Vec<Operation> {
    let market = market_of(maker, options);
    let all = v1::CancelAll { market: Some(market), side: Side::Sell.into() };
    let mut operations = vec![Operation::CancelAll(all)];
    for level in 0..30_u64 {
        let away = 1 + (level * 7 + u64::from(maker)) % 100;
        let client_id = u64::from(block % 2) * 100 + level + 1;
        operations.push(place(v1::PlaceOrder {
            client_id,
            ..limit(market, Side::Buy, INDEX_TICKS - away, 5)
        }));
        operations.push(place(limit(market, Side::Sell, INDEX_TICKS + away, 5)));
        let before = u64::from((block + 1) % 2) * 100 + level + 1;
        operations.push(Operation::Cancel(v1::CancelOrder {
            market,
            client_id: before,
            ..Default::default()
        }));
    }
    for taker in 0..9 {
        let (side, price) = if taker % 2 == 0 {
            (Side::Buy, INDEX_TICKS + 3)
        } else {
            (Side::Sell, INDEX_TICKS - 3)
        };
        let time_in_force = TimeInForce::Ioc.into();
        operations.push(place(v1::PlaceOrder { time_in_force, ..limit(market, side, price, 3) }));
    }
    operations
}

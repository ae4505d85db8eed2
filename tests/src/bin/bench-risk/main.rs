//! `bench-risk`: what it costs to find the accounts in danger, by the index and by looking at
//! everyone, in one run; what a block costs with many idle accounts, and while many are closed; and
//! the hash of crowded levels. All of it is the node's own code.
#![allow(clippy::float_arithmetic)]

mod crowd;
mod fall;
mod population;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::exec::account::at_risk::{find, scan};
use tidemark_engine::exec::execute;
use tidemark_engine::phase::Phase;
use tidemark_engine::state::{Search, State};
use tidemark_proto::units::{AccountId, Atoms, Lots, Ppm, Side, Ticks};
use tidemark_risk::health::health;
use tidemark_risk::orders::{OpenOrder, OrderTotals};
use tidemark_risk::Market;
use tidemark_tests::harness::Chain;
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::{progress, target_folder};
use tidemark_tests::sim::rng::Rng;

use population::{chain, MARKETS, MARK_TICKS};

const USAGE: &str =
    "usage: bench-risk [--accounts N] [--idle N] [--fallen N] [--crowd N] [--seed N]";

/// Times that an operation is repeated; the median and the least are shown.
const ROUNDS: usize = 20;

struct Options {
    /// Accounts of the search's population.
    accounts: u32,
    /// Idle accounts of the chain whose blocks are timed.
    idle: u32,
    /// Accounts that a fall brings below maintenance; 0 leaves the fall out.
    fallen: u32,
    /// Orders of the book whose levels are hashed; 0 leaves it out.
    crowd: u32,
    seed: u64,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { accounts: 1_000_000, idle: 100_000, fallen: 100_000, crowd: 1_000_000, seed: 1 };
        while let Some(word) = words.next() {
            let value = words.next().and_then(|value| value.parse().ok());
            let value: u32 = value.ok_or_else(|| format!("{word} needs a number; {USAGE}"))?;
            match word.as_str() {
                "--accounts" => options.accounts = value.max(2),
                "--idle" => options.idle = value.max(2),
                "--fallen" => options.fallen = value,
                "--crowd" => options.crowd = value,
                "--seed" => options.seed = u64::from(value),
                _ => return Err(format!("unknown option {word}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    /// Least and median time of the rounds, in milliseconds, unless `unit` says otherwise.
    least: f64,
    median: f64,
    unit: &'static str,
    /// Accounts that were evaluated, and those found in danger, in the last round.
    evaluated: Option<u64>,
    found: Option<usize>,
    /// The worst median that is accepted, and the one that is aimed at, where they are set.
    floor: Option<f64>,
    goal: Option<f64>,
}

fn line(what: impl Into<String>, mut times: Vec<Duration>, per: f64, unit: &'static str) -> Line {
    times.sort_unstable();
    let scale = |time: Duration| time.as_secs_f64() * per;
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let least = times.first().copied().unwrap_or_default();
    Line {
        what: what.into(),
        least: scale(least),
        median: scale(median),
        unit,
        evaluated: None,
        found: None,
        floor: None,
        goal: None,
    }
}

/// Processor time of this thread, to a few milliseconds: other programs on the machine do not
/// count. The wall clock where the system does not tell.
fn processor_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed(), result)
}

fn main() -> ExitCode {
    let written = Options::parse(std::env::args().skip(1)).and_then(|options| run(&options));
    match written {
        Ok(path) => {
            println!("\nwritten to {}", path.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bench-risk: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<PathBuf, String> {
    progress(&format!("{} accounts", options.accounts));
    let before = resident_bytes();
    let mut chain = chain(options.accounts, options.seed);
    chain.state.rehash();
    let of_account = |bytes: usize| bytes as f64 / f64::from(options.accounts);
    let mut memory =
        Memory { state: of_account(resident_bytes().saturating_sub(before)), index: 0.0 };
    let mut lines = searches(&mut chain.state, options.seed)?;
    memory.index = of_account(chain.state.at_risk().memory_bytes());
    lines.push(margin_check(&chain.state)?);
    drop(chain);
    progress(&format!("blocks with {} idle accounts", options.idle));
    lines.extend(blocks(options)?);
    if options.fallen > 0 {
        progress(&format!("{} accounts below maintenance", options.fallen));
        lines.extend(fall::fall(options.fallen, options.seed)?);
    }
    if options.crowd > 0 {
        progress(&format!("{} orders in crowded levels", options.crowd));
        lines.extend(crowd::crowd(options.crowd)?);
    }
    print(&lines, &memory);
    write(options, &lines, &memory)
}

/// Bytes for each account.
#[derive(Serialize)]
struct Memory {
    /// Growth of the process: rows, owners, Merkle trees.
    state: f64,
    /// The index alone.
    index: f64,
}

/// Memory of this process; 0 where the system does not tell.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Moves every mark to a part of what it was.
fn move_marks(state: &mut State, ppm: impl Fn(usize) -> i64) {
    for (at, cell) in state.markets.cells_mut().enumerate() {
        cell.market.mark_ticks =
            cell.market.mark_ticks.map(|mark| Ticks::new(Rng::moved(mark.get(), ppm(at))));
    }
}

/// Writes accounts that were found, out of danger, as their liquidation would have.
fn save(state: &mut State) {
    for (id, _) in find(state) {
        if let Some(account) = state.accounts.get_mut(id) {
            account.collateral_atoms += Atoms::from_usdc(1_000_000);
        }
    }
    state.rehash();
}

/// Finds by the index, and compares with the scan.
fn search(
    state: &mut State,
    what: &str,
    times: &mut Vec<Duration>,
) -> Result<(u64, usize), String> {
    let before = state.at_risk().evaluations();
    let (time, found) = timed(|| find(state));
    times.push(time);
    if found != scan(state) {
        return Err(format!("{what}: the index found other accounts than the scan"));
    }
    Ok((state.at_risk().evaluations() - before, found.len()))
}

fn searches(state: &mut State, seed: u64) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut add = |what: &str, times, counts: (u64, usize)| {
        let (evaluated, found) = (Some(counts.0), Some(counts.1));
        lines.push(Line { evaluated, found, ..line(what, times, 1e3, "ms") });
    };
    let mut times = Vec::new();
    let counts = search(state, "start", &mut times)?;
    add("index made anew", times, counts);

    let mut rng = Rng::new(seed);
    let (mut times, mut counts) = (Vec::new(), (0, 0));
    for _ in 0..ROUNDS {
        save(state);
        let ways: Vec<i64> =
            (0..MARKETS).map(|_| if rng.chance(50) { 1_000 } else { -1_000 }).collect();
        move_marks(state, |market| ways[market]);
        counts = search(state, "0.1 %", &mut times)?;
    }
    add("marks move by 0.1 %, each its own way", times, counts);

    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(timed(|| scan(state)).0);
    }
    add("the same, every account looked at", times, (u64::from(state.accounts.len()), counts.1));

    let accounts = u64::from(state.accounts.len());
    let (mut times, mut counts) = (Vec::new(), (0, 0));
    for _ in 0..ROUNDS {
        save(state);
        for _ in 0..1_000 {
            state.accounts.touch(AccountId::new(rng.within(0, accounts - 1) as u32));
        }
        state.rehash();
        counts = search(state, "touched", &mut times)?;
    }
    add("marks stay, 1 000 accounts were written", times, counts);

    // From where the index was made, so that no account is nearer than its leverage says.
    let mut times = Vec::new();
    let mut counts = (0, 0);
    for ppm in [-100_000, 100_000] {
        state.markets.cells_mut().for_each(|cell| cell.market.mark_ticks = Some(MARK_TICKS));
        state.set_search(Search::Index);
        find(state);
        move_marks(state, |_| ppm);
        counts = search(state, "10 %", &mut times)?;
    }
    add("all marks move by 10 % at once", times, counts);
    let times = (0..3).map(|_| timed(|| scan(state)).0).collect();
    add("the same, every account looked at", times, (accounts, counts.1));
    Ok(lines)
}

/// The check of one order of an account with positions: its margin with the order, in cache.
fn margin_check(state: &State) -> Result<Line, String> {
    let markets: Vec<Market> = state.markets.cells().map(|cell| cell.market.clone()).collect();
    let account = state.accounts.get(AccountId::ZERO).ok_or("no account")?;
    let first = account.positions[0].market;
    let order = OpenOrder {
        side: Side::Buy,
        price_ticks: MARK_TICKS,
        lots: Lots::new(3),
        reduce_only: false,
    };
    const FEE_PPM: Ppm = Ppm::new(450);
    let check = |price_ticks: Ticks| {
        health(account, markets.as_slice(), |market| {
            let mut totals = OrderTotals::default();
            if market == first {
                let of = &markets[market.index()];
                totals.add(&OpenOrder { price_ticks, ..order }, of.mark()?, of.k, FEE_PPM)?;
            }
            Ok(totals)
        })
        .map(|health| health.free_atoms())
    };
    const CHECKS: u64 = 100_000;
    let round = || {
        timed(|| {
            (0..CHECKS)
                .map(|at| check(MARK_TICKS - Ticks::new(at % 64)))
                .filter(Result::is_ok)
                .count()
        })
        .0
    };
    let times = (0..ROUNDS).map(|_| round()).collect();
    Ok(line("margin check of an order, 3 positions, in cache", times, 1e9 / CHECKS as f64, "ns"))
}

/// Empty blocks with everybody idle; and one in which all prices fall by 10 % with nobody to buy,
/// so that all that must be closed is deleveraged.
fn blocks(options: &Options) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let idle = options.idle;
    for (search, name) in [(Search::Index, "index"), (Search::Scan, "scan")] {
        let mut chain = chain(idle, options.seed);
        chain.state.set_search(search);
        block(&mut chain)?;
        let (mut whole, mut sweeps) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS as u64 {
            (0..MARKETS).for_each(|market| chain.index(market, MARK_TICKS.get() + round % 2));
            let (times, _) = block(&mut chain)?;
            whole.push(times.whole);
            sweeps.push(times.sweep);
        }
        lines.push(line(format!("empty block, {idle} accounts, {name}"), whole, 1e3, "ms"));
        lines.push(line(format!("its sweep, {idle} accounts, {name}"), sweeps, 1e3, "ms"));
        (0..MARKETS).for_each(|market| chain.index(market, MARK_TICKS.get() / 10 * 9));
        let (times, events) = block(&mut chain)?;
        let with_steps =
            format!("sweep after a fall of 10 % without bids, {idle} accounts, {name}");
        let closed = events.events.iter().filter_map(|event| match event {
            Event::Liquidation(step) => Some(step.account),
            _ => None,
        });
        let found = Some(closed.collect::<BTreeSet<_>>().len());
        lines.push(Line { found, ..line(with_steps, vec![times.sweep], 1e3, "ms") });
    }
    Ok(lines)
}

/// Times of a block.
#[derive(Clone, Copy)]
struct Times {
    whole: Duration,
    sweep: Duration,
    /// Of the app hash.
    hash: Duration,
}

/// Carries out the next block; its times by the wall clock, and what happened.
fn block(chain: &mut Chain) -> Result<(Times, BlockEvents), String> {
    let start = Instant::now();
    block_by(chain, &|| start.elapsed())
}

/// As [`block`], by a clock.
fn block_by(
    chain: &mut Chain,
    clock: &dyn Fn() -> Duration,
) -> Result<(Times, BlockEvents), String> {
    let input = chain.next_input();
    let start = clock();
    let (mut last, mut sweep, mut hash) = (start, Duration::ZERO, Duration::ZERO);
    let events = execute(&mut chain.state, &input.block, &mut |phase| {
        let now = clock();
        match phase {
            Phase::Sweep => sweep = now - last,
            Phase::Hash => hash = now - last,
            _ => {}
        }
        last = now;
    });
    let times = Times { whole: clock() - start, sweep, hash };
    match events.violations.first() {
        None => Ok((times, events)),
        Some(violation) => Err(format!("an invariant failed: {violation}")),
    }
}

fn print(lines: &[Line], memory: &Memory) {
    println!("| what | least | median | evaluated | in danger |");
    println!("|---|---:|---:|---:|---:|");
    for Line { what, least, median, unit, evaluated, found, .. } in lines {
        let evaluated = evaluated.map_or(String::new(), |n| n.to_string());
        let found = found.map_or(String::new(), |n| n.to_string());
        println!("| {what} | {least:.2} {unit} | {median:.2} {unit} | {evaluated} | {found} |");
    }
    let Memory { state, index } = memory;
    println!(
        "\nAn account of {} positions: {state:.0} bytes of state, {index:.0} of the index.",
        population::POSITIONS
    );
}

/// Writes `bench/risk.json` in the target folder.
fn write(options: &Options, lines: &[Line], memory: &Memory) -> Result<PathBuf, String> {
    let measure = |line: &Line| Measure {
        floor: line.floor,
        goal: line.goal,
        ..Measure::cost(&line.what, line.median, line.unit)
    };
    let all: Vec<Measure> = lines.iter().map(measure).collect();
    let tables = serde_json::json!({
        "accounts": options.accounts,
        "idle_accounts": options.idle,
        "seed": options.seed,
        "bytes_per_account": memory,
        "lines": lines,
    });
    measures::write(&target_folder()?.join("bench"), "risk", &all, &tables)
}

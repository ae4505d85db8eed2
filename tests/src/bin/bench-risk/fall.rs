//! A fall of all prices with nobody to buy, after which many accounts are below maintenance: how
//! long each block takes, by the processor's time, and how many blocks it takes to close them all.

use std::collections::BTreeMap;
use std::time::Duration;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::State;
use tidemark_proto::units::{AccountId, Atoms, MarketId, SignedLots};
use tidemark_risk::health::{health_without_orders, Health};
use tidemark_risk::liquidation::closing_order;
use tidemark_tests::harness::{genesis, Chain};
use tidemark_tests::net::progress;
use tidemark_tests::sim::rng::Rng;

use super::population::{fund, markets, MARKETS, MARK_TICKS};
use super::{block, block_by, line, processor_time, Line, Times};

/// Most blocks that the benchmark waits for the end.
const MOST_BLOCKS: usize = 2_000;

/// Blocks between two lines of progress.
const TOLD_BLOCKS: usize = 20;

/// Longest block that is accepted, in milliseconds, and the one that is aimed at.
const BLOCK_MS: (f64, f64) = (500.0, 400.0);

/// Most blocks that are accepted for 100 000 accounts, and those that are aimed at.
const BLOCKS: (f64, f64) = (600.0, 300.0);

/// Accounts of a market that may pass those that lack less: a quarter of each part is for those
/// that are listed longest, and a batch that the gas ends leaves its harshest prices over.
const PASSED_OVER: usize = 256;

/// The lines of the table.
///
/// # Errors
/// A broken invariant, accounts that are not closed largest first, or no end.
pub fn fall(accounts: u32, seed: u64) -> Result<Vec<Line>, String> {
    let mut chain = fallen(accounts, seed)?;
    let mut blocks: Vec<Times> = Vec::new();
    loop {
        let homes = homes(&chain.state)?;
        let (times, events) = block_by(&mut chain, &processor_time)?;
        blocks.push(times);
        let waiting = waiting(&chain.state)?;
        if blocks.len() % TOLD_BLOCKS == 1 || waiting == 0 {
            let Times { whole, sweep, hash } = times;
            let frozen = chain.state.danger.frozen.len();
            progress(&format!(
                "block {}: {whole:?}, of it the sweep {sweep:?}, the hash {hash:?}; {waiting} \
                 accounts owe, {frozen} frozen",
                blocks.len()
            ));
        }
        if let Some(market) = out_of_order(&chain.state, &homes, &events)? {
            let height = events.height;
            return Err(format!("block {height}, market {market}: smaller shortfalls came first"));
        }
        if waiting == 0 {
            break;
        }
        if blocks.len() == MOST_BLOCKS {
            return Err(format!("{waiting} accounts wait after {MOST_BLOCKS} blocks"));
        }
    }
    let left = chain.state.danger.listed.len();
    progress(&format!("{left} accounts with an equity of 0 and more wait for bids and keepers"));
    Ok(lines(accounts, &blocks))
}

/// Listed accounts that the chain can close without a bid or a keeper: without anything left they
/// are deleveraged, with an equity of 0 and more nobody is made to take their positions (rules §7).
fn waiting(state: &State) -> Result<usize, String> {
    let mut waiting = 0;
    for row in &state.danger.listed {
        waiting += usize::from(health_of(state, row.account)?.equity_atoms < Atoms::ZERO);
    }
    Ok(waiting)
}

fn health_of(state: &State, account: AccountId) -> Result<Health, String> {
    let account = state.accounts.get(account).ok_or("a listed account")?;
    health_without_orders(account, &state.markets).map_err(|e| e.to_string())
}

/// The chain after the fall, before the block that shows it.
fn fallen(accounts: u32, seed: u64) -> Result<Chain, String> {
    let mut chain = Chain::new(&genesis(markets(), 1_000_000));
    (0..MARKETS).for_each(|market| chain.index(market, MARK_TICKS.get()));
    for _ in 0..2 {
        chain.block();
    }
    let mut rng = Rng::new(seed);
    for _ in 0..accounts {
        long_and_short(&mut chain.state, &mut rng);
    }
    block(&mut chain)?;
    (0..MARKETS).for_each(|market| chain.index(market, MARK_TICKS.get() / 10 * 9));
    Ok(chain)
}

fn lines(accounts: u32, blocks: &[Times]) -> Vec<Line> {
    let of = |part: fn(&Times) -> Duration| blocks.iter().map(part).collect::<Vec<_>>();
    let longest = |part: fn(&Times) -> Duration| blocks.iter().map(part).max().unwrap_or_default();
    let what = format!("block while {accounts} accounts below maintenance are closed, no bids");
    let one = |what: String, time: Duration| line(what, vec![time], 1e3, "ms");
    let worst = Line {
        floor: Some(BLOCK_MS.0),
        goal: Some(BLOCK_MS.1),
        ..one(format!("the longest {what}"), longest(|times| times.whole))
    };
    let count = vec![Duration::from_secs(blocks.len() as u64)];
    let all = Line {
        floor: Some(BLOCKS.0),
        goal: Some(BLOCKS.1),
        ..line("blocks until all are closed", count, 1.0, "blocks")
    };
    let first = blocks.first().map_or(Duration::ZERO, |times| times.whole);
    let whole = line(what, of(|times| times.whole), 1e3, "ms");
    vec![
        Line { found: Some(accounts as usize), ..whole },
        line(format!("its sweep, {accounts} accounts"), of(|times| times.sweep), 1e3, "ms"),
        line(format!("its app hash, {accounts} accounts"), of(|times| times.hash), 1e3, "ms"),
        worst,
        one("the longest sweep of them".into(), longest(|times| times.sweep)),
        one("the block that finds them".into(), first),
        all,
    ]
}

/// The market that pays for each listed account's step: that of its largest position.
fn homes(state: &State) -> Result<BTreeMap<AccountId, MarketId>, String> {
    let mut homes = BTreeMap::new();
    for row in &state.danger.listed {
        let account = state.accounts.get(row.account).ok_or("a listed account")?;
        let order = closing_order(account, &state.markets).map_err(|e| e.to_string())?;
        homes.extend(order.first().map(|(market, _)| (row.account, *market)));
    }
    Ok(homes)
}

/// The shortfalls of accounts whose positions a block closed, as they were before.
fn closed(events: &BlockEvents) -> BTreeMap<AccountId, Atoms> {
    let mut closed = BTreeMap::new();
    for event in &events.events {
        if let Event::Liquidation(step) = event {
            if !step.lots.is_zero() {
                let shortfall = step.maintenance_atoms - step.equity_atoms;
                closed.entry(step.account).or_insert(shortfall);
            }
        }
    }
    closed
}

/// A market in which more accounts wait that lack more than the usual account whose position the
/// block closed there than the rules let wait: the largest come first, market by market.
fn out_of_order(
    state: &State,
    homes: &BTreeMap<AccountId, MarketId>,
    events: &BlockEvents,
) -> Result<Option<MarketId>, String> {
    let closed = closed(events);
    let mut by_market: BTreeMap<MarketId, (Vec<Atoms>, Vec<Atoms>)> = BTreeMap::new();
    for (account, home) in homes {
        let (of_closed, of_waiting) = by_market.entry(*home).or_default();
        match closed.get(account) {
            Some(shortfall) => of_closed.push(*shortfall),
            None => {
                let health = health_of(state, *account)?;
                of_waiting.push(health.maintenance_atoms - health.equity_atoms);
            }
        }
    }
    Ok(by_market.into_iter().find_map(|(market, (mut closed, waiting))| {
        closed.sort_unstable();
        let usual = closed.get(closed.len() / 2)?;
        let larger = waiting.iter().filter(|shortfall| *shortfall > usual).count();
        (larger > closed.len() + PASSED_OVER).then_some(market)
    }))
}

/// An account that is long with a leverage from 10 to 45 in one to three markets, and one that is
/// short against it, with collateral for it all.
fn long_and_short(state: &mut State, rng: &mut Rng) {
    let mut positions: Vec<(MarketId, SignedLots)> = Vec::new();
    let count = rng.within(1, 3) as usize;
    while positions.len() < count {
        let market = MarketId::new(rng.within(0, u64::from(MARKETS) - 1) as u16);
        if positions.iter().all(|(other, _)| *other != market) {
            let size = 5 * 10_u64.pow(rng.within(0, 2) as u32);
            positions.push((market, SignedLots::new(rng.within(size, size * 10) as i64)));
        }
    }
    let leverage_milli = rng.within(10_000, 45_000);
    fund(state, &positions, |notional| notional.mul_div_trunc(1_000, leverage_milli.into()));
    let shorts: Vec<_> = positions.iter().map(|(market, lots)| (*market, -*lots)).collect();
    fund(state, &shorts, Some);
}

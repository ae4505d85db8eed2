//! A fall of all prices with nobody to buy, after which many accounts are below maintenance: how
//! long each block takes, and how many blocks it takes to close them all.

use std::time::Duration;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::State;
use tidemark_proto::units::{MarketId, SignedLots};
use tidemark_tests::harness::{genesis, Chain};
use tidemark_tests::sim::rng::Rng;

use super::population::{fund, markets, MARKETS, MARK_TICKS};
use super::{block, line, Line};

/// Most blocks that the benchmark waits for the end.
const MOST_BLOCKS: usize = 2_000;

/// The lines of the table.
///
/// # Errors
/// A broken invariant, accounts that are not closed largest first, or no end.
pub fn fall(accounts: u32, seed: u64) -> Result<Vec<Line>, String> {
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
    let (mut blocks, mut sweeps) = (Vec::new(), Vec::new());
    loop {
        let (whole, sweep, events) = block(&mut chain)?;
        blocks.push(whole);
        sweeps.push(sweep);
        if !is_ordered(&chain.state, &events) {
            return Err(format!("block {}: a smaller shortfall was closed first", events.height));
        }
        let waiting = chain.state.danger.listed.len();
        if waiting == 0 {
            break;
        }
        if blocks.len() == MOST_BLOCKS {
            return Err(format!("{waiting} accounts wait after {MOST_BLOCKS} blocks"));
        }
    }
    let count = blocks.len();
    let worst = blocks.iter().max().copied().unwrap_or_default();
    let counted = |line: Line| Line { found: Some(accounts as usize), ..line };
    let whole = format!("block while {accounts} accounts below maintenance are closed, no bids");
    let of_sweep = format!("its sweep, {accounts} accounts");
    let mut lines = vec![
        counted(line(whole.clone(), blocks, 1e3, "ms")),
        line(of_sweep, sweeps, 1e3, "ms"),
        line(format!("the longest {whole}"), vec![worst], 1e3, "ms"),
    ];
    lines.push(line(
        "blocks until all are closed",
        vec![Duration::from_secs(count as u64)],
        1.0,
        "blocks",
    ));
    Ok(lines)
}

/// True if nobody who waits lacks more than all of those whose positions a block closed: the
/// largest come first, market by market.
fn is_ordered(state: &State, events: &BlockEvents) -> bool {
    let closed = events.events.iter().filter_map(|event| match event {
        Event::Liquidation(step) if !step.lots.is_zero() => {
            Some(step.maintenance_atoms - step.equity_atoms)
        }
        _ => None,
    });
    let largest = closed.max();
    let waits = state.markets.cells().flat_map(|cell| &cell.listed);
    let largest_waiting = waits.map(|of| of.maintenance_atoms - of.equity_atoms).max();
    largest_waiting <= largest
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

//! Accounts with positions, as they could have come about: every long has its short, every atom was
//! deposited.

use tidemark_engine::state::State;
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::Address;
use tidemark_proto::units::{Atoms, MarketId, SignedLots, Ticks};
use tidemark_risk::Account;
use tidemark_tests::harness::{genesis, test_market, Chain};
use tidemark_tests::sim::rng::Rng;

/// Positions of each account, in as many markets.
pub const POSITIONS: usize = 3;

/// Markets that the positions are spread over.
pub const MARKETS: u16 = 20;

/// Leverage of accounts: `(per mille of them, least, most)`, notional over equity, even within a
/// row. The markets give 50x at most and liquidate at 100x: one account in a hundred has lost its
/// way into the last row.
pub const LEVERAGE: [(u64, u64, u64); 6] =
    [(300, 1, 2), (350, 2, 5), (200, 5, 10), (110, 10, 20), (30, 20, 45), (10, 45, 95)];

/// Mark of every market at the start.
pub const MARK_TICKS: Ticks = Ticks::new(1_000_000);

/// Twenty markets of a 50x first tier, marked at 10 000 USDC, in lots of 0.001.
pub fn markets() -> Vec<MarketParams> {
    (0..MARKETS).map(|id| test_market(&format!("M{id}-USD"), 10_000_000, 1_000_000, 50)).collect()
}

/// A chain with that many accounts, which is an even number: each pair holds the same lots against
/// each other, from 50 to 50 000 USDC a position, evenly by order of magnitude. All marks have been
/// reported once.
pub fn chain(accounts: u32, seed: u64) -> Chain {
    let mut chain = Chain::new(&genesis(markets(), 1_000_000));
    (0..MARKETS).for_each(|market| chain.index(market, MARK_TICKS.get()));
    for _ in 0..2 {
        chain.block();
    }
    let mut rng = Rng::new(seed);
    for _ in 0..accounts / 2 {
        pair(&mut chain.state, &mut rng);
    }
    chain
}

fn pair(state: &mut State, rng: &mut Rng) {
    let mut positions: Vec<(MarketId, SignedLots)> = Vec::new();
    while positions.len() < POSITIONS {
        let market = MarketId::new(rng.within(0, u64::from(MARKETS) - 1) as u16);
        if positions.iter().all(|(other, _)| *other != market) {
            let size = 5 * 10_u64.pow(rng.within(0, 2) as u32);
            let lots = SignedLots::new(rng.within(size, size * 10) as i64);
            positions.push((market, if rng.chance(50) { lots } else { -lots }));
        }
    }
    for is_opposite in [false, true] {
        let side = |lots: SignedLots| if is_opposite { -lots } else { lots };
        let positions: Vec<_> =
            positions.iter().map(|(market, lots)| (*market, side(*lots))).collect();
        let leverage_milli = leverage_milli(rng);
        fund(state, &positions, |notional| notional.mul_div_trunc(1_000, leverage_milli.into()));
    }
}

/// A new account with these positions, each opened at the first mark, and collateral by their
/// notional.
pub fn fund(
    state: &mut State,
    positions: &[(MarketId, SignedLots)],
    collateral: impl Fn(Atoms) -> Option<Atoms>,
) {
    let number = state.accounts.len();
    let mut address = [0; 20];
    address[..4].copy_from_slice(&number.to_le_bytes());
    let owner = state.ensure_owner(Address(address)).expect("room");
    let id = state.ensure_account(owner, 0).expect("room");
    let mut account = Account::new(owner, 0);
    let mut notional = Atoms::ZERO;
    for (market, lots) in positions {
        let of = &mut state.markets.slot_mut(*market).cell.market;
        let value = MARK_TICKS.position_atoms(*lots, of.k).expect("small");
        let position = account.position_mut(*market);
        (position.lots, position.cost_atoms) = (*lots, value);
        of.open_interest_lots += (*lots).max(SignedLots::ZERO).unsigned_abs();
        notional += value.max(-value);
    }
    account.collateral_atoms = collateral(notional).expect("small");
    state.chain.deposits_atoms += account.collateral_atoms;
    if let Some(row) = state.accounts.get_mut(id) {
        *row = account;
    }
}

/// A leverage in thousandths.
fn leverage_milli(rng: &mut Rng) -> u64 {
    let mut draw = rng.within(0, 999);
    for (part, least, most) in LEVERAGE {
        if draw < part {
            return rng.within(least * 1_000, most * 1_000);
        }
        draw -= part;
    }
    1_000
}

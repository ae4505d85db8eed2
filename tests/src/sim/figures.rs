//! An account's margin by the letter of the rules (rules §§3.2 to 3.6), written again without the
//! engine's code and without the arithmetic of units, to compare with: formulas are of bare
//! integers.

use tidemark_engine::state::{MarketCell, State};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{AccountId, Atoms, MarketId, Side, SignedLots, Ticks};
use tidemark_risk::{Account, Position};

const MILLION: i128 = 1_000_000;

/// An account's worth and required margin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Collateral after unpaid funding.
    pub cash: Atoms,
    /// Cash and unrealised profit.
    pub equity: Atoms,
    /// Maintenance margin.
    pub maintenance: Atoms,
    /// The reserve of positions and orders.
    pub reserve: Atoms,
    /// Notional of the positions.
    pub notional: Atoms,
    /// Orders that are not reduce-only.
    pub increasing_orders: u32,
}

impl Figures {
    /// Equity beyond what is reserved.
    #[must_use]
    pub fn free(&self) -> Atoms {
        self.equity - self.reserve
    }

    /// Equity below maintenance.
    #[must_use]
    pub fn below_maintenance(&self) -> bool {
        self.equity < self.maintenance
    }

    /// `min(cash, E) − max(Σ reserve, 10 % of notional)`.
    #[must_use]
    pub fn withdrawable(&self) -> Atoms {
        let tenth = Atoms::new(ceil_div(self.notional.get(), 10));
        (self.cash.min(self.equity) - self.reserve.max(tenth)).max(Atoms::ZERO)
    }
}

/// `⌈a/b⌉`, for `b > 0`.
fn ceil_div(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

fn value(cell: &MarketCell, lots: i128) -> i128 {
    match (lots, cell.market.mark_ticks) {
        (0, _) | (_, None) => 0,
        (_, Some(mark)) => mark.wide() * lots * cell.market.k.wide(),
    }
}

/// Funding that a position owes: up to the next atom.
#[must_use]
pub fn unpaid(cell: &MarketCell, position: &Position) -> Atoms {
    let index_move = cell.market.funding.cumulative_index - position.funding_index;
    Atoms::new(ceil_div(index_move * position.lots.wide(), MILLION))
}

fn tiered(params: &MarketParams, notional: i128, rate: impl Fn(i128) -> i128) -> i128 {
    let (mut lower, mut micro) = (0, 0);
    for tier in &params.tiers {
        let upper = tier.upper_notional_atoms.get();
        let part = (notional.min(upper) - lower).max(0);
        micro += part * rate(tier.initial_margin_ppm.wide());
        lower = upper.min(notional);
    }
    ceil_div(micro, MILLION)
}

fn initial(cell: &MarketCell, notional: i128, leverage: u32) -> i128 {
    let params = &cell.market.params;
    let by_tier = tiered(params, notional, |rate| rate);
    if leverage == 0 {
        by_tier
    } else {
        by_tier.max(ceil_div(notional, i128::from(leverage)))
    }
}

/// The maintenance margin of a position.
#[must_use]
pub fn maintenance(cell: &MarketCell, lots: SignedLots) -> Atoms {
    let params = &cell.market.params;
    let full = tiered(params, value(cell, lots.wide()).abs(), |rate| rate);
    Atoms::new(ceil_div(full * params.maintenance_fraction_ppm.wide(), MILLION))
}

/// The reserve of one market for an account, and how many of its orders there increase.
fn reserve(state: &State, id: AccountId, position: &Position) -> (Atoms, u32) {
    let slot = state.markets.slot(position.market);
    let (cell, book) = (&slot.cell, &slot.book);
    let fees = &state.chain.params.fee_tiers;
    let fee_ppm =
        fees.iter().map(|tier| tier.maker_ppm.max(tier.taker_ppm).get()).max().unwrap_or(0).max(0);
    let mark = cell.market.mark_ticks.map_or(0, Ticks::wide);
    let k = cell.market.k.wide();
    let (mut buys, mut sells, mut reducing) = (0_i128, 0_i128, 0_i128);
    let (mut sum, mut increasing) = (0, 0);
    for order in book.orders_of(id) {
        let (price, lots) = (order.price_ticks.wide(), order.lots.wide());
        let against = if order.side == Side::Buy { price - mark } else { mark - price };
        sum += against.max(0) * lots * k;
        sum += ceil_div(price * k * i128::from(fee_ppm), MILLION) * lots;
        match (order.reduce_only, order.side) {
            (true, _) => reducing += lots,
            (false, Side::Buy) => buys += lots,
            (false, Side::Sell) => sells += lots,
        }
        increasing += u32::from(!order.reduce_only);
    }
    // 10 USDC for each order off the book that could increase.
    let waiting = slot.conditional.iter();
    let waiting =
        waiting.filter(|order| order.account == id && order.waits() && !order.only_reduces());
    sum += 10 * MILLION * waiting.count() as i128;
    let held = position.lots.wide();
    let reducing = reducing.min(held.abs());
    let (up, down) = if held > 0 { (buys, sells + reducing) } else { (buys + reducing, sells) };
    let farthest = (held + up).abs().max((held - down).abs());
    if farthest > 0 {
        sum += initial(cell, value(cell, farthest), position.leverage);
    }
    (Atoms::new(sum), increasing)
}

/// An account's figures at a state's marks, with its orders in that state's books.
#[must_use]
pub fn figures(state: &State, id: AccountId, account: &Account) -> Figures {
    let mut sum = without_orders(state, account);
    for position in &account.positions {
        let (reserved, increasing) = reserve(state, id, position);
        sum.reserve += reserved;
        sum.increasing_orders += increasing;
    }
    sum
}

/// Cash, equity, maintenance and notional at a state's marks; nothing of orders.
#[must_use]
pub fn without_orders(state: &State, account: &Account) -> Figures {
    let mut sum = Figures {
        cash: account.collateral_atoms,
        equity: account.collateral_atoms,
        ..Figures::default()
    };
    for position in account.positions.iter().filter(|position| !position.lots.is_zero()) {
        let cell = &state.markets.slot(position.market).cell;
        let worth = value(cell, position.lots.wide());
        let owed = unpaid(cell, position);
        sum.cash -= owed;
        sum.equity += Atoms::new(worth) - position.cost_atoms - owed;
        sum.maintenance += maintenance(cell, position.lots);
        sum.notional += Atoms::new(worth.abs());
    }
    sum
}

/// True if a market's positions may be closed by the chain now: it trades, and its index is fresh.
#[must_use]
pub fn may_liquidate(state: &State, market: MarketId) -> bool {
    use tidemark_proto::params::MarketStatus::{Active, ReduceOnly};
    let cell = &state.markets.slot(market).cell;
    let trades =
        matches!(cell.market.params.status, Active | ReduceOnly) && cell.quarantined.is_none();
    trades && !cell.index.is_stale(state.chain.time_ms, cell.market.params.max_oracle_age_ms)
}

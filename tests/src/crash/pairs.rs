//! Pairs of one owner on recorded crashes: what a long and a short at the highest leverage, opened
//! together beside strangers, bring their owner, and who pays.
//!
//! Each attempt is a chain of its own, one block a second of the recording: a market, two strangers
//! who hold ten million USDC of either side, and the pair, which trades with itself at the mark to
//! open. Of one side it sells at the mark, at once, whatever the engine closes of the other; the
//! rest it closes against itself after an hour. Liquidation, fund, deleveraging and fees are the
//! chain's.

use std::cmp::Ordering;

use tidemark_engine::events::{BlockEvents, Event, Fill};
use tidemark_proto::units::{AccountId, Atoms, MarketId, Side, Ticks};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;
use tidemark_risk::health::health_without_orders;
use tidemark_risk::Market;

use super::crowd::lot_atoms;
use super::makers::{ladder, MEMORY};
use super::recordings::Series;
use super::report;
use crate::harness::{genesis, healthy, limit, place, test_market, Chain};

/// Notional of either side, in USDC: small beside the strangers, and within the first tier.
const NOTIONAL_USDC: u64 = 100_000;
/// Notional of the strangers' positions.
const STRANGERS_USDC: u64 = 10_000_000;
/// The fund at the start.
const FUND_USDC: u64 = 1_000_000;
/// Taker's fee, maker's fee and roundings of an opening, in ppm.
const OPENING_PPM: u64 = 700;
/// Longest that a pair waits, in seconds.
const HORIZON: usize = 3_600;
/// One, in ppm.
const ONE_PPM: u64 = 1_000_000;

const MARKET: u32 = 0;
/// The pair, the strangers, and who buys from the pair what is left of it.
const PAIR: [&str; 2] = ["long", "short"];
const STRANGERS: [&str; 2] = ["holder", "seller"];
const MAKER: &str = "maker";

/// The conditions of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The market's highest leverage, which the pair uses.
    pub leverage: u32,
    /// True where a maker quotes around the index as those of the crash replay do; else a
    /// liquidation meets an empty book.
    pub has_book: bool,
}

/// The outcome of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempt {
    /// Worth of both accounts at the end, less their deposits and what makers' old quotes brought.
    pub net_atoms: Atoms,
    /// Notional of either side.
    pub notional_atoms: Atoms,
    /// Gain of the pair by quotes of makers beyond the mark; the net has it not.
    pub makers_atoms: Atoms,
    /// Paid by the fund for the pair's lots.
    pub fund_atoms: Atoms,
    /// Loss of strangers against the mark, by deleveraging.
    pub strangers_atoms: Atoms,
    /// True where the engine has closed one side whole.
    pub is_closed: bool,
    /// True where the minute before has moved the index by half of the initial margin.
    pub is_fast: bool,
}

/// The sums of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// How many.
    pub attempts: u64,
    /// Those in which the engine closed one side.
    pub closed: u64,
    /// Those with a gain.
    pub wins: u64,
    /// The largest gain, in ppm of notional.
    pub largest_ppm: i128,
    /// In ppm of notional, over all attempts.
    net_ppm: i128,
    fund_ppm: i128,
    makers_ppm: i128,
    strangers_ppm: i128,
    /// Attempts after a fast minute, and what they brought.
    pub fast: u64,
    fast_ppm: i128,
}

/// The quotient in ppm, rounded down; 0 of nothing.
fn mean(sum: i128, count: u64) -> i128 {
    sum.checked_div_euclid(i128::from(count)).unwrap_or(0)
}

impl Sums {
    /// Adds an attempt.
    pub fn add(&mut self, of: &Attempt) {
        let ppm = |atoms: Atoms| {
            let wide = atoms.get() * i128::from(ONE_PPM);
            wide.checked_div_euclid(of.notional_atoms.get()).unwrap_or(0)
        };
        let net_ppm = ppm(of.net_atoms);
        self.attempts += 1;
        self.closed += u64::from(of.is_closed);
        self.wins += u64::from(of.net_atoms.is_positive());
        self.largest_ppm = self.largest_ppm.max(net_ppm);
        self.net_ppm += net_ppm;
        self.fund_ppm += ppm(of.fund_atoms);
        self.makers_ppm += ppm(of.makers_atoms);
        self.strangers_ppm += ppm(of.strangers_atoms);
        if of.is_fast {
            self.fast += 1;
            self.fast_ppm += net_ppm;
        }
    }

    /// Mean net of a pair.
    #[must_use]
    pub fn mean_ppm(&self) -> i128 {
        mean(self.net_ppm, self.attempts)
    }

    /// Mean net of those that were opened after a fast minute.
    #[must_use]
    pub fn mean_fast_ppm(&self) -> i128 {
        mean(self.fast_ppm, self.fast)
    }

    /// Means of what the fund paid, what deleveraging took from strangers, and what makers lost by
    /// quotes of before a jump.
    #[must_use]
    pub fn paid_ppm(&self) -> [i128; 3] {
        [self.fund_ppm, self.strangers_ppm, self.makers_ppm].map(|sum| mean(sum, self.attempts))
    }
}

/// So many attempts, evenly over a series; fewer where it has no price.
///
/// # Errors
/// A sentence when a pair could not be opened.
///
/// # Panics
/// When an invariant of the chain fails.
pub fn sums(series: &Series, terms: Terms, pairs: usize) -> Result<Sums, String> {
    let mut sums = Sums::default();
    let last = series.seconds.len().saturating_sub(HORIZON.min(series.seconds.len() / 4));
    let every = last.saturating_sub(MEMORY).div_ceil(pairs.max(1)).max(1);
    for start in (MEMORY..last).step_by(every) {
        if let Some(attempt) = attempt(series, terms, start)? {
            sums.add(&attempt);
        }
    }
    Ok(sums)
}

/// One attempt, from a second on; none where that second has no price.
fn attempt(series: &Series, terms: Terms, start: usize) -> Result<Option<Attempt>, String> {
    let (Some(now), Some(before)) = (series.seconds[start].0, series.seconds[start - MEMORY].0)
    else {
        return Ok(None);
    };
    let moved_ppm = now.abs_diff(before).get() * ONE_PPM / before.get().max(1);
    let mut world = World::new(series, terms, start)?;
    let end = series.seconds.len().min(start + HORIZON);
    for second in start + 1..end {
        world.second(second);
        world.balance();
        if world.lots().contains(&0) {
            break;
        }
    }
    let is_closed = world.lots().contains(&0);
    world.leave();
    let is_fast = moved_ppm > ONE_PPM / 2 / u64::from(terms.leverage);
    Ok(Some(Attempt { is_closed, is_fast, ..world.outcome() }))
}

/// One attempt's chain.
struct World<'a> {
    series: &'a Series,
    terms: Terms,
    chain: Chain,
    /// Accounts of the pair.
    pair: [AccountId; 2],
    deposits_atoms: Atoms,
    outcome: Attempt,
    second: usize,
}

impl<'a> World<'a> {
    /// A chain in which strangers have held their positions for a while, and the pair has opened.
    fn new(series: &'a Series, terms: Terms, start: usize) -> Result<Self, String> {
        let of = &series.listing;
        let sizes = (of.tick_size_e9, of.lot_size_e9);
        let params = test_market(of.symbol, sizes.0, sizes.1, terms.leverage);
        let mut chain = Chain::new(&genesis(vec![params], FUND_USDC));
        report(&mut chain, &vec![series.seconds[start]]);
        let each_usdc = NOTIONAL_USDC / u64::from(terms.leverage);
        PAIR.iter().for_each(|name| chain.deposit(name, each_usdc));
        for name in STRANGERS.iter().chain([&MAKER]) {
            chain.deposit(name, 3 * STRANGERS_USDC);
        }
        healthy(&chain.block());
        let mark = mark(&chain);
        let lot = lot_atoms(of, mark).max(1);
        let per_lot = lot * (ONE_PPM / u64::from(terms.leverage) + OPENING_PPM) / ONE_PPM;
        let lots = each_usdc * 1_000_000 / per_lot.max(1);
        trade(&mut chain, STRANGERS, mark, STRANGERS_USDC * 1_000_000 / lot);
        chain.age_positions();
        trade(&mut chain, PAIR, mark, lots);
        let pair = PAIR.map(|name| chain.account_id(name));
        let notional_atoms = Atoms::from_u64(lots * lot);
        let deposits_atoms = Atoms::from_u64(2 * each_usdc * 1_000_000);
        let outcome = Attempt { notional_atoms, ..Attempt::default() };
        let world = Self { series, terms, chain, pair, deposits_atoms, outcome, second: start };
        let held = world.lots();
        if held.map(i64::unsigned_abs) != [lots, lots] {
            return Err(format!(
                "a pair of {lots} lots of {} at {}x could not be opened: {held:?}",
                of.symbol, terms.leverage
            ));
        }
        Ok(world)
    }

    fn lots(&self) -> [i64; 2] {
        let lots = |id| {
            let row = self.chain.state.accounts.get(id);
            row.map_or(0, |account| account.lots(MarketId::ZERO).get())
        };
        self.pair.map(lots)
    }

    /// One second of the recording.
    fn second(&mut self, second: usize) {
        self.second = second;
        report(&mut self.chain, &vec![self.series.seconds[second]]);
        self.quote();
        self.block();
    }

    /// The maker's quotes, anew every other second; none without a price.
    fn quote(&mut self) {
        let then = self.series.seconds[self.second.saturating_sub(MEMORY)].0;
        let now = self.series.seconds[self.second].0;
        if !self.terms.has_book || self.second % 2 != 0 {
            return;
        }
        let mut operations = vec![Operation::CancelAll(v1::CancelAll::default())];
        if let Some(now) = now {
            let of = (&self.series.listing, MARKET);
            operations.extend(ladder(of, (then.unwrap_or(now), now), (0, 1)));
        }
        self.chain.orders(MAKER, operations);
    }

    fn block(&mut self) {
        let events = self.chain.block();
        healthy(&events);
        self.count(&events);
    }

    /// Who paid for the pair in a block.
    fn count(&mut self, events: &BlockEvents) {
        for event in &events.events {
            match event {
                Event::Liquidation(step) if self.pair.contains(&step.account) => {
                    self.outcome.fund_atoms += step.fund_paid_atoms;
                }
                Event::Adl { account, side, price_ticks, lots, .. }
                    if !self.pair.contains(account) =>
                {
                    let market = &self.chain.state.markets[0].cell.market;
                    let mark = market.mark_ticks.unwrap_or_default();
                    let worse = match side {
                        Side::Buy => price_ticks.saturating_sub(mark),
                        Side::Sell => mark.saturating_sub(*price_ticks),
                    };
                    let lost = worse.notional_atoms(*lots, market.k).unwrap_or(Atoms::MAX);
                    self.outcome.strangers_atoms += lost;
                }
                Event::Fill(fill) => self.outcome.makers_atoms += self.gained_from_makers(fill),
                _ => {}
            }
        }
    }

    /// Gain of the pair by a quote beyond the mark: a quote of before a jump, which any taker could
    /// have met.
    fn gained_from_makers(&self, fill: &Fill) -> Atoms {
        if !self.pair.contains(&fill.taker) || self.pair.contains(&fill.maker) {
            return Atoms::ZERO;
        }
        let market = &self.chain.state.markets[0].cell.market;
        let mark = market.mark_ticks.unwrap_or_default();
        let better = match fill.taker_side {
            Side::Buy => mark.saturating_sub(fill.price_ticks),
            Side::Sell => fill.price_ticks.saturating_sub(mark),
        };
        better.notional_atoms(fill.lots, market.k).unwrap_or(Atoms::MAX)
    }

    /// Closes of the larger side, against a stranger at the mark, what the engine has closed of the
    /// other: a pair bets on no direction.
    fn balance(&mut self) {
        let mark = mark(&self.chain);
        let [long, short] = self.lots().map(i64::unsigned_abs);
        match long.cmp(&short) {
            Ordering::Equal => return,
            Ordering::Greater => self.exit(PAIR[0], v1::Side::Sell, mark, long - short),
            Ordering::Less => self.exit(PAIR[1], v1::Side::Buy, mark, short - long),
        }
        self.block();
    }

    /// Closes what is left of the pair as soon as the market trades, its two sides against each
    /// other.
    fn leave(&mut self) {
        let end = self.series.seconds.len().min(self.second + HORIZON);
        while self.lots() != [0, 0] {
            self.balance();
            let [lots, other] = self.lots().map(i64::unsigned_abs);
            if lots > 0 && lots == other {
                let (mark, [long, short]) = (mark(&self.chain), PAIR);
                post(&mut self.chain, short, v1::Side::Buy, mark, lots);
                take(&mut self.chain, long, v1::Side::Sell, mark, lots);
                self.block();
            }
            if self.lots() == [0, 0] || self.second + 1 >= end {
                return;
            }
            self.second(self.second + 1);
        }
    }

    /// Sells or buys back one side, at the mark.
    fn exit(&mut self, name: &str, side: v1::Side, mark: Ticks, lots: u64) {
        let against = if side == v1::Side::Buy { v1::Side::Sell } else { v1::Side::Buy };
        post(&mut self.chain, MAKER, against, mark, lots);
        take(&mut self.chain, name, side, mark, lots);
    }

    fn outcome(&self) -> Attempt {
        let market: &Market = &self.chain.state.markets[0].cell.market;
        let equity = |id| {
            let health = self.chain.state.accounts.get(id).map(|account| {
                health_without_orders(account, std::slice::from_ref(market))
                    .map_or(Atoms::ZERO, |health| health.equity_atoms)
            });
            health.unwrap_or_default()
        };
        let worth: Atoms = self.pair.map(equity).into_iter().sum();
        let net_atoms = worth - self.deposits_atoms - self.outcome.makers_atoms;
        Attempt { net_atoms, ..self.outcome }
    }
}

fn mark(chain: &Chain) -> Ticks {
    chain.state.markets[0].cell.market.mark_ticks.unwrap_or_default()
}

/// The first buys from the second, in one block: what rests comes before what takes.
fn trade(chain: &mut Chain, [buyer, seller]: [&str; 2], price: Ticks, lots: u64) {
    post(chain, buyer, v1::Side::Buy, price, lots);
    take(chain, seller, v1::Side::Sell, price, lots);
    healthy(&chain.block());
}

fn post(chain: &mut Chain, name: &str, side: v1::Side, price: Ticks, lots: u64) {
    let post_only = v1::PostOnly::Reject.into();
    let order = v1::PlaceOrder { post_only, ..limit(MARKET, side, price.get(), lots) };
    let cancel = Operation::CancelAll(v1::CancelAll::default());
    chain.orders(name, vec![cancel, place(order)]);
}

fn take(chain: &mut Chain, name: &str, side: v1::Side, price: Ticks, lots: u64) {
    let time_in_force = v1::TimeInForce::Ioc.into();
    let order = v1::PlaceOrder { time_in_force, ..limit(MARKET, side, price.get(), lots) };
    chain.orders(name, vec![place(order)]);
}

#[cfg(test)]
mod tests {
    use super::super::LISTINGS;
    use super::*;

    /// 100 000 USDC, and from a second on 5 % less: BTC at 50x, where 2 % is the margin.
    fn jump_at(second: usize) -> Series {
        let price = |at: usize| Some(Ticks::new(if at < second { 1_000_000 } else { 950_000 }));
        let seconds = (0..second + 60).map(|at| (price(at), None)).collect();
        Series { day: "made up", listing: LISTINGS[0], seconds }
    }

    fn attempt_at_once(second: usize) -> Attempt {
        let terms = Terms { leverage: 50, has_book: false };
        attempt(&jump_at(second), terms, MEMORY).expect("a pair").expect("a price")
    }

    #[test]
    fn rules_7_a_pair_bears_a_jump_within_its_window_itself() {
        let of = attempt_at_once(MEMORY + 120);
        assert!(of.is_closed && of.net_atoms.is_negative(), "{of:?}");
        assert_eq!((of.fund_atoms, of.strangers_atoms), (Atoms::ZERO, Atoms::ZERO));
    }

    /// This remains: a pair that has stood for 20 minutes is as any other.
    #[test]
    fn a_pair_that_has_stood_gets_what_its_loser_cannot_pay_less_fees() {
        let of = attempt_at_once(MEMORY + 1_300);
        let paid = of.fund_atoms + of.strangers_atoms;
        // 3 % of some 97 000 USDC, less 6 + 4.5 bp and margin that the first fee has taken.
        assert!(of.is_closed && paid > Atoms::from_usdc(2_000), "{of:?}");
        assert!(of.net_atoms < paid && of.net_atoms > paid - Atoms::from_usdc(150), "{of:?}");
    }
}

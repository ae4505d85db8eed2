//! How far marks may move before an account could be endangered.
//!
//! What an account can lose before that is its slack: `E − MM` without open orders, `E − Σ reserve`
//! with them. In each market that it is in, a bound is put on what a move of the mark by a part `x`
//! of itself costs, `Λ·x`; the slack is then shared so that every mark may move by the same part,
//! `x = slack/ΣΛ`. While no mark has left its own bounds, the sum of all losses is within the
//! slack, whatever the others do.
//!
//! Without open orders `Λ` is `n·(1 − m)` for a long and `n·(1 + m)` for a short, with the notional
//! `n` and the maintenance rate `m` of the tier: exact while the notional stays in its tier, and a
//! bound over all tiers where it would leave it. One position's bound is so its liquidation price,
//! but for a few atoms.
//!
//! With open orders a mark may endanger on either side: by the position, by what buys (sells) would
//! lose at a lower (higher) mark, and by initial margin, whose rate is bounded by the highest
//! tier's and the account's own leverage; by 100 % where it scales with open interest. There a half
//! of the slack is kept for open interest, up to the level at which it could take that.

use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{mul_div_ceil, Atoms, AtomsPerTickLot, Ppm, Ticks};

use crate::account::{Account, Position};
use crate::health::Health;
use crate::margin::marked_atoms;
use crate::market::{Market, Markets};
use crate::orders::{OrderTotals, ReserveTerms};

/// Parts of a whole in which moves are counted: 2³².
const PART_BITS: u32 = 32;

/// Most that roundings add to the losses in one market: two margins rounded up, and funding.
const ROUNDING_ATOMS: i128 = 4;

/// A long's margin is taken to fall no faster with the mark than this part of what its equity
/// loses.
const MAX_RELIEF_PPM: i128 = 900_000;

/// One, in parts per million.
const PPM: i128 = Ppm::ONE.wide();

/// Parameters of a market that bounds depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    tiers: Vec<MarginTier>,
    maintenance_fraction_ppm: Ppm,
}

/// Returns true if two sets of a market's parameters ask for the same margin of every account.
#[must_use]
pub fn have_same_margin(before: &MarketParams, after: &MarketParams) -> bool {
    Rates::of(before).are_of(after)
}

impl Rates {
    /// Of parameters.
    pub fn of(params: &MarketParams) -> Self {
        Self {
            tiers: params.tiers.clone(),
            maintenance_fraction_ppm: params.maintenance_fraction_ppm,
        }
    }

    /// Returns true if the rates are those of `params`.
    pub fn are_of(&self, params: &MarketParams) -> bool {
        self.tiers == params.tiers
            && self.maintenance_fraction_ppm == params.maintenance_fraction_ppm
    }

    /// A tier's maintenance rate, rounded down to the ppm.
    #[expect(clippy::arithmetic_side_effects, reason = "two rates of 64 bits")]
    fn maintenance_ppm(&self, tier: &MarginTier) -> i128 {
        tier.initial_margin_ppm.wide() * self.maintenance_fraction_ppm.wide() / PPM
    }

    /// The part of a long's loss that its falling margin may give back at most.
    fn max_relief_ppm(&self) -> i128 {
        self.tiers.last().map_or(0, |tier| self.maintenance_ppm(tier)).min(MAX_RELIEF_PPM)
    }

    /// By how many ticks every bound closes in when funding moves the cumulative index by `change`
    /// (10⁻⁶ atoms a lot), either way: `⌈|change|/(k·(10⁶ − relief))⌉`. A lot's slack per tick is
    /// at least `k·(10⁶ − relief)/10⁶` atoms.
    pub fn drift_ticks(&self, change: i128, k: AtomsPerTickLot) -> Option<i128> {
        mul_div_ceil(
            change.checked_abs()?,
            1,
            k.wide().checked_mul(PPM.checked_sub(self.max_relief_ppm())?)?,
        )
    }

    /// The most that initial margin rises with notional.
    fn max_initial_ppm(&self, leverage: u32) -> i128 {
        let own = PPM.checked_div(i128::from(leverage)).map_or(0, |rate| rate.saturating_add(1));
        self.tiers.last().map_or(PPM, |tier| tier.initial_margin_ppm.wide()).max(own)
    }
}

/// The moves in one market that leave an account out of danger; `None` where any does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The lowest mark; below 0 it is what funding alone could reach.
    pub low_ticks: Option<i128>,
    /// The highest mark.
    pub high_ticks: Option<i128>,
}

/// An account, its margin, and its open orders by position.
pub(super) struct Assessed<'a, M: ?Sized> {
    pub account: &'a Account,
    pub markets: &'a M,
    pub totals: &'a [OrderTotals],
    pub health: &'a Health,
}

/// Writes the bounds of each of an account's positions, in order. `None` when they cannot be told:
/// the account is then to be looked at every time. `rates` are those of each position's market.
pub(super) fn bounds<'a, M: Markets + ?Sized>(
    of: &Assessed<'a, M>,
    has_orders: bool,
    rates: impl Fn(&Position) -> Option<&'a Rates>,
    bounds: &mut Vec<Bounds>,
) -> Option<()> {
    let line = |(position, totals): (&'a Position, &'a OrderTotals)| {
        let market = of.markets.market(position.market)?;
        Some(Line { market, rates: rates(position)?, position, totals })
    };
    // Looked up again at each use, which costs less than a list of them would.
    let lines = of.account.positions.iter().zip(of.totals).map(line);
    if has_orders {
        return with_orders(lines, of.health.free_atoms(), bounds);
    }
    let slack = of.health.equity_atoms.checked_sub(of.health.maintenance_atoms)?;
    if without_orders(lines.clone(), slack, true, bounds)? {
        return Some(());
    }
    without_orders(lines, slack, false, bounds).map(|_| ())
}

/// One market of an account.
struct Line<'a> {
    market: &'a Market,
    rates: &'a Rates,
    position: &'a Position,
    totals: &'a OrderTotals,
}

impl Line<'_> {
    fn is_empty(&self) -> bool {
        self.position.lots.is_zero() && self.totals.is_empty()
    }

    fn mark(&self) -> Option<i128> {
        self.market.mark_ticks.map(Ticks::wide)
    }

    fn is_long(&self) -> bool {
        self.position.lots.is_positive()
    }

    fn notional_atoms(&self) -> Option<Atoms> {
        marked_atoms(self.market, self.position.lots.wide()).ok()?.checked_abs()
    }

    /// The tier of a notional: its maintenance rate, and the notional at which it ends on the side
    /// to which a losing position moves. The rate is the lowest for a long, the highest for a short
    /// where the tier does not matter.
    fn tier(&self, notional: Atoms, own_tier: bool) -> Option<(i128, Option<Atoms>)> {
        let tiers = &self.rates.tiers;
        let at = if own_tier {
            tiers.iter().position(|tier| notional <= tier.upper_notional_atoms)?
        } else if self.is_long() {
            0
        } else {
            tiers.len().checked_sub(1)?
        };
        let tier = tiers.get(at)?;
        let rate = self.rates.maintenance_ppm(tier);
        let below = at.checked_sub(1).and_then(|below| tiers.get(below));
        let lower = below.map(|tier| tier.upper_notional_atoms);
        let above = at.checked_add(1)?;
        Some(if self.is_long() {
            (rate.min(MAX_RELIEF_PPM), lower.filter(|_| own_tier))
        } else {
            // Rounded up.
            (
                rate.checked_add(1)?,
                (own_tier && above < tiers.len()).then_some(tier.upper_notional_atoms),
            )
        })
    }

    /// Loss of the whole notional, `Λ`, in 10⁻⁶ atoms.
    fn maintenance_loss(&self, notional: Atoms, rate: i128) -> Option<i128> {
        let part = if self.is_long() { PPM.checked_sub(rate)? } else { PPM.checked_add(rate)? };
        notional.get().checked_mul(part)
    }

    /// Lots whose value each tick of an adverse move costs at most, in 10⁻⁶ lots, initial margin
    /// included. At least the position's own, one way or the other, so that funding's drift is
    /// covered as well.
    fn reserve_loss(&self) -> Option<i128> {
        let (held, totals) = (self.position.lots.wide(), self.totals);
        let buys = totals.buy_lots.checked_add(totals.reduce_only_buy_lots)?;
        let sells = totals.sell_lots.checked_add(totals.reduce_only_sell_lots)?;
        let margin = self
            .farthest_lots()?
            .checked_mul(self.rates.max_initial_ppm(self.position.leverage))?;
        let low = held.checked_add(buys)?.checked_mul(PPM)?;
        let high = sells.checked_sub(held)?.checked_mul(PPM)?.checked_add(margin)?;
        Some(low.max(high))
    }
}

/// `slack/ΣΛ` in parts, what roundings may add taken off first; at most a move of 2³¹ times the
/// mark. Both in 10⁻⁶ atoms.
fn share(slack_atoms: Atoms, lines: usize, loss: i128) -> Option<i128> {
    let roundings = ROUNDING_ATOMS.checked_mul(i128::try_from(lines).ok()?)?;
    let slack = slack_atoms.get().checked_sub(roundings)?.max(0).checked_mul(PPM)?;
    let most = i128::from(u32::MAX) << (PART_BITS - 1);
    Some(slack.checked_mul(1 << PART_BITS)?.checked_div(loss).map_or(most, |part| part.min(most)))
}

/// `amount·x`, rounded down.
fn part_of(amount: i128, part: i128) -> Option<i128> {
    Some(amount.checked_mul(part)? >> PART_BITS)
}

/// Bounds by maintenance margin. With `own_tier`, `Some(false)` when a position would leave its
/// tier before its bound.
fn without_orders<'a>(
    lines: impl Iterator<Item = Option<Line<'a>>> + Clone,
    slack_atoms: Atoms,
    own_tier: bool,
    bounds: &mut Vec<Bounds>,
) -> Option<bool> {
    let (mut loss, mut count) = (0_i128, 0_usize);
    for line in lines.clone() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let notional = line.notional_atoms()?;
        let (rate, _) = line.tier(notional, own_tier)?;
        loss = loss.checked_add(line.maintenance_loss(notional, rate)?)?;
        count = count.checked_add(1)?;
    }
    let part = share(slack_atoms, count, loss)?;
    bounds.clear();
    for line in lines {
        let line = line?;
        let mut of = Bounds::default();
        if !line.is_empty() {
            let (mark, notional) = (line.mark()?, line.notional_atoms()?);
            let (_, end) = line.tier(notional, own_tier)?;
            let far = Atoms::new(part_of(notional.get(), part)?);
            let ticks = part_of(mark, part)?;
            let leaves = |end: Atoms| {
                if line.is_long() {
                    notional.saturating_sub(far) < end
                } else {
                    notional.saturating_add(far) > end
                }
            };
            if end.is_some_and(leaves) {
                return Some(false);
            }
            if line.is_long() {
                of.low_ticks = mark.checked_sub(ticks);
            } else {
                of.high_ticks = mark.checked_add(ticks);
            }
        }
        bounds.push(of);
    }
    Some(true)
}

/// Bounds by the reserve of open orders.
fn with_orders<'a>(
    lines: impl Iterator<Item = Option<Line<'a>>> + Clone,
    free_atoms: Atoms,
    bounds: &mut Vec<Bounds>,
) -> Option<()> {
    let (mut loss, mut count) = (0_i128, 0_usize);
    for line in lines.clone() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let per_tick = line.reserve_loss()?.checked_mul(line.market.k.wide())?;
        loss = loss.checked_add(line.mark()?.checked_mul(per_tick)?)?;
        count = count.checked_add(1)?;
    }
    let part = share(free_atoms, count, loss)?;
    bounds.clear();
    for line in lines {
        let line = line?;
        bounds.push(if line.is_empty() { Bounds::default() } else { line.around(part)? });
    }
    Some(())
}

impl Line<'_> {
    fn farthest_lots(&self) -> Option<i128> {
        ReserveTerms::of(self.market, self.position, self.totals)
            .ok()
            .map(|terms| terms.farthest_lots())
    }

    /// Bounds on both sides.
    fn around(&self, part: i128) -> Option<Bounds> {
        let mark = self.mark()?;
        let ticks = part_of(mark, part)?;
        Some(Bounds { low_ticks: mark.checked_sub(ticks), high_ticks: mark.checked_add(ticks) })
    }
}

//! Funding: premium samples, the hour's rate, the cumulative index (rules §5). Positive: longs pay.

use tidemark_oracle::impact::Impact;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{
    div_rem, mul_div_trunc, Atoms, AtomsPerTickLot, Lots, NanoTicks, Ppm, SignedLots, Ticks, TimeMs,
};

use crate::account::Position;
use crate::error::{fits, RiskError};
use crate::market::{Funding, Market, Treasury};

/// Hours that a rate is stated for.
pub const RATE_HOURS: i128 = 8;

/// Most time that one sample covers.
pub const MAX_COVER_MS: TimeMs = TimeMs::new(10_000);

/// A premium is at most so many times the first tier's maintenance rate.
const MAX_PREMIUM_PARTS: i64 = 5;

const HOUR_MS: u64 = 3_600_000;

/// Least time that samples must cover for an hour to be paid: a quarter.
const LEAST_COVERED_MS: u64 = HOUR_MS / 4;

/// The premium of a book's impact prices, `((bid − index)⁺ − (index − ask)⁺)/index` in ppm, each
/// part rounded toward zero, the whole clamped to `± max_abs_ppm` (rules §5.1). A side without an
/// impact price counts as no premium; so does one beyond 127 bits, and an index of 0.
#[must_use]
pub fn premium_ppm(
    index_ticks: Ticks,
    bid: Option<NanoTicks>,
    ask: Option<NanoTicks>,
    max_abs_ppm: Ppm,
) -> Ppm {
    let premium = |price: Option<NanoTicks>| {
        price.and_then(|price| excess_ppm(index_ticks, price)).unwrap_or(0)
    };
    let bound = max_abs_ppm.max(Ppm::ZERO);
    let sample = premium(bid).max(0).saturating_add(premium(ask).min(0));
    nearest_ppm(sample).clamp(bound.saturating_neg(), bound)
}

/// `(price − index)/index` in ppm, rounded toward zero. `None` on overflow, or an index of 0.
fn excess_ppm(index_ticks: Ticks, price: NanoTicks) -> Option<i128> {
    let index = NanoTicks::of(index_ticks);
    mul_div_trunc(price.checked_sub(index)?.get(), Ppm::ONE.wide(), index.get())
}

/// The rate, or the nearest that 64 bits hold.
fn nearest_ppm(rate: i128) -> Ppm {
    let nearest = if rate.is_negative() { Ppm::MIN } else { Ppm::MAX };
    i64::try_from(rate).map_or(nearest, Ppm::new)
}

/// The rate for 8 hours: `P̄ + clamp(interest − P̄, ± clamp)`, capped so that an hour's eighth is
/// within `± funding_cap` and within half of the first tier's maintenance rate (rules §5.3).
#[must_use]
#[expect(clippy::arithmetic_side_effects, reason = "sums of rates of 64 bits, and eight times one")]
pub fn rate_8h_ppm(params: &MarketParams, mean_premium_ppm: Ppm) -> Ppm {
    let premium = mean_premium_ppm.wide();
    let clamp = params.funding_clamp_ppm.max(Ppm::ZERO).wide();
    let rate = premium + (params.interest_ppm.wide() - premium).clamp(-clamp, clamp);
    let half_maintenance = params.maintenance_ppm().wide() / 2;
    let cap = RATE_HOURS * params.funding_cap_ppm.max(Ppm::ZERO).wide().min(half_maintenance);
    nearest_ppm(rate.clamp(-cap, cap))
}

/// Payment of one long lot for the part of an hour that samples cover, at a rate:
/// `index·k·rate/8·covered/hour`, in 10⁻⁶ atoms, rounded toward zero (rules §5.4). Nobody pays for
/// more than an hour.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
#[expect(clippy::arithmetic_side_effects, reason = "a rate of 64 bits, and times of an hour")]
pub fn hour_micro_atoms_per_lot(
    index_ticks: Ticks,
    k: AtomsPerTickLot,
    rate_8h_ppm: Ppm,
    covered_ms: TimeMs,
) -> Result<i128, RiskError> {
    let rate = rate_8h_ppm.wide() * covered_of_hour(covered_ms);
    let payment = index_ticks
        .notional_atoms(Lots::ONE, k)
        .and_then(|notional| mul_div_trunc(notional.get(), rate, RATE_HOURS * i128::from(HOUR_MS)));
    fits(payment, "an hour's funding")
}

/// Covered milliseconds of one hour.
fn covered_of_hour(covered_ms: TimeMs) -> i128 {
    covered_ms.get().min(HOUR_MS).into()
}

/// A rate times the covered part of an hour, to the nearest ppm, halves up.
#[expect(clippy::arithmetic_side_effects, reason = "a rate of 64 bits, and times of an hour")]
fn covered_rate(rate_8h_ppm: Ppm, covered_ms: TimeMs) -> Ppm {
    let hour = i128::from(HOUR_MS);
    let twice = 2 * rate_8h_ppm.wide() * covered_of_hour(covered_ms);
    nearest_ppm((twice + hour).div_euclid(2 * hour))
}

/// Change of an account's quote by the index's move from `then` to `now`, with `lots` held:
/// `−(now − then)·q`, exact, in 10⁻⁶ atoms.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn settlement_micro_atoms(now: i128, then: i128, lots: SignedLots) -> Result<i128, RiskError> {
    fits(then.checked_sub(now).and_then(|fall| fall.checked_mul(lots.wide())), "funding")
}

/// Unpaid funding of a position, positive where the account owes it: rounded up, so against the
/// account either way.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn unpaid_atoms(funding: &Funding, position: &Position) -> Result<Atoms, RiskError> {
    let now = funding.cumulative_index;
    let change = settlement_micro_atoms(now, position.funding_index, position.lots)?;
    // −floor(x) is ceil(−x).
    fits(div_rem(change, Ppm::ONE.wide()).0.checked_neg().map(Atoms::new), "funding")
}

impl Funding {
    /// Takes a sample that covers so much time, at most [`MAX_COVER_MS`]: nobody pays for a pause.
    /// A sum beyond 64 bits is no sample.
    pub fn sample(&mut self, premium_ppm: Ppm, covers_ms: TimeMs) {
        let covers_ms = covers_ms.min(MAX_COVER_MS);
        let weighed = i64::try_from(covers_ms.get())
            .ok()
            .and_then(|ms| premium_ppm.get().checked_mul(ms))
            .and_then(|ppm_ms| self.premium_ppm_ms.checked_add(ppm_ms));
        let samples = self.premium_samples.checked_add(1);
        if let Some((premium_ppm_ms, samples)) = weighed.zip(samples) {
            (self.premium_ppm_ms, self.premium_samples) = (premium_ppm_ms, samples);
            self.covered_ms = self.covered_ms.saturating_add(covers_ms);
        }
    }

    /// Forgets the hour's samples so far, and the last block's impact prices: what they say is no
    /// longer about the time that the hour would be paid for.
    pub fn forget_samples(&mut self) {
        self.begin_hour();
        self.last_impact = None;
    }

    fn begin_hour(&mut self) {
        (self.premium_ppm_ms, self.premium_samples) = (0, 0);
        self.covered_ms = TimeMs::ZERO;
    }

    /// Mean of the hour's samples so far over the time that the samples cover, rounded toward zero;
    /// `None` without any.
    #[must_use]
    pub fn mean_premium_ppm(&self) -> Option<Ppm> {
        let covered_ms = i64::try_from(self.covered_ms.get()).ok()?;
        self.premium_ppm_ms.checked_div(covered_ms).map(Ppm::new)
    }
}

impl Market {
    /// Takes the impact prices of a block's book, and samples the premium for the time since the
    /// block before: of each side the less favourable price of both blocks, so that nobody's quotes
    /// count before they have stood through a block's takers. Without both sides in both blocks, or
    /// without an `index_ticks` to compare with, that time is a gap.
    pub fn read_premium(
        &mut self,
        impact: Option<Impact>,
        index_ticks: Option<Ticks>,
        now_ms: TimeMs,
    ) {
        let covers_ms = now_ms.saturating_sub(self.funding.last_read_ms);
        self.funding.last_read_ms = now_ms;
        let last = std::mem::replace(&mut self.funding.last_impact, impact);
        let Some(((last, impact), index_ticks)) = last.zip(impact).zip(index_ticks) else { return };
        let Impact { bid, ask } = impact.less_favourable(last);
        let bound = self.params.maintenance_ppm().get().saturating_mul(MAX_PREMIUM_PARTS);
        let premium = premium_ppm(index_ticks, Some(bid), Some(ask), Ppm::new(bound));
        self.funding.sample(premium, covers_ms);
    }

    /// The rate for 8 hours that the running hour would end with, would its premium stay as it is;
    /// 0 without a sample.
    #[must_use]
    pub fn predicted_rate_8h_ppm(&self) -> Ppm {
        let mean_ppm = self.funding.mean_premium_ppm();
        mean_ppm.map_or(Ppm::ZERO, |mean_ppm| rate_8h_ppm(&self.params, mean_ppm))
    }

    /// Ends the hour when block time has passed it: fixes the rate and moves the cumulative index
    /// by its eighth on the index price, for the part of the hour that samples cover. Returns the
    /// rate for 8 hours times that part, when an hour was paid. An hour of which less than a
    /// quarter is covered (a stale index, a halt) pays nothing; hours that a halt skipped are not
    /// made up for.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits: the hour then pays nothing.
    pub fn end_funding_hour(
        &mut self,
        now_ms: TimeMs,
        index_ticks: Ticks,
    ) -> Result<Option<Ppm>, RiskError> {
        let hour = now_ms.get() / HOUR_MS;
        if hour <= self.funding.hour {
            return Ok(None);
        }
        let is_first = self.funding.hour == 0;
        self.funding.hour = hour;
        if is_first {
            // What is left of the hour of listing is not an hour; its samples count with the next.
            return Ok(None);
        }
        let covered_ms = self.funding.covered_ms;
        let mean = self.funding.mean_premium_ppm().filter(|_| covered_ms.get() >= LEAST_COVERED_MS);
        self.funding.begin_hour();
        self.funding.last_rate_8h_ppm = Ppm::ZERO;
        let Some(mean) = mean else { return Ok(None) };
        let rate = rate_8h_ppm(&self.params, mean);
        let payment = hour_micro_atoms_per_lot(index_ticks, self.k, rate, covered_ms)?;
        self.funding.cumulative_index =
            fits(self.funding.cumulative_index.checked_add(payment), "the funding index")?;
        self.funding.last_rate_8h_ppm = covered_rate(rate, covered_ms);
        Ok(Some(self.funding.last_rate_8h_ppm))
    }

    /// Moves what roundings left in the funding pool to the insurance fund, once nobody holds a
    /// position to draw it (rules §5.5).
    pub fn sweep_funding_dust(&mut self, treasury: &mut Treasury) {
        let dust_atoms = self.funding_pool_atoms;
        let is_dust = self.open_interest_lots.is_zero() && dust_atoms.is_positive();
        if is_dust && self.change_fund(treasury, dust_atoms).is_ok() {
            self.funding_pool_atoms = Atoms::ZERO;
        }
    }
}

#[cfg(test)]
mod tests;

//! From what venues say to one price. Pure.
//!
//! 1. A venue's price is the middle of its best bid and ask, if they are not crossed and not too
//!    far apart, else its last trade.
//! 2. Prices older than a bound do not count. With fewer fresh venues than the minimum there is no
//!    price.
//! 3. Prices further than a band from the weighted median of the fresh ones are dropped. With fewer
//!    than the minimum left there is no price.
//! 4. The weighted median of what is left is the price: the one at which twice the cumulative
//!    weight reaches the total.
//!
//! As long as the venues that quote honestly are within the band of each other and have more than
//! half of the fresh weight, the price is between two of theirs: the first median is, so none of
//! them is dropped, and they keep their majority.

use rust_decimal::Decimal;
use thiserror::Error;
use tidemark_oracle::median::weighted_median;

/// A million: the unit of parts per million.
const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// A venue's prices of one of its markets, in USDC per base unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Best bid.
    pub bid: Option<Decimal>,
    /// Best ask.
    pub ask: Option<Decimal>,
    /// Last trade.
    pub last: Option<Decimal>,
}

impl Prices {
    /// The one price that stands for them; `None` without a last trade when the book is crossed,
    /// wider than `max_spread_ppm` of the bid, or one-sided.
    #[must_use]
    pub fn price(&self, max_spread_ppm: u32) -> Option<Decimal> {
        let mid = self.bid.zip(self.ask).and_then(|(bid, ask)| {
            let spread = ask.checked_sub(bid)?;
            let narrow = !spread.is_sign_negative() && within(spread, bid, max_spread_ppm);
            narrow.then(|| bid.checked_add(spread / Decimal::TWO))?
        });
        mid.or(self.last)
    }
}

/// One venue's share in a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Its price and its age in milliseconds; `None` while it has said nothing. No price:
    /// [`Prices::price`] has none.
    pub said: Option<(Option<Decimal>, u64)>,
    /// Its weight, at least 1.
    pub weight: u32,
}

/// How voices become a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Oldest price that counts, in milliseconds.
    pub max_age_ms: u64,
    /// Fewest venues for a price, at least 1.
    pub min_venues: u32,
    /// Furthest from the median, in parts per million of it.
    pub outlier_band_ppm: u32,
}

/// The fate of a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the price.
    Used,
    /// It has said nothing.
    Silent,
    /// It is too old.
    Stale,
    /// It is too far from the median.
    Outlier,
    /// Its quote gives no price.
    Unusable,
    /// It has a price, but the rate to convert it with is missing. Not told here: such a price
    /// comes as none.
    NoRate,
}

/// Why there is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoPrice {
    /// Too few venues have one that is fresh.
    #[error("{fresh} of {venues} venues are fresh, at least {min}")]
    TooFewFresh {
        /// Venues with a fresh price.
        fresh: usize,
        /// Venues of the market.
        venues: usize,
        /// The minimum.
        min: u32,
    },
    /// Too few are near the median.
    #[error(
        "{near} of {fresh} fresh venues are within {band_ppm} ppm of their median, at least {min}"
    )]
    TooFewNear {
        /// Venues near the median.
        near: usize,
        /// Venues with a fresh price.
        fresh: usize,
        /// The band, in parts per million.
        band_ppm: u32,
        /// The minimum.
        min: u32,
    },
}

/// A price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// In USDC per base unit.
    pub price: Decimal,
    /// Age of the oldest price in it, in milliseconds.
    pub age_ms: u64,
}

/// The result of all voices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The price, or why there is none.
    pub price: Result<Aggregate, NoPrice>,
    /// One a voice, in their order.
    pub verdicts: Vec<Verdict>,
    /// Highest fresh price less lowest, in parts per million of the median: rounded down;
    /// `u64::MAX` when it does not fit; 0 without fresh prices.
    pub disagreement_ppm: u64,
}

/// The outcome of `voices`. Their order does not matter to the price.
#[must_use]
pub fn aggregate(voices: &[Voice], rules: Rules) -> Outcome {
    let mut verdicts: Vec<Verdict> =
        voices.iter().map(|voice| verdict(voice, rules.max_age_ms)).collect();
    let fresh = heard(voices, &verdicts);
    let Some(median) = median(&fresh) else {
        let price =
            Err(NoPrice::TooFewFresh { fresh: 0, venues: voices.len(), min: rules.min_venues });
        return Outcome { price, verdicts, disagreement_ppm: 0 };
    };
    let disagreement_ppm = spread_ppm(&fresh, median);
    for (voice, verdict) in voices.iter().zip(&mut verdicts) {
        let Some((Some(price), _)) = voice.said else { continue };
        if *verdict == Verdict::Used && !is_near(price, median, rules.outlier_band_ppm) {
            *verdict = Verdict::Outlier;
        }
    }
    let near = heard(voices, &verdicts);
    let enough = |count: usize| count as u64 >= u64::from(rules.min_venues);
    let price = if !enough(fresh.len()) {
        Err(NoPrice::TooFewFresh {
            fresh: fresh.len(),
            venues: voices.len(),
            min: rules.min_venues,
        })
    } else {
        let (min, band_ppm) = (rules.min_venues, rules.outlier_band_ppm);
        let too_few = NoPrice::TooFewNear { near: near.len(), fresh: fresh.len(), band_ppm, min };
        let age_ms = near.iter().map(|(_, _, age_ms)| *age_ms).max().unwrap_or_default();
        let price = self::median(&near).filter(|_| enough(near.len()));
        price.map(|price| Aggregate { price, age_ms }).ok_or(too_few)
    };
    Outcome { price, verdicts, disagreement_ppm }
}

fn verdict(voice: &Voice, max_age_ms: u64) -> Verdict {
    match voice.said {
        None => Verdict::Silent,
        Some((_, age_ms)) if age_ms > max_age_ms => Verdict::Stale,
        Some((None, _)) => Verdict::Unusable,
        Some((Some(_), _)) => Verdict::Used,
    }
}

/// Price, weight and age of the voices that are used.
fn heard(voices: &[Voice], verdicts: &[Verdict]) -> Vec<(Decimal, u64, u64)> {
    let used = |(voice, verdict): (&Voice, &Verdict)| {
        let (price, age_ms) = voice.said?;
        (*verdict == Verdict::Used).then_some((price?, u64::from(voice.weight), age_ms))
    };
    voices.iter().zip(verdicts).filter_map(used).collect()
}

fn median(heard: &[(Decimal, u64, u64)]) -> Option<Decimal> {
    let mut weighted: Vec<(Decimal, u64)> =
        heard.iter().map(|&(price, weight, _)| (price, weight)).collect();
    weighted_median(&mut weighted)
}

fn spread_ppm(heard: &[(Decimal, u64, u64)], median: Decimal) -> u64 {
    let prices = || heard.iter().map(|(price, _, _)| *price);
    let ppm = prices().max().zip(prices().min()).and_then(|(high, low)| {
        let ppm = (high - low).checked_mul(MILLION)?.checked_div(median)?;
        u64::try_from(ppm.trunc()).ok()
    });
    ppm.unwrap_or(u64::MAX)
}

fn is_near(price: Decimal, median: Decimal, band_ppm: u32) -> bool {
    price.checked_sub(median).is_some_and(|distance| within(distance.abs(), median, band_ppm))
}

/// Returns true if `distance ≤ base · ppm / 10⁶`; false if a product does not fit.
fn within(distance: Decimal, base: Decimal, ppm: u32) -> bool {
    let sides = (distance.checked_mul(MILLION), base.checked_mul(Decimal::from(ppm)));
    matches!(sides, (Some(distance), Some(bound)) if distance <= bound)
}

#[cfg(test)]
mod tests;

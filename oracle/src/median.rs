//! The power-weighted median and its quorum (rules §§4.1, 4.2).

use tidemark_proto::units::{Ppm, Ticks};

/// A validator's price and its voting power.
pub type Weighted = (Ticks, u64);

/// How much of the total power must have reported for a price to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Numerator of the part of total power.
    pub numerator: u32,
    /// Denominator of the part of total power.
    pub denominator: u32,
    /// True if exactly that part is enough.
    pub inclusive: bool,
}

impl Quorum {
    /// More than two thirds, the quorum of rules §4.2.
    pub const MORE_THAN_TWO_THIRDS: Self = Self { numerator: 2, denominator: 3, inclusive: false };

    /// At least a part of all power; a rate outside 0 to 10⁶ is taken as the nearer of these.
    #[must_use]
    pub fn from_ppm(part_ppm: Ppm) -> Self {
        const ALL: u32 = 1_000_000;
        let part = part_ppm.clamp(Ppm::ZERO, Ppm::ONE).get();
        let numerator = u32::try_from(part).unwrap_or(ALL);
        Self { numerator, denominator: ALL, inclusive: true }
    }

    /// Returns true if `reported` of `total` power is enough; power of 0 never is.
    #[must_use]
    pub fn is_met(self, reported: u128, total: u128) -> bool {
        let sides = (
            reported.checked_mul(self.denominator.into()),
            total.checked_mul(self.numerator.into()),
        );
        let (Some(has), Some(needs)) = sides else { return false };
        reported > 0 && (has > needs || (self.inclusive && has == needs))
    }
}

/// The weighted median: in ascending order, the first price at which twice the cumulative power
/// reaches the total of `reports`. Sorts `reports`; their order does not matter. `None` when they
/// have no power. Prices are [`Ticks`] in consensus, decimals in a feed.
#[must_use]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "sums of u64 stay below 2¹²⁷ for any slice that fits in memory"
)]
pub fn weighted_median<P: Copy + Ord>(reports: &mut [(P, u64)]) -> Option<P> {
    reports.sort_unstable();
    let total = power_of(reports);
    let mut cumulative = 0_u128;
    reports.iter().filter(|(_, power)| *power > 0).find_map(|&(price, power)| {
        cumulative += u128::from(power);
        (cumulative * 2 >= total).then_some(price)
    })
}

/// [`weighted_median`] of `reports` if their power is a `quorum` of `total_power`, else `None`.
#[must_use]
pub fn quorum_median(reports: &mut [Weighted], total_power: u128, quorum: Quorum) -> Option<Ticks> {
    quorum.is_met(power_of(reports), total_power).then(|| weighted_median(reports))?
}

/// The power of all `reports` together.
#[must_use]
pub fn power_of<P>(reports: &[(P, u64)]) -> u128 {
    reports.iter().map(|(_, power)| u128::from(*power)).sum()
}

#[cfg(test)]
mod tests;

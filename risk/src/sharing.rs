//! Sharing lots among accounts in proportion: the one rounding that deleveraging and the backstop
//! use.

use tidemark_proto::units::{AccountId, Atoms, Lots};

use crate::error::{fits, RiskError};
use crate::math::{cmp_products, mul_div_rem};

/// A claim on part of some lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub account: AccountId,
    /// At most so many.
    pub most_lots: Lots,
    /// In proportion to this; a claim without it gets nothing.
    pub weight_atoms: Atoms,
}

/// Shares `lots` in proportion to weight, none more than its claim: what passes a claim is shared
/// among the others. Largest remainder, ties by account id. The result is by account id, without
/// empty shares; it adds up to the smaller of `lots` and the claims.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn share(
    lots: Lots,
    claims: impl IntoIterator<Item = Claim>,
) -> Result<Vec<(AccountId, Lots)>, RiskError> {
    let mut claims: Vec<Claim> =
        claims.into_iter().filter(|claim| claim.weight_atoms > 0 && claim.most_lots > 0).collect();
    // By lots per weight: those whose claim is used up first come first.
    claims.sort_unstable_by(|a, b| {
        cmp_products(
            i128::from(a.most_lots),
            b.weight_atoms,
            i128::from(b.most_lots),
            a.weight_atoms,
        )
        .then(a.account.cmp(&b.account))
    });
    let sum = claims.iter().try_fold(0_i128, |sum, claim| sum.checked_add(claim.weight_atoms));
    let mut weight = fits(sum, "the sum of weights")?;
    let mut left = i128::from(lots);
    let mut shares = Vec::with_capacity(claims.len());
    let mut rest = claims.as_slice();
    while let Some((first, others)) = rest.split_first() {
        // Its share left·weight/sum is at least its claim.
        if cmp_products(left, first.weight_atoms, i128::from(first.most_lots), weight).is_lt() {
            break;
        }
        shares.push((first.account, first.most_lots));
        left -= i128::from(first.most_lots);
        weight -= first.weight_atoms;
        rest = others;
    }
    shares.extend(largest_remainder(left, weight, rest)?);
    shares.retain(|(_, lots)| *lots > 0);
    shares.sort_unstable();
    Ok(shares)
}

/// Shares `lots` by weight; each share is below its claim, so that rounding one up stays within it.
fn largest_remainder(
    lots: i128,
    weight: i128,
    among: &[Claim],
) -> Result<Vec<(AccountId, Lots)>, RiskError> {
    let mut shares = Vec::with_capacity(among.len());
    let mut left = lots;
    for claim in among {
        let (share, remainder) =
            fits(mul_div_rem(lots, claim.weight_atoms, weight), "a share of the position")?;
        left -= share;
        let share = fits(Lots::try_from(share).ok(), "a share")?;
        shares.push((std::cmp::Reverse(remainder), claim.account, share));
    }
    shares.sort_unstable();
    let one_more = usize::try_from(left.max(0)).unwrap_or(usize::MAX);
    Ok(shares
        .into_iter()
        .enumerate()
        .map(|(at, (_, account, share))| (account, share + u64::from(at < one_more)))
        .collect())
}

/// The most of `1..=most` that `bears` allows, where whatever bears so many bears any fewer; `None`
/// when not even one. Asks for `most` and for 1 first: nearly always one of them decides.
pub fn most_that_bears<T>(most: Lots, mut bears: impl FnMut(Lots) -> Option<T>) -> Option<T> {
    if most == 0 {
        return None;
    }
    if let Some(all) = bears(most) {
        return Some(all);
    }
    if most == 1 {
        return None;
    }
    let mut best = bears(1)?;
    let (mut low, mut high) = (1, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match bears(middle) {
            Some(found) => (low, best) = (middle, found),
            None => high = middle,
        }
    }
    Some(best)
}

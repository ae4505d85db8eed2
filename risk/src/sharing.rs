//! Sharing lots among accounts in proportion: the one rounding that deleveraging and the backstop
//! use.

use tidemark_proto::units::{cmp_products, mul_div_rem, AccountId, Atoms, Lots};

use crate::error::{fits, invariant, RiskError};

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

impl Claim {
    /// Returns true if the claim is above its share of `lots`, `lots·weight/weights`.
    fn is_above_share(&self, lots: Lots, weights: Atoms) -> bool {
        cmp_products(lots.wide(), self.weight_atoms.get(), self.most_lots.wide(), weights.get())
            .is_lt()
    }
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
    let mut claims: Vec<Claim> = claims
        .into_iter()
        .filter(|claim| claim.weight_atoms.is_positive() && !claim.most_lots.is_zero())
        .collect();
    // By lots per weight: those whose claim is used up first come first.
    claims.sort_unstable_by(|a, b| {
        cmp_products(
            a.most_lots.wide(),
            b.weight_atoms.get(),
            b.most_lots.wide(),
            a.weight_atoms.get(),
        )
        .then(a.account.cmp(&b.account))
    });
    let sum = claims.iter().try_fold(Atoms::ZERO, |sum, claim| sum.checked_add(claim.weight_atoms));
    let mut weight = fits(sum, "the sum of weights")?;
    let mut left = lots;
    let mut shares = Vec::with_capacity(claims.len());
    let mut rest = claims.as_slice();
    while let Some((first, others)) = rest.split_first() {
        // Its share left·weight/sum is at least its claim.
        if first.is_above_share(left, weight) {
            break;
        }
        shares.push((first.account, first.most_lots));
        left = invariant(left.checked_sub(first.most_lots), "a claim is within what is left")?;
        weight = fits(weight.checked_sub(first.weight_atoms), "the sum of weights")?;
        rest = others;
    }
    shares.extend(largest_remainder(left, weight, rest)?);
    shares.retain(|(_, lots)| !lots.is_zero());
    shares.sort_unstable();
    Ok(shares)
}

/// Shares `lots` by weight; each share is below its claim, so that rounding one up stays within it.
fn largest_remainder(
    lots: Lots,
    weight: Atoms,
    among: &[Claim],
) -> Result<Vec<(AccountId, Lots)>, RiskError> {
    if among.is_empty() {
        return Ok(Vec::new());
    }
    let mut shares = Vec::with_capacity(among.len());
    let mut left = lots;
    for claim in among {
        let (share, remainder) = fits(
            mul_div_rem(lots.wide(), claim.weight_atoms.get(), weight.get()),
            "a share of the position",
        )?;
        let share = fits(u64::try_from(share).ok().map(Lots::new), "a share")?;
        left = invariant(left.checked_sub(share), "shares add up to no more than the lots")?;
        shares.push((std::cmp::Reverse(remainder), claim.account, share));
    }
    shares.sort_unstable();
    let one_more = invariant(
        usize::try_from(left.get()).ok().filter(|left| *left < shares.len()),
        "roundings leave less than a lot for each claim",
    )?;
    let most = |share: Lots| share.saturating_add(Lots::ONE);
    Ok(shares
        .into_iter()
        .enumerate()
        .map(|(at, (_, account, share))| (account, if at < one_more { most(share) } else { share }))
        .collect())
}

/// The quantity in the middle of two, rounded down.
pub(crate) fn midpoint(low: Lots, high: Lots) -> Lots {
    Lots::new(low.get().midpoint(high.get()))
}

/// The most of `1..=most` that `bears` allows, where whatever bears so many bears any fewer; `None`
/// when not even one. Asks for `most` and for 1 first: nearly always one of them decides.
///
/// # Errors
/// The first of `bears`.
pub fn most_that_bears<T, E>(
    most: Lots,
    mut bears: impl FnMut(Lots) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    if most.is_zero() {
        return Ok(None);
    }
    if let Some(all) = bears(most)? {
        return Ok(Some(all));
    }
    if most == Lots::ONE {
        return Ok(None);
    }
    let Some(mut best) = bears(Lots::ONE)? else { return Ok(None) };
    let (mut low, mut high) = (Lots::ONE, most);
    while low.saturating_add(Lots::ONE) < high {
        let middle = midpoint(low, high);
        match bears(middle)? {
            Some(found) => (low, best) = (middle, found),
            None => high = middle,
        }
    }
    Ok(Some(best))
}

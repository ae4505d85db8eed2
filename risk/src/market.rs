//! State of a market for margin, funding and liquidation, and the chain's own money.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_oracle::impact::Impact;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{
    AccountId, Atoms, AtomsPerTickLot, Lots, MarketId, Ppm, Ticks, TimeMs,
};
use tidemark_proto::Refusal;

use crate::error::{fits, RiskError};
use crate::fresh::WINDOW_MS;
use crate::limits::{Balances, Bucket, Ledger, DAY_MS};
use crate::recent::RecentMarks;

/// A market's state beside its book and its price averages.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Market {
    /// Governed parameters.
    pub params: MarketParams,
    /// Atoms per tick·lot, from the parameters.
    pub k: AtomsPerTickLot,
    /// The block's mark; `None` until the first index.
    pub mark_ticks: Option<Ticks>,
    /// Sum of the long positions, which is that of the short ones.
    pub open_interest_lots: Lots,
    /// Funding.
    pub funding: Funding,
    /// Funding paid by some and not yet drawn by others; negative when drawn first. What is left of
    /// it without open interest is dust.
    pub funding_pool_atoms: Atoms,
    /// Debt of accounts that closed below zero, not repaid from fees yet; at least 0.
    pub bad_debt_atoms: Atoms,
    /// The market's own time: it stands while the index is stale, and passes by 10 s a block at
    /// most.
    pub clock_ms: TimeMs,
    /// Marks of the last hour.
    pub recent_marks: RecentMarks,
    /// Blocks for which the fund still pays nothing, after a halt or a stale index.
    pub claimless_blocks: u32,
    /// Payments of the insurance fund for this market.
    pub fund_bucket: Bucket,
    /// Liquidation fees and keepers' premiums of the last 30 days.
    pub ledger: Ledger,
    /// The market's own fund, hour by hour.
    pub own_balances: Balances,
    /// The insurance fund of a market that is isolated for all; 0 in the others, which share the
    /// treasury's.
    pub insurance_atoms: Atoms,
    /// Who takes over liquidated positions, by account id.
    pub keepers: Vec<Keeper>,
}

/// An account that takes over liquidated positions of a market at their zero price (rules §7.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Keeper {
    /// The account.
    pub account: AccountId,
    /// Rest of the collateral that it set aside for this market; above 0.
    pub set_aside_atoms: Atoms,
    /// Part of it that takeovers of this block have used up.
    pub used_in_block_atoms: Atoms,
    /// The part that goes back to the account.
    pub give_back: Option<GiveBack>,
    /// True once it has made room for a larger one: it has none of the market's places any more.
    pub made_room: bool,
}

/// Set-aside collateral on its way back, in use until it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GiveBack {
    /// The amount that stays set aside.
    pub rest_atoms: Atoms,
    /// The block in which the other part is back.
    pub at_height: u64,
}

impl Keeper {
    /// A keeper that has just got its place.
    #[must_use]
    pub const fn new(account: AccountId, set_aside_atoms: Atoms) -> Self {
        Self {
            account,
            set_aside_atoms,
            used_in_block_atoms: Atoms::ZERO,
            give_back: None,
            made_room: false,
        }
    }

    /// The amount that stays set aside when all is back that is on its way.
    #[must_use]
    pub fn lasting_atoms(&self) -> Atoms {
        let set_aside = self.set_aside_atoms;
        self.give_back.map_or(set_aside, |back| back.rest_atoms.min(set_aside))
    }

    /// The amount that takeovers may still use up in this block: a tenth of what was set aside at
    /// its start.
    #[must_use]
    pub fn usable_atoms(&self) -> Atoms {
        let at_start = self.set_aside_atoms.saturating_add(self.used_in_block_atoms);
        let tenth = at_start.mul_div_floor(1, 10).unwrap_or(Atoms::ZERO);
        tenth.saturating_sub(self.used_in_block_atoms).max(Atoms::ZERO)
    }
}

/// A market's funding state (rules §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Funding {
    /// Funding that one lot, held long since listing, has paid: 10⁻⁶ atoms.
    pub cumulative_index: i128,
    /// Sum of the running hour's premium samples, ppm of the index, each times the milliseconds
    /// that the sample covers.
    pub premium_ppm_ms: i64,
    /// Time that the samples cover.
    pub covered_ms: TimeMs,
    /// Number of them.
    pub premium_samples: u32,
    /// The last block's impact prices, if its book had them.
    pub last_impact: Option<Impact>,
    /// Block time at which they were read.
    pub last_read_ms: TimeMs,
    /// The running hour, in hours since the Unix epoch; 0 before the first block.
    pub hour: u64,
    /// Rate of the last hour that was paid, as a rate for 8 hours, times the part of the hour that
    /// samples covered, to the nearest ppm: the hour paid an eighth of it.
    pub last_rate_8h_ppm: Ppm,
}

impl Market {
    /// A market at listing.
    ///
    /// # Errors
    /// `INVALID_PARAMS` when `k` is not a whole number.
    pub fn new(params: MarketParams) -> Result<Self, Refusal> {
        Ok(Self {
            k: params.k()?,
            params,
            mark_ticks: None,
            open_interest_lots: Lots::ZERO,
            funding: Funding::default(),
            funding_pool_atoms: Atoms::ZERO,
            bad_debt_atoms: Atoms::ZERO,
            clock_ms: TimeMs::ZERO,
            recent_marks: RecentMarks::default(),
            claimless_blocks: 0,
            fund_bucket: Bucket::default(),
            ledger: Ledger::default(),
            own_balances: Balances::default(),
            insurance_atoms: Atoms::ZERO,
            keepers: Vec::new(),
        })
    }

    /// The insurance fund that stands for this market: its own where it is isolated for all, else
    /// the shared one.
    #[must_use]
    pub fn fund_atoms(&self, treasury: &Treasury) -> Atoms {
        if self.params.isolated_only {
            self.insurance_atoms
        } else {
            treasury.insurance_atoms
        }
    }

    /// The size of the market's bucket of the fund.
    #[must_use]
    pub fn bucket_atoms(&self, treasury: &Treasury) -> Atoms {
        market_bucket_atoms(self.counted_fund_atoms(treasury))
    }

    /// The balance by which the fund's bounds are counted: the lower of that now and a day ago.
    #[must_use]
    pub fn counted_fund_atoms(&self, treasury: &Treasury) -> Atoms {
        if self.params.isolated_only {
            self.own_balances.lower_atoms(self.insurance_atoms)
        } else {
            treasury.balances.lower_atoms(treasury.insurance_atoms)
        }
    }

    /// The window of the market's own time in which lots are added now.
    #[must_use]
    pub fn window(&self) -> u32 {
        let window = self.clock_ms.get().checked_div(WINDOW_MS.get());
        window.and_then(|window| u32::try_from(window).ok()).unwrap_or(u32::MAX)
    }

    /// The day of the market's own time.
    #[must_use]
    pub fn day(&self) -> u32 {
        let day = self.clock_ms.get().checked_div(DAY_MS.get());
        day.and_then(|day| u32::try_from(day).ok()).unwrap_or(u32::MAX)
    }

    /// Lets a block's time pass; the market's own stands while its index is stale.
    pub fn pass(&mut self, treasury: &Treasury, step_ms: TimeMs, is_stale: bool) {
        if !is_stale {
            self.clock_ms = self.clock_ms.saturating_add(step_ms);
        }
        self.own_balances.pass(self.insurance_atoms, step_ms);
        let size_atoms = self.bucket_atoms(treasury);
        self.fund_bucket.refill(size_atoms, step_ms);
        self.claimless_blocks = self.claimless_blocks.saturating_sub(1);
    }

    /// Takes the block's mark.
    pub fn set_mark(&mut self, mark_ticks: Ticks) {
        self.mark_ticks = Some(mark_ticks);
        self.recent_marks.note(self.clock_ms, mark_ticks);
    }

    /// Keeps the fund from paying for the market in this block and the next ones: after a halt or a
    /// stale index prices have moved that nobody could act on.
    pub fn close_claims(&mut self) {
        self.claimless_blocks = CLAIMLESS_BLOCKS;
    }

    /// Moves money into (positive) or out of the fund of [`Market::fund_atoms`].
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits, or below 0; nothing has changed then.
    pub fn change_fund(
        &mut self,
        treasury: &mut Treasury,
        change_atoms: Atoms,
    ) -> Result<(), RiskError> {
        let fund = if self.params.isolated_only {
            &mut self.insurance_atoms
        } else {
            &mut treasury.insurance_atoms
        };
        let after = fund.checked_add(change_atoms).filter(|after| !after.is_negative());
        *fund = fits(after, "the insurance fund")?;
        Ok(())
    }

    /// All that keepers set aside for the market.
    #[must_use]
    pub fn set_aside_atoms(&self) -> Atoms {
        // Set-asides are parts of the supply, which 64 bits hold.
        let add = |sum: Atoms, keeper: &Keeper| sum.saturating_add(keeper.set_aside_atoms);
        self.keepers.iter().fold(Atoms::ZERO, add)
    }

    /// Starts a block: opens the allowances of the keepers anew.
    pub fn begin_block(&mut self) {
        self.keepers.iter_mut().for_each(|keeper| keeper.used_in_block_atoms = Atoms::ZERO);
    }

    /// The mark.
    ///
    /// # Errors
    /// `STALE_INDEX` when the market never had one.
    pub fn mark(&self) -> Result<Ticks, RiskError> {
        self.mark_ticks.ok_or_else(|| RiskError::NoMark { symbol: self.params.symbol.clone() })
    }

    /// `p·q·k` of signed lots, which may be a sum beyond 63 bits: exact. `None` beyond 127 bits.
    #[must_use]
    pub fn value_atoms(&self, price_ticks: Ticks, lots: i128) -> Option<Atoms> {
        // At most 2⁶⁴·2⁶⁴ = 2¹²⁸, hence checked.
        price_ticks.wide().checked_mul(self.k.wide())?.checked_mul(lots).map(Atoms::new)
    }
}

/// Blocks after a halt or a stale index in which the fund pays nothing.
const CLAIMLESS_BLOCKS: u32 = 50;

/// The fund's bucket for one market, and for all that share it.
const MARKET_BUCKET_PPM: Ppm = Ppm::new(50_000);
const ALL_BUCKET_PPM: Ppm = Ppm::new(200_000);

/// The size of one market's bucket of a fund.
fn market_bucket_atoms(counted_atoms: Atoms) -> Atoms {
    counted_atoms.mul_ppm_floor(MARKET_BUCKET_PPM).unwrap_or(Atoms::ZERO)
}

/// The chain's own money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Treasury {
    /// The insurance fund; at least 0.
    pub insurance_atoms: Atoms,
    /// The validators' share of fees, not paid out yet; at least 0.
    pub validators_atoms: Atoms,
    /// The insurance fund, hour by hour.
    pub balances: Balances,
    /// Payments of the insurance fund for all markets.
    pub bucket: Bucket,
}

impl Treasury {
    /// The size of the bucket that all markets share.
    #[must_use]
    pub fn bucket_atoms(&self) -> Atoms {
        let counted = self.balances.lower_atoms(self.insurance_atoms);
        counted.mul_ppm_floor(ALL_BUCKET_PPM).unwrap_or(Atoms::ZERO)
    }

    /// Lets a block's time pass.
    pub fn pass(&mut self, step_ms: TimeMs) {
        self.balances.pass(self.insurance_atoms, step_ms);
        self.bucket.refill(self.bucket_atoms(), step_ms);
    }
}

/// Where an account's markets are found.
pub trait Markets {
    /// The market, if it exists.
    fn market(&self, id: MarketId) -> Option<&Market>;

    /// The market.
    ///
    /// # Errors
    /// `UNKNOWN_MARKET` when there is none.
    fn existing(&self, id: MarketId) -> Result<&Market, RiskError> {
        self.market(id).ok_or(RiskError::UnknownMarket(id))
    }
}

/// Markets that may be written to.
pub trait MarketsMut: Markets {
    /// The market, if it exists.
    fn market_mut(&mut self, id: MarketId) -> Option<&mut Market>;
}

/// Markets by id from 0, as they are listed.
impl Markets for [Market] {
    fn market(&self, id: MarketId) -> Option<&Market> {
        self.get(id.index())
    }
}

impl MarketsMut for [Market] {
    fn market_mut(&mut self, id: MarketId) -> Option<&mut Market> {
        self.get_mut(id.index())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn takeovers_of_a_block_use_up_a_tenth_of_what_its_start_had(
            at_start in 0_i128..10_000_000_000,
            wanted in prop::collection::vec(0_i128..2_000_000_000, 0..8),
        ) {
            let mut keeper = Keeper::new(AccountId::ZERO, Atoms::new(at_start));
            for wanted in wanted {
                let used = Atoms::new(wanted).min(keeper.usable_atoms());
                keeper.set_aside_atoms -= used;
                keeper.used_in_block_atoms += used;
            }
            let used = keeper.used_in_block_atoms;
            prop_assert!(used.get() <= at_start / 10);
            prop_assert_eq!(keeper.usable_atoms().get(), at_start / 10 - used.get());
            let at_height = 7;
            for rest in [0, at_start / 2, 2 * at_start] {
                keeper.give_back = Some(GiveBack { rest_atoms: Atoms::new(rest), at_height });
                let lasting = keeper.lasting_atoms().get();
                prop_assert_eq!(lasting, rest.min(keeper.set_aside_atoms.get()));
            }
        }
    }
}

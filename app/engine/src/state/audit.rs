//! Sums over all accounts that the invariants of phase 8 compare: money, and lots by market.

use tidemark_proto::units::{AccountId, MarketId, SignedLots};
use tidemark_risk::conservation::Totals;
use tidemark_risk::{Account, RiskError};

/// Running sums over all accounts, and each account's part in them as of the last audit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    totals: Totals,
    seen: Vec<Option<Account>>,
    /// Long and short lots by market.
    lots: Vec<(i128, i128)>,
}

impl Audit {
    /// Puts an account's new row in the place of its part in the sums; `None` is one whose row has
    /// gone.
    ///
    /// # Errors
    /// `OVERFLOW` if a sum leaves 127 bits.
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "rows are added up to the index; lots of 64 bits sum up far below 127"
    )]
    pub(crate) fn replace(
        &mut self,
        id: AccountId,
        after: Option<&Account>,
    ) -> Result<(), RiskError> {
        let slot = id.index();
        if slot >= self.seen.len() {
            self.seen.resize(slot + 1, None);
        }
        let before = std::mem::replace(&mut self.seen[slot], after.cloned());
        self.totals.replace(before.as_ref(), after)?;
        for position in before.iter().flat_map(|account| &account.positions) {
            self.count(position.market, position.lots, -1);
        }
        for position in after.into_iter().flat_map(|account| &account.positions) {
            self.count(position.market, position.lots, 1);
        }
        Ok(())
    }

    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "rows are added up to the index; lots of 64 bits sum up far below 127"
    )]
    fn count(&mut self, market: MarketId, lots: SignedLots, sign: i128) {
        let at = market.index();
        if at >= self.lots.len() {
            self.lots.resize(at + 1, (0, 0));
        }
        let (longs, shorts) = &mut self.lots[at];
        let side = if lots.is_positive() { longs } else { shorts };
        *side += sign * lots.unsigned_abs().wide();
    }

    /// Returns true if another audit has the same sums.
    pub(super) fn same(&self, other: &Self) -> bool {
        let markets = self.lots.len().max(other.lots.len());
        let mut ids = (0..markets).map_while(MarketId::from_index);
        self.totals == other.totals && ids.all(|id| self.lots(id) == other.lots(id))
    }

    /// Returns the long and the short lots of a market.
    pub(crate) fn lots(&self, market: MarketId) -> (i128, i128) {
        self.lots.get(market.index()).copied().unwrap_or_default()
    }

    /// Returns the money of all accounts, summed.
    pub(crate) const fn totals(&self) -> &Totals {
        &self.totals
    }
}

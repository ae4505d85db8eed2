//! A subaccount: collateral, positions, traded volume.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{
    AccountId, Atoms, MarketId, OwnerId, SelfTradePrevention, SignedLots, TimeMs,
};

use crate::fresh::Fresh;

/// A subaccount's state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Whose it is.
    pub owner: OwnerId,
    /// Number of the subaccount under its owner.
    pub number: u32,
    /// Deposits, realised profit, paid fees and funding; negative only while positions are open, or
    /// until booked as bad debt.
    pub collateral_atoms: Atoms,
    /// By market, ascending; one entry per market at most.
    pub positions: Vec<Position>,
    /// Self-trade policy.
    pub stp: SelfTradePrevention,
    /// Traded notional by day.
    pub volume: Volume,
    /// Set where this is the isolated collateral of another account in one market, with its
    /// position and orders there.
    pub isolated: Option<Isolated>,
    /// Block time at which the dead man's switch cancels the account's orders; 0 is off.
    pub cancel_all_at_ms: TimeMs,
}

/// Whose isolated collateral an account is, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Isolated {
    /// The account that it was moved from, and goes back to.
    pub parent: AccountId,
    /// The only market in which the account has orders and a position.
    pub market: MarketId,
}

/// A position in one market; an entry with no lots keeps the leverage setting and the place for
/// open orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Position {
    /// The market.
    pub market: MarketId,
    /// Positive is long.
    pub lots: SignedLots,
    /// Cost of the lots: positive for a long, negative for a short (rules §1.3).
    pub cost_atoms: Atoms,
    /// The market's cumulative funding index up to which funding was paid.
    pub funding_index: i128,
    /// Chosen leverage; 0 is the most that the tiers allow.
    pub leverage: u32,
    /// Lots that were added a short while ago: the fund does not pay for them.
    pub fresh: Fresh,
    /// Profit that lots have realised since the position was opened; negative is a loss. Kept
    /// without lots, until the next opening or until the account falls below maintenance: by it a
    /// debt is divided among markets (rules §7.6).
    pub realised_atoms: Atoms,
}

impl Position {
    /// A place for a position of no lots.
    #[must_use]
    pub const fn empty(market: MarketId) -> Self {
        Self {
            market,
            lots: SignedLots::ZERO,
            cost_atoms: Atoms::ZERO,
            funding_index: 0,
            leverage: 0,
            fresh: Fresh::NONE,
            realised_atoms: Atoms::ZERO,
        }
    }
}

impl Account {
    /// An empty subaccount.
    #[must_use]
    pub fn new(owner: OwnerId, number: u32) -> Self {
        Self {
            owner,
            number,
            collateral_atoms: Atoms::ZERO,
            positions: Vec::new(),
            stp: SelfTradePrevention::default(),
            volume: Volume::default(),
            isolated: None,
            cancel_all_at_ms: TimeMs::ZERO,
        }
    }

    /// The isolated collateral of an account in one market, still empty; it keeps the account's
    /// self-trade policy.
    #[must_use]
    pub fn isolated_from(parent_id: AccountId, parent: &Self, market: MarketId) -> Self {
        let isolated = Some(Isolated { parent: parent_id, market });
        Self { stp: parent.stp, isolated, ..Self::new(parent.owner, parent.number) }
    }

    /// The entry of a market, if there is one.
    #[must_use]
    pub fn position(&self, market: MarketId) -> Option<&Position> {
        let at = self.positions.binary_search_by_key(&market, |position| position.market).ok()?;
        self.positions.get(at)
    }

    /// Signed lots in a market; 0 without an entry.
    #[must_use]
    pub fn lots(&self, market: MarketId) -> SignedLots {
        self.position(market).map_or(SignedLots::ZERO, |position| position.lots)
    }

    /// The entry of a market, made when there is none. Its funding index starts to count with its
    /// first lot.
    #[expect(
        clippy::indexing_slicing,
        reason = "the search found the place, or it was just filled"
    )]
    pub fn position_mut(&mut self, market: MarketId) -> &mut Position {
        let at = match self.positions.binary_search_by_key(&market, |position| position.market) {
            Ok(at) => at,
            Err(at) => {
                self.positions.insert(at, Position::empty(market));
                at
            }
        };
        &mut self.positions[at]
    }

    /// Returns true if any lots are held.
    #[must_use]
    pub fn has_position(&self) -> bool {
        self.positions.iter().any(|position| !position.lots.is_zero())
    }
}

/// Days that count for the fee tier.
pub const VOLUME_DAYS: u32 = 30;

const DAY_MS: u64 = 86_400_000;

/// Traded notional by day, for the last [`VOLUME_DAYS`] days and the running one; days without
/// trades take no room.
///
/// The fee tier reads whole days only, so that an account's rates stay the same from midnight to
/// midnight: no trade changes the fee of another in its block.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Volume {
    /// `(days since the Unix epoch, atoms)`, ascending.
    days: Vec<(u32, u64)>,
}

impl Volume {
    /// Counts a trade's notional. What passes 64 bits in a day is not counted: it is beyond every
    /// tier.
    pub fn add(&mut self, now_ms: TimeMs, notional_atoms: Atoms) {
        let today = day(now_ms);
        let atoms = u64::try_from(notional_atoms.get().max(0)).unwrap_or(u64::MAX);
        self.days.retain(|(day, _)| day.saturating_add(VOLUME_DAYS) >= today);
        match self.days.last_mut() {
            Some((day, sum)) if *day >= today => *sum = sum.saturating_add(atoms),
            _ => self.days.push((today, atoms)),
        }
    }

    /// The day from which none of it counts any more; `None` where nothing was traded.
    #[must_use]
    pub fn until_day(&self) -> Option<u32> {
        let (day, _) = self.days.last()?;
        Some(day.saturating_add(VOLUME_DAYS).saturating_add(1))
    }

    /// Notional of the [`VOLUME_DAYS`] whole days before today, in atoms.
    #[must_use]
    pub fn atoms(&self, now_ms: TimeMs) -> Atoms {
        let today = day(now_ms);
        self.since(today).filter(|(day, _)| *day < today).map(|(_, atoms)| atoms).sum()
    }

    /// As [`Self::atoms`], with what was traded today.
    #[must_use]
    pub fn recent_atoms(&self, now_ms: TimeMs) -> Atoms {
        self.since(day(now_ms)).map(|(_, atoms)| atoms).sum()
    }

    /// Notional of [`VOLUME_DAYS`] days before a day and of all days from it on.
    fn since(&self, today: u32) -> impl Iterator<Item = (u32, Atoms)> + '_ {
        let counted = self.days.iter();
        let counted = counted.filter(move |(day, _)| day.saturating_add(VOLUME_DAYS) >= today);
        counted.map(|(day, atoms)| (*day, Atoms::from_u64(*atoms)))
    }
}

/// The day of a time, in days since the Unix epoch.
#[must_use]
pub fn day(now_ms: TimeMs) -> u32 {
    u32::try_from(now_ms.get() / DAY_MS).unwrap_or(u32::MAX)
}

//! The meter of an operation: what it may still visit (rules §10.4); and the budget of work that no
//! operation pays for (rules §7.12).

use tidemark_proto::types::gas::VISIT;

use crate::refusal::Refusal;

/// Gas of one operation beyond what its kind costs by itself. Each visit is charged before it is
/// made. Phases without a sender have budgets of their own, and a meter that never ends.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Gas that is left; `None` never ends.
    left: Option<u64>,
    spent: u64,
    /// A plan has paid for everything but makers.
    prepaid: bool,
}

impl Meter {
    /// A meter with so much gas.
    #[must_use]
    pub const fn of(gas: u64) -> Self {
        Self { left: Some(gas), spent: 0, prepaid: false }
    }

    /// The meter of a part that a plan has paid for: only makers are charged.
    #[must_use]
    pub fn prepaid(self) -> Self {
        Self { prepaid: true, ..self }
    }

    /// Gas that is left; the most where the meter never ends.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.unwrap_or(u64::MAX)
    }

    /// Takes gas that another meter has spent.
    pub fn spend(&mut self, gas: u64) {
        self.left = self.left.map(|left| left.saturating_sub(gas));
        self.spent = self.spent.saturating_add(gas);
    }

    /// Gas that was spent.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// Pays for a visit that comes next.
    ///
    /// # Errors
    /// `OUT_OF_GAS`; nothing is spent, and the visit may not be made.
    pub fn charge(&mut self, gas: u64) -> Result<(), Refusal> {
        if self.prepaid {
            return Ok(());
        }
        if let Some(left) = self.left {
            let after = left.checked_sub(gas);
            self.left = Some(after.ok_or(Refusal::OutOfGas { needed: gas, left })?);
        }
        self.spent = self.spent.saturating_add(gas);
        Ok(())
    }

    /// Makers that may be looked at; `None` if the meter never ends.
    #[must_use]
    pub fn makers(&self) -> Option<u32> {
        self.left.map(|left| whole(left, VISIT))
    }

    /// Pays for makers that were looked at, at most [`Self::makers`].
    pub fn pay_for_makers(&mut self, makers: u32) {
        self.spend(u64::from(makers).saturating_mul(VISIT));
    }

    /// Visits of so much gas each that may be made, if they are of no makers.
    #[must_use]
    pub fn affords(&self, gas: u64) -> u32 {
        self.left.filter(|_| !self.prepaid).map_or(u32::MAX, |left| whole(left, gas))
    }

    /// Pays for visits of so much gas each, at most as many as [`Self::affords`] has said.
    pub fn pay(&mut self, visits: u32, gas: u64) {
        if !self.prepaid {
            self.spend(u64::from(visits).saturating_mul(gas));
        }
    }
}

/// Gas of work that no transaction pays for. A piece of work that begins with gas left ends, so the
/// budget is passed by one piece at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget(u64);

impl Budget {
    /// A budget of so much gas.
    #[must_use]
    pub const fn of(gas: u64) -> Self {
        Self(gas)
    }

    /// Gas that is left.
    #[must_use]
    pub const fn left(self) -> u64 {
        self.0
    }

    /// Returns true if nothing is left.
    #[must_use]
    pub const fn is_spent(self) -> bool {
        self.0 == 0
    }

    /// Uses gas up, no more than there is.
    pub const fn spend(&mut self, gas: u64) {
        self.0 = self.0.saturating_sub(gas);
    }

    /// Pieces of work of so much gas each that it is enough for; one at least, if anything is left.
    #[must_use]
    pub fn pieces(self, gas: u64) -> u32 {
        whole(self.0, gas).max(u32::from(!self.is_spent()))
    }
}

/// Visits of so much gas each that some gas is enough for.
fn whole(left: u64, gas: u64) -> u32 {
    left.checked_div(gas).and_then(|visits| u32::try_from(visits).ok()).unwrap_or(u32::MAX)
}

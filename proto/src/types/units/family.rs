//! The operations that every unit of a kind has, written once.

/// Declares units: whole numbers of one integer type each, with the type's memory layout, Borsh
/// bytes, serde form and text.
macro_rules! unit {
    ($($(#[$doc:meta])* $name:ident($raw:ty);)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            BorshSerialize,
            BorshDeserialize,
            Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Nothing; as an id, the first.
            pub const ZERO: Self = Self(0);
            /// The least that the integer holds.
            pub const MIN: Self = Self(<$raw>::MIN);
            /// The most that the integer holds.
            pub const MAX: Self = Self(<$raw>::MAX);

            /// Gives a bare integer its unit.
            #[must_use]
            #[inline]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// Returns the bare integer, for the edge and for arithmetic that no unit describes.
            #[must_use]
            #[inline]
            pub const fn get(self) -> $raw {
                self.0
            }

            /// Returns true for 0.
            #[must_use]
            #[inline]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

/// Adds sums and differences to units: amounts of one unit add up to an amount of the same unit.
///
/// The operators panic on overflow in builds with `overflow-checks`, as those of the integers do.
macro_rules! additive {
    ($($name:ident)*) => {$(
        impl $name {
            /// Returns the sum; `None` on overflow.
            #[must_use]
            #[inline]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Returns the difference; `None` on overflow.
            #[must_use]
            #[inline]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// Returns the sum, or the nearest that the integer holds.
            #[must_use]
            #[inline]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// Returns the difference, or the nearest that the integer holds.
            #[must_use]
            #[inline]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl std::ops::Add for $name {
            type Output = Self;

            #[inline]
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl std::ops::Sub for $name {
            type Output = Self;

            #[inline]
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl std::ops::AddAssign for $name {
            #[inline]
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl std::ops::SubAssign for $name {
            #[inline]
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
                amounts.fold(Self::ZERO, |sum, amount| sum + amount)
            }
        }
    )*};
}

/// Adds signs to units whose integer is signed.
macro_rules! signed {
    ($($name:ident)*) => {$(
        impl $name {
            /// Returns the negative; `None` for the least that the integer holds.
            #[must_use]
            #[inline]
            pub const fn checked_neg(self) -> Option<Self> {
                match self.0.checked_neg() {
                    Some(negative) => Some(Self(negative)),
                    None => None,
                }
            }

            /// Returns the negative, or the nearest that the integer holds.
            #[must_use]
            #[inline]
            pub const fn saturating_neg(self) -> Self {
                Self(self.0.saturating_neg())
            }

            /// Returns true above 0.
            #[must_use]
            #[inline]
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }

            /// Returns true below 0.
            #[must_use]
            #[inline]
            pub const fn is_negative(self) -> bool {
                self.0 < 0
            }
        }

        impl std::ops::Neg for $name {
            type Output = Self;

            #[inline]
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }
    )*};
}

/// Adds the look-up of an id in a table, which has one entry for each id.
macro_rules! slot {
    ($($name:ident($raw:ty);)*) => {$(
        impl $name {
            /// Returns the id's place in its table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// Returns the id of a place in the table; `None` beyond the last id.
            #[must_use]
            #[inline]
            pub fn from_index(index: usize) -> Option<Self> {
                <$raw>::try_from(index).ok().map(Self)
            }

            /// Returns the next id; `None` after the last.
            #[must_use]
            #[inline]
            pub const fn checked_next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(next) => Some(Self(next)),
                    None => None,
                }
            }
        }
    )*};
}

pub(super) use {additive, signed, slot, unit};

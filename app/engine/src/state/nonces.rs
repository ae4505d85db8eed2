//! The nonces that an agent has used: each counts once, whatever their order (rules §10.11).

use std::io::{self, Read, Write};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::{MAX_NONCES, NONCE_AHEAD_MS, NONCE_BEHIND_MS};
use tidemark_proto::units::TimeMs;

use crate::refusal::AgentRefusal;

/// Used nonces of one agent. In the state they take at most 2 060 bytes: all lie within 65 001 ms
/// of the floor, so that each is written as 16 bits after the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nonces {
    /// Nonces up to this one are refused.
    floor_ms: u64,
    /// Used nonces above it, ascending; at most [`MAX_NONCES`]. Views share them.
    used_ms: Arc<Vec<u64>>,
}

impl Nonces {
    /// No nonce is used, and none up to `floor_ms` can be.
    #[must_use]
    pub fn after(floor_ms: TimeMs) -> Self {
        Self { floor_ms: floor_ms.get(), used_ms: Arc::default() }
    }

    /// The least and the greatest nonce that may be used at a block time.
    #[must_use]
    pub fn window_ms(&self, now_ms: TimeMs) -> (u64, u64) {
        let least_kept = self.used_ms.first().filter(|_| self.used_ms.len() >= MAX_NONCES);
        let from = now_ms
            .saturating_sub(NONCE_BEHIND_MS)
            .get()
            .max(self.floor_ms.saturating_add(1))
            .max(least_kept.copied().unwrap_or(0));
        (from, now_ms.saturating_add(NONCE_AHEAD_MS).get())
    }

    /// Checks that a nonce may be used at a block time.
    ///
    /// # Errors
    /// `NONCE_TOO_OLD`, `NONCE_TOO_NEW`, `NONCE_USED`.
    pub fn check(&self, nonce_ms: u64, now_ms: TimeMs) -> Result<(), AgentRefusal> {
        let (from_ms, to_ms) = self.window_ms(now_ms);
        if nonce_ms < from_ms {
            return Err(AgentRefusal::NonceTooOld { nonce_ms, from_ms, to_ms });
        }
        if nonce_ms > to_ms {
            return Err(AgentRefusal::NonceTooNew { nonce_ms, from_ms, to_ms });
        }
        if self.used_ms.binary_search(&nonce_ms).is_ok() {
            return Err(AgentRefusal::NonceUsed { nonce_ms, from_ms, to_ms });
        }
        Ok(())
    }

    /// Uses a nonce that [`Self::check`] has let pass, and forgets those that block time, which
    /// never goes back, refuses from now on.
    pub fn take(&mut self, nonce_ms: u64, now_ms: TimeMs) {
        let oldest_ms = now_ms.saturating_sub(NONCE_BEHIND_MS).get();
        self.floor_ms = self.floor_ms.max(oldest_ms.saturating_sub(1));
        let used = Arc::make_mut(&mut self.used_ms);
        let gone = used.partition_point(|used_ms| *used_ms <= self.floor_ms);
        used.drain(..gone);
        if let Err(at) = used.binary_search(&nonce_ms) {
            used.insert(at, nonce_ms);
        }
        if used.len() > MAX_NONCES {
            self.floor_ms = used.remove(0);
        }
    }

    /// The greatest nonce that was used, or can no longer be.
    #[must_use]
    pub fn highest_ms(&self) -> TimeMs {
        TimeMs::new(self.used_ms.last().copied().unwrap_or(self.floor_ms))
    }
}

/// The floor, the number of nonces in 16 bits, and each nonce's distance from the one before.
impl BorshSerialize for Nonces {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let too_far = |_| io::Error::from(io::ErrorKind::InvalidData);
        self.floor_ms.serialize(writer)?;
        u16::try_from(self.used_ms.len()).map_err(too_far)?.serialize(writer)?;
        let mut before_ms = self.floor_ms;
        for &used_ms in self.used_ms.iter() {
            let distance_ms = used_ms.saturating_sub(before_ms);
            u16::try_from(distance_ms).map_err(too_far)?.serialize(writer)?;
            before_ms = used_ms;
        }
        Ok(())
    }
}

impl BorshDeserialize for Nonces {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let floor_ms = u64::deserialize_reader(reader)?;
        let count = u16::deserialize_reader(reader)?;
        if usize::from(count) > MAX_NONCES {
            return Err(invalid());
        }
        let mut used_ms = Vec::with_capacity(count.into());
        let mut before_ms = floor_ms;
        for _ in 0..count {
            let distance_ms = u64::from(u16::deserialize_reader(reader)?);
            before_ms = before_ms.checked_add(distance_ms.max(1)).ok_or_else(invalid)?;
            used_ms.push(before_ms);
        }
        Ok(Self { floor_ms, used_ms: Arc::new(used_ms) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tidemark_proto::Code;

    use super::*;

    const START_MS: u64 = 1_000_000;

    /// All nonces that were ever used, and the rule word for word.
    struct Model {
        start_ms: u64,
        used: BTreeSet<u64>,
    }

    impl Model {
        fn code(&self, nonce: u64, now: u64) -> Code {
            let last: Vec<u64> = self.used.iter().rev().take(MAX_NONCES).copied().collect();
            let below_the_last =
                last.len() == MAX_NONCES && last.last().is_some_and(|least| nonce < *least);
            if nonce + 60_000 < now || nonce <= self.start_ms || below_the_last {
                Code::NonceTooOld
            } else if nonce > now + 5_000 {
                Code::NonceTooNew
            } else if self.used.contains(&nonce) {
                Code::NonceUsed
            } else {
                Code::Ok
            }
        }
    }

    /// Tries a nonce in both, and returns what became of it.
    fn try_one(nonces: &mut Nonces, model: &mut Model, nonce: u64, now: u64) -> Code {
        let now_ms = TimeMs::new(now);
        let code = nonces.check(nonce, now_ms).map_or_else(|refusal| refusal.code(), |()| Code::Ok);
        assert_eq!(code, model.code(nonce, now), "nonce {nonce} at {now}");
        if code == Code::Ok {
            nonces.take(nonce, now_ms);
            assert!(model.used.insert(nonce), "nonce {nonce} was used before");
        }
        code
    }

    fn both() -> (Nonces, Model) {
        let model = Model { start_ms: START_MS, used: BTreeSet::new() };
        (Nonces::after(TimeMs::new(START_MS)), model)
    }

    fn written_and_read(nonces: &Nonces) {
        let bytes = borsh::to_vec(nonces).unwrap();
        assert!(bytes.len() <= 2_060, "{} bytes", bytes.len());
        assert_eq!(&Nonces::try_from_slice(&bytes).unwrap(), nonces);
    }

    #[test]
    fn rules_10_the_window_is_exact() {
        let now = START_MS + 100_000;
        for (nonce, code) in [
            (now - 60_001, Code::NonceTooOld),
            (now - 60_000, Code::Ok),
            (now - 60_000, Code::NonceUsed),
            (now + 5_000, Code::Ok),
            (now + 5_001, Code::NonceTooNew),
        ] {
            let (mut nonces, mut model) = both();
            if code == Code::NonceUsed {
                try_one(&mut nonces, &mut model, nonce, now);
            }
            assert_eq!(try_one(&mut nonces, &mut model, nonce, now), code);
        }
        // What came before the authorisation never counts.
        let (mut nonces, mut model) = both();
        assert_eq!(try_one(&mut nonces, &mut model, START_MS, START_MS), Code::NonceTooOld);
        assert_eq!(try_one(&mut nonces, &mut model, START_MS + 1, START_MS), Code::Ok);
    }

    #[test]
    fn rules_10_below_the_last_1024_used_nonces_none_is_taken() {
        let (mut nonces, mut model) = both();
        let now = START_MS + 10_000;
        let even = |number: u64| START_MS + 2 * number;
        for number in 1..=1_024 {
            assert_eq!(try_one(&mut nonces, &mut model, even(number), now), Code::Ok);
        }
        assert_eq!(try_one(&mut nonces, &mut model, even(1) - 1, now), Code::NonceTooOld);
        assert_eq!(try_one(&mut nonces, &mut model, even(1) + 1, now), Code::Ok);
        assert_eq!(try_one(&mut nonces, &mut model, even(1), now), Code::NonceTooOld);
        written_and_read(&nonces);
    }

    #[test]
    fn rules_10_a_set_of_nonces_takes_at_most_its_bytes() {
        let (mut nonces, mut model) = both();
        let now = START_MS + 60_000;
        // As far from the floor, and from one another, as may be.
        assert_eq!(try_one(&mut nonces, &mut model, now + 5_000, now), Code::Ok);
        written_and_read(&nonces);
        for number in 0..1_023 {
            try_one(&mut nonces, &mut model, START_MS + 1 + 63 * number, now);
        }
        written_and_read(&nonces);
        assert!(Nonces::try_from_slice(&[0xff; 12]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against all that was ever used: nothing counts twice, and nothing else is refused.
        #[test]
        fn rules_10_each_nonce_counts_once_within_its_window(
            steps in prop::collection::vec((0_u64..3_000, -70_000_i64..8_000, 0_usize..60), 0..120),
        ) {
            let (mut nonces, mut model) = both();
            let mut now = START_MS;
            for (passed, away, run) in steps {
                now += passed;
                let first = now.saturating_add_signed(away);
                for nonce in first..=first + run as u64 {
                    try_one(&mut nonces, &mut model, nonce, now);
                }
                // Replays of whatever there was.
                let some: Vec<u64> = model.used.iter().step_by(7).copied().collect();
                for nonce in some {
                    prop_assert!(nonces.check(nonce, TimeMs::new(now)).is_err());
                }
                written_and_read(&nonces);
            }
        }
    }
}

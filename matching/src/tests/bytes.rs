//! Operations from bytes, for the fuzz target and for a test on seeded bytes.

use tidemark_proto::units::{AccountId, ClientId, Lots, SelfTradePrevention, Side, Ticks, TimeMs};

use super::pair::{Op, Pair};
use crate::{NewOrder, PostOnly, TimeInForce};

/// Most operations of one input: a book stays small enough for its naive model.
const MAX_OPS: usize = 400;

/// Carries out the operations that the bytes encode, on a book and on its model.
///
/// # Panics
/// If book and model differ, or an invariant does not hold.
pub fn drive(bytes: &[u8]) {
    let (mut pair, mut bytes) = (Pair::new(), Bytes(bytes));
    for _ in 0..MAX_OPS {
        let Some(op) = bytes.op() else { break };
        pair.step(&op);
    }
    pair.step(&Op::Commit { restore: true });
}

/// Bytes not read yet; after the last one come zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) =
            self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    /// An operation; `None` after the last byte.
    fn op(&mut self) -> Option<Op> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.byte() % 32 {
            0..=17 => Op::Place(self.order()),
            18..=21 => Op::Replace {
                pick: u64::from(self.byte()),
                stranger: self.byte() % 8 == 0,
                price: (self.byte() % 2 == 0).then(|| self.price()),
                lots: (self.byte() % 2 == 0).then(|| self.lots()),
                stp: self.stp(),
                max_fills: self.max_fills(),
                max_visits: self.max_visits(),
            },
            22 | 23 => {
                Op::Reduce { pick: u64::from(self.byte()), stranger: false, by_lots: self.lots() }
            }
            24..=26 => Op::Cancel { pick: u64::from(self.byte()), stranger: self.byte() % 8 == 0 },
            27 => Op::CancelByClientId { owner: self.owner(), client_id: self.client_id() },
            28 => Op::CancelAll {
                owner: self.owner(),
                side: (self.byte() % 2 == 0).then(|| self.side()),
                max: if self.byte() % 4 == 0 { u32::from(self.byte() % 4) } else { u32::MAX },
            },
            29 if self.byte() % 4 == 0 => {
                Op::Freeze { owner: self.owner(), frozen: self.byte() % 2 == 0 }
            }
            29 => Op::Expire { now_ms: self.time(), max: u32::from(self.byte() % 4) },
            30 => {
                let (owner, position) = (self.owner(), self.byte() as i8);
                Op::SetPosition { owner, position, tell: self.byte() % 2 == 0 }
            }
            _ => Op::Commit { restore: self.byte() % 2 == 0 },
        })
    }

    fn order(&mut self) -> NewOrder {
        let flags = self.byte();
        let time_in_force = match flags & 7 {
            0..=3 => TimeInForce::Gtc,
            4 | 5 => TimeInForce::Gtt { expires_ms: self.time() },
            6 => TimeInForce::Ioc,
            _ => TimeInForce::Fok,
        };
        NewOrder {
            owner: self.owner(),
            client_id: if flags & 8 == 0 { ClientId::NONE } else { self.client_id() },
            side: self.side(),
            price_ticks: self.price(),
            lots: self.lots(),
            display_lots: if flags & 16 == 0 { Lots::ZERO } else { self.lots() },
            time_in_force,
            post_only: if flags & 32 == 0 {
                PostOnly::Off
            } else if self.byte() % 2 == 0 {
                PostOnly::Reject
            } else {
                PostOnly::Slide
            },
            reduce_only: flags & 192 == 192,
            stp: self.stp(),
            max_fills: self.max_fills(),
            max_visits: self.max_visits(),
        }
    }

    fn owner(&mut self) -> AccountId {
        AccountId::new(match self.byte() % 16 {
            15 => 70_000,
            owner => u32::from(owner % 4),
        })
    }

    fn time(&mut self) -> TimeMs {
        TimeMs::new(u64::from(self.byte()))
    }

    fn side(&mut self) -> Side {
        if self.byte() % 2 == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    fn price(&mut self) -> Ticks {
        Ticks::new(match self.byte() {
            byte @ 0..=239 => 4_090 + u64::from(byte % 12),
            240..=243 => 0,
            244 | 245 => 1,
            246 | 247 => u64::MAX - 1,
            248..=251 => u64::MAX,
            byte => u64::from(byte) << 32,
        })
    }

    fn lots(&mut self) -> Lots {
        Lots::new(match self.byte() {
            byte @ 0..=247 => u64::from(byte % 24),
            248..=250 => i64::MAX as u64 - 1,
            251..=253 => i64::MAX as u64,
            _ => u64::MAX,
        })
    }

    fn client_id(&mut self) -> ClientId {
        // Half of them share their low bits, to crowd a set of the index.
        let byte = u64::from(self.byte());
        ClientId::new(if byte < 128 { byte % 8 } else { byte << 56 })
    }

    fn stp(&mut self) -> SelfTradePrevention {
        use SelfTradePrevention::{CancelBoth, CancelMaker, CancelTaker, Decrement};
        [CancelTaker, CancelMaker, CancelBoth, Decrement][usize::from(self.byte() % 4)]
    }

    fn max_visits(&mut self) -> u32 {
        match self.byte() % 8 {
            few @ 0..=3 => 2 * u32::from(few),
            _ => u32::MAX,
        }
    }

    fn max_fills(&mut self) -> u32 {
        match self.byte() % 8 {
            few @ 0..=2 => u32::from(few),
            _ => 500,
        }
    }
}

//! Parts of the program that must stand any bytes: each takes some and panics if a promise breaks.

mod blocks;
mod decoders;
pub mod work;

use crate::sim::rng::Rng;

/// A part, with bytes that are valid for it, to be damaged.
pub struct Part {
    /// Its name, as in the variable `FUZZ_TARGET`.
    pub name: &'static str,
    run: fn(&[u8]) -> bool,
    seeds: fn() -> Vec<Vec<u8>>,
}

/// Every part: a decoder of bytes from outside, block execution, the book beside its model, and
/// work for gas.
pub const PARTS: [Part; 12] = [
    Part { name: "transactions", run: decoders::transaction, seeds: decoders::transactions },
    Part { name: "messages", run: decoders::message, seeds: decoders::messages },
    Part { name: "commits", run: decoders::commit, seeds: decoders::commits },
    Part { name: "reports", run: decoders::report, seeds: decoders::reports },
    Part { name: "frames", run: decoders::frames, seeds: decoders::no_seeds },
    Part { name: "snapshots", run: decoders::snapshot, seeds: decoders::snapshots },
    Part { name: "genesis", run: decoders::genesis_file, seeds: decoders::genesis_files },
    Part { name: "prices", run: decoders::price_file, seeds: decoders::price_files },
    Part { name: "texts", run: decoders::text, seeds: decoders::texts },
    Part { name: "blocks", run: blocks::run, seeds: decoders::no_seeds },
    Part { name: "book", run: drive_book, seeds: decoders::no_seeds },
    Part { name: "work", run: work::run, seeds: work::seeds },
];

/// Bytes not read yet; after the last one come zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(byte, rest)| (*byte, rest));
        self.0 = rest;
        first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }
}

fn drive_book(bytes: &[u8]) -> bool {
    tidemark_matching::tests::bytes::drive(bytes);
    true
}

impl Part {
    /// The part of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        PARTS.iter().find(|part| part.name == name)
    }

    /// Valid bytes of this part.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// Takes some bytes; returns true if the part could read them.
    ///
    /// # Panics
    /// If the part does not stand them.
    pub fn run(&self, bytes: &[u8]) -> bool {
        (self.run)(bytes)
    }
}

/// The next input: noise, or one of `seeds` with a few bytes changed, put in or cut off.
pub fn next_input(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if seeds.is_empty() || rng.chance(10) {
        let length = rng.within(0, 600);
        return (0..length).map(|_| rng.bits() as u8).collect();
    }
    let mut bytes = rng.pick(seeds).clone();
    for _ in 0..rng.within(0, 4) {
        let at = rng.within(0, bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = rng.bits() as u8;
        }
    }
    if rng.chance(30) {
        let at = rng.within(0, bytes.len() as u64) as usize;
        let more: Vec<u8> = (0..rng.within(1, 8)).map(|_| rng.bits() as u8).collect();
        bytes.splice(at..at, more);
    }
    if rng.chance(20) {
        bytes.truncate(rng.within(0, bytes.len() as u64) as usize);
    }
    bytes
}

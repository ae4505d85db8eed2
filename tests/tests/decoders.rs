//! Every decoder of bytes from outside, on its valid bytes, on those with a few changed, and on
//! noise: it reads or refuses, and never panics. The program `fuzz` gives them more.

use tidemark_tests::fuzz::{next_input, PARTS};
use tidemark_tests::sim::rng::Rng;

/// Inputs of each decoder.
const INPUTS: u32 = 3_000;

/// Parts that decode nothing: block execution and the book have histories of their own.
const NO_DECODERS: [&str; 2] = ["blocks", "book"];

#[test]
fn decoders_read_valid_bytes_and_stand_any() {
    for part in PARTS.iter().filter(|part| !NO_DECODERS.contains(&part.name)) {
        let (seeds, mut rng) = (part.seeds(), Rng::new(1));
        let read = seeds.iter().filter(|seed| part.run(seed)).count();
        assert!(read > 0 || seeds.is_empty(), "{} reads none of its valid bytes", part.name);
        for _ in 0..INPUTS {
            part.run(&next_input(&mut rng, &seeds));
        }
    }
}

//! The search: random programs, then changes of the best, then the shortest that still passes.

use super::program::Program;
use super::verdict::Verdict;
use super::weather::Weather;
use super::world::World;
use crate::sim::rng::Rng;

/// Programs that a search keeps and changes.
const KEPT: usize = 12;

/// A program that passes a bound.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The bound.
    pub bound: &'static str,
    /// The shortest program found.
    pub program: Program,
    /// Its effects.
    pub verdict: Verdict,
}

/// A seed's search through so many programs: the first finding for each bound that is passed.
#[must_use]
pub fn search(seed: u64, programs: u32) -> Vec<Finding> {
    let start = World::new(Weather::of(seed));
    let mut rng = Rng::new(seed);
    let (mut best, mut found): (Vec<(i128, Program)>, Vec<Finding>) = (Vec::new(), Vec::new());
    for tried in 0..programs {
        let program = if best.is_empty() || tried < programs / 4 || rng.chance(20) {
            Program::random(&mut rng)
        } else {
            rng.pick(&best).1.changed(&mut rng)
        };
        let verdict = start.fork().run(&program);
        for bound in verdict.passed() {
            if found.iter().all(|finding| finding.bound != bound) {
                found.push(shortest(&start, bound, program.clone(), verdict.clone()));
            }
        }
        best.push((verdict.score(), program));
        best.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        best.truncate(KEPT);
    }
    found
}

/// Leaves out steps as long as the same bound is passed.
fn shortest(
    start: &World,
    bound: &'static str,
    mut program: Program,
    mut verdict: Verdict,
) -> Finding {
    let mut at = 0;
    while at < program.0.len() && program.0.len() > 1 {
        let shorter = program.without(at);
        let of_shorter = start.fork().run(&shorter);
        if of_shorter.passed().contains(&bound) {
            (program, verdict) = (shorter, of_shorter);
        } else {
            at += 1;
        }
    }
    Finding { bound, program, verdict }
}

//! The figures of a run, and whether each bound holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemark_tests::measures::{self, Better, Measure};
use tidemark_tests::net::target_folder;

use crate::honest::{End, Fate, Proof};
use crate::proposers::Proposed;
use crate::tally::Counts;

/// Blocks of honest proposers until an honest transaction is in one, at the 99th of 100.
const INCLUSION_BLOCKS: f64 = 2.0;
/// As many with the blocks from which a misbehaving proposer leaves everybody out: one of four.
const INCLUSION_ALL_BLOCKS: f64 = 3.0;
/// The least part of the baseline's blocks a second.
const PACE: f64 = 0.5;
/// Most memory of a `tidemarkd`: 128 MiB of queue, two generations of 64 MiB of verified
/// transactions and the 90 MiB by which a block can pass one, 256 MiB for clients that do not read;
/// the rest for books, state and what is being decoded.
const NODE_BYTES: u64 = 1 << 30;
/// Most memory of a CometBFT: 256 MiB of mempool, which Go's collector lets grow to twice that, and
/// the rest for blocks and votes on their way.
const COMET_BYTES: u64 = 1 << 30;

/// A time beside other processes.
pub struct Pace {
    pub start: Instant,
    pub elapsed: Duration,
    pub from_height: u64,
    pub to_height: u64,
    /// Counts of these processes.
    pub floods: Vec<(&'static str, Counts)>,
}

impl Pace {
    fn blocks_per_second(&self) -> f64 {
        self.to_height.saturating_sub(self.from_height) as f64 / self.elapsed.as_secs_f64()
    }

    /// The fates of what was sent in this time.
    fn of_this<'a>(&'a self, fates: &'a [Fate]) -> impl Iterator<Item = &'a Fate> {
        let end = self.start + self.elapsed;
        fates.iter().filter(move |fate| (self.start..end).contains(&fate.sent))
    }
}

/// Traces of the attack on the net.
pub struct Attacked {
    /// Full blocks of unseen transactions in the chain.
    pub unseen_blocks: u64,
    /// Votes of the misbehaving validator.
    pub misvotes: u64,
    /// Voting power whose reports proposers blanked.
    pub blanked_power: f64,
    /// Proposals that the first node voted against.
    pub rejected: f64,
    /// Newcomers that were served, and that were not.
    pub newcomers: (u64, u64),
    /// The most memory of a `tidemarkd` and of a CometBFT, with the node.
    pub memory: [(u64, usize); 2],
}

/// All figures.
pub struct Figures {
    pub seconds: u64,
    pub means: &'static str,
    pub baseline: Pace,
    pub attack: Pace,
    pub fates: Vec<Fate>,
    pub proof: Proof,
    pub proposed: Proposed,
    pub attacked: Attacked,
}

/// Blocks from a transaction's submission to its block, if it is in one.
pub fn blocks(fate: &Fate) -> Option<u64> {
    match fate.end {
        End::Done { height, .. } => Some(height.saturating_sub(fate.sent_height)),
        _ => None,
    }
}

/// The value below which `percent` of 100 lie; 0 of none. `sorted` ascends.
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// Prints the figures, writes them into `bench/hostile.json` of the target folder, and returns true
/// if every bound holds; those on time only if they are judged.
///
/// # Errors
/// A sentence when the file cannot be written.
pub fn tell(figures: &Figures, judges_time: bool) -> Result<bool, String> {
    let (times, others) = all(figures);
    let unjudged = if judges_time { 0 } else { times.len() };
    let measures = [times, others].concat();
    println!("attackers: {}, {} s", figures.means, figures.seconds);
    println!("\n| figure | value | bound | |\n|---|---:|---:|---|");
    let mut holds = true;
    for (at, measure) in measures.iter().enumerate() {
        let within = is_within(measure);
        holds &= within || at < unjudged;
        let bound = measure.floor.map_or(String::new(), |bound| format!("{bound}"));
        let word = if within { "" } else { "**passed**" };
        let (name, value, unit) = (&measure.name, measure.value, &measure.unit);
        println!("| {name} | {value:.2} {unit} | {bound} | {word} |");
    }
    println!("\n| attack | sent | taken | refused, by code | closed | unanswered |");
    println!("|---|---:|---:|---|---:|---:|");
    for (name, counts) in &figures.attack.floods {
        let codes = counts.refused.iter().map(|(code, count)| format!("{code} {count}"));
        let codes = codes.collect::<Vec<_>>().join(", ");
        let Counts { sent, taken, closed, unanswered, .. } = counts;
        println!("| {name} | {sent} | {taken} | {codes} | {closed} | {unanswered} |");
    }
    let refused = figures.fates.iter().filter_map(|fate| match fate.end {
        End::Refused(code) => Some(code.word()),
        _ => None,
    });
    let mut codes = BTreeMap::<&str, u64>::new();
    refused.for_each(|code| *codes.entry(code).or_default() += 1);
    println!("\nhonest transactions refused, by code: {codes:?}");
    let table = serde_json::json!({
        "attackers": figures.means,
        "seconds": figures.seconds,
        "floods": figures.attack.floods,
    });
    let path = measures::write(&target_folder()?.join("bench"), "hostile", &measures, &table)?;
    println!("written to {}", path.display());
    Ok(holds)
}

fn is_within(measure: &Measure) -> bool {
    measure.floor.is_none_or(|bound| match measure.better {
        Better::Lower => measure.value <= bound,
        Better::Higher => measure.value >= bound,
    })
}

fn at_most(name: impl Into<String>, value: f64, unit: &str, bound: f64) -> Measure {
    Measure { floor: Some(bound), ..Measure::cost(name, value, unit) }
}

fn at_least(name: impl Into<String>, value: f64, unit: &str, bound: f64) -> Measure {
    Measure { floor: Some(bound), ..Measure::throughput(name, value, unit) }
}

/// The figures that depend on the machine's speed, and the others.
fn all(figures: &Figures) -> (Vec<Measure>, Vec<Measure>) {
    let (mut times, mut all) = (Vec::new(), Vec::new());
    pace(figures, &mut times);
    inclusion(figures, &mut times);
    let [(node, _), (comet, _)] = figures.attacked.memory;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    all.push(at_most("memory of a tidemarkd", mib(node), "MiB", mib(NODE_BYTES)));
    all.push(at_most("memory of a CometBFT", mib(comet), "MiB", mib(COMET_BYTES)));
    for (name, counts) in &figures.attack.floods {
        // A full block of right transactions is no flood that anybody refuses, and is in the chain
        // where it is verified in time; silence has no code.
        let (to, what, count) = match *name {
            "unseen blocks" => (&mut times, "in the chain", figures.attacked.unseen_blocks),
            "idle connections" => (&mut all, "closed", counts.closed),
            _ => (&mut all, "refused by a code", counts.refusals()),
        };
        to.push(at_least(format!("{name}, {what}"), count as f64, "", 1.0));
    }
    let Proof { once, never, doubled } = figures.proof;
    let ended = |wanted: End| figures.fates.iter().filter(|fate| fate.end == wanted).count();
    let lost = ended(End::Lost) as f64 + never as f64;
    all.push(at_least("found once in the account's events", once as f64, "transactions", 1.0));
    all.push(at_most("accepted and lost", lost, "transactions", 0.0));
    all.push(at_most("carried out twice", doubled as f64, "transactions", 0.0));
    let unanswered = ended(End::Unanswered) as f64;
    all.push(at_most("not taken for 60 s", unanswered, "transactions", 0.0));
    traces(figures, &mut all);
    (times, all)
}

fn pace(figures: &Figures, all: &mut Vec<Measure>) {
    let (before, under) =
        (figures.baseline.blocks_per_second(), figures.attack.blocks_per_second());
    all.push(Measure::throughput("blocks, beside a busy loop", before, "blocks/s"));
    all.push(Measure::throughput("blocks, under attack", under, "blocks/s"));
    all.push(at_least("blocks, under attack, of the baseline", under / before, "", PACE));
}

fn inclusion(figures: &Figures, all: &mut Vec<Measure>) {
    for (pace, name) in [(&figures.baseline, "baseline"), (&figures.attack, "attack")] {
        let raw = sorted(pace.of_this(&figures.fates).filter_map(blocks));
        let afters = pace.of_this(&figures.fates).filter_map(|fate| match fate.end {
            End::Done { after: Some(after), .. } => u64::try_from(after.as_millis()).ok(),
            _ => None,
        });
        let ms = sorted(afters);
        let figure = |percent| percentile(&ms, percent) as f64;
        all.push(Measure::cost(format!("inclusion p50, {name}"), figure(50), "ms"));
        all.push(Measure::cost(format!("inclusion p99, {name}"), figure(99), "ms"));
        let p50 = percentile(&raw, 50) as f64;
        all.push(Measure::cost(format!("inclusion p50, {name}, all blocks"), p50, "blocks"));
        let p99 = percentile(&raw, 99) as f64;
        let is_bounded = name == "attack";
        let measure = Measure::cost(format!("inclusion p99, {name}, all blocks"), p99, "blocks");
        let floor = is_bounded.then_some(INCLUSION_ALL_BLOCKS);
        all.push(Measure { floor, ..measure });
    }
    let of_others = |fate: &Fate| match fate.end {
        End::Done { height, .. } => Some(figures.proposed.of_others(fate.sent_height, height)),
        _ => None,
    };
    let honest = sorted(figures.attack.of_this(&figures.fates).filter_map(of_others));
    let p99 = percentile(&honest, 99) as f64;
    let name = "inclusion p99, attack, blocks of honest proposers";
    all.push(at_most(name, p99, "blocks", INCLUSION_BLOCKS));
}

fn traces(figures: &Figures, all: &mut Vec<Measure>) {
    let Attacked { misvotes, blanked_power, rejected, newcomers, .. } = &figures.attacked;
    let proposed = figures.proposed.count() as f64;
    all.push(Measure::throughput("blocks of the misbehaving proposer", proposed, ""));
    all.push(Measure::throughput("votes of the misbehaving voter", *misvotes as f64, ""));
    all.push(Measure::throughput("blanked power", *blanked_power, ""));
    all.push(Measure::cost("proposals rejected", *rejected, ""));
    let (served, not_served) = *newcomers;
    let share = served as f64 / (served + not_served).max(1) as f64;
    all.push(Measure::throughput("newcomers that are served", share, ""));
}

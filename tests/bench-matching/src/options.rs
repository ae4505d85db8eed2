//! Options of the command line.

/// How to use the program.
pub const USAGE: &str =
    "usage: bench-matching [--seed N] [--operations N] [--warm N,N] [--rounds N] [--own 0|1]";

/// Options of a measurement.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of the streams.
    pub seed: u64,
    /// Number of operations that are timed.
    pub operations: usize,
    /// Orders in the book before the timed operations, for each stream.
    pub warm: Vec<usize>,
    /// Number of times that each engine plays each stream.
    pub rounds: usize,
    /// Only our rows: neither other engines nor what else there is to measure.
    pub own: bool,
}

impl Options {
    /// Reads the words of the command line.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            operations: 3_000_000,
            warm: vec![20_000, 1_000_000],
            rounds: 3,
            own: false,
        };
        for pair in words.chunks(2) {
            let [word, value] = pair else {
                return Err(format!("{} needs a value; {USAGE}", pair[0]));
            };
            let number = |low: u64, high: u64, text: &str| {
                let number =
                    text.parse::<u64>().ok().filter(|number| (low..=high).contains(number));
                number.ok_or_else(|| format!("{word} {text} is not from {low} to {high}; {USAGE}"))
            };
            match *word {
                "--seed" => options.seed = number(0, u64::MAX, value)?,
                "--operations" => options.operations = number(1_000, 20_000_000, value)? as usize,
                "--own" => options.own = number(0, 1, value)? == 1,
                "--rounds" => options.rounds = number(1, 100, value)? as usize,
                "--warm" => {
                    let sizes =
                        value.split(',').map(|text| Ok(number(100, 10_000_000, text)? as usize));
                    options.warm = sizes.collect::<Result<_, String>>()?;
                }
                _ => return Err(format!("unknown option {word}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

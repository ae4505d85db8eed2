//! The parts of a block's prices, each through the production function.

use std::hint::black_box;
use std::time::Instant;

use ed25519_consensus::SigningKey;
use prost::Message as _;
use serde::Serialize;
use tendermint_proto::v0_38::abci::{
    CommitInfo, ExtendedCommitInfo, ExtendedVoteInfo, Validator as AbciValidator, VoteInfo,
};
use tendermint_proto::v0_38::types::{BlockIdFlag, CanonicalVoteExtension};
use tidemark_consensus::votes;
use tidemark_engine::state::Validator;
use tidemark_oracle::index::{by_market, IndexRule, IndexState, MarketReports};
use tidemark_oracle::median::Quorum;
use tidemark_oracle::report::{decode, encode, Limits, PriceReport, Report};
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

const CHAIN: &str = "bench-oracle-1";
const HEIGHT: i64 = 1_000_000;

/// One part: the least of several runs, which other work on the machine disturbs least.
#[derive(Serialize)]
pub struct Part {
    /// The timed part.
    pub what: &'static str,
    /// Microseconds a block.
    pub micros: f64,
}

fn timed<T>(what: &'static str, mut run: impl FnMut() -> T) -> Part {
    let mut least = f64::INFINITY;
    for _ in 0..50 {
        let start = Instant::now();
        black_box(run());
        least = least.min(start.elapsed().as_secs_f64() * 1e6);
    }
    Part { what, micros: least }
}

fn base(market: MarketId) -> Option<Ticks> {
    Some(Ticks::new(100_000 + 1_000 * u64::from(market.get())))
}

/// Prices within some basis points of the index, of which validators differ by a few ticks.
fn report(validator: usize, markets: u16) -> Report {
    let prices = (0..markets).map(|market| {
        let away = Ticks::new(5 * u64::from(market % 11) + validator as u64 % 7);
        let market = MarketId::new(market);
        let index = base(market).unwrap_or(Ticks::ONE) + away;
        let external_ticks = Some(index + Ticks::new(40));
        PriceReport { market, index_ticks: Some(index), external_ticks }
    });
    Report { prices: prices.collect() }
}

/// Bytes of one extension, bytes of the commit, and the parts.
pub fn measure(validators: usize, markets: u16) -> (usize, usize, Vec<Part>) {
    let keys: Vec<SigningKey> =
        (0..validators).map(|n| SigningKey::from([n as u8 + 1; 32])).collect();
    let set: Vec<Validator> = (0..)
        .zip(&keys)
        .map(|(n, key)| Validator::new([n; 20], key.verification_key().to_bytes(), 10))
        .collect();
    let reports: Vec<Report> = (0..validators).map(|n| report(n, markets)).collect();
    let extensions: Vec<Vec<u8>> = reports
        .iter()
        .map(|report| encode(report, &base, Limits::default()).expect("it fits"))
        .collect();
    let vote = |(n, (key, extension)): (usize, (&SigningKey, &Vec<u8>))| {
        let signed = CanonicalVoteExtension {
            extension: extension.clone(),
            height: HEIGHT,
            round: 0,
            chain_id: CHAIN.into(),
        };
        ExtendedVoteInfo {
            validator: Some(AbciValidator { address: vec![n as u8; 20].into(), power: 10 }),
            vote_extension: extension.clone().into(),
            extension_signature: key
                .sign(&signed.encode_length_delimited_to_vec())
                .to_bytes()
                .to_vec()
                .into(),
            block_id_flag: BlockIdFlag::Commit as i32,
        }
    };
    let commit = ExtendedCommitInfo {
        round: 0,
        votes: keys.iter().zip(&extensions).enumerate().map(vote).collect(),
    };
    let proposed = commit.votes.iter().map(|vote| VoteInfo {
        validator: vote.validator.clone(),
        block_id_flag: vote.block_id_flag,
    });
    let proposed = CommitInfo { round: 0, votes: proposed.collect() };
    let bytes = votes::encode(&commit);

    let read = || -> Vec<Report> {
        extensions.iter().filter_map(|bytes| decode(bytes, &base, Limits::default()).ok()).collect()
    };
    let rule = IndexRule {
        total_power: 10 * validators as u128,
        quorum: Quorum::MORE_THAN_TWO_THIRDS,
        move_bound: None,
    };
    let aggregate = || {
        let mut of = by_market(reports.iter().map(|report| (report, 10)));
        let index = |market| {
            let mut state = IndexState::default();
            state.apply(
                of.entry(market).or_insert_with(MarketReports::default),
                &rule,
                TimeMs::new(1),
            );
            state.index_ticks()
        };
        (0..markets).map(MarketId::new).map(index).collect::<Vec<_>>()
    };
    assert!(aggregate().iter().all(Option::is_some) && read().len() == validators);
    let parts = vec![
        timed("encode one validator's report", || encode(&reports[0], &base, Limits::default())),
        timed("encode the extended commit (proposer)", || votes::encode(&commit)),
        timed("decode the extended commit", || votes::decode(&bytes)),
        timed("verify it, with every signature", || {
            votes::check(&commit, &proposed, &set, CHAIN, HEIGHT).expect("an honest commit")
        }),
        timed("decode the reports", read),
        timed("aggregate: medians of index and external price", aggregate),
    ];
    (extensions[0].len(), bytes.len(), parts)
}

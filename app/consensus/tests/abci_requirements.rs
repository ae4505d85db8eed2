//! The requirements of ABCI++ on an application (CometBFT's
//! `spec/abci/abci++_app_requirements.md`, numbered as there) that concern proposals and vote
//! extensions: properties of the application itself, over any last commit that CometBFT can give.

use std::sync::Arc;

use ed25519_consensus::SigningKey;
use proptest::prelude::*;
use prost::bytes::Bytes;
use prost::Message as _;
use sha2::{Digest, Sha256};
use tendermint_abci::Application as _;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::response_verify_vote_extension::VerifyStatus;
use tendermint_proto::v0_38::abci::*;
use tendermint_proto::v0_38::crypto::{public_key::Sum, PublicKey};
use tendermint_proto::v0_38::types::{
    AbciParams, BlockIdFlag, BlockParams, CanonicalVoteExtension, ConsensusParams,
};
use tidemark_consensus::abci::Node;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_consensus::votes::{self, room};
use tidemark_engine::admission;
use tidemark_engine::exec::BallotExtension;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::View;
use tidemark_feed::{Feed, FeedPrice};
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::types::Address;

const CHAIN: &str = "tidemark-requirements-1";
/// The height of the commit, and of the proposal that carries it.
const COMMITTED: i64 = 6;
const PROPOSED: i64 = COMMITTED + 1;
const VALIDATORS: u8 = 10;
const MARKETS: usize = 120;
/// Most bytes of an extension that CometBFT takes from a late vote.
const MIB: usize = 1 << 20;

struct Prices(Vec<FeedPrice>);

impl Feed for Prices {
    fn name(&self) -> String {
        "test".into()
    }

    fn snapshot(&self, _now_ms: u64) -> Vec<FeedPrice> {
        self.0.clone()
    }
}

fn symbol(market: usize) -> String {
    format!("M{market}-USD")
}

fn key(number: u8) -> SigningKey {
    SigningKey::from([number; 32])
}

fn address(number: u8) -> Vec<u8> {
    Sha256::digest(key(number).verification_key().to_bytes())[..20].to_vec()
}

/// The last validator has no power.
fn power(number: u8) -> i64 {
    if number + 1 == VALIDATORS {
        0
    } else {
        10
    }
}

fn genesis_request(max_bytes: i64) -> RequestInitChain {
    let validator = |number| ValidatorUpdate {
        pub_key: Some(PublicKey {
            sum: Some(Sum::Ed25519(key(number).verification_key().to_bytes().to_vec())),
        }),
        power: power(number),
    };
    let market = |at| MarketParams::with_defaults(&symbol(at), 100_000_000, 100_000, 50);
    let genesis = Genesis {
        params: ChainParams::default(),
        markets: (0..MARKETS).map(market).collect(),
        admin: Address([1; 20]).to_string(),
        minters: Vec::new(),
        insurance_atoms: 0,
    };
    RequestInitChain {
        time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        chain_id: CHAIN.into(),
        consensus_params: Some(ConsensusParams {
            abci: Some(AbciParams { vote_extensions_enable_height: 1 }),
            block: Some(BlockParams { max_bytes, max_gas: -1 }),
            ..Default::default()
        }),
        validators: (0..VALIDATORS).map(validator).collect(),
        app_state_bytes: serde_json::to_vec(&genesis).unwrap().into(),
        initial_height: 1,
    }
}

fn queue(publisher: Arc<Publisher>) -> Arc<TxQueue> {
    Arc::new(TxQueue::new(publisher, Arc::new(TxCache::new(CHAIN))))
}

/// A node's application at genesis, whose feed knows these prices.
fn node(prices: Vec<FeedPrice>, threads: usize) -> Node {
    let publisher = Arc::new(Publisher::new(Arc::new(View::empty(CHAIN))));
    let node = Node::new(publisher.clone(), queue(publisher), Box::new(Prices(prices)), threads);
    node.init_chain(genesis_request(4 << 20));
    node
}

/// One vote of a last commit, as an attacker may have made it.
#[derive(Clone, Debug)]
struct Vote {
    flag: i32,
    extension: Vec<u8>,
    signed: SignedAs,
}

#[derive(Clone, Copy, Debug)]
enum SignedAs {
    Rightly,
    AnotherHeight,
    AnotherRound,
    AnotherChain,
    Another(u8),
    Bytes(u8),
}

fn extension() -> impl Strategy<Value = Vec<u8>> {
    let of = |lengths| (any::<u8>(), lengths).prop_map(|(byte, length)| vec![byte; length]);
    prop_oneof![
        3 => Just(Vec::new()),
        5 => proptest::collection::vec(any::<u8>(), 0..60),
        3 => of(1_000..=1_024_usize),
        2 => of(1_025..=2_000),
        1 => of(MIB - 10..=MIB),
    ]
}

fn signed_as() -> impl Strategy<Value = SignedAs> {
    prop_oneof![
        8 => Just(SignedAs::Rightly),
        1 => Just(SignedAs::AnotherHeight),
        1 => Just(SignedAs::AnotherRound),
        1 => Just(SignedAs::AnotherChain),
        1 => (0..20_u8).prop_map(SignedAs::Another),
        1 => (0..70_u8).prop_map(SignedAs::Bytes),
    ]
}

fn vote() -> impl Strategy<Value = Vote> {
    let flag = prop_oneof![8 => Just(2), 1 => Just(1), 1 => Just(3), 1 => 0..5_i32];
    (flag, extension(), signed_as()).prop_map(|(flag, extension, signed)| {
        // Absent and nil votes have nothing, mostly.
        let has_none = flag != BlockIdFlag::Commit as i32 && extension.len() % 4 != 0;
        let extension = if has_none { Vec::new() } else { extension };
        Vote { flag, extension, signed: if has_none { SignedAs::Bytes(0) } else { signed } }
    })
}

/// A last commit: votes of the set in its order, sometimes with a stranger or a validator twice.
fn last_commit() -> impl Strategy<Value = ExtendedCommitInfo> {
    let votes = proptest::collection::vec(vote(), usize::from(VALIDATORS));
    let doubled = proptest::option::weighted(0.2, (0..VALIDATORS + 3, vote()));
    (votes, doubled, 0..3_i32).prop_map(|(votes, doubled, round)| {
        let votes = (0..).zip(votes).chain(doubled);
        ExtendedCommitInfo {
            round,
            votes: votes.map(|(number, vote)| extended(number, vote, round)).collect(),
        }
    })
}

fn extended(number: u8, vote: Vote, round: i32) -> ExtendedVoteInfo {
    let sign = |who: u8, height, round, chain_id: &str| {
        let signed = CanonicalVoteExtension {
            extension: vote.extension.clone(),
            height,
            round: i64::from(round),
            chain_id: chain_id.to_owned(),
        };
        key(who).sign(&signed.encode_length_delimited_to_vec()).to_bytes().to_vec()
    };
    let signature = match vote.signed {
        SignedAs::Rightly => sign(number, COMMITTED, round, CHAIN),
        SignedAs::AnotherHeight => sign(number, COMMITTED - 1, round, CHAIN),
        SignedAs::AnotherRound => sign(number, COMMITTED, round + 1, CHAIN),
        SignedAs::AnotherChain => sign(number, COMMITTED, round, "tidemark-1"),
        SignedAs::Another(who) => sign(who, COMMITTED, round, CHAIN),
        SignedAs::Bytes(length) => vec![length; length.into()],
    };
    ExtendedVoteInfo {
        validator: Some(Validator { address: address(number).into(), power: power(number) }),
        vote_extension: vote.extension.into(),
        extension_signature: signature.into(),
        block_id_flag: vote.flag,
    }
}

/// The commit of the block itself, which CometBFT makes of the same votes.
fn block_commit(commit: &ExtendedCommitInfo) -> CommitInfo {
    let vote = |vote: &ExtendedVoteInfo| VoteInfo {
        validator: vote.validator.clone(),
        block_id_flag: vote.block_id_flag,
    };
    CommitInfo { round: commit.round, votes: commit.votes.iter().map(vote).collect() }
}

type Txs = Vec<Bytes>;

fn prepare(node: &Node, commit: &ExtendedCommitInfo, max_tx_bytes: u64) -> Txs {
    let request = RequestPrepareProposal {
        max_tx_bytes: i64::try_from(max_tx_bytes).unwrap(),
        local_last_commit: Some(commit.clone()),
        height: PROPOSED,
        ..Default::default()
    };
    node.prepare_proposal(request).txs
}

fn accepts(node: &Node, txs: &Txs, commit: &CommitInfo) -> bool {
    let request = RequestProcessProposal {
        txs: txs.clone(),
        proposed_last_commit: Some(commit.clone()),
        height: PROPOSED,
        ..Default::default()
    };
    node.process_proposal(request).status == ProposalStatus::Accept as i32
}

fn verifies(node: &Node, extension: &[u8]) -> bool {
    let request = RequestVerifyVoteExtension {
        vote_extension: extension.to_vec().into(),
        height: PROPOSED,
        ..Default::default()
    };
    node.verify_vote_extension(request).status == VerifyStatus::Accept as i32
}

/// Bytes that the injected transaction takes with every vote blanked.
fn least_bytes(commit: &ExtendedCommitInfo) -> u64 {
    let mut least = commit.clone();
    for vote in &mut least.votes {
        vote.vote_extension = Default::default();
        vote.extension_signature = Default::default();
    }
    admission::tx_bytes(votes::encode(&least).len())
}

fn prices() -> impl Strategy<Value = Vec<FeedPrice>> {
    let known = proptest::option::weighted(0.9, (1..1_000_000_000_000_u64, any::<bool>()));
    proptest::collection::vec(known, MARKETS).prop_map(|known| {
        let price = |(market, known): (usize, Option<(u64, bool)>)| {
            let (price, external) = known?;
            let index = price.to_string().parse().ok();
            let external = if external { index } else { None };
            Some(FeedPrice { symbol: symbol(market), index, external, age_ms: 0 })
        };
        known.into_iter().enumerate().filter_map(price).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// PrepareProposal, size: at most `max_tx_bytes`. Coherence: every validator accepts it.
    #[test]
    fn abci_requirement_02_and_03_any_last_commit_makes_a_proposal_that_fits_and_stands(
        commit in last_commit(),
        room_ppm in 0..=1_500_000_u64,
    ) {
        let (proposer, other) = (node(Vec::new(), 1), node(Vec::new(), 2));
        let least = least_bytes(&commit);
        let full = room::max_injected_bytes(commit.votes.len());
        let max_tx_bytes = least + full.saturating_sub(least) * room_ppm / 1_000_000;
        let txs = prepare(&proposer, &commit, max_tx_bytes);
        let bytes: u64 = txs.iter().map(|tx| admission::tx_bytes(tx.len())).sum();
        prop_assert!(bytes <= max_tx_bytes, "{bytes} bytes of {max_tx_bytes}");
        let expected = block_commit(&commit);
        prop_assert!(accepts(&proposer, &txs, &expected) && accepts(&other, &txs, &expected));

        // With room for all, each vote that fits and is signed rightly is carried as it is.
        if max_tx_bytes >= full {
            let carried = votes::decode(&txs[0]).unwrap();
            for (number, (was, is)) in commit.votes.iter().zip(&carried.votes).enumerate() {
                let alone = ExtendedCommitInfo { votes: vec![was.clone()], ..commit.clone() };
                let txs = vec![votes::encode(&alone).into()];
                let right = accepts(&other, &txs, &block_commit(&alone));
                prop_assert_eq!(is == was, right, "vote {}", number);
            }
        }
    }

    /// ProcessProposal, determinism: a function of the block and the state, on every node and at
    /// every call. The proposals are right ones with up to three changed bytes.
    #[test]
    fn abci_requirement_04_and_05_every_node_gives_one_verdict_at_every_call(
        commit in last_commit(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let (one, other) = (node(Vec::new(), 1), node(Vec::new(), 3));
        let expected = block_commit(&commit);
        let mut txs = prepare(&one, &commit, 4 << 20);
        let mut bytes = txs[0].to_vec();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        txs[0] = bytes.into();
        let verdict = accepts(&one, &txs, &expected);
        prop_assert!(verdict || !changes.is_empty());
        // Whatever it is asked in between.
        accepts(&one, &vec![noise.clone().into()], &expected);
        other.check_tx(RequestCheckTx { tx: noise.clone().into(), r#type: 0 });
        prepare(&one, &commit, 4 << 20);
        prop_assert_eq!(accepts(&one, &txs, &expected), verdict);
        prop_assert_eq!(accepts(&other, &txs, &expected), verdict);
    }

    /// ExtendVote and VerifyVoteExtension, coherence: every node accepts what a node sends, and a
    /// block carries it.
    #[test]
    fn abci_requirement_06_every_node_accepts_what_any_node_sends(
        prices in prices(),
        height in 1..100_000_i64,
    ) {
        let (sender, other) = (node(prices, 1), node(Vec::new(), 1));
        let request = RequestExtendVote { height, ..Default::default() };
        let extension = sender.extend_vote(request).vote_extension.to_vec();
        prop_assert!(verifies(&sender, &extension) && verifies(&other, &extension));
        let vote = Vote { flag: 2, extension: extension.clone(), signed: SignedAs::Rightly };
        let commit = ExtendedCommitInfo { round: 0, votes: vec![extended(0, vote, 0)] };
        let txs = prepare(&other, &commit, 4 << 20);
        let carried = votes::decode(&txs[0]).unwrap();
        let said = votes::ballots(&carried).next().map(|ballot| ballot.extension);
        prop_assert_eq!(said, Some(BallotExtension::Bytes(extension)));
    }

    /// VerifyVoteExtension, determinism: a function of the extension, on every node and at every
    /// call.
    #[test]
    fn abci_requirement_07_and_08_a_vote_extension_has_one_verdict(
        extension in extension(),
        prices in prices(),
    ) {
        let (one, other) = (node(Vec::new(), 1), node(prices, 2));
        let verdict = verifies(&one, &extension);
        prop_assert_eq!(verdict, extension.len() <= votes::MAX_EXTENSION_BYTES);
        other.extend_vote(RequestExtendVote { height: PROPOSED, ..Default::default() });
        prop_assert_eq!(verifies(&one, &extension), verdict);
        prop_assert_eq!(verifies(&other, &extension), verdict);
    }
}

#[test]
fn abci_requirement_03_one_late_vote_of_1_025_bytes_or_1_mib_stops_no_proposal() {
    let node = node(Vec::new(), 1);
    for length in [1_025, MIB] {
        let vote = |number| {
            let length = if number == 0 { length } else { 40 };
            let extension = vec![1; length];
            extended(number, Vote { flag: 2, extension, signed: SignedAs::Rightly }, 0)
        };
        let commit = ExtendedCommitInfo { round: 0, votes: (0..VALIDATORS).map(vote).collect() };
        let txs = prepare(&node, &commit, 4 << 20);
        assert!(accepts(&node, &txs, &block_commit(&commit)), "{length} bytes");
        let carried = votes::decode(&txs[0]).unwrap();
        let blanked = votes::ballots(&carried)
            .filter(|ballot| ballot.extension == BallotExtension::Blanked)
            .count();
        assert_eq!(blanked, 1, "only the late one is blanked");
    }
}

#[test]
#[should_panic(expected = "consensus_params.block.max_bytes is 20000, must be at least")]
fn abci_requirement_02_a_genesis_whose_blocks_have_no_room_for_the_reports_is_refused() {
    let publisher = Arc::new(Publisher::new(Arc::new(View::empty(CHAIN))));
    let node = Node::new(publisher.clone(), queue(publisher), Box::new(Prices(vec![])), 1);
    node.init_chain(genesis_request(20_000));
}

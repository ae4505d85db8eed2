//! Tests of the extended commit.

use ed25519_consensus::batch::Item;
use ed25519_consensus::{SigningKey, VerificationKeyBytes};
use tendermint_proto::v0_38::abci::{Validator as AbciValidator, VoteInfo};
use tendermint_proto::v0_38::types::{
    BlockParams, CanonicalVoteExtension, ConsensusParams, EvidenceParams,
};
use tidemark_engine::admission;

use super::*;

const CHAIN: &str = "tidemark-votes-1";
const HEIGHT: i64 = 7;
const ABSENT: i32 = BlockIdFlag::Absent as i32;

fn key(number: u8) -> SigningKey {
    SigningKey::from([number; 32])
}

fn address(number: u8) -> AbciValidator {
    AbciValidator { address: vec![number; 20].into(), power: 10 }
}

fn validators() -> Vec<Validator> {
    let validator =
        |number: u8| Validator::new([number; 20], key(number).verification_key().to_bytes(), 10);
    (0..4).map(validator).collect()
}

fn vote(number: u8, extension: &[u8], height: i64) -> ExtendedVoteInfo {
    let signed = CanonicalVoteExtension {
        extension: extension.to_vec(),
        height,
        round: 1,
        chain_id: CHAIN.to_owned(),
    };
    let signature = key(number).sign(&signed.encode_length_delimited_to_vec()).to_bytes();
    ExtendedVoteInfo {
        validator: Some(address(number)),
        vote_extension: extension.to_vec().into(),
        extension_signature: signature.to_vec().into(),
        block_id_flag: BlockIdFlag::Commit as i32,
    }
}

/// Four validators, the last of them absent; and the commit that CometBFT proposes for it.
fn commits() -> (ExtendedCommitInfo, CommitInfo) {
    let absent = ExtendedVoteInfo {
        validator: Some(address(3)),
        block_id_flag: ABSENT,
        ..ExtendedVoteInfo::default()
    };
    let votes = vec![vote(0, b"a", HEIGHT), vote(1, b"", HEIGHT), vote(2, b"c", HEIGHT), absent];
    let proposed = votes.iter().map(|vote| VoteInfo {
        validator: vote.validator.clone(),
        block_id_flag: vote.block_id_flag,
    });
    let proposed = CommitInfo { round: 1, votes: proposed.collect() };
    (ExtendedCommitInfo { round: 1, votes }, proposed)
}

fn checked(change: impl FnOnce(&mut ExtendedCommitInfo, &mut CommitInfo)) -> Result<(), String> {
    let (mut commit, mut proposed) = commits();
    change(&mut commit, &mut proposed);
    check(&commit, &proposed, &validators(), CHAIN, HEIGHT)
}

#[test]
fn an_honest_extended_commit_passes_and_round_trips() {
    assert_eq!(checked(|_, _| ()), Ok(()));
    let (commit, _) = commits();
    assert_eq!(decode(&encode(&commit)), Ok(commit.clone()));
    let read: Vec<_> =
        ballots(&commit).map(|vote| (vote.validator[0], vote.power, vote.extension)).collect();
    assert_eq!(
        read,
        [
            (0, 10, BallotExtension::Bytes(b"a".to_vec())),
            (1, 10, BallotExtension::Bytes(Vec::new())),
            (2, 10, BallotExtension::Bytes(b"c".to_vec())),
            (3, 10, BallotExtension::Missing)
        ]
    );
}

#[test]
fn a_proposer_that_drops_reorders_forges_or_trims_votes_is_rejected() {
    type Change = fn(&mut ExtendedCommitInfo, &mut CommitInfo);
    let cases: [(&str, Change, &str); 10] = [
        ("drops a vote", |commit, _| drop(commit.votes.pop()), "has round 1 and 3 votes"),
        (
            "reorders votes",
            |commit, _| commit.votes.swap(0, 2),
            "vote 0 is not the vote of the commit",
        ),
        (
            "takes a vote's flag",
            |commit, _| commit.votes[0].block_id_flag = ABSENT,
            "vote 0 is not the vote",
        ),
        ("takes another round", |commit, _| commit.round = 2, "has round 2"),
        (
            "empties a report",
            |commit, _| commit.votes[0].vote_extension = vec![].into(),
            "not its validator's",
        ),
        (
            "forges a report",
            |commit, _| commit.votes[2].vote_extension = b"x"[..].into(),
            "not its validator's",
        ),
        (
            "signs for another",
            |commit, _| {
                commit.votes[1].extension_signature = vote(0, b"", HEIGHT).extension_signature
            },
            "not its validator's",
        ),
        (
            "replays a height",
            |commit, _| commit.votes[0] = vote(0, b"a", HEIGHT - 1),
            "not its validator's",
        ),
        (
            "cuts a signature",
            |commit, _| commit.votes[0].extension_signature = vec![1; 63].into(),
            "no signature",
        ),
        (
            "swells a report",
            |commit, _| commit.votes[0] = vote(0, &[0; MAX_EXTENSION_BYTES + 1], HEIGHT),
            "1025 bytes, at most 1024",
        ),
    ];
    for (what, change, why) in cases {
        let refusal = checked(change).expect_err(what);
        assert!(refusal.contains(why), "{what}: {refusal}");
    }
}

/// Encodings of the eight points of small order, and six that are not canonical: single
/// verification without the cofactor is of several minds about them.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// ADR 19: single and batch are the rule of ZIP-215, which takes all of these, over any
/// message.
#[test]
fn a_batch_takes_what_single_verification_takes() {
    let point = |hex: &str| -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    };
    let mut items = Vec::new();
    for (a, r) in
        SMALL_ORDER.iter().flat_map(|a| SMALL_ORDER.iter().map(move |r| (point(a), point(r))))
    {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        let signature = ed25519_consensus::Signature::from(signature);
        items.push((
            items.len(),
            Item::from((VerificationKeyBytes::from(a), signature, b"any message")),
        ));
    }
    assert!(items.iter().all(|(_, item)| item.clone().verify_single().is_ok()));
    for some in items.chunks(7).chain([items.as_slice()]) {
        assert_eq!(signatures::first_wrong(some), None);
    }
    let honest = key(1).sign(b"a report");
    items.push((500, Item::from((key(1).verification_key().into(), honest, b"a report"))));
    assert_eq!(signatures::first_wrong(&items), None);
    items.push((501, Item::from((key(1).verification_key().into(), honest, b"another"))));
    assert_eq!(signatures::first_wrong(&items), Some(501));
}

#[test]
fn no_number_of_blanked_votes_is_too_many() {
    let blanked = checked(|commit, _| {
        for vote in &mut commit.votes {
            vote.vote_extension = Default::default();
            vote.extension_signature = Default::default();
        }
    });
    assert_eq!(blanked, Ok(()));
}

#[test]
fn a_vote_is_blanked_with_extension_and_signature_or_not_at_all() {
    let (mut commit, _) = commits();
    commit.votes[0].vote_extension = Default::default();
    commit.votes[0].extension_signature = Default::default();
    let said: Vec<_> = ballots(&commit).map(|vote| vote.extension).collect();
    assert_eq!(said[..2], [BallotExtension::Blanked, BallotExtension::Bytes(Vec::new())]);
    let half = checked(|commit, _| commit.votes[0].extension_signature = Default::default());
    assert_eq!(half, Err("vote 0 has no signature over its extension".into()));
}

fn proposed(commit: &ExtendedCommitInfo, max_tx_bytes: u64) -> ExtendedCommitInfo {
    let bytes = propose(commit.clone(), &validators(), CHAIN, HEIGHT, max_tx_bytes);
    decode(&bytes).expect("a proposer encodes canonically")
}

#[test]
fn a_proposer_carries_what_fits_as_it_is_and_blanks_what_nobody_would_accept() {
    let (commit, _) = commits();
    assert_eq!(proposed(&commit, u64::MAX), commit);
    let mut late = commit.clone();
    late.votes[0] = vote(0, &[7; MAX_EXTENSION_BYTES + 1], HEIGHT);
    late.votes[1] = vote(1, b"another height", HEIGHT - 1);
    late.votes[3].vote_extension = b"no vote"[..].into();
    let carried = proposed(&late, u64::MAX);
    let said: Vec<_> = ballots(&carried).map(|vote| vote.extension).collect();
    assert_eq!(
        said,
        [
            BallotExtension::Blanked,
            BallotExtension::Blanked,
            BallotExtension::Bytes(b"c".to_vec()),
            BallotExtension::Missing,
        ]
    );
    assert_eq!(carried.votes[3], commit.votes[3]);
    let edge = vote(0, &[7; MAX_EXTENSION_BYTES], HEIGHT);
    late.votes[0] = edge.clone();
    assert_eq!(proposed(&late, u64::MAX).votes[0], edge);
}

#[test]
fn a_commit_too_large_for_its_block_loses_its_longest_extensions_first() {
    let (mut commit, _) = commits();
    for (number, length) in [(0, 30), (1, 50), (2, 50)] {
        commit.votes[usize::from(number)] = vote(number, &vec![9; length], HEIGHT);
    }
    let bytes = |commit: &ExtendedCommitInfo| admission::tx_bytes(encode(commit).len());
    let blanked = |max_tx_bytes| {
        let votes = ballots(&proposed(&commit, max_tx_bytes)).collect::<Vec<_>>();
        votes.iter().map(|vote| vote.extension == BallotExtension::Blanked).collect::<Vec<_>>()
    };
    let whole = bytes(&commit);
    assert_eq!(blanked(whole), [false; 4]);
    assert_eq!(blanked(whole - 1), [false, true, false, false]);
    let two_fewer = bytes(&proposed(&commit, whole - 1)) - 1;
    assert_eq!(blanked(two_fewer), [false, true, true, false]);
    assert_eq!(blanked(0), [true, true, true, false]);
}

#[test]
fn a_full_vote_takes_no_more_than_the_bound_and_a_full_commit_fits_its_room() {
    let mut full = vote(0, &[255; MAX_EXTENSION_BYTES], HEIGHT);
    full.validator = Some(AbciValidator { address: vec![255; 20].into(), power: i64::MAX });
    for validators in [1, 4, 1_000] {
        let votes = vec![full.clone(); validators];
        let commit = ExtendedCommitInfo { round: i32::MAX, votes };
        let bytes = admission::tx_bytes(encode(&commit).len());
        assert!(bytes <= room::max_injected_bytes(validators), "{bytes} of {validators}");
        assert_eq!(room::check_bytes(encode(&commit).len(), validators), Ok(()));
    }
}

#[test]
fn an_injected_transaction_longer_than_any_commit_is_not_decoded() {
    let most = usize::try_from(room::max_injected_bytes(4)).unwrap();
    let refusal = room::check_bytes(most + 1, 4).unwrap_err();
    assert!(refusal.ends_with(&format!("that of 4 validators at most {most}")), "{refusal}");
}

#[test]
fn abci_requirement_02_block_size_and_frame_cap_follow_from_the_validator_set() {
    let params = |max_bytes| ConsensusParams {
        block: Some(BlockParams { max_bytes, max_gas: -1 }),
        evidence: Some(EvidenceParams { max_bytes: 1 << 20, ..Default::default() }),
        ..Default::default()
    };
    let check = |max_bytes, validators| room::check(&params(max_bytes), validators, 100_000);
    // 8 + 55 bytes and 1 133 a vote; a list around a transaction; the header; a signature a vote;
    // evidence.
    let needed = 63 + 500 * 1_133 + 52 + 100_008 + 731 + 500 * 111 + (1 << 20);
    assert_eq!(check(needed, 500), Ok(()));
    let refusal = check(needed - 1, 500).unwrap_err();
    let starts =
        format!("consensus_params.block.max_bytes is {}, must be at least {needed}", needed - 1);
    assert!(refusal.starts_with(&starts), "{refusal}");
    assert!(refusal.contains("566563 for their price reports"), "{refusal}");
    assert_eq!(check(-1, 300), Ok(()), "CometBFT's largest block");
    assert!(check(-1, 450).unwrap_err().contains("reads at most 536870912"));
    assert!(room::check(&ConsensusParams::default(), 1, 0).is_err());
}

#[test]
fn rules_10_the_declared_block_prices_reads_what_a_block_carries() {
    let (commit, _) = commits();
    let encoded = encode(&commit);
    let value = block::unwrap(BLOCK_PRICES, &encoded).unwrap();
    let declared = tidemark_proto::v1::BlockPrices::decode(value).unwrap();
    assert_eq!(declared.encode_to_vec(), value);
    assert_eq!((declared.round, declared.votes.len()), (1, 4));
    let vote = &declared.votes[0];
    let validator = vote.validator.as_ref().unwrap();
    assert_eq!((&validator.address[..], validator.power), (&[0; 20][..], 10));
    assert_eq!((&vote.extension[..], vote.block_id_flag), (&b"a"[..], 2));
    assert_eq!(vote.extension_signature.len(), 64);
}

#[test]
fn an_extension_on_an_absent_vote_and_a_stranger_are_rejected() {
    let extended = checked(|commit, _| commit.votes[3].vote_extension = b"x"[..].into());
    assert_eq!(extended, Err("vote 3 has an extension without a commit".into()));
    let stranger = checked(|commit, proposed| {
        commit.votes[0] = vote(9, b"a", HEIGHT);
        proposed.votes[0].validator = Some(address(9));
    });
    assert_eq!(stranger, Err("vote 0 is of no validator of this chain".into()));
}

#[test]
fn bytes_in_any_other_form_than_the_one_are_refused() {
    let (commit, _) = commits();
    // A field that no message has: decoders skip it, the signature of the block covers it.
    let unknown = [0x78, 1];
    let around = decode(&[&encode(&commit)[..], &unknown].concat()).unwrap_err();
    assert!(around.ends_with("it is not in its one form"), "{around}");
    let inside = block::wrap(BLOCK_PRICES, [&commit.encode_to_vec()[..], &unknown].concat());
    assert_eq!(decode(&inside), Err("extended commit is not in its canonical form".into()));
    assert!(decode(b"").is_err() && decode(&[1, 2]).is_err());
}

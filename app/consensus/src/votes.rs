//! The extended commit: the validators' price reports, carried as a block's first transaction.
//!
//! `0x00 ‖ ExtendedCommitInfo` (protobuf). No `TxRaw` begins with 0x00, so the two cannot be taken
//! for each other.

use ed25519_consensus::batch::{self, Item};
use ed25519_consensus::VerificationKeyBytes;
use prost::Message as _;
use rand_core::OsRng;
use tendermint_proto::v0_38::abci::{CommitInfo, ExtendedCommitInfo, ExtendedVoteInfo};
use tendermint_proto::v0_38::types::{BlockIdFlag, CanonicalVoteExtension};
use tidemark_engine::exec::PriceBallot;
use tidemark_engine::state::Validator;

/// First byte of the injected transaction.
pub const MARKER: u8 = 0;

/// Most bytes of the injected transaction: room for 500 validators' reports.
pub const MAX_BYTES: usize = 1 << 20;

/// Most bytes of one vote extension.
pub const MAX_EXTENSION_BYTES: usize = 1_024;

/// Returns true if a block of this height begins with an extended commit: all but the first, which
/// has no commit before it.
#[must_use]
pub const fn required(height: u64) -> bool {
    height > 1
}

/// The extended commit as a transaction.
#[must_use]
pub fn encode(commit: &ExtendedCommitInfo) -> Vec<u8> {
    let mut bytes = vec![MARKER];
    bytes.extend_from_slice(&commit.encode_to_vec());
    bytes
}

/// Reads the injected transaction.
///
/// # Errors
/// A sentence when it is too large, not an extended commit, or not in the one form that [`encode`]
/// gives.
pub fn decode(bytes: &[u8]) -> Result<ExtendedCommitInfo, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("extended commit of {} bytes, at most {MAX_BYTES}", bytes.len()));
    }
    let Some((&MARKER, body)) = bytes.split_first() else {
        return Err("the first transaction is not an extended commit".into());
    };
    let commit = ExtendedCommitInfo::decode(body).map_err(|e| format!("extended commit: {e}"))?;
    if encode(&commit) != bytes {
        return Err("extended commit is not in its canonical form".into());
    }
    Ok(commit)
}

/// Checks an extended commit of `height` against the commit that CometBFT itself proposes for it:
/// the same round and votes, every committed vote with its validator's signature over its
/// extension, more than ⅔ of power among them.
///
/// # Errors
/// A sentence naming the first thing that does not hold.
pub fn check(
    commit: &ExtendedCommitInfo,
    proposed: &CommitInfo,
    validators: &[Validator],
    chain_id: &str,
    height: i64,
) -> Result<(), String> {
    if commit.round != proposed.round || commit.votes.len() != proposed.votes.len() {
        return Err(format!(
            "extended commit has round {} and {} votes, the commit has round {} and {}",
            commit.round,
            commit.votes.len(),
            proposed.round,
            proposed.votes.len()
        ));
    }
    let (mut committed, mut total): (u128, u128) = (0, 0);
    let mut signatures = Vec::with_capacity(commit.votes.len());
    for (index, (vote, expected)) in commit.votes.iter().zip(&proposed.votes).enumerate() {
        if vote.validator != expected.validator || vote.block_id_flag != expected.block_id_flag {
            return Err(format!("vote {index} is not the vote of the commit"));
        }
        let power =
            vote.validator.as_ref().map_or(0, |validator| validator.power.max(0).unsigned_abs());
        total += u128::from(power);
        if vote.block_id_flag == BlockIdFlag::Commit as i32 {
            let signature = signature(vote, validators, chain_id, height, commit.round);
            signatures.push((index, signature.map_err(|why| format!("vote {index} {why}"))?));
            committed += u128::from(power);
        } else if !vote.vote_extension.is_empty() || !vote.extension_signature.is_empty() {
            return Err(format!("vote {index} has an extension without a commit"));
        }
    }
    if committed * 3 <= total * 2 {
        return Err(format!(
            "votes for {committed} of power {total}, more than two thirds are needed"
        ));
    }
    verify(&signatures)
}

/// The signature over a vote's extension, with what it is over and whose it must be.
fn signature(
    vote: &ExtendedVoteInfo,
    validators: &[Validator],
    chain_id: &str,
    height: i64,
    round: i32,
) -> Result<Item, String> {
    if vote.vote_extension.len() > MAX_EXTENSION_BYTES {
        return Err(format!(
            "has an extension of {} bytes, at most {MAX_EXTENSION_BYTES}",
            vote.vote_extension.len()
        ));
    }
    let address = vote.validator.as_ref().map_or(&[][..], |validator| &validator.address[..]);
    let validator = validators
        .iter()
        .find(|validator| validator.address == address)
        .ok_or("is of no validator of this chain")?;
    let signed = CanonicalVoteExtension {
        extension: vote.vote_extension.to_vec(),
        height,
        round: i64::from(round),
        chain_id: chain_id.to_owned(),
    }
    .encode_length_delimited_to_vec();
    let signature = ed25519_consensus::Signature::try_from(&vote.extension_signature[..])
        .map_err(|_| "has no signature over its extension")?;
    Ok(Item::from((VerificationKeyBytes::from(validator.public_key), signature, &signed)))
}

/// Verifies all signatures together, which takes less than half the time. A wrong one passes with a
/// chance of 2⁻¹²⁸; the coefficients are drawn for each call, so nobody can aim at them.
fn verify(signatures: &[(usize, Item)]) -> Result<(), String> {
    let mut together = batch::Verifier::new();
    signatures.iter().for_each(|(_, item)| together.queue(item.clone()));
    if together.verify(OsRng).is_ok() {
        return Ok(());
    }
    // One by one, to name the offender.
    let wrong = signatures.iter().find(|(_, item)| item.clone().verify_single().is_err());
    wrong.map_or(Ok(()), |(index, _)| {
        Err(format!("vote {index} has a signature that is not its validator's"))
    })
}

/// Every vote of an extended commit, in its order.
pub fn ballots(commit: &ExtendedCommitInfo) -> impl Iterator<Item = PriceBallot> + '_ {
    commit.votes.iter().map(|vote| {
        let (address, power) = vote
            .validator
            .as_ref()
            .map_or((&[][..], 0), |validator| (&validator.address[..], validator.power));
        PriceBallot {
            validator: address.try_into().unwrap_or_default(),
            power: power.max(0).unsigned_abs(),
            extension: (vote.block_id_flag == BlockIdFlag::Commit as i32)
                .then(|| vote.vote_extension.to_vec()),
        }
    })
}

#[cfg(test)]
mod tests {
    use ed25519_consensus::SigningKey;
    use tendermint_proto::v0_38::abci::{Validator as AbciValidator, VoteInfo};

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
        let validator = |number: u8| Validator {
            address: [number; 20],
            public_key: key(number).verification_key().to_bytes(),
            power: 10,
        };
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
        let votes =
            vec![vote(0, b"a", HEIGHT), vote(1, b"", HEIGHT), vote(2, b"c", HEIGHT), absent];
        let proposed = votes.iter().map(|vote| VoteInfo {
            validator: vote.validator.clone(),
            block_id_flag: vote.block_id_flag,
        });
        let proposed = CommitInfo { round: 1, votes: proposed.collect() };
        (ExtendedCommitInfo { round: 1, votes }, proposed)
    }

    fn checked(
        change: impl FnOnce(&mut ExtendedCommitInfo, &mut CommitInfo),
    ) -> Result<(), String> {
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
                (0, 10, Some(b"a".to_vec())),
                (1, 10, Some(Vec::new())),
                (2, 10, Some(b"c".to_vec())),
                (3, 10, None)
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
                "blanks a vote",
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
            assert_eq!(verify(some), Ok(()));
        }
        let honest = key(1).sign(b"a report");
        items.push((500, Item::from((key(1).verification_key().into(), honest, b"a report"))));
        assert_eq!(verify(&items), Ok(()));
        items.push((501, Item::from((key(1).verification_key().into(), honest, b"another"))));
        assert_eq!(
            verify(&items),
            Err("vote 501 has a signature that is not its validator's".into())
        );
    }

    #[test]
    fn a_minority_of_power_is_not_enough() {
        let refusal = checked(|commit, proposed| {
            for vote in [0, 1] {
                commit.votes[vote] = ExtendedVoteInfo {
                    validator: commit.votes[vote].validator.clone(),
                    block_id_flag: ABSENT,
                    ..ExtendedVoteInfo::default()
                };
                proposed.votes[vote].block_id_flag = ABSENT;
            }
        });
        assert_eq!(
            refusal,
            Err("votes for 10 of power 40, more than two thirds are needed".into())
        );
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
        let mut bytes = encode(&commit);
        // A field that the message does not have: decoders skip it, the signature of the block
        // covers it.
        bytes.extend_from_slice(&[0x78, 1]);
        assert_eq!(decode(&bytes), Err("extended commit is not in its canonical form".into()));
        assert!(
            decode(b"").is_err()
                && decode(&[1, 2]).is_err()
                && decode(&vec![0; MAX_BYTES + 1]).is_err()
        );
    }
}

//! Blocks whose time lies behind the clocks of validators: nobody trades on prices of before a
//! halt, and no network stands still for it.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::RequestProcessProposal;

use super::rig::{block_ms, history, DecidedBlock, Rig, INDEX};
use super::traffic::Trade;

const SECOND: u64 = 1_000;
/// The height whose block comes late.
const HEIGHT: i64 = 3;
/// Validators of the model network, of equal power.
const PEERS: usize = 4;
/// More than two thirds of them.
const QUORUM: usize = 3;

fn accepts(rig: &Rig, request: &RequestProcessProposal) -> bool {
    rig.node.process_proposal(request.clone()).status == ProposalStatus::Accept as i32
}

/// An application that has all blocks before [`HEIGHT`].
fn before(decided: &[DecidedBlock], threads: usize) -> Rig {
    let rig = Rig::new(threads, INDEX);
    for block in decided.iter().take_while(|block| block.block.height < HEIGHT) {
        rig.node.finalize_block(block.block.clone());
        rig.node.commit();
    }
    rig
}

/// A history with an order at [`HEIGHT`].
fn with_an_order() -> Vec<DecidedBlock> {
    history(&[vec![Trade::new(0, false, 0, 5)]])
}

/// A proposal with nothing but its extended commit.
fn without_txs(request: &RequestProcessProposal) -> RequestProcessProposal {
    RequestProcessProposal { txs: request.txs[..1].to_vec(), ..request.clone() }
}

#[test]
fn rules_4_an_honest_proposer_leaves_transactions_out_of_a_block_half_a_minute_behind() {
    let decided = with_an_order();
    let block = decided.last().unwrap();
    for (behind_ms, txs) in [(0, 2), (30 * SECOND, 2), (30 * SECOND + 1, 1), (86_400_000, 1)] {
        let rig = before(&decided, 1);
        rig.clock.set(block_ms(HEIGHT) + behind_ms, 0);
        assert_eq!(rig.prepare(block.prepare.clone()).len(), txs, "{behind_ms}");
    }
}

#[test]
fn rules_4_a_validator_refuses_transactions_a_minute_behind_for_half_a_minute() {
    let decided = with_an_order();
    let request = &decided.last().unwrap().process;
    let rig = before(&decided, 1);
    let at = |second: u64| {
        rig.clock.set(block_ms(HEIGHT) + 60 * SECOND + second * SECOND, second * SECOND);
        (accepts(&rig, request), accepts(&rig, &without_txs(request)))
    };
    assert_eq!(at(0), (true, true), "60 s behind");
    assert_eq!(at(1), (false, true));
    assert_eq!(at(30), (false, true));
    assert_eq!(at(31), (true, true), "half a minute after the first refusal");
    assert_eq!(at(4_000), (true, true));
}

/// A clock that is set forth or back during the half minute does not draw it out.
#[test]
fn rules_4_the_half_minute_is_counted_by_a_clock_that_nobody_sets() {
    let decided = with_an_order();
    let request = &decided.last().unwrap().process;
    let rig = before(&decided, 1);
    let at = |wall: u64, steady: u64| {
        rig.clock.set(block_ms(HEIGHT) + wall * SECOND, steady * SECOND);
        accepts(&rig, request)
    };
    assert!(!at(1_000, 0));
    assert!(!at(70, 29));
    assert!(at(71, 30));
}

/// Blocks that could not stand anyway start no half minute.
#[test]
fn rules_4_only_a_block_that_is_right_in_all_else_starts_the_half_minute() {
    let decided = with_an_order();
    let request = &decided.last().unwrap().process;
    let rig = before(&decided, 1);
    let mut twice = request.clone();
    twice.txs.push(twice.txs[1].clone());
    let at = |second: u64, request: &RequestProcessProposal| {
        rig.clock.set(block_ms(HEIGHT) + 100 * SECOND + second * SECOND, second * SECOND);
        accepts(&rig, request)
    };
    assert!(!at(0, &twice), "one transaction twice");
    assert!(!at(40, request), "the first refusal for its time");
    assert!(at(70, request));
    assert!(!at(70, &twice));
}

/// The verdict by the letter of rules §4.7: refused while the lag is above a minute, for half a
/// minute after the first refusal.
fn verdict_by_the_letter(calls: &[(u64, u64)]) -> Vec<bool> {
    let mut first_refusal = None;
    let mut verdict = |&(behind_ms, steady_ms): &(u64, u64)| {
        if behind_ms <= 60_000 {
            return true;
        }
        let since = *first_refusal.get_or_insert(steady_ms);
        steady_ms - since >= 30_000
    };
    calls.iter().map(&mut verdict).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// ProcessProposal, determinism: at every call, on every node, a function of the block and the
    /// state. The one exception refuses transactions behind the node's clock, and lapses.
    #[test]
    fn abci_requirement_04_and_05_but_for_a_lag_that_lapses_a_block_has_one_verdict(
        calls in vec((0..200_000_u64, 0..9_000_u64), 1..20),
        other_calls in vec((0..200_000_u64, 0..9_000_u64), 1..20),
    ) {
        let decided = with_an_order();
        let request = &decided.last().unwrap().process;
        let mut twice = request.clone();
        twice.txs.push(twice.txs[1].clone());
        for (threads, calls) in [(1, calls), (3, other_calls)] {
            let rig = before(&decided, threads);
            let mut now_ms = 0;
            let calls: Vec<_> = calls.into_iter().map(|(behind_ms, step_ms)| {
                now_ms += step_ms;
                (behind_ms, now_ms)
            }).collect();
            let mut verdicts = Vec::new();
            for (behind_ms, steady_ms) in &calls {
                rig.clock.set(block_ms(HEIGHT) + behind_ms, *steady_ms);
                prop_assert!(accepts(&rig, &without_txs(request)), "no transactions, no lag");
                prop_assert!(!accepts(&rig, &twice), "twice in a block");
                verdicts.push(accepts(&rig, request));
            }
            prop_assert_eq!(verdicts, verdict_by_the_letter(&calls));
        }
    }
}

/// A validator of the model network: the real application, and the part of CometBFT 0.38's rounds
/// that decides what is asked and voted (`consensus/state.go`, `defaultDoPrevote` and
/// `enterPrecommit`).
struct Peer {
    rig: Rig,
    locked: Option<Proposal>,
    valid: Option<Proposal>,
    /// Its clock less the true time.
    skew_ms: i64,
}

type Proposal = Vec<Bytes>;

impl Peer {
    fn proposal(&self, template: &DecidedBlock) -> Proposal {
        let fresh = || self.rig.prepare(template.prepare.clone());
        self.valid.clone().unwrap_or_else(fresh)
    }

    /// A locked validator votes for its block, and the application is not asked.
    fn prevote(&self, proposal: &Proposal, template: &DecidedBlock) -> Option<Proposal> {
        let judged = || {
            let request =
                RequestProcessProposal { txs: proposal.clone(), ..template.process.clone() };
            accepts(&self.rig, &request).then(|| proposal.clone())
        };
        self.locked.clone().or_else(judged)
    }
}

/// A partition: what is so when it ends, and how the rounds go on.
#[derive(Clone, Debug)]
struct Partition {
    /// Which validators saw the polka of the first round, and are locked.
    locked: [bool; PEERS],
    /// The others saw it too late to lock, and propose its block again.
    others_know_it: bool,
    lasted_ms: u64,
    round_ms: u64,
    skews_ms: [i64; PEERS],
    first_proposer: usize,
}

impl Partition {
    fn of(lasted_ms: u64) -> Self {
        Self {
            locked: [true, true, false, false],
            others_know_it: false,
            lasted_ms,
            round_ms: 3 * SECOND,
            skews_ms: [0; PEERS],
            first_proposer: 0,
        }
    }

    /// Lets the network vote on from the partition's end: the time until a block is decided, and
    /// the block.
    fn heal(&self, rounds: u64, steady_clock_runs: bool) -> Option<(u64, Proposal)> {
        let decided = with_an_order();
        let template = decided.last().unwrap();
        let polka: Proposal = template.process.txs.clone();
        let mut peers: Vec<Peer> = (0..PEERS)
            .map(|number| {
                let locked = self.locked[number].then(|| polka.clone());
                let knows = self.locked[number] || self.others_know_it;
                let valid = knows.then(|| polka.clone());
                let rig = before(&decided, 1);
                Peer { rig, locked, valid, skew_ms: self.skews_ms[number] }
            })
            .collect();
        for round in 0..rounds {
            let since_ms = round * self.round_ms;
            for peer in &peers {
                let true_ms = block_ms(HEIGHT) + self.lasted_ms + since_ms;
                let steady_ms = if steady_clock_runs { since_ms } else { 0 };
                peer.rig.clock.set(true_ms.saturating_add_signed(peer.skew_ms), steady_ms);
            }
            let proposer = (self.first_proposer + usize::try_from(round).unwrap()) % PEERS;
            let proposal = peers[proposer].proposal(template);
            let prevotes: Vec<_> =
                peers.iter().map(|peer| peer.prevote(&proposal, template)).collect();
            let votes = |block: &Proposal| {
                prevotes.iter().filter(|vote| vote.as_ref() == Some(block)).count()
            };
            // After the partition all see all votes: with a polka all lock and precommit.
            if let Some(block) = prevotes.iter().flatten().find(|block| votes(block) >= QUORUM) {
                return Some((since_ms, block.clone()));
            }
            if prevotes.iter().filter(|vote| vote.is_none()).count() >= QUORUM {
                peers.iter_mut().for_each(|peer| peer.locked = None);
            }
        }
        None
    }
}

/// One polka, two validators locked on it and two not, two minutes without a network, an order
/// waiting.
#[test]
fn after_two_minutes_of_partition_with_two_validators_locked_on_an_order_the_chain_goes_on() {
    let (after_ms, block) = Partition::of(120 * SECOND).heal(100, true).expect("a block");
    assert_eq!(block.len(), 2, "the block that two are locked on, with its order");
    assert!((30 * SECOND..45 * SECOND).contains(&after_ms), "{after_ms} ms");

    let unlocked = Partition { locked: [false; PEERS], ..Partition::of(120 * SECOND) };
    let (after_ms, block) = unlocked.heal(100, true).expect("a block");
    assert_eq!((after_ms, block.len()), (0, 1), "nobody is locked: at once, without the order");
}

/// The reason why refusals lapse.
#[test]
fn a_verdict_that_never_lapsed_would_part_the_network_for_ever() {
    for others_know_it in [false, true] {
        let partition = Partition { others_know_it, ..Partition::of(120 * SECOND) };
        assert_eq!(partition.heal(2_000, false), None);
    }
}

fn partition() -> impl Strategy<Value = Partition> {
    let skew = || -20_000..20_000_i64;
    (
        any::<[bool; PEERS]>(),
        any::<bool>(),
        0..400_000_u64,
        1_000..12_000_u64,
        [skew(), skew(), skew(), skew()],
        0..PEERS,
    )
        .prop_map(|(locked, others_know_it, lasted_ms, round_ms, skews_ms, first_proposer)| {
            Partition { locked, others_know_it, lasted_ms, round_ms, skews_ms, first_proposer }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever is locked, whatever the clocks show, however long it took: a block is decided within
    /// the half minute, the difference of the clocks and two rounds of every proposer.
    #[test]
    fn no_partition_however_long_stops_the_chain(partition in partition()) {
        let bound_ms = 30_000 + 40_000 + 2 * 4 * partition.round_ms;
        let rounds = bound_ms / partition.round_ms + 1;
        let decided = partition.heal(rounds, true);
        prop_assert!(decided.is_some_and(|(after_ms, _)| after_ms <= bound_ms));
    }
}

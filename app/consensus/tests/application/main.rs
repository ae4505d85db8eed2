//! The application as CometBFT may drive it: a block asked for again, and requirements 1, 4, 5
//! and 9 to 13 of CometBFT's `spec/abci/abci++_app_requirements.md`.

mod bundles;
mod lag;
mod list;
mod queue;
mod replies;
mod requirements;
mod rig;
mod snapshots;
mod traffic;
mod verdicts;

use std::panic::{catch_unwind, AssertUnwindSafe};

use prost::Message as _;
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::RequestFinalizeBlock;

use rig::{history, DecidedBlock, Rig, INDEX};
use traffic::Trade;

/// A sell order and a buy order that meet, in two blocks.
fn traded() -> Vec<DecidedBlock> {
    let decided =
        history(&[vec![Trade::new(0, false, 0, 5)], vec![Trade::new(1, true, 0, 3)], Vec::new()]);
    let codes = |block: &DecidedBlock| -> Vec<u32> {
        block.answer.tx_results.iter().map(|result| result.code).collect()
    };
    assert_eq!(codes(&decided[0]), [0, 0, 0], "three deposits");
    assert_eq!(codes(&decided[3]), [0, 0], "the extended commit and an order");
    decided
}

/// An application that has the first blocks of a history.
fn after(decided: &[DecidedBlock]) -> Rig {
    let rig = Rig::new(2, INDEX);
    for block in decided {
        assert_eq!(rig.finalize(&block.block), block.answer.encode_to_vec());
        rig.node.commit();
    }
    rig.published();
    rig
}

/// The sentence with which a block stops the process.
fn refusal(rig: &Rig, block: &RequestFinalizeBlock) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| rig.finalize(block))).expect_err("it is refused");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_block_asked_for_twice_is_carried_out_and_published_once() {
    let decided = traded();
    let (once, twice) = (after(&decided[..3]), after(&decided[..3]));
    let block = &decided[3];
    let answer = once.finalize(&block.block);
    once.node.commit();
    assert_eq!(twice.finalize(&block.block), answer);
    assert_eq!(twice.finalize(&block.block), answer, "CometBFT died and asks again");
    assert_eq!(twice.published(), [0; 0], "nothing is visible before Commit");
    twice.node.commit();
    let events = once.published_events();
    assert!(events[0].contains("Fill("), "{events:?}");
    assert_eq!(twice.published_events(), events);
    assert_eq!(twice.info(), once.info());
    assert_eq!(twice.finalize(&decided[4].block), decided[4].answer.encode_to_vec());
}

/// CometBFT can have died while Commit was on its way.
#[test]
fn a_committed_block_asked_for_again_is_answered_and_not_published_again() {
    let decided = traded();
    let rig = after(&decided[..4]);
    assert_eq!(rig.finalize(&decided[3].block), decided[3].answer.encode_to_vec());
    rig.node.commit();
    rig.node.commit();
    assert_eq!(rig.published(), [0; 0]);
    assert_eq!(rig.finalize(&decided[4].block), decided[4].answer.encode_to_vec());
    rig.node.commit();
    assert_eq!(rig.published(), [5]);
}

#[test]
fn info_reports_the_last_committed_block_until_commit() {
    let decided = traded();
    let rig = after(&decided[..3]);
    let before = rig.info();
    assert_eq!(before.last_block_height, 3);
    assert_eq!(before.last_block_app_hash, decided[2].answer.app_hash);
    rig.finalize(&decided[3].block);
    assert_eq!(rig.info(), before);
    rig.node.commit();
    assert_eq!(rig.info().last_block_height, 4);
    assert_eq!(rig.info().last_block_app_hash, decided[3].answer.app_hash);
}

/// CometBFT takes height 0 for a chain that has not begun, and sends InitChain again.
#[test]
fn the_first_block_is_carried_out_anew_after_another_init_chain() {
    let decided = traded();
    let rig = Rig::new(2, INDEX);
    assert_eq!(rig.finalize(&decided[0].block), decided[0].answer.encode_to_vec());
    assert_eq!(rig.info().last_block_height, 0);
    rig.init_chain();
    for block in &decided {
        assert_eq!(rig.finalize(&block.block), block.answer.encode_to_vec());
        rig.node.commit();
    }
    assert_eq!(rig.published(), [1, 2, 3, 4, 5]);
}

#[test]
fn another_block_at_the_same_height_stops_the_process() {
    let decided = traded();
    let other = RequestFinalizeBlock { hash: vec![9; 32].into(), ..decided[3].block.clone() };
    let rig = after(&decided[..3]);
    rig.finalize(&decided[3].block);
    let before_commit = refusal(&rig, &other);
    assert!(
        before_commit.contains("sent block 4 with hash 0909")
            && before_commit.contains("does not come from CometBFT's chain"),
        "{before_commit}"
    );
    rig.node.commit();
    assert_eq!(refusal(&rig, &other), before_commit);
    assert_eq!(rig.finalize(&decided[4].block), decided[4].answer.encode_to_vec());
}

#[test]
fn a_block_out_of_sequence_stops_the_process() {
    let decided = traded();
    let rig = after(&decided[..2]);
    let skipped = refusal(&rig, &decided[3].block);
    assert!(skipped.contains("sent block 4, but this node has carried out block 2"), "{skipped}");
    let earlier = refusal(&rig, &decided[0].block);
    assert!(earlier.contains("sent block 1, but this node has carried out block 2"), "{earlier}");
    rig.finalize(&decided[2].block);
    let uncommitted = refusal(&rig, &decided[3].block);
    assert!(uncommitted.contains("block 4 before Commit of block 3"), "{uncommitted}");
    rig.node.commit();
    assert_eq!(rig.finalize(&decided[3].block), decided[3].answer.encode_to_vec());
}

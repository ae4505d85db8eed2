//! A node that starts from a snapshot goes on as the one that made it.

use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use tendermint_abci::Application as _;
use tidemark_consensus::snapshots::{Options, Snapshots};

use super::rig::{history, DecidedBlock, Rig, CHAIN, INDEX};
use super::traffic::Trade;

/// Blocks from one snapshot to the next.
const INTERVAL: u64 = 10;

fn snapshots(folder: &Path) -> Arc<Snapshots> {
    let options = Options {
        folder: folder.to_owned(),
        chain_id: CHAIN.to_owned(),
        interval: INTERVAL,
        is_archive: false,
    };
    Arc::new(Snapshots::open(options).expect("a folder"))
}

/// 28 blocks in which three traders buy and sell.
fn decided() -> Vec<DecidedBlock> {
    let trades =
        (0..26_usize).map(|at| vec![Trade::new(at % 3, at % 2 == 0, 0, 1 + at as u64 % 4)]);
    history(&trades.collect::<Vec<_>>())
}

fn carry_out(rig: &Rig, blocks: &[DecidedBlock]) {
    for block in blocks {
        let height = block.block.height;
        assert_eq!(rig.finalize(&block.block), block.answer.encode_to_vec(), "height {height}");
        rig.node.commit();
    }
}

/// A folder with the snapshots of a node that carried blocks out.
fn folder_after(blocks: &[DecidedBlock]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = Rig::new(1, INDEX);
    let made = snapshots(folder.path());
    rig.node.make_snapshots(Arc::clone(&made));
    for block in blocks {
        carry_out(&rig, std::slice::from_ref(block));
        if block.block.height as u64 % INTERVAL != 0 {
            made.wait_idle();
        }
    }
    folder
}

#[test]
fn a_node_goes_on_from_a_snapshot_with_the_same_answers() {
    let decided = decided();
    let folder = folder_after(&decided[..23]);
    let loaded = snapshots(folder.path()).load(None).expect("a snapshot");
    assert_eq!(loaded.manifest.height, 20);
    let rig = Rig::without_chain(2, INDEX);
    rig.node.resume(loaded);
    let info = rig.info();
    assert_eq!(info.last_block_height, 20);
    assert_eq!(info.last_block_app_hash, decided[19].answer.app_hash);
    carry_out(&rig, &decided[20..]);
    assert_eq!(rig.published(), (21..=decided.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_chain_that_begins_anew_puts_snapshots_aside() {
    let decided = decided();
    let folder = folder_after(&decided[..23]);
    let rig = Rig::without_chain(1, INDEX);
    rig.node.make_snapshots(snapshots(folder.path()));
    rig.init_chain();
    assert!(snapshots(folder.path()).load(None).is_none());
    carry_out(&rig, &decided[..2]);
}

//! Snapshots in a folder: written, damaged, chosen and forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::Validator;
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::types::Address;
use tidemark_proto::units::TimeMs;

use super::*;

const CHAIN: &str = "tidemark-snapshots-1";
/// Blocks from one snapshot to the next.
const INTERVAL: u64 = 10;

fn state() -> State {
    let admin = Address([7; 20]).to_string();
    let market = MarketParams::with_defaults("ONE-USD", 1_000_000_000, 1_000_000, 20);
    let genesis = Genesis {
        params: ChainParams::default(),
        markets: vec![market],
        admin: admin.clone(),
        minters: vec![admin],
        insurance_atoms: 1_000_000,
    };
    let validators = vec![Validator::new([1; 20], [1; 32], 10)];
    State::genesis(&genesis, CHAIN, TimeMs::new(1_760_000_000_000), validators).unwrap()
}

/// A state after a block of nothing.
fn at(state: &mut State, height: u64) {
    state.chain.height = height;
    state.rehash();
}

fn open_chain(folder: &TempDir, chain_id: &str) -> Snapshots {
    let options = Options {
        folder: folder.path().to_owned(),
        chain_id: chain_id.to_owned(),
        interval: INTERVAL,
        is_archive: false,
    };
    Snapshots::open(options).unwrap()
}

fn open(folder: &TempDir) -> Snapshots {
    open_chain(folder, CHAIN)
}

/// A folder after blocks 1 to `blocks`, each confirmed by the next.
fn folder_after(blocks: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, mut state) = (open(&folder), state());
    for height in 1..=blocks {
        snapshots.confirm(height - 1);
        snapshots.wait_idle();
        at(&mut state, height);
        snapshots.committed(&state, &ConsensusParams::default(), 0);
    }
    folder
}

fn loaded_height(folder: &TempDir) -> Option<u64> {
    open(folder).load(None).map(|loaded| loaded.state.chain.height)
}

fn files(folder: &TempDir, height: u64) -> Vec<PathBuf> {
    let folder = folder.path().join(format!("{height:020}"));
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_last_three_are_kept_and_the_newest_is_loaded() {
    let folder = folder_after(45);
    assert_eq!(open(&folder).shared.store.heights(), [20, 30, 40]);
    let loaded = open(&folder).load(None).unwrap();
    let mut expected = state();
    at(&mut expected, 40);
    assert_eq!(loaded.state.app_hash, expected.app_hash);
    assert_eq!(loaded.manifest.hash(), Ok(expected.app_hash));
}

#[test]
fn one_counts_once_the_next_block_has_come() {
    let folder = folder_after(10);
    assert_eq!(loaded_height(&folder), None, "no header carries its app hash yet");
    assert_eq!(loaded_height(&folder_after(11)), Some(10));
}

#[test]
fn a_flipped_byte_a_cut_and_a_lost_file_are_found_and_the_one_before_is_used() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 3] = [
        ("flipped", |path| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
            fs::write(path, bytes).unwrap();
        }),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("lost", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, damage) in damage {
        for file in 0..2 {
            let folder = folder_after(31);
            let files = files(&folder, 30);
            assert_eq!(files.len(), 2, "a manifest and a chunk");
            damage(&files[file]);
            let snapshots = open(&folder);
            let height = snapshots.load(None).map(|loaded| loaded.state.chain.height);
            assert_eq!((height, snapshots.stats().damaged), (Some(20), 1), "{what}");
            assert_eq!(snapshots.shared.store.heights(), [10, 20], "{what}");
        }
    }
}

#[test]
fn every_byte_of_a_manifest_counts() {
    let folder = folder_after(11);
    let path = folder.path().join(format!("{:020}", 10)).join(MANIFEST_FILE);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(Manifest::from_file(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn one_that_the_event_log_reaches_is_preferred() {
    let folder = folder_after(31);
    let height = |reaches| open(&folder).load(reaches).map(|loaded| loaded.manifest.height);
    assert_eq!(height(Some(29)), Some(20));
    assert_eq!(height(Some(30)), Some(30));
    assert_eq!(height(Some(3)), Some(30), "the log reaches none: the newest");
}

#[test]
fn another_chain_s_is_not_loaded() {
    let folder = folder_after(11);
    assert!(open_chain(&folder, "another-1").load(None).is_none());
}

#[test]
fn a_chain_that_begins_anew_meets_none_of_them() {
    let folder = folder_after(21);
    open(&folder).put_aside();
    assert_eq!(loaded_height(&folder), None);
}

#[test]
fn what_a_crash_left_half_written_is_gone_after_the_next_start() {
    let folder = folder_after(11);
    let half = folder.path().join(format!("writing-{:020}", 20));
    fs::create_dir(&half).unwrap();
    fs::write(half.join("00000.chunk"), "half").unwrap();
    assert_eq!((loaded_height(&folder), half.exists()), (Some(10), false));
}

#[test]
fn blocks_are_pruned_behind_the_oldest_snapshot() {
    let folder = folder_after(45);
    let (snapshots, mut state) = (open(&folder), state());
    let mut params = ConsensusParams::default();
    at(&mut state, 46);
    assert_eq!(snapshots.committed(&state, &params, 0), 0, "evidence never ends");
    params.evidence = Some(tendermint_proto::v0_38::types::EvidenceParams {
        max_age_num_blocks: 5,
        ..Default::default()
    });
    assert_eq!(snapshots.committed(&state, &params, 0), 0, "a thousand blocks stay");
    assert_eq!(snapshots.stats().retain_height, 0);
}

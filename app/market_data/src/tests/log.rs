//! The event log behind the replica: what left memory is read from it, and a replay mends it.

use std::path::Path;

use tidemark_engine::outcome::OperationResult;
use tidemark_engine::refusal::Refusal;
use tidemark_event_log::Options;
use tidemark_proto::types::{Address, TxHash, TxNumber};

use crate::history::Block;

use super::*;

const SIGNER: Address = Address([3; 20]);

fn open(folder: &Path) -> Arc<MarketData> {
    // Blocks of these tests are of 1970.
    let options = Options { max_age_ms: u64::MAX, ..Options::of_chain("test-1") };
    MarketData::with_log(EventLog::open(folder, options).unwrap()).unwrap()
}

/// Waits until the log has a height.
fn written(data: &MarketData, height: u64) {
    let log = &data.log.as_ref().unwrap().state.log;
    for _ in 0..1_000 {
        if log.held().is_some_and(|held| *held.end() >= height) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("block {height} is not in the log: {:?}", log.held());
}

fn hash(height: u64, position: u8) -> TxHash {
    let mut hash = [position; 32];
    hash[..8].copy_from_slice(&height.to_le_bytes());
    hash
}

fn tx(hash: TxHash, used_sequence: Option<u64>, code: Code) -> TxOutcome {
    let refused = tidemark_proto::Refusal::new(code, format!("because of {code}"));
    let refusal = (code != Code::Ok).then(|| Box::new(Refusal::from(refused)));
    let result = OperationResult { filled_lots: Lots::new(4), ..OperationResult::default() };
    TxOutcome {
        hash,
        signer: Some(SIGNER),
        used_sequence,
        refusal,
        results: vec![result; 2],
        ..TxOutcome::default()
    }
}

fn number(owner: Address, number: u64) -> TxNumber {
    TxNumber { owner, agent: None, number }
}

/// Blocks with a trade and two transactions each, the second one refused without a sequence.
fn run(chain: &mut Chain, data: &MarketData, blocks: u64) -> Vec<Block> {
    let run_one = |_| {
        let mut host = Recorder::default();
        chain.run(&place(ONE, true, 100, 5), &mut host);
        chain.run(&place(TWO, false, 100, 3), &mut host);
        let height = chain.height + 1;
        let txs = vec![
            tx(hash(height, 0), Some(height), Code::Ok),
            tx(hash(height, 1), None, Code::SequenceGap),
        ];
        data.apply(&chain.publish(host.0, txs));
        let block = data.recent(height).unwrap().unwrap();
        logged::decode(&logged::encode(&block).payload).unwrap()
    };
    (0..blocks).map(run_one).collect()
}

fn told(block: &Block) -> Vec<u8> {
    logged::encode(block).encode()
}

#[tokio::test]
async fn readers_begin_at_any_block_of_the_log_and_go_on_into_the_ring() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut blocks = {
        let data = open(folder.path());
        let blocks = run(&mut chain, &data, 5);
        written(&data, 5);
        blocks
    };
    let data = reopened(folder.path());
    blocks.extend(run(&mut chain, &data, 2));
    written(&data, 7);
    assert_eq!(data.held(), Held { oldest: 1, newest: 7 });
    for from in 1..=7 {
        let mut reader = data.reader_since(from).unwrap();
        for block in &blocks[usize::try_from(from).unwrap() - 1..] {
            assert_eq!(told(&reader.next().await.unwrap().unwrap()), told(block));
        }
    }
    assert!(matches!(data.reader_since(0), Err(OutOfRange::Before(_))));
    assert!(data.reader_since(8).is_ok(), "the next block is waited for");
    assert!(matches!(data.reader_since(9), Err(OutOfRange::Beyond(_))));
}

/// Opens the log again, once its last writer has let it go.
fn reopened(folder: &Path) -> Arc<MarketData> {
    for _ in 0..300 {
        let options = Options { max_age_ms: u64::MAX, ..Options::of_chain("test-1") };
        if let Ok(log) = EventLog::open(folder, options) {
            return MarketData::with_log(log).unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the log stays in use");
}

#[tokio::test]
async fn answers_that_left_memory_are_found_by_identity_and_by_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    {
        let data = open(folder.path());
        run(&mut chain, &data, 5);
        written(&data, 5);
    }
    let data = reopened(folder.path());
    let found = data.answer(&hash(2, 0)).await.unwrap();
    assert_eq!((found.height, found.code(), found.results().len()), (2, Code::Ok, 2));
    assert_eq!(found.results()[1].filled_lots, 4);
    let refused = data.answer(&hash(2, 1)).await.unwrap();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::SequenceGap, "because of SEQUENCE_GAP".to_owned())
    );
    let used = data.answer_of(number(SIGNER, 4)).await.unwrap();
    assert_eq!((used.hash(), used.number()), (hash(4, 0), Some(number(SIGNER, 4))));
    assert!(data.answer(&hash(2, 2)).await.is_none());
    assert!(data.answer_of(number(SIGNER, 9)).await.is_none());
    assert!(data.answer_of(number(Address([4; 20]), 4)).await.is_none());
}

#[tokio::test]
async fn the_first_answer_stands_beside_a_replay_of_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    {
        let data = open(folder.path());
        data.apply(&chain.publish(Vec::new(), vec![tx([8; 32], Some(1), Code::Ok)]));
        let again = vec![tx([8; 32], None, Code::SequenceReplayed)];
        data.apply(&chain.publish(Vec::new(), again));
        let known = data.answer(&[8; 32]).await.unwrap();
        assert_eq!((known.height, known.code()), (1, Code::Ok), "from memory");
        written(&data, 2);
    }
    let found = reopened(folder.path()).answer(&[8; 32]).await.unwrap();
    assert_eq!((found.height, found.code()), (1, Code::Ok), "from the log");
}

#[test]
fn a_replay_of_the_same_blocks_changes_nothing_and_one_of_others_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    {
        let data = open(folder.path());
        run(&mut Chain::new(), &data, 4);
        written(&data, 4);
    }
    {
        let data = reopened(folder.path());
        run(&mut Chain::new(), &data, 5);
        written(&data, 5);
        assert_eq!(data.log_counts().unwrap().0, LogCounts::default());
    }
    let (data, mut chain) = (reopened(folder.path()), Chain::new());
    data.apply(&chain.publish(Vec::new(), Vec::new()));
    for _ in 0..300 {
        if data.log_counts().unwrap().0.differences == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?}", data.log_counts());
}

#[test]
fn a_replay_waits_for_the_writer_so_that_the_ring_does_not_pass_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, mut chain) = (open(folder.path()), Chain::new());
    for _ in 0..12_000 {
        let mut block = chain.publish(Vec::new(), Vec::new());
        block.is_replayed = true;
        data.apply(&block);
    }
    written(&data, 12_000);
    assert_eq!(data.held(), Held { oldest: 1, newest: 12_000 });
    assert_eq!(data.log_counts().unwrap().0, LogCounts::default());
}

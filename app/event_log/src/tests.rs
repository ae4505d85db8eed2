//! The log against crashes at any byte, wrong bytes anywhere, gaps, and its bounds.

use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{identity_digest, Key};
use super::*;

const NOW_MS: u64 = 1_000_000_000;

fn options() -> Options {
    Options { segment_bytes: 1_000, ..Options::of_chain("test-1") }
}

fn open(folder: &TempDir) -> Arc<EventLog> {
    EventLog::open(folder.path(), options()).unwrap()
}

fn identity(height: u64, position: u32) -> Hash {
    let mut identity = [0; 32];
    identity[..8].copy_from_slice(&height.to_le_bytes());
    identity[8..12].copy_from_slice(&position.to_le_bytes());
    identity
}

/// A block with three answers and a payload of its own.
fn body(height: u64) -> Body {
    let key = |position| Key { digest: identity_digest(&identity(height, position)), position };
    let length = usize::try_from(height * 7 % 60).unwrap();
    let payload = height.to_le_bytes().into_iter().cycle().take(length).collect();
    Body { time_ms: NOW_MS, keys: (0..3).map(key).collect(), payload }
}

fn write(log: &EventLog, heights: RangeInclusive<u64>) -> Vec<Appended> {
    heights.map(|height| log.append(height, &body(height), NOW_MS).unwrap()).collect()
}

/// The names and bytes of all segments.
fn files(folder: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = segment::list(folder.path()).unwrap();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn remove_indexes(folder: &TempDir) {
    for (path, _) in files(folder) {
        let _ = fs::remove_file(path.with_extension("idx"));
    }
}

#[test]
fn blocks_and_answers_are_found_by_height_and_by_digest_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    assert_eq!(log.held(), None);
    write(&log, 5..=60);
    for log in [log, open_again(&folder), {
        remove_indexes(&folder);
        open_again(&folder)
    }] {
        assert_eq!(log.held(), Some(5..=60));
        assert!(files(&folder).len() > 5, "several segments");
        for height in 5..=60 {
            assert_eq!(log.read(height).unwrap(), Some(body(height)));
            for position in 0..3 {
                let digest = identity_digest(&identity(height, position));
                assert_eq!(log.find(digest, 9).unwrap(), [Place { height, position }]);
            }
        }
        assert_eq!((log.read(4).unwrap(), log.read(61).unwrap()), (None, None));
        assert_eq!(log.find(identity_digest(&[9; 32]), 9).unwrap(), []);
    }
}

/// The log anew, once whoever had it has let it go.
fn open_again(folder: &TempDir) -> Arc<EventLog> {
    // Each lives in the loop's array: the lock is for other processes.
    let _ = fs::remove_file(folder.path().join("LOCK"));
    open(folder)
}

#[test]
fn a_crash_at_any_byte_leaves_whole_records_and_replay_writes_the_rest_anew() {
    let folder = tempfile::tempdir().unwrap();
    let whole = {
        let log = EventLog::open(folder.path(), Options::of_chain("test-1")).unwrap();
        write(&log, 1..=6);
        files(&folder)
    };
    let [(path, bytes)] = &whole[..] else { panic!("one segment") };
    for length in 0..bytes.len() {
        fs::write(path, &bytes[..length]).unwrap();
        let log = EventLog::open(folder.path(), Options::of_chain("test-1")).unwrap();
        let held = log.held().map_or(0, |held| *held.end());
        for height in 1..=6 {
            let expected = (height <= held).then(|| body(height));
            assert_eq!(log.read(height).unwrap(), expected, "cut at byte {length}");
        }
        let again = write(&log, 1..=6);
        let split = usize::try_from(held).unwrap();
        assert!(again[..split].iter().all(|became| *became == Appended::Same));
        assert!(again[split..].iter().all(|became| *became == Appended::Written));
        assert_eq!(files(&folder), whole, "cut at byte {length}");
    }
}

#[test]
fn a_wrong_byte_anywhere_in_a_segment_is_never_read_as_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = {
        let log = EventLog::open(folder.path(), Options::of_chain("test-1")).unwrap();
        write(&log, 1..=5);
        files(&folder).remove(0)
    };
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (at % 8);
        fs::write(&path, &wrong).unwrap();
        match EventLog::open(folder.path(), Options::of_chain("test-1")) {
            Ok(log) => {
                let read: Vec<_> = (1..=5).map(|height| log.read(height).unwrap()).collect();
                let good = read.iter().take_while(|body| body.is_some()).count();
                assert!(good < 5, "byte {at} was not noticed");
                for (height, read) in (1..=5).zip(read) {
                    assert!(read.is_none() || read == Some(body(height)), "byte {at}");
                }
                write(&log, 1..=5);
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "byte {at} is mended by a replay");
    }
}

#[test]
fn a_wrong_byte_in_a_sealed_segment_is_told_and_mended_by_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    write(&log, 1..=40);
    let (path, bytes) = files(&folder).remove(1);
    let middle = log.segment_of(10).unwrap().summary();
    assert!(path.ends_with(format!("{:020}.log", middle.first_height)));
    let mut wrong = bytes;
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(&path, wrong).unwrap();
    let last = middle.end() - 1;
    assert!(matches!(log.read(last), Err(LogError::Broken(height)) if height == last));
    assert_eq!(log.read(last - 1).unwrap(), Some(body(last - 1)));
    let again = write(&log, 1..=40);
    let written = again.iter().filter(|became| **became == Appended::Written).count();
    assert_eq!((written, log.held()), (1, Some(1..=40)));
    assert_eq!(log.read(last).unwrap(), Some(body(last)));
    assert_eq!(write(&log, 41..=42), [Appended::Written; 2]);
}

#[test]
fn a_wrong_byte_anywhere_in_an_index_loses_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    drop({
        let log = open(&folder);
        write(&log, 1..=12);
        log
    });
    let index = files(&folder)[0].0.with_extension("idx");
    let bytes = fs::read(&index).unwrap();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x40;
        fs::write(&index, &wrong).unwrap();
        let log = open(&folder);
        for position in 0..3 {
            let digest = identity_digest(&identity(2, position));
            assert_eq!(log.find(digest, 9).unwrap(), [Place { height: 2, position }], "byte {at}");
        }
        match log.read(2) {
            Ok(read) => assert_eq!(read, Some(body(2)), "byte {at}"),
            Err(LogError::Broken(2) | LogError::Io { .. }) => {
                write(&log, 1..=12);
                assert_eq!(log.read(2).unwrap(), Some(body(2)), "byte {at}");
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn a_replayed_block_must_have_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    write(&log, 1..=30);
    assert!(write(&log, 1..=30).iter().all(|became| *became == Appended::Same));
    let other = Body { payload: vec![1], ..body(7) };
    assert_eq!(log.append(7, &other, NOW_MS).unwrap(), Appended::Differs);
    assert_eq!(log.read(7).unwrap(), Some(body(7)), "the first stands");
}

#[test]
fn a_gap_is_told_and_filled_by_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    {
        let log = open(&folder);
        write(&log, 1..=10);
        write(&log, 21..=30);
        assert_eq!(log.held(), Some(21..=30));
        assert_eq!(log.read(5).unwrap(), Some(body(5)), "what is before the gap is not lost");
    }
    let log = open(&folder);
    let again = write(&log, 1..=31);
    let written = again.iter().filter(|became| **became == Appended::Written).count();
    assert_eq!((written, log.held()), (11, Some(1..=31)));
}

#[test]
fn the_oldest_segments_go_by_size_and_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let bounded = Options { max_bytes: 6_000, max_age_ms: 1_000, ..options() };
    let log = EventLog::open(folder.path(), bounded).unwrap();
    write(&log, 1..=200);
    assert!(log.disk_bytes() <= 6_000, "{}", log.disk_bytes());
    let first = *log.held().unwrap().start();
    assert!(first > 150 && *log.held().unwrap().end() == 200);
    assert_eq!(log.append(first - 1, &body(first - 1), NOW_MS).unwrap(), Appended::TooOld);
    let late = Body { time_ms: NOW_MS + 2_000, ..body(201) };
    log.append(201, &late, NOW_MS + 2_000).unwrap();
    assert!(*log.held().unwrap().start() > first);
    assert_eq!(files(&folder).len(), 1, "only the growing segment is younger than its bound");
}

#[test]
fn a_block_beyond_the_age_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    let week_ms = 7 * 24 * 3_600_000;
    assert_eq!(log.append(1, &body(1), NOW_MS + week_ms + 1).unwrap(), Appended::TooOld);
    assert_eq!(log.append(2, &body(2), NOW_MS + week_ms).unwrap(), Appended::Written);
}

#[test]
fn another_chain_and_another_process_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    write(&log, 1..=1);
    assert!(matches!(EventLog::open(folder.path(), options()), Err(LogError::InUse(_))));
    drop(log);
    let other = Options::of_chain("test-2");
    let refused = EventLog::open(folder.path(), other).unwrap_err();
    assert!(matches!(refused, LogError::OtherChain { .. }), "{refused}");
}

#[test]
fn of_many_answers_of_one_digest_the_newest_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    for height in 1..=40 {
        let keys = (0..20).map(|position| Key { digest: 5, position }).collect();
        log.append(height, &Body { keys, ..body(height) }, NOW_MS).unwrap();
    }
    let found = log.find(5, 25).unwrap();
    let expected =
        (0..25).map(|at: u32| Place { height: 40 - u64::from(at / 20), position: 19 - at % 20 });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// A step of a node's life.
#[derive(Clone, Debug)]
enum Step {
    /// So many blocks are appended.
    Blocks(u64),
    /// So many blocks are missed.
    Missed(u64),
    /// The process is killed, with this many bytes of the newest segment torn off, and replays.
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..12).prop_map(Step::Blocks),
        1 => (1_u64..6).prop_map(Step::Missed),
        2 => (0_u64..400).prop_map(Step::Crash),
    ]
}

proptest! {
    // Each case syncs dozens of files.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_every_replay_the_log_is_whole(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, mut head) = (Some(open(&folder)), 0);
        for step in steps {
            match step {
                Step::Blocks(count) => {
                    write(log.as_ref().unwrap(), head + 1..=head + count);
                    head += count;
                }
                Step::Missed(count) => head += count,
                Step::Crash(torn) => {
                    drop(log.take());
                    if let Some((path, bytes)) = files(&folder).pop() {
                        let left = bytes.len().saturating_sub(usize::try_from(torn).unwrap());
                        fs::write(path, &bytes[..left]).unwrap();
                    }
                    let again = open(&folder);
                    // Below its first block a log is not extended.
                    let first = again.segments().keys().next().copied().unwrap_or(1);
                    write(&again, 1..=head);
                    prop_assert_eq!(again.held(), (head > 0).then_some(first..=head));
                    for height in first..=head {
                        prop_assert_eq!(again.read(height).unwrap(), Some(body(height)));
                        let digest = identity_digest(&identity(height, 1));
                        let place = Place { height, position: 1 };
                        prop_assert_eq!(again.find(digest, 2).unwrap(), [place]);
                    }
                    log = Some(again);
                }
            }
        }
    }
}

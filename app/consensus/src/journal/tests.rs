use super::*;

fn tx(number: u8, length: usize) -> Vec<u8> {
    vec![number; length]
}

fn recovered(folder: &Path) -> Vec<(u8, u64, u64)> {
    let (_, recovered) = Journal::open(folder).unwrap();
    recovered.iter().map(|tx| (tx.bytes[0], tx.last_height, tx.accepted_height)).collect()
}

#[test]
fn what_was_accepted_and_has_not_ended_is_there_after_a_restart_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, before) = Journal::open(folder.path()).unwrap();
    assert_eq!(before, []);
    for number in [3, 1, 2] {
        journal.accept(&tx(number, 100), 60, 10).unwrap();
    }
    journal.end(Sha256::digest(tx(1, 100)).into()).unwrap();
    // The process ends without a word: nothing is synced, and everything is there.
    std::mem::forget(journal);
    assert_eq!(recovered(folder.path()), [(3, 60, 10), (2, 60, 10)]);
    assert_eq!(recovered(folder.path()), [(3, 60, 10), (2, 60, 10)], "and after another");
}

#[test]
fn a_segment_torn_at_any_byte_gives_what_is_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    for number in 1..=3 {
        journal.accept(&tx(number, 20), 60, 10).unwrap();
    }
    drop(journal);
    let path = folder.path().join("accepted-0000000000000000.journal");
    let whole = fs::read(&path).unwrap();
    let record = whole.len() / 3;
    for length in 0..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(path.file_name().unwrap()), &whole[..length]).unwrap();
        let numbers: Vec<u8> = recovered(folder.path()).iter().map(|it| it.0).collect();
        assert_eq!(numbers, (1..=3).take(length / record).collect::<Vec<u8>>(), "{length}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(path.file_name().unwrap()), &flipped).unwrap();
        assert!(recovered(folder.path()).len() <= at / record, "byte {at}");
    }
}

#[test]
fn segments_go_when_nothing_in_them_can_be_in_a_block_and_bytes_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { segment: 1_000, all: 10_000 };
    let (journal, _) = Journal::open_with(folder.path(), bounds).unwrap();
    let mut accepted = 0;
    while journal.accept(&tx(1, 475), 60 + accepted, 10).is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 10_000 / 500);
    journal.committed(60).unwrap();
    assert!(journal.accept(&tx(2, 475), 600, 10).is_err(), "each segment has two");
    journal.committed(61).unwrap();
    journal.accept(&tx(2, 475), 600, 10).unwrap();
    journal.committed(100).unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files(), 1, "the current one");
    assert_eq!(recovered(folder.path()), [(2, 600, 10)]);
}

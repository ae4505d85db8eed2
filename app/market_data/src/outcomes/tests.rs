use tidemark_consensus::queue::DropReason;
use tidemark_engine::outcome::OperationResult;
use tidemark_engine::refusal::Refusal;

use super::*;
use crate::tests::tx;

fn waiter(outcomes: &Arc<Outcomes>, hash: u8) -> Waiter {
    outcomes.wait(&tx(hash, hash, 0, 0)).unwrap()
}

fn used(hash: u8, signer: u8, sequence: u64) -> TxOutcome {
    let signer = Some(Address([signer; 20]));
    TxOutcome { signer, used_sequence: Some(sequence), ..outcome(hash, Code::Ok) }
}

fn outcome(hash: u8, code: Code) -> TxOutcome {
    let results = vec![OperationResult::default(); 2];
    let refusal =
        (code != Code::Ok).then(|| Box::new(Refusal::from(tidemark_proto::Refusal::new(code, ""))));
    TxOutcome { hash: [hash; 32], refusal, results, ..TxOutcome::default() }
}

fn block(height: u64, txs: Vec<TxOutcome>) -> Vec<Arc<CommittedTx>> {
    txs.into_iter().map(|tx| Arc::new(CommittedTx::new(height, tx))).collect()
}

#[tokio::test]
async fn all_who_wait_get_the_outcome_and_nothing_is_left_behind() {
    let outcomes = Arc::new(Outcomes::default());
    let (one, two) = (waiter(&outcomes, 1), waiter(&outcomes, 1));
    let other = waiter(&outcomes, 2);
    let gone = waiter(&outcomes, 1);
    assert_eq!(outcomes.waiting(), 4);
    drop(gone);
    assert_eq!(outcomes.waiting(), 3);
    outcomes.resolve(7, &block(7, vec![outcome(1, Code::Ok)]));
    assert_eq!(one.await.unwrap().unwrap().height, 7);
    assert_eq!(two.await.unwrap().unwrap().results().len(), 2);
    assert_eq!(outcomes.waiting(), 1);
    drop(other);
    assert_eq!(outcomes.waiting(), 0);
    let inner = outcomes.lock();
    assert!(inner.waiting.is_empty() && inner.rivals.is_empty() && inner.timeouts.is_empty());
}

#[tokio::test]
async fn each_hears_its_own_outcome_in_whatever_order_a_block_lists_the_sequences() {
    let outcomes = Arc::new(Outcomes::default());
    let first = outcomes.wait(&tx(1, 9, 5, 0)).unwrap();
    let second = outcomes.wait(&tx(2, 9, 6, 0)).unwrap();
    outcomes.resolve(77, &block(77, vec![used(2, 9, 6), used(1, 9, 5)]));
    assert_eq!(first.await.unwrap().unwrap().height, 77);
    assert_eq!(second.await.unwrap().unwrap().height, 77);
}

#[tokio::test]
async fn who_loses_a_sequence_hears_it_with_the_block_that_decides() {
    let outcomes = Arc::new(Outcomes::default());
    let lost = outcomes.wait(&tx(1, 9, 5, 0)).unwrap();
    let passed_over = outcomes.wait(&tx(2, 9, 4, 0)).unwrap();
    let later = outcomes.wait(&tx(3, 9, 6, 0)).unwrap();
    let of_another = outcomes.wait(&tx(4, 8, 5, 0)).unwrap();
    outcomes.resolve(77, &block(77, vec![used(7, 9, 5)]));
    let refusal = lost.await.unwrap().unwrap_err();
    let winner = "07".repeat(32);
    assert_eq!(refusal.code, Code::SequenceReplayed);
    assert_eq!(
        refusal.message,
        format!("sequence 5, the account is at 6; transaction {winner} in block 77 used it up")
    );
    let refusal = passed_over.await.unwrap().unwrap_err();
    assert_eq!(refusal.message, "sequence 4, the account is at 6");
    assert_eq!(outcomes.waiting(), 2, "the others wait on");
    drop((later, of_another));
}

#[tokio::test]
async fn who_is_too_late_hears_it_with_the_last_block_that_could_have_it() {
    let outcomes = Arc::new(Outcomes::default());
    let late = outcomes.wait(&tx(1, 9, 5, 10)).unwrap();
    let in_time = outcomes.wait(&tx(2, 8, 5, 10)).unwrap();
    let endless = outcomes.wait(&tx(3, 7, 5, 0)).unwrap();
    outcomes.resolve(9, &[]);
    assert_eq!(outcomes.waiting(), 3);
    outcomes.resolve(10, &block(10, vec![used(2, 8, 5)]));
    assert_eq!(in_time.await.unwrap().unwrap().height, 10);
    let refusal = late.await.unwrap().unwrap_err();
    assert_eq!(refusal.code, Code::TxExpired);
    assert_eq!(refusal.message, "timeout height 10, the next block is 11");
    assert_eq!(outcomes.waiting(), 1);
    drop(endless);
}

fn dropped(tx: &DecodedTx, why: DropReason) -> Dropped {
    Dropped {
        hash: tx.hash,
        number: tx.number(),
        timeout_height: tx.timeout_height,
        height: 8,
        next_free: 5,
        why,
    }
}

#[tokio::test]
async fn who_waits_for_what_the_node_drops_hears_it_at_once_and_who_lost_a_sequence_who_won() {
    let outcomes = Arc::new(Outcomes::default());
    let (old, lost) = (tx(1, 9, 5, 60), tx(2, 9, 6, 0));
    let (waits, waits_too) = (outcomes.wait(&old).unwrap(), outcomes.wait(&lost).unwrap());
    let replayed = tidemark_proto::Refusal::new(Code::SequenceReplayed, "replayed");
    DropSink::dropped(
        &*outcomes,
        vec![
            dropped(&old, DropReason::Lifetime),
            dropped(&lost, DropReason::Refused(replayed.clone())),
        ],
    );
    let refusal = waits.await.unwrap().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "TX_DROPPED: this node dropped it at block 8: it has waited for 50 blocks; another node \
         may have it, up to block 60 or the use of sequence 5; the next free sequence is 5"
    );
    assert_eq!(outcomes.waiting(), 1);
    outcomes.resolve(9, &block(9, vec![used(7, 9, 6)]));
    let refusal = waits_too.await.unwrap().unwrap_err();
    assert!(refusal.message.ends_with("in block 9 used it up"), "{refusal}");
    assert_eq!(outcomes.dropped(&old.hash).unwrap().why, DropReason::Lifetime);
    assert_eq!(outcomes.dropped_with(&lost.number()).unwrap().hash, lost.hash);
    assert_eq!(outcomes.dropped(&[3; 32]), None);
}

#[tokio::test]
async fn two_agents_and_the_owner_use_one_number_each_for_itself() {
    let outcomes = Arc::new(Outcomes::default());
    let agent = |key: u8| Some(AgentKey::Ed25519([key; 32]));
    let by = |hash, key| DecodedTx { agent: agent(key), ..tx(hash, 9, 500, 0) };
    let (lost, other) = (outcomes.wait(&by(1, 1)).unwrap(), outcomes.wait(&by(2, 2)).unwrap());
    let earlier = DecodedTx { sequence: 499, ..by(3, 1) };
    let earlier = outcomes.wait(&earlier).unwrap();
    let winner = TxOutcome { agent: agent(1), ..used(7, 9, 500) };
    outcomes.resolve(77, &block(77, vec![winner, used(8, 9, 500)]));
    let refusal = lost.await.unwrap().unwrap_err();
    assert_eq!(refusal.code, Code::NonceUsed);
    assert!(refusal.message.ends_with("in block 77 used it up"), "{refusal}");
    assert_eq!(outcomes.waiting(), 2, "another agent's, and a nonce before it");
    assert_eq!(outcomes.known_by_number(&by(1, 1).number()).unwrap().hash(), [7; 32]);
    assert!(outcomes.known_by_number(&by(2, 2).number()).is_none());
    drop((other, earlier));
}

#[test]
fn the_first_outcome_of_the_same_bytes_stands() {
    let outcomes = Arc::new(Outcomes::default());
    outcomes.resolve(1, &block(1, vec![outcome(1, Code::SequenceGap)]));
    outcomes.resolve(2, &block(2, vec![outcome(1, Code::Ok)]));
    assert_eq!(
        outcomes.known(&[1; 32]).unwrap().height,
        2,
        "a refusal that used up no sequence may be tried again"
    );
    outcomes.resolve(3, &block(3, vec![outcome(1, Code::SequenceReplayed)]));
    assert_eq!(outcomes.known(&[1; 32]).unwrap().code(), Code::Ok);
    assert!(outcomes.known(&[2; 32]).is_none());
}

#[test]
fn a_refusal_has_its_sentence_for_whoever_asks() {
    let outcomes = Arc::new(Outcomes::default());
    let gap = Refusal::from(tidemark_proto::Refusal::new(Code::SequenceGap, "next is 3"));
    let refused = |hash| TxOutcome {
        hash: [hash; 32],
        refusal: Some(Box::new(gap.clone())),
        results: vec![OperationResult {
            refusal: Some(Box::new(gap.clone())),
            ..OperationResult::default()
        }],
        ..TxOutcome::default()
    };
    outcomes.resolve(1, &block(1, vec![refused(1)]));
    let known = outcomes.known(&[1; 32]).unwrap();
    assert_eq!((known.code(), known.message()), (Code::SequenceGap, "next is 3".to_owned()));
    assert_eq!(known.results()[0].message, "next is 3");
}

#[test]
fn memory_is_bounded_by_transactions_and_by_results() {
    let outcomes = Arc::new(Outcomes::default());
    for number in 0..MAX_KNOWN + 10 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        outcomes.resolve(
            1,
            &block(1, vec![TxOutcome { hash, results: Vec::new(), ..outcome(0, Code::Ok) }]),
        );
    }
    let big = TxOutcome {
        results: vec![OperationResult::default(); MAX_RESULTS],
        ..outcome(255, Code::Ok)
    };
    assert_eq!(outcomes.lock().known.len(), MAX_KNOWN);
    outcomes.resolve(2, &block(2, vec![outcome(254, Code::Ok), big]));
    let inner = outcomes.lock();
    assert_eq!((inner.known.len(), inner.order.len(), inner.results), (1, 1, MAX_RESULTS));
}

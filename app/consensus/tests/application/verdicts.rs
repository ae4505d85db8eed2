//! ProcessProposal's verdict, and the order of its checks: whatever is cheap comes before
//! signatures, and the verdict is the same.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::RequestProcessProposal;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::admission;

use super::after;
use super::rig::{history, Rig, CHAIN};
use super::traffic::Trade;

fn accepts(rig: &Rig, request: &RequestProcessProposal) -> bool {
    rig.node.process_proposal(request.clone()).status == ProposalStatus::Accept as i32
}

/// Every transaction verified first, then admitted.
fn accepts_by_the_letter(rig: &Rig, request: &RequestProcessProposal) -> bool {
    let view = rig.publisher.view();
    let cache = TxCache::new(CHAIN);
    cache.begin(view.signing_domain());
    let checked = request.txs[1..].iter().map(|tx| cache.check(tx, view.max_tx_bytes()));
    let Ok(txs) = checked.collect::<Result<Vec<_>, _>>() else { return false };
    let all = txs.iter().map(AsRef::as_ref).enumerate();
    let before = view.before_next_block(view.chain.time_ms);
    admission::admit(all, &before).refused.is_empty()
}

/// A change that a proposer makes to the transactions of a block.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Swap(usize, usize),
    Drop(usize),
    Double(usize),
    Flip(usize, usize),
}

impl Edit {
    fn make(self, txs: &mut Vec<Bytes>) {
        let count = txs.len().max(1);
        match self {
            _ if txs.is_empty() => {}
            Self::Swap(one, other) => txs.swap(one % count, other % count),
            Self::Drop(at) => drop(txs.remove(at % count)),
            Self::Double(at) => txs.push(txs[at % count].clone()),
            Self::Flip(at, byte) => {
                let mut bytes = txs[at % count].to_vec();
                let byte = byte % bytes.len();
                bytes[byte] ^= 1;
                txs[at % count] = bytes.into();
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || any::<usize>();
    prop_oneof![
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        at().prop_map(Edit::Drop),
        at().prop_map(Edit::Double),
        (at(), at()).prop_map(|(tx, byte)| Edit::Flip(tx, byte)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_verdict_does_not_depend_on_the_order_of_its_checks(
        orders in vec((0..3_usize, any::<bool>(), 1..6_u64), 1..7),
        edits in vec(edit(), 0..3),
    ) {
        let trades = orders.iter().map(|(who, buys, lots)| Trade::new(*who, *buys, 3, *lots));
        let decided = history(&[trades.collect()]);
        let (last, before) = decided.split_last().unwrap();
        let rig = after(before);
        let mut request = last.process.clone();
        let mut txs = request.txs.split_off(1);
        edits.iter().for_each(|edit| edit.make(&mut txs));
        request.txs.extend(txs);
        let expected = accepts_by_the_letter(&rig, &request);
        prop_assert_eq!(accepts(&rig, &request), expected);
        prop_assert_eq!(accepts(&rig, &request), expected, "again, with a warm cache");
        prop_assert!(!edits.is_empty() || expected);
    }
}

#[test]
fn a_block_with_a_transaction_that_is_not_admitted_is_refused_without_a_look_at_signatures() {
    let trades = (1..5).map(|lots| Trade::new(0, true, -3, lots)).collect();
    let decided = history(&[trades]);
    let (last, before) = decided.split_last().unwrap();
    let rig = after(before);
    let known = || {
        let is_known = |tx: &&Bytes| rig.cache.knows(&Sha256::digest(tx).into());
        last.process.txs.iter().filter(is_known).count()
    };
    let mut doubled = last.process.clone();
    doubled.txs.push(doubled.txs[1].clone());
    assert!(!accepts(&rig, &doubled));
    assert_eq!(known(), 0);
    assert!(accepts(&rig, &last.process));
    assert_eq!(known(), 4);
}

#[test]
fn rules_8_the_order_of_a_proposers_list_is_no_reason_to_refuse_it() {
    let trades = (0..3).map(|who| Trade::new(who, true, -3, 1)).collect();
    let decided = history(&[trades]);
    let (last, before) = decided.split_last().unwrap();
    let rig = after(before);
    let mut turned = last.process.clone();
    turned.txs[1..].reverse();
    assert!(accepts(&rig, &turned));
    turned.txs.reverse();
    assert!(!accepts(&rig, &turned), "the validators' prices come first");
}

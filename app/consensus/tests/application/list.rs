//! A block's own list of transactions: what came by gRPC stands in it, what came by CheckTx by
//! itself, and nothing else about the block depends on it.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{ExecTxResult, RequestFinalizeBlock, RequestPrepareProposal};
use tidemark_consensus::queue::Origin;
use tidemark_proto::tx::{block, list_rows, operation_results};
use tidemark_proto::{v1, Code};

use super::after;
use super::rig::{history, DecidedBlock, Rig};
use super::traffic::{signed, Trade};

/// A node before a block whose traders have collateral, and the block as it was decided.
struct Next {
    rig: Rig,
    block: DecidedBlock,
}

impl Next {
    fn new() -> Self {
        let decided = history(&[Vec::new()]);
        let (block, before) = decided.split_last().expect("a block");
        Self { rig: after(before), block: block.clone() }
    }

    /// These transactions behind the prices.
    fn behind_prices(&self, txs: Vec<Bytes>) -> Vec<Bytes> {
        self.block.block.txs.iter().take(1).cloned().chain(txs).collect()
    }

    fn proposal(&self) -> Vec<Bytes> {
        let request = RequestPrepareProposal { txs: Vec::new(), ..self.block.prepare.clone() };
        self.rig.node.prepare_proposal(request).txs
    }

    fn accepts(&self, txs: Vec<Bytes>) -> bool {
        let mut request = self.block.process.clone();
        request.txs = self.behind_prices(txs);
        self.rig.node.process_proposal(request).status == ProposalStatus::Accept as i32
    }

    /// The results without the prices', and the app hash.
    fn carry_out(&self, txs: Vec<Bytes>) -> (Vec<ExecTxResult>, Bytes) {
        let txs = self.behind_prices(txs);
        let block = RequestFinalizeBlock { txs, ..self.block.block.clone() };
        let mut answer = self.rig.node.finalize_block(block);
        (answer.tx_results.split_off(1), answer.app_hash)
    }
}

fn order(trader: usize, sequence: u64, lots: u64) -> Bytes {
    signed(Trade::new(trader, trader == 0, 0, lots), sequence, 0)
}

fn list(txs: &[&Bytes]) -> Bytes {
    block::wrap_list(txs.iter().map(|tx| &***tx)).into()
}

/// The row that stands for a result in a list.
fn row(result: &ExecTxResult) -> v1::BlockListRow {
    v1::BlockListRow {
        code: result.code,
        gas_wanted: result.gas_wanted.unsigned_abs(),
        gas_used: result.gas_used.unsigned_abs(),
        results: operation_results(&result.data).expect("a result's data"),
    }
}

#[test]
fn rules_10_what_came_by_grpc_stands_in_the_list_and_what_came_by_check_tx_by_itself() {
    let next = Next::new();
    assert_eq!(next.proposal().len(), 1, "no list when it would be empty");
    let (by_grpc, plain) = ([order(0, 0, 5), order(2, 0, 1)], order(1, 0, 3));
    assert_eq!(next.rig.check(&plain), 0);
    let proposal = next.proposal();
    assert_eq!(proposal[1..], *std::slice::from_ref(&plain), "nor when all are plain");
    for tx in &by_grpc {
        next.rig.queue.offer(tx, Origin::Client).expect("it is taken");
    }
    let txs = next.proposal().split_off(1);
    assert_eq!(txs.len(), 2);
    let mut listed = block::unwrap_list(&txs[0]).expect("a list");
    listed.sort_unstable();
    let mut expected = by_grpc.to_vec();
    expected.sort_unstable();
    assert_eq!((listed, &txs[1]), (expected, &plain));
    assert!(next.accepts(txs.clone()));
    let (results, _) = next.carry_out(txs);
    assert_eq!(results.len(), 2);
    assert_eq!((results[0].code, results[0].log.as_str()), (0, ""));
    assert!(results[0].events.is_empty() && !results[1].events.is_empty());
    let rows = list_rows(&results[0].data).expect("the list's rows");
    let wanted: u64 = rows.iter().map(|row| row.gas_wanted).sum();
    assert_eq!((rows.len(), wanted), (2, results[0].gas_wanted.unsigned_abs()));
}

#[test]
fn rules_10_a_list_is_at_its_place_in_its_form_and_has_each_transaction_once() {
    let next = Next::new();
    let (one, two, three) = (order(0, 0, 5), order(0, 1, 5), order(1, 0, 1));
    let good = list(&[&one, &two]);
    assert!(next.accepts(vec![good.clone(), three.clone()]));
    assert!(next.accepts(vec![list(&[&two]), one.clone()]), "in any order");
    let unknown = Bytes::from([&good[..], &[0x78, 1]].concat());
    for (what, txs) in [
        ("behind another transaction", vec![three.clone(), good.clone()]),
        ("twice", vec![list(&[&one]), list(&[&two])]),
        ("within a list", vec![list(&[&list(&[&one])])]),
        ("empty", vec![block::wrap(block::BLOCK_LIST, []).into(), three.clone()]),
        ("in another form", vec![unknown, three.clone()]),
        ("with one that is there twice", vec![list(&[&one, &one])]),
        ("with one that stands by itself as well", vec![good.clone(), one.clone()]),
        ("with one that does not decode", vec![list(&[&vec![1; 64].into()])]),
        ("with one that is not admitted", vec![list(&[&two])]),
    ] {
        assert!(!next.accepts(txs), "{what}");
    }
    let mut before_prices = next.block.process.clone();
    before_prices.txs = vec![good, before_prices.txs[0].clone()];
    let status = next.rig.node.process_proposal(before_prices).status;
    assert_eq!(status, ProposalStatus::Reject as i32);
}

#[test]
fn rules_10_nobody_sends_a_list() {
    let next = Next::new();
    let code = Code::from_number(next.rig.check(&list(&[&order(0, 0, 5)])));
    assert_eq!(code, Some(Code::NotAuthorised));
    assert_eq!(next.rig.queue.size(), (0, 0));
}

/// Validators accept none of these blocks; one that a block sync brings has one outcome all the
/// same.
#[test]
fn a_list_that_no_validator_accepts_has_one_outcome() {
    let one = order(0, 0, 5);
    for txs in [
        vec![list(&[&list(&[&one])])],
        vec![one.clone(), list(&[&one])],
        vec![block::wrap(block::BLOCK_LIST, []).into()],
        vec![list(&[&one, &one]), one.clone()],
    ] {
        let (here, there) = (Next::new(), Next::new());
        let count = txs.len();
        let (results, app_hash) = here.carry_out(txs.clone());
        assert_eq!(results.len(), count);
        assert_eq!((results, app_hash), there.carry_out(txs));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Which transactions stand in the list changes neither the state nor what becomes of any.
    #[test]
    fn rules_10_the_list_has_no_effect_on_what_a_block_does(
        orders in vec((0..3_usize, 1..6_u64, any::<bool>()), 1..9),
    ) {
        let mut sequences = [0; 3];
        let (mut listed, mut plain) = (Vec::new(), Vec::new());
        for (trader, lots, is_listed) in orders {
            let tx = order(trader, sequences[trader], lots);
            sequences[trader] += 1;
            if is_listed { listed.push(tx) } else { plain.push(tx) }
        }
        let all: Vec<_> = listed.iter().chain(&plain).cloned().collect();
        let (each, without) = Next::new().carry_out(all);
        let in_list: Vec<_> = listed.iter().collect();
        let head = (!listed.is_empty()).then(|| list(&in_list));
        let block: Vec<_> = head.clone().into_iter().chain(plain).collect();
        let next = Next::new();
        prop_assert!(next.accepts(block.clone()));
        let (results, with) = next.carry_out(block);
        prop_assert_eq!(with, without);
        let rows = head.map(|_| list_rows(&results[0].data).expect("rows"));
        let alone = &results[usize::from(rows.is_some())..];
        let rows = rows.unwrap_or_default().into_iter().chain(alone.iter().map(row));
        prop_assert_eq!(rows.collect::<Vec<_>>(), each.iter().map(row).collect::<Vec<_>>());
    }
}

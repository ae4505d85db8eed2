//! Requirements 1 and 9 to 13 as properties, over random histories of a small chain.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use prost::Message as _;
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::{
    RequestCheckTx, RequestQuery, RequestVerifyVoteExtension, ResponseFinalizeBlock,
};

use super::rig::{history, DecidedBlock, Rig, INDEX};
use super::traffic::{signed, Trade};

/// A call that CometBFT makes on the way to a block, or beside it.
#[derive(Clone, Debug)]
enum Call {
    /// PrepareProposal of this block, with one more transaction in the mempool.
    Prepare(Vec<u8>),
    /// ProcessProposal of this block as it was decided.
    Process,
    /// ProcessProposal of this block with one more transaction.
    ProcessOther(Vec<u8>),
    /// ExtendVote on this block.
    Extend,
    /// VerifyVoteExtension of an extension that need not be in any block.
    Verify(Vec<u8>),
    /// CheckTx of every transaction of this block.
    CheckTxs,
    /// Query.
    Query,
}

impl Call {
    fn make(&self, rig: &Rig, block: &DecidedBlock) {
        let with = |txs: &[Bytes], more: &[u8]| -> Vec<Bytes> {
            txs.iter().cloned().chain([more.to_vec().into()]).collect()
        };
        match self {
            Self::Prepare(more) => {
                let mut request = block.prepare.clone();
                request.txs = with(&block.mempool, more);
                rig.prepare(request);
            }
            Self::Process => drop(rig.node.process_proposal(block.process.clone())),
            Self::ProcessOther(more) => {
                let mut request = block.process.clone();
                request.txs = with(&request.txs, more);
                rig.node.process_proposal(request);
            }
            Self::Extend => drop(rig.node.extend_vote(block.extend.clone())),
            Self::Verify(extension) => {
                let request = RequestVerifyVoteExtension {
                    height: block.block.height,
                    hash: block.block.hash.clone(),
                    vote_extension: extension.clone().into(),
                    ..Default::default()
                };
                rig.node.verify_vote_extension(request);
            }
            Self::CheckTxs => rig.check_all(&block.mempool),
            Self::Query => drop(rig.node.query(RequestQuery::default())),
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        bytes().prop_map(Call::Prepare),
        Just(Call::Process),
        bytes().prop_map(Call::ProcessOther),
        Just(Call::Extend),
        bytes().prop_map(Call::Verify),
        Just(Call::CheckTxs),
        Just(Call::Query),
    ]
}

fn trade() -> impl Strategy<Value = Trade> {
    (0..3_usize, any::<bool>(), -40..40_i64, 1..6_u64)
        .prop_map(|(trader, buys, away, lots)| Trade::new(trader, buys, away, lots))
}

fn trades() -> impl Strategy<Value = Vec<Vec<Trade>>> {
    vec(vec(trade(), 0..5), 1..5)
}

/// An application's answers to the blocks of a history while it is asked other things as well:
/// before each block, and between its FinalizeBlock and its Commit.
fn answers(rig: &Rig, decided: &[DecidedBlock], calls: &[Call]) -> Vec<ResponseFinalizeBlock> {
    let mut calls = calls.iter().cycle();
    let mut some = |block: &DecidedBlock| {
        let before = (rig.info(), rig.published());
        calls.by_ref().take(4).for_each(|call| call.make(rig, block));
        assert_eq!((rig.info(), rig.published()), before, "height {}", block.block.height);
    };
    let one = |block: &DecidedBlock| {
        some(block);
        let answer = rig.node.finalize_block(block.block.clone());
        some(block);
        rig.node.commit();
        assert_eq!(rig.published(), [block.block.height.unsigned_abs()]);
        answer
    };
    decided.iter().map(one).collect()
}

/// The order with a quantity that nobody has the collateral for.
fn beyond_means(trade: Trade) -> Trade {
    Trade { lots: 1_000_000_000, ..trade }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// PrepareProposal, timeliness: no block is carried out before it is decided, neither there nor
    /// in ProcessProposal. Orders that are refused once they are carried out are proposed and
    /// accepted like any others, and the book of before stands.
    #[test]
    fn abci_requirement_01_what_a_transaction_will_do_is_nothing_to_a_proposal(trades in trades()) {
        let beyond: Vec<Vec<Trade>> =
            trades.iter().map(|block| block.iter().copied().map(beyond_means).collect()).collect();
        let rig = Rig::new(1, INDEX);
        for block in history(&beyond) {
            let injected = usize::from(block.block.height > 1);
            prop_assert_eq!(block.block.txs.len(), injected + block.mempool.len());
            rig.node.finalize_block(block.block);
            rig.node.commit();
        }
        let books_stay = |events: &String| events.contains("books: []");
        prop_assert!(rig.published_events().iter().all(books_stay), "all are refused at last");
    }

    /// PrepareProposal, ProcessProposal, ExtendVote and VerifyVoteExtension do not change the state
    /// of the block before.
    #[test]
    fn abci_requirement_09_no_side_effects(trades in trades(), calls in vec(call(), 1..12)) {
        let decided = history(&trades);
        let quiet = answers(&Rig::new(1, INDEX), &decided, &[]);
        let asked = answers(&Rig::new(1, INDEX), &decided, &calls);
        prop_assert_eq!(asked, quiet);
    }

    /// The state after a block does not depend on vote extensions that this node made or received,
    /// unless the block has them.
    #[test]
    fn abci_requirement_10_extensions_outside_of_the_block_do_not_count(
        trades in trades(),
        received in vec(bytes(), 1..8),
        own_price in 1..10 * INDEX,
    ) {
        let decided = history(&trades);
        let calls: Vec<Call> =
            received.into_iter().flat_map(|bytes| [Call::Verify(bytes), Call::Extend]).collect();
        let answers = answers(&Rig::new(1, own_price), &decided, &calls);
        for (answer, block) in answers.iter().zip(&decided) {
            prop_assert_eq!(answer, &block.answer);
        }
    }

    /// The state after a block depends on the state before it and on the block alone: two nodes of
    /// other mempools, proposals and threads have one app hash.
    #[test]
    fn abci_requirement_11_the_state_is_a_function_of_the_blocks(
        trades in trades(),
        calls in vec(call(), 1..8),
        others in vec(call(), 1..8),
    ) {
        let decided = history(&trades);
        let hashes = |threads, calls: &[Call]| -> Vec<Bytes> {
            let answers = answers(&Rig::new(threads, INDEX), &decided, calls);
            answers.into_iter().map(|answer| answer.app_hash).collect()
        };
        prop_assert_eq!(hashes(1, &calls), hashes(4, &others));
    }

    /// The results of a block depend on the state before it and on the block alone, to the byte.
    #[test]
    fn abci_requirement_12_results_are_a_function_of_the_blocks(
        trades in trades(),
        calls in vec(call(), 1..8),
        others in vec(call(), 1..8),
    ) {
        let decided = history(&trades);
        let results = |threads, calls: &[Call]| -> Vec<Vec<u8>> {
            let answers = answers(&Rig::new(threads, INDEX), &decided, calls);
            let results = answers.iter().flat_map(|answer| &answer.tx_results);
            results.map(|result| result.encode_to_vec()).collect()
        };
        prop_assert_eq!(results(1, &calls), results(4, &others));
    }

    /// CheckTx, eventual non-oscillation: on a chain that only goes on, a transaction may come to
    /// be valid once, and once refused after that it stays refused.
    #[test]
    fn abci_requirement_13_a_transaction_refused_after_it_was_valid_stays_refused(
        trades in vec(vec(trade(), 0..40), 1..6),
        sent in vec((trade(), 0..160_u64, prop_oneof![Just(0), 1..9_u64]), 1..12),
    ) {
        let rig = Rig::new(1, INDEX);
        let sent: Vec<Bytes> = sent
            .into_iter()
            .map(|(trade, sequence, timeout_height)| signed(trade, sequence, timeout_height))
            .collect();
        let valid = |tx: &Bytes, kind| {
            rig.node.check_tx(RequestCheckTx { tx: tx.clone(), r#type: kind }).code == 0
        };
        let mut verdicts = vec![Vec::new(); sent.len()];
        for block in history(&trades) {
            rig.node.finalize_block(block.block.clone());
            rig.node.commit();
            for (tx, verdicts) in sent.iter().zip(&mut verdicts) {
                // New and recheck are one question.
                prop_assert_eq!(valid(tx, 0), valid(tx, 1));
                verdicts.push(valid(tx, 0));
            }
        }
        for verdicts in verdicts {
            let mut once_valid = verdicts.iter().skip_while(|valid| !**valid);
            let ended = once_valid.find(|valid| !**valid).is_some();
            prop_assert!(!ended || once_valid.all(|valid| !valid), "{:?}", verdicts);
        }
    }
}

//! Every refusal that a transaction's result can carry, with its sentence, in
//! `golden_refusals.txt`: a chain is driven into each of them. Codes are read back from the bytes
//! that FinalizeBlock gives CometBFT, sentences from a node's answers. When a change is meant:
//! `TIDEMARK_BLESS=1 cargo test --release -p tidemark-tests --test refusals` writes the file anew.

mod agents;
mod cash;
mod envelope;
mod fields;
mod frozen;
mod keepers;
mod orders;
mod waiting;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tidemark_consensus::encode::{self, tx_result};
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome::TxOutcome;
use tidemark_proto::params::MarketParams;
use tidemark_proto::tx::{self, Sendable};
use tidemark_proto::units::Ppm;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{one_market, plain_market, Chain, FAUCET};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_refusals.txt");

/// Codes that no block can show, each with its reason.
const UNREACHABLE: [(Code, &str); 9] = [
    (Code::Ok, "not a refusal"),
    (Code::Overloaded, "only the gRPC server is short of room"),
    (Code::OutOfRange, "only the gRPC server is asked for positions of streams"),
    (Code::UnknownTransaction, "only the gRPC server is asked for answers"),
    (Code::SequencePending, "only a node's queue refuses a second transaction with a sequence"),
    (Code::TxDropped, "only a node's queue drops"),
    (Code::NodeBehind, "only the gRPC server tells that its node is behind"),
    (
        Code::Overflow,
        "bounds on amounts, orders and ids are refused before any sum passes 127 bits",
    ),
    (Code::InvariantBroken, "the statements that it is for always hold"),
];

/// The refusals seen so far, by code, in the order of their first appearance.
#[derive(Default)]
struct Table(BTreeMap<Code, Vec<String>>);

impl Table {
    fn add(&mut self, number: u32, sentence: &str) {
        let code = Code::from_number(number).expect("a known code");
        let sentences = self.0.entry(code).or_default();
        if code != Code::Ok && !sentences.iter().any(|known| known == sentence) {
            sentences.push(sentence.to_owned());
        }
    }

    /// Adds what clients are told of a block: results as they are encoded, and removals of orders.
    fn add_block(&mut self, events: &BlockEvents) {
        for outcome in &events.txs {
            let sentence = encode::sentence(outcome.refusal.as_deref());
            self.add(outcome.code().number(), &sentence);
            for operation in operation_results(outcome) {
                self.add(operation.code, &operation.message);
                self.add(operation.rest_code, "(of an order's rest)");
            }
        }
        for event in &events.events {
            if let Event::Removed { code, .. } = event {
                self.add(code.number(), "(of an order's removal)");
            }
        }
    }
}

/// The results of a transaction's operations, as clients read them: those of the block, each with
/// its sentence.
fn operation_results(outcome: &TxOutcome) -> Vec<v1::OperationResult> {
    let results: Vec<_> = outcome.results.iter().map(encode::operation_answer).collect();
    let in_block = tx::operation_results(&tx_result(outcome).data).expect("a result's data");
    let without_sentence = results
        .iter()
        .map(|result| v1::OperationResult { message: String::new(), ..result.clone() });
    assert_eq!(in_block, without_sentence.collect::<Vec<_>>(), "no sentence is in a block");
    results
}

/// A chain whose refusals go into the table.
struct Story<'a> {
    chain: Chain,
    /// Of market 0.
    params: MarketParams,
    table: &'a mut Table,
}

impl<'a> Story<'a> {
    fn new(chain: Chain, table: &'a mut Table) -> Self {
        Self { chain, params: plain_market("ONE-USD", 20), table }
    }

    /// One 20x market at index 100 with a mark that is the index, and traders with 10 000 USDC.
    fn one_market(traders: &[&str], table: &'a mut Table) -> Self {
        let mut story = Self::new(one_market(traders), table);
        story.update(|params| params.mark_band_ppm = Ppm::ZERO);
        story
    }

    fn block(&mut self) -> BlockEvents {
        let events = self.chain.block();
        self.table.add_block(&events);
        events
    }

    /// Sends a message, in a block of its own.
    fn send<M: Sendable>(&mut self, name: &str, message: M) {
        self.chain.send(name, message);
        self.block();
    }

    /// Sends operations that are refused one by one, in blocks of their own: cancels would come
    /// before the others of a block.
    fn orders(&mut self, name: &str, operations: Vec<Operation>) -> Vec<v1::OperationResult> {
        let is_cancel = |operation: &Operation| {
            matches!(operation, Operation::Cancel(_) | Operation::CancelAll(_))
        };
        let mut results = Vec::new();
        for part in operations.chunk_by(|one, next| is_cancel(one) == is_cancel(next)) {
            self.chain.orders(name, part.to_vec());
            results.extend(operation_results(&self.block().txs[0]));
        }
        results
    }

    /// Sends operations that are all accepted or all refused, in a block of their own.
    fn batch(&mut self, name: &str, operations: Vec<Operation>) {
        let operations =
            operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
        let message = v1::MsgOrders {
            operations: operations.collect(),
            mode: v1::BatchMode::All.into(),
            ..Default::default()
        };
        self.send(name, message);
    }

    /// Changes market 0.
    fn update(&mut self, change: impl FnOnce(&mut MarketParams)) {
        change(&mut self.params);
        let params = Some((&self.params).into());
        self.send(FAUCET, v1::MsgUpdateMarket { params, ..Default::default() });
    }

    fn index(&mut self, ticks: u64) {
        self.chain.index(0, ticks);
        self.block();
    }
}

#[test]
fn every_refusal_has_the_code_and_the_sentence_that_it_had() {
    let mut table = Table::default();
    envelope::run(&mut table);
    fields::run(&mut table);
    cash::run(&mut table);
    orders::run(&mut table);
    waiting::run(&mut table);
    keepers::run(&mut table);
    frozen::run(&mut table);
    agents::run(&mut table);
    let (mut now, mut missing) = (String::new(), Vec::new());
    for code in Code::ALL {
        let reason = UNREACHABLE.iter().find(|(unreachable, _)| unreachable == code);
        let sentences = table.0.get(code).filter(|sentences| !sentences.is_empty());
        let (number, word) = (code.number(), code.word());
        match (sentences, reason) {
            (Some(_), Some(_)) => panic!("{word} is reachable"),
            (None, None) => {
                missing.push(word);
                Ok(())
            }
            (None, Some((_, reason))) => writeln!(now, "{number} {word} (never: {reason})"),
            (Some(sentences), None) => {
                sentences.iter().try_for_each(|it| writeln!(now, "{number} {word} {it}"))
            }
        }
        .expect("memory");
    }
    assert_eq!(missing, Vec::<&str>::new(), "not provoked");
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &now).expect("a writable file");
    }
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(now, then, "the chain refuses otherwise now; see the head of this file");
}

//! Bundles between validators' nodes: whose are taken, what they bring, and what they use up.

use ed25519_consensus::SigningKey;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestCheckTx, RequestExtendVote, RequestFinalizeBlock, RequestPrepareProposal,
};
use tidemark_consensus::node_key::NodeSecret;
use tidemark_consensus::queue::{Origin, TX_LIFETIME_BLOCKS};
use tidemark_oracle::extension;
use tidemark_proto::tx::block;
use tidemark_proto::tx::bundle::{make_bundle, Bundle, BundleHead};
use tidemark_proto::types::SigningDomain;
use tidemark_proto::Code;

use super::rig::{history_of, validator_address, DecidedBlock, Rig, INDEX};
use super::traffic::{of_a_stranger, signed, Trade};

const SECRET: [u8; 32] = [9; 32];

fn node_secret() -> NodeSecret {
    NodeSecret::from_hex(&hex::encode(SECRET)).expect("64 digits")
}

/// The validator's node, whose key is registered, and another that has the same blocks.
struct Net {
    maker: Rig,
    peer: Rig,
    last: DecidedBlock,
    height: i64,
}

impl Net {
    fn new() -> Self {
        let (maker, peer) = (Rig::with_node_key(node_secret()), Rig::new(2, INDEX));
        let decided = history_of(&maker, &[Vec::new()]);
        for block in &decided {
            peer.finalize(&block.block);
            peer.node.commit();
        }
        let last = decided[decided.len() - 1].clone();
        let height = last.block.height;
        Self { maker, peer, last, height }
    }

    fn domain(&self) -> SigningDomain {
        self.peer.publisher.view().signing_domain()
    }

    fn head(&self, counter: u64) -> BundleHead {
        let made_at_height = self.height.unsigned_abs();
        BundleHead { maker: validator_address(), counter, made_at_height }
    }

    /// A bundle that the maker's key signs.
    fn bundle(&self, head: BundleHead, txs: &[Bytes]) -> Bytes {
        bundle_by(SECRET, head, txs, &self.domain())
    }

    /// The peer's CheckTx.
    fn code(&self, tx: &Bytes) -> Code {
        Code::from_number(self.peer.check(tx)).expect("a code of ours")
    }

    fn recheck(&self, tx: &Bytes) -> bool {
        let request = RequestCheckTx { tx: tx.clone(), r#type: CheckTxType::Recheck as i32 };
        self.peer.node.check_tx(request).code == 0
    }

    /// The peer's proposal behind the prices.
    fn proposal(&self) -> Vec<Bytes> {
        let request = RequestPrepareProposal {
            txs: Vec::new(),
            height: self.height + 1,
            ..self.last.prepare.clone()
        };
        self.peer.node.prepare_proposal(request).txs.split_off(1)
    }

    /// Carries out a block on the peer.
    fn block(&mut self, txs: &[Bytes]) {
        self.height += 1;
        let txs = self.last.block.txs.iter().take(1).chain(txs).cloned().collect();
        let hash = vec![u8::try_from(self.height).expect("few blocks"); 32].into();
        let height = self.height;
        let block = RequestFinalizeBlock { txs, height, hash, ..self.last.block.clone() };
        self.peer.finalize(&block);
        self.peer.node.commit();
    }
}

fn bundle_by(secret: [u8; 32], head: BundleHead, txs: &[Bytes], domain: &SigningDomain) -> Bytes {
    let key = SigningKey::from(secret);
    make_bundle(&head, txs.iter().map(|tx| &**tx), (&key, domain)).into()
}

fn order(trader: usize, sequence: u64) -> Bytes {
    signed(Trade::new(trader, true, -30, 1), sequence, 0)
}

#[test]
fn rules_10_a_vote_carries_the_key_until_it_is_registered() {
    let rig = Rig::with_node_key(node_secret());
    let key_in = |rig: &Rig, height| {
        let request = RequestExtendVote { height, ..Default::default() };
        let bytes = rig.node.extend_vote(request).vote_extension;
        let (key, report) = extension::split(&bytes);
        assert!(!report.is_empty(), "the prices come as well");
        key.copied()
    };
    assert_eq!(key_in(&rig, 1), Some(node_secret().key()));
    assert!(!rig.queue.makes_bundles());
    let decided = history_of(&rig, &[Vec::new()]);
    assert_eq!(key_in(&rig, 4), None);
    assert!(rig.queue.makes_bundles());
    let view = rig.publisher.view();
    let registered = view.chain.validators[0].node_key.expect("a key");
    assert_eq!((registered.key, registered.since_height), (node_secret().key(), 2));

    // Another key, as after the loss of the file: registered once the first has stood.
    let other = NodeSecret::random();
    let changed = Rig::with_node_key(other.clone());
    for block in &decided {
        changed.finalize(&block.block);
        changed.node.commit();
    }
    assert_eq!(key_in(&changed, 4), Some(other.key()));
    assert!(!changed.queue.makes_bundles());
}

#[test]
fn rules_10_a_bundle_brings_its_transactions_into_the_list() {
    let net = Net::new();
    let txs = [order(0, 0), order(0, 1), order(1, 0)];
    assert!(net.maker.queue.make_bundle(1).is_none(), "nothing waits");
    for tx in &txs {
        net.maker.queue.offer(tx, Origin::Client).expect("it is taken");
    }
    let made = net.maker.queue.make_bundle(1).expect("a bundle");
    assert_eq!(made.txs.len(), 3);
    let bytes = Bytes::from(made.bytes);
    // The node's own CometBFT asks first.
    assert_eq!(net.maker.check(&bytes), 0);
    assert_eq!(net.code(&bytes), Code::Ok);
    let [list] = net.proposal().try_into().expect("a list, and no plain transaction");
    let mut listed = block::unwrap_list(&list).expect("a list");
    listed.sort_unstable();
    let mut expected = txs.to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    made.txs.iter().for_each(|tx| net.maker.queue.offered(tx));
    assert!(net.maker.queue.make_bundle(2).is_none(), "each is carried once");
    let counts = net.peer.queue.bundle_counts();
    let waiting = vec![(validator_address(), bytes.len() as u64)];
    assert_eq!((counts.taken, counts.waiting_bytes), (1, waiting));
}

#[test]
fn rules_10_counters_grow_over_restarts_and_within_a_millisecond() {
    let net = Net::new();
    let counter = |now_ms| {
        let made = net.maker.queue.make_bundle(now_ms).expect("a bundle");
        Bundle::read(&made.bytes.into()).expect("a bundle").head.counter
    };
    net.maker.queue.offer(&order(0, 0), Origin::Client).expect("it is taken");
    let counters = [counter(1_000), counter(1_000), counter(900), counter(2_000)];
    assert_eq!(counters, [1_000, 1_001, 1_002, 2_000]);
}

#[test]
fn rules_10_nobody_else_makes_a_bundle_of_a_maker() {
    let net = Net::new();
    let (head, txs) = (net.head(1), [order(0, 0), order(1, 0)]);
    let good = net.bundle(head, &txs);
    let by_another = bundle_by([8; 32], head, &txs, &net.domain());
    assert_eq!(net.code(&by_another), Code::BadSignature);
    let elsewhere = bundle_by(SECRET, head, &txs, &SigningDomain::without_genesis("other-1"));
    assert_eq!(net.code(&elsewhere), Code::BadSignature);
    // Taken apart and put together anew, under the maker's signature.
    let signature_at = good.len() - 64;
    let mut remixed = net.bundle(head, &txs[..1]).to_vec();
    let at = remixed.len() - 64;
    remixed[at..].copy_from_slice(&good[signature_at..]);
    assert_eq!(net.code(&remixed.into()), Code::BadSignature);
    let stranger = BundleHead { maker: [1; 20], ..head };
    assert_eq!(net.code(&net.bundle(stranger, &txs)), Code::NotAuthorised);
    assert_eq!(net.peer.queue.size(), (0, 0), "nothing of them waits");
    assert_eq!(net.code(&good), Code::Ok, "and its counter is not used");

    let early = Rig::new(1, INDEX);
    assert_eq!(early.check(&good), Code::NotAuthorised.number(), "no key is registered yet");
}

#[test]
fn rules_10_a_bundle_is_taken_once_and_what_was_refused_stays_refused() {
    let mut net = Net::new();
    let bundle = net.bundle(net.head(5), &[order(0, 0)]);
    assert_eq!(net.code(&bundle), Code::Ok);
    assert_eq!(net.code(&bundle), Code::Ok, "while it waits");
    let same_counter = net.bundle(net.head(5), &[order(1, 0)]);
    assert_eq!(net.code(&same_counter), Code::NonceUsed);
    assert!(net.recheck(&bundle));
    let proposal = net.proposal();
    net.block(&proposal);
    assert!(!net.recheck(&bundle), "nothing is left to carry");
    assert!(!net.recheck(&bundle));
    assert_eq!(net.code(&bundle), Code::NonceUsed);
    assert_eq!(net.peer.queue.bundle_counts().waiting_bytes, []);
}

#[test]
fn rules_10_what_is_known_or_refused_is_passed_over() {
    let net = Net::new();
    let (plain, used) = (order(0, 0), order(1, 0));
    assert_eq!((net.code(&plain), net.code(&used)), (Code::Ok, Code::Ok));
    let rival = signed(Trade::new(1, true, -30, 2), 0, 0);
    let junk = Bytes::from(vec![7; 100]);
    let bundle = net.bundle(
        net.head(1),
        &[junk.clone(), plain.clone(), rival.clone(), of_a_stranger(1), order(2, 0)],
    );
    assert_eq!(net.code(&bundle), Code::Ok);
    let proposal = net.proposal();
    assert_eq!(block::unwrap_list(&proposal[0]), Some(vec![order(2, 0)]));
    let mut alone = proposal[1..].to_vec();
    alone.sort_unstable();
    let mut expected = vec![plain, used];
    expected.sort_unstable();
    assert_eq!(alone, expected, "what came plain stays plain");
    let none = net.bundle(net.head(2), &[junk, rival]);
    assert_eq!(net.code(&none), Code::TxExpired, "nothing to carry");
    assert_eq!(net.code(&none), Code::NonceUsed);
}

#[test]
fn rules_10_a_makers_bundles_have_their_share_and_no_more() {
    let mut net = Net::new();
    let largest = Bytes::from(vec![7; 60_000]);
    let bundle = |net: &Net, number: u64| {
        let trader = usize::try_from(number % 3).expect("small");
        let txs: Vec<_> =
            [order(trader, number / 3)].into_iter().chain(vec![largest.clone(); 4]).collect();
        net.bundle(net.head(number + 1), &txs)
    };
    let too_large = net.bundle(net.head(1), &vec![largest.clone(); 5]);
    assert_eq!(net.code(&too_large), Code::TxTooLarge, "a sixteenth of a block");
    // The only validator's share is all of two blocks' bytes.
    let first = bundle(&net, 0);
    let most = 2 * (4 << 20) / first.len() as u64;
    for number in 0..most {
        assert_eq!(net.code(&bundle(&net, number)), Code::Ok, "{number}");
    }
    assert_eq!(net.code(&bundle(&net, most)), Code::RateLimited);
    let proposal = net.proposal();
    net.block(&proposal);
    assert!(!net.recheck(&first), "it has nothing left to carry");
    assert_eq!(net.code(&bundle(&net, most)), Code::Ok, "there is room again");
}

#[test]
fn rules_10_a_bundle_lives_50_blocks() {
    let mut net = Net::new();
    for _ in 0..60 {
        net.block(&[]);
    }
    let height = net.height.unsigned_abs();
    let at = |made_at_height, counter| BundleHead { made_at_height, ..net.head(counter) };
    for (made_at, code) in [
        (height - TX_LIFETIME_BLOCKS, Code::TxExpired),
        (height - TX_LIFETIME_BLOCKS + 1, Code::Ok),
        (height + TX_LIFETIME_BLOCKS, Code::Ok),
        (height + TX_LIFETIME_BLOCKS + 1, Code::TxExpired),
    ] {
        let bundle = net.bundle(at(made_at, made_at), &[order(0, 0)]);
        assert_eq!(net.code(&bundle), code, "made at {made_at}, at {height}");
    }
    let older = net.bundle(at(height - 20, 1), &[order(1, 0)]);
    assert_eq!(net.code(&older), Code::Ok);
    for left in (0..TX_LIFETIME_BLOCKS - 20).rev() {
        net.block(&[]);
        assert_eq!(net.recheck(&older), left > 0, "{left}");
    }
    let proposed: Vec<_> = block::unwrap_list(&net.proposal()[0]).expect("a list");
    assert!(proposed.contains(&order(1, 0)), "its transaction waits on");
}

#[test]
fn rules_10_a_bundle_is_in_no_block() {
    let net = Net::new();
    let bundle = net.bundle(net.head(1), &[order(0, 0)]);
    let in_list = Bytes::from(block::wrap_list([&*bundle].into_iter()));
    for tx in [bundle, in_list] {
        let mut request = net.last.process.clone();
        request.txs.push(tx);
        request.height += 1;
        let status = net.peer.node.process_proposal(request).status;
        assert_eq!(status, ProposalStatus::Reject as i32);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The queue has after a bundle what it would have after its transactions one by one.
    #[test]
    fn rules_10_a_bundle_brings_what_its_transactions_would_by_themselves(
        orders in vec((0..3_usize, 0..70_u64, 1..3_u64), 1..30),
    ) {
        let (together, apart) = (Net::new(), Net::new());
        let txs: Vec<Bytes> = orders
            .into_iter()
            .map(|(trader, sequence, lots)| {
                signed(Trade::new(trader, true, -30, lots), sequence, 0)
            })
            .collect();
        let taken = txs.iter().filter(|tx| apart.code(tx) == Code::Ok).count();
        let code = together.code(&together.bundle(together.head(1), &txs));
        prop_assert_eq!(code, if taken > 0 { Code::Ok } else { Code::TxExpired });
        for tx in &txs {
            prop_assert_eq!(together.peer.queue.holds(tx), apart.peer.queue.holds(tx));
        }
        prop_assert_eq!(together.peer.queue.size(), apart.peer.queue.size());
    }
}

//! A transaction of each kind of bad, with the code that it must get.

use cosmos_sdk_proto::cosmos::tx::v1beta1::TxRaw;
use cosmos_sdk_proto::Any;
use prost::Message as _;
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::types::MAX_OPERATIONS;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::signer;

/// A bad transaction.
pub struct Bad {
    /// The fault of the input.
    pub name: &'static str,
    /// Its bytes.
    pub tx: Vec<u8>,
    /// The required answer.
    pub code: Code,
}

impl Bad {
    pub fn new(name: &'static str, tx: Vec<u8>, code: Code) -> Self {
        Self { name, tx, code }
    }
}

/// Where the chain stands.
#[derive(Clone, Copy)]
pub struct Given {
    /// The signer's next sequence, at least 1.
    pub next: u64,
    /// The next block's height, or an earlier one.
    pub height: u64,
    /// From how far ahead a sequence is a gap.
    pub window: u64,
    /// The genesis that signatures are for.
    pub genesis_hash: [u8; 32],
}

/// A deposit of 1 000 USDC.
pub fn deposit(faucet: &Signer, name: &str, sequence: u64) -> Vec<u8> {
    faucet.sign(deposit_message(name), TxOptions { sequence, ..TxOptions::default() }).unwrap()
}

fn deposit_message(name: &str) -> v1::MsgDeposit {
    let recipient = signer(name).address().to_string();
    v1::MsgDeposit { recipient, amount_atoms: 1_000_000_000, ..Default::default() }
}

/// One of each kind, signed (where it is) by the faucet.
pub fn bad_transactions(faucet: &Signer, given: Given) -> Vec<Bad> {
    let good = deposit(faucet, "mallory", given.next);
    let mut bads = of_form(&good);
    bads.extend(of_signature(faucet, &good, given));
    bads.extend(of_content(faucet, given));
    bads
}

fn of_form(good: &[u8]) -> Vec<Bad> {
    let text = b"{\"deposit\":\"all of it\"}".to_vec();
    // A block's own first transaction begins with 0: nobody else's may.
    let injected = [&[0], good].concat();
    vec![
        Bad::new("nothing", Vec::new(), Code::TxMalformed),
        Bad::new("nonsense", vec![0xff; 300], Code::TxMalformed),
        Bad::new("text", text, Code::TxMalformed),
        Bad::new("a false extended commit", injected, Code::TxMalformed),
        Bad::new("one cut in the middle", good[..good.len() / 2].to_vec(), Code::TxMalformed),
        Bad::new(
            "one that lacks its last byte",
            good[..good.len() - 1].to_vec(),
            Code::TxMalformed,
        ),
        Bad::new("an oversized one", vec![0x0a; 64 * 1024 + 1], Code::TxTooLarge),
        Bad::new("a very large one", vec![0x0a; 600 * 1024], Code::TxTooLarge),
    ]
}

fn of_signature(faucet: &Signer, good: &[u8], given: Given) -> Vec<Bad> {
    let raw = TxRaw::decode(good).unwrap();
    let with = |signatures: Vec<Vec<u8>>| TxRaw { signatures, ..raw.clone() }.encode_to_vec();
    let mut flipped = raw.signatures[0].clone();
    flipped[63] ^= 1;
    let another = TxRaw::decode(deposit(faucet, "mallory", given.next + 1).as_slice()).unwrap();
    let options = TxOptions { sequence: given.next, ..TxOptions::default() };
    let elsewhere = Signer::from_secret(&secret("faucet"), "tidemark-elsewhere-1").unwrap();
    let tagged = elsewhere.sign(deposit_message("mallory"), options).unwrap();
    let untagged = elsewhere.sign_any(any("MsgDeposit", &sent_by(faucet)), options).unwrap();
    vec![
        Bad::new("an unsigned one", with(Vec::new()), Code::TxUnsigned),
        Bad::new("one with a flipped signature", with(vec![flipped]), Code::BadSignature),
        Bad::new("one with another's signature", with(another.signatures), Code::BadSignature),
        Bad::new("one for another chain", tagged, Code::WrongChain),
        Bad::new("one for another chain that does not say so", untagged, Code::BadSignature),
    ]
}

fn of_content(faucet: &Signer, given: Given) -> Vec<Bad> {
    let at = |sequence| TxOptions { sequence, ..TxOptions::default() };
    let stranger = signer("stranger").for_genesis(&given.genesis_hash);
    let stranger = stranger.sign(deposit_message("mallory"), at(0)).unwrap();
    let late = TxOptions {
        sequence: given.next,
        timeout_height: given.height - u64::from(given.height > 1),
        ..TxOptions::default()
    };
    let late = if given.height > 1 {
        vec![Bad::new(
            "a late one",
            faucet.sign(deposit_message("mallory"), late).unwrap(),
            Code::TxExpired,
        )]
    } else {
        Vec::new()
    };
    let orders = |count: usize| {
        let cancel = v1::CancelOrder { market: 0, order_id: 1, client_id: 0 };
        let operation = v1::Operation { operation: Some(v1::operation::Operation::Cancel(cancel)) };
        let orders = v1::MsgOrders { operations: vec![operation; count], ..Default::default() };
        faucet.sign(orders, at(given.next)).unwrap()
    };
    let signed = |any| faucet.sign_any(any, at(given.next)).unwrap();
    let not_ours = Any { type_url: "/cosmos.bank.v1beta1.MsgSend".into(), value: Vec::new() };
    let mut bads = vec![
        Bad::new(
            "a replayed sequence",
            deposit(faucet, "mallory", given.next - 1),
            Code::SequenceReplayed,
        ),
        Bad::new(
            "one too far ahead",
            deposit(faucet, "mallory", given.next + given.window),
            Code::SequenceGap,
        ),
        Bad::new("a stranger's", stranger, Code::UnknownAccount),
        Bad::new("another chain's message", signed(not_ours), Code::UnknownMessage),
        Bad::new(
            "one sent in another's name",
            signed(any("MsgDeposit", &sent_by(&signer("alice")))),
            Code::WrongSigner,
        ),
        Bad::new("one without operations", orders(0), Code::OperationCount),
        Bad::new("one with too many operations", orders(MAX_OPERATIONS + 1), Code::OperationCount),
    ];
    bads.extend(late);
    bads
}

/// A deposit as the wire has it, without a chain tag.
fn sent_by(sender: &Signer) -> v1::MsgDeposit {
    v1::MsgDeposit { sender: sender.address().to_string(), ..deposit_message("mallory") }
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("/tidemark.v1.{name}"), value: message.encode_to_vec() }
}

/// The secret of a harness key.
fn secret(name: &str) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(name.as_bytes()).into()
}

/// The gRPC status that docs/errors.md gives for a code.
pub fn grpc_status(code: Code) -> tonic::Code {
    match code {
        Code::TxUnsigned | Code::BadSignature => tonic::Code::Unauthenticated,
        Code::WrongSigner => tonic::Code::PermissionDenied,
        Code::SequenceReplayed | Code::SequenceGap => tonic::Code::Aborted,
        Code::UnknownAccount => tonic::Code::NotFound,
        Code::TxExpired => tonic::Code::FailedPrecondition,
        _ => tonic::Code::InvalidArgument,
    }
}

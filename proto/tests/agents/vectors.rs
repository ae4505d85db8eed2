//! The test vectors of docs/transactions.md, for whoever writes the short form in another language.
//! A changed file is another format. When that is meant:
//! `TIDEMARK_BLESS=1 cargo test -p tidemark-proto --test agents` writes it anew.

use prost::Message as _;
use serde_json::{json, Value};
use tidemark_proto::tx::{block, decode, AgentSigner, SIGNED};
use tidemark_proto::types::{Address, SigningDomain};
use tidemark_proto::v1;
use tidemark_proto::v1::agent_orders::Keeper;
use tidemark_proto::v1::operation::Operation;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/agent_orders.json");
const CHAIN_ID: &str = "tidemark-vectors-1";
const MAX_BYTES: usize = 64 * 1024;

fn genesis_hash() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

fn domain() -> SigningDomain {
    SigningDomain::new(CHAIN_ID, &genesis_hash())
}

fn owner() -> Address {
    Address(std::array::from_fn(|at| 0xa0 + at as u8))
}

fn of(operations: Vec<Operation>) -> v1::AgentOrders {
    let operations = operations.into_iter().map(v1::Operation::from);
    v1::AgentOrders {
        nonce_ms: 1_760_000_000_123,
        gas_limit: 100_000,
        operations: operations.collect(),
        ..Default::default()
    }
}

fn keepers(keeper: Keeper) -> v1::AgentOrders {
    v1::AgentOrders { subaccount: 1, salt: 7, keeper: Some(keeper), ..of(Vec::new()) }
}

/// Contents that show every field of the content, and fields that are absent.
fn contents() -> Vec<(&'static str, v1::AgentOrders)> {
    let place = v1::PlaceOrder {
        market: 1,
        side: v1::Side::Buy.into(),
        price_ticks: 600_000,
        lots: 25,
        client_id: 7,
        ..Default::default()
    };
    let cancel = v1::CancelOrder { market: 0, order_id: 17, client_id: 0 };
    let all = v1::CancelAll { market: Some(0), side: v1::Side::Unspecified.into() };
    vec![
        ("one order", of(vec![Operation::Place(place)])),
        (
            "every field of a batch",
            v1::AgentOrders {
                timeout_height: 123_456,
                subaccount: 3,
                mode: v1::BatchMode::All.into(),
                pays_flat_fee: true,
                salt: 0x0403_0201,
                ..of(vec![Operation::Cancel(cancel), Operation::Place(place)])
            },
        ),
        (
            "a zero that is present, and fields that are absent",
            of(vec![Operation::CancelAll(all), Operation::CancelAll(v1::CancelAll::default())]),
        ),
        (
            "a keeper's collateral",
            keepers(Keeper::SetAside(v1::SetAside { market: 1, set_aside_atoms: 2_000_000_000 })),
        ),
        (
            "a position that a keeper asks for",
            keepers(Keeper::TakeListed(v1::TakeListed { market: 0, account_id: 77, lots: 400 })),
        ),
    ]
}

fn vector(title: &str, kind: &str, secret: [u8; 32], orders: &v1::AgentOrders) -> Value {
    let agent = match kind {
        "ed25519" => AgentSigner::ed25519(secret, domain()),
        _ => AgentSigner::secp256k1(secret, domain()).unwrap(),
    };
    let signed = agent.sign(&owner(), orders.clone());
    let read = decode(&signed.bytes, MAX_BYTES, &domain()).unwrap();
    assert_eq!((read.verify(&domain()), read.tx.hash), (Ok(()), signed.identity));
    let value = block::unwrap(SIGNED, &signed.bytes).unwrap();
    let v1::MsgSigned { content, signature } = v1::MsgSigned::decode(value).unwrap();
    let mut bytes = domain().prefix(tidemark_proto::tx::PURPOSE);
    bytes.extend(&content);
    json!({
        "title": title,
        "key_type": kind,
        "secret_hex": hex::encode(secret),
        "agent_key_hex": hex::encode(agent.key().as_bytes()),
        "content_hex": hex::encode(&content),
        "signed_hex": hex::encode(bytes),
        "identity_hex": hex::encode(signed.identity),
        "signature_hex": hex::encode(signature),
        "transaction_hex": hex::encode(&signed.bytes),
    })
}

/// Changes that make a right transaction one that is refused, each with its code.
fn refused() -> Vec<Value> {
    let agent = AgentSigner::ed25519([1; 32], domain());
    let (_, orders) = contents().remove(0);
    let good = agent.sign(&owner(), orders).bytes;
    let value = block::unwrap(SIGNED, &good).unwrap();
    let message = v1::MsgSigned::decode(value).unwrap();
    let with = |content: Vec<u8>, signature: Vec<u8>| {
        block::wrap(SIGNED, v1::MsgSigned { content, signature }.encode_to_vec())
    };
    let unknown = [message.content.clone(), vec![0x78, 1]].concat();
    let empty = [message.content.clone(), vec![0x30, 0]].concat();
    let mut flipped = message.signature.clone();
    flipped[0] ^= 1;
    let cases = [
        ("a field that the content does not have", with(unknown, message.signature.clone())),
        ("a field of 0 that is written", with(empty, message.signature.clone())),
        ("another signature", with(message.content.clone(), flipped)),
        ("a signature of 63 bytes", with(message.content.clone(), message.signature[..63].into())),
        ("bytes behind the transaction", [good, vec![0x78, 1]].concat()),
    ];
    let case = |(title, bytes): (&str, Vec<u8>)| {
        let refusal = decode(&bytes, MAX_BYTES, &domain())
            .and_then(|signed| signed.verify(&domain()))
            .unwrap_err();
        let transaction = hex::encode(bytes);
        json!({ "title": title, "code": refusal.code.word(), "transaction_hex": transaction })
    };
    cases.into_iter().map(case).collect()
}

#[test]
fn rules_10_the_vectors_of_the_short_form_are_as_they_were() {
    let kinds = [("ed25519", [1; 32]), ("secp256k1", [2; 32])];
    let accepted: Vec<Value> = contents()
        .iter()
        .flat_map(|(title, orders)| kinds.map(|(kind, secret)| vector(title, kind, secret, orders)))
        .collect();
    let vectors = json!({
        "chain_id": CHAIN_ID,
        "genesis_hash_hex": hex::encode(genesis_hash()),
        "account_number": domain().account_number(),
        "owner": owner().to_string(),
        "owner_hex": hex::encode(owner().0),
        "accepted": accepted,
        "refused": refused(),
    });
    let text = format!("{vectors:#}\n");
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(FILE).unwrap(), text, "{FILE}");
}

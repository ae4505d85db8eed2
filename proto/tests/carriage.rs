//! The formats by which transactions travel together: bundles, and a block's own list. Their test
//! vectors are in `vectors/carriage.json`; a changed file is another format. When that is meant:
//! `TIDEMARK_BLESS=1 cargo test -p tidemark-proto --test carriage` writes it anew.

use ed25519_consensus::SigningKey;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use tidemark_proto::tx::block::{self, BLOCK_LIST};
use tidemark_proto::tx::bundle::{
    make_bundle, Bundle, BundleHead, BUNDLE, BUNDLE_PURPOSE, MAX_BUNDLE_FRAME_BYTES,
};
use tidemark_proto::tx::{bundle, decode, list_data};
use tidemark_proto::types::SigningDomain;
use tidemark_proto::{v1, Code};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/carriage.json");
const CHAIN_ID: &str = "tidemark-vectors-1";
const SECRET: [u8; 32] = [7; 32];
const HEAD: BundleHead =
    BundleHead { maker: [0xa1; 20], counter: 1_760_000_000_123, made_at_height: 4_711 };

fn genesis_hash() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

fn domain() -> SigningDomain {
    SigningDomain::new(CHAIN_ID, &genesis_hash())
}

fn key() -> [u8; 32] {
    SigningKey::from(SECRET).verification_key().to_bytes()
}

fn of(txs: &[Vec<u8>], domain: &SigningDomain) -> Bytes {
    let txs = txs.iter().map(Vec::as_slice);
    make_bundle(&HEAD, txs, (&SigningKey::from(SECRET), domain)).into()
}

fn two() -> Vec<Vec<u8>> {
    vec![vec![1; 64], vec![2; 200]]
}

/// The bundle as `prost` writes it with changed fields.
fn remade(bytes: &[u8], change: impl FnOnce(&mut v1::Bundle)) -> Bytes {
    let mut message = v1::Bundle::decode(block::unwrap(BUNDLE, bytes).unwrap()).unwrap();
    change(&mut message);
    block::wrap(BUNDLE, message.encode_to_vec()).into()
}

proptest! {
    #[test]
    fn rules_10_a_bundle_is_what_prost_makes_of_it(
        txs in vec((any::<u8>(), 64..300_usize), 1..6),
        maker: [u8; 20],
        counter in 1..=u64::MAX,
        made_at_height in 1..=u64::MAX,
    ) {
        let txs: Vec<_> = txs.into_iter().map(|(byte, length)| vec![byte; length]).collect();
        let head = BundleHead { maker, counter, made_at_height };
        let of = txs.iter().map(Vec::as_slice);
        let bytes = Bytes::from(make_bundle(&head, of, (&SigningKey::from(SECRET), &domain())));
        prop_assert_eq!(&remade(&bytes, |_| {}), &bytes);
        let read = Bundle::read(&bytes).unwrap();
        prop_assert_eq!(read.head, head);
        prop_assert_eq!(&read.txs, &txs);
        prop_assert_eq!(read.verify(&key(), &domain()), Ok(()));
        let framed = txs.iter().map(|tx| bundle::bundled_bytes(tx.len())).sum::<usize>();
        prop_assert!(bytes.len() <= framed + MAX_BUNDLE_FRAME_BYTES);
    }

    /// Any other bytes are no bundle, or the bytes that their re-encoding gives.
    #[test]
    fn rules_10_a_bundle_has_one_form(
        changes in vec((any::<usize>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = of(&two(), &domain()).to_vec();
        for (at, byte, kind) in changes {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if Bundle::read(&Bytes::from(bytes.clone())).is_ok() {
            prop_assert_eq!(remade(&bytes, |_| {}), bytes);
        }
    }
}

#[test]
fn rules_10_every_field_of_a_bundle_is_there() {
    let good = of(&two(), &domain());
    assert!(Bundle::read(&good).is_ok());
    let changes: [fn(&mut v1::Bundle); 9] = [
        |it| it.maker.truncate(19),
        |it| it.maker.clear(),
        |it| it.counter = 0,
        |it| it.made_at_height = 0,
        |it| it.txs.clear(),
        |it| it.txs[1].truncate(63),
        |it| it.txs.push(Vec::new()),
        |it| it.signature.truncate(63),
        |it| it.signature.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let refusal = Bundle::read(&remade(&good, change)).unwrap_err();
        assert_eq!(refusal.code, Code::TxMalformed, "change {number}");
    }
}

#[test]
fn rules_10_a_bundle_is_for_one_chain_one_key_and_one_content() {
    let good = of(&two(), &domain());
    let code = |bytes: &Bytes, key: &[u8; 32], domain: &SigningDomain| {
        Bundle::read(bytes).unwrap().verify(key, domain).map_err(|refusal| refusal.code)
    };
    assert_eq!(code(&good, &key(), &domain()), Ok(()));
    let wrong = Err(Code::BadSignature);
    assert_eq!(code(&good, &[9; 32], &domain()), wrong);
    assert_eq!(code(&good, &key(), &SigningDomain::new("other-1", &genesis_hash())), wrong);
    assert_eq!(code(&good, &key(), &SigningDomain::new(CHAIN_ID, &[1; 32])), wrong);
    let changes: [fn(&mut v1::Bundle); 6] = [
        |it| it.maker[0] ^= 1,
        |it| it.counter += 1,
        |it| it.made_at_height += 1,
        |it| it.txs.swap(0, 1),
        |it| drop(it.txs.pop()),
        |it| it.txs[0][0] ^= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(code(&remade(&good, change), &key(), &domain()), wrong, "change {number}");
    }
}

#[test]
fn rules_10_a_bundle_is_no_transaction() {
    let refusal = decode(&of(&two(), &domain()), 1 << 16, &domain()).unwrap_err();
    assert_eq!(refusal.code, Code::NotAuthorised);
}

#[test]
fn rules_10_the_vectors_of_lists_and_bundles_are_as_they_were() {
    let txs = two();
    let rows = vec![
        v1::BlockListRow { code: 107, gas_wanted: 20_400, gas_used: 20_300, results: Vec::new() },
        v1::BlockListRow {
            gas_wanted: 20_400,
            gas_used: 20_350,
            results: vec![v1::OperationResult { order_id: 5, ..Default::default() }],
            ..Default::default()
        },
    ];
    let bundled = of(&txs, &domain());
    let message = block::unwrap(BUNDLE, &bundled).unwrap();
    let mut signed = domain().prefix(BUNDLE_PURPOSE);
    signed.extend(&message[..message.len() - 66]);
    let vectors = json!({
        "chain_id": CHAIN_ID,
        "genesis_hash_hex": hex::encode(genesis_hash()),
        "transactions_hex": txs.iter().map(hex::encode).collect::<Vec<_>>(),
        "block_list": {
            "type_url": BLOCK_LIST,
            "transaction_hex": hex::encode(block::wrap_list(txs.iter().map(Vec::as_slice))),
            "result_data_hex": hex::encode(list_data(rows)),
        },
        "bundle": {
            "type_url": BUNDLE,
            "secret_hex": hex::encode(SECRET),
            "node_key_hex": hex::encode(key()),
            "maker_hex": hex::encode(HEAD.maker),
            "counter": HEAD.counter,
            "made_at_height": HEAD.made_at_height,
            "signed_hex": hex::encode(signed),
            "transaction_hex": hex::encode(&bundled),
        },
    });
    let text = format!("{vectors:#}\n");
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(text, then, "another format; see the head of this file");
}

//! The stateless check of a transaction: it accepts, or refuses with a code, and never panics.

use proptest::prelude::*;
use prost::Message as _;
use tidemark_proto::tx::block::{self, BLOCK_LIST, BLOCK_PRICES};
use tidemark_proto::tx::{decode, Signer, TxOptions};
use tidemark_proto::types::{
    Address, Message, SigningDomain, MAX_OPERATIONS, MAX_OPERATION_RESULT_BYTES,
    MAX_RESULT_BYTES_PER_GAS, MAX_TX_RESULT_BYTES,
};
use tidemark_proto::{v1, Code, Refusal};

const CHAIN: &str = "tidemark-test-1";
const MAX_BYTES: usize = 64 * 1024;

fn signer(chain: &str) -> Signer {
    Signer::from_secret(&[7; 32], chain).unwrap()
}

fn here() -> SigningDomain {
    SigningDomain::without_genesis(CHAIN)
}

fn place() -> v1::Operation {
    v1::Operation {
        operation: Some(v1::operation::Operation::Place(v1::PlaceOrder {
            market: 1,
            side: 1,
            price_ticks: 100,
            lots: 5,
            ..Default::default()
        })),
    }
}

fn orders(count: usize) -> v1::MsgOrders {
    v1::MsgOrders { operations: vec![place(); count], ..Default::default() }
}

fn check(bytes: &[u8]) -> Result<(), Refusal> {
    decode(bytes, MAX_BYTES, &here())?.verify(&here())
}

fn code(bytes: &[u8]) -> Code {
    check(bytes).unwrap_err().code
}

fn rewrap(
    bytes: &[u8],
    change: impl FnOnce(&mut cosmrs::proto::cosmos::tx::v1beta1::TxRaw),
) -> Vec<u8> {
    let mut raw = cosmrs::proto::cosmos::tx::v1beta1::TxRaw::decode(bytes).unwrap();
    change(&mut raw);
    raw.encode_to_vec()
}

#[test]
fn a_signed_batch_is_read_back_as_it_was_sent() {
    let signer = signer(CHAIN);
    let bytes = signer
        .sign(orders(3), TxOptions { sequence: 9, timeout_height: 77, ..TxOptions::default() })
        .unwrap();
    let tx = decode(&bytes, MAX_BYTES, &here()).unwrap();
    assert_eq!(tx.verify(&here()), Ok(()));
    assert_eq!((tx.tx.signer, tx.tx.sequence, tx.tx.timeout_height), (signer.address(), 9, 77));
    assert!(matches!(tx.tx.message, Message::Orders { operations, .. } if operations.len() == 3));
}

#[test]
fn addresses_round_trip_and_others_are_refused() {
    let address = signer(CHAIN).address();
    assert_eq!(Address::parse(&address.to_string()), Ok(address));
    for wrong in ["", "tide1", "cosmos1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqnrql8a", &"x".repeat(1000)] {
        assert_eq!(Address::parse(wrong).unwrap_err().code, Code::InvalidArgument);
    }
}

#[test]
fn each_kind_of_bad_transaction_has_its_own_code() {
    let signer = signer(CHAIN);
    let good = signer.sign(orders(1), TxOptions::default()).unwrap();
    assert_eq!(check(&good), Ok(()));
    assert_eq!(code(&vec![0; MAX_BYTES + 1]), Code::TxTooLarge);
    assert_eq!(code(&good[..good.len() - 1]), Code::TxMalformed);
    assert_eq!(code(b"nonsense"), Code::TxMalformed);
    assert_eq!(code(&rewrap(&good, |raw| raw.signatures.clear())), Code::TxUnsigned);
    assert_eq!(code(&rewrap(&good, |raw| raw.signatures[0][5] ^= 1)), Code::BadSignature);
    assert_eq!(code(&rewrap(&good, |raw| raw.signatures[0].fill(0))), Code::BadSignature);
    let elsewhere = self::signer("elsewhere-1").sign(orders(1), TxOptions::default()).unwrap();
    assert_eq!(code(&elsewhere), Code::WrongChain);
    let any = cosmrs::Any { type_url: "/cosmos.bank.v1beta1.MsgSend".into(), value: vec![] };
    assert_eq!(code(&signer.sign_any(any, TxOptions::default()).unwrap()), Code::UnknownMessage);
    let foreign = v1::MsgOrders { sender: Address([1; 20]).to_string(), ..orders(1) };
    let any =
        cosmrs::Any { type_url: "/tidemark.v1.MsgOrders".into(), value: foreign.encode_to_vec() };
    assert_eq!(code(&signer.sign_any(any, TxOptions::default()).unwrap()), Code::WrongSigner);
    for count in [0, MAX_OPERATIONS + 1] {
        let batch = signer.sign(orders(count), TxOptions::default()).unwrap();
        assert_eq!(code(&batch), Code::OperationCount);
    }
}

#[test]
fn rules_10_a_transaction_has_one_form() {
    let good = signer(CHAIN).sign(orders(1), TxOptions::default()).unwrap();
    // A field that no message has, which decoders pass over.
    let unknown = [0x78, 1];
    assert_eq!(code(&[&good[..], &unknown].concat()), Code::TxMalformed);
    assert_eq!(code(&rewrap(&good, |raw| raw.body_bytes.extend(unknown))), Code::TxMalformed);
    assert_eq!(code(&rewrap(&good, |raw| raw.auth_info_bytes.extend(unknown))), Code::TxMalformed);
    // An empty field, which none is written for.
    assert_eq!(code(&[&good[..], &[0x12, 0]].concat()), Code::TxMalformed);
}

#[test]
fn rules_10_nobody_but_a_proposer_sends_its_messages() {
    for type_url in [BLOCK_PRICES, BLOCK_LIST] {
        assert_eq!(code(&block::wrap(type_url, vec![8, 1])), Code::NotAuthorised);
        let any = cosmrs::Any { type_url: type_url.into(), value: vec![8, 1] };
        let signed = signer(CHAIN).sign_any(any, TxOptions::default()).unwrap();
        assert_eq!(code(&signed), Code::NotAuthorised);
    }
}

#[test]
fn a_wrong_chain_without_a_tag_is_a_bad_signature() {
    let here = signer(CHAIN);
    let message = v1::MsgOrders { sender: here.address().to_string(), ..orders(1) };
    let any =
        cosmrs::Any { type_url: "/tidemark.v1.MsgOrders".into(), value: message.encode_to_vec() };
    let bytes = signer("elsewhere-1").sign_any(any, TxOptions::default()).unwrap();
    assert_eq!(code(&bytes), Code::BadSignature);
}

#[test]
fn rules_10_the_same_chain_id_twice_shares_no_signature() {
    let (first, second) = ([1; 32], [2; 32]);
    let bytes = signer(CHAIN).for_genesis(&first).sign(orders(1), TxOptions::default()).unwrap();
    let verify = |genesis_hash| {
        let domain = SigningDomain::new(CHAIN, genesis_hash);
        decode(&bytes, MAX_BYTES, &domain).unwrap().verify(&domain)
    };
    assert_eq!(verify(&first), Ok(()));
    assert_eq!(verify(&second).unwrap_err().code, Code::BadSignature);
    // What CosmJS reads as a number without loss.
    let most = SigningDomain::new(CHAIN, &[0xff; 32]).account_number();
    assert_eq!(most, (1 << 48) - 1);
}

#[test]
fn the_offending_operation_is_named() {
    let mut batch = orders(2);
    batch.operations[1].operation = None;
    let bytes = signer(CHAIN).sign(batch, TxOptions::default()).unwrap();
    assert_eq!(check(&bytes).unwrap_err().message, "operation 1: has no content");
}

/// One of each operation, with what costs least.
fn each_operation() -> Vec<v1::operation::Operation> {
    use v1::operation::Operation;
    let order = v1::PlaceOrder {
        market: 1,
        side: 1,
        price_ticks: 100,
        lots: 5,
        post_only: 1,
        ..Default::default()
    };
    let (side, lots) = (1, 5);
    let stop = v1::PlaceOrder { trigger: 1, trigger_price_ticks: 90, ..order };
    let twap = v1::PlaceTwap { side, lots, slices: 2, interval_ms: 1_000, ..Default::default() };
    let (from_ticks, to_ticks) = (100, 90);
    let scale = v1::PlaceScale {
        side,
        lots,
        count: 2,
        from_ticks,
        to_ticks,
        post_only: 1,
        ..Default::default()
    };
    vec![
        Operation::Cancel(v1::CancelOrder { order_id: 1, ..Default::default() }),
        Operation::Replace(v1::ReplaceOrder {
            order_id: 1,
            lots: Some(lots),
            ..Default::default()
        }),
        Operation::CancelAll(v1::CancelAll::default()),
        Operation::ScheduleCancelAll(v1::ScheduleCancelAll::default()),
        Operation::Place(order),
        Operation::Place(stop),
        Operation::Twap(twap),
        Operation::Scale(scale),
        Operation::Oco(v1::PlaceOco { first: Some(order), second: Some(stop) }),
        Operation::Bracket(v1::PlaceBracket {
            entry: Some(order),
            take_profit: None,
            stop_loss: Some(v1::PlaceOrder { side: 2, lots: 0, reduce_only: true, ..stop }),
        }),
    ]
}

#[test]
fn rules_10_gas_covers_the_bytes_of_the_largest_result() {
    let gas = |operations: Vec<v1::operation::Operation>| {
        let operations = operations.into_iter().map(v1::Operation::from);
        let message = v1::MsgOrders { operations: operations.collect(), ..Default::default() };
        let bytes = signer(CHAIN).sign(message, TxOptions::default()).unwrap();
        decode(&bytes, MAX_BYTES, &here()).unwrap().tx.message.static_gas()
    };
    for operation in each_operation() {
        let one = gas(vec![operation]);
        let each = gas(vec![operation; 2]) - one;
        assert!(
            each * MAX_RESULT_BYTES_PER_GAS >= MAX_OPERATION_RESULT_BYTES,
            "{each} gas: {operation:?}"
        );
        assert!((one - each) * MAX_RESULT_BYTES_PER_GAS >= MAX_TX_RESULT_BYTES, "{one} gas");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn a_flipped_bit_never_passes(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = signer(CHAIN).sign(orders(2), TxOptions::default()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(check(&bytes).is_err());
    }
}

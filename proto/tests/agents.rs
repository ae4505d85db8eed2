//! Authorisations, and the short form that agents sign: one form, one identity, and no signature
//! that somebody else could have made.

#[path = "agents/vectors.rs"]
mod vectors;

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message as _;
use tidemark_proto::tx::{block, decode, AgentSigner, Signer, TxOptions, SIGNED};
use tidemark_proto::types::{Address, AgentKey, AgentScope, Message, SigningDomain, Subaccounts};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId};
use tidemark_proto::v1::agent_orders::Keeper;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code, Refusal};

const CHAIN: &str = "tidemark-test-1";
const MAX_BYTES: usize = 64 * 1024;
const OWNER: Address = Address([9; 20]);
const NONCE_MS: u64 = 1_760_000_000_123;

fn here() -> SigningDomain {
    SigningDomain::new(CHAIN, &[0xab; 32])
}

/// An agent of each kind of key.
fn agents(domain: &SigningDomain) -> [AgentSigner; 2] {
    let secp256k1 = AgentSigner::secp256k1([8; 32], domain.clone()).unwrap();
    [AgentSigner::ed25519([7; 32], domain.clone()), secp256k1]
}

fn orders() -> v1::AgentOrders {
    let cancel = v1::CancelOrder { market: 1, order_id: 17, client_id: 0 };
    let operation = v1::Operation { operation: Some(Operation::Cancel(cancel)) };
    v1::AgentOrders {
        nonce_ms: NONCE_MS,
        gas_limit: 50_000,
        timeout_height: 77,
        subaccount: 3,
        mode: v1::BatchMode::All.into(),
        operations: vec![operation],
        ..Default::default()
    }
}

fn check(bytes: &[u8]) -> Result<(), Refusal> {
    decode(bytes, MAX_BYTES, &here())?.verify(&here())
}

fn code(bytes: &[u8]) -> Code {
    check(bytes).unwrap_err().code
}

/// The bytes with another message in the same wrapping.
fn remade(bytes: &[u8], change: impl FnOnce(&mut v1::MsgSigned)) -> Vec<u8> {
    let value = block::unwrap(SIGNED, bytes).unwrap();
    let mut message = v1::MsgSigned::decode(value).unwrap();
    change(&mut message);
    block::wrap(SIGNED, message.encode_to_vec())
}

/// The bytes with another content under the same signature.
fn with_content(bytes: &[u8], change: impl FnOnce(&mut v1::AgentOrders)) -> Vec<u8> {
    remade(bytes, |message| {
        let mut orders = v1::AgentOrders::decode(message.content.as_slice()).unwrap();
        change(&mut orders);
        message.content = orders.encode_to_vec();
    })
}

#[test]
fn a_batch_that_an_agent_signs_is_read_back_as_it_was_sent() {
    for agent in agents(&here()) {
        let signed = agent.sign(&OWNER, orders());
        let read = decode(&signed.bytes, MAX_BYTES, &here()).unwrap();
        assert_eq!(read.verify(&here()), Ok(()));
        let tx = read.tx;
        assert_eq!((tx.signer, tx.agent, tx.sequence), (OWNER, Some(agent.key()), NONCE_MS));
        assert_eq!((tx.gas_limit, tx.timeout_height, tx.size), (50_000, 77, signed.bytes.len()));
        assert_eq!(tx.hash, signed.identity);
        let expected = matches!(
            tx.message,
            Message::Orders { subaccount: 3, all_or_none: true, ref operations, .. }
                if operations.len() == 1
        );
        assert!(expected, "{:?}", tx.message);
    }
}

fn keepers(keeper: Keeper) -> v1::AgentOrders {
    v1::AgentOrders {
        operations: Vec::new(),
        mode: v1::BatchMode::Each.into(),
        keeper: Some(keeper),
        ..orders()
    }
}

const SET_ASIDE: Keeper =
    Keeper::SetAside(v1::SetAside { market: 2, set_aside_atoms: 5_000_000_000 });
const TAKE_LISTED: Keeper =
    Keeper::TakeListed(v1::TakeListed { market: 2, account_id: 77, lots: 400 });

#[test]
fn rules_10_a_keepers_messages_have_a_short_form() {
    let agent = &agents(&here())[0];
    for (keeper, expected) in [
        (
            SET_ASIDE,
            Message::RegisterBackstop {
                subaccount: 3,
                market: MarketId::new(2),
                set_aside_atoms: Atoms::new(5_000_000_000),
            },
        ),
        (
            TAKE_LISTED,
            Message::Takeover {
                subaccount: 3,
                market: MarketId::new(2),
                account: AccountId::new(77),
                lots: Lots::new(400),
            },
        ),
    ] {
        let read = decode(&agent.sign(&OWNER, keepers(keeper)).bytes, MAX_BYTES, &here()).unwrap();
        assert_eq!((read.verify(&here()), read.tx.message), (Ok(()), expected));
        let alone = |change: fn(&mut v1::AgentOrders)| {
            let mut content = keepers(keeper);
            change(&mut content);
            code(&agent.sign(&OWNER, content).bytes)
        };
        for refused in [
            alone(|content| content.operations = orders().operations),
            alone(|content| content.mode = v1::BatchMode::All.into()),
            alone(|content| content.pays_flat_fee = true),
        ] {
            assert_eq!(refused, Code::InvalidArgument);
        }
    }
    let no_lots = Keeper::TakeListed(v1::TakeListed { market: 2, account_id: 77, lots: 0 });
    assert_eq!(code(&agent.sign(&OWNER, keepers(no_lots)).bytes), Code::QuantityTooSmall);
    // One of the two: of both, a decoder keeps the last.
    let both = remade(&agent.sign(&OWNER, keepers(SET_ASIDE)).bytes, |message| {
        let more = keepers(TAKE_LISTED).encode_to_vec();
        message.content.extend(&more[more.len() - 9..]);
    });
    assert_eq!(code(&both), Code::TxMalformed);
}

#[test]
fn rules_10_two_of_one_nonce_and_one_content_differ_by_their_salt() {
    let agent = &agents(&here())[0];
    let salted = |salt: u32| {
        let signed = agent.sign(&OWNER, v1::AgentOrders { salt, ..orders() });
        let read = decode(&signed.bytes, MAX_BYTES, &here()).unwrap();
        assert_eq!((read.verify(&here()), read.tx.sequence), (Ok(()), NONCE_MS));
        read.tx.hash
    };
    let hashes: BTreeSet<_> = [0, 1, 2, u32::MAX].map(salted).into();
    assert_eq!(hashes.len(), 4);
}

#[test]
fn rules_10_the_short_form_has_one_form() {
    let good = agents(&here())[0].sign(&OWNER, orders()).bytes;
    assert_eq!(check(&good), Ok(()));
    // A field that no message has, which decoders pass over, and an empty one.
    for more in [&[0x78, 1][..], &[0x12, 0]] {
        assert_eq!(code(&[&good[..], more].concat()), Code::TxMalformed);
        let content = remade(&good, |message| message.content.extend(more));
        assert_eq!(code(&content), Code::TxMalformed);
        let mut value = block::unwrap(SIGNED, &good).unwrap().to_vec();
        value.extend(more);
        assert_eq!(code(&block::wrap(SIGNED, value)), Code::TxMalformed);
    }
    // An owner's signature around it.
    let value = block::unwrap(SIGNED, &good).unwrap().to_vec();
    let any = cosmrs::Any { type_url: SIGNED.into(), value };
    let owner = Signer::from_secret(&[7; 32], CHAIN).unwrap();
    assert_eq!(code(&owner.sign_any(any, TxOptions::default()).unwrap()), Code::TxMalformed);
}

#[test]
fn each_kind_of_bad_short_form_has_its_own_code() {
    for agent in agents(&here()) {
        let good = agent.sign(&OWNER, orders()).bytes;
        for (bytes, expected) in [
            (remade(&good, |message| message.signature[5] ^= 1), Code::BadSignature),
            (remade(&good, |message| message.signature.fill(0)), Code::BadSignature),
            (remade(&good, |message| message.signature.truncate(63)), Code::TxUnsigned),
            (with_content(&good, |orders| orders.nonce_ms += 1), Code::BadSignature),
            (with_content(&good, |orders| orders.owner[3] ^= 1), Code::BadSignature),
            (with_content(&good, |orders| orders.owner.truncate(19)), Code::TxMalformed),
            (with_content(&good, |orders| orders.agent_key.truncate(31)), Code::InvalidArgument),
            (with_content(&good, |orders| orders.agent_key.fill(2)), Code::BadSignature),
            (with_content(&good, |orders| orders.operations.clear()), Code::OperationCount),
            (with_content(&good, |orders| orders.gas_limit = 1), Code::OutOfGas),
            (with_content(&good, |orders| orders.mode = 2), Code::InvalidArgument),
        ] {
            assert_eq!(code(&bytes), expected);
        }
    }
}

#[test]
fn rules_10_a_short_form_is_for_one_chain_and_one_genesis() {
    for domain in [
        SigningDomain::new(CHAIN, &[0xac; 32]),
        SigningDomain::new("tidemark-test-2", &[0xab; 32]),
        // The same bytes, divided otherwise between the chain id and the genesis hash.
        SigningDomain::new("tidemark-test-", &[b'1'; 32]),
    ] {
        for agent in agents(&domain) {
            let signed = agent.sign(&OWNER, orders());
            assert_eq!(code(&signed.bytes), Code::BadSignature);
            let here = agents(&here()).map(|agent| agent.sign(&OWNER, orders()).identity);
            assert!(!here.contains(&signed.identity));
        }
    }
}

/// The order of secp256k1 less a scalar, both big endian.
fn negated(scalar: &[u8]) -> Vec<u8> {
    let order =
        hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let mut borrow = 0;
    let mut out: Vec<u8> = order
        .iter()
        .zip(scalar)
        .rev()
        .map(|(of, by)| {
            let difference = i16::from(*of) - i16::from(*by) - borrow;
            borrow = i16::from(difference < 0);
            (difference & 0xff) as u8
        })
        .collect();
    out.reverse();
    out
}

#[test]
fn rules_10_nobody_else_makes_another_signature_of_the_same_content() {
    let [ed25519, secp256k1] = agents(&here()).map(|agent| agent.sign(&OWNER, orders()).bytes);
    // secp256k1: s and n − s are the two signatures that everybody can turn into each other.
    let high = remade(&secp256k1, |message| {
        let s = negated(&message.signature[32..]);
        message.signature[32..].copy_from_slice(&s);
    });
    assert_eq!(code(&high), Code::BadSignature);
    // ed25519: s and s + l.
    let order =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let beyond = remade(&ed25519, |message| {
        let mut carry = 0;
        for (byte, more) in message.signature[32..].iter_mut().zip(&order) {
            let sum = u16::from(*byte) + u16::from(*more) + carry;
            (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
        }
    });
    assert_eq!(code(&beyond), Code::BadSignature);
}

fn authorise(key: &[u8]) -> v1::MsgAuthorizeAgent {
    v1::MsgAuthorizeAgent {
        agent_key: key.to_vec(),
        scope: v1::AgentScope::Cancelling.into(),
        subaccounts: vec![5, 1],
        until_ms: 99,
        ..Default::default()
    }
}

fn read(message: v1::MsgAuthorizeAgent) -> Result<Message, Refusal> {
    let owner = Signer::from_secret(&[7; 32], CHAIN).unwrap();
    let bytes = owner.sign(message, TxOptions::default()).unwrap();
    decode(&bytes, MAX_BYTES, &here()).map(|signed| signed.tx.message)
}

#[test]
fn an_authorisation_is_read_back_as_it_was_sent() {
    for agent in agents(&here()) {
        let Message::AuthorizeAgent(read) = read(authorise(agent.key().as_bytes())).unwrap() else {
            panic!("another message");
        };
        assert_eq!((read.key, read.scope), (agent.key(), AgentScope::Cancelling));
        assert_eq!(
            (read.subaccounts, read.until_ms.get()),
            (Subaccounts::of(&[1, 5]).unwrap(), 99)
        );
    }
}

#[test]
fn rules_10_a_key_for_which_anybody_can_sign_is_never_authorised() {
    let refused = |key: &[u8]| read(authorise(key)).unwrap_err().message;
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let minus_one = hex::decode("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    // Of order 1, 2, 4 and 8, and the neutral point with a sign that it does not have.
    let of_order_8 =
        hex::decode("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
    let mut odd = neutral;
    odd[31] = 0x80;
    for key in
        [neutral.to_vec(), minus_one.unwrap(), vec![0; 32], of_order_8.unwrap(), odd.to_vec()]
    {
        assert!(refused(&key).contains("small order"), "{}", refused(&key));
        assert!(AgentKey::from_bytes(&key).is_ok());
    }
    for key in [vec![2; 32], vec![5; 33]] {
        assert!(refused(&key).contains("not a point"), "{}", refused(&key));
    }
}

#[test]
fn an_authorisation_says_what_and_for_which_subaccounts() {
    let key = agents(&here())[0].key();
    let good = authorise(key.as_bytes());
    for wrong in [
        v1::MsgAuthorizeAgent { scope: 0, ..good.clone() },
        v1::MsgAuthorizeAgent { scope: 3, ..good.clone() },
        v1::MsgAuthorizeAgent { subaccounts: vec![128], ..good.clone() },
        v1::MsgAuthorizeAgent { subaccounts: vec![1, 1], ..good.clone() },
        v1::MsgAuthorizeAgent { agent_key: Vec::new(), ..good },
    ] {
        assert_eq!(read(wrong).unwrap_err().code, Code::InvalidArgument);
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_never_passes(
        which in 0_usize..2,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut bytes = agents(&here())[which].sign(&OWNER, orders()).bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(check(&bytes).is_err());
    }
}

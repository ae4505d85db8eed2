//! Transactions that are refused whole: by their form, their signature or their sequence.

use cosmos_sdk_proto::cosmos::tx::v1beta1::{AuthInfo, Fee, TxBody, TxRaw};
use cosmos_sdk_proto::Any;
use prost::Message as _;
use tidemark_proto::tx::block::{self, BLOCK_LIST, BLOCK_PRICES};
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::v1;
use tidemark_tests::harness::{one_market, secret, signer};

use super::{Story, Table};

fn withdrawal() -> v1::MsgWithdraw {
    v1::MsgWithdraw { amount_atoms: 1, ..Default::default() }
}

fn signed(sequence: u64, timeout_height: u64) -> Vec<u8> {
    let options = TxOptions { sequence, timeout_height, ..TxOptions::default() };
    signer("trader").sign(withdrawal(), options).expect("the key signs")
}

fn signed_any(type_url: &str, value: Vec<u8>) -> Vec<u8> {
    let any = cosmrs_any(type_url, value);
    signer("trader").sign_any(any, TxOptions::default()).expect("the key signs")
}

fn cosmrs_any(type_url: &str, value: Vec<u8>) -> Any {
    Any { type_url: type_url.to_owned(), value }
}

/// A transaction changed after it was signed.
fn raw(change: impl FnOnce(&mut TxRaw)) -> Vec<u8> {
    let mut tx = TxRaw::decode(signed(0, 0).as_slice()).expect("a transaction");
    change(&mut tx);
    tx.encode_to_vec()
}

fn body(change: impl FnOnce(&mut TxBody)) -> Vec<u8> {
    raw(|tx| {
        let mut body = TxBody::decode(tx.body_bytes.as_slice()).expect("a body");
        change(&mut body);
        tx.body_bytes = body.encode_to_vec();
    })
}

fn auth(change: impl FnOnce(&mut AuthInfo)) -> Vec<u8> {
    raw(|tx| {
        let mut auth = AuthInfo::decode(tx.auth_info_bytes.as_slice()).expect("an auth info");
        change(&mut auth);
        tx.auth_info_bytes = auth.encode_to_vec();
    })
}

fn of_another_chain() -> Vec<u8> {
    let signer = Signer::from_secret(&secret("trader"), "another-chain").expect("a key");
    signer.sign(withdrawal(), TxOptions::default()).expect("the key signs")
}

/// Names another sender than the signer.
fn of_another_sender() -> Vec<u8> {
    let sender = signer("other").address().to_string();
    let message = v1::MsgWithdraw { sender, ..withdrawal() };
    signed_any("/tidemark.v1.MsgWithdraw", message.encode_to_vec())
}

fn malformed() -> Vec<Vec<u8>> {
    vec![
        vec![0; 70_000],
        vec![0xff],
        raw(|tx| tx.body_bytes = vec![0xff]),
        raw(|tx| tx.auth_info_bytes = vec![0xff]),
        body(|body| body.messages.clear()),
        body(|body| body.memo = "x".repeat(257)),
        body(|body| body.extension_options.push(cosmrs_any("/x", Vec::new()))),
        signed_any("/tidemark.v1.MsgWithdraw", vec![0xff]),
        signed_any("/tidemark.v1.MsgUnheardOf", Vec::new()),
        // A proposer's messages, in a proposer's form and signed.
        block::wrap(BLOCK_PRICES, Vec::new()),
        signed_any(BLOCK_LIST, Vec::new()),
        // Fields that no message has.
        [raw(|_| ()), vec![0x78, 1]].concat(),
        raw(|tx| tx.body_bytes.extend([0x78, 1])),
        raw(|tx| tx.auth_info_bytes.extend([0x78, 1])),
        signed_any("/tidemark.v1.MsgOrders", Vec::new()),
        of_another_sender(),
        auth(|auth| auth.fee = Some(Fee { gas_limit: 1, ..Default::default() })),
    ]
}

fn unsigned() -> Vec<Vec<u8>> {
    vec![
        raw(|tx| tx.signatures.clear()),
        raw(|tx| tx.signatures = vec![vec![1; 63]]),
        auth(|auth| auth.signer_infos.clear()),
        auth(|auth| auth.signer_infos[0].mode_info = None),
        auth(|auth| auth.signer_infos[0].public_key = None),
        auth(|auth| auth.signer_infos[0].public_key = Some(cosmrs_any("/x", Vec::new()))),
        auth(|auth| {
            if let Some(key) = &mut auth.signer_infos[0].public_key {
                key.value.truncate(5);
            }
        }),
        raw(|tx| tx.signatures = vec![vec![1; 64]]),
        of_another_chain(),
    ]
}

pub(super) fn run(table: &mut Table) {
    let mut story = Story::new(one_market(&["trader"]), table);
    let of_the_account = [signed(1, 0), signed(0, 1)];
    for bytes in malformed().into_iter().chain(unsigned()).chain(of_the_account) {
        story.chain.send_raw(bytes);
        story.block();
    }
    story.send("trader", withdrawal());
    story.chain.send_raw(signed(0, 0));
    story.block();
    story.send("stranger", withdrawal());
    story.chain.state.chain.params.max_block_gas = 100_000_000;
    story.send("trader", withdrawal());
}

//! The largest replies, through the socket that CometBFT reads.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use prost::Message as _;
use tendermint_proto::v0_38::abci::{
    request, response, Request, RequestCommit, RequestFlush, Response,
};
use tidemark_consensus::abci::server::{Address, Server, ServerOptions};
use tidemark_proto::tx::operation_results;
use tidemark_proto::types::{MAX_OPERATIONS, MAX_RESULT_BYTES_PER_GAS, MAX_TX_RESULT_BYTES};
use tidemark_proto::Code;

use super::rig::{block_after, history, Rig, INDEX};
use super::traffic::refused_batches;

/// Asks for one thing, as CometBFT does, and reads the answer with the number of its bytes.
fn ask(stream: &mut UnixStream, value: request::Value) -> (response::Value, usize) {
    for value in [value, request::Value::Flush(RequestFlush {})] {
        let bytes = Request { value: Some(value) }.encode_length_delimited_to_vec();
        stream.write_all(&bytes).expect("a connection");
    }
    let answer = read(stream);
    assert!(matches!(read(stream).0, response::Value::Flush(_)));
    answer
}

fn read(stream: &mut UnixStream) -> (response::Value, usize) {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("an answer");
    let response = Response::decode(&*bytes).expect("a response");
    (response.value.expect("a response of a known kind"), length)
}

/// Before results were numbers, 1 114 such transactions had a reply that CometBFT did not read.
#[test]
fn the_largest_block_of_refused_batches_is_answered_through_the_socket() {
    let decided = history(&[]);
    let rig = Rig::new(2, INDEX);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let address = Address::Unix(path.clone());
    let server = Server::start(&address, ServerOptions::default(), rig.node.clone());
    let server = server.expect("a server");
    let mut stream = UnixStream::connect(&path).expect("a connection");
    for block in &decided {
        ask(&mut stream, request::Value::FinalizeBlock(block.block.clone()));
        ask(&mut stream, request::Value::Commit(RequestCommit {}));
    }
    let block = block_after(&decided, refused_batches((4 << 20) - (1 << 10)));
    let batches = block.txs.len() - 1;
    assert!(batches > 1_200, "{batches} batches");
    let (answer, bytes) = ask(&mut stream, request::Value::FinalizeBlock(block));
    let response::Value::FinalizeBlock(answer) = answer else { panic!("another answer") };
    let results = &answer.tx_results[1..];
    assert_eq!(results.len(), batches);
    let gas: i64 = results.iter().map(|result| result.gas_wanted).sum();
    println!("{batches} batches, {gas} gas: a reply of {bytes} bytes");
    assert!(results.iter().all(|result| result.code == Code::UnknownOrder.number()));
    let rows = operation_results(&results[batches - 1].data).expect("data");
    assert_eq!(rows.len(), MAX_OPERATIONS);
    assert!(rows[1..].iter().all(|row| row.code == Code::BatchRefused.number()));
    let bound = gas.unsigned_abs() * MAX_RESULT_BYTES_PER_GAS + MAX_TX_RESULT_BYTES;
    assert!((bytes as u64) < bound, "{bytes} bytes, at most {bound}");
    // The chain goes on.
    ask(&mut stream, request::Value::Commit(RequestCommit {}));
    assert_eq!(rig.published().len(), decided.len() + 1);
    server.stop();
}

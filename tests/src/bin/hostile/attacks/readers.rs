//! Clients that do not read what they ask for, and connections that ask for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemark_proto::v1;
use tidemark_proto::v1::query_service_client::QueryServiceClient;
use tidemark_proto::v1::stream_service_client::StreamServiceClient;
use tidemark_proto::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::{Attacker, PAUSE};

/// Connections to each node that do not read.
const READERS: usize = 8;
/// Streams of one of them.
const STREAMS: usize = 64;
/// Connections to the first node that ask for nothing: more than it takes.
const IDLE: usize = 600;
/// Those to each other node.
const IDLE_ELSEWHERE: usize = 100;
/// How long a stream is not read, and a connection is silent.
const SILENT: Duration = Duration::from_secs(12);

/// Books order by order, blocks from the first on, and exports, none of which is read.
pub fn slow(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    for number in 0..READERS * attacker.plan.grpc.len() {
        let attacker = Arc::clone(attacker);
        tasks.spawn(async move {
            let address = &attacker.plan.grpc[number % attacker.plan.grpc.len()];
            let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else { return };
            while attacker.goes_on() {
                match endpoint.connect().await {
                    Ok(channel) => unread(&attacker, channel).await,
                    Err(_) => attacker.tally.closed(),
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

/// Opens streams over one connection, reads none of them for a while, and then what is there.
async fn unread(attacker: &Attacker, channel: Channel) {
    let mut streams = StreamServiceClient::new(channel.clone());
    let mut queries = QueryServiceClient::new(channel);
    let tally = &attacker.tally;
    tally.sent();
    let export = opened(attacker, queries.export(v1::ExportRequest {}).await);
    let (mut books, mut blocks) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS / 2 {
        tally.sent();
        let request = v1::StreamOrderBookRequest::default();
        books.extend(opened(attacker, streams.order_book(request).await));
        tally.sent();
        let request = v1::StreamBlocksRequest { from_height: 1 };
        blocks.extend(opened(attacker, streams.blocks(request).await));
    }
    tokio::time::sleep(SILENT.min(attacker.until.duration_since(Instant::now()))).await;
    for mut book in books {
        ended(attacker, book.message().await.err());
    }
    for mut stream in blocks {
        ended(attacker, stream.message().await.err());
    }
    if let Some(mut export) = export {
        ended(attacker, export.message().await.err());
    }
}

fn opened<T>(
    attacker: &Attacker,
    answer: Result<tonic::Response<Streaming<T>>, Status>,
) -> Option<Streaming<T>> {
    match answer {
        Ok(stream) => {
            attacker.tally.taken();
            Some(stream.into_inner())
        }
        Err(status) => {
            ended(attacker, Some(status));
            None
        }
    }
}

/// Counts the code with which a stream ended, or the end of its connection.
fn ended(attacker: &Attacker, status: Option<Status>) {
    let Some(status) = status else { return };
    let word = status.message().split_once(": ").map_or("", |(word, _)| word);
    match Code::ALL.iter().find(|code| code.word() == word) {
        Some(code) => attacker.tally.refused(*code),
        None => attacker.tally.closed(),
    }
}

/// Connections without a request; every second says the first words of HTTP/2.
pub fn idle(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    let nodes = attacker.plan.grpc.iter().enumerate();
    let all = nodes.flat_map(|(node, address)| {
        let count = if node == 0 { IDLE } else { IDLE_ELSEWHERE };
        std::iter::repeat_n(address.clone(), count)
    });
    for (number, address) in all.enumerate() {
        let attacker = Arc::clone(attacker);
        tasks.spawn(async move {
            while attacker.goes_on() {
                attacker.tally.sent();
                match TcpStream::connect(&address).await {
                    Ok(stream) => silence(&attacker, stream, number % 2 == 0).await,
                    Err(_) => attacker.tally.unanswered(),
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

async fn silence(attacker: &Attacker, mut stream: TcpStream, speaks: bool) {
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    if speaks && stream.write_all(hello).await.is_err() {
        attacker.tally.closed();
        return;
    }
    let mut bytes = [0; 1_024];
    let end = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    // Whoever is still connected after this long was not closed for saying nothing.
    match tokio::time::timeout(SILENT, end).await {
        Ok(()) => attacker.tally.closed(),
        Err(_) => attacker.tally.unanswered(),
    }
}

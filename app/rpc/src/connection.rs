//! Connections: at most so many, each asks for something within seconds, and each can be closed
//! from here, which is the only way to get back what a client that stopped reading holds.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpIncoming};

/// Most connections. With those of CometBFT and of the disk they stay within the 1 024 open files
/// that a process may have unless told otherwise.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// How long a connection may be open before its first request.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection without a request stays open beside newcomers for whom there is no room.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// As long for one that has never asked for anything: a newcomer asks within a moment, so whoever
/// opens connections again and again and asks for nothing keeps nobody out.
const SILENT_FOR: Duration = Duration::from_millis(500);

/// A connection as requests and the table of all of them see it.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    opened: Instant,
    closed: AtomicBool,
    reader: AtomicWaker,
    /// Requests that are being answered, streams among them.
    requests: AtomicUsize,
    asked: AtomicBool,
    /// Time of the last request's begin or end, in ms since it was opened.
    active_ms: AtomicU64,
}

impl Handle {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            opened: Instant::now(),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            requests: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            active_ms: AtomicU64::new(0),
        }))
    }

    /// Closes the connection: its streams end, and what they held is free.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    /// Returns true once it is being closed from here.
    #[cfg(test)]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// A request begins.
    pub fn begin(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A request has ended.
    pub fn end(&self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        let since = self.0.opened.elapsed().as_millis();
        self.0.active_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns true if it may be closed for a newcomer after this long without a request.
    fn gives_way(&self, idle: Duration) -> bool {
        let asked = self.0.asked.load(Ordering::Relaxed);
        idle >= if asked { IDLE_FOR } else { SILENT_FOR }
    }

    /// How long it has had no request; `None` while it has one.
    fn idle_for(&self) -> Option<Duration> {
        if self.0.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let active = Duration::from_millis(self.0.active_ms.load(Ordering::Relaxed));
        Some(self.0.opened.elapsed().saturating_sub(active))
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    handles: BTreeMap<u64, Handle>,
    next_id: u64,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection. Where all are taken, one that has asked for nothing for long
    /// goes: of those the one that has been silent for longest.
    fn place(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.lock();
        if table.handles.len() >= MAX_CONNECTIONS {
            let idle = table.handles.iter().filter_map(|(id, handle)| {
                let idle = handle.idle_for()?;
                handle.gives_way(idle).then_some((idle, *id))
            });
            let (_, id) = idle.max()?;
            if let Some(handle) = table.handles.remove(&id) {
                handle.close();
            }
        }
        let (id, handle) = (table.next_id, Handle::new());
        table.next_id += 1;
        table.handles.insert(id, handle.clone());
        Some(Place { table: Arc::clone(self), id, handle })
    }
}

/// A connection's place in the table, while it is open.
#[derive(Debug)]
struct Place {
    table: Arc<Connections>,
    id: u64,
    handle: Handle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().handles.remove(&self.id);
    }
}

/// Connections as they come, as many as there is room for; others are closed at once.
pub(super) struct Accepted {
    incoming: TcpIncoming,
    connections: Arc<Connections>,
    speaks_within: Duration,
}

impl Accepted {
    pub fn new(incoming: TcpIncoming) -> Self {
        Self { incoming, connections: Arc::default(), speaks_within: SPEAKS_WITHIN }
    }
}

impl Stream for Accepted {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.incoming).poll_next(context) {
                Poll::Ready(Some(Ok(stream))) => {
                    let Some(place) = self.connections.place() else {
                        tracing::warn!("{MAX_CONNECTIONS} gRPC connections are open, no more can");
                        continue;
                    };
                    return Poll::Ready(Some(Ok(Connection {
                        stream,
                        place,
                        first_request: Box::pin(tokio::time::sleep(self.speaks_within)),
                    })));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A connection's bytes.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    place: Place,
    /// When it is closed unless a request has come.
    first_request: Pin<Box<Sleep>>,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let shared = Arc::clone(&self.place.handle.0);
        shared.reader.register(context.waker());
        if shared.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the server"));
        }
        if !shared.asked.load(Ordering::Relaxed)
            && self.first_request.as_mut().poll(context).is_ready()
        {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time"));
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Handle;

    fn connect_info(&self) -> Handle {
        self.place.handle.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_stream::StreamExt as _;

    use super::*;

    async fn pair(speaks_within: Duration) -> (Accepted, TcpStream, Connection) {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let mut accepted = Accepted { speaks_within, ..Accepted::new(incoming) };
        let client = TcpStream::connect(address).await.unwrap();
        let connection = accepted.next().await.unwrap().unwrap();
        (accepted, client, connection)
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed_and_one_with_a_request_is_not() {
        let within = Duration::from_millis(50);
        let (accepted, _client, mut silent) = pair(within).await;
        let ended = silent.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(silent);
        assert_eq!(accepted.connections.lock().handles.len(), 0, "its place is free");
        let (_accepted, mut client, mut asking) = pair(within).await;
        asking.connect_info().begin();
        tokio::time::sleep(within * 3).await;
        client.write_u8(7).await.unwrap();
        assert_eq!(asking.read_u8().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_connection_is_closed_from_outside_while_its_client_says_nothing() {
        let (_accepted, _client, mut connection) = pair(SPEAKS_WITHIN).await;
        let handle = connection.connect_info();
        handle.begin();
        let reading = tokio::spawn(async move { connection.read_u8().await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        handle.close();
        let ended = reading.await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let connections = Arc::new(Connections::default());
        let mut places: Vec<_> =
            (0..MAX_CONNECTIONS).map(|_| connections.place().unwrap()).collect();
        assert!(connections.place().is_none(), "nobody has been idle for long");
        places.pop();
        assert!(connections.place().is_some());
    }

    #[test]
    fn who_has_never_asked_gives_way_to_newcomers_before_who_has() {
        let connections = Arc::new(Connections::default());
        let places: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connections.place().unwrap()).collect();
        let silent = &places[7].handle;
        for place in places.iter().filter(|place| place.id != 7) {
            place.handle.begin();
            place.handle.end();
        }
        assert!(connections.place().is_none(), "the silent one has just come");
        std::thread::sleep(SILENT_FOR);
        assert!(connections.place().is_some());
        assert!(silent.is_closed());
    }
}

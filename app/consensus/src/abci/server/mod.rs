//! Serves an ABCI application to CometBFT, from a Unix socket or TCP.
//!
//! `tendermint_abci::Server` is not used: it leaves Nagle's algorithm on, which costs ~41 ms a
//! call, copies its buffer at each decode, and cannot be stopped. Its [`Application`] trait is the
//! seam.

mod address;
mod frame;

pub use address::{Address, BindError};
pub use frame::{FrameError, FrameReader, FrameWriter, MAX_REPLY_BYTES};

use std::{
    collections::BTreeMap,
    io::{self, Read},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use address::{Listener, Stream};
use rustix::event::{poll, PollFd, PollFlags};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{request, response, Response};

/// CometBFT opens four connections; twice that leaves room for a restarted one whose old
/// connections are closing.
const MAX_CONNECTIONS: usize = 8;

/// How long a stop waits for requests in execution before their connections are cut.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The largest request that is read, in bytes, unless the options say otherwise. A buffer grows
/// with what arrives, so a cap that is never reached costs nothing. `votes::room::check` holds
/// validator set and block size to it.
pub const MAX_FRAME_BYTES: usize = 512 * 1024 * 1024;

/// Settings of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// The largest request that is read, in bytes. Must exceed the consensus parameter
    /// `block.max_bytes` by 1 MiB a validator: `PrepareProposal` carries a block's transactions
    /// and all extensions of the last commit, of which those that came late have up to 1 MiB.
    pub max_frame_bytes: usize,
}

impl Default for ServerOptions {
    /// [`MAX_FRAME_BYTES`] a frame.
    fn default() -> Self {
        Self { max_frame_bytes: MAX_FRAME_BYTES }
    }
}

/// A server that runs until it is stopped or dropped, one thread a connection and one that accepts.
#[derive(Debug)]
pub struct Server {
    address: Address,
    shared: Arc<Shared>,
    /// Dropping it wakes the accept loop, which then ends.
    wake: Option<UnixStream>,
    acceptor: Option<JoinHandle<()>>,
}

/// State that the accept loop, the connections and the handle share.
#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    /// A clone of each open connection's stream, by connection number.
    open: Mutex<BTreeMap<u64, Stream>>,
    closed_one: Condvar,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Stream>> {
        // The map is whole at every moment, so a thread that died holding the lock has broken
        // nothing.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Binds `address` and serves `app` from there; each connection gets its own clone.
    ///
    /// A socket file that no process listens on is replaced.
    ///
    /// # Errors
    /// [`BindError`], also when the operating system gives no thread.
    pub fn start<A: Application>(
        address: &Address,
        options: ServerOptions,
        app: A,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { address: address.clone(), source };
        let listener = Listener::bind(address)?;
        let bound = listener.address(address);
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("abci-accept".into())
                .spawn(move || accept_until_woken(&listener, &woken, options, &app, &shared))
                .map_err(failed)?
        };
        tracing::info!(address = %bound, "ABCI server listens");
        Ok(Self { address: bound, shared, wake: Some(wake), acceptor: Some(acceptor) })
    }

    /// Where it listens: of TCP, with the port that was chosen for port 0.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections are open: 4 when CometBFT is there.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open().len()
    }

    /// Closes the listener, lets requests in execution finish for up to five seconds, closes the
    /// connections and removes the socket file. Dropping the server does the same.
    pub fn stop(self) {
        drop(self);
    }

    fn stop_now(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        drop(self.wake.take());
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        // Reads end, so that each connection finishes the requests it has and writes their replies.
        let open = self.shared.open();
        open.values().for_each(|stream| stream.shutdown(Shutdown::Read));
        let wait =
            self.shared.closed_one.wait_timeout_while(open, STOP_PATIENCE, |open| !open.is_empty());
        let (open, _) = wait.unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|stream| stream.shutdown(Shutdown::Both));
        drop(open);
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Accepts connections until the other end of `woken` is dropped.
fn accept_until_woken<A: Application>(
    listener: &Listener,
    woken: &UnixStream,
    options: ServerOptions,
    app: &A,
    shared: &Arc<Shared>,
) {
    let mut number = 0_u64;
    while !shared.stopping.load(Ordering::SeqCst) {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        let accepted = match poll(&mut ready, None) {
            Ok(_) => listener.accept(),
            Err(error) => Err(error.into()),
        };
        match accepted {
            Ok(stream) => {
                number = number.wrapping_add(1);
                if let Err(error) = open_connection(stream, number, options, app.clone(), shared) {
                    tracing::error!(connection = number, %error, "ABCI connection refused");
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept an ABCI connection; next try in 0.1 s");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Enters the connection in the shared map and gives it a thread.
fn open_connection<A: Application>(
    stream: Stream,
    number: u64,
    options: ServerOptions,
    app: A,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let connection = Connection::enter(stream.try_clone()?, number, shared)?;
    let writer = FrameWriter::new(stream.try_clone()?);
    let reader = FrameReader::new(stream, options.max_frame_bytes);
    thread::Builder::new()
        .name(format!("abci-{number}"))
        .spawn(move || connection.run(|| serve(reader, writer, &app)))?;
    Ok(())
}

/// A connection's place in the shared map. Dropped with its thread, also when the thread panics, it
/// closes the socket, which the clone in the map would keep open.
struct Connection {
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    fn enter(stream: Stream, number: u64, shared: &Arc<Shared>) -> io::Result<Self> {
        let mut open = shared.open();
        if open.len() >= MAX_CONNECTIONS {
            return Err(io::Error::other(format!(
                "{MAX_CONNECTIONS} connections are open, which is the cap"
            )));
        }
        open.insert(number, stream);
        Ok(Self { number, shared: Arc::clone(shared) })
    }

    /// Serves, and says how that ended. By value, so that the connection ends with its thread.
    fn run(self, serve: impl FnOnce() -> Result<(), FrameError>) {
        tracing::debug!(connection = self.number, "ABCI connection open");
        match serve() {
            Ok(()) => tracing::info!(connection = self.number, "ABCI connection ended"),
            Err(error) => {
                tracing::error!(connection = self.number, %error, "ABCI connection closed")
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(stream) = self.shared.open().remove(&self.number) {
            stream.shutdown(Shutdown::Both);
        }
        self.shared.closed_one.notify_all();
    }
}

/// Answers requests in order until the stream ends.
fn serve<R: Read, W: io::Write, A: Application>(
    mut reader: FrameReader<R>,
    mut writer: FrameWriter<W>,
    app: &A,
) -> Result<(), FrameError> {
    while let Some(request) = reader.next_request()? {
        let is_flush = matches!(request, request::Value::Flush(_));
        writer.push(&Response { value: Some(answer(app, request)) })?;
        if is_flush {
            writer.flush()?;
        }
    }
    writer.flush()
}

/// Calls the method that the request names. (`tendermint-abci` keeps its own dispatcher private.)
fn answer<A: Application>(app: &A, request: request::Value) -> response::Value {
    use request::Value as Ask;
    use response::Value as Answer;
    match request {
        Ask::Echo(request) => Answer::Echo(app.echo(request)),
        Ask::Flush(_) => Answer::Flush(app.flush()),
        Ask::Info(request) => Answer::Info(app.info(request)),
        Ask::InitChain(request) => Answer::InitChain(app.init_chain(request)),
        Ask::Query(request) => Answer::Query(app.query(request)),
        Ask::CheckTx(request) => Answer::CheckTx(app.check_tx(request)),
        Ask::Commit(_) => Answer::Commit(app.commit()),
        Ask::ListSnapshots(_) => Answer::ListSnapshots(app.list_snapshots()),
        Ask::OfferSnapshot(request) => Answer::OfferSnapshot(app.offer_snapshot(request)),
        Ask::LoadSnapshotChunk(request) => {
            Answer::LoadSnapshotChunk(app.load_snapshot_chunk(request))
        }
        Ask::ApplySnapshotChunk(request) => {
            Answer::ApplySnapshotChunk(app.apply_snapshot_chunk(request))
        }
        Ask::PrepareProposal(request) => Answer::PrepareProposal(app.prepare_proposal(request)),
        Ask::ProcessProposal(request) => Answer::ProcessProposal(app.process_proposal(request)),
        Ask::ExtendVote(request) => Answer::ExtendVote(app.extend_vote(request)),
        Ask::VerifyVoteExtension(request) => {
            Answer::VerifyVoteExtension(app.verify_vote_extension(request))
        }
        Ask::FinalizeBlock(request) => Answer::FinalizeBlock(app.finalize_block(request)),
    }
}

#[cfg(test)]
mod tests;

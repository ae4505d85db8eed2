use std::{
    io::Write,
    net::TcpStream,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{atomic::AtomicU64, mpsc},
};

use prost::Message;
use tendermint_proto::v0_38::abci::{
    request::Value, Request, RequestEcho, RequestFlush, RequestInfo, RequestQuery, ResponseInfo,
    ResponseQuery,
};

use super::*;

/// Counts queries; a query for "wait" ends when the test says so, one for "panic" panics.
#[derive(Clone)]
struct TestApp {
    queries: Arc<AtomicU64>,
    entered: mpsc::Sender<()>,
    go_on: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Application for TestApp {
    fn query(&self, request: RequestQuery) -> ResponseQuery {
        match request.path.as_str() {
            "wait" => {
                self.entered.send(()).unwrap();
                self.go_on.lock().unwrap().recv().unwrap();
            }
            "panic" => panic!("as asked"),
            _ => {}
        }
        let height = self.queries.fetch_add(1, Ordering::SeqCst) as i64 + 1;
        ResponseQuery { height, ..Default::default() }
    }

    fn info(&self, _: RequestInfo) -> ResponseInfo {
        ResponseInfo { data: "i".repeat(WRITE_AT_BYTES_AND_MORE), ..Default::default() }
    }
}

const WRITE_AT_BYTES_AND_MORE: usize = 1024 * 1024 + 1;

struct Fixture {
    folder: tempfile::TempDir,
    server: Server,
    entered: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

impl Fixture {
    fn new() -> Self {
        Self::with_options(ServerOptions::default())
    }

    fn with_options(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("app.sock"));
        let (app, entered, go_on) = test_app();
        let server = Server::start(&address, options, app).unwrap();
        Self { folder, server, entered, go_on }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("app.sock")
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }
}

fn test_app() -> (TestApp, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, was_entered) = mpsc::channel();
    let (go_on, told_to_go_on) = mpsc::channel();
    let app =
        TestApp { queries: Arc::default(), entered, go_on: Arc::new(Mutex::new(told_to_go_on)) };
    (app, was_entered, go_on)
}

fn frame(value: Value) -> Vec<u8> {
    Request { value: Some(value) }.encode_length_delimited_to_vec()
}

fn echo(message: &str) -> Vec<u8> {
    frame(Value::Echo(RequestEcho { message: message.into() }))
}

fn query(path: &str) -> Vec<u8> {
    frame(Value::Query(RequestQuery { path: path.into(), ..Default::default() }))
}

fn flush() -> Vec<u8> {
    frame(Value::Flush(RequestFlush {}))
}

/// Reads one reply.
fn reply(stream: &mut impl Read) -> response::Value {
    let mut prefix = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        prefix.push(byte[0]);
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; prost::decode_length_delimiter(&prefix[..]).unwrap()];
    stream.read_exact(&mut body).unwrap();
    Response::decode(&body[..]).unwrap().value.unwrap()
}

fn echoed(stream: &mut impl Read) -> String {
    match reply(stream) {
        response::Value::Echo(echo) => echo.message,
        other => panic!("not an echo: {other:?}"),
    }
}

fn assert_flushed(stream: &mut impl Read) {
    let reply = reply(stream);
    assert!(matches!(reply, response::Value::Flush(_)), "{reply:?}");
}

fn assert_closed(mut stream: impl Read) {
    let mut rest = Vec::new();
    // A peer that closes with our bytes unread resets the connection.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn a_request_split_at_any_byte_is_answered() {
    let fixture = Fixture::new();
    let mut stream = fixture.connect();
    let bytes = [echo(&"x".repeat(300)), flush()].concat();
    for cut in 1..bytes.len() {
        stream.write_all(&bytes[..cut]).unwrap();
        thread::yield_now();
        stream.write_all(&bytes[cut..]).unwrap();
        assert_eq!(echoed(&mut stream).len(), 300);
        assert_flushed(&mut stream);
    }
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let fixture = Fixture::new();
    let mut stream = fixture.connect();
    stream.write_all(&[echo("a"), echo("b"), flush(), echo("c"), flush()].concat()).unwrap();
    assert_eq!(echoed(&mut stream), "a");
    assert_eq!(echoed(&mut stream), "b");
    assert_flushed(&mut stream);
    assert_eq!(echoed(&mut stream), "c");
    assert_flushed(&mut stream);
}

#[test]
fn replies_wait_for_a_flush_and_are_written_together() {
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<usize>>>);
    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (app, ..) = test_app();
    let run = |frames: &[Vec<u8>]| {
        let writes = Writes::default();
        serve(FrameReader::new(&frames.concat()[..], 100), FrameWriter::new(writes.clone()), &app)
            .unwrap();
        Arc::try_unwrap(writes.0).unwrap().into_inner().unwrap()
    };
    let flush_bytes = flush().len();
    let echo_bytes = echo("a").len();
    let two = 2 * echo_bytes + flush_bytes;
    assert_eq!(run(&[echo("a"), echo("b"), flush(), echo("c"), echo("d"), flush()]), [two, two]);
    // A reply that nobody flushed goes out when the stream ends.
    assert_eq!(run(&[echo("a")]), [echo_bytes]);
    // Replies beyond a megabyte do not wait.
    let info = frame(Value::Info(RequestInfo::default()));
    let written = run(&[info.clone(), info, flush()]);
    assert_eq!(written.len(), 3);
    assert!(written[0] > WRITE_AT_BYTES_AND_MORE && written[1] == written[0], "{written:?}");
}

#[test]
fn an_oversized_frame_closes_that_connection_only() {
    let fixture = Fixture::with_options(ServerOptions { max_frame_bytes: 1000 });
    let mut other = fixture.connect();
    let mut stream = fixture.connect();
    stream.write_all(&echo(&"x".repeat(1001))[..50]).unwrap();
    assert_closed(stream);
    other.write_all(&[echo("still here"), flush()].concat()).unwrap();
    assert_eq!(echoed(&mut other), "still here");
}

#[test]
fn garbage_closes_the_connection() {
    let fixture = Fixture::new();
    for garbage in
        [&[0xff_u8; 12][..], b"GET / HTTP/1.1\r\n\r\n", &[0], &[3, 0xfa, 0x3e, 0], &[2, 0x0a, 0x7f]]
    {
        let mut stream = fixture.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_closed(stream);
    }
}

#[test]
fn an_application_that_panics_closes_its_connection() {
    let fixture = Fixture::new();
    let mut stream = fixture.connect();
    stream.write_all(&query("panic")).unwrap();
    assert_closed(stream);
}

#[test]
fn connections_share_the_application_and_run_at_once() {
    let fixture = Fixture::new();
    let (mut slow, mut quick) = (fixture.connect(), fixture.connect());
    slow.write_all(&[query("wait"), flush()].concat()).unwrap();
    fixture.entered.recv().unwrap();
    quick.write_all(&[query(""), flush()].concat()).unwrap();
    assert!(matches!(reply(&mut quick), response::Value::Query(query) if query.height == 1));
    fixture.go_on.send(()).unwrap();
    assert!(matches!(reply(&mut slow), response::Value::Query(query) if query.height == 2));
}

#[test]
fn connections_beyond_the_cap_are_closed_and_a_closed_one_makes_room() {
    let fixture = Fixture::new();
    let mut open: Vec<_> = (0..MAX_CONNECTIONS).map(|_| fixture.connect()).collect();
    for stream in &mut open {
        stream.write_all(&[echo("a"), flush()].concat()).unwrap();
        assert_eq!(echoed(stream), "a");
    }
    assert_closed(fixture.connect());
    drop(open.pop());
    let open = fixture.server.shared.open();
    drop(
        fixture
            .server
            .shared
            .closed_one
            .wait_while(open, |open| open.len() == MAX_CONNECTIONS)
            .unwrap(),
    );
    let mut stream = fixture.connect();
    stream.write_all(&[echo("b"), flush()].concat()).unwrap();
    assert_eq!(echoed(&mut stream), "b");
}

#[test]
fn stop_finishes_the_request_in_execution_then_closes_all() {
    let fixture = Fixture::new();
    let socket = fixture.socket();
    let (idle, mut busy) = (fixture.connect(), fixture.connect());
    busy.write_all(&query("wait")).unwrap();
    fixture.entered.recv().unwrap();
    let Fixture { server, go_on, folder: _folder, .. } = fixture;
    let stopping = thread::spawn(move || server.stop());
    assert_closed(idle);
    go_on.send(()).unwrap();
    assert!(matches!(reply(&mut busy), response::Value::Query(query) if query.height == 1));
    stopping.join().unwrap();
    assert_closed(busy);
    assert!(!socket.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let address = Address::Unix(path.clone());
    let start = || Server::start(&address, ServerOptions::default(), test_app().0);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = start().unwrap();
    let refusal = start().unwrap_err();
    assert!(matches!(refusal, BindError::InUse(_)), "{refusal}");
    UnixStream::connect(&path).unwrap();
    drop(server);
    std::fs::write(&path, "precious").unwrap();
    let refusal = start().unwrap_err();
    assert!(matches!(refusal, BindError::NotASocket(_)), "{refusal}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_with_its_length() {
    let address = Address::Unix(PathBuf::from("/").join("x".repeat(103)));
    let refusal = Server::start(&address, ServerOptions::default(), test_app().0).unwrap_err();
    assert!(refusal.to_string().contains("104 bytes"), "{refusal}");
}

#[test]
fn tcp_is_served_without_delay_and_refused_when_taken() {
    let address: Address = "tcp://127.0.0.1:0".parse().unwrap();
    let server = Server::start(&address, ServerOptions::default(), test_app().0).unwrap();
    let Address::Tcp(bound) = *server.address() else { panic!("not TCP: {}", server.address()) };
    let mut stream = TcpStream::connect(bound).unwrap();
    stream.write_all(&[echo("a"), flush()].concat()).unwrap();
    assert_eq!(echoed(&mut stream), "a");
    let open = server.shared.open();
    let accepted = open.values().next().unwrap();
    assert!(matches!(accepted, Stream::Tcp(accepted) if accepted.nodelay().unwrap()));
    drop(open);
    let refusal =
        Server::start(server.address(), ServerOptions::default(), test_app().0).unwrap_err();
    assert!(matches!(refusal, BindError::InUse(_)), "{refusal}");
}

#[test]
fn addresses_read_back_and_others_are_refused() {
    for text in ["unix:///tmp/app.sock", "tcp://127.0.0.1:26658", "tcp://[::1]:1"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "unix://",
        "127.0.0.1:26658",
        "tcp://localhost:26658",
        "tcp://127.0.0.1",
        "http://127.0.0.1:1",
    ] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

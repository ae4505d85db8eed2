//! A venue on this machine: TLS with a certificate of a test authority, a websocket, and the script
//! of what that venue says; and a sidecar that takes it for the real one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tidemark_feed::sidecar::config::{Config, DEFAULT};
use tidemark_feed::sidecar::{start, Running};
use tidemark_feed::venues::Kind;
use tidemark_proto::oracle_v1 as wire;
use tidemark_proto::oracle_v1::sidecar_service_client::SidecarServiceClient;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::WebSocketStream;
use tonic::transport::Channel;

/// How long anything may take, on a slow machine too.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The way in which a connection is kept open.
#[derive(Clone, Copy)]
pub enum Beat {
    /// Nothing but answers to the venue's pings.
    None,
    /// A websocket ping.
    Ping,
    /// A text frame that has these members (or is this text, when it is no JSON), and the venue's
    /// answer.
    Text(&'static str, &'static str),
}

/// A frame about a market at a time in Unix milliseconds.
pub type Frame = fn(&mut Wire, &str, Book, u64) -> String;

/// One venue's frames for one kind of market, as its documentation shows them.
pub struct Script {
    pub venue: &'static str,
    pub kind: Kind,
    /// The venue's names of the two markets.
    pub symbols: [&'static str; 2],
    /// The requests that it expects; a member `time` is not compared.
    pub subscription: fn(&[&str; 2]) -> Vec<Value>,
    /// The venue's answers to the requests.
    pub answers: fn(&mut Wire, &[&str; 2]) -> Vec<String>,
    /// A quote of a market at a time.
    pub quote: Frame,
    /// True if quotes carry the time.
    pub timed: bool,
    pub beat: Beat,
    /// A frame older than those before, if the venue numbers frames.
    pub late: Option<Frame>,
    /// The way in which a loss can be told, if there is one.
    pub broken: Option<Broken>,
    /// A frame that refuses a subscription, and words of it.
    pub refusal: (&'static str, &'static str),
    /// A frame that announces the end of the connection.
    pub closing: Option<&'static str>,
}

/// How a venue lets a loss be told.
#[derive(Clone, Copy)]
pub struct Broken {
    /// A frame after which something is missing.
    pub frame: Frame,
    /// The requests that follow for a market; without any, a new connection follows.
    pub requests: fn(&str) -> Vec<Value>,
}

/// Best bid and best ask, in whole USDC.
pub type Book = (u32, u32);

/// A venue's memory of one connection.
#[derive(Default)]
pub struct Wire {
    /// The last number that it gave to a frame.
    pub number: u64,
    /// The venue's last quote.
    pub last: Option<Book>,
}

impl Wire {
    pub fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

/// Certificates of an authority that nobody knows.
pub struct Authority {
    folder: TempDir,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { folder, server: Arc::new(server) }
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// The venue's server.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub async fn new(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::clone(&authority.server)) }
    }

    pub fn url(&self) -> String {
        format!("wss://localhost:{}/feed", self.listener.local_addr().unwrap().port())
    }

    /// The next connection that completes its handshakes.
    pub async fn accept(&self) -> Peer {
        let accept = async {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                let Ok(stream) = self.acceptor.accept(stream).await else { continue };
                let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { continue };
                return Peer { socket, wire: Wire::default() };
            }
        };
        timeout(DEADLINE, accept).await.expect("a connection")
    }
}

/// The venue's end of a connection.
pub struct Peer {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    pub wire: Wire,
}

impl Peer {
    pub async fn send(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await.expect("the sidecar reads");
    }

    pub async fn send_message(
        &mut self,
        message: Message,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.socket.send(message).await
    }

    pub async fn receive(&mut self) -> Message {
        timeout(DEADLINE, self.socket.next())
            .await
            .expect("a frame")
            .expect("no end")
            .expect("no error")
    }

    /// The next text frame; the sidecar may ping in between.
    pub async fn text(&mut self) -> String {
        loop {
            if let Message::Text(text) = self.receive().await {
                return text.to_string();
            }
        }
    }

    /// Takes these requests; what they say of time is not compared. Heartbeats may come in between.
    pub async fn expect(&mut self, requests: Vec<Value>) {
        for expected in requests {
            let mut request: Value = serde_json::from_str(&self.text().await).expect("JSON");
            if let Some(members) = request.as_object_mut() {
                members.remove("time");
            }
            assert_eq!(request, expected);
        }
    }

    /// Takes the subscription and answers it.
    pub async fn subscribe(&mut self, script: &Script) {
        self.expect((script.subscription)(&script.symbols)).await;
        for answer in (script.answers)(&mut self.wire, &script.symbols) {
            self.send(answer).await;
        }
    }

    /// Quotes the first market.
    pub async fn quote(&mut self, script: &Script, book: Book) {
        self.quote_at(script, book, now_ms()).await;
    }

    pub async fn quote_at(&mut self, script: &Script, book: Book, time_ms: u64) {
        let frame = (script.quote)(&mut self.wire, script.symbols[0], book, time_ms);
        self.send(frame).await;
    }
}

/// A sidecar that asks one venue for two markets, BTC-USD and ETH-USD.
pub struct Rig {
    pub script: &'static Script,
    pub server: Server,
    running: Running,
    client: SidecarServiceClient<Channel>,
    _authority: Authority,
}

impl Rig {
    /// With the default configuration, but for `changes`: keys and their values.
    pub async fn new(script: &'static Script, changes: &[(&str, &str)]) -> Self {
        Self::with_trust(script, changes, None).await
    }

    /// As [`Self::new`], trusting `trusted` where it is given.
    pub async fn with_trust(
        script: &'static Script,
        changes: &[(&str, &str)],
        trusted: Option<&Authority>,
    ) -> Self {
        let authority = Authority::new();
        let server = Server::new(&authority).await;
        let ca_file = trusted.unwrap_or(&authority).ca_file();
        let config = config(script, &server.url(), &ca_file.display().to_string(), changes);
        let running = start(Config::from_text(&config).expect("a configuration")).expect("a start");
        let endpoint = Channel::from_shared(format!("http://{}", running.address())).unwrap();
        let client = SidecarServiceClient::new(endpoint.connect().await.unwrap());
        Self { script, server, running, client, _authority: authority }
    }

    /// The sidecar's connection, subscribed.
    pub async fn subscribed(&self) -> Peer {
        let mut peer = self.server.accept().await;
        peer.subscribe(self.script).await;
        peer
    }

    pub fn client(&self) -> SidecarServiceClient<Channel> {
        self.client.clone()
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address()
    }

    pub async fn status(&self) -> wire::StatusResponse {
        self.client().status(wire::StatusRequest {}).await.unwrap().into_inner()
    }

    pub async fn connection(&self) -> wire::Connection {
        self.status().await.connections.remove(0)
    }

    /// The sidecar's prices of BTC-USD.
    pub async fn aggregation(&self) -> wire::Aggregation {
        let market = self.status().await.markets.remove(0);
        match self.script.kind {
            Kind::Spot => market.index.unwrap(),
            Kind::Perpetual => market.external.unwrap(),
        }
    }

    pub async fn price(&self) -> Option<String> {
        self.aggregation().await.price.map(|price| price.price)
    }

    pub async fn refused(&self, reason: &str) -> u64 {
        let refused = self.connection().await.refused;
        refused.iter().find(|of| of.reason == reason).map_or(0, |of| of.count)
    }

    /// Waits until BTC-USD has this price.
    pub async fn price_is(&self, price: &str) {
        self.until(&format!("price {price}"), async || {
            self.price().await.as_deref() == Some(price)
        })
        .await;
    }

    pub async fn refused_is(&self, reason: &str, at_least: u64) {
        self.until(&format!("{at_least} {reason}"), async || {
            self.refused(reason).await >= at_least
        })
        .await;
    }

    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            let Script { venue, kind, .. } = self.script;
            if begun.elapsed() >= DEADLINE {
                panic!("{venue} {kind}: no {what} within {DEADLINE:?}: {:#?}", self.status().await);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn config(script: &Script, url: &str, ca_file: &str, changes: &[(&str, &str)]) -> String {
    let (venue, kind, [a, b]) = (script.venue, script.kind, script.symbols);
    let (settings, _) = DEFAULT.split_once("[venues.binance]").expect("venues");
    let own = [
        ("listen", "\"127.0.0.1:0\""),
        ("min_venues", "1"),
        ("max_spread_ppm", "100000"),
        ("backoff_min_ms", "10"),
        ("backoff_max_ms", "50"),
        // Only what a test is about may expire on a slow machine.
        ("max_age_ms", "60000"),
        ("timeout_ms", "60000"),
        ("silence_ms", "600000"),
        ("max_behind_ms", "120000"),
    ];
    let set = |line: &str| {
        let (key, _) = line.split_once(" = ")?;
        let mut of_key = own.iter().chain(changes).filter(|(changed, _)| *changed == key);
        of_key.next_back().map(|(_, value)| format!("{key} = {value}"))
    };
    let settings: Vec<String> =
        settings.lines().map(|line| set(line).unwrap_or_else(|| line.to_owned())).collect();
    let beat = changes.iter().find(|(key, _)| *key == "heartbeat_ms");
    let beat = beat.map(|(key, value)| format!("{key} = {value}\n")).unwrap_or_default();
    format!(
        "{}\n[venues.{venue}]\nweight = 1\n{kind}_url = {url:?}\nca_file = \
         {ca_file:?}\n{beat}[[market]]\nsymbol = \"BTC-USD\"\n{kind}.{venue} = \
         {a:?}\n[[market]]\nsymbol = \"ETH-USD\"\n{kind}.{venue} = {b:?}\n",
        settings.join("\n"),
    )
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

//! One connection to one venue, for ever: connect, subscribe, read, keep alive, and connect anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout, Instant, MissedTickBehavior};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{
    connect_async_tls_with_config, Connector, MaybeTlsStream, WebSocketStream,
};

use super::backoff::Backoff;
use super::state::{wall_clock_ms, LinkState, Sidecar};
use crate::venues::{Adapter, Fault, Quote};

/// Between two requests: some venues take no more than five messages a second.
const REQUEST_PAUSE: Duration = Duration::from_millis(250);

/// Broken books in one connection after which it is opened anew, with its growing pauses.
const MAX_BROKEN: u32 = 5;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Holds connection `link` of `sidecar`. Does not return.
pub async fn run(sidecar: Arc<Sidecar>, link: usize, tls: Arc<ClientConfig>) {
    let mut backoff = Backoff::new(&sidecar.config().connection);
    let (venue, kind) = (sidecar.links()[link].venue.name, sidecar.links()[link].kind);
    loop {
        enter(&sidecar, link, LinkState::Connecting);
        let begun = Instant::now();
        let why = match connect(&sidecar, link, &tls).await {
            Err(why) => why,
            Ok(socket) => {
                tracing::info!(venue, %kind, "connected");
                let why = Session::new(&sidecar, link, socket).run().await;
                backoff.lasted(begun.elapsed());
                why
            }
        };
        let pause = backoff.next(getrandom::u64().unwrap_or_default());
        tracing::warn!(venue, %kind, why, pause_ms = pause.as_millis() as u64, "connection lost");
        enter(&sidecar, link, LinkState::BackingOff);
        sidecar.report(link, |report| {
            report.lost += 1;
            report.last_error = why;
        });
        sleep(pause).await;
    }
}

fn enter(sidecar: &Sidecar, link: usize, state: LinkState) {
    let now_ms = sidecar.now_ms();
    sidecar.report(link, |report| (report.state, report.since_ms) = (state, now_ms));
}

async fn connect(
    sidecar: &Sidecar,
    link: usize,
    tls: &Arc<ClientConfig>,
) -> Result<Socket, String> {
    let bounds = &sidecar.config().connection;
    let most = bounds.max_frame_bytes as usize;
    let config = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
    let connector = Connector::Rustls(Arc::clone(tls));
    let url = sidecar.links()[link].url.as_str();
    let connecting = connect_async_tls_with_config(url, Some(config), true, Some(connector));
    match timeout(bounds.timeout(), connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(format!("cannot connect to {url}: {error}")),
        Err(_) => Err(format!("cannot connect to {url} within {} ms", bounds.timeout_ms)),
    }
}

/// An open connection.
struct Session<'a> {
    sidecar: &'a Sidecar,
    link: usize,
    socket: Socket,
    adapter: Box<dyn Adapter>,
    /// Requests that are yet to be sent.
    outbox: VecDeque<String>,
    last_quote: Instant,
    /// Frames in the running second, and when it began.
    frames: (u32, Instant),
    broken: u32,
}

impl<'a> Session<'a> {
    fn new(sidecar: &'a Sidecar, link: usize, socket: Socket) -> Self {
        let of = &sidecar.links()[link];
        let mut adapter = (of.venue.adapter)(of.kind);
        let outbox = adapter.subscribe(&of.symbols()).into();
        let now = Instant::now();
        Self {
            sidecar,
            link,
            socket,
            adapter,
            outbox,
            last_quote: now,
            frames: (0, now),
            broken: 0,
        }
    }

    /// Until it breaks; says why.
    async fn run(mut self) -> String {
        enter(self.sidecar, self.link, LinkState::Open);
        self.sidecar.report(self.link, |report| report.opened += 1);
        let bounds = self.sidecar.config().connection;
        let own_ms = self.own_heartbeat_ms();
        let beat =
            self.adapter.heartbeat().map(|beat| own_ms.map_or(beat.every, Duration::from_millis));
        let beats = beat.is_some();
        let mut beat = tokio::time::interval(beat.unwrap_or(bounds.silence()));
        beat.reset();
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut request = tokio::time::interval(REQUEST_PAUSE);
        request.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.take(&message),
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the connection ended".to_owned()),
                },
                _ = request.tick(), if !self.outbox.is_empty() => self.request().await,
                _ = beat.tick(), if beats => self.beat().await,
                () = sleep_until(self.last_quote + bounds.silence()) => {
                    Err(format!("no quote for {} ms", bounds.silence_ms))
                }
            };
            if let Err(why) = step {
                // A polite end; the venue may not be there to hear it.
                let _ = timeout(Duration::from_millis(100), self.socket.close(None)).await;
                return why;
            }
        }
    }

    fn own_heartbeat_ms(&self) -> Option<u64> {
        let venue = self.sidecar.links()[self.link].venue.name;
        self.sidecar.config().venues.get(venue)?.heartbeat_ms
    }

    async fn request(&mut self) -> Result<(), String> {
        match self.outbox.pop_front() {
            Some(text) => self.send(Message::text(text)).await,
            None => Ok(()),
        }
    }

    async fn beat(&mut self) -> Result<(), String> {
        match self.adapter.heartbeat() {
            Some(beat) => {
                self.send(beat.text.map_or(Message::Ping(Vec::new().into()), Message::text)).await
            }
            None => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let within = self.sidecar.config().connection.timeout();
        match timeout(within, self.socket.send(message)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the venue took no frame for {} ms", within.as_millis())),
        }
    }

    /// Reads a message. An error ends the connection.
    fn take(&mut self, message: &Message) -> Result<(), String> {
        self.count()?;
        let data = u64::from(message.is_text() || message.is_binary());
        let now_ms = self.sidecar.now_ms();
        self.sidecar.report(self.link, |report| {
            report.last_frame_ms = Some(now_ms);
            report.frames += data;
        });
        match message {
            Message::Text(text) => {
                let mut quotes = Vec::new();
                let read = self.adapter.read(text.as_str(), &mut quotes);
                self.quotes(&quotes);
                read.or_else(|fault| self.fault(fault))
            }
            Message::Binary(_) => {
                self.refuse("binary");
                Ok(())
            }
            Message::Close(frame) => {
                let why = frame.as_ref().map_or("without a reason".to_owned(), ToString::to_string);
                Err(format!("the venue closed the connection: {why}"))
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Counts a frame of the running second.
    fn count(&mut self) -> Result<(), String> {
        let most = self.sidecar.config().connection.max_frames_per_second;
        let (frames, begun) = &mut self.frames;
        if begun.elapsed() >= Duration::from_secs(1) {
            (*frames, *begun) = (0, Instant::now());
        }
        *frames += 1;
        if *frames > most {
            self.refuse("flood");
            return Err(format!("more than {most} frames in a second"));
        }
        Ok(())
    }

    fn quotes(&mut self, quotes: &[Quote]) {
        let wall_ms = wall_clock_ms();
        for quote in quotes {
            match self.sidecar.take(self.link, quote, wall_ms) {
                Ok(()) => self.last_quote = Instant::now(),
                Err(reason) => self.refuse(reason),
            }
        }
    }

    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        let text = fault.to_string();
        match fault {
            Fault::Malformed(_) => {
                self.refuse("malformed");
                tracing::debug!(venue = self.sidecar.links()[self.link].venue.name, "{text}");
            }
            Fault::OutOfOrder => self.refuse("out_of_order"),
            Fault::Refused(_) => {
                self.refuse("subscription");
                tracing::warn!(venue = self.sidecar.links()[self.link].venue.name, "{text}");
                self.sidecar.report(self.link, |report| report.last_error = text);
            }
            Fault::Broken { symbol, send, .. } => {
                self.refuse("checksum");
                self.sidecar.forget(self.link, Some(&symbol));
                self.broken += 1;
                if self.broken > MAX_BROKEN {
                    return Err(text);
                }
                self.sidecar.report(self.link, |report| report.last_error = text);
                self.outbox.extend(send);
            }
            Fault::Gap(_) => {
                self.refuse("gap");
                self.sidecar.forget(self.link, None);
                return Err(text);
            }
            Fault::Closing(_) => return Err(text),
        }
        Ok(())
    }

    fn refuse(&self, reason: &'static str) {
        self.sidecar.report(self.link, |report| *report.refused.entry(reason).or_default() += 1);
    }
}

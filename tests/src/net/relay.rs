//! Relays between the nodes of a network, so that a test can hold messages back and cut the network
//! apart.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The way of bytes from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    #[default]
    Open,
    /// They wait.
    Held,
    /// There is no connection, and none is made.
    Cut,
}

/// The way of bytes from each node, to each.
type Flows = Vec<Vec<Flow>>;

/// One relay for each ordered pair of nodes. Dropping it ends all.
pub(super) struct Relays {
    flows: watch::Sender<Flows>,
    /// From each node, to each: the port at which the one dials the other.
    ports: Vec<Vec<u16>>,
    _serving: JoinSet<()>,
}

/// The connections that one node dials to another.
struct Link {
    from: usize,
    to: usize,
    port: u16,
    flows: watch::Receiver<Flows>,
}

impl Relays {
    /// Relays to nodes that listen for peers at these ports.
    pub(super) async fn start(peer_ports: &[u16]) -> io::Result<Self> {
        let nodes = peer_ports.len();
        let (sender, flows) = watch::channel(vec![vec![Flow::Open; nodes]; nodes]);
        let (mut serving, mut ports) = (JoinSet::new(), Vec::new());
        for from in 0..nodes {
            let mut of_node = Vec::new();
            for (to, port) in peer_ports.iter().copied().enumerate() {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                of_node.push(listener.local_addr()?.port());
                serving.spawn(serve(listener, Link { from, to, port, flows: flows.clone() }));
            }
            ports.push(of_node);
        }
        Ok(Self { flows: sender, ports, _serving: serving })
    }

    /// The port at which one node dials another.
    pub(super) fn port(&self, from: usize, to: usize) -> u16 {
        self.ports[from][to]
    }

    /// Sets every way.
    pub(super) fn set(&self, flow: impl Fn(usize, usize) -> Flow) {
        let nodes = 0..self.ports.len();
        let row = |from| nodes.clone().map(|to| flow(from, to)).collect();
        self.flows.send_replace(nodes.clone().map(row).collect());
    }
}

async fn serve(listener: TcpListener, link: Link) {
    let mut connections = JoinSet::new();
    while let Ok((dialling, _)) = listener.accept().await {
        let Link { from, to, port, ref flows } = link;
        let flows = flows.clone();
        connections.spawn(async move {
            let is_cut = flows.borrow()[from][to] == Flow::Cut;
            let dialled = if is_cut { None } else { connect(port).await };
            let Some(dialled) = dialled else { return };
            let ((there, here), (back, away)) = (dialling.into_split(), dialled.into_split());
            tokio::select! {
                () = carry(there, away, (from, to), flows.clone()) => {}
                () = carry(back, here, (to, from), flows) => {}
            }
        });
    }
}

async fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).await.ok()
}

/// Carries bytes until either end closes or the way is cut.
async fn carry(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    (from, to): (usize, usize),
    mut flows: watch::Receiver<Flows>,
) {
    let mut cuts = flows.clone();
    let cut = cuts.wait_for(|flows| flows[from][to] == Flow::Cut);
    let pass = async {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let count = source.read(&mut bytes).await.unwrap_or(0);
            let open = flows.wait_for(|flows| flows[from][to] == Flow::Open).await.is_ok();
            if count == 0 || !open || sink.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = cut => {}
        () = pass => {}
    }
}

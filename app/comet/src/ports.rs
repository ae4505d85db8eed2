//! Which ports a node listens on.

use std::{io, net::TcpListener};

/// How far apart the first ports of two nodes on one machine are.
pub const PORTS_PER_NODE: u16 = 10;

/// The ports of a node: six in a row from a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

/// Why ports cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program has it.
    #[error(
        "port {port} ({purpose}) is taken by another program: stop it, or choose another base \
         with --ports"
    )]
    Taken {
        /// The port.
        port: u16,
        /// The use that the node has for the port.
        purpose: &'static str,
    },
    /// The operating system does not let us have it.
    #[error("port {port} ({purpose}) cannot be used: {source}")]
    Io {
        /// The port.
        port: u16,
        /// The use that the node has for the port.
        purpose: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Below the ports that users may take, or too near to the last port.
    #[error(
        "ports from {base} do not fit {nodes} node(s) of {PORTS_PER_NODE} ports within \
         1024..=65535"
    )]
    OutOfRange {
        /// The base of the first node.
        base: u16,
        /// How many nodes.
        nodes: u16,
    },
}

impl Default for Ports {
    /// From 26656, so that P2P, RPC and ABCI have the numbers that CometBFT's own documents use.
    fn default() -> Self {
        Self { base: 26656 }
    }
}

impl Ports {
    /// The ports of the node numbered `index`, from 0, of `nodes` whose first has `base`.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn of_node(base: u16, index: u16, nodes: u16) -> Result<Self, PortError> {
        let end = u32::from(base)
            + u32::from(PORTS_PER_NODE) * u32::from(nodes.max(index.saturating_add(1)));
        if base < 1024 || end > 65536 {
            return Err(PortError::OutOfRange { base, nodes });
        }
        Ok(Self { base: base + PORTS_PER_NODE * index })
    }

    /// CometBFT's peers.
    #[must_use]
    pub fn p2p(self) -> u16 {
        self.base
    }

    /// CometBFT's JSON-RPC.
    #[must_use]
    pub fn comet_rpc(self) -> u16 {
        self.base + 1
    }

    /// ABCI, where it is served over TCP.
    #[must_use]
    pub fn abci(self) -> u16 {
        self.base + 2
    }

    /// CometBFT's metrics.
    #[must_use]
    pub fn comet_metrics(self) -> u16 {
        self.base + 3
    }

    /// The node's gRPC.
    #[must_use]
    pub fn grpc(self) -> u16 {
        self.base + 4
    }

    /// The node's metrics.
    #[must_use]
    pub fn metrics(self) -> u16 {
        self.base + 5
    }

    /// Checks that every port can be bound now, on the loopback interface.
    ///
    /// # Errors
    /// The first port that is taken, with its purpose.
    pub fn check_free(self) -> Result<(), PortError> {
        let all = [
            (self.p2p(), "peers"),
            (self.comet_rpc(), "CometBFT RPC"),
            (self.abci(), "ABCI over TCP"),
            (self.comet_metrics(), "CometBFT metrics"),
            (self.grpc(), "gRPC"),
            (self.metrics(), "metrics"),
        ];
        all.into_iter().try_for_each(|(port, purpose)| check_free(port, purpose))
    }
}

fn check_free(port: u16, purpose: &'static str) -> Result<(), PortError> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(PortError::Taken { port, purpose })
        }
        Err(source) => Err(PortError::Io { port, purpose, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_purpose() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let refusal = check_free(port, "gRPC").unwrap_err().to_string();
        assert!(refusal.contains(&format!("port {port} (gRPC)")), "{refusal}");
        let ports = Ports { base: port };
        assert!(matches!(ports.check_free(), Err(PortError::Taken { purpose: "peers", .. })));
    }

    #[test]
    fn nodes_on_one_machine_share_no_port() {
        let first = Ports::of_node(20000, 0, 4).unwrap();
        let second = Ports::of_node(20000, 1, 4).unwrap();
        assert!(first.metrics() < second.p2p());
    }

    #[test]
    fn bases_that_do_not_fit_are_refused() {
        assert!(Ports::of_node(1023, 0, 1).is_err());
        assert!(Ports::of_node(65526, 0, 1).is_ok());
        assert!(Ports::of_node(65527, 0, 1).is_err());
        assert!(Ports::of_node(65526, 1, 1).is_err());
        assert!(Ports::of_node(65526, 0, u16::MAX).is_err());
    }
}

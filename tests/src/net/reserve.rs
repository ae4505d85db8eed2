//! Ports that no other network on this machine has.

use std::net::TcpListener;

use tidemark_comet::ports::{Ports, PORTS_PER_NODE};

/// Below the ports that systems give to outgoing connections, and above those of a devnet.
const FIRST: u16 = 27_000;
const LAST: u16 = 32_000;

/// Holds the reservation: nodes serve ABCI on a socket file, so their ABCI port is free to be taken
/// as a lock that ends with this process.
pub(super) struct Reserved {
    _locks: Vec<TcpListener>,
}

/// Free ports for `nodes` nodes in a row.
pub(super) fn ports(nodes: u16) -> Result<(Reserved, Vec<Ports>), String> {
    let step = nodes.saturating_mul(PORTS_PER_NODE);
    let bases = (FIRST..LAST).step_by(usize::from(step.max(1)));
    bases.filter_map(|base| reserve(base, nodes)).next().ok_or_else(|| {
        format!("no {step} free ports in a row in {FIRST}..{LAST}: stop what listens there")
    })
}

fn reserve(base: u16, nodes: u16) -> Option<(Reserved, Vec<Ports>)> {
    let ports: Vec<Ports> =
        (0..nodes).map(|index| Ports::of_node(base, index, nodes).ok()).collect::<Option<_>>()?;
    let free = ports.iter().all(|ports| ports.check_free().is_ok());
    // Between the look and the lock another may have come: then one of the locks fails.
    let locks = ports.iter().map(|ports| TcpListener::bind(("127.0.0.1", ports.abci())).ok());
    let locks = free.then(|| locks.collect::<Option<Vec<_>>>())??;
    Some((Reserved { _locks: locks }, ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_share_no_port_and_a_lock_ends_with_its_holder() {
        let (first, of_first) = ports(2).unwrap();
        let (_second, of_second) = ports(2).unwrap();
        assert!(of_second.iter().all(|ports| !of_first.contains(ports)));
        drop(first);
        assert!(of_first.iter().all(|ports| ports.check_free().is_ok()));
    }
}

//! Hands transactions to validators' nodes by gRPC, from a node that is no validator's.

use std::time::Duration;

use hyper::body::Bytes;
use tidemark_proto::v1;
use tidemark_proto::v1::order_service_client::OrderServiceClient;
use tonic::transport::{Channel, Endpoint};

/// How long a validator's node may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Most nodes to hand on to.
const MAX_NODES: usize = 16;

/// The nodes to hand on to, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    nodes: Vec<OrderServiceClient<Channel>>,
}

/// The end of an attempt to hand a transaction on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// A node has it, or every node that was reached refuses it.
    Over,
    /// There is nobody to hand it to, or nobody is reached.
    ToNobody,
}

impl Forward {
    /// Nodes at these addresses, as `http://host:port`. Needs a tokio runtime; connects when there
    /// is something to hand on.
    ///
    /// # Errors
    /// A sentence that names the address which is none, or the bound.
    pub fn to(addresses: &[String]) -> Result<Self, String> {
        if addresses.len() > MAX_NODES {
            return Err(format!("{} nodes to hand on to, at most {MAX_NODES}", addresses.len()));
        }
        let node = |address: &String| {
            let endpoint = Endpoint::from_shared(address.clone())
                .map_err(|error| format!("'{address}' is no address to hand on to: {error}"))?;
            let endpoint = endpoint.connect_timeout(ANSWERS_WITHIN).timeout(ANSWERS_WITHIN);
            Ok(OrderServiceClient::new(endpoint.connect_lazy()))
        };
        Ok(Self { nodes: addresses.iter().map(node).collect::<Result<_, String>>()? })
    }

    /// Hands a transaction to the first node that takes it.
    pub(super) async fn hand_on(&self, bytes: &Bytes) -> Handed {
        let mut is_refused = false;
        for node in &self.nodes {
            let request = v1::SubmitRequest {
                tx: bytes.to_vec(),
                wait_for: v1::WaitFor::Accepted.into(),
                ..Default::default()
            };
            match node.clone().submit(request).await {
                Ok(_) => return Handed::Over,
                Err(status) if says_nothing(status.code()) => {
                    tracing::debug!(%status, "a node to hand on to is not reached");
                }
                Err(_) => is_refused = true,
            }
        }
        if is_refused {
            Handed::Over
        } else {
            Handed::ToNobody
        }
    }
}

/// Returns true for an answer that says nothing about the transaction: the node is not reached, or
/// has no room just now.
fn says_nothing(code: tonic::Code) -> bool {
    use tonic::Code::{
        Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    matches!(
        code,
        Cancelled | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown
    )
}

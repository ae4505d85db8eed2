//! `hostile-validator start --home HOME`: a validator that turns on the others while its home has a
//! file `hostile`. Its votes are late, large or nonsense, and its proposals are full of
//! transactions that nobody has seen and hold nobody else's. For `just hostile`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::*;
use tidemark_consensus::abci::Node;
use tidemark_tests::byzantine::misvote::Misvote;
use tidemark_tests::byzantine::unseen::UnseenBlocks;
use tidemark_tests::byzantine::{self, Behaviour};

/// How long a late vote waits: longer than honest votes take, shorter than the others' pause after
/// a block.
const LATE: Duration = Duration::from_millis(150);

/// The next block of unseen transactions.
#[derive(Debug, Default)]
struct Next {
    number: u64,
    txs: Option<Vec<Vec<u8>>>,
}

#[derive(Clone)]
struct Hostile {
    node: Node,
    home: PathBuf,
    blocks: UnseenBlocks,
    next: Arc<Mutex<Next>>,
}

impl Hostile {
    fn is_on(&self) -> bool {
        self.home.join("hostile").exists()
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Behaviour for Hostile {
    fn node(&self) -> &Node {
        &self.node
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        let (height, max_bytes) = (request.height, request.max_tx_bytes);
        let mut honest = self.node.prepare_proposal(request);
        if !self.is_on() || height < 2 {
            return honest;
        }
        let mut next = self.next();
        if next.txs.is_none() {
            next.txs = self.blocks.read(next.number);
        }
        let Some(txs) = &next.txs else { return honest };
        // The prices of the validators stay in front.
        honest.txs.truncate(1);
        let mut room = usize::try_from(max_bytes).unwrap_or(0);
        room = room.saturating_sub(honest.txs.iter().map(|tx| tx.len() + 8).sum());
        for tx in txs {
            let Some(left) = room.checked_sub(tx.len() + 8) else { break };
            room = left;
            honest.txs.push(tx.clone().into());
        }
        tracing::info!(height, "proposes {} unseen transactions", honest.txs.len() - 1);
        honest
    }

    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        if !self.is_on() {
            return self.node.extend_vote(request);
        }
        let misvote = Misvote::at(request.height);
        tracing::info!(height = request.height, "votes {misvote:?}");
        if misvote.is_late() {
            std::thread::sleep(LATE);
        }
        ResponseExtendVote { vote_extension: misvote.extension().into() }
    }

    /// A block of unseen transactions that is decided makes room for the next.
    fn decided(&self, block: &RequestFinalizeBlock) {
        let mut next = self.next();
        let first = next.txs.as_ref().and_then(|txs| txs.first());
        if first.is_some() && first.map(Vec::as_slice) == block.txs.get(1).map(AsRef::as_ref) {
            tracing::info!(height = block.height, "a block of unseen transactions is decided");
            self.blocks.remove(next.number);
            *next = Next { number: next.number + 1, txs: None };
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let home = byzantine::home().unwrap_or_default();
    byzantine::run("hostile-validator", |node| Hostile {
        node,
        blocks: UnseenBlocks::of(&home),
        home,
        next: Arc::default(),
    })
    .await
}

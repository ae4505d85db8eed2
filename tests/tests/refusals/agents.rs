//! Agents that may not, and nonces that do not count.

use tidemark_client::agent::{authorize_agent, revoke_agent};
use tidemark_proto::tx::AgentSigner;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, AgentScope};
use tidemark_tests::harness::{domain, limit, one_market, place, secret, signer};

use super::{Story, Table};

fn agent(name: &str) -> AgentSigner {
    AgentSigner::ed25519(secret(name), domain())
}

fn authorise(story: &mut Story<'_>, owner: &str, name: &str, scope: AgentScope, until_ms: u64) {
    story.send(owner, authorize_agent(&agent(name).key(), scope, &[0], until_ms));
}

/// A block with what an agent of `owner` signs for its subaccount.
fn signs(story: &mut Story<'_>, name: &str, (nonce_ms, subaccount): (u64, u32), it: Operation) {
    let operations = vec![v1::Operation { operation: Some(it) }];
    let (gas_limit, owner) = (1_000_000, signer("owner").address());
    let orders =
        v1::AgentOrders { nonce_ms, subaccount, gas_limit, operations, ..Default::default() };
    story.chain.send_raw(agent(name).sign(&owner, orders).bytes);
    story.block();
}

fn buy() -> Operation {
    place(limit(0, v1::Side::Buy, 99, 1))
}

pub(super) fn run(table: &mut Table) {
    let mut story = Story::new(one_market(&["owner", "other"]), table);
    let begins = story.chain.now_ms;
    authorise(&mut story, "owner", "bot", AgentScope::Trading, begins + 120_000);
    authorise(&mut story, "owner", "watch", AgentScope::Cancelling, u64::MAX);
    authorise(&mut story, "other", "bot", AgentScope::Trading, u64::MAX);
    authorise(&mut story, "other", "late", AgentScope::Trading, begins);
    for (nonce_ms, subaccount) in [(begins, 0), (begins + 10_000_000, 0), (begins + 1, 1)] {
        signs(&mut story, "bot", (nonce_ms, subaccount), buy());
    }
    for _ in 0..2 {
        signs(&mut story, "bot", (begins + 2, 0), buy());
    }
    signs(&mut story, "watch", (begins + 2, 0), buy());
    signs(&mut story, "nobody", (begins + 2, 0), buy());
    for number in 0..7 {
        let name = format!("bot-{number}");
        authorise(&mut story, "owner", &name, AgentScope::Trading, u64::MAX);
    }
    story.chain.now_ms = begins + 120_000;
    signs(&mut story, "bot", (begins + 120_000, 0), buy());
    let (revoked, nonce_ms) = (revoke_agent(&agent("bot-1").key()), story.chain.now_ms);
    story.chain.send("owner", revoked);
    signs(&mut story, "bot-1", (nonce_ms, 0), buy());
}

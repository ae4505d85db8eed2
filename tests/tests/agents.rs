//! Agents: keys that sign orders and a keeper's messages for an owner, and nothing else.

use std::sync::Arc;

use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::events::BlockEvents;
use tidemark_engine::exec::{execute, Block};
use tidemark_engine::state::State;
use tidemark_proto::tx::{AgentSigner, TxOptions};
use tidemark_proto::types::{Authorisation, DecodedTx, Message, Subaccounts};
use tidemark_proto::units::{Atoms, MarketId, SelfTradePrevention, TimeMs};
use tidemark_proto::v1::agent_orders::Keeper;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, AgentScope, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    decoded, domain, genesis, healthy, limit, one_market, place, plain_market, secret, signer,
    usdc, Chain, CHAIN_ID, GENESIS_MS,
};

const FOR_EVER: u64 = u64::MAX;

/// A named agent: an ed25519 key derived from its name.
fn agent(name: &str) -> AgentSigner {
    AgentSigner::ed25519(secret(name), domain())
}

fn authorise(chain: &mut Chain, owner: &str, name: &str, scope: AgentScope, until_ms: u64) {
    let message = authorisation(name, scope, &[], until_ms);
    chain.send(owner, message);
}

fn authorisation(
    name: &str,
    scope: AgentScope,
    subaccounts: &[u32],
    until_ms: u64,
) -> v1::MsgAuthorizeAgent {
    tidemark_client::agent::authorize_agent(&agent(name).key(), scope, subaccounts, until_ms)
}

fn revoke(chain: &mut Chain, owner: &str, name: &str) {
    chain.send(owner, tidemark_client::agent::revoke_agent(&agent(name).key()));
}

/// Signs operations of an owner's subaccount for the next block.
fn signed(
    by: &AgentSigner,
    owner: &str,
    (nonce_ms, subaccount): (u64, u32),
    operations: Vec<Operation>,
) -> Vec<u8> {
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    let orders = v1::AgentOrders {
        nonce_ms,
        subaccount,
        gas_limit: 1_000_000,
        operations: operations.collect(),
        ..Default::default()
    };
    by.sign(&signer(owner).address(), orders).bytes
}

fn orders(chain: &mut Chain, name: &str, owner: &str, nonce_ms: u64, operations: Vec<Operation>) {
    chain.send_raw(signed(&agent(name), owner, (nonce_ms, 0), operations));
}

/// Adds a keeper's message that an agent of an owner signs to the next block.
fn keep(chain: &mut Chain, name: &str, owner: &str, (nonce_ms, keeper): (u64, Keeper)) {
    let keeper = Some(keeper);
    let orders = v1::AgentOrders { nonce_ms, gas_limit: 1_000_000, keeper, ..Default::default() };
    chain.send_raw(agent(name).sign(&signer(owner).address(), orders).bytes);
}

fn set_aside(usdc: u64) -> Keeper {
    Keeper::SetAside(v1::SetAside { market: 0, set_aside_atoms: usdc * 1_000_000 })
}

fn buy() -> Vec<Operation> {
    vec![place(limit(0, Buy, 99, 1))]
}

fn cancel_all() -> Vec<Operation> {
    vec![Operation::CancelAll(v1::CancelAll::default())]
}

/// The code of each transaction, in the block's order.
fn codes(events: &BlockEvents) -> Vec<Code> {
    healthy(events);
    events
        .txs
        .iter()
        .map(|tx| tx.refused_for().map_or(Code::Ok, |refusal| refusal.code()))
        .collect()
}

/// The code of an agent's order, alone in the next block.
fn order(chain: &mut Chain, name: &str, owner: &str, nonce_ms: u64) -> Code {
    orders(chain, name, owner, nonce_ms, buy());
    codes(&chain.block())[0]
}

/// A market in which `alice` has a trading agent, `bot`.
fn with_bot() -> Chain {
    let mut chain = one_market(&["alice", "bob"]);
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    chain
}

#[test]
fn rules_10_an_agent_trades_for_its_owner_and_signs_nothing_else() {
    let mut chain = with_bot();
    chain.orders("bob", vec![place(limit(0, Sell, 100, 5))]);
    chain.block();
    let sequence = |chain: &Chain| {
        let owner = chain.state.owner_id(&signer("alice").address()).unwrap();
        chain.state.owners.get(owner).unwrap().sequence
    };
    let before = sequence(&chain);
    let (now, take) = (chain.now_ms, vec![place(limit(0, Buy, 100, 3))]);
    orders(&mut chain, "bot", "alice", now, take);
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    assert_eq!((chain.lots("alice", 0), chain.lots("bob", 0)), (3, -3));
    assert_eq!(sequence(&chain), before, "an agent uses no sequence");
    // Whatever else has the form of its key and nonce is none of its.
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot", "bob", now), Code::UnknownAgent);
    assert_eq!(order(&mut chain, "another", "alice", now), Code::UnknownAgent);
    assert_eq!(order(&mut chain, "bot", "stranger", now), Code::UnknownAccount);
}

/// `long` buys 900 lots from `short` at 100, and the price falls to 91: keepers may ask for them.
#[test]
fn rules_10_a_keeper_keeps_by_its_agent() {
    let mut chain = one_market(&["keeper", "long", "short"]);
    chain.deposit("keeper", 60_000);
    authorise(&mut chain, "keeper", "bot", AgentScope::Trading, FOR_EVER);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    chain.block();
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    chain.block();
    let now = chain.now_ms;
    keep(&mut chain, "bot", "keeper", (now, set_aside(50_000)));
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    let keepers = |chain: &Chain| chain.state.markets[0].cell.market.keepers.clone();
    let set_aside_atoms = usdc(50_000);
    assert_eq!(keepers(&chain)[0].set_aside_atoms, set_aside_atoms);
    chain.index(0, 91);
    chain.block();
    let account_id = chain.account_id("long").get();
    let ask = Keeper::TakeListed(v1::TakeListed { market: 0, account_id, lots: 500 });
    let now = chain.now_ms;
    keep(&mut chain, "bot", "keeper", (now, ask));
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    chain.index(0, 90);
    chain.block();
    assert!(chain.lots("keeper", 0) >= 500);
    // It closes on the book what it has got, and takes the collateral back into the account.
    chain.orders("short", vec![place(limit(0, Buy, 88, 500))]);
    chain.block();
    let now = chain.now_ms;
    orders(&mut chain, "bot", "keeper", now, vec![place(limit(0, Sell, 88, 500))]);
    keep(&mut chain, "bot", "keeper", (now + 1, set_aside(0)));
    assert_eq!(codes(&chain.block()), [Code::Ok; 2]);
    chain.blocks(50);
    assert!(keepers(&chain).is_empty());
}

#[test]
fn rules_10_an_agent_keeps_within_what_it_may() {
    let mut chain = with_bot();
    authorise(&mut chain, "alice", "watch", AgentScope::Cancelling, FOR_EVER);
    chain.send("alice", authorisation("other", AgentScope::Trading, &[1], FOR_EVER));
    assert_eq!(codes(&chain.block()), [Code::Ok; 2]);
    for name in ["watch", "other"] {
        let now = chain.now_ms;
        keep(&mut chain, name, "alice", (now, set_aside(1_000)));
        assert_eq!(codes(&chain.block()), [Code::AgentScope], "{name}");
    }
    let now = chain.now_ms;
    keep(&mut chain, "bot", "alice", (now, set_aside(1_000)));
    revoke(&mut chain, "alice", "bot");
    let mut both = codes(&chain.block());
    both.sort_unstable();
    assert_eq!(both, [Code::Ok, Code::AgentRevoked]);
    assert!(chain.state.markets[0].cell.market.keepers.is_empty());
}

/// The wire has no form for any of these; the engine refuses them whatever the wire has.
#[test]
fn rules_10_nothing_that_moves_money_or_changes_a_setting_is_signed_by_an_agent() {
    let mut chain = with_bot();
    let (market, amount_atoms) = (MarketId::ZERO, Atoms::new(1));
    let params = Box::new(plain_market("TWO-USD", 20));
    let recipient = signer("bob").address();
    for message in [
        Message::Deposit { recipient, subaccount: 0, amount_atoms },
        Message::Withdraw { subaccount: 0, amount_atoms },
        Message::TakeBackWithdrawal { subaccount: 0 },
        Message::Transfer { from_subaccount: 0, to_subaccount: 1, amount_atoms },
        Message::SetLeverage { subaccount: 0, market, leverage: 20 },
        Message::SetSelfTradePrevention { subaccount: 0, policy: SelfTradePrevention::CancelMaker },
        Message::ListMarket(params.clone()),
        Message::UpdateMarket(params),
        Message::SetMarginMode { subaccount: 0, market, isolated: true },
        Message::AdjustIsolatedMargin { subaccount: 0, market, change_atoms: amount_atoms },
        Message::AuthorizeAgent(Box::new(Authorisation {
            key: agent("another").key(),
            scope: tidemark_proto::types::AgentScope::Trading,
            subaccounts: Subaccounts::of(&[]).unwrap(),
            until_ms: TimeMs::new(FOR_EVER),
        })),
        Message::RevokeAgent { key: agent("bot").key() },
    ] {
        let now = chain.now_ms;
        let order = decoded(&chain, &signed(&agent("bot"), "alice", (now, 0), buy()));
        let name = message.name();
        let tx = Arc::new(DecodedTx { message, ..DecodedTx::clone(&order) });
        let block = Block { txs: vec![Ok(tx)], ..chain.next_input().block };
        let before = chain.collateral("alice");
        let events = execute(&mut chain.state, &block, &mut |_| ());
        assert_eq!(codes(&events), [Code::AgentScope], "{name}");
        assert_eq!(chain.collateral("alice"), before, "{name}");
    }
}

#[test]
fn rules_10_an_agent_of_either_kind_of_key_trades() {
    let mut chain = one_market(&["alice"]);
    let secp256k1 = AgentSigner::secp256k1(secret("bot"), domain()).unwrap();
    let message = tidemark_client::agent::authorize_agent(
        &secp256k1.key(),
        AgentScope::Trading,
        &[],
        FOR_EVER,
    );
    chain.send("alice", message);
    chain.block();
    let now = chain.now_ms;
    chain.send_raw(signed(&secp256k1, "alice", (now, 0), buy()));
    assert_eq!(codes(&chain.block()), [Code::Ok]);
}

#[test]
fn rules_10_an_agent_that_cancels_only_cancels() {
    let mut chain = one_market(&["alice"]);
    authorise(&mut chain, "alice", "watch", AgentScope::Cancelling, FOR_EVER);
    chain.orders("alice", buy());
    chain.block();
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "watch", "alice", now), Code::AgentScope);
    let switch = v1::ScheduleCancelAll { at_ms: chain.now_ms + 10_000 };
    let mixed = [cancel_all(), buy()].concat();
    let cancels = [cancel_all(), vec![Operation::ScheduleCancelAll(switch)]].concat();
    let now = chain.now_ms;
    orders(&mut chain, "watch", "alice", now, mixed);
    assert_eq!(codes(&chain.block()), [Code::AgentScope]);
    let now = chain.now_ms;
    orders(&mut chain, "watch", "alice", now, cancels);
    let events = chain.block();
    assert_eq!(codes(&events), [Code::Ok]);
    assert_eq!(events.txs[0].results[0].cancelled, 1);
}

#[test]
fn rules_10_an_agent_signs_for_its_subaccounts_until_its_time() {
    let mut chain = one_market(&["alice"]);
    let until_ms = chain.now_ms + 3_000;
    chain.send("alice", authorisation("bot", AgentScope::Trading, &[0, 7], until_ms));
    let transfer =
        v1::MsgTransfer { to_subaccount: 1, amount_atoms: 1_000_000_000, ..Default::default() };
    chain.send("alice", transfer);
    assert_eq!(codes(&chain.block()), [Code::Ok; 2]);
    for (subaccount, code) in [(1, Code::AgentScope), (0, Code::Ok)] {
        let now = chain.now_ms;
        chain.send_raw(signed(&agent("bot"), "alice", (now, subaccount), buy()));
        assert_eq!(codes(&chain.block()), [code]);
    }
    assert_eq!(chain.now_ms, until_ms);
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot", "alice", now), Code::AgentExpired);
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, until_ms);
    assert_eq!(codes(&chain.block()), [Code::InvalidArgument]);
}

#[test]
fn rules_10_each_nonce_of_an_agent_counts_once() {
    let mut chain = with_bot();
    chain.blocks(70);
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot", "alice", now - 60_001), Code::NonceTooOld);
    assert_eq!(order(&mut chain, "bot", "alice", now + 6_001), Code::NonceTooNew);
    let now = chain.now_ms;
    for (nonce_ms, code) in [
        (now, Code::Ok),
        (now, Code::NonceUsed),
        // In any order.
        (now - 50_000, Code::Ok),
        (now - 50_000, Code::NonceUsed),
        (now + 8_000, Code::Ok),
    ] {
        assert_eq!(order(&mut chain, "bot", "alice", nonce_ms), code, "{nonce_ms}");
    }
    // Two of a block.
    let now = chain.now_ms;
    orders(&mut chain, "bot", "alice", now, buy());
    orders(&mut chain, "bot", "alice", now, cancel_all());
    let mut both = codes(&chain.block());
    both.sort_unstable();
    assert_eq!(both, [Code::Ok, Code::NonceUsed]);
}

#[test]
fn rules_10_an_authorisation_begins_with_its_blocks_time() {
    let mut chain = one_market(&["alice"]);
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, FOR_EVER);
    let begins = chain.now_ms;
    // It holds from the next block on.
    orders(&mut chain, "bot", "alice", begins + 1, buy());
    let mut first = codes(&chain.block());
    first.sort_unstable();
    assert_eq!(first, [Code::Ok, Code::UnknownAgent]);
    assert_eq!(order(&mut chain, "bot", "alice", begins), Code::NonceTooOld);
    assert_eq!(order(&mut chain, "bot", "alice", begins + 1), Code::Ok);
}

#[test]
fn rules_10_floors_outlive_revocation() {
    let mut chain = with_bot();
    let ahead = chain.now_ms + 5_000;
    assert_eq!(order(&mut chain, "bot", "alice", ahead), Code::Ok);
    revoke(&mut chain, "alice", "bot");
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot", "alice", now), Code::UnknownAgent);
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    assert!(chain.now_ms < ahead);
    assert_eq!(order(&mut chain, "bot", "alice", ahead), Code::NonceTooOld);
    assert_eq!(order(&mut chain, "bot", "alice", ahead + 1), Code::Ok);
    // The same key again begins anew as well.
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    assert_eq!(order(&mut chain, "bot", "alice", ahead + 1), Code::NonceTooOld);
    revoke(&mut chain, "alice", "bot");
    revoke(&mut chain, "alice", "bot");
    assert_eq!(codes(&chain.block()), [Code::Ok, Code::UnknownAgent]);
}

#[test]
fn rules_10_what_a_revoked_agent_has_in_the_block_is_refused_and_its_nonce_is_used() {
    let mut chain = with_bot();
    let now = chain.now_ms;
    orders(&mut chain, "bot", "alice", now + 4_000, buy());
    revoke(&mut chain, "alice", "bot");
    authorise(&mut chain, "alice", "bot", AgentScope::Trading, FOR_EVER);
    let mut all = codes(&chain.block());
    all.sort_unstable();
    assert_eq!(all, [Code::Ok, Code::Ok, Code::AgentRevoked]);
    assert_eq!(order(&mut chain, "bot", "alice", now + 4_000), Code::NonceTooOld);
    assert_eq!(order(&mut chain, "bot", "alice", now + 4_001), Code::Ok);
}

#[test]
fn rules_10_an_owner_has_eight_agents_and_a_key_one_owner() {
    let mut chain = one_market(&["alice", "bob"]);
    let ends = chain.now_ms + 10_000;
    let names: Vec<String> = (0..8).map(|number| format!("bot-{number}")).collect();
    for name in &names {
        authorise(&mut chain, "alice", name, AgentScope::Trading, ends);
    }
    authorise(&mut chain, "alice", "bot-8", AgentScope::Trading, ends);
    authorise(&mut chain, "alice", "bot-7", AgentScope::Cancelling, ends);
    let expected = [[Code::Ok; 8].as_slice(), &[Code::TooManyAgents, Code::Ok]].concat();
    assert_eq!(codes(&chain.block()), expected);
    authorise(&mut chain, "bob", "bot-0", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::AgentKeyTaken]);
    revoke(&mut chain, "alice", "bot-0");
    authorise(&mut chain, "alice", "bot-8", AgentScope::Trading, ends);
    assert_eq!(codes(&chain.block()), [Code::Ok; 2]);
    authorise(&mut chain, "bob", "bot-0", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::Ok]);
    // What has expired binds no key and takes nobody's place.
    while chain.now_ms < ends {
        chain.block();
    }
    authorise(&mut chain, "bob", "bot-1", AgentScope::Trading, FOR_EVER);
    authorise(&mut chain, "alice", "bot-9", AgentScope::Trading, FOR_EVER);
    assert_eq!(codes(&chain.block()), [Code::Ok; 2]);
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot-1", "bob", now), Code::Ok);
    assert_eq!(order(&mut chain, "bot-1", "alice", now), Code::UnknownAgent);
    let now = chain.now_ms;
    assert_eq!(order(&mut chain, "bot-9", "alice", now), Code::Ok);
    assert_eq!(chain.state.agents.len(), 10, "places are used again");
}

#[test]
fn rules_10_a_chain_that_begins_anew_takes_no_signature_of_before() {
    let genesis = genesis(vec![plain_market("ONE-USD", 20)], 0);
    let begun = |time_ms: u64| {
        State::genesis(&genesis, CHAIN_ID, TimeMs::new(time_ms), Vec::new()).unwrap().view()
    };
    let (before, after) = (begun(GENESIS_MS), begun(GENESIS_MS + 1));
    assert_eq!(before.signing_domain(), begun(GENESIS_MS).signing_domain());
    let of_owner = signer("alice").for_genesis(&before.chain.genesis_hash);
    let message = v1::MsgWithdraw { amount_atoms: 1, ..Default::default() };
    let bot = AgentSigner::ed25519(secret("bot"), before.signing_domain());
    let txs = [
        of_owner.sign(message, TxOptions::default()).unwrap(),
        signed(&bot, "alice", (GENESIS_MS, 0), buy()),
    ];
    let cache = Arc::new(TxCache::new(CHAIN_ID));
    let code = |tx: &Vec<u8>| cache.check(tx, 65_536).map_or_else(|no| no.code, |_| Code::Ok);
    cache.begin(before.signing_domain());
    assert_eq!(txs.each_ref().map(code), [Code::Ok; 2]);
    cache.begin(after.signing_domain());
    assert_eq!(txs.each_ref().map(code), [Code::BadSignature; 2]);
}

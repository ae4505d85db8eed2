//! A keeper on a real network, by an agent's key: it takes over a position that the book does not
//! close, outlives its node's restart, and hedges.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemark_client::agent::authorize_agent;
use tidemark_client::key_file::AgentKeyPair;
use tidemark_client::{OrderKey, Sender};
use tidemark_keeper::decide::Limits;
use tidemark_keeper::{run, Config, Note};
use tidemark_node::config::ShockConfig;
use tidemark_proto::units::Ppm;
use tidemark_proto::v1;
use tidemark_tests::harness::{limit, place, signer, usdc};
use tidemark_tests::net::traffic::{self, fund, send};
use tidemark_tests::net::{feed, progress, wait_for, Net, NetOptions};

const BTC: u32 = 0;
const NODE: usize = 0;

/// The keeper's notes so far.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Note>>>);

impl Told {
    fn add(&self, note: Note) {
        progress(&format!("keeper: {}", note.text()));
        self.0.lock().unwrap().push(note);
    }

    /// How many of the notes are such.
    fn count(&self, such: impl Fn(&Note) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|note| such(note)).count()
    }

    async fn wait(&self, what: &str, such: impl Fn(&Note) -> bool + Copy) {
        wait_for(what, || async { (self.count(such) > 0).then_some(()) }).await;
    }
}

fn config(net: &Net) -> Config {
    Config {
        node: net.grpc(NODE),
        metrics: None,
        subaccount: 0,
        markets: vec![("BTC-USD".into(), usdc(40_000))],
        limits: Limits {
            max_market_atoms: usdc(500_000),
            max_total_atoms: usdc(500_000),
            min_edge_ppm: Ppm::new(-100_000),
            max_slippage_ppm: Ppm::new(50_000),
        },
        dry_run: false,
    }
}

/// A long of 90 000 USDC on 4 000 USDC of collateral falls into liquidation with no bid in reach.
/// The keeper takes the position over, the node restarts, bids come back, and the keeper sells the
/// position to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_takes_over_hedges_and_outlives_a_restart() {
    let mut net = Net::start(NetOptions::validators(1)).await.unwrap();
    let client = net.client(NODE).await.unwrap();
    let mark = wait_for("a mark", || traffic::mark(&client)).await;
    fund(&client, &["maker".to_owned()], 5_000_000).await.unwrap();
    fund(&client, &["keeper".to_owned()], 100_000).await.unwrap();
    fund(&client, &["reckless".to_owned()], 4_000).await.unwrap();
    let mut maker = Sender::new(client.clone(), signer("maker"));
    let near = |ppm: u64| mark * ppm / 1_000_000;
    let lots = 90_000 * 1_000_000 / (mark * 10);
    send(&mut maker, vec![place(limit(BTC, v1::Side::Sell, near(1_005_000), lots))]).await;
    let mut reckless = Sender::new(client.clone(), signer("reckless"));
    send(&mut reckless, vec![place(limit(BTC, v1::Side::Buy, near(1_006_000), lots))]).await;

    let told = Told::default();
    let (notes, config) = (told.clone(), config(&net));
    // The owner's key signs once, and the keeper has its agent's.
    let owner = signer("keeper").address();
    let agent = AgentKeyPair::generate("bot", owner).unwrap();
    let message = authorize_agent(&agent.key(), v1::AgentScope::Trading, &[0], u64::MAX);
    let mut owner = Sender::new(client.clone(), signer("keeper"));
    owner.submit(&message, v1::WaitFor::Committed).await.unwrap();
    let key = OrderKey::Agent(agent);
    let keeper = tokio::spawn(async move { run(&config, &key, |note| notes.add(note)).await });
    let set_aside =
        |note: &Note| matches!(note, Note::SetAside { atoms, .. } if *atoms == usdc(40_000));
    told.wait("capacity", set_aside).await;

    // A fall over half a minute, so that some block sees the position below two thirds of
    // maintenance and not yet in debt.
    net.stop(NODE);
    let fall =
        ShockConfig { market: "BTC-USD".into(), at_ms: 0, move_ppm: -80_000, over_ms: 30_000 };
    net.set_feed(NODE, feed(0, vec![fall])).unwrap();
    net.restart(NODE).unwrap();
    told.wait("the loss of the node", |note| matches!(note, Note::Lost { .. })).await;
    let has_position =
        |note: &Note| matches!(note, Note::TookOver { lots, .. } if lots.is_positive());
    told.wait("a position", has_position).await;
    assert!(!keeper.is_finished());

    net.stop(NODE);
    let positions = told.count(has_position);
    net.restart(NODE).unwrap();
    net.ready().await.unwrap();
    progress("the node is back");
    let client = net.client(NODE).await.unwrap();
    let steps = wait_for("the steps", || async {
        let owner = signer("reckless").address().to_string();
        let answer = client.liquidation_history(&owner, 0, None).await.ok()?;
        (!answer.steps.is_empty()).then_some(answer.steps)
    })
    .await;
    let backstop = steps.iter().find(|step| step.stage() == v1::LiquidationStage::Backstop);
    let backstop = backstop.unwrap_or_else(|| panic!("no backstop step in {steps:#?}"));
    assert!(backstop.lots > 0 && backstop.closed.is_some(), "{backstop:?}");

    // The order that was under way when the node stopped survives it in the journal: bids that come
    // before the keeper is back may meet that one, and its answer is lost.
    wait_for("the keeper's return", || async {
        (told.count(has_position) > positions).then_some(())
    })
    .await;
    // Bids come back as the mark is now; the fall has ended, or the keeper's bound follows it.
    wait_for("a hedge", || async {
        let now = traffic::mark(&client).await?;
        let mut maker = Sender::new(client.clone(), signer("maker"));
        let bid = place(limit(BTC, v1::Side::Buy, now * 99 / 100, 20_000));
        let _ = maker.orders(0, vec![bid], v1::WaitFor::Committed).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        (told.count(|note| matches!(note, Note::Hedged { .. })) > 0).then_some(())
    })
    .await;
    let owner = signer("keeper").address().to_string();
    wait_for("a flat keeper", || async {
        let account = client.account(&owner, Some(0)).await.ok()?;
        let flat = account.subaccounts.iter().flat_map(|of| &of.positions).all(|of| of.lots == 0);
        flat.then_some(())
    })
    .await;
    assert!(told.count(|note| matches!(note, Note::Connected { .. })) >= 2, "it came back");
    keeper.abort();
}

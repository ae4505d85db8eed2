//! Faulty price reports under real CometBFT: one validator silent, one lying, one replaying old
//! prices; then more than a third silent, and back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidemark_client::{Client, ClientError, Sender};
use tidemark_node::config::FeedConfig;
use tidemark_proto::units::TimeMs;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{limit, place, signer};
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{markets, progress, unix_ms, wait_for, Net, NetOptions, NodeOptions};

const BTC: u32 = 0;
const HONEST: usize = 0;
const SILENT: usize = 1;
const LYING: usize = 2;
const REPLAYING: usize = 3;
/// Age from which these markets' index is stale: long for a slow machine's block, short for a test.
const MAX_AGE_MS: TimeMs = TimeMs::new(10_000);
/// A tick of BTC-USD is a tenth of a USDC.
const TICKS_PER_USDC: u64 = 10;

/// Prices of BTC-USD that go round for ever: up from `low` by 1 USDC a second for 60 seconds, and
/// again.
fn history(folder: &Path, name: &str, low: u64) -> FeedConfig {
    let mut text = String::from("time_ms,market,price\n");
    for second in 0..60 {
        for (symbol, price) in
            [("BTC-USD", low + second), ("ETH-USD", low / 20), ("SOL-USD", low / 400)]
        {
            let _ = writeln!(text, "{},{symbol},{price}", second * 1_000);
        }
    }
    let file: PathBuf = folder.join(name);
    std::fs::write(&file, text).unwrap();
    FeedConfig::Replay { file, speed: 1, start_at_ms: unix_ms(), repeat: true }
}

/// Of power 10, the honest validator has 5 and reporters have 9: more than half of them is honest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_reports_stay_outside_and_without_a_quorum_everything_stops_until_a_fresh_one() {
    let folder = tempfile::tempdir().unwrap();
    let feeds = [
        history(folder.path(), "honest.csv", 60_000),
        FeedConfig::Off,
        history(folder.path(), "lying.csv", 90_000),
        history(folder.path(), "old.csv", 40_000),
    ];
    let nodes = [5, 1, 2, 2].into_iter().zip(feeds);
    let nodes = nodes.map(|(power, feed)| NodeOptions {
        power,
        feed: Some(feed),
        ..NodeOptions::default()
    });
    let mut markets = markets();
    markets.iter_mut().for_each(|market| market.max_oracle_age_ms = MAX_AGE_MS);
    let options = NetOptions { nodes: nodes.collect(), markets, ..NetOptions::validators(4) };
    let mut net = Net::start(options).await.unwrap();

    let client = net.client(SILENT).await.unwrap();
    wait_for("an index", || async { btc(&client).await.filter(|state| state.index_ticks > 0) })
        .await;
    the_index_is_the_honest_one(&client, 40).await;
    let mut traders = Traders::start(&client).await;

    // Silent are 1, 2 and 2 of 10; what the honest validator sees now, the chain does not.
    for node in [HONEST, LYING, REPLAYING] {
        net.stop(node);
    }
    net.set_feed(HONEST, history(folder.path(), "fallen.csv", 55_000)).unwrap();
    net.set_feed(LYING, FeedConfig::Off).unwrap();
    net.set_feed(REPLAYING, FeedConfig::Off).unwrap();
    for node in [HONEST, LYING, REPLAYING] {
        net.restart(node).unwrap();
    }
    net.ready().await.unwrap();
    wait_for("a stale index", || async { btc(&client).await.filter(|state| state.stale) }).await;
    progress("half of the power is silent: the index is stale");
    traders.everything_stands_still(&net).await;

    net.stop(LYING);
    net.set_feed(LYING, history(folder.path(), "mended.csv", 55_000)).unwrap();
    net.restart(LYING).unwrap();
    net.ready().await.unwrap();
    wait_for("a fresh index", || async { btc(&client).await.filter(|state| !state.stale) }).await;
    progress("seven tenths report: the index is fresh");
    traders.everything_goes_on(&net).await;
}

async fn btc(client: &Client) -> Option<v1::MarketState> {
    let markets = client.markets().await.ok()?;
    markets.find("BTC-USD").ok().map(|(_, state)| state.clone())
}

/// Within what the honest validator reports, as seen in this many blocks.
async fn the_index_is_the_honest_one(client: &Client, blocks: u64) {
    let start = client.status().await.unwrap().height;
    let mut height = start;
    while height < start + blocks {
        let state = btc(client).await.unwrap();
        let usdc = state.index_ticks / TICKS_PER_USDC;
        assert!((60_000..60_060).contains(&usdc), "height {height}: index {usdc}, {state:?}");
        // A vote that came late is not in the commit; without the honest one's there is no quorum.
        assert!(
            state.reporting_power <= 9 && state.total_power == 10,
            "height {height}: {state:?}"
        );
        height = wait_for("the next block", || async {
            client.status().await.ok().map(|status| status.height).filter(|next| *next > height)
        })
        .await;
    }
}

struct Traders {
    client: Client,
    long: Sender,
    maker: Sender,
}

impl Traders {
    /// One account buys for 45 times its collateral, from one that quotes.
    async fn start(client: &Client) -> Self {
        fund(client, &["maker".to_owned()], 5_000_000).await.unwrap();
        fund(client, &["long".to_owned()], 2_000).await.unwrap();
        let sender = |name| Sender::new(client.clone(), signer(name));
        let mut traders =
            Self { client: client.clone(), long: sender("long"), maker: sender("maker") };
        // The narrow bid keeps the middle of the book, and so the mark, at the index.
        let near = limit(BTC, v1::Side::Buy, 59_950 * TICKS_PER_USDC, 1);
        let bid = limit(BTC, v1::Side::Buy, 50_000 * TICKS_PER_USDC, 50_000);
        assert_eq!(order(&mut traders.maker, near).await, Code::Ok);
        let ask = limit(BTC, v1::Side::Sell, 60_100 * TICKS_PER_USDC, 50_000);
        assert_eq!(order(&mut traders.maker, bid).await, Code::Ok);
        assert_eq!(order(&mut traders.maker, ask).await, Code::Ok);
        assert_eq!(order(&mut traders.long, buy_now(12_000)).await, Code::Ok);
        traders
    }

    async fn position(&self) -> i64 {
        let account = self.client.account(&self.long.address(), Some(0)).await.unwrap();
        account.subaccounts[0].positions.first().map_or(0, |position| position.lots)
    }

    async fn everything_stands_still(&mut self, net: &Net) {
        let samples = self.client.funding(BTC).await.unwrap().samples;
        let before = btc(&self.client).await.unwrap();
        let lots = self.position().await;
        assert_eq!(
            order(&mut self.long, limit(BTC, v1::Side::Buy, 55_000 * TICKS_PER_USDC, 1)).await,
            Code::StaleIndex
        );
        let withdraw = v1::MsgWithdraw { amount_atoms: 1, ..Default::default() };
        let refusal = self.long.submit(&withdraw, v1::WaitFor::Committed).await;
        assert_eq!(code(&refusal.map(|done| done.results)), Code::StaleIndex);
        // Out is always open: a reduce-only order, and its cancel.
        let reduce = v1::PlaceOrder {
            reduce_only: true,
            client_id: 7,
            ..limit(BTC, v1::Side::Sell, 61_000 * TICKS_PER_USDC, 1)
        };
        assert_eq!(order(&mut self.long, reduce).await, Code::Ok);
        let cancel = v1::CancelAll::default();
        assert_eq!(send(&mut self.long, Operation::CancelAll(cancel)).await, Code::Ok);
        // Longer than between two samples of the premium.
        let until = self.client.status().await.unwrap().time_ms + 7_000;
        wait_for("seven seconds of block time", || async {
            self.client.status().await.ok().filter(|status| status.time_ms > until)
        })
        .await;
        assert_eq!(
            self.client.funding(BTC).await.unwrap().samples,
            samples,
            "no sample of the premium"
        );
        let after = btc(&self.client).await.unwrap();
        assert_eq!(
            (after.index_ticks, after.index_time_ms),
            (before.index_ticks, before.index_time_ms)
        );
        assert_eq!(self.position().await, lots, "nothing is liquidated");
        let liquidations =
            net.metrics(SILENT).await.unwrap().sum("tidemark_liquidations_total", &[]);
        assert_eq!(liquidations.unwrap_or(0.0), 0.0);
    }

    async fn everything_goes_on(&mut self, net: &Net) {
        // At 55 000 the long has lost more than it had.
        wait_for("the long's liquidation", || async { (self.position().await == 0).then_some(()) })
            .await;
        let liquidations = || async {
            net.metrics(SILENT)
                .await
                .ok()?
                .sum("tidemark_liquidations_total", &[])
                .filter(|count| *count > 0.0)
        };
        wait_for("the liquidation on the metrics page", liquidations).await;
        let state = btc(&self.client).await.unwrap();
        assert!((55_000..55_060).contains(&(state.index_ticks / TICKS_PER_USDC)), "{state:?}");
        assert_eq!(
            order(&mut self.maker, limit(BTC, v1::Side::Buy, 50_000 * TICKS_PER_USDC, 1)).await,
            Code::Ok
        );
        let samples = self.client.funding(BTC).await.unwrap().samples;
        wait_for("a sample of the premium", || async {
            self.client.funding(BTC).await.ok().filter(|funding| funding.samples != samples)
        })
        .await;
    }
}

fn buy_now(lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        time_in_force: v1::TimeInForce::Ioc.into(),
        ..limit(BTC, v1::Side::Buy, 60_200 * TICKS_PER_USDC, lots)
    }
}

async fn order(sender: &mut Sender, order: v1::PlaceOrder) -> Code {
    send(sender, place(order)).await
}

async fn send(sender: &mut Sender, operation: Operation) -> Code {
    let done = tokio::time::timeout(
        Duration::from_secs(120),
        sender.orders(0, vec![operation], v1::WaitFor::Committed),
    );
    code(&done.await.expect("an answer in time").map(|done| done.results))
}

/// The first operation's code, or the transaction's.
fn code(answer: &Result<Vec<v1::OperationResult>, ClientError>) -> Code {
    match answer {
        Ok(results) => {
            let number = results.first().map_or(0, |result| result.code);
            Code::from_number(number).unwrap_or_else(|| panic!("code {number}"))
        }
        Err(error) => error.code().unwrap_or_else(|| panic!("{error}")),
    }
}

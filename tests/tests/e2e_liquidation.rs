//! A price falls, and accounts with too much leverage are liquidated: streams and metrics tell it.

use tidemark_client::Sender;
use tidemark_node::config::ShockConfig;
use tidemark_proto::v1;
use tidemark_proto::v1::LiquidationStage as Stage;
use tidemark_tests::harness::{limit, place, signer};
use tidemark_tests::net::traffic::{fund, mark, send};
use tidemark_tests::net::{feed, progress, wait_for, Metrics, Net, NetOptions, NodeOptions};

const BTC: u32 = 0;
const VALIDATOR: usize = 0;
const FOLLOWER: usize = 1;

/// The follower's stream is open before the validator comes back with a price that has fallen by 8
/// %.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fall_in_price_liquidates_stage_by_stage_and_is_told() {
    let mut options = NetOptions::validators(1);
    options.nodes.push(NodeOptions { power: 0, ..NodeOptions::default() });
    let mut net = Net::start(options).await.unwrap();
    let client = net.client(FOLLOWER).await.unwrap();
    let mark = wait_for("a mark", || mark(&client)).await;

    fund(&client, &["maker".to_owned()], 5_000_000).await.unwrap();
    fund(&client, &["reckless".to_owned()], 2_000).await.unwrap();
    fund(&client, &["careful".to_owned()], 9_950).await.unwrap();
    let mut maker = Sender::new(client.clone(), signer("maker"));
    let near = |ppm: u64| mark * ppm / 1_000_000;
    // Below the fall a deep book, so that closing finds buyers; above, what the two buy. One lot
    // keeps the mark near.
    let bids = [(999_500, 1), (925_000, 50_000)];
    let bids = bids.map(|(ppm, lots)| place(limit(BTC, v1::Side::Buy, near(ppm), lots)));
    let asks = place(limit(BTC, v1::Side::Sell, near(1_000_500), 50_000));
    send(&mut maker, bids.into_iter().chain([asks]).collect()).await;

    // 2 000 USDC against ~90 000, and 9 950 against ~120 000: after the fall the one owes, the
    // other is short of margin.
    let buy = |usdc: u64| {
        let lots = usdc * 1_000_000 / (mark * 10);
        place(v1::PlaceOrder {
            time_in_force: v1::TimeInForce::Ioc.into(),
            ..limit(BTC, v1::Side::Buy, near(1_001_000), lots)
        })
    };
    let more = place(limit(BTC, v1::Side::Buy, near(900_000), 50));
    let mut reckless = Sender::new(client.clone(), signer("reckless"));
    let mut careful = Sender::new(client.clone(), signer("careful"));
    send(&mut reckless, vec![buy(90_000)]).await;
    send(&mut careful, vec![buy(120_000), more]).await;

    let mut stream = client.liquidation_stream(None).await.unwrap();
    net.stop(VALIDATOR);
    let fall = ShockConfig { market: "BTC-USD".into(), at_ms: 0, move_ppm: -80_000, over_ms: 0 };
    net.set_feed(VALIDATOR, feed(0, vec![fall])).unwrap();
    net.restart(VALIDATOR).unwrap();
    net.ready().await.unwrap();
    progress("the price has fallen");

    let (reckless, careful) = (reckless.address(), careful.address());
    let mut steps = Vec::new();
    let done = |steps: &[v1::Liquidation]| {
        has(steps, &careful, Stage::Prune)
            && has(steps, &careful, Stage::Book)
            && (has(steps, &reckless, Stage::InsuranceFund) || has(steps, &reckless, Stage::Adl))
    };
    while !done(&steps) {
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), stream.message()).await;
        let Ok(next) = next else { panic!("no further step after {steps:#?}") };
        let step = next.unwrap().expect("the stream goes on");
        progress(&format!("{:?} of {} lots at {}", step.stage(), step.lots, step.price_ticks));
        steps.push(step);
    }
    for step in &steps {
        assert!(step.mark_ticks < mark && step.height > 0, "{step:?}");
        let closing = matches!(step.stage(), Stage::Book | Stage::InsuranceFund | Stage::Adl);
        assert!(!closing || (step.side() == v1::Side::Sell && step.lots > 0), "{step:?}");
        assert!(step.stage() != Stage::Prune || step.orders_cancelled > 0, "{step:?}");
        assert!(step.stage() != Stage::InsuranceFund || step.fund_paid_atoms > 0, "{step:?}");
        assert!(step.owner == careful || step.owner == reckless, "the maker is sound: {step:?}");
        assert!(step.equity_atoms < step.maintenance_atoms, "{step:?}");
    }
    let left = client.account(&reckless, Some(0)).await.unwrap();
    assert!(left.subaccounts.iter().all(|account| account.positions.is_empty()), "{left:?}");
    the_metrics_page_tells_it(&net, mark, &steps).await;
}

fn has(steps: &[v1::Liquidation], owner: &str, stage: Stage) -> bool {
    steps.iter().any(|step| step.owner == owner && step.stage() == stage)
}

async fn the_metrics_page_tells_it(net: &Net, mark: u64, steps: &[v1::Liquidation]) {
    let btc = ("market", "BTC-USD");
    // Counters and the height come with each block, the gauges at most once a second: those of
    // before the fall may still be there.
    let last = steps.last().map_or(0, |step| step.height);
    // A tick is 0.1 USDC.
    let fallen_usdc = (mark * 95 / 1_000) as f64;
    let metrics: Metrics = wait_for("the liquidations on the metrics page", || async {
        let metrics = net.metrics(FOLLOWER).await.ok()?;
        let height = metrics.sum("tidemark_block_height", &[])?;
        let fallen = metrics.sum("tidemark_mark_price_usdc", &[btc])? < fallen_usdc;
        (height > last as f64 && fallen).then_some(metrics)
    })
    .await;
    let counted = metrics.sum("tidemark_liquidations_total", &[]).unwrap_or(0.0);
    assert!(counted >= steps.len() as f64, "{counted} steps counted, {} told", steps.len());
    for (name, labels) in [
        ("tidemark_block_height", vec![]),
        ("tidemark_block_phase_seconds_count", vec![("phase", "liquidation_sweep")]),
        ("tidemark_block_phase_seconds_count", vec![("phase", "transactions")]),
        ("tidemark_operations_total", vec![("outcome", "ok")]),
        ("tidemark_transactions_total", vec![("outcome", "ok")]),
        ("tidemark_trades_total", vec![btc]),
        ("tidemark_book_depth_lots", vec![btc, ("side", "buy")]),
        ("tidemark_book_spread_ticks", vec![btc]),
        ("tidemark_mark_price_usdc", vec![btc]),
        ("tidemark_index_price_usdc", vec![btc]),
        ("tidemark_funding_rate_ratio", vec![btc]),
        ("tidemark_open_interest_base_units", vec![btc]),
        ("tidemark_oracle_age_seconds", vec![btc]),
        ("tidemark_oracle_reporting_power_ratio", vec![btc]),
        ("tidemark_accounts", vec![]),
        ("tidemark_accounts_near_liquidation", vec![btc, ("distance", "10%")]),
        ("tidemark_notional_near_liquidation_usdc", vec![btc, ("distance", "10%")]),
        ("tidemark_liquidations_total", vec![btc, ("stage", "book")]),
        ("tidemark_liquidated_notional_usdc_total", vec![btc, ("stage", "book")]),
        ("tidemark_insurance_fund_usdc", vec![]),
        ("tidemark_bad_debt_usdc", vec![btc]),
    ] {
        assert!(
            metrics.sum(name, &labels).is_some(),
            "{name} {labels:?} is missing in\n{}",
            metrics.text
        );
    }
    assert_eq!(metrics.sum("tidemark_invariant_violations_total", &[]).unwrap_or(0.0), 0.0);
    assert_eq!(metrics.sum("tidemark_oracle_reporting_power_ratio", &[btc]), Some(1.0));
}

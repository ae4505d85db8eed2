//! Names, help, documentation, and what a block does to the numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus::proto::MetricType;
use tidemark_consensus::publish::{OwnReport, PublishedBlock};
use tidemark_consensus::queue::{BundleCounts, QueueStats};
use tidemark_consensus::timing::BlockTimes;
use tidemark_engine::events::{
    Arithmetic, BlockEvents, Event, Fill, Liquidation, MarketPrices, PriceRound, PriceVote,
    VoteReport,
};
use tidemark_engine::outcome::{OperationResult, TwapSlice, TxOutcome};
use tidemark_engine::phase::Phase;
use tidemark_engine::refusal::Refusal;
use tidemark_engine::state::table::Table;
use tidemark_engine::state::{Failure, MarketCell, View};
use tidemark_oracle::index::{IndexState, IndexStep, PricePoint};
use tidemark_oracle::report::{PriceReport, Report};
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, OwnerId, Ppm, Side, SignedLots, Ticks,
    TimeMs,
};
use tidemark_proto::Code;
use tidemark_risk::{Account, Market, Position};

use super::distance::{distances, NearLiquidation};
use super::*;
use crate::readiness::{Check, Condition, Readiness};
use crate::MarketData;

const BTC: MarketId = MarketId::ZERO;
const MARK: Ticks = Ticks::new(500_000);

/// The price some ticks above the mark.
fn above(ticks: u64) -> Ticks {
    MARK + Ticks::new(ticks)
}

/// Longs of 100 lots whose collateral differs, so that their distances do.
fn view() -> View {
    let mut market =
        Market::new(MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50)).unwrap();
    market.mark_ticks = Some(MARK);
    market.open_interest_lots = Lots::new(400);
    market.bad_debt_atoms = Atoms::from_usdc(7);
    market.funding.last_rate_8h_ppm = Ppm::new(100);
    let index = IndexState {
        index: Some(PricePoint { ticks: above(10), time_ms: TimeMs::new(8_500) }),
        ..IndexState::default()
    };
    let cell = MarketCell {
        index,
        top: (Some(MARK - Ticks::new(2)), Some(above(1))),
        quarantined: Some(Failure::Crossed),
        ..MarketCell::new(market)
    };
    let mut accounts = Table::default();
    // Notional 500 USDC, maintenance 1 %: liquidated when collateral + PnL falls below 5 USDC.
    let lots = SignedLots::new(100);
    let cost_atoms = MARK.position_atoms(lots, cell.market.k).unwrap();
    for (number, collateral_usdc) in [(0, 5), (1, 12), (2, 28), (3, 400)] {
        let mut account = Account::new(OwnerId::ZERO, number);
        account.collateral_atoms = Atoms::from_usdc(collateral_usdc);
        account.positions = vec![Position { lots, cost_atoms, ..Position::empty(BTC) }];
        accounts.push(account);
    }
    accounts.push(Account::new(OwnerId::ZERO, 4));
    let mut view = View::empty("test-1");
    view.chain.time_ms = TimeMs::new(10_000);
    view.chain.treasury.insurance_atoms = Atoms::new(2_500_000);
    view.markets = Arc::new(vec![cell]);
    view.accounts = accounts.view();
    view
}

fn block() -> PublishedBlock {
    let fill = Fill {
        market: BTC,
        price_ticks: MARK,
        lots: Lots::new(100),
        taker_side: Side::Buy,
        maker: AccountId::ZERO,
        maker_order_id: OrderId::new(1),
        maker_client_id: ClientId::NONE,
        maker_fee_atoms: Atoms::ZERO,
        maker_remaining_lots: Lots::ZERO,
        taker: AccountId::new(1),
        taker_order_id: OrderId::new(2),
        taker_client_id: ClientId::NONE,
        taker_fee_atoms: Atoms::ZERO,
        taker_remaining_lots: Lots::ZERO,
        liquidation: true,
        is_makers_first: true,
        is_takers_first: false,
    };
    let step = Liquidation {
        market: BTC,
        account: AccountId::ZERO,
        stage: LiquidationStage::InsuranceFund,
        side: Side::Sell,
        lots: Lots::new(50),
        price_ticks: MARK,
        mark_ticks: MARK,
        zero_price_ticks: MARK,
        equity_atoms: Atoms::ZERO,
        maintenance_atoms: Atoms::ZERO,
        fee_atoms: Atoms::ZERO,
        fund_paid_atoms: Atoms::ZERO,
        orders_cancelled: 0,
        arithmetic: Arithmetic::default(),
    };
    let result = |code: Code| OperationResult { refusal: refusal(code), ..Default::default() };
    let tx = |code, results| TxOutcome {
        hash: [1; 32],
        refusal: refusal(code),
        results,
        ..TxOutcome::default()
    };
    let events = BlockEvents {
        height: 42,
        time_ms: TimeMs::new(10_000),
        txs: vec![
            tx(Code::Ok, vec![result(Code::Ok), result(Code::WouldCross)]),
            tx(Code::BadSignature, vec![]),
        ],
        events: vec![Event::Fill(fill), Event::Liquidation(Box::new(step)), triggered(), slice()],
        violations: vec!["test".into()],
        prices: PriceRound {
            proposer: [0xcd; 20],
            total_power: 5,
            votes: vec![
                PriceVote {
                    validator: [0xab; 20],
                    power: 3,
                    report: VoteReport::Prices(report(above(510))),
                },
                PriceVote { validator: [1; 20], power: 1, report: VoteReport::Late },
                PriceVote { validator: [2; 20], power: 1, report: VoteReport::Blanked },
            ],
            markets: vec![MarketPrices { reporting_power: 3, step: IndexStep::Taken }],
        },
        ..BlockEvents::default()
    };
    let mut times = BlockTimes::default();
    times.add(Phase::Hash, std::time::Duration::from_millis(3));
    PublishedBlock { view: Arc::new(view()), events: Arc::new(events), times, is_replayed: false }
}

/// A refusal of this code; `None` for `Ok`.
fn refusal(code: Code) -> Option<Box<Refusal>> {
    let refused = tidemark_proto::Refusal::new(code, "");
    (code != Code::Ok).then(|| Box::new(refused.into()))
}

fn triggered() -> Event {
    Event::Triggered {
        market: BTC,
        order_id: OrderId::new(1),
        account: AccountId::new(1),
        client_id: ClientId::NONE,
        placed_order_id: OrderId::new(2),
        refusal: None,
        forfeited_atoms: Atoms::ZERO,
    }
}

fn slice() -> Event {
    let slice = TwapSlice { refusal: refusal(Code::StaleIndex), ..Default::default() };
    Event::Slice {
        market: BTC,
        order_id: OrderId::new(3),
        account: AccountId::new(1),
        client_id: ClientId::NONE,
        slice,
        left: None,
    }
}

/// A price of the market.
fn report(index: Ticks) -> Report {
    Report {
        prices: vec![PriceReport { market: BTC, index_ticks: Some(index), external_ticks: None }],
    }
}

fn own_report() -> OwnReport {
    OwnReport { height: 42, report: report(above(10)) }
}

/// Metrics with a value in every family.
fn stats() -> QueueStats {
    QueueStats { from_clients: 4, from_mempool: 1, memory_bytes: 9_000, ..QueueStats::default() }
}

fn filled() -> Arc<Metrics> {
    let (metrics, block) = (Metrics::new().unwrap(), block());
    metrics.count_block(&block);
    metrics.refresh(&block.view, &block.events, &MarketData::new(), Some(&own_report()));
    metrics.grpc_request("/tidemark.v1.OrderService/Submit", tonic::Code::Ok);
    metrics.stream_opened("book");
    metrics.queue.refresh(&QueueStats { owners: 3, drops: [("room", 2)].into(), ..stats() });
    let bundles = BundleCounts {
        refused: [(Code::RateLimited, 1)].into(),
        waiting_bytes: vec![([1; 20], 250)],
        ..BundleCounts::default()
    };
    metrics.carriage.refresh(bundles);
    let checks = [
        Check { name: "synced", ok: true, reason: String::new() },
        Check { name: "disk", ok: false, reason: String::new() },
    ];
    metrics.tell_node(&NodeFigures {
        checks: [&[], &checks],
        disk_free_bytes: Some(5_000),
        clock_ahead_ms: Some(-1_500),
        votes_missed: 4,
        own_prices: Some(3),
        peers: Some(2),
        memory_bytes: Some(70_000),
    });
    metrics
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text().unwrap()).unwrap()
}

#[test]
fn names_follow_prometheus_conventions() {
    let units = ["_seconds", "_ratio", "_usdc", "_lots", "_ticks", "_base_units", "_bytes"];
    let counts = [
        "tidemark_block_height",
        "tidemark_check_ok",
        "tidemark_own_report_markets",
        "tidemark_peers",
        "tidemark_book_levels",
        "tidemark_accounts",
        "tidemark_accounts_near_liquidation",
        "tidemark_backstop_keepers",
        "tidemark_markets_quarantined",
        "tidemark_submit_waiters",
        "tidemark_stream_subscribers",
        "tidemark_withdrawals_queued",
        "tidemark_withdrawals_gated_blocks",
        "tidemark_event_log_differences",
        "tidemark_event_log_failures",
        "tidemark_event_log_first_height",
        "tidemark_event_log_missed_blocks",
        "tidemark_queue_owners",
        "tidemark_queue_transactions",
        "tidemark_retain_height",
        "tidemark_snapshot_damaged",
        "tidemark_snapshot_failures",
        "tidemark_snapshot_height",
        "tidemark_snapshot_left_out",
    ];
    for family in filled().families() {
        let (name, help) = (family.name(), family.help());
        assert!(
            name.starts_with("tidemark_") && !help.is_empty() && !help.ends_with('.'),
            "{name}: {help}"
        );
        let counter = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        let has_unit = units.iter().any(|unit| name.ends_with(unit)) || counts.contains(&name);
        assert!(counter || has_unit, "{name} has no unit");
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            assert!(
                !["account", "owner", "subaccount"].contains(&label.name()),
                "{name} has an account label"
            );
        }
    }
}

#[test]
fn docs_metrics_lists_every_metric_with_its_help() {
    let filled = filled().families();
    let families: Vec<_> =
        filled.iter().map(|family| (family.name().to_owned(), family.help().to_owned())).collect();
    let docs = include_str!("../../../../docs/metrics.md");
    let rows = docs.lines().filter(|line| line.starts_with("| `tidemark_"));
    let documented: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].split(['`', '{']).nth(1).unwrap().to_owned(), cells[4].to_owned())
        })
        .collect();
    assert_eq!(documented, families.into_iter().collect());
    // A family without a value is not gathered: the source tells whether the block above fills all.
    let source = concat!(
        include_str!("carriage.rs"),
        include_str!("chain.rs"),
        include_str!("event_log.rs"),
        include_str!("grpc.rs"),
        include_str!("market.rs"),
        include_str!("node.rs"),
        include_str!("oracle.rs"),
        include_str!("queue.rs"),
        include_str!("snapshots.rs")
    );
    let named: BTreeSet<&str> = source
        .split('"')
        .filter(|text| text.starts_with("tidemark_") && !text.contains(' '))
        .collect();
    assert_eq!(named.len(), documented.len(), "{named:?}");
}

#[test]
fn a_block_is_counted_by_outcome_market_and_stage() {
    let text = text(&filled());
    for line in [
        "tidemark_block_height 42",
        "tidemark_block_timestamp_seconds 10",
        "tidemark_block_phase_seconds_count{phase=\"app_hash\"} 1",
        "tidemark_transactions_total{outcome=\"ok\"} 1",
        "tidemark_transactions_total{outcome=\"BAD_SIGNATURE\"} 1",
        "tidemark_operations_total{outcome=\"WOULD_CROSS\"} 1",
        "tidemark_traded_notional_usdc_total{market=\"BTC-USD\"} 500",
        "tidemark_liquidations_total{market=\"BTC-USD\",stage=\"insurance_fund\"} 1",
        "tidemark_liquidated_notional_usdc_total{market=\"BTC-USD\",stage=\"insurance_fund\"} 250",
        "tidemark_orders_triggered_total{market=\"BTC-USD\",outcome=\"ok\"} 1",
        "tidemark_twap_slices_total{market=\"BTC-USD\",outcome=\"STALE_INDEX\"} 1",
        "tidemark_invariant_violations_total 1",
        "tidemark_insurance_fund_usdc 2.5",
        "tidemark_check_ok{check=\"disk\"} 0",
        "tidemark_clock_ahead_seconds -1.5",
        "tidemark_disk_free_bytes 5000",
        "tidemark_own_votes_missed_total 4",
        "tidemark_peers 2",
        "tidemark_bad_debt_usdc{market=\"BTC-USD\"} 7",
        "tidemark_oracle_age_seconds{market=\"BTC-USD\"} 1.5",
        "tidemark_oracle_reporting_power_ratio{market=\"BTC-USD\"} 0.6",
        "tidemark_oracle_index_bounded_total{market=\"BTC-USD\"} 0",
        "tidemark_oracle_largest_deviation_ratio{market=\"BTC-USD\"} 0.000999",
        "tidemark_oracle_own_deviation_ratio{market=\"BTC-USD\"} 0",
        "tidemark_oracle_reports_total{outcome=\"late\",validator=\"\
         0101010101010101010101010101010101010101\"} 1",
        "tidemark_oracle_validator_deviation_ratio{validator=\"\
         ABABABABABABABABABABABABABABABABABABABAB\"} 0.000999",
        "tidemark_queue_dropped_total{reason=\"room\"} 2",
        "tidemark_queue_transactions{origin=\"client\"} 4",
        "tidemark_mark_price_usdc{market=\"BTC-USD\"} 50000",
        "tidemark_index_price_usdc{market=\"BTC-USD\"} 50001",
        "tidemark_open_interest_base_units{market=\"BTC-USD\"} 0.04",
        "tidemark_funding_rate_ratio{market=\"BTC-USD\"} 0.0001",
        "tidemark_book_spread_ticks{market=\"BTC-USD\"} 3",
        "tidemark_markets_quarantined 1",
        "tidemark_accounts 5",
        "tidemark_accounts_near_liquidation{distance=\"0.5%\",market=\"BTC-USD\"} 1",
        "tidemark_accounts_near_liquidation{distance=\"5%\",market=\"BTC-USD\"} 3",
        "tidemark_notional_near_liquidation_usdc{distance=\"2%\",market=\"BTC-USD\"} 1000",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn distances_are_cumulative_and_leave_out_the_safe() {
    let near = |accounts: i64| NearLiquidation {
        accounts,
        notional_atoms: Atoms::from_usdc(500 * accounts),
    };
    // 0 %, 1.4 %, 4.6 % and, at 80 %, none of the buckets.
    assert_eq!(distances(&view()), [[near(1), near(1), near(2), near(3), near(3)]]);
}

#[test]
fn methods_are_counted_by_name_and_invented_ones_together() {
    let metrics = Metrics::new().unwrap();
    let proto = include_str!("../../../../proto/proto/tidemark/v1/service.proto");
    let mut service = "";
    for line in proto.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("service ").and_then(|rest| rest.strip_suffix(" {")) {
            service = name;
        } else if let Some(rpc) = line.strip_prefix("rpc ").and_then(|rest| rest.split('(').next())
        {
            metrics.grpc_request(&format!("/tidemark.v1.{service}/{rpc}"), tonic::Code::Ok);
        }
    }
    assert!(!text(&metrics).contains("method=\"other\""));
    for number in 0..100 {
        metrics.grpc_request(
            &format!("/tidemark.v1.OrderService/Invented{number}"),
            tonic::Code::Unimplemented,
        );
    }
    let other = "tidemark_grpc_requests_total{code=\"Unimplemented\",method=\"other\"} 100";
    assert!(text(&metrics).lines().any(|line| line == other));
}

#[tokio::test]
async fn metrics_and_health_are_served_and_a_busy_port_gives_a_sentence() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let metrics = Metrics::new().unwrap();
    let readiness = Readiness::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = serve(any, Arc::clone(&metrics), readiness.clone()).await.unwrap();
    let address = server.address();
    let get = |path: &'static str| async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for page in ["/health", "/ready"] {
        let answer = get(page).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("just started"), "{answer}");
    }
    let failed = Check { name: "disk", ok: false, reason: "it is full".into() };
    let height = 42;
    readiness.tell(Condition { height, health: Vec::new(), ready: vec![failed] });
    assert!(get("/health").await.ends_with("{\"ok\":true,\"height\":42,\"checks\":[]}\n"));
    let answer = get("/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("it is full"), "{answer}");
    metrics.count_block(&block());
    assert!(get("/metrics").await.contains("\ntidemark_block_height 42\n"));
    assert!(get("/other").await.starts_with("HTTP/1.1 404"));
    let again = serve(address, Metrics::new().unwrap(), Readiness::default()).await;
    let why = again.unwrap_err();
    assert!(why.contains("another process does"), "{why}");
}

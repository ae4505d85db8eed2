use clap::Parser as _;

use super::*;
use crate::fixtures::btc_params;

/// The operation of a line, at time 1 s, with so many lots held.
fn with_position(line: &str, held: i64) -> Result<Operation, String> {
    let line = format!("tidemark {line}");
    let cli =
        args::Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    let state = v1::MarketState { params: Some(btc_params()), k: 10, ..Default::default() };
    let markets = Markets::new(vec![state]);
    let held = BTreeMap::from([(3, SignedLots::new(held))]);
    let chain_data = ChainData { markets, now_ms: TimeMs::new(1_000), held };
    match cli.command {
        args::Command::Order(command) => chain_data.operation(&command),
        other => Err(format!("{other:?}")),
    }
}

fn parsed(line: &str) -> Result<Operation, String> {
    with_position(line, 0)
}

fn placed(options: &str) -> Result<v1::PlaceOrder, String> {
    match parsed(&format!("place --market BTC-USD --side buy {options}"))? {
        Operation::Place(order) => Ok(order),
        other => Err(format!("{other:?}")),
    }
}

fn refused(lines: &[(&str, &str)]) {
    for (line, sentence) in lines {
        let refusal = parsed(line).unwrap_err();
        assert!(refusal.contains(sentence), "{line}: {refusal}");
    }
}

#[test]
fn options_become_the_order_that_they_describe() {
    let limit = placed("--price 60000 --size 0.01 --client-id 7").unwrap();
    assert_eq!(
        (limit.market, limit.price_ticks, limit.lots, limit.client_id),
        (3, 600_000, 100, 7)
    );
    assert_eq!(limit.time_in_force(), v1::TimeInForce::Gtc);
    let timed =
        placed("--price 60000 --size 0.01 --expires 10m --post-only slide --reduce-only").unwrap();
    assert_eq!((timed.time_in_force(), timed.expires_ms), (v1::TimeInForce::Gtt, 601_000));
    assert_eq!((timed.post_only(), timed.reduce_only), (v1::PostOnly::Slide, true));
    let market = placed("--size 0.01 --type market").unwrap();
    assert_eq!((market.r#type(), market.price_ticks), (v1::OrderType::Market, 0));
    assert_eq!(market.time_in_force(), v1::TimeInForce::Ioc);
}

#[test]
fn a_trigger_without_a_price_is_for_a_market_order_and_with_one_for_a_limit_order() {
    let stop = placed("--size 0.01 --stop 61000").unwrap();
    assert_eq!((stop.trigger(), stop.trigger_price_ticks), (v1::Trigger::Stop, 610_000));
    assert_eq!(
        (stop.r#type(), stop.time_in_force()),
        (v1::OrderType::Market, v1::TimeInForce::Ioc)
    );
    let worst = placed("--size 0.01 --stop 61000 --type market --price 61500").unwrap();
    assert_eq!((worst.r#type(), worst.price_ticks), (v1::OrderType::Market, 615_000));
    let limit =
        placed("--size 0.01 --take-profit 59000 --price 59010 --expires 1h --post-only").unwrap();
    assert_eq!((limit.trigger(), limit.r#type()), (v1::Trigger::TakeProfit, v1::OrderType::Limit));
    assert_eq!((limit.price_ticks, limit.expires_ms), (590_100, 3_601_000));
    let whole = placed("--whole-position --stop 61000").unwrap();
    assert_eq!((whole.whole_position, whole.reduce_only, whole.lots), (true, true, 0));
}

#[test]
fn icebergs_show_a_part_and_pegged_orders_have_a_distance() {
    let iceberg = placed("--price 60000 --size 0.01 --display 0.002").unwrap();
    assert_eq!((iceberg.lots, iceberg.display_lots), (100, 20));
    let pegged = placed("--peg mark --peg-offset -5 --size 0.01").unwrap();
    assert_eq!(
        (pegged.peg(), pegged.peg_offset_ticks, pegged.price_ticks),
        (v1::Peg::Mark, -50, 0)
    );
    assert_eq!(
        (pegged.r#type(), pegged.time_in_force()),
        (v1::OrderType::Limit, v1::TimeInForce::Gtc)
    );
    let best =
        placed("--peg best --size 0.01 --price 60500 --post-only slide --expires 1m").unwrap();
    assert_eq!((best.peg(), best.peg_offset_ticks, best.price_ticks), (v1::Peg::Best, 0, 605_000));
}

#[test]
fn options_of_an_order_that_contradict_each_other_are_refused_with_what_to_do() {
    for (options, sentence) in [
        ("--size 0.01", "needs --price"),
        ("--price 60000", "with --size"),
        ("--size 0.01 --price 60000 --tif gtt", "needs --expires"),
        ("--size 0.01 --price 60000 --tif ioc --expires 1m", "goes with --tif gtt"),
        ("--size 0.01 --type market --tif gtc", "leave --tif out"),
        ("--size 0.01 --price 60000 --tif fok --post-only", "must be able to rest"),
        ("--size 0.00015 --price 60000", "lots of 0.0001 BTC"),
        ("--size 0.01 --price 60000.03", "ticks of 0.1 USDC"),
        ("--size 0.01 --stop 60000.03", "--stop: price 60000.03 is not"),
        ("--size 0.01 --stop 61000 --type limit", "leave --type out"),
        ("--size 0.01 --stop 61000 --expires 1h", "--expires is for limit orders"),
        ("--size 0.01 --stop 61000 --take-profit 59000", "cannot be used with"),
        ("--stop 61000", "--size, or --whole-position"),
        ("--whole-position --price 60000", "--stop, --take-profit or --trail"),
        ("--whole-position --size 0.01 --stop 61000", "cannot be used with"),
        ("--whole-position --stop 61000 --price 61010 --display 0.01", "a part of --size"),
        ("--size 0.01 --price 60000 --display 0.02", "--display is 0.02, more than --size, 0.01"),
        ("--size 0.01 --type market --display 0.002", "may rest has a part"),
        ("--size 0.01 --price 60000 --display 0.00001", "--display: size 0.00001"),
        ("--size 0.01 --peg-offset 5 --price 60000", "--peg <PEG>"),
        ("--size 0.01 --peg mark --peg-offset 0.15", "--peg-offset: 0.15 is not a whole number"),
        ("--size 0.01 --peg mark --type market", "rests and never takes"),
        ("--size 0.01 --peg mark --tif ioc", "rests and never takes"),
        ("--size 0.01 --peg mark --post-only", "leave --post-only out"),
        ("--size 0.01 --peg mark --stop 61000", "leave --stop and --take-profit out"),
        ("--size 0.01 --peg last", "possible values: mark, best"),
    ] {
        let refusal = placed(options).unwrap_err();
        assert!(refusal.contains(sentence), "{options}: {refusal}");
    }
}

#[test]
fn exits_are_on_the_side_that_closes_the_position() {
    let both = |held| {
        let line = if held > 0 {
            "--take-profit 62000 --stop 58000"
        } else {
            "--take-profit 58000 --stop 62000"
        };
        match with_position(&format!("exits --market BTC-USD {line} --client-id 4"), held) {
            Ok(Operation::Oco(pair)) => (pair.first.unwrap(), pair.second.unwrap()),
            other => panic!("{other:?}"),
        }
    };
    for (held, side) in [(7, v1::Side::Sell), (-7, v1::Side::Buy)] {
        let (gain, loss) = both(held);
        assert_eq!((gain.trigger(), loss.trigger()), (v1::Trigger::TakeProfit, v1::Trigger::Stop));
        assert_eq!((gain.client_id, loss.client_id), (4, 5));
        for exit in [gain, loss] {
            assert_eq!((exit.side(), exit.whole_position, exit.lots), (side, true, 0));
            assert_eq!(exit.r#type(), v1::OrderType::Market);
        }
    }
    let one = with_position("exits --market BTC-USD --stop 58000 --client-id 4", 7);
    assert!(
        matches!(one, Ok(Operation::Place(order)) if order.client_id == 4 && order.whole_position)
    );
    let turned =
        with_position("exits --market BTC-USD --stop 62000 --take-profit 58000", 7).unwrap_err();
    assert!(
        turned.contains("is long: its --stop, 62000, must be below its --take-profit, 58000"),
        "{turned}"
    );
    refused(&[
        ("exits --market BTC-USD --stop 58000", "there is no position in BTC-USD"),
        ("exits --market BTC-USD", "required arguments"),
    ]);
}

#[test]
fn a_pair_is_a_limit_order_and_a_stop() {
    let line =
        "oco --market BTC-USD --side sell --size 0.01 --price 62000 --stop 58000 --reduce-only";
    let pair = |line: &str| match parsed(line) {
        Ok(Operation::Oco(pair)) => (pair.first.unwrap(), pair.second.unwrap()),
        other => panic!("{other:?}"),
    };
    let (limit, stop) = pair(line);
    assert_eq!((limit.price_ticks, limit.lots, limit.trigger()), (620_000, 100, v1::Trigger::None));
    assert_eq!((stop.trigger_price_ticks, stop.lots, stop.price_ticks), (580_000, 100, 0));
    assert_eq!((stop.r#type(), stop.reduce_only), (v1::OrderType::Market, true));
    let (limit, stop) =
        pair(&format!("{line} --stop-limit 57900 --expires 1m --post-only --client-id 8"));
    assert_eq!(
        (limit.post_only(), limit.expires_ms, limit.client_id),
        (v1::PostOnly::Reject, 61_000, 8)
    );
    assert_eq!((stop.r#type(), stop.price_ticks), (v1::OrderType::Limit, 579_000));
    assert_eq!((stop.post_only(), stop.expires_ms, stop.client_id), (v1::PostOnly::Off, 61_000, 9));
    refused(&[
        (
            "oco --market BTC-USD --side sell --size 1 --price 58000 --stop 62000",
            "to sell, --stop, 62000, must be below --price, 58000",
        ),
        ("oco --market BTC-USD --side buy --size 1 --price 62000 --stop 58000", "must be above"),
        ("oco --market BTC-USD --side buy --size 1 --price 58000 --stop 62000.01", "--stop: price"),
    ]);
}

#[test]
fn orders_in_parts_keep_to_their_bounds() {
    let twap = "twap --market BTC-USD --side buy --size 0.01";
    let full = parsed(&format!(
        "{twap} --slices 10 --interval 30s --slippage-ppm 500 --limit 61000 --client-id 3"
    ));
    let Ok(Operation::Twap(order)) = full else { panic!("{full:?}") };
    assert_eq!((order.lots, order.slices, order.interval_ms), (100, 10, 30_000));
    assert_eq!((order.slippage_ppm, order.limit_ticks, order.client_id), (500, 610_000, 3));
    let scale = "scale --market BTC-USD --side buy --size 0.01";
    let full = parsed(&format!(
        "{scale} --from 59000 --to 58000 --orders 5 --skew 2.5 --post-only slide --expires 1m"
    ));
    let Ok(Operation::Scale(order)) = full else { panic!("{full:?}") };
    assert_eq!((order.from_ticks, order.to_ticks, order.count), (590_000, 580_000, 5));
    assert_eq!(
        (order.skew_ppm, order.post_only(), order.expires_ms),
        (2_500_000, v1::PostOnly::Slide, 61_000)
    );
    refused(&[
        (&format!("{twap} --slices 1 --interval 30s"), "1 is not in 2..=1000"),
        (&format!("{twap} --slices 5 --interval 500ms"), "--interval is 500ms, must be 1s to 1d"),
        (
            &format!("{twap} --slices 101 --interval 1s"),
            "--slices is 101, but 0.01 BTC is only 100 times",
        ),
        (&format!("{twap} --slices 5 --interval 1s --slippage-ppm 0"), "0 is not in 1..=999999"),
        (&format!("{scale} --from 59000 --to 58000 --orders 101"), "101 is not in 2..=100"),
        (
            "scale --market BTC-USD --side buy --size 0.0003 --from 59000 --to 58000 --orders 4",
            "--orders is 4, but 0.0003 BTC is only 3 times the lot of 0.0001",
        ),
        (&format!("{scale} --from 59000 --to 59000.0 --orders 5"), "a ladder has two ends"),
        (
            &format!("{scale} --from 59000 --to 58000 --orders 5 --skew 0"),
            "--skew is 0, must be 0.01 to 100",
        ),
        (&format!("{scale} --from 59000 --to 58000 --orders 5 --skew 1.0000001"), "six decimals"),
    ]);
}

#[test]
fn switches_and_changes_become_what_they_say() {
    let at = |line: &str| match parsed(line) {
        Ok(Operation::ScheduleCancelAll(schedule)) => schedule.at_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!((at("dead-man --in 30s"), at("dead-man --off")), (31_000, 0));
    let replace = parsed("replace --market BTC-USD --id 9 --trigger 58000");
    let Ok(Operation::Replace(replace)) = replace else { panic!("{replace:?}") };
    assert_eq!((replace.order_id, replace.trigger_price_ticks, replace.lots), (9, 580_000, None));
    let Ok(Operation::Replace(total)) = parsed("replace --market BTC-USD --id 9 --total 0.02")
    else {
        panic!("no replacement")
    };
    assert_eq!((total.lots, total.total_lots), (None, Some(200)));
    refused(&[
        ("dead-man --in 5s", "--in is 5s, must be 6s to 1d"),
        ("dead-man --in 2d", "--in is 2d, must be 6s to 1d"),
        ("dead-man --in 30s --off", "cannot be used with"),
        ("dead-man", "required arguments"),
        ("replace --market BTC-USD --id 9", "required arguments"),
    ]);
    assert_eq!(span_text(Duration::from_millis(90_000)), "90s");
    assert_eq!(span_text(Duration::from_millis(1_500)), "1500ms");
}

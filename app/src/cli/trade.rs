//! Commands that sign: cash, leverage and orders.

use serde_json::{json, Value};
use tidemark_proto::tx::Sendable;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code};

use super::args::{self, OrderName, PostOnlyArg, SideArg, TifArg, TypeArg};
use super::show::time_text;
use super::table::grouped;
use super::{find, wait_for, CliError, Context};
use crate::client::key_file::KeyFile;
use crate::client::{atoms_of_usdc, usdc, ClientError, Market, Markets, Sender, Submitted};

pub(super) async fn deposit(context: &Context, args: &args::Deposit) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let recipient = context.address(&args.to)?;
    let path = match &args.faucet_key {
        Some(path) => path.clone(),
        None => context.home()?.join("devnet/faucet.json"),
    };
    if !path.exists() {
        return Err(CliError::Usage(format!(
            "there is no faucet key at {}: deposits are for devnets (`tidemarkd devnet` makes one); name another with --faucet-key",
            path.display()
        )));
    }
    let mut sender = context.sender(&KeyFile::load(&path)?).await?;
    let subaccount = context.global.subaccount;
    let message =
        v1::MsgDeposit { recipient: recipient.clone(), subaccount, amount_atoms, ..Default::default() };
    let amount = grouped(usdc(amount_atoms), 2);
    send(
        context,
        &mut sender,
        &message,
        &format!("credited {amount} USDC to {recipient}, subaccount {subaccount}"),
    )
    .await
}

pub(super) async fn withdraw(context: &Context, args: &args::Amount) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let mut sender = context.sender(&context.key()?).await?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgWithdraw { subaccount, amount_atoms, ..Default::default() };
    let amount = grouped(usdc(amount_atoms), 2);
    send(context, &mut sender, &message, &format!("withdrew {amount} USDC from subaccount {subaccount}"))
        .await
}

pub(super) async fn transfer(context: &Context, args: &args::Transfer) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let (from_subaccount, to_subaccount) = (context.global.subaccount, args.to_subaccount);
    if from_subaccount == to_subaccount {
        return Err(CliError::Usage(format!("--subaccount and --to-subaccount are both {from_subaccount}")));
    }
    let mut sender = context.sender(&context.key()?).await?;
    let message = v1::MsgTransfer { from_subaccount, to_subaccount, amount_atoms, ..Default::default() };
    let amount = grouped(usdc(amount_atoms), 2);
    let done = format!("moved {amount} USDC from subaccount {from_subaccount} to {to_subaccount}");
    send(context, &mut sender, &message, &done).await
}

pub(super) async fn leverage(context: &Context, args: &args::Leverage) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let subaccount = context.global.subaccount;
    let message =
        v1::MsgSetLeverage { subaccount, market: market.id, leverage: args.leverage, ..Default::default() };
    let level = match args.leverage {
        0 => "the most that its tier allows".to_owned(),
        times => format!("{times}x"),
    };
    let done = format!("leverage of {} in subaccount {subaccount} is {level}", market.symbol);
    send(context, &mut sender, &message, &done).await
}

/// Sends a message that is done or refused as a whole, and says that it is done.
pub(super) async fn send<M: Sendable + Clone>(
    context: &Context,
    sender: &mut Sender,
    message: &M,
    done: &str,
) -> Result<(), CliError> {
    let submitted = sender.submit(message, v1::WaitFor::Committed).await?;
    let height = submitted.height.unwrap_or_default();
    context.print(
        || format!("{done} (block {height})"),
        || json!({"done": done, "tx_hash": submitted.tx_hash, "height": height}),
    );
    Ok(())
}

pub(super) async fn place(context: &Context, args: &args::Place) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let now_ms = match args.expires {
        Some(_) => sender.client().status().await?.time_ms,
        None => 0,
    };
    let order = order(args, market, now_ms).map_err(CliError::Usage)?;
    let side = if args.side == SideArg::Buy { "bought" } else { "sold" };
    trade(context, &mut sender, &markets, Operation::Place(order), args.wait.until, side).await
}

/// The order that the options describe.
fn order(args: &args::Place, market: &Market, now_ms: u64) -> Result<v1::PlaceOrder, String> {
    let is_market = args.order_type == TypeArg::Market;
    let price_ticks = match args.price {
        Some(price) => market.ticks(price)?,
        None if is_market => 0,
        None => {
            return Err("a limit order needs --price; for one at the market's price use --type market".into())
        }
    };
    let tif = args.tif.unwrap_or(match (is_market, args.expires) {
        (true, _) => TifArg::Ioc,
        (false, Some(_)) => TifArg::Gtt,
        (false, None) => TifArg::Gtc,
    });
    let expires_ms = match (tif, args.expires) {
        (TifArg::Gtt, Some(after)) => {
            now_ms.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
        }
        (TifArg::Gtt, None) => return Err("--tif gtt needs --expires, e.g. --expires 10m".into()),
        (_, Some(_)) => return Err("--expires goes with --tif gtt only".into()),
        (_, None) => 0,
    };
    if is_market && matches!(tif, TifArg::Gtc | TifArg::Gtt) {
        return Err("a market order trades at once: leave --tif out, or use ioc or fok".into());
    }
    if args.post_only.is_some() && (is_market || matches!(tif, TifArg::Ioc | TifArg::Fok)) {
        return Err("a post-only order must be able to rest: a limit order with --tif gtc or gtt".into());
    }
    Ok(v1::PlaceOrder {
        market: market.id,
        side: side(args.side).into(),
        price_ticks,
        lots: market.lots(args.size)?,
        r#type: if is_market { v1::OrderType::Market } else { v1::OrderType::Limit }.into(),
        time_in_force: match tif {
            TifArg::Gtc => v1::TimeInForce::Gtc,
            TifArg::Gtt => v1::TimeInForce::Gtt,
            TifArg::Ioc => v1::TimeInForce::Ioc,
            TifArg::Fok => v1::TimeInForce::Fok,
        }
        .into(),
        expires_ms,
        post_only: match args.post_only {
            None => v1::PostOnly::Off,
            Some(PostOnlyArg::Reject) => v1::PostOnly::Reject,
            Some(PostOnlyArg::Slide) => v1::PostOnly::Slide,
        }
        .into(),
        reduce_only: args.reduce_only,
        client_id: args.client_id,
        ..Default::default()
    })
}

fn side(side: SideArg) -> v1::Side {
    match side {
        SideArg::Buy => v1::Side::Buy,
        SideArg::Sell => v1::Side::Sell,
    }
}

pub(super) async fn cancel(context: &Context, args: &OrderName) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let cancel = v1::CancelOrder {
        market: market.id,
        order_id: args.id.unwrap_or(0),
        client_id: args.client_id.unwrap_or(0),
    };
    trade(context, &mut sender, &markets, Operation::Cancel(cancel), args.wait.until, "").await
}

pub(super) async fn replace(context: &Context, args: &args::Replace) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.order.market)?;
    let replace = v1::ReplaceOrder {
        market: market.id,
        order_id: args.order.id.unwrap_or(0),
        client_id: args.order.client_id.unwrap_or(0),
        price_ticks: args.price.map_or(Ok(0), |price| market.ticks(price)).map_err(CliError::Usage)?,
        lots: args.size.map_or(Ok(0), |size| market.lots(size)).map_err(CliError::Usage)?,
        trigger_price_ticks: 0,
    };
    trade(context, &mut sender, &markets, Operation::Replace(replace), args.order.wait.until, "traded").await
}

pub(super) async fn cancel_all(context: &Context, args: &args::CancelAll) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let market = args.market.as_deref().map(|symbol| find(&markets, symbol)).transpose()?;
    let cancel = v1::CancelAll {
        market: market.map(|(market, _)| market.id),
        side: args.side.map_or(v1::Side::Unspecified, side).into(),
    };
    trade(context, &mut sender, &markets, Operation::CancelAll(cancel), args.wait.until, "").await
}

/// Sends one order operation and says what became of it. `traded` is the word for what filled.
async fn trade(
    context: &Context,
    sender: &mut Sender,
    markets: &Markets,
    operation: Operation,
    wait: args::WaitArg,
    traded: &str,
) -> Result<(), CliError> {
    let market = match &operation {
        Operation::Place(place) => markets.by_id(place.market),
        Operation::Cancel(cancel) => markets.by_id(cancel.market),
        Operation::Replace(replace) => markets.by_id(replace.market),
        Operation::Twap(twap) => markets.by_id(twap.market),
        Operation::Scale(scale) => markets.by_id(scale.market),
        Operation::Oco(pair) => pair.second.as_ref().and_then(|order| markets.by_id(order.market)),
        Operation::CancelAll(_) | Operation::ScheduleCancelAll(_) => None,
    };
    let submitted = sender.orders(context.global.subaccount, vec![operation], wait_for(wait)).await?;
    let Submitted { tx_hash, height, results } = submitted;
    let Some(height) = height else {
        context.print(
            || format!("accepted by the node, not yet in a block (transaction {tx_hash})"),
            || json!({"outcome": "accepted", "tx_hash": tx_hash}),
        );
        return Ok(());
    };
    let Some(result) = results.first() else {
        let why = format!("block {height} has no result for transaction {tx_hash}");
        return Err(ClientError::Unknown { why, tx_hash: Some(tx_hash) }.into());
    };
    if result.code != 0 {
        return Err(CliError::refused(result.code, &result.message));
    }
    context.print(
        || format!("{} (block {height})", sentence(&operation, result, market, traded)),
        || result_json(result, market, &tx_hash, height),
    );
    Ok(())
}

fn sentence(
    operation: &Operation,
    result: &v1::OperationResult,
    market: Option<&Market>,
    traded: &str,
) -> String {
    let id = result.order_id;
    match operation {
        Operation::CancelAll(_) => return format!("cancelled {} orders", result.cancelled),
        Operation::Cancel(_) => return format!("cancelled order {id}"),
        Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms: 0 }) => {
            return "the dead man's switch is off".to_owned()
        }
        Operation::ScheduleCancelAll(schedule) => {
            return format!("all orders go at {}", time_text(schedule.at_ms))
        }
        Operation::Twap(_) => return format!("TWAP order {id} starts with the next block"),
        Operation::Place(_) | Operation::Replace(_) | Operation::Scale(_) | Operation::Oco(_) => {}
    }
    let Some(market) = market else { return format!("order {id}") };
    let (filled, resting) = (market.size(result.filled_lots), market.size(result.resting_lots));
    let base = market.base();
    let mut parts = Vec::new();
    if result.filled_lots > 0 {
        parts.push(format!("{traded} {filled} {base}"));
    }
    if result.resting_lots > 0 {
        parts.push(format!("{resting} {base} rests as order {id}"));
    }
    if let Some(code) = Code::from_number(result.rest_code).filter(|code| *code != Code::Ok) {
        let rest = if parts.is_empty() { "nothing traded" } else { "the rest was cancelled" };
        parts.push(format!("{rest} ({code})"));
    }
    if parts.is_empty() {
        parts.push(format!("order {id} waits for its trigger"));
    }
    if result.second_order_id != 0 {
        parts.push(format!("order {} waits beside it", result.second_order_id));
    }
    parts.join(", ")
}

fn result_json(result: &v1::OperationResult, market: Option<&Market>, tx_hash: &str, height: u64) -> Value {
    let size = |lots: u64| market.map(|market| market.size(lots));
    json!({
        "outcome": "committed",
        "tx_hash": tx_hash,
        "height": height,
        "order_id": result.order_id,
        "filled": size(result.filled_lots),
        "resting": size(result.resting_lots),
        "rest_cancelled_because": Code::from_number(result.rest_code).filter(|code| *code != Code::Ok).map(Code::word),
        "cancelled_orders": result.cancelled,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn btc() -> Market {
        let params = v1::MarketParams {
            id: 3,
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            ..Default::default()
        };
        Market::new(&params, 10)
    }

    fn parsed(options: &str) -> Result<v1::PlaceOrder, String> {
        let line = format!("tidemark place --market BTC-USD --side buy {options}");
        let cli = args::Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        match cli.command {
            args::Command::Place(args) => order(&args, &btc(), 1_000),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn options_become_the_order_that_they_describe() {
        let limit = parsed("--price 60000 --size 0.01 --client-id 7").unwrap();
        assert_eq!((limit.market, limit.price_ticks, limit.lots, limit.client_id), (3, 600_000, 100, 7));
        assert_eq!(limit.time_in_force(), v1::TimeInForce::Gtc);
        let timed =
            parsed("--price 60000 --size 0.01 --expires 10m --post-only slide --reduce-only").unwrap();
        assert_eq!((timed.time_in_force(), timed.expires_ms), (v1::TimeInForce::Gtt, 601_000));
        assert_eq!((timed.post_only(), timed.reduce_only), (v1::PostOnly::Slide, true));
        let market = parsed("--size 0.01 --type market").unwrap();
        assert_eq!((market.r#type(), market.price_ticks), (v1::OrderType::Market, 0));
        assert_eq!(market.time_in_force(), v1::TimeInForce::Ioc);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused_with_what_to_do() {
        for (options, sentence) in [
            ("--size 0.01", "needs --price"),
            ("--size 0.01 --price 60000 --tif gtt", "needs --expires"),
            ("--size 0.01 --price 60000 --tif ioc --expires 1m", "goes with --tif gtt"),
            ("--size 0.01 --type market --tif gtc", "leave --tif out"),
            ("--size 0.01 --price 60000 --tif fok --post-only", "must be able to rest"),
            ("--size 0.00015 --price 60000", "lots of 0.0001 BTC"),
            ("--size 0.01 --price 60000.03", "ticks of 0.1 USDC"),
        ] {
            let refusal = parsed(options).unwrap_err();
            assert!(refusal.contains(sentence), "{options}: {refusal}");
        }
    }

    #[test]
    fn what_became_of_an_order_is_one_sentence() {
        let operation = Operation::Place(v1::PlaceOrder::default());
        let result = |filled_lots, resting_lots, rest_code| v1::OperationResult {
            order_id: 9,
            filled_lots,
            resting_lots,
            rest_code,
            ..Default::default()
        };
        for (result, expected) in [
            (result(40, 60, 0), "bought 0.0040 BTC, 0.0060 BTC rests as order 9"),
            (result(100, 0, 0), "bought 0.0100 BTC"),
            (result(0, 100, 0), "0.0100 BTC rests as order 9"),
            (result(0, 0, 125), "nothing traded (UNFILLED)"),
            (result(10, 0, 125), "bought 0.0010 BTC, the rest was cancelled (UNFILLED)"),
        ] {
            assert_eq!(sentence(&operation, &result, Some(&btc()), "bought"), expected);
        }
    }
}

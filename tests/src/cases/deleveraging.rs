//! Deleveraging figures, through the liquidation's stages, the settlement rule and the queue of
//! counterparties.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{json, Value};
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, Side, SignedLots};
use tidemark_risk::adl::{self, counterparty, AdlFill, Queue};
use tidemark_risk::health::{health_without_orders, Health};
use tidemark_risk::liquidation::{is_insolvent, next_stage, Beyond};
use tidemark_risk::position::check_reduces;
use tidemark_risk::settlement::closes_at_settlement_price;
use tidemark_risk::zero_price::bankruptcy_quote_delta;
use tidemark_risk::{Account, Markets, Treasury};

use super::expect;
use super::world::{atoms, decimal, expect_figure, expects_refusal, plain_market, World};

/// Runs one `deleverage_trigger` case.
pub fn trigger(case: &Value) -> Result<(), String> {
    let (account, expected) = (&case["account"], &case["expected"]);
    let names = account["positions"].as_object().into_iter().flatten().map(|(name, _)| name);
    let markets: serde_json::Map<String, Value> =
        names.map(|name| (name.clone(), json!({ "oracle_price": case["oracle_price"] }))).collect();
    let markets =
        if case["markets"].is_object() { case["markets"].clone() } else { Value::Object(markets) };
    let mut world =
        World::new(&json!({ "markets": markets, "expected": expected }), &[account], &[])?;
    let account = world.account(account)?;
    let health =
        health_without_orders(&account, world.markets.as_slice()).map_err(|e| e.to_string())?;
    world.expect_quote(expected, "equity", health.equity_atoms)?;
    let settles = case["market_in_final_settlement"].as_bool().unwrap_or(false);
    let at_oracle_price = settles && closes_at_settlement_price(health.equity_atoms);
    let backstop_ppm = world.markets.iter().map(|market| market.params.backstop_ppm).max();
    let at_bankruptcy_price = if settles {
        !at_oracle_price
    } else {
        is_deleveraged(&health, account.has_position(), backstop_ppm.unwrap_or_default())
    };
    for (what, got) in
        [("at_bankruptcy_price", at_bankruptcy_price), ("at_oracle_price", at_oracle_price)]
    {
        if let Some(wanted) = expected[what].as_bool() {
            expect(what, &wanted, &got)?;
        }
    }
    Ok(())
}

/// True if a liquidation whose earlier stages close nothing comes to deleveraging.
fn is_deleveraged(health: &Health, has_position: bool, backstop_ppm: Ppm) -> bool {
    let mut done = None;
    // The sources have one price.
    let is_insolvent = is_insolvent(health, health.equity_atoms);
    let beyond = Beyond { backstop_ppm, is_insolvent, is_overdue: false };
    while let Some(stage) = next_stage(done, health, has_position, beyond) {
        if stage == LiquidationStage::Adl {
            return true;
        }
        done = Some(stage);
    }
    false
}

/// The accounts of a case, by their place in it.
struct Table(Vec<Account>);

impl adl::Accounts for Table {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(id.index()).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) -> Option<()> {
        *self.0.get_mut(id.index())? = account;
        Some(())
    }
}

/// Closes `delta` lots of one account's position against all the others, as the deleveraging stage
/// of a liquidation does.
fn deleverage(
    world: &mut World,
    table: &mut Table,
    closing_at: usize,
    market: MarketId,
    delta: SignedLots,
) -> Result<Vec<AdlFill>, String> {
    let mut closing = table.0.get(closing_at).cloned().ok_or("no closing account")?;
    let (held, lots) = (closing.lots(market), delta.unsigned_abs());
    let markets = world.markets.as_slice();
    let health = health_without_orders(&closing, markets).map_err(|e| e.to_string())?;
    let listed = markets.existing(market).map_err(|e| e.to_string())?;
    bankruptcy_quote_delta(listed, held, delta, &health).map_err(|e| e.to_string())?;
    let mut counterparties = Vec::new();
    for (at, account) in table.0.iter().enumerate().filter(|(at, _)| *at != closing_at) {
        let id = AccountId::from_index(at).ok_or("too many accounts")?;
        let found = counterparty(id, account, market, held, markets).map_err(|e| e.to_string())?;
        counterparties.extend(found);
    }
    let queue = Queue::new(market, lots, &counterparties, AccountId::ZERO, markets);
    let fills = queue
        .and_then(|mut queue| queue.close(&mut closing, lots, table, world.markets.as_mut_slice()))
        .map_err(|e| e.to_string())?;
    if let Some(row) = table.0.get_mut(closing_at) {
        *row = closing;
    }
    Ok(fills)
}

/// Runs one `deleverage_pair_at_bankruptcy_price` case. A pair is refused where the queue does not
/// close the whole size: the chain closes as much as both can bear, the source all or nothing.
pub fn pair(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let rows = [&case["closing_account"], &case["counterparty"]];
    let mut world = World::new(case, &rows, &[close])?;
    let before = vec![world.account(rows[0])?, world.account(rows[1])?];
    let id = world.id(&close["market"]);
    let delta = world.lots(id, &close["size_delta"])?;
    let reduces = check_reduces(before[0].lots(id), delta).is_ok()
        && check_reduces(before[1].lots(id), delta.saturating_neg()).is_ok();
    let mut table = Table(before.clone());
    let fills =
        if reduces { deleverage(&mut world, &mut table, 0, id, delta)? } else { Vec::new() };
    let (lots, quote) = sum(&fills);
    let is_whole = reduces && lots == delta.unsigned_abs();
    let (refused, reason) = expects_refusal(expected);
    if refused {
        let because = if reduces { "an account ends riskier" } else { "size_or_side" };
        expect("refused", &true, &!is_whole)?;
        if let Some(reason) = reason {
            expect("refused for size or side", &(reason == "size_or_side"), &!reduces)
                .map_err(|e| format!("{e} (expected {reason}, got {because})"))?;
        }
        table.0 = before;
    } else {
        if !is_whole {
            return Err(format!(
                "expected a transfer, got {} of {} closed",
                world.unsigned_size(id, lots),
                world.unsigned_size(id, delta.unsigned_abs())
            ));
        }
        world.expect_quote(expected, "transfer_quote_to_closing_account", quote)?;
        expect_figure(expected, "price", world.usdc(quote)? / -world.size(id, delta))?;
    }
    for (what, account) in ["closing_account_after", "counterparty_after"].iter().zip(&table.0) {
        world.expect_account(&expected[what], what, account)?;
    }
    Ok(())
}

fn sum(fills: &[AdlFill]) -> (Lots, Atoms) {
    fills.iter().fold((Lots::ZERO, Atoms::ZERO), |(lots, quote), fill| {
        (lots + fill.lots, quote + fill.quote_atoms)
    })
}

/// Runs one `deleverage_across_accounts` case.
pub fn across_accounts(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let rows: Vec<&Value> =
        case["accounts"].as_array().ok_or("no array accounts")?.iter().collect();
    let mut world = World::new(case, &rows, &[close])?;
    let names: Vec<&str> =
        rows.iter().map(|row| row["account"].as_str().unwrap_or_default()).collect();
    let place = |name: &Value| names.iter().position(|known| *name == **known);
    let accounts = rows.iter().map(|row| world.account(row)).collect::<Result<Vec<_>, _>>()?;
    let closing_at = place(&case["closing_account"]).ok_or("no closing account")?;
    let id = world.id(&close["market"]);
    let delta = world.lots(id, &close["size_delta"])?;
    let held = accounts[closing_at].lots(id);
    let mut table = Table(accounts);
    // No more is closed than is held.
    let due = delta.unsigned_abs().min(held.unsigned_abs());
    let side = delta.side().unwrap_or(Side::Buy);
    let due = due.signed(side).ok_or("the position is beyond 63 bits")?;
    let fills = if check_reduces(held, due).is_ok() {
        deleverage(&mut world, &mut table, closing_at, id, due)?
    } else {
        Vec::new()
    };
    expect_fills(expected, &world, id, &names, &fills)?;
    if !expected["size_remaining"].is_null() {
        let left = delta.unsigned_abs() - sum(&fills).0;
        let remaining = decimal(&expected["size_remaining"])?.abs();
        expect("size_remaining", &remaining, &world.unsigned_size(id, left))?;
    }
    for after in expected["accounts_after"].as_array().into_iter().flatten() {
        let at = place(&after["account"]).ok_or("an unknown account after")?;
        world.expect_account(after, names[at], &table.0[at])?;
    }
    Ok(())
}

/// Compares what each counterparty closed, and for how much, whatever the order.
fn expect_fills(
    expected: &Value,
    world: &World,
    market: MarketId,
    names: &[&str],
    fills: &[AdlFill],
) -> Result<(), String> {
    let Some(expected) = expected["fills"].as_array() else { return Ok(()) };
    let mut got = BTreeMap::<&str, (Lots, Atoms)>::new();
    for fill in fills {
        let name = names.get(fill.account.index());
        let sum = got.entry(name.copied().unwrap_or_default()).or_default();
        *sum = (sum.0 + fill.lots, sum.1 + fill.quote_atoms);
    }
    for fill in expected {
        let name = fill["counterparty"].as_str().unwrap_or_default();
        let (lots, quote) = got.remove(name).ok_or(format!("expected a fill of {name}"))?;
        let size: Decimal = decimal(&fill["size"])?.abs();
        expect(&format!("size of {name}"), &size, &world.unsigned_size(market, lots))?;
        world.expect_quote(fill, "transfer_quote_to_closing_account", quote)?;
    }
    expect("no more fills", &BTreeMap::new(), &got)
}

/// Runs one `insurance_fund_can_cover` case: the fund covers a loss that it has. The sources have
/// no bound on the part of a fund that is paid in a time.
pub fn fund_can_cover(case: &Value) -> Result<(), String> {
    let amount = |field: &str| decimal(&case["inputs"][field]);
    let (balance, delta) = (amount("fund_balance")?, amount("fund_delta")?);
    let decimals = balance.scale().max(delta.scale());
    let mut market = plain_market(MarketId::ZERO, Ppm::ONE, Ppm::ONE)?;
    let mut treasury =
        Treasury { insurance_atoms: atoms(balance, decimals)?, ..Treasury::default() };
    let loss = atoms(delta, decimals)?.saturating_neg().max(Atoms::ZERO);
    let got = market.change_fund(&mut treasury, loss.saturating_neg()).is_ok();
    expect("covered", &case["expected"]["covered"].as_bool(), &Some(got))
}

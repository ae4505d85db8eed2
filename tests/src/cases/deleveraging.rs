//! Deleveraging figures, through the production functions.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{json, Value};
use tidemark_proto::units::AccountId;
use tidemark_proto::Code;
use tidemark_risk::adl::{self, closing_price, deleverage_pair, ClosingPrice, Counterparty};
use tidemark_risk::liquidation::fund_can_cover as can_cover;
use tidemark_risk::margin::health_without_orders;
use tidemark_risk::Account;

use super::expect;
use super::world::{atoms, decimal, described, expect_figure, expects_refusal, usdc, World};

/// Runs one `deleverage_trigger` case.
pub fn trigger(case: &Value) -> Result<(), String> {
    let (account, expected) = (&case["account"], &case["expected"]);
    let names =
        account["positions"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let markets: serde_json::Map<String, Value> =
        names.map(|name| (name, json!({ "oracle_price": case["oracle_price"] }))).collect();
    let markets =
        if case["markets"].is_object() { case["markets"].clone() } else { Value::Object(markets) };
    let mut world = World::new(&json!({ "markets": markets }), &[account], &[])?;
    let account = world.account(account)?;
    let health =
        health_without_orders(&account, world.markets.as_slice()).map_err(|e| e.to_string())?;
    expect_figure(expected, "equity", usdc(health.equity_atoms))?;
    let closes = case["market_in_final_settlement"].as_bool().unwrap_or(false);
    let got = closing_price(health.equity_atoms, closes);
    for (what, price) in
        [("at_bankruptcy_price", ClosingPrice::Zero), ("at_oracle_price", ClosingPrice::Mark)]
    {
        if let Some(wanted) = expected[what].as_bool() {
            expect(what, &wanted, &(got == Some(price)))?;
        }
    }
    Ok(())
}

/// Runs one `deleverage_pair_at_bankruptcy_price` case.
pub fn pair(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let mut world = World::new(case, &[&case["closing_account"], &case["counterparty"]], &[close])?;
    let mut closing = world.account(&case["closing_account"])?;
    let mut counterparty = world.account(&case["counterparty"])?;
    let id = world.id(&close["market"]);
    let delta = world.lots(id, &close["size_delta"])?;
    let done =
        deleverage_pair(&mut closing, &mut counterparty, id, delta, world.markets.as_mut_slice());
    let (refused, reason) = expects_refusal(expected);
    match done {
        Ok(quote) if refused => {
            return Err(format!("expected a refusal, got a transfer of {}", usdc(quote)))
        }
        Ok(quote) => {
            expect_figure(expected, "transfer_quote_to_closing_account", usdc(quote))?;
            expect_figure(
                expected,
                "price",
                usdc(quote) / -(Decimal::from(delta) * world.lot(id)),
            )?;
        }
        Err(refusal) if refused => {
            let known = match refusal.code {
                Code::WouldIncrease => reason.is_none_or(|reason| reason == "size_or_side"),
                Code::InsufficientCollateral => reason != Some("size_or_side"),
                _ => false,
            };
            expect(&format!("a refusal because of {reason:?} (got {refusal})"), &true, &known)?;
        }
        Err(refusal) => return Err(format!("expected a transfer, got {refusal}")),
    }
    for (what, account) in
        [("closing_account_after", &closing), ("counterparty_after", &counterparty)]
    {
        if expected[what].is_object() {
            expect(what, &described(&expected[what])?, &world.describe(account)?)?;
        }
    }
    Ok(())
}

/// The accounts of a case, by their place in it.
struct Table(Vec<Account>);

impl adl::Accounts for Table {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(usize::try_from(id).ok()?).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) {
        if let Some(row) = usize::try_from(id).ok().and_then(|id| self.0.get_mut(id)) {
            *row = account;
        }
    }
}

/// Runs one `deleverage_across_accounts` case. Its accounts name no entry price, so none is in
/// profit: the walk over those who can bear it is all there is.
pub fn across_accounts(case: &Value) -> Result<(), String> {
    let (close, expected) = (&case["close"], &case["expected"]);
    let rows: Vec<&Value> =
        case["accounts"].as_array().ok_or("no array accounts")?.iter().collect();
    let mut world = World::new(case, &rows, &[close])?;
    let names: Vec<&str> =
        rows.iter().map(|row| row["account"].as_str().unwrap_or_default()).collect();
    let accounts = rows.iter().map(|row| world.account(row)).collect::<Result<Vec<_>, _>>()?;
    let at = names
        .iter()
        .position(|name| case["closing_account"] == *name)
        .ok_or("no closing account")?;
    let id = world.id(&close["market"]);
    let wanted = world.lots(id, &close["size_delta"])?.unsigned_abs();
    let counterparties: Vec<Counterparty> = (0..)
        .zip(&accounts)
        .filter(|(account, _)| usize::try_from(*account).ok() != Some(at))
        .map(|(account, of)| Counterparty {
            account,
            lots: of.lots(id).unsigned_abs(),
            profit_atoms: 0,
            rank: 0,
        })
        .collect();
    let mut closing = accounts[at].clone();
    let mut table = Table(accounts);
    let markets = world.markets.as_mut_slice();
    let fills = adl::deleverage(&mut closing, id, wanted, &counterparties, &mut table, markets)
        .map_err(|e| e.to_string())?;
    table.0[at] = closing;

    let lot = world.lot(id);
    let size = |lots: u64| (Decimal::from(lots) * lot).normalize();
    let mut got = BTreeMap::new();
    for fill in &fills {
        let name = usize::try_from(fill.account)
            .ok()
            .and_then(|at| names.get(at))
            .copied()
            .unwrap_or_default();
        got.insert(name.to_owned(), (size(fill.lots), usdc(fill.quote_atoms)));
    }
    if let Some(fills) = expected["fills"].as_array() {
        let mut wanted = BTreeMap::new();
        for fill in fills {
            let name = fill["counterparty"].as_str().unwrap_or_default().to_owned();
            let size = decimal(&fill["size"])?.abs();
            wanted.insert(name, (size, decimal(&fill["transfer_quote_to_closing_account"])?));
        }
        expect("fills", &wanted, &got)?;
    }
    let closed: u64 = fills.iter().map(|fill| fill.lots).sum();
    if !expected["size_remaining"].is_null() {
        let remaining = decimal(&expected["size_remaining"])?.abs();
        expect("size_remaining", &remaining, &size(wanted - closed))?;
    }
    for after in expected["accounts_after"].as_array().into_iter().flatten() {
        let at = names
            .iter()
            .position(|name| after["account"] == *name)
            .ok_or("an unknown account after")?;
        expect(names[at], &described(after)?, &world.describe(&table.0[at])?)?;
    }
    Ok(())
}

/// Runs one `insurance_fund_can_cover` case.
pub fn fund_can_cover(case: &Value) -> Result<(), String> {
    let amount = |field: &str| atoms(decimal(&case["inputs"][field])?);
    let got = can_cover(amount("fund_balance")?, amount("fund_delta")?);
    expect("covered", &case["expected"]["covered"].as_bool(), &Some(got))
}

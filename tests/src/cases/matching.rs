//! Order-book scenarios, step by step.

use std::collections::BTreeMap;

use serde_json::Value;
use tidemark_matching::{
    Book, Event, Host, NewOrder, PlaceResult, PostOnly, Reject, Replace, TimeInForce,
};
use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use super::expect;

/// Makers that one order may meet; more than any scenario has.
const MAX_FILLS: u32 = 10_000;

/// Plays the steps and compares each one's expectation.
pub fn run(case: &Value) -> Result<(), String> {
    let mut scenario = Scenario::new(case)?;
    let steps = case["steps"].as_array().ok_or("the case has no array `steps`")?;
    for (number, step) in steps.iter().enumerate() {
        scenario
            .step(step)
            .map_err(|why| format!("step {number} ({} {}): {why}", step["op"], step["id"]))?;
    }
    scenario.check_positions(&case["final_positions"])
}

/// Positions and what the book told of one step.
#[derive(Default)]
struct Recorder {
    positions: BTreeMap<AccountId, i128>,
    fills: Vec<(OrderId, Ticks, Lots)>,
    removed: Vec<(OrderId, Code)>,
}

impl Host for Recorder {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        let position = self.positions.get(&owner).copied().unwrap_or(0);
        let reducible = if side == Side::Sell { position } else { -position };
        u64::try_from(reducible.max(0)).map_or(Lots::MAX, Lots::new)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Fill { maker_order_id, maker, taker, taker_side, price_ticks, lots, .. } => {
                let bought = lots.wide() * if taker_side == Side::Buy { 1 } else { -1 };
                *self.positions.entry(taker).or_default() += bought;
                *self.positions.entry(maker).or_default() -= bought;
                self.fills.push((maker_order_id, price_ticks, lots));
            }
            Event::Removed { order, reason } => self.removed.push((order.order_id, reason)),
            Event::Rested(_) | Event::Refilled(_) | Event::Reduced { .. } => {}
        }
    }
}

/// Outcome of a step: `None` where the book refused it.
struct Outcome {
    state: &'static str,
    rejected: bool,
}

impl Outcome {
    const REJECTED: Self = Self { state: "rejected", rejected: true };
    const fn done(state: &'static str) -> Self {
        Self { state, rejected: false }
    }
    fn placed(result: Result<PlaceResult, Reject>) -> Self {
        match result {
            // The scenarios call an unfillable fill-or-kill order cancelled, not rejected.
            Err(Reject { code: Code::NotFillable, .. }) => Self::done("cancelled"),
            Err(_) => Self::REJECTED,
            Ok(placed) if !placed.resting_lots.is_zero() => Self::done("resting"),
            Ok(placed) if placed.rest.is_some() || !placed.decremented_lots.is_zero() => {
                Self::done("cancelled")
            }
            Ok(_) => Self::done("filled"),
        }
    }
}

struct Scenario {
    book: Book,
    host: Recorder,
    stp: SelfTradePrevention,
    accounts: BTreeMap<String, AccountId>,
    /// Order and owner of each name, live or not.
    orders: BTreeMap<String, (OrderId, AccountId)>,
    names: BTreeMap<OrderId, String>,
}

impl Scenario {
    fn new(case: &Value) -> Result<Self, String> {
        let stp = match case["stp"].as_str().unwrap_or("not_exercised") {
            "cancel_taker" | "not_exercised" => SelfTradePrevention::CancelTaker,
            "cancel_maker" => SelfTradePrevention::CancelMaker,
            "cancel_both" => SelfTradePrevention::CancelBoth,
            "decrement" => SelfTradePrevention::Decrement,
            other => return Err(format!("unknown self-trade policy {other:?}")),
        };
        let mut scenario = Self {
            book: Book::new(),
            host: Recorder::default(),
            stp,
            accounts: BTreeMap::new(),
            orders: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for (name, position) in case["initial_positions"].as_object().into_iter().flatten() {
            let account = scenario.account(name);
            scenario.host.positions.insert(account, integer(position)?);
        }
        Ok(scenario)
    }

    fn account(&mut self, name: &str) -> AccountId {
        let next = AccountId::new(self.accounts.len() as u32);
        *self.accounts.entry(name.to_owned()).or_insert(next)
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        self.host.fills.clear();
        self.host.removed.clear();
        let outcome = match step["op"].as_str().unwrap_or_default() {
            "place" => self.place(step)?,
            "replace" => self.replace(step)?,
            "reduce" => self.reduce(step)?,
            "cancel" => self.cancel(step)?,
            other => return Err(format!("unknown operation {other:?}")),
        };
        let expected = &step["expect"];
        if let Some(state) = expected["state"].as_str() {
            expect("state", &state, &outcome.state)?;
        }
        if let Some(rejected) = expected["rejected"].as_bool() {
            expect("rejected", &rejected, &outcome.rejected)?;
        }
        self.check_fills(&expected["fills"])?;
        self.check_cancelled(&expected["cancelled_resting"])?;
        self.check_side(&expected["book"], Side::Buy, "bids")?;
        self.check_side(&expected["book"], Side::Sell, "asks")
    }

    fn place(&mut self, step: &Value) -> Result<Outcome, String> {
        let id = text(&step["id"])?;
        let owner = self.account(step["account"].as_str().unwrap_or(id));
        let side = match text(&step["side"])? {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            other => return Err(format!("unknown side {other:?}")),
        };
        let market = step["type"].as_str() == Some("market");
        let price_ticks = match (market, side) {
            (true, Side::Buy) => Ticks::MAX,
            (true, Side::Sell) => Ticks::ZERO,
            (false, _) => {
                amount(&step["price"])?.map(Ticks::new).ok_or("the price is not a u64")?
            }
        };
        let time_in_force = match step["tif"].as_str().unwrap_or("GTC") {
            "FOK" => TimeInForce::Fok,
            "IOC" => TimeInForce::Ioc,
            _ if market => TimeInForce::Ioc,
            "GTC" => TimeInForce::Gtc,
            "GTT" => TimeInForce::Gtt { expires_ms: TimeMs::MAX },
            other => return Err(format!("unknown time in force {other:?}")),
        };
        let post_only = if step["post_only"] == true { PostOnly::Reject } else { PostOnly::Off };
        // A negative quantity does not exist on the wire: it is refused before it could reach the
        // book.
        let Some(lots) = amount(&step["qty"])? else { return Ok(Outcome::REJECTED) };
        let order = NewOrder {
            owner,
            client_id: ClientId::NONE,
            side,
            price_ticks,
            lots: Lots::new(lots),
            display_lots: Lots::ZERO,
            time_in_force,
            post_only,
            reduce_only: step["reduce_only"] == true,
            stp: self.stp,
            max_fills: MAX_FILLS,
            max_visits: u32::MAX,
        };
        let result = self.book.place(&order, &mut self.host);
        if let Ok(placed) = &result {
            self.orders.insert(id.to_owned(), (placed.order_id, owner));
            self.names.insert(placed.order_id, id.to_owned());
        }
        Ok(Outcome::placed(result))
    }

    /// The order of a step and its caller: the owner, unless the step names another. `None` for a
    /// name that the book never accepted.
    fn target(&mut self, step: &Value) -> Result<Option<(OrderId, AccountId)>, String> {
        let Some((order, owner)) = self.orders.get(text(&step["id"])?).copied() else {
            return Ok(None);
        };
        let caller = step["account"].as_str().map_or(owner, |name| self.account(name));
        Ok(Some((order, caller)))
    }

    fn replace(&mut self, step: &Value) -> Result<Outcome, String> {
        let Some((order_id, owner)) = self.target(step)? else { return Ok(Outcome::REJECTED) };
        let given = |field: &Value| match field {
            Value::Null => Ok(Some(None)),
            value => amount(value).map(|amount| amount.map(Some)),
        };
        let (Some(lots), Some(price_ticks)) =
            (given(&step["new_open_qty"])?, given(&step["new_price"])?)
        else {
            return Ok(Outcome::REJECTED);
        };
        let change = Replace {
            order_id,
            owner,
            price_ticks: price_ticks.map(Ticks::new),
            lots: lots.map(Lots::new),
            stp: self.stp,
            max_fills: MAX_FILLS,
            max_visits: u32::MAX,
        };
        Ok(Outcome::placed(self.book.replace(&change, &mut self.host)))
    }

    fn reduce(&mut self, step: &Value) -> Result<Outcome, String> {
        let Some((order, caller)) = self.target(step)? else { return Ok(Outcome::REJECTED) };
        let Some(by_lots) = amount(&step["qty"])? else { return Ok(Outcome::REJECTED) };
        Ok(match self.book.reduce(order, caller, Lots::new(by_lots), &mut self.host) {
            Ok(Lots::ZERO) => Outcome::done("cancelled"),
            Ok(_) => Outcome::done("resting"),
            Err(_) => Outcome::REJECTED,
        })
    }

    fn cancel(&mut self, step: &Value) -> Result<Outcome, String> {
        let Some((order, caller)) = self.target(step)? else { return Ok(Outcome::REJECTED) };
        let result = self.book.cancel(order, caller, Code::Cancelled, &mut self.host);
        Ok(if result.is_ok() { Outcome::done("cancelled") } else { Outcome::REJECTED })
    }

    fn check_fills(&self, expected: &Value) -> Result<(), String> {
        let Some(expected) = expected.as_array() else { return Ok(()) };
        let expected = expected
            .iter()
            .map(|fill| {
                Ok((
                    text(&fill["maker"])?.to_owned(),
                    integer(&fill["price"])?,
                    integer(&fill["qty"])?,
                ))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let got: Vec<_> = self
            .host
            .fills
            .iter()
            .map(|(maker, price, lots)| (self.names[maker].clone(), price.wide(), lots.wide()))
            .collect();
        expect("fills", &expected, &got)
    }

    /// Every order named must have gone, and no other reduce-only order may have.
    fn check_cancelled(&self, expected: &Value) -> Result<(), String> {
        let Some(expected) = expected.as_array() else { return Ok(()) };
        let mut expected = expected
            .iter()
            .map(|order| {
                text(if order.is_object() { &order["id"] } else { order }).map(str::to_owned)
            })
            .collect::<Result<Vec<_>, String>>()?;
        let mut got: Vec<String> = self
            .host
            .removed
            .iter()
            .map(|(order, reason)| (self.names[order].clone(), *reason))
            .filter(|(name, reason)| *reason == Code::NothingToReduce || expected.contains(name))
            .map(|(name, _)| name)
            .collect();
        expected.sort();
        got.sort();
        expect("cancelled_resting", &expected, &got)
    }

    fn check_side(&self, book: &Value, side: Side, name: &str) -> Result<(), String> {
        let Some(expected) = book[name].as_array() else { return Ok(()) };
        let whole = book[format!("{name}_is_whole_side")] != false;
        let levels: Vec<_> = self.book.levels(side).collect();
        let mut got: Vec<Vec<i128>> = Vec::new();
        let mut wanted = Vec::new();
        for (place, level) in expected.iter().enumerate() {
            let level = level.as_array().ok_or("a level is not an array")?;
            wanted.push(level.iter().map(integer).collect::<Result<Vec<_>, _>>()?);
            if let Some(level_got) = levels.get(place) {
                let mut row = vec![
                    level_got.price_ticks.wide(),
                    level_got.lots.wide(),
                    i128::from(level_got.count),
                ];
                row.truncate(level.len());
                got.push(row);
            }
        }
        expect(name, &wanted, &got)?;
        if whole {
            expect(&format!("number of {name}"), &expected.len(), &levels.len())?;
        }
        Ok(())
    }

    fn check_positions(&self, expected: &Value) -> Result<(), String> {
        for (name, position) in expected.as_object().into_iter().flatten() {
            let account =
                self.accounts.get(name).ok_or(format!("account {name:?} appears in no step"))?;
            let got = self.host.positions.get(account).copied().unwrap_or(0);
            expect(&format!("final position of {name}"), &integer(position)?, &got)?;
        }
        Ok(())
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is not a string"))
}

/// An integer given as a string or a number.
fn integer(value: &Value) -> Result<i128, String> {
    let digits = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    digits.parse().map_err(|_| format!("{value} is not an integer"))
}

/// A quantity or price; `None` when it is not a `u64`.
fn amount(value: &Value) -> Result<Option<u64>, String> {
    integer(value).map(|number| u64::try_from(number).ok())
}

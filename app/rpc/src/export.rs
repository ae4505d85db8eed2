//! `QueryService.Export`: the whole state as one JSON document, made page by page as it is read.
//!
//! `{"chain": …, "markets": […], "owners": […], "orders": […], "waiting": […]}`; amounts beyond 53
//! bits are strings.

use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use tidemark_engine::state::agents::{agents_of, Agent};
use tidemark_engine::state::{outflow, MarketCell, Owner, View};
use tidemark_market_data::AllOrders;
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::types::{Address, AgentScope};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OwnerId, SignedLots, Ticks, TimeMs};
use tidemark_proto::v1;
use tokio_stream::Stream;
use tonic::Status;

use super::one_export::Exporting;

/// Owners and orders of one page.
const PAGE: usize = 256;

/// Most bytes of one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks of the document, in order.
pub(super) type ExportStream =
    Pin<Box<dyn Stream<Item = Result<v1::ExportResponse, Status>> + Send>>;

#[derive(Serialize)]
struct Chain<'a> {
    chain_id: &'a str,
    height: u64,
    time_ms: TimeMs,
    app_hash: String,
    protocol_version: u32,
    params: &'a ChainParams,
    admin: String,
    minters: Vec<String>,
    insurance_atoms: String,
    validators_atoms: String,
    deposits_atoms: String,
    withdrawals_atoms: String,
    withdrawals_gated_until: u64,
    queued_withdrawals: Vec<QueuedWithdrawal>,
    first_credits: Vec<FirstCredit>,
    skipped_days: u32,
}

#[derive(Serialize)]
struct QueuedWithdrawal {
    owner: String,
    amount_atoms: String,
    height: u64,
}

/// Credits of an address that is no owner yet.
#[derive(Serialize)]
struct FirstCredit {
    address: String,
    amount_atoms: String,
}

#[derive(Serialize)]
struct Market<'a> {
    params: &'a MarketParams,
    index_ticks: Option<Ticks>,
    index_time_ms: Option<TimeMs>,
    mark_ticks: Option<Ticks>,
    last_trade_ticks: Option<Ticks>,
    open_interest_lots: Lots,
    cumulative_funding_index: String,
    funding_pool_atoms: String,
    bad_debt_atoms: String,
    insurance_atoms: String,
    keepers: Vec<Keeper>,
    book_sequence: u64,
    quarantined: Option<String>,
}

#[derive(Serialize)]
struct Keeper {
    account_id: AccountId,
    set_aside_atoms: String,
    lasting_atoms: String,
    back_at_height: Option<u64>,
    made_room: bool,
}

#[derive(Serialize)]
struct ExportedOwner {
    address: String,
    sequence: u64,
    subaccounts: Vec<Subaccount>,
    /// Isolated collateral: one account a subaccount and market.
    isolated: Vec<Subaccount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agents: Vec<ExportedAgent>,
}

#[derive(Serialize)]
struct ExportedAgent {
    /// In hex.
    key: String,
    cancels_only: bool,
    /// The subaccounts that it may act for: all, where the list is empty.
    subaccounts: Vec<u32>,
    until_ms: TimeMs,
}

#[derive(Serialize)]
struct Subaccount {
    subaccount: u32,
    account_id: AccountId,
    collateral_atoms: String,
    positions: Vec<Position>,
    /// When the dead man's switch cancels everything.
    #[serde(skip_serializing_if = "is_zero")]
    cancel_all_at_ms: TimeMs,
}

#[derive(Serialize)]
struct Position {
    market: MarketId,
    lots: SignedLots,
    cost_atoms: String,
    funding_index: String,
    leverage: u32,
}

#[derive(Serialize)]
struct Order {
    account_id: AccountId,
    market: u32,
    order_id: u64,
    client_id: String,
    side: &'static str,
    price_ticks: u64,
    lots: u64,
    reduce_only: bool,
    expires_ms: u64,
    #[serde(skip_serializing_if = "is_zero")]
    display_lots: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peg: Option<Peg>,
}

#[derive(Serialize)]
struct Peg {
    to: &'static str,
    offset_ticks: i64,
    /// 0 is none.
    limit_ticks: u64,
}

#[derive(Serialize)]
struct ConditionalOrder {
    #[serde(flatten)]
    place: Order,
    trigger: &'static str,
    trigger_price_ticks: u64,
    trail_ticks: u64,
    trail_ppm: u32,
    whole_position: bool,
    oco_order_id: u64,
    entry_order_id: u64,
    slices_left: u32,
    next_ms: u64,
    filled_lots: u64,
    tries_left: u32,
}

fn chain(view: &View) -> Chain<'_> {
    let chain = &view.chain;
    let queued = |row: &outflow::QueuedWithdrawal| QueuedWithdrawal {
        owner: view.owners.get(row.owner).map(|own| own.address.to_string()).unwrap_or_default(),
        amount_atoms: row.amount_atoms.to_string(),
        height: row.height,
    };
    Chain {
        chain_id: &chain.chain_id,
        height: chain.height,
        time_ms: chain.time_ms,
        app_hash: view.app_hash.iter().map(|byte| format!("{byte:02X}")).collect(),
        protocol_version: chain.protocol_version,
        params: &chain.params,
        admin: chain.admin.to_string(),
        minters: chain.minters.iter().map(ToString::to_string).collect(),
        insurance_atoms: chain.treasury.insurance_atoms.to_string(),
        validators_atoms: chain.treasury.validators_atoms.to_string(),
        deposits_atoms: chain.deposits_atoms.to_string(),
        withdrawals_atoms: chain.withdrawals_atoms.to_string(),
        withdrawals_gated_until: chain.withdrawals_gated_until,
        queued_withdrawals: chain.outflow.queue.rows().iter().map(queued).collect(),
        first_credits: chain.first_credits.iter().map(first_credit).collect(),
        skipped_days: chain.skipped_days,
    }
}

fn first_credit((address, atoms): (&Address, Atoms)) -> FirstCredit {
    FirstCredit { address: address.to_string(), amount_atoms: atoms.to_string() }
}

fn keeper(keeper: &tidemark_risk::Keeper) -> Keeper {
    Keeper {
        account_id: keeper.account,
        set_aside_atoms: keeper.set_aside_atoms.to_string(),
        lasting_atoms: keeper.lasting_atoms().to_string(),
        back_at_height: keeper.give_back.map(|back| back.at_height),
        made_room: keeper.made_room,
    }
}

fn market(cell: &MarketCell) -> Market<'_> {
    Market {
        params: &cell.market.params,
        index_ticks: cell.index.index_ticks(),
        index_time_ms: cell.index.index.map(|point| point.time_ms),
        mark_ticks: cell.market.mark_ticks,
        last_trade_ticks: cell.last_trade.map(|trade| trade.price_ticks),
        open_interest_lots: cell.market.open_interest_lots,
        cumulative_funding_index: cell.market.funding.cumulative_index.to_string(),
        funding_pool_atoms: cell.market.funding_pool_atoms.to_string(),
        bad_debt_atoms: cell.market.bad_debt_atoms.to_string(),
        insurance_atoms: cell.market.insurance_atoms.to_string(),
        keepers: cell.market.keepers.iter().map(keeper).collect(),
        book_sequence: cell.book_sequence,
        quarantined: cell.quarantined.map(|why| why.to_string()),
    }
}

fn owner(view: &View, owner: &Owner) -> ExportedOwner {
    let subaccount = |id: AccountId| {
        let account = view.accounts.get(id)?;
        let positions = account.positions.iter().map(|position| Position {
            market: position.market,
            lots: position.lots,
            cost_atoms: position.cost_atoms.to_string(),
            funding_index: position.funding_index.to_string(),
            leverage: position.leverage,
        });
        Some(Subaccount {
            subaccount: account.number,
            account_id: id,
            collateral_atoms: account.collateral_atoms.to_string(),
            positions: positions.collect(),
            cancel_all_at_ms: account.cancel_all_at_ms,
        })
    };
    let agent = |agent: &Agent| ExportedAgent {
        key: agent.authorisation.key.to_string(),
        cancels_only: agent.authorisation.scope == AgentScope::Cancelling,
        subaccounts: agent.authorisation.subaccounts.numbers().collect(),
        until_ms: agent.authorisation.until_ms,
    };
    ExportedOwner {
        address: owner.address.to_string(),
        sequence: owner.sequence,
        subaccounts: owner.accounts.iter().filter_map(|(_, id)| subaccount(*id)).collect(),
        isolated: owner.isolated.iter().filter_map(|slot| subaccount(slot.account)).collect(),
        agents: agents_of(owner, &view.agents).map(|(_, of)| agent(of)).collect(),
    }
}

fn order((account_id, order): &(AccountId, v1::Order)) -> Order {
    Order {
        account_id: *account_id,
        market: order.market,
        order_id: order.order_id,
        client_id: order.client_id.to_string(),
        side: side(order.side()),
        price_ticks: order.price_ticks,
        lots: order.lots,
        reduce_only: order.reduce_only,
        expires_ms: order.expires_ms,
        display_lots: order.display_lots,
        peg: match order.peg() {
            v1::Peg::None => None,
            to => Some(Peg {
                to: if to == v1::Peg::Mark { "mark" } else { "best" },
                offset_ticks: order.peg_offset_ticks,
                limit_ticks: order.peg_limit_ticks,
            }),
        },
    }
}

fn waiting((account_id, order): &(AccountId, v1::ConditionalOrder)) -> ConditionalOrder {
    let place = Order {
        account_id: *account_id,
        market: order.market,
        order_id: order.order_id,
        client_id: order.client_id.to_string(),
        side: side(order.side()),
        price_ticks: order.price_ticks,
        lots: order.lots,
        reduce_only: order.reduce_only,
        expires_ms: order.expires_ms,
        display_lots: 0,
        peg: None,
    };
    ConditionalOrder {
        place,
        trigger: match order.trigger() {
            v1::Trigger::None => "time",
            v1::Trigger::Stop => "stop",
            v1::Trigger::TakeProfit => "take_profit",
        },
        trigger_price_ticks: order.trigger_price_ticks,
        trail_ticks: order.trail_ticks,
        trail_ppm: order.trail_ppm,
        whole_position: order.whole_position,
        oco_order_id: order.oco_order_id,
        entry_order_id: order.entry_order_id,
        slices_left: order.slices_left,
        next_ms: order.next_ms,
        filled_lots: order.filled_lots,
        tries_left: order.tries_left,
    }
}

fn side(side: v1::Side) -> &'static str {
    if side == v1::Side::Sell {
        "sell"
    } else {
        "buy"
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Values separated by commas; not before the first of all.
fn list<T: Serialize>(
    values: impl Iterator<Item = T>,
    first: bool,
) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for (index, value) in values.enumerate() {
        if index > 0 || !first {
            out.push_str(",\n");
        }
        out.push_str(&serde_json::to_string(&value)?);
    }
    Ok(out)
}

/// The document in pages.
fn pages(
    view: Arc<View>,
    orders: AllOrders,
) -> impl Iterator<Item = Result<String, serde_json::Error>> + Send {
    let head = serde_json::to_string(&chain(&view)).and_then(|chain| {
        let markets = list(view.markets.iter().map(market), true)?;
        Ok(format!("{{\"chain\":{chain},\n\"markets\":[{markets}],\n\"owners\":["))
    });
    let step = u32::try_from(PAGE).unwrap_or(u32::MAX);
    let owners = (0..view.owners.len()).step_by(PAGE).map(move |from| {
        let page = (from..from.saturating_add(step)).map(OwnerId::new);
        let page = page.map_while(|id| view.owners.get(id));
        list(page.map(|row| owner(&view, row)), from == 0)
    });
    let AllOrders { resting, waiting: off_book } = orders;
    let begin = |name: &str| Ok(format!("],\n\"{name}\":["));
    let head = std::iter::once(head).chain(owners);
    let resting = std::iter::once(begin("orders")).chain(in_pages(resting, order));
    let off_book = std::iter::once(begin("waiting")).chain(in_pages(off_book, waiting));
    head.chain(resting).chain(off_book).chain([Ok("]}\n".to_owned())])
}

/// Rows as values of a list, a page at a time.
fn in_pages<R, T: Serialize>(
    rows: Vec<R>,
    value: fn(&R) -> T,
) -> impl Iterator<Item = Result<String, serde_json::Error>> {
    let pages = (0..rows.len()).step_by(PAGE);
    pages.map(move |from| list(rows.iter().skip(from).take(PAGE).map(value), from == 0))
}

/// The whole state as a stream of chunks.
pub(super) fn export(view: Arc<View>, orders: AllOrders, seat: Exporting) -> ExportStream {
    let chunks = pages(view, orders).flat_map(|page| match page {
        Ok(text) => {
            let pieces = text.as_bytes().chunks(CHUNK_BYTES);
            pieces.map(|json| Ok(v1::ExportResponse { json: json.to_vec() })).collect::<Vec<_>>()
        }
        Err(error) => vec![Err(Status::internal(format!("the state does not encode: {error}")))],
    });
    let read = move |chunk| {
        seat.read();
        chunk
    };
    Box::pin(tokio_stream::iter(chunks.map(read)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemark_engine::state::Failure;

    use super::*;

    #[test]
    fn the_pages_make_one_json_document() {
        let mut view = View::empty("test-1");
        let params = MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50);
        let cell = MarketCell {
            quarantined: Some(Failure::Crossed),
            book_sequence: 3,
            ..MarketCell::new(tidemark_risk::Market::new(params).unwrap())
        };
        view.markets = Arc::new(vec![cell]);
        let order = |id| v1::Order {
            order_id: id,
            client_id: u64::MAX,
            side: 2,
            lots: 1,
            ..Default::default()
        };
        let stop =
            v1::ConditionalOrder { order_id: 601, side: 1, trigger: 1, ..Default::default() };
        let orders = AllOrders {
            resting: (0..600).map(|id| (AccountId::new(7), order(id))).collect(),
            waiting: vec![(AccountId::new(8), stop)],
        };
        let text: String = pages(Arc::new(view), orders).map(Result::unwrap).collect();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["chain"]["chain_id"], "test-1");
        assert_eq!(read["markets"][0]["quarantined"], "the book is crossed");
        assert_eq!(read["owners"].as_array().unwrap().len(), 0);
        assert_eq!(read["orders"].as_array().unwrap().len(), 600);
        assert_eq!(read["orders"][599]["client_id"], u64::MAX.to_string());
        let waiting = &read["waiting"][0];
        assert_eq!(
            (&waiting["account_id"], &waiting["side"], &waiting["trigger"]),
            (&json!(8), &json!("buy"), &json!("stop"))
        );
    }
}

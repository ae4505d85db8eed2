//! Limits: of what leaves the exchange (rules §§3.12, 3.15), of an order's worth (§2.22) and of new
//! markets (§§4.11, 10.8). Prices in whole USDC, quantities in whole units.

use tidemark_engine::events::BlockEvents;
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::units::{Atoms, MarketId};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, lots, one_market, place, plain_market, signer, usdc,
    word, Chain, FAUCET,
};
use tidemark_tests::sim::audit;

fn withdraw(usdc: u64) -> v1::MsgWithdraw {
    v1::MsgWithdraw { amount_atoms: usdc * 1_000_000, ..Default::default() }
}

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

/// The code of one message of a trader, in a block of its own.
fn outcome<M: tidemark_proto::tx::Sendable>(
    chain: &mut Chain,
    name: &str,
    message: M,
) -> &'static str {
    chain.send(name, message);
    word(&block(chain).txs[0])
}

/// A chain that lets out 10 000 USDC an hour, which blocks of a second refill by 2.78 USDC, and has
/// let out 10 000.
fn drained(traders: &[&str]) -> Chain {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params = ChainParams { hour_outflow_atoms: usdc(10_000), ..genesis.params };
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    chain.deposit("first", 10_000);
    for trader in traders {
        chain.deposit(trader, 30_000);
    }
    block(&mut chain);
    assert_eq!(outcome(&mut chain, "first", withdraw(10_000)), "OK");
    assert!(chain.state.chain.outflow.queue.rows().is_empty());
    chain
}

/// Who waits, and for how much.
fn waiting(chain: &Chain) -> Vec<(String, Atoms)> {
    let rows = chain.state.chain.outflow.queue.rows();
    let name = |at| chain.state.owners.get(at).expect("an owner").address.to_string();
    rows.iter().map(|row| (name(row.owner), row.amount_atoms)).collect()
}

fn address(name: &str) -> String {
    signer(name).address().to_string()
}

#[test]
fn rules_3_a_small_account_below_zero_gates_nobody_and_a_large_loss_gates_all() {
    let mut chain = one_market(&["idle", "short", "large"]);
    chain.deposit("small", 6);
    block(&mut chain);
    for buyer in ["large", "small"] {
        chain.orders("short", vec![place(limit(0, Sell, 100, 1))]);
        block(&mut chain);
        chain.orders(buyer, vec![place(limit(0, Buy, 100, 1))]);
        block(&mut chain);
        assert_eq!(chain.lots(buyer, 0), 1);
    }
    chain.orders("short", vec![place(limit(0, Buy, 100, 1))]);
    block(&mut chain);
    chain.orders("large", vec![place(limit(0, Sell, 100, 1))]);
    block(&mut chain);
    assert_eq!(chain.lots("large", 0), 0);
    chain.index(0, 90);
    let events = block(&mut chain);
    assert!(liquidations(&events).iter().any(|step| step.equity_atoms.is_negative()));
    assert_eq!(outcome(&mut chain, "idle", withdraw(1)), "OK");

    // However it came about: an account holds nothing and owes more than the fund has.
    let (id, other) = (chain.account_id("large"), chain.account_id("short"));
    let moved = chain.collateral("large") + usdc(13_000);
    let accounts = &mut chain.state.accounts;
    let large = accounts.get_mut(id).expect("an account");
    large.position_mut(MarketId::ZERO);
    large.collateral_atoms = usdc(-13_000);
    accounts.get_mut(other).expect("an account").collateral_atoms += moved;
    block(&mut chain);
    assert_eq!(outcome(&mut chain, "idle", withdraw(1)), "WITHDRAWALS_GATED");
    // It was booked once: the gate opens after its blocks.
    healthy(&chain.blocks(50));
    assert_eq!(outcome(&mut chain, "idle", withdraw(1)), "OK");
}

fn gated(chain: &Chain) -> bool {
    chain.state.chain.withdrawals_gated_until >= chain.state.chain.height
}

#[test]
fn rules_3_what_an_hour_does_not_let_out_waits_and_owners_are_served_in_turns() {
    let mut chain = drained(&["large", "little"]);
    let out = chain.state.chain.withdrawals_atoms;
    assert_eq!(outcome(&mut chain, "large", withdraw(25_000)), "OK");
    // It has left the collateral, and waits.
    assert_eq!(chain.collateral("large"), usdc(5_000));
    assert_eq!(chain.state.chain.withdrawals_atoms - out, usdc(25_000));
    // Nobody passes those who wait, however little it is.
    assert_eq!(outcome(&mut chain, "little", withdraw(1)), "OK");
    assert_eq!(waiting(&chain), [(address("large"), usdc(25_000)), (address("little"), usdc(1))]);
    // A turn of 10 000 takes an hour to come back; then the others have theirs.
    chain.interval_ms = 290_000;
    // The first block comes a second after the last one.
    for _ in 0..13 {
        block(&mut chain);
    }
    assert_eq!(waiting(&chain), [(address("large"), usdc(25_000)), (address("little"), usdc(1))]);
    block(&mut chain);
    assert_eq!(waiting(&chain), [(address("little"), usdc(1)), (address("large"), usdc(15_000))]);
    block(&mut chain);
    assert_eq!(waiting(&chain), [(address("large"), usdc(15_000))]);
    // Its place is one: what is withdrawn later joins it.
    assert_eq!(outcome(&mut chain, "large", withdraw(1_000)), "OK");
    assert_eq!(waiting(&chain), [(address("large"), usdc(16_000))]);
    for _ in 0..26 {
        block(&mut chain);
    }
    assert_eq!(waiting(&chain), []);
}

#[test]
fn rules_3_what_waits_can_be_taken_back_and_does_not_leave_through_the_gate() {
    let mut chain = drained(&["trader"]);
    let take_back = v1::MsgTakeBackWithdrawal::default;
    assert_eq!(outcome(&mut chain, "trader", take_back()), "NOTHING_QUEUED");
    assert_eq!(outcome(&mut chain, "trader", withdraw(20_000)), "OK");
    // Hours without blocks: the gate is shut, for those who wait too, and the bucket counts five
    // minutes of them.
    chain.now_ms += 8 * 3_600_000;
    block(&mut chain);
    chain.state.chain.outflow.hour_atoms = Atoms::ZERO;
    assert!(gated(&chain));
    block(&mut chain);
    assert_eq!(waiting(&chain), [(address("trader"), usdc(20_000))]);
    let unknown = v1::MsgTakeBackWithdrawal { subaccount: 1, ..take_back() };
    assert_eq!(outcome(&mut chain, "trader", unknown), "UNKNOWN_ACCOUNT");
    assert_eq!(outcome(&mut chain, "trader", take_back()), "OK");
    assert_eq!((waiting(&chain), chain.collateral("trader")), (vec![], usdc(30_000)));
}

/// The answers of a trader's operations, in a block of their own.
fn words(chain: &mut Chain, name: &str, operations: Vec<Operation>) -> Vec<&'static str> {
    chain.orders(name, operations);
    block(chain).txs[0].results.iter().map(|result| result.code().word()).collect()
}

/// One market in which a lot is worth 1 USDC at an index of 100, with the rules' least notional.
fn of_cents() -> MarketParams {
    MarketParams::with_defaults("CENT-USD", 1_000_000_000, 10_000_000, 20)
}

fn chain_of(params: MarketParams, traders: &[&str]) -> Chain {
    let mut chain = Chain::new(&genesis(vec![params], 1_000));
    chain.index(0, 100);
    for trader in traders {
        chain.deposit(trader, 10_000);
    }
    block(&mut chain);
    chain
}

#[test]
fn rules_2_an_order_is_worth_ten_usdc_at_its_limit_or_at_the_mark() {
    let mut chain = chain_of(of_cents(), &["trader", "maker"]);
    let least = |order: v1::PlaceOrder| {
        [order, v1::PlaceOrder { lots: order.lots - 1, ..order }].map(place).to_vec()
    };
    const REFUSED: [&str; 2] = ["OK", "QUANTITY_TOO_SMALL"];
    // At 80 it takes 13 lots, at 100 10 of them.
    assert_eq!(words(&mut chain, "trader", least(limit(0, Buy, 80, 13))), REFUSED);
    assert_eq!(words(&mut chain, "maker", least(limit(0, Sell, 110, 10))), REFUSED);
    let market = v1::PlaceOrder { r#type: 1, time_in_force: 2, ..limit(0, Buy, 0, 10) };
    assert_eq!(words(&mut chain, "trader", least(market)).last(), REFUSED.last());
    // A trigger and a peg count at the mark, whatever their limits are.
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 90,
        ..limit(0, Sell, 85, 10)
    };
    assert_eq!(words(&mut chain, "trader", least(stop)), REFUSED);
    let peg =
        v1::PlaceOrder { peg: v1::Peg::Mark.into(), peg_offset_ticks: -5, ..limit(0, Buy, 0, 10) };
    assert_eq!(words(&mut chain, "trader", least(peg)), REFUSED);
    let twap = |lots| {
        let slices = v1::PlaceTwap { slices: 2, interval_ms: 1_000, ..Default::default() };
        Operation::Twap(v1::PlaceTwap { side: Buy.into(), lots, ..slices })
    };
    assert_eq!(words(&mut chain, "trader", vec![twap(20), twap(18)]), REFUSED);
    let scale = |lots| {
        let ladder =
            v1::PlaceScale { from_ticks: 100, to_ticks: 90, count: 2, ..Default::default() };
        Operation::Scale(v1::PlaceScale { side: Buy.into(), lots, ..ladder })
    };
    assert_eq!(words(&mut chain, "trader", vec![scale(24), scale(20)]), REFUSED);
}

#[test]
fn rules_2_what_a_fill_leaves_and_the_order_of_a_whole_position_may_be_worth_less() {
    let mut chain = chain_of(of_cents(), &["trader", "maker"]);
    assert_eq!(words(&mut chain, "maker", vec![place(limit(0, Sell, 100, 15))]), ["OK"]);
    assert_eq!(words(&mut chain, "trader", vec![place(limit(0, Buy, 100, 12))]), ["OK"]);
    let maker = chain.account_id("maker");
    let left = chain.state.markets[0].book.orders_of(maker).next().expect("an order");
    assert_eq!(left.lots, lots(3));
    let replace = |price_ticks, lots| {
        let order_id = left.order_id.get();
        Operation::Replace(v1::ReplaceOrder { order_id, price_ticks, lots, ..Default::default() })
    };
    // Another price for what is left; other lots are those of a new order.
    assert_eq!(words(&mut chain, "maker", vec![replace(101, None)]), ["OK"]);
    assert_eq!(words(&mut chain, "maker", vec![replace(0, Some(2))]), ["QUANTITY_TOO_SMALL"]);
    let reduce = |lots| place(v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 110, lots) });
    assert_eq!(
        words(&mut chain, "trader", vec![reduce(4), reduce(10)]),
        ["QUANTITY_TOO_SMALL", "OK"]
    );
    // A position of two lots.
    let cancel = Operation::CancelAll(v1::CancelAll::default());
    assert_eq!(words(&mut chain, "maker", vec![cancel]), ["OK"]);
    assert_eq!(words(&mut chain, "maker", vec![place(limit(0, Buy, 110, 10))]), ["OK"]);
    assert_eq!(chain.lots("trader", 0), 2);
    assert_eq!(
        words(&mut chain, "trader", vec![reduce(1), reduce(2)]),
        ["QUANTITY_TOO_SMALL", "OK"]
    );
}

#[test]
fn rules_2_an_iceberg_shows_a_twentieth_and_ten_usdc() {
    let mut chain = chain_of(of_cents(), &["trader"]);
    let iceberg =
        |lots, display_lots| place(v1::PlaceOrder { display_lots, ..limit(0, Buy, 100, lots) });
    assert_eq!(
        words(
            &mut chain,
            "trader",
            vec![iceberg(400, 19), iceberg(400, 20), iceberg(100, 9), iceberg(100, 10)]
        ),
        ["QUANTITY_TOO_SMALL", "OK", "QUANTITY_TOO_SMALL", "OK"]
    );
}

#[test]
fn rules_10_a_market_that_a_message_lists_is_isolated_and_capped_unless_it_says_otherwise() {
    let mut chain = one_market(&["trader", "maker"]);
    let list = |symbol: &str, shares_collateral, max_open_interest_atoms: Atoms| {
        let params = MarketParams { max_open_interest_atoms, ..plain_market(symbol, 20) };
        let params = Some((&params).into());
        v1::MsgListMarket { params, shares_collateral, ..Default::default() }
    };
    let most = usdc(1_000_000_000_000);
    assert_eq!(outcome(&mut chain, FAUCET, list("TWO-USD", false, usdc(0))), "OK");
    assert_eq!(outcome(&mut chain, FAUCET, list("THREE-USD", true, most)), "OK");
    let limits = |market: usize| {
        let params = &chain.state.markets[market].cell.market.params;
        (params.isolated_only, params.max_open_interest_atoms, params.oi_upper_atoms)
    };
    assert_eq!(limits(0), (false, usdc(0), usdc(0)), "genesis is as it says");
    assert_eq!(limits(1), (true, usdc(1_000_000), usdc(1_000_000)));
    assert_eq!(limits(2), (false, most, usdc(0)));
    // The cap counts at the mark: 10 000 lots at 100, 9 090 at 110.
    chain.deposit("trader", 10_000_000);
    for index in [100, 110] {
        chain.index(1, index);
        block(&mut chain);
        let most = 1_000_000 / index;
        let buy = |lots| vec![place(limit(1, Buy, index - 5, lots))];
        assert_eq!(words(&mut chain, "trader", buy(most + 1)), ["OPEN_INTEREST_CAP"]);
        assert_eq!(words(&mut chain, "trader", buy(most)), ["OK"]);
        let cancel = Operation::CancelAll(v1::CancelAll::default());
        assert_eq!(words(&mut chain, "trader", vec![cancel]), ["OK"]);
    }
}

#[test]
fn rules_4_the_first_index_is_ten_million_ticks_at_most() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    let index = |chain: &mut Chain, ticks| {
        chain.index(0, ticks);
        block(chain);
        chain.state.markets[0].cell.index.index_ticks().map(|ticks| ticks.get())
    };
    assert_eq!(index(&mut chain, 10_000_001), None);
    assert_eq!(index(&mut chain, 10_000_000), Some(10_000_000));
    assert_eq!(index(&mut chain, 12_000_000), Some(12_000_000), "a price that rises is as it is");
}

//! The budget of the sweep (rules §§7.2, 7.12, 7.13). Prices in whole USDC, quantities in whole
//! units. With a budget this small a market has gas for two steps a block of those that lack most,
//! and for one of those that are listed longest.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::AccountId;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, lots, place, plain_market, word, Chain, FAUCET,
};
use tidemark_tests::sim::audit;

/// Gas of two steps that meet one maker each, and of one more.
const SMALL_GAS: u64 = 10_000;

/// A chain with one 20x market at index 100, a rich maker, and longs that have as much collateral
/// as `deposits` says and hold 100 lots each.
fn longs(sweep_gas: u64, deposits: &[u64]) -> (Chain, Vec<String>) {
    let of = deposits.iter().map(|usdc| (*usdc, 100));
    longs_of(sweep_gas, &of.collect::<Vec<_>>())
}

/// A chain like that, with collateral and lots of each.
fn longs_of(sweep_gas: u64, holdings: &[(u64, u64)]) -> (Chain, Vec<String>) {
    let market = MarketParams { max_open_orders: 1_000, ..plain_market("ONE-USD", 20) };
    let mut genesis = genesis(vec![market], 1_000_000);
    genesis.params.sweep_gas = sweep_gas;
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    chain.deposit("maker", 100_000_000);
    let names: Vec<String> = (0..holdings.len()).map(|at| format!("long {at}")).collect();
    for (name, (usdc, _)) in names.iter().zip(holdings) {
        chain.deposit(name, *usdc);
    }
    block(&mut chain);
    for (name, (_, lots)) in names.iter().zip(holdings) {
        chain.orders("maker", vec![place(limit(0, Sell, 100, *lots))]);
        block(&mut chain);
        chain.orders(name, vec![place(limit(0, Buy, 100, *lots))]);
        block(&mut chain);
        assert_eq!(chain.lots(name, 0), *lots as i64);
    }
    (chain, names)
}

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

/// The accounts whose positions a block closed, in order.
fn closed(events: &BlockEvents) -> Vec<AccountId> {
    let mut accounts: Vec<AccountId> = liquidations(events)
        .iter()
        .filter(|step| !step.lots.is_zero())
        .map(|step| step.account)
        .collect();
    accounts.dedup();
    accounts
}

fn is_frozen(chain: &Chain, id: AccountId) -> bool {
    chain.state.danger.is_frozen(id, &chain.state.accounts)
}

fn ids(chain: &Chain, names: &[&String]) -> Vec<AccountId> {
    names.iter().map(|name| chain.account_id(name)).collect()
}

#[test]
fn rules_7_those_that_lack_most_are_closed_first_and_the_rest_is_carried_over() {
    // At 95 the maintenance margin of 100 lots is 237.5, and the loss is 500.
    let (mut chain, names) = longs(SMALL_GAS, &[700, 680, 660, 640, 620, 600, 580]);
    chain.orders("maker", vec![place(limit(0, Buy, 95, 700))]);
    block(&mut chain);
    chain.index(0, 95);
    let mut order = Vec::new();
    for left in [7, 4, 1, 0] {
        let events = block(&mut chain);
        order.extend(closed(&events));
        let listed = &chain.state.danger.listed;
        assert_eq!(listed.len() + order.len(), 7, "{left} were in danger: {listed:?}");
        // Found in every block, and frozen: the budget did not reach them.
        let frozen = &chain.state.danger.frozen;
        assert!(listed.iter().all(|row| frozen.contains(&row.account)), "{listed:?}, {frozen:?}");
    }
    let by_shortfall: Vec<&String> = names.iter().rev().collect();
    assert_eq!(order, ids(&chain, &by_shortfall));
    assert!(names.iter().all(|name| chain.lots(name, 0) == 0));
}

#[test]
fn rules_7_a_quarter_of_the_budget_is_for_those_that_are_listed_longest() {
    // The first four are barely below maintenance at 95; the others, far below it at 90.
    let small = [736, 735, 734, 733].map(|usdc| (usdc, 100));
    let large = [4_000, 3_990, 3_980, 3_970, 3_960, 3_950].map(|usdc| (usdc, 400));
    let (mut chain, names) = longs_of(SMALL_GAS, &[&small[..], &large].concat());
    chain.age_positions();
    chain.orders("maker", vec![place(limit(0, Buy, 95, 300)), place(limit(0, Buy, 90, 2_500))]);
    block(&mut chain);
    chain.index(0, 95);
    // All the bids at 95 go to the three that lack most.
    assert_eq!(closed(&block(&mut chain)), ids(&chain, &[&names[3], &names[2], &names[1]]));
    let since = chain.state.chain.height;
    chain.index(0, 90);
    let events = block(&mut chain);
    // Two of those that lack most; then the one that was found a block before all others.
    assert_eq!(closed(&events), ids(&chain, &[&names[9], &names[8], &names[0]]));
    let listed = &chain.state.danger.listed;
    assert!(listed.iter().all(|row| row.since == since + 1), "{listed:?}");
}

#[test]
fn rules_7_what_dust_keeps_open_for_three_blocks_goes_on_to_deleveraging_and_never_to_the_fund() {
    let (mut chain, names) = longs(SMALL_GAS, &[600]);
    // Bids of a lot each: a block has gas for a few.
    let dust = (0..200).map(|_| place(limit(0, Buy, 95, 1))).collect();
    chain.orders("maker", dust);
    block(&mut chain);
    chain.index(0, 95);
    let fund = chain.state.chain.treasury.insurance_atoms;
    let id = chain.account_id(&names[0]);
    for kept in 1..=3 {
        let events = block(&mut chain);
        let steps = liquidations(&events);
        assert!(steps.iter().all(|step| step.stage == LiquidationStage::Book), "{steps:?}");
        let held = chain.lots(&names[0], 0);
        assert!((60..100).contains(&held), "{held} lots after block {kept}");
        let row = chain.state.danger.listed[0].clone();
        assert_eq!((row.account, row.kept[0].blocks), (id, kept));
        assert!(!is_frozen(&chain, id), "it had its turn");
    }
    let events = block(&mut chain);
    let mut stages: Vec<_> = liquidations(&events).iter().map(|step| step.stage).collect();
    stages.dedup();
    assert_eq!(stages, [LiquidationStage::Book, LiquidationStage::Adl]);
    assert_eq!(chain.lots(&names[0], 0), 0);
    assert!(chain.state.chain.treasury.insurance_atoms >= fund, "the fund paid nothing");
    assert!(chain.state.danger.listed.is_empty());
}

#[test]
fn rules_7_a_turn_that_its_bound_of_makers_ended_is_followed_by_others_in_the_same_block() {
    let (mut chain, names) = longs_of(60_000_000, &[(5_000, 900)]);
    // Bids of a lot each: a turn meets 500 of them, however few `max_fills` a trader's order may.
    for _ in 0..2 {
        chain.orders("maker", (0..480).map(|_| place(limit(0, Buy, 95, 1))).collect());
        block(&mut chain);
    }
    chain.index(0, 95);
    let events = block(&mut chain);
    let steps: Vec<_> =
        liquidations(&events).iter().map(|step| (step.stage, step.lots.get())).collect();
    assert_eq!(steps, [(LiquidationStage::Book, 500), (LiquidationStage::Book, 400)]);
    assert_eq!(chain.lots(&names[0], 0), 0);
}

#[test]
fn rules_7_deleveraging_is_bounded_and_goes_on_in_the_next_block() {
    let (mut chain, names) = longs(60_000, &[600, 590, 580, 570, 560, 550, 540, 530, 520, 510]);
    chain.index(0, 90);
    let (mut order, mut blocks) = (Vec::new(), 0);
    while names.iter().any(|name| chain.lots(name, 0) != 0) {
        let events = block(&mut chain);
        // Within a block those go first whose price asks least of a counterparty.
        let mut of_block = closed(&events);
        of_block.sort_unstable();
        assert!(!of_block.is_empty(), "each block closes something");
        order.extend(of_block.into_iter().rev());
        let asked = events.events.iter().filter(|event| matches!(event, Event::Adl { .. })).count();
        assert!(asked < 10, "{asked} counterparties were asked in one block");
        blocks += 1;
    }
    assert!((2..=10).contains(&blocks), "{blocks} blocks");
    let by_shortfall: Vec<&String> = names.iter().rev().collect();
    assert_eq!(order, ids(&chain, &by_shortfall), "those that lack most are in the first blocks");
}

#[test]
fn rules_7_a_position_of_any_size_closes_whole_once_equity_is_below_0() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000_000));
    chain.index(0, 100);
    chain.deposit("long", 20_000);
    chain.deposit("maker", 10_000_000);
    block(&mut chain);
    chain.orders("maker", vec![place(limit(0, Sell, 100, 2_000))]);
    block(&mut chain);
    chain.orders("long", vec![place(limit(0, Buy, 100, 2_000))]);
    block(&mut chain);
    // 182 000 USDC, equity a little below ⅔ of maintenance: a half, not a fifth.
    chain.orders("maker", vec![place(limit(0, Buy, 91, 5_000))]);
    block(&mut chain);
    chain.index(0, 91);
    let events = block(&mut chain);
    assert_eq!(liquidations(&events)[0].lots, lots(1_000));
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000_000));
    chain.index(0, 100);
    chain.deposit("long", 20_000);
    chain.deposit("maker", 10_000_000);
    block(&mut chain);
    chain.orders("maker", vec![place(limit(0, Sell, 100, 2_000))]);
    block(&mut chain);
    chain.orders("long", vec![place(limit(0, Buy, 100, 2_000))]);
    block(&mut chain);
    chain.index(0, 89);
    block(&mut chain);
    assert_eq!(chain.lots("long", 0), 0, "deleveraged whole");
}

/// Gas of counterparties is spent on those who take part: with forty in profit, a share of each
/// would be a few lots, and the gas would end with the first account that closes.
#[test]
fn rules_7_a_round_of_deleveraging_takes_no_more_counterparties_than_it_can_ask() {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000_000);
    genesis.params.sweep_gas = 60_000;
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    let pairs: Vec<(String, String)> =
        (0..30).map(|at| (format!("long {at}"), format!("short {at}"))).collect();
    for (long, short) in &pairs {
        chain.deposit(long, 600);
        chain.deposit(short, 5_000);
    }
    block(&mut chain);
    for (long, short) in &pairs {
        chain.orders(short, vec![place(limit(0, Sell, 100, 100))]);
        block(&mut chain);
        chain.orders(long, vec![place(limit(0, Buy, 100, 100))]);
        block(&mut chain);
    }
    chain.index(0, 90);
    let mut blocks = 0;
    while pairs.iter().any(|(long, _)| chain.lots(long, 0) != 0) {
        block(&mut chain);
        blocks += 1;
        assert!(blocks <= 12, "{blocks} blocks are too many");
    }
    assert!(blocks > 2, "{blocks} blocks: the budget bounds them");
}

/// Longs of a lot in turn with accounts that bid; the bids' reserve is what they have.
fn with_bidders(sweep_gas: u64, bidders: usize) -> (Chain, Vec<String>) {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000_000);
    genesis.params.sweep_gas = sweep_gas;
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    chain.deposit("seller", 100_000);
    let names: Vec<String> = (0..bidders).map(|at| format!("bidder {at}")).collect();
    for name in &names {
        chain.deposit(name, 1_000);
    }
    block(&mut chain);
    for name in &names {
        chain.orders(name, vec![place(limit(0, Buy, 100, 150))]);
    }
    block(&mut chain);
    (chain, names)
}

fn update(chain: &mut Chain, leverage: u32) {
    let params = plain_market("ONE-USD", leverage);
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
}

fn gone(events: &BlockEvents, with: Code) -> usize {
    let is_meant = |event: &&Event| matches!(event, Event::Removed { code, .. } if *code == with);
    events.events.iter().filter(is_meant).count()
}

#[test]
fn rules_7_a_review_looks_at_no_more_holders_than_the_blocks_budget_and_freezes_the_others() {
    let (mut chain, names) = with_bidders(SMALL_GAS, 12);
    // However many messages there are in a block, they share what it has for pruning.
    for leverage in [10, 9, 10] {
        update(&mut chain, leverage);
    }
    chain.orders("seller", vec![place(limit(0, Sell, 100, 100))]);
    chain.orders(&names[11], vec![place(limit(0, Buy, 90, 1))]);
    let events = block(&mut chain);
    let pruned = gone(&events, Code::Pruned);
    assert!((1..=2).contains(&pruned), "{pruned} were pruned");
    // Bids that nobody has looked at do not trade: who meets them removes them.
    assert_eq!(gone(&events, Code::AccountFrozen), 12 - pruned);
    let last = events.txs.last().expect("the bidder's");
    let refused = events.txs.iter().filter(|outcome| word(outcome) == "ACCOUNT_FROZEN");
    assert_eq!(refused.count(), 1, "{last:?}");
    assert_eq!(chain.lots("seller", 0), 0);
    let mut blocks = 0;
    while !chain.state.danger.reviews.is_empty() {
        let from = chain.state.danger.reviews.clone();
        block(&mut chain);
        assert_ne!(chain.state.danger.reviews, from, "it goes on in every block");
        blocks += 1;
    }
    assert!((1..=12).contains(&blocks), "{blocks} blocks");
    // The review has come to everybody: they trade again.
    chain.orders(&names[11], vec![place(limit(0, Buy, 90, 1))]);
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
}

#[test]
fn rules_7_a_review_goes_on_block_by_block_and_prunes_whom_it_comes_to() {
    let (mut chain, names) = with_bidders(SMALL_GAS, 12);
    update(&mut chain, 10);
    let (mut pruned, mut blocks) = (gone(&block(&mut chain), Code::Pruned), 0);
    while chain.state.markets[0].book.live_orders() > 0 {
        let events = block(&mut chain);
        // Half of the block's budget looks at two holders; pruning may lag behind.
        let of_block = gone(&events, Code::Pruned);
        assert!(of_block <= 3, "{of_block} orders were pruned in a block");
        pruned += of_block;
        blocks += 1;
        assert!(blocks <= 24, "{:?}", chain.state.danger);
    }
    assert_eq!(pruned, names.len());
    // A change that asks for no other margin needs no review.
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.max_fills = 7;
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
    assert!(chain.state.danger.reviews.is_empty());
}

/// The sums that rules §8.6 names: more keepers, requests and listed positions than a market may
/// have are refused or left out.
#[test]
fn rules_8_no_more_than_64_keepers_and_256_listed_positions_a_market() {
    let (mut chain, _) = longs(60_000_000, &[]);
    let longs: Vec<String> = (0..257).map(|at| format!("long {at}")).collect();
    let keepers: Vec<String> = (0..65).map(|at| format!("keeper {at}")).collect();
    for name in longs.iter().chain(&keepers) {
        chain.deposit(name, 1_000);
    }
    block(&mut chain);
    for keeper in &keepers {
        let message =
            v1::MsgRegisterBackstop { set_aside_atoms: 1_000_000_000, ..Default::default() };
        chain.send(keeper, message);
    }
    let events = block(&mut chain);
    assert_eq!(words_of(&events, "OK"), 64);
    assert_eq!(words_of(&events, "BACKSTOP_FULL"), 1);

    chain.orders("maker", vec![place(limit(0, Sell, 100, 25_700))]);
    block(&mut chain);
    longs.iter().for_each(|long| chain.orders(long, vec![place(limit(0, Buy, 100, 100))]));
    block(&mut chain);
    // At 92 all 257 are below maintenance and above two thirds of it, and nobody bids.
    chain.index(0, 92);
    block(&mut chain);
    let cell = &chain.state.markets[0].cell;
    assert_eq!((cell.market.keepers.len(), cell.listed.len()), (64, 256));
    let listed: Vec<u32> = cell.listed.iter().map(|listed| listed.account.get()).collect();
    let has_place = |name: &&String| {
        let account = chain.account_id(name);
        cell.market.keepers.iter().any(|keeper| keeper.account == account)
    };
    let keepers: Vec<&String> = keepers.iter().filter(has_place).collect();
    for (account_id, keeper) in listed.iter().zip(keepers.iter().cycle()) {
        let account_id = *account_id;
        chain.send(keeper, v1::MsgTakeover { account_id, lots: 1, ..Default::default() });
    }
    let more = v1::MsgTakeover { account_id: listed[9], lots: 1, ..Default::default() };
    chain.send(keepers[0], more);
    let events = block(&mut chain);
    assert_eq!(words_of(&events, "OK"), 256);
    assert_eq!(chain.state.markets[0].cell.takeovers.len(), 256);
    assert_eq!(words_of(&events, "TOO_MANY_TAKEOVERS"), 1);
}

fn words_of(events: &BlockEvents, expected: &str) -> usize {
    events.txs.iter().filter(|tx| word(tx) == expected).count()
}

/// A bidder who at 94 is below maintenance, with a bid at 96 that is the best price; five others
/// lack more, and their orders use the budget of pruning up.
fn with_frozen_bidder() -> (Chain, String) {
    let (mut chain, names) = longs(SMALL_GAS, &[730, 650, 645, 640, 635, 630]);
    for name in &names[1..] {
        chain.orders(name, (0..20).map(|_| place(limit(0, Buy, 80, 1))).collect());
    }
    chain.orders(&names[0], vec![place(limit(0, Buy, 96, 10)), place(limit(0, Buy, 94, 10))]);
    block(&mut chain);
    assert_eq!(chain.state.markets[0].book.live_orders(), 102);
    chain.index(0, 94);
    (chain, names[0].clone())
}

#[test]
fn rules_7_a_frozen_accounts_increasing_orders_do_not_trade_and_count_for_nothing() {
    let (mut chain, bidder) = with_frozen_bidder();
    let id = chain.account_id(&bidder);
    chain.orders("maker", vec![place(limit(0, Sell, 96, 5))]);
    let events = block(&mut chain);
    assert!(is_frozen(&chain, id), "{:?}", chain.state.danger);
    let bought = |event: &Event| matches!(event, Event::Fill(fill) if fill.maker == id);
    assert!(!events.events.iter().any(bought));
    // The sweep's own takers removed both bids, which they met at better than their zero prices.
    assert_eq!(events.txs[0].results[0].resting_lots, lots(5));
    let removed = events.events.iter().filter(|event| {
        matches!(event, Event::Removed { account, code: Code::AccountFrozen, .. } if *account == id)
    });
    assert_eq!(removed.count(), 2);
    assert_eq!(chain.state.markets[0].book.open_orders(id), 0);
    assert_eq!(chain.state.markets[0].cell.top.0, None, "dead bids are no best bid");
}

#[test]
fn rules_7_a_frozen_account_may_only_cancel_exit_and_add_collateral() {
    let (mut chain, bidder) = with_frozen_bidder();
    let id = chain.account_id(&bidder);
    chain.deposit(&bidder, 10);
    chain.send(&bidder, v1::MsgWithdraw { amount_atoms: 1, ..Default::default() });
    chain.send(&bidder, v1::MsgSetLeverage { leverage: 2, ..Default::default() });
    let reduce = |price| v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, price, 10) };
    chain.orders(
        &bidder,
        vec![
            place(limit(0, Buy, 90, 1)),
            place(reduce(85)),
            place(reduce(99)),
            Operation::CancelAll(v1::CancelAll { market: Some(0), side: 1 }),
        ],
    );
    let events = block(&mut chain);
    assert!(is_frozen(&chain, id));
    let mut words: Vec<_> = events.txs.iter().map(word).collect();
    words.sort_unstable();
    assert_eq!(words, ["ACCOUNT_FROZEN", "ACCOUNT_FROZEN", "ACCOUNT_FROZEN", "OK"]);
    let orders = events.txs.iter().find(|outcome| outcome.results.len() == 4);
    let results: Vec<_> =
        orders.expect("the batch").results.iter().map(|result| result.code().word()).collect();
    assert_eq!(results, ["ACCOUNT_FROZEN", "WORSE_THAN_ZERO_PRICE", "OK", "OK"]);
    // With enough collateral it is out of danger, and trades from the next block on.
    chain.deposit(&bidder, 5_000);
    block(&mut chain);
    chain.orders(&bidder, vec![place(limit(0, Buy, 90, 1))]);
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
    assert!(!is_frozen(&chain, id));
}

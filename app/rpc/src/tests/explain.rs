//! Explanations: every figure is the sum of the terms beside it, and those are the chain's own.

use tidemark_proto::v1::query_service_client::QueryServiceClient;
use tidemark_proto::Code;

use super::*;

/// Two accounts that have traded 2 of 5 lots at [`PRICE`]; the buyer's rest and a bid of its own
/// rest.
async fn traded() -> (Node, QueryServiceClient<Channel>) {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let (bid, ask) =
        (node.order(2, v1::Side::Buy, PRICE, 5), node.order(3, v1::Side::Sell, PRICE, 2));
    node.block(&[bid, ask]);
    let client = QueryServiceClient::new(node.channel().await);
    (node, client)
}

async fn explained(client: &mut QueryServiceClient<Channel>, secret: u8) -> v1::ExplainResponse {
    let owner = signer(secret).address().to_string();
    client.explain(v1::ExplainRequest { owner, subaccount: 0 }).await.unwrap().into_inner()
}

/// `Σ part·rate`, rounded up: what the reader of an explanation works out.
fn margin_of(tiers: &[v1::TierPart]) -> i64 {
    let micro: i64 = tiers.iter().map(|tier| tier.part_atoms * tier.rate_ppm).sum();
    (micro + 999_999) / 1_000_000
}

#[tokio::test]
async fn every_sum_is_that_of_its_terms_and_of_the_account_query() {
    let (_node, mut client) = traded().await;
    for secret in [2, 3] {
        let answer = explained(&mut client, secret).await;
        let ask =
            v1::AccountRequest { owner: signer(secret).address().to_string(), subaccount: Some(0) };
        let account = client.account(ask).await.unwrap().into_inner().subaccounts.remove(0);
        let of = &answer.markets[0];
        assert_eq!(of.value_atoms, of.lots * i64::try_from(of.mark_ticks * of.k).unwrap());
        assert_eq!(of.unrealised_atoms, of.value_atoms - of.cost_atoms);
        assert_eq!(of.initial_atoms, margin_of(&of.initial_tiers));
        assert_eq!(of.maintenance_atoms, (margin_of(&of.maintenance_tiers) + 1) / 2);
        assert_eq!(of.reserve_margin_atoms, margin_of(&of.reserve_tiers));
        let orders = of.adverse_atoms + of.max_fee_atoms + of.waiting_atoms;
        assert_eq!(of.reserve_atoms, of.reserve_margin_atoms + orders);
        assert_eq!(
            answer.equity_atoms,
            answer.collateral_atoms + of.unrealised_atoms - of.unpaid_funding_atoms
        );
        assert_eq!(answer.free_atoms, answer.equity_atoms - answer.reserve_atoms);
        assert_eq!(
            (
                answer.equity_atoms,
                answer.reserve_atoms,
                answer.maintenance_atoms,
                answer.free_atoms
            ),
            (
                account.equity_atoms,
                account.reserve_atoms,
                account.maintenance_atoms,
                account.free_atoms
            )
        );
        assert_eq!(answer.withdrawable_atoms, account.withdrawable_atoms);
        assert_eq!(of.liquidation_price_ticks, account.positions[0].liquidation_price_ticks);
    }
    let buyer = explained(&mut client, 2).await;
    assert_eq!((buyer.markets[0].buy_lots, buyer.markets[0].highest_lots), (3, 5));
    let owner = signer(9).address().to_string();
    let stranger = client.explain(v1::ExplainRequest { owner, subaccount: 0 }).await.unwrap_err();
    assert_eq!(code_of(&stranger), Code::UnknownAccount.number());
}

#[tokio::test]
async fn the_chain_takes_what_is_affordable_and_not_a_lot_more() {
    let (mut node, mut client) = traded().await;
    let affordable = explained(&mut client, 3).await.markets[0].affordable_sell_lots;
    assert!(affordable > 1_000, "{affordable}");
    // At the mark, where the buyer's bids are gone first.
    let cancel = v1::operation::Operation::CancelAll(v1::CancelAll::default());
    let operations = vec![v1::Operation { operation: Some(cancel) }];
    let cancel = node.sign(2, v1::MsgOrders { operations, ..Default::default() });
    node.block(&[cancel]);
    let too_much = node.order(3, v1::Side::Sell, PRICE, affordable + 1);
    node.block(&[too_much]);
    assert_eq!(explained(&mut client, 3).await.markets[0].sell_lots, 0, "refused");
    let just_enough = node.order(3, v1::Side::Sell, PRICE, affordable);
    node.block(&[just_enough]);
    let after = explained(&mut client, 3).await;
    assert_eq!(i64::try_from(affordable).unwrap(), after.markets[0].sell_lots);
    assert!(after.free_atoms >= 0, "{after:?}");
    assert_eq!(after.markets[0].affordable_sell_lots, 0);
}

/// The price falls so that the buyer, at 20 times its equity, is closed on the seller's bids.
#[tokio::test]
async fn a_past_liquidation_keeps_its_arithmetic() {
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    // 200 BTC at 50 000: ten million, on a million.
    let (ask, bid) = (
        node.order(3, v1::Side::Sell, PRICE, 2_000_000),
        node.order(2, v1::Side::Buy, PRICE, 2_000_000),
    );
    node.block(&[ask, bid]);
    let fallen = PRICE * 91 / 100;
    let rest = node.order(3, v1::Side::Buy, fallen, 2_000_000);
    node.price = fallen;
    node.block(&[rest]);
    node.block(&[]);
    let mut client = QueryServiceClient::new(node.channel().await);
    let history = |owner: String, sequence| v1::LiquidationHistoryRequest {
        owner,
        subaccount: 0,
        sequence,
        limit: 0,
    };
    let owner = signer(2).address().to_string();
    let answer =
        client.liquidation_history(history(owner.clone(), None)).await.unwrap().into_inner();
    assert_eq!(answer.since_height, 1);
    let step = &answer.steps[0];
    assert_eq!(step.stage(), v1::LiquidationStage::Book);
    assert!(step.equity_atoms < step.maintenance_atoms && step.held_lots > 0);
    for zero in [step.due.as_ref().unwrap(), step.closed.as_ref().unwrap()] {
        let product = i128::from(step.sigma_ppm)
            * i128::from(step.equity_atoms)
            * i128::from(zero.margin_fall_atoms);
        let share = product.div_euclid(1_000_000 * i128::from(step.maintenance_atoms));
        assert_eq!(i128::from(zero.equity_share_atoms), share);
        assert_eq!(zero.quote_atoms, zero.value_fall_atoms - zero.equity_share_atoms);
        assert_eq!(
            zero.value_fall_atoms,
            -zero.delta_lots * i64::try_from(step.mark_ticks).unwrap() * 10
        );
    }
    let closed = step.closed.as_ref().unwrap();
    assert_eq!(closed.delta_lots.unsigned_abs(), step.lots);
    assert_eq!(step.fee_atoms, step.fee_cap_atoms.min(step.quote_atoms - closed.quote_atoms));
    assert_eq!(step.limit_ticks, step.zero_price_ticks);
    let one =
        client.liquidation_history(history(owner, Some(step.sequence))).await.unwrap().into_inner();
    assert_eq!(one.steps, std::slice::from_ref(step));
    let other = history(signer(3).address().to_string(), Some(step.sequence));
    assert_eq!(client.liquidation_history(other).await.unwrap().into_inner().steps, []);
}

/// The premium of a book above the index shows in the prediction before the hour ends.
#[tokio::test]
async fn predicted_funding_counts_the_running_hour_s_samples() {
    let (mut node, mut client) = traded().await;
    let before = client.funding(v1::FundingRequest { market: 0 }).await.unwrap().into_inner();
    // Bids far above the index, and asks beyond: every block is a sample from the second on.
    let deep = node.order(3, v1::Side::Buy, PRICE * 11 / 10, 1_000_000);
    let beyond = node.order(2, v1::Side::Sell, PRICE * 115 / 100, 10_000);
    node.block(&[deep, beyond]);
    for _ in 0..120 {
        node.block(&[]);
    }
    let funding = client.funding(v1::FundingRequest { market: 0 }).await.unwrap().into_inner();
    assert!(funding.samples >= before.samples + 2, "{funding:?}");
    assert!(funding.predicted_rate_ppm > before.predicted_rate_ppm, "{before:?} {funding:?}");
    assert_eq!((funding.last_rate_ppm, funding.next_ms % 3_600_000), (0, 0));
    let now_ms = node.publisher.view().chain.time_ms.get();
    assert!((now_ms..=now_ms + 3_600_000).contains(&funding.next_ms), "{funding:?}");
    let markets =
        client.markets(v1::MarketsRequest { market: Some(0) }).await.unwrap().into_inner().markets;
    assert_eq!(markets[0].predicted_funding_ppm, funding.predicted_rate_ppm);
}

/// A subaccount that holds 0.2 BTC long in isolated mode at 10x, with a bid for another 0.1; every
/// figure is worked out by hand.
#[tokio::test]
async fn an_isolated_position_is_explained_by_its_own_collateral_alone() {
    let usdc = |whole: i64, cents: i64| whole * 1_000_000 + cents * 10_000;
    let mut node = Node::start().await;
    node.fund(2);
    node.fund(3);
    let mode = v1::MarginMode::Isolated.into();
    let isolated = node.sign(2, v1::MsgSetMarginMode { mode, ..Default::default() });
    let leverage = node.sign(2, v1::MsgSetLeverage { leverage: 10, ..Default::default() });
    let (ask, bid) =
        (node.order(3, v1::Side::Sell, PRICE, 2_000), node.order(2, v1::Side::Buy, PRICE, 3_000));
    node.block(&[isolated, leverage, ask]);
    node.block(&[bid]);
    let change_atoms = usdc(100, 0);
    let more = node.sign(2, v1::MsgAdjustIsolatedMargin { change_atoms, ..Default::default() });
    node.block(&[more]);
    node.price = PRICE * 102 / 100;
    node.block(&[]);
    let mut client = QueryServiceClient::new(node.channel().await);
    let parent = explained(&mut client, 2).await;
    // 10 % of 15 000, and the highest fee of 4.5 bp of it, were drawn; then 100 came by hand.
    let drawn = usdc(1_500, 0) + usdc(6, 75) + usdc(100, 0);
    assert_eq!(parent.collateral_atoms, usdc(1_000_000, 0) - drawn);
    assert_eq!(
        (
            parent.equity_atoms,
            parent.reserve_atoms,
            parent.maintenance_atoms,
            parent.notional_atoms
        ),
        (parent.collateral_atoms, 0, 0, 0)
    );
    assert_eq!(parent.markets, [], "its only market is isolated");
    let [answer] = parent.isolated.as_slice() else { panic!("{:?}", parent.isolated) };
    assert_ne!(answer.account_id, parent.account_id);
    // The fill of 10 000 cost 4.5 bp.
    assert_eq!(answer.collateral_atoms, drawn - usdc(4, 50));
    let of = &answer.markets[0];
    assert_eq!((of.lots, of.mark_ticks, of.leverage), (2_000, 510_000, 10));
    assert_eq!((of.value_atoms, of.cost_atoms), (usdc(10_200, 0), usdc(10_000, 0)));
    assert_eq!((of.unrealised_atoms, of.unpaid_funding_atoms), (usdc(200, 0), 0));
    assert_eq!(answer.equity_atoms, usdc(1_602, 25) + usdc(200, 0));
    // Half of 2 % of 10 200; 10 % of it by the account's leverage; 10 % of 15 300 once the bid is
    // filled, and its fee of 4.5 bp of 5 000.
    assert_eq!((of.maintenance_atoms, answer.maintenance_atoms), (usdc(102, 0), usdc(102, 0)));
    assert_eq!((of.initial_atoms, answer.initial_atoms), (usdc(1_020, 0), usdc(1_020, 0)));
    assert_eq!((of.buy_lots, of.highest_lots, of.lowest_lots), (1_000, 3_000, 2_000));
    assert_eq!(
        (of.reserve_margin_atoms, of.adverse_atoms, of.max_fee_atoms),
        (usdc(1_530, 0), 0, usdc(2, 25))
    );
    assert_eq!((of.reserve_atoms, answer.reserve_atoms), (usdc(1_532, 25), usdc(1_532, 25)));
    assert_eq!(answer.free_atoms, usdc(1_802, 25) - usdc(1_532, 25));
    // Not the profit of 200; the reserve is more than 10 % of 10 200.
    assert_eq!((answer.cash_atoms, answer.retained_atoms), (usdc(1_602, 25), usdc(1_532, 25)));
    assert_eq!(answer.withdrawable_atoms, usdc(70, 0));
    // 1 602.25 + 0.2·p − 10 000 = 1 % of 0.2·p: p = 42 412.878…, up to the tick.
    assert_eq!(of.liquidation_price_ticks, 424_129);
    for (mark, liquidatable) in [(424_129, false), (424_128, true)] {
        node.price = mark;
        node.block(&[]);
        let answer = explained(&mut client, 2).await;
        assert_eq!(
            (answer.isolated[0].liquidatable, answer.liquidatable),
            (liquidatable, false),
            "at {mark}"
        );
        assert_eq!(answer.collateral_atoms, parent.collateral_atoms, "the subaccount's own stays");
    }
}

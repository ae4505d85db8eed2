//! Prices in the state machine, with several validators: who has a say, how far the index moves,
//! what stops while it is stale. Prices in whole USDC, quantities in whole units.

use tidemark_engine::events::{BlockEvents, VoteReport};
use tidemark_engine::exec::{BallotExtension, PriceBallot};
use tidemark_oracle::extension::with_key;
use tidemark_oracle::index::IndexStep;
use tidemark_oracle::report::{encode, Limits, PriceReport, Report, ReportError};
use tidemark_proto::units::{MarketId, Ppm, Ticks};
use tidemark_proto::v1::{self, operation::Operation, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, one_market, place, plain_market, word, Chain,
};

/// A validator's behaviour in one block.
#[derive(Clone, Copy)]
enum Vote {
    Says(u64),
    Nothing,
    Nonsense,
    Late,
    Blanked,
}
use Vote::{Blanked, Late, Nonsense, Nothing, Says};

/// Carries out a block whose commit has these validators, each with its power.
fn block(chain: &mut Chain, votes: &[(u64, Vote)]) -> BlockEvents {
    let mut input = chain.next_input();
    let base = chain.state.markets[0].cell.index.commit_base();
    let vote = |(number, (power, vote)): (u8, &(u64, Vote))| PriceBallot {
        validator: [number; 20],
        power: *power,
        extension: match vote {
            Says(ticks) => {
                let price = PriceReport {
                    market: MarketId::ZERO,
                    index_ticks: Some(Ticks::new(*ticks)),
                    external_ticks: None,
                };
                let report = Report { prices: vec![price] };
                BallotExtension::Bytes(encode(&report, &|_| base, Limits::default()).unwrap())
            }
            Nonsense => BallotExtension::Bytes(vec![9, 9, 9]),
            Nothing => BallotExtension::Bytes(Vec::new()),
            Late => BallotExtension::Missing,
            Blanked => BallotExtension::Blanked,
        },
    };
    input.block.ballots = (0..).zip(votes).map(vote).collect();
    let events = chain.run(&input);
    healthy(&events);
    events
}

fn index(chain: &Chain) -> Option<u64> {
    chain.state.markets[0].cell.index.index_ticks().map(Ticks::get)
}

#[test]
fn rules_4_validators_that_report_nothing_or_nonsense_cost_only_their_weight() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0));
    let events = block(&mut chain, &[(40, Says(100)), (30, Says(102)), (20, Nonsense), (10, Late)]);
    assert_eq!(index(&chain), Some(100));
    let said: Vec<_> = events
        .prices
        .votes
        .iter()
        .map(|vote| (vote.validator[0], vote.power, &vote.report))
        .collect();
    assert_eq!(
        said[2..],
        [
            (2, 20, &VoteReport::Invalid(ReportError::Version { version: 9 })),
            (3, 10, &VoteReport::Late)
        ]
    );
    assert_eq!(said[0].2.prices().map(|report| report.prices.len()), Some(1));
    assert_eq!((events.prices.total_power, events.prices.markets[0].reporting_power), (100, 70));

    let events =
        block(&mut chain, &[(40, Says(200)), (26, Says(200)), (20, Nothing), (14, Nonsense)]);
    assert_eq!(
        (index(&chain), events.prices.markets[0].step),
        (Some(100), IndexStep::NoQuorum),
        "66 %"
    );
    assert_eq!(events.prices.votes[2].report, VoteReport::Nothing);
    block(&mut chain, &[(40, Says(200)), (27, Says(200)), (20, Nothing), (13, Late)]);
    assert_eq!(index(&chain), Some(200), "67 %");
}

#[test]
fn rules_4_a_blanked_report_is_silence_and_without_a_quorum_the_index_stays() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0));
    let events = block(&mut chain, &[(40, Says(100)), (30, Says(100)), (30, Blanked)]);
    assert_eq!(index(&chain), Some(100), "70 %");
    assert_eq!(events.prices.votes[2].report, VoteReport::Blanked);
    let events = block(&mut chain, &[(40, Says(200)), (26, Says(200)), (34, Blanked)]);
    assert_eq!(
        (index(&chain), events.prices.markets[0].step),
        (Some(100), IndexStep::NoQuorum),
        "66 %"
    );
    let events = block(&mut chain, &[(40, Blanked), (26, Blanked), (34, Blanked)]);
    assert_eq!((index(&chain), events.prices.total_power), (Some(100), 100));
}

/// A third of power, less one, sends what does not decode, in time, while some honest votes are
/// late: no new index, and the chain goes on.
#[test]
fn byzantine_voter_under_a_third_undecodable_with_honest_votes_late_delays_the_index_only() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0));
    block(&mut chain, &[(33, Says(100)), (67, Says(100))]);
    for _ in 0..20 {
        let events = block(&mut chain, &[(33, Nonsense), (45, Says(200)), (22, Late)]);
        assert_eq!(
            (index(&chain), events.prices.markets[0].step),
            (Some(100), IndexStep::NoQuorum)
        );
    }
    block(&mut chain, &[(33, Nonsense), (45, Says(200)), (22, Says(200))]);
    assert_eq!(index(&chain), Some(200), "all honest votes are in time: 67 %");
}

#[test]
fn rules_4_a_bounded_index_follows_and_is_stale_until_it_arrives_or_the_larger_quorum_reports() {
    let mut params = plain_market("ONE-USD", 20);
    params.index_move_bound_ppm = Ppm::new(10_000);
    params.index_move_quorum_ppm = Ppm::new(900_000);
    let mut chain = Chain::new(&genesis(vec![params], 0));
    chain.deposit("trader", 10_000);
    block(&mut chain, &[(70, Says(1_000)), (30, Nothing)]);
    chain.now_ms += 600_000;
    let order = |chain: &mut Chain, votes: [(u64, Vote); 2]| {
        chain.orders("trader", vec![place(limit(0, Buy, 990, 1))]);
        let events = block(chain, &votes);
        (index(chain), events.prices.markets[0].step, word(&events.txs[0]))
    };
    // After a halt seven tenths of power say 2 % less.
    let minority = [(70, Says(980)), (30, Nothing)];
    let bounded = IndexStep::Bounded { median_ticks: Ticks::new(980) };
    assert_eq!(order(&mut chain, minority), (Some(990), bounded, "STALE_INDEX"));
    assert_eq!(order(&mut chain, minority), (Some(981), bounded, "STALE_INDEX"));
    assert_eq!(order(&mut chain, minority), (Some(980), IndexStep::Taken, "OK"));
    assert_eq!(
        order(&mut chain, [(70, Says(1_050)), (30, Says(1_050))]),
        (Some(1_050), IndexStep::Taken, "OK")
    );
}

#[test]
fn rules_4_while_the_index_is_stale_exposure_cash_and_funding_stand_still_until_a_quorum() {
    let mut chain = one_market(&["long", "short", "idle", "maker"]);
    // Depth for premiums, on neither side in the way of a liquidation at 90.
    chain.orders("maker", vec![place(limit(0, Buy, 80, 90)), place(limit(0, Sell, 119, 60))]);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    chain.orders("idle", vec![place(limit(0, Buy, 90, 1))]);
    healthy(&chain.block());
    chain.orders("idle", vec![Operation::CancelAll(v1::CancelAll::default())]);
    healthy(&chain.block());
    let withdraw = || v1::MsgWithdraw { amount_atoms: 1_000_000, ..Default::default() };
    let transfer =
        || v1::MsgTransfer { to_subaccount: 1, amount_atoms: 1_000_000, ..Default::default() };
    let attempts = |chain: &mut Chain, votes: &[(u64, Vote)]| {
        chain.send("short", withdraw());
        chain.send("short", transfer());
        chain.send("idle", withdraw());
        let cancel = Operation::CancelAll(v1::CancelAll::default());
        chain.orders("idle", vec![place(limit(0, Buy, 80, 1)), cancel]);
        let reduce = v1::PlaceOrder { reduce_only: true, ..limit(0, Buy, 80, 1) };
        chain.orders("short", vec![place(reduce)]);
        let events = block(chain, votes);
        let samples = chain.state.markets[0].cell.market.funding.premium_samples;
        let of = |name: &str| {
            let signer = tidemark_tests::harness::signer(name).address();
            events.txs.iter().filter(|tx| tx.signer == Some(signer)).map(word).collect::<Vec<_>>()
        };
        (of("short"), of("idle"), samples, liquidations(&events).len())
    };
    let silent = [(6, Says(90)), (4, Nothing)];
    // The last block that the old index still serves, a millisecond before it is stale.
    let taken_ms = chain.state.markets[0].cell.index.index.unwrap().time_ms.get();
    chain.now_ms = taken_ms + 29_999;
    let (short, idle, samples, liquidated) = attempts(&mut chain, &silent);
    assert_eq!((short, idle), (vec!["OK"; 3], vec!["OK"; 2]));
    assert_eq!(liquidated, 0);
    chain.now_ms = taken_ms + 30_000;
    for _ in 0..10 {
        let (short, idle, later, liquidated) = attempts(&mut chain, &silent);
        assert_eq!(short, ["STALE_INDEX", "STALE_INDEX", "OK"]);
        assert_eq!(idle, ["OK", "STALE_INDEX"], "cash that no position needs may go");
        assert_eq!((later, liquidated), (samples, 0));
    }
    assert!(chain.state.markets[0].cell.listed.is_empty());
    let (short, idle, later, _) = attempts(&mut chain, &[(7, Says(90)), (3, Nothing)]);
    assert_eq!(chain.state.markets[0].cell.listed.len(), 1, "the first quorum shows the loss");
    assert!(later > samples, "and samples the premium");
    assert_eq!((short[0], idle), ("OK", vec!["OK"; 2]));
}

#[test]
fn rules_10_a_vote_registers_its_node_s_key_at_most_once_in_50_blocks() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0));
    let vote = |chain: &mut Chain, number: u8, key: u8, with_price: bool| {
        let price = PriceReport {
            market: MarketId::ZERO,
            index_ticks: Some(Ticks::new(100)),
            external_ticks: None,
        };
        let base = chain.state.markets[0].cell.index.commit_base();
        let report = encode(&Report { prices: vec![price] }, &|_| base, Limits::default()).unwrap();
        let report = if with_price { report } else { Vec::new() };
        let extension = BallotExtension::Bytes(with_key(&[key; 32], &report));
        let mut input = chain.next_input();
        input.block.ballots = vec![PriceBallot { validator: [number; 20], power: 10, extension }];
        let events = chain.run(&input);
        healthy(&events);
        let validator = &chain.state.chain.validators[0];
        let key = validator.node_key.map(|registered| registered.key[0]);
        (key, events.prices.votes[0].report.clone(), events.app_hash)
    };
    let (stranger, _, before) = vote(&mut chain, 9, 5, false);
    assert_eq!(stranger, None, "the vote of no validator of this chain");
    let (first, report, after) = vote(&mut chain, 1, 5, true);
    assert_eq!((first, index(&chain)), (Some(5), Some(100)), "the report behind the key counts");
    assert!(report.prices().is_some() && before != after);
    let registered_at = chain.state.chain.height;
    while chain.state.chain.height + 1 < registered_at + 50 {
        let (kept, report, _) = vote(&mut chain, 1, 6, false);
        assert_eq!((kept, report), (Some(5), VoteReport::Nothing));
    }
    assert_eq!(vote(&mut chain, 1, 6, false).0, Some(6));
    assert_eq!(vote(&mut chain, 1, 5, false).0, Some(6), "nor back at once");
}

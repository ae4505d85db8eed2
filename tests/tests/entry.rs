//! The cost of entering: first credits, and subaccounts beyond the free ones.

use std::collections::BTreeMap;

use tidemark_engine::state::MAX_WAITING;
use tidemark_proto::params::ChainParams;
use tidemark_proto::units::Atoms;
use tidemark_proto::v1;
use tidemark_tests::harness::{
    atoms, genesis, healthy, plain_market, signer, usdc, word, Chain, FAUCET,
};
use tidemark_tests::sim::audit;
use tidemark_tests::sim::rng::Rng;

/// USDC in atoms, as on the wire.
const USDC: u64 = 1_000_000;

/// A chain on which owners cost what the rules say, with a fund of 1 000 USDC.
fn chain() -> Chain {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params = ChainParams::default();
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    healthy(&chain.block());
    chain
}

fn send_mint(chain: &mut Chain, name: &str, subaccount: u32, amount_atoms: u64) {
    let recipient = signer(name).address().to_string();
    let message = v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() };
    chain.send(FAUCET, message);
}

/// The word of a block's only transaction; money is conserved after it.
fn outcome(chain: &mut Chain) -> &'static str {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()));
    word(&events.txs[0])
}

fn mint(chain: &mut Chain, name: &str, subaccount: u32, amount_atoms: u64) -> &'static str {
    send_mint(chain, name, subaccount, amount_atoms);
    outcome(chain)
}

fn transfer(chain: &mut Chain, name: &str, subaccounts: (u32, u32), amount: u64) -> &'static str {
    let (from_subaccount, to_subaccount) = subaccounts;
    let message = v1::MsgTransfer {
        from_subaccount,
        to_subaccount,
        amount_atoms: amount,
        ..Default::default()
    };
    chain.send(name, message);
    outcome(chain)
}

fn is_owner(chain: &Chain, name: &str) -> bool {
    chain.state.owner_id(&signer(name).address()).is_some()
}

fn collateral(chain: &Chain, name: &str, subaccount: u32) -> Option<Atoms> {
    let owner = chain.state.owner_id(&signer(name).address())?;
    let account = chain.state.account_id(owner, subaccount)?;
    chain.state.accounts.get(account).map(|row| row.collateral_atoms)
}

fn waits(chain: &Chain, name: &str) -> Atoms {
    chain.state.chain.first_credits.of(&signer(name).address())
}

fn fund(chain: &Chain) -> Atoms {
    chain.state.chain.treasury.insurance_atoms
}

#[test]
fn rules_1_an_owner_begins_with_ten_of_which_one_goes_to_the_fund() {
    let mut chain = chain();
    assert_eq!(mint(&mut chain, "trader", 3, 10 * USDC), "OK");
    assert_eq!((collateral(&chain, "trader", 3), fund(&chain)), (Some(usdc(9)), usdc(1_001)));
    // The owner is one now: later credits cost nothing, and are as small as they like.
    assert_eq!(mint(&mut chain, "trader", 3, 1), "OK");
    assert_eq!(mint(&mut chain, "trader", 0, 1), "OK");
    assert_eq!(collateral(&chain, "trader", 3), Some(usdc(9) + atoms(1)));
    assert_eq!((collateral(&chain, "trader", 0), fund(&chain)), (Some(atoms(1)), usdc(1_001)));
}

#[test]
fn rules_1_a_small_first_credit_waits_until_the_sum_is_enough() {
    let mut chain = chain();
    for amount in [4 * USDC, 1, 6 * USDC - 2] {
        assert_eq!(mint(&mut chain, "trader", 1, amount), "OK");
        assert!(!is_owner(&chain, "trader"));
    }
    assert_eq!((waits(&chain, "trader"), fund(&chain)), (usdc(10) - atoms(1), usdc(1_000)));
    // Who is no owner signs nothing.
    chain.send("trader", v1::MsgWithdraw { amount_atoms: 1, ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "UNKNOWN_ACCOUNT");
    assert_eq!(mint(&mut chain, "trader", 2, 1), "OK");
    assert_eq!((waits(&chain, "trader"), fund(&chain)), (usdc(0), usdc(1_001)));
    let at = [1, 2].map(|subaccount| collateral(&chain, "trader", subaccount));
    assert_eq!(at, [None, Some(usdc(9))], "the sum is where the last credit goes");
    assert!(chain.state.chain.first_credits.is_empty());
}

#[test]
fn rules_1_a_credit_below_the_fee_does_not_begin_to_wait() {
    let mut chain = chain();
    let came_in = chain.state.chain.deposits_atoms;
    assert_eq!(mint(&mut chain, "trader", 0, USDC - 1), "FIRST_CREDIT_TOO_SMALL");
    assert_eq!(mint(&mut chain, "trader", 128, 50 * USDC), "INVALID_ARGUMENT");
    assert_eq!(mint(&mut chain, "trader", 128, 5 * USDC), "INVALID_ARGUMENT");
    assert_eq!(chain.state.chain.deposits_atoms, came_in, "the bridge keeps what is refused");
    assert!(chain.state.chain.first_credits.is_empty() && !is_owner(&chain, "trader"));
}

#[test]
fn rules_1_a_thousand_addresses_wait_and_no_more() {
    let mut chain = chain();
    for at in 0..MAX_WAITING {
        send_mint(&mut chain, &format!("small {at}"), 0, USDC);
    }
    healthy(&chain.block());
    assert_eq!(chain.state.chain.first_credits.len(), MAX_WAITING);
    assert_eq!(mint(&mut chain, "late", 0, 9 * USDC), "FIRST_CREDITS_FULL");
    // Who has enough waits for nobody, and who waits has its place.
    assert_eq!(mint(&mut chain, "rich", 0, 10 * USDC), "OK");
    assert_eq!(mint(&mut chain, "small 7", 0, 1), "OK");
    assert_eq!(mint(&mut chain, "small 7", 0, 9 * USDC), "OK");
    assert_eq!(collateral(&chain, "small 7", 0), Some(usdc(9) + atoms(1)));
    assert_eq!(mint(&mut chain, "late", 0, 9 * USDC), "OK");
}

#[test]
fn rules_1_a_ninth_subaccount_costs_one() {
    let mut chain = chain();
    assert_eq!(mint(&mut chain, "trader", 0, 101 * USDC), "OK");
    for subaccount in [127, 2, 3, 4, 5, 6, 7] {
        assert_eq!(transfer(&mut chain, "trader", (0, subaccount), USDC), "OK");
        assert_eq!(collateral(&chain, "trader", subaccount), Some(usdc(1)));
    }
    assert_eq!(fund(&chain), usdc(1_001));
    // The ninth is paid for by the money that opens it, whoever sends the money.
    assert_eq!(transfer(&mut chain, "trader", (0, 9), USDC), "SUBACCOUNT_FEE");
    assert_eq!(mint(&mut chain, "trader", 9, USDC), "SUBACCOUNT_FEE");
    assert_eq!(collateral(&chain, "trader", 9), None);
    assert_eq!(transfer(&mut chain, "trader", (0, 9), 3 * USDC), "OK");
    assert_eq!((collateral(&chain, "trader", 9), fund(&chain)), (Some(usdc(2)), usdc(1_002)));
    assert_eq!(mint(&mut chain, "trader", 1, USDC + 1), "OK");
    assert_eq!((collateral(&chain, "trader", 1), fund(&chain)), (Some(atoms(1)), usdc(1_003)));
    // It is open now.
    assert_eq!(transfer(&mut chain, "trader", (0, 9), 1), "OK");
    assert_eq!(fund(&chain), usdc(1_003));
}

/// Random credits of a few people, against the rule as one would write it into a ledger.
#[test]
fn rules_1_first_credits_and_fees_are_those_of_a_plain_ledger() {
    #[derive(Default)]
    struct Person {
        waits: u64,
        subaccounts: BTreeMap<u32, u64>,
    }
    let (mut chain, mut rng) = (chain(), Rng::new(11));
    let names = ["ann", "ben", "cid", "dot"];
    let mut ledger: BTreeMap<&str, Person> = BTreeMap::new();
    let mut fund_atoms = 1_000 * USDC;
    for _ in 0..300 {
        let (name, subaccount) = (*rng.pick(&names), rng.within(0, 13) as u32);
        let amount = *rng.pick(&[1, USDC - 1, USDC, USDC + 1, 3 * USDC, 9 * USDC, 12 * USDC]);
        let word = mint(&mut chain, name, subaccount, amount);
        let person = ledger.entry(name).or_default();
        let expected = if person.subaccounts.is_empty() {
            let sum = person.waits + amount;
            if sum >= 10 * USDC {
                person.subaccounts.insert(subaccount, sum - USDC);
                (person.waits, fund_atoms) = (0, fund_atoms + USDC);
                "OK"
            } else if sum >= USDC {
                person.waits = sum;
                "OK"
            } else {
                "FIRST_CREDIT_TOO_SMALL"
            }
        } else {
            let is_new = !person.subaccounts.contains_key(&subaccount);
            let fee = if is_new && person.subaccounts.len() >= 8 { USDC } else { 0 };
            if amount > fee {
                *person.subaccounts.entry(subaccount).or_default() += amount - fee;
                fund_atoms += fee;
                "OK"
            } else {
                "SUBACCOUNT_FEE"
            }
        };
        assert_eq!(word, expected, "{name}, subaccount {subaccount}, {amount}");
    }
    assert_eq!(fund(&chain), Atoms::from_u64(fund_atoms));
    for name in names {
        let person = &ledger[name];
        assert_eq!(waits(&chain, name), Atoms::from_u64(person.waits));
        for subaccount in 0..14 {
            let expected = person.subaccounts.get(&subaccount).copied().map(Atoms::from_u64);
            assert_eq!(collateral(&chain, name, subaccount), expected, "{name} {subaccount}");
        }
    }
}

//! Keepers: what they set aside, and what they ask for.

use tidemark_proto::params::MarketStatus;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{limit, place};

use super::{Story, Table};

fn register(set_aside_atoms: u64) -> v1::MsgRegisterBackstop {
    v1::MsgRegisterBackstop { set_aside_atoms, ..Default::default() }
}

fn takeover(account_id: u32) -> v1::MsgTakeover {
    v1::MsgTakeover { account_id, lots: 1, ..Default::default() }
}

fn one_by_one(table: &mut Table) {
    let mut story = Story::one_market(&["keeper"], table);
    story.send("keeper", takeover(0));
    story.send("keeper", register(20_000_000_000));
    story.send("keeper", register(2_000_000_000_000));
    story.send("keeper", register(1_000_000_000));
    story.send("keeper", takeover(0));
    story.send("keeper", register(999_999_999));
    let to_other =
        v1::MsgTransfer { to_subaccount: 1, amount_atoms: 1_000_000_000, ..Default::default() };
    story.send("keeper", to_other);
    let second = v1::MsgRegisterBackstop { subaccount: 1, ..register(1_000_000_000) };
    story.send("keeper", second);
    story.update(|params| params.status = MarketStatus::Closed);
    story.send("keeper", register(2_000_000_000));
}

/// As many keepers as may be, who ask for as many positions as may be.
fn as_many_as_may_be(table: &mut Table) {
    let keepers: Vec<String> = (0..65).map(|number| format!("keeper {number}")).collect();
    let longs: Vec<String> = (0..5).map(|number| format!("long {number}")).collect();
    let mut names: Vec<&str> = keepers.iter().chain(&longs).map(String::as_str).collect();
    names.push("short");
    let mut story = Story::one_market(&names, table);
    for keeper in &keepers {
        story.chain.send(keeper, register(1_000_000_000));
    }
    story.chain.deposit("short", 100_000);
    story.block();
    story.orders("short", vec![place(limit(0, Sell, 100, 4_500))]);
    for long in &longs {
        story.orders(long, vec![place(limit(0, Buy, 100, 900))]);
    }
    // Below maintenance, and above two thirds of it: keepers may ask.
    story.index(91);
    for long in &longs {
        let account_id = story.chain.account_id(long).get();
        for keeper in &keepers {
            story.chain.send(keeper, takeover(account_id));
        }
    }
    story.block();
}

pub(super) fn run(table: &mut Table) {
    one_by_one(table);
    as_many_as_may_be(table);
}

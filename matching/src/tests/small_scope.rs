//! Every sequence of a few operations on a tiny book: lists and bitmaps have no corner that chance
//! could miss.

use tidemark_proto::units::{Lots, SelfTradePrevention, Side, Ticks};

use super::gtc;
use super::pair::{Op, Pair};
use crate::NewOrder;

/// Length of the sequences: without optimisation, a shorter one.
const DEPTH: u32 = if cfg!(debug_assertions) { 3 } else { 4 };

/// Two owners, two prices on either side of a page's edge, plain orders and icebergs; cancels,
/// reductions and moves of the oldest and the newest order; a block's end.
fn alphabet() -> Vec<Op> {
    let mut ops = Vec::new();
    for (owner, display_lots) in [(1, Lots::ZERO), (2, Lots::ONE)] {
        for side in [Side::Buy, Side::Sell] {
            for price in [4_095, 4_096] {
                let stp = SelfTradePrevention::Decrement;
                ops.push(Op::Place(NewOrder { display_lots, stp, ..gtc(owner, side, price, 2) }));
            }
        }
    }
    // `pick` is 16 times the order's place by side, price and arrival, and 1.
    for pick in [1, 17] {
        let stp = SelfTradePrevention::CancelMaker;
        ops.push(Op::Cancel { pick, stranger: false });
        ops.push(Op::Reduce { pick, stranger: false, by_lots: Lots::ONE });
        ops.push(Op::Replace {
            pick,
            stranger: false,
            price: Some(Ticks::new(4_096)),
            lots: None,
            stp,
            max_fills: 2,
            max_visits: u32::MAX,
        });
    }
    ops.push(Op::Commit { restore: false });
    ops
}

fn explore(pair: &Pair, ops: &[Op], depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    ops.iter()
        .map(|op| {
            let mut next = pair.clone();
            next.step(op);
            explore(&next, ops, depth - 1)
        })
        .sum()
}

#[test]
fn all_short_sequences_do_what_the_model_does() {
    let ops = alphabet();
    assert_eq!(explore(&Pair::new(), &ops, DEPTH), (ops.len() as u64).pow(DEPTH));
}

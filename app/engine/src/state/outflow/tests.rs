//! The buckets, the queue and the losses, against plain models of them.

use std::collections::VecDeque;

use proptest::prelude::*;

use tidemark_proto::params::ChainParams;
use tidemark_proto::units::{Atoms, OwnerId, TimeMs};

use super::hourly::HOUR_MS;
use super::*;

const fn usdc(usdc: i64) -> Atoms {
    Atoms::from_usdc(usdc)
}

fn ms(ms: u64) -> TimeMs {
    TimeMs::new(ms)
}

#[test]
fn a_bucket_refills_evenly_and_a_pause_counts_five_minutes() {
    let params = ChainParams::default();
    let mut of = Outflow::default();
    of.advance(&params, (ms(HOUR_MS), ms(0)), usdc(0));
    assert_eq!(of.left_atoms(&params), usdc(1_000_000));
    of.spend(usdc(1_000_000));
    assert_eq!(of.left_atoms(&params), usdc(0));
    of.advance(&params, (ms(HOUR_MS + 36_000), ms(36_000)), usdc(0));
    assert_eq!(of.left_atoms(&params), usdc(10_000));
    of.advance(&params, (ms(9 * HOUR_MS), ms(8 * HOUR_MS)), usdc(0));
    assert_eq!(of.left_atoms(&params), usdc(10_000) + Atoms::new(1_000_000_000_000 / 12));
    // The day's bucket, once an hour has used up the tenth of it ten times.
    (of.hour_atoms, of.day_atoms) = (usdc(0), usdc(10_000_000) - Atoms::new(1));
    assert_eq!(of.left_atoms(&params), Atoms::new(1));
}

#[test]
fn the_least_deposits_of_24_hours_count() {
    let params = ChainParams::default();
    let mut of = Outflow::default();
    of.advance(&params, (ms(100 * HOUR_MS), ms(0)), usdc(500_000_000));
    let sizes = |of: &Outflow| (of.sizes(&params).hour_atoms, of.sizes(&params).day_atoms);
    assert_eq!(sizes(&of), (usdc(5_000_000), usdc(50_000_000)));
    // Borrowed for a block: the least counts.
    of.advance(&params, (ms(100 * HOUR_MS + 1), ms(1)), usdc(900_000_000));
    assert_eq!(sizes(&of), (usdc(5_000_000), usdc(50_000_000)));
    of.advance(&params, (ms(123 * HOUR_MS), ms(1)), usdc(900_000_000));
    assert_eq!(sizes(&of), (usdc(5_000_000), usdc(50_000_000)));
    of.advance(&params, (ms(125 * HOUR_MS), ms(1)), usdc(900_000_000));
    assert_eq!(sizes(&of), (usdc(9_000_000), usdc(90_000_000)));
    of.advance(&params, (ms(125 * HOUR_MS + 1), ms(1)), usdc(20_000_000));
    assert_eq!(sizes(&of), (usdc(1_000_000), usdc(10_000_000)));
}

#[test]
fn small_losses_do_not_shut_the_gate_again_and_again() {
    let mut of = Losses::default();
    of.begin_block(usdc(2_000_000));
    assert!(!of.note(usdc(20_000)), "1 % is not above 1 %");
    assert!(of.note(usdc(20_001)));
    // A deficit that stands is lost once: 24 hours count 20 001 of 60 000.
    for _ in 0..100 {
        of.begin_block(usdc(2_000_000));
        assert!(!of.note(usdc(20_000)));
    }
    // It becomes debt.
    of.begin_block(usdc(2_000_000));
    of.book(usdc(20_000));
    assert!(!of.note(usdc(0)));
    assert_eq!(of.day.sum(), usdc(20_001));
    for _ in 0..2 {
        of.begin_block(usdc(2_000_000));
        of.book(usdc(19_999));
        assert!(!of.note(usdc(0)));
    }
    of.begin_block(usdc(2_000_000));
    of.book(usdc(2));
    assert!(of.note(usdc(0)), "60 001 of 24 hours");
    of.begin_block(usdc(2_000_000));
    of.book(usdc(2));
    assert!(!of.note(usdc(0)), "one lot below 0 keeps it shut");
    // Without a fund, 10 000 USDC.
    of.begin_block(usdc(0));
    assert!(!of.note(usdc(9_998)));
    assert!(of.note(usdc(10_001)));
}

/// A plain queue: each block the first has a turn, as long as it fits.
fn by_hand(queue: &mut VecDeque<(u32, i128)>, mut left: i128) -> Vec<(u32, i128)> {
    let mut paid = Vec::new();
    for _ in 0..queue.len() {
        let (owner, amount) = queue[0];
        let turn = amount.min(10_000_000_000);
        if turn > left {
            break;
        }
        left -= turn;
        paid.push((owner, turn));
        queue.pop_front();
        if amount > turn {
            queue.push_back((owner, amount - turn));
        }
    }
    paid
}

proptest! {
    #[test]
    fn the_queue_serves_owners_in_turns(
        blocks in prop::collection::vec(
            (0_u32..6, 1_i128..60_000_000_000, 0_u64..4_000, any::<bool>()), 1..60),
    ) {
        let params = ChainParams::default();
        let mut of = Outflow::default();
        let mut model: VecDeque<(u32, i128)> = VecDeque::new();
        let (mut now, mut out) = (HOUR_MS, 0_i128);
        of.advance(&params, (ms(now), ms(0)), Atoms::ZERO);
        of.spend(usdc(1_000_000));
        for (height, (owner, amount, seconds, leaves)) in blocks.into_iter().enumerate() {
            now += seconds * 1_000;
            of.advance(&params, (ms(now), ms(seconds * 1_000)), Atoms::ZERO);
            let left = of.left_atoms(&params);
            of.serve(&params);
            let paid: i128 = by_hand(&mut model, left.get()).iter().map(|(_, paid)| paid).sum();
            prop_assert_eq!(of.left_atoms(&params), left - Atoms::new(paid));
            out += paid;
            let at = model.iter().position(|(id, _)| *id == owner);
            if leaves {
                let was = at.and_then(|at| model.remove(at)).map(|(_, amount)| Atoms::new(amount));
                let row = of.queue.of(OwnerId::new(owner)).map(|row| row.amount_atoms);
                prop_assert_eq!(row, was);
                of.queue.leave(OwnerId::new(owner));
            } else {
                of.queue.enter(OwnerId::new(owner), Atoms::new(amount), height as u64);
                match at {
                    Some(at) => model[at].1 += amount,
                    None => model.push_back((owner, amount)),
                }
            }
            let row = |row: &QueuedWithdrawal| (row.owner.get(), row.amount_atoms.get());
            let rows: Vec<_> = of.queue.rows().iter().map(row).collect();
            prop_assert_eq!(rows, Vec::from(model.clone()));
        }
        // No more than the bucket has come back by, whatever the queue did.
        let refilled = 1_000_000_000_000 * i128::from(now - HOUR_MS) / i128::from(HOUR_MS);
        prop_assert!(out <= refilled + 1);
    }
}

use proptest::prelude::*;
use tidemark_proto::params::ChainParams;
use tidemark_proto::units::{Atoms, TimeMs};

use super::{market, usdc};
use crate::fees::{collect, max_fee_ppm, rates, trade_fees, FeeRates, TradeFees};
use crate::{Treasury, Volume};

const DAY: TimeMs = 86_400_000;

#[test]
fn rates_follow_the_volume_tiers() {
    let tiers = ChainParams::default().fee_tiers;
    let at = |volume| rates(&tiers, volume);
    assert_eq!(at(0), FeeRates { maker_ppm: 150, taker_ppm: 450 });
    assert_eq!(at(usdc(5_000_000) - 1), FeeRates { maker_ppm: 150, taker_ppm: 450 });
    assert_eq!(at(usdc(5_000_000)), FeeRates { maker_ppm: 120, taker_ppm: 400 });
    assert_eq!(at(usdc(1 << 60)), FeeRates { maker_ppm: -30, taker_ppm: 240 });
    assert_eq!(max_fee_ppm(&tiers), 450);
    assert_eq!((rates(&[], 5), max_fee_ppm(&[])), (FeeRates::default(), 0));
}

#[test]
fn fees_round_up_and_rebates_down_and_a_rebate_is_the_takers_money() {
    let fees = |notional, maker, taker| {
        let TradeFees { taker_atoms, maker_atoms } = trade_fees(notional, maker, taker).unwrap();
        (taker_atoms, maker_atoms)
    };
    assert_eq!(fees(usdc(1_000), 150, 450), (450_000, 150_000));
    assert_eq!(fees(1, 150, 450), (1, 1));
    assert_eq!(fees(usdc(1_000), -30, 240), (240_000, -30_000));
    assert_eq!(fees(99_999, -30, 240), (24, -2), "23.99976 up, 2.99997 down");
    assert_eq!(fees(usdc(1_000), -300, 240), (240_000, -240_000), "no more than the taker paid");
    assert_eq!(fees(usdc(1_000), -30, 0), (0, 0));
}

#[test]
fn volume_counts_the_last_thirty_whole_days() {
    let mut volume = Volume::default();
    volume.add(100 * DAY + 5, usdc(7));
    assert_eq!(volume.atoms(100 * DAY + 9), 0, "today does not count yet");
    volume.add(100 * DAY + 6, usdc(1));
    volume.add(103 * DAY, usdc(2));
    assert_eq!(volume.atoms(101 * DAY), usdc(8));
    assert_eq!(volume.atoms(130 * DAY), usdc(10));
    assert_eq!(volume.atoms(131 * DAY), usdc(2), "the first day is 31 days ago");
    assert_eq!(volume.atoms(134 * DAY), 0);
    volume.add(131 * DAY, Atoms::MAX);
    assert_eq!(volume.atoms(132 * DAY), usdc(2) + Atoms::from(u64::MAX));
    let days = borsh::to_vec(&volume).unwrap().len();
    for day in 132..400 {
        volume.add(day * DAY, 1);
    }
    assert!(borsh::to_vec(&volume).unwrap().len() <= 4 + 31 * 12, "bounded");
    assert_eq!(days, 4 + 2 * 12, "days without trades take no room");
}

#[test]
fn bad_debt_is_repaid_before_anyone_earns() {
    let mut market = market(0, 10, 1, 1);
    let mut treasury = Treasury::default();
    market.bad_debt_atoms = 100;
    collect(60, 500_000, &mut market, &mut treasury).unwrap();
    assert_eq!((market.bad_debt_atoms, treasury), (40, Treasury::default()));
    collect(51, 500_000, &mut market, &mut treasury).unwrap();
    assert_eq!(
        (market.bad_debt_atoms, treasury.insurance_atoms, treasury.validators_atoms),
        (0, 6, 5)
    );
}

proptest! {
    #[test]
    fn the_chain_never_pays_for_a_trade(notional in 0_i128..1 << 80, maker in -1_000_i64..1_000, taker in 0_i64..1_000, split in 0_i64..=1_000_000, debt in 0_i128..1 << 70) {
        let fees = trade_fees(notional, maker, taker).unwrap();
        prop_assert!(fees.net_atoms() >= 0 && fees.taker_atoms >= 0);
        let mut market = market(0, 10, 1, 1);
        market.bad_debt_atoms = debt;
        let mut treasury = Treasury::default();
        collect(fees.net_atoms(), split, &mut market, &mut treasury).unwrap();
        let repaid = debt - market.bad_debt_atoms;
        prop_assert_eq!(repaid, debt.min(fees.net_atoms()));
        prop_assert_eq!(treasury.insurance_atoms + treasury.validators_atoms, fees.net_atoms() - repaid);
        prop_assert!(treasury.insurance_atoms >= 0 && treasury.validators_atoms >= 0);
    }
}

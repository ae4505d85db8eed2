use proptest::prelude::*;
use tidemark_proto::params::ChainParams;
use tidemark_proto::units::{Atoms, Ppm, TimeMs};

use crate::fees::{collect, max_fee_ppm, rates, trade_fees, FeeRates, TradeFees};
use crate::tests::{atoms, market, ms, ppm, usdc};
use crate::{Treasury, Volume};

fn day(number: u64) -> TimeMs {
    ms(number * 86_400_000)
}

#[test]
fn rates_follow_the_volume_tiers() {
    let tiers = ChainParams::default().fee_tiers;
    let at = |volume| {
        let FeeRates { maker_ppm, taker_ppm } = rates(&tiers, volume);
        (maker_ppm.get(), taker_ppm.get())
    };
    assert_eq!(at(Atoms::ZERO), (150, 450));
    assert_eq!(at(usdc(5_000_000) - atoms(1)), (150, 450));
    assert_eq!(at(usdc(5_000_000)), (120, 400));
    assert_eq!(at(usdc(1 << 60)), (-30, 240));
    assert_eq!(max_fee_ppm(&tiers), ppm(450));
    assert_eq!((rates(&[], atoms(5)), max_fee_ppm(&[])), (FeeRates::default(), Ppm::ZERO));
}

#[test]
fn fees_round_up_and_rebates_down_and_a_rebate_is_the_takers_money() {
    let fees = |notional, maker, taker| {
        let TradeFees { taker_atoms, maker_atoms } =
            trade_fees(notional, ppm(maker), ppm(taker)).unwrap();
        (taker_atoms.get(), maker_atoms.get())
    };
    assert_eq!(fees(usdc(1_000), 150, 450), (450_000, 150_000));
    assert_eq!(fees(atoms(1), 150, 450), (1, 1));
    assert_eq!(fees(usdc(1_000), -30, 240), (240_000, -30_000));
    assert_eq!(fees(atoms(99_999), -30, 240), (24, -2), "23.99976 up, 2.99997 down");
    assert_eq!(fees(usdc(1_000), -300, 240), (240_000, -240_000), "no more than the taker paid");
    assert_eq!(fees(usdc(1_000), -30, 0), (0, 0));
}

#[test]
fn volume_counts_the_last_thirty_whole_days() {
    let mut volume = Volume::default();
    volume.add(day(100) + ms(5), usdc(7));
    assert_eq!(volume.atoms(day(100) + ms(9)), Atoms::ZERO, "today does not count yet");
    volume.add(day(100) + ms(6), usdc(1));
    volume.add(day(103), usdc(2));
    assert_eq!(volume.atoms(day(101)), usdc(8));
    assert_eq!(volume.atoms(day(130)), usdc(10));
    assert_eq!(volume.atoms(day(131)), usdc(2), "the first day is 31 days ago");
    assert_eq!(volume.atoms(day(134)), Atoms::ZERO);
    volume.add(day(131), Atoms::MAX);
    assert_eq!(volume.atoms(day(132)), usdc(2) + Atoms::from_u64(u64::MAX));
    let days = borsh::to_vec(&volume).unwrap().len();
    for number in 132..400 {
        volume.add(day(number), atoms(1));
    }
    assert!(borsh::to_vec(&volume).unwrap().len() <= 4 + 31 * 12, "bounded");
    assert_eq!(days, 4 + 2 * 12, "days without trades take no room");
}

#[test]
fn bad_debt_is_repaid_before_anyone_earns() {
    let mut market = market(0, 10, 1, 1);
    let mut treasury = Treasury::default();
    market.bad_debt_atoms = atoms(100);
    collect(atoms(60), ppm(500_000), &mut market, &mut treasury).unwrap();
    assert_eq!((market.bad_debt_atoms, treasury), (atoms(40), Treasury::default()));
    collect(atoms(51), ppm(500_000), &mut market, &mut treasury).unwrap();
    let Treasury { insurance_atoms, validators_atoms, .. } = treasury;
    assert_eq!(
        [market.bad_debt_atoms, insurance_atoms, validators_atoms].map(Atoms::get),
        [0, 6, 5]
    );
}

proptest! {
    #[test]
    fn the_chain_never_pays_for_a_trade(
        notional in 0_i128..1 << 80,
        maker in -1_000_i64..1_000,
        taker in 0_i64..1_000,
        split in 0_i64..=1_000_000,
        debt in 0_i128..1 << 70,
    ) {
        let fees = trade_fees(atoms(notional), ppm(maker), ppm(taker)).unwrap();
        prop_assert!(!fees.net_atoms().is_negative() && !fees.taker_atoms.is_negative());
        let mut market = market(0, 10, 1, 1);
        market.bad_debt_atoms = atoms(debt);
        let mut treasury = Treasury::default();
        collect(fees.net_atoms(), ppm(split), &mut market, &mut treasury).unwrap();
        let repaid = atoms(debt) - market.bad_debt_atoms;
        prop_assert_eq!(repaid, atoms(debt).min(fees.net_atoms()));
        let Treasury { insurance_atoms, validators_atoms, .. } = treasury;
        prop_assert_eq!(insurance_atoms + validators_atoms, fees.net_atoms() - repaid);
        prop_assert!(!insurance_atoms.is_negative() && !validators_atoms.is_negative());
    }
}

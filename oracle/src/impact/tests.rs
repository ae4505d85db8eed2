use proptest::prelude::*;

use super::*;

fn ticks(price: u64) -> Ticks {
    Ticks::new(price)
}

fn lots(quantity: u64) -> Lots {
    Lots::new(quantity)
}

fn levels(side: &[(u64, u64)]) -> Vec<(Ticks, Lots)> {
    side.iter().map(|(price, size)| (ticks(*price), lots(*size))).collect()
}

/// One notional in whole USDC, in a book of one USDC a tick and lot.
fn price(side: Side, usdc: i64, levels_of: &[(u64, u64)]) -> Option<i128> {
    let k = AtomsPerTickLot::new(1_000_000);
    let [price] = impact_prices(side, [Atoms::from_usdc(usdc)], k, levels(levels_of));
    price.map(NanoTicks::get)
}

#[test]
fn the_last_level_counts_as_far_as_the_notional_needs_it() {
    let book = [(1_000, 5), (900, 5)];
    assert_eq!(price(Side::Buy, 5_000, &book), Some(1_000_000_000_000), "the first level, whole");
    // 5 000 for 5 lots, 4 500 for another 5: 9 500/10.
    assert_eq!(price(Side::Buy, 9_500, &book), Some(950_000_000_000));
    assert_eq!(price(Side::Buy, 9_501, &book), None, "too thin");
    assert_eq!(price(Side::Buy, 0, &book), Some(1_000_000_000_000), "the best price");
    assert_eq!(price(Side::Buy, 0, &[]), None);
}

#[test]
fn a_bid_is_rounded_down_and_an_ask_up() {
    // 2 000 of 1 000·1 + 1 100: base 1 + 1 000/1 100 lots, 1 047.619047619… ticks.
    let book = [(1_000, 1), (1_100, 9)];
    assert_eq!(price(Side::Sell, 2_000, &book), Some(1_047_619_047_620));
    assert_eq!(price(Side::Buy, 2_000, &book), Some(1_047_619_047_619));
}

#[test]
fn what_lies_beyond_a_thousand_levels_is_no_depth() {
    let thin: Vec<(u64, u64)> = (0..1_001).map(|at| (2_000 - at, 1)).collect();
    let within: i64 = (0..1_000).map(|at| 2_000 - at).sum();
    assert!(price(Side::Buy, within, &thin).is_some());
    assert_eq!(price(Side::Buy, within + 1, &thin), None);
}

#[test]
fn amounts_beyond_127_bits_are_no_depth() {
    let huge = [(Ticks::MAX, Lots::MAX)];
    let all = impact_prices(Side::Buy, [Atoms::MAX], AtomsPerTickLot::MAX, huge);
    assert_eq!(all, [None]);
    let one = impact_prices(Side::Sell, [Atoms::MAX], AtomsPerTickLot::new(1), huge);
    assert_eq!(one, [None], "and neither is what does not fill the notional");
}

proptest! {
    /// Against a walk in exact fractions; several notionals in one walk are each as alone.
    #[test]
    fn the_impact_price_is_the_average_fill(
        steps in prop::collection::vec((1_u64..50, 1_u64..20), 1..8),
        notionals in prop::array::uniform3(0_i64..60_000),
        is_bid: bool,
    ) {
        let side = if is_bid { Side::Buy } else { Side::Sell };
        let mut at = 1_000;
        let level = |(step, size): &(u64, u64)| {
            at = if is_bid { at - step } else { at + step };
            (at, *size)
        };
        let book: Vec<(u64, u64)> = steps.iter().map(level).collect();
        let k = AtomsPerTickLot::new(1_000_000);
        let together = impact_prices(side, notionals.map(Atoms::from_usdc), k, levels(&book));
        for (notional, got) in notionals.into_iter().zip(together) {
            let got = got.map(NanoTicks::get);
            prop_assert_eq!(got, price(side, notional, &book));
            let (mut left, mut filled) = (i128::from(notional), 0);
            let mut expected = None;
            for (price, size) in &book {
                let (price, size) = (i128::from(*price), i128::from(*size));
                if left <= price * size {
                    // N/(lots + left/p) = N·p/(lots·p + left)
                    let (n, base) = (i128::from(notional) * price, filled * price + left);
                    let scaled = n * NanoTicks::PER_TICK;
                    expected = Some(match (notional, is_bid) {
                        (0, _) => price * NanoTicks::PER_TICK,
                        (_, true) => scaled / base,
                        (_, false) => (scaled + base - 1) / base,
                    });
                    break;
                }
                (left, filled) = (left - price * size, filled + size);
            }
            prop_assert_eq!(got, expected, "{} of {:?}", notional, &book);
        }
    }
}

use super::*;

/// A block that is a minute and a bit behind.
const BEHIND_MS: u64 = REFUSES_MS + 1;

#[test]
fn a_block_of_the_last_minute_is_never_refused() {
    let mut refusals = LagRefusals::default();
    for behind_ms in [0, LEAVES_OUT_MS + 1, REFUSES_MS] {
        assert!(!refusals.refuses(7, behind_ms, 0), "{behind_ms} ms");
    }
}

#[test]
fn refusals_of_a_height_lapse_half_a_minute_after_the_first_whatever_the_lag() {
    let mut refusals = LagRefusals::default();
    for (steady_ms, behind_ms, refused) in [
        (1_000, REFUSES_MS, false),
        (5_000, BEHIND_MS, true),
        (20_000, 600_000, true),
        (34_999, BEHIND_MS, true),
        (35_000, BEHIND_MS, false),
        (36_000, u64::MAX, false),
        (900_000, BEHIND_MS, false),
    ] {
        assert_eq!(refusals.refuses(7, behind_ms, steady_ms), refused, "at {steady_ms} ms");
    }
}

#[test]
fn each_height_has_its_own_half_minute() {
    let mut refusals = LagRefusals::default();
    assert!(refusals.refuses(7, BEHIND_MS, 0));
    assert!(!refusals.refuses(7, BEHIND_MS, 30_000));
    assert!(refusals.refuses(8, BEHIND_MS, 31_000));
    assert!(!refusals.refuses(8, BEHIND_MS, 61_000));
}
